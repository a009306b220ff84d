-- Every object of the extension x level of access x own and other tenant x action, found in the catalogs: what is not
-- expected here by name is expected to be forbidden.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

-- ---- two tenants, five roles, and rows of both tenants in every table

CREATE FUNCTION pg_temp.own() RETURNS uuid LANGUAGE sql IMMUTABLE RETURN 'ac000000-0000-4000-8000-000000000001'::uuid;
CREATE FUNCTION pg_temp.other() RETURNS uuid LANGUAGE sql IMMUTABLE RETURN 'ac000000-0000-4000-8000-000000000002'::uuid;

CREATE ROLE access_nobody;
CREATE ROLE access_reader;
CREATE ROLE access_reader_of_all;
CREATE ROLE access_manager;
CREATE ROLE access_manager_of_all;

INSERT INTO eiot.tenant (tenant_id, name) VALUES (pg_temp.own(), 'Own'), (pg_temp.other(), 'Other');
SELECT eiot.grant_access('access_reader', 'reader', pg_temp.own());
SELECT eiot.grant_access('access_manager', 'manager', pg_temp.own());
SELECT eiot.grant_access('access_reader_of_all', 'reader');
SELECT eiot.grant_access('access_manager_of_all', 'manager');
-- somebody else's access to the other tenant
CREATE ROLE access_stranger;
SELECT eiot.grant_access('access_stranger', 'manager', pg_temp.other());

CREATE SCHEMA access_test;
SELECT eiot.create_inventory('access_test.device', 2);
SELECT eiot.create_bi_views('access_test.device');
GRANT USAGE ON SCHEMA access_test TO PUBLIC;
SELECT eiot.grant_inventory('access_test.device', role::regrole, level)
  FROM (VALUES ('access_reader', 'reader'), ('access_reader_of_all', 'reader'), ('access_manager', 'manager'), ('access_manager_of_all', 'manager')) v(role, level);

INSERT INTO eiot.entitlement (tenant_id, sku_id, units, unit_price, currency, billing_frequency, billing_anchor)
SELECT t, 'b2f91841-252f-4765-94c3-75802d7c0ddb', 7, 1.20, 'EUR', 'month', current_date FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
INSERT INTO eiot.monitoring_off (tenant_id, valid)
SELECT t, '[2020-01-01,2020-02-01)' FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
SELECT eiot.import_device_info('access_test.device', t, '[{"DeviceId": "a", "Timestamp": "2026-01-01", "DeviceCategory": "IoT"}, {"DeviceId": "b"}]', 'reject')
  FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
INSERT INTO eiot.report_schedule (name, inventory, tenant_id)
SELECT t::text, 'access_test.device', t FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
INSERT INTO eiot.report_run (name, inventory, tenant_id, period, html)
SELECT t::text, 'access_test.device', t, '[2026-01-01,2026-02-01)', '<html/>' FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
SELECT eiot.set_alert(t, 1, 0) FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
SELECT eiot.watch('access_test.device');
-- what commits would write
INSERT INTO eiot.live_tenant (tenant_id, capacity, capacity_from, due_at, raise_above, clear_at)
SELECT t, 7, '-infinity', 'infinity', 0, 0 FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t ON CONFLICT DO NOTHING;
INSERT INTO eiot.live_count (tenant_id, watch_id, devices, counted, counted_keys, active_since, oldest, due_at, epoch)
SELECT t, -1, 0, 0, 0, '-infinity', 'infinity', 'infinity', 0 FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
INSERT INTO eiot.live_delta (tenant_id, watch_id, slot, devices, counted, oldest)
SELECT t, -1, 0, 0, 0, 'infinity' FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
INSERT INTO eiot.flag_event (tenant_id, at, kind, devices, capacity, gap)
SELECT t, now(), 'raised', 8, 7, 1 FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;

-- and what is audited otherwise than row by row: loads, rejected rows, decisions about devices of both tenants in one statement
SELECT eiot.load_fingerprints('<fingerprints matches="access.test"><fingerprint pattern="^x$"/><fingerprint pattern="^y$"/></fingerprints>');
SELECT eiot.load_oui('IAB', E'Registry,Assignment,Organization Name,Organization Address\nIAB,0050C2000,Test,Nowhere\n');
INSERT INTO access_test.device (tenant_id, device_id) SELECT t, 'c' FROM unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t;
UPDATE access_test.device SET excluded = true, class_override = 'ot' WHERE device_id IN ('a', 'c');
DELETE FROM access_test.device WHERE device_id = 'c';
UPDATE eiot.entitlement SET tenant_id = pg_temp.other() WHERE tenant_id = pg_temp.own();
UPDATE eiot.entitlement SET tenant_id = pg_temp.own() WHERE entitlement_id = (SELECT min(entitlement_id) FROM eiot.entitlement WHERE tenant_id = pg_temp.other());

