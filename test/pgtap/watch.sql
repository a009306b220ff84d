-- Live coverage: bad input, the arithmetic of limits and of silence, and reading what has not been counted yet.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;
SELECT setseed(0.5) \g /dev/null

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
  RETURN ('11ab0000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(i), 'tenant ' || i FROM generate_series(1, 9) i;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device'), eiot.create_inventory('asset.split', 3) \g /dev/null
CREATE TABLE asset.own (owner uuid, seen timestamptz, naive timestamp, kind eiot.device_class, key smallint, label text);

-- ---- bad input

SELECT throws_ok(statement, code, NULL, format('%s: %s', statement, code))
  FROM (VALUES ($$SELECT eiot.watch(NULL)$$, '22004'),
               ($$SELECT eiot.watch('eiot.tenant')$$, '42809'),
               ($$SELECT eiot.watch('asset.device_coverage')$$, '42809'),
               ($$SELECT eiot.watch('asset.own')$$, '42809'),
               ($$SELECT eiot.watch('asset.split_p0')$$, '42809'),
               ($$SELECT eiot.watch('asset.own', NULL, 'seen', 'kind')$$, '22004'),
               ($$SELECT eiot.watch('asset.own', 'owner', 'seen')$$, '22004'),
               ($$SELECT eiot.watch('asset.own', 'owner', 'seen', 'kind', count_key => 'key')$$, '22004'),
               ($$SELECT eiot.watch('asset.own', 'owner', 'gone', 'kind')$$, '42703'),
               ($$SELECT eiot.watch('asset.own', 'owner', 'naive', 'kind')$$, '42804'),
               ($$SELECT eiot.watch('asset.own', 'label', 'seen', 'kind')$$, '42804'),
               ($$SELECT eiot.watch('asset.own', 'owner', 'seen', count_key => 'label')$$, '42804'),
               ($$SELECT eiot.watch('asset.own', 'owner', 'ctid', 'kind')$$, '42703'),
               ($$SELECT eiot.unwatch(NULL)$$, '22004'),
               ($$SELECT eiot.unwatch('asset.device')$$, '55000'),
               ($$SELECT eiot.recount('asset.device')$$, '55000'),
               ($$SELECT * FROM eiot.check_watch(NULL)$$, '22004'),
               ($$SELECT * FROM eiot.check_watch('asset.device')$$, '55000'),
               ($$SELECT eiot.refresh('infinity')$$, '22008'),
               ($$SELECT eiot.refresh('-infinity')$$, '22008'),
               ($$SELECT eiot.set_alert(NULL, '1', '0')$$, '22004'),
               ($$SELECT eiot.set_alert(pg_temp.t(99), '1', '0')$$, '23503'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '1', NULL)$$, '22004'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), NULL, '1')$$, '22004'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '1', '0', NULL)$$, '22004'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '', '0')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '1e3', '0')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), 'NaN', '0')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '5 %%', '0')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '5%', '1')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '1.5', '0')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '1', '2')$$, '22023'),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '9999999999999999999', '0')$$, '22023'),
               ($$SELECT eiot.silent_at(now(), interval '-1 s')$$, '22023')) v(statement, code);
SELECT lives_ok(statement, statement)
  FROM (VALUES ($$SELECT eiot.set_alert(pg_temp.t(1), ' 5 % ', '0')$$),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '-10', '-20')$$),
               ($$SELECT eiot.set_alert(pg_temp.t(1), '2.5%', '-1.25%')$$),
               ($$SELECT eiot.set_alert(pg_temp.t(1), 1, 1)$$),
               ($$SELECT eiot.set_alert(pg_temp.t(1), NULL::text, NULL)$$)) v(statement);
SELECT is((SELECT count(*) FROM eiot.alert a WHERE a.tenant_id = pg_temp.t(1)), 0::bigint, 'null and null: as other tenants');

-- Nothing of null.
SELECT is(got, NULL, what)
  FROM (VALUES (eiot.refresh(NULL)::text, 'refresh'), (eiot.watched_relation(NULL)::text, 'watched_relation'),
               (eiot.watched_relation(0)::text, 'watched_relation of no watch'), (eiot.watch_epoch(0)::text, 'watch_epoch of no watch'),
               (eiot.next_rule_change(NULL)::text, 'next_rule_change'), (eiot.countable(NULL, 1)::text, 'countable'),
               ((SELECT l.capacity FROM eiot.limits_at(NULL, now()) l)::text, 'limits_at'),
               ((SELECT n.counted FROM eiot.live_now(NULL, now()) n)::text, 'live_now')) v(got, what);

