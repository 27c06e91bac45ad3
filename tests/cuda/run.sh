#!/bin/bash
# Proves longspan on an NVIDIA card, then measures it, in the minutes that a card is lent for. Needs
# a driver, a C library of 2.36 or newer, python3, and LibTorch 2.11 (CUDA 13): python3's own
# PyTorch, or the folder with lib/ that LONGSPAN_LIBTORCH names. No network, nothing to install.
#   run.sh [--minutes 6] [--device cuda:N|cpu] [--steps NAME,...]
# Steps, the most telling first: parity, kernels, throughput, peers, server, memory, sanitizer. Each
# has a share of the minutes and what those before it left; one that fails does not stop the next.
# peers and server need the models that throughput makes.
# --device cpu is the dry run: tiny sizes on LibTorch's own operations, no card.
# Results go to the folder OUT of the environment, or results/ beside this script:
# gpu_report.json, gpu_report.md, gpu_run.log. Exit code 0 = all steps passed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
minutes=6 device=cuda:0 all_steps=parity,kernels,throughput,peers,server,memory,sanitizer
steps=$all_steps
die() { printf 'gpu-test: %s\n' "$*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --minutes) minutes=${2:-}; shift 2 || die "--minutes needs a number" ;;
    --device) device=${2:-}; shift 2 || die "--device needs a name" ;;
    --steps) steps=${2:-}; shift 2 || die "--steps needs names" ;;
    *) die "unknown argument $1; allowed: --minutes M, --device cuda:N|cpu, --steps NAME,..." ;;
  esac
done
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "--minutes is '$minutes'; allowed: numbers such as 6"
[[ $device =~ ^(cpu|cuda|cuda:[0-9]+)$ ]] || die "--device is '$device'; allowed: cpu, cuda, cuda:N"
for name in ${steps//,/ }; do
  [[ ,$all_steps, = *,$name,* ]] || die "no step is called $name; allowed: $all_steps"
done
total=$(awk "BEGIN { printf \"%d\", $minutes * 60 }")
out=${OUT:-$here/results}
mkdir -p "$out" || die "cannot write to $out"
out=$(cd "$out" && pwd)
[ "$device" = cpu ] && tiny=(--tiny) check_device=portable || { tiny=(); check_device=$device; }

say() { printf '\n==> [%3ds] %s\n' "$SECONDS" "$*"; }

# unpack FOLDER: the programs, from where they can be run; a folder may forbid that.
unpack() {
  work=$(mktemp -d "$1/longspan-gpu-XXXXXX") && tar -xzf "$here/payload.tar.gz" -C "$work" &&
    "$work/starts" >/dev/null 2>&1
}

find_libtorch() {
  torch=${LONGSPAN_LIBTORCH:-}
  [ -n "$torch" ] || torch=$(python3 -c 'import importlib.util, os; s = importlib.util.find_spec("torch"); print(os.path.dirname(s.origin) if s else "")' 2>/dev/null)
  [ -n "$torch" ] || die "python3 has no torch: set LONGSPAN_LIBTORCH to the folder of a LibTorch 2.11 with lib/"
  [ -e "$torch/lib/libtorch_cpu.so" ] || die "there is no $torch/lib/libtorch_cpu.so"
  [ "$device" = cpu ] || [ -e "$torch/lib/libtorch_cuda.so" ] || die "$torch is a LibTorch without CUDA: it has no lib/libtorch_cuda.so"
  torch_version=$(sed -n "s/^__version__ = '\(.*\)'/\1/p" "$torch/version.py" 2>/dev/null)
  case ${torch_version:-2.11 of an unknown build} in
    2.11*) ;;
    *) die "$torch is LibTorch $torch_version; the programs are built for 2.11" ;;
  esac
}

