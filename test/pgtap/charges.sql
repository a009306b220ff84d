-- Lines of what a tenant is charged: the published examples one by one, and what must hold for any history.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;
\getenv shared EIOT_SHARED_DATA
\if :{?shared}
\set published :shared /proration-published.tsv
\else
\set published ''
\endif

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('f3000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 300) n;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
  SELECT pg_temp.t(n), '111046dd-295b-4d6d-9724-d52ac90bd1f2', 1, '(,)' FROM generate_series(1, 300) n;

-- ---- Microsoft's examples

-- How the units went, as a list of day and units; 0 is the end.
CREATE FUNCTION pg_temp.live(n integer, price numeric, frequency text, steps jsonb, currency text DEFAULT 'USD') RETURNS void
  LANGUAGE plpgsql AS $$
DECLARE
  id bigint;
  step jsonb;
BEGIN
  FOR step IN SELECT jsonb_array_elements(steps) LOOP
    IF id IS NULL THEN
      id := eiot.purchase(pg_temp.t(n), (step ->> 1)::bigint, frequency, price, currency, (step ->> 0)::timestamptz);
    ELSE
      id := eiot.change_units(id, (step ->> 1)::bigint, (step ->> 0)::timestamptz);
    END IF;
  END LOOP;
END
$$;
SELECT pg_temp.live(1, 10.08, 'month', '[["2021-06-18", 10], ["2021-06-20", 12], ["2021-06-20 12:00", 8]]'),
       pg_temp.live(2, 12, 'month', '[["2022-03-05", 10], ["2022-03-07", 15], ["2022-03-10", 25], ["2022-03-12", 23], ["2022-03-14", 20], ["2022-03-25", 30]]'),
       pg_temp.live(3, 10.08, 'month', '[["2021-07-15", 10], ["2021-07-17", 0]]'),
       pg_temp.live(4, 10.08, 'month', '[["2021-06-18", 300], ["2021-06-25", 0]]'),
       pg_temp.live(5, 10.08, 'month', '[["2021-06-18", 100], ["2021-06-25", 0]]'),
       pg_temp.live(6, 52.61, 'month', '[["2021-09-01", 25]]'),
       pg_temp.live(7, 120.96, 'year', '[["2021-09-01", 10]]');
-- Billed by the month, and a month later by the year, of which 11 months are left.
SELECT eiot.change_billing(eiot.purchase(pg_temp.t(8), 10, 'month', 25, 'USD', '2021-07-15'), 'year', 250, '2021-08-15');
-- A product that another one is upgraded to goes on in its cycles.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, billing_frequency, unit_price, currency, billing_anchor)
VALUES (pg_temp.t(4), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 300, '[2021-06-25,)', 'month', 6.43, 'USD', '2021-06-18'),
       (pg_temp.t(5), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 100, '[2021-06-25,)', 'month', 6.43, 'USD', '2021-06-18');
CREATE TEMP TABLE example (id text PRIMARY KEY, tenant integer, kind text, day date, units bigint, amount numeric);
INSERT INTO example VALUES
  ('N01', 1, 'charge', '2021-06-18', 10, 100.80), ('N02', 1, 'credit', '2021-06-20', 10, -94.08), ('N03', 1, 'charge', '2021-06-20', 12, 112.89),
  ('N04', 1, 'credit', '2021-06-20', 12, -112.89), ('N05', 1, 'charge', '2021-06-20', 8, 75.26),
  ('N06', 2, 'charge', '2022-03-05', 10, 120.00), ('N07', 2, 'credit', '2022-03-07', 10, -112.25), ('N08', 2, 'charge', '2022-03-07', 15, 168.38),
  ('N09', 2, 'credit', '2022-03-10', 15, -150.96), ('N10', 2, 'charge', '2022-03-10', 25, 251.61), ('N11', 2, 'credit', '2022-03-12', 25, -232.25),
  ('N12', 2, 'charge', '2022-03-12', 23, 213.67), ('N13', 2, 'credit', '2022-03-14', 23, -195.87), ('N14', 2, 'charge', '2022-03-14', 20, 170.32),
  ('N15', 2, 'credit', '2022-03-25', 20, -85.16), ('N16', 2, 'charge', '2022-03-25', 30, 127.74),
  ('N17', 3, 'credit', '2021-07-17', 10, -94.20),
  ('N18', 4, 'credit', '2021-06-25', 300, -2316.00), ('N19', 4, 'charge', '2021-06-25', 300, 1476.00),
  ('N20', 5, 'credit', '2021-06-25', 100, -772.00), ('N21', 5, 'charge', '2021-06-25', 100, 492.00),
  ('N22', 6, 'charge', '2021-09-01', 25, 1315.25), ('N23', 8, 'charge', '2021-08-15', 10, 2291.60), ('N24', 7, 'charge', '2021-09-01', 10, 1209.60);