-- ---- arithmetic

SELECT is_empty($$SELECT key FROM generate_series(-2, 66) key
                   WHERE eiot.countable(key::smallint, 6) IS DISTINCT FROM (key IN (1, 2))$$, 'countable: the bits of the keys, and no others');

SELECT is(eiot.alert_limit(capacity, gap, unit), expected, format('alert_limit(%s, %s, %s)', capacity, gap, unit))
  FROM (VALUES (100, NULL, NULL, 100), (100, 0, 'devices', 100), (100, 10, 'devices', 110), (100, -10, 'devices', 90),
               (100, 5, 'percent', 105), (150, 1, 'percent', 151), (150, 0.5, 'percent', 150), (0, 5, 'percent', 0), (0, 5, 'devices', 5),
               (9223372036854775807, 5, 'percent', 9223372036854775807), (9223372036854775807, -5, 'devices', 9223372036854775807),
               (9223372036854775806, 50, 'percent', 9223372036854775807)) v(capacity, gap, unit, expected);
-- The most devices whose gap is not above: counted exceeds it exactly where counted - capacity exceeds the gap.
SELECT is_empty($$
  SELECT capacity, counted, gap, unit, eiot.alert_limit(capacity, gap, unit)
    FROM (SELECT (random() * 300)::bigint AS capacity, (random() * 400)::bigint AS counted, round((random() * 60 - 20)::numeric, (random() * 2)::integer) AS gap
            FROM generate_series(1, 3000)) r,
         LATERAL (VALUES ('percent', gap, capacity * gap / 100), ('devices', trunc(gap), trunc(gap))) u(unit, given, devices)
   WHERE (counted > eiot.alert_limit(capacity, given, unit)) <> (counted - capacity > devices)$$, 'alert_limit: a gap is above it, or it is not');

-- silent_at is where active_since passes by; look_again_at lies behind active_since, by a day at most.
SELECT is_empty($$
  SELECT seen, span
    FROM (SELECT now() - random() * interval '90 days' AS seen,
                 (ARRAY[interval '30 days', '1 mon', '1 hour', '0', '1 mon 2 days 3:04:05.678901'])[1 + (random() * 4)::integer] AS span
            FROM generate_series(1, 1000)) r
   WHERE eiot.active_since(eiot.silent_at(seen, span), span) <= seen
      OR eiot.active_since(eiot.silent_at(seen, span) - interval '1 microsecond', span) > seen
      OR eiot.look_again_at(seen, span) NOT BETWEEN seen AND seen + interval '1 day'$$, 'silent_at and look_again_at against active_since');
SELECT is(got, 'infinity'::timestamptz, what)
  FROM (VALUES (eiot.silent_at(NULL, '30 days'), 'never seen'), (eiot.silent_at(now(), NULL), 'never silent'),
               (eiot.silent_at('infinity', '30 days'), 'seen for ever'), (eiot.look_again_at(now(), NULL), 'nothing to look for')) v(got, what);

SELECT is_empty($$
  SELECT a.at
    FROM (SELECT timestamptz '2020-01-01' + random() * interval '10 years' AS at FROM generate_series(1, 200)
          UNION ALL
          SELECT lower(r.valid)::timestamptz + i * interval '1 microsecond' FROM eiot.counting_rule r, generate_series(-1, 1) i
           WHERE lower(r.valid) BETWEEN '2020-01-02' AND '2030-01-01') a
   WHERE eiot.next_rule_change(a.at) IS DISTINCT FROM (
     SELECT min(d.day) FROM generate_series(timestamptz '2020-01-01', '2031-01-01', '1 day') d(day)
      WHERE d.day > a.at
        AND (SELECT r.name FROM eiot.counting_rule r WHERE r.valid @> d.day::date) IS DISTINCT FROM
            (SELECT r.name FROM eiot.counting_rule r WHERE r.valid @> d.day::date - 1))$$, 'next_rule_change: the next day with another rule than the day before');

-- ---- reading

