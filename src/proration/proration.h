/*
 * proration.h
 *		What the functions of this folder that SQL calls share.
 */
#ifndef EIOT_PRORATION_H
#define EIOT_PRORATION_H

#include "eiot.h"

#include "policy.h"

#define DatumGetPolicyP(d) ((ProrationPolicy *) DatumGetPointer(d))
#define PG_GETARG_POLICY_P(n) DatumGetPolicyP(PG_GETARG_DATUM(n))

#endif							/* EIOT_PRORATION_H */
