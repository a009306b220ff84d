-- Coverage over time: against counting the devices, one by one, at every instant at which anything can change.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n int) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN ('c4000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;

-- ---- the bounds of steps

SELECT is(eiot.step_bounds(a, b, step), expected, format('%s to %s by %s', a, b, step))
  FROM (VALUES
    (timestamptz '2026-01-01', timestamptz '2026-01-04', interval '1 day', '{2026-01-01,2026-01-02,2026-01-03,2026-01-04}'::timestamptz[]),
    ('2026-01-01', '2026-01-03 12:00', '1 day', '{2026-01-01,2026-01-02,2026-01-03,"2026-01-03 12:00"}'),
    ('2026-01-01', '2026-01-01', '1 day', '{}'),
    ('2026-01-01', '2026-01-02', '1 year', '{2026-01-01,2026-01-02}'),
    ('2026-01-31', '2026-06-30', '1 month', '{2026-01-31,2026-02-28,2026-03-31,2026-04-30,2026-05-31,2026-06-30}'),
    ('2024-01-30', '2024-04-01', '1 month', '{2024-01-30,2024-02-29,2024-03-30,2024-04-01}'),
    ('2026-01-01', '2026-01-01 00:00:00.000003', '1 microsecond', '{2026-01-01,"2026-01-01 00:00:00.000001","2026-01-01 00:00:00.000002","2026-01-01 00:00:00.000003"}'),
    ('2026-01-01', '2027-01-01', '6 months 1 day', '{2026-01-01,2026-07-02,2027-01-01}'),
    ('4000-01-01 BC', '294276-12-31', '290000 years', '{"4000-01-01 BC",286001-01-01,294276-12-31}'),
    ('2026-01-01', '2026-01-02', '178000000 years', '{2026-01-01,2026-01-02}')) v(a, b, step, expected);
-- A day is what the session's time zone has for one.
SET LOCAL timezone = 'Europe/Berlin';
SELECT is(eiot.step_bounds('2026-03-28', '2026-03-31', '1 day'), '{"2026-03-28 00:00+01","2026-03-29 00:00+01","2026-03-30 00:00+02","2026-03-31 00:00+02"}', 'days across the change of clocks');
SELECT is(eiot.step_bounds('2026-03-28', '2026-03-31', '24 hours'), '{"2026-03-28 00:00+01","2026-03-29 00:00+01","2026-03-30 01:00+02","2026-03-31 00:00+02"}', 'and hours');
SET LOCAL timezone = 'Pacific/Kwajalein';
SELECT is(cardinality(eiot.step_bounds('1993-08-19', '1993-08-24', '1 day')), 5, 'a calendar day that never was');
SET LOCAL timezone = 'UTC';
SELECT is(cardinality(eiot.step_bounds('2026-01-01', timestamptz '2026-01-01' + interval '1000000 seconds', '1 second')), 1000001, 'a million steps, the most');
SELECT is(eiot.step_bounds('2026-01-01', NULL, '1 day'), NULL, 'null of null');

-- ---- devices, rules and licenses at random

CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device') AS inventory \gset
SELECT eiot.create_inventory('asset.parts', 3) AS parts \gset
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'tenant ' || n FROM generate_series(1, 8) n;
UPDATE eiot.counting_rule SET valid = 'empty';
INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after, count_excluded) VALUES
  ('pinned', 'empty', '{iot,network}', '5 days', true), ('pinned for ever', 'empty', '{iot}', NULL, false);