SELECT results_eq(
    format($$SELECT amount FROM eiot.charges(pg_temp.t(%s), daterange(%L, %L, '[]')) WHERE kind = %L AND units = %s$$, tenant, day, day, kind, units),
    format('VALUES (%s::numeric)', amount), format('%s: %s of %s units on %s', id, kind, units, day))
  FROM example ORDER BY id;
-- And no other lines in those cycles, but what was charged before N17, N18, N20 and N23.
SELECT is((SELECT count(*) FROM generate_series(1, 8) n CROSS JOIN eiot.charges(pg_temp.t(n), CASE WHEN n = 2 THEN daterange '[2022-01-01,2022-04-05)' WHEN n = 8 THEN '[2021-01-01,2022-07-15)' ELSE '[2021-01-01,2021-07-18)' END)),
          (SELECT count(*) FROM example WHERE day < '2021-07-18' OR tenant IN (2, 8)) + 2 + 1 + 1, 'they are all the lines there are');
\if :{?shared}
CREATE TEMP TABLE published (id text, system text, inputs text, num text, den text, qty text, unit text, expected text, r text, ok text, source text);
COPY published FROM :'published' (FORMAT text, HEADER true);
SELECT results_eq('SELECT id, amount FROM example ORDER BY id',
                  $$SELECT id, expected::numeric FROM published WHERE id BETWEEN 'N01' AND 'N24' ORDER BY id$$,
                  'the amounts are those published');
\endif

-- ---- which lines, at the edges of cycles

CREATE FUNCTION pg_temp.lines(n integer, period daterange, policy eiot.proration_policy DEFAULT 'day') RETURNS text
  LANGUAGE sql
  RETURN (SELECT string_agg(format('%s %s %s %s x %s = %s', c.reason, lower(c.used), upper(c.used), c.kind, c.units, c.amount), '; ') FROM eiot.charges(pg_temp.t(n), period, policy) c);
SELECT pg_temp.live(11, 31, 'month', '[["2022-01-01", 1], ["2022-02-01", 2], ["2022-03-01", 0]]'),
       pg_temp.live(12, 31, 'month', '[["2022-01-01", 1], ["2022-02-01 00:00:00.000001", 2], ["2022-03-01 00:00:00.000001", 0]]'),
       pg_temp.live(13, 31, 'month', '[["2022-01-31", 1], ["2022-04-30", 0]]'),
       pg_temp.live(14, 31, 'month', '[["2022-01-01 10:00", 1], ["2022-01-01 11:00", 0]]'),
       pg_temp.live(15, 90, 'quarter', '[["2022-01-01", 1], ["2022-06-30 23:59", 0]]'),
       pg_temp.live(21, 28, 'month', '[["2023-02-28", 1], ["2023-03-02", 2], ["2023-03-20", 0]]'),
       pg_temp.live(16, 0, 'month', '[["2022-01-01", 5], ["2022-01-16", 0]]');
SELECT is(pg_temp.lines(11, '[2022-01-01,2023-01-01)'),
          'new 2022-01-01 2022-02-01 charge x 1 = 31.00; increase 2022-02-01 2022-03-01 charge x 2 = 62.00',
          'a change at the very start of a cycle has nothing to credit, nor has an end');
SELECT is(pg_temp.lines(12, '[2022-01-01,2023-01-01)'),
          'new 2022-01-01 2022-02-01 charge x 1 = 31.00; renewal 2022-02-01 2022-03-01 charge x 1 = 31.00; increase 2022-02-01 2022-03-01 credit x 1 = -31.00; '
          'increase 2022-02-01 2022-03-01 charge x 2 = 62.00; renewal 2022-03-01 2022-04-01 charge x 2 = 62.00; end 2022-03-01 2022-04-01 credit x 2 = -62.00',
          'a microsecond later all of a cycle is charged and credited');
