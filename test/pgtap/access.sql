-- Access: granting and revoking, what the policies do to plans, constraints and imports, the audit.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('ad000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;

CREATE ROLE ac_reader;
CREATE ROLE ac_manager;
CREATE ROLE ac_auditor;
CREATE ROLE ac_boss;
CREATE ROLE ac_team;
CREATE ROLE ac_member IN ROLE ac_team;
CREATE ROLE ac_loose NOINHERIT IN ROLE ac_team;
CREATE ROLE "Ac ""odd"" 'role'";

INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 40) n;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units)
SELECT pg_temp.t(n), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', n FROM generate_series(1, 40) n;
CREATE SCHEMA ac;
GRANT USAGE ON SCHEMA ac TO PUBLIC;
SELECT eiot.create_inventory('ac.device');
INSERT INTO ac.device (tenant_id, device_id, category, last_seen)
SELECT pg_temp.t(1 + n % 40), 'd' || n, 'IoT', now() FROM generate_series(1, 20000) n;
ANALYZE ac.device, eiot.tenant, eiot.entitlement;

-- A statement of a role: its SQLSTATE, or the first column of its first row.
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
CREATE FUNCTION pg_temp.message(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  EXECUTE statement;
  RESET ROLE;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.plan(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  line text;
  result text := '';
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
    result := result || line || E'\n';
  END LOOP;
  RESET ROLE;
  RETURN result;
END
$$;
CREATE FUNCTION pg_temp.rights(role regrole) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT c.relname || ' ' || x.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x
   WHERE c.relnamespace = 'eiot'::regnamespace AND x.grantee = role
  UNION ALL
  SELECT c.relname || '.' || a.attname || ' ' || x.privilege_type
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid CROSS JOIN LATERAL aclexplode(a.attacl) x
   WHERE c.relnamespace = 'eiot'::regnamespace AND x.grantee = role
$$;

-- ---- granting

SELECT throws_ok(statement, code, message, what)
  FROM (VALUES
    ($$SELECT eiot.grant_access(NULL, 'reader')$$, '22004', 'grantee and level must not be null', 'no role'),
    ($$SELECT eiot.grant_access('ac_reader', NULL)$$, '22004', 'grantee and level must not be null', 'no level'),
    ($$SELECT eiot.grant_access('ac_reader', 'owner')$$, '22023', 'unknown level of access: "owner"', 'another level'),
    ($$SELECT eiot.grant_access('ac_reader', 'Reader')$$, '22023', 'unknown level of access: "Reader"', 'a level in capitals'),
    ($$SELECT eiot.grant_access('no_such_role', 'reader')$$, '42704', 'role "no_such_role" does not exist', 'an unknown role'),
    ($$SELECT eiot.grant_access(0::oid::regrole, 'reader')$$, '42704', 'role - does not exist', 'no role by number'),
    ($$SELECT eiot.grant_access('ac_reader', 'reader', pg_temp.t(99))$$, '23503', NULL, 'an unknown tenant'),
    ($$SELECT eiot.revoke_access(NULL)$$, '22004', 'grantee must not be null', 'nobody to revoke from'),
    ($$SELECT eiot.access_to_all('owner')$$, '22023', 'unknown level of access: "owner"', 'access_to_all of another level'),
    ($$SELECT eiot.accessible_tenants('')$$, '22023', 'unknown level of access: ""', 'accessible_tenants of another level'),
    ($$SELECT eiot.grant_inventory('eiot.tenant', 'ac_reader')$$, '42809', 'eiot.tenant is not an inventory', 'a table that is no inventory'),
    ($$SELECT eiot.grant_inventory('ac.device', NULL)$$, '22004', 'grantee and level must not be null', 'an inventory to nobody'),
    ($$SELECT eiot.grant_inventory('ac.device', 'ac_reader', 'owner')$$, '22023', 'unknown level of access: "owner"', 'an inventory at another level')) v(statement, code, message, what);
SELECT is(eiot.access_to_all(NULL), NULL, 'null of null');
SELECT is(eiot.accessible_tenants(NULL), NULL, 'null of null');
SELECT is(count(*), 0::bigint, 'nothing was granted') FROM eiot.access;

SELECT eiot.grant_access('ac_reader', 'reader', pg_temp.t(1));
SELECT eiot.grant_access('ac_manager', 'manager', pg_temp.t(1));
SELECT eiot.grant_access('ac_auditor', 'reader');
SELECT eiot.grant_access('ac_boss', 'manager');
SELECT eiot.grant_access('ac_team', 'reader', pg_temp.t(2));
SELECT eiot.grant_access('ac_team', 'manager', pg_temp.t(3));
SELECT eiot.grant_access(quote_ident(rolname)::regrole, 'reader', pg_temp.t(4)) FROM pg_roles WHERE rolname LIKE 'Ac %';
SELECT eiot.grant_inventory('ac.device', role::regrole, level)
  FROM (VALUES ('ac_reader', 'reader'), ('ac_manager', 'manager'), ('ac_auditor', 'reader'), ('ac_boss', 'manager'), ('ac_team', 'manager')) v(role, level);

SELECT is(pg_temp.as_role(role, format('SELECT string_agg(name, '', '' ORDER BY tenant_id) FROM eiot.tenant WHERE name <= %L', 'Tenant 4')), seen, role || ' sees')
  FROM (VALUES ('ac_reader', 'Tenant 1'), ('ac_manager', 'Tenant 1'), ('ac_team', 'Tenant 2, Tenant 3'), ('ac_member', 'Tenant 2, Tenant 3'),
               ('ac_loose', '42501'), ('Ac "odd" ''role''', 'Tenant 4')) v(role, seen);
SELECT is(pg_temp.as_role(role, 'SELECT count(*) FROM eiot.tenant'), '40', role || ' sees all')
  FROM unnest('{ac_auditor,ac_boss}'::text[]) role;
SELECT is(pg_temp.as_role(role, 'SELECT eiot.accessible_tenants(''reader'')::text || eiot.accessible_tenants(''manager'')::text || eiot.access_to_all(''reader'') || eiot.access_to_all(''manager'')'), answer, role || ' may')
  FROM (VALUES ('ac_member', format('{%s,%s}{%s}falsefalse', pg_temp.t(2), pg_temp.t(3), pg_temp.t(3))), ('ac_loose', '{}{}falsefalse'), ('ac_auditor', '{}{}truefalse'),
               ('ac_boss', '{}{}truetrue')) v(role, answer);

-- Several roles, the tenants of all of them, each once.
GRANT ac_reader TO ac_member;
SELECT eiot.grant_access('ac_member', 'reader', pg_temp.t(2));
SELECT is(pg_temp.as_role('ac_member', 'SELECT eiot.accessible_tenants(''reader'')'), format('{%s,%s,%s}', pg_temp.t(1), pg_temp.t(2), pg_temp.t(3)), 'roles add up');
SELECT is(eiot.revoke_access('ac_member'), 1::bigint, 'what was granted to a member is revoked from it');
SELECT is(pg_temp.as_role('ac_member', 'SELECT cardinality(eiot.accessible_tenants(''reader''))'), '3', 'what it has from its roles is not');
REVOKE ac_reader FROM ac_member;

-- Granting again changes the level, up and down, and the rights with it.
SELECT set_has('SELECT pg_temp.rights(''ac_manager'')', $$VALUES ('entitlement.units INSERT'), ('entitlement.units UPDATE'), ('entitlement DELETE'), ('tenant SELECT'), ('tenant.entitlements_as_of UPDATE')$$, 'a manager may write entitlements');
SELECT is_empty($$SELECT * FROM pg_temp.rights('ac_manager') r WHERE r ~ '_id (INSERT|UPDATE)' AND r !~ '(tenant|sku|subscription)_id'$$, 'but no key that counts up');
SELECT is_empty($$SELECT * FROM pg_temp.rights('ac_reader') r WHERE r !~ '^\w+ SELECT$'$$, 'a reader may read');
SELECT is_empty($$SELECT * FROM pg_temp.rights('ac_boss') r WHERE r ~ '_seq |^(audit|access) (INSERT|UPDATE|DELETE)|TRUNCATE|TRIGGER|REFERENCES'$$, 'nobody has a right to sequences, or to write the audit or access');
SELECT eiot.grant_access('ac_manager', 'reader', pg_temp.t(1));
SELECT results_eq($$SELECT level FROM eiot.access WHERE grantee = 'ac_manager'$$, $$VALUES ('reader')$$, 'from manager to reader');
SELECT is_empty($$SELECT * FROM pg_temp.rights('ac_manager') r WHERE r !~ '^\w+ SELECT$'$$, 'loses the rights of a manager');
SELECT eiot.grant_access('ac_manager', 'manager', pg_temp.t(1));
SELECT bag_eq('SELECT pg_temp.rights(''ac_manager'')', 'SELECT pg_temp.rights(''ac_team'')', 'and back');
SELECT eiot.grant_access('ac_manager', 'manager', pg_temp.t(1));
SELECT is(count(*), 1::bigint, 'twice is once') FROM eiot.access WHERE grantee = 'ac_manager';
SELECT is(count(*), 2::bigint, 'and no change') FROM eiot.audit WHERE table_name = 'eiot.access' AND action = 'UPDATE' AND after ->> 'grantee' = 'ac_manager';

-- A manager of one tenant and reader of all: what each gives, and no more.
SELECT eiot.grant_access('ac_manager', 'reader');
SELECT is(pg_temp.as_role('ac_manager', statement), result, statement)
  FROM (VALUES ('SELECT count(*) FROM eiot.tenant', '40'), (format('WITH u AS (UPDATE eiot.entitlement SET units = 1 RETURNING tenant_id) SELECT string_agg(tenant_id::text, '','') FROM u'), pg_temp.t(1)::text),
               (format('UPDATE eiot.tenant SET name = name WHERE tenant_id = %L', pg_temp.t(1)), '42501')) v(statement, result);
SELECT is(eiot.revoke_access('ac_manager', pg_temp.t(2)), 0::bigint, 'a tenant that was not granted is not revoked');
SELECT is(eiot.revoke_access('ac_manager'), 2::bigint, 'without a tenant everything is revoked');
SELECT is_empty('SELECT pg_temp.rights(''ac_manager'')', 'and no right is left');
SELECT is(pg_temp.as_role('ac_manager', 'SELECT count(*) FROM eiot.tenant'), '42501', 'nothing is seen');
SELECT eiot.grant_access('ac_manager', 'manager', pg_temp.t(1));

SELECT is(pg_temp.as_role(role, statement), '42501', format('%s may not: %s', role, statement))
  FROM unnest('{ac_boss,ac_manager,ac_auditor,ac_loose}'::text[]) role
 CROSS JOIN (VALUES ('SELECT eiot.grant_access(''ac_loose'', ''manager'')'), ('SELECT eiot.revoke_access(''ac_reader'')'), ('SELECT eiot.set_access_rights(''ac_loose'')'),
                    ('INSERT INTO eiot.access (grantee, level) VALUES (''ac_loose'', ''manager'')'), ('SELECT eiot.grant_inventory(''ac.device'', ''ac_loose'')'),
                    ('ALTER TABLE eiot.tenant DISABLE ROW LEVEL SECURITY'), ('DROP POLICY reader ON eiot.tenant')) s(statement);
-- Even with a plain GRANT: there is no policy that would let a row in.
GRANT INSERT ON eiot.access TO ac_boss;
SELECT is(pg_temp.as_role('ac_boss', 'INSERT INTO eiot.access (grantee, level) VALUES (''ac_loose'', ''manager'')'), '42501', 'nor with the right to insert');
SELECT eiot.set_access_rights('ac_boss');
SELECT is_empty($$SELECT * FROM pg_temp.rights('ac_boss') r WHERE r ~ 'access INSERT'$$, 'set_access_rights leaves no more than the level takes');

-- ---- roles that go

SELECT throws_ok('DROP ROLE ac_reader', '2BP01', NULL, 'a role with access is not dropped');
CREATE ROLE ac_gone;
SELECT eiot.grant_access('ac_gone', 'reader', pg_temp.t(5));
DROP OWNED BY ac_gone;
DROP ROLE ac_gone;
SELECT is(count(*), 1::bigint, 'its row stays when its rights are taken and it is dropped') FROM eiot.access WHERE grantee = 'ac_gone';
SELECT is(pg_temp.as_role('ac_reader', 'SELECT count(*) FROM eiot.tenant'), '1', 'which disturbs nobody');
CREATE ROLE ac_gone;
SELECT is(pg_temp.as_role('ac_gone', 'SELECT count(*) FROM eiot.tenant'), '42501', 'a new role of that name has no rights');
SELECT eiot.grant_access('ac_gone', 'reader', pg_temp.t(6));
SELECT is(pg_temp.as_role('ac_gone', 'SELECT string_agg(name, '','') FROM eiot.tenant'), 'Tenant 6', 'and when it gets some, not the access of the old one');
ALTER ROLE ac_gone RENAME TO ac_renamed;
SELECT is(pg_temp.as_role('ac_renamed', 'SELECT count(*) FROM eiot.tenant'), '0', 'a renamed role sees nothing');
SELECT eiot.grant_access('ac_renamed', 'reader', pg_temp.t(6));
SELECT is(pg_temp.as_role('ac_renamed', 'SELECT string_agg(name, '','') FROM eiot.tenant'), 'Tenant 6', 'until it is granted anew');

-- What a role has from a group does not replace its own: it may leave the group.
CREATE ROLE ac_customers;
GRANT SELECT ON ALL TABLES IN SCHEMA eiot TO ac_customers;
CREATE ROLE ac_customer IN ROLE ac_customers;
INSERT INTO eiot.access (grantee, level, tenant_id) VALUES ('ac_customer', 'reader', pg_temp.t(8));
SELECT is(pg_temp.as_role('ac_customer', 'SELECT string_agg(name, '','') FROM eiot.tenant'), 'Tenant 8', 'a row by hand is enough for who has the rights from a group');
SELECT eiot.set_access_rights('ac_customer');
REVOKE ac_customers FROM ac_customer;
SELECT is(pg_temp.as_role('ac_customer', 'SELECT string_agg(name, '','') FROM eiot.tenant'), 'Tenant 8', 'set_access_rights makes them its own');
SELECT eiot.revoke_access('ac_customer');
DROP ROLE ac_customer;
DROP OWNED BY ac_customers;
DROP ROLE ac_customers;

-- A tenant that goes takes its access along.
INSERT INTO eiot.tenant (tenant_id, name) VALUES (pg_temp.t(50), 'Short');
SELECT eiot.grant_access('ac_reader', 'reader', pg_temp.t(50));
DELETE FROM eiot.tenant WHERE tenant_id = pg_temp.t(50);
SELECT is(count(*), 0::bigint, 'access to a deleted tenant is deleted') FROM eiot.access WHERE tenant_id = pg_temp.t(50);

-- ---- who has access

SELECT is(pg_temp.as_role(role, 'SELECT string_agg(grantee, '','' ORDER BY access_id) FROM eiot.access WHERE tenant_id IN (pg_temp.t(1), pg_temp.t(3)) OR tenant_id IS NULL'), seen, role || ' sees the access of')
  FROM (VALUES ('ac_reader', 'ac_reader'), ('ac_manager', 'ac_reader,ac_manager'), ('ac_auditor', 'ac_auditor'), ('ac_member', 'ac_team'),
               ('ac_boss', 'ac_reader,ac_auditor,ac_boss,ac_team,ac_manager')) v(role, seen);

-- ---- plans

SELECT is(pg_temp.plan('ac_auditor', query), pg_temp.plan(current_user, query), 'a reader of all tenants has the plan of the owner: ' || query)
  FROM (VALUES ('SELECT count(*) FROM ac.device'), ('SELECT count(*) FROM ac.device WHERE last_seen > now()'), ('SELECT * FROM eiot.entitlement'), ('SELECT * FROM eiot.sku')) v(query);
-- Where an operator is not leakproof the planner keeps statistics from them, so that joins may go another way.
SELECT ok(pg_temp.plan('ac_auditor', query) !~ 'ANY|InitPlan|SubPlan|access', 'or one without any condition on tenants: ' || query)
  FROM (VALUES ('SELECT * FROM ac.device_coverage'), ('SELECT * FROM eiot.capacity')) v(query);
SELECT alike(pg_temp.plan('ac_reader', query), wanted, 'a reader of one tenant goes by the index: ' || query)
  FROM (VALUES ('SELECT count(*) FROM ac.device', '%Index Cond: (tenant_id = ANY (%'), ('SELECT * FROM ac.device WHERE device_id = ''d1''', '%Index Cond: ((tenant_id = ANY (%'),
               ('SELECT * FROM ac.device_coverage', '%device_count%Index Cond: ((tenant_id = %')) v(query, wanted);
SELECT unalike(pg_temp.plan(role, query), '%access%', 'no plan has a function a row: ' || query)
  FROM unnest('{ac_reader,ac_manager,ac_auditor}'::text[]) role
 CROSS JOIN (VALUES ('SELECT count(*) FROM ac.device'), ('SELECT * FROM ac.device_coverage'), ('SELECT * FROM eiot.entitlement'),
                    ('SELECT * FROM eiot.audit'), ('SELECT * FROM eiot.sku')) v(query);

-- The policies' answer belongs to the role, not to the plan.
PREPARE counting AS SELECT count(*) FROM eiot.tenant;
PREPARE nested AS WITH t AS MATERIALIZED (SELECT * FROM eiot.tenant) SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM (SELECT FROM ac.device_coverage) c);
CREATE FUNCTION pg_temp.counting() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM eiot.tenant t WHERE EXISTS (SELECT FROM ac.device d WHERE d.tenant_id = t.tenant_id)); END $$;
CREATE FUNCTION pg_temp.rounds() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  role text;
  one bigint; two bigint;
