-- What holds for every object of the extension, asked of the catalogs.  A failure names the objects.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;

-- Its library has to come before the first call of anything in PL/pgSQL, as pgTAP is.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'plpgsql_check') AS have_plpgsql_check \gset
\if :have_plpgsql_check
LOAD 'plpgsql_check';
CREATE EXTENSION IF NOT EXISTS plpgsql_check;
\endif

SELECT no_plan();

-- The tests ask for what belongs to the extension through these.

CREATE TEMP VIEW member AS
  SELECT d.classid, d.objid
    FROM pg_depend d
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
     AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'eiot');

CREATE TEMP VIEW routine AS
  SELECT p.oid::regprocedure::text AS signature, l.lanname, p.*
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
   WHERE p.pronamespace = 'eiot'::regnamespace;

CREATE TEMP VIEW relation AS
  SELECT c.oid, c.oid::regclass::text AS name, c.relkind, c.relacl
    FROM pg_class c
   WHERE c.relnamespace = 'eiot'::regnamespace;

CREATE TEMP VIEW config AS
  SELECT relation, condition
    FROM pg_extension e CROSS JOIN LATERAL ROWS FROM (unnest(e.extconfig), unnest(e.extcondition)) c(relation, condition)
   WHERE e.extname = 'eiot';

CREATE TEMP VIEW script AS
  SELECT f.file, pg_read_file(d.dir || '/' || f.file) AS body
    FROM (SELECT setting || '/extension' AS dir FROM pg_config() WHERE name = 'SHAREDIR') d
   CROSS JOIN LATERAL pg_ls_dir(d.dir) f(file)
   WHERE f.file LIKE 'eiot--%.sql';

-- ---- membership

SELECT is_empty($$
  SELECT pg_describe_object(classid, objid, 0)
    FROM member CROSS JOIN LATERAL pg_identify_object(classid, objid, 0) i
   WHERE i.schema IS DISTINCT FROM 'eiot'
     AND NOT (i.type = 'schema' AND i.identity = 'eiot')
     -- event triggers lie in no schema; their functions do
     AND NOT (i.type = 'event trigger' AND i.identity LIKE 'eiot\_%')
     -- a cast lies in no schema; one of its types lies in ours
     AND NOT (i.type = 'cast' AND EXISTS (SELECT FROM pg_cast c JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget)
                                           WHERE c.oid = objid AND t.typnamespace = 'eiot'::regnamespace))
   ORDER BY 1
$$, 'the extension makes nothing outside schema eiot');

SELECT is_empty($$
  SELECT signature FROM routine WHERE oid NOT IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
  UNION ALL
  SELECT name FROM relation
   WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND oid NOT IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass)
$$, 'every function and relation of schema eiot belongs to the extension');

-- ---- comments

SELECT is_empty($$
  SELECT pg_describe_object(classid, objid, 0)
    FROM member
   WHERE obj_description(objid, classid::regclass::name) IS NULL
     -- an identity column has the comment, not its sequence
     AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = member.classid AND d.objid = member.objid
                        AND d.deptype = 'i' AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0)
     -- since 17 arrays of types and the row types of tables are members
     AND NOT (classid = 'pg_type'::regclass
              AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
                           WHERE t.oid = objid AND (t.typcategory = 'A' OR c.relkind <> 'c')))
   ORDER BY 1
$$, 'every schema, type, function, aggregate, operator, family, class, cast, table and view has a comment');

SELECT is_empty($$
  SELECT r.name || '.' || a.attname
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN (SELECT oid, oid::regclass::text AS name FROM pg_class) r ON r.oid = c.oid
   WHERE c.relnamespace = 'eiot'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
     AND col_description(c.oid, a.attnum) IS NULL
   ORDER BY 1
$$, 'every column of tables, views and row types has a comment');

SELECT is_empty($$
  SELECT t.tgname || ' on ' || r.name
    FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid
   WHERE NOT t.tgisinternal AND obj_description(t.oid, 'pg_trigger') IS NULL
   ORDER BY 1
$$, 'every trigger has a comment');

