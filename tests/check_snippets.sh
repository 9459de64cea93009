#!/bin/sh
# What the pages show is true. One line per fault, exit status 1 if there is one.
#
#   ```cpp, ```toml, ```cmake   a complete program, or a quotation: its first line is "// from FILE" ("# from FILE"), the others stand
#                     in FILE one after the other; indentation and empty lines do not matter, a line "// …" stands for any
#   ```output         what the program above it prints
#   ```console        "$ tapir COMMAND …": the command, its options and its .toml files exist; "$ ./NAME": an executable
#   ```sh             the same, without "$ "
#   ```               plain text, not checked
#
# Usage: check_snippets.sh SOURCE_ROOT SNIPPETS TAPIR PAGE...      SNIPPETS: folder with the built programs, see docs.cmake
set -eu
root=$1
snippets=$(cd "$2" && pwd)
tapir=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: > "$work/faults"

cd "$root"
for page; do
  # Quotations, one file each: page:line, FILE, then the lines. Commands: page:line, then the command.
  awk -v page="$page" -v work="$work" '
    function fault(line, what) { print page ":" line ": " what >> (work "/faults") }
    /^ +```/ { fault(NR, "a fence must begin its line") }
    /^```/ && !inside { inside = 1; language = substr($0, 4); begin = NR; count = main = 0; next }
    /^```/ {
      inside = 0
      if (language ~ /^(output|console|sh|)$/) next
      if (language !~ /^(cpp|toml|cmake)$/) { fault(begin, "the kind of block \"" language "\" is not known"); next }
      if (main && line[1] !~ /^(\/\/|#) from /) next
      if (line[1] !~ /^(\/\/|#) from [^ ]+$/) { fault(begin, "neither a program nor a quotation"); next }
      sub(/^(\/\/|#) from /, "", line[1])
      file = work "/quote-" begin
      print page ":" begin > file
      for (i = 1; i <= count; ++i) print line[i] > file
      close(file)
      next
    }
    inside {
      line[++count] = $0
      if ($0 ~ /int main\(/) main = 1
      if (language == "console" || language == "sh") {
        if (continued) command = command " " $0
        else if (language == "sh" || sub(/^\$ /, "")) command = page ":" NR " " $0
        else next
        continued = sub(/ *\\$/, "", command)
        if (!continued) print command >> (work "/commands")
      }
    }' "$page"

  for quote in "$work"/quote-*; do
    [ -e "$quote" ] || continue
    source=$(sed -n 2p "$quote")
    if [ ! -f "$source" ]; then
      echo "$(sed -n 1p "$quote"): there is no file $source" >> "$work/faults"
    else
      awk '
        function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
        # How many lines from quoted[first] on, before quoted[last], stand in the source at line `at`.
        function matching(first, last, at,   n) {
          while (first + n < last && text[at + n] == quoted[first + n]) ++n
          return n + 0
        }
        FNR == NR && FNR == 1 { place = $0; next }
        FNR == NR && FNR == 2 { source = $0; next }
        trimmed($0) == "" { next }
        FNR == NR { quoted[++wanted] = trimmed($0); next }
        { text[++lines] = trimmed($0) }
        END {
          at = 1
          for (first = 1; first <= wanted; first = last + 1) {
            for (last = first; last <= wanted && quoted[last] !~ /^(\/\/|#) …$/; ++last) {}
            for (longest = n = 0; at <= lines; ++at) {
              n = matching(first, last, at)
              if (n > longest) longest = n
              if (n == last - first) break
            }
            if (n < last - first) { print place ": not so in " source ": " quoted[first + longest]; exit }
            at += n
          }
        }' "$quote" "$source" >> "$work/faults"
    fi
    rm "$quote"
  done
done

# Every program runs, in a folder of its own since it may write files, and prints what the page says.
mkdir "$work/run"
for program in "$snippets"/*.cc; do
  [ -e "$program" ] || continue
  built=${program%.cc}
  status=0
  (cd "$work/run" && "$built") > "$work/printed" 2>&1 || status=$?
  if [ $status -ne 0 ]; then
    echo "${built##*/}: exit status $status: $(tail -n 1 "$work/printed")" >> "$work/faults"
  elif [ -e "$built.expected" ] && ! diff "$built.expected" "$work/printed" > "$work/difference"; then
    echo "${built##*/}: does not print what the page shows ('<' the page, '>' the program):" >> "$work/faults"
    cat "$work/difference" >> "$work/faults"
  fi
done

[ ! -e "$work/commands" ] || while read -r place command; do
  while case $command in [A-Z]*=*) true ;; *) false ;; esac do command=${command#* }; done   # VARIABLE=value
  name=${command%% *}
  case $name in
    ./*) [ -x "$name" ] || echo "$place: there is no program $name" >> "$work/faults" ;;
    tapir)
      set -f
      set -- ${command#tapir}
      set +f
      level=$("$tapir" --help)   # of the command, or of the part of it that was read
      help=$level
      path=
      for word; do
        case $word in
          --*) echo "$help" | grep -q -e "${word%%=*}\b" || echo "$place: there is no option $word" >> "$work/faults" ;;
          *.toml) [ -f "$word" ] || echo "$place: there is no file $word" >> "$work/faults" ;;
          *)
            if echo "$level" | grep -q "^  $word  "; then
              path="$path $word"
              level=$("$tapir" $path --help)
              help="$help $level"
            elif echo "$level" | grep -q '^Subcommands:'; then
              echo "$place: tapir$path has no command $word" >> "$work/faults"
            fi ;;
        esac
      done ;;
  esac
done < "$work/commands"

cat "$work/faults"
[ ! -s "$work/faults" ]