BEGIN
  FOREACH role IN ARRAY '{ac_auditor,ac_reader,ac_team,ac_reader,ac_auditor}'::text[] LOOP
    EXECUTE format('SET LOCAL ROLE %I', role);
    FOR i IN 1..7 LOOP
      EXECUTE 'EXECUTE counting' INTO one;
      EXECUTE 'EXECUTE nested' INTO two;
    END LOOP;
    RETURN NEXT format('%s %s %s %s', role, one, two, pg_temp.counting());
  END LOOP;
  RESET ROLE;
END
$$;
SELECT set_config('plan_cache_mode', mode, true) FROM (VALUES ('force_generic_plan')) v(mode);
SELECT results_eq('SELECT pg_temp.rounds()', $$VALUES ('ac_auditor 40 80 40'), ('ac_reader 1 2 1'), ('ac_team 2 4 2'), ('ac_reader 1 2 1'), ('ac_auditor 40 80 40')$$,
                  'a prepared plan is made anew for another role');
SELECT set_config('plan_cache_mode', 'auto', true);

-- Conditions that fail on rows of others are not asked of them.
SELECT is(pg_temp.as_role('ac_reader', 'SELECT count(*) FROM eiot.entitlement WHERE 1 / (units - 7) < 5'), '1', 'a division by zero in another tenant''s row');
SELECT is(pg_temp.as_role('ac_auditor', 'SELECT count(*) FROM eiot.entitlement WHERE 1 / (units - 7) < 5'), '22012', 'which is there');

