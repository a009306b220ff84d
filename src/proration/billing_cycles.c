/*
 * billing_cycles.c
 *		eiot.billing_cycles(): the cycles that an anchor gives.
 */
#include "eiot.h"

#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/rangetypes.h"

#include "calendar.h"

PG_FUNCTION_INFO_V1(eiot_billing_cycles);

typedef int64_t (*CycleStart) (CivilDate anchor, int64_t months);

typedef struct Cycles
{
	TypeCacheEntry *daterange;
	CivilDate	anchor;
	CycleStart	start_of;
	int64		step;			/* months of a cycle */
	int64		months;			/* from the anchor to the next cycle */
	int64		until;
} Cycles;

static int64
months_of(const char *frequency)
{
	if (strcmp(frequency, "month") == 0)
		return 1;
	if (strcmp(frequency, "quarter") == 0)
		return 3;
	if (strcmp(frequency, "year") == 0)
		return 12;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown billing frequency: \"%s\"", frequency),
			 errhint("Use \"month\", \"quarter\" or \"year\".")));
}

static CycleStart
rule_of(const char *month_end)
{
	if (strcmp(month_end, "clamp") == 0)
		return anniversary;
	if (strcmp(month_end, "distance") == 0)
		return month_end_anniversary;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown rule for the end of a month: \"%s\"", month_end),
			 errhint("Use \"clamp\" or \"distance\".")));
}

static DateADT
checked_date(int64 day)
{
	/* Before the comparison inside the macro narrows it. */
	if (day < PG_INT32_MIN || day > PG_INT32_MAX || !IS_VALID_DATE((int32) day))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("date out of range"),
				 errdetail("A billing cycle begins or ends beyond the dates that there are.")));
	return (DateADT) day;
}

/* Finds the cycle of that day: it starts in its month or in one before. */
static void
seek(Cycles *cycles, int64 day)
{
	cycles->months = civil_date(day).month - cycles->anchor.month;
	cycles->months -= cycles->months % cycles->step;
	while (cycles->start_of(cycles->anchor, cycles->months) > day)
		cycles->months -= cycles->step;
}

/* eiot.billing_cycles(anchor date, frequency text, within daterange, month_end text) */
Datum
eiot_billing_cycles(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	Cycles	   *cycles;
	RangeBound	from;
	RangeBound	to;

	if (SRF_IS_FIRSTCALL())
	{
		DateADT		anchor = PG_GETARG_DATEADT(0);
		RangeType  *within = PG_GETARG_RANGE_P(2);
		bool		empty;
		MemoryContext caller;

		call = SRF_FIRSTCALL_INIT();
		caller = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		cycles = palloc0(sizeof(Cycles));
		cycles->step = months_of(text_to_cstring(PG_GETARG_TEXT_PP(1)));
		cycles->start_of = rule_of(text_to_cstring(PG_GETARG_TEXT_PP(3)));
		cycles->daterange = lookup_type_cache(DATERANGEOID, TYPECACHE_RANGE_INFO);
		if (DATE_NOT_FINITE(anchor))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("anchor of billing cycles must be finite")));
		cycles->anchor = civil_date(anchor);

		range_deserialize(cycles->daterange, within, &from, &to, &empty);
		if (empty)
			cycles->until = PG_INT64_MIN;
		else if (from.infinite || to.infinite ||
				 DATE_NOT_FINITE(DatumGetDateADT(from.val)) || DATE_NOT_FINITE(DatumGetDateADT(to.val)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("range of billing cycles has no beginning or no end"),
					 errhint("Give both bounds: there are cycles before the anchor as well.")));
		else
		{
			seek(cycles, DatumGetDateADT(from.val));
			cycles->until = DatumGetDateADT(to.val);
		}
		call->user_fctx = cycles;
		MemoryContextSwitchTo(caller);
	}

	call = SRF_PERCALL_SETUP();
	cycles = call->user_fctx;
	if (cycles->until != PG_INT64_MIN)
	{
		int64		start = cycles->start_of(cycles->anchor, cycles->months);

		if (start < cycles->until)
		{
			cycles->months += cycles->step;
			from.val = DateADTGetDatum(checked_date(start));
			to.val = DateADTGetDatum(checked_date(cycles->start_of(cycles->anchor,
																   cycles->months)));
			from.infinite = to.infinite = false;
			from.inclusive = from.lower = true;
			to.inclusive = to.lower = false;
			SRF_RETURN_NEXT(call, RangeTypePGetDatum(make_range_of(cycles->daterange, &from, &to)));
		}
	}
	SRF_RETURN_DONE(call);
}
