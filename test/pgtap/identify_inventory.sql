-- eiot.identify_inventory: what it fills in, what it leaves alone, and that it touches only rows whose verdict changes;
-- in a plain inventory and in a partitioned one.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT plan(104);

\ir lib/told.psql

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('c0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 8) n;

CREATE SCHEMA identified;
CREATE TEMP TABLE made AS
  SELECT eiot.create_inventory('identified.plain') AS inventory
  UNION ALL
  SELECT eiot.create_inventory('identified."Hashed, 3"', 3);

-- Rules of the user's own, so that nothing hangs on those of others.
INSERT INTO eiot.fingerprint (kind, ordinal, pattern, params)
VALUES ('own.banner', 1, '^Acme (\w+) camera', '[{"pos": 0, "name": "hw.vendor", "value": "Acme"}, {"pos": 0, "name": "hw.device", "value": "IP Camera"}, {"pos": 1, "name": "hw.model"}]'),
       ('own.banner', 2, '^Acme', '[{"pos": 0, "name": "hw.vendor", "value": "Acme"}]'),
       ('own.banner', 3, '^Router', '[{"pos": 0, "name": "hw.device", "value": "Router"}]'),
       ('own.title', 1, 'Patient Monitor', '[{"pos": 0, "name": "hw.device", "value": "Medical"}, {"pos": 0, "name": "hw.certainty", "value": "0.95"}]');
INSERT INTO eiot.oui (prefix, bits, vendor, registry)
VALUES ('ac:00:01:00:00:00', 24, 'Block Owner', 'MA-L'), ('ac:00:01:70:00:00', 28, 'Part Owner', 'MA-M');

CREATE TEMP TABLE device (tenant integer, device_id text, category text, type text, vendor text, model text, mac macaddr, evidence jsonb, class_override eiot.device_class,
                          -- expected
                          e_identified eiot.device_class, e_class eiot.device_class, e_vendor text, e_model text);
INSERT INTO device
VALUES
  (1, 'camera', NULL, NULL, NULL, NULL, NULL, '{"own.banner": "Acme X1 camera"}', NULL, 'iot', 'iot', 'Acme', 'X1'),
  (1, 'vendor only', NULL, NULL, NULL, NULL, NULL, '{"own.banner": "Acme thing"}', NULL, 'unknown', 'unknown', 'Acme', NULL),
  (1, 'kind only', NULL, NULL, NULL, NULL, NULL, '{"own.banner": "Router"}', NULL, 'network', 'network', NULL, NULL),
  (2, 'two pieces', NULL, NULL, NULL, NULL, NULL, '{"own.banner": "Acme X2 camera", "own.title": "A Patient Monitor"}', NULL, 'medical', 'medical', NULL, NULL),
  (2, 'a list', NULL, NULL, NULL, NULL, NULL, '{"own.banner": ["nothing", "Acme X3 camera"]}', NULL, 'iot', 'iot', 'Acme', 'X3'),
  (2, 'starter set', NULL, NULL, NULL, NULL, NULL, '{"http_header.server": "debut/1.30"}', NULL, 'iot', 'iot', 'Brother', NULL),
  -- nothing to go by
  (3, 'no evidence', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'unknown', NULL, NULL),
  (3, 'nothing known', NULL, NULL, NULL, NULL, NULL, '{"own.banner": "Unheard of"}', NULL, NULL, 'unknown', NULL, NULL),
  (3, 'no object', NULL, NULL, NULL, NULL, NULL, '["Acme X1 camera"]', NULL, NULL, 'unknown', NULL, NULL),
  (3, 'null', NULL, NULL, NULL, NULL, NULL, 'null', NULL, NULL, 'unknown', NULL, NULL),
  -- labels
  (4, 'label and evidence', 'IoT', NULL, NULL, NULL, NULL, '{"own.banner": "Router"}', NULL, 'network', 'iot', NULL, NULL),
  (4, 'type and evidence', NULL, 'Workstation', NULL, NULL, NULL, '{"own.banner": "Acme X4 camera"}', NULL, 'iot', 'endpoint', 'Acme', 'X4'),
  (4, 'a label that says nothing', 'Unknown', 'Miscellaneous', NULL, NULL, NULL, '{"own.banner": "Router"}', NULL, 'network', 'network', NULL, NULL),
  (4, 'label alone', 'OT', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'ot', NULL, NULL),
  -- overrides
  (5, 'override', NULL, NULL, NULL, NULL, NULL, '{"own.banner": "Router"}', 'bms', 'network', 'bms', NULL, NULL),
  (5, 'override and label', 'IoT', NULL, NULL, NULL, NULL, '{"own.banner": "Router"}', 'unknown', 'network', 'unknown', NULL, NULL),
  (5, 'override alone', NULL, NULL, NULL, NULL, NULL, NULL, 'ot', NULL, 'ot', NULL, NULL),
  -- what is there stays
  (6, 'vendor and model there', NULL, NULL, 'Mine', 'My model', 'ac:00:01:00:00:01', '{"own.banner": "Acme X5 camera"}', NULL, 'iot', 'iot', 'Mine', 'My model'),
  (6, 'vendor there', NULL, NULL, 'Mine', NULL, NULL, '{"own.banner": "Acme X6 camera"}', NULL, 'iot', 'iot', 'Mine', 'X6'),
  -- the address
  (7, 'mac', NULL, NULL, NULL, NULL, 'ac:00:01:00:00:01', NULL, NULL, NULL, 'unknown', 'Block Owner', NULL),
  (7, 'mac in part', NULL, NULL, NULL, NULL, 'ac:00:01:7f:00:01', NULL, NULL, NULL, 'unknown', 'Part Owner', NULL),
  (7, 'mac made up', NULL, NULL, NULL, NULL, 'ae:00:01:00:00:01', NULL, NULL, NULL, 'unknown', NULL, NULL),
  (7, 'mac and evidence', NULL, NULL, NULL, NULL, 'ac:00:01:00:00:01', '{"own.banner": "Acme X7 camera"}', NULL, 'iot', 'iot', 'Acme', 'X7'),
  (7, 'mac and evidence without vendor', NULL, NULL, NULL, NULL, 'ac:00:01:00:00:01', '{"own.banner": "Router"}', NULL, 'network', 'network', 'Block Owner', NULL),
  (7, 'mac and label', 'IoT', NULL, NULL, NULL, 'ac:00:01:00:00:01', NULL, NULL, NULL, 'iot', 'Block Owner', NULL);

CREATE FUNCTION pg_temp.fill(inventory regclass) RETURNS void
  LANGUAGE plpgsql
AS $$
BEGIN
  EXECUTE format('INSERT INTO %s (tenant_id, device_id, category, type, vendor, model, mac, evidence, class_override)
                  SELECT pg_temp.t(tenant), device_id, category, type, vendor, model, mac, evidence, class_override FROM device', inventory);
END
$$;

-- Runs it: devices, identified, changed.
CREATE FUNCTION pg_temp.run(inventory regclass) RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('%s devices, %s identified, %s changed', i.devices, i.identified, i.changed) FROM eiot.identify_inventory(inventory) i);

CREATE FUNCTION pg_temp.rows_of(inventory regclass)
  RETURNS TABLE (device_id text, identified_class eiot.device_class, class eiot.device_class, vendor text, model text, override eiot.device_class, place text)
  LANGUAGE plpgsql
AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT device_id, identified_class, class, vendor, model, class_override, format(''%%s %%s'', tableoid::regclass, ctid) FROM %s', inventory);
END
$$;

CREATE TEMP TABLE remembered (inventory regclass, device_id text, place text, whole text);
CREATE FUNCTION pg_temp.remember(inventory regclass) RETURNS void
  LANGUAGE sql
BEGIN ATOMIC
  DELETE FROM remembered r WHERE r.inventory = remember.inventory;
  INSERT INTO remembered SELECT remember.inventory, d.device_id, d.place, d::text FROM pg_temp.rows_of(remember.inventory) d;
END;

-- Devices whose row is another one than remembered.
CREATE FUNCTION pg_temp.touched(inventory regclass) RETURNS text
  LANGUAGE sql
  RETURN (SELECT COALESCE(string_agg(d.device_id, ', ' ORDER BY d.device_id), 'none')
            FROM pg_temp.rows_of(inventory) d JOIN remembered r ON r.inventory = touched.inventory AND r.device_id = d.device_id
           WHERE r.place <> d.place);

CREATE FUNCTION pg_temp.change(inventory regclass, set_clause text, device_id text) RETURNS void
  LANGUAGE plpgsql
AS $$
BEGIN
  EXECUTE format('UPDATE %s SET %s WHERE device_id = $1', inventory, set_clause) USING device_id;
END
$$;

CREATE FUNCTION pg_temp.device_in(inventory regclass, device_id text) RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('%s|%s|%s|%s', d.identified_class, d.class, d.vendor, d.model) FROM pg_temp.rows_of(inventory) d WHERE d.device_id = device_in.device_id);

