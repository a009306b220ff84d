-- Aggregate eiot.peak: against counting the ranges at every instant at which one begins, in every kind of plan.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';

SELECT no_plan();

-- ---- forms of ranges

CREATE TEMP TABLE cases (n serial, what text, ranges tstzrange[], devices bigint, at timestamptz);
INSERT INTO cases (what, ranges, devices, at) VALUES
  ('nothing', '{}', 0, NULL),
  ('nulls alone', ARRAY[NULL::tstzrange, NULL], 0, NULL),
  ('empty ranges alone', '{empty,empty}', 0, NULL),
  ('one', '{"[2026-01-01,2026-02-01)"}', 1, '2026-01-01'),
  ('one among nulls and empty ones', ARRAY[NULL, 'empty', '[2026-01-01,2026-02-01)', NULL]::tstzrange[], 1, '2026-01-01'),
  ('the first of equals', '{"[2026-03-01,2026-04-01)","[2026-01-01,2026-02-01)","[2026-05-01,)"}', 1, '2026-01-01'),
  ('half open: one ends where the next begins', '{"[2026-01-01,2026-02-01)","[2026-02-01,2026-03-01)"}', 1, '2026-01-01'),
  ('closed: they share the instant', '{"[2026-01-01,2026-02-01]","[2026-02-01,2026-03-01)"}', 2, '2026-02-01'),
  ('open below: they do not', '{"[2026-01-01,2026-02-01]","(2026-02-01,2026-03-01)"}', 1, '2026-01-01'),
  ('open below begins a microsecond later', '{"[2026-01-01,2026-03-01)","(2026-02-01,2026-03-01)"}', 2, '2026-02-01 00:00:00.000001'),
  ('a closed range of one instant', '{"[2026-01-01,2026-01-01]","[2026-01-01,2026-01-01]"}', 2, '2026-01-01'),
  ('between two microseconds lies no instant', '{"(2026-01-01,2026-01-01 00:00:00.000001)"}', 0, NULL),
  ('between three one', '{"(2026-01-01,2026-01-01 00:00:00.000002)"}', 1, '2026-01-01 00:00:00.000001'),
  ('no end', '{"[2026-01-01,)","[2026-02-01,)"}', 2, '2026-02-01'),
  ('an infinite end', '{"[2026-01-01,infinity)","[2026-02-01,infinity]"}', 2, '2026-02-01'),
  ('no beginning', '{"(,2026-01-01)","[2025-12-31,2026-01-01)"}', 2, '2025-12-31'),
  ('no beginnings', '{"(,2026-01-01)","(-infinity,2026-01-01)","[-infinity,2027-01-01)"}', 3, '-infinity'),
  ('everything', '{"(,)","(,)","(-infinity,infinity)"}', 3, '-infinity'),
  ('the last instant alone', '{"[infinity,infinity]"}', 1, 'infinity'),
  ('the first instant alone', '{"[-infinity,-infinity]","(,)"}', 2, '-infinity'),
  ('the first and the last timestamp', '{"[4713-11-24 BC,294276-12-31 23:59:59.999999]","[294276-12-31 23:59:59.999999,)"}', 2, '294276-12-31 23:59:59.999999'),
  ('duplicates count each', '{"[2026-01-01,2026-02-01)","[2026-01-01,2026-02-01)","[2026-01-01,2026-02-01)"}', 3, '2026-01-01'),
  ('inside each other', '{"[2026-01-01,2026-12-31)","[2026-02-01,2026-11-01)","[2026-03-01,2026-10-01)","[2026-03-01,2026-03-02)"}', 4, '2026-03-01');
SELECT is((SELECT eiot.peak(r) FROM unnest(ranges) r), ROW(devices, at)::eiot.peak, what) FROM cases ORDER BY n;
SELECT is((SELECT eiot.peak(r ORDER BY upper(r) DESC) FROM unnest(ranges) r), ROW(devices, at)::eiot.peak, what || ', in another order') FROM cases ORDER BY n;
SELECT is((SELECT eiot.peak(r) FILTER (WHERE NOT isempty(r)) FROM unnest(ranges) r), ROW(devices, at)::eiot.peak, what || ', filtered') FROM cases ORDER BY n;
SELECT is((SELECT (eiot.peak(DISTINCT r)).devices FROM unnest(ranges) r), 1::bigint, 'DISTINCT') FROM cases WHERE what = 'duplicates count each';
SELECT is((eiot.peak(NULL)).devices, 0::bigint, 'a null without a type');

-- ---- random spans against plain SQL

