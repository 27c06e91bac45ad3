"""The package `openai` against POST /v1/embeddings and GET /v1/models.

    openai_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import asyncio
import base64
import sys
import unittest

import door
import numpy as np
import openai


def setUpModule():
    global server, client
    server = door.Server(keys=True)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=door.KEY, max_retries=0, timeout=120)


def tearDownModule():
    client.close()
    assert server.stop() == 0


def create(texts, **fields):
    return client.embeddings.create(model="text-embedding-3-small", input=texts, **fields)


def vectors(answer):
    return [item.embedding for item in answer.data]


class EmbeddingsTest(unittest.TestCase):
    def test_vectors_are_those_of_grpc_in_base64_and_as_numbers(self):
        """The package asks for base64 unless told otherwise, and decodes it."""
        wanted = server.vectors(door.TEXTS)
        for fields in ({}, {"encoding_format": "float"}):
            answer = create(door.TEXTS, **fields)
            door.near(vectors(answer), wanted)
            self.assertEqual([item.index for item in answer.data], list(range(len(door.TEXTS))))
            self.assertEqual((answer.object, answer.model), ("list", server.model))
        packed = create(door.TEXTS, encoding_format="base64")
        door.near([np.frombuffer(base64.b64decode(item.embedding), "<f4") for item in packed.data], wanted)

    def test_one_text_without_a_list_is_one_vector(self):
        door.near(vectors(create(door.TEXTS[0])), server.vectors(door.TEXTS[:1]))

    def test_usage_counts_the_tokens_that_grpc_counts(self):
        usage = create(door.TEXTS).usage
        used = sum(encoding.tokens_used for encoding in server.encode(door.TEXTS).encodings)
        self.assertEqual((usage.prompt_tokens, usage.total_tokens), (used, used))

    def test_a_full_batch_comes_back_in_its_order(self):
        texts = [f"clause number {i} " * (1 + i % 5) for i in range(128)]
        door.near(vectors(create(texts)), server.vectors(texts))

    def test_a_book_is_one_vector(self):
        door.near(vectors(create(door.BOOK)), server.vectors([door.BOOK]))

    def test_dimensions_cut_and_normalise(self):
        got = np.array(vectors(create(door.TEXTS, dimensions=64)))
        self.assertEqual(got.shape, (len(door.TEXTS), 64))
        door.near(got, server.vectors(door.TEXTS, dimensions=64))
        door.near(np.linalg.norm(got, axis=1), np.ones(len(door.TEXTS)))

    def test_token_ids_are_read_under_the_name_of_the_model_alone(self):
        ids = server.tokens(door.TEXTS)
        wanted = server.vectors([{"token_ids": {"ids": each}} for each in ids])
        answer = client.embeddings.create(model=server.model, input=ids)
        door.near(vectors(answer), wanted)
        one = client.embeddings.create(model=server.model, input=ids[0])
        door.near(vectors(one), wanted[:1])
        with self.assertRaises(openai.BadRequestError) as raised:
            create(ids)
        self.assertEqual(raised.exception.param, "model")
        self.assertIn("token ids", raised.exception.message)
        self.assertIn(server.model, raised.exception.message)

    def test_async_calls_at_once_answer_each_its_own(self):
        async def main():
            async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=door.KEY, max_retries=0, timeout=120) as many:
                return await asyncio.gather(*(many.embeddings.create(model="any", input=text) for text in door.TEXTS * 5))

        answers = asyncio.run(main())
        door.near([vectors(answer)[0] for answer in answers], np.tile(server.vectors(door.TEXTS), (5, 1)))


class ModelsTest(unittest.TestCase):
    def test_the_list_holds_the_served_model(self):
        self.assertEqual([model.id for model in client.models.list()], [server.model])


class ErrorsTest(unittest.TestCase):
    def test_a_missing_key_is_an_authentication_error(self):
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger:
            for call in (lambda: stranger.embeddings.create(model="any", input="a text"), lambda: list(stranger.models.list())):
                with self.assertRaises(openai.AuthenticationError) as raised:
                    call()
                self.assertIn("key", raised.exception.body["message"])

    def test_an_empty_text_is_a_bad_request_that_names_it(self):
        for texts, param in (("", "input"), (["a text", ""], "input[1]"), ([], "input")):
            with self.assertRaises(openai.BadRequestError) as raised:
                create(texts)
            self.assertEqual((raised.exception.param, raised.exception.type), (param, "invalid_request_error"))
            self.assertIn("is empty", raised.exception.body["message"])

    def test_dimensions_that_the_model_lacks_are_a_bad_request(self):
        for dimensions in (0, 100_000):
            with self.assertRaises(openai.BadRequestError) as raised:
                create("a text", dimensions=dimensions)
            self.assertEqual(raised.exception.param, "dimensions")

    def test_too_many_texts_are_a_bad_request_with_the_limit(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            create(["a text"] * 129)
        self.assertIn("1 to 128", raised.exception.body["message"])

    def test_a_text_that_is_too_long_tells_its_tokens(self):
        small = door.Server("--max-tokens", "16")
        with openai.OpenAI(base_url=f"{small.url}/v1", api_key="none", max_retries=0) as caller:
            with self.assertRaises(openai.BadRequestError) as raised:
                caller.embeddings.create(model="any", input=door.TEXTS[2])
            self.assertEqual(raised.exception.code, "context_length_exceeded")
            self.assertRegex(raised.exception.body["message"], r"\d+ tokens")
            cut = caller.embeddings.create(model="any", input=door.TEXTS[2], extra_body={"truncate": True})
            self.assertEqual(cut.usage.prompt_tokens, 16)
        self.assertEqual(small.stop(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
