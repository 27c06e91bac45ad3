"""Search: what callers give as messages, and the answer."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _contract as contract
from ._answers import Timings

if TYPE_CHECKING:
    from typing import Literal, TypedDict

    from ._requests import Truncation

    Documents = Union[Iterable[Union[str, tuple[str, str]]], Mapping[str, str]]
    TokenWeighting = Literal["idf", "equal"]

    class SearchOptions(TypedDict, total=False):
        """How to search. Each that is left out, or None, is the server's default."""

        limit: Optional[int]  # documents of the answer; default 10
        spans: Optional[int]  # of each document; default 3
        span_tokens: Optional[int]  # of a span; even, default 64
        late_weight: Optional[float]  # of the tokens' similarity; default 1
        lexical_weight: Optional[float]  # of the words; default 0.5
        token_weighting: Optional[TokenWeighting]  # default "idf"
        language: Optional[str]  # of the words' stems; default "english"
        bm25_k1: Optional[float]
        bm25_b: Optional[float]
        truncation: Optional[Truncation]  # of a document that is too long; default "reject"
        max_tokens: Optional[int]  # what is too long, at most limits.max_tokens, the default
        window_overlap: Optional[int]  # tokens that neighbours share, with truncation="windows"
        query_truncation: Optional[Truncation]  # of a question above 512 tokens; default "reject"
        query_prompt: Optional[str]  # names of the model's prompts
        document_prompt: Optional[str]
        best_tokens: Optional[bool]  # whether spans have theirs; default False


# Each option's field in the contract, and its enum.
_OPTIONS = {
    "limit": ("max_documents", ""),
    "spans": ("max_spans", ""),
    "span_tokens": ("span_tokens", ""),
    "late_weight": ("late_weight", ""),
    "lexical_weight": ("lexical_weight", ""),
    "token_weighting": ("token_weighting", "TokenWeighting"),
    "language": ("language", ""),
    "bm25_k1": ("bm25_k1", ""),
    "bm25_b": ("bm25_b", ""),
    "truncation": ("truncation", "Truncation"),
    "max_tokens": ("max_tokens", ""),
    "window_overlap": ("window_overlap_tokens", ""),
    "query_truncation": ("query_truncation", "Truncation"),
    "query_prompt": ("query_prompt_name", ""),
    "document_prompt": ("document_prompt_name", ""),
    "best_tokens": ("best_tokens", ""),
}


def search_request(query: str, documents: Documents, options: Mapping[str, object], answer_bytes: int) -> Any:
    """A SearchRequest. TypeError for another option or for what is no text, ValueError for a bad
    value. `answer_bytes`: the largest message that the channel takes."""
    request = contract.SearchRequest(query=query)
    request.options.max_answer_bytes = answer_bytes
    for name, value in options.items():
        if name not in _OPTIONS:
            raise TypeError(f"there is no option {name!r}; allowed: {', '.join(_OPTIONS)}")
        field, enum = _OPTIONS[name]
        if value is not None:
            setattr(request.options, field, contract.enum_value(enum, str(value)) if enum else value)
    if isinstance(documents, (str, bytes)):
        raise TypeError("documents are several texts; got one")
    for each in documents.items() if isinstance(documents, Mapping) else documents:
        id, text = ("", each) if isinstance(each, str) else each
        request.documents.add(id=id, text=text)
    return request


def _pair(range: Any) -> tuple[int, int]:
    return range.begin, range.end


@dataclasses.dataclass(frozen=True)
class BestToken:
    """A token of the question, and the token of a passage that is most similar to it.

    query_bytes, query_characters
                where the first one stands in the question, as (begin, end); None for a token that
                it does not hold: a special one, one of a prompt or of the model's expansion
    bytes, characters
                where the second one stands in the document
    similarity  their cosine
    weight      what the question's token counts; those of all tokens have the sum 1
    query_text, text
                what the two say; the second one is None in a collection, which keeps no texts
    """

    query_bytes: Optional[tuple[int, int]]
    query_characters: Optional[tuple[int, int]]
    bytes: tuple[int, int]
    characters: tuple[int, int]
    similarity: float
    weight: float
    query_text: str
    text: Optional[str]


@dataclasses.dataclass(frozen=True)
class SearchSpan:
    """A passage of a document.

    bytes, characters, tokens
                where it stands, as (begin, end); tokens count special ones too
    score       among all passages of all documents of this answer
    similarity  of the question's tokens to it, from -1 to 1
    text        what it says; None in a collection, which keeps no texts
    best_tokens with best_tokens=True one for each token of the question that counts
    """

    bytes: tuple[int, int]
    characters: tuple[int, int]
    tokens: tuple[int, int]
    score: float
    similarity: float
    text: Optional[str]
    best_tokens: list[BestToken]


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """A document that answers the question.

    index       its place among the documents given, from 0; in a collection 0
    score       among the documents of this answer: it never compares two answers
    similarity  of its most similar passage, from -1 to 1
    bm25        of its best block of words
    spans       its best passages, best first
    tokens_total, tokens_used, truncated
                of the text, as in Encodings
    """

    index: int
    id: str
    score: float
    similarity: float
    bm25: float
    spans: list[SearchSpan]
    tokens_total: int
    tokens_used: int
    truncated: bool


@dataclasses.dataclass(frozen=True)
class SearchResults:
    """The documents that answer a question, best first.

    query_tokens, query_truncated
                of the question
    documents_tokens, documents_truncated
                tokens that the model read of all documents, and how many documents it read in part
    timings     the longest of each stage over the question and the documents
    """

    results: list[SearchResult]
    query_tokens: int
    query_truncated: bool
    documents_tokens: int
    documents_truncated: int
    timings: Timings

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[SearchResult]:
        return iter(self.results)

    def __getitem__(self, i: int) -> SearchResult:
        return self.results[i]


def _said(text: Optional[str], characters: Any) -> Optional[str]:
    return None if text is None else text[characters.begin:characters.end]


def _best_token(query: str, text: Optional[str], found: Any) -> BestToken:
    place = found.characters
    is_asked = found.HasField("query_characters")
    asked = found.query_characters
    return BestToken(_pair(found.query_bytes) if is_asked else None, _pair(asked) if is_asked else None, _pair(found.bytes), _pair(place),
                     found.similarity, found.weight, query[asked.begin:asked.end], _said(text, place))


def search_results(request: Any, response: Any) -> SearchResults:
    """The answer, with the texts of its spans out of the request."""
    results = []
    for found in response.results:
        text = request.documents[found.index].text if request.documents else None
        spans = [SearchSpan(_pair(s.bytes), _pair(s.characters), _pair(s.tokens), s.score, s.similarity,
                            _said(text, s.characters), [_best_token(request.query, text, best) for best in s.best_tokens])
                 for s in found.spans]
        results.append(SearchResult(found.index, found.id, found.score, found.similarity, found.bm25, spans, found.tokens_total,
                                    found.tokens_used, found.truncated))
    return SearchResults(results, response.query_tokens, response.query_truncated, response.documents_tokens,
                         response.documents_truncated, Timings.of(response.timings))
