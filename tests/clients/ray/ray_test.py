"""client/python/examples/ray_bulk.py on a Ray of this machine with two workers: it is killed
midway and started again; then each text has its vector once, and the bad one its error.

    ray_test.py SOURCE_DIR BUILD_DIR MODEL [TEXTS]
"""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

sys.path.insert(0, str(Path(sys.argv[1]) / "tests/clients/python"))
import harness  # noqa: E402

longspan = harness.install()
TEXTS = int(sys.argv[4]) if len(sys.argv) > 4 else 20_000
FILES, BAD = 20, 17
EXAMPLE = harness.CLIENT / "examples/ray_bulk.py"
# As on a cluster, whatever this machine has: on two cores the workers that leave out what is
# written hold both, and nothing is read.
LAUNCH = "import ray, runpy, sys; ray.init(num_cpus=8); sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"


def text(number: int) -> str:
    return "" if number == BAD else f"text {number}"


def write_input(folder: Path) -> None:
    folder.mkdir()
    for part, numbers in enumerate(np.array_split(np.arange(TEXTS), FILES)):
        rows = [int(number) for number in numbers]
        pa.parquet.write_table(pa.table({"id": [f"r{n}" for n in rows], "text": [text(n) for n in rows]}), folder / f"{part:02}.parquet")


def start(folder: Path, address: str) -> subprocess.Popen[bytes]:
    # On a busy machine Ray's workers stand behind all others, and its agents start too late for it.
    environment = os.environ | {"PYTHONPATH": str(harness.FOLDER / "site"), "HOME": str(folder), "RAY_TMPDIR": str(folder),
                                "RAY_worker_niceness": "0", "RAY_agent_register_timeout_ms": "300000",
                                "RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", LAUNCH, EXAMPLE, folder / "in", folder / "out", "--server", address, "--progress", folder / "progress", "--workers", "2",
               "--batch", "500", "--rows-per-file", str(TEXTS // FILES)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def kill_midway(folder: Path, address: str) -> int:
    """How many files it had written when it was killed, with all processes of its Ray."""
    process = start(folder, address)
    while process.poll() is None and len(list((folder / "out").glob("*.parquet"))) < 2:
        time.sleep(0.1)
    written = len(list((folder / "out").glob("*.parquet")))
    assert process.poll() is None, f"it has ended ({process.returncode}) before it was killed, with {written} files"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return written


def check(folder: Path, address: str) -> None:
    table = pa.dataset.dataset(list((folder / "out").glob("*.parquet"))).to_table()
    numbers = np.array([int(id_[1:]) for id_ in table["id"].to_pylist()])
    counts = np.bincount(numbers, minlength=TEXTS)
    assert len(counts) == TEXTS and (counts == 1).all(), f"{(counts == 0).sum()} texts are lost, {(counts > 1).sum()} doubled"
    failed = {id_: error for id_, error in zip(table["id"].to_pylist(), table["error"].to_pylist()) if error}
    assert list(failed) == [f"r{BAD}"] and "INVALID_ARGUMENT" in failed[f"r{BAD}"], failed
    rows = [row for row in (0, len(numbers) // 2, len(numbers) - 1) if numbers[row] != BAD]
    with longspan.Client(address) as client:
        expected = client.encode([text(int(numbers[row])) for row in rows]).vectors
    for row, vector in zip(rows, expected):
        np.testing.assert_allclose(np.array(table["vector"][row].as_py()), vector, rtol=1e-3, atol=1e-4)


def main() -> None:
    began, folder = time.monotonic(), harness.FOLDER
    write_input(folder / "in")
    server = harness.Server()
    written = kill_midway(folder, server.address)
    again = time.monotonic()
    assert start(folder, server.address).wait() == 0
    seconds = time.monotonic() - again
    check(folder, server.address)
    assert server.stop() == 0
    print(f"{TEXTS} texts by two workers, killed with {written} files written: none lost, none doubled ({time.monotonic() - began:.0f} s, "
          f"the second run {seconds:.0f} s)")


if __name__ == "__main__":
    main()
