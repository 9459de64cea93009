#!/bin/sh
# Writes every complete program of the pages (a ```cpp block with a main function that quotes no file) as OUT/PAGE-N.cc, and the ```output
# block that follows it as OUT/PAGE-N.expected. A file that does not change keeps its time: nothing is built again.
# Usage: extract_snippets.sh SOURCE_ROOT OUT PAGE...      (pages relative to SOURCE_ROOT)
set -eu
root=$1
out=$2
shift 2
mkdir -p "$out"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

for page; do
  awk -v prefix="$fresh/$(echo "${page%.md}" | tr / -)" '
    /^```/ && !inside { inside = 1; language = substr($0, 4); block = ""; next }
    /^```/ {
      inside = 0
      if (language == "cpp" && block ~ /int main\(/ && block !~ /^\/\/ from /) printf "%s", block > (program = prefix "-" ++count ".cc")
      if (language == "output" && count) printf "%s", block > (prefix "-" count ".expected")
      next
    }
    inside { block = block $0 "\n" }' "$root/$page"
done

for old in "$out"/*.cc "$out"/*.expected; do
  [ -e "$fresh/${old##*/}" ] || rm -f "$old"
done
for new in "$fresh"/*; do
  [ -e "$new" ] || continue
  cmp -s "$new" "$out/${new##*/}" || cp "$new" "$out/"
done
