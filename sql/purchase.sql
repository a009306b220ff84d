-- What to buy: what a purchase would do, and the cheapest one that does it.

CREATE FUNCTION eiot.known_price(tenant_id uuid, sku_id uuid, as_of timestamptz,
                                 OUT billing_frequency text, OUT unit_price numeric, OUT currency text, OUT billing_anchor date)
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100
BEGIN ATOMIC
  SELECT e.billing_frequency, e.unit_price, e.currency, e.billing_anchor
    FROM eiot.entitlement e
   WHERE e.tenant_id = known_price.tenant_id AND e.sku_id = known_price.sku_id AND e.unit_price IS NOT NULL
     AND COALESCE(lower(e.valid), '-infinity') <= known_price.as_of
   ORDER BY (e.valid @> known_price.as_of) DESC, e.valid DESC, e.entitlement_id DESC
   LIMIT 1;
END;
COMMENT ON FUNCTION eiot.known_price(uuid, uuid, timestamptz) IS
  'What a tenant pays for a SKU at an instant: the price of the newest of its entitlements in effect, else of the last one before; null where it has none with a price';

CREATE FUNCTION eiot.what_if(inventory regclass, tenant_id uuid, sku_id uuid, units bigint,
                             as_of timestamptz DEFAULT pg_catalog.now(),
                             billing_frequency text DEFAULT NULL, unit_price numeric DEFAULT NULL, currency text DEFAULT NULL,
                             billing_anchor date DEFAULT NULL, policy eiot.proration_policy DEFAULT 'nce',
                             month_end text DEFAULT 'clamp',
                             OUT counted bigint, OUT capacity_before bigint, OUT capacity_after bigint,
                             OUT gap_before bigint, OUT gap_after bigint,
                             OUT used daterange, OUT cycle daterange, OUT cost numeric, OUT cost_currency text)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  sku eiot.sku;
  held bigint;
  price record;
  anchor date := billing_anchor;
  zone text := eiot.policy_zone(policy);
  first_day date;
  rounding eiot.proration_policy;
BEGIN
  PERFORM eiot.check_inventory(inventory);
  PERFORM eiot.check_tenant(tenant_id);
  IF sku_id IS NULL OR units IS NULL OR as_of IS NULL OR policy IS NULL OR month_end IS NULL THEN
    RAISE EXCEPTION 'sku_id, units, as_of, policy and month_end must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF NOT isfinite(as_of) THEN
    RAISE EXCEPTION 'as_of must be an instant: %', as_of USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM eiot.billing_cycles('2000-01-01', 'month', 'empty', month_end);
  PERFORM eiot.check_units(abs(units::numeric)::bigint, 0);
  IF num_nulls(billing_frequency, unit_price, currency) NOT IN (0, 3) THEN
    RAISE EXCEPTION 'billing_frequency, unit_price and currency go together'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give all three, or none for the price that the tenant pays already.';
  END IF;
  SELECT s.* INTO sku FROM eiot.sku s WHERE s.sku_id = what_if.sku_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'SKU % does not exist', sku_id
      USING ERRCODE = 'foreign_key_violation', HINT = 'Name a row of eiot.sku.';
  END IF;

  EXECUTE format('SELECT q.counted FROM (%s) q WHERE q.tenant_id = $2', eiot.coverage_query(inventory, '$1'))
    INTO counted USING as_of, tenant_id;
  IF counted IS NULL THEN
    RAISE EXCEPTION 'no counting rule is in force at %', as_of
      USING ERRCODE = 'no_data_found',
            HINT = 'Add one to eiot.counting_rule, or pin the tenant to one in eiot.tenant.counting_rule.';
  END IF;

  SELECT COALESCE(sum(i.units), 0) INTO held FROM eiot.in_effect(tenant_id, as_of) i WHERE i.sku_id = what_if.sku_id AND i.units < eiot.unlimited();
  IF held + units < 0 THEN
    RAISE EXCEPTION 'tenant % has % units of %: % cannot be given up', tenant_id, held, sku.name, -units
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  capacity_before := eiot.capacity_at(tenant_id, as_of);
  -- A purchase of standalone licenses turns monitoring on.
  capacity_after := capacity_before;
  IF sku.kind = 'device_license' AND units > 0 THEN
    SELECT COALESCE(eiot.capacity(eiot.coverage_agg(eiot.coverage(0, eiot.unit_capacity(i.units, i.devices_per_unit)))), 0)
      INTO capacity_after
      FROM eiot.in_effect(tenant_id, as_of) i;
  ELSIF EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id = what_if.tenant_id AND m.valid @> as_of) THEN
    sku.devices_per_unit := 0;
  END IF;
  IF capacity_after < eiot.unlimited() THEN
    capacity_after := capacity_after + units * sku.devices_per_unit;
  END IF;
  gap_before := eiot.gap(eiot.coverage(counted, capacity_before));
  gap_after := eiot.gap(eiot.coverage(counted, capacity_after));
  capacity_before := NULLIF(capacity_before, eiot.unlimited());
  capacity_after := NULLIF(capacity_after, eiot.unlimited());

  -- At the price that the tenant pays already, it is more or less of what goes on in its cycles.
  first_day := (as_of AT TIME ZONE zone)::date;
  IF unit_price IS NULL THEN
    SELECT k.* INTO price FROM eiot.known_price(tenant_id, sku_id, as_of) k;
    anchor := COALESCE(anchor, price.billing_anchor);
  ELSE
    PERFORM eiot.check_price(billing_frequency, unit_price, currency);
    SELECT what_if.billing_frequency, what_if.unit_price, what_if.currency INTO price;
    anchor := COALESCE(anchor, first_day);
  END IF;
  IF price.unit_price IS NULL THEN
    RETURN;
  END IF;
  SELECT c INTO STRICT cycle FROM eiot.billing_cycles(anchor, price.billing_frequency, daterange(first_day, first_day, '[]'), month_end) c;
  used := daterange(first_day, upper(cycle));
  rounding := eiot.line_policy(policy, price.currency, unit_price IS NOT NULL AND used <> cycle);
  cost := CASE WHEN units < 0 THEN -1 ELSE 1 END * eiot.line_amount(price.unit_price, abs(units), as_of, upper(cycle)::timestamp AT TIME ZONE zone, cycle, zone, rounding);
  IF rounding::text ~ '\mat=total\M' THEN
    cost := eiot.round_total(cost, rounding);
  END IF;
  cost_currency := price.currency;
