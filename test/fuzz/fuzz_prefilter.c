/*
 * fuzz_prefilter.c
 *		Inputs by libFuzzer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "property.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern int	LLVMFuzzerInitialize(int *argc, char ***argv);

static void
print_counts(void)
{
	fprintf(stderr, "libFuzzer: %llu inputs, %llu patterns, %llu with literals, %llu matches checked, %llu tries spared\n",
			(unsigned long long) counts.inputs, (unsigned long long) counts.patterns,
			(unsigned long long) counts.with_literals, (unsigned long long) counts.matches,
			(unsigned long long) counts.excluded);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	return atexit(print_counts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_input(data, size);
	return 0;
}
