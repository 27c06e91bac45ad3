"""longspan-server processes at addresses of their own, all on the port that a pod would have."""
from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from processes import Process, await_true, run
from report import Wrong

GRPC, HTTP = 50051, 8080
# Of the tests' small servers. They share two cores, so each gets one thread; int8 makes room for
# more calls; the drain is short but longer than a look of any balancer here.
SMALL = ("--dtype=int8", "--replicas=1", "--threads=1", "--drain-delay=3s", "--drain-limit=20s")


def add_address(address: str) -> None:
    """Makes an address one of this network namespace."""
    run("ip", "address", "replace", f"{address}/32", "dev", "lo")


def remove_address(address: str) -> None:
    run("ip", "address", "del", f"{address}/32", "dev", "lo", check=False)


def http_get(address: str, page: str, port: int = HTTP, timeout: float = 5) -> tuple[int, str]:
    """The code and the body of a page; code 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}{page}", timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Server:
    """longspan-server at ADDRESS:50051 and ADDRESS:8080. It may be started again after its end."""

    def __init__(self, world: "World", address: str, flags: Sequence[str] = SMALL, wait: bool = True) -> None:
        self.world, self.address, self.flags = world, address, list(flags)
        add_address(address)
        self.start(wait)

    @property
    def target(self) -> str:
        return f"{self.address}:{GRPC}"

    def start(self, wait: bool = True) -> None:
        self.process = Process(self.world.folder, f"server-{self.address}",
                               [self.world.build / "longspan-server", "--model", self.world.model, "--listen", self.target,
                                "--http", f"{self.address}:{HTTP}", *self.flags])
        if wait:
            self.await_ready()

    def ready(self) -> bool:
        return http_get(self.address, "/readyz")[0] == 200

    def await_ready(self, limit: float = 60) -> float:
        def holds() -> bool:
            if not self.process.alive():
                raise Wrong(f"longspan-server ended with {self.process.popen.returncode}: {self.process.log()[-1500:]}")
            return self.ready()

        return await_true(f"{self.address} ready", holds, limit, 0.05)

    def calls(self) -> int:
        """Calls of Encode that it has answered well."""
        body = http_get(self.address, "/metrics")[1]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in body.splitlines()
                       if line.startswith("longspan_requests_total{") and 'method="Encode"' in line and 'code="OK"' in line))


class World:
    """What all tests share: the programs, the model, and a folder for logs."""

    def __init__(self, source: Path, build: Path, folder: Path, site: Path, calls: int) -> None:
        self.source, self.build, self.folder, self.site, self.calls = source, build, folder, site, calls
        self.model = (build / "embedded_model.path").read_text().strip()
