-- When capacity runs out on the present trend: cases by hand, and random ones hour by hour.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';

SELECT no_plan();

CREATE FUNCTION pg_temp.t(n int) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN ('cf000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'tenant ' || n FROM generate_series(1, 9) n;

-- Devices of a tenant: one each step, seen until today or for as long.
CREATE FUNCTION pg_temp.grow(tenant int, first timestamptz, last timestamptz, step interval, seen interval DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
  INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen)
    SELECT pg_temp.t(tenant), format('%s %s', first, at), 'IoT', at, COALESCE(at + seen, '2026-08-12') FROM generate_series(first, last, step) at
$$;
CREATE FUNCTION pg_temp.license(tenant int, devices bigint, valid tstzrange) RETURNS void LANGUAGE sql AS $$
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(tenant), 'b2f91841-252f-4765-94c3-75802d7c0ddb', devices, valid)
$$;
CREATE FUNCTION pg_temp.seen(tenant int, horizon interval DEFAULT '1 year', as_of timestamptz DEFAULT '2026-08-12', trend_over interval DEFAULT '90 days') RETURNS text LANGUAGE sql AS $$
  SELECT format('%s: %s of %s; %s of %s, %s a day since %s', COALESCE(runs_out::text, 'never'), expected, expected_capacity, counted,
                CASE WHEN unlimited THEN 'unlimited' ELSE capacity::text END, trim_scale(devices_per_day), trend_from::date)
    FROM eiot.forecast('asset.device', pg_temp.t(tenant), horizon, as_of, trend_over)
$$;

-- Two devices a day, at noon and midnight, for the 90 days of the trend and before.
SELECT pg_temp.grow(1, '2026-05-01', '2026-08-12', '12 hours');
SELECT is(pg_temp.seen(1), '2026-08-12: 207 of 0; 207 of 0, 2 a day since 2026-05-14', 'without a license it has run out already');
SELECT pg_temp.license(1, 250, '[2026-01-01,2026-10-01)');
SELECT is(pg_temp.seen(1), '2026-09-03: 251 of 250; 207 of 250, 2 a day since 2026-05-14', 'by growth: 22 days until there are 251');
SELECT is(pg_temp.seen(1, horizon => '22 days'), 'never:  of ; 207 of 250, 2 a day since 2026-05-14', 'not before the horizon');
SELECT is(pg_temp.seen(1, horizon => '22 days 00:00:01'), '2026-09-03: 251 of 250; 207 of 250, 2 a day since 2026-05-14', 'but within it');
SELECT pg_temp.license(1, 100, '[2026-09-03 12:00,)');
SELECT is(pg_temp.seen(1), '2026-09-03: 251 of 250; 207 of 250, 2 a day since 2026-05-14', 'more licenses half a day too late');
SELECT pg_temp.license(1, 1, '[2026-09-01,)');
SELECT is(pg_temp.seen(1), '2026-10-01: 307 of 101; 207 of 250, 2 a day since 2026-05-14', 'one more bridges it, until the others end');
SELECT pg_temp.license(1, 500, '[2026-09-30,)');
SELECT is(pg_temp.seen(1), '2027-02-25: 602 of 601; 207 of 250, 2 a day since 2026-05-14', 'licenses that begin later count then');
INSERT INTO eiot.monitoring_off (tenant_id, valid) VALUES (pg_temp.t(1), '[2026-12-24 18:00,2026-12-27)');
SELECT is(pg_temp.seen(1), '2026-12-24: 476 of 0; 207 of 250, 2 a day since 2026-05-14', 'nothing is covered while monitoring is off');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(1), 'e1070000-0000-4000-8000-000000000001', eiot.unlimited(), '[2026-08-01,2026-08-15)');
SELECT is(pg_temp.seen(1), '2026-12-24: 476 of 0; 207 of unlimited, 2 a day since 2026-05-14', 'a trial without limit is no end');

