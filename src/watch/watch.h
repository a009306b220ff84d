/*
 * watch.h
 *		Live coverage: what the statement triggers, the bookkeeping and the
 *		commit share.  The protocol, and why it is right, stand in commit.c.
 */
#ifndef EIOT_WATCH_H
#define EIOT_WATCH_H

#include "eiot.h"

#include "access/genam.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "storage/buf.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

/* Never seen is not silent: a device without last_seen counts as of then. */
#define NEVER_SILENT	DT_NOEND

/* OIDs of the bookkeeping's relations. */
typedef struct LiveRelations
{
	Oid			tenant;			/* eiot.live_tenant and its key */
	Oid			tenant_pkey;
	Oid			count;			/* eiot.live_count and its key */
	Oid			count_pkey;
	Oid			delta;			/* eiot.live_delta and its key */
	Oid			delta_pkey;
	Oid			coverage;		/* the view eiot.tenant_coverage: its lock stands for all tenants */
	Oid			change;			/* the type eiot.live_change; see live_generation() */
} LiveRelations;

/* A table with the triggers, the inventory itself or a partition of it. */
typedef struct WatchedTable
{
	Oid			relid;			/* hash key */
	bool		valid;
	Oid			root;			/* the inventory */
	int64		epoch;			/* see watch_epoch() */
	AttrNumber	tenant_column;
	AttrNumber	last_seen_column;	/* 0: it has none */
	AttrNumber	count_key_column;	/* 0: computed by count_key */
	Node	   *count_key;
	Oid			index;			/* that eiot.watch() made */
	int64		countable_keys; /* those of the index */
	MemoryContext context;
} WatchedTable;

typedef struct TenantKey
{
	int64		watch_id;
	pg_uuid_t	tenant;
} TenantKey;

/*
 * Where the index entry of a row leads, and the buffer that the page was in.  Who
 * follows it compares the key with the row's; there may be none any more.
 */
typedef struct RowHint
{
	ItemPointerData root;
	Buffer		buffer;
} RowHint;

/* As many rows of eiot.live_delta as most tenants ever have. */
#define MAX_ENTRIES 8

/* Where the entries of a tenant in the index of eiot.live_delta lead, as a search found them; see entries.c. */
typedef struct TenantEntries
{
	RowHint		leaf;			/* of the index, that has all of them; in a search, the last one */
	XLogRecPtr	lsn;			/* its LSN as it was read; InvalidXLogRecPtr: none are known */
	int			n;				/* in a search, there may be more than are kept */
	RowHint		rows[MAX_ENTRIES];
} TenantEntries;

/* A row of eiot.live_tenant. */
typedef struct LiveLimits
{
	int64		capacity;
	TimestampTz capacity_from;
	TimestampTz due_at;
	int64		raise_above;
	int64		clear_at;
	bool		flagged;
} LiveLimits;

/* A row of eiot.live_count. */
typedef struct LiveCount
{
	int64		watch_id;
	int64		devices;
	int64		counted;
	int64		counted_keys;
	bool		expires;		/* false: the rule has no inactive_after */
	Interval	inactive_after;
	TimestampTz active_since;
	TimestampTz oldest;
	TimestampTz oldest_delta;	/* of the rows of eiot.live_delta; NEVER_SILENT if none says */
	TimestampTz due_at;
	int64		epoch;
} LiveCount;

/*
 * What this backend knows of a tenant in one watched inventory, and what its
 * statement and transaction did to it.
 */
