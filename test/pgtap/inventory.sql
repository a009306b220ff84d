-- Inventories: how they are made, who owns them, what reads them, how they outlive the extension.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT plan(186);

-- The functions here have bodies in strings: they must not hold the extension.
CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('c0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 5) n;
CREATE SCHEMA asset;
CREATE SCHEMA "My Schema";

-- ---- names

SELECT is(eiot.create_inventory('asset.device')::text, 'asset.device', 'a name with a schema');
SELECT is(eiot.create_inventory('"My Schema"."My Table"')::text, '"My Schema"."My Table"', 'quoted names');
SELECT is(eiot.create_inventory('"My Schema"."say ""hi"", 100%"')::text, '"My Schema"."say ""hi"", 100%"', 'with anything in them');
SELECT is(eiot.create_inventory('ASSET.Folded')::text, 'asset.folded', 'names that are not quoted are folded');
SELECT is(eiot.create_inventory(' asset . "spaced" ')::text, 'asset.spaced', 'with spaces around');
SET LOCAL search_path = asset, public;
SELECT eiot.create_inventory('unqualified') AS made \gset
SELECT is((SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = :'made'::regclass), 'asset', 'a name without a schema goes to the current one');
SET LOCAL search_path = "My Schema", public;
SELECT eiot.create_inventory('unqualified') AS made \gset
SELECT is((SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = :'made'::regclass), '"My Schema"', 'whichever that is');
SET LOCAL search_path = "$user", public;
SELECT is(to_regclass(view)::text, view, format('view %s', view))
  FROM (VALUES ('asset.device_coverage'), ('"My Schema"."My Table_coverage"'), ('"My Schema"."say ""hi"", 100%_coverage"'), ('asset.folded_coverage'),
               ('asset.spaced_coverage'), ('asset.unqualified_coverage'), ('"My Schema".unqualified_coverage')) v(view);

SELECT eiot.create_inventory('asset.' || repeat('n', 54)) AS made \gset
SELECT is((SELECT octet_length(relname::text) FROM pg_class WHERE oid = :'made'::regclass), 54, '54 bytes are the longest name');
SELECT isnt(to_regclass('asset.' || repeat('n', 54) || '_coverage'), NULL, 'its view has its full name');
SELECT isnt(eiot.create_inventory('asset."' || repeat('ü', 27) || '"', 2), NULL, '27 umlauts are 54 bytes');

SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES
    ($$SELECT eiot.create_inventory('asset.' || repeat('n', 55))$$, '42622', 'a name of 55 bytes'),
    ($$SELECT eiot.create_inventory('asset."' || repeat('ü', 28) || '"')$$, '42622', 'a name of 28 umlauts'),
    ($$SELECT eiot.create_inventory('asset.' || repeat('n', 1000))$$, '42622', 'a name of 1000 bytes'),
    ($$SELECT eiot.create_inventory('asset.device')$$, '42P07', 'a name that exists'),
    ($$SELECT eiot.create_inventory('asset.device', 4)$$, '42P07', 'a name that exists, partitioned'),
    ($$SELECT eiot.create_inventory('asset.device_coverage')$$, '42P07', 'the name of a view'),
    ($$CREATE TABLE asset.taken_coverage (); SELECT eiot.create_inventory('asset.taken')$$, '42P07', 'a name whose view exists'),
    ($$CREATE TABLE asset.parted_p1 (); SELECT eiot.create_inventory('asset.parted', 2)$$, '42P07', 'a name whose partition exists'),
    ($$SELECT eiot.create_inventory('nowhere.device')$$, '3F000', 'a schema that does not exist'),
    ($$SELECT eiot.create_inventory('a.b.c')$$, '3F000', 'a name in three parts'),
    ($$SET LOCAL search_path = nowhere; SELECT eiot.create_inventory('device')$$, '3F000', 'no current schema'),
    ($$SELECT eiot.create_inventory('')$$, '22023', 'an empty name'),
    ($$SELECT eiot.create_inventory('two words')$$, '22023', 'two words without quotes'),
    ($$SELECT eiot.create_inventory('asset.x; DROP TABLE asset.device')$$, '22023', 'more than a name'),
    ($$SELECT eiot.create_inventory('"asset')$$, '22023', 'a quote that does not end'),
    ($$SELECT eiot.create_inventory(NULL)$$, '22004', 'no name'),
    ($$SELECT eiot.create_inventory('asset.x', NULL)$$, '22004', 'null partitions'),
    ($$SELECT eiot.create_inventory('asset.x', -1)$$, '22023', '-1 partitions'),
    ($$SELECT eiot.create_inventory('asset.x', 1025)$$, '22023', '1025 partitions'),
    ($$SELECT eiot.create_inventory('asset.x', 2147483647)$$, '22023', '2147483647 partitions'),
    ($$SELECT eiot.create_inventory('pg_temp.x')$$, '42P16', 'a temporary one')) v(statement, code, what);
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'asset'::regnamespace AND relname ~ '^(taken|parted|x)'$$, 'none of which left anything');