SELECT is_empty($$
  SELECT p.polname || ' on ' || r.name
    FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
   WHERE obj_description(p.oid, 'pg_policy') IS NULL
   ORDER BY 1
$$, 'every policy has a comment');

SELECT is_empty($$
  SELECT i.indexrelid::regclass
    FROM pg_index i JOIN relation r ON r.oid = i.indrelid
   WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
     AND obj_description(i.indexrelid, 'pg_class') IS NULL
   ORDER BY 1
$$, 'every index that no constraint made has a comment');

SELECT is_empty($$
  SELECT pg_describe_object(classoid, objoid, objsubid) || ': ' || description
    FROM pg_description d
   WHERE (EXISTS (SELECT FROM member m WHERE m.classid = d.classoid AND m.objid = d.objoid)
          OR d.classoid = 'pg_class'::regclass AND d.objoid IN (SELECT oid FROM relation))
     AND (btrim(description) <> description OR description ~ '^$|[.]$|\n')
   ORDER BY 1
$$, 'comments are one line without a full stop at the end');

-- ---- labels of functions

-- Whoever adds a function here says why it must run in the leader alone, or outside parallel plans altogether.
PREPARE unsafe AS VALUES
  ('create_inventory'::name),    -- makes tables
  ('release_inventory'),         -- alters them
  ('import_subscribed_skus'),    -- writes
  ('import_device_info'),        -- writes
  ('schedule_report'),           -- writes
  ('unschedule_report'),         -- writes
  ('run_reports'),               -- writes
  ('create_bi_views'),           -- makes views
  ('drop_bi_views'),             -- drops them
  ('judge_staged_devices'),      -- writes, and catches errors
  ('merge_staged_devices'),      -- writes
  ('device_info_problem'),       -- catches errors: a subtransaction
  ('subscribed_sku'),            -- catches errors: a subtransaction
  ('keep_user_row'),             -- trigger that writes
  ('check_fingerprint'),         -- trigger that catches errors: a subtransaction
  ('table_changed'),             -- trigger that sends invalidations
  ('recog_example'),             -- catches errors: a subtransaction
  ('load_fingerprints'),         -- writes
  ('load_oui'),                  -- writes
  ('identify_inventory'),        -- writes
  ('limit_to_tenants'),          -- alters a table
  ('limit_to_managers_of_all'),  -- alters a table
  ('record_changes_of'), ('record_rows_of'), ('record_decisions_of'),   -- alter a table
  ('record_change'), ('record_rows'), ('record_decisions'), ('collect_decision'), ('note_departure'), ('is_arrival'),   -- triggers that write, or note what to
  ('set_access_rights'),         -- grants
  ('grant_access'),              -- grants
  ('revoke_access'),             -- revokes
  ('grant_inventory'),           -- grants
  ('begin_step'), ('switch_on'), ('open_entitlement'), ('hold_entitlement'), ('replace_entitlement'),   -- write
  ('start_trial'), ('purchase'), ('change_units'), ('change_billing'), ('assign_units'),  -- write
  ('turn_on'), ('turn_off'), ('cancel_legacy_plan'), ('purge_devices'),                 -- write
  ('watch_changed'), ('watch_row_changed'), ('watch_truncated'), ('watch_applied'), ('tenant_changed'), ('refresh'), ('recount'),  -- write, or have the commit write
  ('watch_dropped'),             -- has the commit write
  ('live_changed'),              -- tells other sessions
  ('watch'), ('watch_as'), ('unwatch'), ('make_watch_triggers'), ('drop_watch_triggers'), ('watch_ddl'),   -- make and drop triggers
  ('set_alert');                 -- writes
SELECT set_has('unsafe', $$SELECT DISTINCT proname FROM routine WHERE proparallel = 'u'$$,
               'no function is PARALLEL UNSAFE but those that write or start subtransactions');

SELECT is_empty($$
  SELECT signature FROM routine WHERE provolatile = 'v' AND proparallel <> 'u' ORDER BY 1
$$, 'VOLATILE functions are those that write: none is PARALLEL SAFE');

