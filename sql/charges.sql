-- What a tenant's licenses cost: entitlements with a price, in lines as a statement has them.

CREATE FUNCTION eiot.currency_scale(currency text) RETURNS integer
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5
  RETURN CASE WHEN currency IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND',
                                'VUV', 'XAF', 'XOF', 'XPF') THEN 0
              WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
              WHEN currency IN ('CLF', 'UYW') THEN 4
              ELSE 2 END;
COMMENT ON FUNCTION eiot.currency_scale(text) IS 'Decimals of a currency by ISO 4217: 0 for JPY, 3 for KWD, 2 for EUR and whatever is not listed; null of null';

CREATE FUNCTION eiot.line_policy(policy eiot.proration_policy, currency text, of_unit boolean, by_month boolean DEFAULT false)
  RETURNS eiot.proration_policy
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 20
BEGIN ATOMIC
  -- Where a subscription begins, ends or goes over to another billing frequency within a cycle, Microsoft rounds the price
  -- of a unit and multiplies; where its units change, it rounds the line.  With the frequency it divides a year by months.
  SELECT regexp_replace(regexp_replace(regexp_replace(policy::text, '\mscale=\d+', 'scale=' || s.scale),
                                       '\mat=line\M', CASE WHEN n.is_nce AND of_unit THEN 'at=unit' ELSE 'at=line' END),
                        '^unit=day,denominator=start_month', CASE WHEN n.is_nce AND by_month THEN 'unit=month,denominator=cycle' ELSE '\&' END)
         ::eiot.proration_policy
    FROM (SELECT CASE WHEN eiot.scale(policy) = 2 THEN eiot.currency_scale(currency) ELSE eiot.scale(policy) END AS scale) s
   CROSS JOIN (SELECT regexp_replace(policy::text, ',tz=[^,]+', '')::eiot.proration_policy
                      OPERATOR(eiot.=) ('nce,scale=' || eiot.scale(policy))::eiot.proration_policy AS is_nce) n;
END;
COMMENT ON FUNCTION eiot.line_policy(eiot.proration_policy, text, boolean, boolean) IS
  'The policy that a line of eiot.charges is prorated under: a scale of 2 becomes the currency''s; preset nce rounds the price of a unit (of_unit) where a subscription begins, ends or goes over to another billing frequency within a cycle, and divides cycles of several months by months then (by_month); null of null';

CREATE FUNCTION eiot.policy_zone(policy eiot.proration_policy) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10
  RETURN COALESCE(substring(policy::text FROM '\mtz=([^,]+)'), 'UTC');
COMMENT ON FUNCTION eiot.policy_zone(eiot.proration_policy) IS
  'The time zone that a policy names with tz, whose days and midnights eiot.charges reckons with; UTC where it names none; null of null';

CREATE FUNCTION eiot.line_amount(unit_price numeric, units bigint, used_from timestamptz, used_to timestamptz, cycle daterange,
                                 zone text, policy eiot.proration_policy) RETURNS numeric
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
BEGIN ATOMIC
  -- A price is that of a cycle: divided by the days of another month than its own (nce, February 28 to March 30), all of
  -- it would come to more.
  SELECT CASE WHEN policy::text LIKE '%denominator=cycle%' THEN p.amount
              WHEN u.days = line_amount.cycle THEN w.amount
              ELSE LEAST(p.amount, w.amount) END
    FROM (SELECT daterange((used_from AT TIME ZONE zone)::date, (used_to AT TIME ZONE zone)::date) AS days) u
   CROSS JOIN LATERAL (
     SELECT CASE WHEN policy::text LIKE 'unit=second%'
                 THEN eiot.prorate(unit_price, units, tstzrange(used_from, used_to),
                                   tstzrange(lower(line_amount.cycle)::timestamp AT TIME ZONE zone, upper(line_amount.cycle)::timestamp AT TIME ZONE zone), policy)
                 ELSE eiot.prorate(unit_price, units, u.days, line_amount.cycle, policy) END AS amount) p
   CROSS JOIN LATERAL (
     SELECT eiot.prorate(unit_price, units, line_amount.cycle, line_amount.cycle,
                         regexp_replace(policy::text, '\mdenominator=\w+', 'denominator=cycle')::eiot.proration_policy) AS amount) w;
END;
COMMENT ON FUNCTION eiot.line_amount(numeric, bigint, timestamptz, timestamptz, daterange, text, eiot.proration_policy) IS
  'The part of a cycle''s price for the time used, by days of the time zone, or by time where the policy says unit=second; cycles begin at midnight there, and all of one costs its price, whatever days the policy divides by; null of null';

CREATE FUNCTION eiot.check_period(period daterange) RETURNS void
  LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF period IS NULL THEN
    RAISE EXCEPTION 'period must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF NOT isempty(period) AND NOT (isfinite(COALESCE(lower(period), '-infinity')) AND isfinite(COALESCE(upper(period), 'infinity'))) THEN
    RAISE EXCEPTION 'period must have a beginning and an end: %', period
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Without an end there is no end of charges: give both days, as in [2026-08-01,2026-09-01).';
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_period(daterange) IS 'Raises 22004 for a null period and 22023 for an infinite one';

