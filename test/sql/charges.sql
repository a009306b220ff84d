-- What a tenant is charged, line by line.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('d3000000-0000-4000-8000-000000000001', 'June 2021'),
  ('d3000000-0000-4000-8000-000000000002', 'March 2022'),
  ('d3000000-0000-4000-8000-000000000003', 'Others'),
  ('d3000000-0000-4000-8000-000000000004', 'Yen'),
  ('d3000000-0000-4000-8000-000000000005', 'Legacy plan');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
SELECT tenant_id, '111046dd-295b-4d6d-9724-d52ac90bd1f2', 50, '[2020-01-01,)' FROM eiot.tenant WHERE tenant_id::text LIKE 'd3000000-%';
CREATE FUNCTION bought(tenant integer) RETURNS bigint LANGUAGE sql AS
  'SELECT entitlement_id FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id) WHERE e.tenant_id::text = ''d3000000-0000-4000-8000-00000000000'' || tenant AND s.kind = ''device_license'' ORDER BY e.valid DESC LIMIT 1';

-- Microsoft's published examples: a change of units is the old ones credited and the new ones charged for the rest of the cycle.
-- Ten licenses, two more two days later, four fewer.
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000001', 10, 'month', 10.08, 'USD', '2021-06-18') IS NOT NULL AS bought;
SELECT eiot.change_units(bought(1), 12, '2021-06-20 09:00') IS NOT NULL AS more;
SELECT eiot.assign_units(bought(1), 12, '2021-06-20 10:00') IS NOT NULL AS assigned;
SELECT eiot.change_units(bought(1), 8, '2021-06-20 15:00') IS NOT NULL AS fewer;
SELECT kind, reason, used, cycle, units, unit_price, days, cycle_days, amount, currency
  FROM eiot.charges('d3000000-0000-4000-8000-000000000001', '[2021-06-01,2021-07-01)');
-- From then on by the cycle.
SELECT kind, reason, used, units, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000001', '[2021-07-01,2021-10-01)');

-- Ten licenses, and six changes within the cycle.
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000002', 10, 'month', 12, 'USD', '2022-03-05') IS NOT NULL AS bought;
SELECT eiot.change_units(bought(2), 15, '2022-03-07') IS NOT NULL AS "+5";
SELECT eiot.change_units(bought(2), 25, '2022-03-10') IS NOT NULL AS "+10";
SELECT eiot.change_units(bought(2), 23, '2022-03-12') IS NOT NULL AS "-2";
SELECT eiot.change_units(bought(2), 20, '2022-03-14') IS NOT NULL AS "-3";
SELECT eiot.change_units(bought(2), 30, '2022-03-25') IS NOT NULL AS "+10";
SELECT kind, reason, used, cycle, units, days, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000002', '[2022-03-01,2022-04-01)');
SELECT sum(amount) FROM eiot.charges('d3000000-0000-4000-8000-000000000002', '[2022-03-01,2022-04-01)');
-- Under another policy.
SELECT kind, units, days, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000002', '[2022-03-01,2022-03-08)', 'killbill');
SELECT kind, units, days, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000002', '[2022-03-01,2022-03-08)', 'day,at=total');

-- Bought and canceled two days later; a trial that became a purchase; a year at once.
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000003', 10, 'month', 10.08, 'USD', '2021-07-15') IS NOT NULL AS bought;
SELECT eiot.change_units(bought(3), 0, '2021-07-17');
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000003', 25, 'month', 52.61, 'USD', '2021-09-01') IS NOT NULL AS bought;
SELECT eiot.change_units(bought(3), 0, '2021-10-01');
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000003', 10, 'year', 120.96, 'USD', '2022-01-31') IS NOT NULL AS bought;
SELECT eiot.change_units(bought(3), 0, '2024-01-31');
SELECT kind, reason, used, cycle, units, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000003', '[2021-01-01,2025-01-01)');

-- Billed by the month, and after a month by the year: 11 of 12 months are left. Microsoft rounds the price of one.
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000003', 10, 'month', 25, 'USD', '2024-07-15') IS NOT NULL AS bought;
SELECT eiot.change_billing(bought(3), 'year', 250, '2024-08-15') IS NOT NULL AS changed;
SELECT kind, reason, used, cycle, units, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000003', '[2024-07-01,2025-08-01)');
-- Bought at the end of a month.
SELECT eiot.change_units(bought(3), 0, '2025-07-15');
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000003', 1, 'month', 25, 'USD', '2026-01-30') IS NOT NULL AS bought;
SELECT array_agg(lower(cycle)) FROM eiot.charges('d3000000-0000-4000-8000-000000000003', '[2026-01-01,2026-07-01)');
SELECT array_agg(lower(cycle)) FROM eiot.charges('d3000000-0000-4000-8000-000000000003', '[2026-01-01,2026-07-01)', month_end => 'distance');
SELECT * FROM eiot.charges('d3000000-0000-4000-8000-000000000003', '[2026-01-01,2026-07-01)', month_end => 'end');
-- Days are those of the policy's time zone: at 15:00 in Los Angeles it is the next day in Auckland, on which a cycle begins.
SELECT eiot.change_units(bought(3), 0, '2026-06-29 15:00-07');
SELECT policy, kind, used, days, amount
  FROM (VALUES ('day,scale=4'), ('day,scale=4,tz=Pacific/Auckland'), ('second,scale=4'), ('second,scale=4,tz=Pacific/Auckland')) v(policy)
 CROSS JOIN LATERAL eiot.charges('d3000000-0000-4000-8000-000000000003', '[2026-06-20,2026-07-01)', policy::eiot.proration_policy) WITH ORDINALITY
 ORDER BY policy, ordinality;

