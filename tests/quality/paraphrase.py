"""Questions in other words: none of their content words, by stem, stands in the passage.

Each content word of a question is replaced by one of thesaurus.txt, else by a synonym in WordNet
or, where it has none, by its hypernym. WordNet is asked only for words of few senses: the first
of many is often another one than a manual means. Words without another word for them are left
out, at most half of them.
"""
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Optional

from documents import Document
from questions import Question
from words import STOPWORDS, WORD, content_stems, content_words, stem, stems

# A substitute as general as these says nothing.
_TOO_GENERAL = frozenset("""entity object thing act action activity abstraction attribute state change whole unit group matter relation be have do make get go
move change_state artifact artefact instrumentality instrumentation condition event psychological_feature feature content part cognition location
person someone somebody individual""".split())
# The passage is the fact and so much on each side: about what a block of 128 tokens holds.
_PASSAGE_CHARACTERS = 400
# Most senses of a word for its synonyms, and for its hypernym.
_SENSES_FOR_SYNONYMS = 5
_SENSES_FOR_HYPERNYM = 2


def read_thesaurus(path: Path) -> dict[str, list[str]]:
    """The hand-written words: for each, others in the order of preference."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            word, others = line.split(" = ")
            found[word] = [other.strip() for other in others.split(",")]
    return found


class WordNet:
    """The files of Debian's wordnet-base: the first sense of a lemma, its other words, its
    hypernym."""

    _POS = ("noun", "verb", "adj", "adv")

    def __init__(self, folder: Path) -> None:
        self._index = {pos: self._read_index(folder / f"index.{pos}") for pos in self._POS}
        self._data = {pos: (folder / f"data.{pos}").read_bytes() for pos in self._POS}
        self._irregular = {pos: dict(line.split()[:2] for line in (folder / f"{pos}.exc").read_text(encoding="ascii").splitlines())
                           for pos in self._POS}

    @staticmethod
    def _read_index(path: Path) -> dict[str, tuple[int, int, int]]:
        """Lemma to how many of its senses are tagged in texts, the place of its first sense, and
        how many senses it has."""
        found = {}
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(" "):
                continue
            parts = line.split()
            pointers = int(parts[3])
            found[parts[0]] = (int(parts[5 + pointers]), int(parts[6 + pointers]), int(parts[2]))
        return found

    def _synset(self, pos: str, place: int) -> tuple[list[str], Optional[int]]:
        """The words of the synset, and where its first hypernym is."""
        data = self._data[pos]
        parts = data[place:data.index(b"\n", place)].decode("ascii").split()
        count = int(parts[3], 16)
        names = [re.sub(r"\(.*\)", "", parts[4 + 2 * i]) for i in range(count)]
        pointers = parts[5 + 2 * count:]
        for i in range(int(parts[4 + 2 * count])):
            if pointers[4 * i] == "@":
                return names, int(pointers[4 * i + 1])
        return names, None

    def _lemmas(self, word: str, pos: str) -> Iterator[str]:
        yield word
        if word in self._irregular[pos]:
            yield self._irregular[pos][word]
        for ending, other in {"noun": (("ies", "y"), ("es", ""), ("s", "")), "adj": (("er", ""), ("est", "")), "adv": (),
                              "verb": (("ies", "y"), ("ied", "y"), ("es", ""), ("s", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""))}[pos]:
            if word.endswith(ending):
                yield word[:-len(ending)] + other

    def lemma(self, word: str) -> Optional[tuple[str, str]]:
        """The lemma and the part of speech that are tagged most often."""
        best: Optional[tuple[int, str, str]] = None
        for pos in self._POS:
            for lemma in self._lemmas(word, pos):
                if lemma in self._index[pos]:
                    tagged = self._index[pos][lemma][0]
                    if best is None or tagged > best[0]:
                        best = tagged, lemma, pos
                    break
        return (best[1], best[2]) if best else None

    def others(self, word: str) -> list[str]:
        """Synonyms of the first sense, else words of its hypernym."""
        found = self.lemma(word)
        if not found:
            return []
        lemma, pos = found
        _, place, senses = self._index[pos][lemma]
        if senses > _SENSES_FOR_SYNONYMS:
            return []
        names, above = self._synset(pos, place)
        synonyms = [name for name in names if name.lower() != lemma]
        if not synonyms and above is not None and senses <= _SENSES_FOR_HYPERNYM:
            synonyms = self._synset(pos, above)[0]
        return [name.replace("_", " ") for name in synonyms if name.lower() not in _TOO_GENERAL]


class Paraphraser:
    """Puts questions in other words."""

    def __init__(self, thesaurus: dict[str, list[str]], wordnet: WordNet) -> None:
        self._by_stem: dict[str, list[str]] = {}
        for word, others in thesaurus.items():
            self._by_stem.setdefault(stem(word), others)
        self._wordnet = wordnet
        self._others = lru_cache(maxsize=None)(self._find_others)

    def _find_others(self, word: str) -> list[str]:
        return self._by_stem.get(stem(word)) or self._wordnet.others(word)

    def substitute(self, word: str, taken: frozenset[str]) -> Optional[str]:
        """Other words whose stems are not taken, or None."""
        for other in self._others(word):
            found = content_stems(other)
            if found and not taken.intersection(stems(other)) and stem(word) not in found:
                return other
        return None

    def of(self, question: Question, document: Document) -> Optional[Question]:
        """The question in other words, or None where too few of its words have others."""
        passage = document.text[max(0, question.begin - _PASSAGE_CHARACTERS):question.end + _PASSAGE_CHARACTERS]
        taken = frozenset(stems(passage))
        wanted = content_words(question.text)
        # A capital inside a question begins a name, which has no other.
        names = {found.lower() for found in re.findall(r"(?<=[a-z] )[A-Z][\w-]*", question.text)}
        kept = {word: None if word in names else self.substitute(word, taken) for word in wanted if word not in ("happens", "name")}
        replaced = [word for word, other in kept.items() if other]
        if len(replaced) < 4 or 2 * len(replaced) < len(kept):
            return None

        def other(found: re.Match[str]) -> str:
            word = found.group().lower()
            return (kept[word] or "") if word in kept else found.group() if word in STOPWORDS["english"] or word in ("happens", "name") else ""
        text = re.sub(r"\s+([?.,])", r"\1", re.sub(r"\s+", " ", re.sub(r"[\"'()“”]", "", WORD.sub(other, question.text)))).strip()
        if taken.intersection(content_stems(text)) - {"happen", "name"}:
            return None
        return replace(question, text=text, kind=f"paraphrased {question.kind}")