-- Nothing is counted before the commit, and yet all is there: by rules, pins, licenses and alerts of all kinds.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, state, valid)
SELECT pg_temp.t(1 + i % 6), sku_id, 1 + i % 3, (ARRAY['enabled', 'warning', 'suspended'])[1 + i % 3],
       tstzrange(now() - interval '1 year', CASE WHEN i % 4 = 0 THEN now() - interval '1 day' ELSE now() + interval '1 year' END)
  FROM generate_series(0, 11) i
 CROSS JOIN (SELECT s.sku_id FROM eiot.sku s WHERE s.part_number IN ('SPE_E5', 'Microsoft_365_E5') OR s.sku_id = 'b2f91841-252f-4765-94c3-75802d7c0ddb') s;
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(2), tstzrange(now() - interval '1 day', NULL));
UPDATE eiot.tenant SET counting_rule = (SELECT min(r.name) FROM eiot.counting_rule r) WHERE tenant_id = pg_temp.t(3);
SELECT eiot.set_alert(pg_temp.t(4), '-50%', '-60%'), eiot.set_alert(pg_temp.t(5), '3', '1') \g /dev/null
INSERT INTO asset.device (tenant_id, device_id, category, last_seen, excluded)
SELECT pg_temp.t(1 + (random() * 7)::integer), 'd' || i, CASE WHEN random() < 0.7 THEN 'IoT' ELSE 'Endpoint' END,
       CASE WHEN random() < 0.9 THEN now() - random() * interval '40 days' END, random() < 0.1
  FROM generate_series(1, 400) i;
INSERT INTO asset.split (tenant_id, device_id, category, last_seen, excluded)
SELECT tenant_id, device_id, category, last_seen, excluded FROM asset.device WHERE hashtext(device_id) % 3 = 0;
SELECT eiot.watch('asset.device'), eiot.watch('asset.split') \g /dev/null

CREATE VIEW pg_temp.both AS
  SELECT c.tenant_id, sum(c.devices)::bigint AS devices, sum(c.counted)::bigint AS counted, max(c.capacity) AS capacity, bool_or(c.unlimited) AS unlimited
    FROM (TABLE asset.device_coverage UNION ALL TABLE asset.split_coverage) c
   WHERE c.tenant_id::text LIKE '11ab%'
   GROUP BY c.tenant_id;
PREPARE live AS
  SELECT c.tenant_id, c.devices, c.counted, c.capacity, c.unlimited, c.gap, c.surplus, c.utilization
    FROM eiot.tenant_coverage c WHERE c.tenant_id::text LIKE '11ab%';
PREPARE counted AS
  SELECT b.tenant_id, b.devices, b.counted, b.capacity, b.unlimited, GREATEST(b.counted - COALESCE(b.capacity, b.counted), 0) AS gap,
         CASE WHEN b.capacity IS NOT NULL THEN GREATEST(b.capacity - b.counted, 0) END AS surplus, eiot.utilization(eiot.coverage(b.counted, COALESCE(b.capacity, eiot.unlimited())))
    FROM pg_temp.both b;
SELECT set_eq('live', 'counted', 'tenant_coverage before anything was counted');
SET LOCAL eiot.count_warning_units = off;
SELECT set_eq('live', 'counted', 'without units in the grace period');
RESET eiot.count_warning_units;
UPDATE asset.device SET excluded = NOT excluded, last_seen = now() WHERE hashtext(device_id) % 2 = 0;
DELETE FROM asset.split WHERE hashtext(device_id) % 5 = 0;
UPDATE asset.split SET tenant_id = pg_temp.t(9) WHERE device_id LIKE 'd1%';
TRUNCATE asset.split_p1;
SELECT set_eq('live', 'counted', 'after changes');
SELECT cmp_ok((SELECT count(*) FROM eiot.tenant_coverage c WHERE c.tenant_id::text LIKE '11ab%' AND c.under_licensed), '>', 0::bigint, 'of whom some lack licenses');
SELECT is_empty($$SELECT c.tenant_id, c.under_licensed
                    FROM eiot.tenant_coverage c LEFT JOIN eiot.alert a USING (tenant_id)
                   WHERE c.under_licensed <> COALESCE(c.counted - c.capacity > CASE a.unit WHEN 'percent' THEN c.capacity * a.raise_at / 100 ELSE COALESCE(a.raise_at, 0) END, false)$$,
                'and lack more than raises their flag');

