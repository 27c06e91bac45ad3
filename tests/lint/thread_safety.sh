#!/bin/bash
# Runs Clang's thread safety analysis over every file of server/ and client/ that has to do with a
# lock, changed or not, because an annotation in a header binds all files that include it. Nothing
# is compiled. clang-tidy demands at least one check of its own, so the cheapest runs beside.
#   thread_safety.sh BUILD_DIR
set -uo pipefail
cd "$(dirname "$0")/../.."
build=$1
mapfile -t locked < <(grep -lE 'absl::Mutex|ABSL_GUARDED_BY|MutexLock' $(git ls-files 'server/*.cc' 'server/*.h' 'client/*.cc' 'client/*.h') |
  sed 's/\.h$/.cc/' | sort -u | while read -r file; do [ -f "$file" ] && echo "$file"; done)
echo "==> clang thread safety on ${#locked[@]} files"
printf '%s\n' "${locked[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-16 -p "$build" --quiet --checks='-*,bugprone-sizeof-container,clang-diagnostic-thread-safety*' \
  --warnings-as-errors='*' --extra-arg=-Wthread-safety --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument
