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

-- Coverage at every step.

CREATE TYPE eiot.coverage_point AS (
  tenant_id uuid, at timestamptz, counted bigint, capacity bigint, unlimited boolean, gap bigint,
  max_gap bigint, max_gap_at timestamptz);
COMMENT ON TYPE eiot.coverage_point IS 'Coverage of a tenant at an instant, and the largest gap until the next one';
COMMENT ON COLUMN eiot.coverage_point.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.coverage_point.at IS 'The instant: the first of the step';
COMMENT ON COLUMN eiot.coverage_point.counted IS 'Devices that count at that instant; null where no rule is in force';
COMMENT ON COLUMN eiot.coverage_point.capacity IS 'Devices that are covered at that instant; null where unlimited';
COMMENT ON COLUMN eiot.coverage_point.unlimited IS 'Is the capacity without limit?';
COMMENT ON COLUMN eiot.coverage_point.gap IS 'Standalone licenses missing at that instant; null where no rule is in force';
COMMENT ON COLUMN eiot.coverage_point.max_gap IS 'Standalone licenses missing at the worst instant of the step; null where no rule is in force during all of it';
COMMENT ON COLUMN eiot.coverage_point.max_gap_at IS 'The first instant of the step at which so many are missing; null where none ever is';

CREATE TYPE eiot.activity AS (starts timestamptz[], ends timestamptz[]);
COMMENT ON TYPE eiot.activity IS 'When devices begin and cease to count';
COMMENT ON COLUMN eiot.activity.starts IS 'Ascending: at each of these one device more counts';
COMMENT ON COLUMN eiot.activity.ends IS 'Ascending: at each of these one device less counts';

CREATE FUNCTION eiot.step_bounds("from" timestamptz, "to" timestamptz, step interval) RETURNS timestamptz[]
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'eiot_step_bounds';
COMMENT ON FUNCTION eiot.step_bounds(timestamptz, timestamptz, interval) IS
  'from, from + step, from + 2 * step and so on before to, and to itself; days and months as the session''s time zone has them. Empty where from is to, null of null; 22023 for infinite or inverted bounds, a step of which a part is negative or all are 0, and above 1,000,000 steps';

CREATE FUNCTION eiot.rule_periods(counting_rule text, "from" timestamptz, "to" timestamptz)
  RETURNS TABLE (bounds timestamptz[], ruled boolean[], counted_keys bigint[], inactive_after interval[])
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 200 ROWS 1
BEGIN ATOMIC
  -- Where a rule ends there is none, unless another one begins there.  A rule under which no device becomes
  -- inactive has the longest cut-off.
  WITH change AS (
    SELECT COALESCE(lower(r.valid)::timestamp AT TIME ZONE 'UTC', '-infinity') AS since, true AS ruled, r.counted_keys, r.inactive_after
      FROM eiot.counting_rule r
     WHERE rule_periods.counting_rule IS NULL AND NOT isempty(r.valid)
    UNION ALL
    SELECT upper(r.valid)::timestamp AT TIME ZONE 'UTC', false, 0, '0'
      FROM eiot.counting_rule r
     WHERE rule_periods.counting_rule IS NULL AND NOT isempty(r.valid) AND NOT upper_inf(r.valid)
    UNION ALL
    SELECT '-infinity', false, 0, '0'
    UNION ALL
    SELECT '-infinity', true, r.counted_keys, r.inactive_after
      FROM eiot.counting_rule r
     WHERE r.name = rule_periods.counting_rule
  ), period AS (
    SELECT DISTINCT ON (c.since) c.*
      FROM change c
     ORDER BY c.since, c.ruled DESC
  ), within AS (
    SELECT GREATEST(p.since, rule_periods."from") AS since, p.ruled, p.counted_keys,
           COALESCE(p.inactive_after, '178000000 years') AS inactive_after
      FROM (SELECT q.*, lead(q.since, 1, 'infinity') OVER (ORDER BY q.since) AS until FROM period q) p
     WHERE p.since < rule_periods."to" AND p.until > rule_periods."from"
  )
  SELECT array_agg(w.since ORDER BY w.since) || rule_periods."to", array_agg(w.ruled ORDER BY w.since),
         array_agg(w.counted_keys ORDER BY w.since), array_agg(w.inactive_after ORDER BY w.since)
    FROM within w
  HAVING count(*) > 0;
