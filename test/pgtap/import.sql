-- Imports of subscribedSkus and DeviceInfo: what they change, what they leave alone, what they refuse.
\set ON_ERROR_STOP 1
\getenv data EIOT_TEST_DATA
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT plan(370);

CREATE FUNCTION pg_temp.t(n integer) RETURNS uuid
  LANGUAGE sql IMMUTABLE
  RETURN ('b0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT pg_temp.t(n), 'Tenant ' || n FROM generate_series(1, 30) n;

\ir lib/told.psql

-- ==== subscribedSkus

CREATE FUNCTION pg_temp.sku_id(sku text) RETURNS text
  LANGUAGE sql IMMUTABLE
  RETURN CASE sku WHEN 'E5' THEN '06ebc4ee-1bb5-47dd-8120-11324bc54e06'
                  WHEN 'ADDON' THEN 'b2f91841-252f-4765-94c3-75802d7c0ddb'
                  WHEN 'P2' THEN '111046dd-295b-4d6d-9724-d52ac90bd1f2'
                  ELSE 'c0000000-0000-4000-8000-000000000001' END;

-- An element of the body; units as '{"enabled": 1}'.
CREATE FUNCTION pg_temp.sku(sku text, units jsonb, consumed bigint DEFAULT 0, more jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE sql IMMUTABLE
  RETURN jsonb_build_object('skuId', pg_temp.sku_id(sku), 'skuPartNumber', sku, 'prepaidUnits', units, 'consumedUnits', consumed) || more;

CREATE FUNCTION pg_temp.import(n integer, as_of timestamptz, VARIADIC elements jsonb[])
  RETURNS TABLE (part_number text, change text, units bigint[], assigned bigint, note text)
  LANGUAGE sql
BEGIN ATOMIC
  SELECT i.part_number, i.change, ARRAY[i.enabled, i.warning, i.suspended, i.locked_out], i.assigned, i.note
    FROM eiot.import_subscribed_skus(pg_temp.t(n), jsonb_build_object('value', to_jsonb(elements)), as_of) i;
END;

CREATE TEMP TABLE before_import (entitlement_id bigint, version text);
CREATE FUNCTION pg_temp.remember_entitlements() RETURNS void
  LANGUAGE sql
BEGIN ATOMIC
  DELETE FROM before_import;
  INSERT INTO before_import SELECT entitlement_id, format('%s %s %s', ctid, xmin, cmin) AS version FROM eiot.entitlement;
END;
\set entitlements_untouched 'bag_eq(''SELECT entitlement_id, format(''''%s %s %s'''', ctid, xmin, cmin) AS version FROM eiot.entitlement'', ''SELECT * FROM before_import'', '

-- ---- a first body, the same again

SELECT bag_eq($$SELECT * FROM pg_temp.import(1, '2026-01-01', pg_temp.sku('E5', '{"enabled": 240, "warning": 10, "suspended": 3, "lockedOut": 2}', 231), pg_temp.sku('ADDON', '{"enabled": 4}'))$$,
              $$VALUES ('E5', 'added', '{240,10,3,2}'::bigint[], 231::bigint, NULL), ('ADDON', 'added', '{4,0,0,0}', 0, NULL)$$,
              'a first body adds its SKUs');
SELECT bag_eq($$SELECT sku_id::text, subscription_id, units, assigned_units, state, valid, source, recorded_by = CURRENT_USER FROM eiot.entitlement$$,
              $$SELECT pg_temp.sku_id(sku) AS a, pg_temp.sku_id(sku) AS b, units, assigned, state, tstzrange('2026-01-01', NULL), 'subscribedSkus' AS c, true AS d
                  FROM (VALUES ('E5', 240::bigint, 231::bigint, 'enabled'), ('E5', 10, 0, 'warning'), ('E5', 3, 0, 'suspended'), ('E5', 2, 0, 'locked_out'),
                               ('ADDON', 4, 0, 'enabled')) v(sku, units, assigned, state)$$,
              'a row for each state, what is assigned stands in the enabled one');
SELECT is(eiot.capacity_at(pg_temp.t(1), as_of), capacity, format('capacity at %s', as_of))
  FROM (VALUES (timestamptz '2025-12-31 23:59:59.999999', 0::bigint), ('2026-01-01', 1254), ('2030-01-01', 1254)) v(as_of, capacity);

SELECT pg_temp.remember_entitlements();
SELECT is_empty(format($$SELECT * FROM pg_temp.import(1, %L, pg_temp.sku('E5', '{"enabled": 240, "warning": 10, "suspended": 3, "lockedOut": 2}', 231), pg_temp.sku('ADDON', '{"enabled": 4}'))$$, as_of),
                format('the same body, as of %s: nothing changes', as_of))
  FROM (VALUES ('2026-01-01'), ('2026-01-02'), ('2026-03-01')) v(as_of);
SELECT is_empty($$SELECT * FROM pg_temp.import(1, '2026-03-02', pg_temp.sku('ADDON', '{"enabled": 4, "warning": 0}'), pg_temp.sku('E5', '{"enabled": 240, "warning": 10, "suspended": 3, "lockedOut": 2}', 231))$$,
                'in another order neither');
SELECT :entitlements_untouched 'no row was touched');

-- ---- changes over time

SELECT bag_eq($$SELECT * FROM pg_temp.import(1, '2026-04-01', pg_temp.sku('E5', '{"enabled": 250}', 231), pg_temp.sku('ADDON', '{"enabled": 4}'), pg_temp.sku('P2', '{"enabled": 7}'))$$,
              $$VALUES ('E5', 'changed', '{250,0,0,0}'::bigint[], 231::bigint, NULL), ('P2', 'added', '{7,0,0,0}', 0, NULL)$$,
              'only what changed is returned');
SELECT is(eiot.capacity_at(pg_temp.t(1), as_of), capacity, format('capacity at %s', as_of))
  FROM (VALUES (timestamptz '2026-03-31 23:59:59.999999', 1254::bigint), ('2026-04-01', 1254), ('2026-04-02', 1254)) v(as_of, capacity);
SELECT bag_eq($$SELECT units, state, valid FROM eiot.entitlement WHERE sku_id = pg_temp.sku_id('E5')::uuid$$,
              $$VALUES (240::bigint, 'enabled', '[2026-01-01,2026-04-01)'::tstzrange), (10, 'warning', '[2026-01-01,2026-04-01)'), (3, 'suspended', '[2026-01-01,2026-04-01)'),
                       (2, 'locked_out', '[2026-01-01,2026-04-01)'), (250, 'enabled', '[2026-04-01,)')$$,
              'a change closes a row and opens one');
SELECT bag_eq($$SELECT entitlement_id, format('%s %s %s', ctid, xmin, cmin) AS version FROM eiot.entitlement WHERE sku_id = pg_temp.sku_id('ADDON')::uuid$$,
              $$SELECT b.* FROM before_import b JOIN eiot.entitlement e USING (entitlement_id) WHERE e.sku_id = pg_temp.sku_id('ADDON')::uuid$$,
              'the row of a SKU that did not change was not touched');

SELECT bag_eq($$SELECT * FROM pg_temp.import(1, '2026-05-01', pg_temp.sku('E5', '{"enabled": 250}', 232), pg_temp.sku('P2', '{"enabled": 7}'))$$,
              $$VALUES ('E5', 'changed', '{250,0,0,0}'::bigint[], 232::bigint, NULL), (NULL, 'closed', '{0,0,0,0}', 0, NULL)$$,
              'a SKU that is gone is closed; what is assigned is a change, too') ;
SELECT is(eiot.capacity_at(pg_temp.t(1), as_of), capacity, format('capacity at %s', as_of))
  FROM (VALUES (timestamptz '2026-04-30 23:59:59.999999', 1254::bigint), ('2026-05-01', 1250)) v(as_of, capacity);
SELECT is((SELECT valid FROM eiot.entitlement WHERE sku_id = pg_temp.sku_id('ADDON')::uuid), '[2026-01-01,2026-05-01)'::tstzrange, 'closed at the body''s instant');
SELECT bag_eq($$SELECT * FROM pg_temp.import(1, '2026-06-01', pg_temp.sku('E5', '{"enabled": 250}', 232), pg_temp.sku('P2', '{"enabled": 7}'), pg_temp.sku('ADDON', '{"enabled": 5}'))$$,
              $$VALUES ('ADDON', 'added', '{5,0,0,0}'::bigint[], 0::bigint, NULL)$$, 'it may come back');
SELECT bag_eq($$SELECT part_number, change FROM pg_temp.import(1, '2026-07-01', VARIADIC '{}')$$,
              $$VALUES ('SPE_E5', 'closed'), ('WIN_DEF_ATP', 'closed'), (NULL, 'closed')$$, 'an empty body closes all; their part numbers are ours then');
SELECT is(eiot.capacity_at(pg_temp.t(1), '2026-07-01'), 0::bigint, 'and leaves no capacity');
SELECT is_empty($$SELECT * FROM pg_temp.import(1, '2026-07-02', VARIADIC '{}')$$, 'once');
SELECT is(eiot.capacity_at(pg_temp.t(1), as_of), capacity, format('the past stays: %s', as_of))
  FROM (VALUES (timestamptz '2025-12-31 23:59:59.999999', 0::bigint), ('2026-01-01', 1254), ('2026-04-15', 1254), ('2026-05-15', 1250), ('2026-06-15', 1255)) v(as_of, capacity);
SELECT is_empty($$SELECT a.entitlement_id FROM eiot.entitlement a JOIN eiot.entitlement b USING (tenant_id, sku_id, subscription_id, state)
                   WHERE a.entitlement_id < b.entitlement_id AND a.valid && b.valid$$, 'no rows overlap');

-- ---- a body as of the same instant corrects

SELECT lives_ok($$SELECT * FROM pg_temp.import(2, '2026-01-01', pg_temp.sku('E5', '{"enabled": 10, "warning": 5}'), pg_temp.sku('P2', '{"enabled": 1}'))$$, 'a body');
SELECT bag_eq($$SELECT * FROM pg_temp.import(2, '2026-01-01', pg_temp.sku('E5', '{"enabled": 11}', 3), pg_temp.sku('ADDON', '{"enabled": 2}'))$$,
              $$VALUES ('E5', 'changed', '{11,0,0,0}'::bigint[], 3::bigint, NULL), ('WIN_DEF_ATP', 'closed', '{0,0,0,0}', 0, NULL), ('ADDON', 'added', '{2,0,0,0}', 0, NULL)$$,
              'its correction as of the same instant');
SELECT bag_eq($$SELECT sku_id::text, units, assigned_units, state, valid FROM eiot.entitlement WHERE tenant_id = pg_temp.t(2)$$,
              $$VALUES (pg_temp.sku_id('E5'), 11::bigint, 3::bigint, 'enabled', '[2026-01-01,)'::tstzrange), (pg_temp.sku_id('ADDON'), 2, 0, 'enabled', '[2026-01-01,)')$$,
              'leaves nothing of what was never in effect');
SELECT lives_ok($$SELECT * FROM pg_temp.import(2, '2026-02-01', pg_temp.sku('E5', '{"enabled": 20}'), pg_temp.sku('ADDON', '{"enabled": 2}'));
                  SELECT * FROM pg_temp.import(2, '2026-02-01', pg_temp.sku('E5', '{"enabled": 30}'))$$, 'a change, and its correction');
SELECT is(eiot.capacity_at(pg_temp.t(2), as_of), capacity, format('corrected capacity at %s', as_of))
  FROM (VALUES (timestamptz '2026-01-31 23:59:59', 57::bigint), ('2026-02-01', 150)) v(as_of, capacity);

-- ---- bodies out of order

SELECT throws_ok(format($$SELECT * FROM pg_temp.import(2, %L, pg_temp.sku('E5', '{"enabled": 1}'))$$, as_of), '55000', NULL, format('older than what was imported: %s', as_of))
  FROM (VALUES ('2026-01-31 23:59:59.999999'), ('2026-01-01'), ('2020-01-01')) v(as_of);
SELECT throws_ok($$SELECT * FROM pg_temp.import(2, '2026-01-31', pg_temp.sku('E5', '{"enabled": 30}'))$$, '55000', NULL, 'even where it says the same');
SELECT matches((pg_temp.told($$SELECT * FROM pg_temp.import(2, '2026-01-31', pg_temp.sku('E5', '{"enabled": 1}'))$$)).message, '2026-02-01 00:00:00\+00', 'the error tells of when the newer body is');
SELECT lives_ok($$SELECT * FROM pg_temp.import(3, '2020-01-01', pg_temp.sku('E5', '{"enabled": 1}'))$$, 'another tenant''s bodies do not matter');
SELECT lives_ok($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES (pg_temp.t(3), pg_temp.sku_id('E5')::uuid, 100, '[2026-01-01,2027-01-01)');
                  SELECT * FROM pg_temp.import(3, '2021-01-01', pg_temp.sku('E5', '{"enabled": 2}'))$$, 'nor do rows inserted by hand');

SELECT lives_ok($$SELECT * FROM pg_temp.import(20, '2026-01-01', pg_temp.sku('E5', '{"enabled": 1}'));
                  SELECT * FROM pg_temp.import(20, '2026-03-01', pg_temp.sku('E5', '{"enabled": 1}'))$$, 'a body that changes nothing');
SELECT throws_ok($$SELECT * FROM pg_temp.import(20, '2026-02-01', pg_temp.sku('E5', '{"enabled": 2}'))$$, '55000', NULL, 'is as new as any other');
SELECT lives_ok($$SELECT * FROM pg_temp.import(21, '2026-03-01', VARIADIC '{}')$$, 'an empty body');
SELECT throws_ok($$SELECT * FROM pg_temp.import(21, '2026-02-01', pg_temp.sku('E5', '{"enabled": 2}'))$$, '55000', NULL, 'too');
SELECT results_eq($$SELECT entitlements_as_of FROM eiot.tenant WHERE tenant_id IN (pg_temp.t(2), pg_temp.t(20), pg_temp.t(21), pg_temp.t(22)) ORDER BY tenant_id$$,
                  $$VALUES (timestamptz '2026-02-01'), ('2026-03-01'), ('2026-03-01'), (NULL)$$, 'the tenant''s row tells of when the last one is');
CREATE TEMP TABLE tenant_before AS SELECT format('%s %s %s', ctid, xmin, cmin) AS version FROM eiot.tenant WHERE tenant_id = pg_temp.t(20);
SELECT is_empty($$SELECT * FROM pg_temp.import(20, '2026-03-01', pg_temp.sku('E5', '{"enabled": 1}'))$$, 'that one again');
SELECT results_eq($$SELECT format('%s %s %s', ctid, xmin, cmin) FROM eiot.tenant WHERE tenant_id = pg_temp.t(20)$$, 'SELECT version FROM tenant_before', 'does not touch it');

-- ---- rows inserted by hand

SELECT lives_ok($$INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES
                    (pg_temp.t(4), pg_temp.sku_id('ADDON')::uuid, 7, '[2026-01-01,)'), (pg_temp.t(4), pg_temp.sku_id('E5')::uuid, 1, '[2026-01-01,)')$$, 'two of them');
SELECT pg_temp.remember_entitlements();
SELECT bag_eq($$SELECT part_number, change FROM pg_temp.import(4, '2026-02-01', pg_temp.sku('E5', '{"enabled": 2}'))$$, $$VALUES ('E5', 'added')$$, 'an import beside them');
SELECT bag_eq($$SELECT part_number, change FROM pg_temp.import(4, '2026-03-01', VARIADIC '{}')$$, $$VALUES ('SPE_E5', 'closed')$$, 'an empty one');
SELECT bag_eq($$SELECT entitlement_id, format('%s %s %s', ctid, xmin, cmin) AS version FROM eiot.entitlement WHERE source = 'manual'$$,
              $$SELECT b.* FROM before_import b JOIN eiot.entitlement e USING (entitlement_id) WHERE e.source = 'manual'$$, 'did not touch them');
SELECT is(eiot.capacity_at(pg_temp.t(4), as_of), capacity, format('they add up at %s', as_of))
  FROM (VALUES (timestamptz '2026-01-15', 12::bigint), ('2026-02-15', 22), ('2026-03-15', 12)) v(as_of, capacity);

-- ---- prices: rows of an import inherit that of the row before

CREATE FUNCTION pg_temp.priced(n integer) RETURNS TABLE (state text, units bigint, since date, until date, price text)
  LANGUAGE sql AS $$
  SELECT e.state, e.units, lower(e.valid)::date, upper(e.valid)::date, concat_ws(' ', e.unit_price, e.currency, e.billing_frequency, e.billing_anchor, e.term, e.reduce_within)
    FROM eiot.entitlement e WHERE e.tenant_id = pg_temp.t(n) ORDER BY e.sku_id, e.state, e.valid
$$;
SELECT bag_eq($$SELECT change, note FROM pg_temp.import(28, '2026-01-01', pg_temp.sku('E5', '{"enabled": 10, "warning": 1}'), pg_temp.sku('ADDON', '{"enabled": 4}'))$$,
              $$VALUES ('added', NULL), ('added', NULL)$$, 'no price: nothing to note');
UPDATE eiot.entitlement SET billing_frequency = 'month', unit_price = 31, currency = 'EUR', billing_anchor = '2026-01-01', term = 'year', reduce_within = '7 days'
 WHERE tenant_id = pg_temp.t(28) AND sku_id = pg_temp.sku_id('E5')::uuid AND state = 'enabled';
-- More units, other ones assigned, a correction of that, all of them in the grace period, and back.
SELECT bag_eq($$SELECT change, note FROM pg_temp.import(28, '2026-01-11', pg_temp.sku('E5', '{"enabled": 12, "warning": 1}'), pg_temp.sku('ADDON', '{"enabled": 5}'))$$,
              $$VALUES ('changed', NULL), ('changed', NULL)$$, 'more units');
SELECT isnt_empty($$SELECT * FROM pg_temp.import(28, '2026-01-13', pg_temp.sku('E5', '{"enabled": 12, "warning": 1}', 7), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, 'others assigned');
SELECT isnt_empty($$SELECT * FROM pg_temp.import(28, '2026-01-13', pg_temp.sku('E5', '{"enabled": 13, "warning": 1}', 8), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, 'corrected');
SELECT isnt_empty($$SELECT * FROM pg_temp.import(28, '2026-02-10', pg_temp.sku('E5', '{"enabled": 0, "warning": 13}', 8), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, 'into the grace period');
SELECT isnt_empty($$SELECT * FROM pg_temp.import(28, '2026-02-20', pg_temp.sku('E5', '{"enabled": 13}', 8), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, 'and back');
SELECT results_eq('SELECT * FROM pg_temp.priced(28)', $$VALUES
  ('enabled', 10::bigint, date '2026-01-01', date '2026-01-11', '31 EUR month 2026-01-01 year 7 days'), ('enabled', 12, '2026-01-11', '2026-01-13', '31 EUR month 2026-01-01 year 7 days'),
  ('enabled', 13, '2026-01-13', '2026-02-10', '31 EUR month 2026-01-01 year 7 days'), ('enabled', 0, '2026-02-10', '2026-02-20', '31 EUR month 2026-01-01 year 7 days'), ('enabled', 13, '2026-02-20', NULL, '31 EUR month 2026-01-01 year 7 days'),
  ('warning', 1, '2026-01-01', '2026-02-10', ''), ('warning', 13, '2026-02-10', '2026-02-20', ''),
  ('enabled', 4, '2026-01-01', '2026-01-11', ''), ('enabled', 5, '2026-01-11', NULL, '')$$, 'the enabled units keep their price through all of it, and those of the other SKU have none');
SELECT results_eq($$SELECT kind, reason, used, units, amount FROM eiot.charges(pg_temp.t(28), '[2026-01-01,2026-03-01)', 'day')$$, $$VALUES
  ('charge', 'new', daterange '[2026-01-01,2026-02-01)', 10::bigint, 310.00), ('credit', 'increase', '[2026-01-11,2026-02-01)', 10, -210.00), ('charge', 'increase', '[2026-01-11,2026-02-01)', 12, 252.00),
  ('credit', 'increase', '[2026-01-13,2026-02-01)', 12, -228.00), ('charge', 'increase', '[2026-01-13,2026-02-01)', 13, 247.00), ('charge', 'renewal', '[2026-02-01,2026-03-01)', 13, 403.00),
  ('credit', 'end', '[2026-02-10,2026-03-01)', 13, -273.46), ('charge', 'new', '[2026-02-20,2026-03-01)', 13, 129.54)$$, 'and are charged by it');
SELECT is((pg_temp.told(format($$SELECT eiot.change_billing(%s, 'year', 300, now() + interval '1 day')$$, (SELECT entitlement_id FROM eiot.entitlement WHERE tenant_id = pg_temp.t(28) AND unit_price IS NOT NULL AND upper_inf(valid))))).hint,
          'Record it on the day.', 'no price ahead, which imports until then would come before');
-- Another price from a day on, which the next import hands on; no body of before that.
SELECT isnt(eiot.change_billing((SELECT entitlement_id FROM eiot.entitlement WHERE tenant_id = pg_temp.t(28) AND unit_price IS NOT NULL AND upper_inf(valid)), 'year', 300, '2026-03-05'), NULL, 'imported units can be priced anew');
SELECT throws_ok($$SELECT * FROM pg_temp.import(28, '2026-03-04', pg_temp.sku('E5', '{"enabled": 14}', 8), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, '55000', NULL, 'a body of before that is refused');
SELECT is_empty($$SELECT * FROM pg_temp.import(28, '2026-03-05', pg_temp.sku('E5', '{"enabled": 13}', 8), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, 'one of the same instant changes nothing');
SELECT isnt_empty($$SELECT * FROM pg_temp.import(28, '2026-03-10', pg_temp.sku('E5', '{"enabled": 14}', 8), pg_temp.sku('ADDON', '{"enabled": 5}'))$$, 'a later one does');
SELECT results_eq($$SELECT units, since, until, price FROM pg_temp.priced(28) WHERE since >= '2026-02-20' AND price <> ''$$, $$VALUES
  (13::bigint, date '2026-02-20', date '2026-03-05', '31 EUR month 2026-01-01 year 7 days'), (13, '2026-03-05', '2026-03-10', '300 EUR year 2026-01-01 year 7 days'), (14, '2026-03-10', NULL, '300 EUR year 2026-01-01 year 7 days')$$, 'at the new price');
-- Gone, and back again: nobody told at what price.
SELECT bag_eq($$SELECT change, note FROM pg_temp.import(28, '2026-04-01', pg_temp.sku('ADDON', '{"enabled": 5}'))$$, $$VALUES ('closed', NULL)$$, 'gone');
SELECT bag_eq($$SELECT change, note FROM pg_temp.import(28, '2026-05-01', pg_temp.sku('E5', '{"enabled": 9}'), pg_temp.sku('ADDON', '{"enabled": 5}'))$$,
              $$VALUES ('added', 'without a price; the last one was 300 EUR a year')$$, 'back again without one, which is told');
SELECT results_eq($$SELECT units, since, price FROM pg_temp.priced(28) WHERE since >= '2026-04-01'$$, $$VALUES (9::bigint, date '2026-05-01', '')$$, 'and so recorded');

-- ---- forms of the body

SELECT bag_eq($$SELECT part_number, enabled, warning, locked_out, assigned
                  FROM eiot.import_subscribed_skus(pg_temp.t(5), '[{"skuId": "06EBC4EE-1BB5-47DD-8120-11324BC54E06", "skuPartNumber": "SPE_E5", "prepaidUnits": {"enabled": 3}}]', '2026-01-01')$$,
              $$VALUES ('SPE_E5', 3::bigint, 0::bigint, 0::bigint, 0::bigint)$$, 'a bare array, a capital UUID, neither lockedOut nor consumedUnits');
SELECT is_empty($$SELECT * FROM pg_temp.import(5, '2026-01-02', jsonb_build_object('skuId', pg_temp.sku_id('E5'), 'prepaidUnits', '{"enabled": 3.0, "warning": null, "new": 5}'::jsonb, 'consumedUnits', NULL,
                                                                               'accountName', 'x', 'novelty', '[1, {"a": null}]'::jsonb))$$,
                'null units, 3.0, unknown members: still the same');
SELECT bag_eq($$SELECT part_number, change, units FROM pg_temp.import(6, '2026-01-01', pg_temp.sku('E5', '{"enabled": 3}', more => '{"id": "one"}'), pg_temp.sku('E5', '{"enabled": 4}', more => '{"id": "two"}'))$$,
              $$VALUES ('E5', 'added', '{3,0,0,0}'::bigint[]), ('E5', 'added', '{4,0,0,0}')$$, 'a SKU with two ids is two subscriptions');
SELECT is(eiot.capacity_at(pg_temp.t(6), '2026-01-01'), 35::bigint, 'which add up');
SELECT bag_eq($$SELECT part_number, change, units FROM pg_temp.import(6, '2026-02-01', pg_temp.sku('E5', '{"enabled": 4}', more => '{"id": "two"}'))$$,
              $$VALUES ('SPE_E5', 'closed', '{0,0,0,0}'::bigint[])$$, 'and end one by one') ;

-- ---- notes

SELECT bag_eq($$SELECT * FROM pg_temp.import(7, '2026-01-01', pg_temp.sku('NEVER_HEARD_OF', '{"enabled": 9}', 3), pg_temp.sku('E5', '{"enabled": 5}', 6), pg_temp.sku('P2', '{"enabled": 5, "warning": 1}', 6))$$,
              $$VALUES ('NEVER_HEARD_OF', 'added', '{9,0,0,0}'::bigint[], 3::bigint, 'unknown SKU, kept with 0 devices per unit: if it covers devices, UPDATE eiot.sku'),
                       ('E5', 'added', '{5,0,0,0}', 6, '6 units assigned, 5 in effect'), ('P2', 'added', '{5,1,0,0}', 6, NULL)$$,
              'an unknown SKU, and more units assigned than there are');
SELECT results_eq($$SELECT part_number, name, kind, devices_per_unit, basis, shipped FROM eiot.sku WHERE sku_id = pg_temp.sku_id('NEVER_HEARD_OF')::uuid$$,
                  $$VALUES ('NEVER_HEARD_OF', 'NEVER_HEARD_OF', 'other', 0::bigint, 'import', false)$$, 'the unknown SKU is kept');
SELECT is(eiot.capacity_at(pg_temp.t(7), '2026-01-01'), 25::bigint, 'and covers nothing; units above those assigned neither');
UPDATE eiot.sku SET devices_per_unit = 2, basis = 'our agreement' WHERE sku_id = pg_temp.sku_id('NEVER_HEARD_OF')::uuid;
SELECT is(eiot.capacity_at(pg_temp.t(7), '2026-01-01'), 43::bigint, 'until somebody says that it does');
SELECT bag_eq($$SELECT part_number, note FROM pg_temp.import(7, '2026-02-01', pg_temp.sku('NEVER_HEARD_OF', '{"enabled": 9, "suspended": 4}', 10))$$,
              $$VALUES ('NEVER_HEARD_OF', '10 units assigned, 9 in effect'), ('SPE_E5', NULL), ('WIN_DEF_ATP', NULL)$$, 'it is not noted any more') ;
SELECT lives_ok($$SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(8), '[{"skuId": "c0000000-0000-4000-8000-000000000002", "prepaidUnits": {}}]', '2026-01-01')$$, 'an unknown SKU without a part number or units');
SELECT results_eq($$SELECT part_number, name FROM eiot.sku WHERE sku_id = 'c0000000-0000-4000-8000-000000000002'$$, $$VALUES (NULL, 'c0000000-0000-4000-8000-000000000002')$$, 'is named by its id');

-- ---- refused

INSERT INTO eiot.entitlement (tenant_id, sku_id, units, source, valid, subscription_id)
  VALUES (pg_temp.t(9), pg_temp.sku_id('E5')::uuid, 5, 'subscribedSkus', '[2026-01-01,)', pg_temp.sku_id('E5'));
SELECT pg_temp.remember_entitlements();
CREATE TEMP TABLE skus_before AS SELECT ctid::text AS version, sku_id FROM eiot.sku;

-- Each body begins with a good element that must not go in, of a SKU that is unknown.
CREATE TEMP TABLE bad_skus (what text, code text, element text);
INSERT INTO bad_skus VALUES
  ('negative units', '22023', '{"skuId": "%1$s", "prepaidUnits": {"enabled": -5}}'),
  ('fractional units', '22023', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 2.5}}'),
  ('units in a string', '22023', '{"skuId": "%1$s", "prepaidUnits": {"enabled": "5"}}'),
  ('units that are true', '22023', '{"skuId": "%1$s", "prepaidUnits": {"warning": true}}'),
  ('negative suspended units', '22023', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 1, "suspended": -1}}'),
  ('negative lockedOut units', '22023', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 1, "lockedOut": -1}}'),
  ('negative consumed units', '22023', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 1}, "consumedUnits": -1}'),
  ('units beyond bigint', '22003', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 9223372036854775808}}'),
  ('units that would be unlimited', '22003', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 9223372036854775807}}'),
  ('units of 400 digits', '22003', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 1e400}}'),
  ('consumed units beyond bigint', '22003', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 1}, "consumedUnits": 1e19}'),
  ('no skuId', '22004', '{"prepaidUnits": {"enabled": 5}, "skuPartNumber": "SPE_E5"}'),
  ('an empty skuId', '22004', '{"skuId": "", "prepaidUnits": {"enabled": 5}}'),
  ('a null skuId', '22004', '{"skuId": null, "prepaidUnits": {"enabled": 5}}'),
  ('a skuId that is no UUID', '22P02', '{"skuId": "SPE_E5", "prepaidUnits": {"enabled": 5}}'),
  ('a skuId that is a number', '22P02', '{"skuId": 5, "prepaidUnits": {"enabled": 5}}'),
  ('no prepaidUnits', '22004', '{"skuId": "%1$s"}'),
  ('null prepaidUnits', '22004', '{"skuId": "%1$s", "prepaidUnits": null}'),
  ('prepaidUnits that are a number', '22004', '{"skuId": "%1$s", "prepaidUnits": 5}'),
  ('prepaidUnits that are an array', '22004', '{"skuId": "%1$s", "prepaidUnits": [{"enabled": 5}]}'),
  ('an element that is null', '22023', 'null'),
  ('an element that is a number', '22023', '5'),
  ('an element that is an array', '22023', '[{"skuId": "%1$s"}]'),
  ('a SKU twice', '21000', '{"skuId": "%1$s", "prepaidUnits": {"enabled": 1}}, {"skuId": "%1$s", "prepaidUnits": {"enabled": 1}}'),
  ('a SKU twice with one id', '21000', '{"skuId": "%1$s", "id": "a", "prepaidUnits": {"enabled": 1}}, {"skuId": "%1$s", "id": "a", "prepaidUnits": {"enabled": 2}}');