CREATE FUNCTION eiot.priced_spans(tenant_id uuid)
  RETURNS TABLE (entitlement_id bigint, sku_id uuid, subscription_id text, units bigint, unit_price numeric, currency text,
                 billing_frequency text, billing_anchor date, starts timestamptz, ends timestamptz, begun_by text, ended_by text)
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 200 ROWS 20
BEGIN ATOMIC
  WITH priced AS (
    SELECT e.*,
           lag(e.valid) OVER earlier -|- e.valid
           AND (e.units, e.unit_price, e.currency, e.billing_frequency, e.billing_anchor)
               = (lag(e.units) OVER earlier, lag(e.unit_price) OVER earlier, lag(e.currency) OVER earlier,
                  lag(e.billing_frequency) OVER earlier, lag(e.billing_anchor) OVER earlier) AS same
      FROM eiot.entitlement e
     WHERE e.tenant_id = priced_spans.tenant_id AND e.unit_price IS NOT NULL AND e.units > 0 AND e.state = 'enabled'
    WINDOW earlier AS (PARTITION BY e.sku_id, e.subscription_id ORDER BY e.valid)
  ), numbered AS (
    SELECT p.*, count(*) FILTER (WHERE p.same IS NOT TRUE) OVER (PARTITION BY p.sku_id, p.subscription_id ORDER BY p.valid) AS n
      FROM priced p
  ), span AS (
    SELECT min(p.entitlement_id) AS entitlement_id, p.sku_id, p.subscription_id, p.n, min(p.units) AS units, min(p.unit_price) AS unit_price,
           min(p.currency) AS currency, min(p.billing_frequency) AS billing_frequency, min(p.billing_anchor) AS billing_anchor,
           range_merge(range_agg(p.valid)) AS valid
      FROM numbered p
     GROUP BY p.sku_id, p.subscription_id, p.n
  )
  SELECT s.entitlement_id, s.sku_id, s.subscription_id, s.units, s.unit_price, s.currency, s.billing_frequency, s.billing_anchor,
         COALESCE(lower(s.valid), '-infinity'), COALESCE(upper(s.valid), 'infinity'),
         CASE WHEN NOT COALESCE(lag(s.valid) OVER earlier -|- s.valid, false) THEN 'new'
              WHEN s.billing_frequency <> lag(s.billing_frequency) OVER earlier THEN 'frequency'
              WHEN s.units > lag(s.units) OVER earlier THEN 'increase'
              WHEN s.units < lag(s.units) OVER earlier THEN 'decrease'
              ELSE 'price' END,
         CASE WHEN NOT COALESCE(lead(s.valid) OVER earlier -|- s.valid, false) THEN 'end'
              WHEN s.billing_frequency <> lead(s.billing_frequency) OVER earlier THEN 'frequency'
              WHEN s.units < lead(s.units) OVER earlier THEN 'increase'
              WHEN s.units > lead(s.units) OVER earlier THEN 'decrease'
              ELSE 'price' END
    FROM span s
  WINDOW earlier AS (PARTITION BY s.sku_id, s.subscription_id ORDER BY s.valid);
END;
COMMENT ON FUNCTION eiot.priced_spans(uuid) IS
  'Spans of constant units and price of a tenant''s enabled entitlements with a price, whatever else changed of these, and what each began and ended with: new, frequency, increase, decrease, price, end; none of null';

