"""Pages of a package as long documents.

The pages of a folder are read in the order of their names and cut into documents at headings: each
document has about as many words as were drawn for it, so that a set has short and long ones. A page
of a manual is seldom long; a chapter or a book is, and these are what documents are here.
"""
import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from html_text import Block, blocks_of_file

# Words of a document, and how often that length is drawn. A word is about 1.5 tokens here.
LENGTHS = ((450, 3), (1200, 4), (3500, 3), (9000, 2))
SHORTEST_WORDS = 400
# A heading is where a document may end; none ends it after so many words over what was drawn.
MOST_WORDS_OVER = 3000
SKIPPED_PAGES = re.compile(r"(^|/)(genindex|search|py-modindex|modindex|XREF|http-routingtable|copyright|license|gpl|fdl|changelog|changes|"
                           r"release|_sources|_modules|_static)", re.IGNORECASE)


@dataclass
class Document:
    """A document, and its blocks with the places where they begin in `text`, in characters."""

    id: str
    text: str
    blocks: list[tuple[int, Block]] = field(default_factory=list)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", str(path))]


def _pages(folder: Path, pattern: str) -> list[Path]:
    found = [path for path in folder.glob(pattern) if not SKIPPED_PAGES.search(str(path.relative_to(folder))) and path.is_file()]
    return sorted(found, key=lambda path: (str(path.parent), _natural(path.relative_to(folder))))


def without_boilerplate(pages: list[list[Block]]) -> list[list[Block]]:
    """The pages without the blocks that stand in more than a fifth of them and in at least 4."""
    seen = Counter(text for page in pages for text in {block.text for block in page})
    most = max(3, len(pages) // 5)
    return [[block for block in page if seen[block.text] <= most] for page in pages]


def _draw_words(rng: random.Random) -> int:
    return rng.choices([words for words, _ in LENGTHS], [weight for _, weight in LENGTHS])[0]


def cut(pages: Iterable[list[Block]], rng: random.Random) -> Iterator[list[Block]]:
    """Joins pages and cuts them at headings into documents of drawn lengths."""
    document: list[Block] = []
    words, wanted = 0, _draw_words(rng)
    for page in pages:
        for number, block in enumerate(page):
            may_end = number == 0 or (block.kind == "heading" and block.level <= 3)
            if words >= wanted and (may_end or words >= wanted + MOST_WORDS_OVER):
                yield document
                document, words, wanted = [], 0, _draw_words(rng)
            document.append(block)
            words += len(block.text.split())
    if words >= SHORTEST_WORDS:
        yield document


def document_of(name: str, blocks: list[Block]) -> Document:
    """The text of the blocks, with an empty line between two."""
    document = Document(name, "")
    parts: list[str] = []
    place = 0
    for block in blocks:
        document.blocks.append((place, block))
        parts.append(block.text)
        place += len(block.text) + 2
    document.text = "\n\n".join(parts)
    return document


def documents_of_package(name: str, folder: Path, pattern: str, most: int, seed: int) -> list[Document]:
    """At most so many documents of a package, drawn with the seed."""
    rng = random.Random(int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:8], 16))
    paths = _pages(folder, pattern)
    if not paths:
        raise SystemExit(f"{name}: no page {pattern} in {folder}; see its entry in packages.json")
    pages = without_boilerplate([blocks_of_file(path) for path in paths])
    found = list(cut(pages, rng))
    drawn = sorted(rng.sample(range(len(found)), min(most, len(found))))
    return [document_of(f"{name}/{number}", found[number]) for number in drawn]
