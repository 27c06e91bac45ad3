"""The scoring that finds facts: what won on the tuning set (docs/quality.md says it in words)."""
from typing import Any

import numpy as np
import numpy.typing as npt

from cell_words import CellWords
from late_interaction import CELL, best_of_documents, blocks_of, token_bests
from late_variants import Late, weights_of
from methods import Collection, fused

Floats = npt.NDArray[np.floating[Any]]

TOKEN_BLOCK, TOKEN_STRIDE = 64, 32  # of late interaction
WORD_BLOCK, WORD_STRIDE = 128, 64  # of BM25, and of the tokens' document frequencies
WORDS_WEIGHT = 0.5
K1, B = 1.2, 0.75


def by_meaning(collection: Collection) -> Floats:
    """The best block's mean of best cosines, a token's weight its IDF."""
    weights = weights_of(collection, Late("idf", "cosine", WORD_BLOCK, WORD_STRIDE))
    width, stride = TOKEN_BLOCK // CELL, TOKEN_STRIDE // CELL
    _, begins, _ = blocks_of(collection.cells, width, stride)
    return best_of_documents(np.stack([weight @ best for weight, best in zip(weights, token_bests(collection.cells, width, stride))]), begins)


def by_words(collection: Collection) -> Floats:
    """BM25 of the best block, over stems."""
    made = collection.made
    counted = CellWords(made.texts, made.tokens, collection.question_texts, "stem", made.language)
    places, begins, _ = blocks_of(collection.cells, WORD_BLOCK // CELL, WORD_STRIDE // CELL)
    return best_of_documents(counted.of_blocks(places, K1, B), begins)


def found_anywhere(collection: Collection) -> Floats:
    """Scores [questions, documents]."""
    return fused([(1.0, by_meaning(collection)), (WORDS_WEIGHT, by_words(collection))])
