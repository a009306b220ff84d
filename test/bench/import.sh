#!/usr/bin/env bash
# import_device_info: 200,000 rows (times SCALE) in bodies of 10,000, against INSERT ... SELECT from jsonb_to_recordset.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

rows=$(scaled 200000)

sql -v rows="$rows" <<'SQL'
CREATE SCHEMA bench_import;
INSERT INTO eiot.tenant VALUES ('00000000-0000-4000-9100-000000000001', 'importer');
SELECT eiot.create_inventory('bench_import.ours'), eiot.create_inventory('bench_import.by_hand') \g /dev/null
CREATE TABLE bench_import.body (number bigint, body jsonb);
INSERT INTO bench_import.body
SELECT i / 10000, jsonb_agg(jsonb_build_object(
         'Timestamp', '2026-08-11T22:40:03.551Z', 'DeviceId', md5(i::text) || substr(md5(i::text), 1, 8),
         'DeviceName', 'dev-' || i, 'OnboardingStatus', 'Unsupported', 'DeviceCategory', 'IoT', 'DeviceType', 'Printer',
         'DeviceSubtype', '', 'Vendor', 'HP', 'Model', 'LaserJet ' || i % 100, 'OSPlatform', '', 'OSDistribution', '',
         'MachineGroup', '', 'MergedDeviceIds', '', 'MergedToDeviceId', '', 'IsTransient', false, 'IsExcluded', false,
         'SensorHealthState', '', 'ExposureLevel', 'Medium', 'AssetValue', 'Normal', 'DeviceManualTags', '["floor-3"]',
         'Site', '', 'DiscoverySources', '[{"Source":"MDE"}]', 'MacAddress', '00:07:4D:11:22:33', 'IPAddress', '10.2.3.4'))
  FROM generate_series(0, :rows - 1) i
 GROUP BY 1;

CREATE PROCEDURE bench_import.run_ours() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT body FROM bench_import.body ORDER BY number LOOP
    PERFORM eiot.import_device_info('bench_import.ours', '00000000-0000-4000-9100-000000000001', r.body);
  END LOOP;
END
$$;

CREATE PROCEDURE bench_import.run_by_hand() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT body FROM bench_import.body ORDER BY number LOOP
    INSERT INTO bench_import.by_hand AS d (tenant_id, device_id, first_seen, last_seen, name, category, type, subtype, vendor, model,
      os_platform, onboarding_status, mac, ip, merged_into, excluded, transient, discovery_sources, site, tags)
    SELECT '00000000-0000-4000-9100-000000000001', "DeviceId", "Timestamp", "Timestamp", "DeviceName", "DeviceCategory",
           "DeviceType", "DeviceSubtype", "Vendor", "Model", "OSPlatform", "OnboardingStatus", "MacAddress", "IPAddress",
           "MergedToDeviceId", "IsExcluded", "IsTransient", "DiscoverySources", "Site",
           ARRAY(SELECT jsonb_array_elements_text("DeviceManualTags"::jsonb))
      FROM jsonb_to_recordset(r.body) AS x("DeviceId" text, "Timestamp" timestamptz, "DeviceName" text, "DeviceCategory" text,
             "DeviceType" text, "DeviceSubtype" text, "Vendor" text, "Model" text, "OSPlatform" text, "OnboardingStatus" text,
             "MacAddress" macaddr, "IPAddress" inet, "MergedToDeviceId" text, "IsExcluded" boolean, "IsTransient" boolean,
             "DiscoverySources" text, "Site" text, "DeviceManualTags" text)
    ON CONFLICT (tenant_id, device_id) DO UPDATE SET
      last_seen = excluded.last_seen, name = excluded.name, category = excluded.category, type = excluded.type,
      subtype = excluded.subtype, vendor = excluded.vendor, model = excluded.model, os_platform = excluded.os_platform,
      onboarding_status = excluded.onboarding_status, mac = excluded.mac, ip = excluded.ip, merged_into = excluded.merged_into,
      excluded = excluded.excluded, transient = excluded.transient, discovery_sources = excluded.discovery_sources,
      site = excluded.site, tags = excluded.tags
    WHERE excluded.last_seen >= d.last_seen;
  END LOOP;
END
$$;
SQL

header "Import of $rows DeviceInfo rows in bodies of 10,000, medians of $ROUNDS runs in turn:"
empty='TRUNCATE bench_import.ours, bench_import.by_hand'
compare 'import_device_info, new devices / INSERT ... SELECT by hand' '<=1.30' \
  "$empty" 'CALL bench_import.run_ours()' "$empty" 'CALL bench_import.run_by_hand()'
sql -c "$empty" -c 'CALL bench_import.run_ours()' -c 'CALL bench_import.run_by_hand()'
compare 'the same bodies again / by hand' - \
  'SELECT 1' 'CALL bench_import.run_ours()' 'SELECT 1' 'CALL bench_import.run_by_hand()'

# The audit's triggers, against the same inventory without them.
sql <<'SQL'
SELECT eiot.create_inventory('bench_import.unrecorded') \g /dev/null
DO $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT g.tgname FROM pg_trigger g WHERE g.tgrelid = 'bench_import.unrecorded'::regclass AND NOT g.tgisinternal LOOP
    EXECUTE format('DROP TRIGGER %I ON bench_import.unrecorded', t.tgname);
  END LOOP;
END
$$;
INSERT INTO bench_import.unrecorded (tenant_id, device_id, last_seen, site)
SELECT tenant_id, device_id, last_seen, site FROM bench_import.ours;
TRUNCATE bench_import.ours;
INSERT INTO bench_import.ours (tenant_id, device_id, last_seen, site)
SELECT tenant_id, device_id, last_seen, site FROM bench_import.unrecorded;
CREATE TABLE bench_import.newer AS
SELECT tenant_id, device_id, last_seen, site, tags FROM bench_import.ours;
SQL
upsert="INSERT INTO bench_import.TABLE AS d (tenant_id, device_id, last_seen, site)
SELECT tenant_id, device_id, last_seen, site FROM bench_import.newer
ON CONFLICT (tenant_id, device_id) DO UPDATE SET last_seen = excluded.last_seen, excluded = false, merged_into = NULL, site = excluded.site, tags = NULL"
site="UPDATE bench_import.TABLE SET site = CASE site WHEN 'a' THEN 'b' ELSE 'a' END"
copy="TRUNCATE bench_import.TABLE; INSERT INTO bench_import.TABLE (tenant_id, device_id, last_seen, site) SELECT tenant_id, device_id, last_seen, site FROM bench_import.newer"
header "Inventory of $rows devices with the audit's triggers, against one without, medians of $ROUNDS runs in turn:"
audit() {						# audit WHAT BOUND STATEMENT [SETUP], of bench_import.TABLE
  local setup=${4:-SELECT 1}
  compare "$1" "$2" "${setup//TABLE/ours}" "${3//TABLE/ours}" "${setup//TABLE/unrecorded}" "${3//TABLE/unrecorded}"
}
audit 'new devices' '<=1.05' 'INSERT INTO bench_import.TABLE (tenant_id, device_id, last_seen, site) SELECT tenant_id, device_id, last_seen, site FROM bench_import.newer' 'TRUNCATE bench_import.TABLE'
audit 'UPDATE of last_seen alone' '<=1.05' 'UPDATE bench_import.TABLE SET last_seen = now()' "$copy"
audit 'the same devices again, nothing decided' '<=1.10' "$upsert" "$copy"
audit 'every site changed' - "$site" "$copy"
audit 'every device deleted' - 'DELETE FROM bench_import.TABLE' "$copy"
