-- What tenants hold, when, and what capacity that gives.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT plan(236);

-- ---- SKUs: every id of Microsoft's list that matters here

CREATE TEMP TABLE published (sku_id uuid, part_number text, kind text, devices_per_unit bigint, includes_defender_p2 boolean);
INSERT INTO published VALUES
  -- those that the list shows the EIoT service plan in
  ('06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'SPE_E5', 'user_license', 5, true),
  ('db684ac5-c0e7-4f92-8284-ef9ebde75d33', 'Microsoft_365_E5', 'user_license', 5, true),
  ('18a4bd3f-0b5b-4887-b04f-61dd0ee15f5e', 'Microsoft_365_E5_(no_Teams)', 'user_license', 5, true),
  ('99cc8282-2f74-4954-83b7-c6a9a1999067', 'M365_E5_SUITE_COMPONENTS', 'user_license', 5, true),
  ('a91fc4e0-65e5-4266-aa76-4037509c1626', 'SPE_E5_CALLINGMINUTES', 'user_license', 5, true),
  ('cd2925a3-5076-4233-8931-638a8c94f773', 'SPE_E5_NOPSTNCONF', 'user_license', 5, true),
  ('2113661c-6509-4034-98bb-9c47bd28d63c', 'Microsoft_365_E5_without_Audio_Conferencing', 'user_license', 5, true),
  ('9a18296a-025f-4e37-9ffa-30bf8d1ce775', 'MICROSOFT_365_E7', 'user_license', 5, true),
  -- E5 and E5 Security by name
  ('26124093-3d78-432b-b5dc-48bf992543d5', 'IDENTITY_THREAT_PROTECTION', 'user_license', 5, true),
  ('44ac31e7-2999-4304-ad94-c948886741d4', 'IDENTITY_THREAT_PROTECTION_FOR_EMS_E5', 'user_license', 5, true),
  ('3271cf8e-2be5-4a09-a549-70fd05baaa17', 'O365_w/o_Teams_Bundle_M5', 'user_license', 5, true),
  ('1e988bf3-8b7c-4731-bec0-4e2a2946600c', 'O365_w/o_Teams_Bundle_M5_(500_seats_min)_HUB', 'user_license', 5, true),
  ('6ee4114a-9b2d-4577-9e7a-49fa43d222d3', 'Microsoft_365_E5_EEA_(no_Teams)_with_Calling_Minutes', 'user_license', 5, true),
  ('90277bc7-a6fe-4181-99d8-712b08b8d32b', 'Microsoft_365_E5_EEA_(no_Teams)_without_Audio_Conferencing', 'user_license', 5, true),
  ('a640eead-25f6-4bec-97e3-23cfd382d7c2', 'Microsoft_365_E5_EEA_(no_Teams)_without_Audio_Conferencing_(500_seats_min)_HUB', 'user_license', 5, true),
  ('4eb45c5b-0d19-4e33-b87c-adfc25268f20', 'SPE_E5_USGOV_GCCHIGH', 'user_license', 5, true),
  -- nothing says that these cover devices
  ('e2be619b-b125-455f-8660-fb503e431a5d', 'M365_G5_GCC', 'user_license', 0, true),
  ('b0f809d5-a662-4391-a5aa-136e9c565b9d', 'M365_G5_GOV', 'user_license', 0, false),
  ('e97c048c-37a4-45fb-ab50-922fbf07a370', 'M365EDU_A5_FACULTY', 'user_license', 0, true),
  ('46c119d4-0379-4a9d-85e4-97c66d3f909e', 'M365EDU_A5_STUDENT', 'user_license', 0, true),
  ('31d57bc7-3a05-4867-ab53-97a17835a411', 'M365EDU_A5_STUUSEBNFT', 'user_license', 0, false),
  ('81441ae1-0b31-4185-a6c0-32b6b84d419f', 'M365EDU_A5_NOPSTNCONF_STUUSEBNFT', 'user_license', 0, false),
  ('9b8fe788-6174-4c4e-983b-3330c93ec278', 'M365_A5_SUITE_COMPONENTS_FACULTY', 'user_license', 0, false),
  ('67ffe999-d9ca-49e1-9d2c-03fb28aa7a48', 'SPE_F5_SEC', 'user_license', 0, true),
  ('32b47245-eb31-44fc-b945-a8b1576c439f', 'SPE_F5_SECCOMP', 'user_license', 0, true),
  ('2347355b-4e81-41a4-9c22-55057a399791', 'M365_SECURITY_COMPLIANCE_FOR_FLW', 'user_license', 0, true),
  ('c42b9cae-ea4f-4ab7-9717-81576235ccac', 'DEVELOPERPACK_E5', 'user_license', 0, false),
  ('184efa21-98c3-4e5d-95ab-d07053a96e67', 'INFORMATION_PROTECTION_COMPLIANCE', 'other', 0, false),
  ('c7df2760-2c81-4ef7-b578-5b5392b571df', 'ENTERPRISEPREMIUM', 'other', 0, false),
  -- Defender for Endpoint
  ('111046dd-295b-4d6d-9724-d52ac90bd1f2', 'WIN_DEF_ATP', 'prerequisite', 0, true),
  ('b126b073-72db-4a9d-87a4-b17afe41d4ab', 'MDATP_XPLAT', 'prerequisite', 0, true),
  ('e430a580-c37b-4d16-adba-d881d7cd0364', 'Microsoft_Defender_for_Endpoint_F2', 'prerequisite', 0, true),
  ('509e8ab6-0274-4cda-bcbd-bd164fd562c4', 'MDATP_Server', 'prerequisite', 0, true),
  ('16a55f2f-ff35-4cd5-9146-fb784e3761a5', 'DEFENDER_ENDPOINT_P1', 'other', 0, false),
  ('bba890d4-7881-4584-8102-0c3fdfb739a7', 'DEFENDER_ENDPOINT_P1_EDU', 'other', 0, false),
  ('5e1e7702-a2b7-4360-8d07-2f515792896f', 'MDE_SMB', 'other', 0, false),
  ('488ba24a-39a9-4473-8ee5-19291e71b002', 'WIN10_VDA_E5', 'prerequisite', 0, true),
  ('1e7e1070-8ccb-4aca-b470-d7cb538cb07e', 'WIN_ENT_E5', 'prerequisite', 0, true),
  -- the add-on, whose part number was never published
  ('b2f91841-252f-4765-94c3-75802d7c0ddb', NULL, 'device_license', 1, false);

SELECT is((SELECT count(*) FROM published), 39::bigint, 'the list has 39 products');
SELECT is((SELECT (part_number, kind, devices_per_unit, includes_defender_p2, shipped)::text FROM eiot.sku s WHERE s.sku_id = p.sku_id),
          (part_number, kind, devices_per_unit, includes_defender_p2, true)::text,
          format('shipped: %s %s', p.sku_id, p.part_number))
  FROM published p;
SELECT set_eq('SELECT kind, devices_per_unit FROM eiot.sku WHERE shipped AND sku_id NOT IN (SELECT sku_id FROM published)',
              $$VALUES ('trial', 1::bigint), ('legacy_plan', 1)$$, 'besides these only the trial and the legacy plan are shipped');
SELECT is_empty('SELECT sku_id FROM eiot.sku WHERE shipped AND (basis IS NULL OR name = '''')', 'each says where its devices per unit come from');
SELECT is_empty($$SELECT sku_id FROM eiot.sku WHERE shipped AND (basis = 'unknown') <> (kind = 'user_license' AND devices_per_unit = 0)$$,
                'user licenses without a source, and only they, are marked as unknown');

-- ---- what the tests write with

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('a0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
CREATE FUNCTION pg_temp.sku(name text) RETURNS uuid
  LANGUAGE sql STABLE
  RETURN CASE name WHEN 'e5' THEN '06ebc4ee-1bb5-47dd-8120-11324bc54e06'
                   WHEN 'e5 security' THEN '26124093-3d78-432b-b5dc-48bf992543d5'
                   WHEN 'addon' THEN 'b2f91841-252f-4765-94c3-75802d7c0ddb'
                   WHEN 'p2' THEN '111046dd-295b-4d6d-9724-d52ac90bd1f2'
                   WHEN 'f5' THEN '67ffe999-d9ca-49e1-9d2c-03fb28aa7a48'
                   WHEN 'trial' THEN 'e1070000-0000-4000-8000-000000000001'
                   WHEN 'legacy' THEN 'e1070000-0000-4000-8000-000000000002' END::uuid;
CREATE FUNCTION pg_temp.hold(n integer, sku text, units bigint, valid text DEFAULT '[2026-01-01,2027-01-01)',
                             state text DEFAULT 'enabled', subscription text DEFAULT NULL) RETURNS bigint
  LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, state, subscription_id)
  VALUES (pg_temp.t(n), pg_temp.sku(sku), units, valid::tstzrange, state, COALESCE(subscription, gen_random_uuid()::text))
  RETURNING entitlement_id;
END;

INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 20) n;

-- ---- constraints

SELECT throws_ok(statement, errcode, NULL, what)
  FROM (VALUES
    ($$SELECT pg_temp.hold(1, 'e5', -1)$$, '23514', 'negative units'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, assigned_units) VALUES (pg_temp.t(1), pg_temp.sku('e5'), 1, -1)$$, '23514', 'negative assigned units'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (pg_temp.t(1), pg_temp.sku('e5'), NULL)$$, '23502', 'no units'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (pg_temp.t(1), pg_temp.sku('e5'), '2.5')$$, '22P02', 'half a unit'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (pg_temp.t(1), pg_temp.sku('e5'), '9223372036854775808')$$, '22003', 'units beyond bigint'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES ('no tenant', pg_temp.sku('e5'), 1)$$, '22P02', 'a tenant id that is no UUID'),
    ($$INSERT INTO eiot.entitlement (sku_id, units) VALUES (pg_temp.sku('e5'), 1)$$, '23502', 'no tenant'),
    ($$INSERT INTO eiot.entitlement (tenant_id, units) VALUES (pg_temp.t(1), 1)$$, '23502', 'no SKU'),
    ($$SELECT pg_temp.hold(99, 'e5', 1)$$, '23503', 'an unknown tenant'),
    ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (pg_temp.t(1), pg_temp.t(1), 1)$$, '23503', 'an unknown SKU'),
    ($$SELECT pg_temp.hold(1, 'e5', 1, state => 'Enabled')$$, '23514', 'a state that is none'),
    ($$SELECT pg_temp.hold(1, 'e5', 1, state => '')$$, '23514', 'an empty state'),
    ($$SELECT pg_temp.hold(1, 'e5', 1, valid => 'empty')$$, '23514', 'an empty range'),
    ($$SELECT pg_temp.hold(1, 'e5', 1, valid => '[2026-01-01,2026-01-01)')$$, '23514', 'a range of no time'),
    ($$SELECT pg_temp.hold(1, 'e5', 1, valid => '[2026-02-01,2026-01-01)')$$, '22000', 'a range that ends before it starts'),
    ($$SELECT pg_temp.hold(1, 'e5', 1, valid => 'always')$$, '22P02', 'a range that is none'),
    ($$INSERT INTO eiot.tenant (tenant_id, name) VALUES (pg_temp.t(99), '')$$, '23514', 'a tenant without a name'),
    ($$INSERT INTO eiot.tenant (tenant_id) VALUES (pg_temp.t(99))$$, '23502', 'a tenant with a null name'),
    ($$INSERT INTO eiot.tenant (tenant_id, name) VALUES (pg_temp.t(1), 'Twice')$$, '23505', 'a tenant twice'),
    ($$UPDATE eiot.tenant SET counting_rule = 'no such rule' WHERE tenant_id = pg_temp.t(1)$$, '23503', 'a tenant pinned to an unknown rule'),
    ($$INSERT INTO eiot.sku (sku_id, name, kind) VALUES (pg_temp.t(1), 'A', 'user license')$$, '23514', 'a kind of SKU that is none'),
    ($$INSERT INTO eiot.sku (sku_id, name, devices_per_unit) VALUES (pg_temp.t(1), 'A', -1)$$, '23514', 'a SKU with negative devices'),
    ($$INSERT INTO eiot.sku (sku_id) VALUES (pg_temp.t(1))$$, '23502', 'a SKU without a name')
  ) v(statement, errcode, what);
SELECT is_empty('SELECT * FROM eiot.entitlement', 'none of which left anything');
SELECT lives_ok($$SELECT pg_temp.hold(1, 'e5', 0)$$, 'no units at all can be held');

-- Rows of one subscription and state do not overlap.
SELECT lives_ok($$SELECT pg_temp.hold(2, 'e5', 10, '[2026-01-01,2026-07-01)', 'enabled', 'one')$$, 'a first row');
SELECT throws_ok(format($$SELECT pg_temp.hold(2, 'e5', 10, %L, 'enabled', 'one')$$, valid), '23P01', NULL, format('overlap refused: %s', valid))
  FROM (VALUES ('[2026-01-01,2026-07-01)'), ('[2026-06-30,2026-08-01)'), ('[2025-01-01,2026-01-01]'), ('[2026-03-01,2026-03-02)'),
               ('(,)'), ('[2026-06-30 23:59:59.999999,)')) v(valid);
SELECT lives_ok(format($$SELECT pg_temp.hold(2, 'e5', 10, %L, 'enabled', 'one')$$, valid), format('side by side: %s', valid))
  FROM (VALUES ('[2026-07-01,2026-08-01)'), ('[2025-01-01,2026-01-01)'), ('[2026-08-01,)')) v(valid);
SELECT lives_ok(statement, what)
  FROM (VALUES ($$SELECT pg_temp.hold(2, 'e5', 10, '(,)', 'enabled', 'two')$$, 'another subscription may overlap'),
               ($$SELECT pg_temp.hold(2, 'e5', 10, '(,)', 'warning', 'one')$$, 'another state may overlap'),
               ($$SELECT pg_temp.hold(2, 'e5', 10, '(,)', 'suspended', 'one')$$, 'a third state may overlap'),
               ($$SELECT pg_temp.hold(2, 'addon', 10, '(,)', 'enabled', 'one')$$, 'another SKU may overlap'),
               ($$SELECT pg_temp.hold(3, 'e5', 10, '(,)', 'enabled', 'one')$$, 'another tenant may overlap'),
               ($$SELECT pg_temp.hold(3, 'e5', 10, '(,)')$$, 'a row without a subscription is one of its own'),
               ($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units) SELECT pg_temp.t(4), pg_temp.sku('e5'), 1 FROM generate_series(1, 3)$$,
                'as often as you like')) v(statement, what);
SELECT throws_ok($$UPDATE eiot.entitlement SET valid = '(,)' WHERE tenant_id = pg_temp.t(2) AND subscription_id = 'one' AND lower(valid) = '2026-08-01'$$,
                 '23P01', NULL, 'an update into an overlap is refused');
SELECT throws_ok($$UPDATE eiot.entitlement SET state = 'enabled' WHERE tenant_id = pg_temp.t(2) AND state = 'suspended'$$,
                 '23P01', NULL, 'so is a change of state into one');
SELECT throws_ok($$DELETE FROM eiot.tenant WHERE tenant_id = pg_temp.t(2)$$, '23503', NULL, 'a tenant with entitlements stays');
SELECT throws_ok($$INSERT INTO eiot.sku (sku_id, name) VALUES (pg_temp.t(50), 'Ours');
                   INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES (pg_temp.t(4), pg_temp.t(50), 1);
                   DELETE FROM eiot.sku WHERE sku_id = pg_temp.t(50)$$, '23503', NULL, 'a SKU that is held stays');
SELECT results_eq($$SELECT DISTINCT source, assigned_units, state, recorded_at = now(), recorded_by = CURRENT_USER FROM eiot.entitlement WHERE tenant_id = pg_temp.t(4)$$,
                  $$VALUES ('manual', 0::bigint, 'enabled', true, true)$$, 'the defaults');
SELECT is((SELECT count(DISTINCT subscription_id) FROM eiot.entitlement WHERE tenant_id = pg_temp.t(4) AND lower(valid) = now() AND upper_inf(valid)),
          3::bigint, 'a row without a range is valid from now on');

-- ---- capacity over time

DELETE FROM eiot.entitlement;
SELECT lives_ok($$SELECT pg_temp.hold(1, 'e5', 10, '[2026-01-01,2026-07-01)'), pg_temp.hold(1, 'addon', 7, '[2026-04-01,2026-10-01)')$$, 'two terms');
SELECT is(eiot.capacity_at(pg_temp.t(1), as_of), capacity, format('capacity at %s', as_of))
  FROM (VALUES (timestamptz '-infinity', 0::bigint), ('2020-01-01', 0),
               ('2025-12-31 23:59:59.999999', 0), ('2026-01-01', 50), ('2026-01-01 00:00:00.000001', 50),
               ('2026-03-31 23:59:59.999999', 50), ('2026-04-01', 57), ('2026-06-30 23:59:59.999999', 57),
               ('2026-07-01', 7), ('2026-09-30 23:59:59.999999', 7), ('2026-10-01', 0), ('2099-01-01', 0), ('infinity', 0)) v(as_of, capacity);
SELECT is(eiot.capacity_at(pg_temp.t(1), as_of::timestamptz), capacity, format('an instant is one whatever the zone: %s', as_of))
  FROM (VALUES ('2026-01-01 01:59:59+02', 0::bigint), ('2026-01-01 02:00:00+02', 50), ('2025-12-31 19:00:00-05', 50), ('2025-12-31 18:59:59-05', 0)) v(as_of, capacity);

SELECT lives_ok($$SELECT pg_temp.hold(5, 'addon', 1, '(2026-01-01,2026-02-01]'), pg_temp.hold(5, 'addon', 10, '(,2026-01-01]'),
                         pg_temp.hold(5, 'addon', 100, '[2026-02-01,)'), pg_temp.hold(5, 'addon', 1000, '(,)')$$, 'bounds of every kind');
SELECT is(eiot.capacity_at(pg_temp.t(5), as_of), capacity, format('bounds at %s', as_of))
  FROM (VALUES (timestamptz '-infinity', 1010::bigint), ('2026-01-01', 1010), ('2026-01-01 00:00:00.000001', 1001), ('2026-02-01', 1101),
               ('2026-02-01 00:00:00.000001', 1100), ('infinity', 1100)) v(as_of, capacity);

-- Several terms of one SKU, renewed without a hole.
SELECT lives_ok($$SELECT pg_temp.hold(6, 'e5', 100, '[2025-01-01,2026-01-01)', subscription => 'main'),
                         pg_temp.hold(6, 'e5', 120, '[2026-01-01,2027-01-01)', subscription => 'main'),
                         pg_temp.hold(6, 'e5', 30, '[2025-11-01,2026-02-01)', subscription => 'extra'),
                         pg_temp.hold(6, 'e5 security', 2, '[2025-11-01,2026-02-01)')$$, 'terms of one SKU');
SELECT is(eiot.capacity_at(pg_temp.t(6), as_of), capacity, format('terms add up at %s', as_of))
  FROM (VALUES (timestamptz '2025-10-31', 500::bigint), ('2025-11-01', 660), ('2025-12-31 23:59:59.999999', 660), ('2026-01-01', 760),
               ('2026-02-01', 600), ('2027-01-01', 0)) v(as_of, capacity);

-- What each SKU gives.
SELECT lives_ok($$SELECT pg_temp.hold(7, sku, 1000, format('[2026-0%s-01,2026-0%1$s-15)', month))
                    FROM (VALUES ('e5', 1), ('e5 security', 2), ('addon', 3), ('p2', 4), ('f5', 5), ('trial', 6), ('legacy', 7)) v(sku, month)$$,
                'a SKU a month');
SELECT is(eiot.capacity_at(pg_temp.t(7), format('2026-0%s-02', month)::timestamptz), capacity, format('1000 units of %s', sku))
  FROM (VALUES ('E5', 1, 5000::bigint), ('E5 Security', 2, 5000), ('the add-on', 3, 1000), ('Defender for Endpoint P2', 4, 0), ('F5 Security', 5, 0),
               ('the trial', 6, 1000), ('the legacy plan', 7, 1000)) v(sku, month, capacity);

-- States, with one digit each.
SELECT lives_ok($$SELECT pg_temp.hold(8, 'addon', 1, state => 'enabled'), pg_temp.hold(8, 'addon', 10, state => 'warning'),
                         pg_temp.hold(8, 'addon', 100, state => 'suspended'), pg_temp.hold(8, 'addon', 1000, state => 'locked_out')$$, 'all states');
SELECT is(eiot.capacity_at(pg_temp.t(8), '2026-06-01'), 11::bigint, 'enabled and warning count');
SELECT is(eiot.count_warning_units(), true, 'eiot.count_warning_units is on');
SET LOCAL eiot.count_warning_units = off;
SELECT is(eiot.capacity_at(pg_temp.t(8), '2026-06-01'), 1::bigint, 'only enabled counts where eiot.count_warning_units is off');
SELECT is(eiot.count_warning_units(), false, 'and the function says so');
SELECT is((SELECT sum(capacity) FROM eiot.entitlement_capacity WHERE tenant_id = pg_temp.t(8)), 1::numeric, 'eiot.entitlement_capacity follows');
SET LOCAL eiot.count_warning_units = on;
SELECT is(eiot.capacity_at(pg_temp.t(8), '2026-06-01'), 11::bigint, 'and on again');
SELECT throws_ok($$SET LOCAL eiot.count_warning_units = 'perhaps'$$, '22023', NULL, 'a setting that is none');
SELECT results_eq($$SELECT capacity FROM eiot.entitlement_capacity WHERE tenant_id = pg_temp.t(8) ORDER BY 1$$, $$VALUES (1::bigint), (10)$$,
                  'eiot.entitlement_capacity leaves out what gives nothing');

-- Trials.
SELECT lives_ok($$SELECT pg_temp.hold(9, 'trial', 100, '[2026-06-01,2026-08-30)')$$, 'a trial of 100 devices');
SELECT is(eiot.capacity_at(pg_temp.t(9), as_of), capacity, format('trial at %s', as_of))
  FROM (VALUES (timestamptz '2026-05-31 23:59:59.999999', 0::bigint), ('2026-06-01', 100), ('2026-08-29 23:59:59.999999', 100), ('2026-08-30', 0)) v(as_of, capacity);

SELECT lives_ok($$SELECT pg_temp.hold(10, 'trial', eiot.unlimited(), '[2026-06-01,2026-07-01)'), pg_temp.hold(10, 'e5', 10),
                         pg_temp.hold(10, 'trial', eiot.unlimited(), '[2026-06-15,2026-06-20)')$$, 'an unlimited trial beside 10 E5, and one more');
SELECT is(eiot.capacity_at(pg_temp.t(10), as_of), capacity, format('unlimited trial at %s', as_of))
  FROM (VALUES (timestamptz '2026-05-31', 50::bigint), ('2026-06-01', eiot.unlimited()), ('2026-06-16', eiot.unlimited()),
               ('2026-06-30 23:59:59.999999', eiot.unlimited()), ('2026-07-01', 50)) v(as_of, capacity);
SELECT lives_ok($$SELECT pg_temp.hold(11, 'trial', eiot.unlimited(), state => 'suspended'), pg_temp.hold(11, 'p2', eiot.unlimited()),
                         pg_temp.hold(11, 'trial', eiot.unlimited(), state => 'warning', valid => '[2026-03-01,2026-04-01)')$$,
                'unlimited units that give nothing');
SELECT is(eiot.capacity_at(pg_temp.t(11), '2026-06-01'), 0::bigint, 'suspended, or of a SKU without devices, unlimited units are nothing');
SELECT is(eiot.capacity_at(pg_temp.t(11), '2026-03-01'), eiot.unlimited(), 'in warning they count');
SET LOCAL eiot.count_warning_units = off;
SELECT is(eiot.capacity_at(pg_temp.t(11), '2026-03-01'), 0::bigint, 'unless the setting is off');
SET LOCAL eiot.count_warning_units = on;

-- Beyond bigint.
SELECT lives_ok($$SELECT pg_temp.hold(12, 'e5', 1844674407370955161, '[2026-01-01,2026-02-01)'),
                         pg_temp.hold(12, 'e5', 1844674407370955162, '[2026-02-01,2026-03-01)'),
                         pg_temp.hold(12, 'addon', 9223372036854775806, '[2026-03-01,2026-05-01)'),
                         pg_temp.hold(12, 'addon', 9223372036854775806, '[2026-04-01,2026-05-01)'),
                         pg_temp.hold(12, 'p2', 9223372036854775806, '[2026-05-01,2026-06-01)'),
                         pg_temp.hold(12, 'e5', 9223372036854775806, '[2026-05-01,2026-06-01)', state => 'suspended')$$, 'enormous units');
SELECT is(eiot.capacity_at(pg_temp.t(12), '2026-01-15'), 9223372036854775805, 'the largest multiple of five');
SELECT throws_ok($$SELECT eiot.capacity_at(pg_temp.t(12), '2026-02-15')$$, '22003', NULL, 'units times devices beyond bigint');
SELECT is(eiot.capacity_at(pg_temp.t(12), '2026-03-15'), 9223372036854775806, 'the largest capacity that is not unlimited');
SELECT throws_ok($$SELECT eiot.capacity_at(pg_temp.t(12), '2026-04-15')$$, '22003', NULL, 'a sum beyond bigint');
SELECT is(eiot.capacity_at(pg_temp.t(12), '2026-05-15'), 0::bigint, 'what gives nothing overflows nothing');
SELECT lives_ok($$SELECT pg_temp.hold(12, 'addon', 1, '[2026-03-20,2026-03-21)'), pg_temp.hold(12, 'trial', eiot.unlimited(), '[2026-04-20,2026-04-21)')$$, 'one more');
SELECT throws_ok($$SELECT eiot.capacity_at(pg_temp.t(12), '2026-03-20')$$, '22003', NULL, 'a sum that would look unlimited is none');
SELECT is(eiot.capacity_at(pg_temp.t(12), '2026-04-20'), eiot.unlimited(), 'with an unlimited trial the sum is unlimited');

-- Nothing, nobody, null.
SELECT is(eiot.capacity_at(pg_temp.t(13), '2026-06-01'), 0::bigint, 'a tenant without entitlements');
SELECT is(eiot.capacity_at(pg_temp.t(99), '2026-06-01'), 0::bigint, 'an unknown tenant');
SELECT is(eiot.capacity_at(NULL, '2026-06-01'), NULL, 'no tenant');
SELECT is(eiot.capacity_at(pg_temp.t(1), NULL), NULL, 'no instant');
SELECT is_empty('SELECT * FROM eiot.licensed_capacity(NULL)', 'licensed_capacity of no instant');
SELECT set_eq($$SELECT tenant_id, capacity FROM eiot.licensed_capacity('2026-06-16')$$,
              $$SELECT t.tenant_id, eiot.capacity_at(t.tenant_id, '2026-06-16') FROM eiot.tenant t
                 WHERE EXISTS (SELECT FROM eiot.entitlement_capacity e WHERE e.tenant_id = t.tenant_id AND e.valid @> timestamptz '2026-06-16')$$,
              'licensed_capacity has those that are licensed');

-- ---- the view of now

DELETE FROM eiot.entitlement;
SELECT lives_ok($$SELECT pg_temp.hold(1, 'e5', 2, tstzrange(now(), NULL)::text),
                         pg_temp.hold(2, 'e5', 2, tstzrange(now() - interval '1 day', now(), '[)')::text),
                         pg_temp.hold(3, 'e5', 2, tstzrange(now() - interval '1 day', now(), '[]')::text),
                         pg_temp.hold(4, 'e5', 2, tstzrange(now(), NULL, '(]')::text),
                         pg_temp.hold(5, 'trial', eiot.unlimited(), tstzrange(now() - interval '1 day', now() + interval '1 day')::text),
                         pg_temp.hold(6, 'e5', 2, '(,)', 'warning')$$, 'terms around now');
SELECT set_eq('SELECT * FROM eiot.capacity WHERE tenant_id <= pg_temp.t(7) AND tenant_id >= pg_temp.t(1)',
              $$VALUES (pg_temp.t(1), 10::bigint), (pg_temp.t(2), 0), (pg_temp.t(3), 10), (pg_temp.t(4), 0), (pg_temp.t(5), eiot.unlimited()),
                       (pg_temp.t(6), 10), (pg_temp.t(7), 0)$$, 'eiot.capacity is that of now');
SELECT set_eq('SELECT tenant_id, capacity FROM eiot.capacity', 'SELECT tenant_id, eiot.capacity_at(tenant_id, now()) FROM eiot.tenant',
              'eiot.capacity has every tenant');
SET LOCAL eiot.count_warning_units = off;
SELECT set_eq('SELECT tenant_id, capacity FROM eiot.capacity', 'SELECT tenant_id, eiot.capacity_at(tenant_id, now()) FROM eiot.tenant',
              'whatever the setting');
SET LOCAL eiot.count_warning_units = on;

CREATE SCHEMA entitled;
SELECT lives_ok($$SELECT eiot.create_inventory('entitled.device')$$, 'an inventory');
INSERT INTO entitled.device (tenant_id, device_id, category, last_seen) SELECT pg_temp.t(n), 'a', 'IoT', now() FROM generate_series(5, 7) n;
SELECT results_eq('SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, utilization FROM entitled.device_coverage WHERE tenant IN (''Tenant 5'', ''Tenant 6'', ''Tenant 7'') ORDER BY 1',
                  $$VALUES ('Tenant 5', 1::bigint, 1::bigint, NULL::bigint, true, 0::bigint, NULL::bigint, NULL::numeric),
                           ('Tenant 6', 1, 1, 10, false, 0, 9, 0.1), ('Tenant 7', 1, 1, 0, false, 1, 0, NULL)$$,
                  'an unlimited capacity is shown as null beside unlimited');

-- ---- shipped SKUs that the user changes

SELECT is((SELECT shipped FROM eiot.sku WHERE sku_id = pg_temp.sku('f5')), true, 'F5 Security is shipped');
UPDATE eiot.sku SET devices_per_unit = devices_per_unit, name = name WHERE sku_id = pg_temp.sku('f5');
SELECT results_eq($$SELECT shipped, overrides FROM eiot.sku WHERE sku_id = pg_temp.sku('f5')$$, 'VALUES (true, false)', 'an update that changes nothing leaves it so');
SELECT lives_ok($$SELECT pg_temp.hold(14, 'f5', 10)$$, 'ten of it');
SELECT is(eiot.capacity_at(pg_temp.t(14), '2026-06-01'), 0::bigint, 'give nothing');
UPDATE eiot.sku SET devices_per_unit = 5, basis = 'our agreement' WHERE sku_id = pg_temp.sku('f5');
SELECT results_eq($$SELECT shipped, overrides, devices_per_unit, basis FROM eiot.sku WHERE sku_id = pg_temp.sku('f5')$$, $$VALUES (false, true, 5::bigint, 'our agreement')$$,
                  'changed it is the user''s');
SELECT is(eiot.capacity_at(pg_temp.t(14), '2026-06-01'), 50::bigint, 'and counts at once, then as well');
UPDATE eiot.sku SET shipped = true, overrides = false WHERE sku_id = pg_temp.sku('f5');
SELECT results_eq($$SELECT shipped, overrides FROM eiot.sku WHERE sku_id = pg_temp.sku('f5')$$, 'VALUES (false, true)', 'whatever one says');
SELECT throws_ok(statement, '55000', NULL, what)
  FROM (VALUES ($$DELETE FROM eiot.sku WHERE part_number = 'M365_G5_GOV'$$, 'a shipped SKU cannot be deleted'),
               ($$DELETE FROM eiot.sku WHERE sku_id = pg_temp.sku('f5')$$, 'nor one that the user changed'),
               ($$UPDATE eiot.sku SET sku_id = pg_temp.t(1) WHERE part_number = 'M365_G5_GOV'$$, 'nor given another key'),
               ($$DELETE FROM eiot.counting_rule WHERE name = '2022-07'$$, 'nor can a shipped rule be deleted'),
               ($$UPDATE eiot.counting_rule SET name = 'ours' WHERE name = '2022-07'$$, 'or be given another key')) v(statement, what);

SELECT is((SELECT shipped FROM eiot.sku WHERE part_number = 'M365_G5_GCC'), true, 'G5 is shipped');
SELECT lives_ok($$INSERT INTO eiot.sku (sku_id, part_number, name, kind, devices_per_unit, basis)
                  SELECT sku_id, part_number, 'G5', kind, 5, 'our agreement' FROM eiot.sku WHERE part_number = 'M365_G5_GCC'$$, 'an insert over it');
SELECT results_eq($$SELECT name, shipped, overrides, devices_per_unit, includes_defender_p2 FROM eiot.sku WHERE part_number = 'M365_G5_GCC'$$, $$VALUES ('G5', false, true, 5::bigint, false)$$,
                  'takes its place, every column');
SELECT throws_ok($$INSERT INTO eiot.sku (sku_id, name) SELECT sku_id, 'again' FROM eiot.sku WHERE part_number = 'M365_G5_GCC'$$, '23505', NULL,
                 'but not the place of a user''s row');
SELECT lives_ok($$INSERT INTO eiot.sku (sku_id, name) VALUES (pg_temp.t(1), 'Ours')$$, 'a product of our own');
SELECT results_eq($$SELECT kind, devices_per_unit, shipped, overrides FROM eiot.sku WHERE sku_id = pg_temp.t(1)$$, $$VALUES ('other', 0::bigint, false, false)$$,
                  'is of kind other and covers nothing unless it says so');
UPDATE eiot.sku SET devices_per_unit = 3 WHERE sku_id = pg_temp.t(1);
SELECT results_eq($$SELECT shipped, overrides FROM eiot.sku WHERE sku_id = pg_temp.t(1)$$, 'VALUES (false, false)', 'a user''s row stays the user''s');
SELECT lives_ok($$UPDATE eiot.sku SET sku_id = pg_temp.t(2) WHERE sku_id = pg_temp.t(1); DELETE FROM eiot.sku WHERE sku_id = pg_temp.t(2)$$, 'its key can change, and it can be deleted');

-- ---- shipped counting rules, likewise

SELECT is((SELECT count(*) FROM eiot.counting_rule WHERE shipped), 8::bigint, 'eight rules are shipped');
UPDATE eiot.counting_rule SET source = source, valid = valid WHERE name = '2022-07';
SELECT results_eq($$SELECT shipped, overrides FROM eiot.counting_rule WHERE name = '2022-07'$$, 'VALUES (true, false)', 'an update that changes nothing leaves one so');
UPDATE eiot.counting_rule SET inactive_after = '60 days' WHERE name = '2022 draft';
SELECT results_eq($$SELECT shipped, overrides, inactive_after FROM eiot.counting_rule WHERE name = '2022 draft'$$, $$VALUES (false, true, interval '60 days')$$, 'a changed rule is the user''s');
SELECT lives_ok($$INSERT INTO eiot.counting_rule (name, counted_classes, source) VALUES ('2022 draft, managed subtracted', '{ot}', 'ours')$$, 'an insert over a shipped rule');
SELECT results_eq($$SELECT shipped, overrides, valid, counted_classes, inactive_after, rounding, source, counted_keys = eiot.counted_keys('{ot}', false, false)
                      FROM eiot.counting_rule WHERE name = '2022 draft, managed subtracted'$$,
                  $$VALUES (false, true, 'empty'::daterange, '{ot}'::eiot.device_class[], NULL::interval, 'none', 'ours', true)$$, 'takes its place, every column');
SELECT throws_ok($$INSERT INTO eiot.counting_rule (name, counted_classes) VALUES ('2022 draft', '{ot}')$$, '23505', NULL, 'but not the place of a user''s rule');
SELECT throws_ok(statement, errcode, NULL, what)
  FROM (VALUES
    ($$INSERT INTO eiot.counting_rule (name, counted_classes) VALUES ('', '{iot}')$$, '23514', 'a rule without a name'),
    ($$INSERT INTO eiot.counting_rule (name) VALUES ('x')$$, '23502', 'a rule without classes'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes) VALUES ('x', '{toaster}')$$, '22P02', 'a class that is none'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after) VALUES ('x', '{iot}', '-1 day')$$, '23514', 'a negative cut-off'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes, rounding) VALUES ('x', '{iot}', 'bankers')$$, '23514', 'a rounding that is none'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes, rounding_step) VALUES ('x', '{iot}', 0)$$, '23514', 'a step of 0'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes, trial_days) VALUES ('x', '{iot}', 0)$$, '23514', 'a trial of no days'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes, trial_devices) VALUES ('x', '{iot}', -1)$$, '23514', 'a trial of negative devices'),
    ($$INSERT INTO eiot.counting_rule (name, counted_classes, counted_keys) VALUES ('x', '{iot}', 1)$$, '428C9', 'counted keys of one''s own')
  ) v(statement, errcode, what);

INSERT INTO eiot.counting_rule (name, counted_classes) VALUES ('draft', '{medical}');
UPDATE eiot.tenant SET counting_rule = 'draft' WHERE tenant_id = pg_temp.t(1);
SELECT throws_ok($$DELETE FROM eiot.counting_rule WHERE name = 'draft'$$, '23503', NULL, 'a rule that a tenant is pinned to stays');
UPDATE eiot.counting_rule SET name = 'renamed' WHERE name = 'draft';
SELECT is((SELECT counting_rule FROM eiot.tenant WHERE tenant_id = pg_temp.t(1)), 'renamed', 'a pinned tenant follows a rename');
SELECT is((eiot.counting_rule_of(pg_temp.t(1), '2026-08-12')).name, 'renamed', 'and its rule');
SELECT is((eiot.counting_rule_of(pg_temp.t(2), as_of)).name, rule, format('rule of a tenant that is not pinned, %s', as_of))
  FROM (VALUES (timestamptz '2022-07-05 23:59:59.999999', NULL), ('2022-07-06', '2022-07'), ('2023-05-16 23:59:59', '2022-07'), ('2023-05-17', '2023-05'),
               ('2023-09-13', '2023-09'), ('2023-11-01', '2023-11'), ('2024-06-25', '2024-06'), ('2026-07-01 23:59:59', '2024-06'),
               ('2026-07-02', '2026-07'), ('2099-01-01', '2026-07')) v(as_of, rule);
SELECT is((eiot.counting_rule_of(pg_temp.t(99), '2026-08-12')).name, NULL, 'an unknown tenant has no rule');

-- ---- a rule of the user's own in place of the one in force

INSERT INTO entitled.device (tenant_id, device_id, category, last_seen)
  SELECT pg_temp.t(15), class || i, class, timestamptz '2026-08-12' - make_interval(days => i * 20)
    FROM (VALUES ('IoT'), ('OT'), ('Network device')) c(class) CROSS JOIN generate_series(0, 4) i;
CREATE FUNCTION pg_temp.counted(as_of timestamptz) RETURNS bigint
  LANGUAGE sql
  RETURN (SELECT counted FROM eiot.coverage_at('entitled.device', as_of) WHERE tenant_id = pg_temp.t(15));
SELECT is(pg_temp.counted('2026-08-12'), 2::bigint, 'IoT devices of the last 30 days count');
SELECT throws_ok($$INSERT INTO eiot.counting_rule (name, valid, counted_classes) VALUES ('ours', '[2026-08-01,)', '{iot,ot}');
                   SET CONSTRAINTS ALL IMMEDIATE$$, '23P01', NULL, 'two rules are not in force at a time');
SET CONSTRAINTS ALL DEFERRED;
SELECT lives_ok($$INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after) VALUES ('ours', '[2026-08-01,)', '{iot,ot}', '60 days');
                  UPDATE eiot.counting_rule SET valid = '[2026-07-02,2026-08-01)' WHERE name = '2026-07';
                  SET CONSTRAINTS ALL IMMEDIATE$$, 'ours follows the shipped one, in either order of the statements');
SET CONSTRAINTS ALL DEFERRED;
SELECT is((eiot.counting_rule_at('2026-08-12')).name, 'ours', 'it is in force');
SELECT is((eiot.counting_rule_at('2026-07-31 23:59:59')).name, '2026-07', 'from its first day on');
SELECT is((SELECT shipped FROM eiot.counting_rule WHERE name = '2026-07'), false, 'the one that it ended is the user''s');
SELECT is(pg_temp.counted('2026-08-12'), 8::bigint, 'IoT and OT devices of the last 60 days count');
SELECT is(pg_temp.counted('2026-07-31 23:59:59'), 3::bigint, 'the day before it is IoT devices of 30 days');
UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE tenant_id = pg_temp.t(15);
SELECT is(pg_temp.counted('2026-08-12'), 4::bigint, 'a pinned tenant keeps its rule');
UPDATE eiot.tenant SET counting_rule = NULL WHERE tenant_id = pg_temp.t(15);
SELECT lives_ok($$INSERT INTO eiot.counting_rule (name, valid, counted_classes) VALUES ('2026-07', '[2026-07-02,2026-08-01)', '{iot}') ON CONFLICT (name) DO UPDATE SET counted_classes = '{ot}'$$,
                'ON CONFLICT works on a user''s rule');
SELECT is((SELECT counted_keys FROM eiot.counting_rule WHERE name = '2026-07'), eiot.counted_keys('{ot}', false, false), 'counted keys follow');

SELECT * FROM finish();
ROLLBACK;
