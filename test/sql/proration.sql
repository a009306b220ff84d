-- What a user sees of proration: the policy, prorated amounts, errors.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
\pset null '(null)'

-- Presets, and keys that override them.
SELECT preset, preset::eiot.proration_policy AS policy
  FROM unnest(string_to_array('day second nce azure stripe killbill killbill_30 lago meteroid openmeter oca_contract '
                              'zuora_actual zuora_30 zuora_30_360 appxite rhipe erpnext chargebee', ' ')) preset;
SELECT ' KillBill , Scale = 9 '::eiot.proration_policy;
SELECT 'unit=day,denominator=cycle,round=half_up,scale=2,at=line'::eiot.proration_policy OPERATOR(eiot.=) 'day' AS same,
       'day,at=rate:4'::eiot.proration_policy OPERATOR(eiot.<>) 'day,at=rate:3' AS other;
SELECT 'lago,tz=europe/berlin'::eiot.proration_policy, eiot.scale('lago,scale=0');

-- The "wipe and recreate" of a published example: ten seats at 10.08, two more on the third day.
SELECT eiot.prorate(10.08, 10, cycle, cycle, 'nce') AS bought,
       eiot.prorate(10.08, -10, used, cycle, 'nce') AS wiped,
       eiot.prorate(10.08, 12, used, cycle, 'nce') AS recreated
  FROM (VALUES ('[2021-06-18,2021-07-17]'::daterange, '[2021-06-20,2021-07-17]'::daterange)) v(cycle, used);
-- Where and how it is rounded.
SELECT at, eiot.prorate(12, 7, '[2026-03-11,2026-04-01)'::daterange, '[2026-03-01,2026-04-01)'::daterange, ('day,at=' || at)::eiot.proration_policy)
  FROM (VALUES ('line'), ('unit'), ('rate:2'), ('rate:4'), ('total')) v(at);
SELECT round, eiot.prorate(0.25, 1, '[2026-04-01,2026-04-16)'::daterange, '[2026-04-01,2026-05-01)'::daterange, ('day,round=' || round)::eiot.proration_policy) AS eighth,
       eiot.prorate(0.25, -1, '[2026-04-01,2026-04-16)'::daterange, '[2026-04-01,2026-05-01)'::daterange, ('day,round=' || round)::eiot.proration_policy) AS credit
  FROM (VALUES ('half_up'), ('half_even'), ('truncate'), ('ceiling')) v(round);
SELECT eiot.round_total(sum(eiot.prorate(1, 1, daterange(d, d + 10), '[2026-04-01,2026-05-01)', 'day,at=total')), 'day,round=truncate')
  FROM (VALUES ('2026-04-01'::date), ('2026-04-11'), ('2026-04-21')) v(d);

-- What is outside of the cycle is cut off, or counts.
SELECT eiot.prorate(30, 1, '[2026-03-22,2026-04-11)'::daterange, '[2026-04-01,2026-05-01)'::daterange) AS cut,
       eiot.prorate(30, 1, '[2026-03-22,2026-04-11)'::daterange, '[2026-04-01,2026-05-01)'::daterange, 'oca_contract') AS counts,
       eiot.prorate(30, 1, '[2026-04-21,)'::daterange, '[2026-04-01,2026-05-01)'::daterange) AS endless,
       eiot.prorate(30, 1, '[2026-05-21,2026-06-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange) AS elsewhere;
-- Empty ranges.
SELECT eiot.prorate(30, 1, 'empty'::daterange, '[2026-04-01,2026-05-01)'::daterange) AS nothing,
       eiot.prorate(30, 1, 'empty'::daterange, '[2026-04-01,2026-05-01)'::daterange, 'openmeter') AS whole;
SELECT eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, 'empty'::daterange, 'meteroid') AS whole,
       eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, 'empty'::daterange, 'day,empty_cycle=zero') AS nothing;
SELECT eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, 'empty'::daterange);
SELECT eiot.prorate(30, 1, 'empty'::daterange, '[2026-04-01,2026-05-01)'::daterange, 'day,empty=error');
-- Null.
SELECT eiot.prorate(NULL, 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange) AS price,
       eiot.prorate(30, NULL, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange) AS units,
       eiot.prorate(30, 1, NULL::daterange, '[2026-04-01,2026-05-01)'::daterange) AS used,
       eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, NULL::daterange) AS cycle,
       eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange, NULL) AS policy;

-- Instants: days of a time zone, or the time that passes.  That Sunday had 23 hours in Berlin.
SELECT eiot.prorate(31, 1, used, cycle, 'day,tz=Europe/Berlin') AS days,
       eiot.prorate(743, 1, used, cycle, 'second') AS hours
  FROM (VALUES (tstzrange('2026-03-29 00:00+01', '2026-03-30 00:00+02'), tstzrange('2026-03-01 00:00+01', '2026-04-01 00:00+02'))) v(used, cycle);
-- A day begun counts where ends are inclusive.
SELECT ends, eiot.prorate(31, 1, tstzrange('2026-03-10 09:00+00', '2026-03-20 17:00+00'), tstzrange('2026-03-01 00:00+00', '2026-04-01 00:00+00'), ('day,ends=' || ends)::eiot.proration_policy)
  FROM (VALUES ('half_open'), ('inclusive')) v(ends);

