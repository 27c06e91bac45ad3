"""Questions partly in other words: what people ask, who know some of a text's words and not their
forms.

Of each question's content words about half become other words (thesaurus.txt, then WordNet), where
there are any that the passage does not have. The rest lose their endings. So neither exact words
nor meaning alone finds the fact.
"""
import random
import re
from dataclasses import replace

from paraphrase import Paraphraser, WordNet
from questions import Question
from words import STOPWORDS, WORD, stems

_PASSAGE_CHARACTERS = 400
_REPLACED = 0.5
_FORM_WORDS = frozenset(["happens", "name", "option"])


def reword(question: Question, text: str, paraphraser: Paraphraser, wordnet: WordNet, rng: random.Random) -> Question | None:
    """The question partly in other words, or None where fewer than two words have others."""
    passage = text[max(0, question.begin - _PASSAGE_CHARACTERS):question.end + _PASSAGE_CHARACTERS]
    taken = frozenset(stems(passage))
    replaced = 0

    def other(found: re.Match[str]) -> str:
        nonlocal replaced
        word = found.group().lower()
        if word in STOPWORDS["english"] or word in _FORM_WORDS or len(word) < 3:
            return found.group()
        substitute = paraphraser.substitute(word, taken) if rng.random() < _REPLACED else None
        if substitute:
            replaced += 1
            return substitute
        lemma = wordnet.lemma(word)
        return lemma[0].replace("_", " ") if lemma else found.group()
    made = WORD.sub(other, question.text)
    return replace(question, text=made, kind=f"reworded {question.kind}") if replaced >= 2 else None


def reworded(questions: list[Question], texts: list[str], paraphraser: Paraphraser, wordnet: WordNet, seed: int) -> list[Question]:
    """Of all questions those that can be reworded."""
    made = (reword(question, texts[question.document], paraphraser, wordnet, random.Random(f"{seed} {question.text}")) for question in questions)
    return [question for question in made if question]
