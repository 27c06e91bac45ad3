"""Vectors of a retrieval set through the running service, kept in the cache.

    one.npy          one vector of each whole document (windowed attention, the model's pooling)
    head.npy         of each document cut at 512 tokens
    spans.npy        of each 128 tokens, in one pass over the document
    chunks.npy       of each 128 tokens, each alone
    tokens.npy       of each token of all documents, one pass over each document, float16
    questions.npy, question_tokens.npy
                     of the questions, in the order of RetrievalSet.asked
    asked.npz        their tokens

Files of parts have *_counts.npy beside them: how many belong to each document or question.
"""
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_set import RetrievalSet, save_tokens, tokenize

Floats = npt.NDArray[np.floating[Any]]
BLOCK = 128
TIMEOUT = 600.0


def _one(client: Any, text: str) -> Floats:
    return np.asarray(client.encode(text, normalize=True, timeout=TIMEOUT).vectors)


def _head(client: Any, text: str) -> Floats:
    return np.asarray(client.encode(text, max_tokens=512, truncation="head", normalize=True, timeout=TIMEOUT).vectors)


def _spans(client: Any, text: str) -> tuple[Floats, Floats]:
    """Both come from one pass."""
    found = client.encode_spans(text, policy=("fixed", BLOCK, 0), normalize=True, include_document=True, timeout=TIMEOUT)
    return np.asarray(found.vectors), np.asarray(found.document)


def _chunks(client: Any, text: str) -> Floats:
    return np.asarray(client.encode_spans(text, policy=("fixed", BLOCK, 0), context="independent", normalize=True, timeout=TIMEOUT).vectors)


def _tokens(client: Any, text: str) -> Floats:
    return np.asarray(client.encode_tokens(text, normalize=True, format="float16", timeout=TIMEOUT).vectors)


Encode = Callable[[Any, str], Floats | tuple[Floats, ...]]
OF_DOCUMENTS: dict[tuple[str, ...], Encode] = {("tokens",): _tokens, ("head",): _head, ("spans", "one"): _spans, ("chunks",): _chunks}
OF_QUESTIONS: dict[tuple[str, ...], Encode] = {("questions",): _one, ("question_tokens",): _tokens}


def _fetch(names: tuple[str, ...], encode: Encode, texts: Sequence[str], client: Any, folder: Path) -> None:
    if all((folder / f"{name}.npy").exists() for name in names):
        return
    begin = time.monotonic()
    parts: list[list[Floats]] = [[] for _ in names]
    for text in texts:
        found = encode(client, text)
        for kept, vectors in zip(parts, found if isinstance(found, tuple) else (found,)):
            kept.append(np.atleast_2d(vectors).astype(np.float16))
    for name, kept in zip(names, parts):
        np.save(folder / f"{name}_counts.npy", np.array([len(part) for part in kept]))
        np.save(folder / f"{name}.npy", np.concatenate(kept))
    print(f"{folder.name}: {', '.join(names)} in {time.monotonic() - begin:.0f} s", flush=True)


def fetch(made: RetrievalSet, client: Any, cache: Path) -> None:
    """Asks the service for all that the cache does not have."""
    folder = cache / made.key
    questions = [question.text for question in made.asked]
    for names, encode in OF_QUESTIONS.items():
        _fetch(names, encode, questions, client, folder)
    if not (folder / "asked.npz").exists():
        save_tokens([tokenize(client, question) for question in questions], folder / "asked.npz")
    for names, encode in OF_DOCUMENTS.items():
        _fetch(names, encode, made.texts, client, folder)


class Vectors:
    """The vectors of a set, from the cache."""

    def __init__(self, made: RetrievalSet, cache: Path) -> None:
        self._folder = cache / made.key

    def of(self, name: str) -> tuple[Floats, npt.NDArray[np.int64]]:
        """The rows, and where those of each document or question begin, with the end at last."""
        rows = np.load(self._folder / f"{name}.npy", mmap_mode="r")
        counts = np.load(self._folder / f"{name}_counts.npy")
        return rows, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