END
$$;
COMMENT ON FUNCTION eiot.what_if(regclass, uuid, uuid, bigint, timestamptz, text, numeric, text, date, eiot.proration_policy, text) IS
  'What so many units of a SKU more, or fewer where negative, would do to a tenant at an instant: devices counted, capacity (null: unlimited) and gap before and after, and the cost from then to the end of the billing cycle, at the price that the tenant pays for the SKU (null without one) or at the one given, whose cycles begin then or at the anchor given. Changes nothing. 42809 for a relation that is not an inventory, 23503 for an unknown tenant or SKU, 22023 for more units given up than held, part of a price, an unknown month_end and infinity, 22003 beyond a million millions, P0002 where no rule is in force, 22004 for null';

-- ---- the cheapest mix

CREATE FUNCTION eiot.offer(prices jsonb, kind text, devices_per_unit bigint,
                           OUT price numeric, OUT minimum bigint, OUT pack bigint, OUT devices bigint)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  entry jsonb := prices -> kind;
  key text;
  value jsonb;
  number numeric;
  at_least CONSTANT jsonb := jsonb '{"price": 0, "minimum": 0, "pack": 1, "devices": 1}';
  at_most CONSTANT jsonb := jsonb '{"minimum": 1000000000000, "pack": 10000, "devices": 100}';
BEGIN
  IF COALESCE(jsonb_typeof(entry), 'null') = 'null' THEN
    RETURN;
  END IF;
  IF jsonb_typeof(entry) = 'number' THEN
    entry := jsonb_build_object('price', entry);
  END IF;
  IF jsonb_typeof(entry) <> 'object' THEN
    RAISE EXCEPTION 'offer of % is neither a price nor an object: %', kind, entry
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write it as a price, or as {"price": 57.00, "minimum": 25, "pack": 5}.';
  END IF;
  IF NOT entry ? 'price' THEN
    RAISE EXCEPTION 'offer of % has no price: %', kind, entry USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR key, value IN SELECT e.key, e.value FROM jsonb_each(entry) e LOOP
    IF NOT at_least ? key THEN
      RAISE EXCEPTION 'unknown key in offer of %: "%"', kind, key
        USING ERRCODE = 'invalid_parameter_value',
              HINT = 'Known keys are price, minimum, pack and devices.';
    END IF;
    number := CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END;
    IF number IS NULL OR number < (at_least ->> key)::numeric OR key <> 'price' AND (number > (at_most ->> key)::numeric OR number <> trunc(number)) THEN
      RAISE EXCEPTION '% in offer of % is out of range: %', key, kind, value
        USING ERRCODE = 'invalid_parameter_value',
              HINT = CASE key WHEN 'price' THEN 'It is a number from 0 on.'
                       ELSE format('It is a whole number from %s to %s.', at_least ->> key, at_most ->> key) END;
    END IF;
  END LOOP;
  price := (entry ->> 'price')::numeric;
  minimum := COALESCE((entry ->> 'minimum')::numeric, 0)::bigint;
  pack := COALESCE((entry ->> 'pack')::numeric, 1)::bigint;
  devices := COALESCE((entry ->> 'devices')::numeric, devices_per_unit)::bigint;
END
$$;
COMMENT ON FUNCTION eiot.offer(jsonb, text, bigint) IS
  'One offer of a price list for eiot.cheapest_mix: the price of a unit, the least that is sold, the pack that it is sold in, devices that a unit covers; all null where the kind is not on offer. 22023 for unknown keys and for values that are none';

