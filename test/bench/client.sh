#!/usr/bin/env bash
# eiot import devices: a CSV of 1,000,000 rows (times SCALE) by the program, against \copy of the same file into a bare table.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

rows=$(scaled 1000000)
file=$(mktemp)
trap 'rm -f "$file" "$file.tagless"' EXIT

sql <<'SQL'
CREATE SCHEMA bench_client;
INSERT INTO eiot.tenant VALUES ('00000000-0000-4000-9200-000000000001', 'bench client');
SELECT eiot.create_inventory('bench_client.device') \g /dev/null
-- What an inventory stores, without keys, checks and what is worked out.
CREATE TABLE bench_client.bare (device_id text, last_seen timestamptz, name text, category text, type text, subtype text, vendor text,
  model text, os_platform text, onboarding_status text, mac macaddr, ip inet, excluded boolean, transient boolean,
  discovery_sources text, site text, tags text);
-- The same by hand, as a table of devices would be: a key, a reference to the tenants, an index to count by.
CREATE TABLE bench_client.keyed (LIKE bench_client.bare,
  tenant_id uuid NOT NULL DEFAULT '00000000-0000-4000-9200-000000000001' REFERENCES eiot.tenant, PRIMARY KEY (tenant_id, device_id));
CREATE INDEX ON bench_client.keyed (tenant_id) INCLUDE (last_seen);
-- And inventories that \copy can fill, to see where the time goes.
SELECT eiot.create_inventory('bench_client.copied'), eiot.create_inventory('bench_client.unchecked') \g /dev/null
ALTER TABLE bench_client.copied ALTER tenant_id SET DEFAULT '00000000-0000-4000-9200-000000000001';
ALTER TABLE bench_client.unchecked ALTER tenant_id SET DEFAULT '00000000-0000-4000-9200-000000000001',
  DROP CONSTRAINT unchecked_tenant_id_fkey;
SQL

# Devices come in no order, as their ids are hashes; every one is new.
sql -v rows="$rows" >"$file" <<'SQL'
COPY (SELECT 'DeviceId', 'Timestamp', 'DeviceName', 'DeviceCategory', 'DeviceType', 'DeviceSubtype', 'Vendor', 'Model', 'OSPlatform',
             'OnboardingStatus', 'MacAddress', 'IPAddress', 'IsExcluded', 'IsTransient', 'DiscoverySources', 'Site', 'DeviceManualTags')
  TO STDOUT (FORMAT csv);
SELECT format($$COPY (SELECT md5(i::text) || left(md5(i::text), 8), '2026-08-11T22:40:03.551Z', 'dev-' || i, 'IoT', 'Printer', '', 'HP',
  'LaserJet ' || i %% 100, '', 'Unsupported', '00:07:4D:11:22:33', '10.2.3.' || i %% 250, 'false', 'false', '[{"Source":"MDE"}]', '',
  '["floor-3"]' FROM generate_series(1, %s) i) TO STDOUT (FORMAT csv)$$, :rows) \gexec
SQL
sed 's/,[^,]*$//' "$file" >"$file.tagless"

seconds() {						# seconds COMMAND…: how long it takes
  local from=$EPOCHREALTIME
  "$@" >/dev/null
  awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", b - a }'
}

ours() { eiot import devices -q --tenant 'bench client' --inventory bench_client.device "$file"; }
bare() { sql -c "\\copy bench_client.bare FROM '$file' (FORMAT csv, HEADER)"; }
inventory() {					# inventory NAME: \copy into that table; tags, which are JSON in the file, are left out
  local columns='device_id, last_seen, name, category, type, subtype, vendor, model, os_platform, onboarding_status'
  columns+=', mac, ip, excluded, transient, discovery_sources, site'
  sql -c "\\copy bench_client.$1 ($columns) FROM '$file.tagless' (FORMAT csv, HEADER)"
}
keyed() { inventory keyed; }
copied() { inventory copied; }
unchecked() { inventory unchecked; }
empty() { sql -c 'TRUNCATE bench_client.device, bench_client.bare, bench_client.keyed, bench_client.copied, bench_client.unchecked' -c CHECKPOINT; }

# A round that is not counted, then ROUNDS; KEEP_ROWS leaves the inventory as it is.
rounds() {						# rounds OURS AGAINST: medians, and the median of the ratios of their speeds
  local times='' both
  for ((i = 0; i <= ROUNDS; i++)); do
    [[ -n $KEEP_ROWS ]] || empty
    sql -c 'TRUNCATE bench_client.bare' -c CHECKPOINT
    both="$(seconds "$1") $(seconds "$2")"
    ((i == 0)) || times+="$both"$'\n'
  done
  times=${times%$'\n'}
  printf '%s %s %.3f\n' "$(cut -d' ' -f1 <<<"$times" | median)" "$(cut -d' ' -f2 <<<"$times" | median)" \
    "$(awk '{ print $2 / $1 }' <<<"$times" | median)"
}

report() {						# report WHAT BOUND OURS AGAINST
  local result
  read -r -a result <<<"$(rounds "$3" "$4")"
  row "$1" "${result[0]} s" "${result[1]} s" "${result[2]}" "$2"
}

header "Import of $rows rows of CSV, medians of $ROUNDS runs in turn; the ratio is that of the speeds:"
KEEP_ROWS=
report 'eiot import devices, new devices / \copy into a bare table' '>=0.5' ours bare
report '\copy into a table by hand, with a key, a reference and an index / the same' - keyed bare
report '\copy into an inventory / the same' - copied bare
report '\copy into an inventory without its foreign key / the same' - unchecked bare
empty
ours
KEEP_ROWS=1
report 'eiot import devices, the same file again / the same' - ours bare
