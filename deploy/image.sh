#!/bin/bash
# ./dev image: builds the image and tries it out. The container runs as a user that is not root,
# with a read-only root file system and without capabilities. It must become healthy, encode a
# document, and stop with exit code 0 on SIGTERM. This takes a Docker engine (DOCKER_HOST).
# Variables:
#   BASE                  Debian 12 image to build on (debian:bookworm-slim)
#   IMAGE                 name of the image (longspan:dev)
#   LONGSPAN_IMAGE_PORT   port of 127.0.0.1 that the trial run takes for gRPC (50251)
#   LONGSPAN_IMAGE_HTTP   port of 127.0.0.1 that it takes for HTTP (8281)
set -euo pipefail
die() { echo "image: $*" >&2; exit 1; }
command -v docker >/dev/null || die "docker is not installed; on Debian: apt-get install docker.io"
docker info >/dev/null 2>&1 || die "no Docker engine answers (${DOCKER_HOST:-the default socket}); start one or set DOCKER_HOST"
BASE=${BASE:-debian:bookworm-slim} IMAGE=${IMAGE:-longspan:dev}
server=127.0.0.1:${LONGSPAN_IMAGE_PORT:-50251} http=127.0.0.1:${LONGSPAN_IMAGE_HTTP:-8281}

echo "==> Building $IMAGE on $BASE"
DOCKER_BUILDKIT=0 docker build --target cpu --network host --build-arg BASE="$BASE" -t "$IMAGE" . ||
  die "the build failed; no such base? BASE=IMAGE names another Debian 12 image"
echo "==> Image size, layers on the base first:"
docker history --no-trunc --format '{{.Size}}\t{{.CreatedBy}}' "$IMAGE" | tac | awk -F'\t' '$1 != "0B" { printf "    %8s  %.100s\n", $1, $2 }'
docker image inspect "$IMAGE" --format '    {{.Size}} bytes in all'

echo "==> Running it as 10001, read-only, without capabilities"
id=$(docker run -d --network host --user 10001:10001 --read-only --tmpfs /tmp:rw,noexec,nosuid,size=64m --cap-drop ALL \
  --security-opt no-new-privileges --memory 4g --pids-limit 256 -e LONGSPAN_SERVER="$server" "$IMAGE" --listen "$server" --http "$http" --drain-delay 1s)
trap 'docker rm -f "$id" >/dev/null 2>&1' EXIT
fail() { docker logs "$id" 2>&1 | tail -5; die "$*"; }
docker exec "$id" longspan health --wait 60 || fail "the server did not become healthy"
docker exec "$id" bash -c "cat /usr/share/common-licenses/GPL-3 /usr/share/common-licenses/Apache-2.0 > /tmp/document.txt && longspan encode --summary /tmp/document.txt" ||
  fail "the document was not encoded"
[ "$(docker exec "$id" id -u)" = 10001 ] || fail "the server does not run as 10001"
docker exec "$id" grep -q '^CapEff:.*0000000000000000$' /proc/1/status || fail "the server has capabilities"
docker exec "$id" bash -c '! touch /opt/longspan/x 2>/dev/null' || fail "the root file system is writable"
for _ in $(seq 60); do
  health=$(docker inspect "$id" --format '{{.State.Health.Status}}')
  [ "$health" = starting ] || break
  sleep 0.5
done
[ "$health" = healthy ] || fail "HEALTHCHECK says $health"
docker stop -t 60 "$id" >/dev/null
code=$(docker inspect "$id" --format '{{.State.ExitCode}}')
[ "$code" = 0 ] || fail "exit code $code after SIGTERM, 0 expected"
echo "==> image: built, ran read-only as 10001, healthy, encoded a document, stopped with 0 on SIGTERM"
