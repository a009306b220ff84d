-- The life of a tenant's licenses: what each step of it does, and what it refuses.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('f0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
CREATE FUNCTION pg_temp.sku(name text) RETURNS uuid
  LANGUAGE sql STABLE
  RETURN CASE name WHEN 'e5' THEN '06ebc4ee-1bb5-47dd-8120-11324bc54e06'
                   WHEN 'p2' THEN '111046dd-295b-4d6d-9724-d52ac90bd1f2'
                   WHEN 'addon' THEN 'b2f91841-252f-4765-94c3-75802d7c0ddb'
                   WHEN 'trial' THEN 'e1070000-0000-4000-8000-000000000001'
                   WHEN 'legacy' THEN 'e1070000-0000-4000-8000-000000000002' END::uuid;
CREATE FUNCTION pg_temp.hold(n integer, sku text, units bigint, valid text DEFAULT '[2026-01-01,2027-01-01)',
                             state text DEFAULT 'enabled') RETURNS bigint
  LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, state)
  VALUES (pg_temp.t(n), pg_temp.sku(sku), units, valid::tstzrange, state)
  RETURNING entitlement_id;
END;

INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 60) n;

-- ---- capacity while monitoring is off, and when it changes next

SELECT throws_ok(statement, errcode, NULL, what)
  FROM (VALUES
    ($$INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(99), '[2026-01-01,)')$$, '23503', 'monitoring off for an unknown tenant'),
    ($$INSERT INTO eiot.monitoring_off (tenant_id) VALUES (pg_temp.t(1))$$, '23502', 'monitoring off for no time'),
    ($$INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), 'empty')$$, '23514', 'monitoring off for an empty range'),
    ($$INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), '[2026-01-01,2026-03-01)'), (pg_temp.t(1), '[2026-02-01,)')$$, '23P01', 'monitoring off twice at a time')
  ) v(statement, errcode, what);

SELECT pg_temp.hold(1, 'e5', 10), pg_temp.hold(1, 'addon', 4, '[2026-03-01,2026-06-01)');
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), '[2026-02-01,2026-04-01)'), (pg_temp.t(1), '[2026-12-01,)');
CREATE SCHEMA lived;
GRANT USAGE ON SCHEMA lived TO PUBLIC;
SELECT eiot.create_inventory('lived.device');
SELECT is(ARRAY[eiot.capacity_at(pg_temp.t(1), as_of), (SELECT l.capacity FROM eiot.licensed_capacity(as_of) l WHERE l.tenant_id = pg_temp.t(1)),
                (SELECT c.capacity FROM eiot.coverage_at('lived.device', as_of) c WHERE c.tenant_id = pg_temp.t(1))],
          ARRAY[capacity, NULLIF(capacity, 0), capacity]::bigint[], format('capacity at %s, while monitoring is on and off', as_of))
  FROM (VALUES (timestamptz '2025-12-31', 0), ('2026-01-31 23:59:59.999999', 50), ('2026-02-01', 0), ('2026-03-31 23:59:59.999999', 0),
               ('2026-04-01', 54), ('2026-06-01', 50), ('2026-11-30', 50), ('2026-12-01', 0), ('2027-06-01', 0)) v(as_of, capacity);
SELECT is(array_agg(eiot.next_capacity_change(pg_temp.t(1), after) ORDER BY after), array_agg(expected ORDER BY after), 'each change is found from the one before it')
  FROM (VALUES (timestamptz '-infinity', timestamptz '2026-01-01'), ('2026-01-01', '2026-02-01'), ('2026-02-01', '2026-04-01'), ('2026-04-01', '2026-06-01'),
               ('2026-06-01', '2026-12-01'), ('2026-12-01', NULL), ('infinity', NULL)) v(after, expected);
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(2), tstzrange(now() - interval '1 day', NULL));
SELECT pg_temp.hold(2, 'e5', 10, '[2020-01-01,)'), pg_temp.hold(3, 'e5', 10, '[2020-01-01,)');
SELECT results_eq($$SELECT capacity FROM eiot.capacity WHERE tenant_id IN (pg_temp.t(2), pg_temp.t(3)) ORDER BY tenant_id$$, 'VALUES (0::bigint), (50)', 'the view follows');
SELECT results_eq($$SELECT capacity FROM lived.device_coverage WHERE tenant_id IN (pg_temp.t(2), pg_temp.t(3)) ORDER BY tenant_id$$, 'VALUES (0::bigint), (50)',
                  'and an inventory''s');

SELECT pg_temp.hold(4, 'e5', 10, '(2026-01-01,2026-02-01]'), pg_temp.hold(4, 'e5', 10, '(2026-02-01,2026-03-01)'),
       pg_temp.hold(4, 'p2', 10, '[2026-02-10,)'), pg_temp.hold(4, 'e5', 10, '[2026-02-15,)', 'suspended');
SELECT is(eiot.next_capacity_change(pg_temp.t(4), '2026-01-01'), '2026-01-01 00:00:00.000001', 'an exclusive start takes effect a microsecond later');
SELECT is(eiot.next_capacity_change(pg_temp.t(4), '2026-01-15'), '2026-03-01',
          'a row that follows another with the same capacity changes nothing, nor one that covers nothing');
SELECT pg_temp.hold(5, 'trial', eiot.unlimited(), '[2026-01-01,2026-04-01)'), pg_temp.hold(5, 'e5', 10, '[2026-02-01,)'), pg_temp.hold(5, 'trial', 9223372036854775806, '[2026-02-01,2026-03-01)');
SELECT is(eiot.next_capacity_change(pg_temp.t(5), '2026-01-15'), '2026-04-01', 'nothing changes a capacity without limit but its end');
SELECT is(eiot.next_capacity_change(NULL, '2026-01-01'), NULL, 'no tenant');
SELECT is(eiot.next_capacity_change(pg_temp.t(1), NULL), NULL, 'no instant');
SELECT is(eiot.next_capacity_change(pg_temp.t(99), '-infinity'), NULL, 'an unknown tenant');

