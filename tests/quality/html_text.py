"""Pages of HTML as blocks of plain text.

A block is a heading, a paragraph, a term that is defined, or preformatted text. What a reader skips
(menus, headers and footers of every page, tables of contents, scripts) is left out.
"""
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import lxml.etree
import lxml.html

SKIPPED_TAGS = frozenset(["head", "script", "style", "nav", "form", "footer", "header", "noscript", "svg", "button", "select", "object", "iframe"])
SKIPPED_CLASSES = frozenset([
    "sphinxsidebar", "sphinxsidebarwrapper", "related", "navheader", "navfooter", "docnav", "toc", "toctree-wrapper", "contents", "headerlink",
    "footer", "navigation", "NAVHEADER", "NAVFOOTER", "nav-panel", "breadcrumbs", "wy-nav-side", "rst-versions", "rst-footer-buttons",
    "wy-breadcrumbs", "sidebar", "menu", "topic-contents", "shortcontents", "summary-contents", "printheadingtoc", "element-shortcontents",
    "element-contents", "region-contents", "region-shortcontents", "index", "nav", "linenos", "sectionbar", "site-nav"])
BLOCK_TAGS = frozenset([
    "p", "div", "section", "article", "li", "dd", "dt", "ul", "ol", "dl", "table", "tr", "caption", "blockquote", "pre", "h1", "h2", "h3", "h4",
    "h5", "h6", "hr", "body", "html", "main", "center", "address", "figure", "figcaption", "br-block"])


@dataclass
class Block:
    """A piece of a page. `level` is that of a heading (1 to 6), else 0."""

    kind: str  # heading | term | code | text
    text: str
    level: int = 0


def _is_skipped(element: lxml.etree._Element) -> bool:
    if not isinstance(element.tag, str) or element.tag in SKIPPED_TAGS or element.get("role") == "navigation":
        return True
    return bool(SKIPPED_CLASSES.intersection((element.get("class") or "").split())) and element.tag not in ("body", "html")


class _Reader:
    """Walks a tree and closes a block wherever an element of a block begins or ends."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._parts: list[str] = []

    def _close(self, kind: str, level: int) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        text = text.strip("\n").rstrip() if kind == "code" else re.sub(r"\s+", " ", text).replace("¶", "").strip()
        if text.strip():
            self.blocks.append(Block(kind, text, level))

    def walk(self, element: lxml.etree._Element, kind: str = "text", level: int = 0) -> None:
        """Reads an element, without the text that follows it."""
        if _is_skipped(element):
            return
        tag = element.tag
        is_block = tag in BLOCK_TAGS
        if is_block:
            self._close(kind, level)
        inner, inner_level = kind, level
        if re.fullmatch(r"h[1-6]", tag):
            inner, inner_level = "heading", int(tag[1])
        elif tag in ("dt", "pre"):
            inner, inner_level = {"dt": "term", "pre": "code"}[tag], 0
        elif tag in ("dd", "p", "li") and kind == "term":
            inner = "text"
        if tag == "br":
            self._parts.append("\n" if kind == "code" else " ")
        self._parts.append(element.text or "")
        for child in element:
            self.walk(child, inner, inner_level)
            self._parts.append(child.tail or "")
        if tag in ("td", "th"):
            self._parts.append(" ")
        if is_block:
            self._close(inner, inner_level)


def _body(page: bytes) -> Optional[lxml.etree._Element]:
    parser = lxml.html.HTMLParser(encoding=_encoding(page), remove_comments=True, huge_tree=True)
    try:
        tree = lxml.html.document_fromstring(page, parser=parser)
    except lxml.etree.ParserError:  # an empty page
        return None
    for path in (".//*[@role='main']", ".//main", ".//*[@itemprop='articleBody']", ".//div[@class='body']", ".//body"):
        found = tree.findall(path)
        if len(found) == 1:
            return found[0]
    return tree


def _encoding(page: bytes) -> str:
    found = re.search(rb"charset=[\"']?([\w-]+)", page[:2000], re.IGNORECASE) or re.search(rb"encoding=[\"']([\w-]+)", page[:200])
    name = found.group(1).decode("ascii") if found else "utf-8"
    return "utf-8" if name.lower() in ("us-ascii", "ascii") else name


def blocks_of_page(page: bytes) -> list[Block]:
    """The blocks of a page in the order of the page."""
    body = _body(page)
    if body is None:
        return []
    reader = _Reader()
    reader.walk(body)
    return reader.blocks


def blocks_of_file(path: Path) -> list[Block]:
    """The blocks of a file of HTML."""
    return blocks_of_page(path.read_bytes())
