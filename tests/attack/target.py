"""The server that is attacked, the caller that must not notice, and what an attack may use."""
import atexit
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

import grpc

import wire

HERE = Path(__file__).parent
MIB = 1 << 20
CHANNEL = [("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
           ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Wrong(Exception):
    """The server did something that it must not do; the message says what was got and wanted."""


def clean_environment():
    """The environment without settings of the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LONGSPAN_")}


def cpu_seconds(pid):
    """Processor time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """One longspan-server on free ports of 127.0.0.1."""

    def __init__(self, binary, model, flags=(), prefix=(), wait=True, stderr=None):
        self.log_file = tempfile.NamedTemporaryFile("w+b", suffix=".log")
        flags = [str(flag) for flag in flags]
        defaults = {"--model": model, "--listen": "127.0.0.1:0", "--http": "127.0.0.1:0", "--drain-delay": "0s", "--drain-limit": "20s"}
        command = [*prefix, binary, *(word for flag, value in defaults.items() if flag not in flags for word in (flag, value)), *flags]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True, env=clean_environment(),
                                        stderr=self.log_file if stderr is None else stderr, start_new_session=True)
        atexit.register(self.kill)      # also where the suite is interrupted
        self.port = self.http_port = 0
        self.rest_mib = self.rss_mib()
        if wait and not self.wait_ready():
            raise Wrong(f"longspan-server did not start (code {self.process.wait()}): {self.log()[-2000:]}")

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        """Whether the line came that names the ports."""
        for line in self.process.stdout:
            if found := re.search(r"gRPC on \S*:(\d+), HTTP (?:on port (\d+)|off)", line):
                self.port, self.http_port = int(found[1]), int(found[2] or 0)
                return True
        return False

    def alive(self):
        return self.process.poll() is None

    def rss_mib(self):
        """Resident set in MiB; 0 after the end."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize() / MIB
        except (OSError, IndexError):
            return 0

    def log(self):
        return Path(self.log_file.name).read_text(encoding="utf-8", errors="replace")

    def events(self):
        """The lines of the log that are JSON objects."""
        out = []
        for line in self.log().splitlines():
            try:
                out.append(json.loads(line))
            except ValueError:
                pass
        return out

    def stop(self, limit=30):
        """Ends it by SIGTERM; its exit code, or a signal's negative number. SIGKILL after the
        limit."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def kill(self):
        if self.alive():
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGKILL)


class Caller:
    """The process of probe.py and what it has said so far."""

    def __init__(self, server, ca=None, key=None):
        command = [sys.executable, HERE / "probe.py", server.port, server.http_port]
        command += ["--ca", ca] if ca else []
        command += ["--key", key] if key else []
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**clean_environment(), "PYTHONDONTWRITEBYTECODE": "1"})
        self.said, self.lock = [], threading.Lock()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            with self.lock:
                self.said.append(json.loads(line))

    def between(self, begin, end=float("inf"), kind=None):
        """What was begun in [begin, end), in order of its begin."""
        with self.lock:
            found = [one for one in self.said if begin <= one["at"] < end and kind in (None, one["kind"])]
        return sorted(found, key=lambda one: one["at"])

    def stop(self):
        """Waits for what is under way, then ends it."""
        self.process.stdin.close()
        self.thread.join(30)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Watch:
    """Samples the server's resident set; kills a server that takes `most_mib` beyond its rest, so
    that an old one does not take the machine with it."""

    def __init__(self, server, most_mib):
        self.server, self.most_mib = server, most_mib
        self.peak_mib, self.stopped_at = server.rss_mib(), 0
        self.rest_mib = self.peak_mib
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.05):
            now = self.server.rss_mib()
            self.peak_mib = max(self.peak_mib, now)
            if now > self.rest_mib + self.most_mib and self.server.alive():
                self.stopped_at = now
                self.server.kill()

    def stop(self):
        self.over.set()
        self.thread.join()


