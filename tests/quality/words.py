"""Words, stems and sentences, for the rules that make questions and for lexical scoring."""
import re
from collections.abc import Iterator
from functools import lru_cache

import Stemmer

WORD = re.compile(r"[^\W_]+(?:[_'’.-][^\W_]+)*", re.UNICODE)
_ENGLISH = """a about above after again against all also although always am an and another any anything are aren't as at be because been before
being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't done down during each either else etc even ever
every few first following for from further get gets given gives goes had has have having he hence her here hers him his how however i i.e e.g if in
instead into is isn't it it's its itself just last later least less let like likely made make makes many may maybe me might more most much must my need
needed needs never next no none nor not nothing now of off often on once one ones only onto or other others otherwise our out over own per please possible
rather same see several shall she should since so some something still such sure take taken takes than that that's the their them then there therefore
these they thing things this those though through thus to too two under unless until up upon us use used useful user users uses using usually very via want
wants was way we well were what when where whether which while who whole whose why will with within without won't would yes yet you you'll you're your
yourself e.g. i.e. etc. new able"""
_GERMAN = """aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bereits bis bitte da dabei dadurch dafür damit danach dann
daran darauf das dass dazu dem den denn der des deshalb die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines einige
er es etwa etwas falls für gegen gibt haben hat hier ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im immer in indem ist ja je jede jedem jeden jeder jedes
jedoch kann kein keine keinen können könnten lassen lässt man mehr mehrere mit muss müssen nach neue neuen nicht nichts noch nun nur ob oder ohne sehr sein
seine seinen sich sie siehe sind so sollte sollten somit sondern sowie um und uns unter usw viele vom von vor während war was weil welche welchen welcher
wenn werden wie wird wir wo wurde wurden z.b zu zum zur zwei zwischen über"""
STOPWORDS = {"english": frozenset(_ENGLISH.split()), "german": frozenset(_GERMAN.split())}
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|No|Fig|z\.B|d\.h|bzw|usw)|\b[A-Z])\.$")


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return [found.group().lower() for found in WORD.finditer(text)]


@lru_cache(maxsize=None)
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)


def stem(word: str, language: str = "english") -> str:
    """The stem of a word in lower case (Snowball)."""
    return str(_stemmer(language).stemWord(word))


def stems(text: str, language: str = "english") -> list[str]:
    """The stems of all words of a text."""
    return list(_stemmer(language).stemWords(words(text)))


def content_words(text: str, language: str = "english") -> list[str]:
    """The words that carry meaning: no function words, no numbers, three letters or more, each
    once."""
    stop = STOPWORDS[language]
    return list(dict.fromkeys(word for word in words(text) if word not in stop and len(word) > 2 and any(c.isalpha() for c in word)))


def content_stems(text: str, language: str = "english") -> list[str]:
    """The stems of content_words, each once."""
    return list(dict.fromkeys(stem(word, language) for word in content_words(text, language)))


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """The places [begin, end) of the sentences of a paragraph, in characters."""
    begin = 0
    for gap in re.finditer(r"(?<=[.!?:])\s+(?=[\"'(“„]?[A-ZÄÖÜ0-9])", text):
        if _ABBREVIATION.search(text[begin:gap.start()]):
            continue
        yield begin, gap.start()
        begin = gap.end()
    if begin < len(text):
        yield begin, len(text)
