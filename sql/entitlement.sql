-- What tenants are licensed for, and what capacity that gives.

CREATE TABLE eiot.sku (
  sku_id uuid PRIMARY KEY,
  part_number text,
  name text NOT NULL,
  kind text NOT NULL DEFAULT 'other'
    CHECK (kind IN ('user_license', 'device_license', 'prerequisite', 'trial', 'legacy_plan', 'other')),
  devices_per_unit bigint NOT NULL DEFAULT 0 CHECK (devices_per_unit >= 0),
  includes_defender_p2 boolean NOT NULL DEFAULT false,
  basis text,
  shipped boolean NOT NULL DEFAULT false,
  overrides boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE eiot.sku IS
  'Products and how many IoT devices one unit covers; change a row where Microsoft tells you otherwise, it is then yours and survives dump and upgrade';
COMMENT ON COLUMN eiot.sku.sku_id IS 'skuId of Microsoft Graph';
COMMENT ON COLUMN eiot.sku.part_number IS 'skuPartNumber of Microsoft Graph; null where none was published';
COMMENT ON COLUMN eiot.sku.name IS 'Product name';
COMMENT ON COLUMN eiot.sku.kind IS 'user_license, device_license, prerequisite, trial, legacy_plan or other';
COMMENT ON COLUMN eiot.sku.devices_per_unit IS 'IoT devices that one unit covers: 5 for Microsoft 365 E5 and E5 Security, 1 for a standalone license';
COMMENT ON COLUMN eiot.sku.includes_defender_p2 IS 'Does it contain Defender for Endpoint P2, which standalone licenses need?';
COMMENT ON COLUMN eiot.sku.basis IS
  'Where devices_per_unit comes from: documentation, plan (Microsoft''s list shows the EIoT service plan in the SKU), name (the product by name, plan not listed), unknown (no source says that it covers devices), project (made up here), import (met in an imported body)';
COMMENT ON COLUMN eiot.sku.shipped IS 'Comes with the extension, unchanged; such rows are not dumped';
COMMENT ON COLUMN eiot.sku.overrides IS 'The user''s version of a row that comes with the extension';

CREATE TRIGGER keep_user_row BEFORE INSERT OR UPDATE OR DELETE ON eiot.sku
  FOR EACH ROW EXECUTE FUNCTION eiot.keep_user_row('sku_id');
COMMENT ON TRIGGER keep_user_row ON eiot.sku IS 'A changed shipped SKU becomes the user''s and is dumped';

SELECT pg_catalog.pg_extension_config_dump('eiot.sku', 'WHERE NOT shipped');

INSERT INTO eiot.sku (sku_id, part_number, name, kind, devices_per_unit, includes_defender_p2, basis, shipped)
VALUES
  -- The EIoT service plan 99cd49a9-0e54-4e07-aea1-d8d9f5f704f5 is listed in these.
  ('06ebc4ee-1bb5-47dd-8120-11324bc54e06', 'SPE_E5', 'Microsoft 365 E5', 'user_license', 5, true, 'documentation', true),
  ('db684ac5-c0e7-4f92-8284-ef9ebde75d33', 'Microsoft_365_E5', 'Microsoft 365 E5 (500 seats min)_HUB', 'user_license', 5, true, 'plan', true),
  ('18a4bd3f-0b5b-4887-b04f-61dd0ee15f5e', 'Microsoft_365_E5_(no_Teams)', 'Microsoft 365 E5 (no Teams)', 'user_license', 5, true, 'plan', true),
  ('99cc8282-2f74-4954-83b7-c6a9a1999067', 'M365_E5_SUITE_COMPONENTS', 'Microsoft 365 E5 Suite features', 'user_license', 5, true, 'plan', true),
  ('a91fc4e0-65e5-4266-aa76-4037509c1626', 'SPE_E5_CALLINGMINUTES', 'Microsoft 365 E5 with Calling Minutes', 'user_license', 5, true, 'plan', true),
  ('cd2925a3-5076-4233-8931-638a8c94f773', 'SPE_E5_NOPSTNCONF', 'Microsoft 365 E5 without Audio Conferencing', 'user_license', 5, true, 'plan', true),
  ('2113661c-6509-4034-98bb-9c47bd28d63c', 'Microsoft_365_E5_without_Audio_Conferencing', 'Microsoft 365 E5 without Audio Conferencing (500 seats min)_HUB', 'user_license', 5, true, 'plan', true),
  ('9a18296a-025f-4e37-9ffa-30bf8d1ce775', 'MICROSOFT_365_E7', 'Microsoft 365 E7', 'user_license', 5, true, 'plan', true),
  -- The documentation names E5 Security, whose SKU does not list the plan.
  ('26124093-3d78-432b-b5dc-48bf992543d5', 'IDENTITY_THREAT_PROTECTION', 'Microsoft 365 E5 Security', 'user_license', 5, true, 'documentation', true),
  -- Microsoft 365 E5 or E5 Security by name; the list does not show the plan.
  ('44ac31e7-2999-4304-ad94-c948886741d4', 'IDENTITY_THREAT_PROTECTION_FOR_EMS_E5', 'Microsoft 365 E5 Security for EMS E5', 'user_license', 5, true, 'name', true),
  ('3271cf8e-2be5-4a09-a549-70fd05baaa17', 'O365_w/o_Teams_Bundle_M5', 'Microsoft 365 E5 EEA (no Teams)', 'user_license', 5, true, 'name', true),
  ('1e988bf3-8b7c-4731-bec0-4e2a2946600c', 'O365_w/o_Teams_Bundle_M5_(500_seats_min)_HUB', 'Microsoft 365 E5 EEA (no Teams) (500 seats min)_HUB', 'user_license', 5, true, 'name', true),
  ('6ee4114a-9b2d-4577-9e7a-49fa43d222d3', 'Microsoft_365_E5_EEA_(no_Teams)_with_Calling_Minutes', 'Microsoft 365 E5 EEA (no Teams) with Calling Minutes', 'user_license', 5, true, 'name', true),
  ('90277bc7-a6fe-4181-99d8-712b08b8d32b', 'Microsoft_365_E5_EEA_(no_Teams)_without_Audio_Conferencing', 'Microsoft 365 E5 EEA (no Teams) without Audio Conferencing', 'user_license', 5, true, 'name', true),
  ('a640eead-25f6-4bec-97e3-23cfd382d7c2', 'Microsoft_365_E5_EEA_(no_Teams)_without_Audio_Conferencing_(500_seats_min)_HUB', 'Microsoft 365 E5 EEA (no Teams) without Audio Conferencing (500 seats min)_HUB', 'user_license', 5, true, 'name', true),
  ('4eb45c5b-0d19-4e33-b87c-adfc25268f20', 'SPE_E5_USGOV_GCCHIGH', 'Microsoft 365 E5_USGOV_GCCHIGH', 'user_license', 5, true, 'name', true),
  -- No source says that these cover devices: 0 until you know better.
  ('e2be619b-b125-455f-8660-fb503e431a5d', 'M365_G5_GCC', 'Microsoft 365 GCC G5', 'user_license', 0, true, 'unknown', true),
  ('b0f809d5-a662-4391-a5aa-136e9c565b9d', 'M365_G5_GOV', 'Microsoft 365 GCC G5 w/o WDATP/CAS Unified', 'user_license', 0, false, 'unknown', true),
  ('e97c048c-37a4-45fb-ab50-922fbf07a370', 'M365EDU_A5_FACULTY', 'Microsoft 365 A5 for faculty', 'user_license', 0, true, 'unknown', true),
  ('46c119d4-0379-4a9d-85e4-97c66d3f909e', 'M365EDU_A5_STUDENT', 'Microsoft 365 A5 for students', 'user_license', 0, true, 'unknown', true),
  ('31d57bc7-3a05-4867-ab53-97a17835a411', 'M365EDU_A5_STUUSEBNFT', 'Microsoft 365 A5 for students use benefit', 'user_license', 0, false, 'unknown', true),
  ('81441ae1-0b31-4185-a6c0-32b6b84d419f', 'M365EDU_A5_NOPSTNCONF_STUUSEBNFT', 'Microsoft 365 A5 without Audio Conferencing for students use benefit', 'user_license', 0, false, 'unknown', true),
  ('9b8fe788-6174-4c4e-983b-3330c93ec278', 'M365_A5_SUITE_COMPONENTS_FACULTY', 'Microsoft 365 A5 Suite features for faculty', 'user_license', 0, false, 'unknown', true),
  ('67ffe999-d9ca-49e1-9d2c-03fb28aa7a48', 'SPE_F5_SEC', 'Microsoft 365 F5 Security add-on', 'user_license', 0, true, 'unknown', true),
  ('32b47245-eb31-44fc-b945-a8b1576c439f', 'SPE_F5_SECCOMP', 'Microsoft 365 F5 Security + Compliance add-on', 'user_license', 0, true, 'unknown', true),
  ('2347355b-4e81-41a4-9c22-55057a399791', 'M365_SECURITY_COMPLIANCE_FOR_FLW', 'Microsoft 365 Security and Compliance for Firstline Workers', 'user_license', 0, true, 'unknown', true),
  ('c42b9cae-ea4f-4ab7-9717-81576235ccac', 'DEVELOPERPACK_E5', 'Microsoft 365 E5 Developer (without Windows and Audio Conferencing)', 'user_license', 0, false, 'unknown', true),
  ('184efa21-98c3-4e5d-95ab-d07053a96e67', 'INFORMATION_PROTECTION_COMPLIANCE', 'Microsoft 365 E5 Compliance', 'other', 0, false, 'documentation', true),
  ('c7df2760-2c81-4ef7-b578-5b5392b571df', 'ENTERPRISEPREMIUM', 'Office 365 E5', 'other', 0, false, 'documentation', true),
  -- Defender for Endpoint.
  ('111046dd-295b-4d6d-9724-d52ac90bd1f2', 'WIN_DEF_ATP', 'Microsoft Defender for Endpoint', 'prerequisite', 0, true, 'documentation', true),
  ('b126b073-72db-4a9d-87a4-b17afe41d4ab', 'MDATP_XPLAT', 'Microsoft Defender for Endpoint P2_XPLAT', 'prerequisite', 0, true, 'plan', true),
  ('e430a580-c37b-4d16-adba-d881d7cd0364', 'Microsoft_Defender_for_Endpoint_F2', 'Microsoft Defender for Endpoint F2', 'prerequisite', 0, true, 'plan', true),
  ('509e8ab6-0274-4cda-bcbd-bd164fd562c4', 'MDATP_Server', 'Microsoft Defender for Endpoint Server', 'prerequisite', 0, true, 'plan', true),
  ('16a55f2f-ff35-4cd5-9146-fb784e3761a5', 'DEFENDER_ENDPOINT_P1', 'Microsoft Defender for Endpoint P1', 'other', 0, false, 'plan', true),
  ('bba890d4-7881-4584-8102-0c3fdfb739a7', 'DEFENDER_ENDPOINT_P1_EDU', 'Microsoft Defender for Endpoint P1 for EDU', 'other', 0, false, 'plan', true),
  ('5e1e7702-a2b7-4360-8d07-2f515792896f', 'MDE_SMB', 'Microsoft Defender for Business', 'other', 0, false, 'plan', true),
  ('488ba24a-39a9-4473-8ee5-19291e71b002', 'WIN10_VDA_E5', 'Windows 10/11 Enterprise E5 (VDA)', 'prerequisite', 0, true, 'plan', true),
  ('1e7e1070-8ccb-4aca-b470-d7cb538cb07e', 'WIN_ENT_E5', 'Windows 10/11 Enterprise E5', 'prerequisite', 0, true, 'plan', true),
  -- The add-on's product id stands in its sign-up address; no part number was published.
  ('b2f91841-252f-4765-94c3-75802d7c0ddb', NULL, 'Microsoft Defender for IoT - EIoT Device License - add-on', 'device_license', 1, false, 'documentation', true),
  -- Not products of Graph, so their ids are made up.
  ('e1070000-0000-4000-8000-000000000001', NULL, 'EIoT Device License - trial', 'trial', 1, false, 'project', true),
  ('e1070000-0000-4000-8000-000000000002', NULL, 'Legacy Enterprise IoT plan (committed devices)', 'legacy_plan', 1, false, 'project', true);

CREATE TABLE eiot.tenant (
  tenant_id uuid PRIMARY KEY,
  name text NOT NULL CHECK (name <> ''),
  counting_rule text REFERENCES eiot.counting_rule (name) ON UPDATE CASCADE,
  entitlements_as_of timestamptz,
  entitlements_changed_at timestamptz
);
COMMENT ON TABLE eiot.tenant IS 'The tenants whose devices and licenses are set against each other';
COMMENT ON COLUMN eiot.tenant.tenant_id IS 'Microsoft Entra tenant id';
COMMENT ON COLUMN eiot.tenant.name IS 'What people call the tenant';
COMMENT ON COLUMN eiot.tenant.counting_rule IS 'Rule that the tenant is pinned to; null: the one in force';
COMMENT ON COLUMN eiot.tenant.entitlements_as_of IS 'Instant of the last body of subscribedSkus that was imported; older ones are refused';
COMMENT ON COLUMN eiot.tenant.entitlements_changed_at IS 'When a step of the lifecycle was last recorded; null: never';
SELECT pg_catalog.pg_extension_config_dump('eiot.tenant', '');

CREATE FUNCTION eiot.months_of(period text) RETURNS integer
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE period WHEN 'month' THEN 1 WHEN 'quarter' THEN 3 WHEN 'year' THEN 12 WHEN '3 years' THEN 36 END;
COMMENT ON FUNCTION eiot.months_of(text) IS 'Months of a billing frequency or term: month, quarter, year, 3 years; null of anything else';

CREATE TABLE eiot.entitlement (
  entitlement_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES eiot.tenant,
  sku_id uuid NOT NULL REFERENCES eiot.sku,
  subscription_id text NOT NULL DEFAULT pg_catalog.gen_random_uuid()::text,
  units bigint NOT NULL CHECK (units >= 0),
  assigned_units bigint NOT NULL DEFAULT 0 CHECK (assigned_units >= 0),
  state text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'warning', 'suspended', 'locked_out')),
  valid tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(pg_catalog.now(), NULL) CHECK (NOT pg_catalog.isempty(valid)),
  source text NOT NULL DEFAULT 'manual',
  billing_frequency text CHECK (billing_frequency IN ('month', 'quarter', 'year')),
  unit_price numeric CHECK (unit_price >= 0 AND unit_price < 'Infinity'),
  currency text CHECK (currency ~ '^[A-Z]{3}$'),
  billing_anchor date CHECK (pg_catalog.isfinite(billing_anchor)),
  term text CHECK (term IN ('month', 'quarter', 'year', '3 years')),
  reduce_within interval CHECK (reduce_within >= interval '0'),
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  recorded_by text NOT NULL DEFAULT CURRENT_USER,
  end_recorded_at timestamptz,
  end_recorded_by text,
  CONSTRAINT entitlement_no_overlap
    EXCLUDE USING gist (tenant_id WITH =, sku_id WITH =, subscription_id WITH =, state WITH =, valid WITH &&),
  CONSTRAINT entitlement_price_whole_or_not
    CHECK (pg_catalog.num_nulls(billing_frequency, unit_price, currency, billing_anchor) IN (0, 4)),
  CONSTRAINT entitlement_term_of_whole_cycles
    CHECK (term IS NULL OR billing_frequency IS NOT NULL AND eiot.months_of(term) >= eiot.months_of(billing_frequency))
);
COMMENT ON TABLE eiot.entitlement IS
  'Units of a SKU that a tenant holds, over time: a change closes a row and opens one, so any past instant is a query';