class Target:
    """What an attack may use. `seconds` is how long it should last; `running()` is false after
    that, and once the server is gone."""

    def __init__(self, server, seconds, start=None):
        self.server, self.seconds, self.start = server, seconds, start
        self.facts, self.made = {}, None
        self.stop_at = time.monotonic() + seconds
        self.channels = []

    @property
    def port(self):
        return self.server.port

    def left(self):
        return max(0.0, self.stop_at - time.monotonic())

    def running(self):
        return self.left() > 0 and self.server.alive()

    def require(self, holds, otherwise):
        if not holds:
            raise Wrong(otherwise)

    def channel(self, credentials=None, target=None):
        """A channel of its own; credentials for TLS."""
        target = target or f"127.0.0.1:{self.port}"
        channel = grpc.secure_channel(target, credentials, CHANNEL) if credentials else grpc.insecure_channel(target, CHANNEL)
        self.channels.append(channel)
        return channel

    def future(self, method, content, timeout=None, channel=None, metadata=None):
        """Starts a unary call with the bytes of its message."""
        channel = channel or self.channel()
        return channel.unary_unary(wire.SERVICE + method).future(content, timeout=timeout or self.left() + 1, metadata=metadata)

    def call(self, method, content, timeout=None, channel=None, metadata=None):
        """The code's name, the message and the answer's bytes of a unary call."""
        call = self.future(method, content, timeout, channel, metadata)
        code = call.code()      # waits
        return code.name, call.details() or "", call.result() if code == grpc.StatusCode.OK else b""

    def at_once(self, method, contents, timeout=None):
        """Makes all calls at once, over one channel; how many ended with each code."""
        channel = self.channel()
        calls = [self.future(method, content, timeout, channel) for content in contents]
        return self.count(call.code().name for call in calls)

    @staticmethod
    def count(names):
        out = {}
        for name in names:
            out[name] = out.get(name, 0) + 1
        return out

    def again(self, method, content, callers=1, timeout=None):
        """Calls one after the other from so many callers until the time is over; how many ended
        with each code."""
        codes, lock = [], threading.Lock()

        def caller():
            channel = self.channel()
            while self.running():
                code, _, _ = self.call(method, content, timeout, channel)
                with lock:
                    codes.append(code)

        self.in_threads(caller, callers)
        return self.count(codes)

    def in_threads(self, work, count):
        """Runs work() in so many threads and waits for them; the first error is raised again."""
        errors = []

        def guarded():
            try:
                work()
            except Exception as error:      # pylint: disable=broad-except
                errors.append(error)

        threads = [threading.Thread(target=guarded, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def http2(self, **more):
        return wire.Http2(self.port, **more)

    def metrics(self):
        """The samples of /metrics: "name{labels}" -> number."""
        with wire.open_socket(self.server.http_port, source="127.0.0.1") as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: attack\r\nConnection: close\r\n\r\n")
            answer = b""
            while (got := sock.recv(65536)):
                answer += got
        lines = answer.decode().split("\r\n\r\n", 1)[1].splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}

    def close(self):
        for channel in self.channels:
            channel.close()


class Attack:
    """A function with what is known of it. `table` is its row of the list that it comes from.

    seconds      how long it lasts
    flags        further flags of the server
    cheap        also part of the short run in ctest, there for `cheap_seconds`
    named        a pattern that the log must hold afterwards
    prefix       a command that starts the server
    probe        arguments of the caller beside it (key, ca)
    alone        the function starts the servers itself, and nobody calls beside it
    needs        a function that says what is missing on this machine, or None
    make         makes what the attack sends (`t.made`) before anything is measured, where that
                 takes long
    legal        a function that gives a call (method, content) within the limits that the attack is
                 made of; what it takes when it comes alone, measured before the attack, is the
                 price of that text and not of the attack
    """

    def __init__(self, function, table, seconds=10, flags=(), cheap=False, cheap_seconds=3, named=None, prefix=(), probe=None, alone=False, needs=None, make=None, legal=None):
        self.function, self.name, self.table = function, function.__name__.replace("_", "-"), table
        self.seconds, self.flags, self.cheap, self.cheap_seconds = seconds, flags, cheap, cheap_seconds
        self.named, self.prefix, self.probe, self.alone, self.needs = named, prefix, probe or {}, alone, needs
        self.make, self.legal = make, legal

    @property
    def what(self):
        return " ".join(self.function.__doc__.split())


ATTACKS = []


def attack(table, **more):
    """Registers a function as an attack; the arguments are those of Attack."""

    def register(function):
        ATTACKS.append(Attack(function, table, **more))
        return function

    return register
