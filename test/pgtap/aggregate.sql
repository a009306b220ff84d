-- The aggregates give one result however PostgreSQL computes them: serial, parallel, by partition, over moving
-- window frames, from stored parts.  What is expected is computed by plain SQL.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';

SELECT plan(348);

CREATE SCHEMA agg;
GRANT USAGE ON SCHEMA agg TO PUBLIC;
CREATE ROLE eiot_test_reader NOLOGIN;

-- ---- the data: one row a device (counted, capacity), one a group (pooled), one a stored part (part)

CREATE TABLE agg.device (
  id integer,
  grp integer,
  counted boolean,
  capacity bigint,
  pooled eiot.coverage,
  part eiot.coverage
);
-- Every group lies in one partition; or in several.  In both an empty partition and one of nulls alone.
CREATE TABLE agg.device_by_group (LIKE agg.device) PARTITION BY RANGE (grp);
CREATE TABLE agg.device_by_group_1 PARTITION OF agg.device_by_group FOR VALUES FROM (0) TO (20);
CREATE TABLE agg.device_by_group_2 PARTITION OF agg.device_by_group FOR VALUES FROM (20) TO (60);
CREATE TABLE agg.device_by_group_empty PARTITION OF agg.device_by_group FOR VALUES FROM (60) TO (900);
CREATE TABLE agg.device_by_group_large PARTITION OF agg.device_by_group FOR VALUES FROM (900) TO (1000);
CREATE TABLE agg.device_by_group_null PARTITION OF agg.device_by_group FOR VALUES FROM (1000) TO (2000);
CREATE TABLE agg.device_by_id (LIKE agg.device) PARTITION BY RANGE (id);
CREATE TABLE agg.device_by_id_1 PARTITION OF agg.device_by_id FOR VALUES FROM (0) TO (3000);
CREATE TABLE agg.device_by_id_2 PARTITION OF agg.device_by_id FOR VALUES FROM (3000) TO (6000);
CREATE TABLE agg.device_by_id_3 PARTITION OF agg.device_by_id FOR VALUES FROM (6000) TO (100000);
CREATE TABLE agg.device_by_id_null PARTITION OF agg.device_by_id FOR VALUES FROM (100000) TO (200000);
CREATE TABLE agg.device_by_id_empty PARTITION OF agg.device_by_id FOR VALUES FROM (200000) TO (MAXVALUE);
GRANT SELECT ON agg.device, agg.device_by_group, agg.device_by_id TO eiot_test_reader;

-- What plain SQL makes of the columns; of the values only the text is used.
CREATE VIEW agg.plain AS
  SELECT id, grp, counted, capacity,
         split_part(pooled::text, '/', 1)::numeric AS pooled_devices,
         split_part(pooled::text, '/', 2) AS pooled_capacity,
         split_part(part::text, '/', 1)::numeric AS part_devices,
         NULLIF(split_part(part::text, '/', 2), 'none') AS part_capacity
    FROM agg.device;

CREATE FUNCTION agg.shown(capacity numeric) RETURNS text
  LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN capacity = 9223372036854775807 THEN 'unlimited' ELSE capacity::text END;

CREATE VIEW agg.expected AS
  SELECT grp,
         GREATEST(devices - capacity, 0)::bigint AS gap,
         format('%s/%s', devices, agg.shown(capacity)) AS coverage,
         GREATEST(pooled_devices - pooled_capacity, 0)::bigint AS pooled_gap,
         format('%s/%s', pooled_devices, agg.shown(pooled_capacity)) AS pooled,
         format('%s/%s', merged_devices, merged_capacity) AS merged
    FROM (SELECT grp,
                 count(*) FILTER (WHERE counted) AS devices,
                 COALESCE(max(capacity), 0) AS capacity,
                 COALESCE(sum(pooled_devices), 0) AS pooled_devices,
                 CASE WHEN COALESCE(bool_or(pooled_capacity = 'unlimited'), false) THEN 9223372036854775807
                      ELSE COALESCE(sum(pooled_capacity::numeric) FILTER (WHERE pooled_capacity NOT IN ('none', 'unlimited')), 0)
                 END AS pooled_capacity,
                 COALESCE(sum(part_devices), 0) AS merged_devices,
                 COALESCE(max(part_capacity), 'none') AS merged_capacity
            FROM agg.plain
           GROUP BY grp) g;

CREATE PROCEDURE agg.fill(seed double precision)
  LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE agg.device, agg.device_by_group, agg.device_by_id;
  PERFORM setseed(seed);
  CREATE TEMP TABLE grp_capacity AS
    SELECT g AS grp,
           CASE g % 6 WHEN 0 THEN NULL WHEN 1 THEN 0 WHEN 2 THEN eiot.unlimited() ELSE (random() * 250)::bigint END AS capacity
      FROM generate_series(0, 59) g;
  INSERT INTO agg.device
    SELECT r.id, r.grp,
           CASE WHEN r.a < 0.7 THEN true WHEN r.a < 0.9 THEN false END,
           -- null and 0 say the same
           CASE WHEN c.capacity IS NULL AND r.b < 0.5 THEN 0 ELSE c.capacity END,
           CASE WHEN r.c > 0.1
                THEN format('%s/%s', (r.d * 1000)::int,
                            CASE WHEN r.c > 0.995 THEN 'unlimited' WHEN r.c < 0.2 THEN 'none' ELSE (r.e * 1200)::int::text END) END
             ::eiot.coverage,
           CASE WHEN r.e > 0.1
                THEN format('%s/%s', (r.c * 9)::int,
                            CASE WHEN r.b < 0.1 THEN 'none' ELSE agg.shown(COALESCE(c.capacity, 0)) END) END::eiot.coverage
      FROM (SELECT id, floor(random() * 60)::int AS grp,
                   random() AS a, random() AS b, random() AS c, random() AS d, random() AS e
              FROM generate_series(0, 9999) id) r
      JOIN grp_capacity c USING (grp);
  DROP TABLE grp_capacity;
  -- Beyond bigint together, but for the one that is unlimited.
  INSERT INTO agg.device
    SELECT 10000 + i, 900, true, 40,
           format('%s/%s', i, CASE WHEN i = u.at THEN 'unlimited' ELSE '9000000000000000000' END)::eiot.coverage, '1/40'
      FROM generate_series(0, 99) i, (SELECT floor(random() * 100)::int AS at) u;
  INSERT INTO agg.device
    SELECT 100000 + i, CASE WHEN i % 2 = 0 THEN 0 ELSE 1000 + i % 3 END
      FROM generate_series(0, 99) i;
  INSERT INTO agg.device_by_group TABLE agg.device ORDER BY random();
  INSERT INTO agg.device_by_id TABLE agg.device ORDER BY random();
  ANALYZE agg.device, agg.device_by_group, agg.device_by_id;
