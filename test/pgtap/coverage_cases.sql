-- Over, under, equal, expired and unlimited: cases of other license systems and of their bug reports, in
-- test/data/coverage_cases.csv, from entitlements to the gap; and the regression table of the worked example.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
\getenv data EIOT_TEST_DATA
\set cases :data /coverage_cases.csv
-- What others published stands beside the checkout, if at all.
\getenv shared EIOT_SHARED_DATA
\if :{?shared}
\set published :shared /coverage-cases.csv
\else
\set published ''
\endif

SELECT plan(216 + CASE WHEN :'published' <> '' THEN 26 ELSE 0 END);

CREATE TEMP TABLE cases (
  case_id integer PRIMARY KEY, system text NOT NULL, devices_per_unit bigint NOT NULL,
  enabled text, warning text, suspended text, expired text,   -- units; a + between those of several subscriptions
  used bigint NOT NULL, capacity text NOT NULL, surplus text NOT NULL, gap bigint NOT NULL, status text NOT NULL,
  about text NOT NULL, left_out text);
COPY cases FROM :'cases' (FORMAT csv, HEADER true);

CREATE FUNCTION pg_temp.number(shown text) RETURNS bigint
  LANGUAGE sql IMMUTABLE
  RETURN CASE WHEN shown = 'unlimited' THEN eiot.unlimited() ELSE shown::bigint END;

CREATE TEMP TABLE tenant_of AS SELECT case_id, gen_random_uuid() AS tenant_id FROM cases;
INSERT INTO eiot.tenant (tenant_id, name) SELECT tenant_id, format('case %s', case_id) FROM tenant_of;
-- The first case is a shipped SKU's, the others are products of their own.
CREATE TEMP TABLE sku_of AS
  SELECT DISTINCT system, devices_per_unit,
         CASE WHEN system = 'microsoft_defender_iot' THEN '06ebc4ee-1bb5-47dd-8120-11324bc54e06' ELSE md5(system)::uuid END AS sku_id
    FROM cases;
INSERT INTO eiot.sku (sku_id, name, kind, devices_per_unit)
  SELECT sku_id, system, 'other', devices_per_unit FROM sku_of WHERE system <> 'microsoft_defender_iot';
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, assigned_units, state, valid)
  SELECT t.tenant_id, s.sku_id, format('%s %s', u.state, n), pg_temp.number(part), CASE WHEN n = 1 AND u.state = 'enabled' THEN c.used ELSE 0 END,
         CASE WHEN u.state = 'expired' THEN 'enabled' ELSE u.state END,
         CASE WHEN u.state = 'expired' THEN tstzrange('2025-01-01 00:00:00+00', '2026-08-12 00:00:00+00') ELSE tstzrange('2025-01-01 00:00:00+00', NULL) END
    FROM cases c
    JOIN tenant_of t USING (case_id)
    JOIN sku_of s USING (system, devices_per_unit)
   CROSS JOIN LATERAL (VALUES ('enabled', c.enabled), ('warning', c.warning), ('suspended', c.suspended), ('expired', c.expired)) u(state, units)
   CROSS JOIN LATERAL string_to_table(u.units, '+') WITH ORDINALITY p(part, n);

SELECT is(count(*), 23::bigint, 'number of cases') FROM cases;
SELECT is(count(*), 23::bigint, 'each of them with entitlements')
  FROM (SELECT case_id FROM tenant_of JOIN eiot.entitlement USING (tenant_id) GROUP BY case_id) e;
SELECT is(devices_per_unit, 5::bigint, 'the first one uses the shipped SKU as it is') FROM eiot.sku WHERE sku_id = '06ebc4ee-1bb5-47dd-8120-11324bc54e06';

-- From entitlements, through the capacity at an instant, to the gap.
CREATE TEMP TABLE result AS
  SELECT c.*, eiot.capacity_at(t.tenant_id, '2026-08-12 00:00:00+00') AS got_capacity,
         eiot.coverage(c.used, eiot.capacity_at(t.tenant_id, '2026-08-12 00:00:00+00')) AS coverage
    FROM cases c JOIN tenant_of t USING (case_id);
SELECT unnest(ARRAY[
         is(got_capacity, pg_temp.number(capacity), format('case %s, %s: capacity %s', case_id, system, capacity)),
         is(eiot.gap(coverage), gap, format('case %s, %s: gap %s', case_id, system, gap)),
         is(eiot.surplus(coverage), pg_temp.number(surplus), format('case %s, %s: surplus %s', case_id, system, surplus)),
         is(eiot.gap(coverage) > 0, status IN ('gap', 'over', 'at_risk', 'allowed_until_true_up'), format('case %s, %s: %s', case_id, system, status))])
  FROM result ORDER BY case_id;

-- And with as many devices, from an inventory.
CREATE SCHEMA cases;
SELECT eiot.create_inventory('cases.device') AS inventory \gset
INSERT INTO cases.device (tenant_id, device_id, category, last_seen)
  SELECT tenant_id, 'd' || i, 'IoT', '2026-08-11 00:00:00+00' FROM cases JOIN tenant_of USING (case_id), generate_series(1, used) i;