-- ---- columns

SELECT results_eq($$SELECT attname::text COLLATE "C", format_type(atttypid, atttypmod) COLLATE "C", attnotnull, attgenerated = 's' FROM pg_attribute WHERE attrelid = 'asset.device'::regclass AND attnum > 0 ORDER BY attnum$$,
                  $$SELECT name COLLATE "C", type COLLATE "C", required, generated
                      FROM (VALUES ('tenant_id', 'uuid', true, false), ('device_id', 'text', true, false), ('name', 'text', false, false), ('category', 'text', false, false), ('type', 'text', false, false),
                       ('subtype', 'text', false, false), ('vendor', 'text', false, false), ('model', 'text', false, false), ('os_platform', 'text', false, false), ('onboarding_status', 'text', false, false),
                       ('mac', 'macaddr', false, false), ('ip', 'inet', false, false), ('first_seen', 'timestamp with time zone', false, false), ('last_seen', 'timestamp with time zone', false, false),
                       ('merged_into', 'text', false, false), ('excluded', 'boolean', false, false), ('transient', 'boolean', false, false), ('discovery_sources', 'text', false, false), ('site', 'text', false, false),
                       ('tags', 'text[]', false, false), ('evidence', 'jsonb', false, false), ('class_override', 'eiot.device_class', false, false), ('identified_class', 'eiot.device_class', false, false),
                       ('class', 'eiot.device_class', true, true), ('count_key', 'smallint', true, true)) v(name, type, required, generated)$$, 'the columns of an inventory');
SELECT results_eq(format($$SELECT attname::text COLLATE "C", format_type(atttypid, atttypmod) COLLATE "C" FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0 ORDER BY attnum$$, view),
                  $$SELECT name COLLATE "C", type COLLATE "C"
                      FROM (VALUES ('tenant_id', 'uuid'), ('tenant', 'text'), ('devices', 'bigint'), ('counted', 'bigint'), ('capacity', 'bigint'), ('unlimited', 'boolean'),
                                   ('gap', 'bigint'), ('surplus', 'bigint'), ('utilization', 'numeric')) v(name, type)$$, format('the columns of %s', view))
  FROM (VALUES ('asset.device_coverage'), ('"My Schema"."My Table_coverage"')) v(view);
SELECT results_eq($$SELECT unnest(proargnames[3:])::text COLLATE "C", format_type(unnest(proallargtypes[3:]), NULL) COLLATE "C" FROM pg_proc WHERE oid = 'eiot.coverage_at(regclass, timestamptz)'::regprocedure$$,
                  $$SELECT attname::text COLLATE "C", format_type(atttypid, atttypmod) COLLATE "C" FROM pg_attribute WHERE attrelid = 'asset.device_coverage'::regclass AND attnum > 0 ORDER BY attnum$$,
                  'coverage_at returns the same');
SELECT col_is_pk('asset', 'device', ARRAY['tenant_id', 'device_id'], 'the key');
SELECT fk_ok('asset', 'device', 'tenant_id', 'eiot', 'tenant', 'tenant_id', 'the tenant must exist');

-- ---- rows

SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES
    ($$INSERT INTO asset.device (tenant_id, device_id) VALUES (pg_temp.t(99), 'a')$$, '23503', 'a device of an unknown tenant'),
    ($$INSERT INTO asset.device (tenant_id, device_id) VALUES (pg_temp.t(1), 'a'), (pg_temp.t(1), 'a')$$, '23505', 'a device twice'),
    ($$INSERT INTO asset.device (tenant_id, device_id) VALUES (pg_temp.t(1), NULL)$$, '23502', 'a device without an id'),
    ($$INSERT INTO asset.device (tenant_id, device_id, class) VALUES (pg_temp.t(1), 'a', 'iot')$$, '428C9', 'a class written by hand'),
    ($$INSERT INTO asset.device (tenant_id, device_id, count_key) VALUES (pg_temp.t(1), 'a', 1)$$, '428C9', 'a count key written by hand'),
    ($$INSERT INTO asset.device (tenant_id, device_id, class_override) VALUES (pg_temp.t(1), 'a', 'toaster')$$, '22P02', 'a class that is none')) v(statement, code, what);
SELECT lives_ok($$INSERT INTO asset.device (tenant_id, device_id) VALUES (pg_temp.t(1), 'a')$$, 'a device of which nothing is known');
SELECT results_eq($$SELECT class::text, excluded, transient FROM asset.device$$, $$VALUES ('unknown', false, false)$$, 'has no class');
SELECT lives_ok($$INSERT INTO asset.device (tenant_id, device_id, category, last_seen) SELECT pg_temp.t(1 + i % 2), 'b' || i, 'IoT', now() FROM generate_series(1, 20) i$$, 'devices that count');
SELECT throws_ok($$DELETE FROM eiot.tenant WHERE tenant_id = pg_temp.t(1)$$, '23503', NULL, 'a tenant with devices stays');

-- ---- partitions

SELECT lives_ok(format($$SELECT eiot.create_inventory('asset.parts%s', %1$s)$$, n), format('%s partitions', n))
  FROM (VALUES (0), (1), (4)) v(n);
SELECT results_eq($$SELECT c.relname::text COLLATE "C", c.relkind = 'p', (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid), COALESCE(pg_get_partkeydef(c.oid), '') COLLATE "C"
                      FROM pg_class c WHERE c.oid IN ('asset.parts0'::regclass, 'asset.parts1'::regclass, 'asset.parts4'::regclass) ORDER BY 1$$,
                  $$SELECT name COLLATE "C", partitioned, n, key COLLATE "C"
                      FROM (VALUES ('parts0', false, 0::bigint, ''), ('parts1', true, 1, 'HASH (tenant_id)'), ('parts4', true, 4, 'HASH (tenant_id)')) v(name, partitioned, n, key)$$, 'are what was asked for');
SELECT lives_ok(format($$INSERT INTO asset.parts%s (tenant_id, device_id, category, last_seen) SELECT pg_temp.t(1 + i %% 5), i::text, 'IoT', '2026-08-01' FROM generate_series(1, 1000) i$$, n), format('%s partitions take any tenant', n))
  FROM (VALUES (0), (1), (4)) v(n);
SELECT bag_eq(format($$SELECT tenant, devices, counted FROM eiot.coverage_at('asset.parts%s', '2026-08-12')$$, n), $$SELECT 'Tenant ' || i, 200::bigint AS devices, 200::bigint AS counted FROM generate_series(1, 5) i$$,
              format('%s partitions are counted together', n))
  FROM (VALUES (0), (1), (4)) v(n);