-- ---- who fell silent

CREATE TABLE asset.region (owner uuid, seen timestamptz, kind eiot.device_class, label text) PARTITION BY LIST (label);
CREATE TABLE asset.north PARTITION OF asset.region FOR VALUES IN ('north');
CREATE TABLE asset.south PARTITION OF asset.region DEFAULT;
SELECT eiot.watch('asset.region', 'owner', 'seen', 'kind') \g /dev/null
INSERT INTO asset.region
SELECT pg_temp.t(1 + (random() * 7)::integer), CASE WHEN random() < 0.9 THEN now() - random() * interval '40 days' END,
       CASE WHEN random() < 0.7 THEN 'iot' ELSE 'network' END::eiot.device_class, CASE WHEN random() < 0.5 THEN 'north' ELSE 'south' END
  FROM generate_series(1, 300);
CREATE VIEW pg_temp.seen AS
  SELECT 'asset.device'::regclass AS inventory, d.tenant_id, d.last_seen, d.count_key FROM asset.device d
  UNION ALL SELECT 'asset.split', d.tenant_id, d.last_seen, d.count_key FROM asset.split d
  UNION ALL SELECT 'asset.region', d.owner, d.seen, eiot.count_key(d.kind, NULL, NULL, NULL, NULL, NULL) FROM asset.region d;
-- One tenant or all; the keys of the rule, none for some, or more than the index has; windows of every order.
CREATE TEMP TABLE question AS
  SELECT q, w.watch_id, w.inventory, pg_temp.t(i) AS tenant_id,
         CASE q % 3 WHEN 0 THEN (SELECT r.counted_keys FROM eiot.counting_rule r WHERE r.valid @> current_date)
                    WHEN 1 THEN (SELECT r.counted_keys * (i % 2) FROM eiot.counting_rule r WHERE r.valid @> current_date) ELSE -1 END AS counted_keys,
         CASE WHEN q % 7 = 0 THEN '-infinity' ELSE now() - random() * interval '40 days' END AS since,
         now() - random() * interval '40 days' AS until,
         CASE WHEN q % 5 = 0 THEN 'infinity' ELSE now() - random() * interval '40 days' END AS ahead
    FROM generate_series(1, 60) q
   CROSS JOIN eiot.watched_inventory w
   CROSS JOIN LATERAL generate_series(CASE q % 2 WHEN 0 THEN 1 ELSE 1 + q % 9 END, CASE q % 2 WHEN 0 THEN 9 ELSE 1 + q % 9 END) i
   WHERE w.inventory IN ('asset.device'::regclass, 'asset.split'::regclass, 'asset.region'::regclass);
CREATE TEMP TABLE asked AS
  SELECT q, watch_id, array_agg(tenant_id) AS tenants, array_agg(counted_keys) AS keys, array_agg(since) AS since, array_agg(until) AS until, array_agg(ahead) AS ahead
    FROM question GROUP BY q, watch_id;
PREPARE found AS
  SELECT a.q, a.watch_id, s.tenant_id, s.silent, s.next FROM asked a CROSS JOIN LATERAL eiot.live_silent(a.watch_id, a.tenants, a.keys, a.since, a.until, a.ahead) s;
PREPARE by_hand AS
  SELECT q.q, q.watch_id, q.tenant_id, count(*) FILTER (WHERE d.last_seen < q.until),
         min(d.last_seen) FILTER (WHERE d.last_seen >= q.until AND d.last_seen < q.ahead)
    FROM question q
    LEFT JOIN pg_temp.seen d ON d.inventory = q.inventory AND d.tenant_id = q.tenant_id AND d.last_seen >= q.since
                            AND d.count_key >= 0 AND q.counted_keys >> d.count_key & 1 = 1
   GROUP BY q.q, q.watch_id, q.tenant_id;