SELECT is(pg_temp.lines(13, '[2022-01-01,2023-01-01)'),
          'new 2022-01-31 2022-02-28 charge x 1 = 31.00; renewal 2022-02-28 2022-03-31 charge x 1 = 31.00; renewal 2022-03-31 2022-04-30 charge x 1 = 31.00',
          'cycles from the last of a month');
SELECT is(pg_temp.lines(14, '[2022-01-01,2023-01-01)'), 'new 2022-01-01 2022-02-01 charge x 1 = 31.00; end 2022-01-01 2022-02-01 credit x 1 = -31.00', 'an hour costs nothing by days');
SELECT is(pg_temp.lines(14, '[2022-01-01,2023-01-01)', 'second,scale=6'),
          'new 2022-01-01 2022-02-01 charge x 1 = 30.583333; end 2022-01-01 2022-02-01 credit x 1 = -30.541667', 'and an hour by time');
SELECT is(pg_temp.lines(15, '[2022-01-01,2023-01-01)'),
          'new 2022-01-01 2022-04-01 charge x 1 = 90.00; renewal 2022-04-01 2022-07-01 charge x 1 = 90.00; end 2022-06-30 2022-07-01 credit x 1 = -0.99', 'quarters');
SELECT is(pg_temp.lines(16, '[2022-01-01,2023-01-01)'), 'new 2022-01-01 2022-02-01 charge x 5 = 0.00; end 2022-01-16 2022-02-01 credit x 5 = 0.00', 'what costs nothing has lines as well');
SELECT is(pg_temp.lines(21, '[2023-01-01,2024-01-01)', 'nce'),
          'new 2023-02-28 2023-03-28 charge x 1 = 28.00; increase 2023-03-02 2023-03-28 credit x 1 = -26.00; increase 2023-03-02 2023-03-28 charge x 2 = 52.00; end 2023-03-20 2023-03-28 credit x 2 = -16.00',
          'by days of the starting month');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, billing_frequency, unit_price, currency, billing_anchor)
VALUES (pg_temp.t(22), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '[2023-02-28,2023-03-02)', 'month', 28, 'USD', '2023-01-31');
SELECT is(pg_temp.lines(22, '[2023-01-01,2024-01-01)', 'nce'), 'new 2023-02-28 2023-03-31 charge x 1 = 28.00; end 2023-03-02 2023-03-31 credit x 1 = -28.00',
          'of 28 days in a cycle of 31 all of it costs its price, and no credit is more');
SELECT is(pg_temp.lines(11, '[2022-02-01,2022-02-02)'), 'increase 2022-02-01 2022-03-01 charge x 2 = 62.00', 'a period of a day has the lines of that day');
SELECT is(pg_temp.lines(11, '[2022-02-02,2022-03-01)'), NULL, 'none of another day');
SELECT is(pg_temp.lines(11, 'empty'), NULL, 'an empty period');
SELECT is(pg_temp.lines(17, '[2000-01-01,2100-01-01)'), NULL, 'a tenant that pays nothing');

-- Another frequency: within a cycle and at its start, to longer cycles and to shorter ones, with other units, back again, with cycles of its own.
CREATE FUNCTION pg_temp.rebilled(n integer, frequency text, price numeric, at timestamptz, anchor date DEFAULT NULL) RETURNS bigint
  LANGUAGE sql
  RETURN (SELECT eiot.change_billing(e.entitlement_id, frequency, price, at, billing_anchor => anchor)
            FROM eiot.entitlement e WHERE e.tenant_id = pg_temp.t(n) AND e.unit_price IS NOT NULL ORDER BY e.valid DESC LIMIT 1);
SELECT pg_temp.live(n, CASE n WHEN 24 THEN 250 ELSE 25 END, CASE n WHEN 24 THEN 'year' ELSE 'month' END, '[["2021-07-15", 10]]') FROM generate_series(23, 29) n;
SELECT pg_temp.rebilled(23, 'year', 250, '2021-08-20'), pg_temp.rebilled(24, 'month', 25, '2021-10-15'), pg_temp.rebilled(25, 'quarter', 70, '2021-08-15');
SELECT is(pg_temp.lines(23, '[2021-01-01,2022-07-15)', 'nce'),
          'new 2021-07-15 2021-08-15 charge x 10 = 250.00; renewal 2021-08-15 2021-09-15 charge x 10 = 250.00; '
          'frequency 2021-08-20 2021-09-15 credit x 10 = -209.60; frequency 2021-08-20 2022-07-15 charge x 10 = 2258.00',
          'to a year within a month: the rest of the month back by days, the rest of the year by months and days of the next');