END
$$;

-- ---- one query, many plans

CREATE PROCEDURE agg.use(settings text[] DEFAULT '{}')
  LANGUAGE plpgsql AS $$
DECLARE
  usual CONSTANT text[] := ARRAY[
    'role=none', 'max_parallel_workers_per_gather=0', 'parallel_setup_cost=1000', 'parallel_tuple_cost=0.1',
    'min_parallel_table_scan_size=8MB', 'parallel_leader_participation=on', 'enable_hashagg=on', 'enable_sort=on',
    'enable_gathermerge=on', 'enable_partitionwise_aggregate=off', 'work_mem=4MB', 'jit=off', 'jit_above_cost=100000',
    'force_parallel=off'];
  setting text;
  named text;
BEGIN
  FOREACH setting IN ARRAY usual || settings LOOP
    named := split_part(setting, '=', 1);
    IF named = 'force_parallel' THEN
      -- force_parallel_mode until 15
      SELECT name INTO STRICT named FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
    END IF;
    PERFORM set_config(named, split_part(setting, '=', 2), true);
  END LOOP;
END
$$;

CREATE FUNCTION agg.query(source regclass, rest text) RETURNS text
  LANGUAGE sql STABLE
  RETURN format('SELECT %s AS grp, eiot.coverage_gap(counted, capacity) AS gap, eiot.coverage_agg(counted, capacity)::text AS coverage, '
                'eiot.coverage_gap(pooled) AS pooled_gap, eiot.coverage_agg(pooled)::text AS pooled, eiot.coverage_merge(part)::text AS merged '
                'FROM %s %s', CASE WHEN rest LIKE 'GROUP%' THEN 'grp' ELSE 'min(grp)' END, source, rest);

-- Runs it.
CREATE FUNCTION agg.plan_of(query text) RETURNS text
  LANGUAGE plpgsql AS $$
DECLARE
  line text;
  plan text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
    plan := plan || line || E'\n';
  END LOOP;
  RETURN plan;
END
$$;

-- Two tests: the plan is the one that is meant, the result the expected one.
CREATE FUNCTION agg.check(way text, settings text[], plan text, never text, source regclass, rest text)
  RETURNS SETOF text
  LANGUAGE plpgsql AS $$
DECLARE
  query CONSTANT text := agg.query(source, rest);
  shown text;
BEGIN
  CALL agg.use(settings);
  shown := agg.plan_of('CREATE TEMP TABLE got AS ' || query);
  CALL agg.use();
  IF shown ~ plan AND shown !~ never THEN
    RETURN NEXT pass(way || ': plan');
  ELSE
    RETURN NEXT fail(way || ': plan');
    RETURN NEXT diag(shown);
  END IF;
  RETURN NEXT is(
    (SELECT string_agg(d::text, E'\n')
       FROM (SELECT 'expected' AS side, e.*
               FROM (SELECT * FROM agg.expected WHERE rest LIKE 'GROUP%' OR rest LIKE '%= ' || grp EXCEPT TABLE got) e
             UNION ALL
             SELECT 'got', g.* FROM (TABLE got EXCEPT SELECT * FROM agg.expected) g
              LIMIT 10) d),
    NULL, way || ': result');
  DROP TABLE got;
END
$$;

