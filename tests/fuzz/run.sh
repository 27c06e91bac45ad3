#!/bin/bash
# run.sh OUT_DIR PROTO_DIR [SECONDS]: each *_fuzz.cc under libFuzzer with address and
# undefined-behaviour sanitizers (clang 16), from the corpus in the tree, 60 s each by default.
# PROTO_DIR holds the C++ that protoc made of our contract (longspan_proto). New inputs go to
# OUT_DIR/corpus; a find ends the run and stays as OUT_DIR/crash-*.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); root=$here/../..
usage="run.sh OUT_DIR PROTO_DIR [SECONDS]"
out=${1:?$usage}; proto=${2:?$usage}; seconds=${3:-60}
mkdir -p "$out"

# The sources of each target. Only they are compiled with the sanitizers, not the libraries.
weights="core/weights/safetensors_header.cc core/weights/safetensors_reader.cc
 core/weights/safetensors_writer.cc core/weights/float_conversion.cc"
folder="core/checkpoint/model_folder.cc core/checkpoint/sentence_layout.cc
 core/checkpoint/json_file.cc core/checkpoint/json_reader.cc core/checkpoint/bounded_file.cc core/model_info.cc"
decoder="server/wire/request_decoder.cc server/wire/input_decoder.cc server/wire/enums.cc
 core/error_details.cc core/model_info.cc
 $proto/longspan/v1/encoder.pb.cc $proto/google/rpc/status.pb.cc"
declare -A sources=([safetensors]="$weights" [model_folder]="$weights $folder" [input_decoder]="$decoder")
declare -A packages=([input_decoder]="protobuf absl_cord absl_time")

for target in safetensors model_folder input_decoder; do
  echo "==> building ${target}_fuzz"
  libraries=$(pkg-config --cflags --libs absl_status absl_statusor absl_strings absl_cleanup ${packages[$target]:-})
  (cd "$root" && clang++-16 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -I. -isystem "$proto" ${sources[$target]} "tests/fuzz/${target}_fuzz.cc" -o "$out/${target}_fuzz" $libraries)
  mkdir -p "$out/corpus/$target"
  echo "==> ${target}_fuzz for $seconds s"
  (cd "$out" && "./${target}_fuzz" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    "corpus/$target" "$here/corpus/$target" 2>"$out/$target.log") || { tail -40 "$out/$target.log"; exit 1; }
  grep -E 'stat::number_of_executed_units|DONE' "$out/$target.log"
done
