"""Searches texts in Elasticsearch: passages are found by vectors and ordered by tokens, and words.

    python elasticsearch_search.py QUESTION [FILE...] [--server HOST:PORT] [--store URL]

Needs the package elasticsearch, and a server of version 9 whose licence has rank_vectors and RRF
(enterprise, or a trial). The variable ELASTIC_API_KEY holds its key, where it asks for one.
"""
from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from elasticsearch import Elasticsearch, helpers
from longspan import Client
from passages import Passage, Question, options, passages, question, show, texts

INDEX = "passages"


def mappings(dimensions: int, token_dimensions: int) -> dict[str, Any]:
    return {"dynamic": "strict", "properties": {
        "document": {"type": "keyword"},
        "begin": {"type": "integer", "index": False},
        "end": {"type": "integer", "index": False},
        "text": {"type": "text", "analyzer": "english"},   # its words, by BM25
        "passage": {"type": "dense_vector", "dims": dimensions, "similarity": "dot_product"},
        "tokens": {"type": "rank_vectors", "dims": token_dimensions},
    }}


def write(store: Elasticsearch, found: Iterable[Passage]) -> None:
    helpers.bulk(store, map(action, found), chunk_size=16, refresh="wait_for")


def action(passage: Passage) -> dict[str, Any]:
    return {"_index": INDEX, "_id": passage.id, "document": passage.document,
            "begin": passage.begin, "end": passage.end, "text": passage.text,
            "passage": passage.vector.tolist(), "tokens": passage.tokens.tolist()}


def retriever(asked: Question) -> dict[str, Any]:
    """MaxSim of the best hundred by vectors, fused with the words."""
    words = {"standard": {"query": {"match": {"text": asked.text}}}}
    vector = {"knn": {"field": "passage", "query_vector": asked.vector.tolist(), "k": 100,
                      "num_candidates": 200}}
    max_sim = {"script_score": {"query": {"match_all": {}}, "script": {
        # No score may be below 0.
        "source": "Math.max(maxSimDotProduct(params.tokens, 'tokens'), 0.0)",
        "params": {"tokens": asked.tokens.tolist()}}}}
    tokens = {"rescorer": {"retriever": vector, "rescore": {"window_size": 100, "query": {
        "rescore_query": max_sim, "query_weight": 0, "rescore_query_weight": 1}}}}
    return {"rrf": {"retrievers": [tokens, words], "rank_window_size": 100}}


def search(store: Elasticsearch, asked: Question, limit: int = 5) -> list[dict[str, Any]]:
    answer = store.search(index=INDEX, retriever=retriever(asked), size=limit,
                          source=["document", "begin", "end", "text"])
    return answer["hits"]["hits"]


def main() -> None:
    given = options("Texts in Elasticsearch", "http://127.0.0.1:9200")
    store = Elasticsearch(given.store, api_key=os.environ.get("ELASTIC_API_KEY"))
    with Client(given.server, timeout=600) as client:
        if not store.indices.exists(index=INDEX):
            info = client.info()
            store.indices.create(index=INDEX,
                                 mappings=mappings(info.dimensions, info.token_dimensions))
        for name, text in texts(given.files).items():
            write(store, passages(client, name, text))
        for hit in search(store, question(client, given.question)):
            show(hit["_score"], **hit["_source"])


if __name__ == "__main__":
    main()
