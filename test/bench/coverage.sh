#!/usr/bin/env bash
# Coverage of 10,000,000 devices of 1,000 tenants (times SCALE) against hand-written SQL on the same rows.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

devices=$(scaled 10000000)
tenants=1000
groups=$(scaled 1000000)

echo "Loading $devices devices of $tenants tenants ..."
sql -v devices="$devices" -v tenants="$tenants" <<'SQL'
CREATE SCHEMA bench;
INSERT INTO eiot.tenant (tenant_id, name)
SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(i), 12, '0'))::uuid, 'tenant ' || i FROM generate_series(1, :tenants) i;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
SELECT tenant_id, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 800 + row_number() OVER (ORDER BY tenant_id) % 300, '[2020-01-01,)'
  FROM eiot.tenant;
SELECT eiot.create_inventory('bench.device') \g /dev/null
-- Loading is not what is measured: check the reference afterwards.
ALTER TABLE bench.device DROP CONSTRAINT device_tenant_id_fkey;
SELECT setseed(0.42) \g /dev/null
INSERT INTO bench.device (tenant_id, device_id, name, category, type, subtype, vendor, model, os_platform, onboarding_status,
                          mac, ip, first_seen, last_seen, discovery_sources, site)
SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(1 + (i::bigint * 7919 % :tenants)::int), 12, '0'))::uuid,
       md5(i::text) || substr(md5(i::text), 1, 8), 'dev-' || i,
       CASE WHEN hashint4(i) % 10 < 2 THEN 'IoT' WHEN hashint4(i) % 10 < 5 THEN 'Endpoint' ELSE 'Network device' END,
       CASE i % 5 WHEN 0 THEN 'Printer' WHEN 1 THEN 'Camera' ELSE 'AudioAndVideo' END, '',
       'Vendor ' || i % 50, 'Model ' || i % 500, '',
       CASE WHEN hashint4(i) % 10 BETWEEN 2 AND 4 THEN 'Onboarded' ELSE 'Unsupported' END,
       ('00:07:4d:' || to_hex(i >> 16 & 255) || ':' || to_hex(i >> 8 & 255) || ':' || to_hex(i & 255))::macaddr,
       ('10.' || (i >> 16 & 255) || '.' || (i >> 8 & 255) || '.' || (i & 255))::inet,
       now() - interval '90 days', now() - random() ^ 3 * interval '60 days',
       '[{"Source":"MDE","LastSeen":"2026-08-11"}]', 'site-' || i % 20
  FROM generate_series(1, :devices) i;
ALTER TABLE bench.device ADD CONSTRAINT device_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES eiot.tenant;
VACUUM ANALYZE bench.device;
VACUUM ANALYZE eiot.entitlement;
VACUUM ANALYZE eiot.tenant;
ANALYZE eiot.sku;
SQL

# What a person would write for the rule in force, addresses left out.
counted="d.class = 'iot' AND d.onboarding_status IS DISTINCT FROM 'Onboarded' AND COALESCE(d.merged_into, '') = ''
  AND d.excluded IS NOT TRUE AND d.transient IS NOT TRUE AND d.last_seen >= now() - interval '30 days'"
aggregate="SELECT d.tenant_id, eiot.coverage_gap($counted, c.capacity) FROM bench.device d JOIN eiot.capacity c USING (tenant_id) GROUP BY d.tenant_id"
by_hand="SELECT d.tenant_id, greatest(count(*) FILTER (WHERE $counted) - c.capacity, 0) FROM bench.device d JOIN eiot.capacity c USING (tenant_id) GROUP BY d.tenant_id, c.capacity"
view='SELECT * FROM bench.device_coverage'
scan='SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off'
plain='RESET ALL'