COMMENT ON COLUMN eiot.entitlement.entitlement_id IS 'Key; each change of an entitlement gives it a new one';
COMMENT ON COLUMN eiot.entitlement.tenant_id IS 'Whose units';
COMMENT ON COLUMN eiot.entitlement.sku_id IS 'Of which product';
COMMENT ON COLUMN eiot.entitlement.subscription_id IS
  'Tells several subscriptions of one SKU apart; imported rows have Graph''s id of the subscribed SKU, others get one of their own unless it is given';
COMMENT ON COLUMN eiot.entitlement.units IS 'Units held; eiot.unlimited() for a trial of any number of devices';
COMMENT ON COLUMN eiot.entitlement.assigned_units IS 'Units assigned to users (Graph: consumedUnits); may exceed units';
COMMENT ON COLUMN eiot.entitlement.state IS 'enabled, warning (grace period), suspended or locked_out, as Graph divides prepaid units';
COMMENT ON COLUMN eiot.entitlement.valid IS 'When the row was so; rows of one subscription and state never overlap';
COMMENT ON COLUMN eiot.entitlement.source IS
  'Who keeps the row: manual, subscribedSkus (the import) or lifecycle (eiot.purchase and the like)';
COMMENT ON COLUMN eiot.entitlement.billing_frequency IS
  'Length of a billing cycle: month, quarter or year; null, as the other three, for a row without a price';