-- Random entitlements and switches of few instants, against capacity_at at every instant.
SELECT setseed(0.5);
SELECT count(pg_temp.hold(n, (ARRAY['e5', 'addon', 'p2', 'trial'])[1 + floor(random() * 4)::integer], 1 + floor(random() * 2)::integer,
                          format('[%s,%s)', timestamptz '2026-01-01' + first * interval '1 day',
                                 CASE WHEN random() > 0.2 THEN timestamptz '2026-01-02' + (first + floor(random() * 10)::integer) * interval '1 day' END),
                          (ARRAY['enabled', 'enabled', 'warning', 'suspended'])[1 + floor(random() * 4)::integer]))
  FROM generate_series(11, 60) n CROSS JOIN generate_series(1, 4) i CROSS JOIN LATERAL (SELECT floor(random() * 10 + 0 * i * n)::integer AS first) f;
INSERT INTO eiot.monitoring_off (tenant_id, valid)
  SELECT pg_temp.t(n), tstzrange(timestamptz '2026-01-01' + first * interval '1 day', timestamptz '2026-01-01' + (first + days) * interval '1 day')
    FROM generate_series(11, 60, 2) n CROSS JOIN LATERAL (VALUES (floor(random() * 6)::integer, 1 + floor(random() * 5 + n * 0)::integer)) v(first, days);
SELECT cmp_ok((SELECT count(*) FROM eiot.entitlement_capacity c JOIN eiot.monitoring_off m USING (tenant_id) WHERE c.tenant_id BETWEEN pg_temp.t(11) AND pg_temp.t(60)), '>', 50::bigint,
              'random: many spans of tenants that were switched off');
SELECT is_empty($$
  WITH day AS (
    SELECT pg_temp.t(n) AS tenant_id, at, eiot.capacity_at(pg_temp.t(n), at) AS capacity
      FROM generate_series(11, 60) n CROSS JOIN generate_series(timestamptz '2025-12-31', '2026-02-01', '1 day') at
  ), change AS (
    SELECT tenant_id, at FROM (SELECT *, lag(capacity) OVER (PARTITION BY tenant_id ORDER BY at) AS before FROM day) d WHERE capacity <> before
  )
  SELECT d.tenant_id, d.at, found, expected
    FROM day d
   CROSS JOIN LATERAL eiot.next_capacity_change(d.tenant_id, d.at) found
   CROSS JOIN LATERAL (SELECT min(c.at) AS expected FROM change c WHERE c.tenant_id = d.tenant_id AND c.at > d.at) e
   WHERE found IS DISTINCT FROM expected
$$, 'random: next_capacity_change finds what capacity_at shows');
SELECT is_empty($$
  SELECT n, at
    FROM generate_series(11, 60) n CROSS JOIN generate_series(timestamptz '2025-12-31', '2026-02-01', '1 day') at
   WHERE eiot.capacity_at(pg_temp.t(n), at) IS DISTINCT FROM
         CASE WHEN EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id = pg_temp.t(n) AND m.valid @> at) THEN 0
              ELSE COALESCE((SELECT sum(e.units * s.devices_per_unit) FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id)
                              WHERE e.tenant_id = pg_temp.t(n) AND e.valid @> at AND e.state IN ('enabled', 'warning')), 0) END
$$, 'random: capacity_at is what a recount gives, and 0 while monitoring is off');

-- ---- trials: whose, how large, how long

CREATE FUNCTION pg_temp.rule_of(step text) RETURNS text
  LANGUAGE plpgsql AS $$
DECLARE
  rule text;
BEGIN
  EXECUTE format('SELECT eiot.%s', step);
  RETURN 'done';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
  RETURN rule;
END
$$;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(101, 199) n;

SELECT is((SELECT t FROM eiot.trial_terms(pg_temp.t(101), as_of) t)::text, terms, format('terms of a trial at %s', as_of))
  FROM (VALUES (timestamptz '2022-07-05 23:59:59.999999', '(,)'), ('2022-07-06', '(1000,30)'), ('2023-05-17', format('(%s,30)', eiot.unlimited())),
               ('2023-09-13', '(100,90)'), ('2023-11-01', '(100,90)'), ('2024-06-25', '(100,90)'), ('2026-08-12', '(100,90)')) v(as_of, terms);
UPDATE eiot.tenant SET counting_rule = '2022 draft' WHERE tenant_id = pg_temp.t(101);
SELECT is((SELECT t FROM eiot.trial_terms(pg_temp.t(101), '2026-08-12') t)::text, '(1000,30)', 'those of the rule that a tenant is pinned to');
UPDATE eiot.tenant SET counting_rule = NULL WHERE tenant_id = pg_temp.t(101);
SELECT is((SELECT t FROM eiot.trial_terms(pg_temp.t(9999), '2026-08-12') t)::text, '(,)', 'none for an unknown tenant');

SELECT pg_temp.hold(n, 'p2', 5, '[2020-01-01,2027-01-01)') FROM generate_series(102, 120) n;
SELECT pg_temp.hold(103, 'e5', 1), pg_temp.hold(104, 'addon', 1), pg_temp.hold(105, 'legacy', 100), pg_temp.hold(106, 'e5', 1, '[2026-09-01,)'),
       pg_temp.hold(107, 'addon', 1, state => 'suspended'), pg_temp.hold(108, 'addon', 0), pg_temp.hold(109, 'trial', 100, '[2026-09-01,2026-10-01)'),
       pg_temp.hold(110, 'trial', 100, '[2026-06-01,2026-08-12)');
