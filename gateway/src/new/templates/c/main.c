// The task `{{name}}`, a command: arguments and standard input in, standard output and exit code out.
//
//   {{name}} NAME      or the name on standard input
//
// Exit code 0 makes the output the response; any other one makes standard error the error that the caller gets.

#include <stdio.h>
#include <string.h>

int main(int count, char **arguments) {
  char line[1024] = "";
  const char *name = line;
  if (count > 1) {
    name = arguments[1];
  } else if (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\r\n")] = 0;
  }
  if (name[strspn(name, " \t")] == 0) {
    fprintf(stderr, "found an empty name, expected somebody to greet\n");
    return 1;
  }
  printf("Hello, %s\n", name);
  return 0;
}
