/*
 * decimal.c
 *		Between the server's numeric and integers with a scale.
 *
 * Numbers that fit into a Wide, which is every price there is, are read straight
 * from the stored form.  That form is private to the server's numeric.c, though
 * it cannot change without breaking pg_upgrade; so before it is relied on, some
 * numbers are compared with what numeric_send() says of them, once a session.
 * Should they differ, numeric_send() is asked for each number.
 */
#include "decimal.h"

#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/datum.h"

/* The stored form: a header of one or two 16-bit words, then digits to the base 10000. */
#define KIND_MASK			0xC000
#define KIND_SHORT			0x8000
#define KIND_SPECIAL		0xC000
#define LONG_NEGATIVE		0x4000
#define SHORT_NEGATIVE		0x2000
#define SHORT_SCALE_SHIFT	7
#define SHORT_SCALE_MAX		63
#define SHORT_WEIGHT_SIGN	0x0040
#define SHORT_WEIGHT_MASK	0x003F

/* The form that is sent. */
#define SENT_POSITIVE		0x0000
#define SENT_NEGATIVE		0x4000
#define SENT_SCALE(sent)	sent_word_at(VARDATA_ANY(sent) + 6)

#define BASE				10000
#define BASE_DECIMALS		4
#define QUICK_DIGITS		4	/* to that base: they fit in 64 bits */
#define QUICK_LIMIT			UINT64CONST(10000000000000000)
#define MOST_DIGITS			(sizeof(Wide) == 16 ? 8 : QUICK_DIGITS)

/* A number taken apart: the digits are aligned to 16 bits at best. */
typedef struct Parts
{
	bool		finite;
	bool		negative;
	int			weight;			/* of the first digit, a power of the base */
	int			ndigits;
	const char *digits;
	bool		big_endian;
} Parts;