SELECT is(pg_temp.rule_of(format('start_trial(%L, %L)', pg_temp.t(n), at)), expected, what)
  FROM (VALUES (101, '2026-08-12', 'trial_for_p2_alone', 'no trial without Defender for Endpoint P2'),
               (102, '2019-12-31', 'trial_for_p2_alone', 'nor before it'),
               (102, '2022-07-05', 'trial_terms', 'nor before anything was published'),
               (103, '2026-08-12', 'trial_for_p2_alone', 'nor with Microsoft 365 E5'),
               (104, '2026-08-12', 'trial_for_p2_alone', 'nor with standalone licenses'),
               (105, '2026-08-12', 'trial_for_p2_alone', 'nor with a legacy plan'),
               (109, '2026-08-12', 'one_trial_at_a_time', 'nor before a trial that is recorded already'),
               (106, '2026-08-12', 'done', 'a trial before Microsoft 365 E5 begins'),
               (107, '2026-08-12', 'done', 'with standalone licenses that are suspended'),
               (108, '2026-08-12', 'done', 'with none of them'),
               (110, '2026-08-12', 'done', 'at the instant that another trial ended'),
               (102, '2023-06-01', 'done', 'a trial of old'),
               (102, '2023-06-15', 'one_trial_at_a_time', 'none within it'),
               (102, '2023-07-01', 'done', 'another one after it')) v(n, at, expected, what);
SELECT is(eiot.capacity_at(pg_temp.t(102), at), capacity, format('a trial of any number of devices at %s', at))
  FROM (VALUES (timestamptz '2023-05-31', 0::bigint), ('2023-06-01', eiot.unlimited()), ('2023-06-30 23:59', eiot.unlimited()), ('2023-07-01', eiot.unlimited()), ('2023-07-31', 0)) v(at, capacity);
SELECT is((SELECT upper(valid) - lower(valid) FROM eiot.entitlement WHERE tenant_id = pg_temp.t(106) AND source = 'lifecycle'), interval '90 days', 'a trial lasts 90 days');
SET LOCAL TimeZone = 'Europe/Berlin';
SELECT eiot.start_trial(pg_temp.t(111), '2026-10-01');
SELECT is((SELECT upper(valid) - lower(valid) FROM eiot.entitlement WHERE tenant_id = pg_temp.t(111) AND source = 'lifecycle'), interval '90 days', 'of 24 hours, whatever the clocks do');
SET LOCAL TimeZone = 'UTC';

-- ---- standalone licenses

SELECT pg_temp.hold(121, 'e5', 1, '[2026-01-01,2026-06-01)'), pg_temp.hold(122, 'p2', 1, state => 'warning'), pg_temp.hold(123, 'p2', 1, state => 'suspended'), pg_temp.hold(124, 'p2', 0);
SELECT is(pg_temp.rule_of(format('purchase(%L, 3, ''month'', 1.20, ''EUR'', %L)', pg_temp.t(n), at)), expected, what)
  FROM (VALUES (121, '2025-12-31', 'purchase_needs_p2', 'no purchase before Microsoft 365 E5'), (121, '2026-01-01', 'done', 'a purchase with it'),
               (121, '2026-06-01', 'purchase_needs_p2', 'none after it'), (122, '2026-02-01', 'done', 'with Defender for Endpoint P2 in its grace period'),
               (123, '2026-02-01', 'purchase_needs_p2', 'none with it suspended'), (124, '2026-02-01', 'purchase_needs_p2', 'none with none of it')) v(n, at, expected, what);
SET LOCAL eiot.count_warning_units = off;
SELECT is(pg_temp.rule_of(format('purchase(%L, 3, ''month'', 1.20, ''EUR'', ''2026-02-01'')', pg_temp.t(122))), 'purchase_needs_p2', 'nor in its grace period, where that does not count');
RESET eiot.count_warning_units;

CREATE TEMP TABLE known (n integer PRIMARY KEY, id bigint);
INSERT INTO known SELECT 112, eiot.purchase(pg_temp.t(112), 10, 'quarter', 3.60, 'USD', '2026-03-15 22:00');
SELECT results_eq($$SELECT units, assigned_units, state, valid, source, billing_frequency, unit_price, currency, billing_anchor, recorded_at = now(), recorded_by = CURRENT_USER, end_recorded_by
                      FROM eiot.entitlement JOIN known ON id = entitlement_id$$,
                  $$VALUES (10::bigint, 0::bigint, 'enabled', tstzrange('2026-03-15 22:00', NULL), 'lifecycle', 'quarter', 3.60, 'USD', date '2026-03-15', true, true, NULL::text)$$, 'what a purchase records');
SELECT is(eiot.change_units(id, 10, '2026-04-01'), id, 'the same units: the same row') FROM known;
SELECT is(eiot.assign_units(id, 0, '2026-04-01'), id, 'the same assigned: the same row') FROM known;
UPDATE known SET id = eiot.change_units(id, 12, '2026-04-01');
UPDATE known SET id = eiot.assign_units(id, 12, '2026-04-01');
UPDATE known SET id = eiot.change_units(id, 15, '2026-04-01');
SELECT results_eq($$SELECT units, assigned_units, valid, billing_anchor, end_recorded_by = CURRENT_USER FROM eiot.entitlement WHERE tenant_id = pg_temp.t(112) AND source = 'lifecycle' ORDER BY valid$$,
                  $$VALUES (10::bigint, 0::bigint, tstzrange('2026-03-15 22:00', '2026-04-01'), date '2026-03-15', true), (15, 12, tstzrange('2026-04-01', NULL), date '2026-03-15', NULL)$$,
                  'three steps at one instant are one row');
