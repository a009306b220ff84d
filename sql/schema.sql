-- The schema, its enums and what more than one room uses.

CREATE SCHEMA eiot;
COMMENT ON SCHEMA eiot IS 'License coverage of IoT devices: what counts, what is covered, what is missing';
GRANT USAGE ON SCHEMA eiot TO PUBLIC;

CREATE TYPE eiot.device_class AS ENUM
  ('endpoint', 'network', 'iot', 'ot', 'bms', 'medical', 'unknown');
COMMENT ON TYPE eiot.device_class IS
  'Class of a device as the Defender inventory divides them; unknown where no label or evidence tells';

CREATE TYPE eiot.count_reason AS ENUM
  ('counted', 'not_iot', 'managed', 'inactive', 'merged', 'excluded', 'transient', 'not_a_device');
COMMENT ON TYPE eiot.count_reason IS
  'Why a device counts against the licenses or does not; of several reasons the first in this order is given';

CREATE FUNCTION eiot.count_warning_units() RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
  AS 'MODULE_PATHNAME', 'eiot_count_warning_units';
COMMENT ON FUNCTION eiot.count_warning_units() IS
  'The setting eiot.count_warning_units: do units in the grace period ("warning") cover devices? On unless set';

-- Rows that the extension ships can be changed by the user.  The changed row is
-- the user's (shipped = false), and only such rows are dumped.  On restore
-- CREATE EXTENSION has put the shipped row back before the user's one is loaded,
-- which then takes its place instead of failing on the key.
CREATE FUNCTION eiot.keep_user_row() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  key_column CONSTANT name := TG_ARGV[0];
  assignments text;
  replaced bigint;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.shipped AND NEW IS DISTINCT FROM OLD THEN
      NEW.shipped := false;
    END IF;
    RETURN NEW;
  END IF;

  IF NEW.shipped THEN
    RETURN NEW;
  END IF;
  SELECT string_agg(format('%1$I = ($1).%1$I', a.attname), ', ')
    INTO assignments
    FROM pg_attribute a
   WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
  EXECUTE format('UPDATE %I.%I SET %s WHERE %I = ($1).%4$I AND shipped',
                 TG_TABLE_SCHEMA, TG_TABLE_NAME, assignments, key_column)
    USING NEW;
  GET DIAGNOSTICS replaced = ROW_COUNT;
  IF replaced > 0 THEN
    RETURN NULL;
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION eiot.keep_user_row() IS
  'Trigger of the tables with shipped rows: a row that a user changes or inserts over a shipped one becomes the user''s (shipped = false). Argument: the key column';
