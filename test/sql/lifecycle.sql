-- The life of a tenant's licenses, step by step, and what is refused.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
-- Messages name entitlements.
SELECT setval('eiot.entitlement_entitlement_id_seq', 20000);

INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('d2000000-0000-4000-8000-000000000001', 'Defender for Endpoint P2 alone'),
  ('d2000000-0000-4000-8000-000000000002', 'Microsoft 365 E5'),
  ('d2000000-0000-4000-8000-000000000003', 'Legacy plan'),
  ('d2000000-0000-4000-8000-000000000004', 'Nothing');
\set p2 '''d2000000-0000-4000-8000-000000000001'''
\set e5 '''d2000000-0000-4000-8000-000000000002'''
\set legacy '''d2000000-0000-4000-8000-000000000003'''
\set nothing '''d2000000-0000-4000-8000-000000000004'''
-- Keys are not what is shown here.
CREATE VIEW story AS
  SELECT t.name, h.at, h.what, h.product, h.units_before AS before, h.units_after AS after, h.recorded_by = CURRENT_USER AS mine, h.recorded_at IS NOT NULL AS recorded
    FROM eiot.tenant t CROSS JOIN LATERAL eiot.history(t.tenant_id) h
   WHERE t.tenant_id::text LIKE 'd2000000-%';
CREATE FUNCTION current(tenant uuid, kind text DEFAULT 'device_license') RETURNS bigint LANGUAGE sql AS
  'SELECT entitlement_id FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id) WHERE e.tenant_id = tenant AND s.kind = current.kind ORDER BY e.valid DESC LIMIT 1';

-- A tenant without Defender for Endpoint can neither try nor buy.
SELECT eiot.start_trial(:nothing, '2024-01-15 09:00');
SELECT eiot.purchase(:nothing, 10, 'month', 1.20, 'EUR', '2024-01-15 09:00');

-- One with Defender for Endpoint P2 tries: 100 devices for 90 days, as the rule of those days says.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (:p2, '111046dd-295b-4d6d-9724-d52ac90bd1f2', 50, '[2022-01-01,)');
SELECT eiot.start_trial(:p2, '2024-01-15 09:00') IS NOT NULL AS started;
SELECT at, eiot.capacity_at(:p2, at) FROM (VALUES (timestamptz '2024-01-15 08:59:59'), ('2024-01-15 09:00'), ('2024-04-14 08:59:59'), ('2024-04-14 09:00')) v(at);
SELECT eiot.start_trial(:p2, '2024-02-01');
-- It is of a fixed size, and a standalone license: monitoring stays on.
SELECT eiot.change_units(current(:p2, 'trial'), 200, '2024-02-01');
\set VERBOSITY terse
SELECT eiot.turn_off(:p2, '2024-02-01');
\set VERBOSITY default