-- Seven tenants of up to 80 devices; the eighth has none.  Instants are mostly whole hours, so that they meet.
CREATE PROCEDURE asset.fill(seed double precision) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM setseed(seed);
  TRUNCATE asset.device, asset.parts;
  DELETE FROM eiot.entitlement;
  DELETE FROM eiot.monitoring_off;
  DELETE FROM eiot.counting_rule WHERE name LIKE 'random %';
  INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after, count_excluded, count_transient)
    SELECT 'random ' || n, daterange(CASE WHEN n > 1 OR a > 0.5 THEN '2026-01-01'::date + 9 * n END,
                                     CASE WHEN n < 6 OR b > 0.5 THEN '2026-01-01'::date + 9 * n + CASE WHEN c < 0.3 THEN 5 ELSE 9 END END),
           CASE WHEN d < 0.6 THEN '{iot}' WHEN d < 0.9 THEN '{iot,network}' ELSE '{}' END::eiot.device_class[],
           CASE WHEN e < 0.5 THEN interval '3 days' WHEN e < 0.8 THEN '10 days 00:00:00.000001' WHEN e < 0.9 THEN '0' END, f < 0.3, f > 0.8
      FROM (SELECT n, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e, random() AS f FROM generate_series(1, 6) n) r;
  UPDATE eiot.tenant SET counting_rule = CASE tenant_id WHEN pg_temp.t(2) THEN 'pinned' WHEN pg_temp.t(3) THEN 'pinned for ever' END;
  INSERT INTO asset.device (tenant_id, device_id, category, onboarding_status, merged_into, excluded, transient, first_seen, last_seen)
    SELECT pg_temp.t(n), i::text, CASE WHEN a < 0.7 THEN 'IoT' WHEN a < 0.9 THEN 'Network device' ELSE 'Endpoint' END,
           CASE WHEN b < 0.05 THEN 'Onboarded' END, CASE WHEN b > 0.95 THEN 'x' END, c < 0.1, c > 0.9,
           CASE WHEN d < 0.05 THEN NULL WHEN d < 0.07 THEN '-infinity' ELSE first_seen END,
           -- now and then before it was first seen
           CASE WHEN e < 0.05 THEN NULL WHEN e < 0.07 THEN 'infinity' WHEN e < 0.09 THEN '-infinity'
                ELSE first_seen + interval '1 hour' * floor(random() * 24 * CASE WHEN e < 0.5 THEN 4 ELSE 30 END - 24) END
      FROM (SELECT n, i, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e,
                   timestamptz '2025-12-20' + interval '1 hour' * floor(random() * 24 * 80)
                     + CASE WHEN random() < 0.1 THEN interval '1 microsecond' ELSE '0' END AS first_seen
              FROM generate_series(1, 7) n CROSS JOIN LATERAL generate_series(1, 10 + n * 10) i) r;
  INSERT INTO asset.parts (tenant_id, device_id, category, onboarding_status, merged_into, excluded, transient, first_seen, last_seen)
    SELECT tenant_id, device_id, category, onboarding_status, merged_into, excluded, transient, first_seen, last_seen FROM asset.device;
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, state, valid)
    SELECT pg_temp.t(n), CASE WHEN a < 0.5 THEN '06ebc4ee-1bb5-47dd-8120-11324bc54e06' WHEN a < 0.9 THEN 'b2f91841-252f-4765-94c3-75802d7c0ddb' ELSE 'e1070000-0000-4000-8000-000000000001' END::uuid,
           CASE WHEN a > 0.92 THEN eiot.unlimited() ELSE floor(b * 9)::bigint END, CASE WHEN c < 0.8 THEN 'enabled' WHEN c < 0.9 THEN 'warning' ELSE 'suspended' END,
           tstzrange(CASE WHEN d > 0.05 THEN at END, CASE WHEN d < 0.8 THEN at + interval '1 hour' * floor(1 + random() * 24 * 20) END,
                     (ARRAY['[)', '[]', '()', '(]'])[1 + floor(e * 4)::int])
      FROM (SELECT n, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e,
                   timestamptz '2025-12-20' + interval '1 hour' * floor(random() * 24 * 80) AS at
              FROM generate_series(1, 8) n CROSS JOIN LATERAL generate_series(1, 6) i) r
     WHERE n <> 7;
  INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(5), '[2026-01-20,2026-01-22 05:00]'), (pg_temp.t(6), '[2026-02-01,)');
  ANALYZE asset.device, asset.parts, eiot.entitlement, eiot.counting_rule, eiot.tenant;
END
$$;