-- ---- borders

-- What is not one's own is as if it were not there: the same words for a tenant of others and for none.
SELECT is(replace(pg_temp.message('ac_manager', replace(statement, '#', pg_temp.t(2)::text)), pg_temp.t(2)::text, '#'),
          replace(pg_temp.message('ac_manager', replace(statement, '#', pg_temp.t(99)::text)), pg_temp.t(99)::text, '#'), 'tells nothing: ' || statement)
  FROM (VALUES ('INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (''#'', ''06ebc4ee-1bb5-47dd-8120-11324bc54e06'', 1)'),
               ('INSERT INTO ac.device (tenant_id, device_id) VALUES (''#'', ''d1'')'), ('INSERT INTO ac.device (tenant_id, device_id) VALUES (''#'', ''d1'') ON CONFLICT DO NOTHING'),
               ('INSERT INTO ac.device (tenant_id, device_id) VALUES (''#'', ''d1'') ON CONFLICT (tenant_id, device_id) DO UPDATE SET name = ''x'''),
               ('UPDATE ac.device SET tenant_id = ''#'''), ('UPDATE eiot.entitlement SET tenant_id = ''#'''), ('INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (''#'', ''[2020-01-01,)'')'),
               ('SELECT eiot.check_tenant(''#'')'), ('SELECT eiot.import_subscribed_skus(''#'', ''[]'')'), ('SELECT eiot.import_device_info(''ac.device'', ''#'', ''[]'')'),
               ('SELECT eiot.explain_count(''ac.device'', ''#'')'), ('INSERT INTO eiot.tenant (tenant_id, name) VALUES (''#'', ''x'')'),
               ('SELECT eiot.capacity_at(''#'', now())'), ('SELECT eiot.next_capacity_change(''#'', ''-infinity'')')) v(statement);
SELECT is(pg_temp.as_role('ac_manager', 'INSERT INTO eiot.entitlement (entitlement_id, tenant_id, sku_id, units) SELECT max(entitlement_id) + 1, pg_temp.t(1), ''06ebc4ee-1bb5-47dd-8120-11324bc54e06'', 1 FROM eiot.entitlement'),
          '42501', 'nobody takes a key that the next row of another would get');
SELECT is(pg_temp.as_role('ac_manager', format('SELECT eiot.capacity_at(%L, now())', pg_temp.t(2))), '0', 'another tenant''s capacity is that of none');

-- Imports: only own devices, by the same keys as those of others.
SELECT is(pg_temp.as_role('ac_manager', format('SELECT (i.devices, i.stored) FROM eiot.import_device_info(''ac.device'', %L, ''[{"DeviceId": "d1", "Timestamp": "2026-01-01"}, {"DeviceId": "d40", "Timestamp": "2027-01-01"}]'') i', pg_temp.t(1))),
          '22008', 'an import of a manager fails as anybody''s');
SELECT is(pg_temp.as_role('ac_manager', format('SELECT (i.devices, i.stored) FROM eiot.import_device_info(''ac.device'', %L, ''[{"DeviceId": "d1", "Timestamp": "2026-01-01", "Model": "x"}, {"DeviceId": "d40", "Timestamp": "2020-01-01"}]'') i', pg_temp.t(1))),
          '(2,2)', 'one new device, whose id another tenant has, and one that was there');
SELECT results_eq($$SELECT tenant_id, model FROM ac.device WHERE device_id = 'd1' ORDER BY 1$$, $$VALUES (pg_temp.t(1), 'x'), (pg_temp.t(2), NULL)$$, 'the other tenant''s device is untouched');
SELECT is(pg_temp.as_role('ac_reader', 'SELECT DISTINCT imported_by FROM eiot.device_import'), 'ac_manager', 'the import is kept');

-- An unknown SKU says what somebody holds.
SELECT is(pg_temp.as_role('ac_team', format('SELECT part_number || '' '' || left(note, 11) FROM eiot.import_subscribed_skus(%L, ''[{"skuId": "ad000000-0000-4000-8000-00000000000a", "skuPartNumber": "NEW", "prepaidUnits": {"enabled": 3}}]'')', pg_temp.t(3))),
          'NEW unknown SKU', 'an unknown SKU is met');
