#!/bin/bash
# Format of every C++ file of ours; clang-tidy on the ones that changed; thread safety of all that locks; buf lint on the protos where npm is there.
#   lint.sh BUILD_DIR      LONGSPAN_LINT_BASE: compare with this commit (default: the last commit)
set -uo pipefail
cd "$(dirname "$0")/../.."
build=$1 failed=0
base=${LONGSPAN_LINT_BASE:-HEAD~1}; git rev-parse -q --verify "$base" >/dev/null || base=$(git hash-object -t tree /dev/null)

echo "==> clang-format"
git ls-files '*.cc' '*.h' '*.cu' | xargs clang-format-16 --dry-run --Werror || { echo "lint: run clang-format-16 -i on the files above"; failed=1; }

mapfile -t changed < <(git diff --name-only --diff-filter=d "$base" -- 'core/*.cc' 'server/*.cc' 'client/*.cc')
if [ ${#changed[@]} -gt 0 ]; then
  echo "==> clang-tidy on ${#changed[@]} changed files"
  printf '%s\n' "${changed[@]}" | xargs -P "$(nproc)" -n 2 clang-tidy-16 -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument || failed=1
fi

bash tests/lint/thread_safety.sh "$build" || failed=1

if command -v npm >/dev/null; then
  echo "==> buf lint"
  folder=${LONGSPAN_CACHE:-$HOME/.cache/longspan}/buf-$(sha256sum tests/lint/package-lock.json | cut -c1-12)
  [ -x "$folder/node_modules/.bin/buf" ] || { mkdir -p "$folder" && cp tests/lint/package*.json "$folder" && npm install --silent --no-save --prefix "$folder"; } || failed=1
  # google/rpc/status.proto comes from the pinned wheel: a second module of a workspace made for the occasion, not linted itself
  workspace=$(mktemp -d); cp -r proto "$workspace/proto"; cp -r "${LONGSPAN_CACHE:-$HOME/.cache/longspan}/googleapis-1.76.0" "$workspace/googleapis"
  cp tests/lint/buf.yaml "$workspace"; (cd "$workspace" && "$folder/node_modules/.bin/buf" lint) || failed=1
  rm -rf "$workspace"
fi
exit $failed