COMMENT ON COLUMN eiot.entitlement.unit_price IS 'Price of one unit for a billing cycle';
COMMENT ON COLUMN eiot.entitlement.currency IS 'Currency of the price, three letters of ISO 4217';
COMMENT ON COLUMN eiot.entitlement.billing_anchor IS 'Day (UTC) that billing cycles are counted from, as a rule that of the purchase';
COMMENT ON COLUMN eiot.entitlement.term IS
  'How long it is committed to, from billing_anchor on, until it renews: month, quarter, year or 3 years; null: as long as a billing cycle';
COMMENT ON COLUMN eiot.entitlement.reduce_within IS
  'How long units can be given back after they were purchased or added and after each renewal (days of 24 hours), as far as eiot.change_units is asked; null: at any time';
COMMENT ON COLUMN eiot.entitlement.recorded_at IS 'When the row was written';
COMMENT ON COLUMN eiot.entitlement.recorded_by IS 'Who wrote it';
COMMENT ON COLUMN eiot.entitlement.end_recorded_at IS 'When the row was closed; null for one that is open or was written with its end';
COMMENT ON COLUMN eiot.entitlement.end_recorded_by IS 'Who closed it';
SELECT pg_catalog.pg_extension_config_dump('eiot.entitlement', '');
SELECT pg_catalog.pg_extension_config_dump('eiot.entitlement_entitlement_id_seq', '');

