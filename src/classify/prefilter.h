/*
 * prefilter.h
 *		Which of a kind's rules can match an evidence at all?
 *
 * Plain C without the backend, so that it also builds for fuzzing.
 */
#ifndef EIOT_PREFILTER_H
#define EIOT_PREFILTER_H

#include <stddef.h>
#include <stdint.h>

#include "literals.h"

typedef struct Prefilter Prefilter;

/* Memory comes from the caller, is zeroed, and is freed all at once. */
typedef void *(*PrefilterAllocate) (size_t size);

extern Prefilter *make_prefilter(const PatternLiterals *rules, int nrules,
								 PrefilterAllocate allocate);
extern int	prefilter_words(const Prefilter *prefilter);
extern bool prefilter_scan(Prefilter *prefilter, const unsigned char *evidence, size_t length,
						   uint64_t *candidates);

#endif							/* EIOT_PREFILTER_H */
