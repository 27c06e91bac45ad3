#!/usr/bin/env python3
"""The server under load on the card: tokens a second that `longspan bench` is answered, beside what
the bare encoder makes of batches of the same length (backend_check's throughput).

    serve.py --programs DIR --models DIR --json FILE [--bare throughput.json] [--device cuda]
             [--libraries PATH] [--seconds S] [--limit S] [--tiny]

--libraries is the LD_LIBRARY_PATH of the programs; this script itself runs without it.
Exit code 1 where a server does not start or answers with errors.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# (model, tokens of a text, callers, texts or ids). Ids first: they show the path of the card alone.
LOADS = [("longformer-base", 4096, 64, "ids"), ("minilm-l6", 128, 2048, "ids"), ("longformer-base", 512, 512, "texts")]


class Server:
    """A running longspan-server on a free port."""

    def __init__(self, arguments, model, dtype):
        self.client = arguments.programs / "longspan"
        # LONGSPAN_LIBTORCH is run.sh's; the server refuses what looks like a setting and is none.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("LONGSPAN_")}
        if arguments.libraries:
            self.environment["LD_LIBRARY_PATH"] = arguments.libraries
        self.process = subprocess.Popen(
            [arguments.programs / "longspan-server", "--model", model, "--device", arguments.device, "--dtype", dtype, "--listen", "127.0.0.1:0", "--http", "off",
             "--max-batch-tokens", "65536", "--tokenizer-threads", str(max(2, (os.cpu_count() or 2) // 2)), "--drain-delay", "0s", "--log-level", "warning"],
            stdout=subprocess.PIPE, text=True, env=self.environment)
        # A server that neither starts nor ends must not take the time of all that follows.
        limit = max(5, arguments.end - time.monotonic())
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        self.address = None
        for line in self.process.stdout:
            if found := re.search(r"gRPC on (\S+),", line):
                self.address = found[1]
                break
        timer.cancel()
        if self.address is None:
            raise RuntimeError(f"longspan-server did not start within {limit:.0f} s; its message stands above")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def ask(self, *command):
        return json.loads(subprocess.run([self.client, *command, "--server", self.address], stdout=subprocess.PIPE, text=True, check=True, env=self.environment).stdout)


def folder_of_ids(folder, scratch):
    """The model without its tokenizer: the server then takes ids alone, and bench sends such."""
    without = Path(scratch) / f"{folder.name}-ids"
    if not without.exists():
        without.mkdir()
        for name in ("config.json", "model.safetensors"):
            (without / name).symlink_to((folder / name).resolve())
    return without


def bare_rate(arguments, model, dtype, length):
    """The bare encoder's tokens a second at this length; None where that was not measured."""
    if not arguments.bare or not arguments.bare.exists():
        return None
    for section in json.loads(arguments.bare.read_text())["sections"]:
        for row in section["rows"]:
            if (row.get("model"), row.get("dtype"), row.get("length"), row.get("latency")) == (model, dtype, length, False):
                return row["tokens_per_second"]
    return None


def measure(arguments, scratch, model, length, callers, kind):
    dtype = "float32" if arguments.tiny else "bfloat16"
    folder = arguments.models / (f"{model}-tiny" if arguments.tiny else model)
    if arguments.tiny:
        length, callers = 32, 4
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"backend_check has not made {folder.name}")
    row = {"model": model, "dtype": dtype, "length": length, "callers": callers, "kind": kind}
    with Server(arguments, folder_of_ids(folder, scratch) if kind == "ids" else folder, dtype) as server:
        row["device"] = server.ask("info", "--format", "json").get("device", "")
        report = server.ask("bench", "--concurrency", str(callers), "--connections", "16", "--lengths", str(length), "--seconds", str(arguments.seconds), "--warmup", str(arguments.seconds / 3), "--request-deadline", "30")
    row |= {"tokens_per_second": report["tokens_per_second"], "errors": report["errors"], "good": report["good"]}
    bare = bare_rate(arguments, model, dtype, length)
    if bare:
        row |= {"bare_tokens_per_second": bare, "served_to_bare": row["tokens_per_second"] / bare}
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--bare", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--libraries", default="")
    parser.add_argument("--seconds", type=float, default=4, help="how long each load is measured")
    parser.add_argument("--limit", type=float, default=60, help="no load begins after so many seconds, nor does a start take longer")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    arguments.end = time.monotonic() + arguments.limit
    rows, failed = [], False
    scratch = tempfile.mkdtemp(prefix="longspan_serve_")
    for load in LOADS[:1] + LOADS[2:] if arguments.tiny else LOADS:
        what = f"{load[0]}, {load[1]} tokens, {load[3]}"
        start = time.monotonic()
        try:
            if start > arguments.end:
                raise TimeoutError("the time is over")
            row = measure(arguments, scratch, *load)
            row["result"] = "failed" if row["errors"] or not row["good"] else "measured"
        except Exception as error:    # the next load may still work
            row = {"model": load[0], "length": load[1], "kind": load[3], "result": "skipped" if isinstance(error, TimeoutError) else "failed", "why": f"{type(error).__name__}: {error}"[:300]}
        failed = failed or row["result"] == "failed"
        row["what"] = f"served: {row['model']}, {row['length']} tokens, {row['kind']}"
        rows.append(row)
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1))
        line = row.get("why") or f"{row['tokens_per_second']:,.0f} tokens/s" + (f", {row['served_to_bare']:.0%} of the bare encoder" if "served_to_bare" in row else "") + (f", errors {row['errors']}" if row["errors"] else "")
        print(f"{what}: {line} ({time.monotonic() - start:.0f} s)", flush=True)
    shutil.rmtree(scratch, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
