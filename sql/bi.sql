-- Flat views for BI tools.  Their columns, types and order are a contract: see docs/bi.md and test/pgtap/bi.sql.

CREATE VIEW eiot.bi_entitlement WITH (security_invoker = true) AS
  SELECT e.entitlement_id,
         e.tenant_id,
         t.name AS tenant,
         e.sku_id,
         s.part_number,
         s.name AS product,
         s.kind,
         e.subscription_id,
         e.state,
         NULLIF(e.units, eiot.unlimited()) AS units,
         e.assigned_units,
         s.devices_per_unit,
         NULLIF(c.capacity, eiot.unlimited()) AS capacity,
         c.capacity OPERATOR(pg_catalog.=) eiot.unlimited() AS unlimited,
         e.unit_price,
         e.currency,
         e.billing_frequency,
         pg_catalog.lower(e.valid) AS valid_from,
         pg_catalog.upper(e.valid) AS valid_to,
         s.basis,
         e.source
    FROM eiot.entitlement e
    JOIN eiot.tenant t ON t.tenant_id OPERATOR(pg_catalog.=) e.tenant_id
    JOIN eiot.sku s ON s.sku_id OPERATOR(pg_catalog.=) e.sku_id
   CROSS JOIN LATERAL (SELECT COALESCE(pg_catalog.max(n.capacity), 0::bigint) AS capacity
                         FROM eiot.entitlement_capacity n
                        WHERE n.entitlement_id OPERATOR(pg_catalog.=) e.entitlement_id
                          AND n.valid OPERATOR(pg_catalog.@>) pg_catalog.now()) c
   WHERE e.valid OPERATOR(pg_catalog.@>) pg_catalog.now();
COMMENT ON VIEW eiot.bi_entitlement IS 'For BI tools: entitlements now, a row each';
COMMENT ON COLUMN eiot.bi_entitlement.entitlement_id IS 'Row of eiot.entitlement';
COMMENT ON COLUMN eiot.bi_entitlement.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.bi_entitlement.tenant IS 'Its name';
COMMENT ON COLUMN eiot.bi_entitlement.sku_id IS 'Product, by Microsoft Graph''s skuId';
COMMENT ON COLUMN eiot.bi_entitlement.part_number IS 'Product, by Microsoft Graph''s skuPartNumber; null where none was published';
COMMENT ON COLUMN eiot.bi_entitlement.product IS 'Product, by name';
COMMENT ON COLUMN eiot.bi_entitlement.kind IS 'user_license, device_license, prerequisite, trial, legacy_plan or other';
COMMENT ON COLUMN eiot.bi_entitlement.subscription_id IS 'Subscription';
COMMENT ON COLUMN eiot.bi_entitlement.state IS 'enabled, warning, suspended or locked_out';
COMMENT ON COLUMN eiot.bi_entitlement.units IS 'Units held; null for any number';
COMMENT ON COLUMN eiot.bi_entitlement.assigned_units IS 'Units assigned to users';
COMMENT ON COLUMN eiot.bi_entitlement.devices_per_unit IS 'Devices that one unit covers';
COMMENT ON COLUMN eiot.bi_entitlement.capacity IS 'Devices that all of it covers now, 0 where its state gives nothing; null beside unlimited = true';
COMMENT ON COLUMN eiot.bi_entitlement.unlimited IS 'Does it cover any number?';
COMMENT ON COLUMN eiot.bi_entitlement.unit_price IS 'Price of one unit for a billing cycle; null where not recorded';
COMMENT ON COLUMN eiot.bi_entitlement.currency IS 'Currency of the price';
COMMENT ON COLUMN eiot.bi_entitlement.billing_frequency IS 'month, quarter or year';
COMMENT ON COLUMN eiot.bi_entitlement.valid_from IS 'Since when it is so; null: ever since';
COMMENT ON COLUMN eiot.bi_entitlement.valid_to IS 'Until when; null: no end is known';
COMMENT ON COLUMN eiot.bi_entitlement.basis IS 'Where devices_per_unit comes from';
COMMENT ON COLUMN eiot.bi_entitlement.source IS 'Who keeps the row: manual, lifecycle or an import';

