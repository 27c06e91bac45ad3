#!/usr/bin/env python3
"""A well-behaved caller: prints one JSON line for each thing that it did.

    probe.py GRPC_PORT HTTP_PORT [--ca FILE] [--key KEY]

On a connection of its own it encodes a short text every 0.1 s, whether or not the answers before
have come (an open loop, so a stall is seen in full). Once a second it also asks /healthz and
/metrics, and opens a new connection to the gRPC port and waits for the server's first frame. It
runs until its standard input ends, and then waits for what is still under way.

    {"kind": "encode", "at": 1234.5, "ms": 9.8, "error": ""}

`at` is CLOCK_MONOTONIC at the start of the attempt, which all processes of a machine share.
"""
import argparse
import json
import socket
import ssl
import sys
import threading
import time

import grpc

import wire

EVERY = 0.1         # seconds between two encodes
PATIENCE = 10       # seconds after which a probe counts as lost
TEXT = wire.encode([wire.text_input("the court shall report within ten days of this order")])


class Probe:
    def __init__(self, arguments):
        self.arguments = arguments
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.under_way = threading.Semaphore(0)
        channel_options = [("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
                           ("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 100)]
        target = f"localhost:{arguments.grpc_port}" if arguments.ca else f"127.0.0.1:{arguments.grpc_port}"
        self.channel = grpc.insecure_channel(target, channel_options)
        self.tls = None
        if arguments.ca:
            with open(arguments.ca, "rb") as file:
                self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(file.read()), channel_options)
            self.tls = ssl.create_default_context(cafile=arguments.ca)
            self.tls.set_alpn_protocols(["h2"])
        self.encode = self.channel.unary_unary(wire.SERVICE + "Encode")
        self.metadata = [("authorization", f"Bearer {arguments.key}")] if arguments.key else []

    def say(self, kind, at, error=""):
        line = json.dumps({"kind": kind, "at": at, "ms": round((time.monotonic() - at) * 1000, 3), "error": error})
        with self.lock:
            print(line, flush=True)

    def encodes(self):
        next_at, sent = time.monotonic(), 0
        while not self.over.is_set():
            at = next_at
            call = self.encode.future(TEXT, timeout=PATIENCE, metadata=self.metadata)
            call.add_done_callback(lambda done, at=at: self.on_encode(done, at))
            sent += 1
            next_at += EVERY
            self.over.wait(max(0, next_at - time.monotonic()))
        for _ in range(sent):
            self.under_way.acquire()

    def on_encode(self, call, at):
        error = "" if call.code() == grpc.StatusCode.OK else f"{call.code().name}: {str(call.details())[:200]}"
        self.say("encode", at, error)
        self.under_way.release()

    def each_second(self, kind, attempt):
        while not self.over.wait(1):
            at = time.monotonic()
            try:
                error = attempt()
            except OSError as failure:
                error = f"{type(failure).__name__}: {failure}"
            self.say(kind, at, error)

    def http(self, path):
        with socket.create_connection(("127.0.0.1", self.arguments.http_port), PATIENCE) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while (got := sock.recv(65536)):
                answer += got
            status = answer.split(b"\r\n", 1)[0].decode("ascii", "replace")
            return "" if " 200" in status else status or "no answer"

    def door(self):
        with socket.create_connection(("127.0.0.1", self.arguments.grpc_port), PATIENCE) as sock:
            sock.settimeout(PATIENCE)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_hostname="localhost")
            with sock:
                sock.sendall(wire.PREFACE + wire.frame(wire.SETTINGS))
                head = sock.recv(9)
                return "" if len(head) > 3 and head[3] == wire.SETTINGS else "no SETTINGS frame"

    def run(self):
        threads = [threading.Thread(target=self.encodes), threading.Thread(target=self.each_second, args=("door", self.door))]
        if self.arguments.http_port:
            threads += [threading.Thread(target=self.each_second, args=(path, lambda path=path: self.http(path))) for path in ("/healthz", "/metrics")]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self.over.set()
        for thread in threads:
            thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grpc_port", type=int)
    parser.add_argument("http_port", type=int, help="0 = none")
    parser.add_argument("--ca", help="the server speaks TLS, with a certificate of this authority for localhost")
    parser.add_argument("--key", help="the bearer key to show")
    Probe(parser.parse_args()).run()


if __name__ == "__main__":
    main()
