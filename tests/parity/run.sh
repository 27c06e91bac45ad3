#!/bin/bash
# ./dev parity: runs compare_transformers.py in the reference environment, or compare_folders.py or
# compare_tokenizer_files.py where the first argument after BUILD_DIR is "folders" or "tokenizers".
#   run.sh BUILD_DIR [folders|tokenizers] [ARGS]
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
if [ "${1:-}" = folders ]; then
  shift
  exec "$python" compare_folders.py --build "$build" "$@"
fi
exec "$python" compare_transformers.py --encoder "$build/tests/parity_encode" "$@"
