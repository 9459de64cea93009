#!/bin/sh
# The thread sanitizer sees what OpenMP orders only through LLVM's tool archer. This proves that it works here: a loop
# without a race must pass, and a loop with one must be found. Otherwise the ring could be green because it is blind.
# Usage: check_races.sh CLANG++ LIBARCHER
set -eu
compiler=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_TOOL_LIBRARIES="$2" TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=66"

cat > "$work/loop.cc" <<'END'
#include <cstdio>
#include <vector>
int main() {
  std::vector<long> squares(1000);
  long sum = 0;
  for (int again = 0; again < 50; ++again) {
#pragma omp parallel for num_threads(2)
    for (long i = 0; i < 1000; ++i) squares[i] += i * i;
#pragma omp parallel for num_threads(2) REDUCTION
    for (long i = 0; i < 1000; ++i) sum += squares[999 - i];
  }
  std::printf("%ld\n", sum);
}
END
build() {
  "$compiler" -Wall -g -O1 -fopenmp -fsanitize=thread "-DREDUCTION=$1" "$work/loop.cc" -o "$work/loop"
}

build 'reduction(+ : sum)'
"$work/loop" > "$work/report" 2>&1 || {
  echo "check_races: an ordered loop is taken for a race"
  cat "$work/report"
  exit 1
}
build ''
status=0
"$work/loop" > "$work/report" 2>&1 || status=$?
if [ $status -ne 66 ] || ! grep -q 'data race' "$work/report"; then
  echo "check_races: a race was not found"
  exit 1
fi
echo "check_races: a race is found, an ordered loop is not taken for one"
