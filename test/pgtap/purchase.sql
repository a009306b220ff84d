-- What to buy: the cheapest mix against every mix there is, and what a purchase would do against what it does.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT no_plan();

-- ---- cheapest_mix

SELECT results_eq(format('SELECT user_licenses, device_licenses, devices, cost FROM eiot.cheapest_mix(%s, %L)', gap, prices),
                  format('VALUES (%s::bigint, %s::bigint, %s::bigint, %s::numeric)', users, devices, covers, cost), format('%s devices, %s', gap, prices))
  FROM (VALUES
    (4, '{"user_license": 57, "device_license": 1.20}', 0, 4, 4, 4.80),
    (79, '{"user_license": 5.50, "device_license": 1.20}', 15, 4, 79, 87.30),
    -- one more user license is cheaper than the rest in standalone ones, or not
    (79, '{"user_license": 4.50, "device_license": 1.20}', 16, 0, 80, 72.00),
    (79, '{"user_license": 5.00, "device_license": 1.20}', 15, 4, 79, 79.80),
    -- equal costs: fewer devices, then fewer licenses
    (5, '{"user_license": 5, "device_license": 1}', 1, 0, 5, 5),
    (7, '{"user_license": 5, "device_license": 1}', 1, 2, 7, 7),
    (9, '{"user_license": 4, "device_license": 1}', 1, 4, 9, 8),
    (9, '{"user_license": 3, "device_license": 1}', 2, 0, 10, 6),
    (4, '{"user_license": 4, "device_license": 1}', 0, 4, 4, 4),
    (4, '{"user_license": 0, "device_license": 0}', 0, 4, 4, 0),
    (10, '{"user_license": {"price": 1, "devices": 1}, "device_license": {"price": 1, "pack": 2}}', 10, 0, 10, 10),
    -- minimum and packs
    (3, '{"user_license": {"price": 57, "minimum": 300}, "device_license": {"price": 1.20, "minimum": 25}}', 0, 25, 25, 30.00),
    (3, '{"device_license": {"price": 1.20, "minimum": 7, "pack": 5}}', 0, 10, 10, 12.00),
    (26, '{"user_license": {"price": 4, "minimum": 5}, "device_license": {"price": 1, "pack": 10}}', 6, 0, 30, 24),
    (26, '{"user_license": {"price": 4, "minimum": 5, "pack": 5}, "device_license": {"price": 1, "pack": 3}}', 5, 3, 28, 23),
    (12, '{"user_license": {"price": 10}, "device_license": null}', 3, 0, 15, 30),
    (0, '{"user_license": {"price": 10, "minimum": 5}, "device_license": 0}', 0, 0, 0, 0),
    (0, '{}', 0, 0, 0, NULL),
    (9223372036854775807, '{"user_license": 5.5, "device_license": 2}', 1844674407370955161, 2, 9223372036854775807, 10145709240540253389.5)
  ) v(gap, prices, users, devices, covers, cost)
 WHERE cost IS NOT NULL;
SELECT results_eq('SELECT user_licenses, device_licenses, devices, cost FROM eiot.cheapest_mix(0, ''{}'')', 'VALUES (0::bigint, 0::bigint, 0::bigint, 0::numeric)', 'nothing is needed and nothing on offer');

SELECT throws_ok(format('SELECT eiot.cheapest_mix(%s, %L)', gap, prices), errcode, message, format('%s, %s', gap, prices))
  FROM (VALUES
    ('NULL', '{"user_license": 1}', '22004', 'gap and prices must not be null'),
    ('1', NULL, '22004', 'gap and prices must not be null'),
    ('-1', '{"user_license": 1}', '22023', 'gap must not be negative: -1'),
    ('1', '[1, 2]', '22023', 'prices are no object: [1, 2]'),
    ('1', '{}', '22023', 'nothing is on offer'),
    ('1', '{"user_license": null}', '22023', 'nothing is on offer'),
    ('1', '{"e5": 1}', '22023', 'unknown kind of license: "e5"'),
    ('1', '{"user_license": "1"}', '22023', 'offer of user_license is neither a price nor an object: "1"'),
    ('1', '{"user_license": {"minimum": 1}}', '22023', 'offer of user_license has no price: {"minimum": 1}'),
    ('1', '{"user_license": {"price": 1, "max": 1}}', '22023', 'unknown key in offer of user_license: "max"'),
    ('1', '{"user_license": -0.01}', '22023', 'price in offer of user_license is out of range: -0.01'),
    ('1', '{"user_license": {"price": "1"}}', '22023', 'price in offer of user_license is out of range: "1"'),
    ('1', '{"user_license": {"price": null}}', '22023', 'price in offer of user_license is out of range: null'),
    ('1', '{"user_license": {"price": 1, "pack": 0}}', '22023', 'pack in offer of user_license is out of range: 0'),
    ('1', '{"user_license": {"price": 1, "pack": 1.5}}', '22023', 'pack in offer of user_license is out of range: 1.5'),
    ('1', '{"user_license": {"price": 1, "pack": 10001}}', '22023', 'pack in offer of user_license is out of range: 10001'),
    ('1', '{"user_license": {"price": 1, "minimum": -1}}', '22023', 'minimum in offer of user_license is out of range: -1'),
    ('1', '{"user_license": {"price": 1, "minimum": 1000000000001}}', '22023', 'minimum in offer of user_license is out of range: 1000000000001'),
    ('1', '{"user_license": {"price": 1, "devices": 0}}', '22023', 'devices in offer of user_license is out of range: 0'),
    ('9223372036854775807', '{"user_license": 1}', '22003', NULL)
  ) v(gap, prices, errcode, message);

