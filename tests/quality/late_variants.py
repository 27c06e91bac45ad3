"""Late interaction with everything that was tried on it: weights of the question's tokens, how each
token's cosines are put on one scale, sizes of blocks, and how the blocks of a document make its
score."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from methods import Collection
from words import STOPWORDS

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Late:
    """One variant. weight: mean, words (no special tokens, no punctuation), idf, idf2 (squared).
    scale: cosine, z (of each token over all blocks), relu (z above 0)."""

    weight: str = "mean"
    scale: str = "cosine"
    width: int = 128
    stride: int = 128


def token_idf(collection: Collection, width: int, stride: int) -> dict[int, float]:
    """ln(1 + (N - n + 0.5) / (n + 0.5)) of each token id: N blocks, n of which have it."""
    counts: dict[int, int] = {}
    total = 0
    for tokens in collection.made.tokens:
        for first in range(0, len(tokens.ids), stride):
            total += 1
            for found in set(tokens.ids[first:first + width].tolist()):
                counts[found] = counts.get(found, 0) + 1
    return {found: float(np.log(1 + (total - n + 0.5) / (n + 0.5))) for found, n in counts.items()} | {-1: float(np.log(1 + (total + 0.5) / 0.5))}


def weights_of(collection: Collection, variant: Late) -> list[Floats]:
    """The weight of each token of each question; they add up to 1."""
    idf = token_idf(collection, variant.width, variant.stride) if variant.weight.startswith("idf") else {}
    found = []
    for tokens, text in zip(collection.question_tokens, collection.question_texts):
        if variant.weight == "mean":
            weight = np.ones(len(tokens.ids))
        else:
            weight = np.array([0.0 if special or not any(c.isalnum() for c in text[begin:end]) else 1.0
                               for special, (begin, end) in zip(tokens.special, tokens.characters)])
        if variant.weight == "content":
            stop = STOPWORDS[collection.made.language]
            kept = np.array([text[begin:end].lower() not in stop for begin, end in tokens.characters]) * weight
            weight = kept if kept.any() else weight
        if idf:
            power = {"idf": 1.0, "idf2": 2.0, "idfhalf": 0.5}[variant.weight]
            weight = weight * np.array([idf.get(int(token), idf[-1]) for token in tokens.ids]) ** power
        found.append((weight / max(weight.sum(), 1e-9)).astype(np.float32))
    return found


def scaled(best: Floats, scale: str) -> Floats:
    if scale == "cosine":
        return best
    z = (best - best.mean(1, keepdims=True)) / np.maximum(best.std(1, keepdims=True), 1e-6)
    return np.maximum(z, 0) if scale == "relu" else z if scale == "z" else np.sign(z) * np.abs(z) ** float(scale.removeprefix("z^"))


def _soft(scores: Floats, begins: Ints) -> Floats:
    top = np.maximum.reduceat(scores, begins[:-1], axis=-1)
    spread = np.repeat(top, np.diff(begins), axis=-1)
    sigma = np.maximum(scores.std(-1, keepdims=True), 1e-6)
    total = np.add.reduceat(np.exp((scores - spread) / sigma * 2), begins[:-1], axis=-1)
    return top + sigma * np.log(total) / 2


def _top2(scores: Floats, begins: Ints) -> Floats:
    found = np.empty((len(scores), len(begins) - 1), scores.dtype)
    for number, (begin, end) in enumerate(zip(begins, begins[1:])):
        part = scores[:, begin:end]
        found[:, number] = part[:, 0] if part.shape[1] == 1 else np.partition(part, -2, axis=1)[:, -2:].mean(1)
    return found


# How the scores of a document's blocks become its own, beside their maximum.
JOINS: dict[str, Callable[[Floats, Ints], Floats]] = {"top2": _top2, "soft": _soft}


def whole_document(collection: Collection, weight: str = "mean", scale: str = "cosine") -> Floats:
    """MaxSim of whole documents: each token's best cosine anywhere in the document."""
    cells = collection.cells
    weights = weights_of(collection, Late(weight=weight))
    found = []
    for number, (begin, end) in enumerate(zip(cells.question_begins, cells.question_begins[1:])):
        best = np.maximum.reduceat(np.asarray(cells.best[begin:end], np.float32), cells.document_begins[:-1], axis=1)
        found.append(weights[number] @ scaled(best, scale))
    return np.stack(found)
