#!/bin/bash
# ./dev cluster-test: tries the deployment with real programs (cluster.py).
#   run.sh BUILD_DIR PYTHON [ARGUMENTS OF cluster.py]
# All runs in network and process namespaces of its own: addresses and ports are free there, nothing
# is seen outside, and when this script ends, however it ends, the kernel ends every process of it.
set -euo pipefail
cd "$(dirname "$0")"
build=$1 python=$2; shift 2
user=(); [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
export PYTHONDONTWRITEBYTECODE=1
exec unshare "${user[@]}" --net --pid --fork --mount --mount-proc --kill-child bash -c 'ip link set lo up && exec "$@"' - \
  "$python" cluster.py --build "$build" "$@"
