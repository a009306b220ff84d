-- Type eiot.coverage: text and binary form, equality and hashing, addition, accessors; and round_devices.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SELECT current_setting('server_version_num')::int >= 160000 AS soft_errors \gset

SELECT plan(234 + CASE WHEN :'soft_errors' THEN 40 ELSE 0 END);

SELECT setseed(0.5) AS seeded \gset
CREATE TEMP TABLE value (text_form text, shown text, devices bigint, capacity bigint, gap bigint, surplus bigint, utilization numeric, bytes bytea);
INSERT INTO value VALUES
  ('0/0', '0/0', 0, 0, 0, 0, NULL, '\x00000000000000000000000000000000'),
  ('0/none', '0/none', 0, 0, 0, 0, NULL, '\x0000000000000000ffffffffffffffff'),
  ('3/none', '3/none', 3, 0, 3, 0, NULL, '\x0000000000000003ffffffffffffffff'),
  ('1204/1200', '1204/1200', 1204, 1200, 4, 0, 1204::numeric / 1200, '\x00000000000004b400000000000004b0'),
  ('1679/1600', '1679/1600', 1679, 1600, 79, 0, 1679::numeric / 1600, NULL),
  ('1200/1204', '1200/1204', 1200, 1204, 0, 4, 1200::numeric / 1204, NULL),
  ('2500/2500', '2500/2500', 2500, 2500, 0, 0, 1, NULL),
  ('2501/2500', '2501/2500', 2501, 2500, 1, 0, 2501::numeric / 2500, NULL),
  ('0/100', '0/100', 0, 100, 0, 100, 0, NULL),
  ('7/0', '7/0', 7, 0, 7, 0, NULL, NULL),
  ('0/unlimited', '0/unlimited', 0, 9223372036854775807, 0, 9223372036854775807, NULL, '\x00000000000000007fffffffffffffff'),
  ('60/unlimited', '60/unlimited', 60, 9223372036854775807, 0, 9223372036854775807, NULL, NULL),
  ('60/9223372036854775807', '60/unlimited', 60, 9223372036854775807, 0, 9223372036854775807, NULL, NULL),
  ('9223372036854775807/unlimited', '9223372036854775807/unlimited', 9223372036854775807, 9223372036854775807, 0, 9223372036854775807, NULL, NULL),
  ('9223372036854775807/0', '9223372036854775807/0', 9223372036854775807, 0, 9223372036854775807, 0, NULL, NULL),
  ('0/9223372036854775806', '0/9223372036854775806', 0, 9223372036854775806, 0, 9223372036854775806, 0, NULL),
  (' 1/2', '1/2', 1, 2, 0, 1, 0.5, NULL),
  ('1/2  ', '1/2', 1, 2, 0, 1, 0.5, NULL),
  ('   12/unlimited ', '12/unlimited', 12, 9223372036854775807, 0, 9223372036854775807, NULL, NULL),
  ('007/0012', '7/12', 7, 12, 0, 5, 7::numeric / 12, NULL),
  ('00000000000000000000000000000001/0', '1/0', 1, 0, 1, 0, NULL, NULL);

-- ---- text form, accessors

SELECT is(text_form::eiot.coverage::text, shown, format('"%s" is shown as it should', text_form)) FROM value;
SELECT is(format('devices %s, capacity %s, gap %s, surplus %s', eiot.devices(c), eiot.capacity(c), eiot.gap(c), eiot.surplus(c)),
          format('devices %s, capacity %s, gap %s, surplus %s', devices, capacity, gap, surplus), format('accessors of %s', shown))
  FROM value, LATERAL (SELECT text_form::eiot.coverage) v(c);
SELECT is(eiot.utilization(text_form::eiot.coverage), utilization, format('utilization of %s', shown)) FROM value;
SELECT ok(bool_and(eiot.gap(c)::numeric = GREATEST(eiot.devices(c)::numeric - eiot.capacity(c), 0)
                   AND eiot.surplus(c)::numeric = CASE WHEN eiot.capacity(c) = eiot.unlimited() THEN eiot.unlimited()
                                                       ELSE GREATEST(eiot.capacity(c)::numeric - eiot.devices(c), 0) END),
          'gap and surplus are the two halves of the difference')
  FROM (SELECT text_form::eiot.coverage AS c FROM value) v;