CREATE VIEW eiot.bi_charge WITH (security_invoker = true) AS
  SELECT t.tenant_id,
         t.name AS tenant,
         CAST(pg_catalog.date_trunc('month', pg_catalog.lower(c.used)::timestamp) AS pg_catalog.date) AS month,
         c.entitlement_id,
         c.sku_id,
         c.product,
         c.kind,
         c.reason,
         pg_catalog.lower(c.used) AS used_from,
         pg_catalog.upper(c.used) OPERATOR(pg_catalog.-) 1 AS used_to,
         pg_catalog.lower(c.cycle) AS cycle_from,
         pg_catalog.upper(c.cycle) OPERATOR(pg_catalog.-) 1 AS cycle_to,
         c.units,
         c.unit_price,
         c.days,
         c.cycle_days,
         c.amount,
         c.currency
    FROM eiot.tenant t
   CROSS JOIN LATERAL (SELECT CAST(pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', pg_catalog.now())) AS pg_catalog.date) AS this) m
   CROSS JOIN LATERAL eiot.charges(t.tenant_id, pg_catalog.daterange(
           CAST(m.this OPERATOR(pg_catalog.-) INTERVAL '12 months' AS pg_catalog.date), CAST(m.this OPERATOR(pg_catalog.+) INTERVAL '1 month' AS pg_catalog.date))) c
   WHERE EXISTS (SELECT FROM eiot.entitlement e WHERE e.tenant_id OPERATOR(pg_catalog.=) t.tenant_id AND e.unit_price IS NOT NULL);
COMMENT ON VIEW eiot.bi_charge IS
  'For BI tools: what tenants are charged, line by line, for this month (UTC) and the twelve before, under the policy "nce"';
COMMENT ON COLUMN eiot.bi_charge.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.bi_charge.tenant IS 'Its name';
COMMENT ON COLUMN eiot.bi_charge.month IS 'First day of the month in which the line begins; null for a line that covers no day';
COMMENT ON COLUMN eiot.bi_charge.entitlement_id IS 'Row of eiot.entitlement';
COMMENT ON COLUMN eiot.bi_charge.sku_id IS 'Product, by Microsoft Graph''s skuId';
COMMENT ON COLUMN eiot.bi_charge.product IS 'Product, by name';
COMMENT ON COLUMN eiot.bi_charge.kind IS 'charge or credit';
COMMENT ON COLUMN eiot.bi_charge.reason IS 'What it is charged or credited for';
COMMENT ON COLUMN eiot.bi_charge.used_from IS 'First day that it covers; null where none';
COMMENT ON COLUMN eiot.bi_charge.used_to IS 'Last day that it covers; null where none';
COMMENT ON COLUMN eiot.bi_charge.cycle_from IS 'First day of the billing cycle';
COMMENT ON COLUMN eiot.bi_charge.cycle_to IS 'Last day of the billing cycle';
COMMENT ON COLUMN eiot.bi_charge.units IS 'Units';
COMMENT ON COLUMN eiot.bi_charge.unit_price IS 'Price of one unit for a billing cycle';
COMMENT ON COLUMN eiot.bi_charge.days IS 'Days that it covers';
COMMENT ON COLUMN eiot.bi_charge.cycle_days IS 'Days of the billing cycle';
COMMENT ON COLUMN eiot.bi_charge.amount IS 'Amount; negative for a credit';
COMMENT ON COLUMN eiot.bi_charge.currency IS 'Its currency';

CREATE VIEW eiot.bi_tenant_coverage WITH (security_invoker = true) AS
  SELECT c.tenant_id, c.tenant, c.devices, c.counted, c.capacity, c.unlimited, c.gap, c.surplus, c.utilization, c.under_licensed, c.since
    FROM eiot.tenant_coverage c;
COMMENT ON VIEW eiot.bi_tenant_coverage IS 'For BI tools: coverage of every tenant now, from the devices in all watched inventories together';
COMMENT ON COLUMN eiot.bi_tenant_coverage.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.bi_tenant_coverage.tenant IS 'Its name';
COMMENT ON COLUMN eiot.bi_tenant_coverage.devices IS 'Devices of any kind';
COMMENT ON COLUMN eiot.bi_tenant_coverage.counted IS 'Devices that count; null where no rule is in force';
COMMENT ON COLUMN eiot.bi_tenant_coverage.capacity IS 'Devices that its licenses cover; null beside unlimited = true';
COMMENT ON COLUMN eiot.bi_tenant_coverage.unlimited IS 'Do they cover any number?';
COMMENT ON COLUMN eiot.bi_tenant_coverage.gap IS 'Standalone licenses missing; null where no rule is in force';
COMMENT ON COLUMN eiot.bi_tenant_coverage.surplus IS 'Devices that could still be covered; null where unlimited';
COMMENT ON COLUMN eiot.bi_tenant_coverage.utilization IS 'Counted devices divided by capacity; null where that is 0 or unlimited';
COMMENT ON COLUMN eiot.bi_tenant_coverage.under_licensed IS 'Is it flagged, or would be by the next refresh?';
COMMENT ON COLUMN eiot.bi_tenant_coverage.since IS 'Since when it is so; null where no event says';

CREATE VIEW eiot.bi_flag_event WITH (security_invoker = true) AS
  SELECT f.flag_event_id, f.tenant_id, t.name AS tenant, f.at, f.kind, f.devices, f.capacity, f.capacity IS NULL AS unlimited, f.gap
    FROM eiot.flag_event f
    LEFT JOIN eiot.tenant t ON t.tenant_id OPERATOR(pg_catalog.=) f.tenant_id;
COMMENT ON VIEW eiot.bi_flag_event IS 'For BI tools: every crossing of a tenant between covered and under-licensed';
COMMENT ON COLUMN eiot.bi_flag_event.flag_event_id IS 'Key';
COMMENT ON COLUMN eiot.bi_flag_event.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.bi_flag_event.tenant IS 'Its name; null where the tenant is gone';
COMMENT ON COLUMN eiot.bi_flag_event.at IS 'When it was decided';
COMMENT ON COLUMN eiot.bi_flag_event.kind IS 'raised or cleared';
COMMENT ON COLUMN eiot.bi_flag_event.devices IS 'Devices that counted';
COMMENT ON COLUMN eiot.bi_flag_event.capacity IS 'Devices that licenses covered; null beside unlimited = true';
COMMENT ON COLUMN eiot.bi_flag_event.unlimited IS 'Did they cover any number?';
COMMENT ON COLUMN eiot.bi_flag_event.gap IS 'Standalone licenses that were missing';

-- Those of an inventory stand beside it, as its coverage view does.

CREATE FUNCTION eiot.bi_now() RETURNS timestamptz
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1
  RETURN pg_catalog.now();
COMMENT ON FUNCTION eiot.bi_now() IS 'now(), in the views of eiot.create_bi_views and nowhere else: by this they are known';

CREATE FUNCTION eiot.bi_views(inventory regclass) RETURNS SETOF regclass
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000 ROWS 3
BEGIN ATOMIC
  SELECT DISTINCT c.oid::regclass
    FROM pg_rewrite r
    JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'v'
    JOIN pg_depend t ON t.classid = 'pg_rewrite'::regclass AND t.objid = r.oid
                    AND t.refclassid = 'pg_class'::regclass AND t.refobjid = bi_views.inventory
    JOIN pg_depend f ON f.classid = 'pg_rewrite'::regclass AND f.objid = r.oid
                    AND f.refclassid = 'pg_proc'::regclass AND f.refobjid = 'eiot.bi_now()'::regprocedure;
END;
COMMENT ON FUNCTION eiot.bi_views(regclass) IS
  'The BI views of an inventory, whatever they and the table are called by now; none of null and of what is no inventory';

CREATE FUNCTION eiot.create_bi_views(inventory regclass) RETURNS SETOF regclass
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000 ROWS 3
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  -- The longest suffix.
  max_length CONSTANT integer := 63 - length('_bi_coverage');
  in_schema name;
  table_name name;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  SELECT n.nspname, c.relname INTO in_schema, table_name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.oid = inventory;
  IF octet_length(table_name) > max_length THEN
    RAISE EXCEPTION 'name of inventory % is too long for its BI views', inventory
      USING ERRCODE = 'name_too_long',
            DETAIL = format('It has %s bytes; %s leave room for the names of the views.', octet_length(table_name), max_length);
  END IF;

  EXECUTE format($view$
    CREATE VIEW %I.%I WITH (security_invoker = true) AS
    SELECT c.tenant_id, c.tenant, c.devices, c.counted, c.capacity, c.unlimited, c.gap, c.surplus, c.utilization,
           r.name AS counting_rule, t.entitlements_as_of AS licenses_imported_at, eiot.bi_now() AS as_of
      FROM (%s) c
      JOIN eiot.tenant t ON t.tenant_id = c.tenant_id
      LEFT JOIN eiot.counting_rule r
        ON CASE WHEN t.counting_rule IS NULL THEN r.valid @> CAST(timezone('UTC', eiot.bi_now()) AS date) ELSE r.name = t.counting_rule END$view$,
    in_schema, table_name || '_bi_coverage', eiot.coverage_query(inventory, 'eiot.bi_now()'));
  EXECUTE format('COMMENT ON VIEW %I.%I IS %L', in_schema, table_name || '_bi_coverage',
                 format('For BI tools: coverage of every tenant now, from the devices in %s', inventory));

  EXECUTE format($view$
    CREATE VIEW %I.%I WITH (security_invoker = true) AS
    SELECT b.tenant_id, b.tenant, b.class::text AS class, b.reason::text AS reason, b.reason = 'counted' AS counted, b.devices, b.last_seen
      FROM (%s) b$view$,
    in_schema, table_name || '_bi_class', eiot.breakdown_query(inventory, 'eiot.bi_now()', quote_literal('infinity')));
  EXECUTE format('COMMENT ON VIEW %I.%I IS %L', in_schema, table_name || '_bi_class',
                 format('For BI tools: devices in %s by tenant, class and reason, now', inventory));

  -- Tenant by tenant, so that who asks for one waits for one.
  EXECUTE format($view$
    CREATE VIEW %I.%I WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.name AS tenant, CAST(timezone('UTC', p.at) AS date) AS day,
           p.counted, p.capacity, p.unlimited, p.gap, p.max_gap, p.max_gap_at
      FROM eiot.tenant t
     CROSS JOIN LATERAL eiot.coverage_timeline(%L::regclass, date_trunc('day', eiot.bi_now(), 'UTC') - interval '8760 hours',
                                               eiot.bi_now(), interval '24 hours', t.tenant_id) p$view$,
    in_schema, table_name || '_bi_daily', inventory);
  EXECUTE format('COMMENT ON VIEW %I.%I IS %L', in_schema, table_name || '_bi_daily',
                 format('For BI tools: coverage of every tenant at the beginning (UTC) of today and of each of 365 days before, and the largest gap during each, from the devices in %s', inventory));

  RETURN QUERY SELECT v FROM eiot.bi_views(inventory) v ORDER BY v::text;
END
$$;
COMMENT ON FUNCTION eiot.create_bi_views(regclass) IS
  'Makes the views <name>_bi_coverage, <name>_bi_class and <name>_bi_daily beside an inventory and returns them. 42P07 where one exists, 42622 for a name over 51 bytes, 42809 for a relation that is not an inventory, 42501 without CREATE on its schema, 22004 for null';

CREATE FUNCTION eiot.drop_bi_views(inventory regclass) RETURNS void
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  view regclass;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  FOR view IN SELECT v FROM eiot.bi_views(inventory) v LOOP
    EXECUTE format('DROP VIEW %s', view);
  END LOOP;
END
$$;
COMMENT ON FUNCTION eiot.drop_bi_views(regclass) IS
  'Drops the BI views of an inventory, as eiot.release_inventory does too. 2BP01 where other views read them, 42809 for a relation that is not an inventory, 22004 for null';