-- Until PostgreSQL 16 BeginInternalSubTransaction() fails in parallel mode, in the leader as well.
SELECT is_empty($$
  SELECT signature FROM routine
   WHERE lanname = 'plpgsql' AND prosrc ~* '\mEXCEPTION\s+WHEN\M' AND proparallel <> 'u'
   ORDER BY 1
$$, 'PL/pgSQL functions that catch errors are PARALLEL UNSAFE');

-- Functions with a parsed body and aggregates record what they call.
SELECT is_empty($$
  SELECT format('%s (%s, %s) calls %s (%s, %s)', p.signature, p.provolatile, p.proparallel,
                q.signature, q.provolatile, q.proparallel)
    FROM pg_depend d
    JOIN routine p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    JOIN routine q ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = q.oid
   WHERE strpos('isv', q.provolatile::text) > strpos('isv', p.provolatile::text)
      OR strpos('sru', q.proparallel::text) > strpos('sru', p.proparallel::text)
   ORDER BY 1
$$, 'no function promises more than the functions of eiot that it calls');

-- A dependency on a table's column can be that on a row type's, so the parsed body is searched for tables.
SELECT is_empty($$
  SELECT signature FROM routine WHERE provolatile = 'i' AND prosqlbody::text LIKE '%:rtekind 0%' ORDER BY 1
$$, 'no IMMUTABLE function reads a table');

SELECT is_empty($$
  SELECT o.oid::regoperator || ' by ' || p.signature
    FROM pg_operator o JOIN routine p ON p.oid = o.oprcode
   WHERE o.oprnamespace = 'eiot'::regnamespace AND (p.provolatile <> 'i' OR p.proparallel <> 's' OR NOT p.proisstrict)
$$, 'operators are immutable, strict and parallel safe');

-- ---- security

SELECT results_eq($$SELECT signature FROM routine WHERE prosecdef ORDER BY 1$$, $$VALUES ('eiot.record_change()'), ('eiot.record_rows()')$$,
                  'nothing is SECURITY DEFINER but the triggers that write the audit');

SELECT is_empty($$
  SELECT r.name FROM relation r WHERE r.relkind = 'v'
     AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.oid AND c.reloptions @> '{security_invoker=true}')
   ORDER BY 1
$$, 'every view is read with the rights of who asks');

SELECT is_empty($$
  SELECT r.name
    FROM relation r
   WHERE r.relkind IN ('r', 'p') AND NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = r.oid)
     AND (EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attname ~ 'tenant' AND NOT a.attisdropped)
          OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.oid AND t.tgfoid IN ('eiot.record_change()'::regprocedure, 'eiot.record_rows()'::regprocedure)))
   ORDER BY 1
$$, 'every table that names a tenant, and every table under audit, is under row-level security');

SELECT is_empty($$
  SELECT r.name FROM relation r
   WHERE r.relkind IN ('r', 'p')
     AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
     AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = r.oid AND p.polname = 'reader' AND p.polcmd = 'r')
   ORDER BY 1
$$, 'and shows its readers their tenants');

SELECT is_empty($$
  SELECT signature
    FROM routine
   WHERE lanname NOT IN ('c', 'internal') AND prokind <> 'a' AND prosqlbody IS NULL
     AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c ~ '^search_path=pg_catalog, (eiot, )?pg_temp$')
   ORDER BY 1
$$, 'functions whose bodies are text have the search_path pg_catalog, pg_temp');

SELECT is_empty($$
  SELECT signature || ': ' || c
    FROM routine CROSS JOIN LATERAL unnest(proconfig) c
   WHERE c LIKE 'search\_path=%' AND c !~ '^search_path=pg_catalog, (eiot, )?pg_temp$'
   ORDER BY 1
$$, 'no function has another search_path');

SELECT is_empty($$
  SELECT signature FROM routine WHERE prokind <> 'a' AND lanname NOT IN ('c', 'sql', 'plpgsql') ORDER BY 1
$$, 'functions are in C, SQL and PL/pgSQL');

