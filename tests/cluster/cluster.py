#!/usr/bin/env python3
"""Tries longspan's deployment for real; run.sh starts it, in a network namespace of its own.

    cluster.py --build BUILD_DIR [--kube BIN_DIR] [--only NAME ...] [--list] [--keep]

--only takes groups (balancing, front, cluster) and parts of names. Exit codes: 0 all tests passed,
1 one failed, 2 wrong usage, 130 interrupted.
"""
from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# The imports register the tests.
import balancing  # noqa: F401
import front  # noqa: F401
import lifecycle  # noqa: F401
import placement  # noqa: F401
import scaling  # noqa: F401
import traffic  # noqa: F401
import values_pairs  # noqa: F401
from cluster_world import ClusterWorld
from processes import run
from report import CASES, Report, Wrong

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent


def install_client(folder: Path) -> Path:
    """client/python as users install it; the folder that imports find it in."""
    site, copy = folder / "site", folder / "client-python"
    shutil.copytree(SOURCE / "client/python", copy / "client/python")
    shutil.copytree(SOURCE / "proto", copy / "proto")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", site, copy / "client/python")
    return site


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--kube", type=Path)
    parser.add_argument("--needs-kube", action="store_true", help="only say by the exit code, 0 or 1, whether --kube is needed")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--calls", type=int, default=100_000, help="of the rolling restarts")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the logs, where all passed, too")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    chosen = [one for one in CASES if one.matches(arguments.only)]
    if arguments.list or not chosen:
        print("\n".join(f"{one.name:32} {one.proves}" for one in CASES))
        if not chosen:
            print(f"cluster-test: no test is named {' '.join(arguments.only)}; the names stand above", file=sys.stderr)
        return 0 if chosen else 2
    needs_kube = any(one.group == "cluster" for one in chosen)
    if arguments.needs_kube:
        return 0 if needs_kube else 1
    if needs_kube and not arguments.kube:
        print("cluster-test: the tests of group cluster need --kube", file=sys.stderr)
        return 2
    # Who starts it in the background of a shell has SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="longspan-cluster-"))
    report = Report()
    try:
        world = ClusterWorld(SOURCE, arguments.build.resolve(), folder, install_client(folder), arguments.calls, kube=arguments.kube)
        for one in chosen:
            report.run(one, world)
        world.stop()
        code = report.end()
    except Wrong as wrong:
        print(f"cluster-test: {wrong}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        report.end()
        print("cluster-test: interrupted", file=sys.stderr)
        code = 130
    if code == 0 and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"logs: {folder}")
    return code


if __name__ == "__main__":
    CODE = main()
    sys.stdout.flush()
    # Not by way of the threads that still run: this is the first process of its namespace, and with
    # it the kernel ends all others.
    os._exit(CODE)