-- In a subtransaction that is taken back, and its eleven thousand locks with it.
CREATE FUNCTION pg_temp.with_1024(OUT made bigint, OUT rows_seen bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM eiot.create_inventory('asset.parts1024', 1024);
  INSERT INTO asset.parts1024 (tenant_id, device_id) SELECT pg_temp.t(1 + i % 5), i FROM generate_series(1, 50) i;
  SELECT count(*) INTO made FROM pg_inherits WHERE inhparent = 'asset.parts1024'::regclass;
  SELECT sum(devices) INTO rows_seen FROM asset.parts1024_coverage;
  RAISE EXCEPTION USING ERRCODE = 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
  NULL;
END
$$;
SELECT results_eq('SELECT * FROM pg_temp.with_1024()', 'VALUES (1024::bigint, 50::bigint)', '1024 partitions, the most');

-- ---- rights

CREATE ROLE eiot_test_owner;
CREATE ROLE eiot_test_reader;
CREATE SCHEMA theirs;

-- What happens to a statement of a role: the SQLSTATE, or the first column of its first row.
CREATE FUNCTION pg_temp.as_role(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  EXECUTE statement INTO result;
  RESET ROLE;
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END
$$;

SELECT is(pg_temp.as_role('eiot_test_owner', $$SELECT eiot.create_inventory('theirs.device')$$), '42501', 'a role without rights makes no inventory');
GRANT USAGE, CREATE ON SCHEMA theirs TO eiot_test_owner;
SELECT is(pg_temp.as_role('eiot_test_owner', $$SELECT eiot.create_inventory('theirs.device')$$), '42501', 'nor with rights on its schema alone');
GRANT REFERENCES ON eiot.tenant TO eiot_test_owner;
SELECT is(pg_temp.as_role('eiot_test_owner', format($$SELECT eiot.create_inventory(%L, %s)$$, name, partitions)), name, format('with REFERENCES on eiot.tenant it does: %s', name))
  FROM (VALUES ('theirs.device', 0), ('theirs.hashed', 2)) v(name, partitions);
SELECT bag_eq($$SELECT DISTINCT relkind::text, relowner::regrole::text FROM pg_class WHERE relnamespace = 'theirs'::regnamespace$$,
              $$SELECT kind, 'eiot_test_owner' AS owner FROM unnest('{r,p,v,i,I}'::text[]) kind$$, 'tables, partitions, views and indexes are its own');
SELECT is(pg_temp.as_role('eiot_test_owner', $$SELECT eiot.create_inventory('asset.theirs')$$), '42501', 'not in the schema of others');

SELECT lives_ok($$INSERT INTO theirs.device (tenant_id, device_id, category, last_seen) VALUES (pg_temp.t(1), 'a', 'IoT', now())$$, 'a device of theirs');
SELECT is(pg_temp.as_role('eiot_test_owner', statement), result, format('the owner, with no right on the tables: %s', statement))
  FROM (VALUES ('SELECT count(*) FROM theirs.device', '1'), ('SELECT count(*) FROM theirs.device_coverage', '42501'),
               ('SELECT count(*) FROM eiot.coverage_at(''theirs.device'')', '42501'), ('SELECT eiot.import_device_info(''theirs.device'', pg_temp.t(1), ''[]'')', '42501'),
               ('SELECT eiot.import_subscribed_skus(pg_temp.t(1), ''[]'')', '42501')) v(statement, result);
GRANT SELECT ON ALL TABLES IN SCHEMA eiot TO eiot_test_owner;
SELECT is(pg_temp.as_role('eiot_test_owner', statement), result, format('the owner, with SELECT on all that the view reads but no access to tenants: %s', statement))
  FROM (VALUES ('SELECT count(*) FROM theirs.device', '1'), ('SELECT count(*) FROM theirs.device_coverage', '0'), ('SELECT count(*) FROM eiot.coverage_at(''theirs.device'')', '0'),
               ('SELECT sum(devices) FROM eiot.explain_count(''theirs.device'', ''c0000000-0000-4000-8000-000000000001'')', '23503')) v(statement, result);
REVOKE SELECT ON ALL TABLES IN SCHEMA eiot FROM eiot_test_owner;
SELECT eiot.grant_access('eiot_test_owner', 'reader', pg_temp.t(1));
SELECT is(pg_temp.as_role('eiot_test_owner', statement), result, format('the owner, who reads a tenant: %s', statement))
  FROM (VALUES ('SELECT counted FROM theirs.device_coverage', '1'), ('SELECT counted FROM eiot.coverage_at(''theirs.device'')', '1'),
               ('SELECT sum(devices) FROM eiot.explain_count(''theirs.device'', ''c0000000-0000-4000-8000-000000000001'')', '1'),
               ('SELECT stored FROM eiot.import_device_info(''theirs.device'', ''c0000000-0000-4000-8000-000000000001'', ''[{"DeviceId": "b", "Timestamp": "2024-01-01"}]'')', '42501'),
               ('SELECT counted FROM asset.device_coverage LIMIT 1', '42501')) v(statement, result);
SELECT eiot.grant_access('eiot_test_owner', 'manager', pg_temp.t(1));
SELECT is(pg_temp.as_role('eiot_test_owner', statement), result, format('the owner, who manages a tenant: %s', statement))
  FROM (VALUES ('SELECT stored FROM eiot.import_device_info(''theirs.device'', ''c0000000-0000-4000-8000-000000000001'', ''[{"DeviceId": "b", "Timestamp": "2024-01-01"}]'')', '1'),
               ('SELECT rejected FROM eiot.import_device_info(''theirs.device'', ''c0000000-0000-4000-8000-000000000001'', ''[{"DeviceId": "b"}]'', ''reject'')', '1'),
               ('SELECT stored FROM eiot.import_device_info(''theirs.device'', ''c0000000-0000-4000-8000-000000000002'', ''[]'')', '23503'),
               ('SELECT counted FROM asset.device_coverage LIMIT 1', '42501')) v(statement, result);
GRANT USAGE ON SCHEMA theirs TO eiot_test_reader;
SELECT is(pg_temp.as_role('eiot_test_reader', 'SELECT counted FROM theirs.device_coverage WHERE tenant = ''Tenant 1'''), '42501', 'a reader without a right');
GRANT SELECT ON theirs.device_coverage TO eiot_test_reader;
SELECT is(pg_temp.as_role('eiot_test_reader', statement), result, format('a reader with SELECT on the view alone: %s', statement))
  FROM (VALUES ('SELECT counted FROM theirs.device_coverage WHERE tenant = ''Tenant 1''', '42501'), ('SELECT count(*) FROM theirs.device', '42501'),
               ('SELECT count(*) FROM eiot.coverage_at(''theirs.device'')', '42501'), ('SELECT eiot.release_inventory(''theirs.device'')', '42501')) v(statement, result);
SELECT eiot.grant_access('eiot_test_reader', 'reader', pg_temp.t(1));
SELECT is(pg_temp.as_role('eiot_test_owner', 'SELECT eiot.grant_inventory(''theirs.device'', ''eiot_test_reader'')'), '', 'the owner grants the inventory');
SELECT is(pg_temp.as_role('eiot_test_reader', statement), result, format('a reader of one tenant: %s', statement))
  FROM (VALUES ('SELECT counted FROM theirs.device_coverage', '1'), ('SELECT count(*) FROM theirs.device_coverage', '1'), ('SELECT count(*) FROM theirs.device', '2'),
               ('DELETE FROM theirs.device', '42501'), ('SELECT count(*) FROM eiot.coverage_at(''theirs.device'')', '1'), ('SELECT eiot.release_inventory(''theirs.device'')', '42501')) v(statement, result);
SELECT isnt(to_regclass('theirs.device_coverage'), NULL, 'nobody but the owner releases it');

-- ---- relations that are no inventory

CREATE VIEW asset.all_columns AS SELECT * FROM asset.device;
CREATE TABLE asset.other (tenant_id uuid, device_id text);
CREATE FUNCTION pg_temp.uses(relation text) RETURNS TABLE (what text, statement text) LANGUAGE sql AS $$
  VALUES ('check_inventory', format('SELECT eiot.check_inventory(%L)', relation)),
         ('coverage_at', format('SELECT * FROM eiot.coverage_at(%L)', relation)),
         ('explain_count', format('SELECT * FROM eiot.explain_count(%L, pg_temp.t(1))', relation)),
         ('release_inventory', format('SELECT eiot.release_inventory(%L)', relation)),
         ('import_device_info', format('SELECT * FROM eiot.import_device_info(%L, pg_temp.t(1), ''[]'')', relation))
$$;
SELECT throws_ok(statement, code, NULL, format('%s of %s', u.what, v.what))
  FROM (VALUES ('asset.device_coverage', '42809', 'a coverage view'), ('asset.other', '42809', 'another table'), ('asset.device_pkey', '42809', 'an index'),
               ('pg_class', '42809', 'a catalog'), ('asset.nothing', '42P01', 'nothing'), (NULL, '22004', 'null')) v(relation, code, what)
 CROSS JOIN LATERAL pg_temp.uses(relation) u;
SELECT throws_ok($$SELECT eiot.check_inventory('asset.other')$$, '42809', 'asset.other is not an inventory', 'the error names the relation');
SELECT lives_ok($$SELECT eiot.check_inventory('asset.device'); SELECT eiot.check_inventory('asset.parts4'); SELECT eiot.check_inventory('asset.parts4_p0')$$, 'inventories and their partitions are inventories');

-- ---- coverage_at and explain_count

SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES
    ($$SELECT * FROM eiot.coverage_at('asset.device', NULL)$$, '22004', 'coverage_at of no instant'),
    ($$SELECT * FROM eiot.explain_count('asset.device', NULL)$$, '22004', 'explain_count of no tenant'),
    ($$SELECT * FROM eiot.explain_count('asset.device', pg_temp.t(1), NULL)$$, '22004', 'explain_count of no instant'),
    ($$SELECT * FROM eiot.explain_count('asset.device', pg_temp.t(99))$$, '23503', 'explain_count of an unknown tenant'),
    ($$SELECT * FROM eiot.explain_count('asset.device', pg_temp.t(1), '2022-07-05 23:59:59')$$, 'P0002', 'explain_count before the first rule')) v(statement, code, what);
SELECT lives_ok($$SELECT * FROM eiot.explain_count('asset.device', pg_temp.t(1), '2022-07-06')$$, 'explain_count under the first rule');
SELECT results_eq($$SELECT reason::text, devices FROM eiot.explain_count('asset.device', pg_temp.t(1))$$, $$VALUES ('counted', 10::bigint), ('not_iot', 1)$$, 'reasons come in the order of the enum');
SELECT is_empty($$SELECT * FROM eiot.explain_count('asset.device', pg_temp.t(3))$$, 'a tenant without devices has no reasons');
SELECT results_eq($$SELECT * FROM eiot.coverage_at('asset.device') WHERE tenant IN ('Tenant 1', 'Tenant 3') ORDER BY tenant$$,
                  $$VALUES (pg_temp.t(1), 'Tenant 1', 11::bigint, 10::bigint, 0::bigint, false, 10::bigint, 0::bigint, NULL::numeric),
                           (pg_temp.t(3), 'Tenant 3', 0, 0, 0, false, 0, 0, NULL)$$, 'coverage, with and without devices');

-- Activity is measured from as_of: a device counts until 30 times 24 hours after it was seen.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(4), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 2, '[2025-01-01,2025-03-01)');
INSERT INTO asset.device (tenant_id, device_id, category, last_seen) VALUES (pg_temp.t(4), 'seen', 'IoT', '2025-02-01 12:00'), (pg_temp.t(4), 'never', 'IoT', NULL);
SELECT results_eq(format($$SELECT devices, counted, capacity, gap, surplus, utilization FROM eiot.coverage_at('asset.device', %L) WHERE tenant_id = pg_temp.t(4)$$, as_of),
                  format('VALUES (2::bigint, %s::bigint, %s::bigint, %s::bigint, %s::bigint, %s::numeric)', counted, capacity, greatest(0, counted - capacity), greatest(0, capacity - counted), utilization),
                  format('coverage at %s', as_of))
  FROM (VALUES (timestamptz '2025-01-01', 2, 10, '0.2'), ('2024-12-31 23:59:59.999999', 2, 0, 'NULL'), ('2025-02-28 23:59:59.999999', 2, 10, '0.2'), ('2025-03-01', 2, 0, 'NULL'),
               ('2025-03-03 12:00', 2, 0, 'NULL'), ('2025-03-03 12:00:00.000001', 1, 0, 'NULL')) v(as_of, counted, capacity, utilization);

