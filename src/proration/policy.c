/*
 * policy.c
 *		Text form of a proration policy.
 */
#include "policy.h"

#include <stdio.h>
#include <string.h>

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

#define DEFAULT_SCALE 2
#define DEFAULT_ZONE "UTC"

/* What each engine does, said in keys; docs/proration.md tells why. */
static const struct
{
	const char *name;
	const char *keys;
}			presets[] = {
	{"day", ""},
	{"second", "unit=second"},
	{"nce", "denominator=start_month,round=truncate"},
	{"azure", "unit=second"},
	{"stripe", "unit=second"},
	{"killbill", "factor=9"},
	{"killbill_30", "month=30,factor=9"},
	{"lago", "ends=inclusive"},
	{"meteroid", "empty_cycle=full"},
	{"openmeter", "unit=second,empty=full,empty_cycle=full"},
	{"oca_contract", "outside=count"},
	{"zuora_actual", "ends=inclusive"},
	{"zuora_30", "denominator=30,ends=inclusive"},
	{"zuora_30_360", "month=30,ends=inclusive"},
	{"appxite", ""},
	{"rhipe", "factor=9"},
	{"erpnext", "unit=month,denominator=1"},
	{"chargebee", "unit=second"},
};

static const char *const unit_words[] = {"day", "second", "month", "cycle", NULL};
static const char *const denominator_words[] = {"cycle", "start_month", NULL};
static const char *const round_words[] = {"half_up", "half_even", "truncate", "ceiling", NULL};
static const char *const at_words[] = {"line", "unit", "total", "rate", NULL};
static const char *const ends_words[] = {"half_open", "inclusive", NULL};
static const char *const outside_words[] = {"cut", "count", NULL};
static const char *const empty_words[] = {"zero", "full", "error", NULL};

/* In the order of the full form. */
typedef enum PolicyKey
{
	KEY_UNIT,
	KEY_DENOMINATOR,
	KEY_ROUND,
	KEY_SCALE,
	KEY_AT,
	KEY_FACTOR,
	KEY_MONTH,
	KEY_ENDS,
	KEY_TZ,
	KEY_OUTSIDE,
	KEY_EMPTY,
	KEY_EMPTY_CYCLE
} PolicyKey;

static const struct
{
	const char *name;
	const char *expected;
}			keys[] = {
	[KEY_UNIT] = {"unit", "day, second, month or cycle"},
	[KEY_DENOMINATOR] = {"denominator", "cycle, start_month or a number from 1 to 1000000000"},
	[KEY_ROUND] = {"round", "half_up, half_even, truncate or ceiling"},
	[KEY_SCALE] = {"scale", "a number of decimals from 0 to 1000"},
	[KEY_AT] = {"at", "line, unit, total or rate:N with N from 0 to 1000 decimals"},
	[KEY_FACTOR] = {"factor", "exact or a number of decimals from 0 to 1000"},
	[KEY_MONTH] = {"month", "actual or a number of days from 28 to 31"},
	[KEY_ENDS] = {"ends", "half_open or inclusive"},
	[KEY_TZ] = {"tz", "the name of a time zone"},
	[KEY_OUTSIDE] = {"outside", "cut or count"},
	[KEY_EMPTY] = {"empty", "zero, full or error"},
	[KEY_EMPTY_CYCLE] = {"empty_cycle", "zero, full or error"},
};

typedef struct Word
{
	const char *start;
	int			length;
} Word;

/* The nth name, for messages; NULL past the last. */
const char *
policy_preset(int n)
{
	return n < (int) lengthof(presets) ? presets[n].name : NULL;
}

const char *
policy_key(int n)
{
	return n < (int) lengthof(keys) ? keys[n].name : NULL;
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static Word
trimmed(const char *start, const char *end)
{
	Word		word;

	while (start < end && is_blank(*start))
		start++;
	while (end > start && is_blank(end[-1]))
		end--;
	word.start = start;
	word.length = (int) (end - start);
	return word;
}

/* Is it this one?  Case of ASCII letters does not matter. */
static bool
word_is(Word word, const char *name)
{
	for (int i = 0; i < word.length; i++)
	{
		char		c = word.start[i];

		if (c >= 'A' && c <= 'Z')
			c = (char) (c - 'A' + 'a');
		if (c != name[i] || name[i] == '\0')
			return false;
	}
	return name[word.length] == '\0';
}

/* Where it stands in the list, or -1. */
static int
find_word(Word word, const char *const *words)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (word_is(word, words[i]))
			return i;
	}
	return -1;
}

