#!/bin/sh
# Installs what was built, builds tests/consumer against that alone, and runs it: what find_package(tapir) promises.
# Usage: check_package.sh SOURCE_ROOT BUILD_ROOT COMPILER
set -eu
source=$1 build=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() { "$@" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }; }
run cmake --install "$build" --prefix "$work/installed"
cp -r "$source/tests/consumer" "$work/consumer"
run cmake -S "$work/consumer" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$work/installed"
run cmake --build "$work/build"

expected="[2, 4, 6] f64[3]
passed
Vaswani et al. 2017, arXiv 1706.03762"
printed=$("$work/build/consumer")
if [ "$printed" != "$expected" ]; then
  printf 'check_package: expected\n%s\nfound\n%s\n' "$expected" "$printed"
  exit 1
fi
run "$work/installed/bin/tapir" zoo
for experiment in "$work"/installed/share/tapir/experiments/quickstart-*.toml; do
  [ -e "$experiment" ] || { echo "check_package: no experiment is installed"; exit 1; }
done
if grep -rlE "(^|[^[:alnum:]_./-])$source(/|$)" "$work/installed/lib" "$work/installed/include" --include=*.cmake --include=*.h; then
  echo "check_package: these files name the folder of the sources"
  exit 1
fi
echo "check_package: a program of 20 lines was built against the installed library"