END;
COMMENT ON FUNCTION eiot.rule_periods(text, timestamptz, timestamptz) IS
  'The counting rules from one instant to another: bounds, one more than periods, and for each period whether a rule is in force, and what of it eiot.active_spans needs. With a name, that rule all the time; no row where from is not before to';

CREATE FUNCTION eiot.active_spans_accum(internal, count_key smallint, first_seen timestamptz, last_seen timestamptz,
                                        bounds timestamptz[], counted_keys bigint[], inactive_after interval[])
  RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_active_spans_accum';
COMMENT ON FUNCTION eiot.active_spans_accum(internal, smallint, timestamptz, timestamptz, timestamptz[], bigint[], interval[]) IS
  'Aggregate support: one more device';

CREATE FUNCTION eiot.active_spans_final(internal) RETURNS eiot.activity
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'eiot_active_spans_final';
COMMENT ON FUNCTION eiot.active_spans_final(internal) IS
  'Aggregate support: the devices as instants at which one begins or ceases to count; 54000 above 1 GB of them';

CREATE AGGREGATE eiot.active_spans(count_key smallint, first_seen timestamptz, last_seen timestamptz,
                                   bounds timestamptz[], counted_keys bigint[], inactive_after interval[]) (
  SFUNC = eiot.active_spans_accum, STYPE = internal, SSPACE = 65536,
  COMBINEFUNC = eiot.spans_combine, SERIALFUNC = eiot.spans_serialize, DESERIALFUNC = eiot.spans_deserialize,
  FINALFUNC = eiot.active_spans_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.active_spans(smallint, timestamptz, timestamptz, timestamptz[], bigint[], interval[]) IS
  'When the devices of a group begin and cease to count between the outer bounds, under the periods of eiot.rule_periods, which must be the same for all rows. Null first_seen: since ever; null last_seen: for ever; no rows: null. 22003 for a count key that is none, 22023 and 2202E for bounds that do not ascend or lists that do not fit';

CREATE FUNCTION eiot.coverage_steps(starts timestamptz[], ends timestamptz[], bounds timestamptz[], ruled boolean[],
                                    valid tstzrange[], capacity bigint[], steps timestamptz[])
  RETURNS TABLE (at timestamptz, counted bigint, capacity_at bigint, unlimited boolean, gap bigint,
                 max_gap bigint, max_gap_at timestamptz)
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000 ROWS 365 AS 'MODULE_PATHNAME', 'eiot_coverage_steps';
COMMENT ON FUNCTION eiot.coverage_steps(timestamptz[], timestamptz[], timestamptz[], boolean[], tstzrange[], bigint[], timestamptz[]) IS
  'Coverage at each step but the last bound, and the largest gap until the next, from what begins and ends: devices (starts, ends), rules (bounds, ruled) and capacities. Null starts, ends, and valid with capacity, are none; 22004 for other nulls, 22023 and 2202E for lists that do not ascend or fit, 22003 for capacity beyond bigint';

CREATE FUNCTION eiot.timeline_query(inventory regclass) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT format($query$
WITH period AS MATERIALIZED (
  SELECT r.name, p.*
    FROM (SELECT NULL::text AS name UNION ALL SELECT name FROM eiot.counting_rule) r
   CROSS JOIN LATERAL eiot.rule_periods(r.name, $1[1], $1[cardinality($1)]) p
)
SELECT t.tenant_id, s.*
  FROM eiot.tenant t
  JOIN period p ON p.name IS NOT DISTINCT FROM COALESCE($3, t.counting_rule)
  LEFT JOIN (SELECT e.tenant_id, array_agg(e.valid) AS valid, array_agg(e.capacity) AS capacity
               FROM eiot.entitlement_capacity e
              WHERE e.valid && tstzrange($1[1], $1[cardinality($1)])
              GROUP BY e.tenant_id) l ON l.tenant_id = t.tenant_id
 CROSS JOIN LATERAL (SELECT eiot.active_spans(d.count_key, d.first_seen, d.last_seen, p.bounds, p.counted_keys, p.inactive_after) AS activity
                       FROM %1$s d
                      WHERE d.tenant_id = t.tenant_id) a
 CROSS JOIN LATERAL eiot.coverage_steps((a.activity).starts, (a.activity).ends, p.bounds, p.ruled, l.valid, l.capacity, $1) s
 WHERE $2 IS NULL OR t.tenant_id = $2$query$,
    timeline_query.inventory);
END;
COMMENT ON FUNCTION eiot.timeline_query(regclass) IS
  'The text of an inventory''s timeline query; its parameters are the bounds of the steps, a tenant or null for all of them, and a counting rule or null for each tenant''s own';

CREATE FUNCTION eiot.coverage_timeline(inventory regclass, "from" timestamptz, "to" timestamptz, step interval,
                                       tenant_id uuid DEFAULT NULL)
  RETURNS SETOF eiot.coverage_point
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000 ROWS 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  PERFORM eiot.check_inventory(inventory);
  IF "from" IS NULL OR "to" IS NULL OR step IS NULL THEN
    RAISE EXCEPTION 'from, to and step must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF tenant_id IS NOT NULL THEN
    PERFORM eiot.check_tenant(tenant_id);
  END IF;
  RETURN QUERY EXECUTE eiot.timeline_query(inventory)
    USING eiot.step_bounds("from", "to", step), tenant_id, NULL::text;
END
$$;
COMMENT ON FUNCTION eiot.coverage_timeline(regclass, timestamptz, timestamptz, interval, uuid) IS
  'Coverage of every tenant, or one, at from, from + step and so on before to, and the largest gap within each step, at whatever instant it is. A device counts from first_seen until the cut-off after last_seen, under the rule in force at that time or the one that its tenant is pinned to. 42809 for a relation that is not an inventory, 23503 for an unknown tenant, 22004 for null, 22023 for infinite or inverted bounds, a step that is not positive and above 1,000,000 steps';

-- What the trend says.

CREATE FUNCTION eiot.coverage_under(inventory regclass, tenant_id uuid, counting_rule text, instants timestamptz[])
  RETURNS SETOF eiot.coverage_point
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 10000 ROWS 100
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  -- A step at each, the last one as short as can be.
  steps CONSTANT timestamptz[] := array_append(instants, instants[cardinality(instants)] + interval '1 microsecond');
BEGIN
  RETURN QUERY EXECUTE eiot.timeline_query(inventory) USING steps, tenant_id, counting_rule;
END
$$;
COMMENT ON FUNCTION eiot.coverage_under(regclass, uuid, text, timestamptz[]) IS
  'Coverage of a tenant at ascending instants, counted under one rule at all of them. What eiot.forecast finds the trend in; null arguments: no rows';

CREATE FUNCTION eiot.forecast(inventory regclass, tenant_id uuid, horizon interval DEFAULT '1 year',
                              as_of timestamptz DEFAULT pg_catalog.now(), trend_over interval DEFAULT '90 days')
  RETURNS TABLE (runs_out date, expected bigint, expected_capacity bigint, counted bigint, capacity bigint, unlimited boolean,
                 devices_per_day numeric, trend_from timestamptz, trend_to timestamptz)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000 ROWS 1
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  day CONSTANT interval := interval '24 hours';
  max_days CONSTANT integer := 3660;
  rule eiot.counting_rule;
  days integer;
  horizon_ends timestamptz;
  counts bigint[];
  earliest integer;
  slope numeric;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  PERFORM eiot.check_tenant(tenant_id);
  IF horizon IS NULL OR as_of IS NULL OR trend_over IS NULL THEN
    RAISE EXCEPTION 'horizon, as_of and trend_over must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF NOT isfinite(as_of) THEN
    RAISE EXCEPTION 'a forecast must not begin at %', as_of USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF trend_over < 2 * day OR trend_over > max_days * day THEN
    RAISE EXCEPTION 'trend_over must lie between 2 and % days: %', max_days, trend_over USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF horizon <= interval '0' OR horizon > max_days * day THEN
    RAISE EXCEPTION 'horizon must be positive and at most % days: %', max_days, horizon USING ERRCODE = 'invalid_parameter_value';
  END IF;
  horizon_ends := as_of + horizon;
  rule := eiot.counting_rule_of(tenant_id, as_of);
  IF rule.name IS NULL THEN
    RAISE EXCEPTION 'no counting rule is in force at %', as_of
      USING ERRCODE = 'no_data_found',
            HINT = 'Add one to eiot.counting_rule, or pin the tenant to one in eiot.tenant.counting_rule.';
  END IF;

  -- One point a day up to as_of, under the rule of as_of alone: a trend is none of rules.
  days := floor(EXTRACT(epoch FROM trend_over) / EXTRACT(epoch FROM day));
  SELECT array_agg(c.counted ORDER BY c.at DESC), (array_agg(c.capacity ORDER BY c.at DESC))[1], bool_or(c.unlimited AND c.at = as_of)
    INTO counts, capacity, unlimited
    FROM eiot.coverage_under(inventory, tenant_id, rule.name, ARRAY(SELECT as_of - n * day FROM generate_series(days, 0, -1) n)) c;
  counted := counts[1];

  -- Before the first device there was no inventory to have a trend.
  SELECT max(n) INTO earliest FROM generate_series(0, days) n WHERE counts[n + 1] > 0;
  trend_from := as_of - COALESCE(earliest, days) * day;
  trend_to := as_of;
  SELECT round((count(*) * sum(x * y) - sum(x) * sum(y)) / NULLIF(count(*) * sum(x * x) - sum(x) * sum(x), 0), 4)
    INTO devices_per_day
    FROM (SELECT -n::numeric AS x, counts[n + 1]::numeric AS y FROM generate_series(0, COALESCE(earliest, days)) n) p;

  slope := COALESCE(devices_per_day, 0);
  -- From one change of capacity to the next: too many devices from the beginning, or as soon as there is one more
  -- than are covered.
  WITH RECURSIVE piece AS (
    SELECT as_of AS starts, eiot.next_capacity_change(forecast.tenant_id, as_of) AS ends
    UNION ALL
    SELECT p.ends, eiot.next_capacity_change(forecast.tenant_id, p.ends) FROM piece p WHERE p.ends < horizon_ends
  ), level AS (
    SELECT LEAST(p.ends, horizon_ends) AS ends, eiot.capacity_at(forecast.tenant_id, p.starts) AS covered,
           EXTRACT(epoch FROM p.starts - as_of) / EXTRACT(epoch FROM day) AS after
      FROM piece p
  ), crossing AS (
    SELECT l.ends, l.covered,
           CASE WHEN floor(round(forecast.counted + slope * l.after, 4)) > l.covered THEN l.after
                WHEN slope > 0 THEN LEAST((l.covered + 1 - forecast.counted) / slope, max_days) END AS after
      FROM level l
     WHERE l.covered < eiot.unlimited()
  )
  SELECT ((as_of + c.after * day) AT TIME ZONE 'UTC')::date, floor(round(forecast.counted + slope * c.after, 4)), c.covered
    INTO runs_out, expected, expected_capacity
    FROM crossing c
   WHERE as_of + c.after * day < c.ends
   ORDER BY c.after
   LIMIT 1;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION eiot.forecast(regclass, uuid, interval, timestamptz, interval) IS
  'The day (UTC) on which a tenant''s capacity runs out if its devices go on to grow or shrink as over the past, with the capacity that is recorded for the time to come; null where it does not within the horizon. The trend is the least-squares line through one count a day; null where there are not two. 23503 for an unknown tenant, 42809 for a relation that is not an inventory, P0002 where no rule is in force, 22004 for null, 22023 for a horizon or trend_over out of range';