typedef struct TenantCount
{
	TenantKey	key;			/* hash key */

	/* As last read from eiot.live_count; the commit sees whether it still holds. */
	bool		known;
	LiveCount	count;

	TenantEntries entries;
	RowHint		delta_row;		/* that of eiot.live_delta that this backend wrote last */
	RowHint		tenant_row;		/* of eiot.live_tenant */
	RowHint		count_row;		/* of eiot.live_count */

	/* That of eiot.live_tenant, which with count is what it was in this generation; 0: not known */
	uint64		rows_generation;
	LiveLimits	limits;

	/* The statement */
	uint64		statement;
	int64		devices;
	int64		counted;
	int64		keys_moved;		/* 0: the same count keys before and after */
	TimestampTz oldest_row;		/* of all rows */
	TimestampTz oldest_counted; /* of those that counted before or after */
	TimestampTz oldest_new;		/* of those that count after */
	bool		outdated;		/* a row lies where active_since may have moved to */
	struct TenantCount *next_in_statement;

	/* The transaction; rolled back savepoints may have done more than is left */
	uint64		transaction;
	bool		still;			/* see keys_moved */
	bool		recount;
	int64		change;
	int64		used_counted_keys;
	TimestampTz lowest_active_since;
	TimestampTz highest_active_since;
	TimestampTz xact_oldest_row;
	TimestampTz xact_oldest_counted;
	TimestampTz xact_oldest_new;
	struct TenantCount *next_in_transaction;
} TenantCount;

/* A tenant's rows of all three tables. */
typedef struct LiveTenant
{
	uint64		generation;		/* that they were read in */
	bool		exists;			/* has a row of eiot.live_tenant */
	LiveLimits	limits;
	int			ncounts;
	int			maxcounts;
	LiveCount  *counts;
	int64		devices;		/* sums over everything */
	int64		counted;
	int			ndeltas;		/* rows of eiot.live_delta */
} LiveTenant;

/* What fold.c needs of a row of eiot.live_delta. */
typedef struct DeltaValues
{
	int64		devices;
	int64		counted;
	TimestampTz oldest;
} DeltaValues;

/* watched_table.c */
extern const LiveRelations *live_relations(bool missing_ok);
extern uint64 live_generation(void);
extern WatchedTable *watched_table(Relation rel);
extern Oid	watched_root(int64 watch_id);
extern int64 watch_of_relation(Oid relid);
extern int64 watch_epoch(Oid root);
extern int64 epoch_of_watch(int64 watch_id);
extern int64 only_watch(void);
extern bool shortest_inactivity(Interval *inactive_after);
extern bool inactivity_is_known(void);
extern void lock_watched_inventories(void);
extern void check_watched_inventories(bool recount_partitioned);
extern bool try_lock_inventory(Oid root);

/* silence.c */
extern TimestampTz look_again_at(TimestampTz active_since, const Interval *inactive_after);

/* ledger.c */
typedef struct Ledger Ledger;

extern Ledger *open_ledger(LOCKMODE deltas);
extern void open_deltas(Ledger *ledger);
extern void open_all_tables(Ledger *ledger);
extern bool only_deltas_are_open(const Ledger *ledger);
extern void close_ledger(Ledger *ledger);
extern bool read_count(Ledger *ledger, TenantCount *tenant, Snapshot snapshot, LiveCount *count);
extern bool read_tenant(Ledger *ledger, const pg_uuid_t *tenant, TenantCount *known, Snapshot snapshot,
						LiveTenant *live);
extern bool rows_are_known(const TenantCount *known);
extern void keep_rows(TenantCount *known, const LiveTenant *live);
extern void write_delta(Ledger *ledger, TenantCount *tenant, int64 devices, int64 counted,
						TimestampTz oldest);
extern Buffer follow_hint(Relation rel, RowHint *hint);
extern bool free_delta(TupleTableSlot *slot, DeltaValues *row);

/* entries.c */
extern bool entries_are_known(Relation index, TenantEntries *entries);
extern void note_entry(TenantEntries *found, IndexScanDesc scan, ItemPointer root);
extern void keep_entries(Relation index, TenantEntries *entries, const pg_uuid_t *tenant,
						 TenantEntries *found);

/* fold.c */
extern bool too_many_deltas(const LiveTenant *live);
extern void fold_deltas(const pg_uuid_t *tenant, const LiveTenant *live);

/* changes.c */
extern TenantCount *tenant_count(int64 watch_id, const pg_uuid_t *tenant);
extern void forget_counts(void);

/* commit.c */
extern void recount_tenants_of(uint64 statement);
extern void touch_count(TenantCount *tenant);
extern void touch_tenant(const pg_uuid_t *tenant);
extern void touch_everything(void);
extern void touch_watch(int64 watch_id);
extern void touch_heartbeats(int64 watch_id);
extern TimestampTz seen_lately(TimestampTz now);

#endif							/* EIOT_WATCH_H */
