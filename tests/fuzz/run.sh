#!/usr/bin/env bash
# Fuzzes targets, if none is named all, two at a time, from their seeds and from what earlier calls have found.
# Usage: run.sh BUILD SECONDS [TARGET…]   Exit status 1 if there is a finding: the bytes are in BUILD/findings/.
set -uo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." || exit 1
export build=$1 seconds=$2
targets=("${@:3}")
[[ ${#targets[@]} -gt 0 ]] || mapfile -t targets < <(ls tests/fuzz/corpus)

fuzz() {
  local target=$1 log=$build/findings/$1.log result=PASS runs
  mkdir -p "$build/corpus/$target"
  TARGET=$target "$build/tests/fuzz" "$build/corpus/$target" "tests/fuzz/corpus/$target" -max_total_time="$seconds" \
    -timeout=20 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/findings/$target-" \
    >"$log" 2>&1 || result=FAIL
  runs=$(awk '$1 == "stat::number_of_executed_units:" { print $2 }' "$log")
  printf '%-16s %10s runs  %s\n' "$target" "${runs:-?}" "$result"
  [[ $result == PASS ]] || { grep -E "SUMMARY|what\(\)|runtime error|a parser takes|ALARM|Test unit written" "$log"; return 1; }
}
export -f fuzz

mkdir -p "$build/findings"
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz {}'
