#!/bin/bash
# run.sh BUILD_DIR [SECONDS]: each *_fuzz.cc under libFuzzer with address and undefined-behaviour
# sanitizers (clang 16), from the corpus in the tree. New inputs go to BUILD_DIR/corpus; a find ends
# the run and stays as BUILD_DIR/crash-*.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); root=$here/../..
out=${1:?run.sh BUILD_DIR [SECONDS]}; seconds=${2:-60}
mkdir -p "$out"
weights=$(echo core/weights/{safetensors_header,safetensors_reader,safetensors_writer,float_conversion}.cc)
folder=$(echo core/checkpoint/{model_folder,sentence_layout,bounded_file,json_file,json_reader}.cc core/model_info.cc)
for target in safetensors model_folder; do
  sources=$weights; [ $target = model_folder ] && sources="$weights $folder"
  echo "==> building ${target}_fuzz"
  (cd "$root" && clang++-16 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I. \
    $sources "tests/fuzz/${target}_fuzz.cc" -o "$out/${target}_fuzz" $(pkg-config --cflags --libs absl_status absl_statusor absl_strings absl_cleanup))
  mkdir -p "$out/corpus/$target"
  echo "==> ${target}_fuzz for $seconds s"
  (cd "$out" && "./${target}_fuzz" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    "corpus/$target" "$here/corpus/$target" 2>"$out/$target.log") || { tail -40 "$out/$target.log"; exit 1; }
  grep -E 'stat::number_of_executed_units|DONE' "$out/$target.log"
done