-- ==== an empty one

SELECT is(pg_temp.run(inventory), '0 devices, 0 identified, 0 changed', format('%s: without devices', inventory)) FROM made;

-- ==== the first run

DO $$ BEGIN PERFORM pg_temp.fill(inventory) FROM made; END $$;
SELECT is((SELECT count(*) FROM pg_temp.rows_of(inventory) d WHERE d.identified_class IS NOT NULL), 0::bigint, format('%s: nothing is identified yet', inventory)) FROM made;
SELECT is(pg_temp.run(inventory), (SELECT format('%s devices, %s identified, %s changed', count(*), count(e_identified),
                                                 count(*) FILTER (WHERE (e_identified, e_vendor, e_model) IS DISTINCT FROM (NULL::eiot.device_class, vendor, model))) FROM device),
          format('%s: the first run', inventory)) FROM made;
SELECT bag_eq(format('SELECT device_id, identified_class, class, vendor, model, override FROM pg_temp.rows_of(%L)', inventory),
              'SELECT device_id, e_identified, e_class, e_vendor, e_model, class_override FROM device', format('%s: every device', inventory)) FROM made;
SELECT is(pg_temp.device_in(m.inventory, d.device_id), format('%s|%s|%s|%s', d.e_identified, d.e_class, d.e_vendor, d.e_model), format('%s: %s', m.inventory, d.device_id))
  FROM made m CROSS JOIN device d WHERE d.tenant IN (1, 4, 5, 6, 7) ORDER BY m.inventory::text, d.tenant, d.device_id;

