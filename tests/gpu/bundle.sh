#!/usr/bin/env bash
# What tapir needs beside nvcc, cuBLAS, cuFFT, CMake, ninja and g++, for a machine that has no more than these and no network:
# Debian 12's packages, unpacked into a folder. Carry the tree with it there; `./check --gpu` uses the folder `bundle`, and any
# other build does after `source bundle/env`.
# Usage: bundle.sh DIR
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../.ci/packages"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bundle=$(realpath -m "$1")
# What the packages load, and what Debian has behind the names libopenblas-dev and pkg-config.
libraries=(libopenblas-pthread-dev libopenblas0-pthread libgfortran5 libquadmath0 libssl3 libfmt9 libpcre2-8-0 libarchive13
           libacl1 libicu72 liblz4-1 libnettle8 libxml2 zlib1g pkgconf-bin libpkgconf3)

rm -rf "$bundle"
mkdir -p "$bundle/downloads"
chmod a+rwx "$bundle/downloads"   # apt downloads as a user of its own
download=()
for package in "${packages[@]}"; do
  [[ " g++ cmake ninja-build pkg-config libopenblas-dev " == *" $package "* ]] || download+=("$package")
done
(cd "$bundle/downloads" && apt-get download -qq "${download[@]}" "${libraries[@]}")
for file in "$bundle"/downloads/*.deb; do dpkg -x "$file" "$bundle"; done

system=$bundle/usr/lib/x86_64-linux-gnu
cp -r "$bundle"/usr/include/x86_64-linux-gnu/openssl/. "$bundle/usr/include/openssl"   # a compiler looks there for /usr alone
mv "$bundle"/lib/x86_64-linux-gnu/libz.so.* "$system" && ln -sf libz.so.1 "$system/libz.so"   # Debian's leads to /lib
rm -f "$system"/*.a "$system"/openblas-pthread/{*.a,liblapack*,libblas*}   # the shared libraries are enough, and smaller
rm -rf "$bundle"/{downloads,etc} "$system"/{engines-3,ossl-modules} "$bundle"/usr/share/{doc,man,lintian,bug,doc-base}
cat >"$bundle/pkg-config" <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd) system=$here/usr/lib/x86_64-linux-gnu
PKG_CONFIG_SYSROOT_DIR=$here PKG_CONFIG_LIBDIR=$system/pkgconfig:$system/openblas-pthread/pkgconfig \
  LD_LIBRARY_PATH=$system exec "$here/usr/bin/pkgconf" "$@"
END
chmod +x "$bundle/pkg-config"
cat >"$bundle/env" <<'END'
# For builds with what lies here: `source bundle/env`. DT_RPATH also leads to what the libraries themselves load.
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
system=$bundle/usr/lib/x86_64-linux-gnu
export CMAKE_PREFIX_PATH=$bundle/usr PKG_CONFIG=$bundle/pkg-config
export LDFLAGS="-Wl,--disable-new-dtags,-rpath,$system,-rpath,$system/openblas-pthread"
END
git -C "$root" describe --always --dirty >"$bundle/commit" 2>/dev/null || echo unknown >"$bundle/commit"

tree=$(git -C "$root" ls-files -z | (cd "$root" && du -cm --files0-from=- 2>/dev/null) | tail -1 | cut -f1)
echo "$bundle: $(du -sm "$bundle" | cut -f1) MiB; the tree: $tree MiB"
