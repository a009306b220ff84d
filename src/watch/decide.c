/*
 * decide.c
 *		What is done to a tenant under its exclusive lock: counts are brought up
 *		to date, and then its flag is decided.
 */
#include "decide.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

LiveQuery all_watches = {
	.text = "SELECT w.watch_id, w.epoch, w.stale FROM eiot.watched w ORDER BY 1"
};

static LiveQuery forget_tenants[] = {
	{.text = "DELETE FROM eiot.live_tenant l WHERE l.tenant_id OPERATOR(pg_catalog.=) ANY ($1)"
		" AND NOT EXISTS (SELECT FROM eiot.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) l.tenant_id)", .nargs = 1, .types = {UUIDARRAYOID}},
	{.text = "DELETE FROM eiot.live_count l WHERE l.tenant_id OPERATOR(pg_catalog.=) ANY ($1)"
		" AND NOT EXISTS (SELECT FROM eiot.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) l.tenant_id)", .nargs = 1, .types = {UUIDARRAYOID}},
	{.text = "DELETE FROM eiot.live_delta l WHERE l.tenant_id OPERATOR(pg_catalog.=) ANY ($1)"
		" AND NOT EXISTS (SELECT FROM eiot.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) l.tenant_id)", .nargs = 1, .types = {UUIDARRAYOID}},
	{.text = "DELETE FROM eiot.alert l WHERE l.tenant_id OPERATOR(pg_catalog.=) ANY ($1)"
		" AND NOT EXISTS (SELECT FROM eiot.tenant t WHERE t.tenant_id OPERATOR(pg_catalog.=) l.tenant_id)", .nargs = 1, .types = {UUIDARRAYOID}}
};

static LiveQuery forget_watches[] = {
	{.text = "DELETE FROM eiot.watched w WHERE eiot.watch_epoch(w.watch_id) IS NULL"},
	{.text = "DELETE FROM eiot.live_count b WHERE NOT EXISTS (SELECT FROM eiot.watched w WHERE w.watch_id OPERATOR(pg_catalog.=) b.watch_id)"},
	{.text = "DELETE FROM eiot.live_delta d WHERE NOT EXISTS (SELECT FROM eiot.watched w WHERE w.watch_id OPERATOR(pg_catalog.=) d.watch_id)"}
};

static LiveQuery forget_unwatched = {
	.text = "DELETE FROM eiot.live_tenant l WHERE NOT EXISTS (SELECT FROM eiot.watched w)"
};

static LiveQuery set_limits = {
	.text = "INSERT INTO eiot.live_tenant AS l (tenant_id, capacity, capacity_from, due_at, raise_above, clear_at, count_warning_units)"
	" SELECT n.tenant_id, n.capacity, $2, n.due_at, n.raise_above, n.clear_at, $3 FROM eiot.live_limits($1, $2, $3) n"
	" ON CONFLICT (tenant_id) DO UPDATE SET capacity = EXCLUDED.capacity, capacity_from = EXCLUDED.capacity_from,"
	" due_at = EXCLUDED.due_at, raise_above = EXCLUDED.raise_above, clear_at = EXCLUDED.clear_at,"
	" count_warning_units = EXCLUDED.count_warning_units",
	.nargs = 3, .types = {UUIDARRAYOID, TIMESTAMPTZOID, BOOLOID}
};

static LiveQuery due_at_once = {
	.text = "UPDATE eiot.live_tenant SET due_at = '-infinity' WHERE tenant_id OPERATOR(pg_catalog.=) ANY ($1)",
	.nargs = 1, .types = {UUIDARRAYOID}
};

/* $1 watch, $2 tenants, $3 as_of, $4 epoch, $5 those to be counted in any case */
static LiveQuery what_to_do = {
	.text = "SELECT pg_catalog.array_agg(n.tenant_id) FILTER (WHERE n.recount), pg_catalog.array_agg(n.tenant_id) FILTER (WHERE NOT n.recount AND n.due)"
	" FROM (SELECT t.tenant_id, b.due_at OPERATOR(pg_catalog.<=) $3 AS due,"
	"   (b.tenant_id IS NULL OR b.epoch OPERATOR(pg_catalog.<>) $4 OR b.counted_keys OPERATOR(pg_catalog.<>) COALESCE(r.counted_keys, 0)"
	"    OR b.inactive_after IS DISTINCT FROM r.inactive_after OR t.tenant_id OPERATOR(pg_catalog.=) ANY ($5)) AS recount"
	"  FROM eiot.tenant t"
	"  LEFT JOIN eiot.counting_rule r ON CASE WHEN t.counting_rule IS NULL"
	"   THEN r.valid OPERATOR(pg_catalog.@>) CAST(pg_catalog.timezone('UTC', $3) AS pg_catalog.date) ELSE r.name OPERATOR(pg_catalog.=) t.counting_rule END"
	"  LEFT JOIN eiot.live_count b ON b.tenant_id OPERATOR(pg_catalog.=) t.tenant_id AND b.watch_id OPERATOR(pg_catalog.=) $1"
	"  WHERE t.tenant_id OPERATOR(pg_catalog.=) ANY ($2)) n",
	.nargs = 5, .types = {INT8OID, UUIDARRAYOID, TIMESTAMPTZOID, INT8OID, UUIDARRAYOID}
};