differing=$(sql -c "WITH ours AS ($aggregate), hand AS ($by_hand), view AS (SELECT tenant_id, gap FROM bench.device_coverage)
  SELECT count(*) FROM ((TABLE ours EXCEPT TABLE hand) UNION ALL (TABLE view EXCEPT TABLE hand) UNION ALL (TABLE hand EXCEPT TABLE ours)) x")
echo "Tenants whose gap differs between aggregate, view and hand-written query: $differing"

header "Coverage, medians of $ROUNDS runs in turn:"
compare 'coverage_gap by tenant, sequential scan / FILTER by hand' '<=1.05' "$scan" "$aggregate" "$scan" "$by_hand"
compare 'the same with 2 workers / with none' '<=0.55' \
  "$scan; SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off" "$aggregate" "$scan; RESET max_parallel_workers_per_gather" "$aggregate"
compare '  ... by hand with 2 workers / with none, for orientation' - \
  "$scan; SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off" "$by_hand" "$scan; RESET max_parallel_workers_per_gather" "$by_hand"
compare 'coverage view, all tenants / sequential scan by hand' '<=0.20' "$plain" "$view" "$scan" "$by_hand"

# One tenant, executed from prepared statements, each with the best index that a hand can make for it.
sql <<SQL
CREATE INDEX by_hand_all ON bench.device (tenant_id)
  INCLUDE (last_seen, class, onboarding_status, merged_into, excluded, transient);
CREATE INDEX by_hand_counted ON bench.device (tenant_id, last_seen)
  WHERE class = 'iot' AND onboarding_status IS DISTINCT FROM 'Onboarded' AND COALESCE(merged_into, '') = ''
    AND excluded IS NOT TRUE AND transient IS NOT TRUE;
VACUUM ANALYZE bench.device;
SQL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tenant="\\set i random(1, $tenants)
SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(:i::int), 12, '0'))::uuid AS t \\gset"
printf '%s\n%s WHERE tenant_id = :t;\n' "$tenant" "$view" >"$work/view.sql"
printf '%s\nSELECT count(*), count(*) FILTER (WHERE %s) FROM bench.device d WHERE d.tenant_id = :t;\n' "$tenant" "${counted//$'\n'/ }" >"$work/both.sql"
printf '%s\nSELECT count(*) FROM bench.device d WHERE d.tenant_id = :t;\n' "$tenant" >"$work/all.sql"
printf '%s\nSELECT count(*) FROM bench.device d WHERE %s AND d.tenant_id = :t;\n' "$tenant" "${counted//$'\n'/ }" >"$work/counted.sql"
printf '%s\n' "$tenant" >"$work/none.sql"

latency() {						# ms of the last statement of a script, on its own
  pgbench -n -M prepared -T "${BENCH_SECONDS:-4}" -r -f "$1" 2>/dev/null |
    awk '/^ *[0-9.]+ +([0-9]+ +)?(SELECT|select) / { last = $1 } END { print last }'
}
one_tenant() {					# one_tenant WHAT BOUND SCRIPT
  local ours=() hand=() i
  for ((i = 0; i < 3; i++)); do
    ours+=("$(latency "$work/view.sql")")
    hand+=("$(latency "$work/$3.sql")")
  done
  local a b
  a=$(printf '%s\n' "${ours[@]}" | median)
  b=$(printf '%s\n' "${hand[@]}" | median)
  row "$1" "$a ms" "$b ms" "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f", a / b }')" "$2"
}
one_tenant 'view, one tenant / its two counts by hand, covering index' '<=1.20' both
one_tenant '... / count(*) of its devices alone, index-only' '<=1.20' all
one_tenant '... / count(*) of what counts alone, partial index' - counted

# A million groups.
sql -v n="$groups" <<'SQL'
CREATE TABLE bench.many AS SELECT i % :n AS g, true AS counted, 0::bigint AS capacity FROM generate_series(1, :n * 4) i;
CREATE TABLE bench.few AS SELECT i % (:n / 10) AS g, true AS counted, 0::bigint AS capacity FROM generate_series(1, :n / 10 * 4) i;
VACUUM ANALYZE bench.many;
VACUUM ANALYZE bench.few;
SQL
memory() {
  sql -c "SET work_mem = '2GB'; SET enable_sort = off" -c "EXPLAIN (ANALYZE, FORMAT JSON, TIMING off) $1" |
    sed -n 's/.*"Peak Memory Usage": \([0-9]*\).*/\1/p' | sort -n | tail -1
}
many='SET work_mem = '\''2GB'\''; SET enable_sort = off'
ours=$(memory 'SELECT g, eiot.coverage_gap(counted, capacity) FROM bench.many GROUP BY g')
hand=$(memory 'SELECT g, sum(capacity) FROM bench.many GROUP BY g')
header "$groups groups, hashed:"
row 'memory of coverage_gap / of sum(bigint)' "$ours kB" "$hand kB" "$(awk -v a="$ours" -v b="$hand" 'BEGIN { printf "%.3f", a / b }')" '<=1.20'
compare 'time of coverage_gap / of sum(bigint)' - \
  "$many" 'SELECT g, eiot.coverage_gap(counted, capacity) FROM bench.many GROUP BY g' \
  "$many" 'SELECT g, sum(capacity) FROM bench.many GROUP BY g'
compare 'time of all groups / of a tenth of them (linear: about 10)' - \
  "$many" 'SELECT g, eiot.coverage_gap(counted, capacity) FROM bench.many GROUP BY g' \
  "$many" 'SELECT g, eiot.coverage_gap(counted, capacity) FROM bench.few GROUP BY g'
