/*
 * calendar.c
 *		Days and months of the Gregorian calendar.
 */
#include "calendar.h"

/* 400 years repeat; counted from 1 March, so that a leap day ends a year. */
#define DAYS_OF_ERA			INT64_C(146097)
#define DAYS_BEFORE_2000	INT64_C(730425) /* from 1 March of year 0 */

/* Days at the end of a month that keep their distance from it, see there. */
#define LAST_DAYS			3

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

CivilDate
civil_date(int64_t day)
{
	int64_t		era = floor_div(day + DAYS_BEFORE_2000, DAYS_OF_ERA);
	int			of_era = (int) (day + DAYS_BEFORE_2000 - era * DAYS_OF_ERA);
	int			year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int			of_year = of_era - (365 * year + year / 4 - year / 100);
	int			month = (5 * of_year + 2) / 153;	/* 0 is March */
	CivilDate	date;

	date.month = (era * 400 + year - 2000) * 12 + month + 2;
	date.day = of_year - (153 * month + 2) / 5 + 1;
	return date;
}

int64_t
first_of_month(int64_t month)
{
	int64_t		since_march = month + 2000 * 12 - 2;
	int64_t		year = floor_div(since_march, 12);
	int			of_year = (int) (since_march - year * 12);
	int64_t		era = floor_div(year, 400);
	int			of_era = (int) (year - era * 400);

	return era * DAYS_OF_ERA + 365 * of_era + of_era / 4 - of_era / 100 +
		(153 * of_year + 2) / 5 - DAYS_BEFORE_2000;
}

int
days_of_month(int64_t month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t		year = floor_div(month, 12);	/* after 2000, which was a leap year */
	int			of_year = (int) (month - year * 12);

	if (of_year == 1 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		return 29;
	return days[of_year];
}

/* The day so many months later; the last of a month that has no such day. */
int64_t
anniversary(CivilDate anchor, int64_t months)
{
	int			last = days_of_month(anchor.month + months);

	return first_of_month(anchor.month + months) + (anchor.day < last ? anchor.day : last) - 1;
}

/*
 * The day so many months later, as far from the end of its month.
 *
 * That is the rule for the last three days of a month alone, the days that are
 * beyond the 28th in a long one: January 30, February 27, March 30.  So it does
 * not matter which of these is the anchor.  Other days come back as they are.
 */
int64_t
month_end_anniversary(CivilDate anchor, int64_t months)
{
	int			distance = days_of_month(anchor.month) - anchor.day;

	if (distance >= LAST_DAYS)
		return anniversary(anchor, months);
	return first_of_month(anchor.month + months + 1) - 1 - distance;
}

/* How many anniversaries of the anchor have come by that day; negative before it. */
int64_t
whole_months(CivilDate anchor, int64_t day)
{
	int64_t		months = civil_date(day).month - anchor.month;

	return anniversary(anchor, months) > day ? months - 1 : months;
}
