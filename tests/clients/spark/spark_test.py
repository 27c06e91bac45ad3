"""client/python/examples/spark_bulk.py with two threads of Spark on this machine: each text has its
vector once, and the bad one its error.

    spark_test.py SOURCE_DIR BUILD_DIR MODEL [TEXTS]
"""
from __future__ import annotations

import os
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
TEXTS = int(sys.argv[4]) if len(sys.argv) > 4 else 4000
FILES, BAD = 4, 17


def text(number: int) -> str:
    return "" if number == BAD else f"text {number}"


def write_input(folder: Path) -> None:
    folder.mkdir()
    for part, numbers in enumerate(np.array_split(np.arange(TEXTS), FILES)):
        rows = [int(number) for number in numbers]
        pa.parquet.write_table(pa.table({"id": [f"r{n}" for n in rows], "text": [text(n) for n in rows]}), folder / f"{part}.parquet")


def check(folder: Path, address: str) -> None:
    table = pa.dataset.dataset(list(folder.glob("*.parquet"))).to_table()
    names = table["id"].to_pylist()
    assert sorted(names) == sorted(f"r{n}" for n in range(TEXTS)), f"{len(set(names))} ids in {len(names)} rows; {TEXTS} expected, each once"
    failed = {id_: error for id_, error in zip(names, table["error"].to_pylist()) if error}
    assert list(failed) == [f"r{BAD}"] and "INVALID_ARGUMENT" in failed[f"r{BAD}"], failed
    assert [id_ for id_, vector in zip(names, table["vector"].to_pylist()) if vector is None] == [f"r{BAD}"]
    row = names.index("r5")
    with longspan.Client(address) as client:
        np.testing.assert_allclose(np.array(table["vector"][row].as_py()), client.encode(text(5)).vectors[0], rtol=1e-3, atol=1e-4)


def main() -> None:
    began, folder = time.monotonic(), harness.FOLDER
    write_input(folder / "in")
    server = harness.Server()
    site = str(harness.FOLDER / "site")
    environment = os.environ | {"PYTHONPATH": site, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [Path(sys.executable).parent / "spark-submit", "--master", "local[2]", "--conf", "spark.ui.enabled=false",
               harness.CLIENT / "examples/spark_bulk.py", folder / "in", folder / "out", "--server", server.address, "--batch", "500"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    check(folder / "out", server.address)
    assert server.stop() == 0
    print(f"{TEXTS} texts by two threads of Spark: none lost, none doubled ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
