-- Live coverage, as a user sees it.
SET TimeZone = 'UTC';
\set SHOW_CONTEXT never
INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('11aa0000-0000-4000-8000-000000000001', 'Fabrikam'), ('11aa0000-0000-4000-8000-000000000002', 'Contoso');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES
  ('11aa0000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1);
CREATE SCHEMA live;
SELECT eiot.create_inventory('live.device');
INSERT INTO live.device (tenant_id, device_id, category, last_seen)
SELECT '11aa0000-0000-4000-8000-000000000001', 'd' || i, 'IoT', now() FROM generate_series(1, 5) i;
SELECT eiot.watch('live.device');

CREATE VIEW live.now AS
  SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, under_licensed, since IS NOT NULL AS has_since
    FROM eiot.tenant_coverage WHERE tenant_id::text LIKE '11aa%' ORDER BY tenant;
CREATE VIEW live.flags AS
  SELECT t.name, e.kind, e.devices, e.capacity, e.gap FROM eiot.flag_event e JOIN eiot.tenant t USING (tenant_id) ORDER BY flag_event_id;
TABLE live.now;

-- One device too many, and back; nothing of what is rolled back.
BEGIN;
INSERT INTO live.device (tenant_id, device_id, category, last_seen) VALUES ('11aa0000-0000-4000-8000-000000000001', 'd6', 'IoT', now());
TABLE live.now;
ROLLBACK;
TABLE live.flags;
INSERT INTO live.device (tenant_id, device_id, category, last_seen) VALUES ('11aa0000-0000-4000-8000-000000000001', 'd6', 'IoT', now());
TABLE live.now;
UPDATE live.device SET last_seen = now();
DELETE FROM live.device WHERE device_id = 'd1';
TABLE live.flags;

-- A device moves to a tenant without licenses.
UPDATE live.device SET tenant_id = '11aa0000-0000-4000-8000-000000000002' WHERE device_id = 'd2';
TABLE live.now;

-- Time passes.
SELECT eiot.refresh();
SELECT eiot.refresh(now() + interval '31 days');
TABLE live.flags;
SELECT eiot.refresh();
-- The commit does it, for the instant asked for last, and not what is rolled back.
BEGIN;
SELECT eiot.refresh(now() + interval '31 days');
SELECT count(*) FROM live.flags;
SELECT eiot.refresh();
COMMIT;
SELECT count(*) FROM live.flags;
BEGIN;
SELECT eiot.refresh(now() + interval '31 days');
ROLLBACK;
SELECT count(*) FROM live.flags;
BEGIN;
SELECT eiot.refresh();
SELECT eiot.refresh(now() + interval '31 days');
COMMIT;
SELECT count(*) FROM live.flags;
SELECT eiot.refresh();
BEGIN READ ONLY;
SELECT eiot.refresh();
COMMIT;

-- More room before the flag.
SELECT eiot.set_alert('11aa0000-0000-4000-8000-000000000002', 2, 0);
INSERT INTO live.device (tenant_id, device_id, category, last_seen)
SELECT '11aa0000-0000-4000-8000-000000000002', 'e' || i, 'IoT', now() FROM generate_series(1, 2) i;
TABLE live.now;
SELECT eiot.set_alert('11aa0000-0000-4000-8000-000000000002', '5%', '10%');
SELECT eiot.set_alert('11aa0000-0000-4000-8000-000000000002', 'some', '0');
SELECT eiot.set_alert('11aa0000-0000-4000-8000-000000000002', '5%', '1');

-- Kept limits are read only where they hold: not those that this transaction changes, nor under another setting.
CREATE VIEW live.differs AS
  SELECT c.tenant, c.devices, d.devices AS devices_now, c.counted, d.counted AS counted_now, c.capacity, d.capacity AS capacity_now
    FROM eiot.tenant_coverage c
    JOIN live.device_coverage d USING (tenant_id)
   WHERE (c.devices, c.counted, c.capacity, c.unlimited, c.gap) IS DISTINCT FROM (d.devices, d.counted, d.capacity, d.unlimited, d.gap);
TABLE live.differs;
BEGIN;
SAVEPOINT changed;
UPDATE eiot.entitlement SET units = 3 WHERE tenant_id = '11aa0000-0000-4000-8000-000000000001';
SELECT tenant, capacity FROM live.now;
ROLLBACK TO changed;
TABLE live.differs;
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES ('11aa0000-0000-4000-8000-000000000001', tstzrange(now(), NULL));
SELECT tenant, capacity FROM live.now;
ROLLBACK TO changed;
SELECT eiot.set_alert('11aa0000-0000-4000-8000-000000000002', 0, 0);
SELECT tenant, under_licensed FROM live.now;
ROLLBACK TO changed;
UPDATE eiot.sku SET devices_per_unit = 7 WHERE sku_id = '06ebc4ee-1bb5-47dd-8120-11324bc54e06';
SELECT tenant, capacity FROM live.now;
ROLLBACK TO changed;
UPDATE eiot.counting_rule SET counted_classes = '{}' WHERE valid @> current_date;
SELECT tenant, counted FROM live.now;
ROLLBACK;
BEGIN;
UPDATE eiot.entitlement SET state = 'warning' WHERE tenant_id = '11aa0000-0000-4000-8000-000000000001';
COMMIT;
SELECT tenant, capacity FROM live.now;
SET eiot.count_warning_units = off;
SELECT tenant, capacity FROM live.now;
TABLE live.differs;
RESET eiot.count_warning_units;
UPDATE eiot.entitlement SET state = 'enabled' WHERE tenant_id = '11aa0000-0000-4000-8000-000000000001';
-- Nor those of another instant, nor those that are due.
SELECT eiot.refresh(now() + interval '31 days');
TABLE live.differs;
SELECT eiot.refresh();
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES
  ('11aa0000-0000-4000-8000-000000000002', 'b2f91841-252f-4765-94c3-75802d7c0ddb', 9, tstzrange(clock_timestamp(), clock_timestamp() + interval '1 s'));
SELECT tenant, capacity FROM live.now;
SELECT pg_sleep(1.1);
SELECT tenant, capacity FROM live.now;
TABLE live.differs;
SELECT eiot.refresh();
TABLE live.differs;
SELECT * FROM eiot.check_watch('live.device');

-- What cannot be watched.
SELECT eiot.watch('live.device');
SELECT eiot.watch('live.now');
SELECT eiot.watch('eiot.tenant');
SELECT eiot.watch(NULL);
CREATE TEMP TABLE mine (tenant_id uuid, last_seen timestamptz, class eiot.device_class);
SELECT eiot.watch('mine', 'tenant_id', 'last_seen', 'class');
CREATE UNLOGGED TABLE live.unlogged (tenant_id uuid, last_seen timestamptz, class eiot.device_class);
SELECT eiot.watch('live.unlogged', 'tenant_id', 'last_seen', 'class');
CREATE TABLE live.asset ("Tenant" uuid, seen timestamptz, kind eiot.device_class, label text);
SELECT eiot.watch('live.asset');
SELECT eiot.watch('live.asset', 'Tenant', 'seen', 'label');
SELECT eiot.watch('live.asset', 'Tenant', 'nowhere', 'kind');
SELECT eiot.check_watch('live.asset');

-- A table that was there before.
SELECT eiot.watch('live.asset', 'Tenant', 'seen', 'kind');
INSERT INTO live.asset VALUES ('11aa0000-0000-4000-8000-000000000001', now(), 'iot'), ('11aa0000-0000-4000-8000-000000000001', NULL, 'iot'),
  ('11aa0000-0000-4000-8000-000000000001', now() - interval '31 days', 'iot'), ('11aa0000-0000-4000-8000-000000000001', now(), 'ot'), (NULL, now(), 'iot');
TABLE live.now;
ALTER TABLE live.asset RENAME TO thing;
ALTER TABLE live.thing RENAME seen TO last_active;
DELETE FROM live.thing WHERE kind = 'iot' AND last_active IS NULL;
TABLE live.now;
ALTER TABLE live.thing DROP COLUMN kind;
ALTER TABLE live.thing DROP COLUMN kind CASCADE;
ALTER TABLE live.thing ALTER COLUMN last_active TYPE timestamp;
SELECT * FROM eiot.check_watch('live.thing');
DROP TABLE live.thing;
-- One with partitions, whose columns no trigger's condition names.
CREATE TABLE live.part (owner uuid, seen timestamptz, kind eiot.device_class) PARTITION BY HASH (owner);
CREATE TABLE live.part_p0 PARTITION OF live.part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT eiot.watch('live.part', 'owner', 'seen', 'kind');
ALTER TABLE live.part DROP COLUMN kind;
ALTER TABLE live.part ALTER COLUMN seen TYPE timestamp;
DROP TABLE live.part;
TABLE live.now;

-- One MERGE that updates, deletes and inserts, over partitions.
SET client_min_messages = warning;
SELECT eiot.create_inventory('live.split', 3);
SELECT eiot.watch('live.split');
INSERT INTO live.split (tenant_id, device_id, category, last_seen)
SELECT '11aa0000-0000-4000-8000-000000000001', 'd' || i, 'IoT', now() FROM generate_series(1, 4) i;
MERGE INTO live.split t USING (SELECT '11aa0000-0000-4000-8000-000000000001'::uuid AS tenant_id, 'd' || i AS device_id FROM generate_series(1, 6) i ORDER BY i DESC) s
   ON t.tenant_id = s.tenant_id AND t.device_id = s.device_id
 WHEN MATCHED AND t.device_id = 'd2' THEN DELETE
 WHEN MATCHED THEN UPDATE SET last_seen = now() - interval '40 days'
 WHEN NOT MATCHED THEN INSERT (tenant_id, device_id, category, last_seen) VALUES (s.tenant_id, s.device_id, 'IoT', now());
SELECT * FROM eiot.check_watch('live.split');
MERGE INTO live.split t USING (SELECT '11aa0000-0000-4000-8000-000000000001'::uuid AS tenant_id, 'd' || i AS device_id FROM generate_series(0, 6) i ORDER BY i) s
   ON t.tenant_id = s.tenant_id AND t.device_id = s.device_id
 WHEN MATCHED THEN UPDATE SET last_seen = now() - interval '40 days'
 WHEN NOT MATCHED THEN INSERT (tenant_id, device_id, category, last_seen) VALUES (s.tenant_id, s.device_id, 'IoT', now());
SELECT * FROM eiot.check_watch('live.split');
TABLE live.now;
SELECT eiot.unwatch('live.split');
DROP TABLE live.split CASCADE;
RESET client_min_messages;

TRUNCATE live.device;
TABLE live.now;
SELECT * FROM eiot.check_watch('live.device');
TABLE live.flags;
SELECT eiot.unwatch('live.device');
SELECT eiot.unwatch('live.device');
SELECT (SELECT count(*) FROM eiot.watched) AS watched, (SELECT count(*) FROM eiot.live_count) AS counts,
       (SELECT count(*) FROM eiot.live_delta) AS deltas, (SELECT count(*) FROM eiot.live_tenant) AS tenants,
       (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'live.device'::regclass AND tgname LIKE 'eiot%') AS triggers,
       (SELECT count(*) FROM pg_index WHERE indrelid = 'live.device'::regclass) AS indexes;

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA live CASCADE;
DELETE FROM eiot.flag_event;
DELETE FROM eiot.alert;
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE '11aa%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE '11aa%';
