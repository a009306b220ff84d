/*
 * decide.h
 *		Tenants that a commit sees to.
 */
#ifndef EIOT_DECIDE_H
#define EIOT_DECIDE_H

#include "office.h"

/* One tenant of those to see to. */
typedef struct LiveItem
{
	uint64		lock;
	pg_uuid_t	tenant;
	TenantCount *count;			/* what this transaction changed; more of them may follow as other items */
	int			ncounts;		/* items of this tenant, this one included */
	bool		look;			/* capacity or rule may be others */
	bool		exclusive;
	bool		stale;			/* counts have to be brought up to date */
} LiveItem;

extern LiveQuery all_watches;

extern Datum uuid_array(const LiveItem *items, int nitems, bool stale_only);
extern bool is_up_to_date(const LiveItem *item, const LiveTenant *live, TimestampTz now);
extern bool is_due(const LiveTenant *live, TimestampTz now);
extern void decide(LiveItem *items, int nitems, TimestampTz as_of, bool all_of_them, bool preparing);

#endif							/* EIOT_DECIDE_H */
