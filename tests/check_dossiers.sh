#!/bin/sh
# check_dossiers.sh SOURCE TAPIR: every dossier comes out of its logs again, byte for byte, by the trial's file as it is and as it
# was at the commits whose builds made the runs: the criterion is older than they are. Of a trial that goes on there are logs alone.
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
  if [ -e "docs/dossiers/$name.md" ]; then
    cp -r "docs/dossiers/$name" "$work/again/$name"
    "$tapir" dossier "$1" --out "$work/again" >/dev/null && cmp "docs/dossiers/$name.md" "$work/again/$name.md"
  else
    "$tapir" dossier "$1" --runs "docs/dossiers/$name" --out "$work/again"
  fi && diff -r "docs/dossiers/$name" "$work/again/$name"
}

for folder in docs/dossiers/*/; do
  name=$(basename "$folder")
  trial=attention/reproduce/trials/$name.toml
  remade "$trial" || fail "$folder: the page, or a run, is not what the logs say"

  commits=$(cat $(find "docs/dossiers/$name" -name environment.jsonl) | sed -n 's/.*"commit":"\([^"]*\)".*/\1/p' | sort -u)
  for commit in $commits; do
    case $commit in *[!0-9a-f]*) fail "$folder: a run was made by $commit, no clean commit" ;; esac
    if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
      echo "skipped: dossiers: commit $commit, whose build made runs of $name, is not in this history"
      continue
    fi
    git merge-base --is-ancestor "$commit" HEAD || fail "$folder: $commit is not in the history of this commit"
    mkdir -p "$work/$commit"
    git archive "$commit" attention/reproduce | tar -x -C "$work/$commit"
    remade "$work/$commit/$trial" || fail "$folder: at $commit, by which runs were made, $trial asked something else"
  done

  # And one run under another criterion would be seen.
  facts=$(find "$work/again/$name" -name run.json | head -n 1)
  sed -i 's/"trial": "[0-9a-f]/"trial": "x/' "$facts"
  "$tapir" dossier "$trial" --runs "$work/again/$name" --out "$work/other" 2>/dev/null &&
    fail "$folder: a run under another criterion is not seen"
  rm -rf "$work/other"
done