static LiveQuery count_anew = {
	.text = "INSERT INTO eiot.live_count AS b (tenant_id, watch_id, devices, counted, counted_keys, inactive_after, active_since, oldest, due_at, epoch)"
	" SELECT m.tenant_id, $1, m.devices OPERATOR(pg_catalog.-) COALESCE(d.devices, 0), m.counted OPERATOR(pg_catalog.-) COALESCE(d.counted, 0),"
	"  m.counted_keys, m.inactive_after, m.active_since, m.oldest, m.due_at, $4"
	" FROM eiot.live_measure($1, $2, $3) m"
	" LEFT JOIN (SELECT d.tenant_id, CAST(pg_catalog.sum(d.devices) AS bigint) AS devices, CAST(pg_catalog.sum(d.counted) AS bigint) AS counted"
	"  FROM eiot.live_delta d WHERE d.watch_id OPERATOR(pg_catalog.=) $1 AND d.tenant_id OPERATOR(pg_catalog.=) ANY ($2) GROUP BY d.tenant_id) d"
	"  ON d.tenant_id OPERATOR(pg_catalog.=) m.tenant_id"
	" ON CONFLICT (tenant_id, watch_id) DO UPDATE SET devices = EXCLUDED.devices, counted = EXCLUDED.counted,"
	"  counted_keys = EXCLUDED.counted_keys, inactive_after = EXCLUDED.inactive_after, active_since = EXCLUDED.active_since,"
	"  oldest = EXCLUDED.oldest, due_at = EXCLUDED.due_at, epoch = EXCLUDED.epoch",
	.nargs = 4, .types = {INT8OID, UUIDARRAYOID, TIMESTAMPTZOID, INT8OID}
};

/* Moves active_since forward: what fell silent in between counts no more. */
static LiveQuery move_on = {
	.text = "WITH m AS (SELECT b.tenant_id, b.counted_keys, b.inactive_after, b.oldest, b.active_since AS since, s.active_since,"
	"   CASE WHEN b.inactive_after IS NULL THEN s.active_since ELSE eiot.look_again_at(s.active_since, b.inactive_after) END AS ahead,"
	"   CASE WHEN t.counting_rule IS NULL THEN eiot.next_rule_change($3) END AS rule_until"
	"  FROM eiot.live_count b"
	"  JOIN eiot.tenant t ON t.tenant_id OPERATOR(pg_catalog.=) b.tenant_id"
	"  CROSS JOIN LATERAL (SELECT GREATEST(b.active_since, COALESCE(eiot.active_since($3, b.inactive_after), '-infinity')) AS active_since) s"
	"  WHERE b.watch_id OPERATOR(pg_catalog.=) $1 AND b.tenant_id OPERATOR(pg_catalog.=) ANY ($2))"
	" UPDATE eiot.live_count b SET counted = b.counted OPERATOR(pg_catalog.-) n.silent, active_since = n.active_since, oldest = n.oldest,"
	"  due_at = LEAST(eiot.silent_at(n.oldest, b.inactive_after), n.rule_until)"
	" FROM (SELECT m.tenant_id, m.active_since, m.rule_until, s.silent,"
	"   CASE WHEN m.inactive_after IS NULL THEN m.oldest ELSE LEAST(s.next, m.ahead) END AS oldest"
	"  FROM (SELECT pg_catalog.array_agg(m.tenant_id) AS tenants, pg_catalog.array_agg(m.counted_keys) AS counted_keys,"
	"    pg_catalog.array_agg(m.since) AS since, pg_catalog.array_agg(m.active_since) AS until, pg_catalog.array_agg(m.ahead) AS ahead FROM m) a"
	"  CROSS JOIN LATERAL eiot.live_silent($1, a.tenants, a.counted_keys, a.since, a.until, a.ahead) s"
	"  JOIN m ON m.tenant_id OPERATOR(pg_catalog.=) s.tenant_id) n"
	" WHERE b.watch_id OPERATOR(pg_catalog.=) $1 AND b.tenant_id OPERATOR(pg_catalog.=) n.tenant_id",
	.nargs = 3, .types = {INT8OID, UUIDARRAYOID, TIMESTAMPTZOID}
};

