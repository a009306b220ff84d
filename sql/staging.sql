-- Rows of devices that a program brings by COPY: a staging table, judged and merged by the rules of import_device_info.

CREATE TYPE eiot.staged_device AS (
  ordinal bigint,
  line bigint,
  device_id text,
  last_seen timestamptz,
  first_seen timestamptz,
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
  merged_into text,
  excluded boolean,
  transient boolean,
  discovery_sources text,
  site text,
  tags text[],
  irregular jsonb,
  problem text
);
COMMENT ON TYPE eiot.staged_device IS
  'Row of a staging table, which is made with CREATE TEMP TABLE ... OF eiot.staged_device: a device in the columns of an inventory, or as a row of DeviceInfo in irregular';
COMMENT ON COLUMN eiot.staged_device.ordinal IS 'Place of the row among all; of two rows of a device with the same time the later one wins';
COMMENT ON COLUMN eiot.staged_device.line IS 'Line of the file that it begins on, for messages; may be null';
COMMENT ON COLUMN eiot.staged_device.device_id IS 'DeviceId';
COMMENT ON COLUMN eiot.staged_device.last_seen IS 'Timestamp';
COMMENT ON COLUMN eiot.staged_device.first_seen IS 'When it was first seen; null where only last_seen is known';
COMMENT ON COLUMN eiot.staged_device.name IS 'DeviceName';
COMMENT ON COLUMN eiot.staged_device.category IS 'DeviceCategory';
COMMENT ON COLUMN eiot.staged_device.type IS 'DeviceType';
COMMENT ON COLUMN eiot.staged_device.subtype IS 'DeviceSubtype';
COMMENT ON COLUMN eiot.staged_device.vendor IS 'Vendor';
COMMENT ON COLUMN eiot.staged_device.model IS 'Model';
COMMENT ON COLUMN eiot.staged_device.os_platform IS 'OSPlatform';
COMMENT ON COLUMN eiot.staged_device.onboarding_status IS 'OnboardingStatus';
COMMENT ON COLUMN eiot.staged_device.mac IS 'MacAddress';
COMMENT ON COLUMN eiot.staged_device.ip IS 'IPAddress';
COMMENT ON COLUMN eiot.staged_device.merged_into IS 'MergedToDeviceId';
COMMENT ON COLUMN eiot.staged_device.excluded IS 'IsExcluded';
COMMENT ON COLUMN eiot.staged_device.transient IS 'IsTransient';
COMMENT ON COLUMN eiot.staged_device.discovery_sources IS 'DiscoverySources';
COMMENT ON COLUMN eiot.staged_device.site IS 'Site';
COMMENT ON COLUMN eiot.staged_device.tags IS 'DeviceManualTags and DeviceDynamicTags';
COMMENT ON COLUMN eiot.staged_device.irregular IS
  'The whole row as an object of DeviceInfo, read like one of a body; the other columns but ordinal and line are then null';
COMMENT ON COLUMN eiot.staged_device.problem IS 'Why the row cannot be imported, once judged; null where it can';

CREATE FUNCTION eiot.judge_staged_devices(staging regclass) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000
  -- Nothing is known of a staging table's size, and a plan that is compiled for the worst takes longer than the rows.
  SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET jit = off
  AS $$
DECLARE
  judgement CONSTANT text := '
    COALESCE(eiot.device_problem(%1$s.device_id, %1$s.last_seen,
               eiot.longest_field(%1$s.name, %1$s.category, %1$s.type, %1$s.subtype, %1$s.vendor, %1$s.model, %1$s.os_platform,
                                  %1$s.onboarding_status, %1$s.merged_into, %1$s.discovery_sources, %1$s.site, %1$s.tags),
               now()),
             CASE WHEN NOT isfinite(%1$s.first_seen) THEN ''FirstSeen is no instant'' END)';
  problems bigint;
  irregulars bigint;
