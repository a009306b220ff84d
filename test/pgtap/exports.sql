-- The exports of test/data give the figures of test/data/README.md, in a plain inventory and in a partitioned one.
\set ON_ERROR_STOP 1
\getenv data EIOT_TEST_DATA
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
-- Tables that were never analyzed look worth compiling for, at half a second a query.
SET LOCAL jit = off;

SELECT plan(92);

CREATE TEMP TABLE sample (tenant_id uuid, name text, folder text);
\set tenants_csv :data /tenants.csv
COPY sample FROM :'tenants_csv' (FORMAT csv, HEADER);

CREATE TEMP TABLE export AS
  SELECT s.tenant_id, s.folder, f.file, pg_read_file(format('%s/%s/%s', :'data', s.folder, f.file))::jsonb AS body
    FROM sample s CROSS JOIN LATERAL pg_ls_dir(format('%s/%s', :'data', s.folder)) f(file)
   WHERE f.file LIKE '%.json';

CREATE TEMP TABLE expected_reason (reason eiot.count_reason, devices bigint);
\set reasons_csv :data /proseware/expected_reasons.csv
COPY expected_reason FROM :'reasons_csv' (FORMAT csv, HEADER);

INSERT INTO eiot.tenant (tenant_id, name) SELECT tenant_id, name FROM sample;
-- A tenant without anything has its row all the same.
INSERT INTO eiot.tenant (tenant_id, name) VALUES ('5f2c0d6e-0000-4000-8000-00000000ffff', 'Nobody');

CREATE SCHEMA exports;
CREATE TEMP TABLE made AS
  SELECT eiot.create_inventory('exports.plain') AS inventory
  UNION ALL
  SELECT eiot.create_inventory('exports.hashed', 4);

CREATE FUNCTION pg_temp.import_skus(folder text, file text, as_of timestamptz) RETURNS bigint
  LANGUAGE sql
  RETURN (SELECT count(*)
            FROM export e CROSS JOIN LATERAL eiot.import_subscribed_skus(e.tenant_id, e.body, as_of)
           WHERE e.folder = import_skus.folder AND e.file = import_skus.file);

-- Into both inventories; what it returned must be the same for both.
CREATE FUNCTION pg_temp.import_devices(folder text, file text) RETURNS text
  LANGUAGE sql
  RETURN (SELECT string_agg(DISTINCT format('%s read, %s devices, %s stored, %s rejected', i.rows_read, i.devices, i.stored, i.rejected), ' or ')
            FROM export e CROSS JOIN made m CROSS JOIN LATERAL eiot.import_device_info(m.inventory, e.tenant_id, e.body) i
           WHERE e.folder = import_devices.folder AND e.file = import_devices.file);

CREATE FUNCTION pg_temp.figures(inventory regclass, folder text, as_of timestamptz) RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('devices %s, counted %s, capacity %s, gap %s', c.devices, c.counted, c.capacity, c.gap)
            FROM sample s JOIN eiot.coverage_at(inventory, as_of) c USING (tenant_id)
           WHERE s.folder = figures.folder);

-- One test for each inventory.
CREATE FUNCTION pg_temp.has_figures(folder text, as_of timestamptz, devices bigint, counted bigint, capacity bigint,
                                    gap bigint, what text)
  RETURNS SETOF text
  LANGUAGE sql
BEGIN ATOMIC
  SELECT is(pg_temp.figures(m.inventory, folder, as_of),
            format('devices %s, counted %s, capacity %s, gap %s', devices, counted, capacity, gap),
            format('%s: %s %s', m.inventory, folder, what))
    FROM made m
   ORDER BY m.inventory::text;
END;

-- ---- first imports

SELECT is((SELECT count(*) FROM sample), 8::bigint, 'there are eight tenants');

SELECT is(pg_temp.import_skus(folder, 'subscribedSkus.json', '2026-08-12'), skus, format('%s: %s SKUs are new', folder, skus))
  FROM (VALUES ('fabrikam', 1::bigint), ('contoso', 1), ('northwind', 1), ('wingtip', 2), ('litware', 4), ('adatum', 0),
               ('tailspin', 1), ('proseware', 2)) v(folder, skus);