-- No devices, no licenses.
SELECT is(pg_temp.seen(2), 'never:  of ; 0 of 0, 0 a day since 2026-05-14', 'nothing never runs out');
-- As many as before: what ends is the license.
SELECT pg_temp.grow(3, '2026-01-01 00:00', '2026-01-01 09:00', '1 hour');
SELECT pg_temp.license(3, 10, '[2026-01-01,2026-11-11 11:11]');
SELECT is(pg_temp.seen(3), '2026-11-11: 10 of 0; 10 of 10, 0 a day since 2026-05-14', 'constant, until the license ends');
SELECT is(pg_temp.seen(3, horizon => '1 month'), 'never:  of ; 10 of 10, 0 a day since 2026-05-14', 'which is beyond the horizon');
-- Fewer every day: one ends each day, seen for 10 days and 30 more until it does not count.
SELECT pg_temp.grow(4, '2026-06-13', '2026-08-01', '1 day', '10 days');
SELECT is((SELECT devices_per_day < 0 FROM eiot.forecast('asset.device', pg_temp.t(4), as_of => '2026-09-10', trend_over => '10 days')), true, 'a trend that falls');
SELECT pg_temp.license(4, 3, '[2026-10-01,)');
SELECT is(pg_temp.seen(4, as_of => '2026-09-05', trend_over => '20 days'), '2026-09-05: 6 of 0; 6 of 0, -1 a day since 2026-08-16', 'falls, and there is no license yet');
SELECT pg_temp.license(4, 6, '[2026-09-05,2026-09-07)');
SELECT is(pg_temp.seen(4, as_of => '2026-09-05', trend_over => '20 days'), '2026-09-07: 4 of 0; 6 of 6, -1 a day since 2026-08-16', 'runs out as the license ends before the devices');
SELECT pg_temp.license(4, 4, '[2026-09-07,2026-09-11)');
SELECT is(pg_temp.seen(4, as_of => '2026-09-05', trend_over => '20 days'), 'never:  of ; 6 of 6, -1 a day since 2026-08-16', 'or does not');
-- An inventory that is younger than the trend is asked for: from its first day.
SELECT pg_temp.grow(5, '2026-08-02', '2026-08-12', '1 day');
SELECT is(pg_temp.seen(5), '2026-08-12: 11 of 0; 11 of 0, 1 a day since 2026-08-02', 'young');
SELECT pg_temp.grow(6, '2026-08-12', '2026-08-12', '1 day');
SELECT pg_temp.license(6, 5, '[2026-01-01,2026-09-01)');
SELECT is(pg_temp.seen(6), '2026-09-01: 1 of 0; 1 of 5,  a day since 2026-08-12', 'a single count is no trend; the license ends all the same');
-- The past has no changes of rules.
SELECT pg_temp.grow(7, '2023-08-01', '2023-08-10', '1 day', '400 days');
UPDATE asset.device SET category = 'Network device' WHERE tenant_id = pg_temp.t(7) AND first_seen > '2023-08-05';
SELECT is(pg_temp.seen(7, as_of => '2023-11-15', trend_over => '60 days'), '2023-11-15: 5 of 0; 5 of 0, 0 a day since 2023-09-16', 'the rule of the day counts, for the days before it as well');
SELECT is(pg_temp.seen(7, as_of => '2023-10-15', trend_over => '60 days'), '2023-10-15: 10 of 0; 10 of 0, 0 a day since 2023-08-16', 'as the day before it did another');
UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE tenant_id = pg_temp.t(7);
SELECT is(pg_temp.seen(7, as_of => '2023-11-15', trend_over => '60 days'), '2023-11-15: 10 of 0; 10 of 0, 0 a day since 2023-09-16', 'and a tenant that is pinned has its own');

-- ---- at random, hour by hour

CREATE FUNCTION pg_temp.check(seed double precision) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  got record;
  slope numeric;
  hourly date;
