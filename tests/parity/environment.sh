#!/bin/bash
# Makes the environment of the reference libraries (torch 2.11, transformers 5.23,
# sentence-transformers 6.2), once (1.6 GB), and prints the path of its python.
# torch's wheel is the CUDA build. On a CPU it needs two small CUDA wheels, and empty stand-ins for
# libraries that nothing calls.
set -euo pipefail
cd "$(dirname "$0")"
folder=${LONGSPAN_CACHE:-$HOME/.cache/longspan}/parity-$(sha256sum requirements.txt environment.sh | sha256sum | cut -c1-12)
if [ ! -f "$folder/.complete" ]; then
  python3 -m venv --clear "$folder" >&2
  "$folder/bin/pip" install -q --no-deps torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
  "$folder/bin/pip" install -q -r requirements.txt 2> >(grep -v 'which is not installed' >&2)
  # Without its requirements, which would bring those of torch again.
  "$folder/bin/pip" install -q --no-deps sentence-transformers==6.2.0
  packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  for library in cudnn.so.9 cufile.so.0 cusparse.so.12 cufft.so.12 cusparseLt.so.0 nccl.so.2 curand.so.10 cublas.so.13 cublasLt.so.13 nvshmem_host.so.3; do
    [ -e "$packages/torch/lib/lib$library" ] ||
      echo | gcc -shared -fPIC -nostdlib -x c - -Wl,-soname,"lib$library" -o "$packages/torch/lib/lib$library"
  done
  printf 'import os, sys\nsys.setdlopenflags(os.RTLD_LAZY)\n' > "$packages/sitecustomize.py"
  touch "$folder/.complete"
fi
echo "$folder/bin/python"