-- Ten licenses, two more, five fewer; some are assigned.
SELECT eiot.purchase(:p2, 10, 'month', 1.20, 'EUR', '2024-04-01 10:00') IS NOT NULL AS purchased;
SELECT eiot.change_units(current(:p2), 12, '2024-04-10 16:30') = current(:p2) AS changed;
SELECT eiot.assign_units(current(:p2), 5, '2024-04-11') = current(:p2) AS assigned;
SELECT eiot.change_units(current(:p2), 7, '2024-05-03') = current(:p2) AS changed;
SELECT eiot.change_units(current(:p2), 7, '2024-05-04') = current(:p2) AS same;
SELECT eiot.assign_units(current(:p2), 8, '2024-05-04');
SELECT eiot.change_units(current(:p2), 9, '2024-05-02');
SELECT at, eiot.capacity_at(:p2, at) FROM (VALUES (timestamptz '2024-04-01 10:00'), ('2024-04-10 16:30'), ('2024-04-14 09:00'), ('2024-05-03')) v(at);
-- Another price, and five days later billed by the year; the currency stays, and the day that cycles count from.
SELECT eiot.change_billing(current(:p2), 'month', 1.30, '2024-05-15') = current(:p2) AS changed;
SELECT eiot.change_billing(current(:p2), 'year', 13, '2024-05-20') = current(:p2) AS changed;
SELECT eiot.change_billing(current(:p2), 'yearly', 13, '2024-05-21');
-- Who changes what somebody else changed meanwhile is told.
SELECT entitlement_id AS old FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id) WHERE tenant_id = :p2 AND kind = 'device_license' ORDER BY valid LIMIT 1 \gset
SELECT eiot.change_units(:old, 20, '2024-05-05');
-- Off only when there are none any more; none twice.
\set VERBOSITY terse
SELECT eiot.turn_off(:p2, '2024-06-01');
\set VERBOSITY default
SELECT current(:p2) AS last \gset
SELECT eiot.change_units(:last, 0, '2024-06-01');
SELECT eiot.change_units(:last, 0, '2024-06-02');
SELECT eiot.turn_off(:p2, '2024-06-01');
SELECT at, what, product, before, after, mine, recorded FROM story WHERE name LIKE 'Defender%' ORDER BY at;
-- A year billed by the month, of which units can be given back for seven days.
SELECT eiot.purchase(:p2, 10, 'month', 1.20, 'EUR', '2024-07-06 08:00', term => 'year', reduce_within => '7 days') AS yearly \gset
SELECT eiot.change_units(:yearly, 15, '2024-07-20') AS yearly \gset
SELECT eiot.change_units(:yearly, 9, '2024-07-22');
SELECT eiot.change_units(:yearly, 10, '2024-07-22') AS yearly \gset
SELECT eiot.change_units(:yearly, 0, '2024-07-25');
UPDATE eiot.entitlement SET reduce_within = NULL WHERE entitlement_id = :yearly;
SELECT eiot.change_units(:yearly, 0, '2024-07-25');
SELECT eiot.purchase(:p2, 10, 'year', 12, 'EUR', '2024-08-01', term => 'month');

-- Microsoft 365 E5 needs no trial, and can be turned off and on.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (:e5, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 240, '[2024-01-01,)');
SELECT eiot.start_trial(:e5, '2024-01-15');
SELECT eiot.turn_on(:e5, '2024-01-15');
SELECT eiot.turn_off(:e5, '2024-02-01');
SELECT eiot.turn_off(:e5, '2024-02-02');
SELECT eiot.turn_off(:e5, '2024-01-20');
SELECT eiot.turn_on(:e5, '2024-01-20');
SELECT eiot.turn_on(:e5, '2024-03-01');
SELECT eiot.turn_off(:e5, '2024-02-15');
SELECT at, eiot.capacity_at(:e5, at), eiot.next_capacity_change(:e5, at) FROM (VALUES (timestamptz '2024-01-31 23:59:59'), ('2024-02-01'), ('2024-03-01')) v(at);
-- A purchase turns monitoring on.
SELECT eiot.turn_off(:e5, '2024-04-01');
SELECT eiot.purchase(:e5, 4, 'year', 12, 'USD', '2024-05-01') IS NOT NULL AS purchased;
SELECT eiot.capacity_at(:e5, '2024-04-30') AS before, eiot.capacity_at(:e5, '2024-05-01') AS after;
SELECT at, what, product, before, after FROM story WHERE name = 'Microsoft 365 E5' ORDER BY at;

-- A legacy plan: recorded by hand, canceled with effect one hour later.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, billing_frequency, unit_price, currency, billing_anchor)
VALUES (:legacy, 'e1070000-0000-4000-8000-000000000002', 1000, '[2023-01-01,)', 'month', 0.90, 'USD', '2023-01-01');
SELECT eiot.cancel_legacy_plan(:p2, '2023-06-10 12:00');
SELECT eiot.change_units(current(:legacy, 'legacy_plan'), 900, '2023-06-01');
SELECT eiot.cancel_legacy_plan(:legacy, '2023-06-10 12:00');
SELECT eiot.cancel_legacy_plan(:legacy, '2023-06-10 12:30');
\set VERBOSITY terse
SELECT eiot.cancel_legacy_plan(:legacy, '2023-06-11');
\set VERBOSITY default
SELECT at, eiot.capacity_at(:legacy, at) FROM (VALUES (timestamptz '2023-06-10 12:59:59'), ('2023-06-10 13:00')) v(at);
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES
  (:legacy, 'e1070000-0000-4000-8000-000000000002', 100, '[2024-01-01,)'), (:legacy, '26124093-3d78-432b-b5dc-48bf992543d5', 1, '[2024-02-01,)');
