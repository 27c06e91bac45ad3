"""`qdrant-client`, in memory: vectors of the doors go in, neighbours come out.

    qdrant_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import contextlib
import io
import re
import sys
import unittest

import door
import requests
from qdrant_client import QdrantClient, models

PARAGRAPHS = {
    "rent": "The tenant pays the rent for the flat on the first day of each month.",
    "pets": "Dogs and cats may be kept if the neighbours do not object to the animals.",
    "heating": "The boiler is serviced once a year, before winter, by a licensed plumber.",
    "notice": "Either party may end the contract with three months' written notice.",
    "deposit": "A security deposit of two months is held in a bank account until the tenant moves out."}
QUESTIONS = {
    "When is the monthly rent due?": "rent",
    "Am I allowed to have a dog?": "pets",
    "Who maintains the boiler?": "heating",
    "How do I terminate the contract?": "notice",
    "Where is the security deposit kept?": "deposit"}


def setUpModule():
    global server
    server = door.Server()


def tearDownModule():
    assert server.stop() == 0


def of_openai(texts, **fields):
    body = {"input": texts, **fields}
    return [item["embedding"] for item in requests.post(f"{server.url}/v1/embeddings", json=body, timeout=60).json()["data"]]


def of_tei(texts):
    return requests.post(f"{server.url}/embed", json={"inputs": texts}, timeout=60).json()


class NeighboursTest(unittest.TestCase):
    def check(self, vectors_of, config):
        client = QdrantClient(":memory:")
        client.create_collection("contract", vectors_config=config)
        vectors = vectors_of(list(PARAGRAPHS.values()))
        client.upsert("contract", [models.PointStruct(id=i, vector=vector, payload={"name": name})
                                   for i, (name, vector) in enumerate(zip(PARAGRAPHS, vectors))])
        for question, vector in zip(QUESTIONS, vectors_of(list(QUESTIONS))):
            nearest = client.query_points("contract", query=vector, limit=1).points[0]
            self.assertEqual(nearest.payload["name"], QUESTIONS[question], question)
        client.close()

    def test_a_question_finds_its_paragraph(self):
        for vectors_of in (of_openai, of_tei):
            self.check(vectors_of, models.VectorParams(size=384, distance=models.Distance.COSINE))

    def test_short_vectors_find_it_too(self):
        self.check(lambda texts: of_openai(texts, dimensions=192), models.VectorParams(size=192, distance=models.Distance.DOT))

    def test_whole_numbers_find_it_too(self):
        """int8 of the door in a collection of bytes. Those are unsigned, so 128 is added."""
        self.check(lambda texts: [[value + 128 for value in vector] for vector in of_openai(texts, embedding_type="int8")],
                   models.VectorParams(size=384, distance=models.Distance.EUCLID, datatype=models.Datatype.UINT8))


class WordsTest(unittest.TestCase):
    def test_the_example_of_the_documentation_prints_what_stands_behind_it(self):
        text = (door.SOURCE / "docs/lexical.md").read_text(encoding="utf-8")
        examples = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```\n", text, re.M | re.S)
        self.assertEqual(len(examples), 1)
        for code, output in examples:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code.replace("http://127.0.0.1:8080", server.url), "lexical.md", "exec"), {})
            self.assertEqual(printed.getvalue(), output)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
