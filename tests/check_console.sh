#!/usr/bin/env bash
# The ```console and ```sh blocks of a page work: run in their order, in one folder of the page's own, every command exits
# with 0. One line per fault, exit status 1 if there is one.
#
#   ```console                 "$ COMMAND", which goes on where its line ends with "\"; other lines are what it prints
#   ```sh                      one command, all of it
#   <!-- not run: REASON -->   directly above a block that is left out, for one of the reasons below
#   <!-- first: COMMAND -->    is run and not shown: what a reader has at hand
#
# A command is run as it stands, and a training has all of its steps. It would take minutes, so the experiments in the folder,
# copies of the repository's, have models and batches of the smallest sizes.
#
# Usage: check_console.sh SOURCE_ROOT BUILD_ROOT TAPIR PAGE
set -euo pipefail
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}   # pages run side by side: threads that wait had better not spin
root=$1 build=$2 tapir=$3 page=$4
reasons="long, needs data, needs a GPU, needs PyTorch, installs packages, interactive"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$root"
mkdir -p "$work"/{bin,commands,page/attention/reproduce}
ln -s "$tapir" "$work/bin/tapir"
ln -s "$build" "$work/page/build"
cp -r attention/reproduce/{experiments,trials} "$work/page/attention/reproduce"
sed -i -E 's/^(context|width) = [0-9]+$/\1 = 24/; s/^(layers|heads|batch) = [0-9]+$/\1 = 1/' \
  "$work"/page/attention/reproduce/*/*.toml

# Commands, one file each, named by its line.
awk -v page="$page" -v commands="$work/commands" -v reasons="$reasons" '
  function fault(line, what) { print page ":" line ": " what }
  function add(line, text) {
    ++count
    file = sprintf("%s/%06d", commands, line)
    if (!left_out) print text >> file
    close(file)
  }
  function above_nothing() { if (marker) fault(marker, "\"not run\" is not directly above a block of commands") }
  inside && /^```/ {
    if (language == "sh" && block) add(begin, block)
    if (language ~ /^(console|sh)$/ && !count) fault(begin, "a block without a command")
    inside = left_out = 0
    next
  }
  inside {
    block = block $0 "\n"
    if (language != "console") next
    if (continued) add(line, $0)
    else if (sub(/^\$ /, "")) add(line = NR, $0)
    else next
    continued = /\\$/
    next
  }
  /^```/ {
    inside = 1
    begin = NR
    language = substr($0, 4)
    block = ""
    count = continued = 0
    if (language ~ /^(console|sh)$/) {
      left_out = marker
      marker = 0
    }
  }
  { above_nothing(); marker = 0 }
  /^<!-- first: .+ -->$/ { add(NR, substr($0, 13, length - 16)) }
  /^<!-- not run: .+ -->$/ {
    marker = NR
    reason = substr($0, 15, length - 18)
    if (!index(", " reasons ", ", ", " reason ", ")) fault(NR, "\"" reason "\" is no reason; reasons: " reasons)
  }
  END {
    above_nothing()
    if (inside) fault(begin, "the block has no end")
  }' "$page" >"$work/faults"

for command in "$work"/commands/*; do
  [[ -e $command ]] || continue
  (cd "$work/page" && HOME=$work/page PATH=$work/bin:$PATH bash -eo pipefail "$command") </dev/null >"$work/said" 2>&1 ||
    echo "$page:$((10#${command##*/})): exit status $?: $(tail -n 1 "$work/said")" >>"$work/faults"
done

cat "$work/faults"
[[ ! -s $work/faults ]]
