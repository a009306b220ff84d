/*
 * property.c
 *		The prefilter never excludes a match.
 *
 * An evidence that matches is then made smaller for as long as it still does:
 * what is left holds little that the match can do without, and so a literal
 * that is wrongly required is missing from it.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prefilter.h"
#include "property.h"

#define MATCH_LIMIT 20000
#define DEPTH_LIMIT 1000
#define HEAP_LIMIT_KIB 1024
#define MAX_SHRINK_TRIES 300
#define FINDING "finding.input"

/* has_folding_letters(), taken from src/classify/fingerprint.c by run.sh. */
#include "has_folding_letters.h"

typedef struct Bytes
{
	unsigned char *data;		/* allocated to the byte, so that reading on is noticed */
	size_t		length;
} Bytes;

typedef struct Pattern
{
	Bytes		text;
	PatternLiterals literals;
	pcre2_code *code;			/* NULL also where it has no literals to check */
} Pattern;

typedef struct Case
{
	unsigned	flags;
	int			npatterns;
	Pattern		patterns[MAX_PATTERNS];
	Prefilter  *prefilter;
	uint64_t   *candidates;
	uint64_t   *again;
} Case;

Counts		counts;

static pcre2_match_context *match_context;
static pcre2_match_data *match_data;

/* ---- memory of a prefilter */

static void *chunks[64];
static int	nchunks;

static void *
allocate(size_t size)
{
	if (nchunks == 64)
		abort();
	return chunks[nchunks++] = calloc(1, size);
}

static void
free_chunks(void)
{
	while (nchunks > 0)
		free(chunks[--nchunks]);
}

static Bytes
copy_bytes(const uint8_t *data, size_t length)
{
	Bytes		bytes = {malloc(length), length};

	if (length > 0)
		memcpy(bytes.data, data, length);
	return bytes;
}

/* ---- UTF-8, as PostgreSQL hands it over */

static int
sequence_length(const uint8_t *p, size_t left)
{
	uint32_t	value;
	int			length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 :
		p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (length == 0 || (size_t) length > left)
		return 0;
	value = length == 1 ? p[0] : p[0] & (0x7f >> length);
	for (int i = 1; i < length; i++)
	{
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (p[i] & 0x3f);
	}
	if ((length == 3 && (value < 0x800 || (value >= 0xd800 && value < 0xe000))) ||
		(length == 4 && (value < 0x10000 || value > 0x10ffff)))
		return 0;
	return length;
}

static bool
is_utf8(const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length;)
	{
		int			sequence = sequence_length(data + i, length - i);

		if (sequence == 0)
			return false;
		i += sequence;
	}
	return true;
}

/* Bytes that are no UTF-8 stand for the characters of their numbers. */
static Bytes
to_utf8(const uint8_t *data, size_t length)
{
	uint8_t    *wide;
	size_t		n = 0;
	Bytes		bytes;

	if (is_utf8(data, length))
		return copy_bytes(data, length);
	wide = malloc(2 * length);
	for (size_t i = 0; i < length; i++)
	{
		if (data[i] < 0x80)
			wide[n++] = data[i];
		else
		{
			wide[n++] = 0xc0 | data[i] >> 6;
			wide[n++] = 0x80 | (data[i] & 0x3f);
		}
	}
	bytes = copy_bytes(wide, n);
	free(wide);
	return bytes;
}

/* ---- what is wrong */

static void
print_bytes(const char *label, const unsigned char *data, size_t length)
{
	fprintf(stderr, "  %s: ", label);
	for (size_t i = 0; i < length; i++)
	{
		if (data[i] >= ' ' && data[i] < 0x7f)
			fputc(data[i], stderr);
		else
			fprintf(stderr, "<%02x>", data[i]);
	}
	fputc('\n', stderr);
}

static void
print_literals(const char *label, const Literal *literals, int count)
{
	for (int i = 0; i < count; i++)
		print_bytes(literals[i].at_start ? "at the start" : label, literals[i].bytes, literals[i].length);
}

/* With all patterns, unless this one alone shows it. */
static void
write_finding(const Case *input, const Pattern *only, const unsigned char *evidence, size_t length)
{
	FILE	   *file = fopen(FINDING, "wb");

	if (!file)
		return;
	fputc(input->flags, file);
	for (int i = 0; i < input->npatterns; i++)
	{
		if (only && only != &input->patterns[i])
			continue;
		fwrite(input->patterns[i].text.data, 1, input->patterns[i].text.length, file);
		fputc(SEPARATOR, file);
	}
	fwrite(evidence, 1, length, file);
	fclose(file);
}