SELECT is(pg_temp.import_devices(folder, 'DeviceInfo.json'),
          format('%s read, %s devices, %2$s stored, 0 rejected', rows_read, devices), format('%s: all rows go in', folder))
  FROM (VALUES ('fabrikam', 1244, 1244), ('contoso', 1679, 1679), ('northwind', 2500, 2500), ('wingtip', 100, 100),
               ('litware', 60, 60), ('adatum', 25, 25), ('tailspin', 0, 0), ('proseware', 74, 71)) v(folder, rows_read, devices);

SELECT pg_temp.has_figures(folder, '2026-08-12', devices, counted, capacity, gap, what)
  FROM (VALUES ('fabrikam', 1244, 1204, 1200, 4, 'lacks 4'),
               ('contoso', 1679, 1206, 1600, 0, 'without its network devices'),
               ('northwind', 2500, 2500, 2500, 0, 'is exactly covered'),
               ('wingtip', 100, 100, 100, 0, 'has standalone licenses'),
               ('litware', 60, 60, 3025, 0, 'with units in every state'),
               ('adatum', 25, 25, 0, 25, 'has no licenses'),
               ('tailspin', 0, 0, 50, 0, 'has no devices'),
               ('proseware', 71, 31, 5, 26, 'has every reason')) v(folder, devices, counted, capacity, gap, what);

SELECT results_eq(
  format($$SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, utilization
             FROM eiot.coverage_at(%L, '2026-08-12') WHERE tenant IN ('Nobody', 'Litware') ORDER BY tenant$$, inventory),
  $$VALUES ('Litware', 60::bigint, 60::bigint, 3025::bigint, false, 0::bigint, 2965::bigint, 60 / 3025::numeric),
           ('Nobody', 0, 0, 0, false, 0, 0, NULL)$$,
  format('%s: surplus and utilization; a tenant without anything', inventory))
  FROM made ORDER BY inventory::text;

-- ---- the same again

SELECT is((SELECT sum(pg_temp.import_skus(folder, 'subscribedSkus.json', '2026-08-12 01:00')) FROM sample), 0::numeric,
          'the same SKUs an hour later change nothing');
SELECT is_empty($$SELECT folder, got FROM sample CROSS JOIN LATERAL pg_temp.import_devices(folder, 'DeviceInfo.json') got
                   WHERE got NOT LIKE '%, 0 stored, 0 rejected'$$, 'the same devices again: nothing is stored');

-- ---- reasons

SELECT set_eq(
  format($$SELECT * FROM eiot.explain_count(%L, (SELECT tenant_id FROM sample WHERE folder = 'proseware'), '2026-08-12')$$, inventory),
  'SELECT * FROM expected_reason', format('%s: the reasons of proseware', inventory))
  FROM made ORDER BY inventory::text;

SELECT is_empty(
  format($$SELECT c.tenant, c.devices, c.counted, x.*
             FROM eiot.coverage_at(%1$L, '2026-08-12') c
            CROSS JOIN LATERAL (SELECT COALESCE(sum(devices), 0) AS explained,
                                       COALESCE(sum(devices) FILTER (WHERE reason = 'counted'), 0) AS explained_counted
                                  FROM eiot.explain_count(%1$L, c.tenant_id, '2026-08-12')) x
            WHERE (c.devices, c.counted) IS DISTINCT FROM (x.explained, x.explained_counted)
               OR c.devices <> (SELECT count(*) FROM %1$s d WHERE d.tenant_id = c.tenant_id)$$, inventory),
  format('%s: the reasons of each tenant add up to its rows, those counted to its count', inventory))
  FROM made ORDER BY inventory::text;

SELECT is_empty(
  format($$SELECT c.tenant, c.counted, d.counted
             FROM eiot.coverage_at(%1$L, '2026-08-12') c
            CROSS JOIN LATERAL (
              SELECT count(*) AS counted
                FROM %1$s
               WHERE tenant_id = c.tenant_id AND class = 'iot' AND merged_into IS NULL AND NOT excluded AND NOT transient
                 AND lower(onboarding_status) IS DISTINCT FROM 'onboarded' AND last_seen >= '2026-07-13 00:00:00+00'
                 AND (ip IS NULL OR ip << ANY ('{10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,fe80::/10,fc00::/7}'::inet[]))) d
            WHERE c.counted <> d.counted$$, inventory),
  format('%s: the count is that of the rule written out in SQL', inventory))
  FROM made ORDER BY inventory::text;

