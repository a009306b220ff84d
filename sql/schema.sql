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
-- which then takes its place instead of failing on the key.  For the same reason
-- a shipped row, changed or not, can be neither deleted nor get another key: it
-- would be back after a restore, beside what was meant to replace it.
CREATE FUNCTION eiot.keep_user_row() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  key_column CONSTANT name := TG_ARGV[0];
  generated CONSTANT text[] := COALESCE(TG_ARGV[1:], '{}');
  assignments text;
  replaced bigint;
BEGIN
  IF TG_OP IN ('UPDATE', 'DELETE') AND (OLD.shipped OR OLD.overrides) THEN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) -> key_column <> to_jsonb(OLD) -> key_column THEN
      RAISE EXCEPTION '% % comes with the extension and cannot be %', TG_TABLE_NAME, to_jsonb(OLD) ->> key_column,
        CASE TG_OP WHEN 'DELETE' THEN 'deleted' ELSE 'given another key' END
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = 'A restored database would have it again.',
              HINT = format('Change its other columns; %s.',
                            CASE TG_TABLE_NAME WHEN 'counting_rule' THEN 'with valid = ''empty'' a rule is never in force'
                                               WHEN 'sku' THEN 'with devices_per_unit = 0 a SKU covers nothing'
                                               ELSE 'with class = ''unknown'' a type of device tells nothing' END);
    END IF;
    -- Generated columns are not known yet.
    IF to_jsonb(NEW) - generated IS DISTINCT FROM to_jsonb(OLD) - generated THEN
      NEW.shipped := false;
      NEW.overrides := true;
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;

  IF TG_OP = 'UPDATE' OR NEW.shipped THEN
    RETURN NEW;
  END IF;
  NEW.overrides := true;
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
  NEW.overrides := false;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION eiot.keep_user_row() IS
  'Trigger of the tables with shipped rows: a row that a user changes or inserts over a shipped one becomes the user''s (shipped = false, overrides = true); 55000 for deleting it or changing its key. Arguments: the key column, then generated columns';