CREATE TABLE agg.way (name text, settings text[], plan text, never text, source regclass, rest text);
INSERT INTO agg.way
SELECT w.name, w.settings || w.more::text[], w.plan, w.never, w.source::regclass, COALESCE(w.rest, 'GROUP BY grp')
  FROM (SELECT v.*, CASE WHEN v.name LIKE '%parallel%'
                         THEN '{max_parallel_workers_per_gather=2,parallel_setup_cost=0,parallel_tuple_cost=0,min_parallel_table_scan_size=0}'
                    END AS more
          FROM (VALUES
    ('serial, hashed', '{enable_sort=off}'::text[], '^HashAggregate', 'Partial|Gather', 'agg.device', NULL),
    ('serial, sorted', '{enable_hashagg=off}', '^GroupAggregate.*Sort', 'Partial|Gather', 'agg.device', NULL),
    ('serial, one group', '{}', '^Aggregate', 'Partial|Gather', 'agg.device', 'WHERE grp = 33'),
    ('serial, compiled', '{jit=on,jit_above_cost=0}', 'Aggregate', 'Partial|Gather', 'agg.device', NULL),
    ('parallel, hashed', '{enable_sort=off}',
     'Finalize HashAggregate.*Gather.*Workers Launched: [12].*Partial HashAggregate', 'Single Copy', 'agg.device', NULL),
    ('parallel, hashed and merged', '{enable_hashagg=on}',
     'Finalize (Group|Hash)Aggregate.*Gather.*Workers Launched: [12].*Partial HashAggregate', 'Single Copy', 'agg.device', NULL),
    ('parallel, sorted', '{enable_hashagg=off}',
     'Finalize GroupAggregate.*Gather.*Workers Launched: [12].*Partial GroupAggregate', 'Single Copy', 'agg.device', NULL),
    ('parallel, one group', '{}', 'Finalize Aggregate.*Gather.*Partial Aggregate', 'Single Copy', 'agg.device', 'WHERE grp = 33'),
    ('parallel, pool with an unlimited one', '{}', 'Finalize Aggregate.*Gather.*Partial Aggregate', 'Single Copy', 'agg.device', 'WHERE grp = 900'),
    ('parallel, compiled', '{jit=on,jit_above_cost=0}', 'Finalize.*Gather.*Partial', 'Single Copy', 'agg.device', NULL),
    ('parallel, leader idle', '{parallel_leader_participation=off}',
     'Finalize.*Gather.*Workers Launched: [12].*Partial', 'Single Copy', 'agg.device', NULL),
    ('parallel, forced', '{force_parallel=on}', 'Gather', 'Single Copy.*Single Copy', 'agg.device', NULL),
    ('serial plan forced into a worker', '{force_parallel=on,max_parallel_workers_per_gather=2}', 'Gather.*Single Copy: true.*HashAggregate', 'Partial', 'agg.device', NULL),
    ('partition-wise, full', '{enable_partitionwise_aggregate=on}',
     'Append.*HashAggregate.*HashAggregate.*HashAggregate.*HashAggregate.*HashAggregate', 'Partial|Gather', 'agg.device_by_group', NULL),
    ('partition-wise, full, sorted', '{enable_partitionwise_aggregate=on,enable_hashagg=off}',
     'Append.*GroupAggregate.*GroupAggregate.*GroupAggregate.*GroupAggregate.*GroupAggregate', 'Partial|Gather', 'agg.device_by_group', NULL),
    ('partition-wise, partial', '{enable_partitionwise_aggregate=on}',
     'Finalize.*Append.*Partial.*Partial.*Partial.*Partial.*Partial', 'Gather', 'agg.device_by_id', NULL),
    ('partition-wise, partial, one group', '{enable_partitionwise_aggregate=on}',
     'Finalize Aggregate.*Append.*Partial Aggregate.*Partial Aggregate', 'Gather', 'agg.device_by_id', 'WHERE grp = 0'),
    ('partition-wise, partial, parallel', '{enable_partitionwise_aggregate=on}',
     'Finalize.*Gather.*Append.*Partial.*Partial.*Partial', 'Single Copy', 'agg.device_by_id', NULL),
    ('partition-wise, full, parallel', '{enable_partitionwise_aggregate=on}',
     'Gather', 'Single Copy', 'agg.device_by_group', NULL),
    ('parallel, not partition-wise', '{}', 'Finalize.*Gather.*Partial.*Append', 'Single Copy', 'agg.device_by_id', NULL),
    ('serial, not allowed more than SELECT', '{role=eiot_test_reader}', '^HashAggregate', 'Partial|Gather', 'agg.device', NULL),
    ('parallel, not allowed more than SELECT', '{role=eiot_test_reader}',
     'Finalize.*Gather.*Workers Launched: [12].*Partial', 'Single Copy', 'agg.device', NULL),
    ('partition-wise, partial, not allowed more than SELECT', '{role=eiot_test_reader,enable_partitionwise_aggregate=on}',
     'Finalize.*Append.*Partial.*Partial', 'Gather', 'agg.device_by_id', NULL)
  ) v(name, settings, plan, never, source, rest)) w;

CALL agg.fill(0.1);
SELECT cmp_ok(count(*), '>', 10000::bigint, 'there are rows') FROM agg.device;
SELECT set_eq(
  $$SELECT DISTINCT kind FROM agg.expected,
           LATERAL (VALUES (CASE WHEN gap > 0 THEN 'gap' ELSE 'no gap' END),
                           (CASE WHEN coverage LIKE '%unlimited' THEN 'unlimited' WHEN coverage LIKE '%/0' THEN 'no capacity' ELSE 'capacity' END),
                           (CASE WHEN pooled_gap > 0 THEN 'pooled gap' ELSE 'no pooled gap' END),
                           (CASE WHEN pooled = '0/0' THEN 'nulls alone' WHEN pooled LIKE '%unlimited' THEN 'unlimited pool' ELSE 'pool' END)) k(kind)$$,
  $$VALUES ('gap'), ('no gap'), ('unlimited'), ('no capacity'), ('capacity'), ('pooled gap'), ('no pooled gap'), ('nulls alone'),
           ('unlimited pool'), ('pool')$$,
  'the data has a group of every kind');
SELECT agg.check(format('seed 0.1, %s', name), settings, plan, never, source, rest) FROM agg.way;
CALL agg.fill(-0.7);
SELECT agg.check(format('seed -0.7, %s', name), settings, plan, never, source, rest) FROM agg.way;
CALL agg.fill(0.42);
SELECT agg.check(format('seed 0.42, %s', name), settings, plan, never, source, rest) FROM agg.way;

-- No rows at all, by every way that makes a result of them.
CALL agg.use('{max_parallel_workers_per_gather=2,parallel_setup_cost=0,parallel_tuple_cost=0,min_parallel_table_scan_size=0}');
CREATE TEMP TABLE no_rows AS
  SELECT eiot.coverage_gap(counted, capacity) AS gap, eiot.coverage_agg(counted, capacity) AS coverage,
         eiot.coverage_gap(pooled) AS pooled_gap, eiot.coverage_agg(pooled) AS pooled, eiot.coverage_merge(part) AS merged
    FROM agg.device WHERE grp = -1;
CALL agg.use('{enable_partitionwise_aggregate=on}');
INSERT INTO no_rows
  SELECT eiot.coverage_gap(counted, capacity), eiot.coverage_agg(counted, capacity),
         eiot.coverage_gap(pooled), eiot.coverage_agg(pooled), eiot.coverage_merge(part)
    FROM agg.device_by_id WHERE grp = -1;
CALL agg.use();
INSERT INTO no_rows
  SELECT eiot.coverage_gap(counted, capacity), eiot.coverage_agg(counted, capacity),
         eiot.coverage_gap(pooled), eiot.coverage_agg(pooled), eiot.coverage_merge(part)
    FROM agg.device WHERE false;
SELECT results_eq($$SELECT gap, coverage::text, pooled_gap, pooled::text, merged::text FROM no_rows$$,
                  $$SELECT 0::bigint, '0/none', 0::bigint, '0/0', '0/none' FROM generate_series(1, 3)$$,
                  'no rows: gap 0, 0/none of a group and 0/0 of a pool; parallel, by partition, serial');
SELECT ok(bool_and(coverage OPERATOR(eiot.=) '0/0' AND pooled OPERATOR(eiot.=) '0/0' AND merged OPERATOR(eiot.=) '0/0'),
          'no rows: whatever it is, it equals 0/0') FROM no_rows;