SELECT is(NULL::eiot.coverage::text, NULL, 'text of null');
SELECT is(num_nulls(eiot.devices(NULL), eiot.capacity(NULL::eiot.coverage), eiot.gap(NULL), eiot.surplus(NULL), eiot.utilization(NULL)), 5, 'accessors of null are null');
SELECT is(pg_typeof(eiot.devices(c))::text || ' ' || pg_typeof(eiot.capacity(c)) || ' ' || pg_typeof(eiot.gap(c)) || ' ' || pg_typeof(eiot.surplus(c))
          || ' ' || pg_typeof(eiot.utilization(c)), 'bigint bigint bigint bigint numeric', 'types of the accessors')
  FROM (VALUES ('1/2'::eiot.coverage)) v(c);

SELECT throws_ok(format('SELECT %L::eiot.coverage', bad), '22P02', format('invalid input syntax for type eiot.coverage: "%s"', bad), format('not a coverage: "%s"', bad))
  FROM unnest(ARRAY['', ' ', '1', '1/', '/1', '/', '1//2', '-1/2', '1/-2', '+1/2', '1 /2', '1/ 2', '1.5/2', '1/2.5', '1/2x', 'x1/2', 'a/b',
                    'unlimited/5', '1/Unlimited', '1/unlimitedx', '1/unlimited x', '1/2/3', '1/2 3', '1/-1', '0x10/1', '1e3/1', '1/null', '1/NaN']) bad;
SELECT throws_ok(format('SELECT %L::eiot.coverage', bad), '22003', format('value "%s" is out of range for type eiot.coverage', bad), format('beyond bigint: "%s"', bad))
  FROM unnest(ARRAY['9223372036854775808/1', '1/9223372036854775808', '99999999999999999999999/1', '1/99999999999999999999999',
                    '18446744073709551616/0', '1/18446744073709551617']) bad;

\if :soft_errors
SELECT ok(pg_input_is_valid(text_form, 'eiot.coverage'), format('pg_input_is_valid: "%s"', text_form)) FROM value;
SELECT ok(NOT pg_input_is_valid(bad, 'eiot.coverage'), format('not pg_input_is_valid: "%s"', bad))
  FROM unnest(ARRAY['', ' ', '1', '1/', '/1', '-1/2', '1/-2', '1 /2', '1/2x', 'a/b', 'unlimited/5', '1/Unlimited', '1/2/3',
                    '9223372036854775808/1', '1/9223372036854775808', '99999999999999999999999/1', '1/99999999999999999999999']) bad;
SELECT results_eq($$SELECT message, detail, sql_error_code FROM pg_input_error_info('1/x', 'eiot.coverage')$$,
  $$VALUES ('invalid input syntax for type eiot.coverage: "1/x"',
            'Expected counted devices, a slash and the capacity or "unlimited", as in "1204/1200".', '22P02')$$, 'pg_input_error_info: syntax');
SELECT results_eq($$SELECT message, sql_error_code FROM pg_input_error_info('1/9223372036854775808', 'eiot.coverage')$$,
  $$VALUES ('value "1/9223372036854775808" is out of range for type eiot.coverage', '22003')$$, 'pg_input_error_info: range');
\endif

-- ---- the constructor

SELECT is(eiot.coverage(1204, 1200)::text, '1204/1200', 'coverage(devices, capacity)');
SELECT is(eiot.coverage(3, eiot.unlimited())::text, '3/unlimited', 'coverage with an unlimited capacity');
SELECT is(eiot.unlimited(), 9223372036854775807, 'unlimited() is the largest bigint');
SELECT is(num_nulls(eiot.coverage(NULL, 1), eiot.coverage(1, NULL), eiot.coverage(NULL, NULL)), 3, 'coverage of null is null');
SELECT throws_ok('SELECT eiot.coverage(-1, 5)', '22003', 'number of devices must not be negative: -1', 'negative devices');
SELECT throws_ok('SELECT eiot.coverage(1, -1)', '22003', 'capacity must not be negative: -1', 'negative capacity, though it stands for "none" inside');
SELECT throws_ok('SELECT eiot.coverage(1, -2)', '22003', 'capacity must not be negative: -2', 'negative capacity, though it stands for "too_large" inside');
SELECT throws_ok('SELECT eiot.coverage(-9223372036854775808, -9223372036854775808)', '22003', NULL, 'the smallest bigints');

