"""Variants of scoring, compared on the tuning set.

    research.py CACHE [--set tune] [--write]

Prints the MRR of facts beyond token 512 of each variant for the three groups of questions. --write
puts them into results/scoring.json, of which docs/quality.md has the table. First fill the cache:
./dev quality --sets tune --vectors-only.
"""
import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cell_words import CellWords
from late_interaction import CELL, best_of_documents, blocks_of, standardise, token_bests
from late_variants import JOINS, Late, scaled, weights_of, whole_document
from methods import Collection, collection_of, dense, fused
from metrics import MEASURES, bootstrap, ranks_of
from retrieval_set import key_of, load

Floats = npt.NDArray[np.floating[Any]]
HERE = Path(__file__).parent
WEIGHTS = ("mean", "words", "content", "idfhalf", "idf", "idf2")
SCALES = ("cosine", "z", "relu")
BLOCKS = ((128, 128), (128, 64), (64, 32), (256, 64))
LEXICAL = ("plain", "stem", "split stop")
# What the search is; formula.py computes it.
MEANING, WORDS = "MaxSim 64/32, idf, cosine", "BM25 of blocks 128/64, stem"


class Report:
    """Keeps the scores of every variant, prints and keeps what it reached."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._scores: dict[str, Floats] = {}
        self._baseline: Floats | None = None
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, scores: Floats) -> None:
        self._scores[name] = scores
        reciprocal = MEASURES["mrr"](ranks_of(scores, self._collection.right))
        row: dict[str, Any] = {"name": name}
        for group, place in self._collection.made.groups().items():
            chosen = np.zeros(len(reciprocal), bool)
            chosen[place] = self._collection.depths[place] > 0
            row[group] = bootstrap(reciprocal[chosen], self._collection.right[chosen]).to_json()
            if group == "reworded" and self._baseline is not None:
                row["difference"] = bootstrap((reciprocal - self._baseline)[chosen], self._collection.right[chosen]).to_json()[:3]
        self.rows.append(row)
        print(f"{name:70} " + "  ".join(f"{group} {row[group][0]:.1f}" for group in self._collection.made.groups()), flush=True)
        if self._baseline is None:
            self._baseline = reciprocal
            row["difference"] = [0.0, 0.0, 0.0]

    def fuse(self, name: str, *parts: tuple[float, str]) -> None:
        self.add(name, fused([(weight, self._scores[part]) for weight, part in parts]))

    def keep(self, name: str, scores: Floats) -> None:
        """Only for fusing."""
        self._scores[name] = scores


def lexical(report: Report, collection: Collection) -> dict[str, Floats]:
    """BM25 of documents and blocks; the scores of blocks 128/64 by how words become terms."""
    made, kept = collection.made, {}
    for how in LEXICAL:
        counted = CellWords(made.texts, made.tokens, collection.question_texts, how, made.language)
        for k1, b in ((1.2, 0.75), (0.9, 0.4), (2.0, 0.75)):
            report.add(f"BM25 of documents, {how}, k1 {k1}, b {b}", counted.of_documents(k1, b))
        for width, stride in BLOCKS:
            places, begins, _ = blocks_of(collection.cells, width // CELL, stride // CELL)
            scores = counted.of_blocks(places)
            report.add(f"BM25 of blocks {width}/{stride}, {how}", best_of_documents(scores, begins))
            if (width, stride) == (128, 64):
                kept[how] = scores
    return kept


def late(report: Report, collection: Collection) -> dict[str, Floats]:
    """Late interaction; the scores of blocks 128/64 by weight, as cosines."""
    kept: dict[str, Floats] = {}
    weights = {weight: weights_of(collection, Late(weight, "cosine", 128, 64)) for weight in WEIGHTS}
    for width, stride in BLOCKS:
        _, begins, _ = blocks_of(collection.cells, width // CELL, stride // CELL)
        rows: dict[tuple[str, str], list[Floats]] = {}
        for number, best in enumerate(token_bests(collection.cells, width // CELL, stride // CELL)):
            for scale in SCALES:
                values = scaled(best, scale)
                for weight in WEIGHTS:
                    rows.setdefault((weight, scale), []).append(weights[weight][number] @ values)
        for (weight, scale), found in rows.items():
            scores = np.stack(found)
            report.add(f"MaxSim {width}/{stride}, {weight}, {scale}", best_of_documents(scores, begins))
            if (width, stride, scale) == (128, 64, "cosine"):
                kept[weight] = scores
                for join in ("top2", "soft"):
                    report.add(f"MaxSim {width}/{stride}, {weight}, {scale}, {join} of a document", JOINS[join](scores, begins))
    for given in (("mean", "cosine"), ("idf", "cosine"), ("idf", "z")):
        report.add(f"MaxSim of whole documents, {', '.join(given)}", whole_document(collection, *given))
    return kept


def fusions(report: Report, collection: Collection, late_blocks: dict[str, Floats], word_blocks: dict[str, Floats]) -> None:
    """The search, and what was added to it."""
    for weight in (0.25, 0.5, 0.75, 1.0):
        report.fuse(f"{MEANING} + {weight} {WORDS}", (1.0, MEANING), (weight, WORDS))
    both = ((1.0, MEANING), (0.5, WORDS))
    for weight, name in ((0.1, "BM25 of documents, stem, k1 1.2, b 0.75"), (0.25, "BM25 of documents, stem, k1 1.2, b 0.75"),
                         (0.5, "MaxSim 128/64, idf, cosine"), (0.25, "MaxSim of whole documents, idf, cosine")):
        report.fuse(f"search + {weight} {name}", *both, (weight, name))
    for name in ("one", "head", "spans", "chunks"):
        report.keep(name, dense(collection, name))
        report.fuse(f"search + 0.25 dense vectors: {name}", *both, (0.25, name))
    report.fuse("search, all words weigh the same", (1.0, "MaxSim 64/32, words, cosine"), (0.5, WORDS))
    _, begins, _ = blocks_of(collection.cells, 128 // CELL, 64 // CELL)
    for weight in ("words", "idf"):
        for share in (0.25, 0.5, 1.0):
            same = standardise(late_blocks[weight]) + share * standardise(word_blocks["stem"])
            report.add(f"MaxSim 128/64, {weight} + {share} BM25 of the same block", best_of_documents(same, begins))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--set", default="tune")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    collection = collection_of(load(arguments.set, arguments.cache / key_of(arguments.set)), arguments.cache)
    report = Report(collection)
    made = collection.made
    plain = CellWords(made.texts, made.tokens, collection.question_texts, "plain", made.language).of_documents()
    _, begins, _ = blocks_of(collection.cells, 4, 4)
    equal = best_of_documents(np.stack([best.mean(0) for best in token_bests(collection.cells, 4, 4)]), begins)
    report.add("MaxSim in blocks of 128 + BM25 of documents, standardised", fused([(1.0, equal), (1.0, plain)]))
    word_blocks = lexical(report, collection)
    late_blocks = late(report, collection)
    fusions(report, collection, late_blocks, word_blocks)
    if arguments.write:
        counts = {group: row[3] for group, row in report.rows[0].items() if group in made.groups()}
        (HERE / "results" / "scoring.json").write_text(json.dumps({"set": arguments.set, "counts": counts, "rows": report.rows}, indent=1) + "\n",
                                                       encoding="utf-8")


if __name__ == "__main__":
    main()