SELECT throws_ok(format($$SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), '[{"skuId": "c0000000-0000-4000-8000-000000000003", "prepaidUnits": {"enabled": 1}}, %s]', '2026-02-01')$$,
                        format(element, pg_temp.sku_id('E5'))), code, NULL, 'refused: ' || what)
  FROM bad_skus;
SELECT matches((pg_temp.told($$SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), '[{"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "prepaidUnits": {"enabled": 2.5}}]')$$)).message,
               'prepaidUnits.enabled of SKU 06ebc4ee-1bb5-47dd-8120-11324bc54e06 .* 2\.5', 'an error names member, SKU and value');
SELECT cmp_ok((SELECT max(length(told.message || told.detail || told.hint)) FROM pg_temp.told(format($$SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), '[{"skuId": "%s", "prepaidUnits": {}}]')$$, repeat('x', 100000)))), '<', 1000,
              'and cuts a long value short');

CREATE TEMP TABLE no_body (what text, code text, body text);
INSERT INTO no_body VALUES
  ('a number', '22023', '42'), ('a string', '22023', '"SPE_E5"'), ('true', '22023', 'true'), ('JSON null', '22023', 'null'),
  ('an empty object', '22023', '{}'), ('an object without value', '22023', '{"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "DeviceId": "a"}'),
  ('value that is an object', '22023', '{"value": {"skuId": "a", "DeviceId": "a"}}'), ('value that is null', '22023', '{"value": null}'),
  ('an array of numbers', '22023', '[1, 2, 3]'), ('an array of nothing known', '22023', '[{"id": "a"}, {"id": "b"}]'),
  ('an error of Graph', '22023', '{"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges to complete the operation."}}'),
  ('an error of OAuth', '22023', '{"error": "invalid_grant", "error_description": "expired"}'),
  ('an error beside a value', '22023', '{"error": {"code": "x", "message": "y"}, "value": []}'),
  ('a page of several', '22023', '{"@odata.nextLink": "https://graph.microsoft.com/v1.0/subscribedSkus?$skiptoken=x", "value": [{"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "DeviceId": "a", "Timestamp": "2026-01-01", "prepaidUnits": {"enabled": 1}}]}');
