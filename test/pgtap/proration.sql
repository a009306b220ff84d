-- Proration by properties and against other ways to the same number: amounts over random input, the policy's text and
-- binary form, billing cycles, parts that add up.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SET LOCAL jit = off;
\getenv long EIOT_LONG
\if :{?long}
\set n 60000
\else
\set n 4000
\endif

SELECT no_plan();
-- Another one in each long run; what failed is printed with its input.
\if :{?long}
SELECT extract(epoch FROM clock_timestamp())::bigint % 1000000 / 1e6 AS seed \gset
\else
\set seed 0.4
\endif
SELECT ok(true, 'seed ' || :'seed') FROM setseed(:seed);

-- ==== amounts

-- What 'unit=day' and 'unit=month' count, by the server's own dates.

-- Months of so many days: a day beyond that adds nothing.
CREATE FUNCTION pg_temp.thirtieths(day date, month_days integer) RETURNS bigint
  LANGUAGE sql IMMUTABLE
  RETURN (extract(year FROM day) * 12 + extract(month FROM day)) * month_days + least(extract(day FROM day) - 1, month_days);

-- Months of the cycle that have passed, as numerator and denominator.
CREATE FUNCTION pg_temp.months_passed(start date, day date, month_days integer, OUT num numeric, OUT den numeric)
  LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  n integer := (extract(year FROM day) * 12 + extract(month FROM day)) - (extract(year FROM start) * 12 + extract(month FROM start)) + 1;
BEGIN
  WHILE (start + make_interval(months => n))::date > day LOOP n := n - 1; END LOOP;
  den := COALESCE(month_days, (start + make_interval(months => n + 1))::date - (start + make_interval(months => n))::date);
  num := n * den + least(day - (start + make_interval(months => n))::date, den);
END
$$;

-- num / den with so many decimals, never inexact.
CREATE FUNCTION pg_temp.rounded(num numeric, den numeric, scale integer, how text) RETURNS numeric
  LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  sign CONSTANT integer := sign(num) * sign(den);
  shifted CONSTANT numeric := abs(num) * ('1e' || scale)::numeric;
  quotient numeric := div(shifted, abs(den));
  rest CONSTANT numeric := shifted - quotient * abs(den);
BEGIN
  IF (CASE how WHEN 'half_up' THEN rest * 2 >= abs(den)
               WHEN 'half_even' THEN rest * 2 > abs(den) OR (rest * 2 = abs(den) AND quotient % 2 = 1)
               WHEN 'ceiling' THEN rest > 0
               ELSE false END) THEN
    quotient := quotient + 1;
  END IF;
  RETURN round(sign * quotient * ('1e-' || scale)::numeric, scale);
END
$$;
SELECT is(pg_temp.rounded(a, b, 2, how), result, format('the reference: %s/%s %s', a, b, how))
  FROM (VALUES (1, 8, 'half_up', 0.13), (1, 8, 'half_even', 0.12), (3, 8, 'half_even', 0.38), (1, 8, 'truncate', 0.12), (-1, 8, 'ceiling', -0.13),
               (-1, 3, 'half_up', -0.33), (2, 1, 'ceiling', 2.00)) v(a, b, how, result);

CREATE FUNCTION pg_temp.expected(price numeric, units numeric, used daterange, cycle daterange, unit text, denominator text, month_days integer,
                                 at text, at_scale integer, factor integer, how text, scale integer) RETURNS numeric
  LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  part CONSTANT daterange := used * cycle;
  num numeric := 0;
  den numeric;
  passed record;
  start CONSTANT date := lower(cycle);
BEGIN
  IF isempty(part) THEN RETURN round(0, CASE at WHEN 'total' THEN greatest(20, scale + 12) ELSE scale END); END IF;
  IF unit = 'month' THEN
    SELECT u.num * l.den - l.num * u.den AS num, u.den * l.den AS den INTO passed
      FROM pg_temp.months_passed(start, upper(part), month_days) u, pg_temp.months_passed(start, lower(part), month_days) l;
    num := passed.num;
    den := passed.den;
    IF denominator = 'cycle' THEN
      SELECT m.num, m.den INTO passed FROM pg_temp.months_passed(start, upper(cycle), month_days) m;
      num := num * passed.den;
      den := den * passed.num;
    ELSE
      den := den * denominator::integer;
    END IF;
  ELSE
    num := CASE WHEN month_days IS NULL THEN upper(part) - lower(part)
                ELSE pg_temp.thirtieths(upper(part), month_days) - pg_temp.thirtieths(lower(part), month_days) END;
    den := CASE WHEN denominator = 'cycle' AND month_days IS NULL THEN upper(cycle) - start
                WHEN denominator = 'cycle' THEN pg_temp.thirtieths(upper(cycle), month_days) - pg_temp.thirtieths(start, month_days)
                -- the cycles here have whole months, on the 28th at most
                WHEN denominator = 'start_month' THEN COALESCE(month_days * (extract(year FROM age(upper(cycle), start)) * 12 + extract(month FROM age(upper(cycle), start))),
                       (date_trunc('month', start) + age(upper(cycle), start))::date - date_trunc('month', start)::date)
                ELSE denominator::numeric * CASE unit WHEN 'second' THEN 1.0 / 86400 ELSE 1 END END;
    IF unit = 'second' THEN num := num * 86400; den := CASE denominator WHEN 'cycle' THEN den * 86400 WHEN 'start_month' THEN den * 86400 ELSE denominator::numeric END; END IF;
  END IF;
  IF at = 'rate' THEN
    RETURN CASE unit WHEN 'month' THEN NULL ELSE pg_temp.rounded(pg_temp.rounded(price, den, at_scale, how) * num * units, 1, scale, how) END;
  END IF;
  IF factor IS NOT NULL AND num <> den THEN
    num := pg_temp.rounded(num, den, factor, how);
    den := 1;
  END IF;
  RETURN CASE at WHEN 'unit' THEN pg_temp.rounded(price * num, den, scale, how) * units
                 WHEN 'total' THEN pg_temp.rounded(price * num * units, den, greatest(20, scale + 12), 'half_even')
                 ELSE pg_temp.rounded(price * num * units, den, scale, how) END;
