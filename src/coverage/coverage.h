/*
 * coverage.h
 *		The type eiot.coverage: counted devices set against capacity.
 *
 * It is both a value for people ("1204/1200") and the state of the aggregates
 * in coverage_agg.c, so it has two capacities that no user states: NONE, before
 * any row has named one, and TOO_LARGE, a pooled sum beyond bigint.  The latter
 * is kept, not raised, because an unlimited capacity may still join the pool:
 * the result must not depend on the order of the rows.
 */
#ifndef EIOT_COVERAGE_H
#define EIOT_COVERAGE_H

#include "eiot.h"

#include "common/int.h"

typedef struct Coverage
{
	int64		devices;		/* never negative */
	int64		capacity;		/* never negative but for the two below */
} Coverage;

#define CAPACITY_UNLIMITED	PG_INT64_MAX
#define CAPACITY_NONE		INT64CONST(-1)
#define CAPACITY_TOO_LARGE	INT64CONST(-2)

#define DatumGetCoverageP(d) ((Coverage *) DatumGetPointer(d))
#define PG_GETARG_COVERAGE_P(n) DatumGetCoverageP(PG_GETARG_DATUM(n))
#define PG_RETURN_COVERAGE_P(x) return PointerGetDatum(x)

extern Coverage *make_coverage(int64 devices, int64 capacity);
extern int64 add_devices(int64 a, int64 b);
extern int64 pool_capacity(int64 a, int64 b);
extern int64 coverage_stated_capacity(const Coverage *coverage);
extern int64 coverage_devices_missing(const Coverage *coverage);
extern void check_capacity(int64 capacity);

#endif							/* EIOT_COVERAGE_H */