-- ---- small cases that a reader can check

SELECT is(eiot.coverage_gap(c), 3::bigint, 'coverage_gap of (10/4) and (2/5) is 3') FROM (VALUES ('10/4'::eiot.coverage), ('2/5')) v(c);
SELECT is(eiot.coverage_agg(c)::text, '12/9', 'coverage_agg of (10/4) and (2/5) is 12/9') FROM (VALUES ('10/4'::eiot.coverage), ('2/5')) v(c);
SELECT is(eiot.coverage_gap(true, 1200), 4::bigint, '1,204 devices, capacity 1,200') FROM generate_series(1, 1204);
SELECT is(eiot.coverage_agg(true, 1600)::text, '1679/1600', '1,679 devices, capacity 1,600') FROM generate_series(1, 1679);
SELECT is(eiot.coverage_gap(c, NULL), 2::bigint, 'null capacity is 0, null counted is false') FROM (VALUES (true), (NULL), (false), (true)) v(c);
SELECT is(eiot.coverage_agg(c, NULL)::text, '2/0', 'null capacity is 0 in the value, too') FROM (VALUES (true), (NULL), (true)) v(c);
SELECT is(eiot.coverage_agg(NULL, NULL)::text, '0/0', 'nulls alone: nothing counted, capacity 0') FROM generate_series(1, 3);
SELECT is(eiot.coverage_gap(true, c), 2::bigint, 'null and 0 are the same capacity') FROM (VALUES (NULL::bigint), (0)) v(c);
SELECT is(eiot.coverage_gap(true, eiot.unlimited()), 0::bigint, 'nothing exceeds an unlimited capacity') FROM generate_series(1, 3);
SELECT is(eiot.coverage_agg(true, eiot.unlimited())::text, '3/unlimited', 'an unlimited capacity is kept') FROM generate_series(1, 3);
SELECT is(eiot.coverage_gap(c), 0::bigint, 'a pool of nulls has no gap') FROM (VALUES (NULL::eiot.coverage), (NULL)) v(c);
SELECT is(eiot.coverage_agg(c)::text, '0/0', 'a pool of nulls is 0/0') FROM (VALUES (NULL::eiot.coverage), (NULL)) v(c);
SELECT is(eiot.coverage_agg(c)::text, '5/4', 'nulls are left out of a pool, no named capacity adds 0')
  FROM (VALUES (NULL::eiot.coverage), ('2/4'), ('3/none')) v(c);
SELECT is(eiot.coverage_merge(c)::text, '0/none', 'merging nulls is 0/none') FROM (VALUES (NULL::eiot.coverage), (NULL)) v(c);
SELECT is(eiot.coverage_merge(c)::text, '5/4', 'a part that names no capacity takes the group''s') FROM (VALUES ('0/none'::eiot.coverage), ('2/4'), (NULL), ('3/4')) v(c);

-- ---- rows of one group that disagree on its capacity

CREATE TABLE agg.split (id integer, counted boolean, capacity bigint) PARTITION BY RANGE (id);
CREATE TABLE agg.split_1 PARTITION OF agg.split FOR VALUES FROM (0) TO (1000);
CREATE TABLE agg.split_2 PARTITION OF agg.split FOR VALUES FROM (1000) TO (2000);
INSERT INTO agg.split SELECT i, true, CASE WHEN i < 1000 THEN 5 ELSE 6 END FROM generate_series(0, 1999) i;
CREATE TABLE agg.odd_one AS SELECT i AS id, i % 7 AS grp, true AS counted, CASE WHEN i <> 4321 THEN 5::bigint END AS capacity FROM generate_series(1, 5000) i;
ANALYZE agg.split, agg.odd_one;

CREATE FUNCTION agg.check_disagree(way text, settings text[], plan text, query text) RETURNS SETOF text
  LANGUAGE plpgsql AS $$
DECLARE
  called text;
  shown text;
  line text;
BEGIN
  FOREACH called IN ARRAY ARRAY['coverage_gap', 'coverage_agg'] LOOP
    CALL agg.use(settings);
    shown := '';
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || format(query, called) LOOP shown := shown || line || E'\n'; END LOOP;
    RETURN NEXT CASE WHEN shown ~ plan THEN pass(format('%s disagrees, %s: plan', called, way))
                     ELSE fail(format('%s disagrees, %s: plan', called, way)) || E'\n' || diag(shown) END;
    RETURN NEXT throws_like(format(query, called), 'rows of one group disagree on its capacity: %', format('%s disagrees, %s: message', called, way));
    RETURN NEXT throws_ok(format(query, called), '22023', NULL, format('%s disagrees, %s: 22023', called, way));
    CALL agg.use();
  END LOOP;
END
$$;

SELECT agg.check_disagree(way, settings || CASE WHEN way LIKE '%parallel%'
         THEN '{max_parallel_workers_per_gather=2,parallel_setup_cost=0,parallel_tuple_cost=0,min_parallel_table_scan_size=0}'::text[]
         ELSE '{}' END, plan, query)
  FROM (VALUES
    ('serial', '{}'::text[], '^Aggregate', 'SELECT eiot.%s(counted, capacity) FROM agg.odd_one'),
    ('hashed', '{enable_sort=off}', '^HashAggregate', 'SELECT grp, eiot.%s(counted, capacity) FROM agg.odd_one GROUP BY grp'),
    ('sorted', '{enable_hashagg=off}', '^GroupAggregate', 'SELECT grp, eiot.%s(counted, capacity) FROM agg.odd_one GROUP BY grp'),
    ('parallel', '{}', 'Gather.*Partial', 'SELECT grp, eiot.%s(counted, capacity) FROM agg.odd_one GROUP BY grp'),
    ('parallel, leader idle', '{parallel_leader_participation=off}', 'Gather.*Partial', 'SELECT grp, eiot.%s(counted, capacity) FROM agg.odd_one GROUP BY grp'),
    -- Each partition agrees with itself, so only putting the parts together can tell.
    ('partition-wise', '{enable_partitionwise_aggregate=on}', 'Finalize Aggregate.*Append.*Partial Aggregate.*Partial Aggregate',
     'SELECT eiot.%s(counted, capacity) FROM agg.split'),
    ('parallel and partition-wise', '{enable_partitionwise_aggregate=on}', 'Finalize Aggregate.*Gather.*Append.*Partial Aggregate.*Partial Aggregate',
     'SELECT eiot.%s(counted, capacity) FROM agg.split'),
    ('window frame, moving', '{}', 'WindowAgg', 'SELECT eiot.%s(counted, capacity) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM agg.odd_one'),
    ('window frame, growing', '{}', 'WindowAgg', 'SELECT eiot.%s(counted, capacity) OVER (ORDER BY id) FROM agg.odd_one'),
    ('window frame, excluding', '{}', 'WindowAgg',
     'SELECT eiot.%s(counted, capacity) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM agg.odd_one')
  ) v(way, settings, plan, query);