-- Covering: the planner would else take the exclusion constraint's GiST index, which is ten times slower.
CREATE INDEX entitlement_tenant ON eiot.entitlement (tenant_id) INCLUDE (sku_id, units, state, valid);
COMMENT ON INDEX eiot.entitlement_tenant IS 'All that a tenant''s capacity is computed from, in the index';

-- Not STRICT, so that the planner can put the CASE in the place of a call.
CREATE FUNCTION eiot.unit_capacity(units bigint, devices_per_unit bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1
  RETURN CASE WHEN units IS NULL OR devices_per_unit IS NULL THEN NULL::bigint
              WHEN devices_per_unit = 0 THEN 0
              WHEN units = eiot.unlimited() THEN eiot.unlimited()
              ELSE units * devices_per_unit END;
COMMENT ON FUNCTION eiot.unit_capacity(bigint, bigint) IS
  'Devices that so many units cover: eiot.unlimited() units cover any number; null of null; 22003 beyond bigint';

CREATE TABLE eiot.monitoring_off (
  monitoring_off_id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES eiot.tenant,
  valid tstzrange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  recorded_by text NOT NULL DEFAULT CURRENT_USER,
  end_recorded_at timestamptz,
  end_recorded_by text,
  CONSTRAINT monitoring_off_no_overlap EXCLUDE USING gist (tenant_id WITH =, valid WITH &&)
);
COMMENT ON TABLE eiot.monitoring_off IS
  'When a tenant''s enterprise IoT monitoring was switched off; its licenses cover nothing then. It is on at any other time';
COMMENT ON COLUMN eiot.monitoring_off.monitoring_off_id IS 'Key';
COMMENT ON COLUMN eiot.monitoring_off.tenant_id IS 'Whose monitoring';
COMMENT ON COLUMN eiot.monitoring_off.valid IS 'From when to when it was off; without an end: it is off';
COMMENT ON COLUMN eiot.monitoring_off.recorded_at IS 'When it was recorded that monitoring is off';
COMMENT ON COLUMN eiot.monitoring_off.recorded_by IS 'Who recorded that';
COMMENT ON COLUMN eiot.monitoring_off.end_recorded_at IS 'When it was recorded that monitoring is on again; null until then';
COMMENT ON COLUMN eiot.monitoring_off.end_recorded_by IS 'Who recorded that';
SELECT pg_catalog.pg_extension_config_dump('eiot.monitoring_off', '');
SELECT pg_catalog.pg_extension_config_dump('eiot.monitoring_off_monitoring_off_id_seq', '');

-- In two parts: where nothing was ever switched off, which is nearly everywhere, valid stays a column that
-- a condition finds by index.
CREATE VIEW eiot.entitlement_capacity WITH (security_invoker = true) AS
  SELECT e.entitlement_id, e.tenant_id, e.sku_id, e.valid, eiot.unit_capacity(e.units, s.devices_per_unit) AS capacity
    FROM eiot.entitlement e
    JOIN eiot.sku s ON s.sku_id OPERATOR(pg_catalog.=) e.sku_id AND s.devices_per_unit OPERATOR(pg_catalog.>) 0
   WHERE (e.state OPERATOR(pg_catalog.=) 'enabled'
          OR e.state OPERATOR(pg_catalog.=) 'warning' AND eiot.count_warning_units())
     AND NOT EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id OPERATOR(pg_catalog.=) e.tenant_id)
  UNION ALL
  SELECT e.entitlement_id, e.tenant_id, e.sku_id, v.valid, eiot.unit_capacity(e.units, s.devices_per_unit)
    FROM (SELECT m.tenant_id, pg_catalog.range_agg(m.valid) AS valid
            FROM eiot.monitoring_off m
           GROUP BY m.tenant_id) m
    JOIN eiot.entitlement e ON e.tenant_id OPERATOR(pg_catalog.=) m.tenant_id
    JOIN eiot.sku s ON s.sku_id OPERATOR(pg_catalog.=) e.sku_id AND s.devices_per_unit OPERATOR(pg_catalog.>) 0
   CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.tstzmultirange(e.valid) OPERATOR(pg_catalog.-) m.valid) v(valid)
   WHERE e.state OPERATOR(pg_catalog.=) 'enabled'
      OR e.state OPERATOR(pg_catalog.=) 'warning' AND eiot.count_warning_units();