/* Digits alone.  A number too large comes out as one past the largest. */
static bool
read_number(Word word, int64_t largest, int64_t *number)
{
	if (word.length == 0)
		return false;
	*number = 0;
	for (int i = 0; i < word.length; i++)
	{
		if (word.start[i] < '0' || word.start[i] > '9')
			return false;
		if (*number <= largest)
			*number = *number * 10 + (word.start[i] - '0');
	}
	if (*number > largest)
		*number = largest + 1;
	return true;
}

static bool
set_word(Word value, const char *const *words, uint8_t *field, PolicyFault *fault)
{
	int			found = find_word(value, words);

	*fault = POLICY_UNKNOWN_VALUE;
	if (found >= 0)
		*field = (uint8_t) found;
	return found >= 0;
}

static bool
set_number(Word value, int64_t least, int64_t largest, int64_t *number, PolicyFault *fault)
{
	*fault = POLICY_UNKNOWN_VALUE;
	if (!read_number(value, largest, number))
		return false;
	*fault = POLICY_OUT_OF_RANGE;
	return *number >= least && *number <= largest;
}

static bool
set_scale(Word value, uint16_t *scale, PolicyFault *fault)
{
	int64_t		number;

	if (!set_number(value, 0, POLICY_MAX_SCALE, &number, fault))
		return false;
	*scale = (uint16_t) number;
	return true;
}

static bool
set_key(ProrationPolicy *policy, PolicyKey key, Word value, PolicyFault *fault)
{
	int64_t		number;

	switch (key)
	{
		case KEY_UNIT:
			return set_word(value, unit_words, &policy->unit, fault);

		case KEY_DENOMINATOR:
			policy->number = 0;
			if (set_word(value, denominator_words, &policy->denominator, fault))
				return true;
			if (!set_number(value, 1, POLICY_MAX_NUMBER, &number, fault))
				return false;
			policy->denominator = DENOMINATOR_NUMBER;
			policy->number = (int32_t) number;
			return true;

		case KEY_ROUND:
			return set_word(value, round_words, &policy->round, fault);

		case KEY_SCALE:
			return set_scale(value, &policy->scale, fault);

		case KEY_AT:
			policy->rate_scale = 0;
			for (int i = 0; i < value.length; i++)
			{
				if (value.start[i] == ':')
				{
					if (!set_scale(trimmed(value.start + i + 1, value.start + value.length),
								   &policy->rate_scale, fault))
						return false;
					policy->at = AT_RATE;
					*fault = POLICY_UNKNOWN_VALUE;
					return word_is(trimmed(value.start, value.start + i), "rate");
				}
			}
			/* A rate without its decimals is no value. */
			return set_word(value, at_words, &policy->at, fault) && policy->at != AT_RATE;

		case KEY_FACTOR:
			policy->factor_scale = POLICY_EXACT;
			return word_is(value, "exact") || set_scale(value, &policy->factor_scale, fault);

		case KEY_MONTH:
			policy->month_days = 0;
			if (word_is(value, "actual"))
				return true;
			if (!set_number(value, 28, 31, &number, fault))
				return false;
			policy->month_days = (uint8_t) number;
			return true;

		case KEY_ENDS:
			return set_word(value, ends_words, &policy->ends, fault);

		case KEY_TZ:
			*fault = POLICY_UNKNOWN_VALUE;
			if (value.length >= POLICY_ZONE_SIZE)
				return false;
			memset(policy->zone, 0, POLICY_ZONE_SIZE);
			memcpy(policy->zone, value.start, (size_t) value.length);
			return true;

		case KEY_OUTSIDE:
			return set_word(value, outside_words, &policy->outside, fault);

		case KEY_EMPTY:
			return set_word(value, empty_words, &policy->empty, fault);

		case KEY_EMPTY_CYCLE:
			return set_word(value, empty_words, &policy->empty_cycle, fault);
	}
	return false;
}

static bool
problem_of(PolicyProblem *problem, PolicyFault fault, Word key, Word value, const char *expected)
{
	problem->fault = fault;
	problem->key = key.start;
	problem->key_length = key.length;
	problem->value = value.start;
	problem->value_length = value.length;
	problem->expected = expected;
	return false;
}

static bool
set_keys(ProrationPolicy *policy, const char *text, PolicyProblem *problem)
{
	unsigned int seen = 0;

	for (const char *item = text;; item++)
	{
		const char *end = item + strcspn(item, ",");
		const char *equals = memchr(item, '=', (size_t) (end - item));
		Word		key = trimmed(item, equals ? equals : end);
		Word		value = trimmed(equals ? equals + 1 : end, end);
		int			k = 0;
		PolicyFault fault;

		while (k < (int) lengthof(keys) && !word_is(key, keys[k].name))
			k++;
		if (k == (int) lengthof(keys))
			return problem_of(problem, POLICY_UNKNOWN_KEY, key, value, NULL);
		if (value.length == 0)
			return problem_of(problem, POLICY_MISSING_VALUE, key, value, keys[k].expected);
		if (seen & (1u << k))
			return problem_of(problem, POLICY_REPEATED_KEY, key, value, NULL);
		seen |= 1u << k;
		if (!set_key(policy, (PolicyKey) k, value, &fault))
			return problem_of(problem, fault, key, value, keys[k].expected);

		if (*end == '\0')
			return true;
		item = end;
	}
}

