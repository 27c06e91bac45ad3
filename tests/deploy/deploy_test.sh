#!/bin/bash
# Checks the deploy folder and the Dockerfile by the real tools.
#   deploy_test.sh SOURCE_DIR TOOLS_BIN
# What is derived is current. The kustomize base and overlays render, and every object fits the
# Kubernetes schema. The pods are restricted and probed. Prometheus's rules and scrape config are
# valid, and the alerts fire when they should. The Dockerfile passes hadolint. Each check must also
# refuse planted mistakes, because a check that accepts them checks nothing.
set -euo pipefail
cd "$1"; tools=$2; scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
PATH=$PATH:$tools
[ -x "$tools/kubectl" ] || { echo "no $tools/kubectl: run ./dev test, which fetches the test tools"; exit 1; }
command -v promtool >/dev/null || { echo "no promtool: run ./dev test, which fetches it (Debian: package prometheus)"; exit 1; }
failed=0

lint_yaml() { "$tools/yamllint" -d '{extends: default, rules: {line-length: disable, braces: {max-spaces-inside: 0}, comments: {min-spaces-from-content: 1}, truthy: {check-keys: false}}, ignore: [deploy/helm/longspan/templates]}' -s "$1"; }
schema() { "$tools/kubernetes-validate" -k 1.36 --strict "$1"; }
restricted() { "$tools/python3" tests/deploy/restricted.py "$1"; }
prometheus() { promtool check config "$1/prometheus.yml" && (cd "$1" && promtool test rules rules_test.yml); }
dockerfile() { "$tools/hadolint" --ignore DL3008 --ignore DL3013 "$1"; }

refuses() {  # refuses CHECK FILE SED: the check must fail on FILE after the edit
  sed "$3" "$2" >"$scratch/broken"
  ! cmp -s "$2" "$scratch/broken" || { echo "planted mistake '$3' changes nothing in $2"; failed=1; return; }
  ! "$1" "$scratch/broken" >/dev/null 2>&1 || { echo "$1 accepts '$3': it checks nothing there"; failed=1; }
}

lint_yaml deploy
refuses lint_yaml deploy/k8s/base/service.yaml 's/^    - name: grpc/   - name: grpc/'

# The chart itself is checked by chart_test.py; here is what was generated from it.
"$tools/python3" -B deploy/generate.py --check || failed=1
for overlay in base overlays/cpu overlays/gpu; do
  all=$scratch/all.yaml
  "$tools/kubectl" kustomize "deploy/k8s/$overlay" >"$all"
  for kind in Deployment Service PodDisruptionBudget NetworkPolicy ConfigMap ServiceAccount; do grep -q "^kind: $kind" "$all" || { echo "deploy/k8s/$overlay renders no $kind"; exit 1; }; done
  grep -q 'clusterIP: None' "$all" || { echo "deploy/k8s/$overlay renders no headless Service"; exit 1; }
  schema "$all" >"$scratch/said" 2>&1 || { cat "$scratch/said"; failed=1; }
  restricted "$all" || failed=1
done
grep -q 'nvidia.com/gpu' "$all" || { echo "deploy/k8s/overlays/gpu asks for no GPU"; failed=1; }
base=$scratch/base.yaml; "$tools/kubectl" kustomize deploy/k8s/base >"$base"
refuses schema "$base" 's/maxSurge/maxSruge/'
refuses schema "$base" 's/appProtocol/appProtokol/'
refuses schema "$base" 's/maxUnavailable: 1/maxUnavailable: [1]/'

for mistake in 's/runAsNonRoot: true/runAsNonRoot: false/' 's/type: RuntimeDefault/type: Unconfined/' 's/automountServiceAccountToken: false/automountServiceAccountToken: true/' \
  's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/' 's/- ALL/- NET_RAW/' \
  's/startupProbe/xProbe/' 's/readinessProbe/xProbe/' 's/livenessProbe/xProbe/' 's/port: 50051/port: 50052/' 's/service: liveness/service: ""/' \
  's/emptyDir:/hostPath:/' 's/terminationGracePeriodSeconds: 90/terminationGracePeriodSeconds: 74/' 's/runAsUser: 10001/runAsUser: 0/' \
  '/^kind: PodDisruptionBudget/,/^---/ s/app.kubernetes.io\/name: longspan/app.kubernetes.io\/name: other/' \
  '/^kind: NetworkPolicy/,$ s/app.kubernetes.io\/name: longspan/app.kubernetes.io\/name: other/'; do
  refuses restricted "$base" "$mistake"
