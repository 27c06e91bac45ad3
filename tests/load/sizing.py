#!/usr/bin/env python3
"""Measures what a server of so many cores does and takes, and writes it to sizing/CLASS.json.

    sizing.py --build BUILD_DIR --embedded MODEL_DIR --checkpoints PYTHON
              [--only MODEL ...] [--out sizing/CLASS.json]

For each model, type and number of cores a longspan-server with its default settings runs on these
cores (taskset), and callers in a closed loop keep it busy with texts of one length, 16 at once with
short ones, one with long ones:

  tokens_per_second   short texts: the better of two runs; long ones: by their median time
  resident_mib        resident set once it serves, before the first text
  peak_mib            largest resident set, after all runs

`flags` holds, for the embedded model in float32 on all cores, what two settings change:
--max-batch-tokens at saturation, and --max-queue-seconds at twice the capacity.
--checkpoints names a Python with transformers, which makes the checkpoints of random weights (the
geometry of the published models) that the cache lacks.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))
import processor  # noqa: E402
from load import Server, p  # noqa: E402

SHORT, LONG = 512, 5000
DTYPES = ("float32", "bfloat16", "int8")
MODELS = {"all-MiniLM-L6-v2": "embedded", "longformer-base": "longformer-base", "modernbert-base": "modernbert-base"}
MAKE = "import sys; from cases import Checkpoints; print(Checkpoints(*sys.argv[1:4]).path(sys.argv[4]))"


def checkpoint(arguments, name):
    """The folder of a model as cases.py makes it."""
    cache = os.environ.get("LONGSPAN_CACHE", str(Path.home() / ".cache/longspan"))
    made = subprocess.run([arguments.checkpoints, "-c", MAKE, arguments.embedded, arguments.embedded, cache, name], stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(HERE.parent / "bench"), "PYTHONDONTWRITEBYTECODE": "1"})
    return Path(made.stdout.splitlines()[-1])


def with_tokenizer(model, embedded, folder):
    """A folder of that model with the embedded model's tokenizer, whose ids every vocabulary has.

    The ids that the configuration gives to special tokens are taken out of it: they are those of
    the tokenizer that the checkpoint lacks.
    """
    config = json.loads((model / "config.json").read_text())
    for key in [key for key in config if key.endswith("_token_id")]:
        del config[key]
    config["pad_token_id"] = 0
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").symlink_to(model / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (embedded / name).exists():
            (folder / name).symlink_to(embedded / name)
    return folder


def peak_mib(server):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[1]) / 1024


def short_rate(server, tokens):
    """Tokens a second of 16 callers: the better of two runs, of five texts of each at least."""
    lone = long_rate(server, tokens, 3)
    seconds = max(8, 5 * 16 * tokens / lone)
    rates = []
    for _ in range(2):
        report = server.bench("--concurrency", 16, "--lengths", tokens, "--seconds", seconds, "--request-deadline", 600)
        if report["errors"]:
            sys.exit(f"errors at saturation with texts of {tokens} tokens: {report['errors']}")
        rates.append(report["tokens_per_second"])
    return max(rates)


def long_rate(server, tokens, seconds):
    """Tokens a second of texts that come one after the other, each on all cores, by their median.
    A long text fills the cores by itself, and the few that end within a run are too few to count.
    """
    report = server.bench("--concurrency", 1, "--lengths", tokens, "--seconds", seconds, "--warmup", 0, "--request-deadline", 600)
    if report["errors"]:
        sys.exit(f"errors with texts of {tokens} tokens: {report['errors']}")
    return tokens / (report["classes"][0]["latency_ms"]["p50"] / 1000)


def measure(arguments, cores):
    """The row of one model, type and number of cores."""
    with Server(arguments, arguments.dtype, ("taskset", "-c", f"0-{cores - 1}")) as server:
        resident = server.rss_mib()
        short = short_rate(server, SHORT)
        long = long_rate(server, LONG, max(8, 5 * LONG / short))
        return {"cores": cores, "dtype": arguments.dtype, "resident_mib": round(resident), "peak_mib": round(peak_mib(server)),
                "rates": [{"tokens": SHORT, "tokens_per_second": round(short)}, {"tokens": LONG, "tokens_per_second": round(long)}]}


def flags(arguments):
    """What two settings change, in float32 on all cores."""
    out = {"max_batch_tokens": [], "max_queue_seconds": []}
    for tokens in (2048, 16384, 65536):
        arguments.server_arg = [f"--max-batch-tokens={tokens}"]
        with Server(arguments, "float32") as server:
            report = server.bench("--concurrency", 256, "--lengths", "512", "--seconds", 15, "--warmup", 5, "--request-deadline", 600)
            row = report["classes"][0]["latency_ms"]
            out["max_batch_tokens"].append({"value": tokens, "tokens_per_second": round(report["tokens_per_second"]), "p99_ms": round(row["p99"]), "peak_mib": round(peak_mib(server))})
    for seconds in (60, 2):
        arguments.server_arg = [f"--max-queue-seconds={seconds}"]
        with Server(arguments, "float32") as server:
            report = server.bench("--load", 2, "--lengths", "512", "--seconds", 20, "--warmup", 20, "--request-deadline", 600)
            row = report["classes"][0]["latency_ms"]
            errors = sum(report["errors"].values())
            out["max_queue_seconds"].append({"value": seconds, "tokens_per_second": round(report["tokens_per_second"]), "p50_ms": round(row["p50"]), "p99_ms": round(row["p99"]),
                                             "refused": round(errors / (errors + report["good"]), 3), "refusal_p50_ms": p(report, "refusal_ms", "p50")})
    arguments.server_arg = []
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--embedded", type=Path, required=True)
    parser.add_argument("--checkpoints", required=True)
    parser.add_argument("--only", nargs="+", choices=[*MODELS, "flags"], default=[*MODELS, "flags"])
    parser.add_argument("--out", type=Path, default=processor.results_file(HERE / "sizing"), help="default: the file of this processor's class")
    arguments = parser.parse_args()
    arguments.server_arg = []
    most = len(os.sched_getaffinity(0))
    units = processor.describe()["units"]
    dtypes = DTYPES if "avx512_bf16" in units else ("float32", "int8")
    measured = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    head = {**processor.describe(), "threads": most}
    if any(measured.get(key) != head[key] for key in head):
        measured = {}  # another machine's figures say nothing about this one
    results = {**head, **processor.when(), "models": measured.get("models", {}), "flags": measured.get("flags", {})}

    def keep():
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")

    for name in [name for name in MODELS if name in arguments.only]:
        with tempfile.TemporaryDirectory() as folder:
            is_embedded = MODELS[name] == "embedded"
            arguments.model = arguments.embedded if is_embedded else with_tokenizer(checkpoint(arguments, MODELS[name]), arguments.embedded, Path(folder))
            rows = []
            for cores in sorted({1, most}):
                for arguments.dtype in dtypes:
                    rows.append(measure(arguments, cores))
                    print(name, json.dumps(rows[-1]), flush=True)
            results["models"][name] = rows
            keep()
    if "flags" in arguments.only:
        arguments.model = arguments.embedded
        results["flags"] = flags(arguments)
        print("flags", json.dumps(results["flags"]), flush=True)
        keep()


if __name__ == "__main__":
    main()
