-- Coverage over time: the peak of overlapping spans, coverage at every step and between steps, what the trend says.

CREATE TYPE eiot.peak AS (devices bigint, at timestamptz);
COMMENT ON TYPE eiot.peak IS 'Largest number of spans that overlap, and since when';
COMMENT ON COLUMN eiot.peak.devices IS 'Spans in effect at that instant; never more at another one';
COMMENT ON COLUMN eiot.peak.at IS 'The first instant of it; -infinity where its spans have no beginning, null where there is no span';

CREATE FUNCTION eiot.peak_accum(internal, active tstzrange) RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_peak_accum';
COMMENT ON FUNCTION eiot.peak_accum(internal, tstzrange) IS 'Aggregate support: one more span; null and empty ranges are none';

CREATE FUNCTION eiot.spans_combine(internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'eiot_spans_combine';
COMMENT ON FUNCTION eiot.spans_combine(internal, internal) IS 'Aggregate support: two sets of spans of one group';

CREATE FUNCTION eiot.spans_serialize(internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'eiot_spans_serialize';
COMMENT ON FUNCTION eiot.spans_serialize(internal) IS
  'Aggregate support: a set of spans on its way to another process; 54000 above 1 GB, which is some 67 million spans of one group';

CREATE FUNCTION eiot.spans_deserialize(bytea, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'eiot_spans_deserialize';
COMMENT ON FUNCTION eiot.spans_deserialize(bytea, internal) IS 'Aggregate support: a set of spans that has arrived';

CREATE FUNCTION eiot.peak_final(internal) RETURNS eiot.peak
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'eiot_peak_final';
COMMENT ON FUNCTION eiot.peak_final(internal) IS 'Aggregate support: the peak of a set of spans';

-- The state grows with the spans, so what the planner is told is a guess: a few dozen of them.
CREATE AGGREGATE eiot.peak(active tstzrange) (
  SFUNC = eiot.peak_accum, STYPE = internal, SSPACE = 1024,
  COMBINEFUNC = eiot.spans_combine, SERIALFUNC = eiot.spans_serialize, DESERIALFUNC = eiot.spans_deserialize,
  FINALFUNC = eiot.peak_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.peak(tstzrange) IS
  'Largest number of ranges that overlap, and the first instant at which they do. Bounds as they are, open or closed, to the microsecond; an infinite bound is like none. Null and empty ranges are left out; without any: 0 devices, null instant';
