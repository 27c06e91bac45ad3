"""Ranks of the right documents, and how sure their means are."""
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

MEASURES: dict[str, Callable[[Ints], Floats]] = {
    "recall@1": lambda ranks: (ranks <= 1).astype(np.float64),
    "recall@10": lambda ranks: (ranks <= 10).astype(np.float64),
    "mrr": lambda ranks: 1.0 / ranks,
}


@dataclass
class Mean:
    """A mean in percent with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    count: int

    def to_json(self) -> list[float]:
        return [round(self.value, 1), round(self.low, 1), round(self.high, 1), self.count]


def ranks_of(scores: Floats, right: Ints) -> Ints:
    """The rank of each question's document. Documents of the same score stand before it."""
    own = scores[np.arange(len(right)), right]
    return (scores >= own[:, None]).sum(1).astype(np.int64)


def bootstrap(values: Floats, groups: Ints, seed: int = 1, samples: int = 2000) -> Mean:
    """The mean of the values, and the interval that it has when whole groups (documents) are drawn
    again with replacement: questions about one document are not independent."""
    if not len(values):
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    names, places = np.unique(groups, return_inverse=True)
    sums = np.bincount(places, weights=values, minlength=len(names))
    counts = np.bincount(places, minlength=len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Mean(100 * float(values.mean()), 100 * float(low), 100 * float(high), len(values))


def measure(scores: Floats, right: Ints, name: str = "mrr") -> Mean:
    """One measure over all questions of a matrix [questions, documents]."""
    return bootstrap(MEASURES[name](ranks_of(scores, right)), right)


def by_depth(scores: Floats, right: Ints, depths: Ints, num_depths: int) -> dict[str, dict[str, list[float]]]:
    """All measures: of each depth, of all beyond the first, and of all."""
    ranks = ranks_of(scores, right)
    parts = {str(depth): depths == depth for depth in range(num_depths)}
    parts.update(beyond=depths > 0, all=depths >= 0)
    return {part: {name: bootstrap(values(ranks[chosen]), right[chosen]).to_json() for name, values in MEASURES.items()}
            for part, chosen in parts.items()}
