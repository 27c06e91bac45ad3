"""`haystack`'s OpenAI embedders against POST /v1/embeddings.

    haystack_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import logging
import sys
import unittest

import door
import openai
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret


def setUpModule():
    global server
    logging.disable(logging.CRITICAL)    # the package logs what it raises
    server = door.Server(keys=True)


def tearDownModule():
    assert server.stop() == 0


def arguments(key=door.KEY):
    return {"api_base_url": f"{server.url}/v1", "api_key": Secret.from_token(key), "max_retries": 0, "timeout": 120}


class EmbeddersTest(unittest.TestCase):
    def test_texts_and_documents_get_the_vectors_of_grpc(self):
        wanted = server.vectors(door.TEXTS)
        text = OpenAITextEmbedder(**arguments()).run(door.TEXTS[0])
        door.near(text["embedding"], wanted[0])
        self.assertEqual(text["meta"]["model"], server.model)
        documents = OpenAIDocumentEmbedder(**arguments(), progress_bar=False).run([Document(content=text) for text in door.TEXTS])
        door.near([document.embedding for document in documents["documents"]], wanted)
        self.assertEqual(documents["meta"]["usage"]["total_tokens"], sum(e.tokens_used for e in server.encode(door.TEXTS).encodings))

    def test_documents_go_in_batches_and_come_back_in_order(self):
        texts = [f"clause number {i} " * (1 + i % 5) for i in range(100)]
        embedder = OpenAIDocumentEmbedder(**arguments(), progress_bar=False, batch_size=16, dimensions=32)
        done = embedder.run([Document(content=text) for text in texts])
        door.near([document.embedding for document in done["documents"]], server.vectors(texts, dimensions=32))

    def test_a_book_is_one_vector(self):
        door.near(OpenAITextEmbedder(**arguments()).run(door.BOOK)["embedding"], server.vectors([door.BOOK])[0])

    def test_errors_are_those_of_openai(self):
        with self.assertRaises(openai.AuthenticationError):
            OpenAITextEmbedder(**arguments("wrong")).run("a text")
        with self.assertRaises(openai.BadRequestError) as raised:
            OpenAIDocumentEmbedder(**arguments(), progress_bar=False, raise_on_failure=True).run([Document(content="a text"), Document(content="")])
        self.assertEqual(raised.exception.param, "input[1]")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
