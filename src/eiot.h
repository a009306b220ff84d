/*
 * eiot.h
 *		What every room of the extension shares: the enums of schema eiot as C
 *		enums, with their OIDs looked up once per backend, and the GUCs.
 */
#ifndef EIOT_H
#define EIOT_H

#include "postgres.h"

#include "fmgr.h"

#include "compat.h"

/* eiot.device_class, in the order of its labels; counted_keys relies on < 8. */
typedef enum DeviceClass
{
	CLASS_ENDPOINT,
	CLASS_NETWORK,
	CLASS_IOT,
	CLASS_OT,
	CLASS_BMS,
	CLASS_MEDICAL,
	CLASS_UNKNOWN
} DeviceClass;

#define NUM_CLASSES (CLASS_UNKNOWN + 1)

/* eiot.count_reason, in the order of its labels, which is the order of precedence. */
typedef enum CountReason
{
	REASON_COUNTED,
	REASON_NOT_IOT,
	REASON_MANAGED,
	REASON_INACTIVE,
	REASON_MERGED,
	REASON_EXCLUDED,
	REASON_TRANSIENT,
	REASON_NOT_A_DEVICE
} CountReason;

#define NUM_REASONS (REASON_NOT_A_DEVICE + 1)

extern DeviceClass device_class_from_oid(Oid value);
extern Oid	device_class_oid(DeviceClass device_class);
extern Oid	count_reason_oid(CountReason reason);

/* owner.c */
extern Oid	relation_owner(Oid relid);

/* Folds case and drops what spellings differ in; see eiot.c. */
#define LABEL_SIZE 48
extern bool fold_label(const text *label, char *folded);

#endif							/* EIOT_H */
