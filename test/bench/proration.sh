#!/usr/bin/env bash
# Proration of 1,000,000 lines (times SCALE), and a total allocated to them, against hand-written SQL on the same rows.
set -euo pipefail
# shellcheck source=test/bench/lib.sh
. "$(dirname "$0")/lib.sh"

lines=$(scaled 1000000)
tenants=2000

echo "Loading $lines lines of $tenants tenants ..."
sql -v lines="$lines" -v tenants="$tenants" <<'SQL'
CREATE SCHEMA bench;
-- By hand: the function that a careful user writes, so that it is inlined.
CREATE FUNCTION bench.prorate(price numeric, qty numeric, s date, e date, ps date, pe date, scale integer DEFAULT 2) RETURNS numeric
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$ SELECT round(price * qty * greatest(least(e, pe) - greatest(s, ps), 0) / nullif(pe - ps, 0), scale) $$;
-- The same lines twice: as columns, and as ranges.
CREATE TABLE bench.line AS
SELECT i, i % :tenants AS tenant, (1 + i % 997)::numeric / 100 + 4 AS price, (1 + i % 250)::bigint AS units,
       p + (i % 29)::int AS s, p + (i % 29)::int + 1 + (i % 7)::int AS e, p AS ps, (p + interval '1 month')::date AS pe
  FROM generate_series(1, :lines::bigint) i CROSS JOIN LATERAL (SELECT DATE '2020-01-01' + (i * 7919 % 2000)::int) d(p);
CREATE TABLE bench.span AS
SELECT i, tenant, price, units, daterange(s, e) AS used, daterange(ps, pe) AS cycle FROM bench.line;
CREATE TABLE bench.instant AS
SELECT i, tenant, price, units, tstzrange(s, e) AS used, tstzrange(ps, pe) AS cycle FROM bench.line;
CREATE TABLE bench.total AS SELECT tenant, sum(price) * 1.19 AS total FROM bench.line GROUP BY tenant;
CREATE TABLE bench.share AS SELECT l.i, l.tenant, l.price AS weight, t.total FROM bench.line l JOIN bench.total t USING (tenant);
VACUUM ANALYZE bench.line;
VACUUM ANALYZE bench.span;
VACUUM ANALYZE bench.instant;
VACUUM ANALYZE bench.share;
CHECKPOINT;
SQL

by_hand='SELECT sum(bench.prorate(price, units, s, e, ps, pe)) FROM bench.line'
by_ranges='SELECT sum(bench.prorate(price, units, lower(used), upper(used), lower(cycle), upper(cycle))) FROM bench.span'
ours='SELECT sum(eiot.prorate(price, units, used, cycle)) FROM bench.span'
policy() {						# policy NAME: ours with that policy
  printf "SELECT sum(eiot.prorate(price, units, used, cycle, '%s')) FROM bench.%s" "$1" "${2:-span}"
}