-- ---- the view

SELECT results_eq(format('SELECT * FROM %s_coverage ORDER BY tenant_id', inventory),
                  format('SELECT * FROM eiot.coverage_at(%L, now()) ORDER BY tenant_id', inventory),
                  format('%s: the view is coverage_at now', inventory))
  FROM made ORDER BY inventory::text;
SELECT results_eq(format('SELECT * FROM %s_coverage ORDER BY tenant_id', inventory),
                  format('SELECT * FROM eiot.coverage_at(%L) ORDER BY tenant_id', inventory),
                  format('%s: now is the default of coverage_at', inventory))
  FROM made ORDER BY inventory::text;
SELECT set_eq(format('SELECT tenant_id, tenant FROM %s_coverage', inventory), 'SELECT tenant_id, name FROM eiot.tenant',
              format('%s: the view has every tenant once', inventory))
  FROM made ORDER BY inventory::text;
SELECT results_eq(format('SELECT * FROM eiot.coverage_at(''exports.plain'', %L) ORDER BY tenant_id', as_of),
                  format('SELECT * FROM eiot.coverage_at(''exports.hashed'', %L) ORDER BY tenant_id', as_of),
                  format('partitions make no difference on %s', as_of))
  FROM (VALUES ('2026-07-20'), ('2026-08-12'), ('2026-09-10')) v(as_of);

-- ---- the plan reads nothing but the inventory's index

CREATE FUNCTION pg_temp.plan_nodes(query text) RETURNS TABLE (node text, relation text, index text, loops integer)
  LANGUAGE plpgsql
AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
  RETURN QUERY
    SELECT n ->> 'Node Type', n ->> 'Relation Name', n ->> 'Index Name', (n ->> 'Actual Loops')::numeric::integer
      FROM jsonb_path_query(plan::jsonb, 'strict $.** ? (exists (@."Relation Name"))') n;
END
$$;

-- What VACUUM would make the planner choose by itself.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT bag_eq($$SELECT node, relation, index FROM pg_temp.plan_nodes('SELECT * FROM exports.plain_coverage') WHERE relation ~ '^plain'$$,
              $$VALUES ('Index Only Scan', 'plain', 'plain_count')$$,
              'exports.plain: the view is an index-only scan');
SELECT bag_eq($$SELECT node, relation, index FROM pg_temp.plan_nodes('SELECT * FROM exports.hashed_coverage') WHERE relation ~ '^hashed'$$,
              $$SELECT 'Index Only Scan' AS node, 'hashed_p' || i AS relation, c.relname::text AS index
                  FROM generate_series(0, 3) i
                  JOIN pg_index x ON x.indrelid = format('exports.hashed_p%s', i)::regclass
                  JOIN pg_inherits h ON h.inhrelid = x.indexrelid AND h.inhparent = 'exports.hashed_count'::regclass
                  JOIN pg_class c ON c.oid = x.indexrelid$$,
              'exports.hashed: the view is an index-only scan of each partition');
SELECT bag_eq($$SELECT node, relation, index FROM pg_temp.plan_nodes('SELECT counted FROM exports.plain_coverage WHERE tenant_id = ''5f2c0d6e-0000-4000-8000-000000000001''') WHERE relation ~ '^plain'$$,
              $$VALUES ('Index Only Scan', 'plain', 'plain_count')$$,
              'exports.plain: for one tenant, too');
SELECT results_eq($$SELECT count(*) FROM pg_temp.plan_nodes('SELECT counted FROM exports.hashed_coverage WHERE tenant_id = ''5f2c0d6e-0000-4000-8000-000000000001''') WHERE relation ~ '^hashed' AND loops > 0$$,
                  'VALUES (1::bigint)', 'exports.hashed: one tenant is one partition');
RESET enable_seqscan;
RESET enable_bitmapscan;

-- ---- fabrikam buys

SELECT is(pg_temp.import_skus('fabrikam', 'subscribedSkus-plus-4.json', '2026-08-12 06:00'), 1::bigint,
          'fabrikam: the add-on is what changed');
