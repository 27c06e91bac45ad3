"""Searches texts in Qdrant: passages are found by vectors and words, ordered by tokens and words.

    python qdrant_search.py "When is the rent due?" [FILE...] [--server HOST:PORT] [--store URL]

Needs the package qdrant-client. Without --store it holds the collection itself, in memory.
"""
from __future__ import annotations

import uuid
from collections.abc import Iterable

from longspan import Client, LexicalVector
from passages import Passage, Question, options, passages, question, show, texts
from qdrant_client import QdrantClient, models

COLLECTION = "passages"


def create(store: QdrantClient, dimensions: int, token_dimensions: int) -> None:
    dot = models.Distance.DOT   # of vectors of length 1: the cosine
    store.create_collection(COLLECTION, vectors_config={
        "passage": models.VectorParams(size=dimensions, distance=dot),
        # No graph (m=0): tokens order what the others found.
        "tokens": models.VectorParams(
            size=token_dimensions, distance=dot, on_disk=True,
            hnsw_config=models.HnswConfigDiff(m=0),
            multivector_config=models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM)),
    }, sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)})


def sparse(words: LexicalVector) -> models.SparseVector:
    return models.SparseVector(indices=words.indices.tolist(), values=words.values.tolist())


def write(store: QdrantClient, found: Iterable[Passage]) -> None:
    # A passage takes some 2 MB as JSON, and a server reads 32 MB at once.
    store.upload_points(COLLECTION, map(point, found), batch_size=8, wait=True)


def point(passage: Passage) -> models.PointStruct:
    return models.PointStruct(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, passage.id)),
        vector={"passage": passage.vector.tolist(), "tokens": passage.tokens.tolist(),
                "words": sparse(passage.words)},
        payload={"document": passage.document, "begin": passage.begin, "end": passage.end,
                 "text": passage.text})


def search(store: QdrantClient, asked: Question, limit: int = 5,
           fusion: models.Fusion = models.Fusion.RRF) -> list[models.ScoredPoint]:
    """MaxSim of the best hundred by vectors and by words, fused with the words."""
    words = models.Prefetch(query=sparse(asked.words), using="words", limit=100)
    vector = models.Prefetch(query=asked.vector.tolist(), using="passage", limit=100)
    tokens = models.Prefetch(prefetch=[vector, words], query=asked.tokens.tolist(), using="tokens",
                             limit=100)
    return store.query_points(COLLECTION, prefetch=[tokens, words], limit=limit,
                              query=models.FusionQuery(fusion=fusion)).points


def main() -> None:
    given = options("Texts in Qdrant", ":memory:")
    store = QdrantClient(given.store)
    with Client(given.server, timeout=600) as client:
        if not store.collection_exists(COLLECTION):
            info = client.info()
            create(store, info.dimensions, info.token_dimensions)
        for name, text in texts(given.files).items():
            write(store, passages(client, name, text))
        for found in search(store, question(client, given.question)):
            show(found.score, **found.payload)


if __name__ == "__main__":
    main()
