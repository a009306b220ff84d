-- The views for BI tools: their contract, as it was promised and as docs/bi.md has it, and that they say what the tables say.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
SELECT results_eq($$SELECT v::text FROM eiot.create_bi_views('asset.device') v$$,
                  $$VALUES ('asset.device_bi_class'), ('asset.device_bi_coverage'), ('asset.device_bi_daily')$$, 'the views of an inventory');

-- ---- the contract: whoever changes a line here breaks somebody's dashboard

CREATE TEMP TABLE contract (view text, position bigint, name text COLLATE "C", type text COLLATE "C");
INSERT INTO contract SELECT v, i, split_part(c, ' ', 1), substr(c, strpos(c, ' ') + 1)
  FROM (VALUES ('asset.device_bi_coverage', ARRAY[
  'tenant_id uuid', 'tenant text', 'devices bigint', 'counted bigint', 'capacity bigint', 'unlimited boolean', 'gap bigint',
  'surplus bigint', 'utilization numeric', 'counting_rule text', 'licenses_imported_at timestamp with time zone',
  'as_of timestamp with time zone']),
('asset.device_bi_class', ARRAY[
  'tenant_id uuid', 'tenant text', 'class text', 'reason text', 'counted boolean', 'devices bigint', 'last_seen timestamp with time zone']),
('asset.device_bi_daily', ARRAY[
  'tenant_id uuid', 'tenant text', 'day date', 'counted bigint', 'capacity bigint', 'unlimited boolean', 'gap bigint', 'max_gap bigint',
  'max_gap_at timestamp with time zone']),
('eiot.bi_entitlement', ARRAY[
  'entitlement_id bigint', 'tenant_id uuid', 'tenant text', 'sku_id uuid', 'part_number text', 'product text', 'kind text',
  'subscription_id text', 'state text', 'units bigint', 'assigned_units bigint', 'devices_per_unit bigint', 'capacity bigint',
  'unlimited boolean', 'unit_price numeric', 'currency text', 'billing_frequency text', 'valid_from timestamp with time zone',
  'valid_to timestamp with time zone', 'basis text', 'source text']),
('eiot.bi_charge', ARRAY[
  'tenant_id uuid', 'tenant text', 'month date', 'entitlement_id bigint', 'sku_id uuid', 'product text', 'kind text', 'reason text',
  'used_from date', 'used_to date', 'cycle_from date', 'cycle_to date', 'units bigint', 'unit_price numeric', 'days integer',
  'cycle_days integer', 'amount numeric', 'currency text']),
('eiot.bi_tenant_coverage', ARRAY[
  'tenant_id uuid', 'tenant text', 'devices bigint', 'counted bigint', 'capacity bigint', 'unlimited boolean', 'gap bigint',
  'surplus bigint', 'utilization numeric', 'under_licensed boolean', 'since timestamp with time zone']),
('eiot.bi_flag_event', ARRAY[
  'flag_event_id bigint', 'tenant_id uuid', 'tenant text', 'at timestamp with time zone', 'kind text', 'devices bigint',
  'capacity bigint', 'unlimited boolean', 'gap bigint'])) v(v, cs), unnest(cs) WITH ORDINALITY c(c, i);

SELECT results_eq(format($$SELECT attname::text COLLATE "C", format_type(atttypid, atttypmod) COLLATE "C" FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum$$, view),
                  format($$SELECT name, type FROM contract WHERE view = %L ORDER BY position$$, view), format('columns of %s', view))
  FROM (SELECT DISTINCT view FROM contract) c ORDER BY view;
SELECT set_eq($$SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'v' AND c.relname LIKE '%bi\_%' AND c.relnamespace IN ('eiot'::regnamespace, 'asset'::regnamespace)$$,
              'SELECT DISTINCT view FROM contract', 'no BI view is without a contract');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c JOIN contract k ON c.oid = k.view::regclass WHERE NOT 'security_invoker=true' = ANY (c.reloptions)$$,
                'they are read with the rights of who asks');
SELECT is_empty($$SELECT DISTINCT view FROM contract WHERE obj_description(view::regclass, 'pg_class') IS NULL$$, 'they have comments');

