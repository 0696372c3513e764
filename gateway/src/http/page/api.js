// The gateway: requests with the token, and the stream of its events. One state for all views.

const TOKEN = "unblock-token";
const SILENCE_MS = 6000;
const RETRY_MIN_MS = 300;
const RETRY_MAX_MS = 5000;
const SAMPLES = 240;

/** Tells the views: "state", "tick", "status". */
export const changes = new EventTarget();

/** How it stands with the connection: "connecting", "live", "gone", "locked", "refused"; and why. */
export const connection = { status: "connecting", detail: "" };

/** The last state, kept up to date by ticks; `null` before the first. Tasks by name. */
export let state = null;

function status(next, detail = "") {
  if (connection.status === next && connection.detail === detail) return;
  Object.assign(connection, { status: next, detail });
  changes.dispatchEvent(new Event("status"));
}

export function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

/** Keeps a token for as long as the tab lives, or forgets it. */
export function keep(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
  state = null;
  wake();
}

/** `fetch` with the token. */
export function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  return fetch(path, { cache: "no-store", ...options, headers });
}

/** The JSON of a 2xx answer; what else came is thrown as an `Error` with the problem's detail and `status`. */
export async function json(path, options) {
  const answer = await ask(path, options);
  if (answer.ok) return answer.json();
  const error = new Error(await reason(answer));
  error.status = answer.status;
  throw error;
}

async function reason(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `the gateway answered ${answer.status}`;
  }
}

let again = () => {};
let stop = new AbortController();

/** Connects anew at once. */
function wake() {
  stop.abort();
  again();
}

/** Watches for as long as the page lives. */
export async function watch() {
  let pause = RETRY_MIN_MS;
  for (;;) {
    stop = new AbortController();
    try {
      const answer = await ask("events", { signal: stop.signal });
      if (answer.status === 401 || answer.status === 403) {
        const detail = await reason(answer);
        status(answer.status === 401 ? "locked" : "refused", token() ? detail : "");
        // Nothing but another token helps.
        await new Promise((resolve) => { again = resolve; });
        continue;
      }
      if (!answer.ok) throw new Error(await reason(answer));
      await events(answer.body, (name, data) => {
        pause = RETRY_MIN_MS;
        take(name, data);
        status("live");
      });
      status("gone", "the gateway closed the stream");
    } catch (error) {
      const by = stop.signal.aborted ? "it was silent" : error.message;
      status("gone", by);
    }
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      again = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    pause = Math.min(pause * 2, RETRY_MAX_MS);
  }
}

/** Reads server-sent events until they end or stay away. */
async function events(body, each) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const timer = setTimeout(() => stop.abort(), SILENCE_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    buffer += value;
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const field = (name) =>
        lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
      if (field("data")) each(field("event"), JSON.parse(field("data")));
    }
  }
}

function take(name, data) {
  if (name === "state") {
    data.tasks = new Map(data.tasks.map((task) => [task.name, task]));
    state = data;
  } else if (state) {
    merge(data);
  } else {
    return;
  }
  changes.dispatchEvent(new Event(name === "state" ? "state" : "tick"));
}

/** A tick on top of the state. */
function merge(tick) {
  const { tasks, history } = state;
  for (const name of tick.tasks_gone) tasks.delete(name);
  const came = new Map();
  for (const task of tick.tasks) {
    const known = tasks.get(task.name);
    came.set(task.name, Math.max(0, task.calls - (known?.calls ?? 0)));
    tasks.set(task.name, { ...task, history: known?.history ?? [] });
  }
  for (const task of tasks.values()) {
    const calls = came.get(task.name) ?? 0;
    if (calls > 0 || task.history.length > 0) task.history.push(calls);
    if (task.history.length > SAMPLES) task.history.shift();
  }
  history.push({
    at_ms: tick.at_ms,
    calls: tick.rates.calls,
    errors: tick.rates.errors,
    p50: tick.latency_ms?.p50 ?? null,
    p99: tick.latency_ms?.p99 ?? null,
    heat: tick.heat,
  });
  if (history.length > SAMPLES) history.shift();
  const kept = { tasks, history, heat_bounds_ms: state.heat_bounds_ms };
  state = { ...tick, ...kept };
}
