"""The embeddings of `langchain-openai` and of `langchain-huggingface` against the doors.

    langchain_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import asyncio
import sys
import unittest

import door
import openai
import tiktoken
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings


def setUpModule():
    global server
    server = door.Server(keys=True)
    # A vocabulary of bytes in place of cl100k_base, which tiktoken would fetch.
    tiktoken.registry.ENCODINGS["cl100k_base"] = tiktoken.Encoding(
        "cl100k_base", pat_str=r"\S+|\s+", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={})


def tearDownModule():
    assert server.stop() == 0


def of_openai(**fields):
    return OpenAIEmbeddings(**{"base_url": f"{server.url}/v1", "api_key": door.KEY, "check_embedding_ctx_length": False, "max_retries": 0, **fields})


class OpenAITest(unittest.TestCase):
    def test_token_ids_of_another_vocabulary_are_refused_with_a_way_out(self):
        """The package sends ids of OpenAI's vocabulary by default, which mean other words here."""
        with self.assertRaises(openai.BadRequestError) as raised:
            of_openai(check_embedding_ctx_length=True).embed_documents(door.TEXTS)
        self.assertEqual(raised.exception.param, "model")
        self.assertIn("token ids", raised.exception.message)
        self.assertIn("send texts", raised.exception.message)

    def test_texts_get_the_vectors_of_grpc(self):
        embeddings = of_openai()
        wanted = server.vectors(door.TEXTS)
        door.near(embeddings.embed_documents(door.TEXTS), wanted)
        door.near(embeddings.embed_query(door.TEXTS[0]), wanted[0])
        door.near(asyncio.run(embeddings.aembed_documents(door.TEXTS)), wanted)

    def test_documents_go_in_batches_and_come_back_in_order(self):
        texts = [f"clause number {i} " * (1 + i % 5) for i in range(150)]
        wanted = [vector for at in (0, 75) for vector in server.vectors(texts[at:at + 75])]
        door.near(of_openai(chunk_size=64).embed_documents(texts), wanted)

    def test_a_book_is_one_vector(self):
        door.near(of_openai().embed_query(door.BOOK), server.vectors([door.BOOK])[0])

    def test_dimensions_are_those_asked_for(self):
        door.near(of_openai(dimensions=32).embed_documents(door.TEXTS), server.vectors(door.TEXTS, dimensions=32))

    def test_errors_are_those_of_openai(self):
        with self.assertRaises(openai.AuthenticationError):
            of_openai(api_key="wrong").embed_query("a text")
        with self.assertRaises(openai.BadRequestError) as raised:
            of_openai().embed_documents(["a text", ""])
        self.assertEqual(raised.exception.param, "input[1]")


def of_hugging_face(key=door.KEY):
    """The package takes no address, so the address goes into its clients."""
    embeddings = HuggingFaceEndpointEmbeddings(model="any/name", provider="hf-inference", huggingfacehub_api_token=key)
    embeddings.client = InferenceClient(model=server.url, token=key)
    embeddings.async_client = AsyncInferenceClient(model=server.url, token=key)
    return embeddings


class HuggingFaceTest(unittest.TestCase):
    def test_texts_get_the_vectors_of_grpc(self):
        embeddings = of_hugging_face()
        wanted = server.vectors(door.TEXTS)
        door.near(embeddings.embed_documents(door.TEXTS), wanted)
        door.near(embeddings.embed_query(door.TEXTS[0]), wanted[0])
        door.near(asyncio.run(embeddings.aembed_documents(door.TEXTS)), wanted)

    def test_a_book_is_one_vector(self):
        door.near(of_hugging_face().embed_query(door.BOOK), server.vectors([door.BOOK])[0])

    def test_errors_carry_their_code(self):
        for key, text, code in (("wrong", "a text", 401), (door.KEY, "", 400)):
            with self.assertRaises(HfHubHTTPError) as raised:
                of_hugging_face(key).embed_query(text)
            self.assertEqual(raised.exception.response.status_code, code)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