-- Nothing of the timeline is used here: a device is asked for its reason at an instant, a tenant for its capacity.
CREATE FUNCTION asset.expected(a timestamptz, b timestamptz, step interval) RETURNS SETOF eiot.coverage_point LANGUAGE sql STABLE AS $$
  WITH steps AS MATERIALIZED (
    SELECT at, lead(at, 1, b) OVER (ORDER BY at) AS until FROM generate_series(a, b, step) at WHERE at < b
  ), device AS MATERIALIZED (
    SELECT * FROM asset.device
  ), instants AS MATERIALIZED (
    SELECT DISTINCT t.tenant_id, i.at
      FROM eiot.tenant t
     CROSS JOIN LATERAL (
       SELECT at FROM steps
       UNION ALL SELECT d.first_seen FROM device d WHERE d.tenant_id = t.tenant_id
       UNION ALL SELECT d.last_seen + c.inactive_after + interval '1 microsecond' FROM device d, (SELECT DISTINCT inactive_after FROM eiot.counting_rule) c WHERE d.tenant_id = t.tenant_id
       UNION ALL SELECT bound::timestamp AT TIME ZONE 'UTC' FROM eiot.counting_rule r CROSS JOIN LATERAL (VALUES (lower(r.valid)), (upper(r.valid))) v(bound)
       UNION ALL SELECT bound + more FROM (SELECT valid FROM eiot.entitlement e WHERE e.tenant_id = t.tenant_id UNION ALL SELECT valid FROM eiot.monitoring_off o WHERE o.tenant_id = t.tenant_id) v
                  CROSS JOIN LATERAL (VALUES (lower(v.valid)), (upper(v.valid))) bounds(bound) CROSS JOIN (VALUES (interval '0'), ('1 microsecond')) m(more)) i(at)
     WHERE i.at >= a AND i.at < b
  ), counts AS MATERIALIZED (
    SELECT i.tenant_id, i.at, eiot.capacity_at(i.tenant_id, i.at) AS capacity,
           CASE WHEN r.name IS NOT NULL THEN n.counted END AS counted
      FROM instants i
     CROSS JOIN LATERAL eiot.counting_rule_of(i.tenant_id, i.at) r
     CROSS JOIN LATERAL (
       SELECT count(*) AS counted FROM device d
        WHERE d.tenant_id = i.tenant_id AND (d.first_seen <= i.at OR d.first_seen IS NULL)
          AND eiot.count_reason_under(d.class, d.onboarding_status, d.last_seen, i.at, r, d.merged_into, d.excluded, d.transient, d.ip) = 'counted') n
  ), gaps AS MATERIALIZED (
    SELECT c.*, eiot.gap(eiot.coverage(c.counted, c.capacity)) AS gap FROM counts c
  )
  SELECT g.tenant_id, s.at, g.counted, NULLIF(g.capacity, eiot.unlimited()), g.capacity = eiot.unlimited(), g.gap, w.gap, CASE WHEN w.gap > 0 THEN w.at END
    FROM steps s
    JOIN gaps g ON g.at = s.at
   CROSS JOIN LATERAL (SELECT x.gap, x.at FROM gaps x WHERE x.tenant_id = g.tenant_id AND x.at >= s.at AND x.at < s.until ORDER BY x.gap DESC NULLS LAST, x.at LIMIT 1) w
$$;

CREATE FUNCTION asset.check(seed double precision, a timestamptz, b timestamptz, step interval, inventory regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  what CONSTANT text := format('seed %s, %s: %s to %s by %s', seed, inventory, a, b, step);
BEGIN
  CALL asset.fill(seed);
  CREATE TEMP TABLE wanted AS SELECT * FROM asset.expected(a, b, step);
  CREATE TEMP TABLE got AS SELECT * FROM eiot.coverage_timeline(inventory, a, b, step);
  RETURN NEXT is((SELECT string_agg(side || ' ' || row::text, E'\n') FROM (
                    (SELECT 'wanted' AS side, w AS row FROM (TABLE wanted EXCEPT TABLE got) w LIMIT 5) UNION ALL
                    (SELECT 'got', g FROM (TABLE got EXCEPT TABLE wanted) g LIMIT 5)) d), NULL, what);
  RETURN NEXT is((SELECT count(*) FROM got), (SELECT count(*) FROM eiot.tenant) * (SELECT count(*) FROM generate_series(a, b - interval '1 microsecond', step)),
                 what || ': a row for every tenant and step');
  RETURN NEXT bag_eq('SELECT * FROM got WHERE tenant_id = pg_temp.t(4)',
                     format('SELECT * FROM eiot.coverage_timeline(%L, %L, %L, %L, pg_temp.t(4))', inventory, a, b, step), what || ': one tenant');
  -- Where all devices had come, it is the coverage of that instant.
  RETURN NEXT is_empty(format(
    'SELECT g.tenant_id, g.at FROM got g JOIN LATERAL eiot.coverage_at(%L, g.at) c USING (tenant_id)
      WHERE NOT EXISTS (SELECT FROM asset.device d WHERE d.tenant_id = g.tenant_id AND d.first_seen > g.at)
        AND (g.counted, g.capacity, g.unlimited, g.gap) IS DISTINCT FROM (c.counted, c.capacity, c.unlimited, c.gap)', inventory), what || ': agrees with coverage_at');
  DROP TABLE got, wanted;
END
$$;

SELECT asset.check(0.1, '2026-01-01', '2026-03-10', '1 day', :'inventory');
SELECT asset.check(0.2, '2026-01-01', '2026-03-10', '1 day', :'parts');
SELECT asset.check(0.3, '2025-12-15', '2026-04-01', '7 days', :'inventory');
SELECT asset.check(0.4, '2026-01-10 07:30', '2026-01-12 08:00:00.000001', '1 hour', :'inventory');
SELECT asset.check(0.5, '2025-12-01', '2026-05-01', '151 days', :'parts');
SELECT asset.check(0.6, '2026-01-31 12:00', '2026-02-25', '3 days 05:00', :'inventory');
\getenv long EIOT_LONG
SELECT asset.check(0.7 + n * 0.001, timestamptz '2025-12-20' + n * interval '5 hours', timestamptz '2026-02-10' + n * interval '1 day', '1 day 06:00', :'inventory')
  FROM generate_series(1, CASE WHEN :{?long} THEN 20 ELSE 1 END) n;

-- The data had what is looked for.
CREATE TEMP TABLE seen AS SELECT * FROM asset.expected('2025-12-15', '2026-04-01', '1 day');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE gap > 0), '>', 50::bigint, 'there are gaps');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE max_gap > gap), '>', 50::bigint, 'and larger ones between steps');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE max_gap > 0 AND gap = 0), '>', 3::bigint, 'also where there is none at the step');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE unlimited), '>', 3::bigint, 'capacity without limit');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE counted IS NULL), '>', 3::bigint, 'times without a rule');