static LiveQuery lower_oldest = {
	.text = "UPDATE eiot.live_count b SET oldest = $3, due_at = LEAST(b.due_at, eiot.silent_at($3, b.inactive_after))"
	" WHERE b.watch_id OPERATOR(pg_catalog.=) $1 AND b.tenant_id OPERATOR(pg_catalog.=) $2 AND b.oldest OPERATOR(pg_catalog.>) $3"
	"  AND $3 OPERATOR(pg_catalog.>=) b.active_since",
	.nargs = 3, .types = {INT8OID, UUIDOID, TIMESTAMPTZOID}
};

static LiveQuery watch_is_right = {
	.text = "UPDATE eiot.watched w SET epoch = $2, stale = false"
	" WHERE w.watch_id OPERATOR(pg_catalog.=) $1 AND (w.stale OR w.epoch OPERATOR(pg_catalog.<>) $2)",
	.nargs = 2, .types = {INT8OID, INT8OID}
};

static LiveQuery count_at = {
	.text = "SELECT n.devices, n.counted FROM eiot.live_now($1, $2) n",
	.nargs = 2, .types = {UUIDOID, TIMESTAMPTZOID}
};

static LiveQuery write_event = {
	.text = "INSERT INTO eiot.flag_event AS e (tenant_id, at, kind, devices, capacity, gap)"
	" VALUES ($1, $2, $3, $4, NULLIF($5, eiot.unlimited()), GREATEST($4 OPERATOR(pg_catalog.-) $5, 0))"
	" RETURNING pg_catalog.json_build_object('flag_event_id', e.flag_event_id, 'tenant_id', e.tenant_id, 'at', e.at, 'kind', e.kind,"
	"  'devices', e.devices, 'capacity', e.capacity, 'gap', e.gap)::text",
	.nargs = 5, .types = {UUIDOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT8OID}
};

static LiveQuery set_flag = {
	.text = "UPDATE eiot.live_tenant SET flagged = $2, since = $3 WHERE tenant_id OPERATOR(pg_catalog.=) $1",
	.nargs = 3, .types = {UUIDOID, BOOLOID, TIMESTAMPTZOID}
};

