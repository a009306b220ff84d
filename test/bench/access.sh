#!/usr/bin/env bash
# What row-level security costs: the same questions asked by the owner and by readers, over 2,000,000 devices of 500
# tenants (times SCALE), with 10,000 grants to other roles in eiot.access.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

devices=$(scaled 2000000)

echo "Loading $devices devices of 500 tenants ..."
sql -v devices="$devices" <<'SQL'
CREATE SCHEMA bench_access;
INSERT INTO eiot.tenant (tenant_id, name)
SELECT ('00000000-0000-4000-a000-' || lpad(to_hex(i), 12, '0'))::uuid, 'tenant ' || i FROM generate_series(1, 500) i;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
SELECT tenant_id, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', 500, '[2020-01-01,)' FROM eiot.tenant WHERE tenant_id::text LIKE '%-a000-%';
SELECT eiot.create_inventory('bench_access.device') \g /dev/null
INSERT INTO bench_access.device (tenant_id, device_id, category, last_seen)
SELECT ('00000000-0000-4000-a000-' || lpad(to_hex(1 + i % 500), 12, '0'))::uuid, md5(i::text), 'IoT', now() - random() * interval '60 days'
  FROM generate_series(1, :devices) i;
CREATE ROLE bench_all;
CREATE ROLE bench_one;
GRANT USAGE ON SCHEMA bench_access TO bench_all, bench_one;
INSERT INTO eiot.access (grantee, level, tenant_id)
SELECT 'bench_other_' || n, 'reader', tenant_id FROM eiot.tenant, generate_series(1, 20) n WHERE tenant_id::text LIKE '%-a000-%';
SELECT eiot.grant_access('bench_all', 'reader'), eiot.grant_access('bench_one', 'reader', '00000000-0000-4000-a000-000000000007'),
       eiot.grant_inventory('bench_access.device', 'bench_all'), eiot.grant_inventory('bench_access.device', 'bench_one') \g /dev/null
VACUUM ANALYZE bench_access.device, eiot.tenant, eiot.entitlement, eiot.access;
SQL
trap 'sql -c "SELECT eiot.revoke_access(r) FROM unnest(ARRAY[\$\$bench_all\$\$, \$\$bench_one\$\$]::regrole[]) r" >/dev/null; sql -c "DROP SCHEMA bench_access CASCADE" -c "DROP ROLE bench_all, bench_one"' EXIT

view='SELECT * FROM bench_access.device_coverage'
count='SELECT count(*) FROM bench_access.device'
mine="tenant_id = '00000000-0000-4000-a000-000000000007'"

header "Readers against the owner, medians of $ROUNDS runs in turn:"
compare 'coverage view, reader of all tenants / owner' '<=1.10' 'SET ROLE bench_all' "$view" 'RESET ROLE' "$view"
compare 'count of devices, reader of all tenants / owner' '<=1.10' 'SET ROLE bench_all' "$count" 'RESET ROLE' "$count"
compare 'coverage view, reader of one tenant / owner, all of them' '<=0.20' 'SET ROLE bench_one' "$view" 'RESET ROLE' "$view"
compare '... / owner, WHERE tenant_id = that' - 'SET ROLE bench_one' "$view" 'RESET ROLE' "$view WHERE $mine"
compare 'count of devices, reader of one tenant / owner, WHERE' - 'SET ROLE bench_one' "$count" 'RESET ROLE' "$count WHERE $mine"
