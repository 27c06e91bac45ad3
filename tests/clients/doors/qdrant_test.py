"""`qdrant-client`, in memory: vectors of the doors go in, neighbours come out; and
client/python/examples/qdrant_search.py, against what numpy makes of the answers of gRPC.

    qdrant_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import contextlib
import io
import math
import re
import shlex
import shutil
import sys
import unittest

import door
import numpy as np
import requests
import stores
from nltk.stem.snowball import SnowballStemmer
from qdrant_client import QdrantClient, models

import passages as examples
import qdrant_search

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


def bm25(passages, question, k1=1.2, b=0.75, average=150):
    """Scores of texts, where each word of the question stands in one of them at least once."""
    stem = SnowballStemmer("english").stem

    def words_of(text):
        return [stem(word) for word in re.findall(r"\w+", text.lower()) if word not in examples.STOP_WORDS]

    counts, scores = {key: words_of(text) for key, text in passages.items()}, {}
    for word in set(words_of(question)):
        having = [key for key, words in counts.items() if word in words]
        idf = math.log(1 + (len(counts) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            count, length = counts[key].count(word), len(counts[key])
            scores[key] = scores.get(key, 0) + idf * count * (k1 + 1) / (count + k1 * (1 - b + b * length / average))
    return scores


def tokens_of(text):
    """Vectors of gRPC, made as long as 1 here."""
    messages = list(server.stub.EncodeTokens(door.raw.EncodeTokensRequest(input={"text": text}), timeout=60))
    vectors = np.concatenate([np.array(message.values).reshape(message.token_count, -1) for message in messages])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def passages_of(document, text):
    """((document, begin), vectors of the tokens) of each passage, by gRPC."""
    tokens = tokens_of(text)
    [encoding] = server.encode([text], span_policy=door.raw.SPAN_POLICY_PARAGRAPHS, span_min_tokens=128, span_max_tokens=256).encodings
    return [((document, span.characters.begin), tokens[span.tokens.begin:span.tokens.end]) for span in encoding.spans]


class StoreTest(unittest.TestCase):
    """qdrant_search.py over texts of several passages, each with one fact."""

    @classmethod
    def setUpClass(cls):
        cls.texts, cls.store = stores.texts(), QdrantClient(":memory:")
        cls.client = stores.longspan.Client(server.grpc, timeout=300)
        info = cls.client.info()
        qdrant_search.create(cls.store, info.dimensions, info.token_dimensions)
        for document, text in cls.texts.items():
            qdrant_search.write(cls.store, examples.passages(cls.client, document, text))
        cls.wanted = {key: tokens for document, text in cls.texts.items() for key, tokens in passages_of(document, text)}

    @classmethod
    def tearDownClass(cls):
        cls.store.close()
        cls.client.close()

    def scores(self, query, using):
        """{(document, begin): score} of all passages, best first."""
        found = self.store.query_points(qdrant_search.COLLECTION, query=query, using=using, limit=1000).points
        return {(point.payload["document"], point.payload["begin"]): point.score for point in found}

    def words(self, question):
        """{(document, begin): BM25} by the words of the passages."""
        points, _ = self.store.scroll(qdrant_search.COLLECTION, limit=1000)
        return bm25({(point.payload["document"], point.payload["begin"]): point.payload["text"] for point in points}, question)

    def test_max_sim_is_that_of_the_token_vectors(self):
        for question in stores.QUESTIONS:
            got = self.scores(examples.question(self.client, question).tokens.tolist(), "tokens")
            # Without [CLS] and [SEP].
            wanted = {key: stores.max_sim(tokens_of(question)[1:-1], tokens) for key, tokens in self.wanted.items()}
            self.assertGreater(len(wanted), 3 * len(self.texts))
            self.assertEqual(set(got), set(wanted))
            for key, score in wanted.items():
                self.assertAlmostEqual(got[key], score, delta=1e-5)
            for better, worse in zip(list(got), list(got)[1:]):
                self.assertGreater(wanted[better], wanted[worse] - 2e-5)

    def test_words_score_by_bm25(self):
        for question in stores.QUESTIONS:
            got = self.scores(qdrant_search.sparse(examples.question(self.client, question).words), "words")
            wanted = self.words(question)
            self.assertEqual(set(got), set(wanted))
            for key, score in wanted.items():
                self.assertAlmostEqual(got[key], score, delta=1e-4)

    def test_tokens_and_words_are_fused_by_their_ranks(self):
        for question in stores.QUESTIONS:
            asked = examples.question(self.client, question)
            lists = [stores.ranks(self.scores(asked.tokens.tolist(), "tokens")), stores.ranks(self.scores(qdrant_search.sparse(asked.words), "words"))]
            found = qdrant_search.search(self.store, asked)
            self.assertEqual(len(found), 5)
            for point in found:
                key = point.payload["document"], point.payload["begin"]
                self.assertAlmostEqual(point.score, sum(1 / (1 + places[key]) for places in lists if key in places), places=6)

    def test_each_question_finds_its_fact_first(self):
        for fusion in (models.Fusion.RRF, models.Fusion.DBSF):
            for question, document in stores.QUESTIONS.items():
                best = qdrant_search.search(self.store, examples.question(self.client, question), limit=1, fusion=fusion)[0].payload
                self.assertEqual(best["document"], document, (question, fusion))
                self.assertTrue(stores.has_fact(document, best["begin"], best["end"]), (question, fusion))
                self.assertEqual(best["text"], self.texts[document][best["begin"]:best["end"]])

    def test_the_script_prints_the_passage_with_the_fact_first(self):
        stores.check_script("qdrant_search.py", server)

    def test_the_command_of_the_documentation_prints_what_stands_behind_it(self):
        text = (door.SOURCE / "docs/stores.md").read_text(encoding="utf-8").split("## Qdrant\n")[1]
        command, output = re.search(r"^python (.*)\n```\n\n```text\n(.*?)^```$", text, re.M | re.S).groups()
        self.assertEqual(stores.printed([*shlex.split(command), "--server", server.grpc]), output)


class PromptTest(unittest.TestCase):
    def test_a_models_prompts_are_put_in_front_and_are_no_part_of_what_is_compared(self):
        model = door.harness.FOLDER / "model"
        shutil.copytree(door.MODEL, model)
        (model / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query: ", "passage": "passage: "}}', encoding="utf-8")
        prompted, text, question = door.Server(model=model), stores.texts()["pets"], "May I have a dog?"
        with stores.longspan.Client(prompted.grpc) as client:
            asked, found = examples.question(client, question), list(examples.passages(client, "pets", text))
        # Behind [CLS], the prompt's word and its colon.
        door.near(asked.tokens, tokens_of(f"query: {question}")[3:-1])
        door.near(asked.vector, server.vectors([f"query: {question}"])[0])
        self.assertEqual(found[0].begin, 0)
        door.near(found[0].tokens, tokens_of(f"passage: {text}")[3:3 + len(found[0].tokens)])
        self.assertEqual(prompted.stop(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