SELECT throws_ok($$SELECT eiot.coverage_merge(c) FROM (VALUES ('3/5'::eiot.coverage), ('2/6')) v(c)$$, '22023',
                 'rows of one group disagree on its capacity: 5 and 6', 'stored parts that disagree');
SELECT throws_ok($$SELECT eiot.coverage_merge(part) FROM (SELECT eiot.coverage_agg(counted, capacity) AS part FROM agg.split GROUP BY id / 1000) p$$,
                 '22023', NULL, 'parts of which each agrees with itself');
SELECT throws_ok($$SELECT eiot.coverage_merge(c) FROM (VALUES ('3/5'::eiot.coverage), ('2/unlimited')) v(c)$$, '22023', NULL, 'limited and unlimited parts disagree');
SELECT throws_ok($$SELECT eiot.coverage_merge(c) FROM (VALUES ('3/0'::eiot.coverage), ('2/5')) v(c)$$, '22023', NULL, 'part without capacity and part with one disagree');
SELECT throws_ok($$SELECT eiot.coverage_gap(true, c) FROM (VALUES (NULL::bigint), (5)) v(c)$$, '22023', NULL, 'null is 0, so it disagrees with 5');
SELECT throws_ok($$SELECT eiot.coverage_gap(c, 5 + i) FROM (VALUES (true, 0), (false, 1)) v(c, i)$$, '22023', NULL, 'rows that are not counted state the capacity, too');
SELECT lives_ok($$SELECT eiot.coverage_gap(true, c) FILTER (WHERE c = 5) FROM (VALUES (5::bigint), (6)) v(c)$$, 'rows filtered out state nothing');
SELECT throws_ok($$SELECT eiot.coverage_gap(true, -1)$$, '22003', 'capacity must not be negative: -1', 'negative capacity');
SELECT throws_ok($$SELECT eiot.coverage_agg(true, -1) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)$$, '22003', NULL, 'negative capacity in a frame');

-- ---- beyond bigint

SELECT throws_ok(format('SELECT eiot.%s(c) FROM (VALUES (%L::eiot.coverage), (%L)) v(c)', called, '9223372036854775807/0', '1/0'),
                 '22003', 'number of devices out of range', called || ': more devices than a bigint holds')
  FROM (VALUES ('coverage_gap'), ('coverage_agg'), ('coverage_merge')) v(called);
SELECT is(eiot.coverage_gap(c), eiot.unlimited(), 'as many devices as a bigint holds')
  FROM (VALUES ('9223372036854775806/0'::eiot.coverage), ('1/0')) v(c);
SELECT throws_ok(format('SELECT eiot.%s(c) FROM (VALUES (%L::eiot.coverage), (%L)) v(c)', called, '0/9000000000000000000', '0/9000000000000000000'),
                 '22003', 'capacity out of range', called || ': more capacity than a bigint holds')
  FROM (VALUES ('coverage_gap'), ('coverage_agg')) v(called);
SELECT throws_ok(format('SELECT eiot.%s(c) FROM (VALUES (%L::eiot.coverage), (%L)) v(c)', called, '0/9223372036854775806', '0/1'),
                 '22003', NULL, called || ': a sum that would read as unlimited is too large')
  FROM (VALUES ('coverage_gap'), ('coverage_agg')) v(called);
SELECT is(eiot.coverage_agg(c)::text, '0/9223372036854775806', 'the largest capacity that is not unlimited')
  FROM (VALUES ('0/9223372036854775805'::eiot.coverage), ('0/1')) v(c);
-- Two that are too large together and one without limit, in every order.
SELECT is(eiot.coverage_agg(c ORDER BY at)::text || ' ' || eiot.coverage_gap(c ORDER BY at), '6/unlimited 0',
          'an unlimited capacity joins the pool, order ' || places)
  FROM (VALUES ('123'), ('132'), ('213'), ('231'), ('312'), ('321')) o(places)
 CROSS JOIN LATERAL (SELECT c, position(n::text IN places) AS at
                       FROM (VALUES (1, '1/9000000000000000000'::eiot.coverage), (2, '2/9000000000000000000'), (3, '3/unlimited')) v(n, c)) p
 GROUP BY places ORDER BY places;
SELECT throws_ok($$SELECT eiot.coverage_agg(c) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
                     FROM (VALUES (1, '1/9000000000000000000'::eiot.coverage), (2, '2/9000000000000000000')) v(i, c)$$,
                 '22003', 'capacity out of range', 'too large in a frame');
SELECT throws_ok($$SELECT eiot.coverage_gap(c) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
                     FROM (VALUES (1, '9223372036854775807/1'::eiot.coverage), (2, '2/1')) v(i, c)$$,
                 '22003', 'number of devices out of range', 'too many devices in a frame');
SELECT is(string_agg(c, ' ' ORDER BY i), '9223372036854775807/1 2/1 9223372036854775807/unlimited',
          'rows that are too large together but never in one frame')
  FROM (SELECT i, eiot.coverage_agg(c) OVER (ORDER BY i ROWS BETWEEN CURRENT ROW AND CURRENT ROW)::text AS c
          FROM (VALUES (1, '9223372036854775807/1'::eiot.coverage), (2, '2/1'), (3, '9223372036854775807/unlimited')) v(i, c)) w;
