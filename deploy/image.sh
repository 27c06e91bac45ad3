#!/bin/bash
# ./dev image [--target cpu|gpu|server] [--twice] [--lock]: builds an image and tries it out. The
# container runs as a user that is not root, with a read-only root file system and without
# capabilities. It must become healthy, encode a document, refuse to write, and stop with exit code
# 0 on SIGTERM; once more with a model that is mounted. The bill of materials (SPDX) is written to
# LONGSPAN_CACHE/image. This takes a Docker engine (DOCKER_HOST).
#   --target    cpu (the default); gpu: with the plugin for NVIDIA cards; server: without a model
#   --twice     builds the programs again, in other folders and without a cache: the same bytes?
#   --lock      writes deploy/image/packages.lock anew, with what the package mirror has, and ends
# Variables:
#   BASE                  Debian 12 image to build on (debian:bookworm-slim)
#   IMAGE                 name of the image (longspan:dev)
#   PACKAGES              Debian packages: locked (deploy/image/packages.lock), or newest
#   DOCKER_BUILDKIT       1: BuildKit, 0: the legacy builder (the default is what the client has)
#   SOURCE                address of the sources, for the label
#   LONGSPAN_IMAGE_PORT   port of 127.0.0.1 that the trial run takes for gRPC (50251)
#   LONGSPAN_IMAGE_HTTP   port of 127.0.0.1 that it takes for HTTP (8281)
set -euo pipefail
die() { echo "image: $*" >&2; exit 1; }
PYTHON=${LONGSPAN_IMAGE_PYTHON:?run ./dev image, which fetches the tools}
MOST=$((700 * 1048576))   # bytes of the target cpu

target=cpu twice="" lock=""
while [ $# -gt 0 ]; do
  case $1 in
    --target) target=${2:-}; shift ;;
    --twice) twice=1 ;;
    --lock) lock=1 ;;
    *) die "unknown option $1; allowed: --target, --twice, --lock" ;;
  esac
  shift
done
case $target in cpu | gpu | server) ;; *) die "--target is '$target'; allowed: cpu, gpu, server" ;; esac
command -v docker >/dev/null || die "docker is not installed; on Debian: apt-get install docker.io"
docker info >/dev/null 2>&1 || die "no Docker engine answers (${DOCKER_HOST:-the default socket}); start one or set DOCKER_HOST"
if [ -z "${DOCKER_BUILDKIT:-}" ]; then
  DOCKER_BUILDKIT=0; ! docker buildx version >/dev/null 2>&1 || DOCKER_BUILDKIT=1
