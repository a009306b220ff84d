-- The life of a tenant's licenses: what each step of it does, and what it refuses.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('f0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
CREATE FUNCTION pg_temp.sku(name text) RETURNS uuid
  LANGUAGE sql STABLE
  RETURN CASE name WHEN 'e5' THEN '06ebc4ee-1bb5-47dd-8120-11324bc54e06'
                   WHEN 'p2' THEN '111046dd-295b-4d6d-9724-d52ac90bd1f2'
                   WHEN 'addon' THEN 'b2f91841-252f-4765-94c3-75802d7c0ddb'
                   WHEN 'trial' THEN 'e1070000-0000-4000-8000-000000000001'
                   WHEN 'legacy' THEN 'e1070000-0000-4000-8000-000000000002' END::uuid;
CREATE FUNCTION pg_temp.hold(n integer, sku text, units bigint, valid text DEFAULT '[2026-01-01,2027-01-01)',
                             state text DEFAULT 'enabled') RETURNS bigint
  LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, state)
  VALUES (pg_temp.t(n), pg_temp.sku(sku), units, valid::tstzrange, state)
  RETURNING entitlement_id;
END;

INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 60) n;

-- ---- capacity while monitoring is off, and when it changes next

SELECT throws_ok(statement, errcode, NULL, what)
  FROM (VALUES
    ($$INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(99), '[2026-01-01,)')$$, '23503', 'monitoring off for an unknown tenant'),
    ($$INSERT INTO eiot.monitoring_off (tenant_id) VALUES (pg_temp.t(1))$$, '23502', 'monitoring off for no time'),
    ($$INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), 'empty')$$, '23514', 'monitoring off for an empty range'),
    ($$INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), '[2026-01-01,2026-03-01)'), (pg_temp.t(1), '[2026-02-01,)')$$, '23P01', 'monitoring off twice at a time')
  ) v(statement, errcode, what);

SELECT pg_temp.hold(1, 'e5', 10), pg_temp.hold(1, 'addon', 4, '[2026-03-01,2026-06-01)');
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), '[2026-02-01,2026-04-01)'), (pg_temp.t(1), '[2026-12-01,)');
CREATE SCHEMA lived;
GRANT USAGE ON SCHEMA lived TO PUBLIC;
SELECT eiot.create_inventory('lived.device');
SELECT is(ARRAY[eiot.capacity_at(pg_temp.t(1), as_of), (SELECT l.capacity FROM eiot.licensed_capacity(as_of) l WHERE l.tenant_id = pg_temp.t(1)),
                (SELECT c.capacity FROM eiot.coverage_at('lived.device', as_of) c WHERE c.tenant_id = pg_temp.t(1))],
          ARRAY[capacity, NULLIF(capacity, 0), capacity]::bigint[], format('capacity at %s, while monitoring is on and off', as_of))
  FROM (VALUES (timestamptz '2025-12-31', 0), ('2026-01-31 23:59:59.999999', 50), ('2026-02-01', 0), ('2026-03-31 23:59:59.999999', 0),
               ('2026-04-01', 54), ('2026-06-01', 50), ('2026-11-30', 50), ('2026-12-01', 0), ('2027-06-01', 0)) v(as_of, capacity);
SELECT is(array_agg(eiot.next_capacity_change(pg_temp.t(1), after) ORDER BY after), array_agg(expected ORDER BY after), 'each change is found from the one before it')
  FROM (VALUES (timestamptz '-infinity', timestamptz '2026-01-01'), ('2026-01-01', '2026-02-01'), ('2026-02-01', '2026-04-01'), ('2026-04-01', '2026-06-01'),
               ('2026-06-01', '2026-12-01'), ('2026-12-01', NULL), ('infinity', NULL)) v(after, expected);
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(2), tstzrange(now() - interval '1 day', NULL));
SELECT pg_temp.hold(2, 'e5', 10, '[2020-01-01,)'), pg_temp.hold(3, 'e5', 10, '[2020-01-01,)');
SELECT results_eq($$SELECT capacity FROM eiot.capacity WHERE tenant_id IN (pg_temp.t(2), pg_temp.t(3)) ORDER BY tenant_id$$, 'VALUES (0::bigint), (50)', 'the view follows');
SELECT results_eq($$SELECT capacity FROM lived.device_coverage WHERE tenant_id IN (pg_temp.t(2), pg_temp.t(3)) ORDER BY tenant_id$$, 'VALUES (0::bigint), (50)',
                  'and an inventory''s');

SELECT pg_temp.hold(4, 'e5', 10, '(2026-01-01,2026-02-01]'), pg_temp.hold(4, 'e5', 10, '(2026-02-01,2026-03-01)'),
       pg_temp.hold(4, 'p2', 10, '[2026-02-10,)'), pg_temp.hold(4, 'e5', 10, '[2026-02-15,)', 'suspended');