SELECT throws_ok(format('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), %L, ''2026-02-01'')', body), code, NULL, 'refused as subscribedSkus: ' || what)
  FROM no_body;
SELECT throws_ok($$SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), '[{"DeviceId": "a", "Timestamp": "2026-01-01"}]', '2026-02-01')$$, '22023', NULL, 'refused as subscribedSkus: rows of DeviceInfo');
SELECT matches((pg_temp.told(format('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), %L)', body))).detail, 'Authorization_RequestDenied: Insufficient privileges', 'an error of Graph is told')
  FROM no_body WHERE what = 'an error of Graph';
SELECT matches((pg_temp.told(format('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), %L)', body))).hint, 'all pages', 'as is what to do about pages')
  FROM no_body WHERE what = 'a page of several';
SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES
    ('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), NULL)', '22004', 'refused: no body'),
    ('SELECT * FROM eiot.import_subscribed_skus(NULL, ''[]'')', '22004', 'refused: no tenant'),
    ('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), ''[]'', NULL)', '22004', 'refused: no instant'),
    ('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), ''[]'', ''infinity'')', '22004', 'refused: an infinite instant'),
    ('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(9), ''[]'', ''-infinity'')', '22004', 'refused: the other one'),
    ('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(99), ''[]'')', '23503', 'refused: an unknown tenant')) v(statement, code, what);