/*
 * Reads a preset's name, keys with values, or a name and then keys.  False, and
 * what is wrong, for anything else.  Whether the time zone exists is for the
 * caller to find out.
 */
bool
parse_policy(const char *text, ProrationPolicy *policy, PolicyProblem *problem)
{
	const char *end = text + strcspn(text, ",");
	Word		first = trimmed(text, end);

	memset(policy, 0, sizeof(*policy));
	policy->factor_scale = POLICY_EXACT;
	policy->scale = DEFAULT_SCALE;
	policy->empty_cycle = EMPTY_ERROR;
	strcpy(policy->zone, DEFAULT_ZONE);

	if (first.length == 0 && *end == '\0')
		return problem_of(problem, POLICY_EMPTY_TEXT, first, first, NULL);
	if (memchr(text, '=', (size_t) (end - text)) == NULL)
	{
		size_t		p = 0;

		while (p < lengthof(presets) && !word_is(first, presets[p].name))
			p++;
		if (p == lengthof(presets))
			return problem_of(problem, POLICY_UNKNOWN_PRESET, first, first, NULL);
		if (presets[p].keys[0] != '\0' && !set_keys(policy, presets[p].keys, problem))
			return false;
		if (*end == ',' && !set_keys(policy, end + 1, problem))
			return false;
	}
	else if (!set_keys(policy, text, problem))
		return false;

	if (policy->at == AT_RATE && policy->factor_scale != POLICY_EXACT)
		return problem_of(problem, POLICY_CONFLICT, first, first,
						  "at=rate:N rounds the price of a unit of time, factor=N the share of the cycle: one of them is to be rounded.");
	if (policy->unit == UNIT_MONTH && policy->denominator == DENOMINATOR_START_MONTH)
		return problem_of(problem, POLICY_CONFLICT, first, first,
						  "denominator=start_month is a number of days, unit=month counts months.");
	if (policy->unit == UNIT_SECOND && policy->month_days != 0)
		return problem_of(problem, POLICY_CONFLICT, first, first,
						  "unit=second measures the time that passes, month=N counts days that months do not have.");
	return true;
}

/* The full form: five keys always, the others where they say something. */
void
print_policy(const ProrationPolicy *policy, char text[POLICY_TEXT_SIZE])
{
	char	   *p = text;
	char	   *end = text + POLICY_TEXT_SIZE;

	p += snprintf(p, (size_t) (end - p), "unit=%s,denominator=", unit_words[policy->unit]);
	if (policy->denominator == DENOMINATOR_NUMBER)
		p += snprintf(p, (size_t) (end - p), "%d", policy->number);
	else
		p += snprintf(p, (size_t) (end - p), "%s", denominator_words[policy->denominator]);
	p += snprintf(p, (size_t) (end - p), ",round=%s,scale=%d,at=%s", round_words[policy->round],
				  policy->scale, at_words[policy->at]);
	if (policy->at == AT_RATE)
		p += snprintf(p, (size_t) (end - p), ":%d", policy->rate_scale);
	if (policy->factor_scale != POLICY_EXACT)
		p += snprintf(p, (size_t) (end - p), ",factor=%d", policy->factor_scale);
	if (policy->month_days != 0)
		p += snprintf(p, (size_t) (end - p), ",month=%d", policy->month_days);
	if (policy->ends != ENDS_HALF_OPEN)
		p += snprintf(p, (size_t) (end - p), ",ends=%s", ends_words[policy->ends]);
	if (strcmp(policy->zone, DEFAULT_ZONE) != 0)
		p += snprintf(p, (size_t) (end - p), ",tz=%s", policy->zone);
	if (policy->outside != OUTSIDE_CUT)
		p += snprintf(p, (size_t) (end - p), ",outside=%s", outside_words[policy->outside]);
	if (policy->empty != EMPTY_ZERO)
		p += snprintf(p, (size_t) (end - p), ",empty=%s", empty_words[policy->empty]);
	if (policy->empty_cycle != EMPTY_ERROR)
		snprintf(p, (size_t) (end - p), ",empty_cycle=%s", empty_words[policy->empty_cycle]);
}