-- ---- a pool that is too large

SELECT is('5/too_large'::eiot.coverage::text, '5/too_large', 'the state of a pool that is too large can be stored');
SELECT is(eiot.devices('5/too_large'), 5::bigint, 'its devices are known');
SELECT throws_ok(format('SELECT eiot.%s(%L::eiot.coverage)', f, '5/too_large'), '22003', 'capacity out of range', f || ' of a pool that is too large')
  FROM unnest(ARRAY['capacity', 'gap', 'surplus', 'utilization']) f;

-- ---- binary form

SELECT is(encode(eiot.coverage_send(text_form::eiot.coverage), 'hex'), encode(bytes, 'hex'), format('binary form of %s', shown)) FROM value WHERE bytes IS NOT NULL;
SELECT is(encode(eiot.coverage_send('5/too_large'), 'hex'), '0000000000000005fffffffffffffffe', 'binary form of a pool that is too large');

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

CREATE TEMP TABLE sent AS
  SELECT row_number() OVER () AS n, c
    FROM (SELECT text_form::eiot.coverage FROM value UNION ALL VALUES ('5/too_large'::eiot.coverage)
          UNION ALL SELECT eiot.coverage((random() * 1e18)::bigint, (random() * 1e18)::bigint) FROM generate_series(1, 50)) v(c);
CREATE TEMP TABLE received (n bigserial, c eiot.coverage);
SELECT format('COPY received (c) FROM PROGRAM %L (FORMAT binary)', pg_temp.binary_copy(array_agg(eiot.coverage_send(c) ORDER BY n))) FROM sent \gexec
SELECT results_eq('SELECT n, c::text FROM received ORDER BY n', 'SELECT n, c::text FROM sent ORDER BY n', 'what is sent is received');
SELECT is(count(*), 0::bigint, 'text and back is the same')
  FROM sent WHERE c::text::eiot.coverage::text <> c::text OR eiot.coverage_send(c::text::eiot.coverage) <> eiot.coverage_send(c);

SELECT throws_ok(format('COPY received (c) FROM PROGRAM %L (FORMAT binary)', pg_temp.binary_copy(ARRAY[field])), code, message, 'binary: ' || what)
  FROM (VALUES
    ('negative devices', '\xffffffffffffffff0000000000000001'::bytea, '22P03', 'invalid binary value for type eiot.coverage'),
    ('the smallest bigint as devices', '\x80000000000000000000000000000001', '22P03', 'invalid binary value for type eiot.coverage'),
    ('a capacity below all that have a meaning', '\x0000000000000001fffffffffffffffd', '22P03', 'invalid binary value for type eiot.coverage'),
    ('the smallest bigint as capacity', '\x00000000000000018000000000000000', '22P03', 'invalid binary value for type eiot.coverage'),
    ('8 bytes', '\x0000000000000001', '08P01', 'insufficient data left in message'),
    ('no bytes', '\x', '08P01', 'insufficient data left in message'),
    ('17 bytes', '\x0000000000000001000000000000000200', '22P03', 'incorrect binary data format')
  ) v(what, field, code, message);

-- ---- equality

CREATE TEMP TABLE pair (a eiot.coverage, b eiot.coverage, equal boolean);
INSERT INTO pair VALUES
  ('1/2', '1/2', true), ('1/2', '2/2', false), ('1/2', '1/3', false), ('1/2', '2/1', false),
  ('0/0', '0/none', true), ('0/none', '0/none', true), ('5/none', '5/0', true), ('5/none', '5/unlimited', false), ('5/none', '5/too_large', false),
  ('1/unlimited', '1/unlimited', true), ('1/unlimited', '1/0', false), ('1/unlimited', '1/9223372036854775807', true),
  ('1/too_large', '1/too_large', true), ('1/too_large', '1/unlimited', false), (NULL, '1/2', NULL), (NULL, NULL, NULL);
SELECT is(format('%s %s %s', a OPERATOR(eiot.=) b, b OPERATOR(eiot.=) a, NOT a OPERATOR(eiot.<>) b), format('%s %s %s', equal, equal, equal),
          format('%s = %s', COALESCE(a::text, 'null'), COALESCE(b::text, 'null'))) FROM pair;
