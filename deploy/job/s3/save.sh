#!/bin/sh
# Copies what longspan bulk has written in $OUT into the store, so that another pod goes on there.
#   save.sh once      now; it is all there when it ends with 0
#   save.sh SECONDS   again and again, and once more at SIGTERM
# The files of longspan bulk only grow, and its checkpoint has their sizes. So a checkpoint goes with
# files that were copied after it was read, and it is copied last. $LOCK keeps two copies apart.
set -eu

save() {
  (
    flock 9
    [ -f "$OUT/checkpoint.json" ] || exit 0
    cp "$OUT/checkpoint.json" "$LOCK.checkpoint"
    rclone copy --exclude '/checkpoint.json' --exclude '*.next' --local-no-check-updated "$OUT" "$STORED"
    rclone copyto "$LOCK.checkpoint" "$STORED/checkpoint.json"
  ) 9>"$LOCK"
}

case ${1:-} in
  once) save ;;
  [1-9]*)
    trap 'save; exit 0' TERM INT
    while true; do
      sleep "$1" &
      wait $!
      save || echo "save.sh: not saved; tried again in $1 s" >&2
    done
    ;;
  *)
    echo "save.sh: '${1:-}'; allowed: once, or a number of seconds" >&2
    exit 2
    ;;
esac