-- ==== again

DO $$ BEGIN PERFORM pg_temp.remember(inventory) FROM made; END $$;
SELECT is(pg_temp.run(inventory), '25 devices, 15 identified, 0 changed', format('%s: a second run changes nothing', inventory)) FROM made;
SELECT is(pg_temp.touched(inventory), 'none', format('%s: and touches no row', inventory)) FROM made;

-- ==== changes

-- A rule: only those that it is about are touched.
SAVEPOINT rule;
UPDATE eiot.fingerprint SET params = '[{"pos": 0, "name": "hw.device", "value": "Firewall"}]' WHERE kind = 'own.banner' AND pattern = '^Router';
SELECT is(pg_temp.run(inventory), '25 devices, 15 identified, 0 changed', format('%s: another kind of the same class changes nothing', inventory)) FROM made;
SELECT is(pg_temp.touched(inventory), 'none', format('%s: no row', inventory)) FROM made;
UPDATE eiot.fingerprint SET params = '[{"pos": 0, "name": "hw.device", "value": "PLC"}]' WHERE kind = 'own.banner' AND pattern = '^Router';
SELECT is(pg_temp.run(inventory), '25 devices, 15 identified, 6 changed', format('%s: a rule changed', inventory)) FROM made;
SELECT is(pg_temp.touched(inventory), 'a label that says nothing, kind only, label and evidence, mac and evidence without vendor, override, override and label', format('%s: its devices are touched, no others', inventory)) FROM made;
SELECT is(pg_temp.device_in(inventory, device_id), expected, format('%s: %s', inventory, device_id))
  FROM made CROSS JOIN (VALUES ('kind only', 'ot|ot||'), ('label and evidence', 'ot|iot||'), ('override', 'ot|bms||'), ('override and label', 'ot|unknown||')) v(device_id, expected);
ROLLBACK TO rule;
SELECT is(pg_temp.touched(inventory), 'none', format('%s: taken back', inventory)) FROM made;

-- A class.
SAVEPOINT type;
UPDATE eiot.device_type SET class = 'ot' WHERE device_type = 'IP Camera';
SELECT is(pg_temp.run(inventory), '25 devices, 15 identified, 6 changed', format('%s: the class of cameras changed', inventory)) FROM made;
SELECT is(pg_temp.device_in(inventory, 'camera'), 'ot|ot|Acme|X1', format('%s: their devices follow', inventory)) FROM made;
ROLLBACK TO type;