SELECT is(count(*), 0::bigint, 'equal values hash alike, with and without a seed')
  FROM pair WHERE equal AND (eiot.coverage_hash(a) <> eiot.coverage_hash(b) OR eiot.coverage_hash_extended(a, 42) <> eiot.coverage_hash_extended(b, 42));
SELECT is(count(*), 0::bigint, 'the hash with seed 0 ends in the hash without one')
  FROM sent WHERE eiot.coverage_hash_extended(c, 0)::bit(64) & x'00000000ffffffff'::bit(64) <> (eiot.coverage_hash(c)::bigint & 4294967295)::bit(64);
SELECT cmp_ok(count(DISTINCT eiot.coverage_hash(c)), '>', 60::bigint, 'hashes differ') FROM sent;
SELECT cmp_ok(count(DISTINCT eiot.coverage_hash_extended('1/2', seed)), '>', 95::bigint, 'the seed matters') FROM generate_series(1, 100) seed;

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text
  LANGUAGE plpgsql AS $$
DECLARE
  line text;
  plan text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP plan := plan || line || E'\n'; END LOOP;
  RETURN plan;
END
$$;

SET LOCAL search_path = public, eiot;
CREATE TABLE left_side AS SELECT i, coverage(i % 100, i % 7) AS c FROM generate_series(1, 2000) i;
CREATE TABLE right_side AS SELECT i, coverage(i % 100, i % 5) AS c FROM generate_series(1, 500) i;
ANALYZE left_side, right_side;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
SELECT matches(pg_temp.plan_of('SELECT count(*) FROM left_side l JOIN right_side r ON l.c = r.c'), 'Hash Join', 'a join on coverage hashes');
SELECT is((SELECT count(*) FROM left_side l JOIN right_side r ON l.c = r.c), (SELECT count(*) FROM left_side l JOIN right_side r ON l.c::text = r.c::text), 'and finds what a join on the text finds');
SELECT is((SELECT count(*) FROM left_side l FULL JOIN right_side r ON l.c = r.c), (SELECT count(*) FROM left_side l FULL JOIN right_side r ON l.c::text = r.c::text), 'FULL JOIN');
RESET enable_nestloop;
RESET enable_mergejoin;
SELECT is((SELECT count(*) FROM left_side WHERE c NOT IN (SELECT c FROM right_side)), (SELECT count(*) FROM left_side WHERE c::text NOT IN (SELECT c::text FROM right_side)), 'NOT IN');
SELECT is((SELECT count(*) FROM left_side WHERE c = ANY (ARRAY['1/1', '2/2', '3/3', '4/4', '5/5', '6/6', '7/0', '8/1', '9/2', '10/3']::coverage[])),
          (SELECT count(*) FROM left_side WHERE c::text = ANY (ARRAY['1/1', '2/2', '3/3', '4/4', '5/5', '6/6', '7/0', '8/1', '9/2', '10/3'])), '= ANY');
SELECT matches(pg_temp.plan_of('SELECT c FROM left_side GROUP BY c'), 'HashAggregate', 'grouping by coverage hashes');
SELECT is((SELECT count(*) FROM (SELECT c FROM left_side GROUP BY c) g), (SELECT count(DISTINCT c::text) FROM left_side), 'GROUP BY');
SELECT is((SELECT count(*) FROM (SELECT DISTINCT c FROM left_side) g), (SELECT count(DISTINCT c::text) FROM left_side), 'DISTINCT');
SELECT is((SELECT count(*) FROM (SELECT c FROM left_side UNION SELECT c FROM right_side) g), (SELECT count(*) FROM (SELECT c::text FROM left_side UNION SELECT c::text FROM right_side) g), 'UNION');
SELECT is((SELECT count(*) FROM (SELECT c FROM left_side INTERSECT SELECT c FROM right_side) g), (SELECT count(*) FROM (SELECT c::text FROM left_side INTERSECT SELECT c::text FROM right_side) g), 'INTERSECT');
SELECT is((SELECT count(*) FROM (SELECT c FROM left_side EXCEPT SELECT c FROM right_side) g), (SELECT count(*) FROM (SELECT c::text FROM left_side EXCEPT SELECT c::text FROM right_side) g), 'EXCEPT');
SELECT is((SELECT count(*) FROM (SELECT DISTINCT c FROM (VALUES ('0/0'::coverage), ('0/none'), ('1/0'), ('1/none'), ('1/1')) v(c)) d), 3::bigint, 'DISTINCT takes 0/none for 0/0');
SELECT is(ARRAY['0/0', '1/unlimited']::coverage[], ARRAY['0/none', '1/unlimited']::coverage[], 'arrays compare');
SELECT is(ROW('0/0'::coverage, 1), ROW('0/none'::coverage, 1), 'rows compare');
SELECT is('{1/2,3/unlimited,NULL}'::coverage[]::text, '{1/2,3/unlimited,NULL}', 'arrays need no quotes');
SELECT is(to_jsonb('1/2'::coverage), '"1/2"'::jsonb, 'JSON has the text form');