-- The largest of all steps is that of one long step.
SELECT bag_eq($$SELECT tenant_id, max(max_gap) FROM eiot.coverage_timeline('asset.device', '2025-12-15', '2026-04-01', '1 day') GROUP BY tenant_id$$,
              $$SELECT tenant_id, max_gap FROM eiot.coverage_timeline('asset.device', '2025-12-15', '2026-04-01', '1 year')$$, 'the worst day is the worst of the quarter');

-- ---- cases by hand

TRUNCATE asset.device;
DELETE FROM eiot.entitlement;
DELETE FROM eiot.counting_rule WHERE name LIKE 'random %';
UPDATE eiot.tenant SET counting_rule = NULL;
UPDATE eiot.counting_rule SET valid = '[2024-06-25,2026-07-02)' WHERE name = '2024-06';
UPDATE eiot.counting_rule SET valid = '[2026-07-02,)' WHERE name = '2026-07';
DELETE FROM eiot.monitoring_off;
CREATE FUNCTION pg_temp.line(a timestamptz, b timestamptz, step interval) RETURNS text LANGUAGE sql
  AS $$SELECT string_agg(format('%s/%s gap %s max %s', counted, COALESCE(capacity::text, 'unlimited'), gap, COALESCE(max_gap || ' ' || max_gap_at, max_gap::text)), ', ' ORDER BY at)
         FROM eiot.coverage_timeline('asset.device', a, b, step, pg_temp.t(1))$$;
INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen) VALUES (pg_temp.t(1), 'a', 'IoT', '2026-08-01 10:00', '2026-08-01 11:00');
SELECT is(pg_temp.line('2026-08-01 09:59:59.999999', '2026-08-01 10:00:00.000001', '1 microsecond'),
          '0/0 gap 0 max 0, 1/0 gap 1 max 1 2026-08-01 10:00:00+00', 'a device counts from the instant at which it was first seen');
SELECT is(pg_temp.line('2026-08-31 11:00', '2026-08-31 11:00:00.000002', '1 microsecond'),
          '1/0 gap 1 max 1 2026-08-31 11:00:00+00, 0/0 gap 0 max 0', 'until 30 days, to the microsecond, after it was last seen');
SELECT is(pg_temp.line('2026-08-01', '2026-08-03', '1 day'), '0/0 gap 0 max 1 2026-08-01 10:00:00+00, 1/0 gap 1 max 1 2026-08-02 00:00:00+00', 'within the day');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '[2026-08-01,2026-08-05 12:00)'),
                                                                      (pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '[2026-08-05 13:00,2026-09-01)');
SELECT is(pg_temp.line('2026-08-01', '2026-08-08', '1 week'), '0/1 gap 0 max 1 2026-08-05 12:00:00+00', 'an hour between two licenses is not lost');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(1), 'e1070000-0000-4000-8000-000000000001', eiot.unlimited(), '[2026-08-05,2026-08-06)');
SELECT is(pg_temp.line('2026-08-05', '2026-08-07', '1 day'), '1/unlimited gap 0 max 0, 1/1 gap 0 max 0', 'a trial without limit covers it');
SELECT is(pg_temp.line('2026-08-05', '2026-08-05', '1 day'), NULL, 'no time, no steps');