differing=$(sql -c "SELECT count(*) FROM bench.line l JOIN bench.span r USING (i)
  WHERE bench.prorate(l.price, l.units, l.s, l.e, l.ps, l.pe) IS DISTINCT FROM eiot.prorate(r.price, r.units, r.used, r.cycle)")
echo "Lines whose amount differs from the hand-written expression: $differing"

header "Proration of $lines lines, medians of $ROUNDS runs in turn:"
compare 'prorate / inlined numeric SQL on four date columns' '<=0.60' '' "$ours" '' "$by_hand"
compare '... / the same SQL on the same two ranges' - '' "$ours" '' "$by_ranges"
compare '... with policy nce / inlined numeric SQL' - '' "$(policy nce)" '' "$by_hand"
compare '... with policy killbill / inlined numeric SQL' - '' "$(policy killbill)" '' "$by_hand"
compare '... of instants, policy second / inlined numeric SQL' - '' "$(policy second instant)" '' "$by_hand"
compare '... of instants, day,tz=Europe/Berlin / inlined numeric SQL' - '' "$(policy day,tz=Europe/Berlin instant)" '' "$by_hand"

# The largest remainder in SQL, as it is written: the lines' amounts, what each loses by rounding down, who gets it back.
by_hand_amount='price * units * greatest(least(e, pe) - greatest(s, ps), 0) / nullif(pe - ps, 0)'
adding_up() {					# adding_up SOURCE: of its columns tenant, i, exact; the total is theirs
  printf "SELECT tenant, i, CASE WHEN rank <= missing THEN floored + 0.01 ELSE floored END AS part
    FROM (SELECT tenant, i, floored, (round(sum(exact) OVER (PARTITION BY tenant), 2) - sum(floored) OVER (PARTITION BY tenant)) * 100 AS missing,
                 row_number() OVER (PARTITION BY tenant ORDER BY exact - floored DESC, i) AS rank
            FROM (SELECT tenant, i, exact, trunc(exact, 2) AS floored FROM (%s) x) y) z" "$1"
}
two_windows=$(adding_up "SELECT tenant, i, $by_hand_amount AS exact FROM bench.line")
fenced=$(adding_up "SELECT tenant, i, $by_hand_amount AS exact FROM bench.line OFFSET 0")
# OFFSET 0 has the amounts computed once, before they are sorted.
amounts="SELECT tenant, i, eiot.allocate(amount, 2) OVER (PARTITION BY tenant) AS part
  FROM (SELECT tenant, i, eiot.prorate(price, units, used, cycle, 'day,at=total') AS amount FROM bench.span OFFSET 0) x"
# A stored total by stored weights: nothing to compute by hand but the shares, so the sort that both need weighs more.
shares='SELECT tenant, i, CASE WHEN rank <= missing THEN floored + 0.01 ELSE floored END AS part
  FROM (SELECT tenant, i, floored, round(total, 2) * 100 - sum(floored) OVER (PARTITION BY tenant) * 100 AS missing,
               row_number() OVER (PARTITION BY tenant ORDER BY exact - floored DESC, i) AS rank
          FROM (SELECT tenant, i, total, exact, trunc(exact, 2) AS floored
                  FROM (SELECT tenant, i, total, round(total, 2) * weight / sum(weight) OVER (PARTITION BY tenant) AS exact FROM bench.share) a) b) c'
share='SELECT tenant, i, eiot.allocate(weight, total, 2) OVER (PARTITION BY tenant) AS part FROM bench.share'
share_in_order='SELECT tenant, i, eiot.allocate(weight, total, 2) OVER (PARTITION BY tenant ORDER BY i) AS part FROM bench.share'

# Division in SQL ends after some decimals, which may tip a half cent; 377580 days are whole cycles of 28 to 31 days.
wrong() {						# wrong QUERY: groups whose sum is not the exact total, rounded
  sql -c "SELECT count(*) FROM (SELECT tenant, sum(part) FROM ($1) a GROUP BY tenant EXCEPT
    SELECT tenant, round(sum(price * units * greatest(least(e, pe) - greatest(s, ps), 0) * (377580 / (pe - ps))) / 377580, 2) FROM bench.line GROUP BY tenant) x"
}
parts=$(sql -c "SELECT count(*) FROM ($share_in_order) a JOIN ($shares) b USING (i) WHERE a.part <> b.part")
echo "Groups whose sum is not the exact total, rounded: ours $(wrong "$amounts"), by hand $(wrong "$two_windows")"
echo "Lines whose share of a stored total differs from the hand-written query: $parts"

header "Lines that add up, $lines of them in $tenants groups, medians of $ROUNDS runs in turn:"
sum() {
  printf 'SELECT sum(part) FROM (%s) x' "$1"
}
compare 'prorate and allocate / amounts and two windows in SQL' '<=0.15' '' "$(sum "$amounts")" '' "$(sum "$two_windows")"
compare '... with work_mem 256MB' '<=0.15' "SET work_mem = '256MB'" "$(sum "$amounts")" '' "$(sum "$two_windows")"
compare '... / the SQL with amounts computed once (OFFSET 0)' - 'RESET work_mem' "$(sum "$amounts")" '' "$(sum "$fenced")"
compare '... / lag() over the same window, which but reads the amounts' - '' "$(sum "$amounts")" '' "$(sum "${amounts/eiot.allocate(amount, 2)/lag(amount)}")"
compare 'a stored total by stored weights / two windows in SQL' '<=0.15' '' "$(sum "$share")" '' "$(sum "$shares")"
compare '... / lag() over the same window, which but reads the weights' - '' "$(sum "$share")" '' "$(sum 'SELECT tenant, i, lag(weight) OVER (PARTITION BY tenant) AS part FROM bench.share')"
