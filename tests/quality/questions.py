"""Questions about facts of documents, made by rule.

A fact is a sentence, or a heading with what follows it, at a known place. A question takes some of
its words in a form of its own; it never copies the sentence. A question is kept only if no other
document has all of its words close together, so that one document is the right answer.
"""
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Optional

import numpy as np

from documents import Document
from html_text import Block
from words import content_stems, content_words, sentences, stems

# Upper bounds of the depths in tokens; the last has none.
DEPTHS = (512, 2048, 8192)
DEPTH_NAMES = ("0-512", "512-2K", "2K-8K", ">8K")
CLOSE_WORDS = 100  # words of another document that hold all of a question's words make it ambiguous


@dataclass
class Question:
    """A question, the document that answers it and the place of the fact in characters."""

    text: str
    kind: str
    document: int
    begin: int
    end: int
    token: int = 0  # index of the first token of the fact

    @property
    def depth(self) -> int:
        """Which of DEPTH_NAMES."""
        return int(np.searchsorted(DEPTHS, self.token, side="right"))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _lower_first(text: str) -> str:
    return text if text[1:2].isupper() or text[:2] in ("I ", "I'") else text[:1].lower() + text[1:]


def thin(sentence: str, rng: random.Random, language: str, share: float = 0.6, most: int = 7) -> Optional[str]:
    """A part of the content words of a sentence in another order, or None where it has too few."""
    found = [word for word in content_words(sentence, language) if len(word) < 25]
    if len(found) < 6:
        return None
    drawn = rng.sample(found, max(4, min(most, round(len(found) * share))))
    return " ".join(drawn)


def _how(sentence: str) -> Optional[str]:
    found = re.match(r"(?:If you (?:want|need|wish) to|To|In order to) ([a-z][^,;:()]{15,120}), (?!and |or )\S", sentence)
    return f"how to {found[1]}?" if found else None


def _when(sentence: str) -> Optional[str]:
    found = re.match(r"(?:If|When|Once) ((?!you want|you need|you wish)[^,;:()]{20,140}), (?!and |or )(.{25,})", sentence)
    return f"what happens when {found[1]}?" if found else None


def _why(sentence: str) -> Optional[str]:
    found = re.match(r"([A-Z][^,;:()]{25,120}),? because (.{15,})", sentence)
    return f"why is it that {_lower_first(found[1])}?" if found else None


def _what(sentence: str) -> Optional[str]:
    found = re.match(r"(?:(?:A|An|The) )?([A-Za-z][\w-]*(?: [\w-]+){0,3}) (?:is|are|means|refers to) ((?:an?|the) [^.;:()]{25,160})", sentence)
    if not found or found[1].lower() in ("this", "it", "there", "that", "the following", "these", "here", "the default", "what"):
        return None
    return f"what is the name of {' '.join(found[2].split()[:14])}?"


def _wie(sentence: str) -> Optional[str]:
    found = re.match(r"(?:Um|Falls Sie|Wenn Sie) ([^,;:()]{15,120}), ", sentence)
    return f"wie kann man {re.sub(r' (?:möchten|wollen|müssen)$', '', found[1])}?" if found else None


SENTENCE_RULES = {"english": {"how": _how, "when": _when, "why": _why, "what": _what}, "german": {"how": _wie}}


def _title(text: str) -> str:
    return re.sub(r"^(?:chapter|section|kapitel|appendix|anhang)?\s*(?:[A-Z]?\d*(?:\.\d+)*\.?|[A-Z]\.)\s+(?=\S)", "", text, flags=re.IGNORECASE).strip(" :#")


def _of_heading(document: Document, number: int, head_stems: frozenset[str], language: str) -> Optional[tuple[str, int]]:
    """A heading as a question: its words are not all at the document's beginning."""
    _, block = document.blocks[number]
    title = _title(block.text)
    found = content_stems(title, language)
    if len(found) < 3 or len(title) > 120 or head_stems.issuperset(found):
        return None
    following = document.blocks[number + 1:number + 2]
    return title, following[0][0] + len(following[0][1].text) if following else document.blocks[number][0] + len(block.text)