SELECT is_empty($$
  SELECT r.name || ': ' || a.privilege_type
    FROM relation r CROSS JOIN LATERAL aclexplode(r.relacl) a
   WHERE a.grantee = 0
  UNION ALL
  SELECT r.name || '.' || t.attname || ': ' || a.privilege_type
    FROM relation r JOIN pg_attribute t ON t.attrelid = r.oid CROSS JOIN LATERAL aclexplode(t.attacl) a
   WHERE a.grantee = 0
$$, 'no table, view or sequence grants anything to PUBLIC');

SELECT results_eq($$
  SELECT a.privilege_type
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
   WHERE n.nspname = 'eiot' AND a.grantee = 0
$$, $$VALUES ('USAGE')$$, 'PUBLIC may use schema eiot, and make nothing in it');

SELECT is_empty($$
  SELECT r.signature FROM routine r
   WHERE NOT has_function_privilege('public', r.oid, 'EXECUTE')
     -- who puts these on a table writes to the counts of other tables
     AND r.proname NOT IN ('watch_changed', 'watch_row_changed', 'watch_truncated', 'watch_applied')
   ORDER BY 1
$$, 'PUBLIC may call every function, those that support aggregates among them: a distributed plan calls these by name');

-- EXECUTE may take its text from format() or quote_*() alone.  Calls are cut out from the inside, so that what is
-- left of a statement is what its text is put together with.
CREATE FUNCTION pg_temp.without_calls(source text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text := regexp_replace(source, '--[^\n]*', '', 'g');
  before text;
BEGIN
  result := regexp_replace(result, '\$(\w*)\$.*?\$\1\$', '''''', 'g');
  result := regexp_replace(result, '''[^'']*''', '''''', 'g');
  result := regexp_replace(result, '\mEXECUTE\M', 'EXECUTE:', 'gi');
  LOOP
    before := result;
    result := regexp_replace(result, '(\w)\s*\([^()]*\)', '\1', 'g');
    result := regexp_replace(result, '\(([^()]*)\)', ' \1 ');
    EXIT WHEN result = before;
  END LOOP;
  RETURN result;
END
$$;
SELECT ok(pg_temp.without_calls(t) ~ 'EXECUTE:[^;]*\|\|' = expected, format('the search for put-together SQL: %s', t))
  FROM (VALUES ($$EXECUTE 'DROP TABLE ' || name;$$, true), ($$EXECUTE ('DROP ' || name) USING a;$$, true),
               ($$EXECUTE format('DROP TABLE %I', a || '_x');$$, false),
               ($$EXECUTE format(f(a), b) || c;$$, true), ($$x := a || b; EXECUTE x;$$, false)) v(t, expected);
SELECT is_empty($$
  SELECT signature FROM routine
   WHERE lanname = 'plpgsql' AND pg_temp.without_calls(prosrc) ~ 'EXECUTE:[^;]*\|\|'
   ORDER BY 1
$$, 'no function executes SQL put together by ||');

-- ---- types, operators, aggregates

SELECT is_empty($$
  SELECT t.oid::regtype
    FROM pg_type t
   WHERE t.typnamespace = 'eiot'::regnamespace AND t.typtype = 'b' AND t.typcategory <> 'A'
     AND (t.typreceive = 0 OR t.typsend = 0)
$$, 'every base type has binary input and output');

SELECT ok(amvalidate(oid), 'valid: ' || pg_describe_object('pg_opclass'::regclass, oid, 0))
  FROM pg_opclass WHERE opcnamespace = 'eiot'::regnamespace;

SELECT is_empty($$
  SELECT r.signature
    FROM pg_aggregate a JOIN routine r ON r.oid = a.aggfnoid
   WHERE a.aggcombinefn = 0 AND a.aggkind = 'n'
$$, 'every aggregate has a combine function');

-- A state that holds a set is no SQL type, and must be able to travel between processes.
PREPARE set_states AS VALUES
  ('peak'::name),                -- all spans: which of them overlap is known when they are sorted
  ('active_spans');              -- the same
SELECT set_has('set_states', $$
  SELECT r.proname
    FROM pg_aggregate a JOIN routine r ON r.oid = a.aggfnoid JOIN pg_type t ON t.oid = a.aggtranstype
   WHERE t.typtype = 'p'
$$, 'no aggregate has a pseudo-type as its state but those that hold sets');
SELECT is_empty($$
  SELECT r.signature
    FROM pg_aggregate a JOIN routine r ON r.oid = a.aggfnoid JOIN pg_type t ON t.oid = a.aggtranstype
   WHERE t.typtype = 'p' AND 0 IN (a.aggserialfn, a.aggdeserialfn, a.aggcombinefn, a.aggtransspace)
$$, 'and these can be sent between processes, and tell the planner their size');

SELECT is_empty($$
  SELECT r.signature
    FROM pg_aggregate a JOIN routine r ON r.oid = a.aggfnoid
   WHERE a.aggkind <> 'n' OR r.proparallel <> 's'
$$, 'every aggregate is a plain one and parallel safe');

SELECT is_empty($$
  SELECT r.signature
    FROM routine r CROSS JOIN LATERAL unnest(r.proargtypes::oid[]) a(type) JOIN pg_type t ON t.oid = a.type
   WHERE t.typname LIKE 'any%'
$$, 'nothing is polymorphic');

SELECT set_eq($$
  SELECT r.signature
    FROM pg_aggregate a JOIN routine r ON r.oid = a.aggfnoid
   WHERE a.aggmtransfn <> 0 AND a.aggminvtransfn <> 0
     AND r.proname IN ('coverage_gap', 'coverage_agg')
$$, $$VALUES ('eiot.coverage_gap(boolean,bigint)'), ('eiot.coverage_gap(eiot.coverage)'),
             ('eiot.coverage_agg(boolean,bigint)'), ('eiot.coverage_agg(eiot.coverage)')$$,
  'the four aggregates have moving functions');

SELECT is_empty($$
  SELECT r.signature || ': ' || f::regprocedure
    FROM pg_aggregate a JOIN routine r ON r.oid = a.aggfnoid
   CROSS JOIN LATERAL unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                                   a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) f
    JOIN pg_proc p ON p.oid = f
   WHERE NOT has_function_privilege('public', f, 'EXECUTE') OR p.provolatile <> 'i' OR p.proparallel <> 's'
$$, 'what supports aggregates is immutable, parallel safe and open to PUBLIC');