CREATE INDEX left_side_c ON left_side USING hash (c);
SET LOCAL enable_seqscan = off;
SELECT matches(pg_temp.plan_of($$SELECT * FROM left_side WHERE c = '5/5'$$), 'Index', 'a hash index is used');
SELECT is((SELECT count(*) FROM left_side WHERE c = '5/5'), (SELECT count(*) FROM left_side WHERE c::text = '5/5'), 'and finds the rows');
SELECT is((SELECT count(*) FROM left_side WHERE c = '0/none'), (SELECT count(*) FROM left_side WHERE c::text = '0/0'), 'also those that are equal in another form');
RESET enable_seqscan;

CREATE TABLE by_coverage (c coverage) PARTITION BY HASH (c);
SELECT format('CREATE TABLE by_coverage_%s PARTITION OF by_coverage FOR VALUES WITH (MODULUS 4, REMAINDER %s)', i, i) FROM generate_series(0, 3) i \gexec
INSERT INTO by_coverage SELECT c FROM left_side UNION ALL VALUES ('0/none'::coverage), (NULL);
SELECT is(count(DISTINCT tableoid), 4::bigint, 'hash partitions all get rows') FROM by_coverage;
SELECT is(count(DISTINCT tableoid), 1::bigint, 'equal values lie in one partition') FROM by_coverage WHERE c = '0/0';
SELECT is(count(*), (SELECT count(*) FROM left_side WHERE c::text = '3/3'), 'a partition is found by its value') FROM by_coverage WHERE c = '3/3';
SELECT doesnt_match(pg_temp.plan_of($$SELECT * FROM by_coverage WHERE c = '3/3'$$), 'Append', 'and the others are left out');
SELECT throws_ok('SELECT c FROM left_side ORDER BY c', '42883', NULL, 'coverage has no order');

-- ---- addition

SELECT is((a::coverage + b::coverage)::text || ' ' || (b::coverage + a::coverage), sum || ' ' || sum, format('%s + %s', a, b))
  FROM (VALUES
    ('10/4', '2/5', '12/9'), ('0/0', '0/0', '0/0'), ('1/2', '0/none', '1/2'), ('0/none', '0/none', '0/none'), ('1/none', '2/0', '3/0'),
    ('1/2', '3/unlimited', '4/unlimited'), ('1/unlimited', '3/unlimited', '4/unlimited'), ('1/unlimited', '3/none', '4/unlimited'),
    ('1/too_large', '3/unlimited', '4/unlimited'), ('0/9223372036854775805', '0/1', '0/9223372036854775806'),
    ('9223372036854775806/0', '1/0', '9223372036854775807/0')) v(a, b, sum);
SELECT throws_ok(format('SELECT %L::eiot.coverage OPERATOR(eiot.+) %L', a, b), '22003', message, format('%s + %s is too large', a, b))
  FROM (VALUES
    ('9223372036854775807/0', '1/0', 'number of devices out of range'), ('0/9223372036854775806', '0/1', 'capacity out of range'),
    ('0/9000000000000000000', '0/9000000000000000000', 'capacity out of range'), ('1/too_large', '1/1', 'capacity out of range'),
    ('1/too_large', '1/none', 'capacity out of range')) v(a, b, message);
