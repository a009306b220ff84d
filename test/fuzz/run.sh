#!/usr/bin/env bash
# test/fuzz/run.sh [SECONDS]
#
# Fuzzes the prefilter of the fingerprints for so long (default 300), by libFuzzer and by a generator of patterns, and
# proration by libFuzzer, all at once. Needs clang with its sanitizers and PCRE2; Debian's are installed where that may be done without asking.
#   PCRE2=DIR  a PCRE2 installed there, in place of the system's
#   SEED=N     of the generator; by default another one each time
#   RECOG=DIR  Recog's files; patterns and examples of them are inputs to start with (default ../shared/data/recog)
# Exit status: 0 nothing found, 1 a finding, and where the input that shows it is, 2 could not start.
set -euo pipefail

seconds=${1:-300}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$here/../.." && pwd -P)
seed=${SEED:-$(date +%s)}
recog=${RECOG:-$top/../shared/data/recog}

say() { printf '==> %s\n' "$*"; }
give_up() { printf 'test/fuzz/run.sh: %s\n' "$*" >&2; exit 2; }
as_root() { if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi; }

[[ $seconds =~ ^[1-9][0-9]*$ ]] || give_up 'usage: test/fuzz/run.sh [SECONDS]'

tmp=$(mktemp -d "${TMPDIR:-/tmp}/eiot-fuzz.XXXXXX")
children=()
# shellcheck disable=SC2317
cleanup() {
  local status=$?
  trap - EXIT
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait
  # A finding stays.
  if ((status != 1)); then rm -rf "$tmp"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# ---- build

flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -g -fno-omit-frame-pointer "-I$tmp" "-I$top/src/classify")
libs=(-lpcre2-8)
if [[ -n ${PCRE2:-} ]]; then
  flags+=(-isystem "$PCRE2/include")
  libs=("-L$PCRE2/lib" "-Wl,-rpath,$PCRE2/lib" -lpcre2-8)
fi

can_build() {
  printf '%s\n' '#define PCRE2_CODE_UNIT_WIDTH 8' '#include <pcre2.h>' '#include <stddef.h>' '#include <stdint.h>' \
    'int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { (void) data; return (int) (size - size); }' \
    > "$tmp/try.c"
  clang "${flags[@]}" -fsanitize=fuzzer,address,undefined "$tmp/try.c" "${libs[@]}" -o "$tmp/try" > "$tmp/try.log" 2>&1
}
if ! can_build; then
  say 'installing clang, libclang-rt-dev and libpcre2-dev'
  { as_root apt-get update -q && as_root apt-get install -qy --no-install-recommends clang libclang-rt-dev libpcre2-dev
  } > "$tmp/apt.log" 2>&1 || true
  if ! can_build; then
    tail -n 5 "$tmp/try.log" >&2
    give_up 'clang with libFuzzer and PCRE2 are needed: apt-get install clang libclang-rt-dev libpcre2-dev'
  fi
fi

# What the server adds to the prefilter is taken from there, and what is copied here must still be so there.
server=$top/src/classify/fingerprint.c
{ echo 'static bool'; sed -n '/^has_folding_letters(/,/^}/p' "$server"; } > "$tmp/has_folding_letters.h"
[[ $(wc -l < "$tmp/has_folding_letters.h") -gt 5 ]] || give_up "has_folding_letters() is no longer in $server"
for line in 'options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;' 'options |= PCRE2_CASELESS;' 'options |= PCRE2_DOTALL;' \
  'options |= PCRE2_DOTALL | PCRE2_MULTILINE;'; do
  grep -qF "$line" "$top/src/classify/pattern.c" || give_up 'options of patterns changed in pattern.c: bring options_of() in property.c up to date'
done

say "build with $(clang --version | head -n 1)"
sources=("$here/property.c" "$top/src/classify/literals.c" "$top/src/classify/prefilter.c")
clang "${flags[@]}" -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all "$here/fuzz_prefilter.c" \
  "${sources[@]}" "${libs[@]}" -o "$tmp/fuzz_prefilter"
clang "${flags[@]}" "-I$top/src/proration" -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  "$here/fuzz_proration.c" "$top"/src/proration/{policy,calendar,amount}.c -o "$tmp/fuzz_proration"
clang "${flags[@]}" -O2 -fsanitize=address,undefined -fno-sanitize-recover=all "$here/generate.c" \
  "${sources[@]}" "${libs[@]}" -o "$tmp/generate"

# ---- inputs to start with

