/*
 * literals.h
 *		What strings must an evidence contain for a pattern to match it?
 *
 * Plain C without the backend, so that it also builds for fuzzing.
 */
#ifndef EIOT_LITERALS_H
#define EIOT_LITERALS_H

#include <stdbool.h>

#define MAX_LITERAL			24	/* bytes kept of one; the beginning of a longer one */
#define MAX_REQUIRED		6
#define MAX_ALTERNATIVES	16

/* A literal in lower case (ASCII); evidence is compared in lower case as well. */
typedef struct Literal
{
	bool		at_start;		/* at the very start of the evidence */
	unsigned char length;
	unsigned char bytes[MAX_LITERAL];
} Literal;

typedef struct PatternLiterals
{
	/* All of these must occur ... */
	int			nrequired;
	Literal		required[MAX_REQUIRED];
	/* ... and, if there are any, at least one of these. */
	int			nalternatives;
	Literal		alternatives[MAX_ALTERNATIVES];
} PatternLiterals;

extern void find_literals(const char *pattern, int length, bool multiline,
						  PatternLiterals *result);

#endif							/* EIOT_LITERALS_H */