BEGIN
  IF staging IS NULL THEN
    RAISE EXCEPTION 'staging must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  PERFORM FROM pg_class c WHERE c.oid = staging AND c.reloftype = 'eiot.staged_device'::regtype;
  IF NOT FOUND THEN
    RAISE EXCEPTION '% is not a staging table', staging
      USING ERRCODE = 'wrong_object_type',
            HINT = 'Make one with CREATE TEMP TABLE ... OF eiot.staged_device.';
  END IF;

  EXECUTE format('UPDATE %1$s s SET problem = %2$s WHERE irregular IS NULL AND %2$s IS DISTINCT FROM problem',
                 staging, format(judgement, 's'));
  EXECUTE format('SELECT count(problem), count(irregular) FROM %s', staging) INTO problems, irregulars;
  IF irregulars = 0 THEN
    RETURN problems;
  END IF;
  -- Most likely all of them read well; only if not, row by row.
  BEGIN
    EXECUTE format('SELECT count(*) - count(to_jsonb(r)) + count(%2$s) + count(s.problem)
                      FROM %1$s s CROSS JOIN LATERAL eiot.device_info_rows(jsonb_build_array(s.irregular)) r
                     WHERE s.irregular IS NOT NULL',
                   staging, format(judgement, 'r'))
      INTO problems;
  EXCEPTION WHEN data_exception THEN
    problems := NULL;
  END;
  IF problems IS DISTINCT FROM 0 THEN
    EXECUTE format('UPDATE %s SET problem = (eiot.device_info_problem(irregular, now())).reason WHERE irregular IS NOT NULL', staging);
  END IF;
  EXECUTE format('SELECT count(problem) FROM %s', staging) INTO problems;
  RETURN problems;
END
$$;
COMMENT ON FUNCTION eiot.judge_staged_devices(regclass) IS
  'Writes into each row of a staging table why it cannot be imported (problem; null where it can), and returns how many cannot. 42809 for a relation that is no staging table, 22004 for null';

CREATE FUNCTION eiot.merge_staged_devices(staging regclass, inventory regclass, tenant_id uuid,
                                          columns text[] DEFAULT NULL, on_error text DEFAULT 'abort', not_staged bigint DEFAULT 0)
  RETURNS TABLE (rows_read bigint, devices bigint, stored bigint, rejected bigint)
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000 ROWS 1
  SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET jit = off
  AS $$
