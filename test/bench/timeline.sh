#!/usr/bin/env bash
# Coverage over time against hand-written SQL on the same rows: peaks of 3,000,000 spans (times SCALE).
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
