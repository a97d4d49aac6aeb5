/*
 * Runs plugin calls as a container runtime does and measures each from before exec to after exit.
 *
 * usage: spawn-timer CONCURRENCY < jobs > results
 *
 * A job is a list of lines; nothing in it is interpreted but the first word:
 *   job NAME
 *   env NAME=VALUE        one more variable for the job's programs
 *   prev FILE             what "@PREV@" stands for in the first step (default: nothing)
 *   step PROGRAM STDIN    a program, and its standard input as one line; "@PREV@" becomes the standard output of the step before
 *   save FILE             where the last step's standard output goes, outside of the measured time
 *   end
 * Steps of a job run one after the other, jobs CONCURRENCY at a time; all workers start together. A result is one line:
 *   NAME <start, ns> <end, ns> <exit status>
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ENV_MAX = 16, STEPS_MAX = 4 };

struct step {
	char *program, *input;
};

struct job {
	char *name, *prev, *save, *output;
	char *env[ENV_MAX + 1];
	struct step steps[STEPS_MAX];
	int envs, steps_used, status;
	long long start_ns, end_ns;
};

static struct job *jobs;
static int jobs_used, next_job;
static pthread_barrier_t starting_line;

static void die(const char *what)
{
	fprintf(stderr, "spawn-timer: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *must(void *pointer)
{
	if (!pointer)
		die("out of memory");
	return pointer;
}

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static char *read_all(int fd)
{
	size_t used = 0, size = 8192;
	char *text = must(malloc(size));
	for (;;) {
		ssize_t got = read(fd, text + used, size - used - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			die("read");
		if (got == 0)
			break;
		used += got;
		if (size - used < 4096)
			text = must(realloc(text, size *= 2));
	}
	text[used] = 0;
	return text;
}

static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	char *text = read_all(fd);
	close(fd);
	return text;
}

/* The input with "@PREV@" replaced. */
static char *expand(const char *input, const char *prev)
{
	const char *mark = strstr(input, "@PREV@");
	if (!mark)
		return must(strdup(input));
	char *text = must(malloc(strlen(input) + strlen(prev) + 1));
	sprintf(text, "%.*s%s%s", (int)(mark - input), input, prev, mark + strlen("@PREV@"));
	return text;
}

static int run_step(struct job *job, struct step *step, const char *prev)
{
	int in[2], out[2], status;
	pid_t pid;
	posix_spawn_file_actions_t actions;
	char *argv[] = {step->program, NULL};
	char *input = expand(step->input, prev);
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		die("pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	if ((errno = posix_spawn(&pid, step->program, &actions, NULL, argv, job->env)))
		die(step->program);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	if (write(in[1], input, strlen(input)) < 0 && errno != EPIPE)
		die("write");
	close(in[1]);
	free(job->output);
	job->output = read_all(out[0]);
	close(out[0]);
	free(input);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_job(struct job *job)
{
	char *prev = job->prev ? read_file(job->prev) : must(strdup(""));
	job->start_ns = now_ns();
	for (int i = 0; i < job->steps_used && job->status == 0; i++) {
		job->status = run_step(job, &job->steps[i], prev);
		if (i + 1 < job->steps_used && *job->output) {
			free(prev);
			prev = must(strdup(job->output));
		}
	}
	job->end_ns = now_ns();
	free(prev);
	if (job->status)
		fprintf(stderr, "%s: exit status %d: %s\n", job->name, job->status, job->output);
	if (job->save && job->status == 0) {
		int fd = open(job->save, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, job->output, strlen(job->output)) < 0)
			die(job->save);
		close(fd);
	}
}

static void *work(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&starting_line);
	for (;;) {
		int mine = __atomic_fetch_add(&next_job, 1, __ATOMIC_RELAXED);
		if (mine >= jobs_used)
			return NULL;
		run_job(&jobs[mine]);
	}
}

static void parse_line(char *line)
{
	char *rest = strchr(line, ' ');
	struct job *job = jobs_used ? &jobs[jobs_used - 1] : NULL;
	if (rest)
		*rest++ = 0;
	if (!strcmp(line, "job")) {
		jobs = must(realloc(jobs, ++jobs_used * sizeof *jobs));
		job = &jobs[jobs_used - 1];
		memset(job, 0, sizeof *job);
		job->name = must(strdup(rest));
	} else if (!strcmp(line, "env") && job && job->envs < ENV_MAX) {
		job->env[job->envs++] = must(strdup(rest));
	} else if (!strcmp(line, "prev") && job) {
		job->prev = must(strdup(rest));
	} else if (!strcmp(line, "save") && job) {
		job->save = must(strdup(rest));
	} else if (!strcmp(line, "step") && job && job->steps_used < STEPS_MAX) {
		char *input = strchr(rest, ' ');
		*input++ = 0;
		job->steps[job->steps_used].program = must(strdup(rest));
		job->steps[job->steps_used++].input = must(strdup(input));
	} else if (strcmp(line, "end")) {
		errno = EINVAL;
		die(line);
	}
}

int main(int argc, char **argv)
{
	int concurrency = argc == 2 ? atoi(argv[1]) : 0;
	if (concurrency < 1 || concurrency > 256) {
		fprintf(stderr, "usage: spawn-timer CONCURRENCY < jobs\n");
		return 2;
	}
	char *line = NULL;
	size_t size = 0;
	for (ssize_t length; (length = getline(&line, &size, stdin)) > 0;) {
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		parse_line(line);
	}
	pthread_t *threads = must(calloc(concurrency, sizeof *threads));
	pthread_barrier_init(&starting_line, NULL, concurrency);
	for (int i = 0; i < concurrency; i++)
		if ((errno = pthread_create(&threads[i], NULL, work, NULL)))
			die("pthread_create");
	for (int i = 0; i < concurrency; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < jobs_used; i++)
		printf("%s %lld %lld %d\n", jobs[i].name, jobs[i].start_ns, jobs[i].end_ns, jobs[i].status);
	return 0;
}
