# shellcheck shell=bash
# Shared by the benchmarks: paired timings as ratios, printed as a table.
# SCALE=1 is the full size; ROUNDS is how often each pair is run, in turn.

ROUNDS=${ROUNDS:-5}
export PGOPTIONS="${PGOPTIONS:-} -c jit=off -c max_parallel_workers_per_gather=0 -c client_min_messages=warning"

scaled() {						# scaled NUMBER: that many times SCALE, at least 1
  awk -v n="$1" -v s="${SCALE:-1}" 'BEGIN { r = int(n * s); print r < 1 ? 1 : r }'
}

sql() {
  psql -X -q -v ON_ERROR_STOP=1 -At "$@"
}

header() {
  printf '%s\n' "$1"
  printf '  %-58s %10s %10s %7s %7s  %s\n' what ours against ratio bound verdict
}

row() {							# row WHAT OURS AGAINST RATIO BOUND: bound like '<=1.05', or '-'
  local verdict=''
  if [[ $5 != - ]]; then
    verdict=$(awk -v r="$4" -v b="${5:2}" -v op="${5:0:2}" 'BEGIN { print ((op == "<=" ? r <= b : r >= b) ? "holds" : "FALLS SHORT") }')
  fi
  printf '  %-58s %10s %10s %7s %7s  %s\n' "$1" "$2" "$3" "$4" "$5" "$verdict"
}

median() {
  sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# Runs SQL from FILE_A and FILE_B in turn, each in one session that stays; a
# warm-up first.  Prints the medians in ms and the median of the pairs' ratios.
pair() {						# pair SETUP_A SQL_A SETUP_B SQL_B
  local script times
  script=$(mktemp)
  {
    for ((i = 0; i <= ROUNDS; i++)); do
      printf '%s;\n\\timing on\n%s \\g /dev/null\n\\timing off\n' "$1" "$2"
      printf '%s;\n\\timing on\n%s \\g /dev/null\n\\timing off\n' "$3" "$4"
    done
  } >"$script"
  times=$(psql -X -q -v ON_ERROR_STOP=1 -f "$script" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n +3 | paste - -)
  rm -f "$script"
  printf '%.1f %.1f %.3f\n' \
    "$(cut -f1 <<<"$times" | median)" "$(cut -f2 <<<"$times" | median)" \
    "$(awk '{ print $1 / $2 }' <<<"$times" | median)"
}

compare() {						# compare WHAT BOUND SETUP_A SQL_A SETUP_B SQL_B
  local result
  read -r -a result <<<"$(pair "$3" "$4" "$5" "$6")"
  row "$1" "${result[0]} ms" "${result[1]} ms" "${result[2]}" "$2"
}
