"""What smaller and other token vectors cost: int8, 4, 2 and 1 bit a value, neighbours pooled, the
collection's mean taken away.

    formats.py CACHE [--set tune] [--questions 350] [--write]

Only the documents' vectors are changed; the question's stay as they are, but for the mean. Measured
on reworded questions about facts beyond token 512, drawn with a seed. --write writes
results/formats.json.
"""
import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from formula import found_anywhere
from late_interaction import CELL, best_in_cells
from methods import Collection, collection_of, max_sim, rows_of_questions, with_questions
from metrics import MEASURES, bootstrap, ranks_of
from retrieval_set import key_of, load

Floats = npt.NDArray[np.floating[Any]]
Change = Callable[[Floats], Floats]
HERE = Path(__file__).parent
# Thresholds and levels that lose least of normally distributed values of deviation 1 (Lloyd, Max).
LEVELS = {1: [0.7979], 2: [0.4528, 1.5104], 4: [0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326]}


def unit(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def int8(rows: Floats) -> Floats:
    """Each vector's largest value becomes 127."""
    scale = np.abs(rows).max(1, keepdims=True) / 127
    return np.round(rows / scale) * scale


def few_bits(bits: int) -> Change:
    """The nearest of 2^bits levels, symmetric, times the vector's own deviation."""
    half = np.array(LEVELS[bits], np.float32)
    levels = np.concatenate([-half[::-1], half])
    edges = (levels[1:] + levels[:-1]) / 2

    def change(rows: Floats) -> Floats:
        return unit(levels[np.searchsorted(edges, rows / rows.std(1, keepdims=True))])
    return change


def pooled(count: int) -> Change:
    """The mean of `count` neighbours in the place of each."""
    def change(rows: Floats) -> Floats:
        groups = np.arange(len(rows)) // count
        return _means(rows, groups)
    return change


def pooled_by_likeness(count: int) -> Change:
    """In each cell cuts between the neighbours that are least alike, into as many groups as pooling
    of `count` makes; the mean of each group."""
    def change(rows: Floats) -> Floats:
        alike = (rows[1:] * rows[:-1]).sum(1)
        groups = np.zeros(len(rows), np.int64)
        begins_group = np.zeros(len(rows), bool)
        for first in range(0, len(rows), CELL):
            inside = alike[first:first + CELL - 1][:len(rows) - first - 1]
            cuts = -(-(len(inside) + 1) // count) - 1
            begins_group[first] = True
            if cuts:
                begins_group[first + 1 + np.argpartition(inside, cuts - 1)[:cuts]] = True
        groups = np.cumsum(begins_group) - 1
        return _means(rows, groups)
    return change


def _means(rows: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    begins = np.flatnonzero(np.diff(groups, prepend=-1))
    sums = np.add.reduceat(rows, begins, axis=0)
    return unit(sums)[groups]


def without_mean(tokens: Floats, components: int) -> Change:
    """Takes the mean of all vectors away, and so many directions of the largest variance."""
    sample = np.asarray(tokens[::17], np.float32)
    mean = sample.mean(0)
    directions = np.linalg.eigh(np.cov((sample - mean).T))[1][:, ::-1][:, :components].astype(np.float32)

    def change(rows: Floats) -> Floats:
        moved = rows - mean
        return unit(moved - (moved @ directions) @ directions.T)
    return change


def then(*changes: Change) -> Change:
    def change(rows: Floats) -> Floats:
        for one in changes:
            rows = one(rows)
        return rows
    return change


class Formats:
    """Scores of a part of the questions with changed token vectors."""

    def __init__(self, collection: Collection, count: int) -> None:
        possible = np.flatnonzero(collection.depths > 0)
        group = collection.made.groups()["reworded"]
        possible = possible[(possible >= group.start) & (possible < group.stop)]
        self._chosen = np.sort(np.random.default_rng(18).permutation(possible)[:count])
        self._collection = collection
        self.tokens, self._begins = collection.vectors.of("tokens")
        rows = rows_of_questions(collection, self._chosen)
        self._asked = np.asarray(collection.vectors.of("question_tokens")[0][rows], np.float32)
        self._baseline: dict[str, Floats] = {}
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, size: float, change: Optional[Change], of_questions: Optional[Change] = None) -> None:
        begin = time.monotonic()
        asked = of_questions(self._asked) if of_questions else self._asked
        part = with_questions(self._collection, self._chosen, best_in_cells(self.tokens, self._begins, asked, change))
        for how, score in (("MaxSim", max_sim), ("search", found_anywhere)):
            reciprocal = MEASURES["mrr"](ranks_of(score(part), part.right))
            first = self._baseline.setdefault(how, reciprocal)
            row = {"name": f"{name}, {how}", "bytes": size, "beyond": bootstrap(reciprocal, part.right).to_json(),
                   "difference": bootstrap(reciprocal - first, part.right).to_json()[:3]}
            self.rows.append(row)
            print(f"{row['name']:44} {size:6g} bytes  {row['beyond'][0]:.1f} [{row['beyond'][1]}, {row['beyond'][2]}]  {row['difference']} "
                  f"{time.monotonic() - begin:.0f} s", flush=True)


def compare(formats: Formats) -> None:
    width = formats.tokens.shape[1]
    formats.add("float16", 2 * width, None)
    formats.add("int8", width + 4, int8)
    for bits in (4, 2, 1):
        formats.add(f"{bits} bit", width * bits / 8 + (2 if bits > 1 else 0), few_bits(bits))
    for count in (2, 4):
        formats.add(f"int8, {count} neighbours pooled", (width + 4) / count, then(pooled(count), int8))
        formats.add(f"int8, pooled by likeness to 1/{count}", (width + 4) / count, then(pooled_by_likeness(count), int8))
    for components in (0, 2):
        change = without_mean(formats.tokens, components)
        formats.add(f"float16 without the mean and {components} directions", 2 * width, change, change)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--set", default="tune")
    parser.add_argument("--questions", type=int, default=350)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    formats = Formats(collection_of(load(arguments.set, arguments.cache / key_of(arguments.set)), arguments.cache), arguments.questions)
    compare(formats)
    if arguments.write:
        (HERE / "results" / "formats.json").write_text(json.dumps({"set": arguments.set, "questions": arguments.questions, "rows": formats.rows}, indent=1) + "\n",
                                                       encoding="utf-8")


if __name__ == "__main__":
    main()