CREATE SCHEMA peak;
GRANT USAGE ON SCHEMA peak TO PUBLIC;
CREATE TABLE peak.span (grp integer, active tstzrange) PARTITION BY RANGE (grp);
CREATE TABLE peak.span_1 PARTITION OF peak.span FOR VALUES FROM (0) TO (15);
CREATE TABLE peak.span_2 PARTITION OF peak.span FOR VALUES FROM (15) TO (1000);
CREATE TABLE peak.span_empty PARTITION OF peak.span FOR VALUES FROM (1000) TO (2000);
CREATE TABLE peak.span_null PARTITION OF peak.span FOR VALUES FROM (2000) TO (3000);
CREATE TABLE peak.plain (grp integer, active tstzrange);
GRANT SELECT ON peak.span, peak.plain TO PUBLIC;

-- Hours, days or microseconds, so that many instants meet or hardly any; groups of one to a few hundred spans.
CREATE PROCEDURE peak.fill(seed double precision) LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE peak.span, peak.plain;
  PERFORM setseed(seed);
  INSERT INTO peak.plain
    SELECT grp,
           CASE WHEN a < 0.02 THEN 'empty'
                WHEN a > 0.04 THEN tstzrange(CASE WHEN b > 0.03 THEN at END, CASE WHEN b < 0.97 THEN at + length END,
                                             (ARRAY['[)', '[]', '()', '(]'])[1 + floor(c * 4)::int]) END
      FROM (SELECT grp, random() AS a, random() AS b, random() AS c, u.unit * floor(random() * 200) + timestamptz '2026-01-01' AS at,
                   u.unit * floor(random() * CASE WHEN grp % 2 = 0 THEN 20 ELSE 100 END) AS length
              FROM generate_series(0, 29) grp
             CROSS JOIN LATERAL (SELECT (ARRAY[interval '1 day', '1 hour', '1 microsecond', '1 day 00:00:00.000001'])[1 + grp % 4] AS unit) u
             CROSS JOIN LATERAL generate_series(1, CASE WHEN grp % 5 = 0 THEN 700 ELSE 1 + grp * 3 END)) r;
  INSERT INTO peak.plain SELECT 2000 + i % 2, NULL FROM generate_series(1, 10) i;
  INSERT INTO peak.span SELECT * FROM peak.plain ORDER BY random();
  ANALYZE peak.span, peak.plain;
END
$$;

-- Every instant at which a range can begin to hold is tried.
CREATE VIEW peak.expected AS
  SELECT g.grp, COALESCE(p.devices, 0) AS devices, p.at
    FROM (SELECT DISTINCT grp FROM peak.plain) g
    LEFT JOIN (
      SELECT DISTINCT ON (i.grp) i.grp, count(*) AS devices, i.at
        FROM (SELECT DISTINCT grp, COALESCE(lower(active), '-infinity') + CASE WHEN lower_inc(active) OR lower_inf(active) THEN interval '0' ELSE interval '1 microsecond' END AS at
                FROM peak.plain WHERE NOT isempty(active)) i
        JOIN peak.plain s ON s.grp = i.grp AND s.active @> i.at
       GROUP BY i.grp, i.at
       ORDER BY i.grp, count(*) DESC, i.at) p USING (grp);

CREATE TABLE peak.way (n serial, way text, settings text[], plan text, source regclass);
INSERT INTO peak.way (way, settings, plan, source) VALUES
  ('serial, hashed', '{enable_sort=off}', '^HashAggregate', 'peak.plain'),
  ('serial, sorted', '{enable_hashagg=off}', '^GroupAggregate', 'peak.plain'),
  ('parallel, hashed', '{parallel=2,enable_sort=off}', 'Finalize HashAggregate.*Gather.*Workers Launched: [12].*Partial HashAggregate', 'peak.plain'),
  ('parallel, sorted', '{parallel=2,enable_hashagg=off}', 'Finalize GroupAggregate.*Gather.*Workers Launched: [12].*Partial GroupAggregate', 'peak.plain'),
  ('parallel, leader idle', '{parallel=2,parallel_leader_participation=off}', 'Finalize.*Gather.*Workers Launched: [12].*Partial', 'peak.plain'),
  ('partition-wise', '{enable_partitionwise_aggregate=on}', 'Append.*Aggregate.*Aggregate', 'peak.span'),
  ('parallel, partition-wise', '{parallel=2,enable_partitionwise_aggregate=on}', 'Gather.*Append', 'peak.span'),
  ('parallel, not allowed more than SELECT', '{parallel=2,role=eiot_test_reader}', 'Finalize.*Gather.*Partial', 'peak.plain');
CREATE ROLE eiot_test_reader NOLOGIN;

