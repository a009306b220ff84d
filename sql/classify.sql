-- Device class from labels.

CREATE FUNCTION eiot.classify(category text, type text, subtype text, os_platform text)
  RETURNS eiot.device_class
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'eiot_classify';
COMMENT ON FUNCTION eiot.classify(text, text, text, text) IS
  'Device class from Defender''s labels, compared without case, spaces, hyphens and underscores: the category decides, else the subtype, the type, the operating system. unknown where none is known; nulls are no label; no errors';
