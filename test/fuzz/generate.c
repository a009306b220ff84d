/*
 * generate.c
 *		Inputs by a grammar: patterns, and evidence that they are meant to match.
 *
 *	generate SECONDS SEED			checks inputs for so long
 *	generate --case SEED NUMBER		checks that one
 *	generate --write FOLDER COUNT SEED	writes inputs for libFuzzer to start with
 *
 * The same seed and number give the same input.  Some patterns are mere soup of
 * tokens, as the grammar knows only what its author did.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "property.h"

#define MAX_SIDE 4096			/* bytes of a pattern, and of evidence */
#define MAX_DEPTH 5
#define CRASH "finding.input"

extern void __sanitizer_set_death_callback(void (*callback) (void));

typedef struct Buffer
{
	unsigned char bytes[MAX_SIDE];
	size_t		length;
} Buffer;

/* A piece of a pattern, and what it matches; lengths are given for the bytes 0. */
typedef struct Token
{
	const char *pattern;
	const char *sample;
	int			sample_length;
} Token;

#define TOKEN(pattern, sample) {pattern, sample, sizeof(sample) - 1}
#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

static const Token words[] = {
	TOKEN("abcd", "abcd"), TOKEN("Server", "Server"), TOKEN("ssh-", "ssh-"), TOKEN("kkkk", "kkkk"),
	TOKEN("aaaa", "aaaa"), TOKEN("abab", "abab"), TOKEN("HTTP/1", "HTTP/1"), TOKEN(" ", " "),
	TOKEN("abcdefghijklmnopqrstuvwxyz0123", "abcdefghijklmnopqrstuvwxyz0123"),
	TOKEN("abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"), TOKEN("-", "-"), TOKEN("/", "/"),
	TOKEN("a", "a"), TOKEN("b", "b"), TOKEN("Z", "Z"), TOKEN("k", "k"), TOKEN("s", "s"), TOKEN("0", "0"),
	TOKEN("]", "]"), TOKEN("}", "}"), TOKEN("{", "{"), TOKEN("{}", "{}"), TOKEN("{a}", "{a}"),
	TOKEN("{1,2,3}", "{1,2,3}"), TOKEN(",", ","), TOKEN(":", ":"), TOKEN("#", "#"), TOKEN("\n", "\n"),
	TOKEN("\xc3\xa9", "\xc3\x89"), TOKEN("\xc5\xbf", "S"), TOKEN("\xe2\x84\xaa", "k"), TOKEN("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"),
	TOKEN("\\.", "."), TOKEN("\\(", "("), TOKEN("\\)", ")"), TOKEN("\\[", "["), TOKEN("\\]", "]"),
	TOKEN("\\\\", "\\"), TOKEN("\\/", "/"), TOKEN("\\-", "-"), TOKEN("\\ ", " "), TOKEN("\\_", "_"),
	TOKEN("\\{", "{"), TOKEN("\\}", "}"), TOKEN("\\|", "|"), TOKEN("\\*", "*"), TOKEN("\\#", "#"),
	TOKEN("\\x41", "A"), TOKEN("\\x7a", "z"), TOKEN("\\x00", "\0"), TOKEN("\\xe9", "\xc3\xa9"), TOKEN("\\x2E", "."),
	TOKEN("\\n", "\n"), TOKEN("\\t", "\t"), TOKEN("\\r", "\r"), TOKEN("\\f", "\f"),
};

