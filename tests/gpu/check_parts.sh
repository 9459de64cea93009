#!/usr/bin/env bash
# What ./check --gpu and its table of kernels make of others' words, on a machine without a GPU.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
expect() {   # expect WHAT FOUND EXPECTED
  [[ $2 == "$3" ]] || { printf 'check_parts: %s: found\n%s\nexpected\n%s\n' "$1" "$2" "$3"; failed=1; }
}

# No device: one line, status 1.
mkdir "$work/bin"
printf '#!/bin/sh\necho "NVIDIA-SMI has failed"\nexit 9\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvidia-smi"
found=$(PATH=$work/bin:$PATH "$root/check" --gpu 2>&1)
expect "status without a device" $? 1
expect "a machine without a device" "$found" "check --gpu: there is no NVIDIA GPU here (nvidia-smi: NVIDIA-SMI has failed)"
expect "an unknown part" "$("$root/tests/gpu/run.sh" speed 2>&1 | cut -d';' -f1)" "check --gpu: there is no part 'speed'"

cd "$root" || exit 1
source tests/gpu/parts.sh
results=$work
expect "ctest's lines" "$(test_lines <<'END'
 1/50 Test #12: sweep ............................   Passed   12.34 sec
10/50 Test  #3: arena ............................***Failed    0.10 sec
11/50 Test #33: zoo ..............................***Timeout  90.01 sec
12/50 Test #34: devices ..........................***Exception: SegFault  0.33 sec
END
)" "$(printf 'sweep\tPassed\t12.34\narena\tFailed\t0.10\nzoo\tTimeout\t90.01\ndevices\tException: SegFault\t0.33')"

echo "========= ERROR SUMMARY: 0 errors" >"$work/clean"
echo "========= Invalid __global__ read of size 4 bytes" >"$work/found"
echo "========= Device not supported" >"$work/unsupported"
echo "========= Error: process didn't terminate successfully" >"$work/stopped"
expect "compute-sanitizer" "$(for case in "0 clean" "124 clean" "124 stopped" "1 clean" "99 found" "124 found" "1 unsupported"; do
  sanitizer_result "${case% *}" "$work/${case#* }"; done | paste -sd' ')" "clean unfinished unfinished errors errors errors unsupported"

losses() { for loss in "$@"; do echo "{\"step\":$((++step)),\"loss\":$loss,\"rate\":0.1}"; done; }
step=0; losses 2.5 2 >"$work/cpu"
step=0; losses 2.50001 2 >"$work/near"
step=0; losses 2.5001 2 >"$work/far"
step=1; losses 2.5 2 >"$work/later"
expect "losses" "$(for other in cpu near far later nothing; do
  compare_losses it "$work/cpu" "$work/$other" >"$work/said"; echo $?; done | paste -sd' ')" "0 0 1 1 1"
expect "no losses" "$(cat "$work/said")" "it: no losses to compare"

name="a GPU" memory="1 MiB" driver=1 toolkit=13 commit=abc
printf 'build\tpassed\t7\nreproductions\tfailed\t9\n' >"$work/parts"
(cd "$work" && write_report)
expect "the report" "$(sed -n '/^| build/,$p' "$work/gpu-report.md" | head -7)" "| build | passed | 7 |
| reproductions | failed | 9 |

## reproductions

| it | cpu | 2 | 2 | |
| | cuda | 2 | 2 | 0.00e+00 |"
expect "the report as JSON" "$(tr -d '\n' <"$work/gpu-report.json" | cut -c1-259)" "$(printf '%s' \
  '{"device": "a GPU", "memory": "1 MiB", "driver": "1", "toolkit": "13", "commit": "abc", "parts": [' \
  '{"part": "build", "result": "passed", "seconds": 7, "lines": []},' \
  '{"part": "reproductions", "result": "failed", "seconds": 9, "lines": [' \
  '{"experiment": "it", "steps": 2' | cut -c1-259)"

# A build of one kernel that spills on sm_90.
logs=$work/build/CMakeFiles/tapir.dir/tensor compiler=$work/build/CMakeFiles/3.25.1
mkdir -p "$logs" "$compiler"
echo 'set(CMAKE_CUDA_COMPILER_VERSION "13.0.88")' >"$compiler/CMakeCUDACompiler.cmake"
ptxas() {   # ptxas ARCHITECTURE REGISTERS SPILLED
  local kernel=_ZN5tapir4cuda8each_rowINS_41_GLOBAL__N__8e9a7614_9_tensor_cc_30dbf2923RowIdEEEEvlT_
  printf "ptxas info    : Compiling entry function '%s' for '%s'\n" $kernel "$1"
  printf 'ptxas info    : Function properties for %s\n' $kernel
  printf '    0 bytes stack frame, %d bytes spill stores, 0 bytes spill loads\n' "$3"
  printf 'ptxas info    : Used %d registers, used 1 barriers, 128 bytes smem, 392 bytes cmem[0]\n' "$2"
}
{ ptxas sm_80 40 0; ptxas sm_90 42 0; } >"$logs/tensor.cc.o.log"
tests/gpu/kernels.sh "$work/build" >"$work/table"
row='       40     0      0    128 |        42     0      0    128  tensor/tensor.cc each_row<Row<double>>'
expect "a kernel's row" "$(tail -1 "$work/table")" "$row"
judged() { tests/gpu/kernels.sh "$work/build" "$work/table" >"$work/said"; echo $?; }
expect "the same kernels" "$(judged)" 0
{ ptxas sm_80 40 0; ptxas sm_90 44 0; } >"$logs/tensor.cc.o.log"
expect "other registers" "$(judged) $(grep -cF -e "> ${row/42/44}" -e "if that is as it should be" "$work/said")" "1 2"
sed -i '1s/13/12/' "$work/table"
expect "other registers of another nvcc" "$(judged)" 0
{ ptxas sm_80 40 0; ptxas sm_90 44 8; } >"$logs/tensor.cc.o.log"
expect "a spill" "$(judged) $(head -1 "$work/said")" "1 kernels that spill registers:"
exit $failed
