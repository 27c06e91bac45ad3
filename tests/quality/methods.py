"""Ways to find the document of a question: each gives scores [questions, documents]."""
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from late_interaction import (CELL, Cells, best_of_documents, blocks_of, cached_cells, standardise, token_bests)
from lexical import Analyzer, Bm25
from retrieval_set import RetrievalSet, Tokens, load_tokens
from service import Vectors
from words import words

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


@dataclass
class Collection:
    """A set with its vectors: what the methods read."""

    made: RetrievalSet
    vectors: Vectors
    cells: Cells
    question_texts: list[str]
    question_tokens: list[Tokens]
    right: Ints
    depths: Ints
    chosen: Ints  # which of the set's questions these are


def collection_of(made: RetrievalSet, cache: Path) -> Collection:
    """The set and its vectors, with all of its questions."""
    vectors = Vectors(made, cache)
    tokens, begins = vectors.of("tokens")
    asked, question_begins = vectors.of("question_tokens")
    cells = cached_cells(cache / made.key / "cells.npy", tokens, begins, np.asarray(asked, np.float32), question_begins)
    questions = made.asked
    return Collection(made, vectors, cells, [question.text for question in questions],
                      load_tokens(cache / made.key / "asked.npz"), np.array([question.document for question in questions]),
                      np.array([question.depth for question in questions]), np.arange(len(questions)))


def with_questions(collection: Collection, chosen: Ints, best: Floats) -> Collection:
    """The collection with some of its questions. `best` are the rows of their tokens."""
    counts = np.diff(collection.cells.question_begins)[chosen]
    cells = Cells(best, collection.cells.document_begins, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    return replace(collection, cells=cells, question_texts=[collection.question_texts[number] for number in chosen],
                   question_tokens=[collection.question_tokens[number] for number in chosen], right=collection.right[chosen],
                   depths=collection.depths[chosen], chosen=collection.chosen[chosen])


def rows_of_questions(collection: Collection, chosen: Ints) -> Ints:
    """The indices of the tokens of some questions."""
    begins = collection.cells.question_begins
    return np.concatenate([np.arange(begins[number], begins[number + 1]) for number in chosen])


def dense(collection: Collection, name: str) -> Floats:
    """The best cosine of a document's vectors named so with the question's vector."""
    rows, begins = collection.vectors.of(name)
    asked, _ = collection.vectors.of("questions")
    return best_of_documents(np.asarray(asked, np.float32)[collection.chosen] @ np.asarray(rows, np.float32).T, begins)


def max_sim(collection: Collection, width: int = 128, stride: int = 128) -> Floats:
    """The mean over a question's tokens of the best cosine inside a block; the best block."""
    width, stride = width // CELL, stride // CELL
    _, begins, _ = blocks_of(collection.cells, width, stride)
    scores = np.stack([best.mean(0) for best in token_bests(collection.cells, width, stride)])
    return best_of_documents(scores, begins)


def bm25_of_documents(collection: Collection, analyze: Analyzer = words, k1: float = 1.2, b: float = 0.75) -> Floats:
    """BM25 of whole documents."""
    index = Bm25([analyze(text) for text in collection.made.texts], k1, b)
    return np.stack([index.scores(analyze(text)) for text in collection.question_texts])


def fused(parts: list[tuple[float, Floats]]) -> Floats:
    """The weighted sum of standardised scores."""
    return sum((weight * standardise(scores) for weight, scores in parts), np.zeros_like(parts[0][1]))
