"""Scores of token vectors: for each token of a question the best cosine inside a block.

A *cell* is 32 tokens in a row. The best cosine of every question token in every cell is computed
once; blocks of any number of cells follow from it.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
CELL = 32
_ROWS = 4096  # tokens of documents that one product takes


@dataclass
class Cells:
    """best [question tokens, cells], and where the cells of each document and the tokens of each
    question begin, with the end at last."""

    best: Floats
    document_begins: Ints
    question_begins: Ints


def cell_begins(document_begins: Ints) -> Ints:
    """Where the cells of each document begin, counted in cells."""
    counts = -(-np.diff(document_begins) // CELL)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def products(asked: Floats, rows: Floats) -> Floats:
    """All cosines of vectors of length 1."""
    return np.asarray(asked @ rows.T)


def best_in_cells(tokens: Floats, document_begins: Ints, questions: Floats, change: Optional[Callable[[Floats], Floats]] = None) -> Floats:
    """The best cosine of each question token in each cell. `change` makes other vectors of the
    documents' (and, by the caller, of the questions')."""
    begins = cell_begins(document_begins)
    best = np.empty((len(questions), begins[-1]), np.float16)
    asked = np.ascontiguousarray(questions, np.float32)
    for number in range(len(document_begins) - 1):
        first, end = document_begins[number], document_begins[number + 1]
        for part in range(first, end, _ROWS):
            rows = np.asarray(tokens[part:min(part + _ROWS, end)], np.float32)
            rows = change(rows) if change else rows
            product = products(asked, rows)
            at = np.arange(0, product.shape[1], CELL)
            cell = begins[number] + (part - first) // CELL
            best[:, cell:cell + len(at)] = np.maximum.reduceat(product, at, axis=1)
    return best


def cached_cells(path: Path, tokens: Floats, document_begins: Ints, questions: Floats, question_begins: Ints,
                 change: Optional[Callable[[Floats], Floats]] = None) -> Cells:
    """Cells out of a file, or computed."""
    if not path.exists():
        np.save(path, best_in_cells(tokens, document_begins, questions, change))
    return Cells(np.load(path, mmap_mode="r"), cell_begins(document_begins), question_begins)


def blocks_of(cells: Cells, width: int, stride: int) -> tuple[list[Ints], Ints, Ints]:
    """Blocks of `width` cells, one every `stride` cells, inside documents: for each place in a
    block the cells there (the last one again past a document's end), where the blocks of each
    document begin, and the first cell of each block."""
    firsts = [np.arange(begin, end, stride) for begin, end in zip(cells.document_begins, cells.document_begins[1:])]
    ends = np.concatenate([np.full(len(first), end - 1) for first, end in zip(firsts, cells.document_begins[1:])])
    at = np.concatenate(firsts)
    begins = np.concatenate([[0], np.cumsum([len(first) for first in firsts])]).astype(np.int64)
    return [np.minimum(at + place, ends) for place in range(width)], begins, at


def token_bests(cells: Cells, width: int, stride: int) -> Iterator[Floats]:
    """For each question [its tokens, blocks]: the best cosine of each of its tokens."""
    places, _, _ = blocks_of(cells, width, stride)
    for begin, end in zip(cells.question_begins, cells.question_begins[1:]):
        rows = np.asarray(cells.best[begin:end], np.float32)
        best = rows[:, places[0]]
        for place in places[1:]:
            np.maximum(best, rows[:, place], out=best)
        yield best


def best_of_documents(block_scores: Floats, begins: Ints) -> Floats:
    """The best block of each document; block_scores [questions, blocks]."""
    return np.maximum.reduceat(block_scores, begins[:-1], axis=-1)


def standardise(scores: Floats) -> Floats:
    """Each question's scores with mean 0 and deviation 1 over what it is compared with."""
    mean = scores.mean(-1, keepdims=True)
    return (scores - mean) / np.maximum(scores.std(-1, keepdims=True), 1e-9)
