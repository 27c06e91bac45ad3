"""A client of text-embeddings-inference in Python, on a real server: stubs made from the contract
by grpcio-tools, channels and messages of grpcio's defaults.

    tei_client_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import importlib
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest

import grpc
from grpc_tools import protoc

SOURCE, BUILD, MODEL = sys.argv[1:4]
TEXTS = ["the party of the first part", "shall pay", "the party of the second part " * 40, "in full"]


def stubs(folder):
    """The modules tei_pb2 and tei_pb2_grpc, made in `folder`."""
    made = protoc.main(["protoc", f"-I{SOURCE}/proto", f"--python_out={folder}", f"--grpc_python_out={folder}", "tei/v1/tei.proto"])
    assert made == 0
    sys.path.insert(0, folder)
    return importlib.import_module("tei.v1.tei_pb2"), importlib.import_module("tei.v1.tei_pb2_grpc")


class TeiClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.pb, cls.rpc = stubs(cls.folder.name)
        cls.server = subprocess.Popen([f"{BUILD}/longspan-server", "--model", MODEL, "--listen", "127.0.0.1:0", "--http", "off",
                                       "--drain-delay", "0", "--log-level", "error"], stdout=subprocess.PIPE, text=True)
        port = next(m for m in (re.search(r"gRPC on (127\.0\.0\.1:\d+)", line) for line in cls.server.stdout) if m)[1]
        cls.channel = grpc.insecure_channel(port, options=[("grpc.enable_http_proxy", 0)])
        cls.embed, cls.tokenize = cls.rpc.EmbedStub(cls.channel), cls.rpc.TokenizeStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.terminate()
        assert cls.server.wait() == 0
        cls.server.stdout.close()
        cls.folder.cleanup()

    def request(self, text, **fields):
        return self.pb.EmbedRequest(inputs=text, **fields)

    def test_info_tells_the_model(self):
        info = self.rpc.InfoStub(self.channel).Info(self.pb.InfoRequest(), timeout=60)
        self.assertEqual(info.model_type, self.pb.MODEL_TYPE_EMBEDDING)
        self.assertEqual(info.model_dtype, "float32")
        self.assertGreater(info.max_input_length, 0)

    def test_a_vector_has_length_one(self):
        answer = self.embed.Embed(self.request(TEXTS[0]), timeout=60)
        self.assertAlmostEqual(math.hypot(*answer.embeddings), 1, places=5)
        self.assertEqual(answer.metadata.compute_chars, len(TEXTS[0]))

    def test_a_stream_answers_each_request_in_its_place(self):
        alone = [self.embed.Embed(self.request(text), timeout=60).embeddings for text in TEXTS]
        streamed = list(self.embed.EmbedStream((self.request(text) for text in TEXTS * 10), timeout=60))
        self.assertEqual(len(streamed), 10 * len(TEXTS))
        for i, answer in enumerate(streamed):
            closeness = sum(a * b for a, b in zip(answer.embeddings, alone[i % len(TEXTS)]))
            self.assertGreater(closeness, 0.9999, i)

    def test_a_bad_request_ends_its_stream_behind_the_answers_before_it(self):
        answers, requests = [], [self.request(TEXTS[0]), self.request(TEXTS[1]), self.request(""), self.request(TEXTS[3])]
        with self.assertRaises(grpc.RpcError) as raised:
            for answer in self.embed.EmbedStream(iter(requests), timeout=60):
                answers.append(answer)
        self.assertEqual(len(answers), 2)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("inputs is empty", raised.exception.details())

    def test_tokens_come_back_as_the_text(self):
        encoded = self.tokenize.Tokenize(self.pb.EncodeRequest(inputs=TEXTS[0], add_special_tokens=True), timeout=60)
        self.assertEqual([token.text for token in encoded.tokens if not token.special], TEXTS[0].split())
        self.assertTrue(all(TEXTS[0][t.start:t.stop] == t.text for t in encoded.tokens if not t.special))
        self.assertFalse(any(t.HasField("start") for t in encoded.tokens if t.special))
        ids = [token.id for token in encoded.tokens]
        decoded = self.tokenize.Decode(self.pb.DecodeRequest(ids=ids, skip_special_tokens=True), timeout=60)
        self.assertEqual(decoded.text, TEXTS[0])

    def test_texts_are_ranked(self):
        texts = ["Rent is due on Monday.", "The lease ends in May."]
        answer = self.rpc.RerankStub(self.channel).Rerank(
            self.pb.RerankRequest(query="When does the lease end?", texts=texts, return_text=True), timeout=60)
        self.assertEqual([(rank.index, rank.text) for rank in answer.ranks], [(1, texts[1]), (0, texts[0])])
        self.assertTrue(1 > answer.ranks[0].score > answer.ranks[1].score > 0)

    def test_a_method_that_is_not_served_says_what_to_use(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.rpc.PredictStub(self.channel).Predict(self.pb.PredictRequest(inputs="a"), timeout=60)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertIn("use Embed", raised.exception.details())


if __name__ == "__main__":
    os.environ["no_grpc_proxy"] = "127.0.0.1"
    unittest.main(argv=sys.argv[:1], verbosity=2)
