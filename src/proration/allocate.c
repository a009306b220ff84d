/*
 * allocate.c
 *		eiot.allocate(): parts that add up to the rounded total, of the rows of a
 *		window or the elements of an array.
 *
 * The largest remainder: each row gets its exact share rounded down, and what
 * is left goes unit by unit to the rows that lost most, earlier ones first.  The
 * form without a total takes that of the weights, so it rounds amounts so that
 * they add up.
 */
#include "eiot.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "windowapi.h"

#include "decimal.h"

PG_FUNCTION_INFO_V1(eiot_allocate);
PG_FUNCTION_INFO_V1(eiot_allocate_array);

#define ARG_WEIGHT	0
#define ARG_TOTAL	1			/* if there are three */

#define MAX_ALLOCATE_SCALE	1000
#define NO_PART				UINT64_MAX	/* of a row without a weight */

/* Where the weights are: a window's partition, or else the elements of an array. */
typedef struct Weights
{
	WindowObject window;
	Datum	   *elements;
	bool	   *nulls;
} Weights;

/* What the rows of a partition get, in the smallest unit or, beyond that, as they are. */
typedef struct Allocation
{
	bool		computed;
	bool		agreed;			/* no row can state another total or scale */
	bool		nothing;		/* total or scale is null */
	bool		of_weights;		/* the total is theirs */
	bool		negative;
	int			scale;
	Datum		total;			/* stated by each row */
	Datum		rounded;		/* its magnitude */
	int64		nrows;
	uint64	   *parts;			/* magnitudes */
	Datum	   *large_parts;	/* instead, where a magnitude does not fit; 0 for none */
} Allocation;

/* A row to get one of the units that are left. */
typedef struct Candidate
{
	Wide		rest;
	int64		row;
} Candidate;

typedef struct LargeCandidate
{
	Datum		rest;
	int64		row;
} LargeCandidate;

#define call2(function, a, b) DirectFunctionCall2(function, a, b)

static Datum
integer(int64 value)
{
	return NumericGetDatum(int64_to_numeric(value));
}