def _of_option(term: Block, text: Block, rng: random.Random, language: str) -> Optional[str]:
    """What an option does, without its name."""
    begin, end = next(sentences(text.text))
    if not re.match(r"-{1,2}\w", term.text) or len(content_words(text.text[begin:end], language)) < 5:
        return None
    drawn = thin(text.text[begin:end], rng, language, share=0.7)
    return f"option to {drawn}" if drawn else None


def candidates(index: int, document: Document, head_characters: int, rng: random.Random, language: str) -> Iterator[Question]:
    """All questions that the rules find in a document. `head_characters` is where token 512 is."""
    head = frozenset(stems(document.text[:head_characters], language))
    for number, (place, block) in enumerate(document.blocks):
        if block.kind == "heading":
            made = _of_heading(document, number, head, language) if place >= head_characters else None
            if made:
                yield Question(made[0], "heading", index, place, made[1])
        elif block.kind == "text":
            if number and document.blocks[number - 1][1].kind == "term":
                option = _of_option(document.blocks[number - 1][1], block, rng, language)
                if option:
                    yield Question(option, "option", index, document.blocks[number - 1][0], place + len(block.text))
            yield from _of_sentences(index, place, block.text, rng, language)


def _of_sentences(index: int, place: int, text: str, rng: random.Random, language: str) -> Iterator[Question]:
    for begin, end in sentences(text):
        sentence = text[begin:end]
        if not 8 <= len(sentence.split()) <= 45 or sentence[-1] not in ".!?":
            continue
        for kind, rule in SENTENCE_RULES[language].items():
            question = rule(sentence)
            if question and len(content_words(question, language)) >= 4:
                yield Question(question, kind, index, place + begin, place + end)
        drawn = thin(sentence, rng, language)
        if drawn and not re.search(r"[={}<>|\\/]", sentence):
            yield Question(drawn, "keywords", index, place + begin, place + end)


class WordIndex:
    """Where the stems of all documents stand: whether some stand close together in a document."""

    def __init__(self, texts: list[str], language: str) -> None:
        self._language = language
        self._places: dict[str, dict[int, list[int]]] = defaultdict(dict)
        for number, text in enumerate(texts):
            for place, found in enumerate(stems(text, language)):
                self._places[found].setdefault(number, []).append(place)

    def documents_with(self, question: str, skipped: frozenset[str] = frozenset()) -> list[int]:
        """The documents that have all content stems of the question within CLOSE_WORDS words."""
        wanted = [found for found in content_stems(question, self._language) if found not in skipped]
        if not wanted:
            return []
        shared = set.intersection(*(set(self._places.get(found, {})) for found in wanted))
        return [number for number in sorted(shared) if self._are_close(number, wanted)]

    def _are_close(self, number: int, wanted: list[str]) -> bool:
        places = sorted((place, found) for found in wanted for place in self._places[found][number])
        counts: Counter[str] = Counter()
        first = 0
        for place, found in places:
            counts[found] += 1
            while place - places[first][0] >= CLOSE_WORDS:
                counts[places[first][1]] -= 1
                first += 1
            if sum(1 for name in wanted if counts[name]) == len(wanted):
                return True
        return False


# Words that the forms of questions add.
FORM_WORDS = frozenset(["happen", "name", "option"])


def draw(found: list[Question], index: WordIndex, per_depth: tuple[int, ...], rng: random.Random) -> list[Question]:
    """At most so many questions of each depth of a document, one of a kind there, each about a
    place of its own, and each answered by this document only."""
    drawn: list[Question] = []
    for depth, most in enumerate(per_depth):
        by_kind: dict[str, list[Question]] = defaultdict(list)
        for question in found:
            if question.depth == depth:
                by_kind[question.kind].append(question)
        kinds = sorted(by_kind)
        rng.shuffle(kinds)
        taken = 0
        for kind in kinds:
            possible = by_kind[kind]
            rng.shuffle(possible)
            chosen = next((question for question in possible if _is_new(question, drawn) and
                           index.documents_with(question.text, FORM_WORDS) == [question.document]), None)
            if chosen and taken < most:
                drawn.append(chosen)
                taken += 1
    return drawn


def _is_new(question: Question, drawn: list[Question]) -> bool:
    return all(question.end <= other.begin or question.begin >= other.end for other in drawn)
