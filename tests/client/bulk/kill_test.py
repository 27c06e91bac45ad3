"""longspan bulk, killed again and again (SIGKILL, at random moments), against a real server: when
it is through, each record has exactly one row or reject, in order, and the vectors are those of a
run that nobody disturbed. Then the same with three shards, each killed, and merged.

  kill_test.py LONGSPAN LONGSPAN_SERVER MODEL [KILLS [SEED]]
"""
from __future__ import annotations

import json
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDS = 6000
WORDS = "the court shall report a long river under seven and paper of night people".split()


def records(path: Path, chance: random.Random) -> list[bool]:
    """Writes the input; which of its records are good."""
    good = []
    with path.open("w") as file:
        for number in range(RECORDS):
            good.append(number % 97 != 5)
            # Now and then a long text, behind which others wait.
            words = 250 if number % 500 == 400 else chance.choice([2, 5, 9])
            text = " ".join(chance.choice(WORDS) for _ in range(words))
            file.write(json.dumps({"id": f"r{number}", "text": text}) + "\n" if good[-1] else '{"id":\n')
    return good


def free_port() -> int:
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    def __init__(self, longspan: str, server: str, model: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen([server, "--model", model, "--listen", self.address, "--http", "off",
                                         "--dtype", "int8", "--drain-delay", "0s", "--log-level", "error"],
                                        stdout=subprocess.DEVNULL)
        subprocess.run([longspan, "health", "--server", self.address, "--wait", "120"], check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def matrix(path: Path) -> list[bytes]:
    """The rows of an .npy file, whose head must tell how many they are."""
    content = path.read_bytes()
    head = eval(content[10:128].decode())  # noqa: S307 (numpy's head is a Python literal)
    rows, columns = head["shape"]
    size = columns * int(head["descr"][2:])
    assert len(content) == 128 + rows * size, f"{path}: {len(content)} bytes for {rows} rows"
    return [content[128 + row * size:128 + (row + 1) * size] for row in range(rows)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def cosine(a: bytes, b: bytes) -> float:
    x, y = (struct.unpack(f"<{len(v) // 4}f", v) for v in (a, b))
    return sum(p * q for p, q in zip(x, y))  # the model's vectors have length 1


def check(folder: Path, good: list[bool], undisturbed: list[bytes]) -> None:
    rows, rejects, vectors = lines(folder / "rows.jsonl"), lines(folder / "rejects.jsonl"), matrix(folder / "vectors.npy")
    expected = [number for number, is_good in enumerate(good) if is_good]
    assert [row["record"] for row in rows] == expected, f"{folder}: rows are lost, doubled or out of order"
    assert [row["row"] for row in rows] == list(range(len(expected))), f"{folder}: rows are misnumbered"
    assert [row["id"] for row in rows] == [f"r{number}" for number in expected], f"{folder}: ids"
    assert [reject["record"] for reject in rejects] == [n for n, is_good in enumerate(good) if not is_good], f"{folder}: rejects"
    assert len(vectors) == len(expected), f"{folder}: {len(vectors)} vectors for {len(expected)} rows"
    # int8 of a batch may round a value otherwise than int8 of another batch.
    worst = min((cosine(a, b) for a, b in zip(vectors, undisturbed)), default=1.0)
    assert worst > 0.999, f"{folder}: a vector is not that of its text (cosine {worst:.4f})"


def rows_so_far(folder: Path) -> int:
    try:
        return int(json.loads((folder / "checkpoint.json").read_text())["rows"])
    except FileNotFoundError:
        return 0


def run_killed(command: list[str], out: Path, kills: int, chance: random.Random, log, stops: set[int]) -> int:
    """Runs the command until it is through, after at most so many kills; how many there were.
    `stops` gets the places where they met it."""
    killed, limit, before = 0, 0.3, -1
    command = [*command, "--out", str(out), "--checkpoint-every", "10ms"]
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        if killed < kills:
            try:
                process.wait(chance.uniform(0.0, limit))
            except subprocess.TimeoutExpired:
                process.kill()
        code = process.wait(300)
        if code != -signal.SIGKILL:
            assert code == 1, f"exit code {code}; 1 expected (there are rejects)"
            return killed
        killed += 1
        stops.add(rows_so_far(out))
        # On a slow machine a run needs longer to come anywhere.
        limit = min(limit * 1.5, 5) if rows_so_far(out) == before else max(limit / 1.5, 0.2)
        before = rows_so_far(out)


def main() -> None:
    longspan, binary, model = sys.argv[1:4]
    kills, seed = int(sys.argv[4]) if len(sys.argv) > 4 else 200, int(sys.argv[5]) if len(sys.argv) > 5 else 1
    chance = random.Random(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        good = records(folder / "in.jsonl", chance)
        server = Server(longspan, binary, model)
        try:
            with (folder / "log").open("w") as log:
                bulk = [longspan, "bulk", str(folder / "in.jsonl"), "--server", server.address]
                stops: set[int] = set()
                assert run_killed(bulk, folder / "whole", 0, chance, log, stops) == 0
                undisturbed = matrix(folder / "whole" / "vectors.npy")
                check(folder / "whole", good, undisturbed)
                total, round_ = 0, 0
                while total < kills:
                    out = folder / f"killed{round_}"
                    total += run_killed(bulk, out, kills - total, chance, log, stops)
                    check(out, good, undisturbed)
                    round_ += 1
                shards = []
                for shard in range(3):
                    shards.append(str(folder / f"shard{shard}"))
                    total += run_killed([*bulk, "--shard", f"{shard}/3"], Path(shards[-1]), 3, chance, log, stops)
                # Else the kills met runs that had done nothing.
                assert len(stops) > total / 3, f"{total} kills met {len(stops)} places only"
                subprocess.run([longspan, "merge", *shards, "--out", str(folder / "merged")], check=True, stdout=subprocess.DEVNULL)
                check(folder / "merged", good, undisturbed)
        except BaseException:
            sys.stderr.write((folder / "log").read_text()[-3000:])
            raise
        finally:
            server.stop()
    print(f"{total} kills at {len(stops)} places in {round_} runs and 3 shards of {RECORDS} records: no row lost, none doubled ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