\set page `cat "${EIOT_TEST_DATA:-test/data}/../../docs/bi.md"`
CREATE TEMP TABLE documented AS
  SELECT replace(s.view, '<inventory>', 'asset.device') AS view, row_number() OVER (PARTITION BY s.view ORDER BY r.i) AS position, r.c[1] AS name, r.c[2] AS type
    FROM (SELECT substring(section FROM '^`([^`]+)`') AS view, section FROM regexp_split_to_table(:'page', '\n## ') section) s
   CROSS JOIN LATERAL regexp_matches(s.section, '\n\| `([^`]+)` \| `([^`]+)` \|', 'g') WITH ORDINALITY r(c, i)
   WHERE s.view IS NOT NULL;
SELECT set_eq('SELECT view, position, name, type FROM documented', 'SELECT view, position, name, type FROM contract', 'docs/bi.md has the contract');

-- ---- what they say

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('b1000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name, counting_rule) VALUES (pg_temp.t(1), 'Fabrikam', NULL), (pg_temp.t(2), 'Contoso', '2023-09'), (pg_temp.t(3), 'Tailspin', NULL);
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, state, valid) VALUES
  (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'a', 2, 'enabled', tstzrange(now() - interval '40 days', now() + interval '1 day')),
  (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'b', 7, 'suspended', tstzrange(now() - interval '40 days', NULL)),
  (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'c', 9, 'enabled', tstzrange(now() - interval '80 days', now() - interval '40 days')),
  (pg_temp.t(3), 'e1070000-0000-4000-8000-000000000001', 'trial', eiot.unlimited(), 'enabled', tstzrange(now() - interval '40 days', NULL));
INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen)
SELECT pg_temp.t(n), c || i, c, now() - i * interval '3 days', now() - (i % 3) * interval '20 days'
  FROM generate_series(1, 3) n, generate_series(1, 30) i, unnest(ARRAY['IoT', 'Network device', 'Endpoint']) c;

SELECT results_eq($$SELECT tenant_id, tenant, devices, counted, capacity, unlimited, gap, surplus, utilization FROM asset.device_bi_coverage WHERE tenant_id::text LIKE 'b1000000-%' ORDER BY 1$$,
                  $$SELECT * FROM asset.device_coverage WHERE tenant_id::text LIKE 'b1000000-%' ORDER BY 1$$, 'coverage: as in the coverage view');
SELECT results_eq($$SELECT counting_rule, as_of FROM asset.device_bi_coverage WHERE tenant_id::text LIKE 'b1000000-%' ORDER BY tenant_id$$,
                  $$SELECT coalesce(t.counting_rule, r.name), now() FROM eiot.tenant t, eiot.counting_rule_at(now()) r WHERE t.tenant_id::text LIKE 'b1000000-%' ORDER BY tenant_id$$, 'with the rule and the instant');
SELECT set_eq($$SELECT tenant_id, reason, sum(devices) FROM asset.device_bi_class WHERE tenant_id::text LIKE 'b1000000-%' GROUP BY 1, 2$$,
              $$SELECT tenant_id, e.reason::text, e.devices::numeric FROM eiot.tenant CROSS JOIN LATERAL eiot.explain_count('asset.device', tenant_id) e WHERE tenant_id::text LIKE 'b1000000-%'$$,
              'class and reason: as explain_count has it');
SELECT set_eq($$SELECT tenant_id, class, sum(devices) FROM asset.device_bi_class WHERE tenant_id::text LIKE 'b1000000-%' GROUP BY 1, 2$$,
              $$SELECT tenant_id, class::text, count(*)::numeric FROM asset.device GROUP BY 1, 2$$, 'and adding up to the devices');
SELECT set_eq($$SELECT tenant_id, sum(devices) FILTER (WHERE counted) FROM asset.device_bi_class WHERE tenant_id::text LIKE 'b1000000-%' GROUP BY 1$$,
              $$SELECT tenant_id, counted::numeric FROM asset.device_coverage WHERE tenant_id::text LIKE 'b1000000-%'$$, 'and those counted to the counted');
SELECT results_eq($$SELECT tenant_id, day, counted, capacity, unlimited, gap, max_gap, max_gap_at FROM asset.device_bi_daily WHERE tenant_id::text LIKE 'b1000000-%' ORDER BY 1, 2$$,
                  $$SELECT tenant_id, at::date, counted, capacity, unlimited, gap, max_gap, max_gap_at
                      FROM eiot.coverage_timeline('asset.device', date_trunc('day', now()) - interval '365 days', now(), interval '1 day') WHERE tenant_id::text LIKE 'b1000000-%' ORDER BY 1, 2$$,
                  'daily: as coverage_timeline has it');