SELECT is(pg_temp.as_role(role, 'SELECT count(*) FROM eiot.sku WHERE part_number = ''NEW'''), seen, format('%s sees it: %s', role, seen))
  FROM (VALUES ('ac_team', '1'), ('ac_member', '1'), ('ac_reader', '0'), ('ac_manager', '0'), ('ac_auditor', '1'), ('ac_boss', '1')) v(role, seen);
SELECT is(pg_temp.as_role('ac_manager', format('SELECT part_number || '' '' || change || '' '' || left(note, 11) FROM eiot.import_subscribed_skus(%L, ''[{"skuId": "ad000000-0000-4000-8000-00000000000a", "skuPartNumber": "NEW", "prepaidUnits": {"enabled": 3}}]'')', pg_temp.t(1))),
          'NEW added unknown SKU', 'met again by who could not see it, it reads the same');
SELECT is(pg_temp.as_role('ac_manager', 'SELECT count(*) FROM eiot.sku WHERE part_number = ''NEW'''), '1', 'and is seen since it is held');
SELECT is(pg_temp.as_role('ac_manager', format('SELECT change FROM eiot.import_subscribed_skus(%L, ''[]'', now() + interval ''1 day'')', pg_temp.t(1))), 'closed', 'the import closes what is gone');
SELECT is(pg_temp.as_role('ac_manager', statement), '42501', 'a manager of one tenant adds nothing but that: ' || statement)
  FROM (VALUES ('INSERT INTO eiot.sku (sku_id, name, kind, devices_per_unit, basis) VALUES (gen_random_uuid(), ''x'', ''other'', 1000, ''import'')'),
               ('INSERT INTO eiot.sku (sku_id, name, kind, devices_per_unit, basis) VALUES (gen_random_uuid(), ''x'', ''other'', 0, ''documentation'')')) v(statement);
SELECT is(pg_temp.as_role('ac_manager', 'WITH u AS (UPDATE eiot.sku SET devices_per_unit = 1000 RETURNING 1) SELECT count(*) FROM u'), '0', 'nor changes one');
SELECT is(pg_temp.as_role('ac_boss', 'WITH u AS (UPDATE eiot.sku SET devices_per_unit = 6 WHERE part_number = ''SPE_E5'' RETURNING shipped) SELECT shipped FROM u'), 'false', 'a manager of all does, and the row is the user''s');

-- A table of one's own can be limited as well.
CREATE TABLE ac.note (tenant_id uuid, body text);
SELECT eiot.limit_to_tenants('ac.note', '{INSERT}');
INSERT INTO ac.note SELECT pg_temp.t(n), 'note' FROM generate_series(1, 3) n;
GRANT ALL ON ac.note TO ac_reader, ac_manager;
SELECT is(pg_temp.as_role(role, statement), result, format('%s: %s', role, statement))
  FROM (VALUES ('ac_reader', 'SELECT count(*) FROM ac.note', '1'), ('ac_reader', 'INSERT INTO ac.note VALUES (pg_temp.t(1), ''x'')', '42501'),
               ('ac_manager', 'INSERT INTO ac.note VALUES (pg_temp.t(1), ''x'') RETURNING body', 'x'), ('ac_manager', 'INSERT INTO ac.note VALUES (pg_temp.t(2), ''x'')', '42501'),
               ('ac_manager', 'WITH d AS (DELETE FROM ac.note RETURNING 1) SELECT count(*) FROM d', '0')) v(role, statement, result);
CREATE TABLE ac.plain (n integer);
SELECT throws_ok(statement, code, NULL, statement)
  FROM (VALUES ('SELECT eiot.limit_to_tenants(NULL)', '22004'), ('SELECT eiot.limit_to_tenants(''eiot.oui'')', '42809'), ('SELECT eiot.limit_to_tenants(''ac.note'', ''{SELECT}'')', '22023'),
               ('SELECT eiot.limit_to_tenants(''ac.note'')', '42710'), ('SELECT eiot.record_changes_of(''ac.plain'')', '55000'), ('SELECT eiot.record_changes_of(''eiot.oui'')', '42710')) v(statement, code);

-- Released, an inventory shows nobody more than before.
SELECT eiot.create_inventory('ac.released', 2);
INSERT INTO ac.released (tenant_id, device_id) SELECT pg_temp.t(n), 'x' FROM generate_series(1, 9) n;
SELECT eiot.grant_inventory('ac.released', 'ac_reader');
GRANT SELECT ON ac.released_p0, ac.released_p1 TO ac_reader;
SELECT is(pg_temp.as_role('ac_reader', 'SELECT count(*) FROM ac.released'), '1', 'a partitioned inventory');
SELECT is(pg_temp.as_role('ac_reader', 'SELECT (SELECT count(*) FROM ac.released_p0) + (SELECT count(*) FROM ac.released_p1)'), '0', 'whose partitions show nothing, even to who has a right to them');
SELECT eiot.release_inventory('ac.released');
SELECT is(pg_temp.as_role('ac_reader', 'SELECT count(*) FROM ac.released'), '0', 'released, nothing to who does not own it');
SELECT is(count(*), 9::bigint, 'and everything to who does') FROM ac.released;

-- ---- audit

DELETE FROM eiot.audit;
SELECT is(pg_temp.as_role('ac_manager', format('WITH u AS (UPDATE eiot.entitlement SET units = units + 1 WHERE tenant_id = %L AND valid @> now() AND source = ''manual'' RETURNING units) SELECT units FROM u', pg_temp.t(1))), '2', 'a change');
SELECT results_eq($$SELECT format('%s, logged in as %s', who, login), tenant_id, table_name, action, (before ->> 'units')::int, (after ->> 'units')::int, at FROM eiot.audit$$,
                  $$VALUES (format('ac_manager, logged in as %s', session_user), pg_temp.t(1), 'eiot.entitlement', 'UPDATE', 1, 2, now())$$, 'is in the audit, with who, when, before and after');
UPDATE eiot.entitlement SET units = units WHERE tenant_id = pg_temp.t(1);
SELECT is(count(*), 1::bigint, 'what changes nothing is not') FROM eiot.audit;
DELETE FROM eiot.monitoring_off;
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(2), '[2020-01-01,2020-02-01)');
TRUNCATE eiot.monitoring_off;
UPDATE eiot.sku SET devices_per_unit = 7 WHERE part_number = 'SPE_E5';
INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after) VALUES ('ac', '{iot}', '45 days');
UPDATE eiot.tenant SET counting_rule = 'ac' WHERE tenant_id = pg_temp.t(2);
DELETE FROM eiot.entitlement WHERE tenant_id = pg_temp.t(2);
UPDATE eiot.device_type SET class = 'ot' WHERE device_type = 'Scanner';
SELECT eiot.revoke_access('ac_reader', pg_temp.t(1));
SELECT eiot.grant_access('ac_reader', 'reader', pg_temp.t(1));
SELECT is(pg_temp.as_role('ac_manager', format('SELECT rows_read FROM eiot.import_device_info(''ac.device'', %L, ''[{"DeviceId": "z", "Timestamp": "2026-01-01"}]'')', pg_temp.t(1))), '1', 'an import');
SELECT results_eq($$SELECT table_name, action, tenant_id, before IS NOT NULL, after IS NOT NULL, who = 'ac_manager' FROM eiot.audit ORDER BY audit_id OFFSET 1$$,
  $$VALUES ('eiot.monitoring_off', 'INSERT', pg_temp.t(2), false, true, false), ('eiot.monitoring_off', 'TRUNCATE', NULL, false, false, false), ('eiot.sku', 'UPDATE', NULL, true, true, false),
           ('eiot.counting_rule', 'INSERT', NULL, false, true, false), ('eiot.tenant', 'UPDATE', pg_temp.t(2), true, true, false), ('eiot.entitlement', 'DELETE', pg_temp.t(2), true, false, false),
           ('eiot.device_type', 'UPDATE', NULL, true, true, false), ('eiot.access', 'DELETE', pg_temp.t(1), true, false, false), ('eiot.access', 'INSERT', pg_temp.t(1), false, true, false),
           ('eiot.device_import', 'INSERT', pg_temp.t(1), false, true, true)$$, 'each change of settings has its row, an import of devices one');
