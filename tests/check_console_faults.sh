#!/usr/bin/env bash
# What check_console.sh makes of pages with faults, and of one without.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
page=$work/page.md
failed=0
expect() {   # expect WHAT STATUS LINE...   of the page on standard input; lines without "page.md:"
  local what=$1 expected found status
  expected="status $2$(printf '\n%s' "${@:3}")"
  cat >"$page"
  found=$("$root/tests/check_console.sh" "$root" "$work" "$work/tapir" "$page" 2>&1)
  status=$?
  found=$(printf 'status %s\n%s' $status "${found//$page:/}")
  [[ $found == "$expected" ]] && return
  printf 'check_console_faults: %s: found\n%s\nexpected\n%s\n' "$what" "$found" "$expected"
  failed=1
}
printf '#!/bin/sh\necho "tapir $*" >>said\n' >"$work/tapir"
chmod +x "$work/tapir"

expect "a page without a fault" 0 <<'END'
<!-- first: echo "at hand" > text -->
```console
$ grep -q hand text
what it prints
$ tapir train attention/reproduce/experiments/text.toml \
    --set data.path=text
$ grep -q 'text.toml --set data.path=text$' said && test "$HOME" = "$PWD" && test -d build
```
```cpp
false
```
<!-- not run: long -->
```console
$ false
```
```sh
for file in text said; do
  test -s $file
done
```
END

expect "commands that fail" 1 \
  "2: exit status 1: " "3: exit status 3: the reason" "5: exit status 1: " "8: exit status 1: " <<'END'
```console
$ false
$ echo "the reason" >&2; exit 3
$ true
$ false | true
```
<!-- first: true -->
```sh
false
true
```
END

reasons="reasons: long, needs data, needs a GPU, needs PyTorch, installs packages, interactive"
expect "a wrong reason" 1 "1: \"slow\" is no reason; $reasons" "5: \"lon\" is no reason; $reasons" <<'END'
<!-- not run: slow -->
```console
$ true
```
<!-- not run: lon -->
```sh
true
```
END

expect "a block without a mark" 1 "6: exit status 1: " <<'END'
<!-- not run: long -->
```console
$ true
```
```console
$ false
```
END

expect "a mark that is not directly above" 1 '1: "not run" is not directly above a block of commands' \
  '6: "not run" is not directly above a block of commands' '10: "not run" is not directly above a block of commands' \
  "4: exit status 1: " <<'END'
<!-- not run: long -->

```console
$ false
```
<!-- not run: long -->
```cpp
int main() {}
```
<!-- not run: long -->
END

expect "blocks without a command, or without an end" 1 "1: a block without a command" "4: a block without a command" \
  "6: the block has no end" <<'END'
```console
tapir zoo
```
```sh
```
```sh
true
END

expect "a hidden command that fails" 1 "1: exit status 1: " <<'END'
<!-- first: false -->
END
exit $failed