-- ---- no rule in force

UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE tenant_id = pg_temp.t(2);
SELECT results_eq($$SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, utilization FROM eiot.coverage_at('asset.device', '2020-01-01') WHERE tenant IN ('Tenant 1', 'Tenant 2') ORDER BY tenant$$,
                  $$VALUES ('Tenant 1', 11::bigint, NULL::bigint, 0::bigint, false, NULL::bigint, NULL::bigint, NULL::numeric), ('Tenant 2', 10, 10, 0, false, 10, 0, NULL)$$,
                  'before the first rule nothing is counted, except for a pinned tenant');
UPDATE eiot.counting_rule SET valid = '[2026-07-02,2026-07-03)' WHERE name = '2026-07';
SELECT results_eq($$SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, utilization FROM asset.device_coverage WHERE tenant IN ('Tenant 1', 'Tenant 2') ORDER BY tenant$$,
                  $$VALUES ('Tenant 1', 11::bigint, NULL::bigint, 0::bigint, false, NULL::bigint, NULL::bigint, NULL::numeric), ('Tenant 2', 10, 10, 0, false, 10, 0, NULL)$$,
                  'the view without a rule in force');
SELECT set_eq('SELECT tenant_id FROM asset.device_coverage', 'SELECT tenant_id FROM eiot.tenant', 'still has every tenant');
SELECT throws_ok($$SELECT * FROM eiot.explain_count('asset.device', pg_temp.t(1))$$, 'P0002', NULL, 'explain_count says that there is none');
SELECT is((SELECT sum(devices) FROM eiot.explain_count('asset.device', pg_temp.t(2))), 10::numeric, 'and explains the pinned tenant');
UPDATE eiot.tenant SET counting_rule = NULL WHERE tenant_id = pg_temp.t(2);

