"""What the tests of the HTTP port's doors share: a server with both ports, and what gRPC answers.

    TEST.py SOURCE_DIR BUILD_DIR MODEL
"""
import atexit
import os
import re
import subprocess
import sys
from pathlib import Path

# No proxy stands between a test and its server, and no client calls home or to a model hub.
for _name in ("http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)
os.environ.update({"no_grpc_proxy": "127.0.0.1", "HAYSTACK_TELEMETRY_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
                   "LANGCHAIN_TRACING_V2": "false", "DO_NOT_TRACK": "1"})
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

import grpc
import harness
import numpy as np

SOURCE, BUILD, MODEL = harness.SOURCE, harness.BUILD, harness.MODEL
raw, raw_rpc = harness.stubs()
TEXTS = ["the party of the first part", "shall pay", "the party of the second part " * 20, "in full", "and at once, " * 7]
# A book of 100,000 characters, none of whose pages is like another.
BOOK = "".join(f"On day {day} the court heard case {day * 7919 % 1000}. " for day in range(5000))[:100_000]
# Vectors of one text differ from batch to batch in their last bits.
NEAR = {"rtol": 0, "atol": 1e-6}
KEY = "key-of-the-tests"


class Server:
    """longspan-server on free ports, from the constructor to stop()."""

    def __init__(self, *flags, model=MODEL, keys=False):
        if keys:
            file = harness.FOLDER / "keys"
            file.write_text(f"tests {KEY}\n", encoding="utf-8")
            flags += ("--auth-keys-file", str(file))
        self.process = subprocess.Popen(
            [f"{BUILD}/longspan-server", "--model", str(model), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--drain-delay", "0", "--replicas", "1",
             "--threads", "2", "--log-level", "error", *flags], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)    # whatever a test does
        found = next(m for m in (re.search(r"gRPC on (127\.0\.0\.1:\d+), HTTP on port (\d+), model (.*)", line) for line in self.process.stdout) if m)
        self.grpc, self.port, self.model = found[1], int(found[2]), found[3]
        self.url = f"http://127.0.0.1:{self.port}"
        self._channel = grpc.insecure_channel(self.grpc, options=[("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)])
        self.stub = raw_rpc.EncoderServiceStub(self._channel)
        self._keyed = [("authorization", f"Bearer {KEY}")] if keys else None

    def encode(self, inputs, **options):
        """The answer of gRPC to texts, or to inputs with all their fields."""
        inputs = [{"text": each} if isinstance(each, str) else each for each in inputs]
        return self.stub.Encode(raw.EncodeRequest(inputs=inputs, options=options), timeout=120, metadata=self._keyed)

    def vectors(self, inputs, **options):
        """Vectors of gRPC, which those of every door must equal."""
        return np.array([encoding.vector.values for encoding in self.encode(inputs, **options).encodings], np.float32)

    def tokens(self, texts):
        """Token ids of each text, special tokens included."""
        answer = self.stub.Tokenize(raw.TokenizeRequest(texts=texts, add_special_tokens=True), timeout=60, metadata=self._keyed)
        return [[token.id for token in text.tokens] for text in answer.texts]

    def resident(self):
        """Bytes of memory that the process holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        """The exit code after SIGTERM."""
        self._channel.close()
        self.process.terminate()
        code = self.process.wait()
        self.process.stdout.close()
        return code


def near(got, wanted):
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(wanted, np.float64), **NEAR)
