// Sample task: SQLite as a WASI command. SQL goes in, rows come out as JSON.
//
//   sqlite [DATABASE [VALUE...]] < SQL
//
// DATABASE is a file in /data, the folder that the manifest grants; without one, or with ":memory:",
// the database lives as long as the call. Each VALUE is bound to a parameter of the SQL (?1, ?2...), so
// that nobody has to paste text into a statement. With nothing on standard input, the first VALUE is the
// SQL. Out comes one JSON array with the rows of all statements, an object for each.
//
// Exit code 0 if all went well, 1 if SQLite refused something, 2 if the call itself makes no sense; the
// reason is then on standard error.

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite3.h"

#define FOLDER "/data"

// WASI has no file locks. The manifest's `concurrency = 1` is the lock: one call at a time.
#define WITHOUT_LOCKS "unix-none"

// Beyond it a number in JSON is not exact everywhere.
#define SAFE_INTEGER_MAX 9007199254740991LL

enum { FAILED = 1, MISUSED = 2 };

static void fail(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *message = sqlite3_vmprintf(format, arguments);
  va_end(arguments);
  fprintf(stderr, "%s\n", message ? message : "out of memory");
  exit(code);
}

// Reads standard input to its end; a zero byte ends the text, as SQLite sees it.
static char *read_all(size_t *length) {
  size_t room = 1 << 16, used = 0;
  char *text = malloc(room + 1);
  while (text) {
    used += fread(text + used, 1, room - used, stdin);
    if (used < room) break;
    room *= 2;
    text = realloc(text, room + 1);
  }
  if (!text) fail(FAILED, "the SQL does not fit in memory");
  if (ferror(stdin)) fail(FAILED, "reading the SQL: %s", strerror(errno));
  text[used] = 0;
  *length = used;
  return text;
}

// Bytes of the UTF-8 character at `text`, or 0 if there is none. Overlong forms, surrogates and what is
// beyond U+10FFFF are none.
static int utf8(const unsigned char *text, int left) {
  unsigned char a = text[0];
  int length = a < 0x80 ? 1 : a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  for (int i = 1; i < length; i++)
    if ((text[i] & 0xc0) != 0x80) return 0;
  if (a == 0xe0 && text[1] < 0xa0) return 0;
  if (a == 0xed && text[1] > 0x9f) return 0;
  if (a == 0xf0 && text[1] < 0x90) return 0;
  if (a == 0xf4 && text[1] > 0x8f) return 0;
  return length;
}

static void put_text(const unsigned char *text, int length) {
  putchar('"');
  for (int at = 0; at < length;) {
    int bytes = utf8(text + at, length - at);
    unsigned char c = text[at];
    if (bytes == 0) {
      fputs("\\ufffd", stdout);
      bytes = 1;
    } else if (c == '"' || c == '\\') {
      printf("\\%c", c);
    } else if (c == '\n') {
      fputs("\\n", stdout);
    } else if (c < 0x20 || c == 0x7f) {
      printf("\\u%04x", c);
    } else {
      fwrite(text + at, 1, bytes, stdout);
    }
    at += bytes;
  }
  putchar('"');
}

static void put_base64(const unsigned char *bytes, int length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  putchar('"');
  for (int at = 0; at < length; at += 3) {
    int left = length - at;
    uint32_t group = bytes[at] << 16 | (left > 1 ? bytes[at + 1] << 8 : 0) | (left > 2 ? bytes[at + 2] : 0);
    putchar(digits[group >> 18]);
    putchar(digits[group >> 12 & 63]);
    putchar(left > 1 ? digits[group >> 6 & 63] : '=');
    putchar(left > 2 ? digits[group & 63] : '=');
  }
  putchar('"');
}

// The shortest digits that give the same number again. JSON has no infinity: it becomes a string.
static void put_real(double value) {
  char text[40];
  if (value - value != 0) {
    fputs(value > 0 ? "\"Infinity\"" : "\"-Infinity\"", stdout);
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  fputs(text, stdout);
  if (!strpbrk(text, ".e")) fputs(".0", stdout);
}

static void put_value(sqlite3_stmt *statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER: {
      sqlite3_int64 value = sqlite3_column_int64(statement, column);
      int safe = value >= -SAFE_INTEGER_MAX && value <= SAFE_INTEGER_MAX;
      printf(safe ? "%lld" : "\"%lld\"", (long long)value);
      break;
    }
    case SQLITE_FLOAT: put_real(sqlite3_column_double(statement, column)); break;
    case SQLITE_TEXT: {
      const unsigned char *text = sqlite3_column_text(statement, column);
      put_text(text, sqlite3_column_bytes(statement, column));
      break;
    }
    case SQLITE_BLOB: {
      const unsigned char *bytes = sqlite3_column_blob(statement, column);
      put_base64(bytes, sqlite3_column_bytes(statement, column));
      break;
    }
    default: fputs("null", stdout);
  }
}