-- Sums of capacity that no bigint holds.
INSERT INTO eiot.sku (sku_id, name, devices_per_unit) VALUES ('c4000000-0000-4000-9000-000000000001', 'huge', 1);
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
  SELECT pg_temp.t(1), 'c4000000-0000-4000-9000-000000000001', 9000000000000000000 / n, '[2026-08-05,2026-08-07)' FROM (VALUES (1), (40), (1)) v(n);
SELECT is(pg_temp.line('2026-08-05', '2026-08-06', '1 day'), '1/unlimited gap 0 max 0', 'are no matter beside one without limit');
SELECT throws_ok($$SELECT pg_temp.line('2026-08-05', '2026-08-07', '1 day')$$, '22003', 'capacity out of range', 'and an error without');
SELECT lives_ok($$SELECT pg_temp.line('2026-08-07', '2026-08-08', '1 day')$$, 'but not afterwards');
DELETE FROM eiot.entitlement WHERE sku_id = 'c4000000-0000-4000-9000-000000000001' AND entitlement_id <> (SELECT max(entitlement_id) FROM eiot.entitlement);
SELECT is(pg_temp.line('2026-08-06', '2026-08-07', '1 day'), '1/9000000000000000001 gap 0 max 0', 'large ones add up to the unit');

-- ---- the parts by themselves

SELECT results_eq($$SELECT at, counted, max_gap FROM eiot.coverage_steps('{2026-01-05,2026-01-03,2026-01-03}', '{2026-01-06,2026-01-04}', '{2026-01-01,2026-02-01}', '{t}', NULL, NULL, '{2026-01-01,2026-01-04,2026-01-10}')$$,
                  $$VALUES (timestamptz '2026-01-01', 0::bigint, 2::bigint), ('2026-01-04', 1, 2)$$, 'instants in any order');