COMMENT ON VIEW eiot.entitlement_capacity IS
  'What each entitlement covers while it is in effect, one row for each span of that; those that cover nothing by their state or SKU are left out, and the time in which monitoring is off';
COMMENT ON COLUMN eiot.entitlement_capacity.entitlement_id IS 'Row of eiot.entitlement';
COMMENT ON COLUMN eiot.entitlement_capacity.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.entitlement_capacity.sku_id IS 'Product';
COMMENT ON COLUMN eiot.entitlement_capacity.valid IS 'When it is in effect: the entitlement''s valid, less the time in which monitoring is off';
COMMENT ON COLUMN eiot.entitlement_capacity.capacity IS 'Devices that it covers; eiot.unlimited() where without limit';

-- What the view above gives at one instant, for which nothing has to be cut out of a range.  Not one tenant's
-- capacity laterally, but a grouped query that a condition on tenant_id is pushed into: only so can a plan that
-- joins it run in parallel.
CREATE FUNCTION eiot.licensed_capacity(as_of timestamptz) RETURNS TABLE (tenant_id uuid, capacity bigint)
  LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100 ROWS 1000
BEGIN ATOMIC
  SELECT e.tenant_id, eiot.capacity(eiot.coverage_agg(eiot.coverage(0, eiot.unit_capacity(e.units, s.devices_per_unit))))
    FROM eiot.entitlement e
    JOIN eiot.sku s ON s.sku_id = e.sku_id AND s.devices_per_unit > 0
   WHERE e.valid @> licensed_capacity.as_of
     AND (e.state = 'enabled' OR e.state = 'warning' AND eiot.count_warning_units())
     AND NOT EXISTS (SELECT FROM eiot.monitoring_off m WHERE m.tenant_id = e.tenant_id AND m.valid @> licensed_capacity.as_of)
   GROUP BY e.tenant_id;