SELECT is((pg_temp.told('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(99), ''[]'')')).hint,
          'Add it first: INSERT INTO eiot.tenant (tenant_id, name) VALUES (''b0000000-0000-4000-8000-000000000099'', ''its name'');', 'the hint adds the tenant');
SELECT :entitlements_untouched 'none of which changed an entitlement');
SELECT bag_eq('SELECT ctid::text AS version, sku_id FROM eiot.sku', 'SELECT * FROM skus_before', 'or left a SKU behind');

-- ==== DeviceInfo

CREATE SCHEMA imported;
SELECT eiot.create_inventory('imported.device') AS inventory \gset

CREATE FUNCTION pg_temp.row(device_id text, seen text, more jsonb DEFAULT '{}') RETURNS jsonb
  LANGUAGE sql IMMUTABLE
  RETURN jsonb_build_object('DeviceId', device_id, 'Timestamp', seen) || more;
CREATE FUNCTION pg_temp.import_rows(n integer, VARIADIC body_rows jsonb[]) RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('%s read, %s devices, %s stored, %s rejected', i.rows_read, i.devices, i.stored, i.rejected)
            FROM eiot.import_device_info('imported.device', pg_temp.t(n), to_jsonb(body_rows)) i);
-- One device, to be read column by column.
CREATE FUNCTION pg_temp.device(n integer, device_id text DEFAULT 'a') RETURNS imported.device
  LANGUAGE sql
  RETURN (SELECT d FROM imported.device d WHERE d.tenant_id = pg_temp.t(n) AND d.device_id = device.device_id);

CREATE TEMP TABLE devices_before (tenant_id uuid, device_id text, version text);
CREATE FUNCTION pg_temp.remember_devices() RETURNS void
  LANGUAGE sql
BEGIN ATOMIC
  DELETE FROM devices_before;
  INSERT INTO devices_before SELECT tenant_id, device_id, format('%s %s %s', ctid, xmin, cmin) AS version FROM imported.device;
END;
\set devices_untouched 'bag_eq(''SELECT tenant_id, device_id, format(''''%s %s %s'''', ctid, xmin, cmin) AS version FROM imported.device'', ''SELECT * FROM devices_before'', '

-- ---- the newest row wins

SELECT is(pg_temp.import_rows(1, pg_temp.row('a', '2024-03-02T00:00:00Z', '{"DeviceName": "middle"}'),
                                 pg_temp.row('a', '2024-03-03T00:00:00Z', '{"DeviceName": "newest"}'),
                                 pg_temp.row('a', '2024-03-01T00:00:00Z', '{"DeviceName": "oldest"}'),
                                 pg_temp.row('b', '2024-03-01T12:00:00Z', '{"DeviceName": "other"}')),
          '4 read, 2 devices, 2 stored, 0 rejected', 'a device thrice in a body');
SELECT is(((pg_temp.device(1)).name, (pg_temp.device(1)).first_seen, (pg_temp.device(1)).last_seen),
          ('newest'::text, timestamptz '2024-03-01', timestamptz '2024-03-03'), 'the newest row wins, the oldest is when it was first seen');
SELECT is(pg_temp.import_rows(1, pg_temp.row('a', '2024-03-04T00:00:00Z', '{"DeviceName": "newer"}')), '1 read, 1 devices, 1 stored, 0 rejected', 'a newer row');
SELECT is(((pg_temp.device(1)).name, (pg_temp.device(1)).first_seen, (pg_temp.device(1)).last_seen),
          ('newer'::text, timestamptz '2024-03-01', timestamptz '2024-03-04'), 'overwrites');
SELECT is(pg_temp.import_rows(1, pg_temp.row('a', '2024-02-01T00:00:00Z', '{"DeviceName": "older", "MergedToDeviceId": "x", "IsExcluded": true, "Site": "old"}')),
          '1 read, 1 devices, 1 stored, 0 rejected', 'an older row');
