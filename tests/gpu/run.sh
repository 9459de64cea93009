#!/usr/bin/env bash
# Everything that needs a GPU, in under 9 minutes, with one report: `./check --gpu`.
#   run.sh              all parts, each within its time; writes gpu-report.json and gpu-report.md
#   run.sh PART...      these alone: build, tests, sanitizer, benchmark, peers, reproductions
# A machine with nvcc, cuBLAS, cuFFT, CMake, ninja and g++ is enough where the folder `bundle` (bundle.sh) lies in the tree.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
source tests/gpu/parts.sh
declare -A seconds=([build]=240 [tests]=85 [sanitizer]=55 [benchmark]=40 [peers]=80 [reproductions]=30)   # 530 of 540
all_parts=(build tests sanitizer benchmark peers reproductions)

if [[ ${1:-} == --inside ]]; then   # run by `timeout` below
  "part_$2"
  exit
fi
[[ $# -gt 0 ]] && all_parts=("$@")
for part in "${all_parts[@]}"; do
  [[ -n ${seconds[$part]:-} ]] || { echo "check --gpu: there is no part '$part'; parts: ${!seconds[*]}" >&2; exit 2; }
done
find_device || exit 1

mkdir -p "$results"
rm -rf "${results:?}"/*
failed=0
for part in "${all_parts[@]}"; do
  printf '\n== %s\n' "$part"
  begin=$SECONDS
  timeout --kill-after=5 "${seconds[$part]}" tests/gpu/run.sh --inside "$part" 2>&1 | tee "$results/$part.log"
  case ${PIPESTATUS[0]} in
    0) result=passed ;;
    77) result=skipped ;;
    124 | 137) result="out of time" failed=1 ;;
    *) result=failed failed=1 ;;
  esac
  printf '%s\t%s\t%d\n' "$part" "$result" $((SECONDS - begin)) >>"$results/parts"
  write_report   # after each part: whoever stops this keeps what is there
  if [[ $part == build && $result != passed ]]; then break; fi
done
printf '\ngpu-report.md, gpu-report.json\n'
exit $failed