static _Noreturn void
report(const Case *input, const Pattern *pattern, bool alone, const unsigned char *evidence, size_t length,
	   const char *what)
{
	fprintf(stderr, "FINDING: %s\n", what);
	fprintf(stderr, "  flags:%s%s%s\n", input->flags & FLAG_CASELESS ? " caseless" : "",
			input->flags & (FLAG_DOTALL | FLAG_MULTILINE) ? " dotall" : "",
			input->flags & FLAG_MULTILINE ? " multiline" : "");
	if (pattern)
	{
		print_bytes("pattern", pattern->text.data, pattern->text.length);
		print_literals("required", pattern->literals.required, pattern->literals.nrequired);
		print_literals("or", pattern->literals.alternatives, pattern->literals.nalternatives);
	}
	print_bytes("evidence", evidence, length);
	write_finding(input, alone ? pattern : NULL, evidence, length);
	abort();
}

/* ---- the property */

static uint32_t
options_of(unsigned flags)
{
	uint32_t	options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;

	if (flags & FLAG_CASELESS)
		options |= PCRE2_CASELESS;
	if (flags & (FLAG_DOTALL | FLAG_MULTILINE))
		options |= PCRE2_DOTALL;
	if (flags & FLAG_MULTILINE)
		options |= PCRE2_MULTILINE;
	return options;
}

static bool
matches(const Pattern *pattern, const unsigned char *evidence, size_t length)
{
	return pcre2_match(pattern->code, evidence, length, 0, 0, match_data, match_context) >= 0;
}