SELECT is_empty($$SELECT * FROM eiot.coverage_steps(NULL, NULL, '{}', '{}', NULL, NULL, '{}')$$, 'nothing at all');
SELECT results_eq($$SELECT counted, gap, max_gap FROM eiot.coverage_steps(NULL, NULL, '{}', '{}', NULL, NULL, '{2026-01-01,2026-01-04}')$$, 'VALUES (NULL::bigint, NULL::bigint, NULL::bigint)', 'no rule at all');
SELECT throws_ok(format('SELECT * FROM eiot.coverage_steps(%s)', arguments), code, NULL, 'coverage_steps: ' || arguments)
  FROM (VALUES
    ($$NULL, NULL, NULL, '{t}', NULL, NULL, '{}'$$, '22004'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', NULL, NULL, NULL, '{}'$$, '22004'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', NULL, NULL, NULL$$, '22004'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', '{}', NULL, '{}'$$, '22004'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', '{empty}', '{}', '{}'$$, '2202E'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t,f}', NULL, NULL, '{}'$$, '2202E'),
    ($$NULL, NULL, '{2026-03-01,2026-02-01}', '{t}', NULL, NULL, '{}'$$, '22023'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', NULL, NULL, '{2026-02-01,2026-01-01}'$$, '22023'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', NULL, NULL, '{2026-02-01,NULL}'$$, '22023'),
    ($$'{{2026-01-01},{2026-01-01}}', NULL, '{2026-01-01,2026-02-01}', '{t}', NULL, NULL, '{}'$$, '22023'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', '{NULL}', '{1}', '{}'$$, '22023'),
    ($$NULL, NULL, '{2026-01-01,2026-02-01}', '{t}', '{"[2026-01-01,)"}', '{-1}', '{}'$$, '22003')) v(arguments, code);
SELECT throws_ok(format('SELECT eiot.active_spans(%s)', arguments), code, NULL, 'active_spans: ' || arguments)
  FROM (VALUES
    ($$64::smallint, NULL, NULL, '{2026-01-01,2026-02-01}', '{1}', '{1 day}'$$, '22003'),
    ($$1::smallint, NULL, NULL, NULL, '{1}', '{1 day}'$$, '22004'),
    ($$1::smallint, NULL, NULL, '{2026-01-01,2026-02-01}', '{1,2}', '{1 day}'$$, '2202E'),
    ($$1::smallint, NULL, NULL, '{2026-01-01,2026-02-01}', '{1}', '{}'$$, '2202E'),
    ($$1::smallint, NULL, NULL, '{2026-02-01,2026-02-01}', '{1}', '{1 day}'$$, '22023'),
    ($$1::smallint, NULL, '2026-01-01', '{2026-01-01,2026-02-01}', '{2}', '{-1 day}'$$, '22023')) v(arguments, code);
SELECT is((SELECT eiot.active_spans(2::smallint, a, b, '{2026-01-01,2026-01-10,2026-01-20,2026-02-01}', '{4,4,4}', '{1 day,1 day,5 days}')
             FROM (VALUES (timestamptz '2026-01-02', timestamptz '2026-01-09'), ('2026-01-02', '2026-01-12'), (NULL, NULL), ('2026-01-02', '2026-01-18'), ('2026-02-01', '2026-02-02')) v(a, b)),
          ROW('{2026-01-01,2026-01-02,2026-01-02,2026-01-02,2026-01-20}'::timestamptz[],
              '{"2026-01-10 00:00:00.000001","2026-01-13 00:00:00.000001","2026-01-19 00:00:00.000001","2026-01-23 00:00:00.000001"}'::timestamptz[])::eiot.activity,
          'spans go through from rule to rule, and one device can have several');
SELECT is((SELECT eiot.active_spans(2::smallint, now(), now(), '{}', '{}', '{}') FROM generate_series(1, 3)), ROW('{}', '{}')::eiot.activity, 'no rules');
SELECT is((SELECT eiot.active_spans(2::smallint, now(), now(), '{}', '{}', '{}') WHERE false), NULL, 'no devices');

-- Combined from workers, the spans are the same.
CREATE TABLE asset.many AS SELECT 2::smallint AS count_key, timestamptz '2026-01-01' + i * interval '97 seconds' AS first_seen, timestamptz '2026-01-02' + i * interval '97 seconds' AS last_seen, i % 3 AS grp FROM generate_series(1, 20000) i;
ANALYZE asset.many;
CREATE FUNCTION pg_temp.spans(workers int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  PERFORM set_config('max_parallel_workers_per_gather', workers::text, true), set_config('parallel_setup_cost', '0', true),
          set_config('parallel_tuple_cost', '0', true), set_config('min_parallel_table_scan_size', '0', true);
  SELECT md5(string_agg(x::text, ' ' ORDER BY grp)) INTO result
    FROM (SELECT grp, eiot.active_spans(count_key, first_seen, last_seen, '{2026-01-01,2026-03-01}', '{4}', '{1 day}') AS x FROM asset.many GROUP BY grp) s;
  RETURN result;
END
$$;
SELECT is(pg_temp.spans(2), pg_temp.spans(0), 'in parallel and not');

-- ---- bad input

SELECT throws_ok(statement, code, message, what)
  FROM (VALUES
    ($$SELECT * FROM eiot.coverage_timeline(NULL, '2026-01-01', '2026-02-01', '1 day')$$, '22004', 'inventory must not be null', 'no inventory'),
    ($$SELECT * FROM eiot.coverage_timeline('eiot.tenant', '2026-01-01', '2026-02-01', '1 day')$$, '42809', 'eiot.tenant is not an inventory', 'another table'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', NULL, '2026-02-01', '1 day')$$, '22004', 'from, to and step must not be null', 'no from'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', NULL, '1 day')$$, '22004', 'from, to and step must not be null', 'no to'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', '2026-02-01', NULL)$$, '22004', 'from, to and step must not be null', 'no step'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '-infinity', '2026-02-01', '1 day')$$, '22023', 'a timeline must not be infinite', 'since ever'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', 'infinity', '1 day')$$, '22023', 'a timeline must not be infinite', 'for ever'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-02-01', '2026-01-01', '1 day')$$, '22023', 'a timeline cannot end before it begins', 'inverted'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', '2026-02-01', '0')$$, '22023', 'step must be positive: 00:00:00', 'no step at all'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', '2026-02-01', '-1 day')$$, '22023', 'step must be positive: -1 days', 'a step back'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', '2026-02-01', '1 month -30 days')$$, '22023', 'step must be positive: 1 mon -30 days', 'forth and back'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', '2026-02-01', '1 second')$$, '22023', 'a timeline of more than 1000000 steps', 'too many steps'),
    ($$SELECT * FROM eiot.coverage_timeline('asset.device', '2026-01-01', '2026-02-01', '1 day', pg_temp.t(99))$$, '23503', NULL, 'an unknown tenant')) v(statement, code, message, what);

SELECT * FROM finish();
ROLLBACK;