SELECT is((SELECT array_agg(DISTINCT n) FROM (SELECT count(*) AS n FROM asset.device_bi_daily WHERE tenant_id::text LIKE 'b1000000-%' GROUP BY tenant_id) s), '{366}', '366 days');
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SELECT is((SELECT array_agg(DISTINCT day ORDER BY day DESC) FROM asset.device_bi_daily WHERE tenant_id = pg_temp.t(1)),
          (SELECT array_agg((now() AT TIME ZONE 'UTC')::date - i ORDER BY i) FROM generate_series(0, 365) i), 'of UTC, whatever the session''s zone');
SET LOCAL TimeZone = 'UTC';
SELECT set_eq($$SELECT tenant, subscription_id, state, units, capacity, unlimited FROM eiot.bi_entitlement WHERE tenant_id::text LIKE 'b1000000-%'$$,
              $$VALUES ('Fabrikam', 'a', 'enabled', 2::bigint, 10::bigint, false), ('Fabrikam', 'b', 'suspended', 7, 0, false), ('Tailspin', 'trial', 'enabled', NULL, NULL, true)$$, 'entitlements now');
SELECT is((SELECT sum(capacity) FROM eiot.bi_entitlement WHERE tenant_id = pg_temp.t(1)), eiot.capacity_at(pg_temp.t(1), now())::numeric, 'adding up to the capacity');

INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid, unit_price, currency, billing_frequency, billing_anchor)
SELECT pg_temp.t(2), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 'priced', 3, tstzrange(day, day + interval '100 days'), 1.20, 'EUR', 'month', day::date
  FROM (SELECT date_trunc('month', now()) - interval '14 months' + interval '9 days' AS day UNION ALL SELECT date_trunc('day', now()) - interval '40 days') d;
SELECT results_eq($$SELECT entitlement_id, kind, reason, used_from, used_to, cycle_from, cycle_to, units, days, amount, currency, month FROM eiot.bi_charge WHERE tenant_id::text LIKE 'b1000000-%'$$,
                  $$SELECT entitlement_id, kind, reason, lower(used), upper(used) - 1, lower(cycle), upper(cycle) - 1, units, days, amount, currency, date_trunc('month', lower(used)::timestamp)::date
                      FROM eiot.charges(pg_temp.t(2), daterange((date_trunc('month', now()) - interval '12 months')::date, (date_trunc('month', now()) + interval '1 month')::date))$$,
                  'charges: as the function has them');
SELECT cmp_ok((SELECT count(*) FROM eiot.bi_charge WHERE tenant_id = pg_temp.t(2)), '>=', 3::bigint, 'some at least');
SELECT is((SELECT array_agg(DISTINCT date_trunc('month', month)::date = month) FROM eiot.bi_charge), '{t}', 'by the first of a month');

SELECT lives_ok($$SELECT eiot.watch('asset.device')$$, 'a watched inventory');
SELECT set_eq($$SELECT tenant_id, devices, counted, capacity, unlimited, gap, surplus, utilization FROM eiot.bi_tenant_coverage WHERE tenant_id::text LIKE 'b1000000-%'$$,
              $$SELECT tenant_id, devices, counted, capacity, unlimited, gap, surplus, utilization FROM asset.device_coverage WHERE tenant_id::text LIKE 'b1000000-%'$$, 'live coverage: as in the coverage view');
INSERT INTO eiot.flag_event (tenant_id, at, kind, devices, capacity, gap) VALUES
  (pg_temp.t(1), '2026-08-12', 'raised', 1204, 1200, 4), (pg_temp.t(2), '2026-08-13', 'cleared', 7, NULL, 0), (pg_temp.t(9), '2026-08-13', 'raised', 7, 0, 7);
SELECT set_eq($$SELECT tenant, at, kind, devices, capacity, unlimited, gap FROM eiot.bi_flag_event WHERE at < '2026-08-14' AND tenant_id::text LIKE 'b1000000-%'$$,
              $$VALUES ('Fabrikam', timestamptz '2026-08-12', 'raised', 1204::bigint, 1200::bigint, false, 4::bigint), ('Contoso', '2026-08-13', 'cleared', 7, NULL, true, 0), (NULL, '2026-08-13', 'raised', 7, 0, false, 7)$$,
              'flag events');

