/*
 * prefilter.c
 *		From the literals that rules require to the rules worth trying.
 *
 * Each literal is found by one of its runs of four bytes, the one that fewest
 * others have.  A scan looks at each four bytes of the evidence in a bitmap of
 * 8 kB; where a bit is set, the literals with that run are compared in full.
 * A rule is tried if its rarest literal and its other ones occur.  Rules of
 * which no literal of four bytes is known are always tried.
 */
#include "prefilter.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GRAM 4
#define BITMAP_BITS 16
#define MAX_NEEDS 3

typedef struct KnownLiteral
{
	Literal		literal;
	unsigned char gram_offset;
	int			uses;			/* rules that require it */
	int			first_trigger;	/* in triggers[], of the rules that it makes candidates */
	int			ntriggers;
} KnownLiteral;

/* The literals with a gram: known[first .. first + count - 1]. */
typedef struct GramSlot
{
	uint32_t	gram;
	int			first;
	int			count;			/* 0: the slot is free */
} GramSlot;

typedef struct RuleNeeds
{
	int			count;
	int			literals[MAX_NEEDS];
} RuleNeeds;

struct Prefilter
{
	int			nrules;
	int			words;			/* of a set of rules */
	uint64_t   *always;
	KnownLiteral *known;		/* sorted by gram */
	int			nknown;
	int		   *triggers;
	RuleNeeds  *needs;
	uint64_t   *found;			/* set of known literals, all 0 between scans */
	int		   *found_list;
	GramSlot   *slots;
	uint32_t	slot_mask;
	uint64_t	bitmap[(1 << BITMAP_BITS) / 64];
};