SELECT results_eq($$SELECT after - 'device_import_id' - 'imported_at' FROM eiot.audit WHERE table_name = 'eiot.device_import'$$,
  $$VALUES (jsonb_build_object('inventory', 'ac.device', 'tenant_id', pg_temp.t(1), 'rows_read', 1, 'devices', 1, 'stored', 1, 'rejected', 0, 'imported_by', 'ac_manager'))$$, 'with its counts');
SELECT is((SELECT after ->> 'inactive_after' FROM eiot.audit WHERE table_name = 'eiot.counting_rule'), 'P45D', 'values are written the same way whatever the session''s settings');

SELECT is(pg_temp.as_role(role, 'SELECT count(*) FROM eiot.audit'), seen, format('%s sees changes: %s', role, seen))
  FROM (VALUES ('ac_reader', '4'), ('ac_auditor', '11'), ('ac_boss', '11'), ('ac_team', '3'), ('ac_loose', '42501')) v(role, seen);
SELECT is(pg_temp.as_role('ac_boss', statement), '42501', 'nobody but its owner changes the audit: ' || statement)
  FROM (VALUES ('DELETE FROM eiot.audit'), ('UPDATE eiot.audit SET who = ''x'''), ('TRUNCATE eiot.audit'), ('ALTER TABLE eiot.entitlement DISABLE TRIGGER ALL'), ('SET LOCAL session_replication_role = replica'),
               ('INSERT INTO eiot.audit (who, table_name, action) VALUES (''x'', ''x'', ''INSERT'')')) v(statement);
-- What comes and goes in bulk: one entry for a load, and one for each rule that somebody writes.
CREATE FUNCTION pg_temp.recog(rules text[]) RETURNS xml LANGUAGE sql
  RETURN (SELECT format('<fingerprints matches="ac.test">%s</fingerprints>', string_agg(format('<fingerprint pattern="%s"/>', r), '')) FROM unnest(rules) r)::xml;
CREATE FUNCTION pg_temp.ieee(vendors text[]) RETURNS text LANGUAGE sql
  RETURN (SELECT E'Registry,Assignment,Organization Name,Organization Address\n' || string_agg(format(E'MA-S,0050C2%s,%s,Nowhere\n', lpad(n::text, 3, '0'), v), '') FROM unnest(vendors) WITH ORDINALITY u(v, n));
DELETE FROM eiot.audit;
SELECT is(pg_temp.as_role('ac_boss', statement), result, 'in bulk: ' || statement)
  FROM (VALUES ('SELECT eiot.load_fingerprints(pg_temp.recog(ARRAY(SELECT ''^'' || n FROM generate_series(1, 150) n)))', '150'),
               ('SELECT eiot.load_fingerprints(pg_temp.recog(''{a,b,c}''))', '3'), ('SELECT eiot.load_fingerprints(pg_temp.recog(''{d}''))', '1'),
               ('SELECT eiot.load_fingerprints(pg_temp.recog(''{d,e,f}''))', '3'),
               ('INSERT INTO eiot.fingerprint (kind, pattern) VALUES (''ac.test'', ''own 1''), (''ac.test'', ''own 2'') RETURNING pattern', 'own 1'),
               ('WITH u AS (UPDATE eiot.fingerprint SET pattern = pattern || ''!'' WHERE kind = ''ac.test'' AND pattern IN (''own 1'', ''e'') RETURNING 1) SELECT count(*) FROM u', '2'),
               ('WITH d AS (DELETE FROM eiot.fingerprint WHERE kind = ''ac.test'' AND pattern IN (''own 2'', ''f'') RETURNING 1) SELECT count(*) FROM d', '2'),
               ('UPDATE eiot.fingerprint_kind SET preference = 0.5 WHERE kind = ''ac.test'' RETURNING preference', '0.5'),
               ('SELECT eiot.load_oui(''MA-S'', pg_temp.ieee(''{One,Two}''))', '2'), ('SELECT eiot.load_oui(''MA-S'', pg_temp.ieee(''{One,Two,Three}''))', '3'),
               ('INSERT INTO eiot.oui VALUES (''00:50:c2:99:90:00'', 36, ''By hand'', ''MA-S'') RETURNING vendor', 'By hand'),
               ('WITH d AS (DELETE FROM eiot.oui RETURNING 1) SELECT count(*) FROM d', '4')) v(statement, result);
SELECT bag_eq($$SELECT table_name, action, (before ->> 'rows')::int AS rows_before, (after ->> 'rows')::int AS rows_after, COALESCE(before ->> 'pattern', before ->> 'preference', before ->> 'vendor') AS before,
                           COALESCE(after ->> 'pattern', after ->> 'preference', after ->> 'vendor') AS after FROM eiot.audit$$,
  $$VALUES ('eiot.fingerprint_kind', 'INSERT', NULL::int, NULL::int, NULL, '0.10'), ('eiot.fingerprint', 'INSERT', NULL, 150, NULL, NULL), ('eiot.fingerprint', 'UPDATE', 150, 3, NULL, NULL),
           ('eiot.fingerprint', 'UPDATE', 3, 1, NULL, 'd'), ('eiot.fingerprint', 'UPDATE', 1, 3, 'd', NULL),
           ('eiot.fingerprint', 'INSERT', NULL, NULL, NULL, 'own 1'), ('eiot.fingerprint', 'INSERT', NULL, NULL, NULL, 'own 2'),
           ('eiot.fingerprint', 'UPDATE', NULL, NULL, 'e', 'e!'), ('eiot.fingerprint', 'UPDATE', NULL, NULL, 'own 1', 'own 1!'),
           ('eiot.fingerprint', 'DELETE', NULL, NULL, 'f', NULL), ('eiot.fingerprint', 'DELETE', NULL, NULL, 'own 2', NULL),
           ('eiot.fingerprint_kind', 'UPDATE', NULL, NULL, '0.10', '0.5'), ('eiot.oui', 'INSERT', NULL, 2, NULL, NULL), ('eiot.oui', 'UPDATE', 2, 3, NULL, NULL),
           ('eiot.oui', 'INSERT', NULL, NULL, NULL, 'By hand'), ('eiot.oui', 'DELETE', 4, NULL, NULL, NULL)$$, 'a load is one entry, what is written by hand one each');
SELECT bag_eq($$SELECT DISTINCT who, tenant_id, before ->> 'kind' AS kind, before ->> 'origin' AS origin, before ->> 'registry' AS registry FROM eiot.audit WHERE (before ->> 'rows')::int > 1$$,
              $$VALUES ('ac_boss'::name, NULL::uuid, 'ac.test', 'loaded', NULL), ('ac_boss', NULL, NULL, NULL, 'MA-S')$$, 'with who, which kind and which registry');