SELECT throws_ok(format('SELECT eiot.change_units(%s, 9, ''2026-04-01'')', (SELECT max(entitlement_id) - 1 FROM eiot.entitlement)), 'P0002', NULL, 'which the keys in between do not name');
UPDATE known SET id = eiot.change_units(id, 5, '2026-05-01');
SELECT is((SELECT assigned_units FROM eiot.entitlement JOIN known ON id = entitlement_id), 12::bigint, 'fewer units than are assigned: those stay assigned');
SELECT is(pg_temp.rule_of(format('assign_units(%s, 11, ''2026-05-02'')', id)), 'assign_what_is_held', 'but not anew') FROM known;
SELECT is(eiot.change_units(id, 0, '2026-05-01'), NULL, 'no units at the instant of the last change') FROM known;
SELECT results_eq($$SELECT what, units_before, units_after, at FROM eiot.history(pg_temp.t(112)) WHERE product LIKE '%add-on'$$,
                  $$VALUES ('purchased', 0::bigint, 10::bigint, timestamptz '2026-03-15 22:00'), ('units changed', 10, 15, '2026-04-01'), ('units assigned', 0, 12, '2026-04-01'), ('ended', 15, 0, '2026-05-01')$$,
                  'leaves no trace of it in the story');

-- Another price, another frequency.
INSERT INTO known SELECT 117, eiot.purchase(pg_temp.t(117), 10, 'month', 1.20, 'EUR', '2026-01-15');
SELECT is(eiot.change_billing(id, 'month', 1.20, '2026-02-01'), id, 'the same price: the same row') FROM known WHERE n = 117;
SELECT is(eiot.change_billing(id, 'month', 1.20, '2026-02-01', 'EUR', '2026-01-15'), id, 'also where all of it is given') FROM known WHERE n = 117;
UPDATE known SET id = eiot.assign_units(id, 3, '2026-02-01') WHERE n = 117;
UPDATE known SET id = eiot.change_billing(id, 'month', 1.30, '2026-02-15') WHERE n = 117;
UPDATE known SET id = eiot.change_billing(id, 'year', 13, '2026-03-15', 'USD') WHERE n = 117;
UPDATE known SET id = eiot.change_units(id, 12, '2026-04-01') WHERE n = 117;
UPDATE known SET id = eiot.change_billing(id, 'year', 13, '2026-05-01', billing_anchor => '2026-05-01') WHERE n = 117;
UPDATE known SET id = eiot.change_billing(id, 'year', 13, '2026-06-01', 'EUR') WHERE n = 117;
SELECT results_eq($$SELECT units, assigned_units, lower(valid), billing_frequency, unit_price, currency, billing_anchor, source FROM eiot.entitlement WHERE tenant_id = pg_temp.t(117) AND unit_price IS NOT NULL ORDER BY valid$$,
                  $$VALUES (10::bigint, 0::bigint, timestamptz '2026-01-15', 'month', 1.20, 'EUR', date '2026-01-15', 'lifecycle'), (10, 3, '2026-02-01', 'month', 1.20, 'EUR', '2026-01-15', 'lifecycle'),
                           (10, 3, '2026-02-15', 'month', 1.30, 'EUR', '2026-01-15', 'lifecycle'), (10, 3, '2026-03-15', 'year', 13, 'USD', '2026-01-15', 'lifecycle'), (12, 3, '2026-04-01', 'year', 13, 'USD', '2026-01-15', 'lifecycle'),
                           (12, 3, '2026-05-01', 'year', 13, 'USD', '2026-05-01', 'lifecycle'), (12, 3, '2026-06-01', 'year', 13, 'EUR', '2026-05-01', 'lifecycle')$$, 'what they record');
SELECT results_eq($$SELECT at::date, what FROM eiot.history(pg_temp.t(117)) WHERE at > '2026-02-01' AND product LIKE '%add-on'$$,
                  $$VALUES (date '2026-02-15', 'price changed'), ('2026-03-15', 'billing changed'), ('2026-04-01', 'units changed'), ('2026-05-01', 'billing changed'), ('2026-06-01', 'price changed')$$, 'and what the story says of them');
INSERT INTO known SELECT 118, pg_temp.hold(118, 'addon', 4);
SELECT throws_ok(format('SELECT eiot.change_billing(%s, ''month'', 1, ''2026-02-10 23:00'')', id), '22004', NULL, 'a first price needs a currency') FROM known WHERE n = 118;
UPDATE known SET id = eiot.change_billing(id, 'month', 1, '2026-02-10 23:00', 'EUR') WHERE n = 118;
SELECT results_eq($$SELECT billing_anchor, upper(valid) FROM eiot.entitlement JOIN known ON id = entitlement_id WHERE n = 118$$, $$VALUES (date '2026-02-10', timestamptz '2027-01-01')$$, 'and has cycles from its day on');
SELECT results_eq($$SELECT what FROM eiot.history(pg_temp.t(118)) WHERE at::date = '2026-02-10'$$, $$VALUES ('price changed')$$, 'it is a price that changed');
SELECT is(pg_temp.rule_of(format('change_billing(%s, ''month'', 1, %L, ''EUR'')', id, at)), expected, what)
  FROM (SELECT pg_temp.hold(119, 'trial', 5) AS id, '2026-02-01' AS at, 'trial_is_fixed' AS expected, 'a trial has no price' AS what
        UNION ALL SELECT pg_temp.hold(119, 'legacy', 5), '2026-02-01', 'legacy_plan_is_fixed', 'a legacy plan is not edited'
        UNION ALL SELECT pg_temp.hold(119, 'addon', 5, state => 'suspended'), '2026-02-01', 'enabled_alone', 'nor what is suspended'
        UNION ALL SELECT id, '2026-02-01', 'order_of_time', 'nor anything before its beginning' FROM known WHERE n = 118) v;

-- Rows by hand can be changed as well, within their time.
INSERT INTO known SELECT 113, pg_temp.hold(113, 'addon', 4, '(2026-01-01,2026-12-31]');
SELECT is(pg_temp.rule_of(format('change_units(%s, 5, %L)', id, at)), 'order_of_time', format('none at %s', at)) FROM known CROSS JOIN (VALUES ('2025-12-31'), ('2026-01-01'), ('2026-12-31'), ('2027-01-01')) v(at) WHERE n = 113;
UPDATE known SET id = eiot.change_units(id, 6, '2026-07-01') WHERE n = 113;
SELECT results_eq($$SELECT units, valid, source FROM eiot.entitlement WHERE tenant_id = pg_temp.t(113) AND sku_id = pg_temp.sku('addon') ORDER BY valid$$,
                  $$VALUES (4::bigint, tstzrange('2026-01-01', '2026-07-01', '()'), 'manual'), (6, tstzrange('2026-07-01', '2026-12-31', '[]'), 'manual')$$, 'bounds stay what they were');
