-- Device rows belong to the user: ordinary tables, made here, owned by whoever asks.

CREATE FUNCTION eiot.check_inventory(inventory regclass) RETURNS void
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  missing text;
BEGIN
  IF inventory IS NULL THEN
    RAISE EXCEPTION 'inventory must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  SELECT string_agg(quote_ident(wanted), ', ' ORDER BY wanted)
    INTO missing
    FROM unnest(ARRAY['tenant_id', 'device_id', 'name', 'category', 'type', 'subtype', 'vendor', 'model', 'os_platform',
                      'onboarding_status', 'mac', 'ip', 'first_seen', 'last_seen', 'merged_into', 'excluded',
                      'transient', 'discovery_sources', 'site', 'tags', 'class', 'count_key']) wanted
   WHERE NOT EXISTS (SELECT FROM pg_attribute a
                      WHERE a.attrelid = inventory AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped);
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION '% is not an inventory', inventory
      USING ERRCODE = 'wrong_object_type',
            DETAIL = format('It has no column %s.', missing),
            HINT = 'Make an inventory with eiot.create_inventory(name).';
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_inventory(regclass) IS
  'Raises 42809, naming the columns that it lacks, for a relation that is not an inventory, and 22004 for null';

CREATE FUNCTION eiot.coverage_query(inventory regclass, as_of text) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  -- The cut-off stands in FROM, so that it is found once a tenant and not once a device.
  SELECT format($query$
SELECT t.tenant_id,
       t.name AS tenant,
       n.counts[1] AS devices,
       CASE WHEN r.name IS NOT NULL THEN n.counts[2] END AS counted,
       NULLIF(c.capacity, eiot.unlimited()) AS capacity,
       c.capacity OPERATOR(pg_catalog.=) eiot.unlimited() AS unlimited,
       eiot.gap(v.coverage) AS gap,
       NULLIF(eiot.surplus(v.coverage), eiot.unlimited()) AS surplus,
       eiot.utilization(v.coverage) AS utilization
  FROM eiot.tenant t
  LEFT JOIN eiot.counting_rule r
    ON CASE WHEN t.counting_rule IS NULL
            THEN r.valid OPERATOR(pg_catalog.@>) CAST(pg_catalog.timezone('UTC', %2$s) AS pg_catalog.date)
            ELSE r.name OPERATOR(pg_catalog.=) t.counting_rule END
 CROSS JOIN LATERAL eiot.active_since(%2$s, r.inactive_after) s(active_since)
  LEFT JOIN eiot.licensed_capacity(%2$s) l ON l.tenant_id OPERATOR(pg_catalog.=) t.tenant_id
 CROSS JOIN LATERAL (SELECT COALESCE(l.capacity, 0::bigint) AS capacity) c
 CROSS JOIN LATERAL (
   SELECT eiot.count_devices(d.count_key, d.last_seen, r.counted_keys, s.active_since) AS counts
     FROM %1$s d
    WHERE d.tenant_id OPERATOR(pg_catalog.=) t.tenant_id) n
 CROSS JOIN LATERAL (
   SELECT CASE WHEN r.name IS NOT NULL THEN eiot.coverage(n.counts[2], c.capacity) END AS coverage) v$query$,
    coverage_query.inventory, coverage_query.as_of);
END;
COMMENT ON FUNCTION eiot.coverage_query(regclass, text) IS
  'The text of an inventory''s coverage query; as_of is an SQL expression of type timestamptz. What create_inventory makes the view of and coverage_at runs';

CREATE FUNCTION eiot.create_inventory(name text, partitions integer DEFAULT 0,
                                      default_schema name DEFAULT pg_catalog.current_schema())
  RETURNS regclass
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  max_partitions CONSTANT integer := 1024;
  -- The view's suffix is the longest that is put behind the name.
  max_length CONSTANT integer := 63 - length('_coverage');
  parts text[];
  in_schema text;
  table_name text;
  inventory regclass;
  class_expression CONSTANT text :=
    'COALESCE(class_override, NULLIF(eiot.classify(category, type, subtype, os_platform), ''unknown''), identified_class, ''unknown'')';