END;
COMMENT ON FUNCTION eiot.licensed_capacity(timestamptz) IS
  'Devices that the licenses of each tenant cover at an instant, for tenants with any; none of null. 22003 beyond bigint';

CREATE FUNCTION eiot.capacity_at(tenant_id uuid, as_of timestamptz) RETURNS bigint
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 100
BEGIN ATOMIC
  SELECT COALESCE((SELECT c.capacity
                     FROM eiot.licensed_capacity(capacity_at.as_of) c
                    WHERE c.tenant_id = capacity_at.tenant_id), 0);
END;
COMMENT ON FUNCTION eiot.capacity_at(uuid, timestamptz) IS
  'Devices that the tenant''s licenses cover at an instant: units in effect times devices_per_unit. Suspended and locked-out units give nothing, those in warning unless eiot.count_warning_units is off; eiot.unlimited() for an unlimited trial; 0 for nothing, while monitoring is off, and for unknown tenants; null of null; 22003 beyond bigint';

CREATE VIEW eiot.capacity WITH (security_invoker = true) AS
  SELECT t.tenant_id, COALESCE(c.capacity, 0) AS capacity
    FROM eiot.tenant t
    LEFT JOIN (SELECT e.tenant_id, eiot.capacity(eiot.coverage_agg(eiot.coverage(0, e.capacity))) AS capacity
                 FROM eiot.entitlement_capacity e
                WHERE e.valid OPERATOR(pg_catalog.@>) pg_catalog.now()
                GROUP BY e.tenant_id) c ON c.tenant_id OPERATOR(pg_catalog.=) t.tenant_id;