-- A rule that is gone, and one that is new.
SAVEPOINT gone;
DELETE FROM eiot.fingerprint WHERE kind = 'own.title';
INSERT INTO eiot.fingerprint (kind, pattern, params) VALUES ('own.banner', '^Unheard', '[{"pos": 0, "name": "hw.device", "value": "NAS"}]');
SELECT is(pg_temp.run(inventory), '25 devices, 16 identified, 2 changed', format('%s: a rule gone, another new', inventory)) FROM made;
SELECT is(pg_temp.device_in(inventory, 'two pieces'), 'iot|iot|Acme|X2', format('%s: the other piece of evidence decides', inventory)) FROM made;
SELECT is(pg_temp.device_in(inventory, 'nothing known'), 'iot|iot||', format('%s: what nothing was known of', inventory)) FROM made;
ROLLBACK TO gone;

-- Evidence that is gone or another.
DO $$ BEGIN
  PERFORM pg_temp.change(inventory, 'evidence = NULL', 'camera') FROM made;
  PERFORM pg_temp.change(inventory, 'evidence = ''{}''', 'override') FROM made;
  PERFORM pg_temp.change(inventory, 'evidence = ''{"own.banner": "Router"}''', 'no evidence') FROM made;
  PERFORM pg_temp.change(inventory, 'vendor = NULL', 'vendor there') FROM made;
  PERFORM pg_temp.change(inventory, 'class_override = NULL', 'override and label') FROM made;
  PERFORM pg_temp.remember(inventory) FROM made;
END $$;
SELECT is(pg_temp.run(inventory), '25 devices, 14 identified, 4 changed', format('%s: evidence changed', inventory)) FROM made;
SELECT is(pg_temp.touched(inventory), 'camera, no evidence, override, vendor there', format('%s: those devices are touched', inventory)) FROM made;
SELECT is(pg_temp.device_in(inventory, device_id), expected, format('%s: %s', inventory, device_id))
  FROM made CROSS JOIN (VALUES ('camera', '|unknown|Acme|X1'), ('override', '|bms||'), ('no evidence', 'network|network||'), ('vendor there', 'iot|iot|Acme|X6'),
                               ('override and label', 'network|iot||')) v(device_id, expected);

-- ==== the partition, and what is no inventory

SELECT is((SELECT sum(i.devices) FROM generate_series(0, 2) n CROSS JOIN LATERAL eiot.identify_inventory(format('identified.%I', 'Hashed, 3_p' || n)::regclass) i), 25::numeric, 'partitions one by one are all');
SELECT is((SELECT count(DISTINCT split_part(place, ' (', 1)) FROM pg_temp.rows_of('identified."Hashed, 3"')), 3::bigint, 'each partition has devices');

CREATE TABLE identified.other (tenant_id uuid, device_id text);
CREATE VIEW identified.seen AS SELECT * FROM identified.plain;
SELECT is((pg_temp.told(statement)).code, code, statement)
  FROM (VALUES ('SELECT eiot.identify_inventory(''identified.other'')', '42809'), ('SELECT eiot.identify_inventory(''eiot.tenant'')', '42809'),
               ('SELECT eiot.identify_inventory(''identified.plain_coverage'')', '42809'), ('SELECT eiot.identify_inventory(''identified.plain_pkey'')', '42809'),
               ('SELECT eiot.identify_inventory(NULL)', '22004'), ('SELECT eiot.identify_inventory(''identified.none'')', '42P01'),
               -- it has the columns, and no rows of its own to change
               ('SELECT eiot.identify_inventory(''identified.seen'')', '42809')) v(statement, code);
SELECT matches((pg_temp.told('SELECT eiot.identify_inventory(''identified.other'')')).hint, 'create_inventory', 'a hint says how to get one');

-- ==== more than one step: each device is read once, also where its row moves

SELECT isnt(eiot.create_inventory('identified.big'), NULL, 'an inventory of many pages');
DO $$ BEGIN
  -- Three rows a page, the last page not full.
  INSERT INTO identified.big (tenant_id, device_id, name, evidence)
  SELECT pg_temp.t(8), i, (SELECT string_agg(md5((i * 100 + j)::text), '') FROM generate_series(1, 60) j),
         CASE WHEN i <= 1000 THEN '{"own.banner": "Acme X1 camera"}'::jsonb END
    FROM generate_series(1, 20500) i;
END $$;
SELECT cmp_ok(pg_relation_size('identified.big') / current_setting('block_size')::bigint, '>', 5000::bigint, 'of more than 5,000 pages');
SELECT is(pg_temp.run('identified.big'), '20500 devices, 1000 identified, 1000 changed', 'every device is counted once');
SELECT is(pg_temp.run('identified.big'), '20500 devices, 1000 identified, 0 changed', 'and again');

SELECT * FROM finish();
ROLLBACK;
