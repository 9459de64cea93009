# shellcheck shell=bash
# The parts of run.sh. Each prints what it does, leaves tables in $results/PART.md and objects, one in a line, in
# $results/PART.jsonl, and returns 0 passed, 77 skipped, else failed.
export PATH=$PATH:/usr/local/cuda/bin
build=build-gpu
results=$build/report
tests=$build/tests/tapir_tests
[[ ! -e bundle/env ]] || source bundle/env

# Sets name, driver, memory and architecture (90 for Hopper), toolkit and commit.
find_device() {
  local line
  line=$(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader 2>&1 | head -1)
  if [[ $line != *,*,*,* ]]; then
    echo "check --gpu: there is no NVIDIA GPU here (nvidia-smi: ${line##*: })" >&2
    return 1
  fi
  IFS=, read -r name driver memory architecture <<<"${line//, /,}"
  architecture=${architecture//[. ]/}
  toolkit=$(nvcc --version | sed -n 's/.*release.* V//p')
  commit=$(git describe --always --dirty 2>/dev/null || cat bundle/commit 2>/dev/null || echo unknown)
  echo "$name, driver $driver, $memory; nvcc $toolkit; tapir $commit"
}

part_build() {   # with a compiler that may be newer than those we know, and warn of more
  find_device &&
    cmake --preset cuda -B $build -DCMAKE_CUDA_ARCHITECTURES="$architecture-real" -DTAPIR_WERROR=OFF &&
    cmake --build $build --parallel "$(nproc)" --target tapir_tests tapir_cli tapir_gpu_bench tapir_gpu_worker
}

# The suite on the device. A test is a file of it.
part_tests() {
  DEVICE=cuda ctest --test-dir $build --parallel 8 --timeout 80 --output-on-failure \
    --exclude-regex '^(docs_.*|package|vectorised)$' | tee $results/ctest
  local status=${PIPESTATUS[0]}
  test_lines <$results/ctest >$results/tests.tsv
  awk -F'\t' '{ printf "{\"test\": \"%s\", \"result\": \"%s\", \"seconds\": %s}\n", $1, $2, $3 }' \
    $results/tests.tsv >$results/tests.jsonl
  {
    echo "$(grep -c Passed $results/tests.tsv) of $(wc -l <$results/tests.tsv) test files passed with DEVICE=cuda."
    awk -F'\t' '$2 != "Passed" { printf "%s* %s: %s", NR > 1 ? "\n" : "", $1, $2 }' $results/tests.tsv
    echo
  } >$results/tests.md
  return "$status"
}

# ctest's lines "3/50 Test #12: sweep ....   Passed   12.34 sec" as name, result, seconds.
test_lines() {
  sed -nE 's|^ *[0-9]+/[0-9]+ Test +#[0-9]+: ([^ ]+) \.*[ *]*([A-Za-z ():]*[A-Za-z)]) +([0-9.]+) sec.*|\1\t\2\t\3|p'
}

# compute-sanitizer's tools side by side over a few files: tiled kernels, ops, mechanisms. A tool that runs
# out of time without having found anything says so. Poison writes to all memory, and would leave initcheck nothing to find.
part_sanitizer() {
  local sanitizer tool status result failed=0 fine=0
  local -A process
  local files='*test_blocks.cc,*test_fused_attention.cc,*test_devices.cc,*test_mechanisms.cc'
  files+=',*test_score_mlp.cc,*test_additive.cc,*test_expressive.cc'
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/compute-sanitizer/compute-sanitizer 2>/dev/null) || {
    echo "compute-sanitizer is not here" | tee $results/sanitizer.md
    return 77
  }
  echo "| tool | result |" >$results/sanitizer.md
  echo "|---|---|" >>$results/sanitizer.md
  for tool in memcheck racecheck initcheck synccheck; do
    [[ $tool == initcheck ]] && export POISON=off || unset POISON
    DEVICE=cuda timeout --kill-after=3 45 "$sanitizer" --tool $tool --error-exitcode 99 $tests \
      --source-file="$files" --test-case-exclude='*: keeps its claims*' --no-intro >$results/$tool.txt 2>&1 &
    process[$tool]=$!
  done
  for tool in memcheck racecheck initcheck synccheck; do
    wait "${process[$tool]}"
    status=$?
    tail -5 $results/$tool.txt
    case $(sanitizer_result $status $results/$tool.txt) in
      clean) result="no error" fine=1 ;;
      unfinished) result="no error in 45 s; not finished" fine=1 ;;
      unsupported) result="does not work here: $(grep -m1 -iE 'not supported|error 999' $results/$tool.txt | tr '|' ' ')" ;;
      *) result="errors: $tool.txt" failed=1 ;;
    esac
    echo "| $tool | $result |" >>$results/sanitizer.md
    printf '{"tool": "%s", "result": "%s"}\n' $tool "${result//[\"\\]/}" >>$results/sanitizer.jsonl
  done
  [[ $failed == 0 ]] || return 1
  [[ $fine == 1 ]] || return 77
}

