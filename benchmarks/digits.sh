#!/usr/bin/env bash
# The README's accuracy table: digits, LeNet-300-100, 100 epochs, 5 seeds. About five minutes on two
# cores. Finished runs are skipped, so it can be stopped and started again.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs-digits}
dsr=${DSR:-.venv/bin/dsr}
"$dsr" compare --methods dense,static,set,dsr --sparsity .9,.98,.99 \
  --distribution uniform,erdos-renyi-kernel --seeds 0-4 --out "$out"
cp "$out/compare.csv" benchmarks/results/digits.csv
cp "$out/compare.png" docs/compare.png
