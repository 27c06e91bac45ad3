"""`llama-index-embeddings-text-embeddings-inference` against POST /embed.

    llama_index_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import asyncio
import sys
import unittest

import door
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference


def setUpModule():
    global server
    server = door.Server(keys=True)


def tearDownModule():
    assert server.stop() == 0


def embeddings(**fields):
    return TextEmbeddingsInference(**{"model_name": server.model, "base_url": server.url, "auth_token": door.KEY, "timeout": 120, **fields})


class TextEmbeddingsInferenceTest(unittest.TestCase):
    def test_texts_get_the_vectors_of_grpc(self):
        wanted = server.vectors([text.strip() for text in door.TEXTS])
        model = embeddings()
        texts = [text.strip() for text in door.TEXTS]
        door.near(model.get_text_embedding_batch(texts), wanted)
        door.near(model.get_text_embedding(texts[0]), wanted[0])
        door.near(model.get_query_embedding(texts[0]), wanted[0])
        door.near(asyncio.run(model.aget_text_embedding_batch(texts)), wanted)

    def test_texts_go_in_batches_and_come_back_in_order(self):
        texts = [f"clause number {i}" + " and so on" * (i % 5) for i in range(100)]
        door.near(embeddings(embed_batch_size=32).get_text_embedding_batch(texts), server.vectors(texts))

    def test_an_instruction_stands_in_front_of_the_text(self):
        door.near(embeddings(query_instruction="query:").get_query_embedding("who pays"), server.vectors(["query: who pays"])[0])

    def test_a_book_is_one_vector(self):
        door.near(embeddings().get_text_embedding(door.BOOK.strip()), server.vectors([door.BOOK.strip()])[0])

    def test_a_long_text_is_cut_unless_told_otherwise(self):
        """The package sets truncate."""
        small = door.Server("--max-tokens", "16")
        text = "one two three four " * 20
        got = embeddings(base_url=small.url, auth_token=None).get_text_embedding(text.strip())
        door.near(got, small.vectors([text.strip()], truncation="TRUNCATION_HEAD")[0])
        self.assertEqual(small.stop(), 0)

    def test_the_package_hands_out_error_bodies_as_they_are(self):
        """It looks at no status code: what it returns are the fields of the refusal."""
        self.assertEqual(embeddings()._call_api([""])["error_type"], "Empty")
        self.assertIn("key", embeddings(auth_token="wrong")._call_api(["a text"])["error"]["message"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