CREATE FUNCTION eiot.charges(tenant_id uuid, period daterange, policy eiot.proration_policy DEFAULT 'nce',
                             month_end text DEFAULT 'clamp')
  RETURNS TABLE (entitlement_id bigint, sku_id uuid, product text, kind text, reason text, used daterange, cycle daterange,
                 units bigint, unit_price numeric, days integer, cycle_days integer, amount numeric, currency text)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000 ROWS 50
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  zone text := eiot.policy_zone(policy);
BEGIN
  IF policy IS NULL OR month_end IS NULL THEN
    RAISE EXCEPTION 'policy and month_end must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  -- Known words alone, also where there are no cycles to ask for.
  PERFORM eiot.billing_cycles('2000-01-01', 'month', 'empty', month_end);
  PERFORM eiot.check_period(period);
  PERFORM eiot.check_tenant(tenant_id);

  RETURN QUERY
  WITH span AS (
    SELECT s.*, k.name AS product, k.kind = 'legacy_plan' AS in_arrears,
           -- Of what begins on one day, what was recorded first: a subscription's id is random.
           min(s.entitlement_id) OVER (PARTITION BY s.sku_id, s.subscription_id) AS first_id,
           CASE WHEN isfinite(s.starts) THEN (s.starts AT TIME ZONE zone)::date ELSE '-infinity' END AS start_day,
           CASE WHEN isfinite(s.ends) THEN (s.ends AT TIME ZONE zone)::date ELSE 'infinity' END AS end_day
      FROM eiot.priced_spans(charges.tenant_id) s
      JOIN eiot.sku k ON k.sku_id = s.sku_id
  ), cycled AS (
    SELECT s.*, c.cycle, lower(c.cycle)::timestamp AT TIME ZONE zone AS cycle_starts, upper(c.cycle)::timestamp AT TIME ZONE zone AS cycle_ends
      FROM span s
     CROSS JOIN LATERAL (SELECT GREATEST(s.start_day, lower(period)) AS first, LEAST(s.end_day, upper(period) - 1) AS last) d
     -- Nothing for an empty period, whose bounds are null.
     CROSS JOIN LATERAL eiot.billing_cycles(s.billing_anchor, s.billing_frequency,
       CASE WHEN NOT isempty(period) AND d.first <= d.last THEN daterange(d.first, d.last, '[]') END, month_end) c(cycle)
  ), line AS (
    -- In advance: for the rest of the cycle where the span begins, for all of it at the start of a cycle that it goes on in.
    SELECT c.*, 'charge' AS kind, CASE WHEN c.start_day <@ c.cycle THEN c.begun_by ELSE 'renewal' END AS reason,
           GREATEST(c.starts, c.cycle_starts) AS used_from, c.cycle_ends AS used_to
      FROM cycled c
     WHERE NOT c.in_arrears AND (c.start_day <@ c.cycle OR c.ends > c.cycle_starts)
    UNION ALL
    -- And back again where it ends; not where that is the very start of a cycle, which was never charged.
    SELECT c.*, 'credit', c.ended_by, c.ends, c.cycle_ends
      FROM cycled c
     WHERE NOT c.in_arrears AND c.end_day <@ c.cycle AND c.ends > c.cycle_starts
    UNION ALL
    SELECT c.*, 'charge', 'usage', GREATEST(c.starts, c.cycle_starts), LEAST(c.ends, c.cycle_ends)
      FROM cycled c
     WHERE c.in_arrears AND c.ends > c.cycle_starts
  ), dated AS (
    SELECT l.*, u.used, l.reason IN ('new', 'end', 'frequency') AND u.used <> l.cycle AS of_unit,
           l.reason = 'frequency' AND l.billing_frequency <> 'month' AS by_month
      FROM line l
     CROSS JOIN LATERAL (SELECT daterange((l.used_from AT TIME ZONE zone)::date, (l.used_to AT TIME ZONE zone)::date) AS used) u
     WHERE (l.used_from AT TIME ZONE zone)::date <@ period
  ), ruled AS MATERIALIZED (
    -- A few for thousands of lines.
    SELECT d.currency, d.of_unit, d.by_month, eiot.line_policy(charges.policy, d.currency, d.of_unit, d.by_month) AS policy
      FROM (SELECT DISTINCT d.currency, d.of_unit, d.by_month FROM dated d) d
  ), prorated AS (
    SELECT d.*, r.policy,
           CASE d.kind WHEN 'credit' THEN -1 ELSE 1 END *
           eiot.line_amount(d.unit_price, d.units, d.used_from, d.used_to, d.cycle, zone, r.policy) AS exact
      FROM dated d
      JOIN ruled r ON r.currency = d.currency AND r.of_unit = d.of_unit AND r.by_month = d.by_month
  ), placed AS (
    SELECT p.*, row_number() OVER (ORDER BY p.used_from, p.product, p.first_id, p.kind DESC, p.entitlement_id) AS place
      FROM prorated p
  )
  SELECT p.entitlement_id, p.sku_id, p.product, p.kind, p.reason, p.used, p.cycle, p.units, p.unit_price,
         CASE WHEN isempty(p.used) THEN 0 ELSE upper(p.used) - lower(p.used) END, upper(p.cycle) - lower(p.cycle),
         -- Rounded as a total, each line is what it adds to the rounded sum.
         CASE WHEN p.policy::text ~ '\mat=total\M'
              THEN eiot.round_total(sum(p.exact) OVER so_far, p.policy)
                   - eiot.round_total(sum(p.exact) OVER so_far - p.exact, p.policy)
              ELSE p.exact END,
         p.currency
    FROM placed p
  WINDOW so_far AS (PARTITION BY p.currency ORDER BY p.place)
   ORDER BY p.place;
END
$$;
COMMENT ON FUNCTION eiot.charges(uuid, daterange, eiot.proration_policy, text) IS
  'Lines of what a tenant is charged, those whose days begin in the period: in advance for each billing cycle, for the rest of one where units, price or billing frequency change or a subscription begins, credits for what was charged and is not used; legacy plans for the time in effect. Days are UTC''s, or those of the policy''s tz; month_end as in eiot.billing_cycles. Amounts in their currency add up to what is due. 23503 for an unknown tenant, 22023 for an infinite period and an unknown month_end, 22004 for null';
