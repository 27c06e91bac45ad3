#!/usr/bin/env python3
"""Attacks on connections, with a well-behaved caller beside each.

  connection_attacks.py SERVER MODEL [--haproxy CONFIG] [--tls] [--seconds 8] [--only NAME,...]

Starts SERVER (longspan-server) on MODEL; with --haproxy also HAProxy in front of it, configured by
CONFIG, and attacks that. The caller sends a small Encode every 0.1 s, in turn on a connection of
its own that stays and on a new one, and asks /healthz and /metrics every half second. For each
attack prints the caller's calls, failures and 99th percentile, what the pages took, and the
server's memory at rest, at its peak and ten seconds after. Fails where the percentile exceeds 250
ms, a call or page fails, or memory exceeds rest by more than 512 MiB, then or after.
"""

import argparse
import multiprocessing
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ENCODE = "/longspan.v1.EncoderService/Encode"
TEXT = b"\x0a\x15\x12\x13A few words, hello."  # EncodeRequest{inputs: [{text}]}


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def block(path, **more):
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test", "te": "trailers",
              "content-type": "application/grpc", **more}
    return b"".join(literal(name, value) for name, value in fields.items())


class Target:
    """Where the attacks go."""

    def __init__(self, port, tls=False, address="127.0.0.1"):
        self.port, self.tls, self.address = port, tls, address

    def connect(self, timeout=10.0, hello=True, plain=False):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout, (self.address, 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls and not plain:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            connection = context.wrap_socket(connection)
        if hello:
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
        return connection


class Caller:
    """Unary calls on one connection."""

    def __init__(self, target):
        self.socket, self.stream, self.rest = target.connect(), -1, b""

    def read(self, count):
        while len(self.rest) < count:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed")
            self.rest += more
        out, self.rest = self.rest[:count], self.rest[count:]
        return out

    def call(self, path=ENCODE, message=TEXT):
        self.stream += 2
        self.socket.sendall(frame(HEADERS, 4, self.stream, block(path)) +
                            frame(DATA, 1, self.stream, b"\0" + struct.pack(">I", len(message)) + message))
        answered = False
        while True:
            head = self.read(9)
            body = self.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF
            if kind == SETTINGS and not flags & 1:
                self.socket.sendall(frame(SETTINGS, 1, 0))
            if kind == PING and not flags & 1:
                self.socket.sendall(frame(PING, 1, 0, body))
            if kind == GOAWAY or (kind == RESET and stream == self.stream):
                raise ConnectionError("goaway" if kind == GOAWAY else "reset")
            if kind == DATA and stream == self.stream and body:
                answered = True
                self.socket.sendall(frame(WINDOW, 0, 0, struct.pack(">I", len(body))))
                if flags & 1:  # HAProxy's own pages; gRPC ends with trailers
                    raise ConnectionError("a page, no answer")
            if kind in (HEADERS, DATA) and stream == self.stream and flags & 1:
                if not answered:
                    raise ConnectionError("an error, no answer")
                return

    def close(self):
        self.socket.close()


def flood(target, make, stop, pause=0.0, connections=1, first=b""):
    """Sends make(n) for n = 0, 1, ... on each connection, and connects anew where it is closed."""
    def one():
        while not stop.is_set():
            try:
                connection = target.connect(timeout=2.0)
                reader = threading.Thread(target=drain, args=(connection,), daemon=True)
                reader.start()
                if first:
                    connection.sendall(first)
                n = 0
                while not stop.is_set():
                    connection.sendall(make(n))
                    n += 1
                    if pause:
                        time.sleep(pause)
            except OSError:
                time.sleep(0.01)
            finally:
                try:
                    connection.close()
                except (OSError, UnboundLocalError):
                    pass
    threads = [threading.Thread(target=one, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(5)


def drain(connection):
    try:
        while connection.recv(65536):
            pass
    except (OSError, ValueError):
        pass


def hold(target, stop, count, hello, plain=False, drip=b""):
    """`count` connections that say `hello` and then `drip` once a second, and nothing more."""
    held = []
    while not stop.is_set():
        while len(held) < count and not stop.is_set():
            try:
                connection = target.connect(timeout=1.0, hello=False, plain=plain)
                connection.sendall(hello)
                connection.setblocking(False)
                held.append(connection)
            except OSError:
                break
        stop.wait(0.5)
        alive = []
        for connection in held:
            try:
                while connection.recv(4096):
                    pass
                connection.close()
            except (BlockingIOError, ssl.SSLWantReadError):
                alive.append(connection)
            except OSError:
                connection.close()
        held = alive
        for connection in held:
            try:
                if drip:
                    connection.send(drip)
            except OSError:
                pass
    for connection in held:
        connection.close()


def endless(prefix, size=16000):
    """A header block that begins with `prefix`, then 0x80 for ever, in frames of `size` bytes."""
    def make(n):
        if n == 0:
            return frame(HEADERS, 0, 1, prefix + b"\x80" * (size - len(prefix)))
        return frame(CONTINUATION, 0, 1, b"\x80" * size)
    return make


def reset_burst(n):
    out = b""
    for i in range(200):
        stream = 2 * (200 * n + i) + 1
        out += frame(HEADERS, 4, stream, block(ENCODE)) + frame(RESET, 0, stream, struct.pack(">I", 8))
    return out


def table_sizes(n):
    sizes = b"".join(b"\x20" + b"\x3f\xe1\x1f" for _ in range(1))
    return b"".join(frame(HEADERS, 4, 2 * (50 * n + i) + 1, sizes + block(ENCODE)) for i in range(50))


def bomb(n):
    """One entry of 3,900 bytes in the table, then references to it of one byte each."""
    entry = b"\x40\x01a\x7f" + b"\xbd\x1d" + b"x" * (127 + 0x3D + (0x1D << 7))
    if n == 0:
        return frame(HEADERS, 4, 1, block(ENCODE) + entry)
    return frame(HEADERS, 0, 2 * n + 1, block(ENCODE)) + b"".join(
        frame(CONTINUATION, 4 if i == 6 else 0, 2 * n + 1, b"\xbe" * 16) for i in range(7))


HUFFMAN = b"\0\x01a\xff\xff\xff\xff\x07"  # a literal whose value has 2^28 bytes of Huffman code

# Name: what the attack does until it is stopped.
ATTACKS = {
    "nothing": lambda target, stop: stop.wait(),
    "integer of a name's length": lambda t, s: flood(t, endless(b"\0\x7f"), s, pause=0.016, connections=2),
    "integer of a value's length": lambda t, s: flood(t, endless(b"\0\x01a\x7f"), s, pause=0.016, connections=2),
    "integer of an index": lambda t, s: flood(t, endless(b"\xff"), s, pause=0.016, connections=2),
    "integer of a table size": lambda t, s: flood(t, endless(b"\x3f"), s, pause=0.016, connections=2),
    "Huffman string without end": lambda t, s: flood(t, endless(HUFFMAN), s, pause=0.016, connections=2),
    "value beyond the limit": lambda t, s: flood(
        t, lambda n: frame(HEADERS, 4, 2 * n + 1, block(ENCODE) + b"\0\x01a\x7f\x80\x10" + b"v" * 2175)
        if n % 2 else frame(CONTINUATION, 0, 1, b"v" * 16000), s, pause=0.005, connections=2),
    "tiny CONTINUATION frames": lambda t, s: flood(
        t, lambda n: (frame(HEADERS, 0, 1, b"\0\x7f\x80") if n == 0 else b"") +
        frame(CONTINUATION, 0, 1, b"\x80") * 100, s, connections=2),
    "empty CONTINUATION frames": lambda t, s: flood(
        t, lambda n: (frame(HEADERS, 0, 1, b"") if n == 0 else b"") + frame(CONTINUATION, 0, 1) * 500, s,
        connections=2),
    "padded and prioritised HEADERS": lambda t, s: flood(
        t, lambda n: frame(HEADERS, 0x2C, 2 * n + 1, b"\x05" + b"\0\0\0\0\x10" + block(ENCODE) + b"\0" * 5), s,
        connections=2),
    "table sizes in every block": lambda t, s: flood(t, table_sizes, s, pause=0.01, connections=2),
    "references to a large entry": lambda t, s: flood(t, bomb, s, connections=2),
    "HEADERS without headers": lambda t, s: flood(
        t, lambda n: b"".join(frame(HEADERS, 5, 2 * (100 * n + i) + 1) for i in range(100)), s, connections=2),
    "rapid reset": lambda t, s: flood(t, reset_burst, s, connections=4),
    "RST_STREAM": lambda t, s: flood(t, lambda n: frame(RESET, 0, 1, b"\0\0\0\x08") * 500, s, connections=2),
    "PING": lambda t, s: flood(t, lambda n: frame(PING, 0, 0, b"12345678") * 500, s, connections=2),
    "PING answers": lambda t, s: flood(t, lambda n: frame(PING, 1, 0, b"12345678") * 500, s, connections=2),
    "SETTINGS": lambda t, s: flood(t, lambda n: frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") * 500, s,
                                   connections=2),
    "WINDOW_UPDATE": lambda t, s: flood(t, lambda n: frame(WINDOW, 0, 0, b"\0\0\0\x01") * 500, s, connections=2),
    "PRIORITY": lambda t, s: flood(t, lambda n: frame(PRIORITY, 0, 3, b"\0\0\0\0\x10") * 500, s, connections=2),
    "empty DATA": lambda t, s: flood(t, lambda n: frame(DATA, 0, 1) * 500, s, connections=2,
                                     first=frame(HEADERS, 4, 1, block(ENCODE))),
    "unknown frames": lambda t, s: flood(t, lambda n: frame(0xAB, 0, 0, b"x") * 500, s, connections=2),
    "connect and say nothing": lambda t, s: hold(t, s, 2000, b"", plain=True),
    "half a TLS hello": lambda t, s: hold(t, s, 1000, b"\x16\x03\x01\x02\x00\x01", plain=True),
    "a preface, a byte a second": lambda t, s: hold(t, s, 1000, b"PRI", plain=True, drip=b" "),
    "idle connections": lambda t, s: hold(t, s, 1000, PREFACE + frame(SETTINGS, 0, 0), plain=not t.tls),
    "connect and leave": lambda t, s: connect_and_leave(t, s),
}


def connect_and_leave(target, stop):
    def one():
        while not stop.is_set():
            try:
                target.connect(timeout=1.0, hello=False, plain=True).close()
            except OSError:
                time.sleep(0.01)
    threads = [threading.Thread(target=one, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(5)


# The same for the HTTP port.
HTTP_ATTACKS = {
    "HTTP: connect and leave": lambda t, s: connect_and_leave(t, s),
    "HTTP: 200 half-open": lambda t, s: hold(t, s, 200, b"", plain=True),
    "HTTP: 2,000 half-open": lambda t, s: hold(t, s, 2000, b"GET /healthz HTTP/1.1\r\nHos", plain=True),
    "HTTP: a byte a second": lambda t, s: hold(t, s, 1000, b"GET /metrics HTTP/1.1\r\nX: ", plain=True, drip=b"x"),
    "HTTP: answers nobody reads": lambda t, s: hold(t, s, 1000, b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n", plain=True),
}


class Probe:
    """The caller beside the attack."""

    def __init__(self, target, http_port):
        self.target, self.http_port = target, http_port
        self.seconds, self.failures, self.pages, self.page_failures = [], [], [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.calls), threading.Thread(target=self.ask_pages)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def calls(self):
        kept, n = None, 0
        while not self.stop.wait(0.1):
            n += 1
            begin, fresh = time.monotonic(), None
            try:
                if n % 2:
                    fresh = Caller(self.target)
                    fresh.call()
                    fresh.close()
                else:
                    kept = kept or Caller(self.target)
                    kept.call()
                self.seconds.append(time.monotonic() - begin)
            except OSError as error:
                self.failures.append(f"{'new' if n % 2 else 'kept'}: {error}")
                if n % 2 == 0:
                    kept = None

    def ask_pages(self):
        while not self.stop.wait(0.5):
            for page in ("/healthz", "/metrics"):
                begin = time.monotonic()
                try:
                    with socket.create_connection(("127.0.0.1", self.http_port), 5) as connection:
                        connection.sendall(f"GET {page} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
                        answer = b""
                        while more := connection.recv(65536):
                            answer += more
                    if not answer.startswith(b"HTTP/1.1 200"):
                        raise ConnectionError(answer[:60].decode(errors="replace"))
                    self.pages.append(time.monotonic() - begin)
                except OSError as error:
                    self.page_failures.append(f"{page}: {error}")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("inf")


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def start_server(server, model, tls, folder, extra):
    arguments = [server, "--model", model, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", *extra]
    if tls:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
                       check=True, capture_output=True)
        arguments += ["--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem"]
    log = open(f"{folder}/log", "w")
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)
    for line in process.stdout:
        if match := re.search(r"gRPC on 127.0.0.1:(\d+), HTTP on port (\d+)", line):
            return process, int(match.group(1)), int(match.group(2))
    raise SystemExit(f"the server did not start: {open(log.name).read()}")


def start_haproxy(config, grpc_port, http_port, folder):
    """The configuration as it is, with the ports of this run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = open(config).read()
    for old, new in (("bind :50051", f"bind 127.0.0.1:{port}"), ("127.0.0.1:50061", f"127.0.0.1:{grpc_port}"),
                     ("port 8080", f"port {http_port}")):
        if old not in text:
            raise SystemExit(f"{config} lacks '{old}'")
        text = text.replace(old, new)
    # The other front is for TLS, with a certificate that this run does not have.
    text = "\n".join(line for line in text.splitlines() if " ssl crt " not in line) + "\n"
    with open(f"{folder}/haproxy.cfg", "w") as out:
        out.write(text)
    subprocess.run(["haproxy", "-c", "-f", f"{folder}/haproxy.cfg"], check=True, capture_output=True)
    process = subprocess.Popen(["haproxy", "-db", "-f", f"{folder}/haproxy.cfg"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            Caller(Target(port)).call()
            return process, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit("HAProxy does not reach the server")


def nicely(attack, attacked, stop):
    os.nice(10)
    attack(attacked, stop)


def run(name, attack, target, attacked, http_port, process, seconds):
    rest = resident(process.pid)
    # In a process of its own, so that the caller does not share an interpreter with it; and nice,
    # because an attacker on another machine takes no processor from the server.
    stop, peak = multiprocessing.Event(), rest
    attacker = multiprocessing.Process(target=nicely, args=(attack, attacked, stop), daemon=True)
    probe = Probe(target, http_port).start()
    attacker.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.05)
    probe.end()
    stop.set()
    attacker.join(5)
    attacker.kill()
    time.sleep(10)
    after = resident(process.pid)
    back = Probe(target, http_port).start()
    time.sleep(1.5)
    back.end()
    p99, pages = percentile(probe.seconds, 0.99), percentile(probe.pages, 0.99)
    good = (p99 < 0.25 and not probe.failures and not probe.page_failures and peak - rest < 512 and
            after - rest < 512 and not back.failures)
    print(f"| {name} | {len(probe.seconds)} | {len(probe.failures)} | {p99 * 1e3:.0f} | {pages * 1e3:.0f}"
          f"{f' ({len(probe.page_failures)} failed)' if probe.page_failures else ''} | {rest:.0f} | {peak:.0f} | "
          f"{after:.0f} | {'holds' if good else 'FAILS'} |", flush=True)
    for failure in sorted(set(probe.failures + probe.page_failures + back.failures))[:3]:
        print(f"    {failure}", file=sys.stderr)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("model")
    parser.add_argument("--haproxy", help="a configuration; HAProxy stands in front, and is attacked")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--only", default="", help="names, or parts of them, with commas between")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp()
    process, grpc_port, http_port = start_server(arguments.server, arguments.model, arguments.tls, folder, [])
    front, failed = None, []
    try:
        port = grpc_port
        if arguments.haproxy:
            front, port = start_haproxy(arguments.haproxy, grpc_port, http_port, folder)
        target = Target(port, arguments.tls)
        for _ in range(50):
            Caller(target).call()
        print("| attack | calls | failed | p99 ms | pages ms | MiB at rest | peak | after | |\n"
              "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        wanted = [word for word in arguments.only.split(",") if word]
        # Attackers have an address of their own, the caller another.
        attacks = [(name, attack, Target(port, arguments.tls, "127.0.0.66")) for name, attack in ATTACKS.items()]
        attacks += [(name, attack, Target(http_port, address="127.0.0.66")) for name, attack in HTTP_ATTACKS.items()]
        for name, attack, attacked in attacks:
            if wanted and not any(word in name for word in wanted):
                continue
            if not run(name, attack, target, attacked, http_port, process, arguments.seconds):
                failed.append(name)
            if process.poll() is not None:
                print(f"the server has ended with code {process.returncode}")
                failed.append(name)
                break
    finally:
        for one in (front, process):
            if one is not None and one.poll() is None:
                one.terminate()
                try:
                    one.wait(20)
                except subprocess.TimeoutExpired:
                    one.kill()
        shutil.copy(f"{folder}/log", os.environ.get("ATTACK_LOG", os.devnull)) if "ATTACK_LOG" in os.environ else None
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