static void
check_weight(Datum weight)
{
	if (!numeric_is_finite(weight) || numeric_is_negative(weight))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("weight must be a number and not negative: %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, weight)))));
}

static inline Datum
weight_of(const Weights *weights, int64 row, bool *isnull)
{
	bool		isout;

	if (weights->window == NULL)
	{
		*isnull = weights->nulls[row];
		return weights->elements[row];
	}
	return WinGetFuncArgInPartition(weights->window, ARG_WEIGHT, (int) row, WINDOW_SEEK_HEAD, false,
									isnull, &isout);
}

/* Most lost first, then first in the window's order. */
static inline bool
comes_before(Candidate a, Candidate b)
{
	return a.rest != b.rest ? a.rest > b.rest : a.row < b.row;
}

/* Brings the n that come first to the front, in any order; n is not 0. */
static void
select_first(Candidate *candidates, int64 size, int64 n)
{
	int64		low = 0;
	int64		high = size - 1;
	uint64		random = 1;

	while (low < high)
	{
		Candidate	pivot;
		int64		i = low;
		int64		j = high;

		CHECK_FOR_INTERRUPTS();
		/* Any will do; no order of the rows is to be a bad one. */
		random = random * UINT64CONST(6364136223846793005) + 1;
		pivot = candidates[low + (int64) ((random >> 33) % (uint64) (high - low + 1))];

		while (i <= j)
		{
			while (comes_before(candidates[i], pivot))
				i++;
			while (comes_before(pivot, candidates[j]))
				j--;
			if (i <= j)
			{
				Candidate	swapped = candidates[i];

				candidates[i++] = candidates[j];
				candidates[j--] = swapped;
			}
		}
		if (n - 1 <= j)
			high = j;
		else if (n - 1 >= i)
			low = i;
		else
			break;
	}
}

static int
compare_large_candidates(const void *a, const void *b)
{
	const LargeCandidate *x = a;
	const LargeCandidate *y = b;
	int			order = DatumGetInt32(call2(numeric_cmp, y->rest, x->rest));

	return order != 0 ? order : x->row < y->row ? -1 : 1;
}

/* 10^decimals times the number, if that fits. */
static bool
rescale(Decimal decimal, int scale, Wide *digits)
{
	*digits = decimal.digits;
	for (int i = decimal.scale; i < scale && *digits != 0; i++)
	{
		if (__builtin_mul_overflow(*digits, 10, digits))
			return false;
	}
	for (int i = scale; i < decimal.scale; i++)
		*digits /= 10;			/* zeros: the total has been rounded */
	return true;
}

/* All in integers.  False if something does not fit. */
static bool
allocate_integers(Allocation *allocation, const Weights *source, MemoryContext context)
{
	Decimal    *weights = MemoryContextAllocHuge(context, allocation->nrows * sizeof(Decimal));
	Candidate  *candidates = MemoryContextAllocHuge(context, allocation->nrows * sizeof(Candidate));
	uint64	   *parts = MemoryContextAllocHuge(context, allocation->nrows * sizeof(uint64));
	Decimal		one = {1, 0};
	Decimal		decimal;
	Wide		total;
	Wide		multiplier;		/* a share is a weight times this ... */
	Wide		divisor = 0;	/* ... over this */
	Wide		sum = 0;
	uint64		left;
	int64		ncandidates = 0;
	int			scale = 0;
	bool		negative;

	for (int64 row = 0; row < allocation->nrows; row++)
	{
		bool		isnull;
		Datum		weight = weight_of(source, row, &isnull);

		CHECK_FOR_INTERRUPTS();
		parts[row] = isnull ? NO_PART : 0;
		weights[row].digits = 0;
		weights[row].scale = 0;
		if (isnull)
			continue;
		if (!read_decimal(weight, &weights[row], &negative))
			goto does_not_fit;
		if (negative)
			check_weight(weight);
		scale = Max(scale, weights[row].scale);
		candidates[ncandidates++].row = row;
	}
	for (int64 i = 0; i < ncandidates; i++)
	{
		Decimal    *weight = &weights[candidates[i].row];

		if (!rescale(*weight, scale, &weight->digits) ||
			__builtin_add_overflow(sum, weight->digits, &sum))
			goto does_not_fit;
	}

	if (allocation->of_weights)
	{
		int			needless = Max(scale - allocation->scale - TOTAL_EXTRA_SCALE, 0);
		Wide		guard;

		/* As round_total() does. */
		if (!rescale(one, allocation->scale - Min(scale, allocation->scale), &multiplier) ||
			!rescale(one, scale - Min(scale, allocation->scale), &divisor) ||
			!rescale(one, needless, &guard) ||
			__builtin_mul_overflow(sum, multiplier, &total) ||
			!divide_rounded(total, guard, ROUND_HALF_UP, &total) ||
			!divide_rounded(total, divisor / guard, ROUND_HALF_UP, &total))
			goto does_not_fit;
	}
	else
	{
		if (!read_decimal(allocation->rounded, &decimal, &negative) ||
			!rescale(decimal, allocation->scale, &total))
			goto does_not_fit;
		multiplier = total;
		divisor = sum;
		if (sum == 0)
		{
			/* Without any weight all rows are alike. */
			for (int64 i = 0; i < ncandidates; i++)
				weights[candidates[i].row].digits = 1;
			divisor = ncandidates;
		}
	}
	if (total >= NO_PART)
		goto does_not_fit;

	left = (uint64) total;
	for (int64 i = 0; i < ncandidates; i++)
	{
		int64		row = candidates[i].row;
		Wide		share;
		Wide		part;

		if (__builtin_mul_overflow(multiplier, weights[row].digits, &share))
			goto does_not_fit;
		(void) divide_rounded(share, divisor, ROUND_TRUNCATE, &part);
		parts[row] = (uint64) part;
		left -= parts[row];
		candidates[i].rest = share - part * divisor;
	}
	if (left > 0 && ncandidates > 0)
	{
		select_first(candidates, ncandidates, (int64) left);
		for (uint64 i = 0; i < left; i++)
			parts[candidates[i].row]++;
	}

	pfree(weights);
	pfree(candidates);
	allocation->parts = parts;
	return true;

does_not_fit:
	pfree(weights);
	pfree(candidates);
	pfree(parts);
	return false;
}

/* The same in numeric's arithmetic. */
static void
allocate_numerics(Allocation *allocation, const Weights *source, MemoryContext context)
{
	Datum	   *parts = MemoryContextAllocHuge(context, allocation->nrows * sizeof(Datum));
	LargeCandidate *candidates = MemoryContextAllocHuge(context,
														allocation->nrows * sizeof(LargeCandidate));
	MemoryContext caller = MemoryContextSwitchTo(context);
	Datum		multiplier = NumericGetDatum(int64_div_fast_to_numeric(1, -allocation->scale));
	Datum		unit = NumericGetDatum(int64_div_fast_to_numeric(1, allocation->scale));
	Datum		divisor;
	Datum		left;
	Datum		sum = integer(0);
	int64		ncandidates = 0;

	for (int64 row = 0; row < allocation->nrows; row++)
	{
		bool		isnull;
		Datum		weight = weight_of(source, row, &isnull);

		CHECK_FOR_INTERRUPTS();
		parts[row] = (Datum) 0;
		if (isnull)
			continue;
		check_weight(weight);
		parts[row] = datumCopy(weight, false, -1);
		sum = call2(numeric_add, sum, weight);
		candidates[ncandidates++].row = row;
	}
	if (allocation->of_weights)
	{
		sum = call2(numeric_round, sum, Int32GetDatum(allocation->scale + TOTAL_EXTRA_SCALE));
		left = call2(numeric_round, call2(numeric_mul, sum, multiplier), Int32GetDatum(0));
		divisor = integer(1);
	}
	else
	{
		left = multiplier = call2(numeric_mul, allocation->rounded, multiplier);
		divisor = sum;
		if (DatumGetBool(call2(numeric_eq, sum, integer(0))))
		{
			for (int64 i = 0; i < ncandidates; i++)
				parts[candidates[i].row] = integer(1);
			divisor = integer(ncandidates);
		}
	}

	for (int64 i = 0; i < ncandidates; i++)
	{
		Datum	   *part = &parts[candidates[i].row];
		Datum		share = call2(numeric_mul, multiplier, *part);

		CHECK_FOR_INTERRUPTS();
		*part = call2(numeric_div_trunc, share, divisor);
		left = call2(numeric_sub, left, *part);
		candidates[i].rest = call2(numeric_sub, share, call2(numeric_mul, *part, divisor));
	}
	if (ncandidates > 0)
	{
		/* No more than there are rows. */
		int64		nleft = DatumGetInt64(DirectFunctionCall1(numeric_int8, left));

		qsort(candidates, ncandidates, sizeof(LargeCandidate), compare_large_candidates);
		for (int64 i = 0; i < nleft; i++)
			parts[candidates[i].row] = call2(numeric_add, parts[candidates[i].row], integer(1));
	}
	for (int64 i = 0; i < ncandidates; i++)
	{
		Datum	   *part = &parts[candidates[i].row];

		CHECK_FOR_INTERRUPTS();
		*part = call2(numeric_round, call2(numeric_mul, *part, unit),
					  Int32GetDatum(allocation->scale));
		if (allocation->negative)
			*part = DirectFunctionCall1(numeric_uminus, *part);
	}
	pfree(candidates);
	MemoryContextSwitchTo(caller);
	allocation->large_parts = parts;
}

/* What the current row states; the last argument is the scale. */
static void
get_statement(FunctionCallInfo fcinfo, Datum *total, int *scale, bool *isnull)
{
	WindowObject window = PG_WINDOW_OBJECT();
	bool		has_total = PG_NARGS() > 2;
	bool		total_isnull = false;

	*total = has_total ? WinGetFuncArgCurrent(window, ARG_TOTAL, &total_isnull) : (Datum) 0;
	*scale = DatumGetInt32(WinGetFuncArgCurrent(window, PG_NARGS() - 1, isnull));
	*isnull = *isnull || total_isnull;
}

/* Constants and parameters are the same in each row. */
static bool
statement_is_constant(FunctionCallInfo fcinfo)
{
	for (int arg = ARG_TOTAL; arg < PG_NARGS(); arg++)
	{
		if (!get_fn_expr_arg_stable(fcinfo->flinfo, arg))
			return false;
	}
	return true;
}

/* The scale is set, and so is nrows; total is ignored where it is that of the weights. */
static void
allocate(Allocation *allocation, const Weights *weights, Datum total, MemoryContext context)
{
	if (allocation->scale < 0 || allocation->scale > MAX_ALLOCATE_SCALE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scale of an allocation is out of range: %d", allocation->scale),
				 errhint("Give a number of decimals from 0 to %d.", MAX_ALLOCATE_SCALE)));
	if (!allocation->of_weights)
	{
		MemoryContext caller;

		if (!numeric_is_finite(total))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("total must be a number: %s",
							DatumGetCString(DirectFunctionCall1(numeric_out, total)))));
		caller = MemoryContextSwitchTo(context);
		allocation->total = datumCopy(total, false, -1);
		allocation->rounded = call2(numeric_round, DirectFunctionCall1(numeric_abs, total),
									Int32GetDatum(allocation->scale));
		MemoryContextSwitchTo(caller);
		allocation->negative = numeric_is_negative(total);
	}
	if (!allocate_integers(allocation, weights, context))
		allocate_numerics(allocation, weights, context);
}

