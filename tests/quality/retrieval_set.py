"""A retrieval set: documents, their tokens, and questions about facts in them.

Built from the packages of packages.json with a seed, the same on every machine: only the tokenizer
comes from the running service. Kept in the cache, keyed by all that it is made of.
"""
import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import packages
from documents import Document, documents_of_package
from paraphrase import Paraphraser, WordNet, read_thesaurus
from questions import Question, WordIndex, candidates, draw
from reworded import reworded

HERE = Path(__file__).parent
SEED = 18
DOCUMENTS_OF_A_PACKAGE = {"tune": 10, "test": 8, "german": 8}
# At the four depths; there is more to see beyond the first.
QUESTIONS_OF_A_DEPTH = (2, 3, 3, 3)
PARAPHRASED_OF_A_DOCUMENT = 4
MADE_BY = ("packages.json", "html_text.py", "documents.py", "words.py", "questions.py", "paraphrase.py", "thesaurus.txt", "reworded.py",
           "retrieval_set.py")


@dataclass
class Tokens:
    """The tokens of a text: ids, places in characters, whether the service added them."""

    ids: npt.NDArray[np.int64]
    characters: npt.NDArray[np.int64]
    special: npt.NDArray[np.bool_]


@dataclass
class RetrievalSet:
    """Documents, their tokens, and questions: in the fact's words, partly in other words, wholly in
    other words."""

    name: str
    language: str
    key: str
    ids: list[str]
    texts: list[str]
    tokens: list[Tokens]
    questions: list[Question]
    reworded: list[Question]
    paraphrased: list[Question]

    @property
    def asked(self) -> list[Question]:
        """All questions, in the order that scores have."""
        return self.questions + self.reworded + self.paraphrased

    def groups(self) -> dict[str, slice]:
        """Which of them are of which group; empty groups are left out."""
        found, begin = {}, 0
        for name, group in (("questions", self.questions), ("reworded", self.reworded), ("paraphrased", self.paraphrased)):
            if group:
                found[name] = slice(begin, begin + len(group))
            begin += len(group)
        return found


def language_of(name: str) -> str:
    return "german" if name == "german" else "english"


def key_of(name: str) -> str:
    """Changes with all that the set is made of."""
    made = b"".join((HERE / file).read_bytes() for file in MADE_BY)
    return f"{name}-{hashlib.sha256(made).hexdigest()[:12]}"


def tokenize(client: Any, text: str) -> Tokens:
    """The tokens that the service's model reads."""
    found = client.tokenize([text])[0]
    return Tokens(np.asarray(found.ids), np.asarray(found.characters), np.asarray(found.special))


def token_at(tokens: Tokens, character: int) -> int:
    """The index of the first token that ends behind a character."""
    ends = np.where(tokens.special, 0, tokens.characters[:, 1])
    inner = np.maximum.accumulate(ends)
    return int(min(np.searchsorted(inner, character, side="right"), len(inner) - 1))


def _questions(name: str, documents: list[Document], tokens: list[Tokens]) -> list[Question]:
    language = language_of(name)
    index = WordIndex([document.text for document in documents], language)
    found = []
    for number, document in enumerate(documents):
        rng = random.Random(f"{SEED} {document.id}")
        places = tokens[number].characters
        head = int(places[min(512, len(places) - 2)][0])
        possible = list(candidates(number, document, head, rng, language))
        for question in possible:
            question.token = token_at(tokens[number], question.begin)
        found += draw(possible, index, QUESTIONS_OF_A_DEPTH, rng)
    return found


def _paraphrased(documents: list[Document], tokens: list[Tokens], paraphraser: Paraphraser) -> list[Question]:
    found = []
    for number, document in enumerate(documents):
        rng = random.Random(f"{SEED} paraphrased {document.id}")
        possible = [question for question in candidates(number, document, 0, rng, "english") if question.kind in ("how", "when", "why", "what")]
        rng.shuffle(possible)
        made = (paraphraser.of(question, document) for question in possible)
        kept = [question for question in made if question][:PARAPHRASED_OF_A_DOCUMENT]
        for question in kept:
            question.token = token_at(tokens[number], question.begin)
        found += kept
    return found


def build(name: str, client: Any, cache: Path) -> RetrievalSet:
    """Makes the set; `client` tokenizes."""
    documents: list[Document] = []
    entries = packages.read()
    for entry in entries:
        if entry["set"] == name:
            folder = packages.unpack(entry, cache) / entry["folder"]
            documents += documents_of_package(entry["name"], folder, entry["pages"], DOCUMENTS_OF_A_PACKAGE[name], SEED)
    tokens = [tokenize(client, document.text) for document in documents]
    long = [number for number, found in enumerate(tokens) if len(found.ids) > 512]
    documents, tokens = [documents[number] for number in long], [tokens[number] for number in long]
    questions = _questions(name, documents, tokens)
    made = RetrievalSet(name, language_of(name), key_of(name), [document.id for document in documents], [document.text for document in documents], tokens,
                        questions, [], [])
    if made.language == "english":
        [entry] = [entry for entry in entries if entry["set"] == "thesaurus"]
        wordnet = WordNet(packages.unpack(entry, cache) / "usr/share/wordnet")
        paraphraser = Paraphraser(read_thesaurus(HERE / "thesaurus.txt"), wordnet)
        made.reworded = reworded(questions, made.texts, paraphraser, wordnet, SEED)
        made.paraphrased = _paraphrased(documents, tokens, paraphraser)
    return made


def save_tokens(tokens: list[Tokens], path: Path) -> None:
    """Tokens of many texts as one file."""
    np.savez(path, lengths=[len(found.ids) for found in tokens], ids=np.concatenate([found.ids for found in tokens]),
             characters=np.concatenate([found.characters for found in tokens]), special=np.concatenate([found.special for found in tokens]))


def load_tokens(path: Path) -> list[Tokens]:
    """What save_tokens wrote."""
    stored = np.load(path)
    ids, characters, special = stored["ids"], stored["characters"], stored["special"]
    ends = np.cumsum(stored["lengths"])
    return [Tokens(ids[end - length:end], characters[end - length:end], special[end - length:end]) for end, length in zip(ends, stored["lengths"])]


def save(made: RetrievalSet, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_tokens(made.tokens, folder / "documents.npz")
    as_json = {"ids": made.ids, "texts": made.texts, "questions": [question.to_json() for question in made.questions],
               "reworded": [question.to_json() for question in made.reworded], "paraphrased": [question.to_json() for question in made.paraphrased]}
    (folder / "set.json").write_text(json.dumps(as_json, indent=1), encoding="utf-8")


def load(name: str, folder: Path) -> RetrievalSet:
    raw = json.loads((folder / "set.json").read_text(encoding="utf-8"))
    return RetrievalSet(name, language_of(name), key_of(name), raw["ids"], raw["texts"], load_tokens(folder / "documents.npz"),
                        *([Question(**item) for item in raw[group]] for group in ("questions", "reworded", "paraphrased")))


def get(name: str, client: Any, cache: Path) -> RetrievalSet:
    """The set out of the cache, or made."""
    folder = cache / key_of(name)
    if not (folder / "set.json").exists():
        save(build(name, client, cache), folder)
    return load(name, folder)