static const Token sets[] = {
	TOKEN(".", "x"), TOKEN("\\d", "7"), TOKEN("\\D", "x"), TOKEN("\\w", "w"), TOKEN("\\W", "-"), TOKEN("\\s", " "),
	TOKEN("\\S", "y"), TOKEN("\\h", " "), TOKEN("\\H", "h"), TOKEN("\\v", "\n"), TOKEN("\\V", "v"),
	TOKEN("\\R", "\r\n"), TOKEN("\\X", "e\xcc\x81"), TOKEN("[abc]", "b"), TOKEN("[^abc]", "d"), TOKEN("[]abc]", "a"),
	TOKEN("[^]abc]", "d"), TOKEN("[a\\]bcd]", "b"), TOKEN("[\\\\]", "\\"), TOKEN("[a-z]", "q"), TOKEN("[-a]", "-"),
	TOKEN("[[:alpha:]]", "a"), TOKEN("[[:^digit:]x]", "a"), TOKEN("[_[:digit:]abcd]", "c"), TOKEN("[[a]", "["),
	TOKEN("[[:a]", "a"), TOKEN("[:a]", ":"), TOKEN("[[:alpha]", "h"), TOKEN("[[:]", ":"), TOKEN("[a[:]", "["),
	TOKEN("[\\d-z]", "-"), TOKEN("[\\x41-\\x5a]", "B"), TOKEN("[\\x5d]", "]"), TOKEN("[\\x{5d}a]", "a"),
	TOKEN("[\\cA]", "\1"), TOKEN("[\\c]abcd]", "a"), TOKEN("[\\c\\]", "\x1c"), TOKEN("[\\c[abcd]", "b"),
	TOKEN("[\\Qa]b\\E]", "]"), TOKEN("[\\Ea]", "a"), TOKEN("[a\\E]", "a"), TOKEN("[\\N{U+5D}]", "]"),
	TOKEN("[\\p{L}]", "l"), TOKEN("[^\\P{L}]", "l"), TOKEN("[\\135]", "]"), TOKEN("[\\o{135}]", "]"), TOKEN("[\\b]", "\b"),
	TOKEN("[\xc3\xa9-\xc3\xbf]", "\xc3\xa9"), TOKEN("[s]", "\xc5\xbf"), TOKEN("[#]", "#"), TOKEN("[(]", "("), TOKEN("[)]", ")"),
	TOKEN("[|]", "|"), TOKEN("[\\^]", "^"), TOKEN("[^^]", "a"), TOKEN("[\n]", "\n"), TOKEN("[[.a.]]", "a"), TOKEN("[[=a=]]", "a"),
	TOKEN("[a-\\d]", "-"), TOKEN("[[-]", "["), TOKEN("[]-a]", "^"), TOKEN("[[:alpha:]-z]", "-"),
};

/* Without width, or rarer: the reader gives up on most. */
static const Token odd[] = {
	TOKEN("^", ""), TOKEN("^", ""), TOKEN("$", ""), TOKEN("\\b", ""), TOKEN("\\B", ""), TOKEN("\\A", ""), TOKEN("\\G", ""),
	TOKEN("\\z", ""), TOKEN("\\Z", ""), TOKEN("(?i)", ""), TOKEN("(?-i)", ""), TOKEN("(?m)", ""), TOKEN("(?s)", ""),
	TOKEN("(?-s)", ""), TOKEN("(?im-s)", ""), TOKEN("(?)", ""), TOKEN("(?-)", ""), TOKEN("[[:<:]]", ""), TOKEN("[[:>:]]", ""),
	TOKEN("(?=)", ""), TOKEN("(?!zzzz)", ""), TOKEN("(?<!zzzz)", ""), TOKEN("()", ""), TOKEN("(?:)", ""), TOKEN("(|abcd)", ""),
	TOKEN("\\1", ""), TOKEN("\\2", ""), TOKEN("\\10", "\b"), TOKEN("\\101", "A"), TOKEN("\\1012", "A2"), TOKEN("\\11", "\t"),
	TOKEN("(?x)", ""), TOKEN("(?xx)", ""), TOKEN("(?^)", ""), TOKEN("(?n)", ""), TOKEN("(?J)", ""), TOKEN("(?U)", ""),
	TOKEN("(?aD)", ""), TOKEN("(?r)", ""), TOKEN("(?#abcd)", ""), TOKEN("(?#a\\)", ""), TOKEN("\\K", ""), TOKEN("\\Qa.b*\\E", "a.b*"),
	TOKEN("\\Q", ""), TOKEN("\\E", ""), TOKEN("\\N", "n"), TOKEN("\\N{U+41}", "A"), TOKEN("\\pL", "l"), TOKEN("\\p{Lu}", "L"),
	TOKEN("\\P{L}", "1"), TOKEN("\\x{41}", "A"), TOKEN("\\x{17f}", "s"), TOKEN("\\x4", "\4"), TOKEN("\\x", "\0"), TOKEN("\\xg", "\0g"),
	TOKEN("\\0", "\0"), TOKEN("\\012", "\n"), TOKEN("\\o{101}", "A"), TOKEN("\\cA", "\1"), TOKEN("\\c(", "h"), TOKEN("\\c\\", "\x1c"),
	TOKEN("\\e", "\x1b"), TOKEN("\\a", "\a"), TOKEN("\\g1", ""), TOKEN("\\g{-1}", ""), TOKEN("\\g<1>", ""), TOKEN("\\k<n>", ""),
	TOKEN("(?P=n)", ""), TOKEN("(?P>n)", ""), TOKEN("(?&n)", ""), TOKEN("(?1)", ""), TOKEN("(?-1)", ""), TOKEN("(?R)?", ""),
	TOKEN("(?(1)abcd|b)", "b"), TOKEN("(?(?=a)abcd|b)", "b"), TOKEN("(?(DEFINE)(?<d>abcd))", ""), TOKEN("(?(R)abcd|b)", "b"),
	TOKEN("(*ACCEPT)", ""), TOKEN("(*COMMIT)", ""), TOKEN("(*F)", ""), TOKEN("(*pla:a)", ""), TOKEN("(*sr:abcd)", "abcd"),
	TOKEN("(*UCP)", ""), TOKEN("(*CRLF)", ""), TOKEN("(?C)", ""), TOKEN("(?C9)", ""), TOKEN("(?|abcd|b)", "b"),
	TOKEN("(?*abcd)", ""), TOKEN("(?<*a|c>defg)", "a"), TOKEN("(?<=a|bcde)", "a"), TOKEN("\\C", "c"), TOKEN("\\L", ""), TOKEN("\\u", ""),
	TOKEN("(?|", ""), TOKEN("(?:", ""), TOKEN("(", ""), TOKEN(")", ""), TOKEN("|", ""), TOKEN("[", "["), TOKEN("\\", "\\"), TOKEN("?", ""),
};

