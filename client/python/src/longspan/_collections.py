"""Collections: documents that the server keeps, so that a search need not read them again."""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _channel as channels
from . import _contract as contract
from . import _requests as requests
from . import _search as searching
from ._answers import Timings

if TYPE_CHECKING:
    from typing import Literal, TypedDict

    from typing_extensions import Unpack

    from ._aio import AsyncClient
    from ._client import Client
    from ._requests import Truncation
    from ._search import SearchResults, TokenWeighting

    DocumentsToKeep = Union[Mapping[str, str], Iterable[tuple[str, str]]]
    KeptFormat = Literal["int8", "two_bit"]

    class PutOptions(TypedDict, total=False):
        """How documents are read and kept. Each that is left out, or None, is the server's default;
        the first three belong to the collection, and to one that there is only the same may be
        said again."""

        format: Optional[KeptFormat]  # of the tokens' vectors; default "int8"
        span_tokens: Optional[int]  # of a span; even, default 64
        language: Optional[str]  # of the words' stems; default "english"
        ttl: Union[float, datetime.timedelta, None]  # seconds that they are kept; default for ever
        truncation: Optional[Truncation]  # of a document that is too long; default "reject"
        max_tokens: Optional[int]  # what is too long, at most limits.max_tokens, the default
        window_overlap: Optional[int]  # tokens that neighbours share, with truncation="windows"
        document_prompt: Optional[str]  # name of one of the model's prompts

    class KeptSearchOptions(TypedDict, total=False):
        """SearchOptions without those that are about documents, which have been read."""

        limit: Optional[int]  # documents of the answer, at most 1000; default 10
        spans: Optional[int]  # of each document, at most 100; default 3
        late_weight: Optional[float]  # of the tokens' similarity; default 1
        lexical_weight: Optional[float]  # of the words; default 0.5
        token_weighting: Optional[TokenWeighting]  # default "idf"
        bm25_k1: Optional[float]
        bm25_b: Optional[float]
        query_truncation: Optional[Truncation]  # of a question above 512 tokens; default "reject"
        query_prompt: Optional[str]  # name of one of the model's prompts
        best_tokens: Optional[bool]  # whether spans have theirs; default False


# Each option's field in the contract, and its enum.
_PUT_OPTIONS = {
    "format": ("format", "KeptFormat"),
    "span_tokens": ("span_tokens", ""),
    "language": ("language", ""),
    "ttl": ("ttl_seconds", ""),
    "truncation": ("truncation", "Truncation"),
    "max_tokens": ("max_tokens", ""),
    "window_overlap": ("window_overlap_tokens", ""),
    "document_prompt": ("document_prompt_name", ""),
}

# Of one DeleteDocuments. The contract has the number; ids of so many characters every server takes.
_MOST_IDS = 10_000
_MOST_ID_CHARACTERS = 1 << 20


