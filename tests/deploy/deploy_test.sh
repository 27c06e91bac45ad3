#!/bin/bash
# The deploy folder, checked by the real tools: the kustomize base renders and every object fits the Kubernetes schema; a planted
# mistake is refused; Prometheus rules and scrape config are valid and the alerts fire when they should.
#   deploy_test.sh SOURCE_DIR TOOLS_BIN
set -euo pipefail
cd "$1"; tools=$2; scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
[ -x "$tools/kubectl" ] || { echo "no $tools/kubectl: run ./dev test, which fetches the test tools"; exit 1; }

"$tools/yamllint" -d '{extends: default, rules: {line-length: disable, braces: {max-spaces-inside: 0}, comments: {min-spaces-from-content: 1}, truthy: {check-keys: false}}}' -s deploy
"$tools/kubectl" kustomize deploy/k8s/base > "$scratch/base.yaml"
"$tools/kubernetes-validate" -k 1.36 --strict "$scratch/base.yaml"
for kind in Deployment Service PodDisruptionBudget; do grep -q "^kind: $kind" "$scratch/base.yaml" || { echo "the base renders no $kind"; exit 1; }; done

sed 's/maxSurge/maxSruge/' "$scratch/base.yaml" > "$scratch/broken.yaml"
if "$tools/kubernetes-validate" -k 1.36 --strict "$scratch/broken.yaml" > /dev/null 2>&1; then echo "a misspelt field was accepted: the check checks nothing"; exit 1; fi

"$tools/python3" tests/deploy/restricted.py "$scratch/base.yaml"
promtool check config deploy/prometheus/prometheus.yml
(cd deploy/prometheus && promtool test rules rules_test.yml)
"$tools/hadolint" --ignore DL3008 --ignore DL3013 Dockerfile
echo "deploy: all checks passed"
