/* The smallest program: start-up time and memory of an idle instance are measured with it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "sleep"))
		for (;;)
			pause();
	puts("hello");
	return 0;
}