done

prometheus deploy/prometheus
for mistake in 'prometheus.yml:s/scrape_interval/scrape_intervall/' 'rules.yml:s/\[5m\]/[5 mins]/' 'rules.yml:s/longspan_queue_oldest_seconds/longspan_oldest_seconds/' 'rules.yml:s/> 0.05/> 0.5/' \
  'rules.yml:s/up{job=~"longspan.*"} == 0/up{job=~"longspan.*"} == 2/' 'rules.yml:s/|UNAUTHENTICATED|/|/' 'rules.yml:s/MAX_QUEUE_TOKENS|/MAX_TOKENS|/' \
  'rules.yml:s/reason=~"RESOURCE_EXHAUSTED|DEADLINE_UNREACHABLE/reason=~"RESOURCE_EXHAUSTED|INVALID_ARGUMENT|DEADLINE_UNREACHABLE/' \
  'rules.yml:s/> 0.5 \* min/> 2 * min/' 'rules.yml:s/> 0) > 0.95/> 0) > 1.95/' 'rules.yml:s/\[1h\]) >= 3/[1h]) >= 30/' 'rules.yml:s/longspan_live == 0/longspan_live == 2/' \
  'rules.yml:s/longspan_draining == 1/longspan_draining == 2/' 'rules.yml:s/p99_5m > 1/p99_5m > 100/' 'rules.yml:s/"128|512"/"524288"/'; do
  rm -rf "$scratch/prometheus"; cp -r deploy/prometheus "$scratch/prometheus"
  sed -i "${mistake#*:}" "$scratch/prometheus/${mistake%%:*}"
  ! diff -rq deploy/prometheus "$scratch/prometheus" >/dev/null || { echo "planted mistake '$mistake' changes nothing"; failed=1; }
  ! prometheus "$scratch/prometheus" >/dev/null 2>&1 || { echo "promtool accepts '$mistake': it checks nothing there"; failed=1; }
done

for metric in $(grep -ohE 'longspan_[a-z_]+' deploy/prometheus/rules.yml | sed 's/_bucket$//' | sort -u); do
  grep -qE "\"(longspan_)?${metric#longspan_}\"" server/telemetry/*.cc || { echo "rules.yml asks for $metric, which the server does not have"; failed=1; }
done

# HAProxy itself checks its file where it is attacked (tests/front/connection_attacks.py). Here: the
# bounds are there, its port and servers are those that the attack puts in, and it passes on gRPC.
front() {
  local rule
  for rule in 'maxconn [0-9]+' 'tune.h2.max-concurrent-streams 256' 'tune.bufsize 16384' 'tune.http.maxhdr [0-9]+' \
    'timeout http-request [0-9]+s' 'timeout http-keep-alive [0-9]+m' 'timeout client [0-9]+m' 'timeout server [0-9]+m' \
    'bind :50051 proto h2' 'bind :50443 ssl crt [^ ]+ alpn h2' 'stick-table type ipv6 .*conn_cur,conn_rate\(10s\),http_req_rate\(10s\).*' \
    'tcp-request connection track-sc0 src' 'tcp-request connection reject if \{ sc0_conn_cur gt [0-9]+ \}' \
    'tcp-request connection reject if \{ sc0_conn_rate gt [0-9]+ \}' 'http-request deny .*unless METH_POST' \
    'http-request deny .*application/grpc \}' 'http-request deny .*\{ sc0_http_req_rate gt [0-9]+ \}' 'option httpchk' 'http-check connect port 8080 proto h1' 'http-check send meth GET uri /readyz' \
    'default-server proto h2 check port 8080 .*' 'server longspan1 127.0.0.1:50061'; do
    grep -qE "^ +$rule\$" "$1" || { echo "deploy/haproxy/haproxy.cfg has no '$rule'"; return 1; }
  done
}
front deploy/haproxy/haproxy.cfg
for mistake in 's/timeout http-request 10s//' 's/track-sc0 src/track-sc0 dst/' 's/proto h2 check/check/' 's/unless METH_POST/if METH_POST/'; do
  refuses front deploy/haproxy/haproxy.cfg "$mistake"
done

dockerfile Dockerfile
refuses dockerfile Dockerfile 's/^USER 10001:10001/USER root/'
refuses dockerfile Dockerfile 's/ --no-install-recommends//'
[ $failed = 0 ] && echo "deploy: all checks passed"
exit $failed