SELECT set_eq('found', 'by_hand', 'live_silent: who fell silent, and who is next');
SELECT cmp_ok(count(*) FILTER (WHERE eiot.watch_index_serves(watch_id, keys)), '>', 60::bigint, 'mostly from the index') FROM asked;
SELECT cmp_ok(count(*) FILTER (WHERE NOT eiot.watch_index_serves(watch_id, keys)), '>', 50::bigint, 'and without it where it has not all keys') FROM asked;
SELECT throws_ok(format('SELECT * FROM eiot.silent_in_index(%s)', arguments), code, NULL, format('silent_in_index(%s): %s', arguments, code))
  FROM (VALUES ($$0, '{}', '{}', '{}', '{}', '{}'$$, '55000'),
               ((SELECT min(watch_id) FROM asked) || $$, ARRAY[pg_temp.t(1)], '{-1}', '{today}', '{today}', '{today}'$$, '55000'),
               ((SELECT min(watch_id) FROM asked) || $$, ARRAY[pg_temp.t(1)], '{4,4}', '{today}', '{today}', '{today}'$$, '22023'),
               ((SELECT min(watch_id) FROM asked) || $$, ARRAY[pg_temp.t(1)], '{4}', '{NULL}', '{today}', '{today}'$$, '22023'),
               ((SELECT min(watch_id) FROM asked) || $$, ARRAY[pg_temp.t(1)], '{{4}}', '{today}', '{today}', '{{today}}'$$, '22023')) v(arguments, code);
SELECT is_empty(format('SELECT * FROM eiot.live_silent(%s, %L, %L, %L, %L, %L)', min(watch_id), '{}', '{}', '{}', '{}', '{}'), 'nobody asked about') FROM asked;
-- A table of one's own may have devices of no tenant.
SELECT eiot.watch('asset.own', 'owner', 'seen', count_key => 'key') \g /dev/null
INSERT INTO asset.own (owner, seen, key)
SELECT owner, 'yesterday', 2 FROM unnest(ARRAY[pg_temp.t(1), NULL, pg_temp.t(2), pg_temp.t(2), NULL]) owner;
SELECT results_eq(format($$SELECT s.tenant_id, s.silent FROM eiot.silent_in_index(%s, %L, %L, %L, %L, %L) s ORDER BY 1$$, w.watch_id, tenants,
                         array_fill(4, ARRAY[n]), array_fill('-infinity'::text, ARRAY[n]), array_fill('today'::text, ARRAY[n]),
                         array_fill('today'::text, ARRAY[n])),
                  format($$SELECT owner, count(*) FROM asset.own WHERE owner = ANY (%L) GROUP BY owner ORDER BY 1$$, tenants),
                  format('silent devices of %s of the tenants, beside those of none', n))
  FROM eiot.watched_inventory w
 CROSS JOIN (VALUES (ARRAY[pg_temp.t(1), pg_temp.t(2)]), (ARRAY[pg_temp.t(2)])) v(tenants)
 CROSS JOIN LATERAL cardinality(tenants) n
 WHERE w.inventory = 'asset.own'::regclass;
SELECT eiot.unwatch('asset.own') \g /dev/null
-- Row by row for who may not see all.
CREATE ROLE eiot_watch_test_reader;
GRANT USAGE ON SCHEMA asset TO eiot_watch_test_reader;
GRANT SELECT ON asked TO eiot_watch_test_reader;
SET LOCAL ROLE eiot_watch_test_reader;
SELECT is(bool_or(eiot.watch_index_serves(watch_id, '{4}')), false, 'not for who may not read the inventory') FROM asked;
RESET ROLE;
GRANT SELECT ON asset.device TO eiot_watch_test_reader;
SET LOCAL ROLE eiot_watch_test_reader;
SELECT is(bool_or(eiot.watch_index_serves(watch_id, '{4}')), false, 'nor for whom row-level security keeps from some') FROM asked;
RESET ROLE;
SELECT eiot.unwatch('asset.region') \g /dev/null

SELECT eiot.unwatch('asset.device'), eiot.unwatch('asset.split') \g /dev/null
SELECT is_empty($$SELECT * FROM eiot.watched_inventory w WHERE w.inventory IS NOT NULL$$, 'unwatched');
SELECT is_empty($$SELECT t.tgname FROM pg_trigger t WHERE t.tgname LIKE 'eiot_watch%'$$, 'no trigger is left');

-- The commit could not do what was asked for.
SET TRANSACTION READ ONLY;
SELECT throws_ok('SELECT eiot.refresh()', '25006', NULL, 'refresh where nothing may be written');

SELECT * FROM finish();
ROLLBACK;