-- Errors.
SELECT eiot.prorate(-30, 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange);
SELECT eiot.prorate('NaN', 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange);
SELECT eiot.prorate('Infinity', 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange);
SELECT eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,)'::daterange);
SELECT eiot.prorate(30, 1, '[2026-04-01,2026-05-01)'::daterange, '[2026-04-01,infinity)'::daterange);
SELECT eiot.prorate(30, 1, '[2026-04-01,infinity)'::daterange, '[2026-04-01,2026-05-01)'::daterange, 'oca_contract');
SELECT eiot.prorate(30, 1, '[2026-05-01,2026-04-01)'::daterange, '[2026-04-01,2026-05-01)'::daterange);
SELECT eiot.prorate(30, 1, '[2026-01-31,2026-02-01)'::daterange, '[2026-01-31,2026-02-01)'::daterange, 'zuora_30_360');
SELECT ''::eiot.proration_policy;
SELECT 'weekly'::eiot.proration_policy;
SELECT 'day,rounding=half_up'::eiot.proration_policy;
SELECT 'scale=2,nce'::eiot.proration_policy;
SELECT 'day,round=down'::eiot.proration_policy;
SELECT 'day,round='::eiot.proration_policy;
SELECT 'day,at=rate'::eiot.proration_policy;
SELECT 'day,scale=2,scale=3'::eiot.proration_policy;
SELECT 'day,scale=1001'::eiot.proration_policy;
SELECT 'day,scale=-1'::eiot.proration_policy;
SELECT 'day,denominator=0'::eiot.proration_policy;
SELECT 'day,tz=Atlantis'::eiot.proration_policy;
SELECT 'killbill,at=rate:2'::eiot.proration_policy;
SELECT 'nce,unit=month'::eiot.proration_policy;
SELECT eiot.round_total('NaN', 'day');

-- Billing cycles: both rules for the end of a month, before the anchor as well.
SELECT month_end, array_agg(to_char(lower(cycle), 'MM-DD') ORDER BY cycle) AS starts
  FROM (VALUES ('clamp'), ('distance')) v(month_end) CROSS JOIN LATERAL eiot.billing_cycles('2026-01-30', 'month', '[2026-01-01,2026-06-30)', month_end) cycle
 GROUP BY month_end;
SELECT frequency, cycle
  FROM (VALUES ('quarter'), ('year')) v(frequency) CROSS JOIN LATERAL eiot.billing_cycles('2024-02-29', frequency, '[2025-01-15,2025-07-01)') cycle;
SELECT count(*) FROM eiot.billing_cycles('2024-02-29', 'month', 'empty');
SELECT count(*) FROM eiot.billing_cycles(NULL, 'month', '[2025-01-15,2025-07-01)');
SELECT eiot.billing_cycles('2024-02-29', 'fortnight', '[2025-01-15,2025-07-01)');
SELECT eiot.billing_cycles('2024-02-29', 'month', '[2025-01-15,2025-07-01)', 'overflow');
SELECT eiot.billing_cycles('2024-02-29', 'month', '[2025-01-15,)');
SELECT eiot.billing_cycles('2024-02-29', 'month', '[-infinity,2025-01-15)');
SELECT eiot.billing_cycles('infinity', 'month', '[2025-01-15,2025-07-01)');
SELECT eiot.billing_cycles('2024-02-29', 'month', '[5874897-12-15,5874897-12-30]');

-- Parts that add up.
SELECT site, devices, eiot.allocate(devices, 100.00, 2) OVER (ORDER BY site) AS part
  FROM (VALUES ('Berlin', 1), ('Oslo', 1), ('Turin', 1), ('Vaduz', 0), ('Zagreb', NULL)) v(site, devices) ORDER BY site;
SELECT scale, array_agg(part ORDER BY n) AS parts, sum(part)
  FROM (SELECT scale, n, eiot.allocate(1.0 / n, -1001.00005, scale) OVER (PARTITION BY scale ORDER BY n) AS part
          FROM generate_series(0, 4) scale, generate_series(1, 4) n) v GROUP BY scale ORDER BY scale;
SELECT eiot.allocate(ARRAY[1, 1, 1, 0, NULL], 100.00, 2) AS by_weight, eiot.allocate(ARRAY[3.333, 3.333, 3.334], 2) AS rounded;
SELECT n, eiot.allocate(0, 10, 2) OVER (ORDER BY n) AS without_weights FROM generate_series(1, 3) n;
SELECT n, eiot.allocate(1.005, 2) OVER (ORDER BY n) AS rounded, round(1.005, 2) AS each_alone FROM generate_series(1, 3) n;
SELECT n, eiot.allocate(n, NULL, 2) OVER () AS no_total, eiot.allocate(n, 10, NULL) OVER () AS no_scale FROM generate_series(1, 2) n;
SELECT eiot.allocate(n - 2, 10, 2) OVER () FROM generate_series(1, 3) n;
SELECT eiot.allocate('NaN', 10, 2) OVER ();
SELECT eiot.allocate(1, 'Infinity', 2) OVER ();
SELECT eiot.allocate(1, 10, -1) OVER ();
SELECT eiot.allocate(1, 10, 1001) OVER ();
SELECT eiot.allocate(n, n, 2) OVER () FROM generate_series(1, 2) n;
SELECT eiot.allocate(n, 10, n) OVER () FROM generate_series(1, 2) n;