static void
allocate_partition(Allocation *allocation, FunctionCallInfo fcinfo, MemoryContext context)
{
	Weights		weights = {.window = PG_WINDOW_OBJECT()};
	Datum		total;

	get_statement(fcinfo, &total, &allocation->scale, &allocation->nothing);
	if (allocation->nothing)
		return;
	allocation->of_weights = PG_NARGS() == 2;
	allocation->nrows = WinGetPartitionRowCount(weights.window);
	if (allocation->nrows > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("partition has too many rows to allocate to: %lld",
						(long long) allocation->nrows)));
	allocate(allocation, &weights, total, context);
}

/* Total and scale are the partition's, so each row must state the same. */
static void
check_agreement(const Allocation *allocation, FunctionCallInfo fcinfo)
{
	Datum		total;
	int			scale;
	bool		isnull;

	get_statement(fcinfo, &total, &scale, &isnull);
	if (isnull && allocation->nothing)
		return;
	if (isnull != allocation->nothing || scale != allocation->scale ||
		(!allocation->of_weights &&
		 !datumIsEqual(total, allocation->total, false, -1) &&
		 !DatumGetBool(call2(numeric_eq, total, allocation->total))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows of one partition disagree on its total or scale"),
				 errdetail("Both are those of the whole partition, so each of its rows must state the same."),
				 errhint("Partition by what the total belongs to.")));
}

