#!/usr/bin/env python3
"""Measures tokens/s and peak memory of longspan and of other engines by model, dtype and length.

    compare.py --worker BUILD/tests/throughput_worker --embedded DIR --dense DIR --cache DIR
               [--models NAME ...] [--lengths N ...] [--dtypes float32 ...] [--rounds N]
               [--seconds S] [--minutes M] [--threads N] [--out results/CLASS.json]

All engines get the same weights, the same texts and the same number of threads. They run in turn
(A B A B) in one run, so that what disturbs the machine disturbs all of them. Every figure is the
best of all passes. Each engine's vector is compared with longspan's (column "cosine").

A batch has 2,048 tokens in texts of equal length, or one longer text. At each length every engine
makes two passes (one above 8,192 tokens), and then further ones until --seconds have passed or
--rounds are done. After --minutes no new model, dtype or length is begun, and those that are
missing are named. Rows of earlier runs stay in the file until they are measured anew, unless the
processor, the threads or a version has changed.

An engine that cannot load a model in a dtype, cannot run a length, or dies, is named with its
reason in the file ("refusals"), and the run goes on with the other engines and lengths.
"""
import argparse
import importlib.metadata
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processor
from cases import MODELS, Checkpoints

HERE = Path(__file__).parent
LENGTHS = sorted({n for engines in MODELS.values() for engine in engines for n in engine.lengths})


class Refused(Exception):
    """An engine cannot load a model, cannot run a pass, or died; says why in one line."""


class Worker:
    """One engine in a process of its own. Speaks the protocol of throughput_worker.cc."""

    def __init__(self, command, environment):
        # What the engine writes to stderr matters only if it dies: its last line is the reason.
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, **environment})
        try:
            self.answer()  # "ready"
        except Refused:
            self.close()
            raise

    def measure(self, length, texts):
        """(seconds, peak MiB, vector of the first text)"""
        try:
            self.process.stdin.write(f"{length} {texts}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died after its last answer: answer() finds the end of its output
        seconds, mib, *vector = map(float, self.answer())
        return seconds, mib, vector

    def answer(self):
        words = self.process.stdout.readline().split()
        if not words:
            self.close()
            raise Refused(self.why_it_died())
        if words[0] == "refused":
            raise Refused(" ".join(words[1:]))
        return words

    def why_it_died(self):
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        print("\n".join(lines[-40:]), file=sys.stderr, flush=True)
        code = self.process.returncode
        how = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{how}: {lines[-1]}" if lines else how

    def is_dead(self):
        return self.process.poll() is not None

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
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
        versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "sentence-transformers", "onnxruntime")}
        head = {**processor.describe(), "threads": arguments.threads, "versions": versions}
        if any(self.results.get(key) != head[key] for key in head):
            self.results = {**head, "rows": []}
        # Who could not run what: model, dtype, engine, length unless it did not load, error.
        self.results.setdefault("refusals", [])

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
            same = {"model": model, "dtype": dtype, "engine": engine.label}
            try:
                workers[engine] = self.start(engine, dtype)
                self.forget_refusal(same)
            except Refused as refusal:
                self.refuse(same, refusal)
                # The others are measured beside longspan in its own dtype. int8 of ONNX Runtime
                # stands beside whatever longspan runs.
                if engine.worker == "longspan" and dtype != "int8":
                    break
        for length in sorted({n for engine in workers for n in engine.lengths} & set(self.arguments.lengths)):
            if self.late():
                print(f"skipped, --minutes is over: {model} {dtype} from length {length}")
                break
            self.run_length(model, dtype, length, {engine: worker for engine, worker in workers.items() if length in engine.lengths and not worker.is_dead()})
        for worker in workers.values():
            worker.close()
        self.write()

    def refuse(self, same, refusal):
        print(f"{', '.join(str(value) for value in same.values())}: refused: {refusal}", flush=True)
        self.forget_refusal(same)
        self.results["refusals"].append({**same, "error": str(refusal)})

    def forget_refusal(self, same):
        self.results["refusals"] = [other for other in self.results["refusals"] if {**other, "error": ""} != {**same, "error": ""}]

    def write(self):
        rows, refusals = (self.results.pop(key) for key in ("rows", "refusals"))
        self.results |= {**processor.when(), "refusals": refusals, "rows": rows}
        self.out.write_text(json.dumps(self.results, indent=1) + "\n")

    def run_length(self, model, dtype, length, workers):
        texts, passes, vectors, begin = max(1, 2048 // length), {engine: [] for engine in workers}, {}, time.monotonic()
        for round_ in range(self.arguments.rounds):
            if round_ >= (2 if length <= 8192 else 1) and time.monotonic() - begin > self.arguments.seconds:
                break
            for engine, worker in list(workers.items()):
                try:
                    seconds, mib, vectors[engine] = worker.measure(length, texts)
                    passes[engine].append((seconds, mib))
                except Refused as refusal:  # the others go on; its passes so far count
                    self.refuse({"model": model, "dtype": dtype, "engine": engine.label, "length": length}, refusal)
                    del workers[engine]
        for engine, measured in passes.items():
            if not measured:
                continue
            row = {"model": model, "dtype": dtype, "length": length, "engine": engine.label, "passes": len(measured),
                   "tokens_per_second": round(length * texts / min(seconds for seconds, _ in measured)), "peak_mib": round(max(mib for _, mib in measured))}
            first = next(iter(vectors))
            if first.worker == "longspan" and engine is not first and engine.model in (first.model, "dense", "onnx-float32", "onnx-int8"):
                row["cosine"] = round(cosine(vectors[engine], vectors[first]), 6)
            same = ("model", "dtype", "length", "engine")
            if engine in workers:
                self.forget_refusal({key: row[key] for key in same})
            self.results["rows"] = [other for other in self.results["rows"] if any(other[key] != row[key] for key in same)] + [row]
            elapsed = time.monotonic() - self.started
            print(f"[{elapsed:5.0f} s] {model[:30]:30s} {dtype:9s} {length:7,d}  {row['engine']:34s} {row['tokens_per_second']:8,d} tok/s {row['peak_mib']:7,d} MiB"
                  f"  {row['passes']} passes  {row.get('cosine', '')}", flush=True)
        self.write()


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
    parser.add_argument("--out", default=str(processor.results_file(HERE / "results")), help="default: the file of this processor's class")
    Comparison(parser.parse_args()).run()


if __name__ == "__main__":
    main()