fi
export DOCKER_BUILDKIT
BASE=${BASE:-debian:bookworm-slim} IMAGE=${IMAGE:-longspan:dev} PACKAGES=${PACKAGES:-locked}
server=127.0.0.1:${LONGSPAN_IMAGE_PORT:-50251} http=127.0.0.1:${LONGSPAN_IMAGE_HTTP:-8281}
version=$(sed -n 's/^project(longspan VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
revision=$(git rev-parse HEAD 2>/dev/null || true)
out=$LONGSPAN_CACHE/image; mkdir -p "$out"
bill=$out/longspan-$version-$target.spdx.json

build() {  # build TARGET NAME [ARG...]
  local stage=$1 name=$2; shift 2
  docker build --target "$stage" --network host --build-arg BASE="$BASE" --build-arg PACKAGES="$PACKAGES" "$@" -t "$name" . ||
    die "the build failed: the first error above is the one to read. No such base? BASE=IMAGE names another Debian 12 image"
}

write_lock() {
  PACKAGES=newest build packages longspan:packages
  docker run --rm longspan:packages bash deploy/image/packages.sh list >"$out/packages.lock"
  mv "$out/packages.lock" deploy/image/packages.lock
  echo "==> image: $(grep -c = deploy/image/packages.lock) packages in deploy/image/packages.lock; look at git diff, then build"
}

# A second build shares nothing with the first but the sources, the packages and the wheels.
build_twice() {
  local first second
  echo "==> Building the programs once more, elsewhere"
  build build longspan:build
  first=$(docker run --rm longspan:build bash -c 'cd /opt/longspan/bin && sha256sum longspan-server longspan')
  second=$(docker run --rm --network host -e CCACHE_DISABLE=1 -e LONGSPAN_CACHE=/var/tmp/elsewhere/cache -e CARGO_HOME=/var/tmp/cargo \
    ${LONGSPAN_JOBS:+-e LONGSPAN_JOBS="$LONGSPAN_JOBS"} longspan:build bash -c 'set -e
    mkdir -p /home/another/longspan "$LONGSPAN_CACHE" && cp -r . /home/another/longspan && cp -r /cache/downloads "$LONGSPAN_CACHE"
    cd /home/another/longspan && ./dev build longspan-server longspan >&2 && ./dev install /var/tmp/installed
    cd /var/tmp/installed/bin && sha256sum longspan-server longspan') || die "the second build failed"
  printf '%s\n' "$first" | sed 's/^/    /'
  [ "$first" = "$second" ] || die "the second build gave other bytes:
$second"
  echo "    the second build gave the same bytes"
}

ids=()
remove() { [ ${#ids[@]} = 0 ] || docker rm -f "${ids[@]}" >/dev/null 2>&1 || true; }
fail() { docker logs "$id" 2>&1 | tail -5; die "$*"; }

# create [-v VOLUME] -- [ARG...]: a hardened container, its id in $id
create() {
  local volume=()
  while [ "$1" != -- ]; do volume+=("$1"); shift; done
  shift
  id=$(docker create --network host --user 10001:10001 --read-only --tmpfs /tmp:rw,noexec,nosuid,size=64m --cap-drop ALL \
    --security-opt no-new-privileges --memory 4g --pids-limit 256 -e LONGSPAN_SERVER="$server" ${volume[@]+"${volume[@]}"} \
    "$IMAGE" --listen "$server" --http "$http" --drain-delay 1s "$@")
  ids+=("$id")
}

milliseconds() { date +%s%3N; }

start() {
  local began; began=$(milliseconds)
  docker start "$id" >/dev/null
  docker exec "$id" longspan health --wait 120 || fail "the server did not become healthy"
  started=$(($(milliseconds) - began))
}

stop() {
  local code
  docker stop -t 60 "$id" >/dev/null
  code=$(docker inspect "$id" --format '{{.State.ExitCode}}')
  [ "$code" = 0 ] || fail "exit code $code after SIGTERM, 0 expected"
}

check_files() {  # of the image: nothing runs but the two programs; nobody becomes another user
  local others   # Docker's own placeholders are empty
  others=$(docker export "$id" | tar -tv | awk '$1 ~ /^-.*x/ && $3 > 0 && $6 !~ /^opt\/longspan\/bin\/longspan(-server)?$/ && $6 !~ /\.so(\.[0-9.]+)?$/ { print $6 }
    $1 ~ /^-.*[sS]/ { print $6 " is setuid or setgid" }')
  [ -z "$others" ] || die "the image has what nobody there needs to run:
$others"
  ! docker exec "$id" sh -c true >/dev/null 2>&1 || die "the image has a shell"
  docker export "$id" | "$PYTHON" deploy/image/sbom.py --source . --name longspan --version "$version" --revision "$revision" --out "$bill"
}

check_hardened() {
  local pid status refused=0
  [ "$(docker top "$id" -eo uid,pid,args | awk '$3 ~ /longspan-server/ { print $1 }')" = 10001 ] || fail "the server does not run as 10001"
  pid=$(docker inspect "$id" --format '{{.State.Pid}}')
  if [ -r "/proc/$pid/status" ]; then   # the engine is on this machine
    status=$(cat "/proc/$pid/status")
    for want in 'CapEff:.0000000000000000' 'CapBnd:.0000000000000000' 'NoNewPrivs:.1'; do
      grep -q "^$want$" <<<"$status" || fail "the server's /proc/self/status has no '$want'"
    done
  fi
  docker exec "$id" longspan encode --format npy --out /opt/longspan/x.npy /etc/os-release >/dev/null 2>&1 || refused=$?
  [ "$refused" = 3 ] || fail "a file in the root file system was to be refused with exit code 3, not $refused"
}

wait_for_healthcheck() {
  local health
  for _ in $(seq 60); do
    health=$(docker inspect "$id" --format '{{.State.Health.Status}}')
    [ "$health" = starting ] || break
    sleep 0.5
  done
  [ "$health" = healthy ] || fail "HEALTHCHECK says $health"
}

metric() { "$PYTHON" -c 'import sys, urllib.request
print(next(int(float(line.split()[1])) for line in urllib.request.urlopen(sys.argv[1]).read().decode().splitlines() if line.startswith(sys.argv[2] + " ")))' "http://$http/metrics" "$1"; }

trial() {
  local idle encoded size
  echo "==> Running it as 10001, read-only, without capabilities"
  create --
  start
  idle=$(metric process_resident_memory_bytes)
  docker exec "$id" longspan encode --summary /usr/share/common-licenses/GPL-3 || fail "the document was not encoded"
  encoded=$(metric process_resident_memory_bytes)
  check_files
  check_hardened
  wait_for_healthcheck
  stop
  size=$(docker image inspect "$IMAGE" --format '{{.Size}}')
  echo "    $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores"
  printf '    size %.0f MiB; started to SERVING in %.1f s; resident %.0f MiB, %.0f after a document of 35 KB\n' \
    "$(awk "BEGIN { print $size / 1048576 }")" "$(awk "BEGIN { print $started / 1000 }")" \
    "$(awk "BEGIN { print $idle / 1048576 }")" "$(awk "BEGIN { print $encoded / 1048576 }")"
  [ "$target" != cpu ] || [ "$size" -le $MOST ] || die "the image has $size bytes, at most $MOST are allowed"
}

mounted_trial() {
  echo "==> Running it with a model that is mounted"
  create -v "$PWD/tests/fixtures/reformer-mixed:/model:ro" -- --model /model
  start
  docker exec "$id" longspan encode --truncation head /etc/os-release >/dev/null || fail "the document was not encoded with the mounted model"
  [ "$target" != server ] || check_files
  stop
}

if [ -n "$lock" ]; then write_lock; exit; fi
echo "==> Building $IMAGE ($target) on $BASE"
build "$target" "$IMAGE" --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg SOURCE="${SOURCE:-}"
echo "==> Its layers:"
docker history --no-trunc --format '{{.Size}}\t{{.CreatedBy}}' "$IMAGE" | tac | awk -F'\t' '$1 != "0B" { printf "    %8s  %.100s\n", $1, $2 }'
[ -z "$twice" ] || build_twice
trap remove EXIT
[ "$target" = server ] || trial
mounted_trial
echo "==> image: $IMAGE ($target) built; ran read-only as 10001, healthy, encoded, stopped with 0 on SIGTERM; bill of materials: $bill"
