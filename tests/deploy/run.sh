#!/bin/bash
# ./dev deploy-test: everything about the deploy folder that needs no cluster.
#   run.sh TOOLS_BIN BUILD_DIR
# ctest runs the same, but for the image.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=$1 build=$2 failed=()
export PYTHONDONTWRITEBYTECODE=1

part() {  # part NAME COMMAND...
  local name=$1 began=$SECONDS; shift
  printf '==> %s\n' "$name"
  if "$@"; then printf '    %s: passed, %d s\n' "$name" $((SECONDS - began)); else failed+=("$name"); fi
}

model=$(cat "$build/embedded_model.path")
# ./dev cluster-test makes these; without them the objects of other operators are rendered, not
# checked against their schemas.
crds=
for made in "${LONGSPAN_CACHE:-$HOME/.cache/longspan}"/kube-*/.complete; do [ ! -f "$made" ] || crds=${made%/.complete}/crds; done
[ -n "$crds" ] || echo "no CustomResourceDefinitions (./dev cluster-test makes them): ServiceMonitor, PrometheusRule, ScaledObject and the routes are not checked against schemas"
part "derived files, kustomize, rules, Dockerfile" tests/deploy/deploy_test.sh "$PWD" "$tools"
part "chart: every pair of values, refusals" "$tools/python3" tests/deploy/chart_test.py "$PWD" ${crds:+"$crds"}
part "chart: settings against the server" "$tools/python3" tests/deploy/chart_settings_test.py "$PWD" "$build/longspan-server"
part "chart: fetching models" "$tools/python3" tests/deploy/fetch_model_test.py "$PWD"
part "chart: probes and the test's call on a server" "$tools/python3" tests/deploy/chart_live_test.py "$PWD" "$build" "$model"
if docker info >/dev/null 2>&1; then
  part "image" bash deploy/image.sh
else
  echo "==> image: skipped, no Docker engine answers"
fi
[ ${#failed[@]} = 0 ] || { printf 'deploy-test: failed: %s\n' "${failed[@]}"; exit 1; }
echo "deploy-test: all passed"
