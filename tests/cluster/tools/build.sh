#!/bin/bash
# Builds what ./dev cluster-test runs of Kubernetes, from pinned modules of the Go module proxy.
#   build.sh GO OUT_DIR [JOBS]
# OUT_DIR gets bin/ (etcd, the control plane, kwok, helm, kubectl), stages/ (kwok's) and crds/ (of
# the Prometheus operator, KEDA and the Gateway API). GO is a Go command of version 1.26. The first
# build takes ten minutes of one core; Go's own cache makes the next one short.
set -euo pipefail
cd "$(dirname "$0")"
go=$1 out=$(realpath -m "$2") jobs=${3:-2}
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOWORK=off
kube=v1.36.3 version=k8s.io/component-base/version
stamp="-X $version.gitVersion=$kube -X $version.gitMajor=1 -X $version.gitMinor=36 -X $version.gitTreeState=clean -X $version.gitCommit=0"

# Modules that are only read: the hash is that of go.sum, which the module's own go.mod would need a
# whole graph for.
KEDA='github.com/kedacore/keda/v2@v2.18.1 h1:h6bRt/IOxxtZpJlHSqhdH/lcInH7Z9obxg/JvWOmGAw='
GATEWAY='sigs.k8s.io/gateway-api@v1.4.1 h1:NPxFutNkKNa8UfLd2CMlEuhIPMQgDQ6DXNKG9sHbJU8='

# folder_of MODULE@VERSION HASH: where the module lies, once its hash is that
folder_of() {
  local said; said=$(cd /; "$go" mod download -json "$1") || { printf 'build.sh: %s\n' "$said" >&2; return 1; }
  local sum; sum=$(sed -n 's/.*"Sum": "\(.*\)",\{0,1\}$/\1/p' <<<"$said")
  [ "$sum" = "$2" ] || { echo "build.sh: $1 has the hash $sum, wanted $2" >&2; return 1; }
  sed -n 's/.*"Dir": "\(.*\)",\{0,1\}$/\1/p' <<<"$said"
}

# made_from NAME PACKAGE LINKER_FLAGS
made_from() {
  [ ! -x "$out/bin/$1" ] || return 0
  local began=$SECONDS
  printf '    %-24s' "$1"
  (cd kube && "$go" build -p "$jobs" -trimpath -ldflags "$3" -o "$out/bin/.$1" "$2")
  mv "$out/bin/.$1" "$out/bin/$1"
  printf '%4d s  %4d MB\n' $((SECONDS - began)) $(($(stat -c %s "$out/bin/$1") / 1000000))
}

mkdir -p "$out/bin" "$out/crds" "$out/stages"
for one in kube-apiserver kube-controller-manager kube-scheduler kubectl; do made_from $one k8s.io/kubernetes/cmd/$one "-s -w $stamp"; done
made_from helm helm.sh/helm/v3/cmd/helm "-s -w $stamp"
made_from kwok sigs.k8s.io/kwok/cmd/kwok "-s -w"
made_from etcd go.etcd.io/etcd/server/v3 "-s -w"

stages=$(cd kube && "$go" list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
for one in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
  install -m 644 "$stages/$one.yaml" "$out/stages/"
done
(cd crds && "$go" run sigs.k8s.io/controller-tools/cmd/controller-gen crd paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 output:crd:dir="$out/crds")
keda=$(folder_of $KEDA) gateway=$(folder_of $GATEWAY)
install -m 644 "$keda"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml "$out/crds/"
install -m 644 "$gateway"/config/crd/standard/gateway.networking.k8s.io_{gateways,grpcroutes,httproutes}.yaml "$out/crds/"
touch "$out/.complete"
