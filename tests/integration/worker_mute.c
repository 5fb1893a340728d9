/* SPDX-License-Identifier: MIT */
/* A program that stands where xenblkd-worker should, and says nothing. */
#include <unistd.h>

int main(void)
{
	pause();
	return 0;
}