SELECT eiot.cancel_legacy_plan(:legacy, '2024-02-01');
SELECT at, what, product, before, after FROM story WHERE name = 'Legacy plan' ORDER BY at;
-- Its devices stay until they are purged, and nobody else's go.
CREATE SCHEMA lived;
SELECT eiot.create_inventory('lived.device');
INSERT INTO lived.device (tenant_id, device_id, category) VALUES (:legacy, '1', 'IoT'), (:legacy, '2', 'IoT'), (:p2, '1', 'IoT');
SELECT eiot.purge_devices('lived.device', :legacy);
SELECT count(*) FROM lived.device;
SELECT eiot.purge_devices('lived.device', :legacy);
SELECT eiot.purge_devices('eiot.tenant', :legacy);

-- An import leaves alone what is kept here, and says so.
SELECT part_number, change, enabled, note FROM eiot.import_subscribed_skus(:e5,
  '[{"skuId": "b2f91841-252f-4765-94c3-75802d7c0ddb", "prepaidUnits": {"enabled": 6}}]', '2024-06-01');
SELECT eiot.change_units(current(:e5), 6, '2024-06-02') IS NOT NULL AS settled;
SELECT part_number, change, enabled, note FROM eiot.import_subscribed_skus(:e5,
  '[{"skuId": "b2f91841-252f-4765-94c3-75802d7c0ddb", "prepaidUnits": {"enabled": 6}}]', '2024-06-03');
-- And what imports keep is not bought here.
SELECT part_number, change, enabled, note FROM eiot.import_subscribed_skus(:p2,
  '[{"skuId": "b2f91841-252f-4765-94c3-75802d7c0ddb", "prepaidUnits": {"enabled": 6}}]', '2025-06-01');
\set VERBOSITY terse
SELECT eiot.purchase(:p2, 1, 'month', 1.20, 'EUR', '2025-07-01');
\set VERBOSITY default

-- What is no step at all.
\set VERBOSITY terse
SELECT eiot.purchase(:e5, 0, 'month', 1, 'EUR');
SELECT eiot.purchase(:e5, 1, 'monthly', 1, 'EUR');
SELECT eiot.purchase(:e5, 1, 'month', -1, 'EUR');
SELECT eiot.purchase(:e5, 1, 'month', 'NaN', 'EUR');
SELECT eiot.purchase(:e5, 1, 'month', 1, 'euro');
SELECT eiot.purchase(:e5, 1, 'month', 1, NULL);
SELECT eiot.purchase(:e5, 1000000000001, 'month', 1, 'EUR');
SELECT eiot.purchase(:e5, 1, 'month', 1, 'EUR', 'infinity');
SELECT eiot.purchase(:e5, 1, 'month', 1, 'EUR', NULL);
SELECT eiot.purchase(:e5, 1, 'month', 1, 'EUR', sku_id => '06ebc4ee-1bb5-47dd-8120-11324bc54e06');
SELECT eiot.start_trial('d2000000-0000-4000-8000-00000000ffff');
SELECT eiot.change_units(NULL, 1);
SELECT eiot.change_units(-1, 1);
SELECT eiot.assign_units(current(:e5), -1);
\set VERBOSITY default
-- Before a tenant held anything it can buy nothing, and has no history.
SELECT eiot.purchase(:e5, 1, 'month', 1, 'EUR', '1999-01-01');
SELECT count(*) FROM eiot.history(:nothing);

DROP SCHEMA lived CASCADE;
DROP VIEW story;
DROP FUNCTION current;
DELETE FROM eiot.monitoring_off WHERE tenant_id::text LIKE 'd2000000-%';
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'd2000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'd2000000-%';
