#!/bin/bash
# ./dev job-test: longspan bulk on many machines, by real processes.
#   run.sh BUILD_DIR TOOLS_BIN RAY_BIN SPARK_BIN JOBTOOLS_BIN
# The Indexed Job over a volume and over an S3 server, the example for Ray Data and, where there is
# a Java, that for Spark.
set -euo pipefail
cd "$(dirname "$0")/../../.."
build=$1 tools=$2 ray=$3 spark=$4 job=$5 failed=()
export PYTHONDONTWRITEBYTECODE=1
programs=("$build/longspan" "$build/longspan-server" "$(cat "$build/embedded_model.path")")
# A letter is a token there and its model is tiny, so that Ray and Spark have most of the work.
tiny=tests/fixtures/reformer-mixed

part() {  # part NAME COMMAND...
  local name=$1 began=$SECONDS; shift
  printf '==> %s\n' "$name"
  if "$@"; then printf '    %s: passed, %d s\n' "$name" $((SECONDS - began)); else failed+=("$name"); fi
}

part "Job: YAML" tests/deploy/job/yaml_test.sh "$PWD" "$tools"
part "Job: volume" "$tools/python3" tests/deploy/job/volume_test.py "$PWD" "${programs[@]}" "$tools/kubectl"
part "Job: S3" "$tools/python3" tests/deploy/job/s3_test.py "$PWD" "${programs[@]}" "$tools/kubectl" "$job"
part "Ray" "$ray/python3" tests/clients/ray/ray_test.py "$PWD" "$build" "$tiny"
if command -v java >/dev/null; then
  part "Spark" "$spark/python3" tests/clients/spark/spark_test.py "$PWD" "$build" "$tiny"
else
  echo "==> Spark: skipped, there is no java (Debian: openjdk-17-jre-headless)"
fi
[ ${#failed[@]} = 0 ] || { printf 'job-test: failed: %s\n' "${failed[@]}"; exit 1; }
echo "job-test: all passed"
