"""BM25 of texts over the texts at hand."""
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Analyzer = Callable[[str], list[str]]


class Bm25:
    """Scores of texts (documents, or blocks of them) for questions.

        idf(w)  = ln(1 + (N - df + 0.5) / (df + 0.5))
        score = sum over the question's terms w of
                idf(w) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length))

    N counts the texts, df those that have w. `analyze` makes terms of a text. A term that stands
    twice in a question counts twice.
    """

    def __init__(self, texts: Sequence[list[str]], k1: float = 1.2, b: float = 0.75) -> None:
        self._count = len(texts)
        lengths = np.array([len(terms) for terms in texts], np.float64)
        norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
        places: dict[str, list[int]] = {}
        counts: dict[str, list[int]] = {}
        for number, terms in enumerate(texts):
            for term, count in Counter(terms).items():
                places.setdefault(term, []).append(number)
                counts.setdefault(term, []).append(count)
        self._weights: dict[str, tuple[npt.NDArray[np.int64], Floats]] = {}
        for term, found in places.items():
            at, tf = np.array(found), np.array(counts[term], np.float64)
            self._weights[term] = at, self.idf_of(len(found)) * tf * (k1 + 1) / (tf + norm[at])

    def idf_of(self, document_frequency: int) -> float:
        return float(np.log(1 + (self._count - document_frequency + 0.5) / (document_frequency + 0.5)))

    def scores(self, question: list[str]) -> Floats:
        """The score of each text."""
        total = np.zeros(self._count)
        for term in question:
            if term in self._weights:
                at, weight = self._weights[term]
                total[at] += weight
        return total
