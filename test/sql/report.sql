-- Reports: one page, by hand and by schedule.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('d5000000-0000-4000-8000-000000000001', 'Fabrikam'),
  ('d5000000-0000-4000-8000-000000000002', 'Contoso <R&D>');
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid) VALUES
  ('d5000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 1, '[2026-01-01,)');
CREATE SCHEMA report_test;
SELECT eiot.create_inventory('report_test.device');
INSERT INTO report_test.device (tenant_id, device_id, category, first_seen, last_seen)
SELECT 'd5000000-0000-4000-8000-000000000001', 'camera ' || i, 'IoT', timestamptz '2026-01-01', timestamptz '2026-07-31' FROM generate_series(1, 7) i;

-- A page is a text.  This is what its reader sees first.
SELECT substring(page FROM '<h1>.*?</h1>') AS headline, substring(page FROM '<title>.*?</title>') AS title
  FROM eiot.report_html('report_test.device', 'd5000000-0000-4000-8000-000000000001', '[2026-07-01,2026-08-01)') page;
SELECT substring(page FROM '<h1>.*?</h1>') AS headline
  FROM eiot.report_html('report_test.device', 'd5000000-0000-4000-8000-000000000002', '[2026-07-01,2026-08-01)') page;

-- By schedule: about one tenant, about each.
SELECT eiot.schedule_report('fabrikam monthly', 'report_test.device', 'd5000000-0000-4000-8000-000000000001');
SELECT eiot.schedule_report('customers', 'report_test.device', frequency => 'week', each_tenant => true, keep => 2);
SELECT name, inventory, tenant_id, each_tenant, frequency, keep FROM eiot.report_schedule ORDER BY name;
SELECT r.* FROM eiot.run_reports('2026-07-27') r WHERE r.tenant_id IN (SELECT tenant_id FROM report_test.device) ORDER BY name, tenant_id;
-- What has been made is not made again.
SELECT * FROM eiot.run_reports('2026-07-27 12:00');
SELECT name, tenant_id, period, attempts, substring(html FROM '<h1>.*?</h1>') AS headline, error
  FROM eiot.report_run WHERE tenant_id::text LIKE 'd5000000-%' ORDER BY name, tenant_id;
-- Two periods on, the oldest of three is gone.
SELECT count(*) > 0 AS made FROM eiot.run_reports('2026-08-03');
SELECT count(*) > 0 AS made FROM eiot.run_reports('2026-08-10');
SELECT period FROM eiot.report_run WHERE name = 'customers' AND tenant_id = 'd5000000-0000-4000-8000-000000000001' ORDER BY period;

-- One that fails stops no other, and is tried again.
SELECT eiot.unschedule_report('customers');
SELECT eiot.create_inventory('report_test.gone');
SELECT eiot.schedule_report('a broken one', 'report_test.gone');
DROP TABLE report_test.gone CASCADE;
SELECT eiot.schedule_report('fabrikam daily', 'report_test.device', 'd5000000-0000-4000-8000-000000000001', frequency => 'day');
SELECT name, period, error FROM eiot.run_reports('2026-08-11') ORDER BY name;
SELECT name, period, error FROM eiot.run_reports('2026-08-11 01:00') ORDER BY name;
SELECT name, period, attempts, html IS NOT NULL AS made, error FROM eiot.report_run WHERE name <> 'customers' ORDER BY name, period;

-- What is refused.
SELECT eiot.report_html('pg_class');
SELECT eiot.report_html('report_test.device', 'd5000000-0000-4000-8000-000000000099');
SELECT eiot.report_html('report_test.device', period => '[2026-07-01,)');
SELECT eiot.report_html('report_test.device', period => '[2126-08-01,2126-09-01)');
SELECT eiot.schedule_report('', 'report_test.device');
SELECT eiot.schedule_report('x', 'report_test.device', frequency => 'fortnight');
SELECT eiot.schedule_report('x', 'report_test.device', keep => 0);
SELECT eiot.schedule_report('x', 'report_test.device', 'd5000000-0000-4000-8000-000000000001', each_tenant => true);
SELECT eiot.run_reports(NULL);
SELECT eiot.unschedule_report('never scheduled');

\set VERBOSITY terse
SET client_min_messages = warning;
DELETE FROM eiot.report_schedule;
DELETE FROM eiot.report_run;
DROP SCHEMA report_test CASCADE;
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'd5000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'd5000000-%';
