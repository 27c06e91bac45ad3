"""Searches texts in Vespa: passages are found by vectors and words, ordered by tokens and words.

    python vespa_search.py "When is the rent due?" [FILE...] [--server HOST:PORT] [--store URL]

Needs the package requests, and a Vespa that runs the application in the folder vespa beside this
file:

    docker run -d -p 8081:8080 -p 19071:19071 vespaengine/vespa
    vespa deploy --wait 300 vespa
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import numpy as np
import requests
from longspan import Client
from passages import STOP_WORDS, Passage, Question, options, passages, question, show, texts

YQL = ("select document, begin, end, text from passage where "
       "({targetHits: 100}nearestNeighbor(vector, vector)) or "
       "({targetHits: 100}userInput(@question))")


def whole_numbers(tokens: np.ndarray) -> np.ndarray:
    """Vectors of length 1 as int8, in steps of 1 / 127: a quarter of the memory."""
    return np.rint(tokens * 127).astype(np.int8)


def fields(passage: Passage) -> dict[str, Any]:
    """The document of a passage, by the fields of vespa/schemas/passage.sd."""
    rows = {str(i): row.tobytes().hex() for i, row in enumerate(whole_numbers(passage.tokens))}
    return {"document": passage.document, "begin": passage.begin, "end": passage.end,
            "text": passage.text, "vector": {"values": passage.vector.tolist()},
            "tokens": {"blocks": rows}}


def write(store: str, session: requests.Session, found: Iterable[Passage]) -> None:
    for passage in found:
        path = f"document/v1/longspan/passage/docid/{quote(passage.id, safe='')}"
        answer = session.post(f"{store}/{path}", json={"fields": fields(passage)}, timeout=60)
        answer.raise_for_status()


def search(store: str, session: requests.Session, asked: Question,
           limit: int = 5) -> list[dict[str, Any]]:
    words = [word for word in asked.text.split() if word.lower() not in STOP_WORDS]
    body = {"yql": YQL, "ranking": "hybrid", "hits": limit,
            "question": " ".join(words) or asked.text,
            "input.query(vector)": asked.vector.tolist(),
            "input.query(tokens)": {str(i): row.tolist() for i, row in enumerate(asked.tokens)}}
    answer = session.post(f"{store}/search/", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()["root"].get("children", [])


def main() -> None:
    given = options("Texts in Vespa", "http://127.0.0.1:8081")
    with Client(given.server, timeout=600) as client, requests.Session() as session:
        for name, text in texts(given.files).items():
            write(given.store, session, passages(client, name, text))
        for hit in search(given.store, session, question(client, given.question)):
            found = hit["fields"]
            show(hit["relevance"], found["document"], found["begin"], found["end"], found["text"])


if __name__ == "__main__":
    main()
