"""Search in kept documents, by the service itself: documents are put into a collection, and each
question asks for the best of them.
"""
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_set import RetrievalSet

Floats = npt.NDArray[np.floating[Any]]
TIMEOUT = 600.0
FORMATS = {"int8": "longspan, kept as int8", "two_bit": "longspan, kept in 2 bits"}
# The most that a search in a collection answers with.
LIMIT = 1000


def _scores(made: RetrievalSet, collection: Any) -> Floats:
    """[questions, documents]; documents that a question does not find have the lowest score."""
    numbers = {id: number for number, id in enumerate(made.ids)}
    scores = np.full((len(made.asked), len(made.ids)), -np.inf, np.float32)
    seconds = []
    for row, question in zip(scores, made.asked):
        begin = time.monotonic()
        found = collection.search(question.text, limit=LIMIT, spans=1, timeout=TIMEOUT)
        seconds.append(time.monotonic() - begin)
        for result in found:
            row[numbers[result.id]] = result.score
    print(f"  a search takes {1000 * np.median(seconds):.1f} ms (median), {1000 * max(seconds):.1f} ms at most", flush=True)
    return scores


def of_kept_documents(made: RetrievalSet, client: Any) -> tuple[dict[str, Floats], dict[str, float]]:
    """The scores by format, and the bytes that a token takes."""
    scores, sizes = {}, {}
    for format, name in FORMATS.items():
        collection = client.collection(f"quality-{format}")
        collection.drop()
        for id, text in zip(made.ids, made.texts):
            put = collection.put({id: text}, format=format, timeout=TIMEOUT)
        sizes[name] = round(put.collection.bytes / put.collection.tokens, 1)
        scores[name] = _scores(made, collection)
        collection.drop()
    return scores, sizes