mkdir "$tmp/inputs" "$tmp/policies" "$tmp/by-libfuzzer" "$tmp/by-generator" "$tmp/by-proration"
cp "$here"/corpus-proration/* "$tmp/policies/"
cp "$here"/corpus/* "$tmp/inputs/"
"$tmp/generate" --write "$tmp/inputs" 500 "$seed"
if [[ -d $recog ]]; then
  # Every fifth fingerprint with a short example in plain text.
  perl -0777 -e '
    my ($to, @files) = @ARGV;
    my %entity = (lt => "<", gt => ">", amp => "&", quot => "\"", apos => "\x27");
    sub plain {
      my $s = shift;
      $s =~ s/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/defined $1 ? chr hex $1 : defined $2 ? chr $2 : $entity{$3} \/\/ ""/gie;
      utf8::encode($s) if utf8::is_utf8($s);
      return $s;
    }
    my $n = 0;
    for my $file (@files) {
      open(my $in, "<", $file) or die "$file: $!"; my $xml = <$in>; close $in;
      $xml =~ s/<!--.*?-->//gs;
      while ($xml =~ /<fingerprint\b([^>]*)>(.*?)<\/fingerprint>/gs) {
        my ($attributes, $body) = ($1, $2);
        next if $n++ % 5;
        my ($pattern) = $attributes =~ /\bpattern="([^"]*)"/ or next;
        my ($example) = $body =~ /<example(?![^>]*_encoding)[^>]*>([^<]{1,300})<\/example>/ or next;
        my $flags = ($attributes =~ /REG_ICASE/ ? 1 : 0) | ($attributes =~ /REG_DOT_NEWLINE/ ? 2 : 0)
                  | ($attributes =~ /REG_MULTILINE/ ? 4 : 0);
        open(my $out, ">", "$to/recog-$n") or die $!;
        print $out chr($flags), plain($pattern), "\x1e", plain($example);
        close $out;
      }
    }' "$tmp/inputs" "$recog"/*.xml
fi
say "$(find "$tmp/inputs" -type f | wc -l) inputs to start with, seed $seed, $seconds seconds"

# ---- run

(cd "$tmp/by-generator" && exec "$tmp/generate" "$seconds" "$seed") > "$tmp/generator.log" 2>&1 &
children+=($!)
(cd "$tmp/by-libfuzzer" && exec "$tmp/fuzz_prefilter" -max_total_time="$seconds" -max_len=512 -timeout=25 \
  -rss_limit_mb=2048 -use_value_profile=1 -dict="$here/regex.dict" -print_final_stats=1 "$tmp/inputs") > "$tmp/libfuzzer.log" 2>&1 &
children+=($!)
(cd "$tmp/by-proration" && exec "$tmp/fuzz_proration" -max_total_time="$seconds" -max_len=400 -timeout=25 \
  -rss_limit_mb=2048 -use_value_profile=1 -dict="$here/policy.dict" -print_final_stats=1 "$tmp/policies") > "$tmp/proration.log" 2>&1 &
children+=($!)
bad=0
for child in "${children[@]}"; do
  wait "$child" 2>/dev/null || bad=1
done
children=()

grep -hE '^(generator|libFuzzer): ' "$tmp/generator.log" "$tmp/libfuzzer.log" || true
sed -n 's/^stat::number_of_executed_units: */libFuzzer: executions /p' "$tmp/libfuzzer.log"
sed -n 's/^stat::number_of_executed_units: */proration: executions /p' "$tmp/proration.log"
if ((bad == 0)); then
  say 'nothing found'
  exit 0
fi

for by in generator libfuzzer proration; do
  log=$tmp/$by.log
  program=fuzz_prefilter
  if [[ $by == proration ]]; then program=fuzz_proration; fi
  if ! grep -qE '^FINDING|ERROR: |runtime error|SUMMARY: ' "$log" && ! compgen -G "$tmp/by-$by/*" > /dev/null; then continue; fi
  say "found by the $by"
  # What the check says of itself is short; a sanitizer's report is not.
  grep -A 9 -m 1 '^FINDING' "$log" | grep -E '^(FINDING|  [a-z])' ||
    grep -A 12 -m 1 -E 'ERROR: |runtime error' "$log" || tail -n 20 "$log"
  input=$(find "$tmp/by-$by" -type f -name finding.input)
  [[ -n $input ]] || input=$(find "$tmp/by-$by" -type f | head -n 1)
  [[ -n $input ]] || continue
  # Smaller, if that goes quickly.
  cd "$tmp"
  "./$program" -minimize_crash=1 -max_total_time=10 -exact_artifact_path="$input.smaller" "$input" \
    > minimize.log 2>&1 || true
  if [[ -s $input.smaller ]]; then
    input=$input.smaller
    echo 'or, smaller:'
    { "./$program" "$input" 2>&1 || true; } | grep -A 9 -m 1 '^FINDING' | grep -E '^(FINDING|  [a-z])' || true
  fi
  say "again: $tmp/$program $input"
done
exit 1