-- ---- tables

SELECT is_empty($$
  SELECT r.name FROM relation r
   WHERE r.relkind IN ('r', 'p') AND r.oid NOT IN (SELECT relation FROM config)
   ORDER BY 1
$$, 'every table is dumped');

SELECT is_empty($$
  SELECT d.objid::regclass || ' of ' || d.refobjid::regclass
    FROM pg_depend d
    JOIN pg_class s ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND s.relkind = 'S'
   WHERE d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
     AND d.refobjid IN (SELECT relation FROM config)
     AND s.oid NOT IN (SELECT relation FROM config)
   ORDER BY 1
$$, 'the sequence of every dumped table is dumped');

SELECT is_empty($$
  SELECT relation::regclass || ': ' || condition
    FROM config
   WHERE condition IS DISTINCT FROM
         -- Loaded rules are shipped by somebody else, and dumped.
         CASE WHEN relation = 'eiot.fingerprint'::regclass THEN 'WHERE origin <> ''starter'''
              WHEN EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = relation AND a.attname = 'shipped' AND NOT a.attisdropped
                              AND EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relkind <> 'S'))
              THEN 'WHERE NOT shipped' ELSE '' END
$$, 'tables with shipped rows are dumped without these, the others whole');

SELECT is_empty($$
  SELECT c.relation::regclass
    FROM config c
    JOIN pg_attribute a ON a.attrelid = c.relation AND a.attname = 'shipped' AND NOT a.attisdropped
   -- Rules of the starter set cannot be changed, which a trigger of their own sees to.
   WHERE c.relation <> 'eiot.fingerprint'::regclass
     AND NOT EXISTS (SELECT FROM pg_trigger t
                      WHERE t.tgrelid = c.relation AND t.tgfoid = 'eiot.keep_user_row()'::regprocedure
                        AND t.tgtype & 7 = 7 AND t.tgtype & 16 = 16)
$$, 'tables with shipped rows have the trigger that keeps the user''s, on INSERT and UPDATE');