SELECT is(pg_temp.lines(23, '[2021-08-16,2022-07-15)', 'day'), 'frequency 2021-08-20 2021-09-15 credit x 10 = -209.68; frequency 2021-08-20 2022-07-15 charge x 10 = 2253.42',
          'under any other policy by that policy');
SELECT is(pg_temp.lines(24, '[2021-01-01,2021-11-15)', 'nce'),
          'new 2021-07-15 2022-07-15 charge x 10 = 2500.00; frequency 2021-10-15 2022-07-15 credit x 10 = -1875.00; frequency 2021-10-15 2021-11-15 charge x 10 = 250.00',
          'to a month: nine months of the year back');
SELECT is(pg_temp.lines(25, '[2021-01-01,2021-10-16)', 'nce'),
          'new 2021-07-15 2021-08-15 charge x 10 = 250.00; frequency 2021-08-15 2021-10-15 charge x 10 = 466.60; renewal 2021-10-15 2022-01-15 charge x 10 = 700.00', 'to a quarter: two months of three');
SELECT eiot.change_units(pg_temp.rebilled(26, 'year', 250, '2021-08-15'), 12, '2021-08-15');
SELECT is(pg_temp.lines(26, '[2021-08-01,2022-07-15)', 'nce'), 'frequency 2021-08-15 2022-07-15 charge x 12 = 2749.92', 'with more units: by months as well');
SELECT pg_temp.rebilled(27, 'year', 250, '2021-08-20'), pg_temp.rebilled(27, 'month', 25, '2021-08-20 00:00:01');
SELECT is((SELECT sum(amount) FROM eiot.charges(pg_temp.t(27), '[2021-01-01,2021-09-15)')), 500.00, 'there and back at once costs nothing');
SELECT pg_temp.rebilled(28, 'year', 250, '2021-08-20', '2021-08-20');
SELECT is(pg_temp.lines(28, '[2021-08-16,2022-08-20)', 'nce'), 'frequency 2021-08-20 2021-09-15 credit x 10 = -209.60; frequency 2021-08-20 2022-08-20 charge x 10 = 2500.00',
          'in cycles of its own: a whole one');
SELECT pg_temp.rebilled(29, 'month', 26, '2021-08-20');
SELECT is(pg_temp.lines(29, '[2021-08-16,2021-09-15)', 'nce'), 'price 2021-08-20 2021-09-15 credit x 10 = -209.67; price 2021-08-20 2021-09-15 charge x 10 = 218.06', 'a price alone: by days, and rounded by line');
SELECT eiot.change_billing(eiot.purchase(pg_temp.t(30), 1, 'month', 28, 'USD', '2023-02-28', billing_anchor => '2023-01-31'), 'year', 280, '2023-03-10');
SELECT is(pg_temp.lines(30, '[2023-03-01,2023-03-31)', 'nce'), 'frequency 2023-03-10 2023-03-31 credit x 1 = -21.00; frequency 2023-03-10 2024-01-31 charge x 1 = 249.13', 'a month is divided by days of the month that it starts in, as ever');

-- Several subscriptions bought on one day: in the order in which they were.
SELECT pg_temp.live(32, 1, 'month', format('[["2022-01-01", %s], ["2022-01-11", %s]]', i, 10 + i)::jsonb) FROM generate_series(1, 9) i;
SELECT is((SELECT array_agg(c.units ORDER BY c.ordinality) FROM eiot.charges(pg_temp.t(32), '[2022-01-01,2022-01-02)') WITH ORDINALITY c), '{1,2,3,4,5,6,7,8,9}', 'lines of a day come in the order of their purchase');
SELECT is((SELECT array_agg(c.units ORDER BY c.ordinality) FROM eiot.charges(pg_temp.t(32), '[2022-01-11,2022-01-12)') WITH ORDINALITY c), '{1,11,2,12,3,13,4,14,5,15,6,16,7,17,8,18,9,19}',
          'and those of a change together');

