#!/bin/bash
# ./dev attack: attacks the server and judges whether others notice.
#   run.sh BUILD_DIR PYTHON [ARGUMENTS OF attack.py]
#   run.sh BUILD_DIR PYTHON --chaos CALLS [SEED]
#   run.sh BUILD_DIR PYTHON --soak HOURS
set -euo pipefail
cd "$(dirname "$0")"
build=$1 python=$2; shift 2
export PYTHONDONTWRITEBYTECODE=1
case ${1:-} in
  --chaos) shift; exec "$build/tests/chaos" "$build/longspan-server" ../fixtures "$@" ;;
  --soak) shift; exec "$python" soak.py --build "$build" --hours "${1:-2}" "${@:2}" ;;
esac
status=0
"$python" attack.py --build "$build" "$@" || status=$?
case " $* " in *" --cheap "* | *" --list "* | *" --no-results "* | *" --out "* | *" --help "*) ;; *) python3 attack_tables.py ;; esac
exit $status