INSERT INTO known SELECT 116, eiot.purchase(pg_temp.t(116), 5, 'month', 1, 'EUR', '2026-01-01');
SELECT is(eiot.change_units(id, 0, '2026-06-01'), NULL, 'an end in June') FROM known WHERE n = 116;
SELECT is(pg_temp.rule_of(format('change_units(%s, %s, %L)', id, units, at)), 'order_of_time', format('%s units at %s after it was recorded', units, at))
  FROM known CROSS JOIN (VALUES (0, '2026-05-01'), (9, '2026-05-01'), (0, '2026-06-01'), (9, '2026-06-01')) v(units, at) WHERE n = 116;
SELECT is(pg_temp.rule_of(format('change_units(%s, 7, ''2026-08-01'')', pg_temp.hold(114, 'addon', 4, state => 'warning'))), 'enabled_alone', 'units in the grace period are not changed');
SELECT is(pg_temp.rule_of(format('change_units(%s, 7, ''2026-08-01'')', pg_temp.hold(124, 'addon', 4))), 'purchase_needs_p2', 'more of them need Defender for Endpoint P2');
SELECT is(pg_temp.rule_of(format('change_units(%s, 3, ''2026-08-01'')', pg_temp.hold(124, 'addon', 4))), 'done', 'fewer do not');
SELECT is(pg_temp.rule_of(format('change_units(%s, 7, ''2026-08-01'')', pg_temp.hold(124, 'e5', 4))), 'done', 'nor more of another product');
SELECT throws_ok(format('SELECT eiot.%s', step), errcode, NULL, step)
  FROM (VALUES ('purchase(NULL, 1, ''month'', 1, ''EUR'')', '22004'), ('purchase(pg_temp.t(112), NULL, ''month'', 1, ''EUR'')', '22004'), ('purchase(pg_temp.t(112), 1, NULL, 1, ''EUR'')', '22004'),
               ('purchase(pg_temp.t(112), 1, ''month'', NULL, ''EUR'')', '22004'), ('purchase(pg_temp.t(112), -1, ''month'', 1, ''EUR'')', '22023'), ('purchase(pg_temp.t(112), 1, ''month'', ''Infinity'', ''EUR'')', '22023'),
               ('purchase(pg_temp.t(112), 1, ''Month'', 1, ''EUR'')', '22023'), ('purchase(pg_temp.t(112), 1, ''month'', 1, '''')', '22023'), ('purchase(pg_temp.t(112), 9223372036854775807, ''month'', 1, ''EUR'')', '22003'),
               ('purchase(pg_temp.t(9999), 1, ''month'', 1, ''EUR'')', '23503'), ('purchase(pg_temp.t(112), 1, ''month'', 1, ''EUR'', ''-infinity'')', '22023'),
               ('purchase(pg_temp.t(112), 1, ''month'', 1, ''EUR'', sku_id => NULL)', '22023'), ('purchase(pg_temp.t(112), 1, ''month'', 1, ''EUR'', billing_anchor => ''-infinity'')', '22023'), ('purchase(pg_temp.t(112), 1, ''month'', 1, ''EUR'', sku_id => pg_temp.t(1))', '22023'),
               ('change_units(0, 1)', 'P0002'), ('change_units(NULL, 1)', '22004'), ('change_units(1, NULL)', '22004'), ('change_units(1, -1)', '22023'), ('assign_units(1, NULL)', '22004'),
               ('change_billing(NULL, ''month'', 1)', '22004'), ('change_billing(0, ''month'', 1)', 'P0002'), ('change_billing((SELECT id FROM known WHERE n = 118), NULL, 1, ''2026-12-01'')', '22004'),
               ('change_billing((SELECT id FROM known WHERE n = 118), ''month'', NULL, ''2026-12-01'')', '22004'), ('change_billing((SELECT id FROM known WHERE n = 118), ''week'', 1, ''2026-12-01'')', '22023'),
               ('change_billing((SELECT id FROM known WHERE n = 118), ''month'', -1, ''2026-12-01'')', '22023'), ('change_billing((SELECT id FROM known WHERE n = 118), ''month'', 1, ''2026-12-01'', ''euro'')', '22023'),
               ('change_billing((SELECT id FROM known WHERE n = 118), ''month'', 1, ''2026-12-01'', billing_anchor => ''infinity'')', '22023'), ('change_billing((SELECT id FROM known WHERE n = 118), ''month'', 1, NULL)', '22004'),
               ('start_trial(NULL)', '22004'), ('start_trial(pg_temp.t(112), NULL)', '22004'), ('start_trial(pg_temp.t(112), ''infinity'')', '22023'), ('start_trial(pg_temp.t(9999))', '23503'),
               ('turn_on(NULL)', '22004'), ('turn_on(pg_temp.t(9999))', '23503'), ('turn_off(pg_temp.t(112), ''infinity'')', '22023'), ('turn_off(NULL)', '22004'),
               ('cancel_legacy_plan(NULL)', '22004'), ('cancel_legacy_plan(pg_temp.t(9999))', '23503'), ('cancel_legacy_plan(pg_temp.t(112), ''-infinity'')', '22023'),
               ('purge_devices(NULL, pg_temp.t(112))', '22004'), ('purge_devices(''lived.device'', NULL)', '22004'), ('purge_devices(''lived.device'', pg_temp.t(9999))', '23503')) v(step, errcode);
SELECT is_empty('SELECT eiot.history(NULL)', 'no history of no tenant');
SELECT is_empty('SELECT eiot.history(pg_temp.t(9999))', 'nor of an unknown one');

-- ---- until when units can be given back

INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(201, 230) n;
SELECT pg_temp.hold(n, 'p2', 5, '[2020-01-01,)') FROM generate_series(201, 230) n;
INSERT INTO known SELECT n, eiot.purchase(pg_temp.t(n), 10, 'month', 1, 'EUR', '2026-01-15 08:00', term => 'year', reduce_within => '7 days') FROM generate_series(201, 220) n;
-- Each a try of its own: what is done is undone again.
CREATE FUNCTION pg_temp.tried(n integer, units bigint, at timestamptz) RETURNS text
  LANGUAGE plpgsql AS $$
DECLARE
  rule text;
BEGIN
  rule := pg_temp.rule_of(format('change_units(%s, %s, %L)', (SELECT id FROM known k WHERE k.n = tried.n), units, at));
  RAISE EXCEPTION 'undone' USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
  RETURN rule;
END
$$;
SELECT is(pg_temp.tried(201, units, at::timestamptz), expected, format('a year billed by the month, %s units at %s', units, at))
  FROM (VALUES (9, '2026-01-15 08:00', 'done'), (0, '2026-01-22 07:59:59.999999', 'done'), (9, '2026-01-22 08:00', 'reduced_in_time'), (0, '2026-01-22 08:00', 'reduced_in_time'),
               (10, '2026-01-22 08:00', 'done'), (11, '2026-01-22 08:00', 'done'), (9, '2026-02-15', 'reduced_in_time'), (9, '2026-02-16', 'reduced_in_time'), (9, '2027-01-14 23:59:59', 'reduced_in_time'),
               (9, '2027-01-15', 'done'), (0, '2027-01-21 23:59:59', 'done'), (0, '2027-01-22', 'reduced_in_time'), (0, '2028-01-20', 'done'), (0, '2028-01-22', 'reduced_in_time')) v(units, at, expected);
-- Five more, three fewer, two more, each soon after the other; and another price and assignments, which are no beginnings.
UPDATE known SET id = eiot.change_units(id, 15, '2026-03-01') WHERE n = 202;
UPDATE known SET id = eiot.assign_units(id, 4, '2026-03-02') WHERE n = 202;
UPDATE known SET id = eiot.change_billing(id, 'year', 12, '2026-03-03') WHERE n = 202;
SELECT is(pg_temp.tried(202, units, at::timestamptz), expected, format('five added on March 1, %s units at %s', units, at))
  FROM (VALUES (10, '2026-03-04', 'done'), (9, '2026-03-04', 'reduced_in_time'), (0, '2026-03-04', 'reduced_in_time'), (10, '2026-03-07 23:59:59.999999', 'done'), (14, '2026-03-08', 'reduced_in_time')) v(units, at, expected);
UPDATE known SET id = eiot.change_units(id, 12, '2026-03-04') WHERE n = 202;
UPDATE known SET id = eiot.change_units(id, 14, '2026-03-06') WHERE n = 202;
SELECT is(pg_temp.tried(202, units, at::timestamptz), expected, format('twelve from March 4, fourteen from March 6, %s units at %s', units, at))
  FROM (VALUES (10, '2026-03-07', 'done'), (12, '2026-03-09', 'done'), (11, '2026-03-12', 'reduced_in_time'), (12, '2026-03-12', 'done'), (13, '2026-03-14', 'reduced_in_time'), (10, '2027-01-16', 'done')) v(units, at, expected);
-- Without a term each cycle is one; no limit, or another; the end of a month; three years.
UPDATE eiot.entitlement SET term = NULL WHERE entitlement_id = (SELECT id FROM known WHERE n = 203);
UPDATE eiot.entitlement SET term = '3 years', billing_anchor = '2024-02-29' WHERE entitlement_id = (SELECT id FROM known WHERE n = 204);
UPDATE eiot.entitlement SET reduce_within = NULL WHERE entitlement_id = (SELECT id FROM known WHERE n = 205);
UPDATE eiot.entitlement SET reduce_within = '24 hours' WHERE entitlement_id = (SELECT id FROM known WHERE n = 206);
UPDATE eiot.entitlement SET billing_anchor = '2026-05-31', term = 'quarter' WHERE entitlement_id = (SELECT id FROM known WHERE n = 207);
SELECT is(pg_temp.tried(n, 9, at::timestamptz), expected, format('%s, at %s', what, at))
  FROM (VALUES (203, '2026-02-14', 'reduced_in_time', 'a month'), (203, '2026-02-15', 'done', 'a month'), (203, '2026-02-22', 'reduced_in_time', 'a month'), (203, '2026-03-16', 'done', 'a month'),
               (204, '2026-02-28', 'reduced_in_time', 'three years'), (204, '2027-02-27', 'reduced_in_time', 'three years'), (204, '2027-02-28', 'done', 'three years'),
               (204, '2027-03-07', 'reduced_in_time', 'three years'), (204, '2029-02-28', 'reduced_in_time', 'three years'), (204, '2030-03-01', 'done', 'three years'),
               (205, '2026-06-01', 'done', 'no limit'), (206, '2026-01-16 07:59', 'done', 'a day'), (206, '2026-01-16 08:00', 'reduced_in_time', 'a day'),
               (207, '2026-02-27', 'reduced_in_time', 'cycles counted from a later day'), (207, '2026-02-28', 'done', 'cycles counted from a later day'), (207, '2026-05-31', 'done', 'cycles counted from a later day'),
               (207, '2026-08-30', 'reduced_in_time', 'cycles counted from a later day'), (207, '2026-08-31', 'done', 'cycles counted from a later day')) v(n, at, expected, what);
-- Another subscription is another matter.
SELECT eiot.purchase(pg_temp.t(211), 3, 'month', 1, 'EUR', '2026-04-01', reduce_within => '7 days');
SELECT is(pg_temp.tried(211, units, at::timestamptz), expected, format('beside a purchase of April 1, %s units at %s', units, at))
  FROM (VALUES (9, '2026-04-02', 'reduced_in_time'), (9, '2026-04-20', 'reduced_in_time'), (10, '2026-04-20', 'done')) v(units, at, expected);
-- Without a price nothing renews; without a beginning nothing is soon after it.
INSERT INTO known SELECT 221, pg_temp.hold(221, 'addon', 4, '(,)');
INSERT INTO known SELECT 222, pg_temp.hold(222, 'addon', 4, '[2026-02-01,)');
UPDATE eiot.entitlement SET reduce_within = '7 days' WHERE entitlement_id IN (SELECT id FROM known WHERE n IN (221, 222));
SELECT is(pg_temp.tried(n, 3, at::timestamptz), expected, format('%s, at %s', what, at))
  FROM (VALUES (221, '2026-01-16', 'reduced_in_time', 'from ever on'), (222, '2026-02-07', 'done', 'without a price'), (222, '2026-03-01', 'reduced_in_time', 'without a price')) v(n, at, expected, what);
SELECT is(r::text, format('(%s,%s)', v.last, v.next), format('renewals of %s from %s, as of %s', COALESCE(v.term, 'cycles'), anchor, day))
  FROM (VALUES ('month', '2024-01-31', '2024-02-28', '2024-01-31', '2024-02-29'), ('month', '2024-01-31', '2024-02-29', '2024-02-29', '2024-03-31'), ('month', '2024-01-31', '2023-12-30', '2023-11-30', '2023-12-31'),
               ('quarter', '2024-01-31', '2024-04-29', '2024-01-31', '2024-04-30'), ('year', '2024-02-29', '2028-02-28', '2027-02-28', '2028-02-29'), ('3 years', '2024-02-29', '2024-02-28', '2021-02-28', '2024-02-29'),
               ('3 years', '2024-02-29', '2026-12-31', '2024-02-29', '2027-02-28'), (NULL, '2024-02-29', '2026-12-31', '2026-12-29', '2027-01-29')) v(term, anchor, day, last, next)
 CROSS JOIN LATERAL jsonb_populate_record(NULL::eiot.entitlement, jsonb_build_object('billing_anchor', anchor, 'term', v.term, 'billing_frequency', 'month')) e
 CROSS JOIN LATERAL eiot.renewals(e, day::date) r;
SET LOCAL TimeZone = 'America/New_York';
UPDATE eiot.entitlement SET billing_anchor = '2026-03-05' WHERE entitlement_id = (SELECT id FROM known WHERE n = 209);
SELECT is(pg_temp.tried(n, 9, at::timestamptz), expected, format('whatever the session''s zone and its clocks do, at %s', at))
  FROM (VALUES (208, '2026-01-22 07:59:59+00', 'done'), (208, '2026-01-22 08:00+00', 'reduced_in_time'), (208, '2027-01-14 23:59:59+00', 'reduced_in_time'), (208, '2027-01-15 00:00+00', 'done'),
               (209, '2026-03-11 23:59:59+00', 'done'), (209, '2026-03-12 00:00+00', 'reduced_in_time')) v(n, at, expected);
UPDATE known SET id = eiot.change_units(id, 12, '2026-03-06 00:00+00') WHERE n = 210;
SELECT is(pg_temp.tried(210, 10, at::timestamptz), expected, format('and for what was added, at %s', at)) FROM (VALUES ('2026-03-12 23:59:59+00', 'done'), ('2026-03-13 00:00+00', 'reduced_in_time')) v(at, expected);
SET LOCAL TimeZone = 'UTC';
SELECT throws_ok(format('SELECT eiot.purchase(pg_temp.t(230), 1, %L, 1, ''EUR'', %s)', frequency, more), '22023', message, message)
  FROM (VALUES ('month', 'term => ''2 years''', 'unknown term: "2 years"'), ('year', 'term => ''month''', 'a term of a month cannot be billed by the year'),
               ('month', 'reduce_within => ''-1 day''', 'reduce_within must not be negative: -1 days')) v(frequency, more, message);