SELECT unnest(ARRAY[
         is(r.counted, c.used, format('case %s, inventory: counted %s', case_id, c.used)),
         is(COALESCE(r.capacity::text, 'null') || ' ' || r.unlimited, COALESCE(NULLIF(c.capacity, 'unlimited'), 'null') || ' ' || (c.capacity = 'unlimited'),
            format('case %s, inventory: capacity, null where unlimited', case_id)),
         is(r.gap, c.gap, format('case %s, inventory: gap %s', case_id, c.gap)),
         is(r.surplus, NULLIF(pg_temp.number(c.surplus), eiot.unlimited()), format('case %s, inventory: surplus, null where unlimited', case_id))])
  FROM cases c JOIN tenant_of USING (case_id) JOIN eiot.coverage_at(:'inventory', '2026-08-12 00:00:00+00') r USING (tenant_id) ORDER BY case_id;

-- Cases of which time or a setting is the point.
SELECT is(eiot.capacity_at(tenant_id, '2026-08-11 23:59:59.999999+00'), 50::bigint, 'case 14: a microsecond before they expire, licenses cover') FROM tenant_of WHERE case_id = 14;
SET LOCAL eiot.count_warning_units = off;
SELECT is(eiot.capacity_at(tenant_id, '2026-08-12 00:00:00+00'), 300::bigint, 'case 16: where units in the grace period are not to cover') FROM tenant_of WHERE case_id = 16;
RESET eiot.count_warning_units;

-- ---- the worked example's regression table: devices, E5 licenses, standalone licenses, of a trial; rounding is print

CREATE TEMP TABLE example (n serial, devices bigint, e5 bigint, standalone bigint, trial bigint, gap bigint, gap_up bigint, gap_down bigint, about text, tenant_id uuid DEFAULT gen_random_uuid());
INSERT INTO example (devices, e5, standalone, trial, gap, gap_up, gap_down, about) VALUES
  (1204, 240, 0, 0, 4, 100, 0, 'the page in force says 4'),
  (1679, 320, 0, 0, 79, 100, 0, 'the page of 2023-09 says 79'),
  (2500, 500, 0, 0, 0, 0, 0, 'exactly covered'),
  (2501, 500, 0, 0, 1, 100, 0, 'one more'),
  (1204, 240, 4, 0, 0, 96, 0, 'after the four were bought'),
  (1204, 241, 0, 0, 0, 95, 0, 'or one user license'),
  (100, 0, 100, 0, 0, 0, 0, 'standalone licenses alone'),
  (100, 0, 0, 100, 0, 0, 0, 'a trial'),
  (0, 0, 0, 0, 0, 0, 0, 'nothing at all');
INSERT INTO eiot.tenant (tenant_id, name) SELECT tenant_id, about FROM example;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
  SELECT tenant_id, sku_id::uuid, units, '[2025-01-01,)'
    FROM example
   CROSS JOIN LATERAL (VALUES ('06ebc4ee-1bb5-47dd-8120-11324bc54e06', e5), ('b2f91841-252f-4765-94c3-75802d7c0ddb', standalone),
                              ('e1070000-0000-4000-8000-000000000001', trial)) u(sku_id, units)
   WHERE units > 0;
SELECT unnest(ARRAY[
         is(eiot.gap(eiot.coverage(devices, capacity)), gap, format('%s devices, %s E5, %s standalone, trial %s: gap %s; %s', devices, e5, standalone, trial, gap, about)),
         is(eiot.gap(eiot.coverage(eiot.round_devices(devices, 100, 'up'), capacity)), gap_up, format('rounded up first it would be %s', gap_up)),
         is(eiot.gap(eiot.coverage(eiot.round_devices(devices, 100, 'down'), capacity)), gap_down, format('rounded down first it would be %s', gap_down))])
  FROM example CROSS JOIN LATERAL eiot.capacity_at(tenant_id, '2026-08-12 00:00:00+00') capacity ORDER BY n;

-- ---- the published table, where it is at hand

SELECT :'published' <> '' AS has_published \gset
\if :has_published
CREATE TEMP TABLE published (
  case_id integer, system text, entitlement text, devices_per_unit bigint, used text, expected_capacity text, expected_free text, expected_gap bigint,
  expected_status text, note text, source text);
COPY published FROM :'published' (FORMAT csv, HEADER true);
SELECT set_eq('SELECT case_id, system FROM published', 'SELECT case_id, system FROM cases', 'every published case stands in ours');
SELECT cmp_ok(count(*), '>=', 23::bigint, 'and there are cases') FROM published;
SELECT is(count(*), 0::bigint, 'devices per unit agree') FROM published p JOIN cases c USING (case_id) WHERE p.devices_per_unit <> c.devices_per_unit;
-- N stands for the number that ours has.  What is free may be told as a negative number, or as 0 beside a gap.
SELECT is(string_agg(format('%s is %s, ours %s', what, theirs, ours), '; ') FILTER (WHERE theirs <> ALL (ours)), NULL, format('case %s: figures agree', p.case_id))
  FROM published p
  LEFT JOIN cases c USING (case_id)
 CROSS JOIN LATERAL (VALUES
   ('used', replace(p.used, 'N+1', '71'), ARRAY[c.used::text, replace(c.used::text, '70', 'N')]),
   ('capacity', p.expected_capacity, ARRAY[c.capacity, replace(c.capacity, '70', 'N')]),
   ('free', p.expected_free, ARRAY[c.surplus, (pg_temp.number(c.surplus) - c.gap)::text]),
   ('gap', p.expected_gap::text, ARRAY[c.gap::text]),
   ('status', p.expected_status, ARRAY[c.status])) f(what, theirs, ours)
 GROUP BY p.case_id ORDER BY p.case_id;
\endif

SELECT * FROM finish();
ROLLBACK;
