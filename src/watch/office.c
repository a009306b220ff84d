/*
 * office.c
 *		SQL over the bookkeeping, with the rights of who owns it: whoever commits
 *		has none of their own.
 */
#include "office.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

/* Do units in the grace period cover devices?  Until leave_office(). */
void
set_count_warning_units(bool on)
{
	(void) set_config_option("eiot.count_warning_units", on ? "on" : "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* From here to leave_office() we are the owner of the bookkeeping, within SPI. */
void
enter_office(Office *office)
{
	Oid			owner = relation_owner(live_relations(false)->tenant);

	GetUserIdAndSecContext(&office->user, &office->security_context);
	SetUserIdAndSecContext(owner, office->security_context | SECURITY_LOCAL_USERID_CHANGE);
	office->guc_level = NewGUCNestLevel();
	/* Whose turn it is must not depend on who commits. */
	set_count_warning_units(true);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
leave_office(Office *office)
{
	SPI_finish();
	AtEOXact_GUC(true, office->guc_level);
	SetUserIdAndSecContext(office->user, office->security_context);
}

/* Runs a query over what is committed now, and what this transaction did. */
uint64
run_query(LiveQuery *query, Datum *values)
{
	int			result;

	if (query->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(query->text, query->nargs, query->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		query->plan = plan;
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	result = SPI_execute_snapshot(query->plan, values, NULL, GetActiveSnapshot(), InvalidSnapshot,
								  false, true, 0);
	PopActiveSnapshot();
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

Datum
result_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

int64
result_int64(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}
