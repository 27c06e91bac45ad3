"""client/python/examples/elasticsearch_search.py with the package `elasticsearch`, against a stub
that knows of Elasticsearch what the example asks of it, and holds each request to the mappings.

    elasticsearch_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import json
import re
import sys
import unittest

import door
import numpy as np
import stores
from elasticsearch import Elasticsearch

import elasticsearch_search
import passages as examples

# Of the analyzer "english".
STOP_WORDS = ("a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
              "this to was will with").split()


def setUpModule():
    global server
    server = door.Server()


def tearDownModule():
    assert server.stop() == 0


class Index:
    """An index in memory, as the answers of a stub."""

    def __init__(self):
        self.properties, self.documents = None, {}

    def __call__(self, method, path, body):
        path = path.split("?")[0]
        if path == "/passages":
            return self.create(json.loads(body)) if method == "PUT" else (200 if self.properties else 404, {})
        if path == "/_bulk":
            return self.bulk([json.loads(line) for line in body.splitlines()])
        assert (method, path) == ("POST", "/passages/_search"), (method, path)
        return self.search(json.loads(body))

    def create(self, body):
        assert self.properties is None, "the index is there"
        assert set(body) == {"mappings"} and body["mappings"]["dynamic"] == "strict", body
        self.properties = body["mappings"]["properties"]
        return 200, {"acknowledged": True}

    def bulk(self, lines):
        for action, document in zip(lines[::2], lines[1::2]):
            assert action["index"]["_index"] == "passages", action
            assert set(document) == set(self.properties), set(document) ^ set(self.properties)
            for name, value in document.items():
                self.check(self.properties[name], value)
            self.documents[action["index"]["_id"]] = document
        return 200, {"errors": False, "items": [{"index": {"_id": action["index"]["_id"], "status": 201}} for action in lines[::2]]}

    @staticmethod
    def check(field, value):
        """Whether a field of this mapping takes the value."""
        if field["type"] in ("text", "keyword"):
            assert isinstance(value, str), value
        elif field["type"] == "integer":
            assert type(value) is int, value
        else:
            shape = np.array(value, np.float32).shape
            assert shape == (field["dims"],) if field["type"] == "dense_vector" else shape[1:] == (field["dims"],) and shape[0] > 0, (field, shape)
            if field.get("similarity") == "dot_product":
                assert abs(np.linalg.norm(value) - 1) < 1e-3, "only vectors of length 1"

    def search(self, body):
        assert set(body) == {"retriever", "size", "_source"} and set(body["_source"]) < set(self.properties), body.keys()
        found = list(self.retrieve(body["retriever"]).items())[:body["size"]]
        hits = [{"_index": "passages", "_id": id_, "_score": score, "_source": {name: self.documents[id_][name] for name in body["_source"]}}
                for id_, score in found]
        return 200, {"took": 1, "timed_out": False, "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
                     "hits": {"total": {"value": len(hits), "relation": "eq"}, "hits": hits}}

    def retrieve(self, retriever):
        """{id: score}, best first, of a tree of retrievers."""
        [(kind, given)] = retriever.items()
        return dict(sorted(getattr(self, kind)(**given).items(), key=lambda item: -item[1]))

    def rrf(self, retrievers, rank_window_size):
        lists = [stores.ranks(dict(list(self.retrieve(each).items())[:rank_window_size])) for each in retrievers]
        return {id_: sum(1 / (60 + found[id_]) for found in lists if id_ in found) for id_ in set().union(*lists)}

    def standard(self, query):
        [(name, question)] = query["match"].items()
        assert self.properties[name]["type"] == "text" and self.properties[name]["analyzer"] == "english", name
        asked = set(re.findall(r"\w+", question.lower())) - set(STOP_WORDS)
        texts = {id_: re.findall(r"\w+", document[name].lower()) for id_, document in self.documents.items()}
        return {id_: float(len(asked & set(words))) for id_, words in texts.items() if asked & set(words)}

    def knn(self, field, query_vector, k, num_candidates):
        assert self.properties[field]["type"] == "dense_vector" and k <= num_candidates, field
        self.check(self.properties[field], query_vector)
        scores = {id_: (1 + np.dot(document[field], query_vector)) / 2 for id_, document in self.documents.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1])[:k])

    def rescorer(self, retriever, rescore):
        found = list(self.retrieve(retriever))[:rescore["window_size"]]
        query = rescore["query"]
        assert (query["query_weight"], query["rescore_query_weight"]) == (0, 1), query
        script = query["rescore_query"]["script_score"]["script"]
        parameter, field = re.fullmatch(r"Math\.max\(maxSimDotProduct\(params\.(\w+), '(\w+)'\), 0\.0\)", script["source"]).groups()
        assert self.properties[field]["type"] == "rank_vectors", field
        self.check(self.properties[field], script["params"][parameter])
        return {id_: max(stores.max_sim(script["params"][parameter], self.documents[id_][field]), 0) for id_ in found}


class StoreTest(unittest.TestCase):
    def test_each_question_finds_its_fact_first(self):
        index = Index()
        stub = stores.Stub(index, {"Content-Type": "application/vnd.elasticsearch+json;compatible-with=9", "X-Elastic-Product": "Elasticsearch"})
        for _ in range(2):   # the second time into an index that is there, and over what it holds
            stores.check_script("elasticsearch_search.py", server, "--store", stub.url)
        for document, text in stores.texts().items():
            parts = sorted((each["begin"], each["text"]) for each in index.documents.values() if each["document"] == document)
            self.assertEqual("".join("".join(part.split()) for _, part in parts), "".join(text.split()))
        with stores.longspan.Client(server.grpc) as client, Elasticsearch(stub.url) as store:
            for question, document in stores.QUESTIONS.items():
                best = elasticsearch_search.search(store, examples.question(client, question))[0]["_source"]
                self.assertEqual(best["document"], document, question)
                self.assertTrue(stores.has_fact(document, best["begin"], best["end"]), question)
        stub.stop()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