SELECT is_empty($$
  SELECT a.attrelid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a
   WHERE a.attrelid IN (SELECT relation FROM config JOIN pg_class k ON k.oid = relation AND k.relkind <> 'S')
     AND a.attnum > 0 AND NOT a.attisdropped
     AND format_type(a.atttypid, NULL) ~ '^(oid|oidvector|xid8?|cid|tid|reg[a-z]+)(\[\])?$'
$$, 'no dumped column has a value that another database gives another meaning');

SELECT is_empty($$
  SELECT name FROM relation r
   WHERE relkind IN ('r', 'p')
     AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = r.oid AND k.contype = 'p')
$$, 'every table has a primary key');

-- ---- the scripts

SELECT ok(EXISTS (SELECT FROM script JOIN pg_extension e ON script.file = 'eiot--' || e.extversion || '.sql'
                   WHERE e.extname = 'eiot'), 'the install script is there');

SELECT is_empty($$
  SELECT file FROM script
   WHERE body NOT LIKE CASE WHEN file ~ '^eiot--[^-]+--' THEN E'\\\\echo Use "ALTER EXTENSION eiot UPDATE%\\\\quit\n%'
                            ELSE E'\\\\echo Use "CREATE EXTENSION eiot%\\\\quit\n%' END
$$, 'every script begins with the line that stops psql');

-- An object of that name may be somebody else's, lying in wait.
SELECT is_empty($$
  SELECT file, m[1]
    FROM script CROSS JOIN LATERAL regexp_matches(regexp_replace(body, '--[^\n]*', '', 'g'),
      '(\mcreate\s+or\s+replace\M|\m(?:create\s+(?:\w+\s+){1,3}|add\s+\w+\s+)if\s+not\s+exists\M)', 'gi') m
$$, 'no script has CREATE OR REPLACE or IF NOT EXISTS');

SELECT is_empty($$SELECT file FROM script WHERE body ~* '@ext(schema|owner)'$$, 'no script needs a substitution');

SELECT is_empty($$
  SELECT file, m[1] FROM script CROSS JOIN LATERAL regexp_matches(body, '(\mcreate\s+(?:cast|language|event\s+trigger|access\s+method)\M[^;]*)', 'gi') m
   WHERE m[1] !~ '\meiot\.'
$$, 'no script makes what lies in no schema');

-- ---- PL/pgSQL, looked into

\if :have_plpgsql_check
CREATE TEMP TABLE finding AS
  SELECT r.proname, r.signature, c.lineno, c.level, c.sqlstate, c.message, c.detail, c.query
    FROM routine r
    LEFT JOIN pg_trigger t ON t.tgfoid = r.oid AND NOT t.tgisinternal
   CROSS JOIN LATERAL plpgsql_check_function_tb(
           r.oid, coalesce(t.tgrelid, 0), fatal_errors := false, performance_warnings := true,
           extra_warnings := true, security_warnings := true,
           oldtable := t.tgoldtable, newtable := t.tgnewtable) c
   WHERE r.lanname = 'plpgsql';

SELECT is_empty($$
  SELECT signature FROM routine r
   WHERE lanname = 'plpgsql' AND prorettype = 'trigger'::regtype
     AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = r.oid)
$$, 'every trigger function has a trigger to be checked with');

SELECT is_empty($$
  SELECT DISTINCT signature, lineno, message, detail, query FROM finding WHERE level = 'error' ORDER BY 1, 2
$$, 'plpgsql_check: no errors');

-- Not asked for: that no parameter is a key word; from and to are what a timeline goes between.  Nor the label of
-- pg_partition_tree(), which is volatile by default and reads nothing but the catalogs.
SELECT is_empty($$
  SELECT DISTINCT signature, lineno, message, detail, query
    FROM finding
   WHERE level = 'warning' AND message NOT IN ('name of parameter "from" is reserved keyword', 'name of parameter "to" is reserved keyword')
     AND NOT (message = 'routine is marked as STABLE, but expression is VOLATILE'
              AND EXISTS (SELECT FROM routine r WHERE r.signature = finding.signature AND r.prosrc LIKE '%pg_partition_tree(%'))
   ORDER BY 1, 2
$$, 'plpgsql_check: no warnings');

