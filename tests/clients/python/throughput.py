"""Vectors of 384 at saturation: encode_stream of the Python client beside `longspan bench`, the C++
client, by turns on one server. Prints a line of JSON for each length of texts.

    throughput.py SOURCE_DIR BUILD_DIR MODEL [ROUNDS [SECONDS]]

ratio          tokens/s of Python over those of C++; the median over the rounds
cpu_us         microseconds of processor that the Python process takes for one text
"""
import itertools
import json
import random
import statistics
import subprocess
import sys
import time

import harness

longspan = harness.install()
LENGTHS = (16, 64)    # tokens of each text


def words(tokens):
    """A text of so many tokens, special tokens included."""
    return " ".join(random.choices(("the", "party", "shall", "pay", "tax", "and", "law", "court"), k=tokens - 2))


def python(client, tokens, seconds):
    """(tokens a second, microseconds of processor a text)."""
    pool = [words(tokens) for _ in range(512)]
    begin = time.monotonic()
    measured, end = begin + 1, begin + 1 + seconds    # a second until all is full
    count, cpu = 0, 0.0

    def texts():
        for text in itertools.cycle(pool):
            if time.monotonic() > end:
                return
            yield text

    for answer in client.encode_stream(texts()):
        now = time.monotonic()
        if measured <= now <= end:
            if not count:
                cpu = time.process_time()
            assert answer.vector.shape == (384,)
            count += 1
            last, last_cpu = now, time.process_time()
    return count * tokens / (last - measured), (last_cpu - cpu) / count * 1e6


def cpp(address, tokens, seconds):
    """Tokens a second of `longspan bench`, with as many callers as the stream has texts in work."""
    report = subprocess.run([f"{harness.BUILD}/longspan", "bench", "--server", address, "--concurrency", "64", "--lengths", str(tokens), "--seconds",
                             str(seconds), "--warmup", "1"], capture_output=True, text=True, check=True).stdout
    return json.loads(report)["tokens_per_second"]


def main():
    rounds, seconds = int(sys.argv[4]) if len(sys.argv) > 4 else 5, float(sys.argv[5]) if len(sys.argv) > 5 else 5
    server = harness.Server()
    with longspan.Client(server.address) as client:
        for tokens in LENGTHS:
            pairs = []
            for _ in range(rounds):
                reference = cpp(server.address, tokens, seconds)
                pairs.append((*python(client, tokens, seconds), reference))
            print(json.dumps({"tokens": tokens, "python_tokens_per_second": round(statistics.median(p[0] for p in pairs)),
                              "cpp_tokens_per_second": round(statistics.median(p[2] for p in pairs)),
                              "ratio": round(statistics.median(p[0] / p[2] for p in pairs), 3),
                              "cpu_us": round(statistics.median(p[1] for p in pairs), 1)}), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
