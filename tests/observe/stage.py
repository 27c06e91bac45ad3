"""A stage with real programs: longspan servers, Prometheus with our rules, callers good and bad."""
from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if not name.startswith("LONGSPAN_")}, "no_grpc_proxy": "127.0.0.1"}
# Short texts with some of each longer class, the last one in the lane "bulk".
LENGTHS = "86%:60~0.8/8-250,8%:1500,4%:4000,2%:9000"
# The beginning of a connection of HTTP/2, and more frames of one header block than the server
# takes: HEADERS, then CONTINUATION without an end.
ENDLESS_HEADERS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\1\1\0\0\0\0\1\x82" + 20 * b"\0\0\1\x09\0\0\0\0\1\x82"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[Any], seconds: float = 20) -> int:
    process.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def until(what: str, holds: Callable[[], bool], seconds: float) -> None:
    """Waits for something; the error names it."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not in {seconds:g} s: {what}")
        time.sleep(0.1)


class Server:
    """longspan-server on two ports, which it keeps when it starts again."""

    def __init__(self, build: str, model: str, *flags: str) -> None:
        self.grpc, self.http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self._command = [f"{build}/longspan-server", "--model", model, "--listen", self.grpc, "--http", self.http, "--drain-delay", "0", "--log-level", "error",
                         "--max-connections-per-client", "0", *flags]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        until(f"{self.grpc} is ready", self._is_ready, 180)

    def close(self) -> None:
        stop(self.process)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"longspan-server ended with code {self.process.returncode}; its last lines stand above")
        return self.post("/readyz", None) == 200

    def post(self, path: str, body: bytes | None, **headers: str) -> int:
        """The code of the answer; 0 where none came. Without a body it is a GET."""
        request = urllib.request.Request(f"http://{self.http}{path}", body, {"Content-Type": "application/json", **headers})
        try:
            with WITHOUT_PROXY.open(request, timeout=30) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


class Prometheus:
    """Prometheus with the rules of deploy/prometheus, which scrapes and evaluates once a second."""

    def __init__(self, program: str, rules: Path, servers: list[Server], folder: Path) -> None:
        self.url = f"127.0.0.1:{free_port()}"
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(rules)],
                  "scrape_configs": [{"job_name": "longspan", "static_configs": [{"targets": [server.http for server in servers]}]}]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen([program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={self.url}"],
                                        stdout=self._log, stderr=subprocess.STDOUT)
        until("Prometheus is ready", lambda: self._get("/-/ready") is not None, 30)

    def _get(self, path: str, **parameters: str) -> bytes | None:
        try:
            with WITHOUT_PROXY.open(f"http://{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.read() if path.startswith("/api") else None
        except OSError:
            return None

    def _data(self, path: str, **parameters: str) -> Any:
        answer = json.loads(self._get(path, **parameters) or b'{"status": "no answer"}')
        if answer["status"] != "success":
            raise ValueError(f"{parameters.get('query', path)}: {answer.get('error', answer['status'])}")
        return answer["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Series now, each with `metric` and `value`."""
        return list(self._data("/api/v1/query", query=expr)["result"])

    def series(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Series over time, each with `metric` and `values`."""
        return list(self._data("/api/v1/query_range", query=expr, start=str(start), end=str(end), step=str(step))["result"])

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._data("/api/v1/rules")["groups"] for rule in group["rules"]]

    def close(self) -> None:
        stop(self.process)
        self._log.close()


def bench(build: str, server: Server, seconds: float, *flags: str, lengths: str = LENGTHS) -> subprocess.Popen[str]:
    """`longspan bench` for so long, with its JSON on standard output."""
    return subprocess.Popen([f"{build}/longspan", "--server", server.grpc, "bench", "--lengths", lengths, "--seconds", str(seconds), "--warmup", "0", "--request-deadline", "10", *flags],
                            env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


class BadCallers:
    """What every service has to live with, in turn, until close(): requests that are no JSON, too
    long, in no time, given up on; an attack; a stream of items; pages that are not there."""

    def __init__(self, build: str, servers: list[Server], folder: Path, pause: float) -> None:
        self._build, self._servers, self._folder, self._pause = build, servers, folder, pause
        self._end = threading.Event()
        for number in range(6):
            (folder / f"text{number}.txt").write_text("the party of the first part shall pay " * 20, encoding="utf-8")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            for server in self._servers:
                for call in (self._no_json, self._no_time, self._given_up, self._attack, self._stream):
                    if self._end.is_set():
                        return
                    call(server)
                    self._end.wait(self._pause)

    def _no_json(self, server: Server) -> None:
        server.post("/v1/embeddings", b"{")
        server.post("/nowhere", None)
        server.post("/v1/embeddings", b'{"input": "a text"}')

    def _no_time(self, server: Server) -> None:
        """The first ends while its text is read, the second is refused at once."""
        text = json.dumps({"input": "one two three " * 100_000}).encode()
        server.post("/v1/embeddings", text, **{"x-request-timeout": "0.3"})
        server.post("/v1/embeddings", text, **{"x-request-timeout": "0.001"})

    def _given_up(self, server: Server) -> None:
        """A client that is killed with its calls open."""
        client = bench(self._build, server, 60, "--concurrency", "2")
        self._end.wait(0.5)
        client.kill()
        client.communicate()

    def _attack(self, server: Server) -> None:
        host, port = server.grpc.split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as attacker:
            attacker.sendall(ENDLESS_HEADERS)
            attacker.recv(1000)

    def _stream(self, server: Server) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([f"{self._build}/longspan", "--server", server.grpc, "encode", "--format", "jsonl", "--include", "text*.txt", str(self._folder)], env=ENVIRONMENT,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=120)

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@contextlib.contextmanager
def stage(build: str, model: str, program: str, rules: Path, folder: Path, num_servers: int, *flags: str) -> Iterator[tuple[list[Server], Prometheus]]:
    """Servers and the Prometheus that scrapes them; all of them end with the block."""
    with contextlib.ExitStack() as ends:
        servers = []
        for _ in range(num_servers):
            server = Server(build, model, *flags)
            ends.callback(server.close)
            servers.append(server)
        prometheus = Prometheus(program, rules, servers, folder)
        ends.callback(prometheus.close)
        yield servers, prometheus


def program_in(tools: str, name: str) -> str:
    """A program out of the tools' folder, else the one in PATH."""
    path = Path(tools) / name
    return str(path) if path.exists() else name


def values(result: list[dict[str, Any]]) -> list[float]:
    """The finite numbers of a query's result."""
    found = [float(series["value"][1]) for series in result]
    return [number for number in found if not re.match(r"nan|[+-]?inf", str(number))]
