/*
 * peak.c
 *		Aggregate eiot.peak: the largest number of spans that overlap.
 *
 * Its state has to hold all spans until the end: which of them overlap is known
 * only when they are sorted.  So it is no SQL type but "internal", and has
 * functions to be sent between processes.
 */
#include "spans.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(eiot_peak_accum);
PG_FUNCTION_INFO_V1(eiot_spans_combine);
PG_FUNCTION_INFO_V1(eiot_spans_serialize);
PG_FUNCTION_INFO_V1(eiot_spans_deserialize);
PG_FUNCTION_INFO_V1(eiot_peak_final);

#define FORMAT_VERSION		1
#define HEADER_SIZE			(1 + 2 * sizeof(int64))

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate support function called outside an aggregate");
	return context;
}

/* peak_accum(state, active tstzrange): one more span; NULL and empty are none */
Datum
eiot_peak_accum(PG_FUNCTION_ARGS)
{
	Spans	   *spans = PG_ARGISNULL(0) ? NULL : (Spans *) PG_GETARG_POINTER(0);
	RangeType  *range;
	TimestampTz start;
	TimestampTz end;

	if (!PG_ARGISNULL(1))
	{
		range = PG_GETARG_RANGE_P(1);
		if (range_to_span(range_get_typcache(fcinfo, RangeTypeGetOid(range)), range, &start, &end))
		{
			if (spans == NULL)
				spans = make_spans(aggregate_context(fcinfo));
			add_span(spans, start, end);
		}
	}
	if (spans == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(spans);
}

/* spans_combine(state, part) */
Datum
eiot_spans_combine(PG_FUNCTION_ARGS)
{
	Spans	   *spans = PG_ARGISNULL(0) ? NULL : (Spans *) PG_GETARG_POINTER(0);

	if (!PG_ARGISNULL(1))
	{
		const Spans *part = (const Spans *) PG_GETARG_POINTER(1);

		/* The part may lie in short-lived memory, so it never becomes the state. */
		if (spans == NULL)
			spans = make_spans(aggregate_context(fcinfo));
		add_instants(&spans->starts, part->starts.at, part->starts.n);
		add_instants(&spans->ends, part->ends.at, part->ends.n);
	}
	if (spans == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(spans);
}

static void
send_instants(StringInfo buffer, const Instants *list)
{
	for (int64 i = 0; i < list->n; i++)
		pq_sendint64(buffer, list->at[i]);
}

/* spans_serialize(state): format, the lengths of both lists, their instants */
Datum
eiot_spans_serialize(PG_FUNCTION_ARGS)
{
	const Spans *spans = (const Spans *) PG_GETARG_POINTER(0);
	StringInfoData buffer;
	uint64		size = HEADER_SIZE + (spans->starts.n + spans->ends.n) * sizeof(TimestampTz);

	if (size >= MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many spans in one group to be sent between processes"),
				 errdetail("One process has %lld spans of the group.", (long long) spans->starts.n),
				 errhint("Aggregate in one process: SET max_parallel_workers_per_gather = 0.")));
	pq_begintypsend(&buffer);
	enlargeStringInfo(&buffer, (int) size);
	pq_sendbyte(&buffer, FORMAT_VERSION);
	pq_sendint64(&buffer, spans->starts.n);
	pq_sendint64(&buffer, spans->ends.n);
	send_instants(&buffer, &spans->starts);
	send_instants(&buffer, &spans->ends);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

static void
receive_instants(StringInfo buffer, Instants *list, int64 n)
{
	for (int64 i = 0; i < n; i++)
		add_instant(list, pq_getmsgint64(buffer));
}

/* spans_deserialize(bytea, internal): in the caller's memory */
Datum
eiot_spans_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *sent = PG_GETARG_BYTEA_PP(0);
	StringInfoData buffer;
	Spans	   *spans = make_spans(CurrentMemoryContext);
	int64		nstarts;
	int64		nends;

	/* Read where it lies. */
	memset(&buffer, 0, sizeof(buffer));
	buffer.data = VARDATA_ANY(sent);
	buffer.len = VARSIZE_ANY_EXHDR(sent);

	if (pq_getmsgbyte(&buffer) != FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unknown format of a set of spans")));
	nstarts = pq_getmsgint64(&buffer);
	nends = pq_getmsgint64(&buffer);
	if (nstarts < 0 || nends < 0 || nends > nstarts)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid set of spans")));
	receive_instants(&buffer, &spans->starts, nstarts);
	receive_instants(&buffer, &spans->ends, nends);
	pq_getmsgend(&buffer);
	PG_RETURN_POINTER(spans);
}

/*
 * The peak, and the first instant of it, which is always one at which a span
 * begins.  What ends at an instant has ended before that begins.
 */
static int64
find_peak(Spans *spans, TimestampTz *at)
{
	const Instants *starts = &spans->starts;
	const Instants *ends = &spans->ends;
	int64		peak = 0;
	int64		i = 0;
	int64		ended = 0;

	sort_instants(&spans->starts);
	sort_instants(&spans->ends);
	while (i < starts->n)
	{
		TimestampTz now = starts->at[i];

		if (unlikely((i & 0xffff) == 0))
			CHECK_FOR_INTERRUPTS();
		while (ended < ends->n && ends->at[ended] <= now)
			ended++;
		while (i < starts->n && starts->at[i] == now)
			i++;
		if (i - ended > peak)
		{
			peak = i - ended;
			*at = now;
		}
	}
	return peak;
}

/* peak_final(state): (0,) where no span holds any instant */
Datum
eiot_peak_final(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	TimestampTz at = 0;
	Datum		values[2];
	bool		nulls[2] = {false, true};
	int64		peak = 0;

	if (!PG_ARGISNULL(0))
	{
		peak = find_peak((Spans *) PG_GETARG_POINTER(0), &at);
		nulls[1] = false;
	}

	tupdesc = (TupleDesc) fcinfo->flinfo->fn_extra;
	if (tupdesc == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		tupdesc = BlessTupleDesc(tupdesc);
		fcinfo->flinfo->fn_extra = tupdesc;
		MemoryContextSwitchTo(caller);
	}
	values[0] = Int64GetDatum(peak);
	values[1] = TimestampTzGetDatum(at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}
