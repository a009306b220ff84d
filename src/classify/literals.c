/*
 * literals.c
 *		The literals that a PCRE2 pattern requires.
 *
 * A small reader of the pattern language.  It may miss literals, which costs
 * time, but must never report one that a match can do without, which would cost
 * matches; so whatever it does not know makes it give up on the whole pattern.
 */
#include "literals.h"

#include <stddef.h>
#include <string.h>

#define MAX_DEPTH 64

typedef struct Reader
{
	const char *next;
	const char *end;
	int			depth;
	bool		multiline;		/* a ^ may stand for the start of any line */
	bool		failed;
} Reader;

typedef struct Run
{
	Literal		literal;
	bool		full;			/* no room for more bytes; later ones are dropped */
} Run;

static void read_alternation(Reader *reader, PatternLiterals *result);

static int
peek(const Reader *reader, int ahead)
{
	return reader->end - reader->next > ahead ? (unsigned char) reader->next[ahead] : -1;
}

static void
fail(Reader *reader)
{
	reader->failed = true;
	reader->next = reader->end;
}

/* Shorter ones than this say too little. */
static int
shortest_length(const Literal *literals, int count)
{
	int			shortest = MAX_LITERAL;

	for (int i = 0; i < count; i++)
	{
		if (literals[i].length < shortest)
			shortest = literals[i].length;
	}
	return count > 0 ? shortest : 0;
}

/* Keeps the longest ones; all are required, so any may be left out. */
static void
require_literal(PatternLiterals *result, const Literal *literal)
{
	int			weakest = 0;

	if (literal->length < 2)
		return;
	if (result->nrequired < MAX_REQUIRED)
	{
		result->required[result->nrequired++] = *literal;
		return;
	}
	for (int i = 1; i < MAX_REQUIRED; i++)
	{
		if (result->required[i].length < result->required[weakest].length)
			weakest = i;
	}
	if (literal->length > result->required[weakest].length)
		result->required[weakest] = *literal;
}

/* Of two sets of alternatives the one whose shortest literal is longer. */
static void
require_one_of(PatternLiterals *result, const Literal *literals, int count)
{
	if (shortest_length(literals, count) > shortest_length(result->alternatives, result->nalternatives))
	{
		memcpy(result->alternatives, literals, sizeof(Literal) * count);
		result->nalternatives = count;
	}
}

static void
start_run(Run *run, bool at_start)
{
	run->literal.length = 0;
	run->literal.at_start = at_start;
	run->full = false;
}

static void
end_run(Run *run, PatternLiterals *result)
{
	require_literal(result, &run->literal);
	start_run(run, false);
}

