-- Coverage over time, and peaks.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('d4000000-0000-4000-8000-000000000001', 'Fabrikam'),
  ('d4000000-0000-4000-8000-000000000002', 'Contoso');
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid) VALUES
  ('d4000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'E5', 1, '[2026-08-03,2026-08-20)'),
  ('d4000000-0000-4000-8000-000000000001', 'b2f91841-252f-4765-94c3-75802d7c0ddb', 'add-on', 2, '[2026-08-08 09:00,2026-08-10)'),
  ('d4000000-0000-4000-8000-000000000001', 'e1070000-0000-4000-8000-000000000001', 'trial', eiot.unlimited(), '[2026-08-12,2026-08-14)');
CREATE SCHEMA timeline_test;
SET search_path = timeline_test, public;
SELECT eiot.create_inventory('device');
-- One more each day from the first of August on; the first three are not seen again, the others are all the time.
INSERT INTO device (tenant_id, device_id, category, first_seen, last_seen)
SELECT 'd4000000-0000-4000-8000-000000000001', 'camera ' || i, 'IoT',
       timestamptz '2026-07-31 12:00' + i * interval '1 day',
       CASE WHEN i > 3 THEN timestamptz '2026-08-20' ELSE timestamptz '2026-07-31 18:00' + i * interval '1 day' END
  FROM generate_series(1, 10) i;

-- Days, and what happens between two midnights.
SELECT at, counted, capacity, unlimited, gap, max_gap, max_gap_at
  FROM eiot.coverage_timeline('device', '2026-08-01', '2026-08-16', '1 day', 'd4000000-0000-4000-8000-000000000001')
 ORDER BY at;
-- The first three grow silent; the licenses end.
SELECT at, counted, capacity, gap, max_gap, max_gap_at
  FROM eiot.coverage_timeline('device', '2026-08-15', '2026-10-01', '7 days', 'd4000000-0000-4000-8000-000000000001')
 ORDER BY at;
-- Every tenant has its rows; months are calendar months.
SELECT t.name, l.at, l.counted, l.capacity, l.gap, l.max_gap, l.max_gap_at
  FROM eiot.coverage_timeline('device', '2026-07-31', '2026-11-15', '1 month') l JOIN eiot.tenant t USING (tenant_id)
 WHERE tenant_id::text LIKE 'd4000000-%'
 ORDER BY t.name, l.at;
-- Before there was any rule.
SELECT at, counted, capacity, unlimited, gap, max_gap, max_gap_at
  FROM eiot.coverage_timeline('device', '2022-07-05', '2022-07-07', '1 day', 'd4000000-0000-4000-8000-000000000002')
 ORDER BY at;
-- The worst of all.
SELECT max_gap, max_gap_at FROM eiot.coverage_timeline('device', '2026-07-01', '2026-10-01', '1 year', 'd4000000-0000-4000-8000-000000000001');
SELECT (eiot.peak(tstzrange(first_seen, last_seen))).* FROM device;
SELECT eiot.peak(NULL) FROM device;

-- When capacity runs out: as the devices grow, as the licenses end, not before the horizon, never.
SELECT runs_out, expected, expected_capacity, counted, capacity, unlimited, devices_per_day, trend_from, trend_to
  FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000001', as_of => '2026-08-04');
SELECT * FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000001', as_of => '2026-08-12 13:00', trend_over => '2 days');
SELECT runs_out, devices_per_day FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000001', '1 day', '2026-08-04');
SELECT runs_out, devices_per_day FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000002', as_of => '2026-08-04');

-- What is refused.
SELECT * FROM eiot.forecast('device', NULL);
SELECT * FROM eiot.forecast('device', 'd4000000-0000-4000-8000-00000000ffff');
SELECT * FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000001', '-1 month');
SELECT * FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000001', trend_over => '1 day');
SELECT * FROM eiot.forecast('device', 'd4000000-0000-4000-8000-000000000001', as_of => '2022-07-01');
SELECT * FROM eiot.coverage_timeline(NULL, '2026-08-01', '2026-08-02', '1 day');
SELECT * FROM eiot.coverage_timeline('eiot.tenant', '2026-08-01', '2026-08-02', '1 day');
SELECT * FROM eiot.coverage_timeline('device', NULL, '2026-08-02', '1 day');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-01', 'infinity', '1 day');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-02', '2026-08-01', '1 day');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-01', '2026-08-02', '0');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-01', '2026-08-02', '-1 hour');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-01', '2027-08-02', '1 second');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-01', '2026-08-02', 'a day');
SELECT * FROM eiot.coverage_timeline('device', '2026-08-01', '2026-08-02', '1 day', 'd4000000-0000-4000-8000-00000000ffff');

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA timeline_test CASCADE;
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'd4000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'd4000000-%';
