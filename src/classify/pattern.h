/*
 * pattern.h
 *		Patterns of fingerprints: PCRE2, within limits.
 */
#ifndef EIOT_PATTERN_H
#define EIOT_PATTERN_H

#include "eiot.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "utils/array.h"

/* Patterns and evidence are UTF-8, whatever the server's encoding. */
extern char *to_utf8(const char *string, int length);
extern char *from_utf8(const char *string, int length);

extern uint32 flags_to_options(ArrayType *flags);
extern pcre2_code *compile_pattern(const char *pattern, uint32 options, char *buffer, Size size);
extern Size prepare_pattern(pcre2_code *code, bool *anchored);
extern int	search_pattern(const pcre2_code *code, bool anchored, const char *evidence, size_t length,
						   bool *too_long);
extern bool get_capture(int n, const char *evidence, const char **start, int *length);

#endif							/* EIOT_PATTERN_H */
