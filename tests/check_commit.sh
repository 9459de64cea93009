#!/bin/sh
# What a build says of the commit that it is made from (cmake/commit.cmake): that of a checkout, and whether files of it have
# changed; "unknown" elsewhere. The header is written when this changes, and at no other time.
# Usage: check_commit.sh SOURCE_ROOT
set -eu
script=$1/cmake/commit.cmake
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_CEILING_DIRECTORIES=$work
git() { command git -C "$work/checkout" -c user.name=tapir -c user.email=tapir@example.org "$@"; }

says() {   # SOURCE WORDS
  cmake -DSOURCE="$1" -DHEADER="$work/commit.h" -P "$script"
  printf '#define TAPIR_COMMIT "%s"\n' "$2" | cmp -s - "$work/commit.h" ||
    { echo "check_commit: expected '$2' of $1, found"; cat "$work/commit.h"; exit 1; }
}

mkdir -p "$work/checkout/below"
says "$work/checkout" unknown
git init -q
says "$work/checkout" unknown   # nothing is committed yet
echo one > "$work/checkout/file"
git add file
git commit -qm one
commit=$(git rev-parse HEAD)
says "$work/checkout" "$commit"
says "$work/checkout/below" unknown   # another project, unpacked there
echo new > "$work/checkout/untracked"
says "$work/checkout" "$commit"
touch -d 2000-01-01 "$work/commit.h"
says "$work/checkout" "$commit"
[ "$(date -r "$work/commit.h" +%Y)" = 2000 ] ||
  { echo "check_commit: the header was written though nothing had changed"; exit 1; }
echo two > "$work/checkout/file"
says "$work/checkout" "$commit, with changes"
git commit -qam two
says "$work/checkout" "$(git rev-parse HEAD)"
echo "check_commit: a build knows its commit"
