#!/bin/bash
# Builds the image and proves it: non-root, read-only root, no capabilities; encodes a document; stops with 0 on SIGTERM.
#   ./dev image            needs a Docker engine (DOCKER_HOST); BASE=debian:bookworm-slim, IMAGE=longspan:dev
set -euo pipefail
command -v docker >/dev/null && docker info >/dev/null 2>&1 ||
  { echo "image: no Docker engine answers; start one or set DOCKER_HOST" >&2; exit 1; }
BASE=${BASE:-debian:bookworm-slim} IMAGE=${IMAGE:-longspan:dev}
PORT=${LONGSPAN_IMAGE_PORT:-50251} HTTP=${LONGSPAN_IMAGE_HTTP:-8281}
echo "==> Building $IMAGE on $BASE"
DOCKER_BUILDKIT=0 docker build --network host --build-arg BASE="$BASE" -t "$IMAGE" .
docker image inspect "$IMAGE" --format '==> Image size: {{.Size}} bytes'

echo "==> Running it as 10001, read-only, without capabilities"
id=$(docker run -d --network host --user 10001:10001 --read-only --tmpfs /tmp:rw,noexec,nosuid,size=64m --cap-drop ALL \
  --security-opt no-new-privileges --memory 4g --pids-limit 256 "$IMAGE" --listen 127.0.0.1:"$PORT" --http 127.0.0.1:"$HTTP")
trap 'docker rm -f "$id" >/dev/null 2>&1' EXIT
docker exec "$id" longspan health --server 127.0.0.1:"$PORT" --wait 60 || { docker logs "$id" | tail -5; exit 1; }
docker exec "$id" bash -c "cat /usr/share/common-licenses/GPL-3 /usr/share/common-licenses/Apache-2.0 > /tmp/document.txt &&
  longspan encode --server 127.0.0.1:$PORT --summary /tmp/document.txt"
docker exec "$id" bash -c '! touch /opt/longspan/x 2>/dev/null' || { echo "image: the root file system is writable"; exit 1; }
docker stop -t 60 "$id" >/dev/null
code=$(docker inspect "$id" --format '{{.State.ExitCode}}')
[ "$code" = 0 ] || { docker logs "$id" | tail -5; echo "image: exit code $code after SIGTERM, 0 expected"; exit 1; }
echo "==> image: built, ran read-only as 10001, encoded a document, stopped with 0 on SIGTERM"
