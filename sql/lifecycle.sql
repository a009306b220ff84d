-- The steps in the life of a tenant's licenses.  Each is recorded as rows over time, and obeys the rules of Microsoft's
-- article at the instant that it is recorded for.

CREATE FUNCTION eiot.refuse(rule text, message text, detail text, hint text) RETURNS void
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  RAISE EXCEPTION '%', message
    USING ERRCODE = 'object_not_in_prerequisite_state',
          DETAIL = format('Rule %s: %s', rule, detail),
          HINT = hint,
          CONSTRAINT = rule;
END
$$;
COMMENT ON FUNCTION eiot.refuse(text, text, text, text) IS
  'Raises 55000 for a step that a rule forbids; the rule is named in the detail and as the constraint of the error';

CREATE FUNCTION eiot.span_text(span tstzrange) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 5
  RETURN CASE WHEN upper_inf(span) THEN COALESCE('from ' || lower(span) || ' on', 'at any time')
              ELSE COALESCE('from ' || lower(span) || ' to ', 'until ') || upper(span) END;
COMMENT ON FUNCTION eiot.span_text(tstzrange) IS 'A span of time in words, for messages; null of null';

CREATE FUNCTION eiot.in_effect(tenant_id uuid, as_of timestamptz)
  RETURNS TABLE (entitlement_id bigint, sku_id uuid, product text, kind text, devices_per_unit bigint,
                 includes_defender_p2 boolean, units bigint, valid tstzrange)
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100 ROWS 10
BEGIN ATOMIC
  SELECT e.entitlement_id, s.sku_id, s.name, s.kind, s.devices_per_unit, s.includes_defender_p2, e.units, e.valid
    FROM eiot.entitlement e
    JOIN eiot.sku s ON s.sku_id = e.sku_id
   WHERE e.tenant_id = in_effect.tenant_id AND e.valid @> in_effect.as_of AND e.units > 0
     AND (e.state = 'enabled' OR e.state = 'warning' AND eiot.count_warning_units());
END;
COMMENT ON FUNCTION eiot.in_effect(uuid, timestamptz) IS
  'The entitlements of a tenant that are in effect at an instant, with their products, whether monitoring is on or off: enabled, or in warning unless eiot.count_warning_units is off, and with units; none of null';

CREATE FUNCTION eiot.e5_at(tenant_id uuid, as_of timestamptz) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100
BEGIN ATOMIC
  SELECT string_agg(DISTINCT i.product, ', ' ORDER BY i.product)
    FROM eiot.in_effect(e5_at.tenant_id, e5_at.as_of) i
   WHERE i.kind = 'user_license' AND i.devices_per_unit > 0;
END;
COMMENT ON FUNCTION eiot.e5_at(uuid, timestamptz) IS
  'The user licenses that cover devices, Microsoft 365 E5 and E5 Security, which a tenant has in effect at an instant, by name; null for none and of null';

