-- Tables of devices and the view of their coverage.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

INSERT INTO eiot.tenant (tenant_id, name, counting_rule) VALUES
  ('d2000000-0000-4000-8000-000000000001', 'Fabrikam', NULL),
  ('d2000000-0000-4000-8000-000000000002', 'Contoso', '2023-09'),
  ('d2000000-0000-4000-8000-000000000003', 'Tailspin', NULL);
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid) VALUES
  ('d2000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 1, '[2026-01-01,)'),
  ('d2000000-0000-4000-8000-000000000003', 'e1070000-0000-4000-8000-000000000001', 'trial', eiot.unlimited(), '[2026-08-01,2026-09-01)');

CREATE SCHEMA inventory_test;
SET search_path = inventory_test, public;
SELECT eiot.create_inventory('device');
SELECT eiot.create_inventory('"My Devices"', partitions => 2);
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'inventory_test'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY relname COLLATE "C";
SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull AS required, attgenerated = 's' AS generated
  FROM pg_attribute WHERE attrelid = 'device'::regclass AND attnum > 0 ORDER BY attnum;
\d device_coverage

INSERT INTO device (tenant_id, device_id, category, last_seen, onboarding_status, merged_into, excluded, transient, ip)
SELECT format('d2000000-0000-4000-8000-00000000000%s', n)::uuid, v.*
  FROM generate_series(1, 2) n
 CROSS JOIN (VALUES
    ('camera', 'IoT', timestamptz '2026-08-11', 'Unsupported', NULL, false, false, inet '10.0.0.1'),
    ('phone 1', 'IoT', '2026-08-11', 'Insufficient info', NULL, false, false, '10.0.0.2'),
    ('phone 2', 'IoT', '2026-07-13 00:00:00', 'Can be onboarded', NULL, false, false, NULL),
    ('phone 3', 'IoT', '2026-07-12 23:59:59', 'Can be onboarded', NULL, false, false, NULL),
    ('printer 1', 'IoT', '2026-08-11', NULL, NULL, false, false, 'fe80::1'),
    ('printer 2', 'IoT', '2026-08-11', NULL, 'printer 1', false, false, NULL),
    ('printer 3', 'IoT', '2026-08-11', NULL, NULL, true, false, NULL),
    ('printer 4', 'IoT', '2026-08-11', NULL, NULL, false, true, NULL),
    ('speaker', 'IoT', '2026-08-11', NULL, NULL, false, false, NULL),
    ('switch', 'Network device', '2026-08-11', 'Unsupported', NULL, false, false, '10.0.0.3'),
    ('tv', 'IoT', '2026-08-11', NULL, NULL, false, false, '10.0.0.4'),
    ('workstation', 'Endpoint', '2026-08-11', 'Onboarded', NULL, false, false, '10.0.0.5'),
    ('kiosk', 'IoT', '2026-08-11', 'Onboarded', NULL, false, false, '10.0.0.6'),
    ('multicast', 'IoT', '2026-08-11', NULL, NULL, false, false, '224.0.0.251')) v;
INSERT INTO "My Devices" (tenant_id, device_id, category, last_seen, onboarding_status, merged_into, excluded, transient, ip)
SELECT tenant_id, device_id, category, last_seen, onboarding_status, merged_into, excluded, transient, ip FROM device;

-- One capacity for five: Fabrikam has a device too many.  Contoso still counts as in 2023, the switch as well.
SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, round(utilization, 4) AS utilization FROM eiot.coverage_at('device', '2026-08-12') WHERE tenant_id::text LIKE 'd2000000-%' ORDER BY tenant_id;
SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, round(utilization, 4) AS utilization FROM eiot.coverage_at('"My Devices"', '2026-08-12') WHERE tenant_id::text LIKE 'd2000000-%' ORDER BY tenant_id;
SELECT * FROM eiot.explain_count('device', 'd2000000-0000-4000-8000-000000000001', '2026-08-12');
SELECT * FROM eiot.explain_count('"My Devices"', 'd2000000-0000-4000-8000-000000000002', '2026-08-12');
-- The past, and before there was any rule.
SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, utilization FROM eiot.coverage_at('device', '2020-01-01') WHERE tenant_id::text LIKE 'd2000000-%' ORDER BY tenant_id;
-- The view has every tenant.
SELECT tenant, devices FROM device_coverage WHERE tenant_id::text LIKE 'd2000000-%' ORDER BY tenant_id;

-- Somebody knows better.
UPDATE device SET class_override = 'ot' WHERE device_id = 'camera' RETURNING device_id, category, class;
SELECT tenant, counted, gap FROM eiot.coverage_at('device', '2026-08-12') WHERE tenant_id::text LIKE 'd2000000-%' ORDER BY tenant_id;

-- What is refused.
SELECT eiot.create_inventory('device');
SELECT eiot.create_inventory('a.b.c');
SELECT eiot.create_inventory('my devices');
SELECT eiot.create_inventory(repeat('n', 55));
SELECT eiot.create_inventory('other', 1025);
SELECT eiot.create_inventory(NULL);
SELECT * FROM eiot.coverage_at('device_coverage');
SELECT * FROM eiot.coverage_at('device', NULL);
SELECT * FROM eiot.explain_count('eiot.tenant', 'd2000000-0000-4000-8000-000000000001');
SELECT * FROM eiot.explain_count('device', 'd2000000-0000-4000-8000-00000000ffff');
SELECT * FROM eiot.explain_count('device', 'd2000000-0000-4000-8000-000000000001', '2020-01-01');
SELECT eiot.check_inventory(NULL);
INSERT INTO device (tenant_id, device_id) VALUES ('d2000000-0000-4000-8000-00000000ffff', 'a');
INSERT INTO device (tenant_id, device_id, class) VALUES ('d2000000-0000-4000-8000-000000000001', 'a', 'iot');

-- The same name in a schema that does not exist.
\set VERBOSITY sqlstate
SELECT eiot.create_inventory('nowhere.device');
\set VERBOSITY default

-- Released it is a table like any other.
SELECT eiot.release_inventory('"My Devices"');
SELECT attname, format_type(atttypid, atttypmod) AS type, attgenerated = 's' AS generated
  FROM pg_attribute WHERE attrelid = '"My Devices"'::regclass AND attname ~ 'class|count_key' ORDER BY attnum;
SELECT class, count(*) FROM "My Devices" GROUP BY class ORDER BY class COLLATE "C";
SELECT to_regclass('"My Devices_coverage"') AS view;

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA inventory_test CASCADE;
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'd2000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'd2000000-%';