/* Their tenants, or those alone whose counts are stale. */
Datum
uuid_array(const LiveItem *items, int nitems, bool stale_only)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(1, nitems));
	int			n = 0;

	for (int i = 0; i < nitems; i += items[i].ncounts)
	{
		if (!stale_only || items[i].stale)
			values[n++] = UUIDPGetDatum(&items[i].tenant);
	}
	return PointerGetDatum(construct_array(values, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* ---- what the counts are now, and whether that is all right */

static const LiveCount *
find_count(const LiveTenant *live, int64 watch_id)
{
	for (int i = 0; i < live->ncounts; i++)
	{
		if (live->counts[i].watch_id == watch_id)
			return &live->counts[i];
	}
	return NULL;
}

/* Were all changes judged as the count is kept? */
static bool
judged_right(const TenantCount *change, const LiveCount *count)
{
	if (change->recount || count == NULL || count->counted_keys != change->used_counted_keys ||
		count->active_since < change->highest_active_since)
		return false;
	return count->active_since == change->lowest_active_since ||
		count->active_since <= change->xact_oldest_counted;
}

/* Keep for the next transaction what was read. */
static void
keep_count(TenantCount *change, const LiveCount *count)
{
	change->known = true;
	change->count = *count;
	change->count.oldest_delta = NEVER_SILENT;
}

/*
 * Is there nothing to do for a tenant at this instant but to see to its flag?
 * Learns what there is to learn.
 */
bool
is_up_to_date(const LiveItem *item, const LiveTenant *live, TimestampTz now)
{
	if (item->look || !live->exists || now >= live->limits.due_at || now < live->limits.capacity_from)
		return false;
	for (int i = 0; i < item->ncounts; i++)
	{
		TenantCount *change = item[i].count;
		const LiveCount *count;

		if (change == NULL)
			continue;
		count = find_count(live, change->key.watch_id);
		if (!judged_right(change, count) || count->oldest > change->xact_oldest_new)
			return false;
		keep_count(change, count);
	}
	for (int i = 0; i < live->ncounts; i++)
	{
		if (live->counts[i].epoch != epoch_of_watch(live->counts[i].watch_id))
			return false;
	}
	return true;
}

bool
is_due(const LiveTenant *live, TimestampTz now)
{
	for (int i = 0; i < live->ncounts; i++)
	{
		if (now >= live->counts[i].due_at)
			return true;
	}
	return false;
}

/* ---- under the exclusive lock */

static void
flag(LiveItem *item, const LiveTenant *live, int64 counted, TimestampTz as_of, bool preparing)
{
	bool		raised = live->limits.flagged ? counted > live->limits.clear_at : counted > live->limits.raise_above;
	Datum		values[5];
	bool		isnull;
	char	   *payload;

	if (raised == live->limits.flagged)
		return;
	if (preparing)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prepare a transaction that %s a tenant's flag",
						raised ? "raises" : "clears"),
				 errdetail("Tenant %s would have %lld counted devices; the notification cannot be prepared.",
						   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&item->tenant))),
						   (long long) counted),
				 errhint("Commit it in one phase.")));

	values[0] = UUIDPGetDatum(&item->tenant);
	values[1] = TimestampTzGetDatum(as_of);
	values[2] = CStringGetTextDatum(raised ? "raised" : "cleared");
	values[3] = Int64GetDatum(counted);
	values[4] = Int64GetDatum(live->limits.capacity);
	if (run_query(&write_event, values) != 1)
		elog(ERROR, "flag event was not written");
	payload = TextDatumGetCString(result_value(0, 1, &isnull));
	Async_Notify("eiot_coverage", payload);

	values[1] = BoolGetDatum(raised);
	values[2] = TimestampTzGetDatum(as_of);
	run_query(&set_flag, values);
}