static inline unsigned char
fold(unsigned char byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

static inline uint32_t
gram_hash(uint32_t gram)
{
	return gram * 0x9E3779B1u;
}

static uint32_t
gram_at(const Literal *literal, int offset)
{
	return (uint32_t) literal->bytes[offset] << 24 | (uint32_t) literal->bytes[offset + 1] << 16 |
		(uint32_t) literal->bytes[offset + 2] << 8 | (uint32_t) literal->bytes[offset + 3];
}

static uint32_t
known_gram(const KnownLiteral *known)
{
	return gram_at(&known->literal, known->gram_offset);
}

static int
compare_literals(const void *a, const void *b)
{
	const Literal *x = &((const KnownLiteral *) a)->literal;
	const Literal *y = &((const KnownLiteral *) b)->literal;

	if (x->length != y->length)
		return (int) x->length - (int) y->length;
	if (x->at_start != y->at_start)
		return (int) x->at_start - (int) y->at_start;
	return memcmp(x->bytes, y->bytes, x->length);
}

static int
compare_grams(const void *a, const void *b)
{
	uint32_t	x = known_gram(a);
	uint32_t	y = known_gram(b);

	if (x != y)
		return x < y ? -1 : 1;
	return compare_literals(a, b);
}

static int
compare_uint32(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *) a;
	uint32_t	y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

/* How many of the n sorted values equal this one? */
static int
count_equal(const uint32_t *values, int n, uint32_t value)
{
	int			low = 0;
	int			high = n;
	int			end;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (values[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < n && values[end] == value; end++)
		 /* count */ ;
	return end - low;
}

static bool
is_usable(const Literal *literal)
{
	return literal->length >= GRAM;
}

/* All usable literals of the rules, each once, with how many rules use it. */
static void
collect_literals(Prefilter *prefilter, const PatternLiterals *rules, PrefilterAllocate allocate)
{
	int			n = 0;
	int			distinct = 0;

	for (int i = 0; i < prefilter->nrules; i++)
		n += rules[i].nrequired + rules[i].nalternatives;
	prefilter->known = allocate(sizeof(KnownLiteral) * (n + 1));

	n = 0;
	for (int i = 0; i < prefilter->nrules; i++)
	{
		for (int j = 0; j < rules[i].nrequired; j++)
		{
			if (is_usable(&rules[i].required[j]))
				prefilter->known[n++].literal = rules[i].required[j];
		}
		for (int j = 0; j < rules[i].nalternatives; j++)
		{
			if (is_usable(&rules[i].alternatives[j]))
				prefilter->known[n++].literal = rules[i].alternatives[j];
		}
	}
	qsort(prefilter->known, n, sizeof(KnownLiteral), compare_literals);
	for (int i = 0; i < n; i++)
	{
		if (distinct > 0 && compare_literals(&prefilter->known[distinct - 1], &prefilter->known[i]) == 0)
			prefilter->known[distinct - 1].uses++;
		else
		{
			prefilter->known[distinct] = prefilter->known[i];
			prefilter->known[distinct++].uses = 1;
		}
	}
	prefilter->nknown = distinct;
}

/* Gives each literal its rarest gram, and sorts the literals by it. */
static void
choose_grams(Prefilter *prefilter, PrefilterAllocate allocate)
{
	uint32_t   *grams = allocate(sizeof(uint32_t) * (prefilter->nknown * (MAX_LITERAL - GRAM + 1) + 1));
	int			ngrams = 0;

	for (int i = 0; i < prefilter->nknown; i++)
	{
		for (int j = 0; j + GRAM <= prefilter->known[i].literal.length; j++)
			grams[ngrams++] = gram_at(&prefilter->known[i].literal, j);
	}
	qsort(grams, ngrams, sizeof(uint32_t), compare_uint32);
	for (int i = 0; i < prefilter->nknown; i++)
	{
		KnownLiteral *known = &prefilter->known[i];
		int			rarest = 0;

		for (int j = 0; j + GRAM <= known->literal.length; j++)
		{
			int			count = count_equal(grams, ngrams, gram_at(&known->literal, j));

			if (rarest == 0 || count < rarest)
			{
				rarest = count;
				known->gram_offset = (unsigned char) j;
			}
		}
	}
	qsort(prefilter->known, prefilter->nknown, sizeof(KnownLiteral), compare_grams);
}

static void
index_grams(Prefilter *prefilter, PrefilterAllocate allocate)
{
	uint32_t	size = 16;

	while (size < (uint32_t) prefilter->nknown * 2)
		size *= 2;
	prefilter->slots = allocate(sizeof(GramSlot) * size);
	prefilter->slot_mask = size - 1;
	for (int i = 0; i < prefilter->nknown;)
	{
		uint32_t	gram = known_gram(&prefilter->known[i]);
		uint32_t	bit = gram_hash(gram) >> (32 - BITMAP_BITS);
		uint32_t	slot = gram_hash(gram) & prefilter->slot_mask;
		int			first = i;

		while (i < prefilter->nknown && known_gram(&prefilter->known[i]) == gram)
			i++;
		while (prefilter->slots[slot].count > 0)
			slot = (slot + 1) & prefilter->slot_mask;
		prefilter->slots[slot].gram = gram;
		prefilter->slots[slot].first = first;
		prefilter->slots[slot].count = i - first;
		prefilter->bitmap[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
}

/* Where a literal of a rule stands in known[]; all usable ones do. */
static int
find_known(const Prefilter *prefilter, const Literal *literal)
{
	for (int offset = 0; offset + GRAM <= literal->length; offset++)
	{
		uint32_t	gram = gram_at(literal, offset);
		uint32_t	slot = gram_hash(gram) & prefilter->slot_mask;
		KnownLiteral key;

		key.literal = *literal;
		for (; prefilter->slots[slot].count > 0; slot = (slot + 1) & prefilter->slot_mask)
		{
			if (prefilter->slots[slot].gram != gram)
				continue;
			for (int i = 0; i < prefilter->slots[slot].count; i++)
			{
				int			known = prefilter->slots[slot].first + i;

				if (compare_literals(&prefilter->known[known], &key) == 0)
					return known;
			}
		}
	}
	return -1;
}

/* The usable literals among these, as places in known[]. */
static int
find_all_known(const Prefilter *prefilter, const Literal *literals, int count, int *known)
{
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		if (is_usable(&literals[i]))
			known[n++] = find_known(prefilter, &literals[i]);
	}
	return n;
}

/* Puts the literal that fewest rules use first, of equals the longest. */
static void
rarest_first(const Prefilter *prefilter, int *known, int count)
{
	for (int i = 1; i < count; i++)
	{
		const KnownLiteral *a = &prefilter->known[known[i]];
		const KnownLiteral *b = &prefilter->known[known[0]];

		if (a->uses < b->uses || (a->uses == b->uses && a->literal.length > b->literal.length))
		{
			int			swap = known[0];

			known[0] = known[i];
			known[i] = swap;
		}
	}
}

/*
 * Makes a prefilter for rules numbered from 0.  What allocate() gives must stay
 * until the prefilter is no longer used.
 */
Prefilter *
make_prefilter(const PatternLiterals *rules, int nrules, PrefilterAllocate allocate)
{
	Prefilter  *prefilter = allocate(sizeof(Prefilter));
	int		   *trigger_of;
	int		   *trigger_rule;
	int			ntriggers = 0;

	prefilter->nrules = nrules;
	prefilter->words = (nrules + 63) / 64;
	prefilter->always = allocate(sizeof(uint64_t) * (prefilter->words + 1));
	prefilter->needs = allocate(sizeof(RuleNeeds) * (nrules + 1));
	collect_literals(prefilter, rules, allocate);
	choose_grams(prefilter, allocate);
	index_grams(prefilter, allocate);
	prefilter->found = allocate(sizeof(uint64_t) * (prefilter->nknown / 64 + 1));
	prefilter->found_list = allocate(sizeof(int) * (prefilter->nknown + 1));

	trigger_of = allocate(sizeof(int) * ((size_t) nrules * MAX_ALTERNATIVES + 1));
	trigger_rule = allocate(sizeof(int) * ((size_t) nrules * MAX_ALTERNATIVES + 1));
	for (int i = 0; i < nrules; i++)
	{
		const PatternLiterals *rule = &rules[i];
		int			known[MAX_REQUIRED + MAX_ALTERNATIVES];
		int			count = find_all_known(prefilter, rule->required, rule->nrequired, known);

		if (count > 0)
		{
			rarest_first(prefilter, known, count);
			trigger_of[ntriggers] = known[0];
			trigger_rule[ntriggers++] = i;
			for (int j = 1; j < count && j <= MAX_NEEDS; j++)
				prefilter->needs[i].literals[prefilter->needs[i].count++] = known[j];
		}
		else if (rule->nalternatives > 0 &&
				 find_all_known(prefilter, rule->alternatives, rule->nalternatives, known) == rule->nalternatives)
		{
			for (int j = 0; j < rule->nalternatives; j++)
			{
				trigger_of[ntriggers] = known[j];
				trigger_rule[ntriggers++] = i;
			}
		}
		else
			prefilter->always[i / 64] |= UINT64_C(1) << (i % 64);
	}

	/* The rules of each literal, side by side. */
	prefilter->triggers = allocate(sizeof(int) * (ntriggers + 1));
	for (int i = 0; i < ntriggers; i++)
		prefilter->known[trigger_of[i]].ntriggers++;
	for (int i = 1; i < prefilter->nknown; i++)
		prefilter->known[i].first_trigger =
			prefilter->known[i - 1].first_trigger + prefilter->known[i - 1].ntriggers;
	for (int i = 0; i < prefilter->nknown; i++)
		prefilter->known[i].ntriggers = 0;
	for (int i = 0; i < ntriggers; i++)
	{
		KnownLiteral *known = &prefilter->known[trigger_of[i]];

		prefilter->triggers[known->first_trigger + known->ntriggers++] = trigger_rule[i];
	}
	return prefilter;
}

/* 64-bit words of a set of rules, as prefilter_scan() fills it. */
int
prefilter_words(const Prefilter *prefilter)
{
	return prefilter->words;
}

static inline bool
literal_stands_at(const Literal *literal, const unsigned char *evidence, size_t length, size_t start)
{
	if (start + literal->length > length || (literal->at_start && start != 0))
		return false;
	for (int i = 0; i < literal->length; i++)
	{
		if (fold(evidence[start + i]) != literal->bytes[i])
			return false;
	}
	return true;
}

/*
 * Sets the bits of the rules that may match the evidence.  Rules that are not
 * set cannot; ASCII letters are taken as equal whatever their case.  True if the
 * evidence goes beyond ASCII.
 */
bool
prefilter_scan(Prefilter *prefilter, const unsigned char *evidence, size_t length, uint64_t *candidates)
{
	uint32_t	gram = 0;
	unsigned char all_bytes = 0;
	int			nfound = 0;

	memcpy(candidates, prefilter->always, sizeof(uint64_t) * prefilter->words);
	for (size_t i = 0; i < length; i++)
	{
		uint32_t	bit;
		uint32_t	slot;

		all_bytes |= evidence[i];
		gram = gram << 8 | fold(evidence[i]);
		bit = gram_hash(gram) >> (32 - BITMAP_BITS);
		if ((prefilter->bitmap[bit / 64] >> (bit % 64) & 1) == 0 || i < GRAM - 1)
			continue;
		for (slot = gram_hash(gram) & prefilter->slot_mask; prefilter->slots[slot].count > 0;
			 slot = (slot + 1) & prefilter->slot_mask)
		{
			if (prefilter->slots[slot].gram != gram)
				continue;
			for (int j = 0; j < prefilter->slots[slot].count; j++)
			{
				int			number = prefilter->slots[slot].first + j;
				const KnownLiteral *known = &prefilter->known[number];
				size_t		before = GRAM - 1 + (size_t) known->gram_offset;

				if (i < before ||
					(prefilter->found[number / 64] >> (number % 64) & 1) != 0 ||
					!literal_stands_at(&known->literal, evidence, length, i - before))
					continue;
				prefilter->found[number / 64] |= UINT64_C(1) << (number % 64);
				prefilter->found_list[nfound++] = number;
			}
			break;
		}
	}

	for (int i = 0; i < nfound; i++)
	{
		const KnownLiteral *known = &prefilter->known[prefilter->found_list[i]];

		for (int j = 0; j < known->ntriggers; j++)
		{
			int			rule = prefilter->triggers[known->first_trigger + j];
			const RuleNeeds *needs = &prefilter->needs[rule];
			bool		all = true;

			for (int k = 0; k < needs->count && all; k++)
				all = (prefilter->found[needs->literals[k] / 64] >> (needs->literals[k] % 64) & 1) != 0;
			if (all)
				candidates[rule / 64] |= UINT64_C(1) << (rule % 64);
		}
	}
	for (int i = 0; i < nfound; i++)
		prefilter->found[prefilter->found_list[i] / 64] = 0;
	return all_bytes >= 0x80;
}