SELECT is(((pg_temp.device(1)).name, (pg_temp.device(1)).first_seen, (pg_temp.device(1)).last_seen),
          ('newer'::text, timestamptz '2024-02-01', timestamptz '2024-03-04'), 'only moves back when it was first seen');
SELECT is(((pg_temp.device(1)).merged_into, (pg_temp.device(1)).excluded, (pg_temp.device(1)).site), (NULL::text, false, NULL::text), 'and overwrites nothing');
SELECT pg_temp.remember_devices();
SELECT is(pg_temp.import_rows(1, pg_temp.row('a', '2024-02-15T00:00:00Z', '{"DeviceName": "between"}')), '1 read, 1 devices, 0 stored, 0 rejected', 'a row in between');
SELECT is(pg_temp.import_rows(1, pg_temp.row('a', '2024-03-04T00:00:00Z', '{"DeviceName": "newer"}'), pg_temp.row('b', '2024-03-01T12:00:00Z', '{"DeviceName": "other"}')),
          '2 read, 2 devices, 0 stored, 0 rejected', 'the same rows again');
SELECT :devices_untouched 'touch nothing');
SELECT is(pg_temp.import_rows(1, pg_temp.row('a', '2024-03-04T00:00:00Z', '{"DeviceName": "corrected"}')), '1 read, 1 devices, 1 stored, 0 rejected', 'the same instant with another value');
SELECT is((pg_temp.device(1)).name, 'corrected', 'corrects');
SELECT is(pg_temp.import_rows(1, pg_temp.row('c', '2024-03-04T00:00:00Z', '{"DeviceName": "first"}'), pg_temp.row('c', '2024-03-04T00:00:00Z', '{"DeviceName": "last"}')),
          '2 read, 1 devices, 1 stored, 0 rejected', 'one instant twice in a body');
SELECT is((pg_temp.device(1, 'c')).name, 'last', 'the later row in the body wins');
SELECT is(pg_temp.import_rows(2, pg_temp.row('a', '2024-01-01T00:00:00Z', '{"DeviceName": "another tenant''s"}')), '1 read, 1 devices, 1 stored, 0 rejected', 'one id in two tenants');
SELECT is((pg_temp.device(1)).name, 'corrected', 'is two devices');
SELECT is(pg_temp.import_rows(2, pg_temp.row('A', '2024-01-01T00:00:00Z'), pg_temp.row('a ', '2024-01-01T00:00:00Z'), pg_temp.row('ä', '2024-01-01T00:00:00Z'), pg_temp.row('a''; --', '2024-01-01T00:00:00Z')),
          '4 read, 4 devices, 4 stored, 0 rejected', 'ids compare as they are written');

-- A device that somebody inserted without times.
INSERT INTO imported.device (tenant_id, device_id, name, class_override, evidence) VALUES (pg_temp.t(3), 'a', 'by hand', 'ot', '{"snmp": "x"}');
SELECT is(pg_temp.import_rows(3, pg_temp.row('a', '2024-01-01T00:00:00Z', '{"DeviceName": "imported", "DeviceCategory": "IoT"}')), '1 read, 1 devices, 1 stored, 0 rejected', 'a device that was never seen');
SELECT is(((pg_temp.device(3)).name, (pg_temp.device(3)).first_seen, (pg_temp.device(3)).last_seen), ('imported'::text, timestamptz '2024-01-01', timestamptz '2024-01-01'), 'is overwritten by whatever was seen');
SELECT is(((pg_temp.device(3)).class_override, (pg_temp.device(3)).evidence, (pg_temp.device(3)).category, (pg_temp.device(3)).class),
          ('ot'::eiot.device_class, '{"snmp": "x"}'::jsonb, 'IoT'::text, 'ot'::eiot.device_class), 'what an import does not know stays, and the override still decides');

-- ---- columns