END
$$;

-- Cycles of whole months; prices and units of all sizes, so that both the integers and numeric's arithmetic are used.
CREATE TEMP TABLE line AS
  SELECT i, price, units, used, cycle, unit, denominator, month_days, at, at_scale, factor, how, scale,
         format('unit=%s,denominator=%s,round=%s,scale=%s,at=%s', unit, denominator, how, scale, at || CASE at WHEN 'rate' THEN ':' || at_scale ELSE '' END)
           || COALESCE(',factor=' || factor, '') || COALESCE(',month=' || month_days, '') AS policy
    FROM (SELECT i, price, units, start, months, from_day, length, unit, how, scale, at_scale, at,
                 CASE WHEN at <> 'rate' AND i % 5 = 0 THEN (i / 5) % 12 END AS factor,
                 CASE WHEN unit <> 'second' AND (i / 7) % 3 = 0 THEN 28 + (i / 21) % 4 END AS month_days,
                 CASE WHEN unit = 'month' THEN (ARRAY['cycle', '1', '12'])[1 + r % 3] ELSE (ARRAY['cycle', 'cycle', 'start_month', '30', '365'])[1 + r % 5] END AS denominator
            FROM (SELECT i, (random() * 1e9)::bigint AS r, (random() * 10 ^ (random() * 12))::numeric(40, 12) * CASE WHEN i % 11 = 0 THEN 1e12 ELSE 1 END AS p,
                         DATE '1999-01-01' + (random() * 15000)::integer AS day, (ARRAY[1, 1, 1, 3, 12])[1 + i % 5] AS months,
                         (random() * 400 - 20)::integer AS from_day, (random() * random() * 400)::integer AS length,
                         (ARRAY['half_up', 'half_even', 'truncate', 'ceiling'])[1 + i % 4] AS how, (i / 4) % 7 AS scale, (i / 3) % 8 AS at_scale,
                         (ARRAY['day', 'day', 'second', 'month'])[1 + (i / 16) % 4] AS unit,
                         CASE WHEN i % 13 = 0 THEN 9000000000000000000 ELSE (random() * 10 ^ (random() * 8))::bigint END * CASE WHEN i % 3 = 0 THEN -1 ELSE 1 END AS units,
                         (ARRAY['line', 'line', 'unit', 'total', 'rate'])[1 + (i / 2) % 5] AS raw_at
                    FROM generate_series(1, :n) i) a
           CROSS JOIN LATERAL (SELECT day - greatest(extract(day FROM day)::integer - 28, 0) AS start, round(p, (r % 12)::integer) AS price,
                                      CASE WHEN raw_at = 'rate' AND unit = 'month' THEN 'line' ELSE raw_at END AS at) b) c
   CROSS JOIN LATERAL (SELECT daterange(start, (start + make_interval(months => months))::date) AS cycle,
                              daterange(start + from_day % (31 * months), start + from_day % (31 * months) + length % (40 * months)) AS used) d;
SELECT is(count(DISTINCT policy) > :n / 40, true, 'policies of many kinds') FROM line;
CREATE TEMP TABLE result AS
  SELECT l.*, eiot.prorate(price, units, used, cycle, policy::eiot.proration_policy) AS amount,
         pg_temp.expected(price, units, used, cycle, unit, denominator, month_days, at, at_scale, factor, how, scale) AS expected
    FROM line l;
SELECT is((SELECT string_agg(format('%s × %s, %s of %s, %s: %s, not %s', price, units, used, cycle, policy, amount, expected), E'\n')
             FROM (SELECT * FROM result WHERE amount IS DISTINCT FROM expected ORDER BY i LIMIT 5) r),
          NULL, 'every amount is the exact fraction, rounded');
SELECT is((SELECT format('%s: %s has not its %s decimals', policy, amount, scale) FROM result WHERE at <> 'total' AND scale(amount) <> scale LIMIT 1), NULL, 'with the decimals of the policy');
SELECT is((SELECT format('%s, not %s', numeric_send(amount), numeric_send(expected)) FROM result WHERE numeric_send(amount) <> numeric_send(expected) LIMIT 1), NULL, 'in the form that numeric itself gives them');
SELECT cmp_ok(count(*), '>', :n / 3::bigint, 'most of them not 0, not all of the price') FROM result WHERE amount <> 0 AND amount <> price * units;
SELECT cmp_ok(count(*), '>', :n / 30::bigint, 'some too large for integers of 64 bits') FROM result WHERE abs(amount) * 10 ^ scale > 18446744073709551615;
SELECT cmp_ok(count(*), '>=', :n / 400::bigint, 'and of 128') FROM result WHERE abs(amount) * 10 ^ scale > 1e37;
-- Decimals beyond all that integers hold.
SELECT is(numeric_send(eiot.prorate(price, -1, '[2026-01-01,2026-01-02)'::daterange, '[2026-01-01,2026-01-08)'::daterange, ('day,scale=' || scale)::eiot.proration_policy)),
          numeric_send(pg_temp.rounded(-price, 7, scale, 'half_up')), format('a seventh of %s with %s decimals, as a credit', price, scale))
  FROM unnest(ARRAY[0, 1, 15, 16, 17, 18, 19, 20, 36, 37, 38, 39, 40, 63, 64, 65, 300, 1000]) scale, unnest(ARRAY[0, 0.000000000000000000000000000007, 1]) price;
SELECT is(eiot.prorate(price, units, '[2026-01-01,2026-01-02)'::daterange, '[2026-01-01,2026-01-08)'::daterange), pg_temp.rounded(price * units, 7, 2, 'half_up'),
          format('a seventh of %s times %s', units, left(price::text, 30)))
  FROM unnest(ARRAY[0, 0.0000, 1e-30, 0.07, 7, 9999, 10000, 1e15, 9999999999999999, 10000000000000000, 1e20, 1e30, 1e38, 1e100, 123456789012345678901234567890.123456789, 9999999999999999999999999999999999999999, 99999999999999999999.9999999999999999]) price,
       unnest(ARRAY[0, 1, 9223372036854775807, -9223372036854775808]) units;