static unsigned char
lower(unsigned char byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

static bool
occurs(const Literal *literal, const unsigned char *evidence, size_t length)
{
	for (size_t start = 0; start + literal->length <= length; start++)
	{
		size_t		i = 0;

		while (i < literal->length && lower(evidence[start + i]) == literal->bytes[i])
			i++;
		if (i == literal->length)
			return true;
		if (literal->at_start)
			return false;
	}
	return false;
}

static bool
has_literals(const PatternLiterals *literals, const unsigned char *evidence, size_t length)
{
	bool		found = literals->nalternatives == 0;

	for (int i = 0; i < literals->nrequired; i++)
	{
		if (!occurs(&literals->required[i], evidence, length))
			return false;
	}
	for (int i = 0; i < literals->nalternatives && !found; i++)
		found = occurs(&literals->alternatives[i], evidence, length);
	return found;
}

static bool
is_candidate(const uint64_t *candidates, int number)
{
	return candidates[number / 64] >> (number % 64) & 1;
}

/* True if the evidence goes beyond ASCII. */
static bool
scan(Case *input, const unsigned char *evidence, size_t length)
{
	size_t		size = sizeof(uint64_t) * prefilter_words(input->prefilter);
	bool		beyond_ascii;

	memset(input->candidates, 0xaa, size);
	memset(input->again, 0x55, size);
	beyond_ascii = prefilter_scan(input->prefilter, evidence, length, input->candidates);
	if (prefilter_scan(input->prefilter, evidence, length, input->again) != beyond_ascii ||
		memcmp(input->candidates, input->again, size) != 0)
		report(input, NULL, false, evidence, length, "a second scan finds something else");
	return beyond_ascii;
}

/* The evidence matches this pattern: do the literals and the prefilter let it through? */
static void
check_match(Case *input, int number, const unsigned char *evidence, size_t length)
{
	const Pattern *pattern = &input->patterns[number];

	counts.matches++;
	if (scan(input, evidence, length) && has_folding_letters(evidence, length))
		return;
	if (!has_literals(&pattern->literals, evidence, length))
		report(input, pattern, true, evidence, length, "a match can do without these literals");
	if (!is_candidate(input->candidates, number))
		report(input, pattern, false, evidence, length, "the prefilter excludes a match");
}

/* A smaller or simpler evidence, if it still matches. */
static bool
try_evidence(Case *input, int number, Bytes *evidence, const unsigned char *smaller, size_t length)
{
	Bytes		bytes = copy_bytes(smaller, length);

	if (!matches(&input->patterns[number], bytes.data, length))
	{
		free(bytes.data);
		return false;
	}
	free(evidence->data);
	*evidence = bytes;
	check_match(input, number, bytes.data, length);
	return true;
}

static void
shrink(Case *input, int number, const Bytes *evidence)
{
	static const unsigned char simple[] = {'~', 'q', '7', 1};
	Bytes		left = copy_bytes(evidence->data, evidence->length);
	int			tries = 0;

	for (size_t chunk = left.length / 2; chunk > 0; chunk /= 2)
	{
		for (size_t at = 0; at + chunk <= left.length && tries < MAX_SHRINK_TRIES; tries++)
		{
			unsigned char *smaller = malloc(left.length);

			memcpy(smaller, left.data, at);
			memcpy(smaller + at, left.data + at + chunk, left.length - at - chunk);
			if (!try_evidence(input, number, &left, smaller, left.length - chunk))
				at += chunk;
			free(smaller);
		}
	}
	for (size_t at = 0; at < left.length && tries < MAX_SHRINK_TRIES; at++)
	{
		for (size_t i = 0; i < sizeof(simple); i++, tries++)
		{
			unsigned char before = left.data[at];

			left.data[at] = simple[i];
			if (before != simple[i] && matches(&input->patterns[number], left.data, left.length))
			{
				check_match(input, number, left.data, left.length);
				break;
			}
			left.data[at] = before;
		}
	}
	free(left.data);
}

static void
read_pattern(Case *input, Pattern *pattern, const uint8_t *data, size_t length)
{
	int			error;
	PCRE2_SIZE	offset;

	/* A pattern is a string of C. */
	length = length > 0 && memchr(data, 0, length) ? strnlen((const char *) data, length) : length;
	pattern->text = to_utf8(data, length);
	pattern->code = NULL;
	counts.patterns++;
	memset(&pattern->literals, 0xff, sizeof(pattern->literals));
	find_literals((const char *) pattern->text.data, pattern->text.length,
				  (input->flags & FLAG_MULTILINE) != 0, &pattern->literals);
	if (pattern->literals.nrequired == 0 && pattern->literals.nalternatives == 0)
		return;
	pattern->code = pcre2_compile(pattern->text.data, pattern->text.length, options_of(input->flags),
								  &error, &offset, NULL);
	if (pattern->code)
		counts.with_literals++;
}

static void
start(void)
{
	if (match_context)
		return;
	match_context = pcre2_match_context_create(NULL);
	match_data = pcre2_match_data_create(1, NULL);
	pcre2_set_match_limit(match_context, MATCH_LIMIT);
	pcre2_set_depth_limit(match_context, DEPTH_LIMIT);
	pcre2_set_heap_limit(match_context, HEAP_LIMIT_KIB);
}

void
check_input(const uint8_t *data, size_t size)
{
	static Case input;
	PatternLiterals *literals;
	Bytes		evidence;
	uint64_t   *candidates;

	if (size == 0)
		return;
	start();
	counts.inputs++;
	input.flags = *data++ & (FLAG_CASELESS | FLAG_DOTALL | FLAG_MULTILINE);
	size--;
	input.npatterns = 0;
	while (input.npatterns < MAX_PATTERNS)
	{
		const uint8_t *end = size > 0 ? memchr(data, SEPARATOR, size) : NULL;

		if (!end)
			break;
		read_pattern(&input, &input.patterns[input.npatterns++], data, end - data);
		size -= end + 1 - data;
		data = end + 1;
	}
	evidence = to_utf8(data, size);

	literals = malloc(sizeof(PatternLiterals) * input.npatterns);
	for (int i = 0; i < input.npatterns; i++)
		literals[i] = input.patterns[i].literals;
	input.prefilter = make_prefilter(literals, input.npatterns, allocate);
	free(literals);
	input.candidates = malloc(sizeof(uint64_t) * prefilter_words(input.prefilter));
	input.again = malloc(sizeof(uint64_t) * prefilter_words(input.prefilter));
	candidates = malloc(sizeof(uint64_t) * prefilter_words(input.prefilter));
	scan(&input, evidence.data, evidence.length);
	memcpy(candidates, input.candidates, sizeof(uint64_t) * prefilter_words(input.prefilter));

	for (int i = 0; i < input.npatterns; i++)
	{
		if (!input.patterns[i].code)
			continue;
		if (matches(&input.patterns[i], evidence.data, evidence.length))
		{
			check_match(&input, i, evidence.data, evidence.length);
			shrink(&input, i, &evidence);
		}
		else if (!is_candidate(candidates, i))
			counts.excluded++;
	}
	/* Other evidence in between leaves nothing behind. */
	scan(&input, evidence.data, evidence.length);
	if (memcmp(candidates, input.candidates, sizeof(uint64_t) * prefilter_words(input.prefilter)) != 0)
		report(&input, NULL, false, evidence.data, evidence.length, "a scan depends on those before it");

	for (int i = 0; i < input.npatterns; i++)
	{
		pcre2_code_free(input.patterns[i].code);
		free(input.patterns[i].text.data);
	}
	free(evidence.data);
	free(candidates);
	free(input.candidates);
	free(input.again);
	free_chunks();
}
