-- Vendors by MAC address, from the registries that IEEE publishes.

CREATE FUNCTION eiot.table_changed() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eiot_table_changed';
COMMENT ON FUNCTION eiot.table_changed() IS
  'Trigger of tables that sessions keep a copy of in memory: makes each of them read it anew, once the change is committed';

CREATE TABLE eiot.oui (
  prefix macaddr NOT NULL,
  bits smallint NOT NULL CHECK (bits IN (24, 28, 36)),
  vendor text NOT NULL,
  registry text NOT NULL CHECK (registry IN ('MA-L', 'MA-M', 'MA-S', 'IAB')),
  PRIMARY KEY (prefix, bits)
);
COMMENT ON TABLE eiot.oui IS 'Address blocks and whom IEEE assigned them to; filled by eiot.load_oui';
COMMENT ON COLUMN eiot.oui.prefix IS 'First address of the block';
COMMENT ON COLUMN eiot.oui.bits IS 'Leading bits that all addresses of the block share: 24, 28 or 36';
COMMENT ON COLUMN eiot.oui.vendor IS 'Organization that the block is assigned to';
COMMENT ON COLUMN eiot.oui.registry IS 'MA-L (24 bits), MA-M (28), MA-S or IAB (36)';
SELECT pg_catalog.pg_extension_config_dump('eiot.oui', '');

CREATE TRIGGER table_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON eiot.oui
  FOR EACH STATEMENT EXECUTE FUNCTION eiot.table_changed();
COMMENT ON TRIGGER table_changed ON eiot.oui IS 'Sessions that looked up a vendor read the registry anew';

CREATE FUNCTION eiot.load_oui(registry text, csv text) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000
  SET search_path = pg_catalog, pg_temp
  AS $$
#variable_conflict use_column
DECLARE
  -- A field is quoted, where it may hold anything, or runs to the next comma.
  line CONSTANT text := '([^,"\n\r]*),([^,"\n\r]*),("(?:[^"]|"")*"|[^,"\n\r]*),("(?:[^"]|"")*"|[^"\n\r]*)\r?(?:\n|$)';
  header CONSTANT text := '^(?:\xEF\xBB\xBF|\uFEFF)?Registry,Assignment,Organization Name,Organization Address\r?\n';
  prefix_bits CONSTANT smallint := CASE load_oui.registry WHEN 'MA-L' THEN 24 WHEN 'MA-M' THEN 28 WHEN 'MA-S' THEN 36 WHEN 'IAB' THEN 36 END;
  body text;
  rest text;
  wrong text;
  loaded bigint;
BEGIN
  IF prefix_bits IS NULL THEN
    RAISE EXCEPTION 'unknown registry: %', quote_nullable(load_oui.registry)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Use MA-L, MA-M, MA-S or IAB.';
  END IF;
  IF csv IS NULL THEN
    RAISE EXCEPTION 'csv must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF csv !~ header THEN
    RAISE EXCEPTION 'not a registry of IEEE: it begins with "%"', left(csv, 60)
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Load the CSV file as IEEE publishes it, whose first line is "Registry,Assignment,Organization Name,Organization Address".';
  END IF;
  body := regexp_replace(csv, header, '');

  DELETE FROM eiot.oui o WHERE o.registry = load_oui.registry;
  WITH parsed AS MATERIALIZED (
    SELECT ordinal, m[1] AS registry, upper(m[2]) AS assignment,
           CASE WHEN m[3] LIKE '"%' THEN replace(substr(m[3], 2, length(m[3]) - 2), '""', '"') ELSE m[3] END AS vendor
      FROM regexp_matches(body, line, 'g') WITH ORDINALITY r(m, ordinal)
  ), stored AS (
    -- A few blocks stand twice in the registry: the first one it is.
    INSERT INTO eiot.oui (prefix, bits, vendor, registry)
    SELECT DISTINCT ON (p.assignment) rpad(p.assignment, 12, '0')::macaddr, prefix_bits, btrim(p.vendor), p.registry
      FROM parsed p
     WHERE p.registry = load_oui.registry AND p.assignment ~ '^[0-9A-F]+$' AND length(p.assignment) = prefix_bits / 4
     ORDER BY p.assignment, p.ordinal
    ON CONFLICT DO NOTHING
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM stored),
         (SELECT format('%s,%s,%s', p.registry, p.assignment, p.vendor) FROM parsed p
           WHERE NOT (p.registry = load_oui.registry AND p.assignment ~ '^[0-9A-F]+$' AND length(p.assignment) = prefix_bits / 4)
           ORDER BY ordinal LIMIT 1)
    INTO loaded, wrong;
  rest := btrim(regexp_replace(body, line, '', 'g'), E' \n\r');
  wrong := COALESCE(wrong, NULLIF(rest, ''));
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'not an assignment of registry %: "%"', load_oui.registry, left(wrong, 100)
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Expected "%s" and %s hexadecimal digits.', load_oui.registry, prefix_bits / 4),
            HINT = 'Load each registry from a file of its own. What was loaded before is unchanged.';
  END IF;
  RETURN loaded;
END
$$;
COMMENT ON FUNCTION eiot.load_oui(text, text) IS
  'Replaces a registry (MA-L, MA-M, MA-S, IAB) by the text of the CSV file that IEEE publishes, and returns the number of blocks. 22023 for another registry or a text that is none, 22004 for null; then nothing changes';

CREATE FUNCTION eiot.oui_vendor(mac macaddr) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_oui_vendor';
COMMENT ON FUNCTION eiot.oui_vendor(macaddr) IS
  'Organization that the address block is assigned to, by the longest prefix of 36, 28 or 24 bits; null where none is loaded, for locally administered addresses, which no vendor assigned, and of null';