-- Not one rule of many can be taken away in the shade of a load.
SELECT is(pg_temp.as_role('ac_boss', 'SELECT eiot.load_fingerprints(pg_temp.recog(''{a,b,c}''))'), '3', 'loaded, as one entry');
DELETE FROM eiot.audit;
SELECT is(pg_temp.as_role('ac_boss', 'WITH d AS (DELETE FROM eiot.fingerprint WHERE kind = ''ac.test'' AND origin = ''loaded'' RETURNING *),
                                           i AS (INSERT INTO eiot.fingerprint (kind, pattern, origin, shipped) SELECT kind, pattern, origin, shipped FROM d WHERE pattern <> ''b'' RETURNING 1)
                                      SELECT count(*) FROM i'), '2', 'all of a kind deleted, and some put back, in one statement');
SELECT results_eq($$SELECT action, before ->> 'pattern', after ->> 'rows' FROM eiot.audit ORDER BY before ->> 'pattern'$$, $$VALUES ('DELETE', 'a', NULL), ('DELETE', 'b', NULL), ('DELETE', 'c', NULL), ('INSERT', NULL, '2')$$,
                  'are told one by one, for others of the kind are there');

-- Reports and rejected rows.
DELETE FROM eiot.audit;
INSERT INTO eiot.report_run (name, inventory, tenant_id, period, html) VALUES ('ac', 'ac.device', pg_temp.t(1), '[2026-01-01,2026-02-01)', '<html/>'), ('ac', 'ac.device', pg_temp.t(2), '[2026-01-01,2026-02-01)', '');
SELECT is(pg_temp.as_role('ac_manager', statement), result, statement)
  FROM (VALUES ('UPDATE eiot.report_run SET html = ''<p>nothing to see</p>'' RETURNING name', 'ac'), ('DELETE FROM eiot.report_run RETURNING name', 'ac'),
               (format('SELECT rejected FROM eiot.import_device_info(''ac.device'', %L, ''[{"DeviceId": ""}, {"DeviceId": "r"}]'', ''reject'')', pg_temp.t(1)), '2'),
               ('WITH d AS (DELETE FROM eiot.import_reject RETURNING 1) SELECT count(*) FROM d', '2')) v(statement, result);
SELECT results_eq($$SELECT table_name, action, tenant_id, (before ->> 'html') LIKE 'SHA-256 ________________________________________________________________',
                           before ->> 'html' <> after ->> 'html', before ->> 'rows', after ->> 'rows' FROM eiot.audit WHERE tenant_id = pg_temp.t(1) ORDER BY audit_id$$,
  $$VALUES ('eiot.report_run', 'INSERT', pg_temp.t(1), NULL::boolean, NULL::boolean, NULL, NULL), ('eiot.report_run', 'UPDATE', pg_temp.t(1), true, true, NULL, NULL), ('eiot.report_run', 'DELETE', pg_temp.t(1), true, NULL, NULL, NULL),
           ('eiot.import_reject', 'INSERT', pg_temp.t(1), NULL, NULL, NULL, '2'), ('eiot.device_import', 'INSERT', pg_temp.t(1), NULL, NULL, NULL, NULL),
           ('eiot.import_reject', 'DELETE', pg_temp.t(1), NULL, NULL, '2', NULL)$$, 'a page that is changed or deleted, and rejected rows, are entries without their contents');
INSERT INTO eiot.report_run (name, inventory, tenant_id, period, error) VALUES ('ac', 'ac.device', pg_temp.t(3), '[2026-01-01,2026-02-01)', '22012: division by zero');
SELECT is((SELECT after ->> 'html' FROM eiot.audit WHERE tenant_id = pg_temp.t(3)), NULL, 'no digest of no page');

-- A row that somebody gives to another tenant.
DELETE FROM eiot.audit;
UPDATE eiot.entitlement SET tenant_id = pg_temp.t(2), units = 77 WHERE tenant_id = pg_temp.t(1) AND source = 'manual';
SELECT results_eq($$SELECT tenant_id, action, before ->> 'tenant_id', after ->> 'tenant_id', before ->> 'units' IS NOT NULL, after ->> 'units' FROM eiot.audit ORDER BY audit_id$$,
  $$VALUES (pg_temp.t(1), 'DELETE', pg_temp.t(1)::text, NULL, true, NULL), (pg_temp.t(2), 'INSERT', NULL, pg_temp.t(2)::text, false, '77')$$, 'is deleted from one and inserted into the other');
SELECT is(pg_temp.as_role('ac_reader', 'SELECT string_agg(action, '','') FROM eiot.audit'), 'DELETE', 'each sees its half');
UPDATE eiot.entitlement SET tenant_id = pg_temp.t(1), units = 2 WHERE tenant_id = pg_temp.t(2) AND units = 77;
SELECT is(count(*), 4::bigint, 'there and back') FROM eiot.audit;

-- Everything that a manager may write is under audit.
SELECT is_empty($$
  SELECT DISTINCT r.relation, r.command
    FROM eiot.access_rights('manager', true) r
   WHERE r.command <> 'SELECT'
     AND NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                      WHERE t.tgrelid = r.relation AND p.proname IN ('record_change', 'record_rows') AND p.pronamespace = 'eiot'::regnamespace
                        AND t.tgtype & CASE r.command WHEN 'INSERT' THEN 4 WHEN 'DELETE' THEN 8 ELSE 16 END <> 0)
$$, 'a trigger records whatever a manager has a right to write');

-- ---- what is decided about devices

CREATE FUNCTION pg_temp.entries() RETURNS TABLE (action text, tenant uuid, rows text, before jsonb, after jsonb) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT a.action, a.tenant_id, COALESCE(a.after, a.before) ->> 'rows', a.before -> 'devices', a.after -> 'devices' FROM eiot.audit a ORDER BY a.tenant_id, a.audit_id;
  DELETE FROM eiot.audit;
END
$$;
SELECT eiot.create_inventory('ac.decided'), eiot.create_inventory('ac."de cided"', 3);
SELECT eiot.grant_inventory(i, 'ac_manager', 'manager') FROM unnest(ARRAY['ac.decided', 'ac."de cided"']::regclass[]) i;
INSERT INTO ac.decided (tenant_id, device_id, class_override, tags, last_seen)
SELECT pg_temp.t(1 + n / 4), 'd' || n, CASE n WHEN 0 THEN 'iot'::eiot.device_class END, CASE n WHEN 1 THEN '{x,"y z"}'::text[] END, now() FROM generate_series(0, 7) n;
INSERT INTO ac."de cided" (tenant_id, device_id, class_override, tags, last_seen) SELECT tenant_id, device_id, class_override, tags, last_seen FROM ac.decided;
DELETE FROM eiot.audit;

-- What imports say every day is not looked at.
UPDATE ac.decided SET last_seen = now() + interval '1 hour', name = 'n', ip = '10.0.0.1', vendor = 'v', model = 'm', type = 'Managed Device', evidence = '{}', first_seen = '2020-01-01';
UPDATE ac.decided SET last_seen = last_seen, onboarding_status = 'Unsupported';
UPDATE ac.decided SET excluded = excluded, class_override = class_override, merged_into = merged_into, site = site, tags = tags, tenant_id = tenant_id, device_id = device_id;
INSERT INTO ac.decided (tenant_id, device_id, last_seen) SELECT tenant_id, device_id, now() + interval '2 hours' FROM ac.decided ON CONFLICT (tenant_id, device_id) DO UPDATE SET last_seen = EXCLUDED.last_seen, excluded = false;
SELECT is_empty('SELECT * FROM pg_temp.entries()', 'devices seen again are not in the audit');

SELECT is(pg_temp.as_role('ac_manager', format('WITH u AS (UPDATE %s SET excluded = true, site = ''Site "1"'', tags = ''{}'' WHERE device_id <= ''d1'' RETURNING 1) SELECT count(*) FROM u', i)), '2', 'a manager excludes devices')
  FROM unnest(ARRAY['ac.decided', 'ac."de cided"']) i;
SELECT results_eq($$SELECT table_name, who, at, action, tenant_id, before, after FROM eiot.audit ORDER BY audit_id$$,
  $$SELECT i, 'ac_manager'::name, now(), 'UPDATE', pg_temp.t(1), jsonb '{"rows": 2, "devices": {"d0": {"excluded": false, "site": null, "tags": null}, "d1": {"excluded": false, "site": null, "tags": ["x", "y z"]}}}',
           jsonb '{"rows": 2, "devices": {"d0": {"excluded": true, "site": "Site \"1\"", "tags": []}, "d1": {"excluded": true, "site": "Site \"1\"", "tags": []}}}'
      FROM unnest(ARRAY['ac.decided', 'ac."de cided"']) i$$, 'one entry for a statement, with the columns that changed');
DELETE FROM eiot.audit;

-- What makes a device count otherwise, whoever says it; and one that is made silent.
UPDATE ac.decided SET category = 'IoT', ip = '10.0.0.2', last_seen = last_seen + interval '1 hour' WHERE device_id = 'd2';
UPDATE ac.decided SET onboarding_status = 'Onboarded', ip = '10.0.0.3' WHERE device_id = 'd2';
SET LOCAL TimeZone = 'Asia/Kathmandu';
UPDATE ac.decided SET last_seen = '2020-01-01 01:00+01', ip = '10.0.0.4' WHERE device_id = 'd2';
SET LOCAL TimeZone = 'UTC';
UPDATE ac.decided SET last_seen = NULL WHERE device_id = 'd2';
UPDATE ac.decided SET last_seen = now(), onboarding_status = NULL, category = NULL, transient = true WHERE device_id = 'd2';
UPDATE ac.decided SET transient = false WHERE device_id = 'd2';
SELECT results_eq('SELECT before -> ''d2'', after -> ''d2'' FROM pg_temp.entries()',
  $$VALUES (jsonb '{"category": null, "ip": "10.0.0.1", "class": "unknown"}', jsonb '{"category": "IoT", "ip": "10.0.0.2", "class": "iot"}'),
           ('{"onboarding_status": "Unsupported", "ip": "10.0.0.2"}', '{"onboarding_status": "Onboarded", "ip": "10.0.0.3"}'),
           (jsonb_build_object('last_seen', to_jsonb(now() + interval '3 hours')), '{"last_seen": "2020-01-01T00:00:00+00:00"}'),
           ('{"last_seen": "2020-01-01T00:00:00+00:00"}', '{"last_seen": null}'),
           ('{"category": "IoT", "onboarding_status": "Onboarded", "transient": false, "class": "iot"}', '{"category": null, "onboarding_status": null, "transient": true, "class": "unknown"}'),
           ('{"transient": true}', '{"transient": false}')$$, 'what makes a device count otherwise');

-- One statement, several tenants.
UPDATE ac.decided SET class_override = 'medical', merged_into = 'other' WHERE device_id IN ('d0', 'd3', 'd4');
SELECT results_eq('SELECT * FROM pg_temp.entries()',
  $$VALUES ('UPDATE', pg_temp.t(1), '2', jsonb '{"d0": {"class_override": "iot", "merged_into": null, "class": "iot"}, "d3": {"class_override": null, "merged_into": null, "class": "unknown"}}',
                      jsonb '{"d0": {"class_override": "medical", "merged_into": "other", "class": "medical"}, "d3": {"class_override": "medical", "merged_into": "other", "class": "medical"}}'),
           ('UPDATE', pg_temp.t(2), '1', '{"d4": {"class_override": null, "merged_into": null, "class": "unknown"}}', '{"d4": {"class_override": "medical", "merged_into": "other", "class": "medical"}}')$$, 'an entry for each tenant');
SELECT is(pg_temp.as_role('ac_manager', 'WITH d AS (DELETE FROM ac.decided WHERE device_id >= ''d3'' RETURNING 1) SELECT count(*) FROM d'), '1', 'a manager deletes, of its tenant alone');
SELECT is(eiot.purge_devices('ac.decided', pg_temp.t(2)), 4::bigint, 'all devices of a tenant are purged');
SELECT results_eq('SELECT * FROM pg_temp.entries()',
  $$VALUES ('DELETE', pg_temp.t(1), '1', jsonb '{"d3": {"class_override": "medical", "merged_into": "other"}}', NULL::jsonb),
           ('DELETE', pg_temp.t(2), '4', '{"d4": {"class_override": "medical", "merged_into": "other"}, "d5": {}, "d6": {}, "d7": {}}', NULL)$$, 'with what was decided about what is gone');

-- To another tenant, and by another name.
UPDATE ac.decided SET tenant_id = pg_temp.t(2), excluded = false WHERE device_id = 'd0';
UPDATE ac.decided SET device_id = 'e' WHERE device_id = 'd2';
SELECT results_eq('SELECT * FROM pg_temp.entries()',
  $$VALUES ('DELETE', pg_temp.t(1), '1', jsonb '{"d0": {"class_override": "medical", "excluded": true, "merged_into": "other", "site": "Site \"1\"", "tags": []}}', NULL::jsonb),
           ('UPDATE', pg_temp.t(1), '1', '{"d2": {"device_id": "d2"}}', '{"d2": {"device_id": "e"}}'),
           ('INSERT', pg_temp.t(2), '1', NULL, '{"d0": {"class_override": "medical", "merged_into": "other", "site": "Site \"1\"", "tags": []}}')$$, 'a device that goes to another tenant is deleted from one and inserted into the other');
CREATE FUNCTION pg_temp.elsewhere(from_tenant uuid) RETURNS uuid LANGUAGE sql AS $$
  SELECT t.tenant_id FROM eiot.tenant t
   WHERE satisfies_hash_partition('ac."de cided"'::regclass, 3, 0, t.tenant_id) IS DISTINCT FROM satisfies_hash_partition('ac."de cided"'::regclass, 3, 0, from_tenant)
     AND t.tenant_id > pg_temp.t(10) ORDER BY 1 LIMIT 1
$$;
UPDATE ac."de cided" SET tenant_id = pg_temp.elsewhere(pg_temp.t(2)) WHERE device_id = 'd7';
SELECT results_eq('SELECT * FROM pg_temp.entries()',
  $$VALUES ('DELETE', pg_temp.t(2), '1', jsonb '{"d7": {}}', NULL::jsonb),
           ('INSERT', pg_temp.elsewhere(pg_temp.t(2)), '1', NULL, '{"d7": {}}')$$, 'out of one partition into another as well');
INSERT INTO ac."de cided" (tenant_id, device_id) VALUES (pg_temp.t(1), 'new'), (pg_temp.elsewhere(pg_temp.t(1)), 'new');
DELETE FROM ac."de cided" WHERE device_id = 'new' AND tenant_id = pg_temp.t(1);
INSERT INTO ac."de cided" (tenant_id, device_id) VALUES (pg_temp.elsewhere(pg_temp.t(1)), 'newer');
SELECT results_eq('SELECT * FROM pg_temp.entries()', $$VALUES ('DELETE', pg_temp.t(1), '1', jsonb '{"new": {}}', NULL::jsonb)$$, 'new devices are in no entry, also after others were deleted');
WITH gone AS (DELETE FROM ac."de cided" WHERE device_id LIKE 'new%' RETURNING device_id, site)
INSERT INTO ac."de cided" (tenant_id, device_id, site) SELECT pg_temp.t(1), device_id, 'moved' FROM gone;
SELECT results_eq('SELECT * FROM pg_temp.entries()',
  $$VALUES ('INSERT', pg_temp.t(1), '2', NULL::jsonb, jsonb '{"new": {"site": "moved"}, "newer": {"site": "moved"}}'),
           ('DELETE', pg_temp.elsewhere(pg_temp.t(1)), '2', '{"new": {}, "newer": {}}', NULL)$$, 'what one statement deletes and inserts elsewhere');
DELETE FROM ac."de cided" WHERE device_id LIKE 'new%';
SELECT count(*) FROM pg_temp.entries() \g /dev/null

-- Undone, within another, and from within.
DO $$
BEGIN
  UPDATE ac.decided SET site = 'before' WHERE device_id = 'd1';
  BEGIN
    UPDATE ac.decided SET site = 'undone' WHERE device_id = 'd1';
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN NULL;
  END;
  UPDATE ac.decided SET site = 'after' WHERE device_id = 'd1';
END
$$;
SELECT results_eq('SELECT before #>> ''{d1,site}'', after #>> ''{d1,site}'' FROM pg_temp.entries()', $$VALUES ('Site "1"', 'before'), ('before', 'after')$$, 'what was undone is not in the audit');
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'ZZ000'; END $$;
CREATE TRIGGER d_refuse AFTER UPDATE OF site ON ac.decided FOR EACH ROW WHEN (NEW.site = 'refused') EXECUTE FUNCTION pg_temp.refuse();
SELECT is(pg_temp.as_role('ac_manager', 'UPDATE ac.decided SET site = ''refused'''), 'ZZ000', 'a statement that fails when its rows were noted');
UPDATE ac.decided SET site = 'then' WHERE device_id = 'd1';
SELECT results_eq('SELECT rows, after FROM pg_temp.entries()', $$VALUES ('1', jsonb '{"d1": {"site": "then"}}')$$, 'leaves nothing for the next one');
DROP TRIGGER d_refuse ON ac.decided;
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() = 1 THEN
    UPDATE ac."de cided" SET site = 'within ' || NEW.device_id WHERE device_id = 'd6';
    BEGIN
      UPDATE ac.decided SET site = 'undone' WHERE device_id = 'e';
      RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN NULL;
    END;
    UPDATE ac.decided SET site = 'within ' || NEW.device_id WHERE device_id = 'e';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER d_meddle AFTER UPDATE OF excluded ON ac.decided FOR EACH ROW EXECUTE FUNCTION pg_temp.meddle();
UPDATE ac.decided SET excluded = NOT excluded WHERE device_id IN ('d0', 'd1');
DROP TRIGGER d_meddle ON ac.decided;
SELECT bag_eq('SELECT tenant, k AS device, v AS changed FROM pg_temp.entries() CROSS JOIN LATERAL jsonb_each(after) j(k, v)',
  $$VALUES (pg_temp.t(1), 'd1'::text, jsonb '{"excluded": false}'), (pg_temp.t(1), 'e', '{"site": "within d1"}'), (pg_temp.t(1), 'e', '{"site": "within d0"}'),
           (pg_temp.t(2), 'd0', '{"excluded": true}'), (pg_temp.t(2), 'd6', '{"site": "within d0"}'), (pg_temp.t(2), 'd6', '{"site": "within d1"}')$$, 'statements within a statement, one of them undone');

-- A thousand are told one by one, all are counted; what is long is told by its length.
INSERT INTO ac.decided (tenant_id, device_id, last_seen) SELECT pg_temp.t(3 + n % 2), 'n' || n, now() FROM generate_series(1, 3001) n;
UPDATE ac.decided SET site = repeat('s', 5000) WHERE device_id LIKE 'n%';
SELECT results_eq($$SELECT rows, (SELECT count(*) FROM jsonb_object_keys(before)), (SELECT count(*) FROM jsonb_object_keys(after)), jsonb_path_query_first(after, '$.*.site') FROM pg_temp.entries()$$,
  $$VALUES ('1500', 500::bigint, 500::bigint, jsonb '"5002 bytes"'), ('1501', 500, 500, '"5002 bytes"')$$, 'of many devices the number and the first thousand');
SELECT is(pg_temp.as_role('ac_manager', format('SELECT stored FROM eiot.import_device_info(''ac.decided'', %L, ''[{"DeviceId": "d1", "Timestamp": "2027-01-01", "IsExcluded": true}, {"DeviceId": "new", "Timestamp": "2026-01-01", "IsExcluded": true}]'')', pg_temp.t(1))),
          '22008', 'what lies in the future is not imported');
UPDATE ac.decided SET last_seen = '2020-01-01', excluded = false;
DELETE FROM eiot.audit;
SELECT is(pg_temp.as_role('ac_manager', format('SELECT stored FROM eiot.import_device_info(''ac.decided'', %L, ''[{"DeviceId": "d1", "Timestamp": "2026-01-01", "IsExcluded": true}, {"DeviceId": "new", "Timestamp": "2026-01-01", "IsExcluded": true}]'')', pg_temp.t(1))),
          '2', 'nor does a forged import hide');
SELECT results_eq($$SELECT action, after FROM pg_temp.entries() WHERE jsonb_typeof(after) = 'object'$$, $$VALUES ('UPDATE', jsonb '{"d1": {"excluded": true}}')$$, 'which device it excludes');
TRUNCATE ac.decided;
SELECT results_eq('SELECT table_name, action FROM eiot.audit', $$VALUES ('ac.decided', 'TRUNCATE')$$, 'TRUNCATE is in the audit');
SELECT throws_ok(statement, code, NULL, statement)
  FROM (VALUES ('SELECT eiot.record_decisions_of(NULL)', '22004'), ('SELECT eiot.record_decisions_of(''ac.plain'')', '42809'), ('SELECT eiot.record_decisions_of(''ac.decided'')', '42710')) v(statement, code);
SELECT is(pg_temp.as_role('ac_manager', 'SELECT eiot.record_decisions_of(''ac.device'')'), '42501', 'only its owner puts an inventory under audit');
CREATE TABLE ac.odd (device_id text);
CREATE TRIGGER row BEFORE UPDATE ON ac.odd FOR EACH ROW EXECUTE FUNCTION eiot.collect_decision();
CREATE TRIGGER deletion AFTER DELETE ON ac.odd FOR EACH ROW EXECUTE FUNCTION eiot.collect_decision();
CREATE TRIGGER statement AFTER INSERT ON ac.odd FOR EACH ROW EXECUTE FUNCTION eiot.record_decisions();
SELECT throws_ok('INSERT INTO ac.odd VALUES (''x'')', '39P01', NULL, 'a trigger that is put on a table by hand: for each row');
DROP TRIGGER statement ON ac.odd;
INSERT INTO ac.odd VALUES ('x');
SELECT throws_ok('UPDATE ac.odd SET device_id = ''y''', '39P01', NULL, 'before');
SELECT throws_ok('DELETE FROM ac.odd', '42809', NULL, 'without a tenant');
SELECT eiot.release_inventory('ac.decided');
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgrelid = 'ac.decided'::regclass AND NOT tgisinternal$$, 'released, an inventory has none of the triggers');