-- One tenant is read by the index.
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END$$;
SET LOCAL enable_seqscan = off;
SELECT ok(EXISTS (SELECT FROM pg_temp.plan(format('SELECT * FROM %s WHERE tenant_id = %L', view, pg_temp.t(1))) l WHERE l ~ 'Cond: \(tenant_id = ''b1000000'),
          format('%s: a condition on the tenant reaches the tables', view)) FROM (SELECT DISTINCT view FROM contract) c ORDER BY view;
RESET enable_seqscan;

-- ---- who sees what, and how they come and go

CREATE ROLE bi_reader;
GRANT USAGE ON SCHEMA asset TO bi_reader;
SELECT eiot.grant_access('bi_reader', 'reader', pg_temp.t(2));
SELECT eiot.grant_inventory('asset.device', 'bi_reader');
SET LOCAL ROLE bi_reader;
SELECT is((SELECT array_agg(DISTINCT tenant) FROM asset.device_bi_coverage), '{Contoso}', 'a reader of one tenant sees that one: coverage');
SELECT is((SELECT array_agg(DISTINCT tenant) FROM asset.device_bi_class), '{Contoso}', 'class');
SELECT is((SELECT array_agg(DISTINCT tenant) FROM asset.device_bi_daily), '{Contoso}', 'daily');
SELECT is((SELECT array_agg(DISTINCT tenant) FROM eiot.bi_entitlement), '{Contoso}', 'entitlements');
SELECT is((SELECT array_agg(DISTINCT tenant) FROM eiot.bi_charge), '{Contoso}', 'charges');
SELECT is((SELECT array_agg(DISTINCT tenant) FROM eiot.bi_tenant_coverage), '{Contoso}', 'live coverage');
SELECT is((SELECT array_agg(DISTINCT tenant) FROM eiot.bi_flag_event), '{Contoso}', 'flag events');
RESET ROLE;

SELECT eiot.create_inventory('asset.' || repeat('n', 52));
SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES ($$SELECT eiot.create_bi_views('asset.device')$$, '42P07', 'views that exist'),
               (format($$SELECT eiot.create_bi_views('asset.%s')$$, repeat('n', 52)), '42622', 'a name of 52 bytes'),
               ($$SELECT eiot.create_bi_views('pg_class')$$, '42809', 'no inventory'),
               ($$SELECT eiot.create_bi_views(NULL)$$, '22004', 'null'),
               ($$SELECT eiot.drop_bi_views('pg_class')$$, '42809', 'no inventory to drop views of')) v(statement, code, what);
SELECT eiot.create_inventory('asset."Say ""hi"", 100%"', 2);
SELECT is((SELECT count(*) FROM eiot.create_bi_views('asset."Say ""hi"", 100%"')), 3::bigint, 'any name, partitioned');
SELECT lives_ok($$SELECT FROM asset."Say ""hi"", 100%_bi_daily", asset."Say ""hi"", 100%_bi_class", asset."Say ""hi"", 100%_bi_coverage" LIMIT 1$$, 'and they can be read');

ALTER TABLE asset.device RENAME TO thing;
ALTER VIEW asset.device_bi_daily RENAME TO course;
SELECT lives_ok('SELECT FROM asset.course', 'they go on after renames');
SELECT eiot.unwatch('asset.thing');
SELECT eiot.drop_bi_views('asset.thing');
SELECT is((SELECT count(*) FROM eiot.bi_views('asset.thing')), 0::bigint, 'and are dropped');
SELECT isnt(to_regclass('asset.device_coverage'), NULL, 'the coverage view is not');
SELECT is((SELECT count(*) FROM eiot.create_bi_views('asset.thing')), 3::bigint, 'made anew');
SELECT lives_ok($$SELECT eiot.release_inventory('asset.thing')$$, 'an inventory that is released');
SELECT is((SELECT count(*) FROM pg_class WHERE relnamespace = 'asset'::regnamespace AND relname LIKE 'thing%bi%'), 0::bigint, 'has no BI views left');

SELECT * FROM finish();
ROLLBACK;
