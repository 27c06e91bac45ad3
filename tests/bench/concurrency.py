#!/usr/bin/env python3
"""Measures each division of the cores among replicas with 1, 2, 8 and 32 texts at once.

    concurrency.py --build BUILD [--model DIR] [--dtype float32] [--tokens 512] [--seconds 4]
                   [--rounds 2] [--texts 1 2 8 32] [--out FILE]

The load is a closed loop (closed_loop_load) on the real server, over the loopback interface. There
are two divisions: one replica with a thread for each core, and one replica for each core with one
thread. They run in turn (A B A B), and the round with the higher rate counts. speed_tables.py reads
the file.
"""
import argparse
import json
import os
import re
import subprocess
from pathlib import Path

import processor


class Server:
    """A longspan-server on a free port of 127.0.0.1."""

    def __init__(self, build, model, dtype, replicas, threads):
        self.process = subprocess.Popen([f"{build}/longspan-server", "--model", model, "--dtype", dtype, "--replicas", str(replicas), "--threads", str(threads),
                                         "--listen", "127.0.0.1:0", "--http", "off", "--drain-delay", "0", "--log-level", "error"], stdout=subprocess.PIPE, text=True)
        self.address = None
        for line in self.process.stdout:
            if found := re.search(r"gRPC on (127\.0\.0\.1:\d+)", line):
                self.address = found[1]
                return
        raise SystemExit("the server did not start: its message stands above")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--model", help="default: the embedded model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--texts", type=int, nargs="*", default=[1, 2, 8, 32])
    parser.add_argument("--out", default=str(processor.results_file(Path(__file__).parent / "results/concurrency")),
                        help="default: the file of this processor's class")
    arguments = parser.parse_args()
    model = arguments.model or Path(f"{arguments.build}/embedded_model.path").read_text().strip()
    modes = [(1, cores), (cores, 1)] if cores > 1 else [(1, 1)]
    best = {}
    for _ in range(arguments.rounds):
        for mode in modes:
            server = Server(arguments.build, model, arguments.dtype, *mode)
            try:
                for texts in arguments.texts:
                    load = [f"{arguments.build}/tests/closed_loop_load", server.address, str(texts), str(arguments.tokens), str(arguments.seconds)]
                    rate, p50, p99 = map(float, subprocess.run(load, check=True, stdout=subprocess.PIPE, text=True).stdout.split())
                    row = {"replicas": mode[0], "threads": mode[1], "concurrent_texts": texts, "tokens_per_second": round(rate), "p50_ms": round(p50, 1), "p99_ms": round(p99, 1)}
                    print(f"{mode[0]} x {mode[1]}, {texts:3d} at once: {row['tokens_per_second']:8,d} tok/s, p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms", flush=True)
                    if rate > best.get((mode, texts), {"tokens_per_second": -1})["tokens_per_second"]:
                        best[mode, texts] = row
            finally:
                server.stop()
    results = {**processor.describe(), **processor.when(), "model": Path(model).name, "dtype": arguments.dtype, "tokens": arguments.tokens, "rows": [best[mode, texts] for mode in modes for texts in arguments.texts]}
    Path(arguments.out).write_text(json.dumps(results, indent=1) + "\n")


main()