SELECT is(eiot.next_capacity_change(pg_temp.t(4), '2026-01-01'), '2026-01-01 00:00:00.000001', 'an exclusive start takes effect a microsecond later');
SELECT is(eiot.next_capacity_change(pg_temp.t(4), '2026-01-15'), '2026-03-01',
          'a row that follows another with the same capacity changes nothing, nor one that covers nothing');
SELECT pg_temp.hold(5, 'trial', eiot.unlimited(), '[2026-01-01,2026-04-01)'), pg_temp.hold(5, 'e5', 10, '[2026-02-01,)'), pg_temp.hold(5, 'trial', 9223372036854775806, '[2026-02-01,2026-03-01)');
SELECT is(eiot.next_capacity_change(pg_temp.t(5), '2026-01-15'), '2026-04-01', 'nothing changes a capacity without limit but its end');
SELECT is(eiot.next_capacity_change(NULL, '2026-01-01'), NULL, 'no tenant');
SELECT is(eiot.next_capacity_change(pg_temp.t(1), NULL), NULL, 'no instant');
SELECT is(eiot.next_capacity_change(pg_temp.t(99), '-infinity'), NULL, 'an unknown tenant');

-- Random entitlements and switches of few instants, against capacity_at at every instant.
SELECT setseed(0.5);
SELECT count(pg_temp.hold(n, (ARRAY['e5', 'addon', 'p2', 'trial'])[1 + floor(random() * 4)::integer], 1 + floor(random() * 2)::integer,
                          format('[%s,%s)', timestamptz '2026-01-01' + first * interval '1 day',
                                 CASE WHEN random() > 0.2 THEN timestamptz '2026-01-02' + (first + floor(random() * 10)::integer) * interval '1 day' END),
                          (ARRAY['enabled', 'enabled', 'warning', 'suspended'])[1 + floor(random() * 4)::integer]))
  FROM generate_series(11, 60) n CROSS JOIN generate_series(1, 4) i CROSS JOIN LATERAL (SELECT floor(random() * 10 + 0 * i * n)::integer AS first) f;
INSERT INTO eiot.monitoring_off (tenant_id, valid)
  SELECT pg_temp.t(n), tstzrange(timestamptz '2026-01-01' + first * interval '1 day', timestamptz '2026-01-01' + (first + days) * interval '1 day')
    FROM generate_series(11, 60, 2) n CROSS JOIN LATERAL (VALUES (floor(random() * 6)::integer, 1 + floor(random() * 5 + n * 0)::integer)) v(first, days);
SELECT cmp_ok((SELECT count(*) FROM eiot.entitlement_capacity c JOIN eiot.monitoring_off m USING (tenant_id) WHERE c.tenant_id BETWEEN pg_temp.t(11) AND pg_temp.t(60)), '>', 50::bigint,
              'random: many spans of tenants that were switched off');
SELECT is_empty($$
  WITH day AS (
    SELECT pg_temp.t(n) AS tenant_id, at, eiot.capacity_at(pg_temp.t(n), at) AS capacity
      FROM generate_series(11, 60) n CROSS JOIN generate_series(timestamptz '2025-12-31', '2026-02-01', '1 day') at
  ), change AS (
    SELECT tenant_id, at FROM (SELECT *, lag(capacity) OVER (PARTITION BY tenant_id ORDER BY at) AS before FROM day) d WHERE capacity <> before
  )
  SELECT d.tenant_id, d.at, found, expected
    FROM day d
   CROSS JOIN LATERAL eiot.next_capacity_change(d.tenant_id, d.at) found
   CROSS JOIN LATERAL (SELECT min(c.at) AS expected FROM change c WHERE c.tenant_id = d.tenant_id AND c.at > d.at) e
   WHERE found IS DISTINCT FROM expected
$$, 'random: next_capacity_change finds what capacity_at shows');
SELECT is_empty($$
  SELECT n, at
    FROM generate_series(11, 60) n CROSS JOIN generate_series(timestamptz '2025-12-31', '2026-02-01', '1 day') at
   WHERE eiot.capacity_at(pg_temp.t(n), at) IS DISTINCT FROM
         CASE WHEN EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id = pg_temp.t(n) AND m.valid @> at) THEN 0
              ELSE COALESCE((SELECT sum(e.units * s.devices_per_unit) FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id)
                              WHERE e.tenant_id = pg_temp.t(n) AND e.valid @> at AND e.state IN ('enabled', 'warning')), 0) END
$$, 'random: capacity_at is what a recount gives, and 0 while monitoring is off');

SELECT * FROM finish();
ROLLBACK;