-- The sum is lost where it is too large, and comes back when those rows have left.
SELECT is(string_agg(format('%s gap %s', c, gap), ', ' ORDER BY i),
          '6/unlimited gap 0, 9/unlimited gap 0, 12/unlimited gap 0, 15/12 gap 3, 11/9 gap 2, 6/5 gap 1',
          'a frame forgets what was too large')
  FROM (SELECT i, eiot.coverage_agg(c) OVER w AS c, eiot.coverage_gap(c) OVER w AS gap
          FROM (VALUES (1, '1/9000000000000000000'::eiot.coverage), (2, '2/9000000000000000000'), (3, '3/unlimited'), (4, '4/3'), (5, '5/4'), (6, '6/5')) v(i, c)
        WINDOW w AS (ORDER BY i ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING)) f;

-- ---- moving window frames

SELECT results_eq(
  $$SELECT aggfnoid::regprocedure::text FROM pg_aggregate
     WHERE aggfnoid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'eiot'::regnamespace)
       AND aggmtransfn <> 0 AND aggminvtransfn <> 0 AND aggcombinefn <> 0 ORDER BY 1$$,
  $$VALUES ('eiot.coverage_agg(boolean,bigint)'), ('eiot.coverage_agg(eiot.coverage)'),
           ('eiot.coverage_gap(boolean,bigint)'), ('eiot.coverage_gap(eiot.coverage)')$$,
  'four aggregates have a moving implementation and can be combined');
SELECT is(count(*), 5::bigint, 'all five are parallel safe and have a combine function')
  FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid
 WHERE p.pronamespace = 'eiot'::regnamespace AND p.proname LIKE 'coverage%' AND p.proparallel = 's' AND a.aggcombinefn <> 0;

CREATE TABLE agg.frame_row (id integer PRIMARY KEY, part integer, ord integer, wanted boolean, counted boolean, capacity bigint, pooled eiot.coverage,
                            pooled_devices numeric, pooled_capacity numeric);

CREATE PROCEDURE agg.fill_frames(seed double precision)
  LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE agg.frame_row;
  PERFORM setseed(seed);
  INSERT INTO agg.frame_row
    SELECT id, part, ord, w < 0.6,
           CASE WHEN a < 0.6 THEN true WHEN a < 0.9 THEN false END,
           CASE part WHEN 0 THEN NULL WHEN 1 THEN 2 WHEN 2 THEN eiot.unlimited() ELSE 4 END,
           eiot.coverage(d, c), d, c
      FROM (SELECT id, floor(random() * 4)::int AS part,
                   -- ties and holes
                   (random() * 20)::int + (id / 100) * 30 AS ord,
                   random() AS w, random() AS a,
                   CASE WHEN random() > 0.15 THEN (random() * 20)::bigint END AS d,
                   CASE WHEN random() > 0.1 THEN (random() * 20)::bigint ELSE eiot.unlimited() END AS c
              FROM generate_series(1, 300) id) r;
  UPDATE agg.frame_row SET pooled_capacity = NULL WHERE pooled IS NULL;
END
$$;

-- The ids of a frame come from array_agg, which knows no moving frames; what they hold is added up anew for each row.
CREATE FUNCTION agg.check_frame(seed double precision, frame text, filter text) RETURNS text
  LANGUAGE plpgsql AS $$
DECLARE
  differences text;
BEGIN
  EXECUTE format($query$
    SELECT string_agg(format('row %%s: %%s, not %%s', id, got, expected), E'\n')
      FROM (SELECT id, ROW(gap, coverage, pooled_gap, pooled_coverage)::text AS got, e.expected
              FROM (SELECT id,
                           array_agg(id) %2$s OVER w AS ids,
                           eiot.coverage_gap(counted, %3$s) %2$s OVER w AS gap,
                           (eiot.coverage_agg(counted, %3$s) %2$s OVER w)::text AS coverage,
                           eiot.coverage_gap(pooled) %2$s OVER w AS pooled_gap,
                           (eiot.coverage_agg(pooled) %2$s OVER w)::text AS pooled_coverage
                      FROM agg.frame_row
                    WINDOW w AS (%1$s)) f
             CROSS JOIN LATERAL (
               SELECT ROW(GREATEST(n - c, 0),
                          CASE WHEN nrows = 0 THEN '0/none' ELSE format('%%s/%%s', n, agg.shown(c)) END,
                          GREATEST(pn - pc, 0),
                          format('%%s/%%s', pn, agg.shown(pc)))::text AS expected
                 FROM (SELECT count(*) AS nrows, count(*) FILTER (WHERE counted) AS n, COALESCE(max(%3$s), 0) AS c,
                              COALESCE(sum(pooled_devices) FILTER (WHERE pooled_capacity IS NOT NULL), 0) AS pn,
                              CASE WHEN bool_or(pooled_capacity = 9223372036854775807) THEN 9223372036854775807
                                   ELSE COALESCE(sum(pooled_capacity), 0) END AS pc
                         FROM agg.frame_row r
                        WHERE r.id = ANY (f.ids)) s) e) d
     WHERE got <> expected$query$,
    frame, filter, CASE WHEN frame LIKE 'PARTITION%' THEN 'capacity' ELSE '7' END)
    INTO differences;
  RETURN is(left(differences, 1000), NULL, format('frame, seed %s: %s %s', seed, frame, filter));
END
$$;

CREATE TABLE agg.frame (frame text);
INSERT INTO agg.frame VALUES
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN CURRENT ROW AND CURRENT ROW'),
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING'),
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN 5 PRECEDING AND 3 PRECEDING'),
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN 2 FOLLOWING AND 6 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord GROUPS BETWEEN 2 FOLLOWING AND 3 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord RANGE BETWEEN 3 PRECEDING AND 1 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord RANGE BETWEEN 4 PRECEDING AND 1 PRECEDING'),
  ('PARTITION BY part ORDER BY ord DESC RANGE BETWEEN 1 FOLLOWING AND 2 FOLLOWING'),
  ('PARTITION BY part ORDER BY ord'),
  ('PARTITION BY part'),
  ('PARTITION BY part ORDER BY ord, id ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW'),
  ('PARTITION BY part ORDER BY ord ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING EXCLUDE GROUP'),
  ('PARTITION BY part ORDER BY ord RANGE BETWEEN 3 PRECEDING AND 2 FOLLOWING EXCLUDE TIES'),
  ('ORDER BY ord, id ROWS BETWEEN 20 PRECEDING AND 20 FOLLOWING'),
  ('ORDER BY ord RANGE BETWEEN 5 PRECEDING AND 5 PRECEDING'),
  ('ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING');