-- One step of a tenant at a time, imports included.  Each leaves its mark on the tenant's row, so that one which waited
-- with an older snapshot fails instead of judging by rows of the past.
CREATE FUNCTION eiot.begin_step(tenant_id uuid, at timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF at IS NULL THEN
    RAISE EXCEPTION 'at must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF NOT isfinite(at) THEN
    RAISE EXCEPTION 'at must be an instant: %', at USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM eiot.check_tenant(tenant_id);
  UPDATE eiot.tenant t SET entitlements_changed_at = now() WHERE t.tenant_id = begin_step.tenant_id;
END
$$;
COMMENT ON FUNCTION eiot.begin_step(uuid, timestamptz) IS
  'Locks the tenant for a step of the lifecycle and marks it. 23503 for an unknown tenant, 22004 for null, 22023 for infinity; at REPEATABLE READ and above 40001 where another step or an import came in between';

CREATE FUNCTION eiot.switch_on(tenant_id uuid, at timestamptz) RETURNS boolean
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  switched eiot.monitoring_off;
BEGIN
  SELECT m.*
    INTO switched
    FROM eiot.monitoring_off m
   WHERE m.tenant_id = switch_on.tenant_id AND (upper_inf(m.valid) OR upper(m.valid) > at)
   ORDER BY m.valid DESC
   LIMIT 1;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF lower(switched.valid) > at OR NOT upper_inf(switched.valid) THEN
    PERFORM eiot.refuse('order_of_time',
      format('monitoring of tenant %s is recorded as off %s', tenant_id, eiot.span_text(switched.valid)),
      format('Steps are recorded in the order of their time, and this one is at %s.', at),
      'Give a later instant, or mend what is recorded in eiot.monitoring_off.');
  END IF;
  IF lower(switched.valid) = at THEN
    DELETE FROM eiot.monitoring_off m WHERE m.monitoring_off_id = switched.monitoring_off_id;
  ELSE
    UPDATE eiot.monitoring_off m
       SET valid = tstzrange(lower(m.valid), at, CASE WHEN lower_inc(m.valid) THEN '[)' ELSE '()' END),
           end_recorded_at = now(), end_recorded_by = CURRENT_USER
     WHERE m.monitoring_off_id = switched.monitoring_off_id;
  END IF;
  RETURN true;
END
$$;
COMMENT ON FUNCTION eiot.switch_on(uuid, timestamptz) IS
  'Ends at an instant the time in which monitoring is off, and returns whether it was; 55000 order_of_time where it is recorded as off later, or as on again';

CREATE FUNCTION eiot.open_entitlement(tenant_id uuid, sku_id uuid, units bigint, valid tstzrange,
                                      billing_frequency text DEFAULT NULL, unit_price numeric DEFAULT NULL,
                                      currency text DEFAULT NULL, billing_anchor date DEFAULT NULL,
                                      term text DEFAULT NULL, reduce_within interval DEFAULT NULL) RETURNS bigint
  LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
BEGIN ATOMIC
  INSERT INTO eiot.entitlement AS e (tenant_id, sku_id, units, valid, source, billing_frequency, unit_price, currency, billing_anchor,
                                     term, reduce_within)
  VALUES (open_entitlement.tenant_id, open_entitlement.sku_id, open_entitlement.units, open_entitlement.valid, 'lifecycle',
          open_entitlement.billing_frequency, open_entitlement.unit_price, open_entitlement.currency,
          CASE WHEN open_entitlement.unit_price IS NOT NULL
               THEN COALESCE(open_entitlement.billing_anchor, (lower(open_entitlement.valid) AT TIME ZONE 'UTC')::date) END,
          open_entitlement.term, open_entitlement.reduce_within)
  RETURNING e.entitlement_id;
END;
COMMENT ON FUNCTION eiot.open_entitlement(uuid, uuid, bigint, tstzrange, text, numeric, text, date, text, interval) IS
  'Records a new subscription and returns its entitlement_id; billing cycles count from its first day (UTC) unless another day is given';

-- ---- trial

CREATE FUNCTION eiot.trial_terms(tenant_id uuid, as_of timestamptz, OUT devices bigint, OUT days integer)
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100
BEGIN ATOMIC
  SELECT COALESCE(r.trial_devices,
                  (SELECT p.trial_devices FROM eiot.counting_rule p
                    WHERE lower(p.valid) <= d.day AND p.trial_devices IS NOT NULL ORDER BY p.valid DESC LIMIT 1)),
         COALESCE(r.trial_days,
                  (SELECT p.trial_days FROM eiot.counting_rule p
                    WHERE lower(p.valid) <= d.day AND p.trial_days IS NOT NULL ORDER BY p.valid DESC LIMIT 1))
    FROM eiot.counting_rule_of(trial_terms.tenant_id, trial_terms.as_of) r
   CROSS JOIN (SELECT (trial_terms.as_of AT TIME ZONE 'UTC')::date AS day) d
   WHERE r.name IS NOT NULL;
END;
COMMENT ON FUNCTION eiot.trial_terms(uuid, timestamptz) IS
  'Devices and days of a trial that a tenant starts at an instant, by its counting rule; where that states none, by the last rule before that did. Null where there is no rule, for an unknown tenant and of null';

CREATE FUNCTION eiot.start_trial(tenant_id uuid, at timestamptz DEFAULT pg_catalog.now()) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  covered_by text;
  other tstzrange;
  terms record;
BEGIN
  PERFORM eiot.begin_step(tenant_id, at);

  -- First, for it tells more than that there is a trial which covers devices.
  SELECT e.valid
    INTO other
    FROM eiot.entitlement e JOIN eiot.sku s ON s.sku_id = e.sku_id AND s.kind = 'trial'
   WHERE e.tenant_id = start_trial.tenant_id AND (upper_inf(e.valid) OR upper(e.valid) > at)
   ORDER BY e.valid
   LIMIT 1;
  IF FOUND THEN
    PERFORM eiot.refuse('one_trial_at_a_time', format('tenant %s has a trial already', tenant_id),
      format('It runs %s.', eiot.span_text(other)),
      'A trial ends by itself; purchase standalone licenses with eiot.purchase to go on.');
  END IF;

  IF NOT EXISTS (SELECT FROM eiot.in_effect(tenant_id, at) i WHERE i.includes_defender_p2) THEN
    PERFORM eiot.refuse('trial_for_p2_alone', format('tenant %s has no Defender for Endpoint P2 at %s', tenant_id, at),
      'A trial is for tenants with Defender for Endpoint P2 and nothing else that covers devices.',
      'Record the license first: import subscribedSkus, or insert it into eiot.entitlement.');
  END IF;
  SELECT string_agg(DISTINCT i.product, ', ' ORDER BY i.product)
    INTO covered_by
    FROM eiot.in_effect(tenant_id, at) i
   WHERE i.devices_per_unit > 0;
  IF covered_by IS NOT NULL THEN
    PERFORM eiot.refuse('trial_for_p2_alone', format('tenant %s has more than Defender for Endpoint P2 at %s: %s', tenant_id, at, covered_by),
      'A trial is for tenants with Defender for Endpoint P2 and nothing else that covers devices.',
      'Microsoft 365 E5 and E5 Security cover devices without a trial; more devices need eiot.purchase.');
  END IF;

  SELECT t.* INTO terms FROM eiot.trial_terms(tenant_id, at) t;
  IF terms.devices IS NULL OR terms.days IS NULL THEN
    PERFORM eiot.refuse('trial_terms', format('nothing is published of trials at %s', at),
      'Size and length of a trial are those of the counting rule in force, or of the last one before that states them.',
      'Set trial_devices and trial_days of the rule in eiot.counting_rule.');
  END IF;
  PERFORM eiot.switch_on(tenant_id, at);
  RETURN eiot.open_entitlement(tenant_id, 'e1070000-0000-4000-8000-000000000001', terms.devices,
                               tstzrange(at, at + make_interval(hours => 24 * terms.days)));
END
$$;
COMMENT ON FUNCTION eiot.start_trial(uuid, timestamptz) IS
  'Starts a trial of the size and length of the counting rule in force and returns its entitlement_id; it ends by itself. 55000 one_trial_at_a_time, trial_for_p2_alone, trial_terms, order_of_time; 23503 for an unknown tenant, 22004 for null, 22023 for infinity';

-- ---- standalone licenses

CREATE FUNCTION eiot.check_units(units bigint, minimum bigint) RETURNS void
  LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF units IS NULL THEN
    RAISE EXCEPTION 'units must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF units < minimum THEN
    RAISE EXCEPTION 'number of units must be at least %: %', minimum, units
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- The limit of imports: far above any subscription, far enough below bigint to multiply and add up.
  IF units > 1000000000000 THEN
    RAISE EXCEPTION 'number of units is out of range: %', units
      USING ERRCODE = 'numeric_value_out_of_range',
            HINT = 'An entitlement has at most 1000000000000 units.';
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_units(bigint, bigint) IS
  'Raises 22023 for fewer units than the minimum, 22003 for more than a million millions, 22004 for null';

CREATE FUNCTION eiot.check_price(billing_frequency text, unit_price numeric, currency text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF billing_frequency IS NULL OR unit_price IS NULL OR currency IS NULL THEN
    RAISE EXCEPTION 'billing_frequency, unit_price and currency must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF billing_frequency NOT IN ('month', 'quarter', 'year') THEN
    RAISE EXCEPTION 'unknown billing frequency: "%"', billing_frequency
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Known frequencies are month, quarter and year.';
  END IF;
  IF NOT (unit_price >= 0 AND unit_price < 'Infinity') THEN
    RAISE EXCEPTION 'unit price must be a number from 0 on: %', unit_price
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF currency !~ '^[A-Z]{3}$' THEN
    RAISE EXCEPTION 'currency is no code of three letters: "%"', currency
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write it as in ISO 4217, such as EUR.';
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_price(text, numeric, text) IS
  'Raises 22023 for an unknown billing frequency, a price that is negative or no number, and a currency that is no code of three letters; 22004 for null';

CREATE FUNCTION eiot.check_anchor(billing_anchor date) RETURNS void
  LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF NOT isfinite(billing_anchor) THEN
    RAISE EXCEPTION 'billing_anchor must be a day: %', billing_anchor USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_anchor(date) IS 'Raises 22023 for an infinite day; none is fine';

CREATE FUNCTION eiot.check_term(billing_frequency text, term text, reduce_within interval) RETURNS void
  LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF term IS NOT NULL AND eiot.months_of(term) IS NULL THEN
    RAISE EXCEPTION 'unknown term: "%"', term
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Known terms are month, quarter, year and 3 years.';
  END IF;
  IF eiot.months_of(term) < eiot.months_of(billing_frequency) THEN
    RAISE EXCEPTION 'a term of a % cannot be billed by the %', term, billing_frequency
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'A term is as long as a billing cycle or longer.';
  END IF;
  IF reduce_within < interval '0' THEN
    RAISE EXCEPTION 'reduce_within must not be negative: %', reduce_within
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_term(text, text, interval) IS
  'Raises 22023 for an unknown term, one that is shorter than a billing cycle, and a negative interval; none is fine';

CREATE FUNCTION eiot.check_defender_p2(tenant_id uuid, at timestamptz) RETURNS void
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM eiot.in_effect(tenant_id, at) i
                  WHERE i.includes_defender_p2 OR i.kind = 'user_license' AND i.devices_per_unit > 0) THEN
    PERFORM eiot.refuse('purchase_needs_p2', format('tenant %s has no Defender for Endpoint P2 or Microsoft 365 E5 at %s', tenant_id, at),
      'Standalone licenses are add-ons to Defender for Endpoint P2, which Microsoft 365 E5 and E5 Security contain.',
      'Record the license first: import subscribedSkus, or insert it into eiot.entitlement.');
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_defender_p2(uuid, timestamptz) IS
  'Raises 55000 purchase_needs_p2 for a tenant without Defender for Endpoint P2 and without Microsoft 365 E5 or E5 Security in effect at an instant';

CREATE FUNCTION eiot.purchase(tenant_id uuid, units bigint, billing_frequency text, unit_price numeric, currency text,
                              at timestamptz DEFAULT pg_catalog.now(),
                              sku_id uuid DEFAULT 'b2f91841-252f-4765-94c3-75802d7c0ddb',
                              billing_anchor date DEFAULT NULL, term text DEFAULT NULL,
                              reduce_within interval DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  sku eiot.sku;
  imported eiot.entitlement;
BEGIN
  PERFORM eiot.check_units(units, 1);
  PERFORM eiot.check_price(billing_frequency, unit_price, currency);
  PERFORM eiot.check_anchor(billing_anchor);
  PERFORM eiot.check_term(billing_frequency, term, reduce_within);
  SELECT s.* INTO sku FROM eiot.sku s WHERE s.sku_id = purchase.sku_id;
  IF sku.kind IS DISTINCT FROM 'device_license' THEN
    RAISE EXCEPTION 'SKU % is not a standalone license', sku_id
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = CASE WHEN sku.kind IS NULL THEN 'It does not exist.' ELSE format('%s is of kind %s.', sku.name, sku.kind) END,
            HINT = 'Name a row of eiot.sku of kind device_license.';
  END IF;
  PERFORM eiot.begin_step(tenant_id, at);
  PERFORM eiot.check_defender_p2(tenant_id, at);

  SELECT e.*
    INTO imported
    FROM eiot.entitlement e
   WHERE e.tenant_id = purchase.tenant_id AND e.sku_id = purchase.sku_id AND e.source = 'subscribedSkus' AND e.units > 0
     AND (upper_inf(e.valid) OR upper(e.valid) > at)
   ORDER BY e.valid
   LIMIT 1;
  IF FOUND THEN
    PERFORM eiot.refuse('one_keeper', format('imports of subscribedSkus keep %s of tenant %s', sku.name, tenant_id),
      format('Entitlement %s has %s units from %s on, and the next import brings what was bought: recorded here as well, it would count twice.',
             imported.entitlement_id, imported.units, lower(imported.valid)),
      format('Import the next body; or keep the SKU here from now on: UPDATE eiot.entitlement SET source = ''lifecycle'' WHERE tenant_id = %L AND sku_id = %L;',
             tenant_id, sku_id));
  END IF;
  PERFORM eiot.switch_on(tenant_id, at);
  RETURN eiot.open_entitlement(tenant_id, sku_id, units, tstzrange(at, NULL), billing_frequency, unit_price, currency, billing_anchor, term, reduce_within);
END
$$;
COMMENT ON FUNCTION eiot.purchase(uuid, bigint, text, numeric, text, timestamptz, uuid, date, text, interval) IS
  'Records standalone licenses bought as a subscription of their own and returns its entitlement_id; monitoring is on from then. unit_price is that of one unit for a cycle of month, quarter or year; cycles count from the day of the purchase (UTC), or from billing_anchor. With reduce_within, units can be given back only so long after a purchase, addition or renewal; it renews after each term, or cycle where none is given. 55000 purchase_needs_p2, one_keeper, order_of_time; 23503 for an unknown tenant, 22023 for no units, a price, currency, frequency, term or SKU that is none, infinity; 22003 beyond a million millions; 22004 for null';

CREATE FUNCTION eiot.hold_entitlement(entitlement_id bigint, at timestamptz, imported_too boolean DEFAULT false) RETURNS eiot.entitlement
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 200
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  tenant_id uuid;
  held eiot.entitlement;
  later eiot.entitlement;
BEGIN
  IF entitlement_id IS NULL THEN
    RAISE EXCEPTION 'entitlement must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  SELECT e.tenant_id INTO tenant_id FROM eiot.entitlement e WHERE e.entitlement_id = hold_entitlement.entitlement_id;
  IF FOUND THEN
    PERFORM eiot.begin_step(tenant_id, at);
    -- What it is now, after whoever was first.
    SELECT e.* INTO held FROM eiot.entitlement e WHERE e.entitlement_id = hold_entitlement.entitlement_id FOR UPDATE;
  END IF;
  IF held.entitlement_id IS NULL THEN
    RAISE EXCEPTION 'entitlement % does not exist', entitlement_id
      USING ERRCODE = 'no_data_found',
            HINT = 'Each change gives an entitlement a new entitlement_id; eiot.history(tenant_id) tells them.';
  END IF;
  IF held.source = 'subscribedSkus' AND NOT imported_too THEN
    PERFORM eiot.refuse('one_keeper', format('imports of subscribedSkus keep entitlement %s', entitlement_id),
      'The next import brings what changed; changed here as well, the two would undo each other.',
      format('Import the next body; or keep the SKU here from now on: UPDATE eiot.entitlement SET source = ''lifecycle'' WHERE tenant_id = %L AND sku_id = %L;',
             held.tenant_id, held.sku_id));
  END IF;
  SELECT e.*
    INTO later
    FROM eiot.entitlement e
   WHERE e.tenant_id = held.tenant_id AND e.sku_id = held.sku_id AND e.subscription_id = held.subscription_id
     AND e.state = held.state AND e.valid >> held.valid
   ORDER BY e.valid DESC
   LIMIT 1;
  IF FOUND THEN
    PERFORM eiot.refuse('order_of_time', format('entitlement %s was changed meanwhile', entitlement_id),
      format('It ended at %s; entitlement %s, with %s units from %s on, is what became of it.',
             upper(held.valid), later.entitlement_id, later.units, lower(later.valid)),
      format('Decide anew, and change entitlement %s.', later.entitlement_id));
  END IF;
  -- An end that a step recorded is a later change, even where this one would still lie before it.
  IF at >= upper(held.valid) OR held.end_recorded_at IS NOT NULL THEN
    PERFORM eiot.refuse('order_of_time', format('entitlement %s ended at %s', entitlement_id, upper(held.valid)),
      format('Steps are recorded in the order of their time, and this one is at %s.', at), 'Purchase anew with eiot.purchase.');
  END IF;
  IF NOT held.valid @> at THEN
    PERFORM eiot.refuse('order_of_time', format('entitlement %s begins at %s', entitlement_id, lower(held.valid)),
      format('Steps are recorded in the order of their time, and this one is at %s.', at), 'Give a later instant.');
  END IF;
  IF held.state <> 'enabled' THEN
    PERFORM eiot.refuse('enabled_alone', format('entitlement %s is not enabled', entitlement_id),
      format('Units in state %s can be neither changed nor assigned.', held.state), 'Renew the subscription first.');
  END IF;
  RETURN held;
END
$$;
COMMENT ON FUNCTION eiot.hold_entitlement(bigint, timestamptz, boolean) IS
  'Locks an entitlement for a change at an instant; one that imports keep only where imported_too. 55000 one_keeper, order_of_time, enabled_alone; P0002 for an unknown entitlement, 22004 for null, 22023 for infinity; at REPEATABLE READ and above 40001 where another step or an import came in between';

CREATE FUNCTION eiot.replace_entitlement(held eiot.entitlement, units bigint, assigned_units bigint, at timestamptz) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 200
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  result bigint;
BEGIN
  IF lower(held.valid) = at THEN
    -- A row that began at this very instant was never in effect.  The one in its place gets another key nevertheless:
    -- whoever knows the old one does not know what it holds now.
    DELETE FROM eiot.entitlement e WHERE e.entitlement_id = held.entitlement_id;
  ELSE
    UPDATE eiot.entitlement e
       SET valid = tstzrange(lower(e.valid), at, CASE WHEN lower_inc(e.valid) THEN '[)' ELSE '()' END),
           end_recorded_at = now(), end_recorded_by = CURRENT_USER
     WHERE e.entitlement_id = held.entitlement_id;
  END IF;
  INSERT INTO eiot.entitlement AS e
    (tenant_id, sku_id, subscription_id, units, assigned_units, state, valid, source,
     billing_frequency, unit_price, currency, billing_anchor, term, reduce_within)
  VALUES (held.tenant_id, held.sku_id, held.subscription_id, replace_entitlement.units, replace_entitlement.assigned_units,
          held.state, tstzrange(at, upper(held.valid), CASE WHEN upper_inc(held.valid) THEN '[]' ELSE '[)' END), held.source,
          held.billing_frequency, held.unit_price, held.currency, held.billing_anchor, held.term, held.reduce_within)
  RETURNING e.entitlement_id INTO STRICT result;
  RETURN result;
END
$$;
COMMENT ON FUNCTION eiot.replace_entitlement(eiot.entitlement, bigint, bigint, timestamptz) IS
  'Closes an entitlement at an instant, opens one with these units and the price of the row given, and returns its entitlement_id';

CREATE FUNCTION eiot.check_not_fixed(held eiot.entitlement) RETURNS void
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 20
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  kind text := (SELECT s.kind FROM eiot.sku s WHERE s.sku_id = held.sku_id);
BEGIN
  IF kind = 'trial' THEN
    PERFORM eiot.refuse('trial_is_fixed', format('entitlement %s is a trial', held.entitlement_id),
      'The size of a trial is that of the counting rule at its start, and it costs nothing.', 'Purchase standalone licenses with eiot.purchase.');
  END IF;
  IF kind = 'legacy_plan' THEN
    PERFORM eiot.refuse('legacy_plan_is_fixed', format('entitlement %s is a legacy plan', held.entitlement_id),
      'A legacy plan is not edited but canceled.', 'Cancel it with eiot.cancel_legacy_plan.');
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_not_fixed(eiot.entitlement) IS
  'Raises 55000 trial_is_fixed for a trial and legacy_plan_is_fixed for a legacy plan';

-- The last renewal at or before a day, and the next one.
CREATE FUNCTION eiot.renewals(held eiot.entitlement, day date, OUT last date, OUT next date)
  LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 20
BEGIN ATOMIC
  SELECT (held.billing_anchor + make_interval(months => n.months - CASE WHEN n.late THEN t.months ELSE 0 END))::date,
         (held.billing_anchor + make_interval(months => n.months + CASE WHEN n.late THEN 0 ELSE t.months END))::date
    FROM (SELECT eiot.months_of(COALESCE(held.term, held.billing_frequency)) AS months) t
   CROSS JOIN LATERAL (
     SELECT m.months, (held.billing_anchor + make_interval(months => m.months))::date > renewals.day AS late
       FROM (SELECT t.months * floor(((extract(year FROM renewals.day) - extract(year FROM held.billing_anchor)) * 12
                                      + extract(month FROM renewals.day) - extract(month FROM held.billing_anchor)) / t.months)::integer AS months) m) n;
END;
COMMENT ON FUNCTION eiot.renewals(eiot.entitlement, date) IS
  'The last day not after the given one on which an entitlement renews, and the next one, counted from its billing_anchor by its term, or billing cycle where it has none; nulls where it has neither';

CREATE FUNCTION eiot.check_reduction(held eiot.entitlement, units bigint, at timestamptz) RETURNS void
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 200
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  -- Days of 24 hours, and renewals at midnight: as UTC has them.
  now_utc timestamp := at AT TIME ZONE 'UTC';
  renewal record;
  begun timestamp;
  committed bigint;
BEGIN
  IF held.reduce_within IS NULL THEN
    RETURN;
  END IF;
  -- When it was purchased, however often it was changed since; it has no later rows.
  SELECT max(lower(r.valid)) AT TIME ZONE 'UTC'
    INTO begun
    FROM (SELECT e.valid, lag(e.valid) OVER (ORDER BY e.valid) -|- e.valid AS continues
            FROM eiot.entitlement e
           WHERE e.tenant_id = held.tenant_id AND e.sku_id = held.sku_id AND e.subscription_id = held.subscription_id
             AND e.state = held.state AND e.units > 0) r
   WHERE r.continues IS NOT TRUE;
  SELECT r.* INTO renewal FROM eiot.renewals(held, now_utc::date) r;
  IF now_utc < GREATEST(begun, renewal.last) + held.reduce_within THEN
    RETURN;
  END IF;
  -- What was held all the while; units added since can go again.
  SELECT min(e.units)
    INTO committed
    FROM eiot.entitlement e
   WHERE e.tenant_id = held.tenant_id AND e.sku_id = held.sku_id AND e.subscription_id = held.subscription_id
     AND e.state = held.state AND e.valid && tstzrange((now_utc - held.reduce_within) AT TIME ZONE 'UTC', at, '[]');
  IF units < committed THEN
    PERFORM eiot.refuse('reduced_in_time', format('entitlement %s cannot be reduced to %s units at %s', held.entitlement_id, units, at),
      format('Units can be given back for %s after a purchase, an addition or a renewal, and %s are held longer than that.', held.reduce_within, committed),
      concat(format('Keep %s until it renews', committed), ' on ' || renewal.next,
             '; where your agreement says otherwise, set reduce_within in eiot.entitlement to null.'));
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_reduction(eiot.entitlement, bigint, timestamptz) IS
  'Raises 55000 reduced_in_time where an entitlement has a reduce_within and would be reduced, at an instant, below the units that it had all that time before; not so soon after its beginning or a renewal';

CREATE FUNCTION eiot.change_units(entitlement_id bigint, units bigint, at timestamptz DEFAULT pg_catalog.now()) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  held eiot.entitlement;
  sku eiot.sku;
BEGIN
  PERFORM eiot.check_units(units, 0);
  held := eiot.hold_entitlement(entitlement_id, at);
  SELECT s.* INTO STRICT sku FROM eiot.sku s WHERE s.sku_id = held.sku_id;
  PERFORM eiot.check_not_fixed(held);
  IF units = held.units THEN
    RETURN entitlement_id;
  END IF;
  IF units > held.units AND sku.kind = 'device_license' THEN
    PERFORM eiot.check_defender_p2(held.tenant_id, at);
  END IF;
  IF units < held.units THEN
    PERFORM eiot.check_reduction(held, units, at);
  END IF;
  IF units > 0 THEN
    RETURN eiot.replace_entitlement(held, units, held.assigned_units, at);
  END IF;
  IF lower(held.valid) = at THEN
    DELETE FROM eiot.entitlement e WHERE e.entitlement_id = held.entitlement_id;
  ELSE
    UPDATE eiot.entitlement e
       SET valid = tstzrange(lower(e.valid), at, CASE WHEN lower_inc(e.valid) THEN '[)' ELSE '()' END),
           end_recorded_at = now(), end_recorded_by = CURRENT_USER
     WHERE e.entitlement_id = held.entitlement_id;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION eiot.change_units(bigint, bigint, timestamptz) IS
  'Changes the units of an entitlement at an instant and returns the entitlement_id that it has from then on; 0 units end it, and null is returned. 55000 order_of_time (also for an id that another change made obsolete), one_keeper, enabled_alone, trial_is_fixed, legacy_plan_is_fixed, purchase_needs_p2, reduced_in_time; P0002 for an unknown entitlement, 22023 for negative units and infinity, 22003 beyond a million millions, 22004 for null';

CREATE FUNCTION eiot.change_billing(entitlement_id bigint, billing_frequency text, unit_price numeric,
                                    at timestamptz DEFAULT pg_catalog.now(), currency text DEFAULT NULL,
                                    billing_anchor date DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  held eiot.entitlement;
  billed eiot.entitlement;
BEGIN
  PERFORM eiot.check_anchor(billing_anchor);
  -- A price is nothing that imports bring: they hand it on.
  held := eiot.hold_entitlement(entitlement_id, at, true);
  IF held.source = 'subscribedSkus' AND at > clock_timestamp() THEN
    PERFORM eiot.refuse('one_keeper', format('imports of subscribedSkus keep entitlement %s', entitlement_id),
      format('It can be priced from now on, not from %s: imports until then would be older than that.', at), 'Record it on the day.');
  END IF;
  PERFORM eiot.check_not_fixed(held);
  billed := held;
  billed.billing_frequency := change_billing.billing_frequency;
  billed.unit_price := change_billing.unit_price;
  billed.currency := COALESCE(change_billing.currency, held.currency);
  billed.billing_anchor := COALESCE(change_billing.billing_anchor, held.billing_anchor, (at AT TIME ZONE 'UTC')::date);
  PERFORM eiot.check_price(billed.billing_frequency, billed.unit_price, billed.currency);
  PERFORM eiot.check_term(billed.billing_frequency, billed.term, NULL);
  IF billed IS NOT DISTINCT FROM held THEN
    RETURN entitlement_id;
  END IF;
  RETURN eiot.replace_entitlement(billed, held.units, held.assigned_units, at);
END
$$;
COMMENT ON FUNCTION eiot.change_billing(bigint, text, numeric, timestamptz, text, date) IS
  'Changes billing frequency and price of an entitlement at an instant and returns the entitlement_id that it has from then on; currency and the day that cycles count from stay what they are unless given (where there is none, the day of the change, UTC). Entitlements that imports keep can be priced so, too, but not ahead. 55000 order_of_time, one_keeper, enabled_alone, trial_is_fixed, legacy_plan_is_fixed; P0002 for an unknown entitlement, 22023 for a frequency, price, currency or day that is none, 22004 for null';

CREATE FUNCTION eiot.assign_units(entitlement_id bigint, units bigint, at timestamptz DEFAULT pg_catalog.now()) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  held eiot.entitlement;
BEGIN
  PERFORM eiot.check_units(units, 0);
  held := eiot.hold_entitlement(entitlement_id, at);
  IF units > held.units THEN
    PERFORM eiot.refuse('assign_what_is_held', format('entitlement %s has %s units: %s cannot be assigned', entitlement_id, held.units, units),
      'No more units can be assigned than there are.', 'Assign fewer, or add units with eiot.change_units first.');
  END IF;
  IF units = held.assigned_units THEN
    RETURN entitlement_id;
  END IF;
  RETURN eiot.replace_entitlement(held, held.units, units, at);
END
$$;
COMMENT ON FUNCTION eiot.assign_units(bigint, bigint, timestamptz) IS
  'Sets how many units of an entitlement are assigned to users from an instant on, and returns the entitlement_id that it has from then; covers nothing more or less. 55000 assign_what_is_held, order_of_time, one_keeper, enabled_alone; P0002 for an unknown entitlement, 22023 for negative units and infinity, 22004 for null';

-- ---- monitoring

CREATE FUNCTION eiot.turn_on(tenant_id uuid, at timestamptz DEFAULT pg_catalog.now()) RETURNS void
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  PERFORM eiot.begin_step(tenant_id, at);
  IF NOT eiot.switch_on(tenant_id, at) THEN
    PERFORM eiot.refuse('on_already', format('monitoring of tenant %s is on already at %s', tenant_id, at),
      'Monitoring is on unless it was turned off.', 'There is nothing to do.');
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.turn_on(uuid, timestamptz) IS
  'Turns enterprise IoT monitoring on again at an instant: licenses cover devices from then. 55000 on_already, order_of_time; 23503 for an unknown tenant, 22004 for null, 22023 for infinity';

CREATE FUNCTION eiot.turn_off(tenant_id uuid, at timestamptz DEFAULT pg_catalog.now()) RETURNS void
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  standalone record;
  switched tstzrange;
BEGIN
  PERFORM eiot.begin_step(tenant_id, at);
  SELECT s.name, e.units, e.valid
    INTO standalone
    FROM eiot.entitlement e JOIN eiot.sku s ON s.sku_id = e.sku_id AND s.kind IN ('device_license', 'trial')
   WHERE e.tenant_id = turn_off.tenant_id AND e.units > 0 AND e.state IN ('enabled', 'warning')
     AND (upper_inf(e.valid) OR upper(e.valid) > at)
   ORDER BY e.valid
   LIMIT 1;
  IF FOUND THEN
    PERFORM eiot.refuse('off_without_standalone', format('tenant %s has standalone licenses in effect at %s or later', tenant_id, at),
      format('Monitoring can be turned off only without any, and there are %s units of %s %s.',
             standalone.units, standalone.name, eiot.span_text(standalone.valid)),
      'End them first, with eiot.change_units(entitlement_id, 0) or in the admin center; a trial ends by itself.');
  END IF;
  SELECT m.valid
    INTO switched
    FROM eiot.monitoring_off m
   WHERE m.tenant_id = turn_off.tenant_id AND (upper_inf(m.valid) OR upper(m.valid) > at)
   ORDER BY m.valid DESC
   LIMIT 1;
  IF switched @> at AND upper_inf(switched) THEN
    PERFORM eiot.refuse('off_already', format('monitoring of tenant %s is off already at %s', tenant_id, at),
      format('It was turned off at %s.', lower(switched)), 'There is nothing to do.');
  END IF;
  IF switched IS NOT NULL THEN
    PERFORM eiot.refuse('order_of_time',
      format('monitoring of tenant %s is recorded as off %s', tenant_id, eiot.span_text(switched)),
      format('Steps are recorded in the order of their time, and this one is at %s.', at),
      'Give a later instant, or mend what is recorded in eiot.monitoring_off.');
  END IF;
  INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (turn_off.tenant_id, tstzrange(at, NULL));
END
$$;
COMMENT ON FUNCTION eiot.turn_off(uuid, timestamptz) IS
  'Turns enterprise IoT monitoring off at an instant: licenses cover nothing from then. 55000 off_without_standalone (trials are standalone licenses), off_already, order_of_time; 23503 for an unknown tenant, 22004 for null, 22023 for infinity';

-- ---- legacy plan

CREATE FUNCTION eiot.cancel_legacy_plan(tenant_id uuid, at timestamptz DEFAULT pg_catalog.now()) RETURNS timestamptz
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  takes_effect timestamptz;
  plan eiot.entitlement;
  e5 text;
BEGIN
  PERFORM eiot.begin_step(tenant_id, at);
  takes_effect := at + interval '1 hour';
  SELECT e.*
    INTO plan
    FROM eiot.entitlement e JOIN eiot.sku s ON s.sku_id = e.sku_id AND s.kind = 'legacy_plan'
   WHERE e.tenant_id = cancel_legacy_plan.tenant_id AND e.valid @> at
   ORDER BY upper(e.valid) DESC NULLS FIRST
   LIMIT 1;
  IF NOT FOUND THEN
    PERFORM eiot.refuse('legacy_plan_alone', format('tenant %s has no legacy plan in effect at %s', tenant_id, at),
      'Only a legacy plan can be canceled.',
      'Standalone licenses are ended with eiot.change_units(entitlement_id, 0), and eiot.history(tenant_id) tells what was canceled before.');
  END IF;
  IF plan.end_recorded_at IS NOT NULL OR upper(plan.valid) <= takes_effect THEN
    PERFORM eiot.refuse('canceled_once', format('the legacy plan of tenant %s ends at %s already', tenant_id, upper(plan.valid)),
      'A cancellation takes effect one hour after it is confirmed.', 'There is nothing to do.');
  END IF;
  e5 := eiot.e5_at(tenant_id, at);
  IF e5 IS NOT NULL THEN
    PERFORM eiot.refuse('legacy_plan_without_e5', format('tenant %s has %s at %s', tenant_id, e5, at),
      'A legacy plan is canceled by tenants that are not customers of Microsoft 365 E5 or E5 Security; theirs were switched to the new licensing.',
      'Close the entitlement of the plan by hand, at the instant of the switch.');
  END IF;
  UPDATE eiot.entitlement e
     SET valid = tstzrange(lower(e.valid), takes_effect, CASE WHEN lower_inc(e.valid) THEN '[)' ELSE '()' END),
         end_recorded_at = now(), end_recorded_by = CURRENT_USER
    FROM eiot.sku s
   WHERE s.sku_id = e.sku_id AND s.kind = 'legacy_plan' AND e.tenant_id = cancel_legacy_plan.tenant_id
     AND e.valid @> at AND (upper_inf(e.valid) OR upper(e.valid) > takes_effect);
  RETURN takes_effect;
END
$$;
COMMENT ON FUNCTION eiot.cancel_legacy_plan(uuid, timestamptz) IS
  'Cancels a tenant''s legacy plan, confirmed at an instant, and returns when that takes effect: one hour later. The tenant''s devices stay until eiot.purge_devices. 55000 legacy_plan_alone, canceled_once, legacy_plan_without_e5; 23503 for an unknown tenant, 22004 for null, 22023 for infinity';

CREATE FUNCTION eiot.purge_devices(inventory regclass, tenant_id uuid) RETURNS bigint
  LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  purged bigint;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  PERFORM eiot.check_tenant(tenant_id);
  EXECUTE format('DELETE FROM %s d WHERE d.tenant_id = $1', inventory) USING tenant_id;
  GET DIAGNOSTICS purged = ROW_COUNT;
  DELETE FROM eiot.import_reject r WHERE r.tenant_id = purge_devices.tenant_id AND r.inventory = purge_devices.inventory::text;
  RETURN purged;
END
$$;
COMMENT ON FUNCTION eiot.purge_devices(regclass, uuid) IS
  'Deletes a tenant''s devices from an inventory, and the rows of its imports that were rejected, and returns how many devices; nothing else ever deletes them. 42809 for a relation that is not an inventory, 23503 for an unknown tenant, 22004 for null';

-- ---- the story

CREATE FUNCTION eiot.history(tenant_id uuid)
  RETURNS TABLE (at timestamptz, what text, product text, state text, entitlement_id bigint, units_before bigint,
                 units_after bigint, recorded_by text, recorded_at timestamptz)
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 200 ROWS 20
BEGIN ATOMIC
  WITH held AS (
    SELECT e.*, s.name AS product, s.kind,
           lag(e.units) OVER earlier AS units_before, lag(e.assigned_units) OVER earlier AS assigned_before,
           lag(e.unit_price) OVER earlier AS price_before, lag(e.currency) OVER earlier AS currency_before,
           lag(e.billing_frequency) OVER earlier AS frequency_before, lag(e.billing_anchor) OVER earlier AS anchor_before,
           COALESCE(lag(e.valid) OVER earlier -|- e.valid, false) AS continues,
           COALESCE(lead(e.valid) OVER earlier -|- e.valid, false) AS continued
      FROM eiot.entitlement e
      JOIN eiot.sku s ON s.sku_id = e.sku_id
     WHERE e.tenant_id = history.tenant_id
    WINDOW earlier AS (PARTITION BY e.sku_id, e.subscription_id, e.state ORDER BY e.valid)
  ), event AS (
    SELECT COALESCE(lower(h.valid), '-infinity') AS at,
           CASE h.kind WHEN 'trial' THEN 'trial started'
                       WHEN 'legacy_plan' THEN 'legacy plan started'
                       ELSE CASE h.source WHEN 'lifecycle' THEN 'purchased' WHEN 'subscribedSkus' THEN 'imported' ELSE 'added' END END AS what,
           h.product, h.state, h.entitlement_id, 0::bigint AS units_before, h.units AS units_after,
           h.recorded_by, h.recorded_at, 3 AS place
      FROM held h
     WHERE NOT h.continues
    UNION ALL
    SELECT lower(h.valid), 'units changed', h.product, h.state, h.entitlement_id, h.units_before, h.units,
           h.recorded_by, h.recorded_at, 4
      FROM held h
     WHERE h.continues AND h.units <> h.units_before
    UNION ALL
    SELECT COALESCE(lower(h.valid), '-infinity'), 'units assigned', h.product, h.state, h.entitlement_id,
           CASE WHEN h.continues THEN h.assigned_before ELSE 0 END, h.assigned_units, h.recorded_by, h.recorded_at, 5
      FROM held h
     WHERE h.assigned_units <> CASE WHEN h.continues THEN h.assigned_before ELSE 0 END
    UNION ALL
    -- Another frequency has another price as a rule: one event, not two.
    SELECT lower(h.valid),
           CASE WHEN (h.billing_frequency, h.billing_anchor) IS DISTINCT FROM (h.frequency_before, h.anchor_before) AND h.price_before IS NOT NULL
                     AND h.unit_price IS NOT NULL THEN 'billing changed' ELSE 'price changed' END,
           h.product, h.state, h.entitlement_id, h.units, h.units, h.recorded_by, h.recorded_at, 6
      FROM held h
     WHERE h.continues AND (h.unit_price, h.currency, h.billing_frequency, h.billing_anchor)
           IS DISTINCT FROM (h.price_before, h.currency_before, h.frequency_before, h.anchor_before)
    UNION ALL
    SELECT upper(h.valid),
           CASE WHEN h.kind = 'trial' THEN 'trial ended'
                WHEN h.kind = 'legacy_plan' AND h.end_recorded_at IS NOT NULL THEN 'legacy plan canceled'
                ELSE 'ended' END,
           h.product, h.state, h.entitlement_id, h.units, 0, COALESCE(h.end_recorded_by, h.recorded_by),
           COALESCE(h.end_recorded_at, h.recorded_at), 1
      FROM held h
     WHERE NOT h.continued AND NOT upper_inf(h.valid)
    UNION ALL
    SELECT COALESCE(lower(m.valid), '-infinity'), 'monitoring turned off', NULL, NULL, NULL, NULL, NULL, m.recorded_by, m.recorded_at, 7
      FROM eiot.monitoring_off m
     WHERE m.tenant_id = history.tenant_id
    UNION ALL
    SELECT upper(m.valid), 'monitoring turned on', NULL, NULL, NULL, NULL, NULL, COALESCE(m.end_recorded_by, m.recorded_by),
           COALESCE(m.end_recorded_at, m.recorded_at), 2
      FROM eiot.monitoring_off m
     WHERE m.tenant_id = history.tenant_id AND NOT upper_inf(m.valid)
  )
  SELECT v.at, v.what, v.product, v.state, v.entitlement_id, v.units_before, v.units_after, v.recorded_by, v.recorded_at
    FROM event v
   ORDER BY v.at, v.place, v.product COLLATE "C", v.state COLLATE "C", v.entitlement_id;
END;
COMMENT ON FUNCTION eiot.history(uuid) IS
  'What happened to a tenant''s entitlements and monitoring, in the order of time, ends that are yet to come included; units before and after are assigned ones where what is units assigned. Nothing for an unknown tenant and of null';
