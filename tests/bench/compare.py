#!/usr/bin/env python3
"""Measures tokens/s and peak memory of longspan and of other engines by model, dtype and length.

    compare.py --worker BUILD/tests/throughput_worker --embedded DIR --dense DIR --cache DIR
               [--models NAME ...] [--lengths N ...] [--dtypes float32 ...] [--rounds N]
               [--seconds S] [--minutes M] [--threads N] [--out results.json]

All engines get the same weights, the same texts and the same number of threads. They run in turn
(A B A B) in one run, so that what disturbs the machine disturbs all of them. Every figure is the
best of all passes. Each engine's vector is compared with longspan's (column "cosine").

A batch has 2,048 tokens in texts of equal length, or one longer text. At each length every engine
makes two passes (one above 8,192 tokens), and then further ones until --seconds have passed or
--rounds are done. After --minutes no new model, dtype or length is begun, and those that are
missing are named. Rows of earlier runs stay in the file until they are measured anew, unless the
processor, the threads or a version has changed.
"""
import argparse
import importlib.metadata
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

from cases import MODELS, Checkpoints

HERE = Path(__file__).parent
LENGTHS = sorted({n for engines in MODELS.values() for engine in engines for n in engine.lengths})


class Refused(Exception):
    """The engine refuses this model and dtype, for the reason given."""


class Worker:
    """A process that encodes batches: throughput_worker, or engine_worker.py."""

    def __init__(self, command, environment):
        command = [str(part) for part in command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        first = self.process.stdout.readline().split(maxsplit=1)
        if first and first[0] == "refused":
            raise Refused(first[1].strip())
        if not first or first[0] != "ready":
            raise SystemExit(f"{' '.join(command)} did not start")

    def measure(self, length, texts):
        """One batch: seconds, peak MiB, and the vector of its first text."""
        self.process.stdin.write(f"{length} {texts}\n")
        self.process.stdin.flush()
        answer = [float(word) for word in self.process.stdout.readline().split()]
        if len(answer) < 3:
            raise SystemExit("a worker died: its message stands above")
        return answer[0], answer[1], answer[2:]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


class Comparison:
    def __init__(self, arguments):
        self.arguments = arguments
        self.started = time.monotonic()
        self.checkpoints = Checkpoints(arguments.embedded, arguments.dense, arguments.cache)
        self.out = Path(arguments.out)
        self.results = json.loads(self.out.read_text()) if self.out.exists() else {}
        machine = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("model name"))
        flags = next(line.split(":")[1].split() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("flags"))
        units = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
        versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "sentence-transformers", "onnxruntime")}
        head = {"machine": machine, "units": units, "threads": arguments.threads, "versions": versions}
        if any(self.results.get(key) != head[key] for key in head):
            self.results = {**head, "refused": {}, "rows": []}

    def late(self):
        return time.monotonic() - self.started > 60 * self.arguments.minutes

    def start(self, engine, dtype):
        path = self.checkpoints.path(engine.model)
        if engine.worker == "longspan":
            return Worker([self.arguments.worker, path, dtype, self.arguments.threads], {})
        return Worker([sys.executable, HERE / "engine_worker.py", engine.worker, path, dtype, self.arguments.threads], engine.environment)

    def run(self):
        for model in self.arguments.models:
            for dtype in self.arguments.dtypes:
                self.run_model(model, dtype)
        print(f"{(time.monotonic() - self.started) / 60:.1f} minutes")

    def run_model(self, model, dtype):
        wanted = [engine for engine in MODELS[model] if dtype in engine.dtypes]
        if not wanted or self.late():
            print(f"skipped, --minutes is over: {model} {dtype}") if wanted else None
            return
        workers = {}
        for engine in wanted:
            try:
                workers[engine] = self.start(engine, dtype)
            except Refused as refusal:
                print(f"{model} {dtype}: longspan refuses: {refusal}", flush=True)
                self.results["refused"][dtype] = str(refusal)
                # The other engines' figures in this dtype are of no use alone. Only those in int8
                # are measured all the same.
                wanted = [other for other in wanted if dtype == "int8" and other is not engine]
                if not wanted:
                    return
        for length in sorted({n for engine in workers for n in engine.lengths} & set(self.arguments.lengths)):
            if self.late():
                print(f"skipped, --minutes is over: {model} {dtype} from length {length}")
                break
            self.run_length(model, dtype, length, {engine: worker for engine, worker in workers.items() if length in engine.lengths})
        for worker in workers.values():
            worker.close()

    def run_length(self, model, dtype, length, workers):
        texts, passes, vectors, begin = max(1, 2048 // length), {engine: [] for engine in workers}, {}, time.monotonic()
        for round_ in range(self.arguments.rounds):
            if round_ >= (2 if length <= 8192 else 1) and time.monotonic() - begin > self.arguments.seconds:
                break
            for engine, worker in workers.items():
                seconds, mib, vectors[engine] = worker.measure(length, texts)
                passes[engine].append((seconds, mib))
        for engine, measured in passes.items():
            row = {"model": model, "dtype": dtype, "length": length, "engine": engine.label, "passes": len(measured),
                   "tokens_per_second": round(length * texts / min(seconds for seconds, _ in measured)), "peak_mib": round(max(mib for _, mib in measured))}
            first = next(iter(vectors))
            if engine is not first and engine.model in (first.model, "dense", "onnx-float32", "onnx-int8"):
                row["cosine"] = round(cosine(vectors[engine], vectors[first]), 6)
            same = ("model", "dtype", "length", "engine")
            self.results["rows"] = [other for other in self.results["rows"] if any(other[key] != row[key] for key in same)] + [row]
            elapsed = time.monotonic() - self.started
            print(f"[{elapsed:5.0f} s] {model[:30]:30s} {dtype:9s} {length:7,d}  {row['engine']:34s} {row['tokens_per_second']:8,d} tok/s {row['peak_mib']:7,d} MiB"
                  f"  {row['passes']} passes  {row.get('cosine', '')}", flush=True)
        self.out.write_text(json.dumps(self.results, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--embedded", required=True)
    parser.add_argument("--dense", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--lengths", nargs="*", type=int, default=LENGTHS)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16", "int8"], choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--rounds", type=int, default=6, help="most passes of each engine at one length")
    parser.add_argument("--seconds", type=float, default=12, help="no new round at a length after so long")
    parser.add_argument("--minutes", type=float, default=40, help="nothing new is begun after so long")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", default=str(HERE / "results.json"))
    Comparison(parser.parse_args()).run()


if __name__ == "__main__":
    main()
