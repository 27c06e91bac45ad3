"""Tokens a second of POST /v1/embeddings beside those of `longspan bench`, which calls gRPC, by
turns on one server; and what 512 idle connections cost. Prints a line of JSON for each.

    throughput.py SOURCE_DIR BUILD_DIR MODEL [ROUNDS [SECONDS]]
"""
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import door

TOKENS, CALLERS, IDLE = 128, 64, 512


def request(texts):
    body = json.dumps({"input": texts, "encoding_format": "base64"}).encode()
    return b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def words():
    """A text of TOKENS tokens, special tokens included."""
    return " ".join(random.choices(("the", "party", "shall", "pay", "tax", "and", "law", "court"), k=TOKENS - 2))


def over_http(server, seconds, warmup=1):
    """Tokens a second of CALLERS callers, each with a connection that it keeps."""
    begin = time.monotonic() + warmup
    end = begin + seconds
    done = []

    def call():
        with socket.create_connection(("127.0.0.1", server.port)) as connection, connection.makefile("rb") as file:
            while time.monotonic() < end:
                connection.sendall(request(words()))
                length = 0
                while (line := file.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                tokens = int(re.search(rb'"total_tokens":(\d+)', file.read(length))[1])
                if begin <= time.monotonic() <= end:
                    done.append(tokens)

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(done) / seconds


def over_grpc(server, seconds):
    report = subprocess.run([f"{door.BUILD}/longspan", "bench", "--server", server.grpc, "--concurrency", str(CALLERS), "--lengths", str(TOKENS), "--seconds",
                             str(seconds), "--warmup", "1"], capture_output=True, text=True, check=True).stdout
    return json.loads(report)["tokens_per_second"]


def processor_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(server):
    """A connection that has had one answer and waits."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    return connection


def main():
    rounds, seconds = int(sys.argv[4]) if len(sys.argv) > 4 else 3, float(sys.argv[5]) if len(sys.argv) > 5 else 8
    server = door.Server()
    pairs = [(over_grpc(server, seconds), over_http(server, seconds)) for _ in range(rounds)]
    grpc, http = (max(each) for each in zip(*pairs))
    print(json.dumps({"tokens": TOKENS, "callers": CALLERS, "grpc_tokens_per_second": round(grpc), "http_tokens_per_second": round(http),
                      "ratio": round(http / grpc, 3), "ratios": [round(b / a, 3) for a, b in pairs]}), flush=True)
    before = server.resident()
    idle = [connect(server) for _ in range(IDLE)]
    after, cpu = server.resident(), processor_seconds(server)
    time.sleep(5)
    cpu = processor_seconds(server) - cpu
    with_idle, without = [], []
    for _ in range(rounds):
        for connection in idle:
            connection.close()
        without.append(over_http(server, seconds))
        idle = [connect(server) for _ in range(IDLE)]
        with_idle.append(over_http(server, seconds))
    print(json.dumps({"idle_connections": IDLE, "bytes_each": (after - before) // IDLE, "processor_share": round(cpu / 5, 4),
                      "ratio": round(max(with_idle) / max(without), 3)}), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
