#!/usr/bin/env python3
"""Loads a server for hours and measures whether its memory grows.

    soak.py --build BUILD_DIR [--hours 2] [--load 0.7] [--out results/CLASS.json]

`longspan bench` measures the capacity of the profile rag (texts of mixed lengths), then offers 70 %
of it at Poisson times. The resident set is sampled every second. What passes and requests take for
a while makes it go up and down by 100 MiB; what leaks stays. So the slope is that of the least
squares through the smallest sample of each two minutes, behind a warm-up of a fifth of the time, in
which oneDNN comes to know the shapes of the products: below 1 MiB an hour, or the soak fails. The
uncertainty of the slope (one standard error) is told beside it: a run of some minutes cannot tell a
MiB an hour, and says so. The same is told of the resident set without the memory that is kept for
tensors (longspan_arena_bytes), so that a growth can be traced.
"""
import argparse
import json
import math
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bench")]
import processor  # noqa: E402
from target import Server, clean_environment  # noqa: E402

MOST_MIB_AN_HOUR = 1.0
BUCKET_SECONDS = 120
WARM_UP = 0.2


def slope(points):
    """(MiB an hour, its standard error) of the least squares through (seconds, MiB)."""
    n = len(points)
    mean_t, mean_m = (sum(values) / n for values in zip(*points))
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    per_second = sum((t - mean_t) * (m - mean_m) for t, m in points) / spread
    rest = sum((m - mean_m - per_second * (t - mean_t)) ** 2 for t, m in points)
    error = math.sqrt(rest / max(1, n - 2) / spread)
    return 3600 * per_second, 3600 * error


def smallest(samples, begin):
    """(seconds, smallest MiB) of each bucket behind `begin`."""
    buckets = {}
    for t, mib in samples:
        if t >= begin:
            buckets.setdefault(int(t // BUCKET_SECONDS), []).append(mib)
    return [(bucket * BUCKET_SECONDS, min(values)) for bucket, values in sorted(buckets.items())]


def arena_mib(server):
    """The memory that the server keeps for tensors."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("longspan_arena_bytes "):
                return float(line.split()[1]) / (1 << 20)
    raise RuntimeError("/metrics has no longspan_arena_bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--load", type=float, default=0.7)
    parser.add_argument("--profile", default="rag")
    parser.add_argument("--server", type=Path, help="another longspan-server than that of the build")
    parser.add_argument("--out", type=Path, default=processor.results_file(HERE / "results/soak"))
    parser.add_argument("--no-results", action="store_true")
    arguments = parser.parse_args()
    seconds = arguments.hours * 3600
    model = (arguments.build / "embedded_model.path").read_text().strip()
    server = Server(arguments.server or arguments.build / "longspan-server", model, ["--log-level", "warning"])
    command = [arguments.build / "longspan", "bench", "--server", f"127.0.0.1:{server.port}", "--profile", arguments.profile, "--load", arguments.load,
               "--capacity-seconds", 20, "--seconds", round(seconds), "--request-deadline", 30]
    load = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True, env=clean_environment())
    began, samples, others, said = time.monotonic(), [], [], time.monotonic()
    answer = []
    reader = threading.Thread(target=lambda: answer.append(load.stdout.read()))
    reader.start()
    while load.poll() is None and server.alive():
        samples.append((time.monotonic() - began, server.rss_mib()))
        if len(samples) % 10 == 0:
            others.append((samples[-1][0], samples[-1][1] - arena_mib(server)))
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{samples[-1][0] / 60:6.1f} min  {samples[-1][1]:7.1f} MiB", flush=True)
        time.sleep(1)
    reader.join()
    code = server.stop()
    report = json.loads(answer[0]) if answer and answer[0] else {}
    warm_up = max(120.0, samples[-1][0] * WARM_UP)
    points = smallest(samples, warm_up)
    if len(points) < 4:
        sys.exit(f"only {len(points)} times {BUCKET_SECONDS} s behind the warm-up: --hours is too small for a slope")
    growth, error = slope(points)
    other_growth, other_error = slope(smallest(others, warm_up))
    facts = {**processor.describe(), **processor.when(), "minutes": round(samples[-1][0] / 60, 1), "profile": arguments.profile, "load": arguments.load,
             "capacity_per_second": report.get("capacity_per_second"), "answered": report.get("good"), "errors": report.get("errors"),
             "rss_mib_first": round(points[0][1], 1), "rss_mib_last": round(points[-1][1], 1), "rss_mib_max": round(max(m for _, m in samples), 1),
             "slope_mib_per_hour": round(growth, 2), "standard_error": round(error, 2),
             "slope_without_tensors": round(other_growth, 2), "standard_error_without_tensors": round(other_error, 2), "exit_code": code}
    print(json.dumps(facts, indent=1))
    if not arguments.no_results:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({**facts, "rss_mib": [[round(t), round(m, 1)] for t, m in points]}, indent=1) + "\n")
    # Twice the error is what a run of this length cannot tell from zero.
    fails = growth - 2 * error > MOST_MIB_AN_HOUR or code != 0
    certain = growth + 2 * error < MOST_MIB_AN_HOUR
    print(f"slope {growth:.2f} +- {error:.2f} MiB/h, allowed: {MOST_MIB_AN_HOUR}; "
          f"{'FAILS' if fails else 'holds' if certain else 'cannot be told in so short a time'}; exit code {code}")
    return 1 if fails else 0


if __name__ == "__main__":
    sys.exit(main())
