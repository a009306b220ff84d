-- Access as its users see it: what is granted, what is seen, what is refused, what is kept.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
\set SHOW_CONTEXT never
CREATE ROLE regress_eiot_reader;
CREATE ROLE regress_eiot_manager;
CREATE ROLE regress_eiot_nobody;
RESET client_min_messages;
INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('ae000000-0000-4000-8000-000000000001', 'Fabrikam'), ('ae000000-0000-4000-8000-000000000002', 'Contoso');
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid) VALUES
  ('ae000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'f', 2, '[2026-01-01,)'),
  ('ae000000-0000-4000-8000-000000000002', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'c', 3, '[2026-01-01,)');
CREATE SCHEMA access_sql;
SELECT eiot.create_inventory('access_sql.device');
GRANT USAGE ON SCHEMA access_sql TO PUBLIC;
INSERT INTO access_sql.device (tenant_id, device_id, category, last_seen)
SELECT t, 'd' || n, 'IoT', now() FROM eiot.tenant, unnest(ARRAY[tenant_id]) t, generate_series(1, 12) n WHERE t::text LIKE 'ae%';

SELECT eiot.grant_access('regress_eiot_reader', 'reader');
SELECT eiot.grant_access('regress_eiot_manager', 'manager', 'ae000000-0000-4000-8000-000000000001');
SELECT eiot.grant_inventory('access_sql.device', 'regress_eiot_reader'), eiot.grant_inventory('access_sql.device', 'regress_eiot_manager', 'manager');
SELECT grantee, level, tenant_id, granted_by = current_user AS by_me FROM eiot.access ORDER BY grantee;

-- what is seen
SET ROLE regress_eiot_reader;
SELECT tenant, counted, capacity, gap FROM access_sql.device_coverage WHERE tenant_id::text LIKE 'ae%' ORDER BY tenant;
SELECT eiot.access_to_all('reader'), eiot.access_to_all('manager'), eiot.accessible_tenants('reader');
SET ROLE regress_eiot_manager;
SELECT tenant, counted, capacity, gap FROM access_sql.device_coverage ORDER BY tenant;
SELECT eiot.access_to_all('reader'), eiot.accessible_tenants('manager');
SELECT grantee, level FROM eiot.access;

-- what is refused
SET ROLE regress_eiot_manager;
SELECT * FROM eiot.explain_count('access_sql.device', 'ae000000-0000-4000-8000-000000000002');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES ('ae000000-0000-4000-8000-000000000002', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1);
INSERT INTO eiot.tenant (tenant_id, name) VALUES ('ae000000-0000-4000-8000-000000000003', 'Mine');
UPDATE access_sql.device SET tenant_id = 'ae000000-0000-4000-8000-000000000002';
UPDATE eiot.tenant SET counting_rule = '2022-07';
SELECT eiot.grant_access('regress_eiot_manager', 'manager');
SELECT eiot.set_access_rights('regress_eiot_manager');
SELECT eiot.grant_inventory('access_sql.device', 'regress_eiot_nobody');
SET row_security = off;
UPDATE eiot.entitlement SET units = 1000;
RESET row_security;
DELETE FROM eiot.audit;
SET ROLE regress_eiot_nobody;
SELECT * FROM access_sql.device_coverage;
SELECT * FROM eiot.tenant;
SELECT eiot.access_to_all('reader'), eiot.accessible_tenants('reader');
RESET ROLE;
SELECT eiot.grant_access('regress_eiot_nobody', 'admin');
SELECT eiot.grant_access('regress_eiot_nobody', 'reader', 'ae000000-0000-4000-8000-00000000ffff');
SELECT eiot.access_to_all('admin');
SELECT eiot.limit_to_tenants('eiot.oui');
CREATE TABLE access_sql.plain (n integer);
SELECT eiot.record_changes_of('access_sql.plain');

-- what is kept
SET ROLE regress_eiot_manager;
UPDATE eiot.entitlement SET units = 4;
SELECT stored FROM eiot.import_device_info('access_sql.device', 'ae000000-0000-4000-8000-000000000001', '[{"DeviceId": "n", "Timestamp": "2026-08-01", "DeviceCategory": "IoT"}]');
RESET ROLE;
SELECT who, table_name, action, before ->> 'units' AS units_before, after ->> 'units' AS units_after, after ->> 'stored' AS stored
  FROM eiot.audit WHERE tenant_id = 'ae000000-0000-4000-8000-000000000001' AND who <> current_user ORDER BY audit_id;

-- and taken back
SELECT eiot.revoke_access('regress_eiot_manager', 'ae000000-0000-4000-8000-000000000002');
SELECT eiot.revoke_access('regress_eiot_manager');
SET ROLE regress_eiot_manager;
SELECT count(*) FROM eiot.tenant;
RESET ROLE;

-- a role that was dropped
CREATE ROLE regress_eiot_gone;
SELECT eiot.grant_access('regress_eiot_gone', 'reader');
-- the detail names every table
\set VERBOSITY terse
DROP ROLE regress_eiot_gone;
\set VERBOSITY default
DROP OWNED BY regress_eiot_gone;
DROP ROLE regress_eiot_gone;
SELECT grantee, level FROM eiot.access a WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = a.grantee);
CREATE ROLE regress_eiot_gone;
SELECT eiot.grant_access('regress_eiot_gone', 'reader', 'ae000000-0000-4000-8000-000000000001');
SELECT grantee, level, tenant_id FROM eiot.access WHERE grantee = 'regress_eiot_gone';

SET client_min_messages = warning;
SELECT eiot.revoke_access(r::regrole) FROM unnest('{regress_eiot_gone,regress_eiot_reader}'::text[]) r;
DROP SCHEMA access_sql CASCADE;
DROP ROLE regress_eiot_gone, regress_eiot_reader, regress_eiot_manager, regress_eiot_nobody;
DELETE FROM eiot.device_import WHERE tenant_id::text LIKE 'ae%';
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'ae%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'ae%';