SELECT is(pg_temp.import_rows(4, pg_temp.row('a', '2024-01-01T00:00:00Z', '{"DeviceName": "n", "DeviceCategory": "IoT", "DeviceType": "Printer", "DeviceSubtype": "s", "Vendor": "HP", "Model": "m", "OSPlatform": "o",
  "OnboardingStatus": "Unsupported", "MacAddress": "3C:D9:2B:08:00:02", "IPAddress": "10.8.0.3", "MergedToDeviceId": "z", "IsExcluded": true, "IsTransient": true, "DiscoverySources": "MDE", "Site": "Bern",
  "DeviceManualTags": "[\"t\"]", "ReportId": 17, "LoggedOnUsers": "[]", "AdditionalFields": {"a": [1, 2]}, "PublicIP": "8.8.8.8", "identified_class": "ot", "class": "ot", "tenant_id": "x", "count_key": 3}')),
  '1 read, 1 devices, 1 stored, 0 rejected', 'every column, and some that are none of ours');
CREATE TEMP TABLE full_row AS SELECT (pg_temp.device(4)).*;
SELECT results_eq('SELECT name, category, type, subtype, vendor, model, os_platform, onboarding_status, mac, ip, merged_into, excluded, transient, discovery_sources, site, tags, class FROM full_row',
                  $$VALUES ('n', 'IoT', 'Printer', 's', 'HP', 'm', 'o', 'Unsupported', macaddr '3c:d9:2b:08:00:02', inet '10.8.0.3', 'z', true, true, 'MDE', 'Bern', '{t}'::text[], 'iot'::eiot.device_class)$$,
                  'each in its place');
SELECT is(pg_temp.import_rows(4, pg_temp.row('a', '2024-01-02T00:00:00Z')), '1 read, 1 devices, 1 stored, 0 rejected', 'an export without any of the columns');
SELECT is((pg_temp.device(4)).last_seen, timestamptz '2024-01-02', 'tells that the device was seen');
SELECT results_eq($$SELECT to_jsonb(pg_temp.device(4)) - 'last_seen'$$, $$SELECT to_jsonb(full_row) - 'last_seen' FROM full_row$$, 'and keeps everything else');
SELECT lives_ok($$SELECT pg_temp.import_rows(4, pg_temp.row('a', '2024-01-03T00:00:00Z', '{"Site": "Oslo"}'))$$, 'an export with one column');
SELECT results_eq($$SELECT to_jsonb(pg_temp.device(4)) - 'last_seen'$$, $$SELECT to_jsonb(full_row) - 'last_seen' || '{"site": "Oslo"}' FROM full_row$$, 'changes that one');
SELECT lives_ok($$SELECT pg_temp.import_rows(4, pg_temp.row('a', '2024-01-04T00:00:00Z', '{"DeviceName": "", "DeviceCategory": "", "DeviceType": "", "DeviceSubtype": "", "Vendor": "", "Model": "", "OSPlatform": "",
  "OnboardingStatus": "", "MacAddress": "", "IPAddress": "", "MergedToDeviceId": "", "IsExcluded": "", "IsTransient": "", "DiscoverySources": "", "Site": "", "DeviceManualTags": ""}'))$$, 'empty strings');
SELECT results_eq($$SELECT jsonb_strip_nulls(to_jsonb(pg_temp.device(4)) - 'tenant_id' - 'count_key')$$,
                  $$VALUES ('{"device_id": "a", "first_seen": "2024-01-01T00:00:00+00:00", "last_seen": "2024-01-04T00:00:00+00:00", "excluded": false, "transient": false, "class": "unknown"}'::jsonb)$$, 'clear');
SELECT lives_ok($$SELECT pg_temp.import_rows(4, pg_temp.row('b', '2024-01-04T00:00:00Z', '{"DeviceName": "x", "IsExcluded": true}'));
                  SELECT pg_temp.import_rows(4, pg_temp.row('b', '2024-01-05T00:00:00Z', '{"DeviceName": null, "IsExcluded": null}'))$$, 'JSON nulls');
SELECT is(((pg_temp.device(4, 'b')).name, (pg_temp.device(4, 'b')).excluded), (NULL::text, false), 'clear, too');
SELECT lives_ok($$SELECT pg_temp.import_rows(4, pg_temp.row('c', '2024-01-04T00:00:00Z'), pg_temp.row('d', '2024-01-04T00:00:00Z', '{"Site": "Rome"}'))$$, 'a column that the first row lacks');
SELECT is((pg_temp.device(4, 'd')).site, 'Rome', 'is found in the second');

-- Merged devices, and back.
SELECT lives_ok($$SELECT pg_temp.import_rows(5, pg_temp.row('a', '2024-01-01T00:00:00Z', '{"MergedToDeviceId": "b"}'), pg_temp.row('b', '2024-01-01T00:00:00Z', '{"MergedToDeviceId": ""}'))$$, 'a device that was merged into another');
SELECT is(((pg_temp.device(5)).merged_into, (pg_temp.device(5, 'b')).merged_into), ('b'::text, NULL::text), 'is marked');
SELECT lives_ok($$SELECT pg_temp.import_rows(5, pg_temp.row('a', '2024-01-02T00:00:00Z', '{"MergedToDeviceId": ""}'))$$, 'and parted again');
SELECT is((pg_temp.device(5)).merged_into, NULL, 'is not');

-- Values of one column in many spellings: device a of tenant 6, a day later each time.
CREATE FUNCTION pg_temp.stored(day integer, member text, value jsonb, attribute text) RETURNS text
  LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM pg_temp.import_rows(6, pg_temp.row('a', (date '2024-01-01' + day)::text, jsonb_build_object(member, value)));
  RETURN to_jsonb(pg_temp.device(6)) ->> attribute;
END
$$;
CREATE TEMP TABLE spelling (n integer GENERATED ALWAYS AS IDENTITY, member text, value jsonb, attribute text, want text);
INSERT INTO spelling (member, value, attribute, want) VALUES
  ('MacAddress', '"3C:D9:2B:08:00:02"', 'mac', '3c:d9:2b:08:00:02'), ('MacAddress', '"3C-D9-2B-08-00-03"', 'mac', '3c:d9:2b:08:00:03'),
  ('MacAddress', '"3cd92b080004"', 'mac', '3c:d9:2b:08:00:04'), ('MacAddress', '"3cd9.2b08.0005"', 'mac', '3c:d9:2b:08:00:05'), ('MacAddress', '""', 'mac', NULL),
  ('IPAddress', '"10.0.0.1"', 'ip', '10.0.0.1'), ('IPAddress', '"10.0.0.255/24"', 'ip', '10.0.0.255/24'), ('IPAddress', '"FE80::1"', 'ip', 'fe80::1'),
  ('IPAddress', '"::ffff:10.0.0.1"', 'ip', '::ffff:10.0.0.1'), ('IPAddress', '""', 'ip', NULL),
  ('IsExcluded', 'true', 'excluded', 'true'), ('IsExcluded', 'false', 'excluded', 'false'), ('IsExcluded', '"True"', 'excluded', 'true'), ('IsExcluded', '"FALSE"', 'excluded', 'false'),
  ('IsExcluded', '1', 'excluded', 'true'), ('IsExcluded', '0', 'excluded', 'false'), ('IsExcluded', '"yes"', 'excluded', 'true'), ('IsExcluded', '"no"', 'excluded', 'false'),
  ('IsExcluded', '"1"', 'excluded', 'true'), ('IsExcluded', 'null', 'excluded', 'false'), ('IsTransient', '"true"', 'transient', 'true'), ('IsTransient', '""', 'transient', 'false'),
  ('DeviceManualTags', '"[\"a\",\"b\"]"', 'tags', '["a", "b"]'), ('DeviceManualTags', '["c", "d"]', 'tags', '["c", "d"]'), ('DeviceManualTags', '"plain, text"', 'tags', '["plain, text"]'),
  ('DeviceManualTags', '"[]"', 'tags', NULL), ('DeviceManualTags', '"[\"a, \\\"b\\\"\", \"{c}\"]"', 'tags', '["a, \"b\"", "{c}"]'), ('DeviceManualTags', '[]', 'tags', NULL),
  ('DeviceManualTags', '"[1, true]"', 'tags', '["1", "true"]'), ('DeviceManualTags', 'null', 'tags', NULL), ('DeviceDynamicTags', '"[\"dynamic\"]"', 'tags', '["dynamic"]'),
  ('DeviceName', '"Grüße, 世界 🖨"', 'name', 'Grüße, 世界 🖨'), ('DeviceName', '"a\tb\nc\"d\\e"', 'name', E'a\tb\nc"d\\e'), ('DeviceName', '17', 'name', '17'),
  ('DeviceName', '" "', 'name', ' '), ('DeviceName', '"''; DROP TABLE imported.device; --"', 'name', '''; DROP TABLE imported.device; --'),
  ('OnboardingStatus', '"Can be onboarded"', 'onboarding_status', 'Can be onboarded'), ('DiscoverySources', '"[{\"Source\":\"MDE\"}]"', 'discovery_sources', '[{"Source":"MDE"}]'),
  ('DiscoverySources', '[{"Source": "MDE"}]', 'discovery_sources', '[{"Source": "MDE"}]');
SELECT is(pg_temp.stored(n, member, value, attribute), want, format('%s %s', member, value)) FROM spelling ORDER BY n;
SELECT lives_ok($$SELECT pg_temp.import_rows(6, pg_temp.row('b', '2024-01-01', '{"DeviceManualTags": "[\"m\"]", "DeviceDynamicTags": "[\"d\", \"e\"]"}'))$$, 'tags of both kinds');
SELECT is((pg_temp.device(6, 'b')).tags, '{m,d,e}'::text[], 'are put together');

-- Times.
SELECT is(pg_temp.stored(0, 'Timestamp', to_jsonb(value), 'last_seen'), to_jsonb(want) #>> '{}', format('Timestamp %s', value))
  FROM (VALUES (1, '2025-01-01T10:00:00Z', timestamptz '2025-01-01 10:00:00+00'), (2, '2025-01-02T10:00:00.1234567Z', '2025-01-02 10:00:00.123457+00'), (3, '2025-01-03 10:00:00', '2025-01-03 10:00:00+00'),
               (4, '2025-01-04T10:00:00+02:00', '2025-01-04 08:00:00+00'), (5, '2025-01-05', '2025-01-05 00:00:00+00'), (6, '1/6/2025 10:00:00 PM', '2025-01-06 22:00:00+00')) v(n, value, want)
 ORDER BY n;
SET LOCAL TimeZone = 'Asia/Tokyo';
SET LOCAL DateStyle = 'SQL, DMY';
SELECT lives_ok($$SELECT pg_temp.import_rows(6, pg_temp.row('c', '2025-02-03 10:00:00'), pg_temp.row('d', '2/3/2025 10:00:00 AM'))$$, 'times without a zone, in a session elsewhere');
SELECT is((pg_temp.device(6, 'c')).last_seen, timestamptz '2025-02-03 10:00:00+00', 'are UTC');
SELECT is((pg_temp.device(6, 'd')).last_seen, timestamptz '2025-02-03 10:00:00+00', 'and begin with the month');
SELECT throws_ok($$SELECT pg_temp.import_rows(6, pg_temp.row('d', '30/3/2025 10:00:00'))$$, '22008', NULL, 'whatever DateStyle says');
SET LOCAL DateStyle = 'ISO, MDY';
SET LOCAL TimeZone = 'UTC';
SELECT lives_ok(format($$SELECT pg_temp.import_rows(6, pg_temp.row('e', %L))$$, now() + interval '23 hours'), 'a clock that is 23 hours ahead');
SELECT throws_ok(format($$SELECT pg_temp.import_rows(6, pg_temp.row('f', %L))$$, now() + interval '25 hours'), '22008', NULL, '25 hours are too much');

-- ---- classes

CREATE FUNCTION pg_temp.class_of(device_id text) RETURNS text LANGUAGE sql RETURN (pg_temp.device(7, device_id)).class;
SELECT lives_ok($$SELECT pg_temp.import_rows(7, pg_temp.row('iot', '2024-01-01', '{"DeviceCategory": "IoT"}'), pg_temp.row('net', '2024-01-01', '{"DeviceCategory": "NetworkDevice"}'),
  pg_temp.row('end', '2024-01-01', '{"DeviceCategory": "Endpoint"}'), pg_temp.row('none', '2024-01-01', '{"DeviceCategory": "Unknown"}'), pg_temp.row('type', '2024-01-01', '{"DeviceType": "Printer"}'))$$, 'labels of each kind');
SELECT is(pg_temp.class_of(id), class, format('class of %s', id))
  FROM (VALUES ('iot', 'iot'), ('net', 'network'), ('end', 'endpoint'), ('none', 'unknown'), ('type', 'iot')) v(id, class);
UPDATE imported.device SET identified_class = 'medical' WHERE tenant_id = pg_temp.t(7);
SELECT is(pg_temp.class_of(id), class, format('class of %s, identified as medical', id))
  FROM (VALUES ('iot', 'iot'), ('net', 'network'), ('none', 'medical'), ('type', 'iot')) v(id, class);
UPDATE imported.device SET class_override = 'bms' WHERE tenant_id = pg_temp.t(7);
SELECT is_empty($$SELECT device_id, class FROM imported.device WHERE tenant_id = pg_temp.t(7) AND class <> 'bms'$$, 'an override wins over everything');
SELECT lives_ok($$SELECT pg_temp.import_rows(7, pg_temp.row('iot', '2024-02-01', '{"DeviceCategory": "Endpoint"}'), pg_temp.row('none', '2024-02-01', '{"DeviceCategory": "OT"}'))$$, 'other labels come');
SELECT is(pg_temp.class_of('iot'), 'bms', 'the override stays');
UPDATE imported.device SET class_override = NULL WHERE tenant_id = pg_temp.t(7);
SELECT is(pg_temp.class_of(id), class, format('class of %s without it', id))
  FROM (VALUES ('iot', 'endpoint'), ('none', 'ot'), ('net', 'network')) v(id, class);
SELECT throws_ok($$UPDATE imported.device SET class = 'iot' WHERE tenant_id = pg_temp.t(7)$$, '428C9', NULL, 'the class cannot be written');

-- ---- forms of the body

CREATE FUNCTION pg_temp.import_body(n integer, body jsonb, on_error text DEFAULT 'abort') RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('%s read, %s devices, %s stored, %s rejected', i.rows_read, i.devices, i.stored, i.rejected)
            FROM eiot.import_device_info('imported.device', pg_temp.t(n), body, on_error) i);
SELECT is(pg_temp.import_body(8, body::jsonb), want, format('body %s', body))
  FROM (VALUES ('[{"DeviceId": "a", "Timestamp": "2024-01-01"}]', '1 read, 1 devices, 1 stored, 0 rejected'),
               ('{"Results": [{"DeviceId": "b", "Timestamp": "2024-01-01"}], "Schema": []}', '1 read, 1 devices, 1 stored, 0 rejected'),
               ('{"value": [{"DeviceId": "c", "Timestamp": "2024-01-01"}]}', '1 read, 1 devices, 1 stored, 0 rejected'),
               ('[]', '0 read, 0 devices, 0 stored, 0 rejected'), ('{"Results": []}', '0 read, 0 devices, 0 stored, 0 rejected'),
               ('{"value": [], "@odata.nextLink": ""}', '0 read, 0 devices, 0 stored, 0 rejected')) v(body, want);
SELECT set_eq('SELECT device_id FROM imported.device WHERE tenant_id = pg_temp.t(8)', ARRAY['a', 'b', 'c'], 'all three are there');

CREATE TEMP TABLE large AS
  SELECT jsonb_agg(pg_temp.row(format('%s', i % 5000), (timestamp '2024-01-01' + make_interval(secs => i))::text, jsonb_build_object('DeviceName', format('n%s', i), 'DeviceCategory', 'IoT'))) AS body
    FROM generate_series(0, 9999) i;
SELECT is((SELECT pg_temp.import_body(9, body) FROM large), '10000 read, 5000 devices, 5000 stored, 0 rejected', '10,000 rows of 5,000 devices');
SELECT is((SELECT pg_temp.import_body(9, body) FROM large), '10000 read, 5000 devices, 0 stored, 0 rejected', 'and again');
SELECT is_empty($$SELECT device_id, name, first_seen, last_seen FROM imported.device
                   WHERE tenant_id = pg_temp.t(9)
                     AND (name, first_seen, last_seen) IS DISTINCT FROM
                         (format('n%s', device_id::integer + 5000), timestamptz '2024-01-01' + make_interval(secs => device_id::integer), timestamptz '2024-01-01' + make_interval(secs => device_id::integer + 5000))$$,
                'each has its newest row');

-- ---- refused, with nothing stored

SELECT pg_temp.remember_devices();

CREATE TEMP TABLE bad_row (n integer GENERATED ALWAYS AS IDENTITY, what text, code text, reason text, bad jsonb);
INSERT INTO bad_row (what, code, reason, bad) VALUES
  ('no DeviceId', '22004', '^DeviceId is missing$', '{"Timestamp": "2024-01-01"}'), ('an empty DeviceId', '22004', '^DeviceId is missing$', '{"DeviceId": "", "Timestamp": "2024-01-01"}'),
  ('a null DeviceId', '22004', '^DeviceId is missing$', '{"DeviceId": null, "Timestamp": "2024-01-01"}'), ('no Timestamp', '22004', '^Timestamp is missing$', '{"DeviceId": "a"}'),
  ('an empty Timestamp', '22004', '^Timestamp is missing$', '{"DeviceId": "a", "Timestamp": ""}'), ('words for a Timestamp', '22007', 'timestamp', '{"DeviceId": "a", "Timestamp": "some time ago"}'),
  ('month 13', '22008', '2024-13-01', '{"DeviceId": "a", "Timestamp": "2024-13-01"}'), ('a Timestamp in 2126', '22008', '^Timestamp lies in the future$', '{"DeviceId": "a", "Timestamp": "2126-01-01"}'),
  ('an infinite Timestamp', '22008', '^Timestamp is no instant$', '{"DeviceId": "a", "Timestamp": "infinity"}'), ('the other infinity', '22008', '^Timestamp is no instant$', '{"DeviceId": "a", "Timestamp": "-infinity"}'),
  ('a year beyond all', '22008', '99999999', '{"DeviceId": "a", "Timestamp": "99999999-01-01"}'),
  ('a MAC address that is none', '22P02', 'macaddr', '{"DeviceId": "a", "Timestamp": "2024-01-01", "MacAddress": "00:11:22"}'),
  ('an EUI-64', '22P02', 'macaddr', '{"DeviceId": "a", "Timestamp": "2024-01-01", "MacAddress": "00:11:22:33:44:55:66:77"}'),
  ('an IP address that is none', '22P02', 'inet', '{"DeviceId": "a", "Timestamp": "2024-01-01", "IPAddress": "10.0.0.256"}'),
  ('two IP addresses', '22P02', 'inet', '{"DeviceId": "a", "Timestamp": "2024-01-01", "IPAddress": ["10.0.0.1", "10.0.0.2"]}'),
  ('a boolean that is none', '22P02', 'boolean: "maybe"', '{"DeviceId": "a", "Timestamp": "2024-01-01", "IsExcluded": "maybe"}'), ('another one', '22P02', 'boolean: "2"', '{"DeviceId": "a", "Timestamp": "2024-01-01", "IsTransient": 2}'),
  ('tags cut off', '22P02', 'json', '{"DeviceId": "a", "Timestamp": "2024-01-01", "DeviceManualTags": "[\"a\", \"b"}'),
  ('a row that is null', '22023', 'JSON null', 'null'), ('a row that is a number', '22023', 'JSON number', '7'), ('a row that is an array', '22023', 'JSON array', '[{"DeviceId": "a"}]'),
  ('a row that is a string', '22023', 'JSON string', '"DeviceId"'),
  ('a name of 10 MB', '22001', 'longer than 65536 bytes', jsonb_build_object('DeviceId', 'a', 'Timestamp', '2024-01-01', 'DeviceName', repeat('x', 10 * 1024 * 1024))),
  ('a model of 65,537 bytes', '22001', 'longer than 65536 bytes', jsonb_build_object('DeviceId', 'a', 'Timestamp', '2024-01-01', 'Model', repeat('x', 65537))),
  ('a model of 65,538 bytes in fewer characters', '22001', 'longer than 65536 bytes', jsonb_build_object('DeviceId', 'a', 'Timestamp', '2024-01-01', 'Model', repeat('ü', 32769))),
  ('a tag of 10 MB', '22001', 'longer than 65536 bytes', jsonb_build_object('DeviceId', 'a', 'Timestamp', '2024-01-01', 'DeviceManualTags', repeat('x', 10 * 1024 * 1024))),
  ('a DeviceId of 10 MB', '22001', 'DeviceId is longer than 1024 bytes', jsonb_build_object('DeviceId', repeat('x', 10 * 1024 * 1024), 'Timestamp', '2024-01-01')),
  ('a DeviceId of 1,025 bytes', '22001', 'DeviceId is longer than 1024 bytes', jsonb_build_object('DeviceId', repeat('x', 1025), 'Timestamp', '2024-01-01')),
  ('a Timestamp of 10 MB', '22007', 'timestamp', jsonb_build_object('DeviceId', 'a', 'Timestamp', repeat('x', 10 * 1024 * 1024)));
-- Each stands between good rows.
SELECT ok(t.code = b.code AND substring(t.message FROM '^row 2 of the body cannot be imported: (.*)$') ~ b.reason AND t.hint ~ 'reject' AND length(t.message || t.detail || t.hint) < 1000,
          format('refused with %s: %s', b.code, b.what))
    || CASE WHEN t.code IS DISTINCT FROM b.code THEN E'\n# ' || left(concat_ws(', ', t.code, t.message), 300) ELSE '' END
  FROM bad_row b
 CROSS JOIN LATERAL pg_temp.told(format($$SELECT pg_temp.import_body(10, jsonb_build_array('{"DeviceId": "good", "Timestamp": "2024-01-01"}'::jsonb, (SELECT bad FROM bad_row WHERE n = %s), '{"DeviceId": "good too", "Timestamp": "2024-01-01"}'::jsonb))$$, b.n)) t
 ORDER BY b.n;
SELECT throws_ok(format('SELECT pg_temp.import_body(10, %L)', body), code, NULL, 'refused as DeviceInfo: ' || what)
  FROM no_body;
SELECT throws_ok(statement, code, NULL, what)
  FROM (VALUES
    ($$SELECT pg_temp.import_body(10, '[{"skuId": "a"}]')$$, '22023', 'refused as DeviceInfo: subscribedSkus'),
    ($$SELECT pg_temp.import_body(10, NULL)$$, '22004', 'refused: no body'),
    ($$SELECT * FROM eiot.import_device_info('imported.device', NULL, '[]')$$, '22004', 'refused: no tenant'),
    ($$SELECT * FROM eiot.import_device_info(NULL, pg_temp.t(10), '[]')$$, '22004', 'refused: no inventory'),
    ($$SELECT * FROM eiot.import_device_info('imported.nothing', pg_temp.t(10), '[]')$$, '42P01', 'refused: an inventory that does not exist'),
    ($$SELECT * FROM eiot.import_device_info('imported.device_coverage', pg_temp.t(10), '[]')$$, '42809', 'refused: a view'),
    ($$SELECT * FROM eiot.import_device_info('eiot.tenant', pg_temp.t(10), '[]')$$, '42809', 'refused: another table'),
    ($$SELECT pg_temp.import_body(99, '[]')$$, '23503', 'refused: an unknown tenant'),
    ($$SELECT pg_temp.import_body(10, '[]', 'ignore')$$, '22023', 'refused: an on_error that is none'),
    ($$SELECT pg_temp.import_body(10, '[]', 'Abort')$$, '22023', 'refused: on_error in capitals'),
    ($$SELECT pg_temp.import_body(10, '[]', '')$$, '22023', 'refused: an empty on_error'),
    ($$SELECT pg_temp.import_body(10, '[]', NULL)$$, '22023', 'refused: a null on_error'),
    -- These never reach us.
    ($$SELECT pg_temp.import_body(10, '[{"DeviceId": "a", "Timestamp": "2024-01-01", "DeviceName": "a\u0000b"}]')$$, '22P05', 'jsonb refuses a NUL in a name'),
    ($$SELECT pg_temp.import_body(10, convert_from('\x5b7b224465766963654964223a22ff227d5d', 'UTF8')::jsonb)$$, '22021', 'convert_from refuses what is no UTF-8'),
    ($$SELECT pg_temp.import_body(10, '[{"DeviceId": "a", "Timestamp": "2024-01-01"}')$$, '22P02', 'jsonb refuses a body that was cut off'),
    ($$SELECT pg_temp.import_body(10, '')$$, '22P02', 'jsonb refuses an empty body')) v(statement, code, what);
SELECT is((pg_temp.told($$SELECT pg_temp.import_body(99, '[]')$$)).hint,
          'Add it first: INSERT INTO eiot.tenant (tenant_id, name) VALUES (''b0000000-0000-4000-8000-000000000099'', ''its name'');', 'the hint adds the tenant');
SELECT :devices_untouched 'none of which stored a device, good rows of the body included');
SELECT is_empty('SELECT * FROM eiot.import_reject', 'or kept a row as rejected');

SELECT is(pg_temp.import_body(10, jsonb_build_array(pg_temp.row(repeat('x', 1024), '2024-01-01', jsonb_build_object('Model', repeat('x', 65536), 'PublicIP', repeat('x', 10 * 1024 * 1024))))),
          '1 read, 1 devices, 1 stored, 0 rejected', 'the longest fields that go in; a column that is none of ours may have any length');

-- ---- the files of test/data/bad

CREATE TEMP TABLE bad_file (file text, skus text, devices text);
INSERT INTO bad_file VALUES
  ('graph-error.json', '22023', '22023'), ('machines.json', '22023', '22023'),
  ('subscribedSkus-negative-units.json', '22023', '22023'), ('subscribedSkus-fractional-units.json', '22023', '22023'),
  ('subscribedSkus-missing-skuId.json', '22023', '22023'), ('subscribedSkus-missing-prepaidUnits.json', '22004', '22023'),
  ('DeviceInfo-missing-DeviceId.json', '22023', '22023'), ('DeviceInfo-future-Timestamp.json', '22023', '22008'), ('DeviceInfo-bad-Timestamp.json', '22023', '22007'),
  ('DeviceInfo-bad-IsExcluded.json', '22023', '22P02'), ('DeviceInfo-scalar.json', '22023', '22023'), ('DeviceInfo-mixed.json', '22023', '22004');
SELECT set_eq(format('SELECT pg_ls_dir(%L)', :'data' || '/bad'), 'SELECT file FROM bad_file', 'every file of bad/ is tried');
ALTER TABLE bad_file ADD body jsonb;
UPDATE bad_file SET body = pg_read_file(format('%s/bad/%s', :'data', file))::jsonb;
SELECT throws_ok(format('SELECT * FROM eiot.import_subscribed_skus(pg_temp.t(11), %L)', body), skus, NULL, format('%s as subscribedSkus: %s', file, skus)) FROM bad_file;
SELECT throws_ok(format('SELECT pg_temp.import_body(11, %L)', body), devices, NULL, format('%s as DeviceInfo: %s', file, devices)) FROM bad_file;
SELECT is_empty('SELECT 1 FROM eiot.entitlement WHERE tenant_id = pg_temp.t(11) UNION ALL SELECT 1 FROM imported.device WHERE tenant_id = pg_temp.t(11)', 'nothing of them went in');

-- ---- on_error => 'reject'

SELECT is((SELECT pg_temp.import_body(12, body, 'reject') FROM bad_file WHERE file = 'DeviceInfo-mixed.json'), '7 read, 3 devices, 3 stored, 4 rejected', 'three good rows land, four are rejected');
SELECT set_eq($$SELECT device_id FROM imported.device WHERE tenant_id = pg_temp.t(12)$$,
              $$SELECT body #>> ARRAY['Results', i::text, 'DeviceId'] FROM bad_file CROSS JOIN unnest('{0,2,5}'::integer[]) i WHERE file = 'DeviceInfo-mixed.json'$$, 'namely rows 1, 3 and 6');
SELECT results_eq($$SELECT ordinal, reason, inventory, rejected_at = now(), rejected_by = CURRENT_USER FROM eiot.import_reject WHERE tenant_id = pg_temp.t(12) ORDER BY ordinal$$,
                  $$VALUES (2::bigint, 'DeviceId is missing', 'imported.device', true, true), (4, 'Timestamp lies in the future', 'imported.device', true, true),
                           (5, 'invalid input syntax for type timestamp with time zone: "yesterday-ish"', 'imported.device', true, true),
                           (7, 'invalid input syntax for type boolean: "maybe"', 'imported.device', true, true)$$, 'the others are kept with their place and reason');
SELECT set_eq($$SELECT ordinal, r.body FROM eiot.import_reject r WHERE tenant_id = pg_temp.t(12)$$,
              $$SELECT i, f.body #> ARRAY['Results', (i - 1)::text] FROM bad_file f CROSS JOIN unnest('{2,4,5,7}'::bigint[]) i WHERE file = 'DeviceInfo-mixed.json'$$, 'and as they came');
SELECT is((SELECT pg_temp.import_body(12, body, 'reject') FROM bad_file WHERE file = 'DeviceInfo-mixed.json'), '7 read, 3 devices, 0 stored, 4 rejected', 'again: nothing is stored');

SELECT is((SELECT pg_temp.import_body(13, jsonb_agg(bad ORDER BY n) || '[{"DeviceId": "good", "Timestamp": "2024-01-01", "Site": "Bern"}]', 'reject') FROM bad_row),
          (SELECT format('%s read, 1 devices, 1 stored, %s rejected', count(*) + 1, count(*)) FROM bad_row), 'every bad row at once, and one good');
SELECT is_empty($$SELECT b.what, r.reason FROM bad_row b LEFT JOIN eiot.import_reject r ON r.tenant_id = pg_temp.t(13) AND r.ordinal = b.n
                   WHERE r.reason !~ b.reason OR length(r.reason) > 200 OR r.body IS DISTINCT FROM b.bad OR r.reason IS NULL$$, 'each is kept with its reason');
SELECT is((pg_temp.device(13, 'good')).site, 'Bern', 'the good one lands');
SELECT is(pg_temp.import_body(14, body::jsonb, 'reject'), want, format('reject, body %s', body))
  FROM (VALUES ('[]', '0 read, 0 devices, 0 stored, 0 rejected'), ('[{"DeviceId": "a", "Timestamp": "2024-01-01"}]', '1 read, 1 devices, 1 stored, 0 rejected'),
               ('[{"DeviceId": ""}]', '1 read, 0 devices, 0 stored, 1 rejected'),
               ('[{"DeviceId": "b", "Timestamp": "2024-01-02"}, {"DeviceId": "b", "Timestamp": "x"}, {"DeviceId": "b", "Timestamp": "2024-01-01"}]', '3 read, 1 devices, 1 stored, 1 rejected')) v(body, want);
SELECT throws_ok(format('SELECT pg_temp.import_body(14, %L, ''reject'')', body), '22023', NULL, 'a body that is none is no matter of rows: ' || what)
  FROM no_body WHERE what IN ('a number', 'an error of Graph', 'a page of several', 'an array of nothing known');
SELECT lives_ok('DELETE FROM eiot.tenant WHERE tenant_id = pg_temp.t(15)', 'a tenant can be deleted');
SELECT lives_ok($$DELETE FROM imported.device WHERE tenant_id = pg_temp.t(13); DELETE FROM eiot.tenant WHERE tenant_id = pg_temp.t(13)$$, 'also one with rejected rows');
SELECT is_empty($$SELECT FROM eiot.import_reject WHERE tenant_id = pg_temp.t(13)$$, 'which go with it');

-- Rows read are stored or rejected, or older than what is there: never neither.
SELECT is((SELECT i.stored + i.rejected FROM eiot.import_device_info('imported.device', pg_temp.t(16),
             jsonb_build_array(pg_temp.row('a', '2024-01-01', jsonb_build_object('DeviceManualTags', (SELECT jsonb_agg('a'::text)::text FROM generate_series(1, 9000))))), 'reject') i),
          1::bigint, 'a row with 9,000 small tags is either stored or rejected');
SELECT is((SELECT i.stored FROM eiot.import_device_info('imported.device', pg_temp.t(17), jsonb_build_array(tagged, '{"DeviceId": ""}'::jsonb), 'reject') i),
          (SELECT i.stored FROM eiot.import_device_info('imported.device', pg_temp.t(18), jsonb_build_array(tagged), 'reject') i),
          'a row is as good beside a bad one as alone')
  FROM (VALUES (pg_temp.row('a', '2024-01-01', jsonb_build_object('DeviceManualTags', jsonb_build_array(repeat('"', 40000)))))) v(tagged);

-- An inventory is the user's own: what its columns refuse is told as it is.
ALTER TABLE imported.device ADD CONSTRAINT short CHECK (length(vendor) < 10);
SELECT throws_ok(format($$SELECT * FROM eiot.import_device_info('imported.device', pg_temp.t(19), '[{"DeviceId": "a", "Timestamp": "2024-01-01", "Vendor": "a long name"}]', %L)$$, on_error), '23514', NULL,
                 format('a check of the user''s own, %s', on_error))
  FROM (VALUES ('abort'), ('reject')) v(on_error);
CREATE FUNCTION imported.no_good() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no good' USING ERRCODE = 'data_exception'; END$$;
CREATE TRIGGER no_good BEFORE INSERT ON imported.device FOR EACH ROW EXECUTE FUNCTION imported.no_good();
SELECT throws_ok(format($$SELECT * FROM eiot.import_device_info('imported.device', pg_temp.t(19), '[{"DeviceId": "a", "Timestamp": "2024-01-01"}]', %L)$$, on_error), '22000', 'no good',
                 format('a trigger of the user''s own that raises a data exception, %s', on_error))
  FROM (VALUES ('abort'), ('reject')) v(on_error);

SELECT * FROM finish();
ROLLBACK;