static const char *const groups[] = {
	"(", "(", "(?:", "(?:", "(?:", "(?>", "(?i:", "(?s:", "(?m:", "(?-i:", "(?i-sm:", "(?x:", "(?^:", "(?|",
	"(?<n%d>", "(?P<n%d>", "(?'n%d'", "(?-:", "(*atomic:", "(?n:",
};

static const struct
{
	const char *pattern;
	int			least;
	int			most;
}			quantifiers[] = {
	{"*", 0, 3}, {"+", 1, 3}, {"?", 0, 1}, {"{0}", 0, 0}, {"{1}", 1, 1}, {"{2}", 2, 2}, {"{0,1}", 0, 1}, {"{1,2}", 1, 2},
	{"{2,}", 2, 4}, {"{0,}", 0, 2}, {"{00}", 0, 0}, {"{01,2}", 1, 2}, {"{010}", 10, 10}, {"{000000,1}", 0, 1}, {"{,2}", 0, 2}, {"{ 1}", 1, 1},
	{"{0 }", 0, 0}, {"{\t0,1}", 0, 1}, {"{0,\t1}", 0, 1}, {"{0\t,1}", 0, 1}, {"{0,1\t}", 0, 1}, {"{\t0}", 0, 0}, {"{0\t}", 0, 0},
	{"{, 2}", 0, 2}, {"{,\t2}", 0, 2}, {"{ ,2}", 0, 2}, {"{\t,2}", 0, 2}, {"{0 ,1}", 0, 1}, {"{0,1", 1, 1}, {"{-1}", 1, 1},
};

static const char *const rests[] = {"", "", "", "", "?", "+", "*", "{2}", "{0}", "??"};

static Buffer pattern;
static Buffer evidence;
static unsigned char input[(MAX_SIDE + 1) * 8];
static size_t input_length;
static uint64_t state;
static int	ngroups;

/* ---- chance */