def _check_name(name: str) -> str:
    """What else is wrong with a name the server says; without one a search would be another."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a collection is a str; got {type(name).__name__}")
    if not name:
        raise ValueError("the name of a collection is empty; allowed: 1 to 64 of A-Z a-z 0-9 . _ - of which the first is no dot")
    return name


def put_options(options: Mapping[str, object]) -> Any:
    """The message of PutOptions. TypeError for another name, ValueError for a bad value."""
    made = contract.PutOptions()
    for name, value in options.items():
        if name not in _PUT_OPTIONS:
            raise TypeError(f"there is no option {name!r}; allowed: {', '.join(_PUT_OPTIONS)}")
        field, enum = _PUT_OPTIONS[name]
        if isinstance(value, datetime.timedelta):
            value = value.total_seconds()
        if value is not None:
            setattr(made, field, contract.enum_value(enum, str(value)) if enum else value)
    return made


def _document_messages(documents: DocumentsToKeep) -> Iterator[Any]:
    if isinstance(documents, (str, bytes)):
        raise TypeError("documents are pairs (id, text), or a mapping of ids to texts; got one text")
    places: dict[str, int] = {}
    for i, each in enumerate(documents.items() if isinstance(documents, Mapping) else documents):
        if isinstance(each, (str, bytes)):
            raise TypeError(f"documents[{i}] is a text without an id; give pairs (id, text), or a mapping of ids to texts")
        id, text = each
        # Of two calls the second would take the place of the first.
        if places.setdefault(id, i) != i:
            raise ValueError(f"documents[{i}] and documents[{places[id]}] have the same id, {id!r}; allowed: an id of its own")
        yield contract.SearchDocument(id=id, text=text)


def put_requests(name: str, documents: DocumentsToKeep, options: Any, limits: Any) -> Iterator[tuple[int, Any]]:
    """Requests within the server's limits, each with the place of its first document. Documents are
    taken as requests are."""
    for first, held in requests.batches(_document_messages(documents), limits):
        yield first, contract.PutDocumentsRequest(collection=name, documents=held, options=options)


def delete_requests(name: str, ids: Union[str, Iterable[str]]) -> Iterator[tuple[int, Any]]:
    """Requests that any server takes, each with the place of its first id. None without ids."""
    held: list[str] = []
    first, size = 0, 0
    for id in [ids] if isinstance(ids, str) else ids:
        if held and (len(held) == _MOST_IDS or size + len(id) > _MOST_ID_CHARACTERS):
            yield first, contract.DeleteDocumentsRequest(collection=name, ids=held)
            first, held, size = first + len(held), [], 0
        held.append(id)
        size += len(id)
    if held:
        yield first, contract.DeleteDocumentsRequest(collection=name, ids=held)


def kept_search_request(name: str, query: str, options: Mapping[str, object], answer_bytes: int) -> Any:
    """A SearchRequest in a collection. TypeError for an option that is about documents."""
    for option in options:
        if option in _PUT_OPTIONS:
            allowed = (each for each in searching._OPTIONS if each not in _PUT_OPTIONS)
            raise TypeError(f"a search in a collection has no option {option!r}: its documents are read; allowed: {', '.join(allowed)}")
    request = searching.search_request(query, (), options, answer_bytes)
    request.collection = name
    return request


@dataclasses.dataclass(frozen=True)
class CollectionInfo:
    """A collection, by the names of the contract.

    documents    that it has
    tokens       of them that have a vector
    bytes        that they take
    format       of the vectors: "int8" or "two_bit"
    span_tokens  tokens of a span
    language     whose rules find the stems of words
    error        why it cannot be used, as where its file is damaged or of another model; "" = it
                 can. The others but the name are unset then
    """

    name: str
    documents: int
    tokens: int
    bytes: int
    format: str
    span_tokens: int
    language: str
    error: str


def collection_info(message: Any) -> CollectionInfo:
    return CollectionInfo(message.name, message.documents, message.tokens, message.bytes, contract.enum_name("KeptFormat", message.format),
                          message.span_tokens, message.language, message.error)


@dataclasses.dataclass(frozen=True)
class PutResult:
    """What was read of a document: tokens_total, tokens_used and truncated as in Encodings."""

    id: str
    tokens_total: int
    tokens_used: int
    truncated: bool


@dataclasses.dataclass(frozen=True)
class PutResults:
    """What was kept.

    results     one for each document, in the order given
    added       documents whose ids the collection did not have
    replaced    documents that took the place of others
    collection  as it is now
    timings     the longest of each stage over the documents

    A call that was made again after a broken connection may count as replaced what it had added.
    """

    results: list[PutResult]
    added: int
    replaced: int
    collection: CollectionInfo
    timings: Timings

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[PutResult]:
        return iter(self.results)

    def __getitem__(self, i: int) -> PutResult:
        return self.results[i]


def put_results(responses: Sequence[Any]) -> PutResults:
    """The answers of some PutDocuments, in order; at least one."""
    results = [PutResult(each.id, each.tokens_total, each.tokens_used, each.truncated) for response in responses for each in response.results]
    return PutResults(results, sum(response.added for response in responses), sum(response.replaced for response in responses),
                      collection_info(responses[-1].collection), Timings.of(*(response.timings for response in responses)))


class Collection:
    """The documents that a server keeps under one name; Client.collection gives it. Thread safe.

        contracts = client.collection("contracts")
        contracts.put({"lease": "The lease ends in May. ..."})
        for found in contracts.search("When does the lease end?"):
            found.id, found.score, found.spans[0].characters

    The server keeps what a search needs, not the texts. With keys a collection is of the key's
    name, and nobody else sees it.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.name = _check_name(name)
        self._client = client

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"

    def put(self, documents: DocumentsToKeep, *, timeout: Optional[float] = None, **options: Unpack[PutOptions]) -> PutResults:
        """Reads documents and keeps them, in a new collection where there is none of this name.

        documents  pairs (id, text), or a mapping of ids to texts, each with an id of its own. One
                   whose id the collection has takes that one's place
        timeout    seconds for each call
        options    those of PutOptions, as in ttl=3600

        A call keeps all of its documents or none. More than a request may hold are sent in several
        calls, one behind the other: an error ends it, and those of the calls before are kept. All
        of it may be done again. An iterator is read as calls are made.

        InvalidArgument tells the document at fault by `index` and `id`.
        """
        client, seconds = self._client, self._client._seconds(timeout)
        made = put_options(options)
        limits = client._known_limits(channels.Budget(seconds))
        return put_results([client._call(client._put, request, seconds, first) for first, request in put_requests(self.name, documents, made, limits)])

    def search(self, query: str, *, timeout: Optional[float] = None, **options: Unpack[KeptSearchOptions]) -> SearchResults:
        """Client.search over the documents of the collection. Its spans have places and no text.

        NotFound where there is no such collection.
        """
        client = self._client
        request = kept_search_request(self.name, query, options, client._answer_bytes)
        return searching.search_results(request, client._call(client._search, request, client._seconds(timeout)))

    def delete(self, ids: Union[str, Iterable[str]], *, timeout: Optional[float] = None) -> int:
        """Forgets the documents with these ids, or with this one, and returns how many there were.

        NotFound where there is no such collection.
        """
        client, seconds = self._client, self._client._seconds(timeout)
        return sum(client._call(client._delete, request, seconds, first).deleted for first, request in delete_requests(self.name, ids))

    def drop(self, *, timeout: Optional[float] = None) -> int:
        """Forgets the collection, and returns how many documents it had: 0 where there is none."""
        client = self._client
        request = contract.DeleteDocumentsRequest(collection=self.name, all=True)
        return int(client._call(client._delete, request, client._seconds(timeout)).deleted)