-- The end of a month.
SELECT pg_temp.live(31, 30, 'month', '[["2022-01-30", 1], ["2022-04-29", 2]]');
SELECT is(pg_temp.lines(31, '[2022-01-01,2022-06-01)'),
          'new 2022-01-30 2022-02-28 charge x 1 = 30.00; renewal 2022-02-28 2022-03-30 charge x 1 = 30.00; renewal 2022-03-30 2022-04-30 charge x 1 = 30.00; '
          'increase 2022-04-29 2022-04-30 credit x 1 = -0.97; increase 2022-04-29 2022-04-30 charge x 2 = 1.94; renewal 2022-04-30 2022-05-30 charge x 2 = 60.00; renewal 2022-05-30 2022-06-30 charge x 2 = 60.00',
          'cycles from a day that a month lacks: its last');
SELECT is((SELECT string_agg(format('%s %s %s', c.reason, c.cycle, c.amount), '; ') FROM eiot.charges(pg_temp.t(31), '[2022-01-01,2022-05-01)', 'day', 'distance') c),
          'new [2022-01-30,2022-02-27) 30.00; renewal [2022-02-27,2022-03-30) 30.00; renewal [2022-03-30,2022-04-29) 30.00; increase [2022-04-29,2022-05-30) 60.00',
          'or as far from the end, where the caller says so');
SELECT is((SELECT array_agg(lower(c.cycle)) FROM eiot.charges(pg_temp.t(31), '[2022-01-01,2022-12-31)', month_end => 'distance') c),
          '{2022-01-30,2022-02-27,2022-03-30,2022-04-29,2022-05-30,2022-06-29,2022-07-30,2022-08-30,2022-09-29,2022-10-30,2022-11-29,2022-12-30}'::date[],
          'which are the twelve starts that Microsoft published for a year billed by the month');

-- Rows that nobody's function wrote: without a beginning, of another state, without a price, with another price later.
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, state, valid, billing_frequency, unit_price, currency, billing_anchor) VALUES
  (pg_temp.t(18), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'a', 2, 'enabled', '(,2022-02-11)', 'month', 28, 'USD', '2020-06-01'),
  (pg_temp.t(18), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'a', 2, 'warning', '[2022-02-11,2022-04-01)', 'month', 28, 'USD', '2020-06-01'),
  (pg_temp.t(18), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'b', 2, 'enabled', '[2022-01-01,2022-02-15)', 'month', 28, 'USD', '2020-06-01'),
  (pg_temp.t(18), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'b', 2, 'enabled', '[2022-02-15,2022-03-01)', 'month', 56, 'USD', '2020-06-01'),
  (pg_temp.t(18), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'c', 2, 'enabled', '[2022-01-01,)', NULL, NULL, NULL, NULL),
  (pg_temp.t(18), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'd', 0, 'enabled', '[2022-01-01,)', 'month', 28, 'USD', '2020-06-01');
SELECT is(pg_temp.lines(18, '[2022-02-01,2022-04-01)'),
          'renewal 2022-02-01 2022-03-01 charge x 2 = 56.00; renewal 2022-02-01 2022-03-01 charge x 2 = 56.00; end 2022-02-11 2022-03-01 credit x 2 = -36.00; '
          'price 2022-02-15 2022-03-01 credit x 2 = -28.00; price 2022-02-15 2022-03-01 charge x 2 = 56.00', 'rows by hand');