-- Every mix of a gap that is small, in the same order of preference.
SELECT setseed(0.75);
CREATE TEMP TABLE trial AS
  SELECT i, floor(random() * 40)::bigint AS gap,
         floor(random() * 12)::integer AS user_price, floor(random() * 4)::integer AS device_price,
         (ARRAY[0, 0, floor(random() * 10)])[1 + floor(random() * 3)::integer]::integer AS user_minimum,
         (ARRAY[0, 0, floor(random() * 30)])[1 + floor(random() * 3)::integer]::integer AS device_minimum,
         (ARRAY[1, 1, 1 + floor(random() * 4)])[1 + floor(random() * 3)::integer]::integer AS user_pack,
         (ARRAY[1, 1, 1 + floor(random() * 12)])[1 + floor(random() * 3)::integer]::integer AS device_pack,
         (ARRAY[5, 5, 1 + floor(random() * 7)])[1 + floor(random() * 3)::integer]::integer AS user_devices,
         (ARRAY[1, 1, 1 + floor(random() * 3)])[1 + floor(random() * 3)::integer]::integer AS device_devices
    FROM generate_series(1, 5000) i;
CREATE TEMP TABLE outcome AS
  SELECT t.*, m.user_licenses, m.device_licenses, m.devices, m.cost
    FROM trial t
   CROSS JOIN LATERAL eiot.cheapest_mix(t.gap, jsonb_build_object(
     'user_license', jsonb_build_object('price', user_price, 'minimum', user_minimum, 'pack', user_pack, 'devices', user_devices),
     'device_license', jsonb_build_object('price', device_price, 'minimum', device_minimum, 'pack', device_pack, 'devices', device_devices))) m;
SELECT is_empty($$
  SELECT o.*, b.*
    FROM outcome o
   CROSS JOIN LATERAL (
     SELECT u AS users, d AS singles, u * user_devices + d * device_devices AS covers, u * user_price + d * device_price AS price
       FROM generate_series(0, 60) u CROSS JOIN generate_series(0, 80) d
      WHERE u % user_pack = 0 AND d % device_pack = 0 AND (u = 0 OR u >= user_minimum) AND (d = 0 OR d >= device_minimum)
        AND u * user_devices + d * device_devices >= gap
      ORDER BY u * user_price + d * device_price, u * user_devices + d * device_devices, u + d, d
      LIMIT 1) b
   WHERE (user_licenses, device_licenses, devices, cost) IS DISTINCT FROM (users, singles, covers, price)
$$, 'random: 5,000 offers, and no mix is better');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE user_licenses > 0 AND device_licenses > 0), '>', 300::bigint, 'random: many of them mixed');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE device_licenses > user_devices * user_pack), '>', 300::bigint, 'random: and with many standalone ones');