CREATE PROCEDURE peak.use(settings text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['role=none', 'parallel=0', 'parallel_leader_participation=on', 'enable_hashagg=on', 'enable_sort=on',
                                 'enable_partitionwise_aggregate=off', 'jit=off'] || settings LOOP
    IF wanted LIKE 'parallel=%' THEN
      PERFORM set_config('max_parallel_workers_per_gather', split_part(wanted, '=', 2), true),
              set_config(name, CASE WHEN wanted = 'parallel=0' THEN boot_val ELSE '0' END, true)
         FROM pg_settings WHERE name IN ('parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size');
    ELSE
      PERFORM set_config(split_part(wanted, '=', 1), split_part(wanted, '=', 2), true);
    END IF;
  END LOOP;
END
$$;

CREATE FUNCTION peak.check(way text, settings text[], plan text, source regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  query CONSTANT text := format('SELECT grp, (p).devices, (p).at FROM (SELECT grp, eiot.peak(active) AS p FROM %s GROUP BY grp) x', source);
  line text;
  shown text := '';
BEGIN
  CREATE TEMP TABLE wanted AS TABLE peak.expected;
  CREATE TEMP TABLE got (LIKE wanted);
  GRANT ALL ON got TO PUBLIC;
  CALL peak.use(settings);
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT grp, eiot.peak(active) FROM ' || source || ' GROUP BY grp' LOOP
    shown := shown || line || E'\n';
  END LOOP;
  EXECUTE 'CREATE TEMP TABLE made AS ' || query;
  CALL peak.use();
  INSERT INTO got TABLE made;
  RETURN NEXT matches(shown, plan, way || ': plan');
  RETURN NEXT set_eq('TABLE got', 'TABLE wanted', way || ': result');
  DROP TABLE made, got, wanted;
END
$$;

CALL peak.fill(0.1);
SELECT cmp_ok(max(devices), '>', 100::bigint, 'there are peaks') FROM peak.expected;
SELECT is(count(*), 32::bigint, 'and groups') FROM peak.expected;
SELECT peak.check(way, settings, plan, source) FROM peak.way ORDER BY n;
CALL peak.fill(0.2);
SELECT peak.check(way, settings, plan, source) FROM peak.way ORDER BY n;

-- Over a window: the state goes on after each result.
SELECT bag_eq($$SELECT grp, n, ((eiot.peak(active) OVER (PARTITION BY grp ORDER BY n)).devices)
                  FROM (SELECT grp, active, row_number() OVER (PARTITION BY grp) AS n FROM peak.plain WHERE grp IN (4, 9)) s$$,
              $$WITH s AS (SELECT grp, active, row_number() OVER (PARTITION BY grp) AS n FROM peak.plain WHERE grp IN (4, 9))
                SELECT s.grp, s.n, (SELECT (eiot.peak(o.active)).devices FROM s o WHERE o.grp = s.grp AND o.n <= s.n) FROM s$$,
              'over a growing window frame');

-- ---- large groups, through every byte of the radix

SELECT is((SELECT eiot.peak(tstzrange(at, at + interval '1 second')) FROM (
             SELECT '-infinity'::timestamptz + interval '0' AS at WHERE false
             UNION ALL SELECT timestamptz '4000-01-01 BC' + i * interval '61 days 00:00:07.123457' FROM generate_series(1, 40000) i
             UNION ALL SELECT '2026-05-05 05:05:05' FROM generate_series(1, 7)) r),
          ROW(7, '2026-05-05 05:05:05')::eiot.peak, '40,000 spans of six thousand years');
SELECT is((SELECT eiot.peak(tstzrange('2026-01-01'::timestamptz + i * interval '1 microsecond', '2027-01-01'::timestamptz - i * interval '1 microsecond')) FROM generate_series(1, 100000) i),
          ROW(100000, timestamptz '2026-01-01 00:00:00.1')::eiot.peak, '100,000 spans inside each other');
SELECT is((SELECT eiot.peak('[2026-01-01,2026-01-02)') FROM generate_series(1, 100000)), ROW(100000, timestamptz '2026-01-01')::eiot.peak, '100,000 equal ones');
SELECT is((SELECT sum((p).devices) FROM (SELECT eiot.peak(tstzrange('2026-01-01', NULL)) AS p FROM generate_series(1, 100000) i GROUP BY i % 50000) x), 100000::numeric, '50,000 groups');

-- ---- what supports the aggregate is no business of SQL

SELECT throws_ok($$SELECT eiot.peak(daterange('2026-01-01', NULL))$$, '42883', NULL, 'ranges of days are none of instants');

SELECT * FROM finish();
ROLLBACK;
