#!/bin/sh
# A compiler launcher: what the compiler says is kept beside its object, for kernels.sh to read, and shown if it fails.
for word; do
  [ "${before:-}" = -o ] && log=$word.log
  before=$word
done
[ -n "${log:-}" ] || exec "$@"
${CMAKE_CUDA_COMPILER_LAUNCHER:-} "$@" 2>"$log" && exit
status=$?
cat "$log" >&2
exit $status