-- ---- what_if

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('f4000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 40) n;
CREATE SCHEMA asked;
SELECT eiot.create_inventory('asked.device');
INSERT INTO asked.device (tenant_id, device_id, category, last_seen)
  SELECT pg_temp.t(n), i::text, 'IoT', '2026-08-10' FROM generate_series(1, 40) n CROSS JOIN generate_series(1, 30) i;
CREATE FUNCTION pg_temp.asked(n integer, sku text, units bigint, as_of timestamptz DEFAULT '2026-08-12', frequency text DEFAULT NULL, price numeric DEFAULT NULL,
                              currency text DEFAULT NULL, anchor date DEFAULT NULL, policy eiot.proration_policy DEFAULT 'nce',
                              month_end text DEFAULT 'clamp') RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('%s of %s to %s, gap %s to %s, %s of %s: %s %s', w.counted, w.capacity_before, w.capacity_after, w.gap_before, w.gap_after, w.used, w.cycle, w.cost, w.cost_currency)
            FROM eiot.what_if('asked.device', pg_temp.t(n), CASE sku WHEN 'addon' THEN 'b2f91841-252f-4765-94c3-75802d7c0ddb' WHEN 'p2' THEN '111046dd-295b-4d6d-9724-d52ac90bd1f2'
                                                                 ELSE '06ebc4ee-1bb5-47dd-8120-11324bc54e06' END::uuid, units, as_of, frequency, price, currency, anchor, policy, month_end) w);
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, billing_frequency, unit_price, currency, billing_anchor) VALUES
  (pg_temp.t(1), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 2, '[2026-01-01,)', 'year', 730, 'EUR', '2026-01-01'),
  (pg_temp.t(2), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 2, '[2026-01-01,)', NULL, NULL, NULL, NULL),
  (pg_temp.t(3), 'e1070000-0000-4000-8000-000000000001', eiot.unlimited(), '[2026-08-01,2026-09-01)', NULL, NULL, NULL, NULL),
  (pg_temp.t(4), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 2, '[2025-01-01,2026-01-01)', 'month', 31, 'JPY', '2025-01-05'),
  (pg_temp.t(4), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 2, '[2026-09-01,)', 'month', 99, 'EUR', '2025-01-05');
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(2), '[2026-08-01,)');
SELECT is(asked, expected, what)
  FROM (VALUES
    (pg_temp.asked(1, 'e5', 4), '30 of 10 to 30, gap 20 to 0, [2026-08-12,2027-01-01) of [2026-01-01,2027-01-01): 1136.00 EUR', 'more at the price that is paid'),
    (pg_temp.asked(1, 'e5', -1), '30 of 10 to 5, gap 20 to 25, [2026-08-12,2027-01-01) of [2026-01-01,2027-01-01): -284.00 EUR', 'fewer'),
    (pg_temp.asked(1, 'e5', 0), '30 of 10 to 10, gap 20 to 20, [2026-08-12,2027-01-01) of [2026-01-01,2027-01-01): 0.00 EUR', 'none'),
    (pg_temp.asked(1, 'addon', 25), '30 of 10 to 35, gap 20 to 0,  of :  ', 'a product without a known price'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR'), '30 of 10 to 35, gap 20 to 0, [2026-08-12,2026-09-12) of [2026-08-12,2026-09-12): 30.00 EUR', 'its price given'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR', anchor => '2026-08-01'),
     '30 of 10 to 35, gap 20 to 0, [2026-08-12,2026-09-01) of [2026-08-01,2026-09-01): 19.25 EUR', 'and in cycles that there are'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR', anchor => '2026-08-01', policy => 'day'),
     '30 of 10 to 35, gap 20 to 0, [2026-08-12,2026-09-01) of [2026-08-01,2026-09-01): 19.35 EUR', 'by another policy'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR', anchor => '2026-01-29', as_of => '2026-08-29 12:00'),
     '30 of 10 to 35, gap 20 to 0, [2026-08-29,2026-09-29) of [2026-08-29,2026-09-29): 30.00 EUR', 'in cycles from the end of a month'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR', anchor => '2026-06-28', as_of => '2026-08-29 12:00', month_end => 'distance'),
     '30 of 10 to 35, gap 20 to 0, [2026-08-29,2026-09-28) of [2026-08-29,2026-09-28): 30.00 EUR', 'by distance from it'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR', anchor => '2026-08-01', as_of => '2026-08-31 23:00', policy => 'day,tz=Europe/Berlin'),
     '30 of 10 to 35, gap 20 to 0, [2026-09-01,2026-10-01) of [2026-09-01,2026-10-01): 30.00 EUR', 'by the days of a time zone'),
    (pg_temp.asked(1, 'addon', 25, frequency => 'month', price => 1.20, currency => 'EUR', anchor => '2026-08-01', as_of => '2026-08-31 23:00', policy => 'second,tz=Europe/Berlin'),
     '30 of 10 to 35, gap 20 to 0, [2026-09-01,2026-10-01) of [2026-09-01,2026-10-01): 29.96 EUR', 'by the time from the midnights there'),
    (pg_temp.asked(1, 'p2', 5, frequency => 'month', price => 5, currency => 'EUR'), '30 of 10 to 10, gap 20 to 20, [2026-08-12,2026-09-12) of [2026-08-12,2026-09-12): 25.00 EUR', 'a product that covers nothing'),
    (pg_temp.asked(2, 'e5', 1), '30 of 0 to 0, gap 30 to 30,  of :  ', 'while monitoring is off nothing more is covered'),
    (pg_temp.asked(2, 'addon', 3), '30 of 0 to 13, gap 30 to 17,  of :  ', 'but standalone licenses turn it on'),
    (pg_temp.asked(3, 'addon', 3), '30 of  to , gap 0 to 0,  of :  ', 'a trial without limit'),
    (pg_temp.asked(4, 'e5', 1), '30 of 0 to 5, gap 30 to 25, [2026-08-12,2026-09-05) of [2026-08-05,2026-09-05): 24 JPY', 'the price that was paid last, not the one to come'),
    (pg_temp.asked(5, 'e5', 10, '2027-01-01'), '0 of 0 to 50, gap 0 to 0,  of :  ', 'when no device is active any more')
  ) v(asked, expected, what);
