/* A static musl program: threads, malloc, stdio, pipes, a child, time and the network. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10000; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void network(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	char buf[10] = "";
	int l = socket(AF_INET, SOCK_STREAM, 0), c, s;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(l, (struct sockaddr *)&a, len) || listen(l, 1))
		perror("listen");
	getsockname(l, (struct sockaddr *)&a, &len);
	c = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(c, (struct sockaddr *)&a, len))
		perror("connect");
	s = accept(l, NULL, NULL);
	write(c, "hello", 5);
	read(s, buf, 5);
	printf("network %s\n", buf);
}

int main(int argc, char **argv)
{
	pthread_t t[4];
	int p[2], st;
	char buf[64] = "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("args %d %s\n", argc, argc > 1 ? argv[1] : "-");
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, count, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	printf("counter %d\n", counter);
	char *big = malloc(10000000);
	memset(big, 1, 10000000);
	big = realloc(big, 20000000);
	printf("malloc %d\n", big[9999999]);
	free(big);
	pipe(p);
	fflush(stdout);
	if (fork() == 0) {
		dprintf(p[1], "from the child");
		_exit(5);
	}
	close(p[1]);
	read(p[0], buf, sizeof(buf) - 1);
	wait(&st);
	printf("%s %d\n", buf, WEXITSTATUS(st));
	network();
	time_t now = time(NULL);
	printf("time %d\n", now > 1700000000);
	FILE *f = popen("echo popen", "r");
	fgets(buf, sizeof(buf), f);
	printf("%s", buf);
	pclose(f);
	return 9;
}
