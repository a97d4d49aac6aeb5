// The CNI plugin "contiv": carries CNI_* and stdin to netplugin's socket and the answer back. README.md has the protocol.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifndef SOCKET_PATH
#define SOCKET_PATH "/run/contiv/contiv-cni.sock"
#endif
#define SEE_NETPLUGIN "see that netplugin runs on this node and listens there; the runtime may try again"
#define VERSIONS "[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"
#define VERSION_CHARACTERS "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
enum { INVALID_ENVIRONMENT = 4, IO_FAILURE = 5, INVALID_CONFIG = 7, TRY_AGAIN_LATER = 11, NOT_AVAILABLE = 50 }; // CNI spec 1.1.0, "Error"
enum { CONFIG_MAX = 1 << 20, ENV_MAX = 128 << 10, ANSWER_MAX = 4 << 20, DEADLINE_S = 120, TRIES = 80, PAUSE_NS = 25000000 };
extern char **environ;
static char config[CONFIG_MAX + 2], answer[ANSWER_MAX + 1], text[2048], version[33] = "0.1.0"; // when the config names none
static const char *socket_path;
static int away = TRY_AGAIN_LATER; // the code while netplugin cannot be reached

static int write_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, data, length); // no EINTR: signal() means SA_RESTART
    if (written < 0) return -1;
    data += written, length -= (size_t)written;
  }
  return 0;
}

static size_t read_all(int fd, char *buffer, size_t capacity) { // ends at end of file, at an error (errno), or when full
  size_t length = 0;
  ssize_t got = errno = 0;
  while (length < capacity && (got = read(fd, buffer + length, capacity - length)) > 0) length += (size_t)got;
  return length;
}

static void finish(const char *document, size_t length, int status) { // the only writer of stdout
  signal(SIGALRM, SIG_DFL); // a second document would spoil the first
  _exit(write_all(1, document, length) == 0 ? status : 1);
}

static void fail(int code, const char *what, const char *cause, const char *next_step) {
  char path[sizeof(struct sockaddr_un)];
  snprintf(path, sizeof path, "%s", socket_path);
  for (char *c = path; *c; c++) if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\') *c = '?'; // keep it JSON
  int length = snprintf(text, sizeof text, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"contiv (socket %s): %s: %s\","
    "\"details\":\"%s\"}\n", version, code, path, what, cause, next_step);
  finish(text, length > 0 && (size_t)length < sizeof text ? (size_t)length : 0, 1);
}

static void too_late(int number) {
  (void)number, fail(away, "no answer within 120 s", "deadline passed", SEE_NETPLUGIN);
}

static void copy_version(const char *member, char *found) { // of `: "1.0.0"`; anything unlike a version is left alone
  member += strspn(member, " \t\r\n");
  if (*member++ != ':') return;
  member += strspn(member, " \t\r\n");
  if (*member++ != '"') return;
  size_t size = strspn(member, VERSION_CHARACTERS);
  if (size > 0 && size < sizeof version && member[size] == '"') memcpy(found, member, size), found[size] = 0;
}

// True when the text is one whole {...}, judged by its brackets. The outermost "cniVersion" goes to `found`, unless NULL.
static int scan_object(const char *json, size_t length, char *found) {
  size_t depth = 0, start = 0, objects = 0, in_string = 0;
  for (size_t i = 0; i < length; i++) {
    char c = json[i];
    if (in_string && c == '\\') i++;
    else if (in_string && c == '"') {
      in_string = 0;
      if (found && depth == 1 && i - start == 10 && memcmp(json + start, "cniVersion", 10) == 0) copy_version(json + i + 1, found);
    } else if (in_string) continue;
    else if (c == '{' || (c == '[' && depth > 0)) objects += depth++ == 0;
    else if (depth == 0 && !memchr(" \t\r\n", c, 4)) return 0;
    else if (c == '"') in_string = 1, start = i + 1;
    else if (c == '}' || c == ']') depth--;
  }
  return depth == 0 && objects == 1;
}

static int connect_daemon(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(socket_path) >= sizeof address.sun_path)
    fail(INVALID_ENVIRONMENT, "CONTIV_CNI_SOCKET", "longer than a socket path may be (107 bytes)", "use a shorter path");
  strcpy(address.sun_path, socket_path);
  for (int tries = 1;; tries++) { // for about 2 s: netplugin may be restarting
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if ((errno != ECONNREFUSED && errno != ENOENT && errno != EAGAIN) || tries == TRIES)
      fail(away, "cannot connect to netplugin", strerror(errno), SEE_NETPLUGIN);
    close(fd), nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
  }
}

int main(void) {
  const char *command = getenv("CNI_COMMAND"), *path = getenv("CONTIV_CNI_SOCKET");
  command = command ? command : "", away = strcmp(command, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN_LATER;
  socket_path = path && *path ? path : SOCKET_PATH;
  signal(SIGPIPE, SIG_IGN), signal(SIGALRM, too_late), alarm(DEADLINE_S);
  size_t env_size = 0, size = read_all(0, config, CONFIG_MAX + 1), is_version = strcmp(command, "VERSION") == 0;
  if (errno && !is_version) fail(IO_FAILURE, "cannot read the configuration from stdin", strerror(errno), "see the runtime's log");
  if (is_version) strcpy(version, "1.1.0"); // answers an empty stdin
  config[size] = 0, scan_object(config, size, version);
  if (size > CONFIG_MAX) fail(INVALID_CONFIG, "stdin", "the network configuration is larger than 1 MiB", "make it smaller");
  if (is_version) finish(text, (size_t)sprintf(text, "{\"cniVersion\":\"%s\",\"supportedVersions\":" VERSIONS "}\n", version), 0);
  for (char **e = environ; *e; e++) if (strncmp(*e, "CNI_", 4) == 0) env_size += strlen(*e) + 1;
  if (env_size > ENV_MAX) fail(INVALID_ENVIRONMENT, "CNI_* variables", "larger than 128 KiB", "shorten CNI_ARGS or CNI_PATH");
  int fd = connect_daemon(), sent = 0;
  for (char **e = environ; *e; e++) if (!sent && strncmp(*e, "CNI_", 4) == 0) sent = write_all(fd, *e, strlen(*e) + 1);
  if (sent == 0 && write_all(fd, "", 1) == 0) write_all(fd, config, size); // may be refused half-way: the answer decides
  shutdown(fd, SHUT_WR);
  size_t got = read_all(fd, answer, sizeof answer), is_empty = got == 1 && answer[0] == 0 && strcmp(command, "ADD") != 0;
  if (got == 0 || got > ANSWER_MAX || (!is_empty && !scan_object(answer + 1, got - 1, NULL)))
    fail(away, "the answer is not whole", errno ? strerror(errno) : "connection closed", SEE_NETPLUGIN);
  finish(answer + 1, got - 1, (unsigned char)answer[0]);
}