# What the programs are loaded with. LibTorch's libgomp must be the only one of a process, so its
# folder comes first. Where the system's C++ runtime is older than ours, ours comes along.
find_libraries() {
  local missing own=${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} cuda
  libraries=$torch/lib:$work/lib$own
  missing=$(missing_libraries "${programs[@]}")
  if grep -q 'GLIBCXX_\|CXXABI_\|GCC_' <<<"$missing"; then
    own=:$work/lib-cxx$own libraries=$torch/lib:$work/lib$own
    missing=$(missing_libraries "${programs[@]}")
  fi
  ! grep -q 'GLIBC_' <<<"$missing" || die "the C library is $(getconf GNU_LIBC_VERSION); the programs need 2.36 or newer"
  [ -z "$missing" ] || die "libraries are missing: $missing"
  # LibTorch finds its CUDA libraries by its own run path. Where it does not, they may lie beside it
  # as wheels lay them.
  [ "$device" != cpu ] || return 0
  missing=$(missing_libraries "$work/bin/liblongspan_cuda.so")
  [ -n "$missing" ] || return 0
  for cuda in "$torch"/../nvidia/*/lib; do libraries+=:$cuda; done
  missing=$(missing_libraries "$work/bin/liblongspan_cuda.so")
  [ -z "$missing" ] || echo "the plugin may not load; these are missing: $missing"
}
missing_libraries() {  # missing_libraries FILE...
  local file
  for file in "$@"; do LD_LIBRARY_PATH=$libraries ldd "$file" 2>&1 | grep 'not found\|No such file'; done | sort -u
}

# versions: what this machine is, as lines "NAME: VALUE" for people and for the report
versions() {
  echo "bundle: $(cat "$work/commit.txt")"
  echo "LibTorch: ${torch_version:-unknown} in $torch"
  echo "C library: $(getconf GNU_LIBC_VERSION)"
  echo "system: $(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}"), Linux $(uname -r)"
  echo "cores: $(nproc)"
  echo "python: $(python3 --version 2>&1)"
  local line number=0
  if command -v nvidia-smi >/dev/null; then
    while read -r line; do
      echo "card $((number++)): $line"
    done < <(timeout 10 nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv,noheader)
  else
    echo "card: nvidia-smi is not there"
  fi
}

failures=""
# step NAME END COMMAND...: runs until END percent of the time at most. {budget} in the command
# stands for its seconds. Exit code 77 = what it needs is not there.
step() {
  local name=$1 end=$2 begin=$SECONDS budget code status; shift 2
  [[ ,$steps, = *,$name,* ]] || return 0
  [ "$steps" = "$all_steps" ] || end=100
  budget=$((total * end / 100 - SECONDS))
  [ "$budget" -ge 8 ] || budget=8
  say "$name (at most $budget s)"
  local command=("${@//\{budget\}/$((budget - 4))}")
  timeout --kill-after=5 "$budget" "${command[@]}"
  code=$?
  case $code in
    0) status=passed ;;
    77) status=skipped ;;
    124 | 137) status=stopped ;;   # by the clock
    *) status=failed ;;
  esac
  # These two are slow, and what they have found by then counts. The others watch the clock
  # themselves, so what the clock has to stop has hung.
  [[ $status != stopped || $name =~ ^(peers|sanitizer)$ ]] || status=failed
  [ "$status" != failed ] || failures+=" $name"
  printf '{"name": "%s", "status": "%s", "code": %d, "seconds": %d, "budget": %d}\n' "$name" "$status" "$code" $((SECONDS - begin)) "$budget" >>"$work/steps.jsonl"
  echo "$name: $status, $((SECONDS - begin)) s"
  report
}
report() { python3 "$here/report.py" --work "$work" --out "$out" || failures+=" report"; }

check() {  # check NAME SECTIONS END: those sections of backend_check
  step "$1" "$3" bash -c 'LD_LIBRARY_PATH=$1 exec "${@:4}" --minutes "$(awk "BEGIN { print $2 / 60 }")" --json "$3"' _ "$libraries" '{budget}' "$work/$1.json" \
    "$work/bin/backend_check" --device "$check_device" --fixtures "$work/fixtures" --models "$models" --sections "$2" "${tiny[@]}"
}

kernels() {
  step kernels 34 bash -c '[ -x "$1" ] || { echo "this bundle has no cuda_kernels_check"; exit 77; }
    LD_LIBRARY_PATH=$2 "$1" | tee "$4"; code=${PIPESTATUS[0]}
    [ "$3" != cpu ] || ! grep -q "no CUDA device" "$4" || exit 77
    exit "$code"' _ "$work/bin/cuda_kernels_check" "$libraries" "$device" "$work/kernels.txt"
}

peers() {
  local on=$device
  [ "$on" != cuda ] || on=cuda:0
  # Without LD_LIBRARY_PATH: python3's torch finds its own libraries.
  step peers 80 python3 "$here/peers.py" --models "$models" --json "$work/peers.json" --ours "$work/throughput.json" --device "$on" --seconds '{budget}' "${tiny[@]}"
}

server() {
  local seconds=4
  [ "$device" != cpu ] || seconds=1
  step server 90 python3 "$here/serve.py" --programs "$work/bin" --libraries "$libraries" --models "$models" --json "$work/server.json" \
    --bare "$work/throughput.json" --device "$device" --seconds $seconds --limit '{budget}' "${tiny[@]}"
}

sanitizer() {
  local tool
  tool=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | tail -1)
  # LibTorch's cache of memory would hide what is read beyond a tensor's end. With the last three a
  # program does not start itself again (core/runtime/runtime_environment.h), which tools lose.
  step sanitizer 100 bash -c '[ "$1" != cpu ] || { echo "there is no card"; exit 77; }
    [ -n "$2" ] || { echo "compute-sanitizer is not there"; exit 77; }
    env LD_LIBRARY_PATH="$3" PYTORCH_NO_CUDA_MEMORY_CACHING=1 OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=2000 ONEDNN_PRIMITIVE_CACHE_CAPACITY=256 \
      "$2" --tool memcheck --error-exitcode 9 "$4/bin/backend_check" --device "$1" --fixtures "$4/fixtures-small" --sections fixtures,attention --tiny 2>&1 |
      grep -v "^PASS"
    exit "${PIPESTATUS[0]}"' _ "$device" "$tool" "$libraries" "$work"
}

main() {
  find_libtorch
  unpack "${TMPDIR:-/tmp}" || { rm -rf "${work:-}"; unpack "$here"; } || die "the programs cannot be unpacked or started, neither in ${TMPDIR:-/tmp} nor in $here"
  trap 'rm -rf "$work"' EXIT
  models=$work/models programs=("$work"/bin/{longspan-server,longspan,backend_check})
  mkdir "$work/fixtures-small" && ln -s ../fixtures/{longformer-windows,modernbert,reformer-mixed} "$work/fixtures-small/"
  find_libraries
  say "versions"
  versions | tee "$work/versions.txt"
  echo "$device" >"$work/device.txt"
  check parity device,fixtures,models,recordings,attention,chunks,rows 28
  kernels
  check throughput device,throughput 58
  peers
  server
  check memory device,memory 94
  sanitizer
  say "${failures:+FAILED:$failures. }The report is $out/gpu_report.md"
  [ -z "$failures" ]
}
main 2>&1 | tee "$out/gpu_run.log"
exit "${PIPESTATUS[0]}"