SELECT throws_ok(statement, errcode, NULL, what)
  FROM (VALUES
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price) VALUES (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 5)$$, '23514', 'a price alone'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price, billing_frequency, currency, billing_anchor) VALUES (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, -5, 'month', 'EUR', '2022-01-01')$$, '23514', 'a negative price'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price, billing_frequency, currency, billing_anchor) VALUES (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 'NaN', 'month', 'EUR', '2022-01-01')$$, '23514', 'a price that is no number'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price, billing_frequency, currency, billing_anchor) VALUES (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 5, 'week', 'EUR', '2022-01-01')$$, '23514', 'an unknown frequency'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price, billing_frequency, currency, billing_anchor) VALUES (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 5, 'month', 'Euro', '2022-01-01')$$, '23514', 'an unknown currency'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price, billing_frequency, currency, billing_anchor) VALUES (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 5, 'month', 'EUR', 'infinity')$$, '23514', 'an infinite anchor'),
    ($$SELECT eiot.charges(pg_temp.t(1), NULL)$$, '22004', 'no period'),
    ($$SELECT eiot.charges(NULL, '[2022-01-01,2022-02-01)')$$, '22004', 'no tenant'),
    ($$SELECT eiot.charges(pg_temp.t(999), '[2022-01-01,2022-02-01)')$$, '23503', 'an unknown tenant'),
    ($$SELECT eiot.charges(pg_temp.t(1), '[2022-01-01,2022-02-01)', NULL)$$, '22004', 'no policy'),
    ($$SELECT eiot.charges(pg_temp.t(1), '[2022-01-01,2022-02-01)', 'none')$$, '22P02', 'an unknown policy'),
    ($$SELECT eiot.charges(pg_temp.t(1), '[2022-01-01,2022-02-01)', 'nce', NULL)$$, '22004', 'no rule for the end of a month'),
    ($$SELECT eiot.charges(pg_temp.t(17), '[2022-01-01,2022-02-01)', 'nce', 'last')$$, '22023', 'an unknown one, also where there is nothing to charge'),
    ($$SELECT eiot.charges(pg_temp.t(1), '[5000000-01-01,5000001-01-01)')$$, '22008', 'days that are no instants'),
    ($$SELECT eiot.charges(pg_temp.t(1), '(,2022-02-01)')$$, '22023', 'a period without a beginning'),
    ($$SELECT eiot.charges(pg_temp.t(1), '[2022-02-01,)')$$, '22023', 'a period without an end'),
    ($$SELECT eiot.charges(pg_temp.t(1), '[-infinity,2022-02-01)')$$, '22023', 'a period from minus infinity on')
  ) v(statement, errcode, what);

-- ---- the policy of a line

SELECT is(eiot.line_policy(policy::eiot.proration_policy, currency, ends)::text, expected::eiot.proration_policy::text, format('%s, %s, %s', policy, currency, ends))
  FROM (VALUES ('nce', 'USD', false, 'nce'), ('nce', 'USD', true, 'nce,at=unit'), ('nce', 'JPY', true, 'nce,at=unit,scale=0'), ('nce', 'KWD', false, 'nce,scale=3'),
               ('nce,scale=4', 'JPY', true, 'nce,at=unit,scale=4'), ('nce,at=total', 'USD', true, 'nce,at=total'), ('nce,round=half_up', 'USD', true, 'nce,round=half_up'),
               ('killbill', 'JPY', true, 'killbill,scale=0'), ('nce,at=rate:2', 'JPY', true, 'nce,at=rate:2,scale=0'), ('second', 'CLF', false, 'second,scale=4'),
               ('nce,tz=Europe/Berlin', 'USD', true, 'nce,at=unit,tz=Europe/Berlin')) v(policy, currency, ends, expected);
SELECT is(eiot.line_policy(policy::eiot.proration_policy, 'USD', true, true)::text, expected::eiot.proration_policy::text, format('%s by months', policy))
  FROM (VALUES ('nce', 'nce,unit=month,denominator=cycle,at=unit'), ('day', 'day'), ('nce,denominator=cycle', 'nce,denominator=cycle'), ('azure', 'azure')) v(policy, expected);
SELECT is(array_agg(eiot.currency_scale(c) ORDER BY c), '{3,2,0,2}', 'decimals of currencies') FROM unnest(ARRAY['BHD', 'EUR', 'JPY', 'XXX']) c;

-- ---- any history

SELECT setseed(0.25);
-- Steps at random instants of two years, some of them the same day, some at midnight; every subscription ends.
DO $$
DECLARE
  id bigint;
  at timestamptz;
BEGIN
  FOR n IN 101 .. 200 LOOP
    FOR subscription IN 1 .. 1 + n % 2 LOOP
      at := timestamptz '2023-01-01' + floor(random() * 100) * interval '1 day' + CASE WHEN random() < 0.5 THEN random() * interval '23 hours' ELSE interval '0' END;
      id := eiot.purchase(pg_temp.t(n), 1 + floor(random() * 50)::bigint, (ARRAY['month', 'month', 'quarter', 'year'])[1 + floor(random() * 4)::integer],
                          round((random() * 20)::numeric, 2), (ARRAY['EUR', 'JPY', 'KWD'])[1 + n % 3], at);
      FOR step IN 1 .. floor(random() * 6)::integer LOOP
        at := at + CASE WHEN random() < 0.3 THEN random() * interval '3 hours' ELSE (1 + floor(random() * 60)) * interval '1 day' END + interval '1 second';
        id := eiot.change_units(id, 1 + floor(random() * 50)::bigint, at);
        IF random() < 0.3 THEN
          id := eiot.assign_units(id, 1, at + interval '1 second');
          at := at + interval '1 minute';
        END IF;
        IF random() < 0.3 THEN
          at := at + floor(random() * 3) * interval '1 day';
          id := eiot.change_billing(id, (ARRAY['month', 'quarter', 'year'])[1 + floor(random() * 3)::integer], round((random() * 20)::numeric, 2), at + interval '2 seconds');
          at := at + interval '1 minute';
        END IF;
      END LOOP;
      PERFORM eiot.change_units(id, 0, at + random() * interval '100 days' + interval '1 second');
    END LOOP;
  END LOOP;
