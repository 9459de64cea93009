#!/usr/bin/env bash
# The emulated device's threads in three orders: upwards, downwards, shuffled. Which turns they took must differ in every test
# that launched anything, and what the host read from the device must not.
# Usage: schedules.sh TAPIR_TESTS FOLDER
set -uo pipefail
tests=$1 folder=$2
schedules=(up down shuffled:1) processes=()
mkdir -p "$folder"
for schedule in "${schedules[@]}"; do
  DEVICE=cuda SCHEDULE=$schedule SCHEDULE_LOG=$folder/$schedule.log "$tests" --no-intro \
    --test-case='sweep: values*,mechanisms:*,score_mlp:*,additive:*,expressive:*,devices:*' \
    --test-case-exclude='*: keeps its claims*' >"$folder/$schedule.txt" 2>&1 &
  processes+=($!)
done
failed=0
for i in "${!schedules[@]}"; do
  wait "${processes[$i]}" || { failed=1; cat "$folder/${schedules[$i]}.txt"; }
done

# compare A B: of each test, turns (column 1) and what was read (column 2).
compare() {
  paste -d' ' <(cut -d' ' -f1,2 "$folder/$1.log") "$folder/$2.log" | awk -v a="$1" -v b="$2" '
    { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", name); ++count }
    $2 != $4 && before == after { print "schedules " a " and " b ": the bits differ in: " name; bad = 1 }
    $1 == $3 { print "schedules " a " and " b ": the same turns in: " name; bad = 1 }
    { before = $2; after = $4 }   # a digest goes on from test to test: only the first difference is news
    END { if (count == 0) print "schedules " a " and " b ": no test was logged"; exit bad || count == 0 }'
}
compare up down && compare up shuffled:1 && compare down shuffled:1 || failed=1
[[ $failed == 0 ]] && echo "schedules ${schedules[*]}: $(wc -l <"$folder/up.log") tests, other turns, the same bits"
exit $failed