SELECT throws_ok(format('SELECT eiot.change_billing(%s, ''year'', 12, ''2026-02-01'')', (SELECT id FROM known WHERE n = 207)), '22023', 'a term of a quarter cannot be billed by the year', 'nor after a change');
SELECT throws_ok(format('UPDATE eiot.entitlement SET %s WHERE entitlement_id = (SELECT id FROM known WHERE n = %s)', change, n), '23514', NULL, change)
  FROM (VALUES ('term = ''2 years''', 201), ('billing_frequency = ''year'', term = ''month''', 201), ('reduce_within = ''-1 second''', 201), ('term = ''year''', 222)) v(change, n);

-- ---- monitoring

SELECT pg_temp.hold(131, 'e5', 4, '[2026-01-01,)'), pg_temp.hold(132, 'addon', 1, '[2026-06-01,2026-07-01)'), pg_temp.hold(133, 'addon', 0), pg_temp.hold(133, 'addon', 3, state => 'suspended');
SELECT is(pg_temp.rule_of(format('%s(%L, %L)', step, pg_temp.t(n), at)), expected, format('%s of %s at %s', step, n, at))
  FROM (VALUES (131, 'turn_on', '2026-02-01', 'on_already'), (131, 'turn_off', '2026-02-01', 'done'), (131, 'turn_off', '2026-02-01', 'off_already'), (131, 'turn_off', '2026-03-01', 'off_already'),
               (131, 'turn_off', '2026-01-15', 'order_of_time'), (131, 'turn_on', '2026-01-15', 'order_of_time'), (131, 'turn_on', '2026-03-01', 'done'), (131, 'turn_on', '2026-03-01', 'on_already'),
               (131, 'turn_off', '2026-02-15', 'order_of_time'), (131, 'turn_on', '2026-02-15', 'order_of_time'), (131, 'turn_off', '2026-03-01', 'done'), (131, 'turn_on', '2026-03-01', 'done'),
               (131, 'turn_off', '2026-04-01', 'done'),
               (132, 'turn_off', '2026-05-01', 'off_without_standalone'), (132, 'turn_off', '2026-06-30', 'off_without_standalone'), (132, 'turn_off', '2026-07-01', 'done'),
               (133, 'turn_off', '2026-05-01', 'done')) v(n, step, at, expected);