class AsyncCollection:
    """Collection for asyncio; AsyncClient.collection gives it."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self.name = _check_name(name)
        self._client = client

    def __repr__(self) -> str:
        return f"AsyncCollection({self.name!r})"

    async def put(self, documents: DocumentsToKeep, *, timeout: Optional[float] = None, **options: Unpack[PutOptions]) -> PutResults:
        """Collection.put."""
        client, seconds = self._client, self._client._seconds(timeout)
        made = put_options(options)
        limits = await client._known_limits(channels.Budget(seconds))
        return put_results([await client._call("PutDocuments", request, seconds, first)
                            for first, request in put_requests(self.name, documents, made, limits)])

    async def search(self, query: str, *, timeout: Optional[float] = None, **options: Unpack[KeptSearchOptions]) -> SearchResults:
        """Collection.search."""
        client = self._client
        request = kept_search_request(self.name, query, options, client._answer_bytes)
        return searching.search_results(request, await client._call("Search", request, client._seconds(timeout)))

    async def delete(self, ids: Union[str, Iterable[str]], *, timeout: Optional[float] = None) -> int:
        """Collection.delete."""
        client, seconds = self._client, self._client._seconds(timeout)
        deleted = 0
        for first, request in delete_requests(self.name, ids):
            deleted += (await client._call("DeleteDocuments", request, seconds, first)).deleted
        return deleted

    async def drop(self, *, timeout: Optional[float] = None) -> int:
        """Collection.drop."""
        client = self._client
        request = contract.DeleteDocumentsRequest(collection=self.name, all=True)
        return int((await client._call("DeleteDocuments", request, client._seconds(timeout))).deleted)
