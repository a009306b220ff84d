/*
 * decimal.c
 *		Between the server's numeric and integers with a scale.
 *
 * Numbers of up to 16 digits, which is every price there is, are read straight
 * from the stored form.  That form is private to the server's numeric.c, though
 * it cannot change without breaking pg_upgrade; so before it is relied on, some
 * numbers are compared with what numeric_send() says of them, once a session.
 * Should they differ, numeric_send() is asked for each number.
 */
#include "decimal.h"

#include "port/pg_bswap.h"
#include "utils/builtins.h"

/* The stored form: a header of one or two 16-bit words, then digits to the base 10000. */
#define KIND_MASK			0xC000
#define KIND_SHORT			0x8000
#define KIND_SPECIAL		0xC000
#define LONG_NEGATIVE		0x4000
#define SHORT_NEGATIVE		0x2000
#define SHORT_WEIGHT_SIGN	0x0040
#define SHORT_WEIGHT_MASK	0x003F

/* The form that is sent. */
#define SENT_POSITIVE		0x0000
#define SENT_NEGATIVE		0x4000

#define BASE				10000
#define BASE_DECIMALS		4
#define MOST_DIGITS			4	/* to that base: below 10^16 */

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

static bool
put_together(const Parts *parts, Decimal *decimal, bool *negative)
{
	int			beyond = parts->weight - (parts->ndigits - 1);
	uint64		digits = 0;

	if (!parts->finite || parts->ndigits > MOST_DIGITS ||
		beyond > MOST_DIGITS - parts->ndigits)
		return false;
	*negative = parts->negative;
	for (int i = 0; i < parts->ndigits; i++)
	{
		const char *p = parts->digits + i * sizeof(int16);

		digits = digits * BASE + (parts->big_endian ? sent_word_at(p) : word_at(p));
	}
	for (; beyond > 0; beyond--)
		digits *= BASE;
	decimal->digits = digits;
	decimal->scale = -beyond * BASE_DECIMALS;
	return true;
}

/* Do both ways agree, on numbers of every form? */
static bool
stored_form_is_known(void)
{
	static const char *const samples[] = {
		"0", "0.00", "1", "-1", "12.50", "-0.0001", "9999.9999", "120000", "10000.0001",
		"1234567890123456", "-0.00000000000012", "1e12", "1e-100", "1e20", "-1e300", "NaN"
	};

	for (int i = 0; i < (int) lengthof(samples); i++)
	{
		Datum		value = DirectFunctionCall3(numeric_in, CStringGetDatum(samples[i]),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		Parts		stored;
		Parts		sent;

		take_apart_stored((struct varlena *) DatumGetPointer(value), &stored);
		take_apart_sent(DatumGetByteaPP(DirectFunctionCall1(numeric_send, value)), &sent);
		if (stored.finite != sent.finite)
			return false;
		if (!stored.finite)
			continue;
		if (stored.negative != sent.negative || stored.weight != sent.weight ||
			stored.ndigits != sent.ndigits)
			return false;
		for (int d = 0; d < stored.ndigits; d++)
		{
			if (word_at(stored.digits + d * sizeof(int16)) !=
				sent_word_at(sent.digits + d * sizeof(int16)))
				return false;
		}
	}
	return true;
}

/* The number as an integer and its decimals.  False if it does not fit. */
bool
read_decimal(Datum value, Decimal *decimal, bool *negative)
{
	static enum
	{
		UNTRIED,
		KNOWN,
		UNKNOWN
	}			form = UNTRIED;
	Parts		parts;

	if (unlikely(form != KNOWN))
	{
		if (form == UNTRIED)
			form = stored_form_is_known() ? KNOWN : UNKNOWN;
		if (form == UNKNOWN)
		{
			take_apart_sent(DatumGetByteaPP(DirectFunctionCall1(numeric_send, value)), &parts);
			return put_together(&parts, decimal, negative);
		}
	}
	take_apart_stored(PG_DETOAST_DATUM_PACKED(value), &parts);
	return put_together(&parts, decimal, negative);
}

/* digits / 10^scale with that many decimals; digits fit in an int64. */
Datum
make_decimal(uint64 digits, bool negative, int scale)
{
	int64		value = (int64) digits;

	return NumericGetDatum(int64_div_fast_to_numeric(negative ? -value : value, scale));
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
