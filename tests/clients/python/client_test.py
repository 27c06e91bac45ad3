"""client/python against real servers, beside raw stubs of the contract.

    client_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import asyncio
import dataclasses
import json
import pickle
import sys
import threading
import unittest
from concurrent import futures

import grpc
import harness
import numpy as np

longspan = harness.install()
raw, raw_rpc = harness.stubs()
TEXTS = ["the party of the first part", "shall pay", "the party of the second part " * 20, "in full", "and at once, " * 7]
MANY = [f"clause number {i} " * (1 + i % 5) for i in range(150)]
FLAGS = ("--max-texts-per-request", "16", "--max-stream-inputs", "4")
# Batches differ from call to call, and with them the last bits.
NEAR = {"rtol": 0, "atol": 2e-6}


def setUpModule():
    global server, client, stub
    server = harness.Server(*FLAGS)
    client = longspan.Client(server.address)
    stub = raw_rpc.EncoderServiceStub(grpc.insecure_channel(server.address, options=[("grpc.max_receive_message_length", -1)]))


def tearDownModule():
    client.close()
    assert server.stop() == 0


def in_loop(call):
    """What a coroutine function returns, given an AsyncClient."""
    async def main():
        async with longspan.AsyncClient(server.address) as async_client:
            return await call(async_client)

    return asyncio.run(main())


class ServiceConfigTest(unittest.TestCase):
    def test_the_file_for_other_languages_is_what_this_client_uses(self):
        shipped = json.loads((harness.SOURCE / "client/service_config.json").read_text())
        self.assertEqual(longspan._channel.service_config(retry=True, health_checks=True), shipped)
        self.assertNotIn("healthCheckConfig", longspan._channel.service_config(retry=True, health_checks=False))


class EncodeTest(unittest.TestCase):
    def test_vectors_are_those_of_raw_stubs_sync_and_async(self):
        answer = stub.Encode(raw.EncodeRequest(inputs=[{"text": text} for text in TEXTS]), timeout=60)
        wanted = np.array([encoding.vector.values for encoding in answer.encodings], np.float32)
        for made in (client.encode(TEXTS), in_loop(lambda c: c.encode(TEXTS))):
            np.testing.assert_allclose(made.vectors, wanted, **NEAR)
            self.assertEqual(made.vectors.dtype, np.float32)
            self.assertTrue(made.vectors.flags.writeable and made.vectors.flags.c_contiguous)
            self.assertEqual(made.tokens_used.tolist(), [encoding.tokens_used for encoding in answer.encodings])
            self.assertEqual(made.tokens_total.tolist(), made.tokens_used.tolist())
            self.assertFalse(made.truncated.any())
            self.assertEqual([used.tolist() for used in made.used_text], [[[0, len(text)]] for text in TEXTS])
            self.assertGreater(made.timings.total, made.timings.compute)
            self.assertGreater(made.timings.batch_tokens, 0)

    def test_formats(self):
        exact = client.encode(TEXTS).vectors
        for format, dtype, bound in (("float16", np.float16, 1e-3), ("bfloat16", np.float32, 4e-3), ("int8", np.int8, 4e-3)):
            made = client.encode(TEXTS, format=format)
            self.assertEqual(made.vectors.dtype, dtype, format)
            self.assertEqual(made.scales is not None, format == "int8")
            np.testing.assert_allclose(made.to_float32(), exact, rtol=0, atol=bound)
        bits = client.encode(TEXTS, format="binary")
        self.assertEqual(bits.vectors.shape, (len(TEXTS), 48))
        self.assertLess((np.unpackbits(bits.vectors, axis=1) != (exact > 0)).mean(), 1e-3)
        with self.assertRaises(TypeError):
            bits.to_float32()
        self.assertEqual(client.encode(TEXTS, format="binary", dimensions=13).vectors.shape, (len(TEXTS), 2))

    def test_more_texts_than_a_request_may_hold_come_in_order(self):
        raws = [np.array(stub.Encode(raw.EncodeRequest(inputs=[{"text": text}]), timeout=60).encodings[0].vector.values) for text in MANY[:40:7]]
        for made in (client.encode(iter(MANY)), in_loop(lambda c: c.encode(MANY, concurrency=2))):
            self.assertEqual(len(made), len(MANY))
            np.testing.assert_allclose(made.vectors[:40:7], raws, **NEAR)

    def test_token_ids_and_inputs(self):
        [tokens] = client.tokenize(TEXTS[0])
        text = client.encode(TEXTS[0])
        self.assertEqual(text.vectors.shape, (1, 384))
        for ids in (tokens.ids, tokens.ids.tolist(), [tokens.ids], longspan.Input(tokens.ids, id="seven")):
            np.testing.assert_allclose(client.encode(ids).vectors, text.vectors, **NEAR)
        self.assertEqual(client.encode([longspan.Input(tokens.ids, id="seven"), "b"]).ids, ["seven", ""])
        self.assertEqual(client.encode([]).vectors.shape, (0, 384))
        for wrong in (7, b"bytes", [b"bytes"], [None]):
            with self.assertRaises(TypeError):
                client.encode(wrong)

    def test_search(self):
        texts = {"lease": "The lease ends on the last day of May.", "rent": "Rent is due on the first day.", "é": "Ménage à trois."}
        request = raw.SearchRequest(query="When does the lease end?", documents=[{"id": id, "text": text} for id, text in texts.items()])
        answer = stub.Search(request, timeout=60)
        pairs = list(texts.items())
        for made in (client.search(request.query, texts), client.search(request.query, pairs),
                     in_loop(lambda c: c.search(request.query, pairs))):
            self.assertEqual([(r.id, r.index) for r in made], [(r.id, r.index) for r in answer.results])
            self.assertEqual(made[0].id, "lease")
            self.assertEqual([r.score for r in made], [r.score for r in answer.results])
            span, sent = made[0].spans[0], answer.results[0].spans[0]
            self.assertEqual((span.bytes, span.characters, span.tokens), ((sent.bytes.begin, sent.bytes.end), (sent.characters.begin, sent.characters.end),
                                                                          (sent.tokens.begin, sent.tokens.end)))
            self.assertEqual(span.text, texts["lease"])
            self.assertEqual((made.documents_tokens, made.query_truncated), (answer.documents_tokens, False))
            self.assertGreater(made.timings.total, 0)
        self.assertEqual(len(client.search("lease", list(texts.values()), limit=2, spans=1, lexical_weight=0, token_weighting="equal")), 2)
        self.assertEqual(made[0].spans[0].best_tokens, [])
        made = client.search("der é trois?", texts, best_tokens=True)
        self.assertEqual(made[0].id, "é")
        span = made[0].spans[0]
        self.assertAlmostEqual(sum(best.weight * best.similarity for best in span.best_tokens), span.similarity, 5)
        best = next(best for best in span.best_tokens if "trois" in best.query_text)
        self.assertEqual((best.text.strip(), texts["é"][slice(*best.characters)]), ("trois", best.text))
        self.assertEqual(texts["é"].encode()[slice(*best.bytes)].decode(), best.text)
        self.assertEqual("der é trois?"[slice(*best.query_characters)], best.query_text)
        self.assertEqual("der é trois?".encode()[slice(*best.query_bytes)].decode(), best.query_text)
        with self.assertRaises(longspan.InvalidArgument) as raised:
            client.search("lease", [("a", "a text"), ("b", "")])
        self.assertEqual((raised.exception.index, raised.exception.id), (1, "b"))
        for wrong in ("one text", [7]):
            with self.assertRaises(TypeError):
                client.search("lease", wrong)
        with self.assertRaisesRegex(TypeError, "no option 'limits'"):
            client.search("lease", ["a"], limits=3)

    def test_options(self):
        self.assertEqual(client.encode(TEXTS, dimensions=100).vectors.shape, (len(TEXTS), 100))
        self.assertGreater(np.linalg.norm(client.encode("a text", normalize=False, pooling="max").vectors), 1.01)
        with self.assertRaisesRegex(ValueError, "'middle' is no Pooling; allowed: cls, mean, max"):
            client.encode("a", pooling="middle")
        with self.assertRaisesRegex(TypeError, "no option 'poling'"):
            client.encode("a", poling="mean")
        with self.assertRaises(longspan.FailedPrecondition) as raised:
            client.encode("a", num_hashes=4)
        self.assertIn("num_hashes", raised.exception.field)

    def test_max_tokens_is_what_is_too_long(self):
        long = TEXTS[2]
        for made in (client.encode(long, max_tokens=16, truncation="head"), in_loop(lambda c: c.encode(long, max_tokens=16, truncation="head"))):
            self.assertEqual((made.tokens_used.tolist(), made.truncated.tolist()), ([16], [True]))
        self.assertEqual(len(client.encode_tokens(long, max_tokens=16, truncation="tail")), 16)
        with self.assertRaises(longspan.InvalidArgument) as raised:
            client.encode(longspan.Input(long, id="contract-17"), max_tokens=16)
        self.assertEqual((raised.exception.limit, raised.exception.id), ("max_tokens", "contract-17"))
        self.assertRegex(raised.exception.message, r"inputs\[0\]\.text \(id 'contract-17'\) has \d+ tokens; options\.max_tokens takes at most 16")
        self.assertEqual(str(raised.exception).count("contract-17"), 1)

    def test_an_error_tells_the_text_at_fault_among_all(self):
        texts = [longspan.Input(text, id=f"id-{i}") for i, text in enumerate(MANY)]
        texts[100] = longspan.Input("", id="empty")
        for encode in (client.encode, lambda texts: in_loop(lambda c: c.encode(texts))):
            with self.assertRaises(longspan.InvalidArgument) as raised:
                encode(texts)
            error = raised.exception
            self.assertEqual((error.code, error.index, error.id), (grpc.StatusCode.INVALID_ARGUMENT, 100, "empty"))
            self.assertRegex(error.field, r"inputs\[\d+\]\.text")
            self.assertIsInstance(error, ValueError)
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((str(again), again.index, type(again)), (str(error), 100, longspan.InvalidArgument))
        with self.assertRaises(longspan.InvalidArgument) as raised:
            client.encode("x" * (9 << 20))
        self.assertEqual((raised.exception.limit, raised.exception.retry_after), ("max_text_bytes", None))


class SpansTest(unittest.TestCase):
    def test_given_spans_have_the_vectors_of_raw_stubs(self):
        text = "Zoë pays. The seller, who is Acme, signs. " * 5
        pairs = [(0, 9), (10, 41), (20, 60)]
        answer = stub.Encode(raw.EncodeRequest(inputs=[{"text": text, "spans": [{"begin": b, "end": e} for b, e in pairs]}]), timeout=60).encodings[0]
        for made in (client.encode_spans(text, pairs, include_document=True), client.encode_spans(text, np.array(pairs), include_document=True),
                     in_loop(lambda c: c.encode_spans(text, pairs, include_document=True))):
            np.testing.assert_allclose(made.vectors, [span.vector.values for span in answer.spans], **NEAR)
            np.testing.assert_allclose(made.document, answer.vector.values, **NEAR)
            self.assertEqual(made.tokens.tolist(), [[span.tokens.begin, span.tokens.end] for span in answer.spans])
            self.assertEqual(made.characters.tolist(), [list(pair) for pair in pairs])
            self.assertEqual(made.bytes[0].tolist(), [0, 10])
            self.assertEqual(made.texts(), [text[begin:end] for begin, end in pairs])
        self.assertIsNone(client.encode_spans(text, pairs).document)

    def test_policies_and_context(self):
        text = "One is here. Two is there.\n\nThree is nowhere."
        self.assertEqual([part.strip() for part in client.encode_spans(text, policy="sentences").texts()], ["One is here.", "Two is there.", "Three is nowhere."])
        self.assertEqual(len(client.encode_spans(text, policy="paragraphs")), 2)
        fixed = client.encode_spans(text, policy=("fixed", 4, 1))
        self.assertEqual((fixed.tokens[1] - fixed.tokens[0]).tolist(), [3, 3])
        alone = client.encode_spans(text, policy="sentences", context="independent")
        np.testing.assert_allclose(alone.vectors[1], client.encode("Two is there.").vectors[0], atol=1e-4)
        self.assertGreater(np.abs(alone.vectors - client.encode_spans(text, policy="sentences").vectors).max(), 1e-3)
        sized = {"policy": "sentences", "span_min_tokens": 5, "span_max_tokens": 9}
        for made in (client.encode_spans(text, **sized), in_loop(lambda c: c.encode_spans(text, **sized))):
            self.assertEqual(made.texts(), ["One is here. Two is there.", "Three is nowhere."])
        with self.assertRaises(longspan.InvalidArgument) as raised:
            client.encode_spans(text, policy="sentences", span_min_tokens=9, span_max_tokens=4)
        self.assertEqual(raised.exception.field, "options.span_min_tokens")
        for wrong in ({}, {"policy": "sentences", "spans": [(0, 1)]}):
            with self.assertRaises(ValueError):
                client.encode_spans(text, **wrong)

    def test_an_answer_beyond_4_mib_arrives(self):
        text = "one two three four " * 1500
        made = client.encode_spans(text, policy=("fixed", 2, 0))
        self.assertGreater(made.vectors.nbytes, 4 << 20)
        self.assertTrue(np.isfinite(made.vectors).all())
        self.assertEqual(made.tokens_used, 6002)
        raws = stub.Encode(raw.EncodeRequest(inputs=[{"text": text}], options={"span_policy": raw.SPAN_POLICY_FIXED, "span_tokens": 2, "max_answer_bytes": 1 << 30}), timeout=60)
        np.testing.assert_allclose(made.vectors[::500], [span.vector.values for span in raws.encodings[0].spans[::500]], **NEAR)

    def test_an_answer_that_the_channel_does_not_take_is_refused_before_it_is_computed(self):
        text = "one two three four " * 1500
        policy = {"policy": ("fixed", 2, 0)}
        options = [("grpc.max_receive_message_length", 1 << 20)]

        async def small(async_client):
            async with longspan.AsyncClient(server.address, options=options) as limited:
                await limited.encode_spans(text, **policy)

        with longspan.Client(server.address, options=options) as limited:
            for call in (lambda: limited.encode_spans(text, **policy), lambda: in_loop(small)):
                with self.assertRaises(longspan.InvalidArgument) as raised:
                    call()
                self.assertEqual((raised.exception.field, raised.exception.reason), ("options.max_answer_bytes", "CALLER_MAX_ANSWER_BYTES"))
                self.assertIn("allows 1048576 bytes, and the answer has ", raised.exception.message)
            self.assertEqual(len(limited.encode_spans(text, format="binary", **policy)), 3000)
            with self.assertRaises(longspan.InvalidArgument):
                limited.tokenize([text] * 16)
            [answer] = limited.encode_stream([text])
            self.assertIsNone(answer.error)
        # Stubs that say nothing take what gRPC takes.
        with self.assertRaises(grpc.RpcError) as refused:
            stub.Encode(raw.EncodeRequest(inputs=[{"text": text}], options={"span_policy": raw.SPAN_POLICY_FIXED, "span_tokens": 2}), timeout=60)
        self.assertIn("allows 4194304 bytes (gRPC's default)", refused.exception.details())

    def test_65536_spans_of_one_text(self):
        pairs = np.zeros((65536, 2), np.int64)
        pairs[:, 1] = 9
        made = client.encode_spans("a contract of sale", pairs, dimensions=16)
        self.assertEqual(made.vectors.shape, (65536, 16))
        self.assertTrue((made.vectors == made.vectors[0]).all())


class TokensTest(unittest.TestCase):
    def test_vectors_are_those_of_raw_stubs(self):
        text = "every token has a vector of its own " * 200    # several messages
        wanted = [np.array(part.values, np.float32).reshape(part.token_count, part.dimensions)
                  for part in stub.EncodeTokens(raw.EncodeTokensRequest(input={"text": text}), timeout=60) if part.token_count]
        self.assertGreater(len(wanted), 1)
        [words] = client.tokenize(text)
        for made in (client.encode_tokens(text), client.encode_tokens(words.ids), in_loop(lambda c: c.encode_tokens(text))):
            np.testing.assert_allclose(made.vectors, np.concatenate(wanted), rtol=0, atol=2e-5)
            self.assertEqual((len(made), made.tokens_used, made.tokens_total, made.truncated), (1602, 1602, 1602, False))
            self.assertTrue(made.vectors.flags.writeable)
            self.assertGreater(made.timings.compute, 0)
        small = client.encode_tokens(text, format="int8")
        self.assertEqual((small.vectors.dtype, small.scales.shape), (np.int8, (1602,)))
        np.testing.assert_allclose(small.to_float32(), np.concatenate(wanted), rtol=0, atol=0.05)
        with self.assertRaises(longspan.InvalidArgument):
            client.encode_tokens("")

    def test_neighbours_become_one_vector(self):
        text = "every token has a vector of its own " * 200
        rows = client.encode_tokens(text)
        self.assertTrue((rows.tokens_per_vector == 1).all())
        np.testing.assert_array_equal(rows.tokens, rows.all_tokens)
        self.assertEqual(rows.tokens_of(-1).tolist(), [1601])
        for made in (client.encode_tokens(text, token_pooling=4), in_loop(lambda c: c.encode_tokens(text, token_pooling=4))):
            self.assertEqual((len(made), made.tokens_used), (401, 1602))
            np.testing.assert_array_equal(made.tokens, np.arange(0, 1602, 4))
            np.testing.assert_array_equal(made.all_tokens, np.arange(1602))
            self.assertEqual(made.tokens_per_vector.tolist(), [4] * 400 + [2])
            self.assertEqual((made.tokens_of(1).tolist(), made.tokens_of(-1).tolist()), ([4, 5, 6, 7], [1600, 1601]))
            wanted = [rows.vectors[made.tokens_of(i)].mean(0) for i in range(len(made))]
            np.testing.assert_allclose(made.vectors, wanted, rtol=0, atol=2e-5)
        with self.assertRaisesRegex(longspan.InvalidArgument, "token_pooling is 3"):
            client.encode_tokens(text, token_pooling=3)
        with self.assertRaisesRegex(longspan.InvalidArgument, "only EncodeTokens"):
            client.encode(text, token_pooling=2)

    def test_tokens_tell_where_they_stand(self):
        texts = ["Zoë pays", "in full"]
        for made in (client.tokenize(texts), in_loop(lambda c: c.tokenize(texts))):
            self.assertEqual([text.ids.tolist() for text in made],
                             [[token.id for token in text.tokens] for text in stub.Tokenize(raw.TokenizeRequest(texts=texts), timeout=60).texts])
            self.assertEqual([texts[0][b:e] for b, e in made[0].characters[~made[0].special]], ["Zoë", "pays"])
            self.assertEqual(made[0].bytes[2].tolist(), [5, 9])
        self.assertEqual(client.tokenize("in full", add_special_tokens=False)[0].tokens, ["in", "full"])


class StreamTest(unittest.TestCase):
    def test_a_bad_text_in_the_middle_ends_nothing(self):
        texts = [longspan.Input(text, id=f"id-{i}") for i, text in enumerate(MANY)]
        texts[70] = longspan.Input("", id="empty")

        async def collect(async_client):
            async def coming():
                for text in texts:
                    yield text

            return ([answer async for answer in async_client.encode_stream(coming())], [answer async for answer in async_client.encode_stream(texts)])

        wanted = client.encode([text for i, text in enumerate(MANY) if i != 70]).vectors
        for answers in (list(client.encode_stream(texts)), *in_loop(collect)):
            self.assertEqual(sorted(answer.index for answer in answers), list(range(len(texts))))
            answers.sort(key=lambda answer: answer.index)
            self.assertEqual([answer.id for answer in answers], [text.id for text in texts])
            bad = answers.pop(70)
            self.assertIsNone(bad.vector)
            self.assertIsInstance(bad.error, longspan.InvalidArgument)
            self.assertEqual((bad.error.index, bad.error.id, bad.error.field), (70, "empty", "input.text"))
            np.testing.assert_allclose([vector for _, vector in answers], wanted, **NEAR)
            self.assertGreater(answers[0].timings.compute, 0)

    def test_no_more_texts_are_taken_than_may_be_in_flight(self):
        taken, answered, most = 0, 0, 0

        def texts():
            nonlocal taken, most
            for text in MANY:
                taken += 1
                most = max(most, taken - answered)
                yield text

        for _ in client.encode_stream(texts(), in_flight=6):
            answered += 1
        self.assertEqual((taken, answered), (len(MANY), len(MANY)))
        self.assertLessEqual(most, 6 + 1)    # one is answered, and not counted here yet

        async def twin(async_client):
            nonlocal taken, answered, most
            taken, answered, most = 0, 0, 0
            async for _ in async_client.encode_stream(texts(), in_flight=6):
                answered += 1

        in_loop(twin)
        self.assertEqual((taken, answered), (len(MANY), len(MANY)))
        self.assertLessEqual(most, 6 + 1)

    def test_who_stops_taking_answers_stops_the_taking_of_texts(self):
        taken = 0

        def endless():
            nonlocal taken
            while True:
                taken += 1
                yield "a text"

        answers = client.encode_stream(endless(), in_flight=6)
        for _ in range(20):
            next(answers)
        answers.close()
        self.assertLessEqual(taken, 20 + 6 + 1)

        async def twin(async_client):
            nonlocal taken
            taken = 0
            answers = async_client.encode_stream(endless(), in_flight=6)
            for _ in range(20):
                await answers.__anext__()
            await answers.aclose()

        in_loop(twin)
        self.assertLessEqual(taken, 20 + 6 + 1)

    def test_what_the_texts_raise_is_raised_here(self):
        def broken():
            yield "a text"
            raise KeyError("the file ended")

        async def async_broken():
            yield "a text"
            raise KeyError("the file ended")

        async def collect(async_client):
            return [answer async for answer in async_client.encode_stream(async_broken())]

        with self.assertRaisesRegex(KeyError, "the file ended"):
            list(client.encode_stream(broken()))
        with self.assertRaisesRegex(KeyError, "the file ended"):
            in_loop(collect)
        with self.assertRaisesRegex(TypeError, "got int"):
            list(client.encode_stream(["a text", 7]))
        self.assertEqual(list(client.encode_stream([])), [])

    def test_a_stream_outlives_servers_that_die_and_that_drain(self):
        """Three streams, one on each of three servers: one is killed, one drains."""
        servers = [harness.Server("--max-stream-inputs", "4", "--max-texts-per-request", str(number)) for number in (1, 2, 3)]
        with longspan.Client("ipv4:" + ",".join(each.address for each in servers)) as many:
            reached = set()    # calls go round once all three are connected
            while len(reached) < 3:
                reached.add(many.info().limits.max_texts_per_request)
            streams = [many.encode_stream(MANY, in_flight=8) for _ in range(3)]
            answers = [[next(stream)] for stream in streams]
            servers[0].kill()
            self.assertEqual(servers[1].stop(), 0)
            for stream, got in zip(streams, answers):
                got.extend(stream)
                self.assertEqual(sorted(answer.index for answer in got), list(range(len(MANY))))
                self.assertTrue(all(answer.error is None for answer in got))
        self.assertEqual(servers[2].stop(), 0)


class LedgerTest(unittest.TestCase):
    """The rules of long streams, without waiting for them."""

    def ledger(self, timeout=60.0, in_flight=4):
        from longspan._stream import Ledger
        return Ledger(longspan._contract.EncodeOptions(dimensions=7), in_flight, timeout, True)

    def response(self, key, code=0, delay=0):
        response = longspan._contract.EncodeStreamResponse()
        response.encoding.id = key
        if code:
            response.encoding.status.code = code
            if delay:
                retry = longspan._contract.RetryInfo()
                retry.retry_delay.seconds = delay
                detail = response.encoding.status.details.add()
                detail.type_url, detail.value = "type.googleapis.com/google.rpc.RetryInfo", retry.SerializeToString()
        else:
            response.encoding.vector.format, response.encoding.vector.dimensions = 4, 1
            response.encoding.vector.data = b"\1"
        return response

    def test_an_old_stream_takes_nothing_and_the_next_goes_on(self):
        ledger = self.ledger(timeout=-1.0)
        attempt = ledger.begin()
        self.assertFalse(ledger.may_take(attempt))
        self.assertEqual(ledger.end(attempt, None), 0.0)
        self.assertTrue(self.ledger(timeout=60.0).may_take(self.ledger().begin()))

    def test_what_has_no_answer_is_sent_again_with_the_options(self):
        ledger = self.ledger()
        attempt = ledger.begin()
        for text in ("a", "b", "c"):
            ledger.take(text)
        sent = [ledger.next_to_send() for _ in range(3)]
        self.assertEqual([each.options.dimensions for each in sent], [7, 0, 0])
        self.assertIsNone(ledger.next_to_send())
        self.assertEqual(ledger.answer(attempt, self.response("1")).index, 1)
        self.assertIsNone(ledger.answer(attempt, self.response("1")), "answered twice")
        ledger.exhausted = True
        self.assertIsNotNone(ledger.end(attempt, None))
        ledger.begin()
        again = [ledger.next_to_send() for _ in range(2)]
        self.assertEqual([(each.input.text, each.options.dimensions) for each in again], [("a", 7), ("c", 0)])

    def test_what_is_refused_for_now_is_put_off_and_refused_at_last(self):
        ledger = self.ledger()
        ledger.take("a")
        ledger.exhausted = True
        for _ in range(4):
            attempt = ledger.begin()
            self.assertEqual(ledger.next_to_send().input.text, "a")
            self.assertIsNone(ledger.answer(attempt, self.response("0", code=8, delay=3)))
            self.assertGreater(ledger.end(attempt, None), 2)
        attempt = ledger.begin()
        answer = ledger.answer(attempt, self.response("0", code=8, delay=3))
        self.assertEqual((type(answer.error), answer.error.retry_after), (longspan.ResourceExhausted, 3))
        self.assertIsNone(ledger.end(attempt, None))


class FakeServer(grpc.GenericRpcHandler):
    """Answers each call with the next of `answers`, (code, pushback in ms or None, message); then
    with that of GetModelInfo.
    """

    def __init__(self, *answers):
        self.answers, self.calls = list(answers), 0
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, handler_call_details):
        def answer(_, context):
            self.calls += 1
            code, pushback, message = self.answers.pop(0) if self.answers else (None, None, None)
            if pushback is not None:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", str(pushback)),))
            if code is not None:
                context.abort(code, message)
            return longspan._contract.GetModelInfoResponse(model="fake").SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()


class CallsTest(unittest.TestCase):
    def test_calls_are_made_again_while_a_server_drains_or_is_full(self):
        unavailable, full = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
        with FakeServer((unavailable, 10, "draining"), (full, 10, "full"), (unavailable, None, "draining")) as fake, longspan.Client(fake.address) as caller:
            self.assertEqual(caller.info().model, "fake")
            self.assertEqual(fake.calls, 4)
        with FakeServer((full, -1, "never")) as fake, longspan.Client(fake.address) as caller:
            # A negative pushback forbids further attempts.
            with self.assertRaisesRegex(longspan.ResourceExhausted, "never"):
                caller.info()
            self.assertEqual(fake.calls, 1)
        with FakeServer((unavailable, 10, "draining")) as fake, longspan.Client(fake.address, retry=False) as caller:
            with self.assertRaises(longspan.Unavailable) as raised:
                caller.info()
            self.assertEqual((fake.calls, isinstance(raised.exception, ConnectionError)), (1, True))

        async def twin(address):
            async with longspan.AsyncClient(address) as caller:
                return (await caller.info()).model

        with FakeServer((unavailable, 10, "draining")) as fake:
            self.assertEqual(asyncio.run(twin(fake.address)), "fake")

    def test_a_server_that_comes_late_is_found(self):
        with FakeServer() as gone:
            address = gone.address
        late = []
        with longspan.Client(address) as caller:
            with self.assertRaises(longspan.Unavailable):
                longspan.Client(address, retry=False).info()

            def come():
                fake = FakeServer()
                fake.server.stop(None).wait()
                fake.server = grpc.server(futures.ThreadPoolExecutor(4))
                fake.server.add_generic_rpc_handlers((fake,))
                fake.server.add_insecure_port(address)
                fake.server.start()
                late.append(fake)

            starter = threading.Timer(0.3, come)
            starter.start()
            self.assertEqual(caller.info().model, "fake")
            starter.join()
        late[0].__exit__()

    def test_deadlines(self):
        with self.assertRaisesRegex(ValueError, "a call needs a deadline: give timeout=SECONDS, or no_deadline=True"):
            longspan.Client(server.address, timeout=None)
        with self.assertRaisesRegex(ValueError, "allowed: more than 0"):
            client.encode("a", timeout=0)
        with longspan.Client(server.address, timeout=None, no_deadline=True) as patient:
            self.assertEqual(patient.encode("a").vectors.shape, (1, 384))
        for call in (lambda: client.encode("a text " * 10000, timeout=0.05), lambda: in_loop(lambda c: c.encode_tokens("a text " * 10000, timeout=0.05))):
            with self.assertRaises(longspan.DeadlineExceeded) as raised:
                call()
            self.assertIsInstance(raised.exception, TimeoutError)
        unreachable = longspan._errors.of_status(longspan._contract.Status(code=8, message="waiting 1m2.5s and computing 250ms would pass the deadline in 1s", details=[
            {"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": longspan._contract.ErrorInfo(reason="DEADLINE_UNREACHABLE").SerializeToString()}]))
        self.assertIsInstance(unreachable, longspan.DeadlineUnreachable)
        self.assertIsInstance(unreachable, longspan.DeadlineExceeded)
        self.assertEqual(unreachable.predicted_seconds, 62.75)

    def test_info_and_health(self):
        info = client.info()
        self.assertEqual((info.dimensions, info.limits.max_texts_per_request, info.limits.max_stream_inputs), (384, 16, 4))
        self.assertEqual(dataclasses.asdict(info), dataclasses.asdict(in_loop(lambda c: c.info())))
        for kind, message in ((longspan.ModelInfo, raw.GetModelInfoResponse), (longspan.Limits, raw.Limits), (longspan.LayerAttention, raw.LayerAttention),
                              (longspan._answers.MultiVector, raw.MultiVector), (longspan._answers.QueryExpansion, raw.QueryExpansion)):
            self.assertEqual([field.name for field in dataclasses.fields(kind)], [field.name for field in message.DESCRIPTOR.fields])
        self.assertEqual({field for field, _ in longspan._requests._OPTIONS.values()},
                         {field.name for field in raw.EncodeOptions.DESCRIPTOR.fields if not field.name.startswith("span") and field.name != "max_answer_bytes"})
        self.assertEqual((client.health(), in_loop(lambda c: c.health("longspan.v1.EncoderService"))), ("SERVING", "SERVING"))

    def test_tls_and_keys(self):
        folder = harness.FOLDER
        for name in ("server", "caller"):
            harness.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
        (folder / "keys").write_text("secret-of-tests\n")
        guarded = harness.Server("--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key", "--tls-client-ca", folder / "caller.pem",
                                 "--auth-keys-file", folder / "keys")
        tls = {"ca": folder / "server.pem", "certificate": folder / "caller.pem", "private_key": (folder / "caller.key").read_bytes()}
        with longspan.Client(guarded.address, key="secret-of-tests", **tls) as caller:
            self.assertEqual(caller.encode("a").vectors.shape, (1, 384))
            self.assertEqual(len(list(caller.encode_stream(["a", "b"]))), 2)

        async def twin():
            async with longspan.AsyncClient(guarded.address, key="secret-of-tests", **tls) as caller:
                return (await caller.encode("a")).vectors.shape

        self.assertEqual(asyncio.run(twin()), (1, 384))
        for key in (None, "wrong"):
            with longspan.Client(guarded.address, key=key, **tls) as caller:
                self.assertEqual(caller.health(), "SERVING")
                with self.assertRaises(longspan.Unauthenticated):
                    caller.encode("a")
        with longspan.Client(guarded.address, retry=False, ca=folder / "caller.pem") as caller, self.assertRaises(longspan.Unavailable):
            caller.health()
        with self.assertRaisesRegex(ValueError, "belong together"):
            longspan.Client(guarded.address, certificate=folder / "caller.pem")
        self.assertEqual(guarded.stop(), 0)


class FrameworksTest(unittest.TestCase):
    TEXT = "The seller is Acme. It pays the tax. The buyer pays the rest."
    # The first two overlap.
    CHUNKS = ["The seller is Acme. It pays", "It pays the tax.", "The buyer pays the rest."]

    def check(self, lists, wanted):
        self.assertIsInstance(lists[0][0], float)
        np.testing.assert_allclose(lists, wanted, **NEAR)

    def test_langchain(self):
        from langchain_core.embeddings import Embeddings
        from longspan.langchain import LongspanEmbeddings

        embeddings = LongspanEmbeddings(server.address, options={"truncation": "head"})
        self.assertIsInstance(embeddings, Embeddings)
        wanted, chunks = client.encode(TEXTS).vectors, client.encode_spans(self.TEXT, [(0, 27), (20, 36), (37, 61)]).vectors
        self.check(embeddings.embed_documents(TEXTS), wanted)
        self.check([embeddings.embed_query(TEXTS[0])], wanted[:1])
        self.check(embeddings.embed_document_chunks(self.TEXT, self.CHUNKS), chunks)
        self.assertEqual((embeddings.embed_documents([]), embeddings.embed_document_chunks("", [])), ([], []))
        for _ in range(2):    # each in a loop of its own
            self.check(asyncio.run(embeddings.aembed_documents(TEXTS)), wanted)
            self.check([asyncio.run(embeddings.aembed_query(TEXTS[0]))], wanted[:1])
            self.check(asyncio.run(embeddings.aembed_document_chunks(self.TEXT, self.CHUNKS)), chunks)

    def test_llama_index(self):
        from llama_index.core.schema import TextNode
        from longspan.llama_index import LongspanEmbedding

        embedding = LongspanEmbedding(server.address, embed_batch_size=3)
        wanted, chunks = client.encode(TEXTS).vectors, client.encode_spans(self.TEXT, [(0, 27), (20, 36), (37, 61)]).vectors
        self.check(embedding.get_text_embedding_batch(TEXTS), wanted)
        self.check([embedding.get_text_embedding(TEXTS[0]), embedding.get_query_embedding(TEXTS[1])], wanted[:2])
        self.check([node.embedding for node in embedding([TextNode(text=text) for text in TEXTS])], wanted)
        self.check(embedding.get_document_chunk_embeddings(self.TEXT, self.CHUNKS), chunks)
        self.check(asyncio.run(embedding.aget_text_embedding_batch(TEXTS)), wanted)
        self.check([asyncio.run(embedding.aget_query_embedding(TEXTS[0]))], wanted[:1])
        self.check(asyncio.run(embedding.aget_document_chunk_embeddings(self.TEXT, self.CHUNKS)), chunks)

    def test_prompts_and_options_reach_the_server(self):
        from longspan.langchain import LongspanEmbeddings

        with self.assertRaises(longspan.InvalidArgument) as raised:
            LongspanEmbeddings(server.address, query_prompt="nobody").embed_query("a")
        self.assertIn("prompt_name", raised.exception.field)
        self.assertEqual(len(LongspanEmbeddings(server.address, options={"dimensions": 8}).embed_query("a")), 8)
        self.assertEqual(len(LongspanEmbeddings(server.address, options={"format": "int8"}).embed_query("a")), 384)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
