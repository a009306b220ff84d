/*
 * pattern.c
 *		Patterns of fingerprints: PCRE2, within limits.
 *
 * Patterns come from people: match, depth and heap limits are always set, and
 * long searches look at interrupts and at the clock.
 */
#include "pattern.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(eiot_capture_count);

/*
 * Steps, recursion and memory of one match.  A pattern that explodes is stopped
 * after some 0.3 s: one of Recog's own takes over 60 million steps for its example.
 * Without JIT a step takes ten times as long.
 */
#define MATCH_LIMIT_JIT 100000000
#define MATCH_LIMIT 10000000
#define DEPTH_LIMIT 50000
#define HEAP_LIMIT_KIB 4096

/*
 * A search is cut into so many starting positions, to look at interrupts and at
 * the clock between them: what each position costs can grow with the evidence.
 */
#define SLICE 1024
#define MAX_SEARCH_MS 1000

#define JIT_STACK_MIN (32 * 1024)
#define JIT_STACK_MAX (1024 * 1024)

static pcre2_general_context *pcre_memory = NULL;
static pcre2_compile_context *compile_context = NULL;
static pcre2_match_context *match_context = NULL;
static pcre2_jit_stack *jit_stack = NULL;
static pcre2_match_data *match_data = NULL;

char *
to_utf8(const char *string, int length)
{
	return pg_server_to_any(string, length, PG_UTF8);
}

char *
from_utf8(const char *string, int length)
{
	return pg_any_to_server(string, length, PG_UTF8);
}

static void *
pcre_allocate(PCRE2_SIZE size, void *arg)
{
	(void) arg;
	return MemoryContextAllocExtended(TopMemoryContext, size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
}

static void
pcre_free(void *pointer, void *arg)
{
	(void) arg;
	if (pointer)
		pfree(pointer);
}

static void
start_pcre(void)
{
	uint32		has_jit = 0;

	if (jit_stack)
		return;
	if (!pcre_memory)
		pcre_memory = pcre2_general_context_create(pcre_allocate, pcre_free, NULL);
	if (pcre_memory && !compile_context)
		compile_context = pcre2_compile_context_create(pcre_memory);
	if (compile_context && !match_context)
		match_context = pcre2_match_context_create(pcre_memory);
	if (match_context && !match_data)
		match_data = pcre2_match_data_create(64, pcre_memory);
	if (match_data)
		jit_stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, pcre_memory);
	if (!jit_stack)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	(void) pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
	pcre2_set_match_limit(match_context, has_jit ? MATCH_LIMIT_JIT : MATCH_LIMIT);
	pcre2_set_depth_limit(match_context, DEPTH_LIMIT);
	pcre2_set_heap_limit(match_context, HEAP_LIMIT_KIB);
	pcre2_jit_stack_assign(match_context, NULL, jit_stack);
}

/* Recog's flags.  Its examples want lines to count under REG_MULTILINE alone. */
uint32
flags_to_options(ArrayType *flags)
{
	uint32		options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(flags, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *flag;

		if (nulls[i])
			continue;
		flag = TextDatumGetCString(elements[i]);
		if (strcmp(flag, "REG_ICASE") == 0)
			options |= PCRE2_CASELESS;
		else if (strcmp(flag, "REG_DOT_NEWLINE") == 0)
			options |= PCRE2_DOTALL;
		else if (strcmp(flag, "REG_MULTILINE") == 0)
			options |= PCRE2_DOTALL | PCRE2_MULTILINE;
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown flag of a fingerprint: \"%s\"", flag),
					 errhint("Known flags are REG_ICASE, REG_DOT_NEWLINE and REG_MULTILINE.")));
	}
	return options;
}

/* Room for the captures of a pattern; rules have few, so this is rarely called for. */
static void
make_room_for_captures(uint32 captures)
{
	pcre2_match_data *larger;

	if (captures < pcre2_get_ovector_count(match_data))
		return;
	larger = pcre2_match_data_create(captures + 1, pcre_memory);
	if (!larger)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	pcre2_match_data_free(match_data);
	match_data = larger;
}

