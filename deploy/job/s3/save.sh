#!/bin/sh
# Copies what longspan bulk has written in OUT into the store, so that another pod goes on there.
#   save.sh OUT STORED once      now; it is all there when it ends with 0
#   save.sh OUT STORED SECONDS   again and again, and once more at SIGTERM
# The files of longspan bulk only grow, and its checkpoint has their sizes. So a checkpoint goes
# with files that were copied after it was read, and it is copied last. A lock beside OUT keeps two
# copies apart.
set -eu
out=${1:?OUT STORED once|SECONDS} stored=${2:?OUT STORED once|SECONDS} when=${3:?OUT STORED once|SECONDS}

save() {
  (
    flock 9 || exit
    [ -f "$out/checkpoint.json" ] || exit 0
    # Joined, since -e does not hold where the caller looks at what came of it.
    cp "$out/checkpoint.json" "$out.checkpoint" &&
      rclone copy --exclude '/checkpoint.json' --exclude '*.next' --local-no-check-updated "$out" "$stored" &&
      rclone copyto "$out.checkpoint" "$stored/checkpoint.json"
  ) 9>"$out.lock"
}

case $when in
  once) save ;;
  [1-9]*)
    trap 'save; exit 0' TERM INT
    while true; do
      sleep "$when" &
      wait $!
      save || echo "save.sh: not saved; tried again in $when s" >&2
    done
    ;;
  *)
    echo "save.sh: '$when'; allowed: once, or a number of seconds" >&2
    exit 2
    ;;
esac