SELECT is(eiot.prorate(price, 1, '[2026-01-01,2026-01-08)'::daterange, '[2026-01-01,2026-01-08)'::daterange, 'day,scale=0'), price, format('%s is what it is', price))
  FROM (SELECT repeat('9', n)::numeric AS price FROM generate_series(15, 48) n) p;

-- ---- properties

-- A span split at random days.
CREATE TEMP TABLE split AS
  SELECT r.i, price, units, used, cycle, policy, at, scale, amount, (SELECT array_agg(d ORDER BY d) FROM (SELECT DISTINCT lower(used) + (random() * (upper(used) - lower(used)))::integer AS d
           FROM generate_series(1, 1 + r.i % 5)) x WHERE d > lower(used) AND d < upper(used)) AS days
    FROM result r WHERE abs(units) < 1e9 AND price < 1e12 AND factor IS NULL;
SELECT is((SELECT format('%s × %s, %s of %s, %s, split at %s: %s, not %s', price, units, used, cycle, policy, days, total, amount)
             FROM (SELECT s.*, p.total, p.parts FROM split s
                    CROSS JOIN LATERAL (SELECT sum(eiot.prorate(price, units, daterange(f, t), cycle, policy::eiot.proration_policy)) AS total, count(*) AS parts
                                          FROM ROWS FROM (unnest(lower(used) || days), unnest(days || upper(used))) x(f, t)) p
                    WHERE days IS NOT NULL) q
            -- one unit for each part and the whole, of a single unit's price where that is rounded
            WHERE abs(total - amount) > (parts + CASE WHEN policy LIKE '%round=half%' THEN 0 ELSE 1 END) * 10.0 ^ -scale * CASE at WHEN 'unit' THEN greatest(abs(units), 1) ELSE 1 END LIMIT 1),
          NULL, 'the parts of a split span differ from the whole by no more than the rounding unit each');
SELECT is((SELECT format('%s × %s, of %s, %s: %s costs %s, one day more %s', price, units, cycle, policy, used, amount, longer)
             FROM (SELECT r.*, eiot.prorate(price, abs(units), used, cycle, policy::eiot.proration_policy) AS shorter,
                          eiot.prorate(price, abs(units), daterange(lower(used), upper(used) + 1), cycle, policy::eiot.proration_policy) AS longer
                     FROM result r WHERE NOT isempty(used)) q WHERE longer < shorter LIMIT 1), NULL, 'another day never costs less');
SELECT is((SELECT format('%s × %s, of %s, %s: %s', price, units, cycle, policy, used) FROM result
            WHERE units > -9000000000000000001 AND eiot.prorate(price, -units, used, cycle, policy::eiot.proration_policy) <> -amount LIMIT 1),
          NULL, 'a credit cancels the charge of the same span');
SELECT is((SELECT format('%s of %s, %s', price, cycle, policy) FROM result
            WHERE policy LIKE '%denominator=cycle%at=line%' AND eiot.prorate(price, 1, cycle, cycle, policy::eiot.proration_policy) <> pg_temp.rounded(price, 1, scale, how) LIMIT 1),
          NULL, 'a whole cycle is its price');
-- One day more than nothing, one less than all: leap years and month ends, each preset.
CREATE TEMP TABLE preset AS SELECT name, name::eiot.proration_policy AS policy
  FROM unnest(string_to_array('day second nce azure stripe killbill killbill_30 lago meteroid openmeter oca_contract zuora_actual zuora_30 zuora_30_360 appxite rhipe erpnext chargebee', ' ')) name;
SELECT is((SELECT format('%s, %s: %s days are %s, %s are %s', name, cycle, days - 1, before, days, amount)
             FROM (SELECT name, cycle, days, amount, lag(amount) OVER (PARTITION BY name, cycle ORDER BY days) AS before
                     FROM preset CROSS JOIN eiot.billing_cycles('2023-01-31', 'month', '[2023-01-01,2024-12-31]') cycle
                    CROSS JOIN LATERAL generate_series(0, upper(cycle) - lower(cycle)) days
                    CROSS JOIN LATERAL eiot.prorate(100, 3, daterange(lower(cycle), lower(cycle) + days), cycle, (policy::text || CASE WHEN policy::text LIKE '%empty=%' THEN '' ELSE ',empty=zero' END)::eiot.proration_policy) amount
                    WHERE days > 0 OR name <> 'openmeter') q WHERE amount < before LIMIT 1),
          NULL, 'presets never charge less for a day more, at month ends and in leap years');

-- ---- instants

-- Midnights of a time zone are its dates, whatever the clocks do.
SELECT is((SELECT format('%s: %s of %s', zone, used, cycle)
             FROM unnest(ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'America/Sao_Paulo', 'Australia/Lord_Howe', 'Asia/Kathmandu']) zone
            CROSS JOIN LATERAL (SELECT used, cycle FROM result WHERE upper(cycle) < '2026-01-01' AND NOT isempty(used) ORDER BY i LIMIT 1500) r
            CROSS JOIN LATERAL (SELECT tstzrange(lower(used)::timestamp AT TIME ZONE zone, upper(used)::timestamp AT TIME ZONE zone) AS used_at,
                                       tstzrange(lower(cycle)::timestamp AT TIME ZONE zone, upper(cycle)::timestamp AT TIME ZONE zone) AS cycle_at) t
            CROSS JOIN unnest(ARRAY['day', 'nce', 'killbill_30', 'day,ends=inclusive', 'erpnext', 'day,outside=count']) policy
            WHERE eiot.prorate(1234.56, 7, used_at, cycle_at, (policy || ',tz=' || zone)::eiot.proration_policy) <> eiot.prorate(1234.56, 7, used, cycle, policy::eiot.proration_policy) LIMIT 1),
          NULL, 'from midnight to midnight of a time zone is the same as its dates');