static void
add_to_run(Run *run, int byte)
{
	if (run->literal.length == MAX_LITERAL)
		run->full = true;
	if (!run->full)
		run->literal.bytes[run->literal.length++] =
			(unsigned char) (byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
}

/*
 * Reads a quantifier, if there is one, and says how often the item before it
 * occurs at least.  True if there was one.
 */
static bool
read_quantifier(Reader *reader, int *least)
{
	int			c = peek(reader, 0);

	*least = 1;
	if (c == '*' || c == '?')
		*least = 0;
	else if (c == '{')
	{
		int			i = 1;
		int			digits = 0;
		bool		zero = true;
		bool		comma = false;

		/* "{,n}" is a quantifier in newer versions of the library and text in older ones. */
		if (peek(reader, i) == ',')
		{
			fail(reader);
			return false;
		}
		for (;; i++)
		{
			int			d = peek(reader, i);

			if (d >= '0' && d <= '9')
			{
				if (!comma)
				{
					digits++;
					zero = zero && d == '0';
				}
			}
			else if (d == ' ' || d == '\t')
			{
				/* Blanks are allowed here since 10.43. */
				fail(reader);
				return false;
			}
			else if (d == ',' && !comma)
				comma = true;
			else if (d == '}' && digits > 0)
				break;
			else
				return false;	/* text after all */
		}
		*least = zero ? 0 : 1;
		reader->next += i;
	}
	else if (c != '+')
		return false;
	reader->next++;
	c = peek(reader, 0);
	if (c == '?' || c == '+')
		reader->next++;
	return true;
}

/* One more byte that stands for itself, with its quantifier. */
static void
read_byte(Reader *reader, Run *run, PatternLiterals *result, int byte)
{
	int			least;

	if (byte >= 0x80)
	{
		/* Part of a character of several bytes; which may have another case. */
		while (peek(reader, 0) >= 0x80)
			reader->next++;
		end_run(run, result);
		(void) read_quantifier(reader, &least);
		return;
	}
	if (read_quantifier(reader, &least))
	{
		if (least > 0)
			add_to_run(run, byte);
		end_run(run, result);
	}
	else
		add_to_run(run, byte);
}

/* An item that matches other things than one literal. */
static void
read_other(Reader *reader, Run *run, PatternLiterals *result)
{
	int			least;

	end_run(run, result);
	(void) read_quantifier(reader, &least);
}

/* Behind the opening bracket, to behind the closing one. */
static void
skip_class(Reader *reader)
{
	/* "[[:<:]]" and "[[:>:]]" are no classes, but boundaries of words. */
	if (peek(reader, 0) == '[' && peek(reader, 1) == ':' &&
		(peek(reader, 2) == '<' || peek(reader, 2) == '>'))
	{
		fail(reader);
		return;
	}
	if (peek(reader, 0) == '^')
		reader->next++;
	if (peek(reader, 0) == ']')
		reader->next++;
	for (;;)
	{
		int			c = peek(reader, 0);

		if (c < 0)
		{
			fail(reader);
			return;
		}
		reader->next++;
		if (c == ']')
			return;
		if (c == '\\')
		{
			int			escaped = peek(reader, 0);

			/* \\c takes the next byte along, even a bracket. */
			if (escaped < 0 || escaped == 'Q' || escaped == 'E' || escaped == 'c')
			{
				fail(reader);
				return;
			}
			reader->next++;
		}
		else if (c == '[')
		{
			int			kind = peek(reader, 0);

			/* A POSIX class ends with its own bracket. */
			if (kind == ':')
			{
				const char *close = reader->next + 1;

				while (close < reader->end - 1 && (*close == '^' || (*close >= 'a' && *close <= 'z')))
					close++;
				if (close < reader->end - 1 && close[0] == ':' && close[1] == ']')
					reader->next = close + 2;
			}
			else if (kind == '.' || kind == '=')
			{
				fail(reader);
				return;
			}
		}
	}
}

static int
hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Behind the backslash. */
static void
read_escape(Reader *reader, Run *run, PatternLiterals *result, bool *first)
{
	int			c = peek(reader, 0);
	int			value = 0;

	if (c < 0)
	{
		fail(reader);
		return;
	}
	reader->next++;
	switch (c)
	{
		case 'd': case 'D': case 'w': case 'W': case 's': case 'S':
		case 'h': case 'H': case 'v': case 'V': case 'R': case 'X':
			read_other(reader, run, result);
			return;
		case 'A':
			end_run(run, result);
			if (*first)
			{
				run->literal.at_start = true;
				return;
			}
			return;
		case 'b': case 'B': case 'Z': case 'z': case 'G':
			/* No width: what follows is still next to what came before. */
			return;
		case 'n': read_byte(reader, run, result, '\n'); return;
		case 't': read_byte(reader, run, result, '\t'); return;
		case 'r': read_byte(reader, run, result, '\r'); return;
		case 'f': read_byte(reader, run, result, '\f'); return;
		case 'x':
			if (hex_value(peek(reader, 0)) < 0 || hex_value(peek(reader, 1)) < 0)
			{
				fail(reader);
				return;
			}
			value = hex_value(peek(reader, 0)) * 16 + hex_value(peek(reader, 1));
			reader->next += 2;
			if (value == 0 || value >= 0x80)
				read_other(reader, run, result);
			else
				read_byte(reader, run, result, value);
			return;
		case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
			while (peek(reader, 0) >= '0' && peek(reader, 0) <= '9')
				reader->next++;
			read_other(reader, run, result);
			return;
		default:
			if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
				fail(reader);
			else
				read_byte(reader, run, result, c);
	}
}

/*
 * Behind the opening parenthesis.  Sets *ignore for a group whose content is
 * not part of what matches, and *flags for "(?i)", which is no group.
 */
static void
read_group_kind(Reader *reader, bool *ignore, bool *flags)
{
	int			c;

	*ignore = *flags = false;
	if (peek(reader, 0) == '*')
	{
		fail(reader);			/* (*VERB) */
		return;
	}
	if (peek(reader, 0) != '?')
		return;
	reader->next++;
	c = peek(reader, 0);
	if (c == ':' || c == '>')
	{
		reader->next++;
		return;
	}
	if (c == '=' || c == '!')
	{
		reader->next++;
		*ignore = true;
		return;
	}
	if (c == '<' && (peek(reader, 1) == '=' || peek(reader, 1) == '!'))
	{
		reader->next += 2;
		*ignore = true;
		return;
	}
	if (c == '<' || c == 'P')
	{
		if (c == 'P')
			reader->next++;
		/* "(?<*" is a lookbehind, too. */
		if (peek(reader, 0) != '<' || peek(reader, 1) == '*')
		{
			fail(reader);
			return;
		}
		while (peek(reader, 0) >= 0 && peek(reader, 0) != '>')
			reader->next++;
		if (peek(reader, 0) < 0)
			fail(reader);
		else
			reader->next++;
		return;
	}
	for (;; reader->next++)
	{
		c = peek(reader, 0);
		if (c == 'm')
			reader->multiline = true;
		else if (c == ':' || c == ')')
		{
			reader->next++;
			*flags = c == ')';
			return;
		}
		else if (c != 'i' && c != 's' && c != '-')
		{
			fail(reader);		/* (?x), (?R), (?1), (?(...), (?| ... */
			return;
		}
	}
}

/* A group: its literals are ours, unless it may be left out. */
static void
read_group(Reader *reader, Run *run, PatternLiterals *result)
{
	PatternLiterals inner;
	bool		ignore;
	bool		flags;
	int			least;

	end_run(run, result);
	read_group_kind(reader, &ignore, &flags);
	if (reader->failed || flags)
		return;
	if (++reader->depth > MAX_DEPTH)
	{
		fail(reader);
		return;
	}
	read_alternation(reader, &inner);
	reader->depth--;
	if (reader->failed)
		return;
	if (peek(reader, 0) != ')')
	{
		fail(reader);
		return;
	}
	reader->next++;
	(void) read_quantifier(reader, &least);
	if (ignore || least == 0)
		return;
	for (int i = 0; i < inner.nrequired; i++)
		require_literal(result, &inner.required[i]);
	require_one_of(result, inner.alternatives, inner.nalternatives);
}

/* Up to the next | or ) or the end. */
static void
read_branch(Reader *reader, PatternLiterals *result)
{
	Run			run;
	bool		first = reader->depth == 0;

	memset(result, 0, sizeof(*result));
	start_run(&run, false);
	while (!reader->failed)
	{
		int			c = peek(reader, 0);

		if (c < 0 || c == '|' || c == ')')
			break;
		reader->next++;
		switch (c)
		{
			case '^':
				end_run(&run, result);
				run.literal.at_start = first;
				break;
			case '$':
				end_run(&run, result);
				break;
			case '.':
				read_other(reader, &run, result);
				break;
			case '[':
				skip_class(reader);
				read_other(reader, &run, result);
				break;
			case '(':
				read_group(reader, &run, result);
				break;
			case '\\':
				read_escape(reader, &run, result, &first);
				break;
			case '*':
			case '+':
			case '?':
				fail(reader);
				break;
			default:
				read_byte(reader, &run, result, c);
		}
		first = false;
	}
	end_run(&run, result);
}

/* The longest literal of a branch, or all of its alternatives; 0 for neither. */
static int
best_of_branch(const PatternLiterals *branch, Literal *literals)
{
	int			best = -1;

	for (int i = 0; i < branch->nrequired; i++)
	{
		if (best < 0 || branch->required[i].length > branch->required[best].length)
			best = i;
	}
	if (best >= 0)
	{
		literals[0] = branch->required[best];
		return 1;
	}
	memcpy(literals, branch->alternatives, sizeof(Literal) * branch->nalternatives);
	return branch->nalternatives;
}

static void
read_alternation(Reader *reader, PatternLiterals *result)
{
	Literal		literals[MAX_ALTERNATIVES * 2];
	PatternLiterals branch;
	int			count;

	read_branch(reader, result);
	if (reader->failed || peek(reader, 0) != '|')
		return;

	count = best_of_branch(result, literals);
	if (count == 0)
		count = -1;
	while (!reader->failed && peek(reader, 0) == '|')
	{
		int			more;

		reader->next++;
		read_branch(reader, &branch);
		if (count < 0)
			continue;
		more = best_of_branch(&branch, literals + count);
		count = more == 0 || count + more > MAX_ALTERNATIVES ? -1 : count + more;
	}
	memset(result, 0, sizeof(*result));
	if (count > 0)
		require_one_of(result, literals, count);
}

/*
 * Fills *result for the pattern; empty where nothing is known.  multiline says
 * that a ^ matches behind every newline.
 */
void
find_literals(const char *pattern, int length, bool multiline, PatternLiterals *result)
{
	Reader		reader = {pattern, pattern + length, 0, multiline, false};

	read_alternation(&reader, result);
	if (!reader.failed && reader.next != reader.end)
		reader.failed = true;
	if (reader.failed)
		memset(result, 0, sizeof(*result));
	if (reader.multiline)
	{
		for (int i = 0; i < result->nrequired; i++)
			result->required[i].at_start = false;
		for (int i = 0; i < result->nalternatives; i++)
			result->alternatives[i].at_start = false;
	}
}
