/*
 * policy.h
 *		A proration policy: how time becomes a share of a price, and where and
 *		how amounts are rounded.
 *
 * Plain C without the backend, so that it also builds for fuzzing.
 */
#ifndef EIOT_POLICY_H
#define EIOT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The words of each in policy.c, in the same order; the first is the default. */
typedef enum PolicyUnit
{
	UNIT_DAY,
	UNIT_SECOND,
	UNIT_MONTH,
	UNIT_CYCLE					/* a cycle begun is a cycle */
} PolicyUnit;

typedef enum PolicyDenominator
{
	DENOMINATOR_CYCLE,			/* as long as the cycle is */
	DENOMINATOR_START_MONTH,	/* as long as the months are that it starts in */
	DENOMINATOR_NUMBER
} PolicyDenominator;

typedef enum PolicyRound
{
	ROUND_HALF_UP,
	ROUND_HALF_EVEN,
	ROUND_TRUNCATE,
	ROUND_CEILING
} PolicyRound;

typedef enum PolicyAt
{
	AT_LINE,
	AT_UNIT,
	AT_TOTAL,
	AT_RATE
} PolicyAt;

typedef enum PolicyEnds
{
	ENDS_HALF_OPEN,
	ENDS_INCLUSIVE
} PolicyEnds;

typedef enum PolicyOutside
{
	OUTSIDE_CUT,
	OUTSIDE_COUNT
} PolicyOutside;

typedef enum PolicyEmpty
{
	EMPTY_ZERO,
	EMPTY_FULL,
	EMPTY_ERROR
} PolicyEmpty;

#define POLICY_MAX_SCALE	1000	/* what numeric(1000,1000) has */
#define POLICY_MAX_NUMBER	1000000000	/* of a denominator */
#define POLICY_EXACT		UINT16_MAX	/* a factor that is not rounded */
#define POLICY_ZONE_SIZE	44
#define POLICY_TEXT_SIZE	320		/* enough for any policy in full */

/* As stored: every byte of it counts in comparisons. */
typedef struct ProrationPolicy
{
	uint8_t		unit;
	uint8_t		denominator;
	uint8_t		round;
	uint8_t		at;
	uint8_t		ends;
	uint8_t		outside;
	uint8_t		empty;			/* used range: zero or full */
	uint8_t		empty_cycle;
	uint8_t		month_days;		/* taken for every month; 0 for those it has */
	uint8_t		reserved;
	uint16_t	factor_scale;	/* POLICY_EXACT where it is not rounded */
	uint16_t	rate_scale;		/* of AT_RATE */
	uint16_t	scale;
	int32_t		number;			/* of DENOMINATOR_NUMBER */
	char		zone[POLICY_ZONE_SIZE]; /* filled with zeros */
} ProrationPolicy;

typedef enum PolicyFault
{
	POLICY_EMPTY_TEXT,
	POLICY_UNKNOWN_PRESET,
	POLICY_UNKNOWN_KEY,
	POLICY_REPEATED_KEY,
	POLICY_MISSING_VALUE,
	POLICY_UNKNOWN_VALUE,
	POLICY_OUT_OF_RANGE,
	POLICY_CONFLICT
} PolicyFault;

/* What is wrong with a text; the words lie in it and do not end with a zero. */
typedef struct PolicyProblem
{
	PolicyFault fault;
	const char *key;
	int			key_length;
	const char *value;
	int			value_length;
	const char *expected;		/* values to choose from, or what conflicts */
} PolicyProblem;

extern bool parse_policy(const char *text, ProrationPolicy *policy, PolicyProblem *problem);
extern void print_policy(const ProrationPolicy *policy, char text[POLICY_TEXT_SIZE]);
extern const char *policy_preset(int n);
extern const char *policy_key(int n);

#endif							/* EIOT_POLICY_H */
