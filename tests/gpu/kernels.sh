#!/usr/bin/env bash
# What ptxas says of every kernel of the library: registers, and bytes of stack, of spills (stores and loads) and of static
# shared memory, for each architecture. Reads the logs that keep_log.sh has left in a build.
#   kernels.sh BUILD         prints the table
#   kernels.sh BUILD TABLE   fails where a kernel spills, or where TABLE says otherwise; with another nvcc than TABLE's only
#                            spills count, since registers are each compiler's own
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1 table=${2:-}
export LC_ALL=C

# FILE ARCHITECTURE REGISTERS STACK SPILLED SHARED MANGLED
entries() {
  local log source
  find "$build/CMakeFiles/tapir.dir" -name '*.o.log' | sort | while read -r log; do
    source=${log#"$build"/CMakeFiles/tapir.dir/}
    source=${source%.o.log}
    [[ ! -e $root/$source ]] || awk -v source="$source" '
      /Compiling entry function/ { split($0, quoted, "\047"); name = quoted[2]; architecture = quoted[4]; stack = spilled = 0 }
      /bytes stack frame/ { if ($1 > stack) stack = $1; spilled += $5 + $9 }   # of the kernel and of what it calls
      /Used [0-9]+ registers/ && name != "" {
        shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
        match($0, /Used [0-9]+/)
        print source, architecture, substr($0, RSTART + 5, RLENGTH - 5), stack, spilled, shared, name
        name = ""
      }' "$log"
  done
}

# Without what says little: the result, namespaces, the arguments, which follow from the kernel.
short_names() {
  c++filt | sed -E 's/\(anonymous namespace\):://g; s/\b(tapir|cuda|detail|nn|std):://g
                    s/ void / /; s/> \(/>(/g; s/\((long|int|unsigned|double|float|bool|T[0-9]*|signed char).*$//; s/ >/>/g'
}

print_table() {
  echo "nvcc $(sed -n 's/set(CMAKE_CUDA_COMPILER_VERSION "\(.*\)")/\1/p' "$build"/CMakeFiles/*/CMakeCUDACompiler.cmake)"
  echo "            sm_80                          sm_90"
  echo "registers stack spills shared | registers stack spills shared  file  kernel"
  entries | short_names | sort -u | awk '
    { key = $1; for (i = 7; i <= NF; ++i) key = key " " $i
      row[key, $2] = sprintf("%9d %5d %6d %6d", $3, $4, $5, $6)
      keys[key] }
    function cell(key, architecture) {
      return (key, architecture) in row ? row[key, architecture] : sprintf("%9s %5s %6s %6s", "-", "-", "-", "-")
    }
    END { for (key in keys) printf "%s | %s  %s\n", cell(key, "sm_80"), cell(key, "sm_90"), key }' | sort -k 10
}

if [[ -z $table ]]; then
  print_table
  exit
fi
now=$(mktemp)
trap 'rm -f "$now"' EXIT
print_table >"$now"
failed=0
if spills=$(awk 'NR > 3 && ($3 > 0 || $8 > 0)' "$now") && [[ -n $spills ]]; then
  printf 'kernels that spill registers:\n%s\n' "$spills"
  failed=1
fi
if [[ $(head -1 "$now") != $(head -1 "$table") ]]; then
  echo "kernels: $(($(wc -l <"$now") - 3)), none compared: the table is of $(head -1 "$table"), this is $(head -1 "$now")"
elif difference=$(diff "$table" "$now"); then
  echo "kernels: $(($(wc -l <"$now") - 3)), as in ${table#"$root"/}"
else
  printf '%s\nif that is as it should be:  tests/gpu/kernels.sh %s > %s\n' "$difference" "$build" "${table#"$root"/}"
  failed=1
fi
exit $failed
