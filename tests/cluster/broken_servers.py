"""Servers that are broken in one way each, at the address of a good one.

    refuses    nobody listens
    silent     accepts connections and says nothing
    closes     accepts connections and closes them
    garbage    answers everything with bytes that mean nothing
    page       answers with a page of HTTP/1.1, as a wrong proxy does
    mute       speaks HTTP/2, answers pings, and never answers a call
    resets     speaks HTTP/2 and resets every call with INTERNAL_ERROR, which clients do not repeat
"""
from __future__ import annotations

import socket
import struct
import threading

DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
ACK = 1
PREFACE_BYTES = 24
INTERNAL_ERROR = 2
PAGE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops"
KINDS = ("refuses", "silent", "closes", "garbage", "page", "mute", "resets")


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def read(connection: socket.socket, count: int) -> bytes:
    out = b""
    while len(out) < count:
        more = connection.recv(count - len(out))
        if not more:
            raise ConnectionError("closed")
        out += more
    return out


class Broken:
    """One of KINDS at an address, from the constructor to stop()."""

    def __init__(self, kind: str, address: str, port: int) -> None:
        self.kind, self.connections, self.open = kind, 0, []  # type: ignore[var-annotated]
        self.listener = None if kind == "refuses" else socket.create_server((address, port), backlog=64)
        if self.listener is not None:
            threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.kind == "closes":
                connection.close()
            elif self.kind in ("mute", "resets"):
                self._speak_http2(connection)
            else:
                while connection.recv(65536):
                    answer = {"garbage": b"\xff\x00garbage" * 100, "page": PAGE}.get(self.kind)
                    if answer:
                        connection.sendall(answer)
        except OSError:
            pass

    def _speak_http2(self, connection: socket.socket) -> None:
        read(connection, PREFACE_BYTES)
        connection.sendall(frame(SETTINGS, 0, 0))
        while True:
            head = read(connection, 9)
            body = read(connection, int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                connection.sendall(frame(PING, ACK, 0, body))
            elif kind == HEADERS and self.kind == "resets":
                connection.sendall(frame(RESET, 0, stream, struct.pack(">I", INTERNAL_ERROR)))

    def stop(self) -> None:
        if self.listener is not None:
            self.listener.shutdown(socket.SHUT_RDWR)  # ends accept(), which would keep the port
            self.listener.close()
        for connection in self.open:
            connection.close()
