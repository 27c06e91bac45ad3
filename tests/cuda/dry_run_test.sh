#!/bin/bash
# The whole of gpu-bundle/run.sh on the CPU: the day a card is lent, the script must not fail on a
# typing error.
#   dry_run_test.sh BUILD_DIR LIBTORCH_LIB
# Also: the bundle is bounded and the same each time, its programs load nothing of this machine but
# the C library, and a wrong vector is found.
set -euo pipefail
cd "$(dirname "$0")"
build=$1 libtorch=$2
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
failed=0
wrong() { printf 'FAILED: %s\n' "$*"; failed=1; }
plugin=(); [ -f "$build/liblongspan_cuda.so" ] || plugin=(--without-plugin)
bundle=$scratch/gpu-bundle

bash bundle.sh "$build" "$bundle" "${plugin[@]}"
bash bundle.sh "$build" "$scratch/again" "${plugin[@]}" >/dev/null
diff -r "$bundle" "$scratch/again" || wrong "the same build gives another bundle"
! bash bundle.sh "$build" "$scratch/large" "${plugin[@]}" --limit 1 2>"$scratch/large.txt" || wrong "a bundle of more than its limit passes"
grep -q ' bin/longspan-server' "$scratch/large.txt" || wrong "a bundle that is too large does not name its largest files"
mkdir -p "$scratch/empty/tests" && ! bash bundle.sh "$scratch/empty" "$scratch/none" 2>"$scratch/none.txt" || wrong "a build without the plugin gives a bundle"
grep -q 'has no plugin' "$scratch/none.txt" || wrong "a missing plugin is not named"

# LibTorch lies elsewhere than the programs' run path says, as on the machine with the card.
ln -s "$(dirname "$libtorch")" "$scratch/torch"
export LONGSPAN_LIBTORCH=$scratch/torch
mkdir "$scratch/payload" && tar -xzf "$bundle/payload.tar.gz" -C "$scratch/payload"
for program in longspan-server longspan backend_check; do
  LD_LIBRARY_PATH=$scratch/torch/lib:$scratch/payload/lib ldd "$scratch/payload/bin/$program" >"$scratch/ldd.txt"
  ! grep -q 'not found' "$scratch/ldd.txt" || wrong "$program misses libraries: $(grep 'not found' "$scratch/ldd.txt")"
  strange=$(awk '$2 == "=>" { print $1, $3 }' "$scratch/ldd.txt" | grep -vE "^(libc|libm|libpthread|libdl|librt|libutil|libresolv|libstdc\+\+|libgcc_s|libcud[a-z]*|libcupti)\.so| $scratch/" || true)
  [ -z "$strange" ] || wrong "$program takes from this machine: $strange"
done

# Where permissions are lost on the way, bash starts it. With a card's name it must say what is
# missing here.
chmod -R a-x+X "$bundle"
code=0; OUT=$scratch/card bash "$bundle/run.sh" --device cuda:0 >"$scratch/card.txt" 2>&1 || code=$?
[ "$code" = 2 ] && grep -q 'without CUDA' "$scratch/card.txt" || wrong "a LibTorch without CUDA gives code $code: $(cat "$scratch/card.txt")"

code=0; OUT=$scratch/out bash "$bundle/run.sh" --device cpu --minutes 3 || code=$?
[ "$code" = 0 ] || wrong "run.sh ends with code $code"
python3 - "$scratch/out" <<'PYTHON' || wrong "the report"
import json, sys
from pathlib import Path
out = Path(sys.argv[1])
report = json.loads((out / "gpu_report.json").read_text())
steps = {step["name"]: step["status"] for step in report["steps"]}
assert list(steps) == ["parity", "kernels", "throughput", "peers", "server", "memory", "sanitizer"], steps
for name, allowed in {"parity": ["passed"], "kernels": ["skipped"], "throughput": ["passed"], "peers": ["passed"], "server": ["passed"], "memory": ["passed"], "sanitizer": ["skipped"]}.items():
    assert steps[name] in allowed, (name, steps[name])
found = {section["name"]: section for part in ("parity", "throughput", "memory") for section in report[part]["sections"]}
assert list(found) == ["device", "fixtures", "models", "recordings", "attention", "chunks", "rows", "throughput", "memory"], list(found)
for name, section in found.items():
    assert section["status"] == "passed" and section["rows"], (name, section["status"])
assert found["fixtures"]["passed"] > 20 and found["models"]["passed"] > 40 and found["attention"]["passed"] > 100 and found["rows"]["passed"] > 100
assert found["recordings"]["passed"] == 20 and found["chunks"]["passed"] > 8
measured = {row["model"] for row in found["throughput"]["rows"] if "tokens_per_second" in row}
assert {"longformer-base", "minilm-l6", "modernbert-base", "roberta-base", "bigbird-base", "led-base"} <= measured, measured
assert all(row["tokens_per_second"] > 0 for row in report["server"]["rows"]) and len(report["server"]["rows"]) == 2
assert len(report["peers"]["rows"]) > 20, "peers that are not there must say so"
text = (out / "gpu_report.md").read_text()
for heading in ("Steps", "Checks", "Figures", "Throughput", "Peers on the same machine", "Server under load", "Memory"):
    assert f"## {heading}\n" in text, heading
assert (out / "gpu_run.log").stat().st_size > 1000
PYTHON

# One value of one expected row is changed: the run must find it and name the fixture.
python3 - "$scratch/payload/fixtures/bert" <<'PYTHON'
import json, struct, sys
from pathlib import Path
folder = Path(sys.argv[1])
case = json.loads((folder / "cases.json").read_text())["cases"][0]["name"]
file = bytearray((folder / "expected.safetensors").read_bytes())
header = struct.unpack_from("<Q", file)[0]
at = 8 + header + json.loads(file[8:8 + header])[case]["data_offsets"][0]
struct.pack_into("<f", file, at, struct.unpack_from("<f", file, at)[0] + 0.001)
(folder / "expected.safetensors").write_bytes(file)
PYTHON
tar -C "$scratch/payload" -cz . >"$bundle/payload.tar.gz"
code=0; OUT=$scratch/wrong bash "$bundle/run.sh" --device cpu --minutes 1 --steps parity >"$scratch/wrong.txt" || code=$?
[ "$code" = 1 ] || wrong "a wrong vector gives code $code"
grep -q '^- fixtures: bert float32, largest difference from the published code' "$scratch/wrong/gpu_report.md" || wrong "a wrong vector is not named in the report"
[ $failed = 0 ] && echo "dry run: all checks passed"
exit $failed
