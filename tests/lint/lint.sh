#!/bin/bash
# Lints our files: the format of every C++ file, the width of every comment, clang-tidy on the C++
# files that changed, the thread safety of all that locks, and, where there is npm, buf on the
# protos.
#   lint.sh BUILD_DIR
# LONGSPAN_LINT_BASE=COMMIT|all says what "changed" compares with. The default is the commit where
# this branch left origin's main branch, or else the parent of the last commit.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
build=$1 failed=0

echo "==> clang-format"
git ls-files '*.cc' '*.h' '*.cu' '*.cuh' | xargs clang-format-16 --dry-run --Werror || { echo "lint: run clang-format-16 -i on the files above"; failed=1; }

echo "==> comments wrap at 100 columns"
git ls-files '*.cc' '*.h' '*.cu' '*.cuh' '*.rs' '*.proto' '*.js' '*.py' '*.sh' '*.cmake' '*CMakeLists.txt' '*.yaml' '*.yml' dev Dockerfile .ci/run |
  xargs python3 tests/lint/comment_width.py || { echo "lint: wrap the comments above"; failed=1; }

base=${LONGSPAN_LINT_BASE:-$(git merge-base HEAD origin/HEAD 2>/dev/null)}
if [ "$base" = all ]; then base=$(git hash-object -t tree /dev/null)
elif [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then base=HEAD~1; fi
if git rev-parse -q --verify "$base^{tree}" >/dev/null; then
  mapfile -t changed < <(git diff --name-only --diff-filter=d "$base" -- 'core/*.cc' 'server/*.cc' 'client/*.cc')
  if [ ${#changed[@]} -gt 0 ]; then
    echo "==> clang-tidy on ${#changed[@]} files that differ from $base"
    printf '%s\n' "${changed[@]}" | xargs -P "${LONGSPAN_JOBS:-$(nproc)}" -n 1 bash -c '
      clang-tidy-16 -p "$0" --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument "$1" 2>&1 |
        grep -vE "^[0-9]+ warnings? generated"
      [ "${PIPESTATUS[0]}" = 0 ] || { echo "lint: clang-tidy: $1"; exit 1; }' "$build" || failed=1
  fi
elif [ -n "${LONGSPAN_LINT_BASE:-}" ]; then
  echo "lint: no commit $base here; set LONGSPAN_LINT_BASE to one of git log, or to: all"; failed=1
else
  echo "==> clang-tidy: skipped, this clone holds one commit and so no change (LONGSPAN_LINT_BASE=all: every file, an hour)"
fi

bash tests/lint/thread_safety.sh "$build" || failed=1

if command -v npm >/dev/null; then
  echo "==> buf lint"
  folder=${LONGSPAN_CACHE:-$HOME/.cache/longspan}/buf-$(sha256sum tests/lint/package-lock.json | cut -c1-12)
  [ -x "$folder/node_modules/.bin/buf" ] || { mkdir -p "$folder" && cp tests/lint/package*.json "$folder" && npm ci --silent --prefix "$folder"; } ||
    { echo "lint: npm could not fetch buf: check that its registry is reachable"; failed=1; }
  # Our protos import google/rpc/status.proto, which comes from the pinned wheel. buf finds it as a
  # second module, which is not linted, of a workspace that is made here.
  workspace=$(mktemp -d); cp -r proto "$workspace/proto"; cp -r "${LONGSPAN_CACHE:-$HOME/.cache/longspan}/googleapis-1.76.0" "$workspace/googleapis"
  cp tests/lint/buf.yaml "$workspace"; (cd "$workspace" && "$folder/node_modules/.bin/buf" lint) || failed=1
  rm -rf "$workspace"
fi
[ $failed = 0 ] && echo "lint: no fault"
exit $failed