DELETE FROM eiot.audit;
-- A restore is no change; nobody whom row-level security binds can pass for one.
SET LOCAL row_security = off;
SELECT is(pg_temp.as_role(role, statement), '42501', format('%s, row_security off: %s', role, statement))
  FROM unnest('{ac_boss,ac_manager}'::text[]) role
 CROSS JOIN (VALUES ('UPDATE eiot.entitlement SET units = 99'), ('DELETE FROM eiot.monitoring_off'), ('INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), ''(,)'')')) v(statement);
SELECT is(pg_temp.as_role('ac_boss', statement), '42501', format('row_security off: %s', statement))
  FROM (VALUES ('UPDATE eiot.sku SET devices_per_unit = 99'), ('UPDATE eiot.counting_rule SET inactive_after = NULL'), ('UPDATE eiot.device_type SET class = ''iot'''), ('DELETE FROM eiot.tenant'), ('DELETE FROM eiot.fingerprint WHERE origin = ''user'''),
               ('DELETE FROM eiot.oui'), ('DELETE FROM ac.device'), ('UPDATE ac.device SET excluded = true'), ('UPDATE eiot.fingerprint_kind SET preference = 0')) v(statement);
UPDATE eiot.entitlement SET units = 3 WHERE tenant_id = pg_temp.t(1);
UPDATE ac."de cided" SET excluded = NOT excluded;
DELETE FROM ac."de cided";
DELETE FROM eiot.oui;
SET LOCAL row_security = on;
SELECT is(count(*), 0::bigint, 'what the owner writes then is not audited') FROM eiot.audit;


SELECT * FROM finish();
ROLLBACK;
