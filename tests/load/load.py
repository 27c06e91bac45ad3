#!/usr/bin/env python3
"""Measures the server under load and writes the figures to results/CLASS.json.

    load.py --build BUILD_DIR --model MODEL_DIR [--only PHASE ...] [--out results/CLASS.json]
            [--server-arg=--flag=value ...]

longspan-server runs on free ports of 127.0.0.1, and `longspan bench` puts load on it. Each phase
writes its figures under its own name:

  lone        one caller: how long it waits beyond tokenising and computing
  saturation  16 callers in float32: texts of 128 tokens, texts of mixed lengths, the encoder
              without a server on the mixed ones, and ONNX Runtime (float32, without a server) on
              padded batches of both
  int8        the same loads in int8, compared with the same ONNX Runtime
  lanes       short texts alone, then with 5 % texts of 32,768 tokens, at 80 % of the capacity
  rag         profile rag at 0.7 and at 3 times the capacity: latencies, goodput, refusals, memory
  bulk        `longspan bulk` on texts of 128 and of 2,048 tokens, and 64 callers on the same
  cancel      the time from the end of the caller of a long text until the processor is free

A ratio holds figures of one run only. Those of `saturation`, `int8` and `bulk` are measured in turn
(A B A B), so that what disturbs the machine disturbs all of them.
"""
import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))
import processor  # noqa: E402
from load_tables import current_scale  # noqa: E402

UNIFORM, MIXED, LONG = "128", "74~0.8/8-250", 32768
WORDS = "the court shall report a long river to each city that asks for it".split()
PHASES = ["lone", "saturation", "int8", "bulk", "lanes", "rag", "cancel"]


class Server:
    """A running longspan-server, started through the command `prefix`, and the client that loads
    it."""

    def __init__(self, arguments, dtype, prefix=()):
        self.client = arguments.build / "longspan"
        command = [*prefix, arguments.build / "longspan-server", "--model", arguments.model, "--dtype", dtype, "--listen", "127.0.0.1:0",
                   "--http", "off", "--log-level", "error", "--drain-delay", "0s", *arguments.server_arg]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.pid, self.address = self.process.pid, None
        for line in self.process.stdout:
            if found := re.search(r"gRPC on (\S+),", line):
                self.address = found[1]
                break
        if self.address is None:
            sys.exit("longspan-server did not start: its message stands above")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def bench(self, *options):
        """The report of `longspan bench` with these options."""
        done = subprocess.run([self.client, "bench", "--server", self.address, *map(str, options)], stdout=subprocess.PIPE, text=True, check=True)
        report = json.loads(done.stdout)
        if report["generator_too_late"]:
            print(f"  the generator was late ({report['generator_lateness_ms']['p99']:.0f} ms): the machine is busy with something else", file=sys.stderr)
        return report

    def teams(self):
        """The replicas and the threads of each, as "2 x 1"."""
        info = json.loads(subprocess.run([self.client, "info", "--format", "json", "--server", self.address], stdout=subprocess.PIPE, text=True, check=True).stdout)
        return f"{info['num_replicas']} x {info['threads_per_replica']}"

    def rss_mib(self):
        """Resident set of the server, in MiB."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def cpu_seconds(self):
        """Processor time of all threads that the server has now."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass    # the thread has ended meanwhile
        return total * 1e-9


