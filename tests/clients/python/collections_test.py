"""Kept documents by client/python, sync and async, against a real server beside raw stubs.

    collections_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import asyncio
import dataclasses
import datetime
import sys
import time
import unittest

import grpc
import harness

longspan = harness.install()
raw, raw_rpc = harness.stubs()
FILLER = "The parties have agreed on all other terms in good faith and in writing. "
TEXTS = {"lease": FILLER * 30 + "The lease ends on the last day of May. " + FILLER * 20,
         "rent": FILLER * 40 + "Rent is due on the first day of each month. " + FILLER * 10,
         "pets": "Dogs may be kept. " + FILLER * 25,
         "é/ü": "Ménage à trois: three may live in the flat. " + FILLER * 3}
QUESTION = "When does the lease end?"
MOST = 8    # documents of a request


def setUpModule():
    global server, client, stub
    server = harness.Server("--max-texts-per-request", str(MOST))
    client = longspan.Client(server.address)
    stub = raw_rpc.EncoderServiceStub(grpc.insecure_channel(server.address))


def tearDownModule():
    client.close()
    assert server.stop() == 0


class Waiting:
    """An AsyncClient, or what it gives, with each call awaited in a loop of its own."""

    def __init__(self, *path):
        self.path = path

    def __getattr__(self, name):
        return lambda *arguments, **keywords: self.call(name, arguments, keywords)

    def call(self, name, arguments, keywords):
        if name == "collection":
            return Waiting(*arguments)

        async def main():
            async with longspan.AsyncClient(server.address) as made:
                target = made.collection(*self.path) if self.path else made
                return await getattr(target, name)(*arguments, **keywords)

        return asyncio.run(main())


class CollectionsTest(unittest.TestCase):
    """Each test runs with both clients, on a collection of its own."""

    def setUp(self):
        self.clients = (("sync", client), ("async", Waiting()))

    def tearDown(self):
        for each in client.collections():
            client.collection(each.name).drop()

    def each(self):
        for name, caller in self.clients:
            yield caller, caller.collection(f"{self.id().rpartition('_')[2]}-{name}")

    def test_a_search_is_that_in_the_texts(self):
        wanted = client.search(QUESTION, TEXTS, limit=4)
        for _, collection in self.each():
            kept = collection.put(TEXTS)
            self.assertEqual((kept.added, kept.replaced, [each.id for each in kept]), (4, 0, list(TEXTS)))
            found = collection.search(QUESTION)
            self.assertEqual([each.id for each in found], [each.id for each in wanted])
            for one, other in zip(found, wanted):
                self.assertAlmostEqual(one.score, other.score, delta=1e-5)
                self.assertAlmostEqual(one.similarity, other.similarity, delta=1e-5)
                self.assertAlmostEqual(one.bm25, other.bm25, delta=1e-5)
                self.assertEqual([(span.characters, span.bytes, span.tokens) for span in one.spans],
                                 [(span.characters, span.bytes, span.tokens) for span in other.spans])
                for span, same in zip(one.spans, other.spans):
                    self.assertAlmostEqual(span.score, same.score, delta=1e-5)
                    self.assertIsNone(span.text)
            begin, end = found[0].spans[0].characters
            self.assertIn("The lease ends on the last day of May.", TEXTS[found[0].id][begin:end])
            self.assertEqual((found.documents_tokens, found.documents_truncated), (wanted.documents_tokens, 0))
            one = collection.search(QUESTION, limit=2, spans=1, lexical_weight=0, token_weighting="equal", query_truncation="head")
            self.assertEqual([len(each.spans) for each in one], [1, 1])

    def test_what_was_read_is_said(self):
        for _, collection in self.each():
            kept = collection.put(TEXTS.items(), truncation="tail", max_tokens=100)
            self.assertEqual([each.tokens_used for each in kept][:3], [100, 100, 100])
            self.assertEqual(kept[3], longspan.PutResult("é/ü", kept[3].tokens_total, kept[3].tokens_total, False))
            self.assertTrue(kept[0].truncated and kept[0].tokens_total > 500)
            self.assertEqual(kept.collection.documents, 4)
            self.assertGreater(kept.collection.bytes, kept.collection.tokens * 384)
            self.assertGreater(kept.timings.compute, 0)
            self.assertEqual(len(kept), 4)

    def test_a_document_takes_the_place_of_its_id(self):
        for _, collection in self.each():
            collection.put(TEXTS)
            kept = collection.put([("lease", "Nothing is said of it."), ("new", "The lease ends in June.")])
            self.assertEqual((kept.added, kept.replaced, kept.collection.documents), (1, 1, 5))
            self.assertEqual(collection.search(QUESTION)[0].id, "new")

    def test_settings_are_those_of_the_collection(self):
        for caller, collection in self.each():
            kept = collection.put({"a": "Der Vertrag endet im Mai."}, format="two_bit", span_tokens=32, language="german")
            self.assertEqual((kept.collection.format, kept.collection.span_tokens, kept.collection.language), ("two_bit", 32, "german"))
            collection.put({"b": "Die Miete ist fällig."})
            collection.put({"b": "Die Miete ist fällig."}, format="two_bit")
            self.assertEqual(collection.search("Wann enden Verträge?")[0].id, "a")
            with self.assertRaises(longspan.FailedPrecondition) as raised:
                collection.put({"c": "Hunde sind erlaubt."}, format="int8")
            self.assertEqual(raised.exception.field, "options.format")
            self.assertEqual(caller.collection("other").put({"a": "A text."}).collection.format, "int8")
            caller.collection("other").drop()

    def test_documents_are_forgotten_when_their_time_has_come(self):
        for _, collection in self.each():
            collection.put({"always": "The lease ends in May."})
            collection.put({"soon": "The lease ends in June."}, ttl=0.001)
            collection.put({"long": "The lease ends in July."}, ttl=datetime.timedelta(days=1))
            end = time.monotonic() + 30
            while (found := {each.id for each in collection.search(QUESTION)}) != {"always", "long"} and time.monotonic() < end:
                pass
            self.assertEqual(found, {"always", "long"})
            with self.assertRaises(longspan.InvalidArgument) as raised:
                collection.put({"a": "A text."}, ttl=-1)
            self.assertEqual(raised.exception.field, "options.ttl_seconds")

    def test_delete_and_drop(self):
        for caller, collection in self.each():
            collection.put(TEXTS)
            self.assertEqual(collection.delete("pets"), 1)
            self.assertEqual(collection.delete(["pets", "rent", "nobody", "é/ü"]), 2)
            self.assertEqual(collection.delete([]), 0)
            self.assertEqual([each.id for each in collection.search(QUESTION)], ["lease"])
            self.assertEqual(collection.drop(), 1)
            self.assertEqual(collection.drop(), 0)
            self.assertEqual(caller.collections(), [])
            self.assertEqual(collection.put({"a": "A text."}).added, 1)
            self.assertEqual(collection.drop(), 1)

    def test_collections_are_listed_by_name(self):
        for caller, _ in self.each():
            kept = [caller.collection(name).put({"a": "A text."}).collection for name in ("b", "a", "C-1_x.y")]
            self.assertEqual(caller.collections(), sorted(kept, key=lambda each: each.name))
            for each in kept:
                self.assertEqual(caller.collection(each.name).drop(), 1)

    def test_many_documents_come_in_several_calls(self):
        many = {f"id-{i}": f"Clause {i} is about number {i * i}." for i in range(3 * MOST + 1)}
        for _, collection in self.each():
            kept = collection.put(iter(many.items()))
            self.assertEqual([each.id for each in kept], list(many))
            self.assertEqual((kept.added, kept.replaced, kept.collection.documents), (len(many), 0, len(many)))
            self.assertEqual(len({each.id for each in collection.search("clause", limit=1000)}), len(many))
            self.assertEqual(collection.delete(many), len(many))

    def test_a_call_keeps_all_or_nothing_and_those_before_stay(self):
        many = [(f"id-{i}", "A text." if i != MOST + 3 else "") for i in range(2 * MOST)]
        for _, collection in self.each():
            with self.assertRaises(longspan.InvalidArgument) as raised:
                collection.put(many)
            self.assertEqual((raised.exception.index, raised.exception.id), (MOST + 3, f"id-{MOST + 3}"))
            self.assertEqual({each.id for each in collection.search("text", limit=100)}, {id for id, _ in many[:MOST]})

    def test_unusual_ids(self):
        ids = [" ", "\n", "a/b", "../..", "Ω", "🙂", "x" * 4096, "\0"]
        for _, collection in self.each():
            collection.put({id: f"Text {i}." for i, id in enumerate(ids)})
            self.assertEqual({each.id for each in collection.search("text")}, set(ids))
            self.assertEqual(collection.delete(ids), len(ids))
            with self.assertRaises(longspan.InvalidArgument) as raised:
                collection.put([("fine", "A text."), ("x" * 4097, "A text.")])
            self.assertIn("documents[1]", raised.exception.message)
            with self.assertRaises(longspan.InvalidArgument) as raised:
                collection.put({"": "A text."})
            self.assertEqual(raised.exception.field, "documents[0].id")
            with self.assertRaises(longspan.InvalidArgument) as raised:
                collection.delete(["fine", "x" * 4097])
            self.assertEqual(raised.exception.index, 1)

    def test_errors(self):
        for caller, collection in self.each():
            for call in (lambda: collection.search(QUESTION), lambda: collection.delete("a")):
                with self.assertRaises(longspan.NotFound) as raised:
                    call()
                self.assertIsInstance(raised.exception, LookupError)
                self.assertIn("does not exist", str(raised.exception))
            for name in (".hidden", "a/b", "x" * 65, "é"):
                with self.assertRaises(longspan.InvalidArgument) as raised:
                    caller.collection(name).put({"a": "A text."})
                self.assertEqual(raised.exception.field, "collection")
            with self.assertRaisesRegex(ValueError, r"documents\[9\] and documents\[1\] have the same id, 'b'"):
                collection.put([("a", "x"), ("b", "x"), *((str(i), "x") for i in range(7)), ("b", "y")])
            with self.assertRaisesRegex(longspan.InvalidArgument, "documents is empty"):
                collection.put({})
            for wrong in ("a text", ["ab"], [7], [("a", 7)], [(7, "a")]):
                with self.assertRaises(TypeError):
                    collection.put(wrong)
            with self.assertRaisesRegex(ValueError, "'int4' is no KeptFormat; allowed: int8, two_bit"):
                collection.put({"a": "x"}, format="int4")
            with self.assertRaisesRegex(TypeError, "no option 'tll'; allowed: format, "):
                collection.put({"a": "x"}, tll=1)
            with self.assertRaisesRegex(TypeError, "no option 'truncation': its documents are read; allowed: limit, spans, late_weight"):
                collection.search(QUESTION, truncation="head")
            with self.assertRaisesRegex(TypeError, "no option 'limits'"):
                collection.search(QUESTION, limits=3)

    def test_without_a_name_nothing_is_asked(self):
        for caller in (client, longspan.AsyncClient(server.address)):
            with self.assertRaisesRegex(ValueError, "is empty; allowed: 1 to 64"):
                caller.collection("")
            with self.assertRaises(TypeError):
                caller.collection(7)
            self.assertIn("Collection('a')", repr(caller.collection("a")))

    def test_names_are_those_of_the_contract(self):
        fields = {field.name for field in raw.PutOptions.DESCRIPTOR.fields}
        from longspan import _collections as kept

        self.assertEqual({field for field, _ in kept._PUT_OPTIONS.values()}, fields)
        self.assertEqual([field.name for field in dataclasses.fields(longspan.CollectionInfo)],
                         [field.name for field in raw.Collection.DESCRIPTOR.fields])
        self.assertEqual([field.name for field in dataclasses.fields(longspan.PutResult)],
                         [field.name for field in raw.PutResult.DESCRIPTOR.fields])
        self.assertEqual([field.name for field in dataclasses.fields(longspan.PutResults)],
                         [field.name for field in raw.PutDocumentsResponse.DESCRIPTOR.fields])
        self.assertEqual(longspan._contract.enum_name("KeptFormat", 0), "")
        self.assertEqual(longspan._contract.enum_name("TokenWeighting", 2), "equal")
        self.assertEqual(longspan._contract.enum_name("KeptFormat", 99), "")

    def test_many_ids_are_deleted_in_several_calls(self):
        from longspan._collections import delete_requests

        made = list(delete_requests("a", (str(i) for i in range(25_000))))
        self.assertEqual([(first, len(request.ids)) for first, request in made], [(0, 10_000), (10_000, 10_000), (20_000, 5_000)])
        made = list(delete_requests("a", ["x" * 4096] * 300))
        self.assertEqual([(first, len(request.ids)) for first, request in made], [(0, 256), (256, 44)])
        self.assertEqual([request.ids[0] for _, request in delete_requests("a", "one")], ["one"])

    def test_what_raw_stubs_put_is_found(self):
        put = raw.PutDocumentsRequest(collection="raw", documents=[{"id": "a", "text": TEXTS["lease"]}])
        kept = stub.PutDocuments(put, timeout=60)
        self.assertEqual(client.collection("raw").search(QUESTION)[0].id, "a")
        self.assertEqual([each.bytes for each in client.collections()], [kept.collection.bytes])

    def test_limits_say_what_may_be_kept(self):
        self.assertGreater(client.info().limits.max_collection_bytes, 1 << 20)
        small = harness.Server("--max-collection-bytes", "64Ki")
        with longspan.Client(small.address) as caller:
            with self.assertRaises(longspan.ResourceExhausted) as raised:
                caller.collection("a").put(TEXTS)
            self.assertEqual(raised.exception.limit, "max_collection_bytes")
            self.assertEqual(caller.collections(), [])
        self.assertEqual(small.stop(), 0)
        none = harness.Server("--collections=false")
        with longspan.Client(none.address) as caller:
            self.assertEqual(caller.info().limits.max_collection_bytes, 0)
            with self.assertRaises(longspan.FailedPrecondition):
                caller.collection("a").put({"a": "A text."})
        self.assertEqual(none.stop(), 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
