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

# The program that adds a mechanism and a task has the commands.
program=$work/build/program
cd "$work"
says() { "$@" 2>&1 | tee "$work/log" | grep -q -e "$words" || { echo "check_package: '$*' does not say '$words':"; cat "$work/log"; exit 1; }; }
words='^unscaled   Unscaled dot product' says "$program" zoo
words='^holds  unscaled       streaming' says "$program" check unscaled
words='^validation_loss 0\.0' says "$program" train consumer/count.toml --out count
words='count .*unscaled .*count: task count, part valid, numbers 6, per token' says sh -c "'$program' eval count | tr '\n' ' '"
words='FLOPs/token' says "$program" summary consumer/count.toml
words='numbers = .*; of count' says "$program" config task
words='dot_product' says "$program" compare consumer/count.toml --attention unscaled,dot_product --seeds 2 --set train.steps=5 --out both
words='1 run' says "$program" report count --out page.html
words='took' says "$program" train "$work/installed/share/tapir/experiments/quickstart-dot-product.toml" --out words \
  --set attention.mechanism=unscaled --set train.steps=20 --set train.evaluate_every=0 --set data.train_tokens=5000
words='tokens/s' says "$program" generate words --prompt "The captain" --tokens 5
words="has learned the task 'count', not a text" says sh -c "'$program' generate count || true"
cd "$source"

# Whoever wants the library alone needs no doctest.
run cmake -S "$source" -B "$work/library" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DBUILD_TESTING=OFF \
  -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON
if cmake --build "$work/library" --target help | grep -q tests; then
  echo "check_package: BUILD_TESTING=OFF builds tests"
  exit 1
fi

for experiment in "$work"/installed/share/tapir/experiments/quickstart-*.toml; do
  [ -e "$experiment" ] || { echo "check_package: no experiment is installed"; exit 1; }
done
if grep -rlE "(^|[^[:alnum:]_./-])$source(/|$)" "$work/installed/lib" "$work/installed/include" --include=*.cmake --include=*.h; then
  echo "check_package: these files name the folder of the sources"
  exit 1
fi
echo "check_package: two programs were built against the installed library, one of them adds a mechanism and a task"