SELECT is('1/2'::coverage + NULL, NULL, 'adding null gives null');
SELECT is(count(*), 0::bigint, 'a + b pools, and + is commutative and associative')
  FROM (SELECT coverage((random() * 1e6)::bigint, (random() * 1e6)::bigint) AS a, coverage((random() * 1e6)::bigint, (random() * 1e6)::bigint) AS b,
               CASE WHEN random() < 0.2 THEN coverage((random() * 1e6)::bigint, unlimited()) ELSE coverage((random() * 1e6)::bigint, (random() * 1e6)::bigint) END AS c
          FROM generate_series(1, 1000)) r
 WHERE a + b <> b + a OR (a + b) + c <> a + (b + c) OR devices(a + b) <> devices(a) + devices(b) OR capacity(a + b) <> capacity(a) + capacity(b)
    OR a + b <> (SELECT coverage_agg(v) FROM (VALUES (a), (b)) p(v));
SET LOCAL search_path = public;

-- ---- rounding for print

SELECT is(eiot.round_devices(n, step, mode), expected, format('%s %s to %s', n, mode, step))
  FROM (VALUES
    (1204, 100, 'down', 1200), (1204, 100, 'up', 1300), (1204, 100, 'nearest', 1200), (1679, 100, 'up', 1700), (1179, 100, 'up', 1200),
    (1679, 100, 'down', 1600), (1679, 100, 'nearest', 1700), (1250, 100, 'nearest', 1300), (1249, 100, 'nearest', 1200), (1251, 100, 'nearest', 1300),
    (1200, 100, 'up', 1200), (1200, 100, 'down', 1200), (1200, 100, 'nearest', 1200), (0, 100, 'up', 0), (0, 100, 'down', 0), (1, 100, 'up', 100),
    (99, 100, 'down', 0), (7, 1, 'up', 7), (7, 1, 'nearest', 7), (7, 3, 'nearest', 6), (8, 3, 'nearest', 9), (7, 2, 'nearest', 8),
    (5, 2147483647, 'down', 0), (5, 2147483647, 'up', 2147483647), (1073741823, 2147483647, 'nearest', 0), (1073741824, 2147483647, 'nearest', 2147483647),
    (9223372036854775807, 100, 'down', 9223372036854775800), (9223372036854775807, 100, 'nearest', 9223372036854775800),
    (9223372036854775800, 100, 'up', 9223372036854775800), (9223372036854775807, 1, 'up', 9223372036854775807)
  ) v(n, step, mode, expected);
SELECT is(eiot.round_devices(1204), 1200::bigint, 'to 100 and down unless told');
SELECT is(eiot.round_devices(1204, mode => 'up'), 1300::bigint, 'mode alone');
SELECT is(eiot.round_devices(1204, 1000), 1000::bigint, 'step alone');
SELECT is(num_nulls(eiot.round_devices(NULL), eiot.round_devices(1, NULL), eiot.round_devices(1, 1, NULL)), 3, 'null of null');
SELECT throws_ok(query, code, message, query)
  FROM (VALUES
    ('SELECT eiot.round_devices(-1)', '22003', 'number of devices must not be negative: -1'),
    ('SELECT eiot.round_devices(9223372036854775807, 100, ''up'')', '22003', 'number of devices out of range'),
    ('SELECT eiot.round_devices(9223372036854775807, 10, ''nearest'')', '22003', 'number of devices out of range'),
    ('SELECT eiot.round_devices(1, 0)', '22023', 'rounding step must be positive: 0'),
    ('SELECT eiot.round_devices(1, -100)', '22023', 'rounding step must be positive: -100'),
    ('SELECT eiot.round_devices(1, 100, ''Down'')', '22023', 'unknown rounding mode: "Down"'),
    ('SELECT eiot.round_devices(1, 100, '''')', '22023', 'unknown rounding mode: ""')
  ) v(query, code, message);
SELECT is(count(*), 0::bigint, 'random numbers are rounded to the multiple that numeric arithmetic finds')
  FROM (SELECT (random() * 10 ^ (i % 15))::bigint AS n, 1 + (random() * 10 ^ (i % 9))::int AS step FROM generate_series(1, 3000) i) r
 WHERE eiot.round_devices(n, step, 'down') <> floor(n::numeric / step) * step
    OR eiot.round_devices(n, step, 'up') <> ceil(n::numeric / step) * step
    OR eiot.round_devices(n, step, 'nearest') <> div(2 * n::numeric + step, 2 * step::numeric) * step;

SELECT * FROM finish();
ROLLBACK;