SELECT is(eiot.prorate(seconds, 1, tstzrange(noon - interval '12 hours', noon - interval '12 hours' + make_interval(secs => hours * 3600)), tstzrange(start, finish), 'second'), (hours * 3600)::numeric(10, 2),
          format('%s: a day of %s hours', zone, hours))
  FROM (VALUES ('Europe/Berlin', '2026-03-29'::date, 23), ('Europe/Berlin', '2026-10-25', 25), ('Australia/Lord_Howe', '2026-04-05', 24.5), ('UTC', '2026-03-29', 24)) v(zone, day, hours)
 CROSS JOIN LATERAL (SELECT (day::timestamp AT TIME ZONE zone) + interval '12 hours' AS noon, date_trunc('month', day)::timestamp AT TIME ZONE zone AS start,
                            (date_trunc('month', day) + interval '1 month')::timestamp AT TIME ZONE zone AS finish) t
 CROSS JOIN LATERAL (SELECT extract(epoch FROM finish - start)::bigint AS seconds) s;
SELECT is((SELECT format('%s of %s', used, cycle) FROM result WHERE NOT isempty(used)
              AND eiot.prorate(987.65, 3, tstzrange(lower(used), upper(used)), tstzrange(lower(cycle), upper(cycle)), 'second') <> eiot.prorate(987.65, 3, used, cycle, 'second') LIMIT 1),
          NULL, 'seconds between dates are the days times 86400');
-- Ends.
SELECT is(eiot.prorate(31, 1, used::tstzrange, '[2026-03-01 00:00+00,2026-04-01 00:00+00)'::tstzrange, ('day,ends=' || ends)::eiot.proration_policy), days, format('%s, %s: %s days', used, ends, days))
  FROM (VALUES ('[2026-03-10 00:00+00,2026-03-20 00:00+00)', 'half_open', 10.00), ('[2026-03-10 00:00+00,2026-03-20 00:00+00)', 'inclusive', 10), ('[2026-03-10 00:00+00,2026-03-20 00:00+00]', 'inclusive', 11),
               ('[2026-03-10 23:59+00,2026-03-20 00:00:00.000001+00)', 'half_open', 10), ('[2026-03-10 23:59+00,2026-03-20 00:00:00.000001+00)', 'inclusive', 11),
               ('[2026-03-10 00:00+00,2026-03-19 23:59:59+00]', 'half_open', 9), ('[2026-03-10 00:00+00,2026-03-19 23:59:59+00]', 'inclusive', 10), ('[2026-03-10 09:00+00,2026-03-10 09:00+00]', 'inclusive', 1),
               ('[2026-03-10 08:00+00,2026-03-10 17:00+00)', 'half_open', 0), ('[2026-03-10 08:00+00,2026-03-10 17:00+00)', 'inclusive', 1), ('(,)', 'half_open', 31), ('[2026-03-30 00:00+00,infinity]', 'inclusive', 2),
               ('empty', 'inclusive', 0), ('[2026-02-01 00:00+00,2026-03-01 00:00+00]', 'half_open', 0), ('[2026-02-01 00:00+00,2026-03-01 00:00+00]', 'inclusive', 1),
               ('[2026-04-01 00:00+00,2026-05-01 00:00+00]', 'inclusive', 0)) v(used, ends, days);
SELECT is(eiot.prorate(31, 1, tstzrange('2018-11-03 00:00-03', '2018-11-04 00:00-03'), tstzrange('2018-11-01 00:00-03', '2018-12-01 00:00-02'), 'day,denominator=31,ends=inclusive,tz=America/Sao_Paulo'), 1.00,
          'a day that begins at one o''clock is not begun before');
SELECT is(eiot.prorate(1000000, 1, tstzrange('2026-03-05 14:00:00+00', '2026-03-05 14:00:00.00003+00'), tstzrange('2026-03-01 00:00+00', '2026-04-01 00:00+00'), 'second,denominator=30,scale=6'), 1.000000,
          'thirty millionths of a second are not thirty seconds');
SELECT is(eiot.prorate(12, 1, tstzrange('2026-03-05 14:00+00', '2026-03-05 15:00+00'), tstzrange('2026-03-01 00:00+00', '2026-04-01 00:00+00'), 'azure,scale=6'), round(12 / 744.0, 6), 'an hour in effect is charged');
SELECT throws_ok($$SELECT eiot.prorate(1, 1, tstzrange('2026-03-05', '2026-03-06'), tstzrange('2026-03-05 08:00+00', '2026-03-05 09:00+00'), 'day')$$, '22023', 'cycle has no day that counts under the policy', 'a cycle within a day');
SELECT throws_ok($$SELECT eiot.prorate(1, 1, tstzrange('4713-01-01 00:00+00 BC', '294276-12-31 00:00+00'), tstzrange('4713-01-01 00:00+00 BC', '294276-12-31 00:00+00'), 'second')$$, '22008',
                 'range is longer than can be measured in microseconds', 'the longest range there is');
SELECT is(eiot.prorate(1, 1, tstzrange('4713-01-01 00:00+00 BC', '294276-12-31 00:00+00'), tstzrange('4713-01-01 00:00+00 BC', '294276-12-31 00:00+00'), 'day,tz=Europe/Berlin'), 1.00, 'in days it can be measured');
SELECT is(eiot.prorate(1, 1, '[4713-01-01 BC,5874897-12-31)'::daterange, '[4713-01-01 BC,5874897-12-31)'::daterange, policy), 1.00, format('all dates there are, %s', policy))
  FROM unnest(ARRAY['day', 'day,month=30', 'second', 'day,unit=month', 'day,unit=cycle']::eiot.proration_policy[]) policy;

-- ---- the sum of lines that are rounded in total

