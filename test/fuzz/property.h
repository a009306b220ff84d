/*
 * property.h
 *		What must hold for any patterns and any evidence.
 */
#ifndef FUZZ_PROPERTY_H
#define FUZZ_PROPERTY_H

#include <stddef.h>
#include <stdint.h>

/*
 * An input is a byte of flags and then parts with SEPARATOR between them: the
 * last is the evidence, the others are patterns.
 */
#define SEPARATOR		0x1e
#define FLAG_CASELESS	1
#define FLAG_DOTALL		2
#define FLAG_MULTILINE	4		/* with FLAG_DOTALL, as REG_MULTILINE has it */
#define MAX_PATTERNS	128

typedef struct Counts
{
	uint64_t	inputs;
	uint64_t	patterns;
	uint64_t	with_literals;	/* patterns of which literals are known, and that compile */
	uint64_t	matches;		/* of these with an evidence, shrunken ones included */
	uint64_t	excluded;		/* non-matches that the prefilter spares */
} Counts;

extern Counts counts;

/* Returns if all is well; else prints what is wrong, writes an input that shows it, and aborts. */
extern void check_input(const uint8_t *data, size_t size);

#endif							/* FUZZ_PROPERTY_H */
