#!/usr/bin/env bash
# Coverage over time against hand-written SQL on the same rows: peaks of 3,000,000 spans, timelines of 10,000,000 devices (times SCALE).
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

spans=$(scaled 3000000)

sql -v spans="$spans" <<'SQL'
CREATE SCHEMA bench;
SELECT setseed(0.42) \g /dev/null
CREATE TABLE bench.span AS
SELECT (i * 7919::bigint % 2001)::int AS tenant, first_seen, first_seen + random() * interval '40 days' AS last_seen
  FROM (SELECT i, now() - random() * interval '90 days' AS first_seen FROM generate_series(1, :spans) i) s;
VACUUM ANALYZE bench.span;
SQL

peak='SELECT tenant, (eiot.peak(tstzrange(first_seen, last_seen))).devices FROM bench.span GROUP BY tenant'
# What ends at an instant has ended there, as with half-open ranges.
sweep='SELECT tenant, max(running) FROM (
  SELECT tenant, sum(delta) OVER (PARTITION BY tenant ORDER BY at, delta ROWS UNBOUNDED PRECEDING) AS running
    FROM (SELECT tenant, first_seen AS at, 1 AS delta FROM bench.span UNION ALL SELECT tenant, last_seen, -1 FROM bench.span) e) z GROUP BY tenant'
differing=$(sql -c "SELECT count(*) FROM (($peak EXCEPT $sweep) UNION ALL ($sweep EXCEPT $peak)) x")
echo "Tenants whose peak differs between aggregate and sweep: $differing"
header "Peak of $spans spans of 2,001 tenants, medians of $ROUNDS runs in turn:"
compare 'peak by tenant / sweep over window frames' '<=0.25' 'RESET ALL' "$peak" 'RESET ALL' "$sweep"
compare '... / the same sweep with all the memory it wants' - 'RESET ALL' "$peak" "SET work_mem = '2GB'" "$sweep"

# ---- the timeline of a year

devices=$(scaled 10000000)
tenants=$(scaled 1000)
echo "Loading $devices devices of $tenants tenants ..."
sql -v devices="$devices" -v tenants="$tenants" <<'SQL'
INSERT INTO eiot.tenant (tenant_id, name)
SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(i), 12, '0'))::uuid, 'tenant ' || i FROM generate_series(1, :tenants) i;
-- Licenses that are renewed after half a year, some with another number of units.
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
SELECT tenant_id, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', :devices / 10 / 5 / :tenants + n % 9 * half,
       CASE half WHEN 1 THEN tstzrange(NULL, now() - interval '180 days') ELSE tstzrange(now() - interval '180 days', NULL) END
  FROM (SELECT tenant_id, row_number() OVER () AS n FROM eiot.tenant) t CROSS JOIN generate_series(1, 2) half;
SELECT eiot.create_inventory('bench.device') \g /dev/null
-- Loading is not what is measured: check the reference afterwards.
ALTER TABLE bench.device DROP CONSTRAINT device_tenant_id_fkey;
SELECT setseed(0.42) \g /dev/null
-- Two of ten are IoT devices; they come all over 18 months and are seen for a while or until today.
INSERT INTO bench.device (tenant_id, device_id, name, category, type, subtype, vendor, model, os_platform, onboarding_status,
                          mac, ip, first_seen, last_seen, discovery_sources, site)
SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(1 + (i::bigint * 7919 % :tenants)::int), 12, '0'))::uuid,
       md5(i::text) || substr(md5(i::text), 1, 8), 'dev-' || i,
       CASE WHEN hashint4(i) % 10 < 2 THEN 'IoT' WHEN hashint4(i) % 10 < 5 THEN 'Endpoint' ELSE 'Network device' END,
       'Printer', '', 'Vendor ' || i % 50, 'Model ' || i % 500, '',
       CASE WHEN hashint4(i) % 10 BETWEEN 2 AND 4 THEN 'Onboarded' ELSE 'Unsupported' END,
       ('00:07:4d:' || to_hex(i >> 16 & 255) || ':' || to_hex(i >> 8 & 255) || ':' || to_hex(i & 255))::macaddr,
       ('10.' || (i >> 16 & 255) || '.' || (i >> 8 & 255) || '.' || (i & 255))::inet,
       first_seen, first_seen + (now() - first_seen) * CASE WHEN random() < 0.5 THEN 1 ELSE random() END,
       '[{"Source":"MDE"}]', 'site-' || i % 20
  FROM (SELECT i, now() - random() * interval '540 days' AS first_seen FROM generate_series(1, :devices) i) d;
ALTER TABLE bench.device ADD CONSTRAINT device_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES eiot.tenant;
VACUUM ANALYZE bench.device;
VACUUM ANALYZE eiot.entitlement;
VACUUM ANALYZE eiot.tenant;
SQL

# Whole days, of which the last has begun.
from="date_trunc('day', now(), 'UTC') - interval '364 days'"
to="date_trunc('day', now(), 'UTC') + interval '1 day'"
one='00000000-0000-4000-9000-000000000007'
# What a person would write for the rule in force, addresses left out.
counted="d.class = 'iot' AND d.onboarding_status IS DISTINCT FROM 'Onboarded' AND COALESCE(d.merged_into, '') = ''
  AND d.excluded IS NOT TRUE AND d.transient IS NOT TRUE"
joined="SELECT s.at, count(d.device_id) AS counted FROM generate_series($from, $to - interval '1 day', interval '1 day') s(at)
  LEFT JOIN bench.device d ON d.tenant_id = '$one' AND $counted AND s.at BETWEEN d.first_seen AND d.last_seen + interval '30 days' GROUP BY s.at"
differing=$(sql -c "SET timezone = 'UTC'" -c "WITH ours AS (SELECT at, counted FROM eiot.coverage_timeline('bench.device', $from, $to, '1 day', '$one')), hand AS ($joined)
  SELECT count(*) FROM ((TABLE ours EXCEPT TABLE hand) UNION ALL (TABLE hand EXCEPT TABLE ours)) x")
echo "Days on which the timeline of a tenant differs from the join: $differing"
header "365 daily points, medians of $ROUNDS runs in turn:"
utc="RESET ALL; SET timezone = 'UTC'"
compare 'timeline, all tenants / count(*) by tenant' '<=2.00' \
  "$utc" "SELECT count(*), sum(max_gap) FROM eiot.coverage_timeline('bench.device', $from, $to, '1 day')" \
  "$utc" 'SELECT tenant_id, count(*) FROM bench.device GROUP BY tenant_id'
# Without what has to be covered, which the timeline finds as well.  An index by hand, as good as it gets.
sql <<SQL
CREATE INDEX by_hand ON bench.device (tenant_id, first_seen) INCLUDE (last_seen, device_id)
  WHERE class = 'iot' AND onboarding_status IS DISTINCT FROM 'Onboarded' AND COALESCE(merged_into, '') = ''
    AND excluded IS NOT TRUE AND transient IS NOT TRUE;
VACUUM ANALYZE bench.device;
SQL
compare 'timeline, one tenant / generate_series joined to its spans' '<=0.02' \
  "$utc" "SELECT count(*), sum(max_gap) FROM eiot.coverage_timeline('bench.device', $from, $to, '1 day', '$one')" "$utc" "$joined"