END
$$;
CREATE TEMP TABLE charged AS
  SELECT n, p.policy, c.*, c.ordinality AS place
    FROM generate_series(101, 200) n
   CROSS JOIN (VALUES ('nce', 'clamp'), ('day', 'clamp'), ('second', 'clamp'), ('day,scale=12', 'clamp'), ('day,scale=13', 'distance'), ('day,at=total', 'clamp'), ('killbill', 'clamp'),
                      ('nce,at=rate:4', 'clamp'), ('second,tz=America/New_York', 'clamp'), ('day,scale=14,tz=Pacific/Auckland', 'distance')) p(policy, month_end)
   CROSS JOIN LATERAL eiot.charges(pg_temp.t(n), '[2022-12-31,2028-01-01)', p.policy::eiot.proration_policy, p.month_end) WITH ORDINALITY c;
SELECT cmp_ok((SELECT count(*) FROM charged WHERE policy = 'nce'), '>', 1000::bigint, 'random: many lines');
SELECT is((SELECT count(DISTINCT (kind, reason)) FROM charged WHERE policy = 'nce'), 11::bigint, 'random: of every kind');

SELECT is_empty($$
  SELECT n, policy, kind, used, cycle, amount FROM charged
   WHERE NOT used <@ cycle OR isempty(used) OR upper(used) <> upper(cycle) OR days <> upper(used) - lower(used) OR cycle_days <> upper(cycle) - lower(cycle)
      OR (kind = 'credit') <> (amount < 0) AND amount <> 0 OR abs(amount) > units * unit_price + 10.0 ^ - eiot.currency_scale(currency)
$$, 'random: each line lies in its cycle, goes to the end of it, and costs no more than the cycle');
SELECT is_empty($$
  SELECT n, policy, kind, amount FROM charged
   WHERE policy NOT LIKE '%scale=1_%' AND policy <> 'day,at=total' AND scale(amount) <> eiot.currency_scale(currency)
      OR policy = 'day,at=total' AND round(amount, eiot.currency_scale(currency)) <> amount
$$, 'random: amounts have the decimals of the currency');

-- The oracle counts day by day: who holds units at the end of a day pays for it.
CREATE FUNCTION pg_temp.paid_by_day(month_end text, zone text) RETURNS TABLE (n integer, currency text, amount numeric)
  LANGUAGE sql AS $$
  SELECT n, e.currency, sum(e.units * e.unit_price / (upper(c) - lower(c)))
    FROM generate_series(101, 200) n
    JOIN eiot.entitlement e ON e.tenant_id = pg_temp.t(n) AND e.unit_price IS NOT NULL
   CROSS JOIN LATERAL generate_series(timezone(zone, lower(e.valid))::date, timezone(zone, upper(e.valid))::date - 1, '1 day') day
   CROSS JOIN LATERAL eiot.billing_cycles(e.billing_anchor, e.billing_frequency, daterange(day::date, day::date, '[]'), month_end) c
   GROUP BY n, e.currency
$$;
CREATE TEMP TABLE paid_day AS SELECT * FROM pg_temp.paid_by_day('clamp', 'UTC');
SELECT is_empty(format($$
  SELECT n, c.currency, c.amount, p.amount
    FROM (SELECT n, currency, sum(amount) AS amount FROM charged WHERE policy = %L GROUP BY n, currency) c
    FULL JOIN pg_temp.paid_by_day(%L, %L) p USING (n, currency)
   WHERE abs(COALESCE(c.amount, 0) - COALESCE(p.amount, 0)) > 0.00000001
$$, policy, month_end, zone), format('random: charges less credits are what each day costs, %s, %s', policy, month_end))
  FROM (VALUES ('day,scale=12', 'clamp', 'UTC'), ('day,scale=13', 'distance', 'UTC'), ('day,scale=14,tz=Pacific/Auckland', 'distance', 'Pacific/Auckland')) v(policy, month_end, zone);