BEGIN
  IF create_inventory.name IS NULL OR partitions IS NULL THEN
    RAISE EXCEPTION 'name and partitions must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF partitions < 0 OR partitions > max_partitions THEN
    RAISE EXCEPTION 'number of partitions must lie between 0 and %: %', max_partitions, partitions
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  parts := parse_ident(create_inventory.name);
  in_schema := CASE cardinality(parts) WHEN 1 THEN default_schema WHEN 2 THEN parts[1] END;
  table_name := parts[cardinality(parts)];
  IF in_schema IS NULL THEN
    RAISE EXCEPTION 'no schema to make inventory % in', create_inventory.name
      USING ERRCODE = 'invalid_schema_name',
            HINT = 'Name it as schema.table, where the schema exists.';
  END IF;
  IF octet_length(table_name) > max_length THEN
    RAISE EXCEPTION 'inventory name is too long: "%"', table_name
      USING ERRCODE = 'name_too_long',
            DETAIL = format('It has %s bytes; %s leave room for the name of its view.', octet_length(table_name), max_length);
  END IF;

  EXECUTE format($table$
    CREATE TABLE %1$I.%2$I (
      tenant_id uuid NOT NULL REFERENCES eiot.tenant (tenant_id),
      device_id text NOT NULL,
      name text,
      category text,
      type text,
      subtype text,
      vendor text,
      model text,
      os_platform text,
      onboarding_status text,
      mac macaddr,
      ip inet,
      first_seen timestamptz,
      last_seen timestamptz,
      merged_into text,
      excluded boolean DEFAULT false,
      transient boolean DEFAULT false,
      discovery_sources text,
      site text,
      tags text[],
      evidence jsonb,
      class_override eiot.device_class,
      identified_class eiot.device_class,
      class eiot.device_class NOT NULL GENERATED ALWAYS AS (%3$s) STORED,
      count_key smallint NOT NULL GENERATED ALWAYS AS
        (eiot.count_key(%3$s, onboarding_status, merged_into, excluded, transient, ip)) STORED,
      PRIMARY KEY (tenant_id, device_id)
    ) %4$s$table$,
    in_schema, table_name, class_expression,
    CASE WHEN partitions > 0 THEN 'PARTITION BY HASH (tenant_id)' ELSE '' END);
  FOR i IN 0 .. partitions - 1 LOOP
    EXECUTE format('CREATE TABLE %1$I.%2$I PARTITION OF %1$I.%3$I FOR VALUES WITH (MODULUS %4$s, REMAINDER %5$s)',
                   in_schema, table_name || '_p' || i, table_name, partitions, i);
  END LOOP;
  -- The coverage view and the timeline read nothing else.  The times are no keys: so a
  -- tenant's entries lie in the order of the heap, and its visibility map stays at hand.
  EXECUTE format('CREATE INDEX %2$I ON %1$I.%3$I (tenant_id) INCLUDE (count_key, last_seen, first_seen)',
                 in_schema, table_name || '_count', table_name);

  inventory := format('%I.%I', in_schema, table_name)::regclass;
  EXECUTE format('COMMENT ON TABLE %s IS %L', inventory,
                 'Devices of the tenants, one row each; made by eiot.create_inventory');
  EXECUTE format('COMMENT ON COLUMN %s.class_override IS %L', inventory,
                 'Class that somebody decided on; wins over everything');
  EXECUTE format('COMMENT ON COLUMN %s.identified_class IS %L', inventory,
                 'Class that the evidence was identified as; used where the labels say nothing');
  EXECUTE format('COMMENT ON COLUMN %s.class IS %L', inventory,
                 'The override, else what the labels say, else what the evidence was identified as');
  EXECUTE format('COMMENT ON COLUMN %s.count_key IS %L', inventory,
                 'What of the counting rules neither time nor rule changes, for eiot.counts');
  PERFORM eiot.limit_to_tenants(inventory);
  PERFORM eiot.record_decisions_of(inventory);
  EXECUTE format('CREATE VIEW %I.%I WITH (security_invoker = true) AS %s', in_schema, table_name || '_coverage',
                 eiot.coverage_query(inventory, 'pg_catalog.now()'));
  EXECUTE format('COMMENT ON VIEW %I.%I IS %L', in_schema, table_name || '_coverage',
                 format('Coverage of every tenant now, from the devices in %s: devices of any kind, those that count, capacity (null beside unlimited = true), standalone licenses missing, devices that could still be covered, counted by capacity', inventory));
  RETURN inventory;
END
$$;
COMMENT ON FUNCTION eiot.create_inventory(text, integer, name) IS
  'Makes an inventory, a table of devices that the caller owns, and its view <name>_coverage. name is written as in SQL, with or without a schema; partitions above 0 partitions by hash of the tenant. 42P07 where it exists, 22023 for a number of partitions out of 0 to 1024, 42622 for a name over 54 bytes, 3F000 without a schema';

CREATE FUNCTION eiot.coverage_views(inventory regclass) RETURNS SETOF regclass
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000 ROWS 1
BEGIN ATOMIC
  SELECT DISTINCT c.oid::regclass
    FROM pg_rewrite r
    JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
    JOIN pg_depend t ON t.classid = 'pg_rewrite'::regclass AND t.objid = r.oid
                    AND t.refclassid = 'pg_class'::regclass AND t.refobjid = coverage_views.inventory
    JOIN pg_depend f ON f.classid = 'pg_rewrite'::regclass AND f.objid = r.oid
                    AND f.refclassid = 'pg_proc'::regclass
                    AND f.refobjid = 'eiot.count_devices(smallint, timestamptz, bigint, timestamptz)'::regprocedure;
END;
COMMENT ON FUNCTION eiot.coverage_views(regclass) IS
  'The coverage view of an inventory, whatever it and the table are called by now, and copies of it; none of null and of what is no inventory';

