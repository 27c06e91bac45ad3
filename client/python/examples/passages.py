"""Texts as passages for a store: what the examples with Qdrant, Vespa and Elasticsearch share.

A passage is some sentences of a text, 128 to 256 tokens where the text has that many. Its vectors
have seen the whole text.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from longspan import Client, Lexical, LexicalVector

# Searched where no file is named.
TEXTS = {
    "lease": "The tenant pays the rent on the first day of each month. Dogs and cats may be kept "
             "if the neighbours do not object. Either party may end the contract with three "
             "months' written notice. The deposit is two months' rent.",
    "boiler": "The boiler is serviced once a year, before winter, by a licensed plumber. When the "
              "pressure falls below one bar, open the valve under the tank until the needle stands "
              "in the green field.",
    "bread": "Mix flour, water and salt, and let the dough rest for an hour. Bake it for forty "
             "minutes at 230 degrees.",
}
# Words that say nothing of what is asked.
STOP_WORDS = ("a an and are as at be but by can do does for from has have he how i if in into is "
              "it its my no not of on or our she should so such that the their then there these "
              "they this to was we were what when where which who will with you your").split()


@dataclass(frozen=True)
class Passage:
    """A part of a text, with all that a store can find it by.

    document    the name of its text
    begin, end  where it stands there, in characters
    vector      [dimensions], of length 1
    tokens      [n, token_dimensions], a vector of length 1 for each token
    words       stems with weights of BM25, but for what the store knows: how many passages have
                each of them
    """

    document: str
    begin: int
    end: int
    text: str
    vector: np.ndarray
    tokens: np.ndarray
    words: LexicalVector

    @property
    def id(self) -> str:
        return f"{self.document}:{self.begin}"


@dataclass(frozen=True)
class Question:
    """A question, in the same three forms."""

    text: str
    vector: np.ndarray
    tokens: np.ndarray
    words: LexicalVector


def passages(client: Client, document: str, text: str) -> Iterator[Passage]:
    """Two passes over the text: one for its passages and words, one for its tokens."""
    prompt = prompt_name(client, "document", "passage", "corpus")
    # A passage has some 150 words. In a longer one a word weighs less, in a shorter one more.
    spans = client.encode_spans(text, policy="paragraphs", span_min_tokens=128, span_max_tokens=256,
                                normalize=True, prompt=prompt,
                                lexical=Lexical(average_span_length=150, stop_words=STOP_WORDS))
    tokens = client.encode_tokens(text, normalize=True, prompt=prompt).vectors
    for i in range(len(spans)):
        begin, end = spans.characters[i].tolist()
        first, last = spans.tokens[i]
        yield Passage(document, begin, end, spans.text(i), spans.vectors[i], tokens[first:last],
                      spans.lexical[i])


def question(client: Client, text: str) -> Question:
    prompt = prompt_name(client, "query")
    whole = client.encode(text, normalize=True, prompt=prompt,
                          lexical=Lexical(query=True, stop_words=STOP_WORDS))
    tokens = client.encode_tokens(text, normalize=True, prompt=prompt).vectors
    # Special tokens and those of the prompt stand nowhere in the text, and ask for nothing.
    places = client.tokenize(text, prompt=prompt)[0].characters
    return Question(text, whole.vectors[0], tokens[places[:, 0] < places[:, 1]], whole.lexical[0])


def prompt_name(client: Client, *names: str) -> str:
    """The first of these prompts that the model has; "" = its default, as a rule none."""
    known = client.info().prompt_names
    return next((name for name in names if name in known), "")


def options(description: str, store: str) -> argparse.Namespace:
    """The command line of the three examples."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("question")
    parser.add_argument("files", nargs="*", type=Path, help="texts; none: three short ones")
    parser.add_argument("--server", default="127.0.0.1:50051", help="of longspan (%(default)s)")
    parser.add_argument("--store", default=store, help="where the store is (%(default)s)")
    return parser.parse_args()


def texts(files: list[Path]) -> dict[str, str]:
    """What is searched, by name."""
    return {file.name: file.read_text(encoding="utf-8") for file in files} or TEXTS


def show(score: float, document: str, begin: int, end: int, text: str) -> None:
    """One line for a passage that was found."""
    print(f"{score:.3f}  {document} [{begin}, {end})  {' '.join(text.split())[:100]}")
