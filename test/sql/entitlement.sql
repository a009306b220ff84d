-- What a tenant holds, and what that covers.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

INSERT INTO eiot.tenant (tenant_id, name) VALUES
  ('d0000000-0000-4000-8000-000000000001', 'Fabrikam'),
  ('d0000000-0000-4000-8000-000000000002', 'Tailspin');

-- 240 Microsoft 365 E5 all year, four standalone licenses from April on, a trial in June.
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid)
SELECT 'd0000000-0000-4000-8000-000000000001', s.sku_id, v.subscription_id, v.units, v.valid
  FROM (VALUES ('Microsoft 365 E5', 'main', 240, tstzrange('2026-01-01', '2027-01-01')),
               ('Microsoft Defender for IoT - EIoT Device License - add-on', 'add-on', 4, tstzrange('2026-04-01', '2027-01-01')),
               ('EIoT Device License - trial', 'trial', 100, tstzrange('2026-06-01', '2026-07-01'))) v(product, subscription_id, units, valid)
  JOIN eiot.sku s ON s.name = v.product;

SELECT e.subscription_id, e.units, s.devices_per_unit, e.state, e.valid, e.source
  FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id)
 WHERE e.tenant_id = 'd0000000-0000-4000-8000-000000000001'
 ORDER BY lower(e.valid);

SELECT as_of, eiot.capacity_at('d0000000-0000-4000-8000-000000000001', as_of)
  FROM (VALUES (timestamptz '2025-12-31 23:59:59'), ('2026-01-01'), ('2026-04-01'), ('2026-06-01'), ('2026-07-01'), ('2027-01-01')) v(as_of);
SELECT eiot.capacity_at('d0000000-0000-4000-8000-000000000002', '2026-06-01') AS without_licenses,
       eiot.capacity_at('d0000000-0000-4000-8000-00000000ffff', '2026-06-01') AS unknown_tenant,
       eiot.capacity_at(NULL, '2026-06-01') AS no_tenant;
SELECT t.name, l.capacity FROM eiot.licensed_capacity('2026-06-15') l JOIN eiot.tenant t USING (tenant_id) WHERE tenant_id::text LIKE 'd0000000-%' ORDER BY 1;

-- Units in their grace period.
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, state, valid)
VALUES ('d0000000-0000-4000-8000-000000000002', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 10, 'enabled', '(,)'),
       ('d0000000-0000-4000-8000-000000000002', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 2, 'warning', '(,)'),
       ('d0000000-0000-4000-8000-000000000002', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 7, 'suspended', '(,)'),
       ('d0000000-0000-4000-8000-000000000002', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 7, 'locked_out', '(,)');
SELECT capacity FROM eiot.capacity WHERE tenant_id = 'd0000000-0000-4000-8000-000000000002';
SET eiot.count_warning_units = off;
SELECT capacity FROM eiot.capacity WHERE tenant_id = 'd0000000-0000-4000-8000-000000000002';
RESET eiot.count_warning_units;

-- A trial of any number of devices.
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid)
VALUES ('d0000000-0000-4000-8000-000000000002', 'e1070000-0000-4000-8000-000000000001', 'trial', eiot.unlimited(), '[2026-06-01,2026-07-01)');
SELECT as_of, c, c = eiot.unlimited() AS unlimited
  FROM (VALUES (timestamptz '2026-05-31'), ('2026-06-01'), ('2026-07-01')) v(as_of)
 CROSS JOIN LATERAL eiot.capacity_at('d0000000-0000-4000-8000-000000000002', as_of) c;

-- A product of which you know more than its documentation says: the row is yours then.
BEGIN;
UPDATE eiot.sku SET devices_per_unit = 5, basis = 'our agreement' WHERE part_number = 'SPE_F5_SEC'
RETURNING name, devices_per_unit, basis, shipped, overrides;
INSERT INTO eiot.sku (sku_id, part_number, name, kind, devices_per_unit, basis)
VALUES ('e2be619b-b125-455f-8660-fb503e431a5d', 'M365_G5_GCC', 'G5', 'user_license', 5, 'our agreement');
SELECT name, devices_per_unit, basis, shipped, overrides FROM eiot.sku WHERE part_number = 'M365_G5_GCC';
ROLLBACK;

-- What is refused.
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid)
VALUES ('d0000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'main', 1, '[2026-12-31,2028-01-01)');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES ('d0000000-0000-4000-8000-00000000ffff', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1);
INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES ('d0000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000000', 1);
DELETE FROM eiot.tenant WHERE name = 'Tailspin';
DELETE FROM eiot.sku WHERE part_number = 'SPE_F5_SEC';
DELETE FROM eiot.counting_rule WHERE name = '2026-07';
UPDATE eiot.tenant SET counting_rule = '2021' WHERE name = 'Tailspin';
SET eiot.count_warning_units = 'some';
\set VERBOSITY terse
INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES ('d0000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', -1);
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, state) VALUES ('d0000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 'expired');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid) VALUES ('d0000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 1, 'empty');
\set VERBOSITY default
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, valid)
VALUES ('d0000000-0000-4000-8000-000000000001', '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'huge', 9223372036854775806, '[2028-01-01,2029-01-01)');
SELECT eiot.capacity_at('d0000000-0000-4000-8000-000000000001', '2028-06-01');

-- Rules overlap on no day; checked at the end of the transaction.
BEGIN;
INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after) VALUES ('ours', '[2026-10-01,)', '{iot,ot}', '60 days');
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after) VALUES ('ours', '[2026-10-01,)', '{iot,ot}', '60 days');
UPDATE eiot.counting_rule SET valid = '[2026-07-02,2026-10-01)' WHERE name = '2026-07';
SET CONSTRAINTS ALL IMMEDIATE;
SELECT name, valid, counted_classes, inactive_after, shipped FROM eiot.counting_rule WHERE valid && '[2026-07-02,)' ORDER BY valid;
ROLLBACK;

DELETE FROM eiot.entitlement WHERE tenant_id::text LIKE 'd0000000-%';
DELETE FROM eiot.tenant WHERE tenant_id::text LIKE 'd0000000-%';
