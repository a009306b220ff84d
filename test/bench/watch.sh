#!/usr/bin/env bash
# What watching an inventory costs those who write, against the same table unwatched, and what it saves those who read.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

devices=$(scaled 10000000)
writing=$(scaled 1000000)
batch=$(scaled 200000)
tenants=1000
there=$(scaled 200)				# devices per tenant for upserts to find
seconds=${BENCH_SECONDS:-1}
brief=$((seconds * 2))			# sessions that do not last
turns=$((ROUNDS * 6))
bulk_turns=$((ROUNDS * 2))
work=$(mktemp -d)
declare -A sessions
trap 'end_sessions; rm -rf "$work"' EXIT

end_sessions() {
  local table
  for table in "${!sessions[@]}"; do
    # It may have ended by itself, with an error.
    { kill -KILL "${sessions[$table]}" && wait "${sessions[$table]}"; } 2>/dev/null || true
  done
  sessions=()
  # No answer, of a server that is gone, is none left.
  while [[ $(count_sessions) -gt 0 ]]; do sleep 0.1; done
}

count_sessions() {
  sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bench'"
}

echo "Loading $devices devices of $tenants tenants to read, and twice $writing to write ..."
sql -v devices="$devices" -v writing="$writing" -v tenants="$tenants" <<'SQL'
CREATE SCHEMA bench;
CREATE FUNCTION bench.tenant(i integer) RETURNS uuid LANGUAGE sql IMMUTABLE
  RETURN ('00000000-0000-4000-9000-' || lpad(to_hex(i), 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT bench.tenant(i), 'tenant ' || i FROM generate_series(1, :tenants) i;
INSERT INTO eiot.tenant (tenant_id, name) VALUES (bench.tenant(1000001), 'far'), (bench.tenant(1000002), 'at its limit');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
SELECT tenant_id, 'b2f91841-252f-4765-94c3-75802d7c0ddb', CASE name WHEN 'at its limit' THEN 1000 ELSE 1000000 END, '[2020-01-01,)'
  FROM eiot.tenant;
SELECT eiot.create_inventory('bench.device'), eiot.create_inventory('bench.plain'), eiot.create_inventory('bench.watched') \g /dev/null
-- Loading is not what is measured.
ALTER TABLE bench.device DROP CONSTRAINT device_tenant_id_fkey;
SELECT setseed(0.42) \g /dev/null
-- One device in five counts.
CREATE FUNCTION bench.source(n integer) RETURNS TABLE (i integer, tenant_id uuid, device_id text, name text, category text, type text, vendor text, model text,
  mac macaddr, ip inet, first_seen timestamptz, last_seen timestamptz, site text) LANGUAGE sql VOLATILE AS $$
SELECT i, bench.tenant(1 + (i::bigint * 7919 % 1000)::int) AS tenant_id, md5(i::text) || substr(md5(i::text), 1, 8) AS device_id, 'dev-' || i AS name,
       CASE WHEN hashint4(i) % 10 IN (0, 1, -1, -2) THEN 'IoT' WHEN hashint4(i) % 10 < 5 THEN 'Endpoint' ELSE 'Network device' END AS category,
       CASE i % 5 WHEN 0 THEN 'Printer' WHEN 1 THEN 'Camera' ELSE 'AudioAndVideo' END AS type,
       'Vendor ' || i % 50 AS vendor, 'Model ' || i % 500 AS model,
       ('00:07:4d:' || to_hex(i >> 16 & 255) || ':' || to_hex(i >> 8 & 255) || ':' || to_hex(i & 255))::macaddr AS mac,
       ('10.' || (i >> 16 & 255) || '.' || (i >> 8 & 255) || '.' || (i & 255))::inet AS ip,
       now() - interval '90 days' AS first_seen, now() - random() ^ 3 * interval '60 days' AS last_seen, 'site-' || i % 20 AS site
  FROM generate_series(1, n) i $$;
INSERT INTO bench.device (tenant_id, device_id, name, category, type, vendor, model, mac, ip, first_seen, last_seen, site)
SELECT tenant_id, device_id, name, category, type, vendor, model, mac, ip, first_seen, last_seen, site FROM bench.source(:devices);
INSERT INTO bench.plain (tenant_id, device_id, name, category, type, vendor, model, mac, ip, first_seen, last_seen, site)
SELECT tenant_id, device_id, name, category, type, vendor, model, mac, ip, first_seen, last_seen, site FROM bench.source(:writing);
INSERT INTO bench.watched SELECT tenant_id, device_id, name, category, type, subtype, vendor, model, os_platform, onboarding_status, mac, ip, first_seen, last_seen, merged_into, excluded, transient, discovery_sources, site, tags, evidence, class_override, identified_class FROM bench.plain;
ALTER TABLE bench.device ADD CONSTRAINT device_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES eiot.tenant;
SELECT eiot.watch('bench.watched') \g /dev/null
VACUUM ANALYZE;
SQL

# ---- statements over many rows

# Which table comes first in a turn: the one and the other, so that neither always follows on the other's writes.
order() {						# order TURN
  if (($1 % 2)); then echo watched plain; else echo plain watched; fi
}

turns_row() {					# turns_row WHAT BOUND UNIT: of $work/watched and $work/plain, a number for each turn
  paste "$work/watched" "$work/plain" >"$work/pairs"
  row "$1" "$(cut -f1 "$work/pairs" | median | cut -d. -f1) $3" "$(cut -f2 "$work/pairs" | median | cut -d. -f1) $3" \
    "$(awk '{ printf "%.3f\n", $1 / $2 }' "$work/pairs" | median)" "$2"
  rm "$work/watched" "$work/plain"
}

# Each round does the same to both tables, in transactions of their own, with nothing left to write from before.
bulk() {						# bulk WHAT BOUND STATEMENT: %T is the table, %R the round
  local round table
  for ((round = 0; round <= bulk_turns; round++)); do
    for table in $(order "$round"); do
      sql -c CHECKPOINT
      printf '\\timing on\n%s;\n' "$(sed "s/%T/bench.$table/g; s/%R/$round/g" <<<"$3")" |
        psql -X -q -v ON_ERROR_STOP=1 | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' >>"$work/$table"
    done
    sql -c 'VACUUM bench.plain' -c 'VACUUM bench.watched'
  done
  # the first round warms up
  sed -i 1d "$work/watched" "$work/plain"
  turns_row "$1" "$2" ms
}

header "Writing many rows in one statement, watched / unwatched, medians of $bulk_turns:"
bulk "INSERT of $batch rows" '<=1.10' "INSERT INTO %T (tenant_id, device_id, name, category, type, vendor, model, mac, ip, first_seen, last_seen, site)
  SELECT tenant_id, 'r%R-' || device_id, name, category, type, vendor, model, mac, ip, first_seen, now(), site FROM bench.source($batch)"
bulk "heartbeat: UPDATE of last_seen of $batch rows" '<=1.15' "UPDATE %T SET last_seen = now() WHERE tenant_id <= bench.tenant((1000 * $batch / (SELECT count(*) FROM bench.plain WHERE device_id !~ '^r'))::integer) AND device_id !~ '^r'"
bulk "DELETE of $batch rows" - "DELETE FROM %T WHERE device_id ~ '^r%R-'"

# ---- statements over one row

clients() {						# clients CLIENTS SCRIPT TABLE SECONDS
  sed "s/%T/bench.$3/g" "$work/$2.sql" >"$work/$3.sql"
  PGAPPNAME=bench exec pgbench -n -M prepared -c "$1" -j "$(($1 < 2 ? 1 : 2))" -T "$4" -f "$work/$3.sql" 2>"$work/$3.err"
}

# Sessions that stay, some for each table: those of the one are at work, those of the other stopped, in turn.  What a session
# costs while it begins, watched or not, is in the first turns alone.
start_sessions() {				# start_sessions CLIENTS SCRIPT TABLE
  clients "$1" "$2" "$3" 86400 >/dev/null &
  sessions[$3]=$!
  until [[ $(count_sessions) == "$(($1 * ${#sessions[@]}))" ]]; do
    kill -0 "${sessions[$3]}" || { cat "$work/$3.err" >&2; return 1; }
  done
  kill -STOP "${sessions[$3]}"
}

# Each of the transactions takes a number, so the numbers say how many there were.
transactions() {
  sleep 0.05					# those that are under way end
  sql -c 'SELECT pg_snapshot_xmax(pg_current_snapshot())'
}

no_errors() {					# no_errors TABLE: of its sessions so far
  ! grep -E 'ERROR|FATAL|aborted' "$work/$1.err" >&2
}

tps() {							# tps TABLE: of its sessions, for some seconds
  local before start end
  before=$(transactions)
  start=$(date +%s%N)
  kill -CONT "${sessions[$1]}"
  sleep "$seconds"
  kill -STOP "${sessions[$1]}"
  end=$(date +%s%N)
  echo "$(($(transactions) - before)) $((end - start))" | awk '{ print $1 / $2 * 1e9 }'
  no_errors "$1"
}

brief_tps() {					# brief_tps CLIENTS SCRIPT TABLE: of sessions that begin now
  (clients "$1" "$2" "$3" "$brief") | awk '/^tps = / { print $3 }'
  no_errors "$3"
}

take_turns() {					# take_turns HOW_OFTEN COMMAND…: with each table, in turn
  local turn table
  for ((turn = 0; turn < $1; turn++)); do
    for table in $(order "$turn"); do "${@:2}" "$table" >>"$work/$table"; done
  done
}

single() {						# single WHAT BOUND CLIENTS SCRIPT
  local table
  for table in plain watched; do start_sessions "$3" "$4" "$table"; done
  take_turns "$turns" tps
  end_sessions
  turns_row "$1" "$2" tps
}

single_brief() {				# single_brief WHAT BOUND CLIENTS SCRIPT
  take_turns $((turns / 2)) brief_tps "$3" "$4"
  turns_row "$1" "$2" tps
}

columns='(tenant_id, device_id, name, category, type, vendor, model, ip, last_seen)'
insert="INSERT INTO %T $columns VALUES (bench.tenant(:t), 'n' || :d, 'one', 'IoT', 'Camera', 'Vendor', 'Model', '10.0.0.1', now())"
# A class may be another one than before, so that counts go up and down.
upsert="INSERT INTO %T $columns VALUES (bench.tenant(:t), 'u' || :d, 'one', (ARRAY['IoT', 'Network device'])[:c], 'Camera', 'Vendor', 'Model', '10.0.0.1', now())
  ON CONFLICT (tenant_id, device_id) DO UPDATE SET last_seen = EXCLUDED.last_seen, category = EXCLUDED.category"
printf '%s\n' "\\set t random(1, $tenants)" '\set d random(1, 1000000000000)' "$insert;" >"$work/insert.sql"
# Half of the devices are there.
printf '%s\n' "\\set t random(1, $tenants)" "\\set d random(1, $there) + random(0, 1) * random(1000, 1000000000000)" '\set c random(1, 2)' "$upsert;" >"$work/upsert.sql"
printf '%s\n' '\set t 1000001' '\set d random(1, 2000)' '\set c random(1, 2)' "$upsert;" >"$work/far.sql"
printf '%s\n' '\set t 1000002' '\set d random(1, 2000)' '\set c random(1, 2)' "$upsert;" >"$work/limit.sql"
printf '%s\n' "\\set t random(1, $tenants)" "\\set d random(1, $there)" \
  "UPDATE %T SET last_seen = now() WHERE tenant_id = bench.tenant(:t) AND device_id = 'u' || :d;" >"$work/heartbeat.sql"

for table in watched plain; do
  sql -c "INSERT INTO bench.$table $columns SELECT bench.tenant(t), 'u' || d, 'one', 'IoT', 'Camera', 'Vendor', 'Model', '10.0.0.1', now()
    FROM generate_series(1, $tenants) t, generate_series(1, $there) d" -c "VACUUM bench.$table"
done

durable() {						# durable on|off: does a commit wait for the disk?
  sql -c "ALTER SYSTEM SET fsync = $1" -c 'SELECT pg_reload_conf()' >/dev/null
  header "Writing one row at a time with fsync = $1, watched / unwatched, medians of $turns turns of $seconds s:"
  single 'INSERT, 1 client' '>=0.85' 1 insert
  single 'upsert, 8 clients, 1000 tenants' '>=0.85' 8 upsert
  single 'upsert, 8 clients, one tenant far from its limit' '>=0.75' 8 far
  single 'upsert, 8 clients, one tenant at its limit' '>=0.30' 8 limit
  single 'heartbeat, 8 clients, 1000 tenants' - 8 heartbeat
  single_brief "upsert, 8 clients, 1000 tenants, sessions of $brief s" - 8 upsert
}
durable on						# as servers are
durable off						# what is left without the disk
echo "  differences from a recount: $(sql -c "SELECT count(*) FROM eiot.check_watch('bench.watched')"); flags of the tenant at its limit: $(sql -c "
  SELECT count(*) || ', out of turn ' || count(*) FILTER (WHERE kind = before)
    FROM (SELECT kind, lag(kind, 1, 'cleared') OVER (ORDER BY flag_event_id) AS before FROM eiot.flag_event WHERE tenant_id = bench.tenant(1000002)) e")"

# ---- an hour of heartbeats: every device once in five minutes, and some that come, go and change besides

size="SELECT sum(pg_total_relation_size(c))::bigint / 1024 FROM unnest('{eiot.live_tenant,eiot.live_count,eiot.live_delta}'::regclass[]) c"
sql -c 'VACUUM FULL eiot.live_tenant' -c 'VACUUM FULL eiot.live_count' -c 'VACUUM FULL eiot.live_delta'
before=$(sql -c "$size")
sed "s/%T/bench.watched/g" "$work/upsert.sql" >"$work/run.sql"
for ((i = 0; i < 12; i++)); do
  sql -c "UPDATE bench.watched SET last_seen = now() + interval '$((i * 5)) minutes'" -c 'VACUUM bench.watched'
  pgbench -n -M prepared -c 8 -j 2 -t 1000 -f "$work/run.sql" >/dev/null 2>&1
  sql -c 'SELECT eiot.refresh()' >/dev/null
done
after=$(sql -c "$size")
header 'After an hour of heartbeats, without autovacuum:'
row 'size of the counters / before' "$after kB" "$before kB" "$(awk -v a="$after" -v b="$before" 'BEGIN { printf "%.3f", a / b }')" '<=2.00'

# ---- reading

sql -c "SELECT eiot.unwatch('bench.watched')" -c 'DROP TABLE bench.watched, bench.plain CASCADE' -c "DELETE FROM eiot.entitlement WHERE tenant_id > bench.tenant(1000000)" \
  -c 'DELETE FROM eiot.tenant WHERE tenant_id > bench.tenant(1000000)' >/dev/null
start=$(date +%s%N)
sql -c "SELECT eiot.watch('bench.device')" -c 'VACUUM ANALYZE' >/dev/null
echo "eiot.watch() of $devices devices took $((($(date +%s%N) - start) / 1000000)) ms, VACUUM ANALYZE included"
differing=$(sql -c "SELECT count(*) FROM eiot.tenant_coverage c FULL JOIN bench.device_coverage d USING (tenant_id)
  WHERE (c.devices, c.counted, c.capacity, c.gap) IS DISTINCT FROM (d.devices, d.counted, d.capacity, d.gap)")
echo "Tenants that tenant_coverage and the inventory's view differ on: $differing"

# Until somebody refreshes, each reader looks for the devices that fell silent since the counts were made.
echo "Tenants with devices that fell silent since: $(sql -c "SELECT count(*) FROM eiot.live_count b JOIN eiot.counting_rule r ON r.valid @> current_date
  WHERE eiot.active_since(now(), r.inactive_after) > b.oldest")"

all_tenants() {					# all_tenants WHEN
  read -r -a result <<<"$(pair 'RESET ALL' 'SELECT * FROM bench.device_coverage' 'RESET ALL' 'SELECT * FROM eiot.tenant_coverage')"
  row "coverage view / tenant_coverage, all tenants, $1" "${result[1]} ms" "${result[0]} ms" "${result[2]}" '>=100'
}

header "Reading $devices devices of $tenants tenants:"
all_tenants 'as watched'
sql -c 'SELECT eiot.refresh()' >/dev/null
all_tenants 'refreshed'
tenant="\\set i random(1, $tenants)
SELECT bench.tenant(:i) AS t \\gset"
printf '%s\n%s;\n' "$tenant" 'SELECT * FROM eiot.tenant_coverage WHERE tenant_id = :t' >"$work/one.sql"
for ((turn = 0; turn < ROUNDS; turn++)); do
  pgbench -n -M prepared -T "$brief" -r -f "$work/one.sql" 2>/dev/null | awk '/^ *[0-9.]+ +([0-9]+ +)?(SELECT|select) / { last = $1 } END { print last }'
done >"$work/one"
one=$(median <"$work/one")
row 'one tenant of tenant_coverage, ms' "$one ms" - "$one" '<=0.300'
sql -c "DELETE FROM bench.device WHERE abs(hashtext(device_id)) % 10 > 0" -c 'VACUUM ANALYZE' >/dev/null
read -r -a tenth <<<"$(pair 'RESET ALL' 'SELECT 1' 'RESET ALL' 'SELECT * FROM eiot.tenant_coverage')"
row 'tenant_coverage of all devices / of a tenth of them' "${result[1]} ms" "${tenth[1]} ms" "$(awk -v a="${result[1]}" -v b="${tenth[1]}" 'BEGIN { printf "%.3f", a / b }')" -