COMMENT ON VIEW eiot.capacity IS 'Devices that each tenant''s licenses cover now; 0 for a tenant without any';
COMMENT ON COLUMN eiot.capacity.tenant_id IS 'Tenant';
COMMENT ON COLUMN eiot.capacity.capacity IS 'Devices covered now; eiot.unlimited() where without limit';

CREATE FUNCTION eiot.next_capacity_change(tenant_id uuid, after timestamptz) RETURNS timestamptz
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 200
BEGIN ATOMIC
  -- Each span adds its capacity where it begins and takes it away where it ends.  What is beyond every number
  -- is added up apart, and added up in numeric: the capacity at no instant need be the sum of everything.
  WITH bound AS (
    SELECT b.at, sum(CASE WHEN e.capacity = eiot.unlimited() THEN 0 ELSE b.sign * e.capacity::numeric END) AS units,
           sum(CASE WHEN e.capacity = eiot.unlimited() THEN b.sign ELSE 0 END) AS unlimited
      FROM eiot.entitlement_capacity e
     CROSS JOIN LATERAL (VALUES
       (1, COALESCE(lower(e.valid), '-infinity') + CASE WHEN lower_inc(e.valid) OR lower_inf(e.valid) THEN interval '0' ELSE interval '1 microsecond' END),
       (-1, COALESCE(upper(e.valid), 'infinity') + CASE WHEN upper_inc(e.valid) THEN interval '1 microsecond' ELSE interval '0' END)) b(sign, at)
     WHERE e.tenant_id = next_capacity_change.tenant_id
     GROUP BY b.at
  ), level AS (
    SELECT b.at, sum(b.unlimited) OVER earlier > 0 AS unlimited,
           CASE WHEN sum(b.unlimited) OVER earlier = 0 THEN sum(b.units) OVER earlier END AS capacity
      FROM bound b
    WINDOW earlier AS (ORDER BY b.at)
  ), step AS (
    SELECT l.at, l.unlimited, l.capacity, lag(l.unlimited, 1, false) OVER (ORDER BY l.at) AS unlimited_before,
           lag(l.capacity, 1, 0::numeric) OVER (ORDER BY l.at) AS capacity_before
      FROM level l
  )
  SELECT min(s.at)
    FROM step s
   WHERE s.at > next_capacity_change.after AND isfinite(s.at)
     AND (s.unlimited, s.capacity) IS DISTINCT FROM (s.unlimited_before, s.capacity_before);
END;
COMMENT ON FUNCTION eiot.next_capacity_change(uuid, timestamptz) IS
  'The first instant after the given one at which a tenant''s capacity becomes another, as an entitlement starts or ends or monitoring is switched, as far as recorded; null where there is none, for an unknown tenant and of null';

CREATE FUNCTION eiot.check_tenant(tenant_id uuid) RETURNS void
  LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 20
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF tenant_id IS NULL THEN
    RAISE EXCEPTION 'tenant must not be null' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  PERFORM FROM eiot.tenant t WHERE t.tenant_id = check_tenant.tenant_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'tenant % does not exist', tenant_id
      USING ERRCODE = 'foreign_key_violation',
            HINT = CASE WHEN row_security_active('eiot.tenant') AND NOT eiot.access_to_all('manager')
                        THEN 'Or it does, and you have no access to it.'
                        ELSE format('Add it first: INSERT INTO eiot.tenant (tenant_id, name) VALUES (%L, ''its name'');', tenant_id) END;
  END IF;
END
$$;
COMMENT ON FUNCTION eiot.check_tenant(uuid) IS
  'Raises 23503 for a tenant that does not exist or that the user has no access to, with the statement that adds it for who may, and 22004 for null';