-- Not asked for: that the checker sees which columns a RETURN QUERY EXECUTE fills, which nobody can see.
SELECT is_empty($$
  SELECT DISTINCT signature, lineno, message, detail
    FROM finding
   WHERE level = 'warning extra' AND detail IS DISTINCT FROM 'cannot to determine result of dynamic SQL'
   ORDER BY 1, 2
$$, 'plpgsql_check: no unused variables, dead code and the like');

-- Not asked for: that nothing is cast on assignment (42804); no function in PL/pgSQL is called once
-- a device.  Nor the volatility of a function that executes SQL that the checker cannot read.
SELECT is_empty($$
  SELECT DISTINCT signature, lineno, message, detail, query
    FROM finding
   WHERE level = 'performance' AND sqlstate <> '42804'
     AND detail IS DISTINCT FROM 'attention: cannot to determine volatility of used dynamic SQL'
   ORDER BY 1, 2
$$, 'plpgsql_check: no function is slower than it need be');

-- The checker follows no value through format() into a variable and no subquery.  Those read by a person:
PREPARE injectable AS VALUES
  ('record_rows'::name), ('record_changes_of'), ('record_rows_of'), ('record_decisions_of'),   -- column names by quote_literal() and %I, and a regclass
  ('keep_user_row'),           -- a list of %I = ($1).%I
  ('release_inventory'),       -- format() in a subquery
  ('limit_to_tenants'),        -- format() of constants, and a regclass
  ('set_access_rights'),       -- rights named in a constant, column names by quote_ident()
  ('watch_as'), ('make_watch_triggers'),   -- the count key, which eiot.watch() makes; nobody gets other rights by it
  ('live_measure'), ('live_silent'), ('check_watch'),   -- columns as eiot.watch_shape() quotes them
  ('import_device_info'),      -- format() with names out of a constant, and a regclass
  ('merge_staged_devices');    -- format() with names checked against a constant, and regclasses
SELECT set_has('injectable', $$SELECT DISTINCT proname FROM finding WHERE level = 'security'$$,
               'plpgsql_check: no SQL is executed that a caller can put words into, but what was read by a person');

CREATE TEMP TABLE reference AS
  SELECT r.oid, r.signature, r.provolatile, r.proparallel, d.type, d.oid AS referenced, d.schema, d.name, d.params
    FROM routine r
    LEFT JOIN pg_trigger t ON t.tgfoid = r.oid AND NOT t.tgisinternal
   CROSS JOIN LATERAL plpgsql_show_dependency_tb(r.oid, coalesce(t.tgrelid, 0)) d
   WHERE r.lanname = 'plpgsql';

SELECT is_empty($$
  SELECT DISTINCT signature, schema || '.' || name
    FROM reference WHERE type = 'RELATION' AND provolatile = 'i' ORDER BY 1, 2
$$, 'no IMMUTABLE PL/pgSQL function reads a table');

-- The checker lists no functions of pg_catalog; as of 2.9 it compares with these itself, and warns above.
SELECT is_empty($$
  SELECT DISTINCT f.signature, f.provolatile, f.proparallel, p.oid::regprocedure, p.provolatile, p.proparallel
    FROM reference f JOIN pg_proc p ON f.type = 'FUNCTION' AND p.oid = f.referenced
   WHERE strpos('isv', p.provolatile::text) > strpos('isv', f.provolatile::text)
      OR strpos('sru', p.proparallel::text) > strpos('sru', f.proparallel::text)
   ORDER BY 1, 4
$$, 'no PL/pgSQL function promises more than the functions of eiot that it calls');

SELECT is_empty($$
  SELECT DISTINCT signature, type, schema || '.' || name
    FROM reference WHERE schema NOT IN ('eiot', 'pg_catalog') AND schema NOT LIKE 'pg\_temp%' ORDER BY 1, 3
$$, 'PL/pgSQL functions use nothing but schemas eiot and pg_catalog');
\else
SELECT skip('plpgsql_check is not available', 9);
\endif

SELECT * FROM finish();
ROLLBACK;
