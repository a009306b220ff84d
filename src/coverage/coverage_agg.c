/*
 * coverage_agg.c
 *		The aggregates over eiot.coverage.
 *
 * Two ways of putting values together:
 *
 * - rows or parts of *one* group (accum, combine): devices add up, and all must
 *	 state the same capacity, since it is the group's and not the row's;
 * - *different* groups (pool): devices and capacities both add up.
 *
 * The state is the SQL type itself, 16 bytes, changed in place, so parallel,
 * partition-wise and distributed plans need nothing but the combine function.
 * Over window frames rows leave again; that needs the number of rows in the
 * frame, which the type does not carry, hence MovingCoverage.
 */
#include "coverage.h"

PG_FUNCTION_INFO_V1(eiot_coverage_accum);
PG_FUNCTION_INFO_V1(eiot_coverage_combine);
PG_FUNCTION_INFO_V1(eiot_coverage_pool);
PG_FUNCTION_INFO_V1(eiot_coverage_final);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_accum);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_discard);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_pool);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_unpool);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_gap);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_final);
PG_FUNCTION_INFO_V1(eiot_coverage_moving_pooled);

/* State over a window frame. */
typedef struct MovingCoverage
{
	int64		rows;			/* rows in the frame, of a pool the non-null ones */
	int64		unlimited;		/* of these, pools without a limit */
	Coverage	coverage;		/* of a pool: of those with a limit, and all devices */
} MovingCoverage;

static char *
capacity_for_people(int64 capacity)
{
	return capacity == CAPACITY_UNLIMITED ? pstrdup("unlimited") :
		psprintf("%lld", (long long) capacity);
}

static void
disagree(int64 a, int64 b)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rows of one group disagree on its capacity: %s and %s",
					capacity_for_people(a), capacity_for_people(b)),
			 errdetail("The capacity is that of the whole group, so each of its rows must state the same; NULL states 0."),
			 errhint("Group by what the capacity belongs to, or pool groups with eiot.coverage_agg(eiot.coverage).")));
}

/* The capacity of a group after one more statement of it. */
static inline int64
agree(int64 known, int64 stated)
{
	if (known == CAPACITY_NONE)
		return stated;
	if (unlikely(stated != known && stated != CAPACITY_NONE))
		disagree(known, stated);
	return known;
}

/*
 * The first argument, to be changed in place: as a transition function its own
 * state, else (called by hand) a copy, for the caller's value is not ours.
 */
static inline Coverage *
state_to_change(FunctionCallInfo fcinfo)
{
	Coverage   *state = PG_GETARG_COVERAGE_P(0);

	if (likely(AggCheckCallContext(fcinfo, NULL)))
		return state;
	return make_coverage(state->devices, state->capacity);
}

static inline int64
stated_capacity(FunctionCallInfo fcinfo)
{
	int64		capacity = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);

	check_capacity(capacity);
	return capacity;
}

/* accum(state, counted boolean, capacity bigint): one more device row */
Datum
eiot_coverage_accum(PG_FUNCTION_ARGS)
{
	Coverage   *state;
	int64		capacity = stated_capacity(fcinfo);

	if (PG_ARGISNULL(0))
		elog(ERROR, "coverage_accum called without a state");
	state = state_to_change(fcinfo);
	state->capacity = agree(state->capacity, capacity);
	if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1))
		state->devices = add_devices(state->devices, 1);
	PG_RETURN_COVERAGE_P(state);
}

/* combine(state, part): parts of one group */
Datum
eiot_coverage_combine(PG_FUNCTION_ARGS)
{
	Coverage   *state = state_to_change(fcinfo);
	const Coverage *part = PG_GETARG_COVERAGE_P(1);

	state->capacity = agree(state->capacity, part->capacity);
	state->devices = add_devices(state->devices, part->devices);
	PG_RETURN_COVERAGE_P(state);
}

/* pool(state, coverage): different groups */
Datum
eiot_coverage_pool(PG_FUNCTION_ARGS)
{
	Coverage   *state = state_to_change(fcinfo);
	const Coverage *other = PG_GETARG_COVERAGE_P(1);

	state->capacity = pool_capacity(state->capacity, other->capacity);
	state->devices = add_devices(state->devices, other->devices);
	PG_RETURN_COVERAGE_P(state);
}