CREATE TEMP VIEW subject AS
  SELECT * FROM (VALUES ('access_nobody'::name, NULL, NULL), ('access_reader', 'reader', false), ('access_reader_of_all', 'reader', true),
                        ('access_manager', 'manager', false), ('access_manager_of_all', 'manager', true)) v(role, level, of_all);

CREATE TEMP VIEW object AS
  SELECT c.oid::regclass AS relation, c.relkind, c.relispartition,
         EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnum > 0 AND NOT a.attisdropped) AS of_tenant
    FROM pg_class c
   WHERE c.relnamespace IN ('eiot'::regnamespace, 'access_test'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'S');

-- Runs a statement of a role and takes it back.  The SQLSTATE, or the number of rows, which may be prescribed.
CREATE FUNCTION pg_temp.try(role name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  affected bigint;
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  EXECUTE statement;
  GET DIAGNOSTICS affected = ROW_COUNT;
  -- takes it back
  RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = affected;
EXCEPTION
  WHEN SQLSTATE 'ZZ000' THEN RETURN SQLERRM;
  WHEN OTHERS THEN RETURN SQLSTATE;
END
$$;

SELECT is(pg_temp.try('access_reader', 'SELECT FROM eiot.tenant'), '1', 'a statement of a role');
SELECT is(pg_temp.try('access_nobody', 'SELECT FROM eiot.tenant'), '42501', 'and of another');
SELECT is(current_user, session_user, 'which ends with it');

-- ---- there is something to be seen of either tenant

CREATE FUNCTION pg_temp.rows_of(relation regclass, tenant uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM %s WHERE tenant_id = $1', relation) INTO n USING tenant;
  RETURN n;
END
$$;
SELECT is_empty($$
  SELECT relation, t FROM object CROSS JOIN unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t
   WHERE of_tenant AND NOT relispartition AND pg_temp.rows_of(relation, t) = 0
$$, 'every table and view that names a tenant has rows of both; give one that is new some above');

-- ---- reading

-- Own access is all that one sees of eiot.access, and managers that to their tenants.
CREATE TEMP TABLE reading AS
  SELECT o.relation, o.relkind, s.role, w.which, pg_temp.try(s.role, format('SELECT FROM %s %s', o.relation, w.condition)) AS got,
         CASE WHEN o.relkind = 'S' OR o.relispartition OR s.level IS NULL THEN '42501'
              WHEN o.relation = 'eiot.access'::regclass
              THEN CASE s.role || w.which WHEN 'access_readerown' THEN '1' WHEN 'access_managerown' THEN '2'
                                          WHEN 'access_manager_of_allown' THEN '2' WHEN 'access_manager_of_allother' THEN '1' ELSE '0' END
              WHEN w.which = 'any' THEN 'rows'
              WHEN w.which = 'other' AND NOT s.of_all THEN '0'
              ELSE pg_temp.rows_of(o.relation, CASE w.which WHEN 'own' THEN pg_temp.own() ELSE pg_temp.other() END)::text END AS wanted
    FROM object o CROSS JOIN subject s
   CROSS JOIN LATERAL (VALUES ('own', format('WHERE tenant_id = %L', pg_temp.own()), true), ('other', format('WHERE tenant_id = %L', pg_temp.other()), true),
                              ('any', '', false)) w(which, condition, of_tenant)
   WHERE o.of_tenant = w.of_tenant;
SELECT is_empty($$
  SELECT relation, role, which, got, wanted FROM reading
   WHERE CASE wanted WHEN 'rows' THEN got !~ '^\d{1,4}$' ELSE got <> wanted END
   ORDER BY 1, 2, 3
$$, 'each role sees the rows of its tenants, and no sequence or partition');
SELECT cmp_ok((SELECT count(*) FROM reading), '>', 100::bigint, 'out of many questions');
SELECT bag_eq($$SELECT DISTINCT got FROM reading WHERE which = 'other' AND role IN ('access_reader', 'access_manager') AND wanted <> '42501'$$, $$VALUES ('0')$$,
              'nothing of another tenant');

-- ---- the audit: whose change it is decides who sees it, and no entry names another tenant

CREATE FUNCTION pg_temp.entries(role name) RETURNS TABLE (what text, tenant uuid, content text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  RETURN QUERY SELECT a.table_name || ' ' || a.action, a.tenant_id, to_jsonb(a)::text FROM eiot.audit a;
  RESET ROLE;
END
$$;
CREATE TEMP TABLE entry AS SELECT s.role, s.of_all, e.* FROM subject s CROSS JOIN LATERAL pg_temp.entries(s.role) e WHERE s.level IS NOT NULL;
CREATE TEMP TABLE every_entry AS SELECT e.* FROM pg_temp.entries(current_user) e;
SELECT set_has('SELECT DISTINCT what FROM every_entry',
  $$VALUES ('access_test.device UPDATE'), ('access_test.device DELETE'), ('eiot.fingerprint INSERT'), ('eiot.fingerprint_kind INSERT'), ('eiot.oui INSERT'),
           ('eiot.import_reject INSERT'), ('eiot.device_import INSERT'), ('eiot.report_run INSERT'), ('eiot.entitlement DELETE'), ('eiot.entitlement INSERT'), ('eiot.alert INSERT')$$,
  'there are entries of all kinds');
SELECT is_empty($$SELECT what, t FROM (SELECT DISTINCT what FROM every_entry WHERE tenant IS NOT NULL AND what <> 'eiot.access INSERT') w CROSS JOIN unnest(ARRAY[pg_temp.own(), pg_temp.other()]) t
                   WHERE NOT EXISTS (SELECT FROM every_entry e WHERE e.what = w.what AND e.tenant = t)$$, 'of either tenant');
SELECT bag_eq('SELECT role, what, tenant, content FROM entry',
  $$SELECT s.role, e.what, e.tenant, e.content FROM subject s JOIN every_entry e ON s.of_all OR e.tenant = pg_temp.own() WHERE s.level IS NOT NULL$$,
  'each role sees the entries of its tenants, those of settings who reads all');
SELECT is_empty($$SELECT role, what, content FROM entry WHERE NOT of_all AND content LIKE '%' || pg_temp.other() || '%'$$, 'which do not name another tenant');

-- ---- writing

-- What managers may do, to their tenants; "of all": only who manages all of them.
CREATE TEMP TABLE allowed AS
  SELECT relation::regclass, command, of_all
    FROM (VALUES ('eiot.entitlement', '{INSERT,UPDATE,DELETE}'::text[], false), ('eiot.monitoring_off', '{INSERT,UPDATE,DELETE}', false),
                 ('eiot.import_reject', '{INSERT,DELETE}', false), ('eiot.device_import', '{INSERT}', false),
                 ('eiot.alert', '{INSERT,UPDATE,DELETE}', false), ('eiot.report_schedule', '{INSERT,UPDATE,DELETE}', false), ('eiot.report_run', '{INSERT,UPDATE,DELETE}', false),
                 ('eiot.tenant', '{UPDATE}', false), ('eiot.tenant', '{INSERT,DELETE}', true),
                 ('eiot.sku', '{INSERT,UPDATE,DELETE}', true), ('eiot.counting_rule', '{INSERT,UPDATE,DELETE}', true),
                 ('eiot.device_type', '{INSERT,UPDATE,DELETE}', true), ('eiot.oui', '{INSERT,UPDATE,DELETE}', true),
                 ('eiot.fingerprint', '{INSERT,UPDATE,DELETE}', true), ('eiot.fingerprint_kind', '{INSERT,UPDATE,DELETE}', true),
                 ('access_test.device', '{INSERT,UPDATE,DELETE}', false)) v(relation, commands, of_all)
   CROSS JOIN LATERAL unnest(commands) command;

-- Tables without rows get one to be written with.
INSERT INTO eiot.oui VALUES ('00:00:5e:00:00:00', 24, 'Test', 'MA-L');
INSERT INTO eiot.fingerprint_kind VALUES ('test');

CREATE FUNCTION pg_temp.some_row(relation regclass, tenant uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  result jsonb;
BEGIN
  EXECUTE format('SELECT to_jsonb(t) FROM %s t WHERE $1 IS NULL OR to_jsonb(t) ->> ''tenant_id'' = $1::text LIMIT 1', relation) INTO result USING tenant;
  RETURN result;
END
$$;

-- Columns that may be written; where there are none, all, so that the right to it decides.
CREATE FUNCTION pg_temp.columns(role name, relation regclass, command text) RETURNS text[] LANGUAGE sql AS $$
  WITH c AS (SELECT a.attnum, quote_ident(a.attname) AS name, has_column_privilege(role, relation, a.attname, command) AS writable
               FROM pg_attribute a
              WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = '')
  SELECT COALESCE(array_agg(name ORDER BY attnum) FILTER (WHERE writable), array_agg(name ORDER BY attnum)) FROM c
$$;

CREATE TEMP TABLE writing AS
  SELECT o.relation, s.role, s.level, s.of_all, w.which, w.tenant, command,
         pg_temp.try(s.role, CASE command
           WHEN 'INSERT' THEN format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, %3$L)', o.relation,
                                     array_to_string(pg_temp.columns(s.role, o.relation, command), ', '), pg_temp.some_row(o.relation, w.tenant))
           WHEN 'UPDATE' THEN format('UPDATE %1$s SET %2$s = %2$s %3$s', o.relation, (pg_temp.columns(s.role, o.relation, command))[1], w.condition)
           WHEN 'DELETE' THEN format('DELETE FROM %s %s', o.relation, w.condition)
           WHEN 'TRUNCATE' THEN format('TRUNCATE %s CASCADE', o.relation) END) AS got
    FROM object o CROSS JOIN subject s CROSS JOIN unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) command
   CROSS JOIN LATERAL (VALUES ('own', pg_temp.own(), format('WHERE tenant_id = %L', pg_temp.own()), true),
                              ('other', pg_temp.other(), format('WHERE tenant_id = %L', pg_temp.other()), true), ('any', NULL, '', false)) w(which, tenant, condition, of_tenant)
   WHERE o.of_tenant = w.of_tenant AND o.relkind IN ('r', 'p');

CREATE TEMP VIEW verdict AS
  SELECT w.*, CASE WHEN w.level = 'manager' AND a.relation IS NOT NULL AND (w.of_all OR NOT a.of_all)
                   THEN CASE WHEN w.of_all OR w.which = 'own' THEN 'written' ELSE 'not there' END
                   ELSE 'forbidden' END AS wanted
    FROM writing w LEFT JOIN allowed a USING (relation, command);
-- A row that reaches a key, a reference or a check was let through; one of another tenant is not there, or not taken.
SELECT is_empty($$
  SELECT relation, role, which, command, got, wanted FROM verdict
   WHERE NOT CASE wanted
     WHEN 'written' THEN got ~ '^[1-9]\d{0,3}$' OR got ~ '^23' OR got = '55000'
     WHEN 'not there' THEN got = CASE command WHEN 'INSERT' THEN '42501' ELSE '0' END
     -- a manager of one tenant may add unknown SKUs, for imports, and for that has UPDATE but sees no row to update
     ELSE got = '42501' OR relation = 'eiot.sku'::regclass AND role = 'access_manager' AND (command, got) = ('UPDATE', '0') END
   ORDER BY 1, 2, 3, 4
$$, 'each role writes what is expected of it, to its tenants alone');
SELECT cmp_ok((SELECT count(*) FROM writing), '>', 300::bigint, 'out of many tries');
SELECT is_empty($$SELECT * FROM allowed a WHERE NOT EXISTS (SELECT FROM writing w WHERE w.relation = a.relation AND w.command = a.command)$$,
                'everything that is allowed was tried');

-- No row goes from one tenant to another.
SELECT is_empty($$
  SELECT o.relation, s.role, t.got
    FROM object o CROSS JOIN subject s
   CROSS JOIN LATERAL pg_temp.try(s.role, format('UPDATE %s SET tenant_id = %L WHERE tenant_id = %L', o.relation, pg_temp.other(), pg_temp.own())) t(got)
   WHERE o.of_tenant AND o.relkind IN ('r', 'p') AND s.of_all IS NOT TRUE AND t.got <> '42501'
$$, 'nobody who manages one tenant gives a row to another');

-- ---- functions

-- Arguments that make sense: own tenant or the other, the inventory, empty bodies.
CREATE FUNCTION pg_temp.argument(type oid, name text, tenant uuid) RETURNS text LANGUAGE sql AS $$
  SELECT COALESCE(
    (SELECT v.value FROM (VALUES
       ('uuid'::regtype, format('%L::uuid', tenant)), ('regclass', '''access_test.device''::regclass'), ('regrole', '''access_nobody''::regrole'),
       ('jsonb', '''[{"DeviceId": "n", "Timestamp": "2026-01-02", "skuId": "e1070000-0000-4000-8000-00000000abcd", "prepaidUnits": {"enabled": 1}}]''::jsonb'),
       ('timestamptz', 'now()'), ('date', 'current_date'), ('daterange', '''[2026-01-01,2026-02-01)''::daterange'),
       ('tstzrange', '''[2026-01-01,2026-02-01)''::tstzrange'), ('interval', '''1 day''::interval'), ('text', CASE name WHEN 'on_error' THEN '''reject''::text' WHEN 'registry' THEN '''MA-L''::text'
                                     WHEN 'csv' THEN 'E''Registry,Assignment,Organization Name,Organization Address\nMA-L,00005E,Test,Nowhere\n'''
                                     WHEN 'name' THEN '''access_test.made''' WHEN 'as_of' THEN '''now()''' ELSE '''reader''::text' END), ('name', '''x''::name'),
       ('bigint', CASE name WHEN 'watch_id' THEN (SELECT max(w.watch_id) FROM eiot.watched w) ELSE 1 END || '::bigint'), ('integer', '1'), ('smallint', '1::smallint'), ('numeric', '1.0'), ('boolean', 'true'), ('macaddr', '''00:00:5e:00:00:01''::macaddr'),
       ('inet', '''10.0.0.1''::inet'), ('xml', '''<fingerprints matches="test"><fingerprint pattern="^x$"><description>X</description></fingerprint></fingerprints>''::xml')) v(type, value)
      WHERE v.type = argument.type),
    format(CASE WHEN (SELECT t.typcategory FROM pg_type t WHERE t.oid = argument.type) = 'A' THEN '''{}''::%s' ELSE 'NULL::%s' END, type::regtype))
$$;

-- Immutable ones read no table, which lint.sql sees to.
CREATE TEMP VIEW callable AS
  SELECT p.oid::regprocedure AS function, p.proname
    FROM pg_proc p
   WHERE p.pronamespace = 'eiot'::regnamespace AND p.prokind = 'f' AND p.provolatile <> 'i'
     AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype) AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[]);

-- All that is in the tables: one line each for own rows, rows of the other tenant, and rows of nobody.
CREATE FUNCTION pg_temp.contents(OUT own text, OUT other text, OUT rest text) LANGUAGE plpgsql AS $$
DECLARE
  o record;
  part record;
BEGIN
  own := ''; other := ''; rest := '';
  FOR o IN SELECT relation, of_tenant FROM object WHERE relkind IN ('r', 'p') AND NOT relispartition ORDER BY relation LOOP
    EXECUTE format($q$
      SELECT md5(string_agg(r, ',' ORDER BY r) FILTER (WHERE tenant = $1)) AS own, md5(string_agg(r, ',' ORDER BY r) FILTER (WHERE tenant = $2)) AS other,
             md5(string_agg(r, ',' ORDER BY r) FILTER (WHERE tenant IS NULL)) AS rest
        FROM (SELECT to_jsonb(t)::text AS r, (to_jsonb(t) ->> 'tenant_id')::uuid AS tenant FROM %s t) t$q$, o.relation) INTO part USING pg_temp.own(), pg_temp.other();
    own := format('%s %s=%s', own, o.relation, part.own);
    other := format('%s %s=%s', other, o.relation, part.other);
    -- audited, as it should be
    IF o.relation <> 'eiot.audit'::regclass THEN
      rest := format('%s %s=%s', rest, o.relation, part.rest);
    END IF;
  END LOOP;
  rest := rest || (SELECT string_agg(c.relname || c.relacl::text, ',' ORDER BY c.relname) FROM pg_class c WHERE c.relnamespace IN ('eiot'::regnamespace, 'access_test'::regnamespace));
END
$$;

CREATE FUNCTION pg_temp.call(role name, function regprocedure, tenant uuid, OUT state text, OUT rows bigint, OUT own_changed boolean,
                             OUT other_changed boolean, OUT rest_changed boolean) LANGUAGE plpgsql AS $$
DECLARE
  before record;
  after record;
  arguments text;
BEGIN
  SELECT string_agg(pg_temp.argument(a.type, p.proargnames[a.n], tenant), ', ' ORDER BY a.n)
    INTO arguments
    FROM pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes::oid[]) WITH ORDINALITY a(type, n)
   WHERE p.oid = function;
  before := pg_temp.contents();
  BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE format('SELECT count(*) FROM eiot.%I(%s) f WHERE f IS NOT NULL', (SELECT proname FROM pg_proc WHERE oid = function), arguments) INTO rows;
    RESET ROLE;
    after := pg_temp.contents();
    own_changed := before.own <> after.own;
    other_changed := before.other <> after.other;
    rest_changed := before.rest <> after.rest;
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
  EXCEPTION
    WHEN SQLSTATE 'ZZ000' THEN state := 'ok';
    WHEN OTHERS THEN state := SQLSTATE;
  END;
END
$$;

CREATE TEMP TABLE calling AS
  SELECT c.*, s.role, s.level, s.of_all, w.which, r.*
    FROM callable c CROSS JOIN subject s
   CROSS JOIN (VALUES ('own', pg_temp.own()), ('other', pg_temp.other())) w(which, tenant)
   CROSS JOIN LATERAL pg_temp.call(s.role, c.function, w.tenant) r
   WHERE w.which = 'own' OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = c.function AND 'uuid'::regtype = ANY (p.proargtypes::oid[]));

SELECT is_empty($$SELECT function, role, which, own_changed, other_changed, rest_changed FROM calling
                   WHERE (own_changed OR other_changed OR rest_changed) AND level IS DISTINCT FROM 'manager' ORDER BY 1, 2, 3$$,
                'no function changes anything for who is no manager');
SELECT is_empty($$SELECT function, role, which FROM calling WHERE other_changed AND of_all IS NOT TRUE ORDER BY 1, 2, 3$$,
                'none changes anything of another tenant');
-- An unknown SKU that an import meets is a row of nobody.
SELECT is_empty($$SELECT function, role, which FROM calling
                   WHERE rest_changed AND of_all IS NOT TRUE AND function <> 'eiot.import_subscribed_skus(uuid,jsonb,timestamptz)'::regprocedure ORDER BY 1, 2, 3$$,
                'nor settings, for who does not manage all tenants');
SELECT set_has($$SELECT DISTINCT function::text FROM calling WHERE own_changed AND role = 'access_manager'$$,
               $$VALUES ('eiot.import_device_info(regclass,uuid,jsonb,text)'), ('eiot.import_subscribed_skus(uuid,jsonb,timestamp with time zone)')$$,
               'while imports do change the rows of who manages a tenant');

-- Those in SQL that name no table need not be listed.
PREPARE open_to_all AS
  SELECT DISTINCT c.proname::text
    FROM calling c JOIN pg_proc p ON p.oid = c.function
   WHERE c.role = 'access_nobody' AND c.state = 'ok' AND (p.prosqlbody IS NULL OR p.prosqlbody::text LIKE '%:rtekind 0%');
PREPARE reads_no_table AS
  VALUES ('access_to_all'), ('accessible_tenants'), ('access_rights'), -- what one may
         ('count_warning_units'),                                       -- a setting
         ('limits_are_pending'), ('note_departure'), ('is_arrival'),   -- what the transaction did
         ('device_info_problem'),                                       -- part of a body
         ('check_inventory'), ('coverage_views'), ('bi_views'), ('watch_shape'), ('watch_epoch'), ('watched_relation'), ('watch_triggers'), ('watch_index_serves'), -- catalogs
         ('step_bounds'), ('may_count_otherwise'),                     -- instants, and after how long devices fall silent under any rule
         ('offer'), ('svg_chart'),                                      -- text
         ('check_reduction'),                                           -- entitlements, of which none is asked for a null
         ('oui_vendor'), ('identify'), ('match_fingerprint');           -- vendors and fingerprints, of which nulls are asked
SELECT set_has('reads_no_table', 'open_to_all', 'who was granted nothing calls pure functions and those that read no table');

SELECT * FROM finish();
ROLLBACK;
