#!/usr/bin/env bash
# A first walk through eiot, with psql and the small exports in test/data.
#   make demo                                     in a throw-away cluster
#   createdb eiot_demo && PGDATABASE=eiot_demo demo/demo.sh    in a database of your own, as a superuser
set -euo pipefail

data=${EIOT_TEST_DATA:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../test/data" && pwd)}
as_of=2026-08-12
export PGTZ=UTC

say() { printf '\n%s\n\n' "$*"; }
sql() { psql -X --quiet -v ON_ERROR_STOP=1 -v as_of="$as_of" -P footer=off -P null=- "$@"; }

# The rows of tenants.csv, separated by tabs; PostgreSQL's own CSV reader takes care of quotes and commas.
tenants() {
  sql -At -F $'\t' \
    -c 'CREATE TEMP TABLE t (tenant_id uuid, name text, folder text)' \
    -c '\copy t FROM pstdin (FORMAT csv, HEADER)' \
    -c 'SELECT tenant_id, name, folder FROM t ORDER BY name' <"$data/tenants.csv"
}

say 'Create the extension, and an inventory: an ordinary table that your devices go into.'
# NOTICE would only say that btree_gist comes along.
sql --echo-queries <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
SQL

declare -A id
rows=$(tenants)
while IFS=$'\t' read -r tenant_id name folder; do
  id[$folder]=$tenant_id
  say "$name: what it is licensed for (Graph, GET /subscribedSkus), then its devices (advanced hunting, DeviceInfo)."
  sql -v tenant_id="$tenant_id" -v name="$name" -v skus="$data/$folder/subscribedSkus.json" \
    -v devices="$data/$folder/DeviceInfo.json" <<'SQL'
INSERT INTO eiot.tenant (tenant_id, name) VALUES (:'tenant_id', :'name');
\set body `cat :'skus'`
SELECT * FROM eiot.import_subscribed_skus(:'tenant_id', :'body'::jsonb, as_of => :'as_of');
\set body `cat :'devices'`
SELECT * FROM eiot.import_device_info('asset.device', :'tenant_id', :'body'::jsonb);
SQL
done <<<"$rows"

say "Who has more devices than licenses on $as_of? The gap is the number of devices that nothing covers."
sql <<'SQL'
SELECT tenant, devices, counted, capacity, unlimited, gap, surplus, round(utilization, 4) AS utilization
FROM eiot.coverage_at('asset.device', :'as_of')
ORDER BY tenant;
SQL

for folder in proseware litware; do
  say "Why does a device of $folder count, or not?"
  sql -v tenant_id="${id[$folder]}" <<'SQL'
SELECT * FROM eiot.explain_count('asset.device', :'tenant_id', :'as_of');
SQL
done