CALL agg.fill_frames(0.3);
SELECT agg.check_frame(0.3, frame, filter) FROM agg.frame, (VALUES (''), ('FILTER (WHERE wanted)')) f(filter);
CALL agg.fill_frames(-0.9);
SELECT agg.check_frame(-0.9, frame, filter) FROM agg.frame, (VALUES (''), ('FILTER (WHERE wanted)')) f(filter);

-- Neighbors of other capacity that never meet in one frame: the capacity is open again once a frame is empty.
SELECT is(string_agg(format('%s %s', c, gap), ', ' ORDER BY ord), '1/1 0, 2/1 1, 1/9 0, 2/9 0, 1/unlimited 0, 1/0 1',
          'the capacity is that of the rows in the frame')
  FROM (SELECT ord, eiot.coverage_agg(true, capacity) OVER w AS c, eiot.coverage_gap(true, capacity) OVER w AS gap
          FROM (VALUES (1, 1::bigint), (2, 1), (10, 9), (11, 9), (20, eiot.unlimited()), (30, NULL)) v(ord, capacity)
        WINDOW w AS (ORDER BY ord RANGE BETWEEN 2 PRECEDING AND CURRENT ROW)) f;
SELECT is(string_agg(c::text, ', ' ORDER BY ord), '0/none, 1/1, 0/none, 1/9, 0/none, 0/none', 'frames that are empty in between')
  FROM (SELECT ord, eiot.coverage_agg(true, capacity) OVER (ORDER BY ord RANGE BETWEEN 2 PRECEDING AND 1 PRECEDING) AS c
          FROM (VALUES (1, 1::bigint), (2, 1), (10, 9), (11, 9), (20, eiot.unlimited()), (30, NULL)) v(ord, capacity)) f;

-- ---- parts that are stored, and merged later

CALL agg.fill(0.99);
CREATE TABLE agg.stored AS
  SELECT r.grp, r.chunk, eiot.coverage_agg(r.counted, r.capacity) AS part
    FROM (SELECT *, floor(random() * 8)::int AS chunk FROM agg.device) r
   GROUP BY r.grp, r.chunk;
-- Of a chunk without rows of the group.
INSERT INTO agg.stored SELECT grp, 8, eiot.coverage_agg(counted, capacity) FILTER (WHERE false) FROM agg.device GROUP BY grp;
INSERT INTO agg.stored SELECT 2000, chunk, eiot.coverage_agg(true, 5) FILTER (WHERE false) FROM generate_series(0, 2) chunk GROUP BY chunk;

SELECT set_eq($$SELECT grp, eiot.coverage_merge(part ORDER BY random())::text FROM agg.stored GROUP BY grp$$,
              $$SELECT grp, coverage FROM agg.expected UNION ALL VALUES (2000, '0/none')$$,
              'stored parts, merged in random order, are one pass over the rows');
SELECT set_eq($$SELECT grp, eiot.coverage_merge(part ORDER BY random())::text
                  FROM (SELECT grp, eiot.coverage_merge(part) AS part
                          FROM (SELECT *, floor(random() * 3)::int AS heap FROM agg.stored) s GROUP BY grp, heap) h
                 GROUP BY grp$$,
              $$SELECT grp, coverage FROM agg.expected UNION ALL VALUES (2000, '0/none')$$,
              'stored parts, merged by random heaps, then the heaps');
SELECT set_eq($$SELECT grp, eiot.gap(eiot.coverage_merge(part)) FROM agg.stored GROUP BY grp$$,
              $$SELECT grp, gap FROM agg.expected UNION ALL VALUES (2000, 0)$$,
              'the gap of merged parts is the gap of the rows');
SELECT is(eiot.coverage_agg(part)::text,
          (SELECT format('%s/%s', sum(split_part(coverage, '/', 1)::bigint), sum(split_part(coverage, '/', 2)::bigint))
             FROM agg.expected WHERE coverage NOT LIKE '%unlimited'),
          'different groups, pooled')
  FROM (SELECT eiot.coverage_merge(part) AS part FROM agg.stored GROUP BY grp) m
 WHERE part::text NOT LIKE '%unlimited';
SELECT is(eiot.coverage_gap(part),
          (SELECT GREATEST(sum(split_part(coverage, '/', 1)::bigint) - sum(split_part(coverage, '/', 2)::bigint), 0)::bigint
             FROM agg.expected WHERE coverage NOT LIKE '%unlimited'),
          'the gap of different groups, pooled')
  FROM (SELECT eiot.coverage_agg(counted, capacity) AS part FROM agg.device GROUP BY grp) m
 WHERE part::text NOT LIKE '%unlimited';

-- ---- what else stands in a query

-- Called by hand, the functions of the aggregates leave their arguments alone.
SELECT results_eq(
  $$SELECT eiot.coverage_accum(c, true, 5)::text, eiot.coverage_combine(c, c)::text, eiot.coverage_pool(c, c)::text, c::text
      FROM (SELECT part AS c FROM agg.stored WHERE part::text = '0/none' LIMIT 1) s$$,
  $$VALUES ('1/5', '0/none', '0/none', '0/none')$$, 'called by hand, a value from a table stays as it was');
SELECT set_eq($$SELECT g.grp, a.gap, a.coverage::text
                  FROM (SELECT DISTINCT grp FROM agg.device UNION ALL VALUES (2000)) g(grp)
                 CROSS JOIN LATERAL (SELECT eiot.coverage_gap(d.counted, d.capacity) AS gap, eiot.coverage_agg(d.counted, d.capacity) AS coverage
                                       FROM agg.device d WHERE d.grp = g.grp) a$$,
              $$SELECT grp, gap, coverage FROM agg.expected UNION ALL VALUES (2000, 0, '0/none')$$,
              'a subquery that is run for each group starts anew each time');
