/*
 * decimal.h
 *		Between the server's numeric and integers with a scale.
 */
#ifndef EIOT_DECIMAL_H
#define EIOT_DECIMAL_H

#include "eiot.h"

#include "amount.h"
#include "utils/numeric.h"

extern bool read_decimal(Datum value, Decimal *decimal, bool *negative);
extern Datum make_decimal(Wide digits, bool negative, int scale);
extern bool numeric_is_finite(Datum value);
extern bool numeric_is_negative(Datum value);
extern Datum numeric_quotient(Datum dividend, Datum divisor, int scale, PolicyRound how);

#endif							/* EIOT_DECIMAL_H */