SELECT is(eiot.round_total(sum(eiot.prorate(100, 1, daterange(d, d + 1), '[2026-01-01,2026-01-08)', 'day,at=total')), ('day,round=' || how)::eiot.proration_policy), 100.00, format('seven sevenths, %s', how))
  FROM unnest(ARRAY['half_up', 'half_even', 'truncate', 'ceiling']) how, generate_series(0, 6) n CROSS JOIN LATERAL (SELECT DATE '2026-01-01' + n AS d) x GROUP BY how;
SELECT is(eiot.round_total(total, policy), result, format('%s by %s', total, policy))
  FROM (VALUES (2.345, 'day'::eiot.proration_policy, 2.35), (-2.345, 'day', -2.35), (2.345, 'day,round=half_even', 2.34), (2.349, 'nce', 2.34), (-2.349, 'nce', -2.34), (2.341, 'day,round=ceiling', 2.35),
               (2.5, 'day,scale=0', 3), (2.99999999999999999, 'nce', 3.00), (2.9999999999999, 'nce', 2.99), (1e30, 'day', 1e30::numeric(40, 2)), (0, 'day', 0.00)) v(total, policy, result);

-- ==== the policy

-- Text: the full form reads back as the same policy, and so does the binary form.
CREATE TEMP TABLE form AS
  SELECT DISTINCT policy::eiot.proration_policy AS policy FROM line
  UNION SELECT policy FROM preset
  UNION SELECT (replace(name, 'openmeter', 'second') || ',scale=1000,tz=America/North_Dakota/New_Salem,outside=count,ends=inclusive,empty=full,empty_cycle=zero')::eiot.proration_policy FROM preset;
SELECT is((SELECT policy::text FROM form WHERE policy::text::eiot.proration_policy OPERATOR(eiot.<>) policy LIMIT 1), NULL, 'the full form reads back as the same policy');
SELECT is(count(DISTINCT policy::text), count(*), 'equal policies have the same full form, others another') FROM form;
SELECT is((SELECT name FROM preset WHERE policy::text NOT LIKE 'unit=%,denominator=%,round=%,scale=%,at=%' LIMIT 1), NULL, 'the full form begins with the five keys that always stand');
SELECT is(' NCE , tz = europe/berlin,SCALE=4 '::eiot.proration_policy::text, 'unit=day,denominator=start_month,round=truncate,scale=4,at=line,tz=Europe/Berlin', 'neither case nor blanks matter');
SELECT ok('day'::eiot.proration_policy OPERATOR(eiot.=) 'unit=day,denominator=cycle,round=half_up,scale=2,at=line'
          AND 'killbill,scale=9'::eiot.proration_policy OPERATOR(eiot.=) 'scale=9,factor=9', 'a preset equals its keys');
SELECT is(count(DISTINCT eiot.proration_policy_hash(policy)) > 0.9 * count(*), true, 'hashes spread') FROM form;
SELECT ok(eiot.proration_policy_hash('day') = eiot.proration_policy_hash('unit=day') AND eiot.proration_policy_hash_extended('day', 7) = eiot.proration_policy_hash_extended('unit=day', 7)
          AND eiot.proration_policy_hash_extended('day', 7) <> eiot.proration_policy_hash_extended('day', 8), 'equal policies hash alike');