// A row as an object. A second column of the same name gets a number, as SQLite does in subqueries.
static void put_row(sqlite3_stmt *statement) {
  int columns = sqlite3_column_count(statement);
  for (int column = 0; column < columns; column++) {
    const char *name = sqlite3_column_name(statement, column);
    if (!name) fail(FAILED, "out of memory");
    int same = 0;
    for (int before = 0; before < column; before++)
      same += strcmp(name, sqlite3_column_name(statement, before)) == 0;
    putchar(column ? ',' : '{');
    if (same) {
      char *numbered = sqlite3_mprintf("%s:%d", name, same);
      if (!numbered) fail(FAILED, "out of memory");
      put_text((const unsigned char *)numbered, (int)strlen(numbered));
      sqlite3_free(numbered);
    } else {
      put_text((const unsigned char *)name, (int)strlen(name));
    }
    putchar(':');
    put_value(statement, column);
  }
  putchar('}');
}

// What looks like a number in its plain form is bound as one: 7 and -2.5, but not 007.
static int bind(sqlite3_stmt *statement, int parameter, const char *text) {
  char plain[40], *end;
  errno = 0;
  long long integer = strtoll(text, &end, 10);
  if (*text && !*end && !errno) {
    snprintf(plain, sizeof plain, "%lld", integer);
    if (strcmp(plain, text) == 0) return sqlite3_bind_int64(statement, parameter, integer);
  }
  if (strspn(text, "-0123456789.") == strlen(text)) {
    double real = strtod(text, &end);
    for (int digits = 1; !*end && digits <= 17; digits++) {
      snprintf(plain, sizeof plain, "%.*g", digits, real);
      if (strcmp(plain, text) == 0) return sqlite3_bind_double(statement, parameter, real);
    }
  }
  return sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC);
}

// Tells SQLite's message, and the place in the SQL if it knows one.
static void fail_at(sqlite3 *database, const char *sql, const char *statement) {
  int offset = sqlite3_error_offset(database);
  const char *place = statement;
  if (offset < 0) while (*place && strchr(" \t\r\n", *place)) place++;
  else place += offset;
  int line = 1, column = 1;
  for (const char *at = sql; at < place; at++) {
    if (*at == '\n') line++, column = 1;
    else if ((*at & 0xc0) != 0x80) column++;
  }
  fail(FAILED, offset < 0 ? "%s (in the statement at line %d, column %d)" : "%s (line %d, column %d)",
       sqlite3_errmsg(database), line, column);
}

// Runs every statement and prints all rows. `values` are bound to each statement that wants some.
static void run(sqlite3 *database, const char *sql, char **values, int count) {
  int rows = 0, wanted = 0;
  putchar('[');
  for (const char *rest = sql, *next; *rest; rest = next) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(database, rest, -1, &statement, &next) != SQLITE_OK) fail_at(database, sql, rest);
    if (!statement) continue;  // A comment, or nothing but blanks.
    int parameters = sqlite3_bind_parameter_count(statement);
    if (parameters > wanted) wanted = parameters;
    if (parameters > count)
      fail(MISUSED, "the SQL has %d parameters, but found %d values: add arg=VALUE for each", parameters, count);
    int last = next[strspn(next, " \t\r\n")] == 0;
    if (last && count > wanted)
      fail(MISUSED, "found %d values, but the SQL has %d parameters: write ?1 where the first belongs", count, wanted);
    for (int i = 0; i < parameters; i++)
      if (bind(statement, i + 1, values[i]) != SQLITE_OK) fail_at(database, sql, rest);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
      fputs(rows++ ? ",\n" : "\n", stdout);
      put_row(statement);
      if (ferror(stdout)) fail(FAILED, "writing the rows: %s", strerror(errno));
    }
    if (code != SQLITE_DONE) fail_at(database, sql, rest);
    sqlite3_finalize(statement);
  }
  fputs(rows ? "\n]\n" : "]\n", stdout);
}

int main(int count, char **arguments) {
  const char *name = count > 1 ? arguments[1] : ":memory:";
  char **values = arguments + 2;
  int left = count > 2 ? count - 2 : 0;

  size_t length;
  char *sql = read_all(&length);
  if (length == 0 && left > 0) {
    sql = *values++;
    left--;
    length = strlen(sql);
  }
  if (strlen(sql) != length) fail(MISUSED, "the SQL holds a zero byte");
  if (strspn(sql, " \t\r\n") == length)
    fail(MISUSED, "no SQL: send it as the request's body, or as the argument after the database's name");

  const char *path = name;
  if (strcmp(name, ":memory:") != 0) {
    struct stat folder;
    if (stat(FOLDER, &folder) != 0)
      fail(MISUSED, "no folder for databases: the task's manifest must grant one, as in\n"
           "[grants]\ndirs = [{ host = \"data\", guest = \"" FOLDER "\", write = true }]");
    if (*name == 0 || *name == '/' || *name == ':')
      fail(MISUSED, "%Q is no name for a database: expected a file in " FOLDER ", as in shop.db", name);
    path = sqlite3_mprintf(FOLDER "/%s", name);
    chdir(FOLDER);  // So that ATTACH 'other.db' finds its neighbours.
  }
  sqlite3 *database;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE;
  if (sqlite3_open_v2(path, &database, flags, WITHOUT_LOCKS) != SQLITE_OK)
    fail(FAILED, "%s: %s", path, sqlite3_errmsg(database));
  sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  run(database, sql, values, left);
  // An open transaction ends here, without effect.
  sqlite3_close_v2(database);
  if (fflush(stdout) != 0) fail(FAILED, "writing the rows: %s", strerror(errno));
  return 0;
}