SELECT isnt((SELECT sum(amount) FROM pg_temp.paid_by_day('clamp', 'UTC')), (SELECT sum(amount) FROM pg_temp.paid_by_day('distance', 'UTC')), 'random: the rule for the end of a month matters');
SELECT is_empty($$
  SELECT n, c.currency, c.amount, p.amount, c.lines
    FROM (SELECT n, currency, sum(amount) AS amount, count(*) AS lines FROM charged WHERE policy = 'day' GROUP BY n, currency) c
    LEFT JOIN paid_day p USING (n, currency)
   WHERE abs(c.amount - COALESCE(p.amount, 0)) > c.lines * 0.5 * 10.0 ^ - eiot.currency_scale(c.currency)
$$, 'random: rounded, they differ from that by at most half a unit of rounding a line');
SELECT is_empty($$
  SELECT n, c.currency, c.amount, p.amount
    FROM (SELECT n, currency, sum(amount) AS amount FROM charged WHERE policy = 'day,at=total' GROUP BY n, currency) c
    LEFT JOIN paid_day p USING (n, currency)
   WHERE c.amount <> round(COALESCE(p.amount, 0), eiot.currency_scale(c.currency))
     AND abs(c.amount - COALESCE(p.amount, 0)) > 0.50000001 * 10.0 ^ - eiot.currency_scale(c.currency)
$$, 'random: rounded as a total, the lines add up to the rounded total');
-- The same by time.
SELECT is_empty(format($$
  WITH second AS (
    SELECT n, e.currency, sum(e.units * e.unit_price * extract(epoch FROM LEAST(upper(e.valid), c.ends) - GREATEST(lower(e.valid), c.starts))
                              / extract(epoch FROM c.ends - c.starts)) AS amount
      FROM generate_series(101, 200) n
      JOIN eiot.entitlement e ON e.tenant_id = pg_temp.t(n) AND e.unit_price IS NOT NULL
     CROSS JOIN LATERAL (
       SELECT timezone(%2$L, lower(c)::timestamp) AS starts, timezone(%2$L, upper(c)::timestamp) AS ends
         FROM eiot.billing_cycles(e.billing_anchor, e.billing_frequency, daterange(lower(e.valid)::date - 1, upper(e.valid)::date, '[]')) c) c
     WHERE tstzrange(c.starts, c.ends) && e.valid
     GROUP BY n, e.currency
  )
  SELECT n, currency, c.amount, s.amount
    FROM (SELECT n, currency, sum(amount) AS amount, count(*) AS lines FROM charged WHERE policy = %1$L GROUP BY n, currency) c
    FULL JOIN second s USING (n, currency)
   WHERE c.amount IS NULL OR s.amount IS NULL OR abs(c.amount - s.amount) > c.lines * 0.5 * 10.0 ^ - eiot.currency_scale(currency)
$$, policy, zone), format('random: by time, charges less credits are what the time in effect costs, %s', policy))
  FROM (VALUES ('second', 'UTC'), ('second,tz=America/New_York', 'America/New_York')) v(policy, zone);

-- A statement for each month is one for all of them, cut.
SELECT is_empty($$
  SELECT n, p.policy
    FROM generate_series(101, 200, 7) n CROSS JOIN (VALUES ('nce'), ('second')) p(policy)
   WHERE (SELECT string_agg(w::text, E'\n' ORDER BY w.place) FROM (SELECT kind, reason, used, units, amount, place FROM charged c WHERE c.n = n.n AND c.policy = p.policy) w)
         IS DISTINCT FROM
         (SELECT string_agg(m::text, E'\n' ORDER BY m.place)
            FROM (SELECT c.kind, c.reason, c.used, c.units, c.amount, row_number() OVER (ORDER BY month, c.ordinality) AS place
                    FROM generate_series(timestamp '2023-01-01', '2027-12-01', '1 month') month
                   CROSS JOIN LATERAL eiot.charges(pg_temp.t(n.n), daterange(month::date, (month + interval '1 month')::date), p.policy::eiot.proration_policy) WITH ORDINALITY c) m)
$$, 'random: the lines of the months are those of the years');

SELECT * FROM finish();
ROLLBACK;