-- Binary COPY of one column of these values, as a shell command that prints it.
CREATE FUNCTION pg_temp.binary_copy(fields bytea[]) RETURNS text
  LANGUAGE sql IMMUTABLE AS $$
  SELECT format('printf ''%s''', string_agg('\' || lpad(get_byte(stream, i) / 64 || '' || get_byte(stream, i) / 8 % 8 || get_byte(stream, i) % 8, 3, '0'), '' ORDER BY i))
    FROM (SELECT '\x5047434f50590aff0d0a000000000000000000'::bytea
                 || string_agg('\x0001'::bytea || int4send(octet_length(field)) || field, '' ORDER BY n)
                 || '\xffff'::bytea AS stream
            FROM unnest(fields) WITH ORDINALITY f(field, n)) s,
         generate_series(0, octet_length(stream) - 1) i
$$;
CREATE TEMP TABLE received (policy eiot.proration_policy);
SELECT format('COPY received (policy) FROM PROGRAM %L (FORMAT binary)', pg_temp.binary_copy(array_agg(eiot.proration_policy_send(policy)))) FROM (SELECT policy FROM form LIMIT 300) f \gexec
SELECT is(count(*), 0::bigint, 'every policy sent is received') FROM (SELECT policy FROM (SELECT policy FROM form LIMIT 300) f EXCEPT SELECT policy FROM received) x;
SELECT throws_ok(format('COPY received (policy) FROM PROGRAM %L (FORMAT binary)', pg_temp.binary_copy(ARRAY[field])), code, message, 'binary: ' || message)
  FROM (VALUES ('\x02'::bytea || 'day'::bytea, '22P03', 'unsupported version of type eiot.proration_policy: 2'), ('\x01'::bytea || 'dax'::bytea, '22P02', 'unknown proration preset: "dax"'),
               ('\x01'::bytea, '22P02', 'proration policy is empty')) v(field, code, message);

-- Text that is none.
SELECT throws_ok(format('SELECT %L::eiot.proration_policy', text), code, NULL, format('no policy: "%s"', left(text, 60)))
  FROM (VALUES (' ', '22P02'), (',', '22P02'), ('day,', '22P02'), (',scale=2', '22P02'), ('day,,scale=2', '22P02'), ('day nce', '22P02'), ('day,nce', '22P02'), ('scale', '22P02'), ('=2', '22P02'), ('scale=', '22P02'),
               ('scale=2.0', '22P02'), ('scale=+2', '22P02'), ('scale=99999999999999999999', '22023'), ('scale=2 3', '22P02'), ('unit=days', '22P02'), ('unit=week', '22P02'), ('denominator=30/360', '22P02'),
               ('denominator=1000000001', '22023'), ('at=rate:', '22P02'), ('at=rate:1001', '22023'), ('at=unit:2', '22P02'), ('at=rate:2:3', '22P02'), ('month=27', '22023'), ('month=32', '22023'), ('factor=1001', '22023'),
               ('tz=', '22P02'), ('tz=' || repeat('x', 200), '22P02'), ('round=', '22P02'), ('unit=second,month=30', '22023'), ('unit=month,denominator=start_month', '22023'), ('at=rate:2,factor=3', '22023'),
               ('day' || repeat(',scale=2', 1000), '22P02'), (repeat('x', 100000), '22P02')) v(text, code);

-- ==== billing cycles

-- Microsoft's monthly terms: each purchase is followed by the clamped day, 10 of 10.
SELECT is(upper(cycle), to_date(ends, 'YYYY-MM-DD'), format('bought %s: next on %s', starts, ends))
  FROM (VALUES ('2022-01-31', '2022-02-28'), ('2022-02-28', '2022-03-28'), ('2022-05-31', '2022-06-30'), ('2022-06-30', '2022-07-30'), ('2022-07-31', '2022-08-31'), ('2022-01-30', '2022-02-28'), ('2022-02-27', '2022-03-27'),
               ('2022-05-30', '2022-06-30'), ('2022-06-29', '2022-07-29'), ('2022-07-30', '2022-08-30')) v(starts, ends)
 CROSS JOIN LATERAL eiot.billing_cycles(starts::date, 'month', daterange(starts::date, starts::date + 1)) cycle;
-- Its annual terms billed monthly: the distance from the month's end, 12 of 12, and where both rules agree.
SELECT results_eq(format($$SELECT to_char(lower(c), 'MM-DD') FROM eiot.billing_cycles(%L, 'month', '[2022-01-30,2022-12-31]', %L) c$$, anchor, month_end),
                  format('SELECT unnest(string_to_array(%L, '' ''))', days), format('billed monthly from %s, %s', anchor, month_end))
  FROM (VALUES ('2022-01-31', 'distance', '12-31 01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31'), ('2022-01-31', 'clamp', '12-31 01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31'),
               ('2022-01-30', 'distance', '01-30 02-27 03-30 04-29 05-30 06-29 07-30 08-30 09-29 10-30 11-29 12-30'), ('2022-01-30', 'clamp', '01-30 02-28 03-30 04-30 05-30 06-30 07-30 08-30 09-30 10-30 11-30 12-30')) v(anchor, month_end, days);
-- Kill Bill: a day 31 comes back after a short month; the period before the first bill.  Lago: last days of anniversaries.
SELECT is(cycle::text, expected, format('%s, %s from %s: the cycle of %s', about, frequency, anchor, day))
  FROM (VALUES ('Kill Bill', 'month', '2011-01-31', '2011-02-14', '[2011-01-31,2011-02-28)'), ('Kill Bill', 'month', '2011-01-31', '2011-03-01', '[2011-02-28,2011-03-31)'), ('Kill Bill', 'month', '2011-02-13', '2011-02-01', '[2011-01-13,2011-02-13)'),
               ('Kill Bill', 'quarter', '2011-02-13', '2011-02-01', '[2010-11-13,2011-02-13)'), ('Kill Bill', 'year', '2011-01-17', '2011-01-10', '[2010-01-17,2011-01-17)'), ('Kill Bill', 'month', '2012-01-30', '2012-02-29', '[2012-02-29,2012-03-30)'),
               ('Lago', 'month', '2021-01-31', '2022-02-27', '[2022-01-31,2022-02-28)'), ('Lago', 'month', '2021-01-31', '2021-04-30', '[2021-04-30,2021-05-31)'), ('Lago', 'month', '2020-01-31', '2020-02-29', '[2020-02-29,2020-03-31)'),
               ('Lago', 'month', '2019-04-30', '2020-02-29', '[2020-02-29,2020-03-30)'), ('Lago', 'year', '2020-02-29', '2025-02-27', '[2024-02-29,2025-02-28)'), ('Lago', 'quarter', '2024-04-01', '2024-05-20', '[2024-04-01,2024-07-01)')) v(about, frequency, anchor, day, expected)
 CROSS JOIN LATERAL eiot.billing_cycles(anchor::date, frequency, daterange(day::date, day::date + 1)) cycle;
SELECT is(upper(cycle) - lower(cycle), 365, 'Lago: the year up to the last February 28 of a leap day''s anniversary has 365 days') FROM eiot.billing_cycles('2020-02-29', 'year', '[2025-02-27,2025-02-28)') cycle;

CREATE TEMP TABLE cycles AS
  SELECT a.n, anchor, frequency, months, month_end, within, cycle, lag(upper(cycle)) OVER w AS before, row_number() OVER w AS k, count(*) OVER (PARTITION BY n) AS cycles
    FROM (SELECT n, DATE '1890-01-01' + (random() * 80000)::integer AS anchor, (ARRAY['month', 'quarter', 'year'])[1 + n % 3] AS frequency, (ARRAY[1, 3, 12])[1 + n % 3] AS months,
                 (ARRAY['clamp', 'distance'])[1 + (n / 3) % 2] AS month_end, daterange(d, d + 1 + (random() * 900)::integer) AS within
            FROM (SELECT n, DATE '1890-01-01' + (random() * 80000)::integer AS d FROM generate_series(1, :n / 10) n) x) a
   CROSS JOIN LATERAL eiot.billing_cycles(anchor, frequency, within, month_end) cycle
  WINDOW w AS (PARTITION BY n ORDER BY cycle);
SELECT is(count(DISTINCT n), (:n / 10)::bigint, 'every range has cycles') FROM cycles;
SELECT is((SELECT format('%s', c) FROM cycles c WHERE before <> lower(cycle) OR NOT cycle && within OR k = 1 AND lower(cycle) > lower(within) OR k = cycles AND upper(cycle) < upper(within) LIMIT 1),
          NULL, 'cycles follow each other without a gap, cover the range and no more');
SELECT is((SELECT format('%s', c) FROM cycles c
            WHERE month_end = 'clamp' AND lower(cycle) <> (anchor + make_interval(months => months * round((lower(cycle) - anchor) / (365.2425 / 12 * months))::integer))::date LIMIT 1),
          NULL, 'clamped cycles start where the server''s intervals say');
SELECT is((SELECT format('%s', c) FROM cycles c WHERE month_end = 'distance' AND extract(day FROM anchor + 3) <= 3
              AND (date_trunc('month', anchor) + interval '1 month')::date - anchor <> (date_trunc('month', lower(cycle)) + interval '1 month')::date - lower(cycle) LIMIT 1),
          NULL, 'one of the last three days stays as far from the end of its month');
SELECT is((SELECT format('%s', c) FROM cycles c WHERE month_end = 'distance' AND extract(day FROM anchor + 3) <= 3
              AND NOT (cycle IN (SELECT eiot.billing_cycles(lower(cycle), frequency, daterange(lower(cycle), lower(cycle) + 1), month_end))
                       AND cycle IN (SELECT eiot.billing_cycles(upper(cycle), frequency, daterange(lower(cycle), lower(cycle) + 1), month_end))) LIMIT 1),
          NULL, 'so it does not matter which of these days is the anchor');
SELECT is((SELECT format('%s', c) FROM cycles c WHERE month_end = 'distance' AND extract(day FROM anchor + 3) > 3
              AND cycle NOT IN (SELECT eiot.billing_cycles(anchor, frequency, within, 'clamp')) LIMIT 1),
          NULL, 'other days come back as they are');

-- ==== parts that add up

CREATE TEMP TABLE share AS
  SELECT g, i, (g / 5) % 5 AS scale,
         CASE WHEN i % 17 = 3 THEN NULL WHEN i % 7 = 5 OR g % 31 = 0 THEN 0 ELSE (random() * 10 ^ (random() * 8))::numeric(40, 20) END AS weight,
         ((hashint4(g)::numeric / 2147483648) * 10 ^ (g % 11))::numeric(40, 6) AS total
    FROM generate_series(1, :n / 20) g CROSS JOIN LATERAL generate_series(1, 1 + (g * 7) % 40) i;
CREATE TEMP TABLE part AS
  SELECT s.*, eiot.allocate(weight, total, scale) OVER w AS part, eiot.allocate(weight * 1e40, total, scale) OVER w AS large, eiot.allocate(weight, scale) OVER w AS own,
         eiot.allocate(weight * 1e40, scale) OVER w AS large_own, sum(weight) OVER p AS weights, count(weight) OVER p AS n
    FROM share s WINDOW w AS (PARTITION BY g ORDER BY i), p AS (PARTITION BY g);
SELECT cmp_ok(count(DISTINCT g) FILTER (WHERE total < 0), '>', 20::bigint, 'negative totals among them') FROM part;
SELECT is((SELECT format('group %s: %s of %s', g, sum(part), min(total)) FROM part GROUP BY g, scale HAVING count(weight) > 0 AND sum(part) <> round(min(total), scale) LIMIT 1), NULL, 'parts add up to the rounded total');
SELECT is((SELECT format('group %s, row %s: %s', g, i, part) FROM part WHERE (part IS NULL) <> (weight IS NULL) OR scale(part) <> scale OR scale(own) <> scale LIMIT 1), NULL, 'null for a null weight alone, with the decimals asked for');
SELECT is((SELECT format('group %s, row %s: %s, exactly %s', g, i, part, round(total, scale) * weight / weights) FROM part WHERE weights > 0 AND abs(part - round(total, scale) * weight / weights) >= 10.0 ^ -scale LIMIT 1),
          NULL, 'no part is a unit away from the exact one');
SELECT is((SELECT format('group %s, row %s: %s', g, i, part) FROM part WHERE weights > 0 AND weight = 0 AND part <> 0 LIMIT 1), NULL, 'a weight of 0 gets nothing');
SELECT is((SELECT format('group %s, row %s: %s', g, i, part) FROM part WHERE weights = 0 AND abs(part - total / n) > 10.0 ^ -scale LIMIT 1), NULL, 'without any weight all rows get the same');
SELECT is((SELECT format('group %s, row %s: %s and %s', g, i, part, large) FROM part WHERE part IS DISTINCT FROM large LIMIT 1), NULL, 'weights too large for integers give the same');
SELECT is((SELECT format('group %s: %s of %s', g, sum(own), sum(weight)) FROM part GROUP BY g, scale HAVING sum(own) <> round(sum(weight), scale) LIMIT 1), NULL, 'weights rounded for themselves add up to their rounded sum');
SELECT is((SELECT format('group %s, row %s: %s, exactly %s', g, i, own, weight) FROM part WHERE abs(own - weight) >= 10.0 ^ -scale LIMIT 1), NULL, 'and none is a unit away from itself');
SELECT is((SELECT format('group %s, row %s: %s', g, i, large_own) FROM part WHERE large_own <> weight * 1e40 LIMIT 1), NULL, 'which is nothing to round where they are too large for integers');
-- Ninths of 5.5 cents: what the decimals of the lines lack does not tip a half.
SELECT is(sum(part), 0.06, 'a sum that is a half but for what its lines lack') FROM (SELECT eiot.allocate(w, 2) OVER () AS part
  FROM generate_series(0, 8) n CROSS JOIN LATERAL eiot.prorate(0.055, 1, daterange(DATE '2026-01-01' + n, DATE '2026-01-02' + n), '[2026-01-01,2026-01-10)', 'day,at=total') w) x;
SELECT is(sum(part), 0.02, 'nor where they are too many for integers') FROM (SELECT eiot.allocate(w, 2) OVER () AS part FROM unnest(ARRAY[0.00499999999999999999999999999999999999999999999999, 0.005, 0.005]) w) x;
-- Who gets what is left: whose part was cut most, first rows among equals.
SELECT is((SELECT format('group %s, row %s: %s', g, i, part) FROM (
             SELECT *, trunc(exact, scale) + CASE WHEN row_number() OVER (PARTITION BY g ORDER BY exact - trunc(exact, scale) DESC, i) <= round((round(abs(total), scale) - sum(trunc(exact, scale)) OVER (PARTITION BY g)) * 10 ^ scale)
                                             THEN round(10.0 ^ -scale, scale) ELSE 0 END AS by_hand
               FROM (SELECT *, pg_temp.rounded(round(abs(total), scale) * weight, weights, 60, 'truncate') AS exact FROM part WHERE weights > 0 AND weight IS NOT NULL) e) q WHERE abs(part) <> by_hand LIMIT 1),
          NULL, 'the largest remainders get what is left');
SELECT is(array_agg(part ORDER BY n), ARRAY[3.34, 3.33, 3.33], 'the first of equals in the window''s order')
  FROM (SELECT n, eiot.allocate(1, 10, 2) OVER (ORDER BY n) AS part FROM generate_series(1, 3) n) x;
SELECT is(array_agg(part ORDER BY n), ARRAY[3.34, 3.33, 3.33], '... however large') FROM (SELECT n, eiot.allocate(1e40, 10, 2) OVER (ORDER BY n) AS part FROM generate_series(1, 3) n) x;
SELECT is(array_agg(part ORDER BY n), ARRAY[3.33, 3.33, 3.34], '... which may be another') FROM (SELECT n, eiot.allocate(1, 10, 2) OVER (ORDER BY n DESC) AS part FROM generate_series(1, 3) n) x;
SELECT is(sum(part), 99999999999999999999.99, 'a total beyond 64 bits') FROM (SELECT eiot.allocate(n, 99999999999999999999.99, 2) OVER () AS part FROM generate_series(1, 7) n) x;
SELECT is(sum(part), 1::numeric, 'a scale beyond integers') FROM (SELECT eiot.allocate(n, 1, 300) OVER () AS part FROM generate_series(1, 7) n) x;
SELECT is(sum(part), 1::numeric, 'more rows than units') FROM (SELECT eiot.allocate(n % 3, 1, 0) OVER () AS part FROM generate_series(1, 5000) n) x;
SELECT is(array_agg(part), ARRAY[7.00, 7.00]::numeric[], 'a partition of one row') FROM (SELECT eiot.allocate(0.001, 7, 2) OVER (PARTITION BY n) AS part FROM generate_series(1, 2) n) x;
SELECT is(count(*), 0::bigint, 'no rows') FROM (SELECT eiot.allocate(1, 7, 2) OVER () FROM generate_series(1, 0)) x;
SELECT is(count(part), 2::bigint, 'totals that differ in their decimals alone agree') FROM (SELECT eiot.allocate(1, t, 2) OVER () AS part FROM (VALUES (7.0), (7.00)) v(t)) x;
-- The rows a limit leaves out, a frame, and the same function twice.
SELECT is(array_agg(part ORDER BY n), ARRAY[2.50, 2.50], 'the frame does not matter, nor how many rows are fetched')
  FROM (SELECT n, eiot.allocate(1, 10, 2) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS part FROM generate_series(1, 4) n LIMIT 2) x;
SELECT throws_ok($$SELECT eiot.allocate(1, t, 2) OVER (ORDER BY t) FROM (VALUES (7.0), (NULL)) v(t)$$, '22023', 'rows of one partition disagree on its total or scale', 'a total and none');
SELECT throws_ok($$SELECT eiot.allocate(n, 2) OVER () FROM (VALUES (1.0), (-1e50)) v(n)$$, '22023', NULL, 'a negative weight among large ones');
SELECT throws_ok($$SELECT eiot.allocate(n, 2) OVER () FROM (VALUES (1e50), ('Infinity')) v(n)$$, '22023', 'weight must be a number and not negative: Infinity', 'an infinite weight');

-- As arrays.
SELECT is((SELECT format('group %s: %s', g, parts) FROM (
             SELECT g, eiot.allocate(array_agg(weight ORDER BY i), min(total), scale) AS parts, array_agg(part ORDER BY i) AS by_window,
                    eiot.allocate(array_agg(weight * 1e40 ORDER BY i), min(total), scale) AS large,
                    eiot.allocate(array_agg(weight ORDER BY i), scale) AS own, array_agg(own ORDER BY i) AS own_by_window
               FROM part GROUP BY g, scale) x
            WHERE parts::text IS DISTINCT FROM by_window::text OR large::text IS DISTINCT FROM by_window::text OR own::text IS DISTINCT FROM own_by_window::text LIMIT 1),
          NULL, 'arrays get what rows of a window get, element by element');
SELECT is(eiot.allocate('[0:1][2:4]={{1,1,1},{1,NULL,1}}'::numeric[], 10, 1)::text, '[0:1][2:4]={{2.0,2.0,2.0},{2.0,NULL,2.0}}', 'in an array of the same shape');
SELECT is(eiot.allocate('{}'::numeric[], 10, 1), '{}', 'of no elements none');
SELECT is(eiot.allocate('{NULL}'::numeric[], 10, 1), '{NULL}', 'and of none but nulls');
SELECT is(num_nulls(eiot.allocate(NULL::numeric[], 1, 1), eiot.allocate('{1}'::numeric[], NULL, 1), eiot.allocate('{1}'::numeric[], 1, NULL), eiot.allocate(NULL::numeric[], 1), eiot.allocate('{1}'::numeric[], NULL)), 5, 'null of null');
SELECT throws_ok($$SELECT eiot.allocate('{1,-1}'::numeric[], 2)$$, '22023', 'weight must be a number and not negative: -1', 'a negative element');
SELECT throws_ok($$SELECT eiot.allocate('{1}'::numeric[], 'NaN', 2)$$, '22023', 'total must be a number: NaN', 'no total');
SELECT throws_ok($$SELECT eiot.allocate('{1}'::numeric[], 1, -1)$$, '22023', 'scale of an allocation is out of range: -1', 'no scale');

SELECT * FROM finish();
ROLLBACK;