-- ---- an inventory is an ordinary table

SELECT lives_ok($$ALTER TABLE asset.device ADD COLUMN owner text; CREATE INDEX ON asset.device (site); ALTER TABLE asset.device RENAME COLUMN evidence TO proof$$, 'more columns, indexes, another name for one');
SELECT lives_ok($$SELECT * FROM asset.device_coverage; SELECT * FROM eiot.coverage_at('asset.device')$$, 'do not matter to what reads it');
ALTER TABLE asset.device RENAME COLUMN proof TO evidence;

-- ---- DROP EXTENSION

DROP VIEW asset.all_columns;
SELECT throws_ok('DROP EXTENSION eiot', '2BP01', NULL, 'the extension is not dropped while inventories hold it');
CREATE TEMP TABLE held AS SELECT to_jsonb(d) AS body FROM asset.device d;
CREATE TEMP TABLE held_parts AS SELECT to_jsonb(d) AS body FROM asset.parts4 d;
CREATE TEMP TABLE inventory AS
  SELECT c.oid::regclass::text AS name FROM pg_class c
   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'count_key');
SELECT cmp_ok((SELECT count(*) FROM inventory), '>', 10::bigint, 'there are inventories of every kind');
SELECT lives_ok(format('SELECT eiot.release_inventory(%L)', name), 'released: ' || name) FROM inventory WHERE name <> 'asset.parts4';
SELECT throws_ok('DROP EXTENSION eiot', '2BP01', NULL, 'one is left');
SELECT lives_ok($$SELECT eiot.release_inventory('asset.parts4')$$, 'released with its partitions');
SELECT is_empty($$SELECT oid::regclass FROM pg_class WHERE relname LIKE '%\_coverage' AND relkind = 'v' AND relnamespace <> 'eiot'::regnamespace$$, 'their views are gone');
SELECT bag_eq('SELECT to_jsonb(d) FROM asset.device d', 'SELECT body FROM held', 'every row is as it was');
SELECT lives_ok('DROP EXTENSION eiot', 'now it is dropped');
SELECT hasnt_schema('eiot', 'and its schema with it');
SELECT bag_eq('SELECT to_jsonb(d) FROM asset.device d', 'SELECT body FROM held', 'every row is there');
SELECT bag_eq('SELECT to_jsonb(d) FROM asset.parts4 d', 'SELECT body FROM held_parts', 'of a partitioned one as well');
SELECT is_empty($$SELECT i.name, a.attname FROM inventory i JOIN pg_attribute a ON a.attrelid = i.name::regclass
                   WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attgenerated <> '' OR a.attname IN ('class', 'class_override', 'identified_class') AND a.atttypid <> 'text'::regtype)$$, 'classes are text');
SELECT lives_ok($$INSERT INTO asset.device (tenant_id, device_id, class, count_key) VALUES (pg_temp.t(99), 'new', 'iot', 1)$$, 'the table takes rows');

-- In the same session the extension comes back under other OIDs.
SELECT lives_ok('CREATE EXTENSION eiot', 'the extension comes again');
SELECT is(eiot.classify('IoT', NULL, NULL, NULL)::text, 'iot', 'and knows its new enums');
SELECT is(eiot.count_reason('ot', NULL, NULL, now(), NULL, NULL, false, false, NULL)::text, 'not_iot', 'both of them');

SELECT * FROM finish();
ROLLBACK;
