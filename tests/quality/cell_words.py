"""BM25 of documents and of blocks of any size, from how often terms stand in cells of 32 tokens.

The words are read once; only terms that a question has are counted. A word belongs to the cell in
which it begins.
"""
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from late_interaction import CELL
from retrieval_set import Tokens
from words import STOPWORDS, WORD, stem

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


def terms_of(word: str, how: str, language: str) -> list[str]:
    """The terms of a word in lower case. plain: itself. stem: its stem. split: its stem, and those
    of its parts where it is written with _ - . or an apostrophe. stop: none of function words."""
    if "stop" in how and word in STOPWORDS[language]:
        return []
    if how.startswith("plain"):
        return [word]
    found = [stem(word, language)]
    if how.startswith("split"):
        parts = [part for part in re.split(r"[_'’.-]", word) if part]
        if len(parts) > 1:
            found += [stem(part, language) for part in parts if "stop" not in how or part not in STOPWORDS[language]]
    return found


def question_terms(text: str, how: str, language: str) -> list[str]:
    """The terms of a question, each once."""
    return list(dict.fromkeys(term for found in WORD.finditer(text) for term in terms_of(found.group().lower(), how, language)))


class CellWords:
    """Counts of the questions' terms in the cells of all documents."""

    def __init__(self, texts: Sequence[str], tokens: Sequence[Tokens], questions: Sequence[str], how: str, language: str) -> None:
        self._questions = [question_terms(text, how, language) for text in questions]
        wanted = {term for terms in self._questions for term in terms}
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        lengths: list[npt.NDArray[np.int64]] = []
        known: dict[str, list[str]] = {}
        first = 0
        for text, found in zip(texts, tokens):
            ends = np.maximum.accumulate(found.characters[:, 1])[CELL - 1::CELL]
            cells = -(-len(found.ids) // CELL)
            matches = [(match.group().lower(), match.start()) for match in WORD.finditer(text)]
            at = np.minimum(np.searchsorted(ends, [place for _, place in matches], side="right"), cells - 1)
            length = np.zeros(cells, np.int64)
            for (word, _), cell in zip(matches, at.tolist()):
                if word not in known:
                    known[word] = terms_of(word, how, language)
                length[cell] += len(known[word])
                for term in known[word]:
                    if term in wanted:
                        counts[term][first + cell] += 1
            lengths.append(length)
            first += cells
        self.begins = np.concatenate([[0], np.cumsum([len(length) for length in lengths])]).astype(np.int64)
        self._lengths = np.concatenate(lengths).astype(np.float64)
        self._counts = {term: (np.array(list(cells)), np.array(list(cells.values()), np.float64)) for term, cells in counts.items()}

    def _spread(self, term: str) -> Floats:
        row = np.zeros(len(self._lengths))
        if term in self._counts:
            at, count = self._counts[term]
            row[at] = count
        return row

    def _scores(self, join: Any, k1: float, b: float) -> Floats:
        lengths = join(self._lengths)
        norm = k1 * (1 - b + b * lengths / lengths.mean())
        weights: dict[str, Floats] = {}
        for term in {term for terms in self._questions for term in terms}:
            tf = join(self._spread(term))
            df = np.count_nonzero(tf)
            weights[term] = (np.log(1 + (len(tf) - df + 0.5) / (df + 0.5)) * tf * (k1 + 1) / (tf + norm)).astype(np.float32)
        zero = np.zeros(len(lengths), np.float32)
        return np.stack([sum((weights[term] for term in terms), zero) for terms in self._questions])

    def of_documents(self, k1: float = 1.2, b: float = 0.75) -> Floats:
        """[questions, documents]."""
        return self._scores(lambda row: np.add.reduceat(row, self.begins[:-1]), k1, b)

    def of_blocks(self, places: list[Ints], k1: float = 1.2, b: float = 0.75) -> Floats:
        """[questions, blocks]; `places` as blocks_of gives them. Past a document's end nothing is
        counted twice."""
        def join(row: Floats) -> Floats:
            total = row[places[0]]
            for before, place in zip(places, places[1:]):
                total = total + np.where(place > before, row[place], 0)
            return total
        return self._scores(join, k1, b)