/* Counts anew, moves on or lowers bounds, whichever of a watch's tenants need it. */
static void
bring_watch_up_to_date(int64 watch_id, int64 epoch, LiveItem *items, int nitems, Datum tenants,
					   TimestampTz now, bool count_all)
{
	Datum		values[5];
	bool		recount_is_null = true;
	bool		move_is_null = true;
	Datum		recount = (Datum) 0;
	Datum		move = (Datum) 0;
	Datum	   *forced = palloc(sizeof(Datum) * Max(1, nitems));
	int			nforced = 0;
	LiveCount	count;
	Ledger	   *ledger = open_ledger(AccessShareLock);
	Oid			root = watched_root(watch_id);

	/* Those whose changes were judged by something else. */
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < nitems; i++)
	{
		TenantCount *change = items[i].count;

		if (change == NULL || change->key.watch_id != watch_id)
			continue;
		if (!read_count(ledger, change, GetActiveSnapshot(), &count) ||
			!judged_right(change, &count))
			forced[nforced++] = UUIDPGetDatum(&items[i].tenant);
	}
	PopActiveSnapshot();
	close_ledger(ledger);

	values[0] = Int64GetDatum(watch_id);
	values[1] = tenants;
	values[2] = TimestampTzGetDatum(now);
	values[3] = Int64GetDatum(epoch);
	values[4] = count_all ? tenants :
		PointerGetDatum(construct_array(forced, nforced, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	if (run_query(&what_to_do, values) == 1)
	{
		recount = result_value(0, 1, &recount_is_null);
		if (!recount_is_null)
			recount = datumCopy(recount, false, -1);
		move = result_value(0, 2, &move_is_null);
		if (!move_is_null)
			move = datumCopy(move, false, -1);
	}
	if (!recount_is_null)
	{
		values[1] = recount;
		run_query(&count_anew, values);
	}
	if (!move_is_null && try_lock_inventory(root))
	{
		values[1] = move;
		run_query(&move_on, values);
	}
	for (int i = 0; i < nitems; i++)
	{
		TenantCount *change = items[i].count;

		if (change == NULL || change->key.watch_id != watch_id ||
			change->xact_oldest_new == NEVER_SILENT)
			continue;
		values[1] = UUIDPGetDatum(&items[i].tenant);
		values[2] = TimestampTzGetDatum(change->xact_oldest_new);
		run_query(&lower_oldest, values);
	}
}

/*
 * Brings everything that is stale up to date, and decides.  The exclusive locks
 * are held.
 */
void
decide(LiveItem *items, int nitems, TimestampTz as_of, bool all_of_them, bool preparing)
{
	TimestampTz clock = GetCurrentTimestamp();
	TimestampTz now = as_of == 0 ? clock : as_of;
	TimestampTz present = now;
	Ledger	   *ledger;
	LiveTenant	live = {0};
	Office		office;
	bool		any_stale = false;

	/* Counts are kept for the present, whatever instant was asked for. */
	if (now > clock || now < GetCurrentTransactionStartTimestamp())
		present = clock;

	ledger = open_ledger(AccessShareLock);
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < nitems; i += items[i].ncounts)
	{
		(void) read_tenant(ledger, &items[i].tenant, items[i].count, GetActiveSnapshot(), &live);
		items[i].stale = now != present || !is_up_to_date(&items[i], &live, now) || is_due(&live, now);
		any_stale = any_stale || items[i].stale;
	}
	PopActiveSnapshot();

	/* Often there is nothing to do and nothing to flag. */
	enter_office(&office);
	if (any_stale)
	{
		Datum		tenants = uuid_array(items, nitems, true);
		Datum		values[3];
		uint64		nwatches;
		int64	   *watch_ids;
		bool	   *count_all;

		values[0] = tenants;
		for (int i = 0; i < (int) lengthof(forget_tenants); i++)
			run_query(&forget_tenants[i], values);
		if (all_of_them)
		{
			for (int i = 0; i < (int) lengthof(forget_watches); i++)
				run_query(&forget_watches[i], NULL);
		}

		nwatches = run_query(&all_watches, NULL);
		watch_ids = palloc(sizeof(int64) * (nwatches + 1));
		count_all = palloc(sizeof(bool) * (nwatches + 1));
		for (uint64 i = 0; i < nwatches; i++)
		{
			bool		isnull;

			watch_ids[i] = result_int64(i, 1);
			count_all[i] = DatumGetBool(result_value(i, 3, &isnull));
		}
		for (uint64 i = 0; i < nwatches; i++)
		{
			int64		epoch = epoch_of_watch(watch_ids[i]);

			if (epoch == 0)
				continue;
			bring_watch_up_to_date(watch_ids[i], epoch, items, nitems, tenants, present, count_all[i]);
			if (all_of_them)
			{
				values[0] = Int64GetDatum(watch_ids[i]);
				values[1] = Int64GetDatum(epoch);
				run_query(&watch_is_right, values);
			}
		}

		/* Nothing is kept of tenants where nothing is watched. */
		if (nwatches > 0 || all_of_them)
		{
			values[0] = tenants;
			values[1] = TimestampTzGetDatum(now);
			values[2] = BoolGetDatum(true);
			run_query(&set_limits, values);
			set_count_warning_units(false);
			values[2] = BoolGetDatum(false);
			run_query(&set_limits, values);
			set_count_warning_units(true);
			if (now != present)
				run_query(&due_at_once, values);
		}
		CommandCounterIncrement();
	}

	for (int i = 0; i < nitems; i += items[i].ncounts)
	{
		int64		counted;

		PushActiveSnapshot(GetLatestSnapshot());
		(void) read_tenant(ledger, &items[i].tenant, items[i].count, GetActiveSnapshot(), &live);
		PopActiveSnapshot();
		for (int j = 0; j < items[i].ncounts; j++)
		{
			TenantCount *change = items[i + j].count;
			const LiveCount *count = change == NULL ? NULL : find_count(&live, change->key.watch_id);

			if (count != NULL)
				keep_count(change, count);
		}
		if (!live.exists)
			continue;
		counted = live.counted;
		if (now != present)
		{
			Datum		values[2];

			values[0] = UUIDPGetDatum(&items[i].tenant);
			values[1] = TimestampTzGetDatum(now);
			run_query(&count_at, values);
			counted = result_int64(0, 2);
		}
		if (live.limits.flagged ? counted <= live.limits.clear_at : counted > live.limits.raise_above)
			flag(&items[i], &live, counted, now, preparing);
		/* Of a prepared transaction others would wait for the rows to become free. */
		if (!preparing && (too_many_deltas(&live) || (items[i].stale && live.ndeltas > live.ncounts)))
			fold_deltas(&items[i].tenant, &live);
	}
	if (all_of_them)
		run_query(&forget_unwatched, NULL);
	leave_office(&office);
	close_ledger(ledger);
	CommandCounterIncrement();
}