BEGIN
  PERFORM setseed(seed);
  DELETE FROM asset.device;
  DELETE FROM eiot.entitlement;
  DELETE FROM eiot.monitoring_off;
  INSERT INTO asset.device (tenant_id, device_id, category, first_seen, last_seen)
    SELECT pg_temp.t(9), i::text, 'IoT', at, at + random() * interval '120 days'
      FROM (SELECT i, timestamptz '2026-08-12' - random() ^ (0.5 + seed) * interval '150 days' AS at FROM generate_series(1, 120) i) d;
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
    SELECT pg_temp.t(9), 'b2f91841-252f-4765-94c3-75802d7c0ddb', floor(random() * 70), tstzrange(at, at + interval '1 hour' * floor(1 + random() * 5000))
      FROM (SELECT timestamptz '2026-07-01' + interval '1 hour' * floor(random() * 3000) AS at FROM generate_series(1, 12) i) d;
  INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(9), 'b2f91841-252f-4765-94c3-75802d7c0ddb', 90, '[2026-07-01,2026-11-01)');
  SELECT * INTO got FROM eiot.forecast('asset.device', pg_temp.t(9), '100 days', '2026-08-12', '45 days');
  SELECT round(regr_slope(n, EXTRACT(epoch FROM at) / 86400)::numeric, 4) INTO slope
    FROM (SELECT at, (SELECT count(*) FROM asset.device d WHERE d.first_seen <= at AND at <= d.last_seen + interval '30 days') AS n
            FROM generate_series(timestamptz '2026-08-12' - interval '45 days', '2026-08-12', interval '1 day') at) c;
  RETURN NEXT cmp_ok(abs(got.devices_per_day - slope), '<=', 0.0001, format('seed %s: the slope is %s', seed, slope));
  RETURN NEXT is(got.capacity, eiot.capacity_at(pg_temp.t(9), '2026-08-12'), format('seed %s: the capacity', seed));
  SELECT min(at)::date INTO hourly
    FROM generate_series(timestamptz '2026-08-12', '2026-08-12'::timestamptz + interval '100 days' - interval '1 microsecond', interval '1 hour') at
   WHERE floor(got.counted + got.devices_per_day * (EXTRACT(epoch FROM at - '2026-08-12') / 86400)) > eiot.capacity_at(pg_temp.t(9), at);
  -- Growth may cross within the last hour of a day.
  RETURN NEXT ok(hourly IS NOT DISTINCT FROM got.runs_out OR hourly - got.runs_out = 1, format('seed %s: runs out on %s, hour by hour %s', seed, got.runs_out, hourly));
  RETURN NEXT ok(got.runs_out IS NULL AND got.expected IS NULL AND got.expected_capacity IS NULL OR got.expected > got.expected_capacity, format('seed %s: and has more devices than capacity then', seed));
END
$$;
SELECT pg_temp.check(n / 20.0) FROM generate_series(1, 8) n;

-- ---- bad input

SELECT throws_ok(statement, code, message, what)
  FROM (VALUES
    ($$SELECT * FROM eiot.forecast(NULL, pg_temp.t(1))$$, '22004', 'inventory must not be null', 'no inventory'),
    ($$SELECT * FROM eiot.forecast('eiot.tenant', pg_temp.t(1))$$, '42809', 'eiot.tenant is not an inventory', 'another table'),
    ($$SELECT * FROM eiot.forecast('asset.device', NULL)$$, '22004', 'tenant must not be null', 'no tenant'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(99))$$, '23503', NULL, 'an unknown tenant'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), NULL)$$, '22004', 'horizon, as_of and trend_over must not be null', 'no horizon'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), as_of => NULL)$$, '22004', 'horizon, as_of and trend_over must not be null', 'no instant'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), trend_over => NULL)$$, '22004', 'horizon, as_of and trend_over must not be null', 'no trend'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), '0')$$, '22023', 'horizon must be positive and at most 3660 days: 00:00:00', 'no time'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), '-1 day')$$, '22023', 'horizon must be positive and at most 3660 days: -1 days', 'the past'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), '11 years')$$, '22023', 'horizon must be positive and at most 3660 days: 11 years', 'too far'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), as_of => 'infinity')$$, '22023', 'a forecast must not begin at infinity', 'never'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), trend_over => '1 day')$$, '22023', 'trend_over must lie between 2 and 3660 days: 1 day', 'a day is no trend'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), trend_over => '11 years')$$, '22023', 'trend_over must lie between 2 and 3660 days: 11 years', 'too long a trend'),
    ($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), as_of => '2020-01-01')$$, 'P0002', 'no counting rule is in force at 2020-01-01 00:00:00+00', 'before there was a rule')) v(statement, code, message, what);
SELECT lives_ok($$SELECT * FROM eiot.forecast('asset.device', pg_temp.t(1), '3660 days', trend_over => '10 years')$$, 'ten years, back and forth');

SELECT * FROM finish();
ROLLBACK;
