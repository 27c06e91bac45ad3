#!/bin/bash
# The environment of the engines that ./dev bench compares with (torch, transformers,
# sentence-transformers, ONNX Runtime; once, 1.9 GB), every wheel pinned by hash. Prints the path of
# its python.
# torch's wheel is the CUDA build; on a CPU it needs two small CUDA wheels and empty stand-ins for
# libraries that nothing calls.
set -euo pipefail
cd "$(dirname "$0")"
folder=${LONGSPAN_CACHE:-$HOME/.cache/longspan}/bench-$(sha256sum requirements.txt environment.sh | sha256sum | cut -c1-12)
if [ ! -f "$folder/.complete" ]; then
  echo "Fetching the engines to compare with (once)" >&2
  python3 -m venv --clear "$folder" >&2
  "$folder/bin/pip" install -q --no-deps --require-hashes --only-binary=:all: -r requirements.txt >&2 ||
    { echo "pip could not fetch tests/bench/requirements.txt: it takes python 3.11 on x86-64 and a package index that answers" >&2; exit 1; }
  packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  for library in cudnn.so.9 cufile.so.0 cusparse.so.12 cufft.so.12 cusparseLt.so.0 nccl.so.2 curand.so.10 cublas.so.13 cublasLt.so.13 nvshmem_host.so.3; do
    echo | gcc -shared -fPIC -nostdlib -x c - -Wl,-soname,"lib$library" -o "$packages/torch/lib/lib$library"
  done
  printf 'import os, sys\nsys.setdlopenflags(os.RTLD_LAZY)\n' > "$packages/sitecustomize.py"
  touch "$folder/.complete"
fi
echo "$folder/bin/python"
