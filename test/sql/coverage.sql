-- What a user sees of type eiot.coverage and its aggregates.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\pset null '(null)'

SELECT oid::regtype AS type, typlen AS bytes FROM pg_type WHERE oid = 'eiot.coverage'::regtype;
SELECT oid::regprocedure AS aggregate, format_type(prorettype, NULL) AS result
  FROM pg_proc WHERE pronamespace = 'eiot'::regnamespace AND prokind = 'a' AND proname LIKE 'coverage%'
 ORDER BY oid::regprocedure::text COLLATE "C";

-- The worked example, and other values.
SELECT eiot.coverage(1204, 1200);
SELECT c, eiot.devices(c), eiot.capacity(c), eiot.gap(c), eiot.surplus(c), round(eiot.utilization(c), 4) AS utilization
  FROM (VALUES (eiot.coverage(1204, 1200)), ('1679/1600'), ('2500/2500'), ('60/3025'), ('60/unlimited'), ('25/0'), ('0/none'), (NULL)) v(c);
SELECT eiot.unlimited();
SELECT eiot.coverage(60, eiot.unlimited());

-- Errors.
SELECT '1204'::eiot.coverage;
SELECT '1204/many'::eiot.coverage;
SELECT '-4/1200'::eiot.coverage;
SELECT '9223372036854775808/0'::eiot.coverage;
SELECT eiot.coverage(-1, 0);
SELECT eiot.coverage(0, -1);

-- Pools, equality.
SELECT '10/4'::eiot.coverage OPERATOR(eiot.+) '2/5' AS pool;
SELECT '10/4'::eiot.coverage OPERATOR(eiot.=) '10/4' AS same, '10/4'::eiot.coverage OPERATOR(eiot.<>) '10/5' AS other,
       '0/0'::eiot.coverage OPERATOR(eiot.=) '0/none' AS nothing;
SELECT '1/9000000000000000000'::eiot.coverage OPERATOR(eiot.+) '1/9000000000000000000';
SELECT '9223372036854775807/0'::eiot.coverage OPERATOR(eiot.+) '1/0';

-- Aggregates over devices, one row each; the capacity is the group's.
CREATE TABLE device (n integer, site text, counted boolean, capacity bigint);
INSERT INTO device VALUES (1, 'Berlin', true, 2), (2, 'Berlin', true, 2), (3, 'Berlin', true, 2), (4, 'Berlin', false, 2),
  (5, 'Oslo', true, NULL), (6, 'Oslo', NULL, NULL), (7, 'Turin', true, eiot.unlimited());
SELECT site, eiot.coverage_gap(counted, capacity), eiot.coverage_agg(counted, capacity) FROM device GROUP BY site ORDER BY site;
SELECT eiot.coverage_gap(counted, capacity), eiot.coverage_agg(counted, capacity) FROM device WHERE false;
SELECT n, site, counted, eiot.coverage_agg(counted, capacity) OVER (PARTITION BY site ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
  FROM device ORDER BY n;

-- Rows that disagree are an error.
SELECT eiot.coverage_gap(counted, capacity) FROM device WHERE site <> 'Turin';
SELECT eiot.coverage_gap(true, -1);

-- Stored, and merged or pooled later.
CREATE TABLE stored AS SELECT site, counted, eiot.coverage_agg(counted, capacity) AS part FROM device GROUP BY site, counted;
SELECT site, eiot.coverage_merge(part) FROM stored GROUP BY site ORDER BY site;
SELECT eiot.coverage_agg(c), eiot.coverage_gap(c) FROM (VALUES ('10/4'::eiot.coverage), ('2/5')) v(c);
SELECT eiot.coverage_agg(c), eiot.coverage_gap(c) FROM (VALUES ('10/4'::eiot.coverage), (NULL), ('2/unlimited')) v(c);
SELECT eiot.coverage_merge(c) FROM (VALUES ('10/4'::eiot.coverage), ('2/5')) v(c);
SELECT eiot.coverage_agg(c) FROM (VALUES ('0/9000000000000000000'::eiot.coverage), ('0/9000000000000000000')) v(c);
\d stored

-- Rounding, for print.
SELECT mode, eiot.round_devices(1204, mode => mode), eiot.round_devices(1250, mode => mode), eiot.round_devices(1679, 1000, mode)
  FROM (VALUES ('down'), ('up'), ('nearest')) v(mode);
SELECT eiot.round_devices(1204, 100, 'off');
SELECT eiot.round_devices(1204, 0);
SELECT eiot.round_devices(-1);
SELECT eiot.round_devices(9223372036854775807, 100, 'up');

DROP TABLE device, stored;