CALL agg.use('{enable_hashagg=on}');
CREATE TEMP TABLE rolled_up AS
  SELECT grp, id % 2 AS half, GROUPING(grp, id % 2) AS level, eiot.coverage_agg(pooled)::text AS pooled, eiot.coverage_gap(pooled) AS gap
    FROM agg.device WHERE grp < 900 GROUP BY ROLLUP (grp, id % 2);
CALL agg.use('{enable_hashagg=off}');
CREATE TEMP TABLE rolled_up_sorted AS
  SELECT grp, id % 2 AS half, GROUPING(grp, id % 2) AS level, eiot.coverage_agg(pooled)::text AS pooled, eiot.coverage_gap(pooled) AS gap
    FROM agg.device WHERE grp < 900 GROUP BY ROLLUP (grp, id % 2);
CALL agg.use();
CREATE TEMP TABLE rolled_up_by_hand AS
  SELECT grp, id % 2 AS half, 0 AS level, eiot.coverage_agg(pooled)::text AS pooled, eiot.coverage_gap(pooled) AS gap FROM agg.device WHERE grp < 900 GROUP BY grp, id % 2
  UNION ALL
  SELECT grp, NULL, 1, eiot.coverage_agg(pooled)::text, eiot.coverage_gap(pooled) FROM agg.device WHERE grp < 900 GROUP BY grp
  UNION ALL
  SELECT NULL, NULL, 3, eiot.coverage_agg(pooled)::text, eiot.coverage_gap(pooled) FROM agg.device WHERE grp < 900;
SELECT bag_eq('TABLE rolled_up', 'TABLE rolled_up_by_hand', 'ROLLUP, hashed where possible');
SELECT bag_eq('TABLE rolled_up_sorted', 'TABLE rolled_up_by_hand', 'ROLLUP, sorted');
SELECT bag_eq(
  $$SELECT grp, id % 3 AS third, eiot.coverage_agg(counted, capacity)::text, eiot.coverage_gap(counted, capacity)
      FROM agg.device GROUP BY GROUPING SETS ((grp, id % 3), (grp))$$,
  $$SELECT grp, id % 3, eiot.coverage_agg(counted, capacity)::text, eiot.coverage_gap(counted, capacity) FROM agg.device GROUP BY grp, id % 3
    UNION ALL
    SELECT grp, NULL, eiot.coverage_agg(counted, capacity)::text, eiot.coverage_gap(counted, capacity) FROM agg.device GROUP BY grp$$,
  'GROUPING SETS over devices');
SELECT throws_ok($$SELECT eiot.coverage_gap(counted, capacity) FROM agg.device GROUP BY ROLLUP (grp)$$, '22023', NULL,
                 'a ROLLUP over groups of devices mixes capacities, which is an error');
SELECT is(eiot.coverage_gap(counted, 1) FILTER (WHERE i <= 4), 3::bigint, 'FILTER') FROM (SELECT i, true AS counted FROM generate_series(1, 9) i) v;
SELECT is(eiot.coverage_agg(DISTINCT counted, 0)::text, '1/0', 'DISTINCT over devices') FROM (VALUES (true), (true), (false), (NULL)) v(counted);
SELECT is(eiot.coverage_gap(DISTINCT counted, 0), 1::bigint, 'DISTINCT over devices, gap') FROM (VALUES (true), (true), (false), (NULL)) v(counted);
SELECT throws_ok($$SELECT eiot.coverage_gap(DISTINCT c) FROM (VALUES ('1/1'::eiot.coverage)) v(c)$$, '42883', NULL,
                 'DISTINCT inside an aggregate needs an order, which coverage has not');
SELECT is(eiot.coverage_agg(c)::text, '3/3', 'DISTINCT in a subquery hashes') FROM (SELECT DISTINCT c FROM (VALUES ('1/1'::eiot.coverage), ('1/1'), ('2/2')) v(c)) d;
SELECT is(eiot.coverage_agg(counted, capacity ORDER BY id DESC)::text, (SELECT coverage FROM agg.expected WHERE grp = 4), 'ORDER BY inside')
  FROM agg.device WHERE grp = 4;
SELECT is(count(*), (SELECT count(*) FROM agg.expected WHERE gap > 0), 'HAVING') FROM (SELECT grp FROM agg.device GROUP BY grp HAVING eiot.coverage_gap(counted, capacity) > 0) h;

-- ---- more groups than work_mem holds

CALL agg.use('{work_mem=64kB,enable_sort=off}');
SELECT matches(agg.plan_of($$CREATE TEMP TABLE spilled AS
                               SELECT i % 5000 AS g, eiot.coverage_gap(i % 3 = 0, i % 5) AS gap, eiot.coverage_agg(i % 3 = 0, i % 5) AS coverage
                                 FROM generate_series(1, 50000) i GROUP BY 1$$),
               '^HashAggregate.*Batches: ([2-9]|[1-9][0-9]).*Disk Usage', 'a hash table that is written out in parts');
CALL agg.use();
SELECT set_eq('SELECT g, gap, coverage::text FROM spilled',
              $$SELECT g, GREATEST(n - g % 5, 0), format('%s/%s', n, g % 5)
                  FROM (SELECT i % 5000 AS g, count(*) FILTER (WHERE i % 3 = 0) AS n FROM generate_series(1, 50000) i GROUP BY 1) p$$,
              'has the same result');

-- ---- a million groups: three devices in every second one, two in the others; capacity 0 to 3

CREATE TEMP TABLE million AS
  SELECT g, eiot.coverage_gap(i <> 3 OR g % 2 = 0, g % 4) AS gap, eiot.coverage_agg(i <> 3 OR g % 2 = 0, g % 4) AS coverage
    FROM generate_series(1, 3) i, generate_series(0, 999999) g GROUP BY g;
SELECT is(format('%s groups, gap %s, %s', count(*), sum(gap), eiot.coverage_agg(coverage)),
          -- a gap of 3, 1, 1 and 0 in each four groups
          '1000000 groups, gap 1250000, 2500000/1500000', 'a million groups') FROM million;
SELECT is(eiot.coverage_gap(coverage), 1000000::bigint, 'a million groups, pooled') FROM million;
SELECT is(count(*) FILTER (WHERE gap <> eiot.gap(coverage)), 0::bigint, 'a million groups: both aggregates agree in each') FROM million;

SELECT * FROM finish();
ROLLBACK;