SELECT results_eq($$SELECT valid FROM eiot.monitoring_off WHERE tenant_id = pg_temp.t(131) ORDER BY valid$$, $$VALUES (tstzrange('2026-02-01', '2026-03-01')), (tstzrange('2026-04-01', NULL))$$,
                  'what was off for no time is not recorded');
SELECT is(pg_temp.rule_of(format('purchase(%L, 3, ''month'', 1.20, ''EUR'', %L)', pg_temp.t(131), at)), expected, format('a purchase at %s', at))
  FROM (VALUES ('2026-02-15', 'order_of_time'), ('2026-03-15', 'order_of_time'), ('2026-05-01', 'done')) v(at, expected);
SELECT is(eiot.capacity_at(pg_temp.t(131), '2026-05-01'), 23::bigint, 'a purchase turns monitoring on, for all licenses');

-- ---- legacy plans

SELECT pg_temp.hold(141, 'legacy', 100, '[2022-01-01,)'), pg_temp.hold(141, 'legacy', 200, '[2022-01-01,2023-06-01 00:30)'), pg_temp.hold(141, 'legacy', 300, '[2022-01-01,2024-01-01)'), pg_temp.hold(141, 'legacy', 300, '[2025-01-01,)'),
       pg_temp.hold(142, 'legacy', 100, '[2022-01-01,2023-06-01 00:30)');