CREATE FUNCTION eiot.release_inventory(inventory regclass) RETURNS void
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  dependent record;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  IF EXISTS (SELECT FROM eiot.watch_triggers(inventory)) THEN
    PERFORM eiot.unwatch(inventory);
  END IF;
  PERFORM eiot.drop_bi_views(inventory);
  FOR dependent IN SELECT v AS view FROM eiot.coverage_views(inventory) v LOOP
    EXECUTE format('DROP VIEW %s', dependent.view);
  END LOOP;
  -- Row-level security stays, so that nobody sees more than before: without policies nobody but the owner sees a row.
  FOR dependent IN
    SELECT DISTINCT p.polname
      FROM pg_policy p
      JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass
      JOIN pg_proc f ON f.oid = d.refobjid AND f.pronamespace = 'eiot'::regnamespace
     WHERE p.polrelid = inventory
  LOOP
    EXECUTE format('DROP POLICY %I ON %s', dependent.polname, inventory);
  END LOOP;
  FOR dependent IN
    SELECT t.tgname
      FROM pg_trigger t
      JOIN pg_proc f ON f.oid = t.tgfoid AND f.pronamespace = 'eiot'::regnamespace
     WHERE t.tgrelid = inventory AND NOT t.tgisinternal
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', dependent.tgname, inventory);
  END LOOP;
  FOR dependent IN
    SELECT c.conname
      FROM pg_constraint c
     WHERE c.conrelid = inventory AND c.contype = 'f' AND c.confrelid = 'eiot.tenant'::regclass AND c.conparentid = 0
  LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', inventory, dependent.conname);
  END LOOP;
  EXECUTE format('ALTER TABLE %s ALTER COLUMN class DROP EXPRESSION IF EXISTS, ALTER COLUMN count_key DROP EXPRESSION IF EXISTS', inventory);
  EXECUTE format('ALTER TABLE %s ALTER COLUMN class TYPE text, ALTER COLUMN class_override TYPE text, ALTER COLUMN identified_class TYPE text', inventory);
END
$$;
COMMENT ON FUNCTION eiot.release_inventory(regclass) IS
  'Makes an inventory independent of the extension before DROP EXTENSION, which refuses while one depends on it: stops watching it, drops its coverage view, its BI views, its policies, its triggers and its reference to eiot.tenant, keeps every row, and the classes as text. Row-level security stays on, so that none but the owner sees a row until you turn it off. 42809 for a relation that is not an inventory';

CREATE FUNCTION eiot.coverage_at(inventory regclass, as_of timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (tenant_id uuid, tenant text, devices bigint, counted bigint, capacity bigint, unlimited boolean,
                 gap bigint, surplus bigint, utilization numeric)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 100
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  PERFORM eiot.check_inventory(inventory);
  IF as_of IS NULL THEN
    RAISE EXCEPTION 'as_of must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  RETURN QUERY EXECUTE eiot.coverage_query(inventory, '$1') USING as_of;
END
$$;
COMMENT ON FUNCTION eiot.coverage_at(regclass, timestamptz) IS
  'The inventory''s coverage view at another instant: entitlements and rule of then, and activity measured from then, over the device rows of today. 42809 for a relation that is not an inventory, 22004 for null';

CREATE FUNCTION eiot.counting_rule_of(tenant_id uuid, as_of timestamptz) RETURNS eiot.counting_rule
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 30
BEGIN ATOMIC
  SELECT r.*
    FROM eiot.tenant t
    JOIN eiot.counting_rule r
      ON CASE WHEN t.counting_rule IS NULL THEN r.valid @> (counting_rule_of.as_of AT TIME ZONE 'UTC')::date
              ELSE r.name = t.counting_rule END
   WHERE t.tenant_id = counting_rule_of.tenant_id;
END;
COMMENT ON FUNCTION eiot.counting_rule_of(uuid, timestamptz) IS
  'The rule that a tenant''s devices are counted under at an instant: the one it is pinned to, else the one in force; null where there is none';

CREATE FUNCTION eiot.explain_count(inventory regclass, tenant_id uuid, as_of timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (reason eiot.count_reason, devices bigint)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000 ROWS 8
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  rule eiot.counting_rule;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  PERFORM eiot.check_tenant(tenant_id);
  IF as_of IS NULL THEN
    RAISE EXCEPTION 'as_of must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  rule := eiot.counting_rule_of(tenant_id, as_of);
  IF rule.name IS NULL THEN
    RAISE EXCEPTION 'no counting rule is in force at %', as_of
      USING ERRCODE = 'no_data_found',
            HINT = 'Add one to eiot.counting_rule, or pin the tenant to one in eiot.tenant.counting_rule.';
  END IF;
  RETURN QUERY EXECUTE format(
    'SELECT eiot.count_reason_under(d.class, d.onboarding_status, d.last_seen, $2, $3, d.merged_into, d.excluded, d.transient, d.ip) AS reason,
            count(*)
       FROM %s d
      WHERE d.tenant_id = $1
      GROUP BY 1
      ORDER BY 1', inventory)
    USING tenant_id, as_of, rule;
END
$$;
COMMENT ON FUNCTION eiot.explain_count(regclass, uuid, timestamptz) IS
  'A tenant''s devices by the reason for which they count or do not, under its rule at as_of; adds up to all its rows. 23503 for an unknown tenant, 42809 for a relation that is not an inventory, P0002 where no rule is in force, 22004 for null';
