"""client/python/examples/vespa_search.py against a stub that holds its documents and queries to the
application package beside it, client/python/examples/vespa.

    vespa_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import json
import re
import sys
import unittest
import urllib.parse
import xml.etree.ElementTree

import door
import numpy as np
import requests
import stores

import passages as examples
import vespa_search

SCHEMA = (stores.EXAMPLES / "vespa/schemas/passage.sd").read_text(encoding="utf-8")
FIELDS = dict(re.findall(r"^ *field (\w+) type (.*) \{$", SCHEMA, re.M))
INPUTS = dict(re.findall(r"^ *query\((\w+)\) (.*)$", SCHEMA, re.M))


def setUpModule():
    global server
    server = door.Server()


def tearDownModule():
    assert server.stop() == 0


def value(type_, given):
    """What a field or an input of this type makes of JSON."""
    if type_ in ("string", "int"):
        assert type(given) is {"string": str, "int": int}[type_], given
        return given
    cell, label, size = re.fullmatch(r"tensor<(\w+)>\((?:(\w+)\{\}, )?x\[(\d+)\]\)", type_).groups()
    if label is None:
        rows = [given if isinstance(given, list) else given["values"]]
    else:
        blocks = given.get("blocks", given)
        assert all(isinstance(each, str) for each in blocks), "labels are strings"
        rows = list(blocks.values())
    if cell == "int8":
        rows = [np.frombuffer(bytes.fromhex(row), np.int8) for row in rows]
    made = np.array(rows, np.float64)
    assert made.shape == (len(rows), int(size)), (type_, made.shape)
    return made


class Passages:
    """The documents of a content cluster, as the answers of a stub. Ranks by the tokens alone."""

    def __init__(self):
        self.documents = {}

    def __call__(self, method, path, body):
        assert method == "POST", method
        if path == "/search/":
            return self.search(json.loads(body))
        id_ = urllib.parse.unquote(re.fullmatch(r"/document/v1/longspan/passage/docid/([^/]+)", path)[1])
        fields = json.loads(body)["fields"]
        assert set(fields) == set(FIELDS), set(fields) ^ set(FIELDS)
        self.documents[id_] = {name: value(FIELDS[name], given) for name, given in fields.items()}
        return 200, {"id": f"id:longspan:passage::{id_}", "pathId": path}

    def search(self, body):
        inputs = {name[len("input.query("):-1]: given for name, given in body.items() if name.startswith("input.query(")}
        assert set(inputs) == set(INPUTS), set(inputs) ^ set(INPUTS)
        assert f"rank-profile {body['ranking']} " in SCHEMA, body["ranking"]
        selected, field, tensor, parameter = re.fullmatch(
            r"select (.*) from passage where \(\{targetHits: 100\}nearestNeighbor\((\w+), (\w+)\)\) or \(\{targetHits: 100\}userInput\(@(\w+)\)\)",
            body["yql"]).groups()
        selected = selected.split(", ")
        assert set(selected) < set(FIELDS) and isinstance(body[parameter], str), body["yql"]
        assert FIELDS[field] == INPUTS[tensor], (field, tensor)
        value(INPUTS[tensor], inputs[tensor])
        asked = value(INPUTS["tokens"], inputs["tokens"])
        scores = {id_: stores.max_sim(asked, document["tokens"]) / 127 for id_, document in self.documents.items()}
        best = sorted(scores, key=scores.get, reverse=True)[:body["hits"]]
        return 200, {"root": {"id": "toplevel", "children": [
            {"id": id_, "relevance": scores[id_], "fields": {name: self.documents[id_][name] for name in selected}} for id_ in best]}}


class PackageTest(unittest.TestCase):
    def test_the_services_hold_the_schema(self):
        services = xml.etree.ElementTree.parse(stores.EXAMPLES / "vespa/services.xml")
        self.assertEqual([each.get("type") for each in services.iter("document")], re.findall(r"^schema (\w+)", SCHEMA, re.M))

    def test_the_vectors_are_as_long_as_the_models(self):
        with stores.longspan.Client(server.grpc) as client:
            info = client.info()
        self.assertEqual({int(size) for size in re.findall(r"x\[(\d+)\]", SCHEMA)}, {info.dimensions, info.token_dimensions})


class StoreTest(unittest.TestCase):
    def test_each_question_finds_its_fact_first(self):
        held = Passages()
        stub = stores.Stub(held, {"Content-Type": "application/json"})
        stores.check_script("vespa_search.py", server, "--store", stub.url)
        self.assertGreater(len(held.documents), 3 * len(stores.FACTS))
        with stores.longspan.Client(server.grpc) as client, requests.Session() as session:
            for question, document in stores.QUESTIONS.items():
                best = vespa_search.search(stub.url, session, examples.question(client, question))[0]["fields"]
                self.assertEqual(best["document"], document, question)
                self.assertTrue(stores.has_fact(document, best["begin"], best["end"]), question)
        stub.stop()

    def test_whole_numbers_change_a_similarity_by_less_than_a_hundredth(self):
        with stores.longspan.Client(server.grpc, timeout=300) as client:
            found = [passage for document, text in stores.texts().items() for passage in examples.passages(client, document, text)]
            for question in stores.QUESTIONS:
                asked = examples.question(client, question).tokens
                for passage in found:
                    exact = stores.max_sim(asked, passage.tokens)
                    self.assertAlmostEqual(stores.max_sim(asked, vespa_search.whole_numbers(passage.tokens)) / 127, exact, delta=0.01 * len(asked))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
