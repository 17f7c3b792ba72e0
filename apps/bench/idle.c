/* Sleeps for ever: what an idle instance costs is measured with it. */
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}