CREATE FUNCTION eiot.cheapest_mix(gap bigint, prices jsonb,
                                  OUT user_licenses bigint, OUT device_licenses bigint, OUT devices bigint, OUT cost numeric)
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  unknown text;
  user_offer record;
  device_offer record;
BEGIN
  IF gap IS NULL OR prices IS NULL THEN
    RAISE EXCEPTION 'gap and prices must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF gap < 0 THEN
    RAISE EXCEPTION 'gap must not be negative: %', gap USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF jsonb_typeof(prices) <> 'object' THEN
    RAISE EXCEPTION 'prices are no object: %', left(prices::text, 60)
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write them as {"user_license": 57.00, "device_license": {"price": 1.20, "minimum": 10, "pack": 5}}.';
  END IF;
  SELECT k INTO unknown FROM jsonb_object_keys(prices) k WHERE k NOT IN ('user_license', 'device_license') ORDER BY k LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'unknown kind of license: "%"', unknown
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Known kinds are user_license and device_license.';
  END IF;
  SELECT o.* INTO user_offer FROM eiot.offer(prices, 'user_license', 5) o;
  SELECT o.* INTO device_offer FROM eiot.offer(prices, 'device_license', 1) o;
  IF user_offer.price IS NULL AND device_offer.price IS NULL AND gap > 0 THEN
    RAISE EXCEPTION 'nothing is on offer'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a price for user_license, device_license or both.';
  END IF;

  -- In packs.  "Better" is the offer that is cheaper by the device (at the same price that of more devices a license), and
  -- "worse" the other one.  As many packs of the worse as cover the same number of devices as packs of the better do can be
  -- swapped for these, which costs no more: so beyond its minimum no mix needs that many.
  WITH offer AS (
    SELECT o.kind, o.price * o.pack AS price, o.pack AS units, o.pack::numeric * o.devices AS devices,
           GREATEST(1, div(o.minimum::numeric + o.pack - 1, o.pack)) AS minimum,
           -- price by devices, multiplied by the devices of both
           row_number() OVER (ORDER BY o.price * o.other_devices, o.devices DESC, o.kind DESC) AS place
      FROM (VALUES ('user', user_offer.price, user_offer.minimum, user_offer.pack, user_offer.devices, device_offer.devices),
                   ('device', device_offer.price, device_offer.minimum, device_offer.pack, device_offer.devices, user_offer.devices))
           o(kind, price, minimum, pack, devices, other_devices)
     WHERE o.price IS NOT NULL
  ), mix AS (
    SELECT 0::numeric AS user_packs, 0::numeric AS device_packs WHERE cheapest_mix.gap = 0
    UNION ALL
    SELECT CASE o.kind WHEN 'user' THEN n.packs ELSE 0 END, CASE o.kind WHEN 'device' THEN n.packs ELSE 0 END
      FROM offer o
     CROSS JOIN LATERAL (SELECT GREATEST(o.minimum, div(cheapest_mix.gap + o.devices - 1, o.devices)) AS packs) n
    UNION ALL
    SELECT CASE b.kind WHEN 'user' THEN n.packs ELSE w.packs END, CASE b.kind WHEN 'device' THEN n.packs ELSE w.packs END
      FROM offer b
      JOIN offer o ON b.place = 1 AND o.place = 2
     CROSS JOIN LATERAL generate_series(o.minimum, LEAST(o.minimum + div(b.devices, gcd(b.devices, o.devices)) - 1,
                                                         GREATEST(o.minimum, div(cheapest_mix.gap + o.devices - 1, o.devices)))) w(packs)
     CROSS JOIN LATERAL (SELECT GREATEST(b.minimum, div(cheapest_mix.gap - w.packs * o.devices + b.devices - 1, b.devices)) AS packs) n
  )
  SELECT x.users, x.devices, x.covers, x.cost
    INTO user_licenses, device_licenses, devices, cost
    FROM mix m
   CROSS JOIN LATERAL (
     SELECT m.user_packs * COALESCE(user_offer.pack, 0) AS users, m.device_packs * COALESCE(device_offer.pack, 0) AS devices,
            m.user_packs * COALESCE(user_offer.pack * user_offer.devices, 0) + m.device_packs * COALESCE(device_offer.pack * device_offer.devices, 0) AS covers,
            m.user_packs * COALESCE(user_offer.pack * user_offer.price, 0) + m.device_packs * COALESCE(device_offer.pack * device_offer.price, 0) AS cost) x
   ORDER BY x.cost, x.covers, x.users + x.devices, x.devices
   LIMIT 1;
END
$$;
COMMENT ON FUNCTION eiot.cheapest_mix(bigint, jsonb) IS
  'The cheapest user licenses (5 devices each) and standalone licenses (1 each) that cover a gap, exactly: licenses of each, the devices that they cover and the cost. prices has user_license, device_license or both, each a price or an object of price, minimum, pack and devices, all in units. Of equal costs the one that covers fewer devices, then the one of fewer licenses, then of fewer standalone ones. 22023 for a negative gap, nothing on offer, unknown keys and values that are none; 22004 for null';
