"""Jina's fields of POST /v1/embeddings, by plain HTTP.

    jina_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import json
import shutil
import sys
import unittest
from pathlib import Path

import door
import numpy as np
import requests


def setUpModule():
    global server
    server = door.Server()


def tearDownModule():
    assert server.stop() == 0


def post(body, at=None):
    return requests.post(f"{(at or server).url}/v1/embeddings", json=body, timeout=120)


def items(body, at=None):
    answer = post(body, at)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def vectors(body, at=None):
    return [item["embedding"] for item in items(body, at)]


class LateChunkingTest(unittest.TestCase):
    def chunks(self, texts):
        ends = np.cumsum([len(text) for text in texts]).tolist()
        spans = [{"begin": begin, "end": end} for begin, end in zip([0, *ends], ends)]
        answer = server.encode([{"text": "".join(texts), "spans": spans}])
        return [span.vector.values for span in answer.encodings[0].spans]

    def test_vectors_are_those_of_spans_of_the_joined_text(self):
        texts = ["Berlin is the capital of Germany. ", "Its population is 3.8 million. ", "The city lies on the Sprée."]
        body = {"input": texts, "late_chunking": True}
        got = vectors(body)
        door.near(got, self.chunks(texts))
        self.assertGreater(np.abs(np.array(got) - vectors({"input": texts})).max(), 0.01, "each text has seen the others")

    def test_chunks_of_a_book_read_the_whole_book(self):
        texts = [door.BOOK[at:at + 1000] for at in range(0, len(door.BOOK), 1000)]
        door.near(vectors({"input": texts, "late_chunking": True}), self.chunks(texts))

    def test_an_empty_chunk_is_refused_by_its_name(self):
        answer = post({"input": ["a text", ""], "late_chunking": True})
        self.assertEqual((answer.status_code, answer.json()["error"]["param"]), (400, "input[1]"))


class EmbeddingTypeTest(unittest.TestCase):
    def setUp(self):
        self.floats = server.vectors(door.TEXTS)

    def test_bits_are_those_of_numpy(self):
        """sentence-transformers: np.packbits(v > 0), as uint8, or less 128 as int8."""
        bits = np.packbits(self.floats > 0, axis=1)
        self.assertEqual(vectors({"input": door.TEXTS, "embedding_type": "ubinary"}), bits.tolist())
        self.assertEqual(vectors({"input": door.TEXTS, "embedding_type": "binary"}), (bits.astype(np.int16) - 128).tolist())

    def test_bytes_times_scale_are_the_floats(self):
        for item, wanted in zip(items({"input": door.TEXTS, "embedding_type": "int8"}), self.floats):
            values = np.array(item["embedding"])
            self.assertTrue(np.issubdtype(values.dtype, np.integer))
            self.assertLessEqual(np.abs(values).max(), 127)
            self.assertAlmostEqual(item["scale"], np.abs(wanted).max() / 127, delta=1e-6)
            np.testing.assert_allclose(values * item["scale"], wanted, rtol=0, atol=item["scale"] * 0.51)

    def test_embedding_type_goes_before_encoding_format(self):
        door.near(vectors({"input": door.TEXTS, "embedding_type": "float", "encoding_format": "base64"}), self.floats)

    def test_another_type_is_refused_with_those_that_are_known(self):
        error = post({"input": "a text", "embedding_type": "float16"}).json()["error"]
        self.assertEqual(error["param"], "embedding_type")
        self.assertIn("'ubinary'", error["message"])


class TaskTest(unittest.TestCase):
    """The model of the tests has no prompts, so a copy of it gets some."""

    @classmethod
    def setUpClass(cls):
        folder = Path(door.harness.FOLDER) / "prompts"
        shutil.copytree(door.MODEL, folder)
        path = folder / "config_sentence_transformers.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "prompts": {"query": "query: ", "document": "passage: "}}), encoding="utf-8")
        cls.server = door.Server(model=folder)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def test_a_task_is_the_prompt_of_its_last_word(self):
        for task, prompt in (("retrieval.query", "query"), ("query", "query"), ("retrieval.passage", "document"), ("document", "document")):
            door.near(vectors({"input": door.TEXTS, "task": task}, self.server), self.server.vectors(door.TEXTS, prompt_name=prompt))

    def test_a_task_without_a_prompt_is_refused(self):
        error = post({"input": "a text", "task": "text-matching"}, self.server).json()["error"]
        self.assertEqual(error["param"], "task")
        self.assertIn("'query'", error["message"])


class OptionsTest(unittest.TestCase):
    def test_vectors_may_stay_as_long_as_they_are(self):
        door.near(vectors({"input": door.TEXTS, "normalized": False}), server.vectors(door.TEXTS, normalize=False))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