static uint16
word_at(const char *p)
{
	uint16		word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static uint16
sent_word_at(const char *p)
{
	return pg_ntoh16(word_at(p));
}

static void
take_apart_stored(const struct varlena *value, Parts *parts)
{
	const char *p = VARDATA_ANY(value);
	int			size = VARSIZE_ANY_EXHDR(value);
	uint16		header = word_at(p);
	int			header_size = sizeof(uint16);

	parts->finite = (header & KIND_MASK) != KIND_SPECIAL;
	parts->big_endian = false;
	if ((header & KIND_MASK) == KIND_SHORT)
	{
		parts->negative = (header & SHORT_NEGATIVE) != 0;
		parts->weight = (header & SHORT_WEIGHT_MASK) -
			((header & SHORT_WEIGHT_SIGN) ? SHORT_WEIGHT_MASK + 1 : 0);
	}
	else
	{
		header_size += sizeof(int16);
		parts->negative = (header & KIND_MASK) == LONG_NEGATIVE;
		parts->weight = parts->finite ? (int16) word_at(p + sizeof(uint16)) : 0;
	}
	parts->digits = p + header_size;
	parts->ndigits = size > header_size ? (size - header_size) / (int) sizeof(int16) : 0;
}

static void
take_apart_sent(const bytea *sent, Parts *parts)
{
	const char *p = VARDATA_ANY(sent);
	uint16		sign = sent_word_at(p + 4);

	parts->ndigits = sent_word_at(p);
	parts->weight = (int16) sent_word_at(p + 2);
	parts->finite = sign == SENT_POSITIVE || sign == SENT_NEGATIVE;
	parts->negative = sign == SENT_NEGATIVE;
	parts->digits = p + 8;
	parts->big_endian = true;
}

static inline uint16
digit_at(const Parts *parts, int i)
{
	const char *p = parts->digits + i * sizeof(int16);

	return parts->big_endian ? sent_word_at(p) : word_at(p);
}

static bool
put_together(const Parts *parts, Decimal *decimal, bool *negative)
{
	int			beyond = parts->weight - (parts->ndigits - 1);	/* zeros that are not stored */
	int			most = MOST_DIGITS;
	uint64		quick = 0;
	Wide		digits;
	int			i = 0;

	if (!parts->finite || parts->ndigits > most || beyond > most - parts->ndigits)
		return false;
	*negative = parts->negative;
	for (; i < parts->ndigits && i < QUICK_DIGITS; i++)
		quick = quick * BASE + digit_at(parts, i);
	digits = quick;
	for (; i < parts->ndigits; i++)
		digits = digits * BASE + digit_at(parts, i);
	for (; beyond > 0; beyond--)
		digits *= BASE;
	decimal->digits = digits;
	decimal->scale = -beyond * BASE_DECIMALS;
	return true;
}

/*
 * The stored form of digits / 10^scale, in its short variant; NULL if that has no
 * room for it.
 */
static struct varlena *
build_stored(Wide digits, bool negative, int scale)
{
	static const int missing[] = {1, 1000, 100, 10};
	uint16		groups[2 * sizeof(Wide) / sizeof(uint16)];	/* the least first */
	uint16		header;
	int			ngroups = 0;
	int			first = 0;
	int			fraction = (scale + BASE_DECIMALS - 1) / BASE_DECIMALS; /* groups of it */
	int			weight;
	uint64		quick;
	struct varlena *result;
	char	   *p;

	/* The last group of the fraction may have less than four digits. */
	if (__builtin_mul_overflow(digits, missing[scale % BASE_DECIMALS], &digits))
		return NULL;
	/* Integers of that width are slow to divide. */
	while (digits > PG_UINT64_MAX)
	{
		Wide		rest = digits / QUICK_LIMIT;

		quick = (uint64) (digits - rest * QUICK_LIMIT);
		digits = rest;
		for (int i = 0; i < QUICK_DIGITS; i++, quick /= BASE)
			groups[ngroups++] = (uint16) (quick % BASE);
	}
	for (quick = (uint64) digits; quick > 0; quick /= BASE)
		groups[ngroups++] = (uint16) (quick % BASE);

	weight = ngroups - fraction - 1;
	while (ngroups > 0 && groups[ngroups - 1] == 0)
	{
		ngroups--;
		weight--;
	}
	while (first < ngroups && groups[first] == 0)
		first++;
	if (first == ngroups)
	{
		weight = 0;
		negative = false;
	}
	if (scale > SHORT_SCALE_MAX || weight < -SHORT_WEIGHT_MASK - 1 || weight > SHORT_WEIGHT_MASK)
		return NULL;

	header = KIND_SHORT | (negative ? SHORT_NEGATIVE : 0) | (scale << SHORT_SCALE_SHIFT) |
		(weight < 0 ? SHORT_WEIGHT_SIGN : 0) | (weight & SHORT_WEIGHT_MASK);
	result = palloc(VARHDRSZ + sizeof(header) + (ngroups - first) * sizeof(uint16));
	SET_VARSIZE(result, VARHDRSZ + sizeof(header) + (ngroups - first) * sizeof(uint16));
	p = VARDATA(result);
	memcpy(p, &header, sizeof(header));
	for (int i = ngroups - 1; i >= first; i--)
		memcpy(p += sizeof(uint16), &groups[i], sizeof(uint16));
	return result;
}

/* By way of its text. */
static Datum
build_any(Wide digits, bool negative, int scale)
{
	char		text[64];
	char	   *p = text + sizeof(text);
	char	   *number = psprintf("e-%d", scale);

	*--p = '\0';
	do
	{
		*--p = (char) ('0' + (int) (digits % 10));
		digits /= 10;
	} while (digits > 0);
	if (negative)
		*--p = '-';
	number = psprintf("%s%s", p, number);
	return DirectFunctionCall3(numeric_in, CStringGetDatum(number),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* Do all ways agree, on numbers of every form? */
static bool
stored_form_is_known(void)
{
	static const char *const samples[] = {
		"0", "0.00", "1", "-1", "12.50", "-0.0001", "9999.9999", "120000", "10000.0001",
		"1234567890123456", "-0.00000000000012", "0.1000", "-56.90322580645161290323",
		"12345678901234567890.12345", "100000000", "1e12", "1e-60", "1e20", "1e-100", "-1e300", "NaN"
	};

	for (int i = 0; i < (int) lengthof(samples); i++)
	{
		Datum		value = DirectFunctionCall3(numeric_in, CStringGetDatum(samples[i]),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		bytea	   *sent = DatumGetByteaPP(DirectFunctionCall1(numeric_send, value));
		struct varlena *built;
		Parts		by_form;
		Parts		by_sending;
		Decimal		decimal;
		bool		negative;

		take_apart_stored((struct varlena *) DatumGetPointer(value), &by_form);
		take_apart_sent(sent, &by_sending);
		if (by_form.finite != by_sending.finite)
			return false;
		if (!by_form.finite)
			continue;
		if (by_form.negative != by_sending.negative || by_form.weight != by_sending.weight ||
			by_form.ndigits != by_sending.ndigits)
			return false;
		for (int d = 0; d < by_form.ndigits; d++)
		{
			if (digit_at(&by_form, d) != digit_at(&by_sending, d))
				return false;
		}

		/* What is built sends the same bytes, decimals included. */
		if (!put_together(&by_form, &decimal, &negative))
			continue;
		while (decimal.scale > SENT_SCALE(sent) && decimal.digits % 10 == 0)
		{
			decimal.digits /= 10;
			decimal.scale--;
		}
		if (decimal.scale != SENT_SCALE(sent))
			continue;
		built = build_stored(decimal.digits, negative, decimal.scale);
		if (built != NULL &&
			!datumIsEqual(PointerGetDatum(built), value, false, -1))
			return false;
	}
	return true;
}

static bool
use_stored_form(void)
{
	static enum
	{
		UNTRIED,
		KNOWN,
		UNKNOWN
	}			form = UNTRIED;

	if (unlikely(form == UNTRIED))
		form = stored_form_is_known() ? KNOWN : UNKNOWN;
	return form == KNOWN;
}

/* The number as an integer and its decimals.  False if it does not fit. */
bool
read_decimal(Datum value, Decimal *decimal, bool *negative)
{
	Parts		parts;

	if (likely(use_stored_form()))
		take_apart_stored(PG_DETOAST_DATUM_PACKED(value), &parts);
	else
		take_apart_sent(DatumGetByteaPP(DirectFunctionCall1(numeric_send, value)), &parts);
	return put_together(&parts, decimal, negative);
}

/* digits / 10^scale with that many decimals */
Datum
make_decimal(Wide digits, bool negative, int scale)
{
	struct varlena *built = NULL;

	if (likely(use_stored_form()))
		built = build_stored(digits, negative, scale);
	return built != NULL ? PointerGetDatum(built) : build_any(digits, negative, scale);
}

bool
numeric_is_finite(Datum value)
{
	Numeric		number = DatumGetNumeric(value);

	return !numeric_is_nan(number) && !numeric_is_inf(number);
}

bool
numeric_is_negative(Datum value)
{
	return DatumGetBool(DirectFunctionCall2(numeric_lt, value,
											NumericGetDatum(int64_to_numeric(0))));
}

/*
 * dividend / divisor with so many decimals, exactly rounded: the way of numbers
 * that do not fit into the integers of amount.c.  Neither is negative.
 */
Datum
numeric_quotient(Datum dividend, Datum divisor, int scale, PolicyRound how)
{
	Datum		shifted = DirectFunctionCall2(numeric_mul, dividend,
											  NumericGetDatum(int64_div_fast_to_numeric(1, -scale)));
	Datum		quotient = DirectFunctionCall2(numeric_div_trunc, shifted, divisor);
	Datum		rest = DirectFunctionCall2(numeric_sub, shifted,
										   DirectFunctionCall2(numeric_mul, quotient, divisor));
	int			half = DatumGetInt32(DirectFunctionCall2(numeric_cmp, rest,
														 DirectFunctionCall2(numeric_sub, divisor,
																			 rest)));
	bool		up = false;

	switch (how)
	{
		case ROUND_HALF_UP:
			up = half >= 0;
			break;
		case ROUND_HALF_EVEN:
			up = half > 0;
			if (half == 0)
			{
				Datum		odd = DirectFunctionCall2(numeric_mod, quotient,
													  NumericGetDatum(int64_to_numeric(2)));

				up = DatumGetInt32(DirectFunctionCall2(numeric_cmp, odd,
													   NumericGetDatum(int64_to_numeric(0)))) != 0;
			}
			break;
		case ROUND_TRUNCATE:
			break;
		case ROUND_CEILING:
			up = DatumGetInt32(DirectFunctionCall2(numeric_cmp, rest,
												   NumericGetDatum(int64_to_numeric(0)))) != 0;
			break;
	}
	if (up)
		quotient = DirectFunctionCall2(numeric_add, quotient,
									   NumericGetDatum(int64_to_numeric(1)));
	return DirectFunctionCall2(numeric_round,
							   DirectFunctionCall2(numeric_mul, quotient,
												   NumericGetDatum(int64_div_fast_to_numeric(1, scale))),
							   Int32GetDatum(scale));
}
