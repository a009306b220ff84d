#!/usr/bin/env bash
# Classification: 1,000,000 evidences (times SCALE) of two kinds, vendors of as many addresses, labels.
# The rules are Recog's where its files are at hand (EIOT_SHARED_DATA), else the starter set.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

evidences=$(scaled 1000000)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

files=0
for file in "${EIOT_SHARED_DATA:-/nonexistent}"/recog/*.xml; do
  if [[ ! -e $file ]]; then continue; fi
  if head -c 4000 "$file" | grep -q '<fingerprints[^>]* matches='; then kind=NULL; else kind="'$(basename "$file" .xml)'"; fi
  printf '\\set body `cat %s`\nSELECT eiot.load_fingerprints(:'\''body'\''::xml, %s) \\g /dev/null\n' "$file" "$kind" >>"$work/load.sql"
  files=$((files + 1))
done
if ((files > 0)); then sql -f "$work/load.sql"; fi
echo "Rules: $(sql -c 'SELECT count(*) FROM eiot.fingerprint_in_use') in use, of $files files and the starter set"

sql -v n="$evidences" <<'SQL'
CREATE SCHEMA bench;
SELECT setseed(0.42) \g /dev/null
CREATE TABLE bench.example AS
SELECT f.kind, e ->> 'text' AS evidence
  FROM eiot.fingerprint_in_use f, jsonb_array_elements(f.examples) e
 WHERE f.kind IN ('snmp.sys_description', 'http_header.server') AND e ? 'text';
CREATE TABLE bench.snmp AS
SELECT evidence FROM (SELECT evidence, random() AS r FROM bench.example,
         generate_series(1, :n / (SELECT count(*) FROM bench.example WHERE kind = 'snmp.sys_description') + 1)
       WHERE kind = 'snmp.sys_description') x ORDER BY r LIMIT :n;
CREATE TABLE bench.http AS
SELECT evidence FROM (SELECT evidence, random() AS r FROM bench.example,
         generate_series(1, :n / (SELECT count(*) FROM bench.example WHERE kind = 'http_header.server') + 1)
       WHERE kind = 'http_header.server') x ORDER BY r LIMIT :n;
-- Of the same lengths and letters, but nothing that a rule knows.
CREATE TABLE bench.snmp_other AS SELECT reverse(evidence) AS evidence FROM bench.snmp;
CREATE TABLE bench.http_other AS SELECT reverse(evidence) AS evidence FROM bench.http;
CREATE TABLE bench.label AS SELECT (ARRAY['IoT', 'Network device', 'Endpoint', 'Unknown', 'NetworkDevice'])[1 + i % 5] AS category FROM generate_series(1, :n) i;
VACUUM ANALYZE bench.snmp;
VACUUM ANALYZE bench.http;
VACUUM ANALYZE bench.snmp_other;
VACUUM ANALYZE bench.http_other;
VACUUM ANALYZE bench.label;

-- The best that a person writes: pattern by pattern over the evidences that are left.
CREATE PROCEDURE bench.by_hand(kind_wanted text, source regclass, n bigint) LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  DROP TABLE IF EXISTS left_over;
  EXECUTE format('CREATE TEMP TABLE left_over AS SELECT evidence, NULL::bigint AS fingerprint FROM %s LIMIT %s', source, n);
  FOR r IN SELECT fingerprint_id, CASE WHEN 'REG_ICASE' = ANY (flags) THEN '(?i)' ELSE '' END || pattern AS pattern
             FROM eiot.fingerprint_in_use WHERE kind = kind_wanted ORDER BY ordinal LOOP
    BEGIN
      UPDATE left_over SET fingerprint = r.fingerprint_id WHERE fingerprint IS NULL AND evidence ~ r.pattern;
    EXCEPTION WHEN invalid_regular_expression THEN
      NULL;
    END;
  END LOOP;
END
$$;
SQL

per_second() {                  # per_second ROWS MILLISECONDS
  awk -v n="$1" -v ms="$2" 'BEGIN { printf "%d", n / ms * 1000 }'
}

two_workers() {                 # two_workers WHAT EXPRESSION TABLE BOUND
  local result
  read -r -a result <<<"$(pair 'SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0' "SELECT count($2) FROM $3" 'RESET ALL' "SELECT count($2) FROM $3")"
  row "  ... two workers / none, speed$1" "${result[0]} ms" "${result[1]} ms" "$(awk -v a="${result[0]}" -v b="${result[1]}" 'BEGIN { printf "%.2f", b / a }')" "$4"
}

small=$(((evidences + 49) / 50))
header "Identification, $evidences evidences, one process, medians of $ROUNDS runs (evidences a second):"
for kind in snmp.sys_description:snmp http_header.server:http; do
  name=${kind%%:*} table=bench.${kind##*:}
  read -r -a matching <<<"$(pair 'SELECT 1' "SELECT count(eiot.identify('$name', evidence)) FROM $table" 'SELECT 1' "SELECT count(eiot.identify('$name', evidence)) FROM ${table}_other")"
  rate=$(per_second "$evidences" "${matching[0]}")
  row "identify, $name" "$rate/s" '-' "$(awk -v r="$rate" 'BEGIN { printf "%.2f", r / 400000 }')" '>=1.00'
  row '  ... non-matching evidence / matching, time' "${matching[1]} ms" "${matching[0]} ms" \
    "$(awk -v a="${matching[1]}" -v b="${matching[0]}" 'BEGIN { printf "%.3f", a / b }')" '<=1.00'
  # The loop takes minutes for all of them: a fiftieth, and the time of each evidence.
  by_hand=$( (echo '\timing on'; echo "CALL bench.by_hand('$name', '$table', $small);") | psql -X -q | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
  hand_rate=$(per_second "$small" "$by_hand")
  row "  ... / pattern by pattern in PL/pgSQL" "$rate/s" "$hand_rate/s" "$(awk -v a="$rate" -v b="$hand_rate" 'BEGIN { printf "%.1f", a / b }')" '>=40.0'
  two_workers '' "eiot.identify('$name', evidence)" "$table" '>=1.80'
  # What the machine and the start of workers leave of it, without any code of ours.
  two_workers ' of md5(evidence)' 'md5(evidence)' "$table" -
  two_workers ' of the scan alone' evidence "$table" -
done

header 'A new backend:'
first() {
  (echo '\timing on'; echo "SELECT eiot.identify('snmp.sys_description', 'Cisco IOS Software, C2960 Software');") | psql -X -q -At | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}
ms=$(for _ in 1 2 3 4 5; do first; done | median)
row 'first call, ms' "$ms ms" '100 ms' "$(awk -v a="$ms" 'BEGIN { printf "%.3f", a / 100 }')" '<=1.00'
# Private memory of a backend before and after all rules of all kinds were tried.
sql >"$work/memory" <<'SQL'
CREATE TEMP TABLE status (line text);
COPY status FROM PROGRAM 'grep RssAnon /proc/$PPID/status | tr -d "\t"';
SELECT substring(line FROM '\d+') FROM status;
SELECT count(eiot.match_fingerprint(f.kind, e ->> 'text')) FROM eiot.fingerprint_in_use f, jsonb_array_elements(f.examples) e WHERE e ? 'text' \g /dev/null
TRUNCATE status;
COPY status FROM PROGRAM 'grep RssAnon /proc/$PPID/status | tr -d "\t"';
SELECT substring(line FROM '\d+') FROM status;
SQL
before=$(head -n 1 "$work/memory") after=$(tail -n 1 "$work/memory")
kb=$((after - before))
row 'memory after all kinds were used, kB' "$kb kB" '32768 kB' "$(awk -v a="$kb" 'BEGIN { printf "%.3f", a / 32768 }')" '<=1.00'

header 'Labels and addresses:'
compare 'classify(category, NULL, NULL, NULL) / lower(category)' '<=2.00' \
  'SELECT 1' 'SELECT count(eiot.classify(category, NULL, NULL, NULL)) FROM bench.label' \
  'SELECT 1' 'SELECT count(lower(category)) FROM bench.label'

ieee=/usr/share/ieee-data
if [[ -r $ieee/oui.csv ]]; then
  for pair in MA-L:oui MA-M:mam MA-S:oui36 IAB:iab; do
    printf '\\set body `cat %s/%s.csv`\nSELECT eiot.load_oui('\''%s'\'', :'\''body'\'') \\g /dev/null\n' "$ieee" "${pair##*:}" "${pair%%:*}"
  done >"$work/oui.sql"
  sql -f "$work/oui.sql"
  what='the full registry'
else
  sql -c "INSERT INTO eiot.oui SELECT lpad(to_hex(i::bigint * 1021 * 4 % 16777216 / 4 * 4 << 24), 12, '0')::macaddr, 24, 'Vendor ' || i, 'MA-L' FROM generate_series(1, 32000) i ON CONFLICT DO NOTHING"
  what='32,000 made-up blocks (package ieee-data is not installed)'
fi
sql -v n="$evidences" <<'SQL'
CREATE TABLE bench.mac AS
SELECT lpad(to_hex(CASE WHEN i % 2 = 0 THEN b.base + (random() * 4095)::bigint ELSE (random() * 281474976710655)::bigint END), 12, '0')::macaddr AS mac
  FROM (SELECT i, i % (SELECT count(*) FROM eiot.oui) + 1 AS number FROM generate_series(1, :n) i) i
  JOIN (SELECT ('x' || replace(prefix::text, ':', ''))::bit(48)::bigint AS base, row_number() OVER () AS number FROM eiot.oui) b
 USING (number);
VACUUM ANALYZE bench.mac;
ANALYZE eiot.oui;
SQL
compare "oui_vendor, $what / three hash left joins" '<=0.35' \
  'SELECT 1' 'SELECT count(eiot.oui_vendor(mac)) FROM bench.mac' 'SELECT 1' \
  "SELECT count(CASE WHEN (mac & '02:00:00:00:00:00') = '00:00:00:00:00:00' THEN COALESCE(s.vendor, m.vendor, l.vendor) END)
       FROM bench.mac
       LEFT JOIN eiot.oui s ON s.bits = 36 AND s.prefix = (mac & 'ff:ff:ff:ff:f0:00')
       LEFT JOIN eiot.oui m ON m.bits = 28 AND m.prefix = (mac & 'ff:ff:ff:f0:00:00')
       LEFT JOIN eiot.oui l ON l.bits = 24 AND l.prefix = trunc(mac)"