/* The state as a result, once its capacity is known to be a number. */
Datum
eiot_coverage_final(PG_FUNCTION_ARGS)
{
	Coverage   *state = PG_GETARG_COVERAGE_P(0);

	(void) coverage_stated_capacity(state);
	PG_RETURN_COVERAGE_P(state);
}

/* The frame's state, made on its first row; SQL cannot call these functions. */
static MovingCoverage *
moving_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	MovingCoverage *state;

	if (!PG_ARGISNULL(0))
		return (MovingCoverage *) PG_GETARG_POINTER(0);
	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "moving coverage function called outside an aggregate");
	state = MemoryContextAllocZero(context, sizeof(MovingCoverage));
	state->coverage.capacity = CAPACITY_NONE;
	return state;
}

Datum
eiot_coverage_moving_accum(PG_FUNCTION_ARGS)
{
	MovingCoverage *state = moving_state(fcinfo);

	state->coverage.capacity = agree(state->coverage.capacity, stated_capacity(fcinfo));
	if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1))
		state->coverage.devices = add_devices(state->coverage.devices, 1);
	state->rows++;
	PG_RETURN_POINTER(state);
}

/* A row leaves the frame; with the last one the capacity is open again. */
Datum
eiot_coverage_moving_discard(PG_FUNCTION_ARGS)
{
	MovingCoverage *state = moving_state(fcinfo);

	if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1))
		state->coverage.devices--;
	if (--state->rows == 0)
		state->coverage.capacity = CAPACITY_NONE;
	PG_RETURN_POINTER(state);
}

Datum
eiot_coverage_moving_pool(PG_FUNCTION_ARGS)
{
	MovingCoverage *state = moving_state(fcinfo);
	const Coverage *other;

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(state);
	other = PG_GETARG_COVERAGE_P(1);
	if (other->capacity == CAPACITY_UNLIMITED)
		state->unlimited++;
	else
		state->coverage.capacity = pool_capacity(state->coverage.capacity, other->capacity);
	state->coverage.devices = add_devices(state->coverage.devices, other->devices);
	state->rows++;
	PG_RETURN_POINTER(state);
}

/* NULL, which makes the executor start the frame anew, where a sum is lost. */
Datum
eiot_coverage_moving_unpool(PG_FUNCTION_ARGS)
{
	MovingCoverage *state = moving_state(fcinfo);
	const Coverage *other;

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(state);
	other = PG_GETARG_COVERAGE_P(1);
	if (state->coverage.capacity == CAPACITY_TOO_LARGE)
		PG_RETURN_NULL();
	if (other->capacity == CAPACITY_UNLIMITED)
		state->unlimited--;
	else if (other->capacity != CAPACITY_NONE)
		state->coverage.capacity -= other->capacity;
	state->coverage.devices -= other->devices;
	if (--state->rows == 0)
		state->coverage.capacity = CAPACITY_NONE;
	PG_RETURN_POINTER(state);
}

/* What the frame holds; an empty one holds no device and names no capacity. */
static Coverage
moving_coverage(FunctionCallInfo fcinfo)
{
	MovingCoverage *state;
	Coverage	result = {0, CAPACITY_NONE};

	if (PG_ARGISNULL(0))
		return result;
	state = (MovingCoverage *) PG_GETARG_POINTER(0);
	result = state->coverage;
	if (state->unlimited > 0)
		result.capacity = CAPACITY_UNLIMITED;
	return result;
}

Datum
eiot_coverage_moving_gap(PG_FUNCTION_ARGS)
{
	Coverage	result = moving_coverage(fcinfo);

	PG_RETURN_INT64(coverage_devices_missing(&result));
}

Datum
eiot_coverage_moving_final(PG_FUNCTION_ARGS)
{
	Coverage	result = moving_coverage(fcinfo);

	(void) coverage_stated_capacity(&result);
	PG_RETURN_COVERAGE_P(make_coverage(result.devices, result.capacity));
}

/* The same for a pool, whose capacity is 0 where nothing was pooled. */
Datum
eiot_coverage_moving_pooled(PG_FUNCTION_ARGS)
{
	Coverage	result = moving_coverage(fcinfo);

	PG_RETURN_COVERAGE_P(make_coverage(result.devices, coverage_stated_capacity(&result)));
}
