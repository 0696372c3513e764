// The task `{{name}}`: what it offers is written down in wit/task.wit. An `err` of its result is thrown: the
// error's `payload` is what the caller gets.

export const api = {
  greet(name) {
    if (name.trim() === "") {
      throw Object.assign(new Error(), { payload: "found an empty name, expected somebody to greet" });
    }
    return `Hello, ${name.trim()}`;
  },
};