-- Each currency has its decimals.
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000004', 7, 'month', 180, 'JPY', '2022-02-10') IS NOT NULL AS yen;
SELECT eiot.change_units(bought(4), 9, '2022-02-20') IS NOT NULL AS more;
SELECT eiot.purchase('d3000000-0000-4000-8000-000000000004', 7, 'quarter', 1.255, 'KWD', '2022-02-11') IS NOT NULL AS dinars;
SELECT currency, kind, used, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000004', '[2022-02-01,2022-03-01)');
SELECT currency, sum(amount) FROM eiot.charges('d3000000-0000-4000-8000-000000000004', '[2022-02-01,2022-03-01)') GROUP BY 1 ORDER BY 1;

-- A legacy plan is charged afterwards, for the days or, with policy azure, the time in effect.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, billing_frequency, unit_price, currency, billing_anchor)
VALUES ('d3000000-0000-4000-8000-000000000005', 'e1070000-0000-4000-8000-000000000002', 1000, '[2023-04-11 08:00,)', 'month', 0.90, 'USD', '2023-01-01');
SELECT eiot.cancel_legacy_plan('d3000000-0000-4000-8000-000000000005', '2023-06-10 12:00');
SELECT kind, reason, used, days, cycle_days, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000005', '[2023-01-01,2024-01-01)');
SELECT reason, used, amount FROM eiot.charges('d3000000-0000-4000-8000-000000000005', '[2023-01-01,2024-01-01)', 'azure');

-- What is no period, and periods without charges.
SELECT * FROM eiot.charges('d3000000-0000-4000-8000-000000000001', NULL);
SELECT * FROM eiot.charges('d3000000-0000-4000-8000-000000000001', '[2021-01-01,)');
SELECT * FROM eiot.charges('d3000000-0000-4000-8000-000000000001', '[2021-01-01,infinity)');
SELECT * FROM eiot.charges('d3000000-0000-4000-8000-00000000ffff', '[2021-01-01,2022-01-01)');
SELECT * FROM eiot.charges('d3000000-0000-4000-8000-000000000001', '[2021-01-01,2022-01-01)', NULL);
SELECT count(*) FROM eiot.charges('d3000000-0000-4000-8000-000000000001', 'empty');
SELECT count(*) FROM eiot.charges('d3000000-0000-4000-8000-000000000001', '[2000-01-01,2021-06-18)');

-- What to buy: 104 more devices than licenses.
CREATE SCHEMA priced;
SELECT eiot.create_inventory('priced.device');
INSERT INTO priced.device (tenant_id, device_id, category, last_seen)
SELECT 'd3000000-0000-4000-8000-000000000001', i::text, 'IoT', '2021-09-20' FROM generate_series(1, 112) i;
UPDATE eiot.tenant SET counting_rule = '2026-07' WHERE tenant_id = 'd3000000-0000-4000-8000-000000000001';
SELECT * FROM eiot.what_if('priced.device', 'd3000000-0000-4000-8000-000000000001', 'b2f91841-252f-4765-94c3-75802d7c0ddb', 104, '2021-09-25');
SELECT gap_before, gap_after, cycle, cost, cost_currency
  FROM eiot.what_if('priced.device', 'd3000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 20, '2021-09-25', 'year', 684, 'USD');
SELECT gap_after, cost FROM eiot.what_if('priced.device', 'd3000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 20, '2021-09-25');
SELECT gap_after, cost FROM eiot.what_if('priced.device', 'd3000000-0000-4000-8000-000000000001', 'b2f91841-252f-4765-94c3-75802d7c0ddb', -8, '2021-09-25');
SELECT gap_after, cost FROM eiot.what_if('priced.device', 'd3000000-0000-4000-8000-000000000001', 'b2f91841-252f-4765-94c3-75802d7c0ddb', -9, '2021-09-25');
SELECT * FROM eiot.cheapest_mix(104, '{"user_license": 57.00, "device_license": 10.08}');
SELECT * FROM eiot.cheapest_mix(104, '{"user_license": {"price": 40, "minimum": 10}, "device_license": {"price": 10.08, "pack": 25}}');
SELECT * FROM eiot.cheapest_mix(104, '{"user_license": 40, "device_license": {"price": 8.08, "minimum": 3}}');
SELECT * FROM eiot.cheapest_mix(0, '{"device_license": 1}');
SELECT * FROM eiot.cheapest_mix(-1, '{"device_license": 1}');
SELECT * FROM eiot.cheapest_mix(1, '{"standalone": 1}');
SELECT * FROM eiot.cheapest_mix(1, '{"device_license": {"price": 1, "packs": 5}}');
SELECT * FROM eiot.cheapest_mix(1, '{"device_license": {"price": -1}}');
SELECT * FROM eiot.cheapest_mix(1, '{"device_license": {"price": 1, "pack": 2.5}}');
SELECT * FROM eiot.cheapest_mix(1, '{}');
SELECT * FROM eiot.cheapest_mix(NULL, '{}');

DROP SCHEMA priced CASCADE;
DROP FUNCTION bought;
DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'd3000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'd3000000-%';