SELECT throws_ok(statement, errcode, NULL, what)
  FROM (VALUES
    ($$SELECT eiot.what_if('eiot.tenant', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1)$$, '42809', 'no inventory'),
    ($$SELECT eiot.what_if(NULL, pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1)$$, '22004', 'null for it'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(99), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1)$$, '23503', 'an unknown tenant'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), pg_temp.t(1), 1)$$, '23503', 'an unknown SKU'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), NULL, 1)$$, '22004', 'no SKU'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', NULL)$$, '22004', 'no units'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, NULL)$$, '22004', 'no instant'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, 'infinity')$$, '22023', 'an infinite instant'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', -1)$$, '22023', 'fewer than none'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1000000000001)$$, '22003', 'too many'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', -9223372036854775808)$$, '22003', 'far too few'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '2026-08-12', 'month')$$, '22023', 'part of a price'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '2026-08-12', 'week', 1, 'EUR')$$, '22023', 'an unknown frequency'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '2026-08-12', 'month', -1, 'EUR')$$, '22023', 'a negative price'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, month_end => 'last')$$, '22023', 'an unknown rule for the end of a month'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, month_end => NULL)$$, '22004', 'none'),
    ($$SELECT eiot.what_if('asked.device', pg_temp.t(1), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1, '1999-01-01')$$, 'P0002', 'before the first counting rule')
  ) v(statement, errcode, what);

-- It tells what a purchase then does, and what the first line of its charges is.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) SELECT pg_temp.t(n), '06ebc4ee-1bb5-47dd-8120-11324bc54e06', n % 4, '[2025-01-01,)' FROM generate_series(11, 40) n;
INSERT INTO eiot.monitoring_off (tenant_id, valid) SELECT pg_temp.t(n), '[2026-08-01,)' FROM generate_series(12, 40, 3) n WHERE n % 4 > 0;
DO $$
BEGIN
  FOR n IN 11 .. 40 LOOP
    IF n % 2 = 0 AND n % 4 > 0 AND NOT EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id = pg_temp.t(n)) THEN
      PERFORM eiot.purchase(pg_temp.t(n), 1 + n % 3, 'month', 1.23 + n, 'EUR', timestamptz '2026-01-01' + n * interval '3 days');
    END IF;
  END LOOP;
END
$$;
CREATE TEMP TABLE told AS
  SELECT n, 1 + n % 20 AS units, eiot.next_capacity_change(pg_temp.t(n), '2026-08-12') AS next, w.*
    FROM generate_series(11, 40) n
   CROSS JOIN LATERAL eiot.what_if('asked.device', pg_temp.t(n), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 1 + n % 20, '2026-08-12', 'month', 3.10, 'EUR') w
   WHERE n % 4 > 0;
SELECT cmp_ok((SELECT count(*) FROM told), '>', 20::bigint, 'some are told');
SELECT is_empty($$
  SELECT t.n FROM told t JOIN eiot.coverage_at('asked.device', '2026-08-12') c ON c.tenant_id = pg_temp.t(t.n)
   WHERE (t.counted, t.capacity_before, t.gap_before) IS DISTINCT FROM (c.counted, c.capacity, c.gap)
$$, 'what is before is what coverage_at says');
SELECT count(eiot.purchase(pg_temp.t(n), units, 'month', 3.10, 'EUR', '2026-08-12')) FROM told;
SELECT is_empty($$
  SELECT t.n FROM told t JOIN eiot.coverage_at('asked.device', '2026-08-12') c ON c.tenant_id = pg_temp.t(t.n)
   WHERE (t.counted, t.capacity_after, t.gap_after) IS DISTINCT FROM (c.counted, c.capacity, c.gap)
$$, 'what is after is what coverage_at says when it was bought');
SELECT is_empty($$
  SELECT t.n FROM told t LEFT JOIN LATERAL eiot.charges(pg_temp.t(t.n), '[2026-08-12,2026-08-13)') c ON c.reason = 'new'
   WHERE (t.cost, t.cost_currency, t.used, t.cycle) IS DISTINCT FROM (c.amount, c.currency, c.used, c.cycle)
$$, 'and what it costs is what is charged');

SELECT * FROM finish();
ROLLBACK;
