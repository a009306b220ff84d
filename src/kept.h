/*
 * kept.h
 *		What a backend keeps of tables of the extension, and whether it still holds.
 */
#ifndef EIOT_KEPT_H
#define EIOT_KEPT_H

#include "eiot.h"

#include "access/genam.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#define MAX_KEPT_TABLES 2

/* A copy and the tables that it is made of, whose trigger is eiot.table_changed(). */
typedef struct Kept
{
	const char *tables[MAX_KEPT_TABLES];	/* names in schema eiot; NULL: no more */
	Oid			relids[MAX_KEPT_TABLES];
	bool		complete;		/* it was read to the end, */
	bool		changed;		/* and a table has changed since the start */
	bool		for_this_transaction;	/* an old snapshot saw it */
	struct Kept *next;			/* of those that the callbacks know */
} Kept;

/* A table of which the rows are read. */
typedef struct KeptRows
{
	Relation	rel;
	Snapshot	snapshot;
	SysScanDesc scan;
} KeptRows;

extern bool is_current(const Kept *kept);
extern void start_keeping(Kept *kept);
extern void finish_keeping(Kept *kept);

extern void open_rows(KeptRows *rows, Kept *kept, int table, int natts);
extern void open_rows_where(KeptRows *rows, Kept *kept, int table, int natts,
							const char *index, AttrNumber attribute, text *value);
extern bool next_row(KeptRows *rows, Datum *values, bool *nulls);
extern void close_rows(KeptRows *rows);

#endif							/* EIOT_KEPT_H */
