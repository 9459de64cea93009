#!/bin/sh
# check_dossiers.sh SOURCE TAPIR: every dossier comes out of its logs again, byte for byte, by the trial's file as it is and as it was
# at the commits whose builds made the runs: the criterion is older than they are.
set -eu
source=$1 tapir=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source"

fail() {
  echo "$1" >&2
  exit 1
}

# remade TRIAL: the dossier by that file, in a folder of its own
remade() {
  rm -rf "$work/again"
  mkdir -p "$work/again"
  cp -r "docs/dossiers/$name" "$work/again/$name"
  "$tapir" dossier "$1" --out "$work/again" >/dev/null || return 1
  cmp "docs/dossiers/$name.md" "$work/again/$name.md" && diff -r "docs/dossiers/$name" "$work/again/$name"
}

for page in docs/dossiers/*.md; do
  name=$(basename "$page" .md)
  [ "$name" = README ] && continue
  trial=attention/reproduce/trials/$name.toml
  remade "$trial" || fail "$page is not what its logs say"

  commits=$(cat $(find "docs/dossiers/$name" -name environment.jsonl) | sed -n 's/.*"commit":"\([^"]*\)".*/\1/p' | sort -u)
  for commit in $commits; do
    case $commit in *[!0-9a-f]*) fail "$page: a run was made by $commit, no clean commit" ;; esac
    if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
      echo "skipped: dossiers: commit $commit, whose build made runs of $name, is not in this history"
      continue
    fi
    git merge-base --is-ancestor "$commit" HEAD || fail "$page: $commit is not in the history of this commit"
    mkdir -p "$work/$commit"
    git archive "$commit" attention/reproduce | tar -x -C "$work/$commit"
    remade "$work/$commit/$trial" || fail "$page: at $commit, by which runs were made, $trial asked something else"
  done

  # And one run under another criterion would be seen.
  facts=$(find "$work/again/$name" -name run.json | head -n 1)
  sed -i 's/"trial": "[0-9a-f]/"trial": "x/' "$facts"
  if "$tapir" dossier "$trial" --out "$work/again" 2>/dev/null; then fail "$page: a run under another criterion is not seen"; fi
done