SELECT pg_temp.has_figures('fabrikam', '2026-08-12 06:00', 1244, 1204, 1204, 0, 'bought the four');
SELECT is(pg_temp.import_skus('fabrikam', 'subscribedSkus-241.json', '2026-08-12 12:00'), 2::bigint,
          'fabrikam: one SKU changed, one is gone');
SELECT pg_temp.has_figures('fabrikam', '2026-08-12 12:00', 1244, 1204, 1205, 0, 'has one more E5 instead');
SELECT pg_temp.has_figures('fabrikam', '2026-08-12 11:59:59', 1244, 1204, 1204, 0, 'had the four until then');
SELECT pg_temp.has_figures('fabrikam', '2026-08-12', 1244, 1204, 1200, 4, 'lacked 4 before');
SELECT pg_temp.has_figures('fabrikam', '2026-08-11 23:59:59.999', 1244, 1204, 0, 1204, 'had nothing at first');

-- ---- contoso onboards, under three rules

UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE name = 'Contoso';
SELECT pg_temp.has_figures('contoso', '2026-08-12', 1679, 1679, 1600, 79, 'under the rule of 2023-09');
SELECT is(pg_temp.import_devices('contoso', 'DeviceInfo-managed.json'), '500 read, 500 devices, 500 stored, 0 rejected',
          'contoso: 500 devices were onboarded');
SELECT pg_temp.has_figures('contoso', '2026-08-12', 1679, 1179, 1600, 0, 'onboarded, under the rule of 2023-09');
UPDATE eiot.tenant SET counting_rule = NULL WHERE name = 'Contoso';
SELECT pg_temp.has_figures('contoso', '2026-08-12', 1679, 906, 1600, 0, 'onboarded, under the rule in force');
INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after) VALUES ('ours', '{iot,network}', NULL);
UPDATE eiot.tenant SET counting_rule = 'ours' WHERE name = 'Contoso';
SELECT pg_temp.has_figures('contoso', '2026-08-12', 1679, 1179, 1600, 0, 'under a rule of its own that counts network devices');
SELECT pg_temp.has_figures('contoso', '2046-08-12', 1679, 1179, 1600, 0, 'under a rule that never expires');
UPDATE eiot.tenant SET counting_rule = NULL WHERE name = 'Contoso';

-- ---- northwind gets one more

SELECT is(pg_temp.import_devices('northwind', 'DeviceInfo-one-more.json'), '1 read, 1 devices, 1 stored, 0 rejected',
          'northwind: one device is new');
SELECT pg_temp.has_figures('northwind', '2026-08-12', 2501, 2501, 2500, 1, 'has one too many');

-- ---- litware's grace period

SET LOCAL eiot.count_warning_units = off;
SELECT pg_temp.has_figures('litware', '2026-08-12', 60, 60, 1525, 0, 'without units in warning');
SELECT results_eq(format('SELECT * FROM %s_coverage ORDER BY tenant_id', inventory),
                  format('SELECT * FROM eiot.coverage_at(%L, now()) ORDER BY tenant_id', inventory),
                  format('%s: the view follows the setting', inventory))
  FROM made ORDER BY inventory::text;
SET LOCAL eiot.count_warning_units = on;
SELECT pg_temp.has_figures('litware', '2026-08-12', 60, 60, 3025, 0, 'with units in warning again');

-- ---- after all of that

SELECT is_empty(
  format($$SELECT c.tenant, c.devices, c.counted, x.*
             FROM %1$s_coverage c
            CROSS JOIN LATERAL (SELECT COALESCE(sum(devices), 0) AS explained,
                                       COALESCE(sum(devices) FILTER (WHERE reason = 'counted'), 0) AS explained_counted
                                  FROM eiot.explain_count(%1$L, c.tenant_id)) x
            WHERE (c.devices, c.counted) IS DISTINCT FROM (x.explained, x.explained_counted)$$, inventory),
  format('%s: the reasons now add up to the view', inventory))
  FROM made ORDER BY inventory::text;
SELECT results_eq('SELECT * FROM exports.plain_coverage ORDER BY tenant_id',
                  'SELECT * FROM exports.hashed_coverage ORDER BY tenant_id', 'both inventories have the same');
SELECT bag_eq('SELECT * FROM exports.plain', 'SELECT * FROM exports.hashed', 'row by row');

SELECT * FROM finish();
ROLLBACK;