DECLARE
  all_columns CONSTANT text[] := ARRAY['name', 'category', 'type', 'subtype', 'vendor', 'model', 'os_platform', 'onboarding_status',
    'mac', 'ip', 'merged_into', 'excluded', 'transient', 'discovery_sources', 'site', 'tags'];
  wanted CONSTANT text[] := COALESCE(columns, all_columns);
  unknown text;
  bad_ordinal bigint;
  bad_problem text;
  bad_row text;
  has_irregular boolean;
  known boolean;
  source text;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  PERFORM eiot.check_tenant(tenant_id);
  IF on_error IS NULL OR on_error NOT IN ('abort', 'reject') THEN
    RAISE EXCEPTION 'unknown value of on_error: %', quote_nullable(on_error)
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Use ''abort'' to import all rows or none, ''reject'' to leave bad rows in the staging table.';
  END IF;
  SELECT quote_nullable(c) INTO unknown FROM unnest(wanted) c WHERE c IS NULL OR c <> ALL (all_columns) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'a staging table brings no column %', unknown
      USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Columns are %s.', array_to_string(all_columns, ', '));
  END IF;
  IF not_staged IS NULL OR not_staged < 0 OR not_staged > 0 AND on_error = 'abort' THEN
    RAISE EXCEPTION 'not_staged must be 0, or with on_error ''reject'' a positive number: %', COALESCE(not_staged::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is how many rows were rejected before they came to the staging table.';
  END IF;

  rejected := eiot.judge_staged_devices(staging);
  IF rejected > 0 AND on_error = 'abort' THEN
    EXECUTE format('SELECT s.ordinal, s.problem, COALESCE(s.irregular, jsonb_strip_nulls(to_jsonb(s) - ''problem''))::text
                      FROM %s s WHERE s.problem IS NOT NULL ORDER BY s.ordinal LIMIT 1', staging)
      INTO bad_ordinal, bad_problem, bad_row;
    RAISE EXCEPTION 'row % of the staging table cannot be imported: %', bad_ordinal, bad_problem
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('The row is %s', left(bad_row, 200)),
            HINT = 'Nothing was imported. Mend the row, or import the others with on_error => ''reject''.';
  END IF;

  -- Grouped by a hash: sorting them is left to the statement that stores.
  EXECUTE format('SELECT sum(n), count(device_id), COALESCE(sum(irregular), 0) > 0
                    FROM (SELECT COALESCE(s.device_id, s.irregular ->> ''DeviceId'') COLLATE "C" AS device_id, count(*) AS n,
                                 count(s.irregular) AS irregular
                            FROM %s s WHERE s.problem IS NULL GROUP BY 1) d', staging)
    INTO rows_read, devices, has_irregular;
  rows_read := COALESCE(rows_read, 0);
  source := format('SELECT ordinal, device_id, last_seen, first_seen, name, category, type, subtype, vendor, model, os_platform,
                           onboarding_status, mac, ip, merged_into, COALESCE(excluded, false) AS excluded,
                           COALESCE(transient, false) AS transient, discovery_sources, site, tags
                      FROM %s WHERE problem IS NULL AND irregular IS NULL', staging);
  IF has_irregular THEN
    source := format('%s
                     UNION ALL
                    SELECT s.ordinal, r.device_id, r.last_seen, r.first_seen, r.name, r.category, r.type, r.subtype, r.vendor, r.model,
                           r.os_platform, r.onboarding_status, r.mac, r.ip, r.merged_into, r.excluded, r.transient,
                           r.discovery_sources, r.site, r.tags
                      FROM %s s CROSS JOIN LATERAL eiot.device_info_rows(jsonb_build_array(s.irregular)) r
                     WHERE s.problem IS NULL AND s.irregular IS NOT NULL', source, staging);
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM %s d WHERE d.tenant_id = $1)', inventory) INTO known USING tenant_id;
  IF NOT known THEN
    -- A tenant's first import has nothing to be compared with, unless another one comes in between.
    BEGIN
      EXECUTE format('%s', eiot.device_insert(inventory, wanted, source, rows_read > devices)) USING NULL::jsonb, tenant_id;
      GET DIAGNOSTICS stored = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
      known := true;
    END;
  END IF;
  IF known THEN
    EXECUTE format('%s', eiot.device_upsert(inventory, wanted, source, rows_read > devices)) USING NULL::jsonb, tenant_id;
    GET DIAGNOSTICS stored = ROW_COUNT;
  END IF;
  rejected := rejected + not_staged;
  rows_read := rows_read + rejected;
  INSERT INTO eiot.device_import AS i (inventory, tenant_id, rows_read, devices, stored, rejected)
  VALUES (merge_staged_devices.inventory::text, merge_staged_devices.tenant_id, merge_staged_devices.rows_read,
          merge_staged_devices.devices, merge_staged_devices.stored, merge_staged_devices.rejected);
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION eiot.merge_staged_devices(regclass, regclass, uuid, text[], text, bigint) IS
  'Imports the rows of a staging table (of type eiot.staged_device) by the rules of import_device_info, and returns rows read, distinct devices in them, devices stored or changed, rows rejected. columns are those of the inventory that the export brings; the others keep what is stored; null: all. A bad row: with on_error abort 22023 naming it, nothing is imported; with reject it stays in the staging table with its problem. not_staged rows that could not even be staged are counted among those read and rejected. Each import is kept in eiot.device_import. 23503 for an unknown tenant, 42809 for a relation that is no inventory or no staging table, 22023 for an unknown column or on_error, or a not_staged that is negative, null or given with on_error abort';
