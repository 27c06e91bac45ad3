"""deploy/job/volume with real processes: the four pods of the Indexed Job as the YAML starts them,
one killed midway, one stopped by a signal, one with a bad record; each goes on or not by the Job's
own podFailurePolicy. What is merged has the rows and rejects of a single run, byte for byte.

  volume_test.py SOURCE_DIR LONGSPAN LONGSPAN_SERVER MODEL KUBECTL
"""
from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SOURCE, LONGSPAN, SERVER, MODEL, KUBECTL = Path(sys.argv[1]).resolve(), *sys.argv[2:6]
sys.path[:0] = [str(Path(__file__).parent), str(SOURCE / "tests/client/bulk")]

from cluster import Object, Pod, action, exit_code, render  # noqa: E402
from kill_test import WORDS, cosine, free_port, lines, matrix, rows_so_far  # noqa: E402

RECORDS, BAD = 800, 6   # the bad one is of shard 2
KILLED, STOPPED, REJECTING = 0, 1, BAD % 4


def write_input(path: Path) -> None:
    chance = random.Random(1)
    with gzip.open(path, "wt") as file:
        for number in range(RECORDS):
            text = "" if number == BAD else " ".join(chance.choices(WORDS, k=40))
            file.write(json.dumps({"id": f"r{number}", "text": text}) + "\n")


class Server:
    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        # One thread, so that a shard is still at work when it is killed.
        self.process = subprocess.Popen([SERVER, "--model", MODEL, "--listen", self.address, "--http", "off", "--replicas", "1",
                                         "--threads", "1", "--drain-delay", "0s", "--log-level", "error"], stdout=subprocess.DEVNULL)
        subprocess.run([LONGSPAN, "health", "--server", self.address, "--wait", "120"], check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


class Index(threading.Thread):
    """One index of the Job: its pods, one after the other, as the Job's controller makes them. The
    first is disturbed by `signal_` once its output, in `out`, has some rows."""

    def __init__(self, pod: Pod, folder: Path, log, signal_: signal.Signals | None = None) -> None:
        super().__init__()
        self.pod, self.folder, self.log, self.signal = pod, folder, log, signal_
        self.history: list[tuple[int, str]] = []
        self.rows_at_signal = 0

    def run(self) -> None:
        while not self.history or self.history[-1][1] in ("Count", "Ignore"):
            process = self.pod.start("bulk", cwd=self.folder, stdout=subprocess.DEVNULL, stderr=self.log)
            if self.signal and not self.history:
                self._disturb(process)
            code = exit_code(process.wait(300))
            self.history.append((code, action(self.pod.objects["Job/longspan-bulk"], "bulk", code)))

    def _disturb(self, process: subprocess.Popen[bytes]) -> None:
        out = self.folder / f"data/run-1/shard-{self.pod.index}"
        while process.poll() is None and rows_so_far(out) == 0:
            time.sleep(0.02)
        process.send_signal(self.signal)
        process.wait(60)
        self.rows_at_signal = rows_so_far(out)


def check(folder: Path) -> None:
    """The merged folder against that of a single run."""
    single, merged = folder / "single", folder / "data/run-1/merged"
    for name in ("rows.jsonl", "rejects.jsonl"):
        assert (single / name).read_bytes() == (merged / name).read_bytes(), f"{name} is not that of a single run"
    assert [row["id"] for row in lines(merged / "rows.jsonl")] == [f"r{n}" for n in range(RECORDS) if n != BAD], "rows are lost, doubled or out of order"
    vectors, expected = matrix(merged / "vectors.npy"), matrix(single / "vectors.npy")
    assert len(vectors) == len(expected) == RECORDS - 1, f"{len(vectors)} vectors, {len(expected)} expected"
    # Another batch may round a value otherwise.
    worst = min(cosine(a, b) for a, b in zip(vectors, expected))
    assert worst > 0.9999, f"a vector is not that of its text (cosine {worst:.4f})"


def run_job(objects: dict[str, Object], folder: Path, server: Server, log) -> list[Index]:
    values = {"LONGSPAN_SERVER": server.address, "INPUT": "in.jsonl.gz"}

    def pod(index: int, job: str = "longspan-bulk", **more: str) -> Pod:
        return Pod(objects, job, index, {"/data": Path("data")}, values | more, {"longspan": LONGSPAN})

    bulk = objects["Job/longspan-bulk"]
    away = pod(0, RUN="away", LONGSPAN_SERVER=f"127.0.0.1:{free_port()}").start("bulk", cwd=folder, stderr=log)
    assert action(bulk, "bulk", pod(0, SHARDS="0").run("bulk", cwd=folder, stderr=log)) == "FailJob", "wrong usage"
    assert action(bulk, "bulk", pod(0, INPUT="none", RUN="none").run("bulk", cwd=folder, stderr=log)) == "FailIndex", "no such file"
    disturbed = {KILLED: signal.SIGKILL, STOPPED: signal.SIGTERM}
    indexes = [Index(pod(i), folder, log, disturbed.get(i)) for i in range(bulk["spec"]["completions"])]
    for index in indexes[:-1]:
        index.start()
    merge = objects["Job/longspan-merge"]
    code = pod(0, "longspan-merge").run("merge", cwd=folder, stderr=log)
    assert (code, action(merge, "merge", code)) == (3, "FailJob"), f"shards that are not done are merged ({code})"
    indexes[-1].start()
    for index in indexes:
        index.join()
    assert pod(0, "longspan-merge").run("merge", cwd=folder, stderr=log, stdout=subprocess.DEVNULL) == 0
    code = exit_code(away.wait(60))
    assert (code, action(bulk, "bulk", code)) == (2, "Count"), f"no server: {code}"
    return indexes


def main() -> None:
    began = time.monotonic()
    objects = render(SOURCE / "deploy/job/volume", Path(KUBECTL))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "data").mkdir()
        write_input(folder / "data/in.jsonl.gz")
        server = Server()
        try:
            with (folder / "log").open("w") as log:
                single = subprocess.run([LONGSPAN, "bulk", "data/in.jsonl.gz", "--out", "single", "--server", server.address], cwd=folder,
                                        stdout=subprocess.DEVNULL, stderr=log, check=False)
                assert single.returncode == 1, f"exit code {single.returncode}; 1 expected (there is a reject)"
                indexes = run_job(objects, folder, server, log)
            check(folder)
        except BaseException:
            sys.stderr.write((folder / "log").read_text()[-3000:])
            raise
        finally:
            server.stop()
    expected = {KILLED: [(137, "Count"), (0, "Complete")], STOPPED: [(143, "Ignore"), (0, "Complete")], REJECTING: [(1, "FailIndex")]}
    for index, thread in enumerate(indexes):
        assert thread.history == expected.get(index, [(0, "Complete")]), f"shard {index}: {thread.history}"
        assert not thread.signal or 0 < thread.rows_at_signal < RECORDS / 4, f"shard {index} was not midway: {thread.rows_at_signal} rows"
    print(f"4 shards of {RECORDS} records, killed at row {indexes[KILLED].rows_at_signal}, stopped at row {indexes[STOPPED].rows_at_signal} of "
          f"{RECORDS // 4}: no row lost, none doubled ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
