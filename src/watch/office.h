/*
 * office.h
 *		SQL over the bookkeeping of live coverage.
 */
#ifndef EIOT_OFFICE_H
#define EIOT_OFFICE_H

#include "watch.h"

#include "executor/spi.h"

typedef struct Office
{
	Oid			user;
	int			security_context;
	int			guc_level;
} Office;

typedef struct LiveQuery
{
	const char *text;
	int			nargs;
	Oid			types[6];
	SPIPlanPtr	plan;
} LiveQuery;

extern void enter_office(Office *office);
extern void leave_office(Office *office);
extern void set_count_warning_units(bool on);
extern uint64 run_query(LiveQuery *query, Datum *values);
extern Datum result_value(uint64 row, int column, bool *isnull);
extern int64 result_int64(uint64 row, int column);

#endif							/* EIOT_OFFICE_H */
