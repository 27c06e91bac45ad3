#!/bin/bash
# ./dev quality: starts a server on the embedded model, measures, stops it, writes docs/quality.md.
#   run.sh BUILD_DIR PYTHON [ARGUMENTS OF quality.py]
# LONGSPAN_QUALITY_PEER=off leaves sentence-transformers out, which takes a download of 1.9 GB.
set -euo pipefail
cd "$(dirname "$0")"
build=$1 python=$2; shift 2
cache=${LONGSPAN_CACHE:-$HOME/.cache/longspan}/quality
model=$(cat "$build/embedded_model.path")
port=${LONGSPAN_QUALITY_PORT:-50971}
mkdir -p "$cache"
client=$(mktemp -d)
server=""
trap '[ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" || true; }; rm -rf "$client"' EXIT
"$python" -m pip install -q --no-index --no-deps --no-build-isolation --target "$client" ../../client/python
peer=()
[ "${LONGSPAN_QUALITY_PEER:-}" = off ] || peer=(--peer "$(bash ../bench/environment.sh)")
# The server refuses variables of this name that are no setting of its own.
env -u LONGSPAN_QUALITY_PEER -u LONGSPAN_QUALITY_PORT "$build/longspan-server" --model "$model" --dtype auto --listen "127.0.0.1:$port" --http off --max-collection-bytes 2GiB --drain-delay 0s --log-format text >"$cache/server.log" 2>&1 &
server=$!
tries=0
until "$build/longspan" health --server "127.0.0.1:$port" >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || { echo "quality: the server ended before it was healthy: $cache/server.log says why" >&2; exit 1; }
  [ $((++tries)) -lt 300 ] || { echo "quality: the server did not become healthy in a minute: $cache/server.log" >&2; exit 1; }
  sleep 0.2
done
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$client "$python" quality.py --server "127.0.0.1:$port" --cache "$cache" --model "$model" "${peer[@]}" "$@"
[ ! -f results/test.json ] || "$python" -B quality_tables.py