# clean, unfinished, unsupported or errors, from an exit status and what was said. That a target was stopped is no error.
sanitizer_result() {
  if grep -qiE 'device not supported|not supported on this|LibraryNotLoaded' "$2"; then echo unsupported
  elif grep -v "process didn't terminate successfully" "$2" |
    grep -qE '========= (Invalid|Uninitialized|Error|Race|Barrier|Program hit|Warning: Race)'; then echo errors
  elif [[ $1 == 0 ]]; then echo clean
  elif [[ $1 == 124 || $1 == 137 ]]; then echo unfinished
  else echo errors; fi
}

part_benchmark() {
  $build/tests/tapir_gpu_bench cuda 16 $((seconds[benchmark] - 15)) $results/benchmark.jsonl | tee $results/benchmark.md
  return "${PIPESTATUS[0]}"
}

# PyTorch's step and ours in turn, where this machine has PyTorch.
part_peers() {
  command -v python3 >/dev/null || { echo "python3 is not here" | tee $results/peers.md; return 77; }
  python3 -u tests/gpu/peers.py --tapir $build/tests/tapir_gpu_worker --lines $results/peers.jsonl | tee $results/peers.md
  return "${PIPESTATUS[0]}"
}

# Short trainings on both devices; the greatest relative difference of their logged losses is at most 1e-5.
part_reproductions() {
  local experiment device process processes=() failed=0
  echo "| experiment | device | steps | last loss | largest relative difference |" >$results/reproductions.md
  echo "|---|---|---|---|---|" >>$results/reproductions.md
  for experiment in quickstart-dot-product quickstart-score-mlp; do
    for device in cpu cuda; do
      $build/tapir train attention/reproduce/experiments/$experiment.toml --device $device --set train.steps=50 --set train.log_every=1 \
        --set train.evaluate_every=50 --set train.save_every=50 --out $results/$experiment-$device \
        >$results/$experiment-$device.txt 2>&1 &
      processes+=($!)
    done
  done
  for process in "${processes[@]}"; do wait "$process" || failed=1; done
  for experiment in quickstart-dot-product quickstart-score-mlp; do
    if ! compare_losses $experiment $results/$experiment-{cpu,cuda}/metrics.jsonl; then
      tail -3 $results/$experiment-{cpu,cuda}.txt
      failed=1
    fi
  done
  cat $results/reproductions.md
  return $failed
}

# compare_losses NAME CPU CUDA: rows of the table; fails beyond 1e-5, or without losses, or with other steps.
compare_losses() {
  local losses=() file
  for file in "$2" "$3"; do losses+=("$(sed -nE 's/^\{"step":([0-9]+),"loss":([^,]+),.*/\1 \2/p' "$file" 2>/dev/null)"); done
  paste -d' ' <(echo "${losses[0]}") <(echo "${losses[1]}") | awk -v name="$1" -v results=$results/reproductions '
    NF != 4 || $1 != $3 { broken = 1 }
    { difference = ($2 - $4) / $2; if (difference < 0) difference = -difference; if (difference > largest) largest = difference
      steps = $1; cpu = $2; cuda = $4 }
    END {
      if (broken) { print name ": no losses to compare"; exit 1 }
      printf "| %s | cpu | %d | %s | |\n| | cuda | %d | %s | %.2e |\n", name, steps, cpu, steps, cuda,
             largest >>(results ".md")
      printf "{\"experiment\": \"%s\", \"steps\": %d, " \
             "\"cpu_loss\": %s, \"cuda_loss\": %s, \"largest_relative_difference\": %.3e}\n", \
             name, steps, cpu, cuda, largest >>(results ".jsonl")
      exit largest > 1e-5
    }'
}

# The report of the parts so far.
write_report() {
  {
    printf '# tapir on a GPU\n\n| | |\n|---|---|\n| device | %s, %s |\n| driver | %s |\n| toolkit | nvcc %s |\n' \
      "$name" "$memory" "$driver" "$toolkit"
    printf '| commit | %s |\n\n' "$commit"
    printf '| part | result | seconds |\n|---|---|---|\n'
    awk -F'\t' '{ printf "| %s | %s | %d |\n", $1, $2, $3 }' $results/parts
    cut -f1 $results/parts | while read -r part; do
      if [[ -s $results/$part.md ]]; then printf '\n## %s\n\n' "$part"; cat "$results/$part.md"; fi
    done
  } >gpu-report.md
  {
    printf '{"device": "%s", "memory": "%s", "driver": "%s", "toolkit": "%s", "commit": "%s", "parts": [\n' \
      "$name" "$memory" "$driver" "$toolkit" "$commit"
    local part result time comma=
    while IFS=$'\t' read -r part result time; do
      printf '%s{"part": "%s", "result": "%s", "seconds": %d, "lines": [' "$comma" "$part" "$result" "$time"
      [[ ! -s $results/$part.jsonl ]] || sed '$!s/$/,/' "$results/$part.jsonl"
      printf ']}'
      comma=$',\n'
    done <$results/parts
    printf '\n]}\n'
  } >gpu-report.json
}