static Datum
part_of(const Allocation *allocation, int64 row, bool *isnull)
{
	*isnull = allocation->parts != NULL ? allocation->parts[row] == NO_PART :
		allocation->large_parts[row] == (Datum) 0;
	if (*isnull)
		return (Datum) 0;
	if (allocation->parts != NULL)
		return make_decimal(allocation->parts[row], allocation->negative, allocation->scale);
	return allocation->large_parts[row];
}

/* eiot.allocate(weight numeric, [total numeric,] scale int) OVER (...) */
Datum
eiot_allocate(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Allocation *allocation = WinGetPartitionLocalMemory(window, sizeof(Allocation));
	int64		row = WinGetCurrentPosition(window);

	if (!allocation->computed)
	{
		allocate_partition(allocation, fcinfo, GetMemoryChunkContext(allocation));
		allocation->agreed = statement_is_constant(fcinfo);
		allocation->computed = true;
	}
	else if (!allocation->agreed)
		check_agreement(allocation, fcinfo);
	if (allocation->nothing)
		PG_RETURN_NULL();
	return part_of(allocation, row, &fcinfo->isnull);
}

/* eiot.allocate(weights numeric[], [total numeric,] scale int) */
Datum
eiot_allocate_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Allocation	allocation = {.of_weights = PG_NARGS() == 2};
	Weights		weights = {0};
	Datum	   *parts;
	int			n;

	if (ARR_ELEMTYPE(array) != NUMERICOID)
		elog(ERROR, "weights are not numeric");
	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &weights.elements, &weights.nulls, &n);
	allocation.nrows = n;
	allocation.scale = PG_GETARG_INT32(PG_NARGS() - 1);
	allocate(&allocation, &weights, PG_NARGS() > 2 ? PG_GETARG_DATUM(1) : (Datum) 0,
			 CurrentMemoryContext);

	parts = weights.elements;
	for (int i = 0; i < n; i++)
		parts[i] = part_of(&allocation, i, &weights.nulls[i]);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(parts, weights.nulls, ARR_NDIM(array), ARR_DIMS(array),
											 ARR_LBOUND(array), NUMERICOID, -1, false, TYPALIGN_INT));
}
