"""deploy/job/s3 with real processes and a real S3 server: the steps of each pod as the YAML starts
them, rclone among them. One machine is lost midway, with all that the pod had on it; the next pod
goes on with what was saved. What is merged, and stored, has the rows of a single run, byte for
byte.

  s3_test.py SOURCE_DIR LONGSPAN LONGSPAN_SERVER MODEL KUBECTL JOBTOOLS_BIN
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SOURCE, LONGSPAN, KUBECTL, TOOLS = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[5], Path(sys.argv[6]).resolve()
sys.path[:0] = [str(Path(__file__).parent), str(SOURCE / "tests/client/bulk")]
os.environ["PATH"] = f"{TOOLS}:{os.environ['PATH']}"

from cluster import Object, Pod, action, exit_code, render, stop  # noqa: E402
from kill_test import free_port, lines, matrix, rows_so_far  # noqa: E402
from volume_test import BAD, RECORDS, Server, check, write_input  # noqa: E402

LOST = 0   # the index whose machine is lost
KEY = {"RCLONE_CONFIG_S3_ACCESS_KEY_ID": "job", "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": "job-secret"}


class Store:
    """versitygw on a folder: each object is a file of it."""

    def __init__(self, folder: Path) -> None:
        self.bucket, metadata = folder / "bucket", folder.with_name("metadata")
        folder.mkdir()
        metadata.mkdir()
        port = free_port()
        self.variables = KEY | {"RCLONE_CONFIG_S3_ENDPOINT": f"http://127.0.0.1:{port}", "INPUT": "s3:bucket/texts", "OUTPUT": "s3:bucket/run-1",
                                "FILE": "in.jsonl.gz", "SAVE_EVERY": "1"}
        self.process = subprocess.Popen([TOOLS / "versitygw", "--access", KEY["RCLONE_CONFIG_S3_ACCESS_KEY_ID"], "--secret",
                                         KEY["RCLONE_CONFIG_S3_SECRET_ACCESS_KEY"], "--port", f"127.0.0.1:{port}", "posix", "--sidecar", metadata, folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait(port)
        self.rclone("mkdir", "s3:bucket")

    def _wait(self, port: int) -> None:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert self.process.poll() is None, f"versitygw ended with {self.process.returncode}"
            time.sleep(0.1)
        raise AssertionError("versitygw does not listen after a minute")

    def rclone(self, *arguments: str | Path) -> str:
        configured = {"RCLONE_CONFIG": "/notfound", "RCLONE_CONFIG_S3_TYPE": "s3", "RCLONE_CONFIG_S3_PROVIDER": "Other", "RCLONE_CONFIG_S3_REGION": "us-east-1"}
        done = subprocess.run([TOOLS / "rclone", *arguments], env=configured | self.variables, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Index(threading.Thread):
    """One index of the Job: its pods, one after the other, each in an empty folder."""

    def __init__(self, objects: dict[str, Object], index: int, folder: Path, store: Store, server: str, log) -> None:
        super().__init__()
        mounts = {"/local": Path("local"), "/scripts": SOURCE / "deploy/job/s3"}
        self.pod = Pod(objects, "longspan-bulk", index, mounts, store.variables | {"LONGSPAN_SERVER": server}, {"longspan": LONGSPAN})
        self.folder, self.store, self.log = folder, store, log
        self.history: list[tuple[str, int, str]] = []
        self.resumed_at: list[int] = []

    def run(self) -> None:
        while not self.history or self.history[-1][2] in ("Count", "Ignore"):
            here = self.folder / f"pod-{self.pod.index}-{len(self.history)}"
            (here / "local/out").mkdir(parents=True)
            self.history.append(self._run_pod({"cwd": here, "stderr": self.log, "stdout": subprocess.DEVNULL}, here))
            shutil.rmtree(here)

    def _run_pod(self, at: dict, here: Path) -> tuple[str, int, str]:
        for name in ("fetch", "fetch-saved"):
            if code := self.pod.run(name, **at):
                return name, code, action(self.pod.objects["Job/longspan-bulk"], name, code)
        self.resumed_at.append(rows_so_far(here / "local/out"))
        save = self.pod.start("save", start_new_session=True, **at)
        bulk = self.pod.start("bulk", **at)
        if self.pod.index == LOST and not self.history:
            self._lose_the_machine(bulk, save)
        name, code = "bulk", exit_code(bulk.wait(600))
        if code == 0:
            name, code = "store", self.pod.run("store", **at)
        if save.poll() is None:
            stop(save)
        return name, code, action(self.pod.objects["Job/longspan-bulk"], name, code)

    def _lose_the_machine(self, bulk: subprocess.Popen[bytes], save: subprocess.Popen[bytes]) -> None:
        saved = self.store.bucket / f"run-1/shard-{self.pod.index}"
        while bulk.poll() is None and rows_so_far(saved) == 0:
            time.sleep(0.05)
        bulk.kill()
        os.killpg(save.pid, signal.SIGKILL)
        save.wait(60)


def merge(objects: dict[str, Object], folder: Path, store: Store, log) -> None:
    here = folder / "pod-merge"
    here.mkdir()
    pod = Pod(objects, "longspan-merge", 0, {"/local": Path("local")}, store.variables, {"longspan": LONGSPAN})
    for name in ("fetch", "merge", "store"):
        code = pod.run(name, cwd=here, stderr=log, stdout=subprocess.DEVNULL)
        assert code == 0, f"{name} of the merge ends with {code}"


def run_job(objects: dict[str, Object], folder: Path, store: Store, server: Server) -> list[Index]:
    with (folder / "log").open("w") as log:
        store.rclone("copy", folder / "local/in/in.jsonl.gz", "s3:bucket/texts")
        indexes = [Index(objects, i, folder, store, server.address, log) for i in range(objects["Job/longspan-bulk"]["spec"]["completions"])]
        for index in indexes:
            index.start()
        single = subprocess.run([LONGSPAN, "bulk", "local/in/in.jsonl.gz", "--out", "single", "--server", server.address], cwd=folder,
                                stdout=subprocess.DEVNULL, stderr=log, check=False)
        assert single.returncode == 1, f"exit code {single.returncode}; 1 expected (there is a reject)"
        for index in indexes:
            index.join()
        merge(objects, folder, store, log)
        store.rclone("copy", "s3:bucket/run-1/merged", folder / "data/run-1/merged")
    return indexes


def main() -> None:
    began = time.monotonic()
    objects = render(SOURCE / "deploy/job/s3", Path(KUBECTL))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # rejects.jsonl names the file, so the single run reads it at the pods' path.
        (folder / "local/in").mkdir(parents=True)
        write_input(folder / "local/in/in.jsonl.gz")
        server, store = Server(), Store(folder / "store")
        try:
            indexes = run_job(objects, folder, store, server)
            check(folder)
            rows = [json.loads((folder / f"store/bucket/run-1/shard-{i}/checkpoint.json").read_text())["rows"] for i in range(4)]
            stored = [len(matrix(folder / f"store/bucket/run-1/shard-{i}/vectors.npy")) for i in range(4)]
            assert rows == stored and sum(stored) == RECORDS - 1, f"stored are {stored} rows; checkpoints say {rows}"
            assert len(lines(folder / f"store/bucket/run-1/shard-{BAD % 4}/rejects.jsonl")) == 1
        except BaseException:
            sys.stderr.write((folder / "log").read_text()[-3000:])
            raise
        finally:
            server.stop()
            stop(store.process)
    for i, index in enumerate(indexes):
        expected = [("bulk", 137, "Count"), ("store", 0, "Complete")] if i == LOST else [("bulk", 1, "FailIndex")] if i == BAD % 4 else [("store", 0, "Complete")]
        assert index.history == expected, f"shard {i}: {index.history}"
    first, again = indexes[LOST].resumed_at
    assert first == 0 < again < RECORDS / 4, f"the second pod of shard {LOST} began at row {again}"
    print(f"4 shards of {RECORDS} records through S3, a machine lost and gone on at row {again} of {RECORDS // 4}: no row lost, none doubled "
          f"({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