class Watch:
    """Samples the server's resident set twice a second while its block runs."""

    def __init__(self, server):
        self.samples, self.over = [], threading.Event()
        self.thread = threading.Thread(target=lambda: self.run(server))

    def run(self, server):
        while not self.over.wait(0.5):
            self.samples.append(server.rss_mib())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Engine:
    """A process that encodes without a server: it answers each line with "TOKENS SECONDS"."""

    def __init__(self, *command):
        # Its OpenMP threads wait as those of the server do (core/runtime/runtime_environment.h).
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "2000"})
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{command[0]} did not start: its message stands above")

    def tokens_per_second(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        tokens, took = self.process.stdout.readline().split()
        return int(tokens) / float(took)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def p(report, name, which="p99"):
    """A percentile of the report, or None where nothing was measured."""
    return round(report[name][which], 3) if report[name] else None


def short_class(report):
    """Latencies of the requests of up to 512 tokens, which are two length classes.

    p50 is that of the faster class and p99 that of the slower one.
    """
    rows = [row for row in report["classes"] if row["tokens_up_to"] in (128, 512)]
    return {"answers": sum(row["answers"] for row in rows), "p50_ms": round(min(row["latency_ms"]["p50"] for row in rows), 2), "p99_ms": round(max(row["latency_ms"]["p99"] for row in rows), 2)}


def lone(arguments, server):
    report = server.bench("--concurrency", 1, "--lengths", UNIFORM, "--seconds", 5)
    return {"tokens": 128, "requests": report["good"], "tokenize_p50_ms": p(report, "tokenize_ms", "p50"), "compute_p50_ms": p(report, "compute_ms", "p50"),
            "queue_p50_ms": p(report, "queue_ms", "p50"), "queue_p99_ms": p(report, "queue_ms"),
            "beyond_p50_ms": p(report, "beyond_tokenize_and_compute_ms", "p50"), "beyond_p99_ms": p(report, "beyond_tokenize_and_compute_ms")}


def callers16(arguments, server, dtype):
    """The phases saturation and int8: 16 callers, and the engines that they are compared with."""
    rates = {"uniform": [], "mixed": [], "bare": [], "padded_uniform": [], "padded_mixed": []}
    bare = Engine(arguments.build / "tests/bare_encoder", arguments.model, dtype, str(arguments.threads), MIXED, "16") if dtype == "float32" else None
    padded = Engine(arguments.peer_python, HERE / "padded_engine.py", arguments.peer_model, str(arguments.threads), "16") if arguments.peer_python else None
    for _ in range(arguments.rounds):
        for name, lengths in (("uniform", UNIFORM), ("mixed", MIXED)):
            report = server.bench("--concurrency", 16, "--lengths", lengths, "--seconds", arguments.seconds)
            if report["errors"]:
                sys.exit(f"errors under 16 callers: {report['errors']}")
            rates[name].append(report["tokens_per_second"])
        if bare:
            rates["bare"].append(bare.tokens_per_second(arguments.seconds))
        if padded:
            rates["padded_uniform"].append(padded.tokens_per_second(f"{arguments.seconds} 128 0 128 128"))
            rates["padded_mixed"].append(padded.tokens_per_second(f"{arguments.seconds} 74 0.8 8 250"))
    for engine in (bare, padded):
        if engine:
            engine.close()
    mean = {name: sum(values) / len(values) for name, values in rates.items() if values}
    out = {"dtype": dtype, "teams": server.teams(), "rounds": {name: [round(v) for v in values] for name, values in rates.items() if values},
           "uniform_tokens_per_second": round(mean["uniform"]), "mixed_tokens_per_second": round(mean["mixed"]), "mixed_to_uniform": round(mean["mixed"] / mean["uniform"], 3)}
    if bare:
        out |= {"bare_tokens_per_second": round(mean["bare"]), "overhead": round(1 - mean["mixed"] / mean["bare"], 3)}
    if padded:
        out |= {"padded_uniform_tokens_per_second": round(mean["padded_uniform"]), "padded_mixed_tokens_per_second": round(mean["padded_mixed"]), "mixed_to_padded": round(mean["mixed"] / mean["padded_mixed"], 2)}
    return out


def bulk(arguments, server):
    """`longspan bulk` against what 64 callers in a closed loop get out of the same server."""
    out = {}
    # The window must hold many passes, of 16,384 tokens each, or the last one decides.
    for tokens, seconds in ((128, arguments.seconds), (2048, 4 * arguments.seconds)):
        rates = {"bulk": [], "callers": [], "client_cpu": []}
        for _ in range(arguments.rounds + 1):
            callers = server.bench("--concurrency", 64, "--lengths", tokens, "--seconds", seconds, "--request-deadline", 60)
            if callers["errors"]:
                sys.exit(f"errors under 64 callers: {callers['errors']}")
            rates["callers"].append(callers["tokens_per_second"])
            # As many texts as the callers had in so many seconds, 16 at least.
            texts = round(max(seconds, 16) * callers["tokens_per_second"] / tokens)
            with tempfile.TemporaryDirectory() as folder:
                # Every word is one token, and two tokens stand around a text.
                words = [WORDS[i % len(WORDS)] for i in range(tokens - 2)]
                with open(f"{folder}/in.jsonl", "w") as file:
                    for i in range(texts):
                        file.write(json.dumps({"text": " ".join(words[i % 7:] + words[:i % 7])}) + "\n")
                start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([server.client, "bulk", f"{folder}/in.jsonl", "--out", f"{folder}/out", "--server", server.address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                took, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
                rates["client_cpu"].append((after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / took)
                row_bytes = Path(f"{folder}/out/rows.jsonl").stat().st_size / texts
                encoded = json.loads(Path(f"{folder}/out/checkpoint.json").read_text())["tokens"]
                if encoded != tokens * texts:
                    sys.exit(f"{texts} texts have {encoded} tokens; meant: {tokens} each")
                rates["bulk"].append(encoded / took)
        best = {name: max(values) for name, values in rates.items()}
        out[str(tokens)] = {"rounds": {name: [round(v) for v in rates[name]] for name in ("bulk", "callers")}, "client_cores": round(best["client_cpu"], 3),
                            "row_bytes": round(row_bytes), "bulk_tokens_per_second": round(best["bulk"]),
                            "callers_tokens_per_second": round(best["callers"]), "bulk_to_callers": round(best["bulk"] / best["callers"], 3)}
    return out


def lanes(arguments, server):
    """Short texts with and without long ones among them, at 80 % utilisation.

    The rate is 0.8 / the mean seconds of work of a request. The seconds of a long and of a short
    request are measured first, each kind by itself.
    """
    alone_long = server.bench("--concurrency", 1, "--lengths", LONG, "--seconds", 9, "--warmup", 0, "--request-deadline", 60)
    busy = server.bench("--load", 0.8, "--lengths", MIXED, "--capacity-seconds", 5, "--seconds", 12)
    long_ms = p(alone_long, "compute_ms", "p50")
    rate = 0.8 / (0.95 / busy["capacity_per_second"] + 0.05 * long_ms / 1000)
    both = server.bench("--rate", rate, "--lengths", f"95%:{MIXED},5%:{LONG}", "--seconds", 60, "--request-deadline", 120)
    short = server.bench("--rate", 0.95 * rate, "--lengths", MIXED, "--seconds", 25)
    with_long, alone, busy_short = short_class(both), short_class(short), short_class(busy)
    return {"long_tokens": LONG, "long_alone_compute_ms": long_ms, "long_layer_ms": round(long_ms / arguments.layers), "offered_per_second": round(rate, 2), "errors": both["errors"],
            "with_long": with_long, "same_rate_without_long": alone, "same_utilisation_without_long": busy_short,
            "p99_ratio": round(with_long["p99_ms"] / alone["p99_ms"], 2), "p99_ratio_same_utilisation": round(with_long["p99_ms"] / busy_short["p99_ms"], 2)}


def rag(arguments, server):
    calm = server.bench("--profile", "rag", "--load", 0.7, "--capacity-seconds", 20, "--seconds", 20, "--request-deadline", 5)
    peak = calm["capacity_per_second"]
    before = server.rss_mib()
    with Watch(server) as watch:
        over = server.bench("--profile", "rag", "--rate", 3 * peak, "--warmup", 5, "--seconds", 20, "--request-deadline", 5)
    half = len(watch.samples) // 2
    rows = {}
    for name, report in (("0.7x", calm), ("3x", over)):
        rows[name] = {"offered_per_second": round(report["offered_per_second"], 1), "goodput_per_second": round(report["goodput_per_second"], 1), "tokens_per_second": round(report["tokens_per_second"]),
                      "errors": report["errors"], "classes": report["classes"], "generator_lateness_p99_ms": p(report, "generator_lateness_ms")}
    return {"capacity_per_second": round(peak, 1), "capacity_tokens_per_second": round(calm["capacity_tokens_per_second"]), "request_deadline_seconds": 5,
            "class_bounds": current_scale(), "load": rows,
            "goodput_to_peak": round(over["goodput_per_second"] / peak, 3), "tokens_to_peak": round(over["tokens_per_second"] / calm["capacity_tokens_per_second"], 3), "refusal_p50_ms": p(over, "refusal_ms", "p50"), "refusal_p99_ms": p(over, "refusal_ms"),
            "rss_mib_before": round(before), "rss_mib_first_half_max": round(max(watch.samples[:half])), "rss_mib_second_half_max": round(max(watch.samples[half:]))}


def cancel(arguments, server):
    """Kills a caller in the middle of its text, several times.

    The processor counts as free again from when the server's threads last used it. A thread that is
    merely awake takes less than 2.5 ms in the 5 ms between two samples, and the processor must stay
    free for 0.3 s.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
        text.write("the court shall report a long river " * 15000)
        text.flush()
        freed = []
        for attempt in range(6):
            client = subprocess.Popen([server.client, "encode", "--server", server.address, text.name], stdout=subprocess.DEVNULL)
            # By now the text is tokenised. Each attempt stops it at another place of its layers.
            time.sleep(1.5 + 0.23 * attempt)
            if client.poll() is not None:
                sys.exit("the text was encoded before it could be cancelled")
            client.kill()
            start = last_busy = time.monotonic()
            used = server.cpu_seconds()
            while time.monotonic() - last_busy < 0.3:
                time.sleep(0.005)
                now, used_now = time.monotonic(), server.cpu_seconds()
                if used_now - used > 0.0025:
                    last_busy = now
                used = used_now
            freed.append(round((last_busy - start) * 1000))
            client.wait()
    return {"tokens": 7 * 15000 + 2, "cancels_ms": sorted(freed), "median_ms": sorted(freed)[len(freed) // 2], "max_ms": max(freed)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer-python", type=Path, help="python with ONNX Runtime; without it that engine is left out")
    parser.add_argument("--peer-model", type=Path, help="all-MiniLM-L6-v2 as .onnx, float32")
    parser.add_argument("--only", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--seconds", type=float, default=8, help="of one closed-loop measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--layers", type=int, default=6, help="of the model, for what one layer of a long text costs")
    parser.add_argument("--server-arg", action="append", default=[])
    parser.add_argument("--out", type=Path, default=processor.results_file(HERE / "results"), help="default: the file of this processor's class")
    arguments = parser.parse_args()
    measured = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    head = {**processor.describe(), "threads": arguments.threads}
    if any(measured.get(key) != head[key] for key in head):
        measured = {}  # another machine's figures say nothing about this one
    results = {**head, **processor.when(), **{phase: measured[phase] for phase in PHASES if phase in measured}}

    def keep(phase, figures):
        results[phase] = figures
        print(phase, json.dumps(figures), flush=True)
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")

    if set(arguments.only) - {"int8"}:
        with Server(arguments, "float32") as server:
            if "lone" in arguments.only:
                keep("lone", lone(arguments, server))
            if "saturation" in arguments.only:
                keep("saturation", callers16(arguments, server, "float32"))
            for phase, measure in (("bulk", bulk), ("lanes", lanes), ("rag", rag), ("cancel", cancel)):
                if phase in arguments.only:
                    keep(phase, measure(arguments, server))
    cpuinfo = Path("/proc/cpuinfo").read_text()
    if "int8" in arguments.only and "avx512_vnni" not in cpuinfo and "avx2" not in cpuinfo:
        print("int8: this processor has neither AVX512_VNNI nor AVX2, nothing measured")
        results.pop("int8", None)
    elif "int8" in arguments.only:
        with Server(arguments, "int8") as server:
            keep("int8", callers16(arguments, server, "int8"))


if __name__ == "__main__":
    main()
