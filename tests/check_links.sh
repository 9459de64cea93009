#!/bin/sh
# What the pages refer to exists: files and headings that they link to, and files that they name in `code`.
# One line per fault, exit status 1 if there is one. Addresses with a scheme (https://…) are not looked at.
# Usage: check_links.sh SOURCE_ROOT PAGE...
set -eu
cd "$1"
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: > "$work/faults"

# The anchors of a page, as GitHub makes them of headings: lower case, no punctuation, "-" for spaces, "-1" for the second.
anchors() {
  awk '
    /^```/ { inside = !inside }
    /^#+ / && !inside {
      sub(/^#+ +/, "")
      gsub(/`/, "")
      while (match($0, /\[[^]]*\]\([^)]*\)/)) {   # a link is its text
        link = substr($0, RSTART, RLENGTH)
        sub(/\]\(.*/, "", link)
        $0 = substr($0, 1, RSTART - 1) substr(link, 2) substr($0, RSTART + RLENGTH)
      }
      anchor = tolower($0)
      gsub(/[^a-z0-9 _-]/, "", anchor)
      gsub(/ /, "-", anchor)
      print anchor (seen[anchor]++ ? "-" seen[anchor] - 1 : "")
    }' "$1"
}

for page; do
  # LINE link TARGET, and LINE file PATH
  awk '
    /^```/ { inside = !inside; next }
    inside { next }
    {
      text = $0
      while (match(text, /`[^`]+`/)) {
        code = substr(text, RSTART + 1, RLENGTH - 2)
        if (code ~ /^(tensor|autograd|nn|attention|datasets|tests|docs)\/[A-Za-z0-9_.\/-]*$/) print NR, "file", code
        text = substr(text, 1, RSTART - 1) " " substr(text, RSTART + RLENGTH)
      }
      while (match(text, /\]\([^)]*\)|src="[^"]*"|href="[^"]*"/)) {
        target = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        gsub(/^\]\(|\)$|^(src|href)="|"$| "[^"]*"\)?$/, "", target)
        print NR, "link", target
      }
    }' "$page" > "$work/references"
  while read -r line kind target; do
    case $kind$target in
      file*) [ -e "$target" ] || echo "$page:$line: there is no $target" ;;
      link*://* | linkmailto:*) ;;
      *)
        path=${target%%#*}
        file=$page
        [ -z "$path" ] || file=$(dirname "$page")/$path
        case $path in
          /*) echo "$page:$line: a link must be relative: $target" ;;
          *)
            if [ ! -e "$file" ]; then
              echo "$page:$line: there is no $target"
            elif [ "$path" != "$target" ] && ! anchors "$file" | grep -qxF -e "${target#*#}"; then
              echo "$page:$line: $file has no heading #${target#*#}"
            fi ;;
        esac ;;
    esac
  done < "$work/references" >> "$work/faults"
done

cat "$work/faults"
[ ! -s "$work/faults" ]
