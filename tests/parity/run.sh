#!/bin/bash
# ./dev parity: runs compare_transformers.py in the reference environment, or compare_folders.py,
# compare_tokenizer_files.py, compare_keys.py or compare_multi_vector.py where the first argument
# after BUILD_DIR is "folders", "tokenizers", "keys" or "multi-vector".
#   run.sh BUILD_DIR [folders|tokenizers|keys|multi-vector] [ARGS]
set -euo pipefail
cd "$(dirname "$0")"
build=$1; shift
# Two libraries take turns on the same cores: threads that wait must not spin.
export OMP_WAIT_POLICY=passive
python=$(bash environment.sh)
if [ "${1:-}" = tokenizers ]; then
  shift
  exec "$python" compare_tokenizer_files.py --driver "$build/tests/parity_tokenize" "$@"
fi
if [ "${1:-}" = folders ] || [ "${1:-}" = keys ] || [ "${1:-}" = multi-vector ]; then
  what=${1//-/_}; shift
  exec "$python" "compare_$what.py" --build "$build" "$@"
fi
exec "$python" compare_transformers.py --encoder "$build/tests/parity_encode" "$@"
