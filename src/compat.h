/*
 * compat.h
 *		Every test of the server's version in this project, and nothing else.
 *
 * Servers from 15 on are supported.  What a newer server offers is used by its
 * own name and made up here for the older ones.
 */
#ifndef EIOT_COMPAT_H
#define EIOT_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "eiot needs PostgreSQL 15 or newer"
#endif

/* The macros of variable-length values have a header of their own since 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Soft input errors came with 16. */
#if PG_VERSION_NUM < 160000
#define ereturn(escontext, dummy_value, ...) \
	do { \
		(void) (escontext); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#define errsave(escontext, ...) \
	do { \
		(void) (escontext); \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#define ESCONTEXT(fcinfo) NULL
#define make_range_of(typcache, lower, upper) make_range(typcache, lower, upper, false)
#else
#include "nodes/miscnodes.h"
#define ESCONTEXT(fcinfo) ((fcinfo)->context)
#define make_range_of(typcache, lower, upper) make_range(typcache, lower, upper, false, NULL)
#endif

/* The module can name itself and its version from 18 on. */
#if PG_VERSION_NUM < 180000
#define EIOT_MODULE_MAGIC PG_MODULE_MAGIC
#else
#define EIOT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "eiot", .version = EIOT_VERSION)
#endif

/* A function that does not return is declared so in front since 18. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* From 19 on the callback's hash value has a type of its own width. */
#if PG_VERSION_NUM < 190000
typedef int SyscacheId;
#else
typedef SysCacheIdentifier SyscacheId;
#endif

/* An update says since 16 which indexes it needs; that no one waits for a row is ours. */
#if PG_VERSION_NUM < 160000
#define eiot_heap_update(rel, tid, tuple, command, failure) \
	heap_update(rel, tid, tuple, command, InvalidSnapshot, false, failure, \
				&(LockTupleMode) {0})
#else
#define eiot_heap_update(rel, tid, tuple, command, failure) \
	heap_update(rel, tid, tuple, command, InvalidSnapshot, false, failure, \
				&(LockTupleMode) {0}, &(TU_UpdateIndexes) {0})
#endif

/* What a relation's file goes by has another name since 16. */
#if PG_VERSION_NUM < 160000
#define eiot_read_recent_buffer(rel, block, buffer) \
	ReadRecentBuffer((rel)->rd_node, MAIN_FORKNUM, block, buffer)
#else
#define eiot_read_recent_buffer(rel, block, buffer) \
	ReadRecentBuffer((rel)->rd_locator, MAIN_FORKNUM, block, buffer)
#endif

/* Index scans count what they do since 18. */
#if PG_VERSION_NUM < 180000
#define eiot_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#else
#define eiot_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#endif

/* One function checks who owns what since 16. */
#if PG_VERSION_NUM < 160000
#define eiot_owns_relation(relid, role) pg_class_ownercheck(relid, role)
#else
#define eiot_owns_relation(relid, role) object_ownercheck(RelationRelationId, relid, role)
#endif

/*
 * A MERGE that inserts into a partitioned table and then updates shows the
 * inserted row to the triggers in place of the updated one: seen in 15.18 and
 * 18.6, and no more in 15.20 and 17.12.  The server's minor version need not be
 * that of the headers.
 */
#define MERGE_MIXES_UP_ROWS(version) \
	((version) < 150020 || ((version) >= 160000 && (version) < 170012) || (version) >= 180000)

#endif							/* EIOT_COMPAT_H */
