"""`huggingface_hub.InferenceClient` against POST /, which it calls where its model is an address.

    huggingface_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import asyncio
import sys
import unittest

import door
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError


def setUpModule():
    global server, client
    server = door.Server(keys=True)
    client = InferenceClient(model=server.url, token=door.KEY, timeout=120)


def tearDownModule():
    assert server.stop() == 0


class FeatureExtractionTest(unittest.TestCase):
    def test_vectors_are_those_of_grpc(self):
        wanted = server.vectors(door.TEXTS)
        door.near(client.feature_extraction(door.TEXTS), wanted)
        door.near(client.feature_extraction(door.TEXTS[0]), wanted[:1])

    def test_the_path_of_embed_is_the_same_door(self):
        at_embed = InferenceClient(model=f"{server.url}/embed", token=door.KEY)
        door.near(at_embed.feature_extraction(door.TEXTS), server.vectors(door.TEXTS))

    def test_a_book_is_one_vector(self):
        door.near(client.feature_extraction(door.BOOK), server.vectors([door.BOOK]))

    def test_vectors_may_stay_as_long_as_they_are(self):
        door.near(client.feature_extraction(door.TEXTS, normalize=False), server.vectors(door.TEXTS, normalize=False))

    def test_dimensions_are_those_asked_for(self):
        door.near(client.feature_extraction(door.TEXTS, dimensions=32), server.vectors(door.TEXTS, dimensions=32))

    def test_a_long_text_is_cut_at_the_end_that_is_asked_for(self):
        small = door.Server("--max-tokens", "16")
        caller = InferenceClient(model=small.url)
        for direction, policy in (("right", "TRUNCATION_HEAD"), ("left", "TRUNCATION_TAIL")):
            text = "one two three four five six " * 20
            got = caller.feature_extraction(text, truncate=True, truncation_direction=direction)
            door.near(got, small.vectors([text], truncation=policy))
        with self.assertRaises(HfHubHTTPError) as raised:
            caller.feature_extraction(text)
        self.assertEqual(raised.exception.response.status_code, 413)
        self.assertEqual(small.stop(), 0)

    def test_async_calls_at_once_answer_each_its_own(self):
        async def main():
            async with AsyncInferenceClient(model=server.url, token=door.KEY) as many:
                return await asyncio.gather(*(many.feature_extraction(text) for text in door.TEXTS))

        door.near([vectors[0] for vectors in asyncio.run(main())], server.vectors(door.TEXTS))


class ErrorsTest(unittest.TestCase):
    def refused(self, code, call):
        with self.assertRaises(HfHubHTTPError) as raised:
            call()
        self.assertEqual(raised.exception.response.status_code, code)
        return raised.exception.response.json()

    def test_a_wrong_key_is_401(self):
        self.refused(401, lambda: InferenceClient(model=server.url, token="wrong").feature_extraction("a text"))

    def test_an_empty_text_is_400(self):
        self.assertEqual(self.refused(400, lambda: client.feature_extraction(""))["error_type"], "Empty")

    def test_a_prompt_that_the_model_lacks_is_422(self):
        answer = self.refused(422, lambda: client.feature_extraction("a text", prompt_name="query"))
        self.assertIn("prompt_name", answer["error"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
