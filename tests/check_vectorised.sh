#!/bin/sh
# Loops over the scalar functions must compile to packed fused multiply-adds without calls, for AVX2 and for AVX-512:
# a function that stops vectorising is about ten times slower and fails no other test.
# Usage: check_vectorised.sh SOURCE_ROOT [COMPILER]. Exit status 1 and one line per loop that is not vectorised.
set -eu
root=$1
compiler=${2:-g++}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

functions="Exp Log Log1p Expm1 Tanh Sigmoid Softplus Gelu GeluTanh Silu Erf Sin Cos LogSigmoid Mish Elu Pow"
derivatives="Expm1 Softplus Gelu GeluTanh Silu Erf Sin Cos LogSigmoid Mish Elu Pow"   # the others need no fma
without_fma="Neg Sqrt Rsqrt Abs Square Reciprocal Relu LeakyRelu Clamp"
failed=0
for f in $(sed -nE 's/^struct ([A-Za-z0-9]+) .*/\1/p' "$root/tensor/scalar.h"); do
  case " $functions $without_fma " in *" $f "*) ;; *) echo "$f of tensor/scalar.h is in no list of $0"; failed=1 ;; esac
done
{
  echo '#include "tensor/scalar.h"'
  for type in float double; do
    arguments="(const $type* __restrict x, $type* __restrict y, long n, double p)"
    for f in $functions; do
      case $f in Elu|Pow) function="$f{p}";; *) function="$f{}";; esac
      echo "extern \"C\" void f_${f}_$type$arguments {"
      echo "  const tapir::scalar::$f s = tapir::scalar::$function;"
      echo "  for (long i = 0; i < n; ++i) y[i] = s.f(x[i]);"
      echo "}"
      case " $derivatives " in *" $f "*) ;; *) continue;; esac
      echo "extern \"C\" void df_${f}_$type$arguments {"
      echo "  const tapir::scalar::$f s = tapir::scalar::$function;"
      echo "  for (long i = 0; i < n; ++i) y[i] = s.df(x[i], y[i]);"
      echo "}"
    done
  done
} > "$build/loops.cc"

loops=$(($(echo $functions $derivatives | wc -w) * 2))
for machine in x86-64-v3 x86-64-v4; do
  "$compiler" -std=c++20 -O3 -march=$machine -ffp-contract=off -fno-trapping-math -fno-math-errno -I "$root" \
    -c "$build/loops.cc" -o "$build/loops.o"
  objdump -d --no-show-raw-insn "$build/loops.o" > "$build/loops.s"
  awk -v machine=$machine -v loops=$loops '
    function judge() {
      if (name != "" && (packed == 0 || calls > 0)) {
        printf "%s: %s is not vectorised: %d packed fma, %d calls\n", machine, name, packed, calls
        failed = 1
      }
    }
    /^[0-9a-f]+ <.*>:$/ { judge(); name = $2; packed = calls = 0; count++
                          suffix = name ~ /_float/ && name !~ /_Pow_/ ? "ps" : "pd" }   # pow of floats runs in double
    $2 ~ /^vfn?m(add|sub)[0-9]+p[sd]$/ && substr($2, length($2) - 1) == suffix && /%[yz]mm/ { packed++ }
    $2 ~ /^call/ || ($2 ~ /^jmp/ && $0 !~ /<d?f_/) { calls++ }
    END { judge(); print machine ": " count " of " loops " loops found"; exit failed || count != loops }
  ' "$build/loops.s" || failed=1
done
exit $failed