SELECT is(eiot.cancel_legacy_plan(pg_temp.t(141), '2023-06-01'), timestamptz '2023-06-01 01:00', 'a cancellation takes effect an hour later');
SELECT results_eq($$SELECT units, upper(valid), end_recorded_by = CURRENT_USER FROM eiot.entitlement WHERE tenant_id = pg_temp.t(141) ORDER BY lower(valid), units, upper(valid)$$,
                  $$VALUES (100::bigint, timestamptz '2023-06-01 01:00', true), (200, '2023-06-01 00:30', NULL), (300, '2023-06-01 01:00', true), (300, NULL, NULL)$$, 'for every plan in effect that would go on');
SELECT is(pg_temp.rule_of(format('cancel_legacy_plan(%L, ''2023-06-01'')', pg_temp.t(142))), 'canceled_once', 'not for one that ends within the hour');

-- ---- purging

INSERT INTO lived.device (tenant_id, device_id) SELECT pg_temp.t(n), i::text FROM generate_series(141, 142) n CROSS JOIN generate_series(1, 5) i;
INSERT INTO eiot.import_reject (inventory, tenant_id, ordinal, reason, body) VALUES ('lived.device', pg_temp.t(141), 1, 'x', '{}'), ('lived.device', pg_temp.t(142), 1, 'x', '{}'), ('another', pg_temp.t(141), 1, 'x', '{}');
SELECT is(eiot.purge_devices('lived.device', pg_temp.t(141)), 5::bigint, 'five devices are purged');
SELECT results_eq('SELECT tenant_id, count(*) FROM lived.device GROUP BY 1', 'VALUES (pg_temp.t(142), 5::bigint)', 'those of the other tenant stay');
SELECT results_eq('SELECT inventory, tenant_id FROM eiot.import_reject ORDER BY 1', $$VALUES ('another', pg_temp.t(141)), ('lived.device', pg_temp.t(142))$$, 'and so do rejected rows of others');

-- ---- with the rights of a manager of the tenant, and of nobody

CREATE ROLE eiot_test_steps;
CREATE ROLE eiot_test_reader;
SELECT eiot.grant_access('eiot_test_steps', 'manager', pg_temp.t(115)), eiot.grant_access('eiot_test_reader', 'reader', pg_temp.t(115));
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_temp TO eiot_test_steps, eiot_test_reader;
GRANT ALL ON known TO eiot_test_steps;
INSERT INTO known VALUES (115, NULL);
SET LOCAL ROLE eiot_test_steps;
SELECT eiot.start_trial(pg_temp.t(115), '2026-01-01');
UPDATE known SET id = eiot.purchase(pg_temp.t(115), 3, 'month', 1, 'EUR', '2026-02-01') WHERE n = 115;
UPDATE known SET id = eiot.change_units(id, 4, '2026-02-01') WHERE n = 115;
UPDATE known SET id = eiot.assign_units(id, 4, '2026-02-02') WHERE n = 115;
UPDATE known SET id = eiot.change_billing(id, 'year', 10, '2026-03-01') WHERE n = 115;
UPDATE known SET id = eiot.change_units(id, 0, '2026-03-02') WHERE n = 115;
SELECT eiot.turn_off(pg_temp.t(115), '2026-05-01');
SELECT eiot.turn_on(pg_temp.t(115), '2026-06-01');
RESET ROLE;
SELECT bag_eq($$SELECT what, recorded_by = 'eiot_test_steps' FROM eiot.history(pg_temp.t(115))$$,
              $$VALUES ('added', false), ('trial started', true), ('purchased', true), ('units assigned', true), ('billing changed', true), ('ended', true), ('trial ended', true),
                       ('monitoring turned off', true), ('monitoring turned on', true), ('ended', false)$$, 'a manager can take every step');
SET LOCAL ROLE eiot_test_reader;
SELECT lives_ok($$SELECT * FROM eiot.history(pg_temp.t(115))$$, 'a reader reads the story');
SELECT throws_ok($$SELECT eiot.turn_off(pg_temp.t(115), '2026-07-01')$$, '42501', NULL, 'and takes none');
SELECT is_empty($$SELECT * FROM eiot.history(pg_temp.t(112))$$, 'nor hears that of others');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
