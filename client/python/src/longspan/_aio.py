"""AsyncClient: Client for asyncio."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

import grpc
import grpc.aio

from . import _answers as answers
from . import _channel as channels
from . import _collections as kept
from . import _contract as contract
from . import _requests as requests
from . import _search as searching
from ._errors import of_call
from ._stream import Attempt, Ledger

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._answers import Encodings, ModelInfo, Spans, StreamAnswer, TokenizedText, TokenVectors
    from ._channel import PathOrPem
    from ._collections import AsyncCollection, CollectionInfo
    from ._requests import Content, Contents, Context, EncodeOptions, Policy, Ranges
    from ._search import Documents, SearchOptions, SearchResults


class AsyncClient:
    """Client for asyncio: the same names, parameters, answers and errors.

        async with AsyncClient("127.0.0.1:50051") as client:
            vectors = (await client.encode(["one text", "another"])).vectors

    It belongs to the event loop of its first call, and to that one alone.
    """

    def __init__(self, target: str = "127.0.0.1:50051", *, key: Optional[str] = None, tls: bool = False,
                 ca: Optional[PathOrPem] = None, certificate: Optional[PathOrPem] = None, private_key: Optional[PathOrPem] = None,
                 timeout: Optional[float] = 60.0, no_deadline: bool = False, retry: bool = True,
                 health_checks: bool = False, options: Sequence[tuple[str, Any]] = ()) -> None:
        self._timeout = channels.check_timeout(timeout, no_deadline)
        self._retry = retry
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._target, self._secret = target, channels.credentials(tls, ca, certificate, private_key)
        self._options = channels.options(target, retry, health_checks, options)
        self._answer_bytes = channels.answer_bytes(self._options)
        self._open: Any = None  # the channel, from the first call on, when there is a loop
        self._limits: Any = None
        self._dimensions = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all calls and the connection."""
        if self._open is not None:
            await self._open.close()

    async def encode(self, texts: Contents, *, timeout: Optional[float] = None, concurrency: int = 4,
                     **options: Unpack[EncodeOptions]) -> Encodings:
        """Client.encode."""
        inputs = requests.list_of(texts)
        budget = channels.Budget(self._seconds(timeout))
        limits = None if len(inputs) == 1 else await self._known_limits(budget)
        if not inputs:
            requests.options_message(options, self._answer_bytes)
            return answers.encodings([], options.get("dimensions") or self._dimensions)
        room = asyncio.Semaphore(max(concurrency, 1))

        async def one(first: int, request: Any) -> Any:
            async with room:
                return await self._call("Encode", request, budget.left(), first)

        tasks = [asyncio.ensure_future(one(*each)) for each in requests.encode_requests(inputs, options, self._answer_bytes, limits)]
        try:
            return answers.encodings(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def encode_spans(self, text: Content, spans: Optional[Ranges] = None, *, policy: Optional[Policy] = None,
                           span_min_tokens: int = 0, span_max_tokens: int = 0, context: Context = "document", include_document: bool = False,
                           timeout: Optional[float] = None, **options: Unpack[EncodeOptions]) -> Spans:
        """Client.encode_spans."""
        request = requests.spans_request(text, spans, policy, context, include_document, span_min_tokens, span_max_tokens, options,
                                         self._answer_bytes)
        response = await self._call("Encode", request, self._seconds(timeout))
        return answers.spans(response, request.inputs[0].text if request.inputs[0].HasField("text") else None)

    async def encode_tokens(self, text: Content, *, timeout: Optional[float] = None, **options: Unpack[EncodeOptions]) -> TokenVectors:
        """Client.encode_tokens."""
        request = contract.EncodeTokensRequest(input=requests.input_message(text), options=requests.options_message(options, self._answer_bytes))
        reader = answers.TokenVectorsReader(len(request.input.token_ids.ids) or len(request.input.text) // 3)
        method = self._channel.unary_stream(contract.path("EncodeTokens"), contract.EncodeTokensRequest.SerializeToString,
                                            contract.EncodeTokensResponse.FromString)
        try:
            async for message in method(request, timeout=self._seconds(timeout), metadata=self._metadata):
                reader.take(message)
        except grpc.RpcError as error:
            raise of_call(error, ids=[request.input.id]) from None
        return reader.done()

    def encode_stream(self, texts: Union[Iterable[Content], AsyncIterable[Content]], *, in_flight: int = 256,
                      timeout: Optional[float] = None, **options: Unpack[EncodeOptions]) -> AsyncIterator[StreamAnswer]:
        """Client.encode_stream; `texts` may be an async iterable."""
        ledger = Ledger(requests.options_message(options, self._answer_bytes), in_flight, self._seconds(timeout), self._retry)
        return self._answers(_Source(texts, ledger), ledger)

    async def tokenize(self, texts: Union[str, Iterable[str]], *, add_special_tokens: bool = True, prompt: str = "",
                       timeout: Optional[float] = None) -> list[TokenizedText]:
        """Client.tokenize."""
        request = contract.TokenizeRequest(texts=[texts] if isinstance(texts, str) else texts, add_special_tokens=add_special_tokens, prompt_name=prompt,
                                           max_answer_bytes=self._answer_bytes)
        return [answers.tokenized(text) for text in (await self._call("Tokenize", request, self._seconds(timeout))).texts]

    async def search(self, query: str, documents: Documents, *, timeout: Optional[float] = None,
                     **options: Unpack[SearchOptions]) -> SearchResults:
        """Client.search."""
        request = searching.search_request(query, documents, options, self._answer_bytes)
        return searching.search_results(request, await self._call("Search", request, self._seconds(timeout)))

    def collection(self, name: str) -> AsyncCollection:
        """Client.collection."""
        return kept.AsyncCollection(self, name)

    async def collections(self, *, timeout: Optional[float] = None) -> list[CollectionInfo]:
        """Client.collections."""
        response = await self._call("ListCollections", contract.ListCollectionsRequest(), self._seconds(timeout))
        return [kept.collection_info(each) for each in response.collections]

    async def info(self, *, timeout: Optional[float] = None) -> ModelInfo:
        """Client.info."""
        return answers.model_info(await self._call("GetModelInfo", contract.GetModelInfoRequest(), self._seconds(timeout)))

    async def health(self, service: str = "", *, timeout: Optional[float] = None) -> str:
        """Client.health."""
        return answers.health(await self._call("Check", contract.HealthCheckRequest(service=service), self._seconds(timeout)))

    @property
    def _channel(self) -> Any:
        if self._open is None:
            aio = grpc.aio
            self._open = aio.secure_channel(self._target, self._secret, self._options) if self._secret else aio.insecure_channel(self._target, self._options)
        return self._open

    def _seconds(self, timeout: Optional[float]) -> Optional[float]:
        return self._timeout if timeout is None else channels.check_timeout(timeout, False)

    async def _call(self, method: str, request: Any, seconds: Optional[float], first: int = 0) -> Any:
        path, response = _UNARY[method]
        call = self._channel.unary_unary(path, type(request).SerializeToString, response.FromString)
        try:
            return await call(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise of_call(error, ids=requests.ids_of(request), first=first) from None

    async def _known_limits(self, budget: channels.Budget) -> Any:
        if self._limits is None:
            info = await self._call("GetModelInfo", contract.GetModelInfoRequest(), budget.left())
            self._dimensions, self._limits = info.dimensions, info.limits
        return self._limits

    async def _answers(self, source: _Source, ledger: Ledger) -> AsyncIterator[StreamAnswer]:
        method = self._channel.stream_stream(contract.path("EncodeStream"), contract.EncodeStreamRequest.SerializeToString,
                                             contract.EncodeStreamResponse.FromString)
        try:
            while True:
                attempt = ledger.begin()
                call = method(source.messages(attempt), timeout=ledger.deadline, metadata=self._metadata)
                failed: Optional[grpc.RpcError] = None
                try:
                    async for message in call:
                        answer = ledger.answer(attempt, message)
                        source.changed.set()
                        if answer is not None:
                            yield answer
                except grpc.RpcError as error:
                    failed = error
                finally:
                    attempt.closed = True
                    source.changed.set()
                    call.cancel()
                if source.failure is not None:
                    raise source.failure
                pause = ledger.end(attempt, failed)
                if pause is None:
                    return
                await asyncio.sleep(pause)
        finally:
            source.cancel()


_UNARY = {
    "Encode": (contract.path("Encode"), contract.EncodeResponse),
    "Tokenize": (contract.path("Tokenize"), contract.TokenizeResponse),
    "Search": (contract.path("Search"), contract.SearchResponse),
    "PutDocuments": (contract.path("PutDocuments"), contract.PutDocumentsResponse),
    "DeleteDocuments": (contract.path("DeleteDocuments"), contract.DeleteDocumentsResponse),
    "ListCollections": (contract.path("ListCollections"), contract.ListCollectionsResponse),
    "GetModelInfo": (contract.path("GetModelInfo"), contract.GetModelInfoResponse),
    "Check": ("/grpc.health.v1.Health/Check", contract.HealthCheckResponse),
}


class _Source:
    """Takes the caller's texts, one at a time."""

    def __init__(self, texts: Any, ledger: Ledger) -> None:
        self.failure: Optional[BaseException] = None  # what `texts` raised
        self.changed = asyncio.Event()
        self._ledger = ledger
        self._is_async = hasattr(texts, "__aiter__")
        self._texts = texts.__aiter__() if self._is_async else iter(texts)
        # A text that is on its way. A stream that breaks does not cancel it: the next one gets it.
        self._coming: Optional[asyncio.Task[Any]] = None

    def cancel(self) -> None:
        if self._coming is not None:
            self._coming.cancel()

    async def messages(self, attempt: Attempt) -> AsyncIterator[Any]:
        """The messages of one stream."""
        ledger = self._ledger
        while not attempt.closed:
            message = ledger.next_to_send()
            if message is not None:
                yield message
            elif self.failure is not None or not ledger.may_take(attempt):
                return
            elif ledger.is_full():
                await self._wait_for_change()
            elif not self._is_async:
                self._take_next()
                # Iterables that never wait leave the loop to the answers here.
                await asyncio.sleep(0)
            else:
                await self._await_next()

    async def _wait_for_change(self) -> None:
        self.changed.clear()
        try:
            # Answers end it; the limit is for a stream that grows old meanwhile.
            await asyncio.wait_for(self.changed.wait(), 1.0)
        except asyncio.TimeoutError:
            pass

    def _take_next(self) -> None:
        try:
            self._ledger.take(next(self._texts))
        except StopIteration:
            self._ledger.exhausted = True
        except Exception as error:
            self.failure = error

    async def _await_next(self) -> None:
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._texts.__anext__())
        await asyncio.wait({self._coming}, timeout=1.0)
        if self._coming is None or not self._coming.done():
            return
        coming, self._coming = self._coming, None
        try:
            self._ledger.take(coming.result())
        except StopAsyncIteration:
            self._ledger.exhausted = True
        except Exception as error:
            self.failure = error
