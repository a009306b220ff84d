/*
 * calendar.h
 *		Days and months of the Gregorian calendar.
 *
 * Plain C without the backend, so that it also builds for fuzzing.  A day is a
 * number that counts from 2000-01-01, which is what the server's dates are.
 */
#ifndef EIOT_CALENDAR_H
#define EIOT_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct CivilDate
{
	int64_t		month;			/* months since January 2000 */
	int			day;			/* of the month, from 1 */
} CivilDate;

extern CivilDate civil_date(int64_t day);
extern int	days_of_month(int64_t month);
extern int64_t first_of_month(int64_t month);
extern int64_t anniversary(CivilDate anchor, int64_t months);
extern int64_t month_end_anniversary(CivilDate anchor, int64_t months);
extern int64_t whole_months(CivilDate anchor, int64_t day);

#endif							/* EIOT_CALENDAR_H */
