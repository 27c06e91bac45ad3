#!/bin/bash
# run.sh OUT_DIR BUILD_DIR [SECONDS [TARGET...]]: the targets (*_fuzz.cc, all by default) under
# libFuzzer with address and undefined-behaviour sanitizers (clang 16), from the corpus in the tree,
# 60 s each by default. BUILD_DIR holds the C++ that protoc made of our contract, the tokenizers
# crate and our libraries (longspan_server_lib). New inputs go to OUT_DIR/corpus; a find ends the
# run and stays as OUT_DIR/crash-*.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); root=$here/../..
usage="run.sh OUT_DIR BUILD_DIR [SECONDS [TARGET...]]"
out=${1:?$usage} build=${2:?$usage} seconds=${3:-60}
shift $(($# < 3 ? $# : 3))
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: SECONDS is '$seconds'; allowed: a whole number above 0" >&2; exit 2; }
mkdir -p "$out"
out=$(cd "$out" && pwd)
proto=$build/proto

# The sources of each target: what is to be explored. Only they are compiled for that and with the
# sanitizers; what else they need comes out of our libraries as they are, or of the system's.
json="core/checkpoint/json_file.cc core/checkpoint/json_reader.cc core/checkpoint/known_keys.cc
 core/checkpoint/config_keys.cc core/checkpoint/sentence_keys.cc core/checkpoint/tokenizer_keys.cc
 core/checkpoint/python_json.cc core/checkpoint/bounded_file.cc"
weights="core/weights/safetensors_header.cc core/weights/safetensors_reader.cc core/weights/mapped_file.cc
 core/weights/safetensors_writer.cc core/weights/float_conversion.cc"
folder="core/checkpoint/model_folder.cc core/checkpoint/sentence_layout.cc core/model_info.cc $json"
tokenizer="core/tokenizer/cut_rules.cc core/tokenizer/text_chunks.cc core/tokenizer/tokenizer.cc
 core/tokenizer/tokenizer_arguments.cc
 core/tokenizer/tokenizer_class.cc core/tokenizer/tokenizer_folder.cc core/tokenizer/tokenizer_json.cc
 core/tokenizer/vocabulary_files.cc core/checkpoint/sentence_layout.cc core/model_info.cc $json"
messages="$proto/longspan/v1/encoder.pb.cc $proto/google/rpc/status.pb.cc"
decoder="server/wire/request_decoder.cc server/wire/input_decoder.cc server/wire/enums.cc
 core/error_details.cc core/model_info.cc $messages"
documents="server/wire/document_decoder.cc server/wire/put_decoder.cc server/wire/search_decoder.cc
 server/wire/wire_limits.cc server/collections/collection_name.cc"
text="server/text/abbreviations.cc server/text/block_tags.cc server/text/kept_tokens.cc server/text/paragraphs.cc
 server/text/sentence_block.cc server/text/sentences.cc server/text/span_sizes.cc server/text/text_preparation.cc server/text/text_segments.cc
 server/text/token_layout.cc server/text/truncation.cc server/text/wanted_spans.cc core/global_positions.cc
 core/error_details.cc"
declare -A sources=(
  [safetensors]="$weights" [model_folder]="$weights $folder" [json]="$json" [input_decoder]="$decoder $documents"
  [tokenizer_file]="$tokenizer" [tokenizer_text]="$tokenizer"
  [server_options]="server/server_options.cc server/settings/config_file.cc core/model_info.cc"
  [spans]="$text" [request_cost]="$text $decoder server/batching/admission.cc server/batching/clock.cc
   server/batching/encode_task.cc server/batching/lanes.cc server/text/prepared_text.cc"
  [key_ring]="server/rpc/key_ring.cc"
  [json_body]="server/rest/json_documents.cc server/rest/json_fields.cc server/rest/json_message.cc server/rest/json_value.cc $messages"
  [http_request]="server/http/request_head.cc server/http/request_reader.cc server/http/request_screen.cc" [address]="" [caller_metadata]="")
ours="$build/server/liblongspan_server_lib.a $build/server/liblongspan_engine.a $build/core/liblongspan_core.a
 $build/tokenizers/liblongspan_tokenizers.a"
flags=$(pkg-config --cflags --libs absl_flat_hash_set absl_status absl_statusor absl_strings absl_cleanup absl_cord absl_time absl_synchronization protobuf libcrypto icu-uc)

sorted() { printf '%s\n' "$@" | sort -u; }   # each file once
all=$(cd "$here" && printf '%s\n' *_fuzz.cc | sed 's/_fuzz\.cc$//')
targets=${*:-$all}
for target in $targets; do
  [ -f "$here/${target}_fuzz.cc" ] || { echo "fuzz: no target '$target'; allowed:" $all >&2; exit 2; }
done
for target in $targets; do
  echo "==> building ${target}_fuzz"
  (cd "$root" && clang++-16 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -DLONGSPAN_FIXTURES="\"$root/tests/fixtures\"" -DLONGSPAN_VERSION='"fuzz"' -I. -Itests/fuzz -isystem "$proto" \
    $(sorted ${sources[$target]?"fuzz: $target has no line of sources in $0"}) "tests/fuzz/${target}_fuzz.cc" $ours -o "$out/${target}_fuzz" $flags -lpthread -ldl)
  mkdir -p "$out/corpus/$target"
  echo "==> ${target}_fuzz for $seconds s"
  (cd "$out" && "./${target}_fuzz" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="crash-$target-" "corpus/$target" "$here/corpus/$target" 2>"$out/$target.log") || { tail -40 "$out/$target.log"; exit 1; }
  grep -E 'stat::number_of_executed_units|DONE' "$out/$target.log"
done