static uint64_t
next_random(void)
{
	uint64_t	z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static int
below(int n)
{
	return (int) (next_random() % (uint64_t) n);
}

static bool
one_in(int n)
{
	return below(n) == 0;
}

/* ---- patterns */

static void
add(Buffer *buffer, const void *bytes, size_t length)
{
	if (buffer->length + length > MAX_SIDE)
		return;
	memcpy(buffer->bytes + buffer->length, bytes, length);
	buffer->length += length;
}

static void
add_string(Buffer *buffer, const char *string)
{
	add(buffer, string, strlen(string));
}

static void
add_token(const Token *token)
{
	add_string(&pattern, token->pattern);
	if (one_in(12))
	{
		/* In the other case, for patterns without regard to it. */
		for (int i = 0; i < token->sample_length; i++)
		{
			unsigned char c = token->sample[i];

			if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
				c ^= 0x20;
			add(&evidence, &c, 1);
		}
	}
	else
		add(&evidence, token->sample, token->sample_length);
}

static const Token *
any_token(void)
{
	int			n = below(10);

	if (n < 6)
		return &words[below(COUNT(words))];
	if (n < 9)
		return &sets[below(COUNT(sets))];
	return &odd[below(COUNT(odd))];
}

/* The item just written to the evidence from start on occurs a number of times. */
static void
add_quantifier(size_t start)
{
	int			n = one_in(4) ? below(COUNT(quantifiers)) : below(11);
	int			times = quantifiers[n].least + below(quantifiers[n].most - quantifiers[n].least + 1);
	const char *rest = rests[one_in(10) ? below(COUNT(rests)) : 0];
	unsigned char once[MAX_SIDE];
	size_t		length = evidence.length - start;

	if (one_in(3))
		times = quantifiers[n].least;
	memcpy(once, evidence.bytes + start, length);
	evidence.length = start;
	for (int i = 0; i < times; i++)
		add(&evidence, once, length);
	add_string(&pattern, quantifiers[n].pattern);
	add_string(&pattern, rest);
}

static void add_alternation(int depth);

static void
add_group(int depth)
{
	char		start[32];

	snprintf(start, sizeof(start), groups[below(COUNT(groups))], ++ngroups);
	add_string(&pattern, start);
	add_alternation(depth + 1);
	add_string(&pattern, ")");
}

/* What it looks at stands there indeed, before or behind. */
static void
add_assertion(int depth)
{
	const Token *token = &words[below(COUNT(words))];
	size_t		length = evidence.length;

	switch (below(6))
	{
		case 0:
			add_string(&pattern, one_in(8) ? "(?*" : "(?=");
			add_string(&pattern, token->pattern);
			add_string(&pattern, ")");
			add_token(token);
			break;
		case 1:
			add_token(token);
			add_string(&pattern, one_in(4) ? "(?<*" : "(?<=");
			add_string(&pattern, token->pattern);
			if (one_in(2))
				add_string(&pattern, one_in(2) ? "|c>defg" : "|abcd");
			add_string(&pattern, ")");
			break;
		case 2:
			add_string(&pattern, "(?=");
			add_alternation(depth + 1);
			add_string(&pattern, ")");
			if (one_in(2))
				evidence.length = length;
			break;
		case 3:
			add_string(&pattern, "(?<=");
			add_alternation(depth + 1);
			add_string(&pattern, ")");
			break;
		default:
			add_string(&pattern, one_in(2) ? "(?!" : "(?<!");
			add_alternation(depth + 1);
			add_string(&pattern, ")");
			evidence.length = length;
	}
}

static void
add_item(int depth)
{
	size_t		start = evidence.length;
	int			n = below(40);

	if (n < 7 && depth < MAX_DEPTH)
		add_group(depth);
	else if (n < 9 && depth < MAX_DEPTH)
		add_assertion(depth);
	else if (n < 11)
		add_token(&odd[below(24)]);
	else if (n < 12 && one_in(2))
		add_token(&odd[below(COUNT(odd))]);
	else if (n < 18)
		add_token(&sets[below(COUNT(sets))]);
	else
		add_token(&words[below(COUNT(words))]);
	if (one_in(5))
		add_quantifier(start);
}

static void
add_branch(int depth)
{
	int			items = below(depth == 0 ? 6 : 4);

	if (depth == 0 && one_in(4))
		add_string(&pattern, one_in(4) ? "\\A" : "^");
	if (one_in(3))
		items += 1;
	for (int i = 0; i < items; i++)
		add_item(depth);
}

/* One branch, and seldom many, is in the evidence. */
static void
add_alternation(int depth)
{
	int			branches = one_in(3) ? 1 + below(one_in(20) ? 20 : 3) : 1;
	int			taken = below(branches);

	for (int i = 0; i < branches; i++)
	{
		size_t		start = evidence.length;

		if (i > 0)
			add_string(&pattern, "|");
		add_branch(depth + (branches > 4 ? 2 : 0));
		if (i != taken)
			evidence.length = start;
	}
}

static void
add_soup(void)
{
	int			tokens = 1 + below(8);

	for (int i = 0; i < tokens; i++)
	{
		size_t		start = evidence.length;

		add_token(any_token());
		if (one_in(3))
			evidence.length = start;
		else if (one_in(6))
			add_quantifier(start);
	}
}

static void
add_junk(void)
{
	int			n = one_in(3) ? below(4) : 0;

	for (int i = 0; i < n; i++)
	{
		const Token *token = &words[below(COUNT(words))];

		add(&evidence, token->sample, token->sample_length);
	}
}

static void
make_input(uint64_t seed, uint64_t number)
{
	int			npatterns;

	state = seed * UINT64_C(0xd1342543de82ef95) + number;
	state = next_random();
	npatterns = one_in(4) ? 1 + below(one_in(200) ? MAX_PATTERNS : 8) : 1;
	evidence.length = 0;
	input[0] = one_in(2) ? 0 : below(8);
	input_length = 1;
	add_junk();
	for (int i = 0; i < npatterns; i++)
	{
		size_t		start = evidence.length;

		pattern.length = 0;
		ngroups = 0;
		if (one_in(4))
			add_soup();
		else
			add_alternation(0);
		if (input_length + pattern.length + 1 + MAX_SIDE > sizeof(input))
			break;
		memcpy(input + input_length, pattern.bytes, pattern.length);
		input_length += pattern.length;
		input[input_length++] = SEPARATOR;
		if (i > 0 && one_in(2))
			evidence.length = start;
		add_junk();
	}
	memcpy(input + input_length, evidence.bytes, evidence.length);
	input_length += evidence.length;
}

/* ---- runs */

/* A sanitizer has spoken: keep what it was given. */
static void
write_crash(void)
{
	FILE	   *file = fopen(CRASH, "wb");

	if (!file)
		return;
	fwrite(input, 1, input_length, file);
	fclose(file);
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void
write_inputs(const char *folder, uint64_t count, uint64_t seed)
{
	for (uint64_t i = 0; i < count; i++)
	{
		char		path[4096];
		FILE	   *file;

		make_input(seed, i);
		snprintf(path, sizeof(path), "%s/generated-%llu", folder, (unsigned long long) i);
		file = fopen(path, "wb");
		if (!file)
		{
			perror(path);
			exit(2);
		}
		fwrite(input, 1, input_length, file);
		fclose(file);
	}
}

int
main(int argc, char **argv)
{
	__sanitizer_set_death_callback(write_crash);
	if (argc == 5 && strcmp(argv[1], "--write") == 0)
		write_inputs(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	else if (argc == 4 && strcmp(argv[1], "--case") == 0)
	{
		make_input(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
		write_crash();
		check_input(input, input_length);
	}
	else if (argc == 3)
	{
		double		end = now() + atof(argv[1]);
		uint64_t	seed = strtoull(argv[2], NULL, 10);

		for (uint64_t i = 0; i % 64 != 0 || now() < end; i++)
		{
			make_input(seed, i);
			check_input(input, input_length);
		}
		fprintf(stderr, "generator: seed %llu, %llu inputs, %llu patterns, %llu with literals, %llu matches checked, %llu tries spared\n",
				(unsigned long long) seed, (unsigned long long) counts.inputs, (unsigned long long) counts.patterns,
				(unsigned long long) counts.with_literals, (unsigned long long) counts.matches,
				(unsigned long long) counts.excluded);
	}
	else
	{
		fprintf(stderr, "usage: generate SECONDS SEED | --case SEED NUMBER | --write FOLDER COUNT SEED\n");
		return 2;
	}
	return 0;
}
