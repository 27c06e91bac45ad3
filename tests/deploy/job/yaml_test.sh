#!/bin/bash
# Checks deploy/job by the real tools.
#   yaml_test.sh SOURCE_DIR TOOLS_BIN
# Both kustomizations render, every object fits the Kubernetes schema, the pods are restricted, and
# the Jobs fit each other. Each check must also refuse planted mistakes, because a check that
# accepts them checks nothing.
set -euo pipefail
cd "$1"; tools=$2; scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
[ -x "$tools/kubectl" ] || { echo "no $tools/kubectl: run ./dev test, which fetches the test tools"; exit 1; }
failed=0

lint_yaml() { "$tools/yamllint" -d '{extends: default, rules: {line-length: disable, braces: {max-spaces-inside: 0}, comments: {min-spaces-from-content: 1}, truthy: {check-keys: false}}}' -s "$1"; }
schema() { "$tools/kubernetes-validate" -k 1.36 --strict "$1"; }
restricted() { "$tools/python3" tests/deploy/job/restricted.py "$1"; }

refuses() {  # refuses CHECK FILE SED: the check must fail on FILE after the edit
  sed "$3" "$2" >"$scratch/broken"
  ! cmp -s "$2" "$scratch/broken" || { echo "planted mistake '$3' changes nothing in $2"; failed=1; return; }
  ! "$1" "$scratch/broken" >/dev/null 2>&1 || { echo "$1 accepts '$3': it checks nothing there"; failed=1; }
}

lint_yaml deploy/job
for kind in volume s3; do
  rendered=$scratch/$kind.yaml
  "$tools/kubectl" kustomize "deploy/job/$kind" >"$rendered"
  schema "$rendered"
  restricted "$rendered"
done
rendered=$scratch/s3.yaml
refuses schema "$rendered" 's/backoffLimitPerIndex/backoffLimitPerIndexes/'
refuses schema "$rendered" 's/onExitCodes/onExitCode/'
for mistake in 's/runAsNonRoot: true/runAsNonRoot: false/' 's/type: RuntimeDefault/type: Unconfined/' 's/automountServiceAccountToken: false/automountServiceAccountToken: true/' \
  's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/' 's/- ALL/- NET_RAW/' \
  's/enableServiceLinks: false/enableServiceLinks: true/' 's/restartPolicy: Never/restartPolicy: OnFailure/' 's/emptyDir:/hostPath:/' 's/runAsUser: 10001/runAsUser: 0/' \
  's/SHARDS: "4"/SHARDS: "5"/' 's/completions: 4/completions: 5/' 's/suspend: true/suspend: false/' '0,/^ *memory: 512Mi/ s/^ *memory: 512Mi/            cpu: 1/'; do
  refuses restricted "$rendered" "$mistake"
done
[ $failed = 0 ] && echo "job: all checks passed"
exit $failed