/* Compiles, without JIT; NULL with the message in buffer. */
pcre2_code *
compile_pattern(const char *pattern, uint32 options, char *buffer, Size size)
{
	int			error;
	PCRE2_SIZE	offset;
	pcre2_code *code;

	start_pcre();
	code = pcre2_compile((PCRE2_SPTR) pattern, strlen(pattern), options, &error, &offset, compile_context);
	if (!code)
	{
		char		message[200];

		pcre2_get_error_message(error, (PCRE2_UCHAR *) message, sizeof(message));
		snprintf(buffer, size, "%s at character %zu", message, (size_t) offset + 1);
	}
	return code;
}

/* eiot.capture_count(pattern text, flags text[]): also the check that it compiles */
Datum
eiot_capture_count(PG_FUNCTION_ARGS)
{
	char	   *pattern = text_to_cstring(PG_GETARG_TEXT_PP(0));
	uint32		options = flags_to_options(PG_GETARG_ARRAYTYPE_P(1));
	char		message[256];
	uint32		count;
	pcre2_code *code = compile_pattern(to_utf8(pattern, strlen(pattern)), options,
									   message, sizeof(message));

	if (!code)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("pattern does not compile: %s", message),
				 errdetail("The pattern is %s", pattern)));
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &count);
	pcre2_code_free(code);
	PG_RETURN_INT32(count);
}

/* Makes what was compiled ready to search with; its memory in bytes. */
Size
prepare_pattern(pcre2_code *code, bool *anchored)
{
	size_t		size = 0;
	size_t		jit_size = 0;
	uint32		captures = 0;
	uint32		all_options = 0;

	pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &all_options);
	*anchored = (all_options & PCRE2_ANCHORED) != 0;
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &captures);
	make_room_for_captures(captures);
	/* Where the machine has no JIT the library interprets. */
	(void) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
	pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &jit_size);
	return size + jit_size;
}

/* pcre2_match() of a pattern that is prepared, slice by slice. */
int
search_pattern(const pcre2_code *code, bool anchored, const char *evidence, size_t length,
			   bool *too_long)
{
	size_t		start = 0;
	instr_time	began;

	*too_long = false;
	if (length <= SLICE || anchored)
	{
		pcre2_set_offset_limit(match_context, PCRE2_UNSET);
		return pcre2_match(code, (PCRE2_SPTR) evidence, length, 0, PCRE2_NO_UTF_CHECK,
						   match_data, match_context);
	}
	INSTR_TIME_SET_CURRENT(began);
	for (;;)
	{
		instr_time	now;
		size_t		next = start + SLICE;
		int			result;

		/* To the start of a character. */
		while (next < length && ((unsigned char) evidence[next] & 0xc0) == 0x80)
			next++;
		pcre2_set_offset_limit(match_context, next < length ? next - 1 : PCRE2_UNSET);
		result = pcre2_match(code, (PCRE2_SPTR) evidence, length, start, PCRE2_NO_UTF_CHECK,
							 match_data, match_context);
		if (result != PCRE2_ERROR_NOMATCH || next >= length)
			return result;
		start = next;
		CHECK_FOR_INTERRUPTS();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, began);
		if (INSTR_TIME_GET_MILLISEC(now) > MAX_SEARCH_MS)
		{
			*too_long = true;
			return PCRE2_ERROR_NOMATCH;
		}
	}
}

/* Where capture n of the last match lies in the evidence; false if unset. */
bool
get_capture(int n, const char *evidence, const char **start, int *length)
{
	PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(match_data);

	if (n >= (int) pcre2_get_ovector_count(match_data) || offsets[2 * n] == PCRE2_UNSET)
		return false;
	*start = evidence + offsets[2 * n];
	*length = offsets[2 * n + 1] - offsets[2 * n];
	return true;
}
