"""Client: calls a longspan server."""
from __future__ import annotations

import collections
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

import grpc

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
    from ._collections import Collection, CollectionInfo
    from ._requests import Content, Contents, Context, EncodeOptions, Policy, Ranges
    from ._search import Documents, SearchOptions, SearchResults


class Client:
    """Calls a longspan server over gRPC. Thread safe; close it, or use it as a context manager.

        with Client("127.0.0.1:50051") as client:
            vectors = client.encode(["one text", "another"]).vectors

    target       HOST:PORT, unix:PATH, or another name that gRPC resolves; all of its addresses are
                 called in turn
    key          sent as "authorization: Bearer KEY"
    tls          TLS with the authorities of the system. On too where ca or certificate is given
    ca           PEM file (or its bytes) with the authorities that may sign the server's certificate
    certificate, private_key
                 PEM files (or their bytes) for servers that ask for the caller's certificate
    timeout      seconds that a call may take, all attempts together. Each method's `timeout` wins
    no_deadline  calls may wait for ever; `timeout` is not used
    retry        whether calls are made again while the server is UNAVAILABLE or RESOURCE_EXHAUSTED:
                 up to 5 attempts, and when the server says
    health_checks
                 whether each address is asked for its health, and left out while it is not SERVING.
                 For a target that resolves to every server, as a headless Service does; not for one
                 address that stands for several
    options      further options of gRPC's channel, which win over ours

    Errors are LongspanError and its subclasses. ValueError and TypeError are raised for what no
    server can be asked.
    """

    def __init__(self, target: str = "127.0.0.1:50051", *, key: Optional[str] = None, tls: bool = False,
                 ca: Optional[PathOrPem] = None, certificate: Optional[PathOrPem] = None, private_key: Optional[PathOrPem] = None,
                 timeout: Optional[float] = 60.0, no_deadline: bool = False, retry: bool = True,
                 health_checks: bool = False, options: Sequence[tuple[str, Any]] = ()) -> None:
        self._timeout = channels.check_timeout(timeout, no_deadline)
        self._retry = retry
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        secret = channels.credentials(tls, ca, certificate, private_key)
        made = channels.options(target, retry, health_checks, options)
        self._answer_bytes = channels.answer_bytes(made)
        self._channel = grpc.secure_channel(target, secret, made) if secret else grpc.insecure_channel(target, made)
        self._limits: Any = None  # of the contract
        self._dimensions = 0
        unary, stream = self._channel.unary_unary, self._channel.unary_stream
        self._encode = unary(contract.path("Encode"), contract.EncodeRequest.SerializeToString, contract.EncodeResponse.FromString)
        self._tokenize = unary(contract.path("Tokenize"), contract.TokenizeRequest.SerializeToString, contract.TokenizeResponse.FromString)
        self._info = unary(contract.path("GetModelInfo"), contract.GetModelInfoRequest.SerializeToString, contract.GetModelInfoResponse.FromString)
        self._search = unary(contract.path("Search"), contract.SearchRequest.SerializeToString, contract.SearchResponse.FromString)
        self._put = unary(contract.path("PutDocuments"), contract.PutDocumentsRequest.SerializeToString, contract.PutDocumentsResponse.FromString)
        self._delete = unary(contract.path("DeleteDocuments"), contract.DeleteDocumentsRequest.SerializeToString, contract.DeleteDocumentsResponse.FromString)
        self._list = unary(contract.path("ListCollections"), contract.ListCollectionsRequest.SerializeToString, contract.ListCollectionsResponse.FromString)
        self._tokens = stream(contract.path("EncodeTokens"), contract.EncodeTokensRequest.SerializeToString, contract.EncodeTokensResponse.FromString)
        self._stream = self._channel.stream_stream(contract.path("EncodeStream"), contract.EncodeStreamRequest.SerializeToString,
                                                   contract.EncodeStreamResponse.FromString)
        self._health = unary("/grpc.health.v1.Health/Check", contract.HealthCheckRequest.SerializeToString, contract.HealthCheckResponse.FromString)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls and the connection."""
        self._channel.close()

    def encode(self, texts: Contents, *, timeout: Optional[float] = None, concurrency: int = 4,
               **options: Unpack[EncodeOptions]) -> Encodings:
        """One vector for each text, in order: all are encoded, or an error is raised.

        texts        a text, the token ids of a text, an Input, or several of them. More than a
                     request may hold are sent in several, `concurrency` at once
        options      those of EncodeOptions, as in pooling="mean"

        InvalidArgument tells the text at fault by `index` and `id`.
        """
        inputs = requests.list_of(texts)
        budget = channels.Budget(self._seconds(timeout))
        limits = None if len(inputs) == 1 else self._known_limits(budget)
        if not inputs:
            requests.options_message(options, self._answer_bytes)
            return answers.encodings([], options.get("dimensions") or self._dimensions)
        responses = []
        calls: collections.deque[tuple[int, Any, Any]] = collections.deque()
        try:
            for first, request in requests.encode_requests(inputs, options, self._answer_bytes, limits):
                if len(calls) >= max(concurrency, 1):
                    responses.append(self._await(*calls.popleft()))
                calls.append((first, request, self._encode.future(request, timeout=budget.left(), metadata=self._metadata)))
            while calls:
                responses.append(self._await(*calls.popleft()))
        finally:
            for _, _, call in calls:
                call.cancel()
        return answers.encodings(responses)

    def encode_spans(self, text: Content, spans: Optional[Ranges] = None, *, policy: Optional[Policy] = None,
                     span_min_tokens: int = 0, span_max_tokens: int = 0, context: Context = "document", include_document: bool = False,
                     timeout: Optional[float] = None, **options: Unpack[EncodeOptions]) -> Spans:
        """A vector for each span of one text, in one pass over it (late chunking).

        spans             ranges [begin, end) of characters, of tokens where token ids are given; a
                          list of pairs or an array [n, 2]
        policy            instead of spans: "sentences", "paragraphs" or ("fixed", tokens, overlap)
        span_min_tokens   of a policy's sentences or paragraphs, merge shorter ones with those
                          behind them, else with the one before; 0 = none
        span_max_tokens   and divide longer ones: between sentences, clauses, words or tokens, the
                          best that there is; 0 = none
        context           what the vectors have seen: "document", the whole text; "independent", the
                          span alone
        include_document  whether the whole text's vector is wanted too
        """
        request = requests.spans_request(text, spans, policy, context, include_document, span_min_tokens, span_max_tokens, options,
                                         self._answer_bytes)
        response = self._await(0, request, self._encode.future(request, timeout=self._seconds(timeout), metadata=self._metadata))
        return answers.spans(response, request.inputs[0].text if request.inputs[0].HasField("text") else None)

    def encode_tokens(self, text: Content, *, timeout: Optional[float] = None, **options: Unpack[EncodeOptions]) -> TokenVectors:
        """A vector for each token of one text.

        They are normalised only with normalize=True, those of a multi-vector model as it says. With
        token_pooling=2 or 4 so many neighbours become one vector, their mean.
        """
        request = contract.EncodeTokensRequest(input=requests.input_message(text), options=requests.options_message(options, self._answer_bytes))
        reader = answers.TokenVectorsReader(len(request.input.token_ids.ids) or len(request.input.text) // 3)
        try:
            for message in self._tokens(request, timeout=self._seconds(timeout), metadata=self._metadata):
                reader.take(message)
        except grpc.RpcError as error:
            raise of_call(error, ids=[request.input.id]) from None
        return reader.done()

    def encode_stream(self, texts: Iterable[Content], *, in_flight: int = 256, timeout: Optional[float] = None,
                      **options: Unpack[EncodeOptions]) -> Iterator[StreamAnswer]:
        """Encodes any number of texts and yields an answer for each, as they come.

            for answer in client.encode_stream(texts):
                answer.index, answer.id, answer.vector, answer.error

        What is wrong with one text stands in its answer and never ends the stream. At most
        `in_flight` texts are taken and not answered: no more are taken while the server is busy or
        the caller takes no answers. A stream that breaks goes on with another server or a later
        attempt.

        texts    is read on another thread. What it raises ends the stream and is raised here
        timeout  seconds for each text, not for all
        """
        return self._answers(iter(texts), Ledger(requests.options_message(options, self._answer_bytes), in_flight, self._seconds(timeout), self._retry))

    def tokenize(self, texts: Union[str, Iterable[str]], *, add_special_tokens: bool = True, prompt: str = "",
                 timeout: Optional[float] = None) -> list[TokenizedText]:
        """The token ids of each text, with places in bytes and characters."""
        request = contract.TokenizeRequest(texts=[texts] if isinstance(texts, str) else texts, add_special_tokens=add_special_tokens, prompt_name=prompt,
                                           max_answer_bytes=self._answer_bytes)
        return [answers.tokenized(text) for text in self._call(self._tokenize, request, self._seconds(timeout)).texts]

    def search(self, query: str, documents: Documents, *, timeout: Optional[float] = None,
               **options: Unpack[SearchOptions]) -> SearchResults:
        """The documents that answer a question best, and the places in them.

            for found in client.search("When does the lease end?", texts, limit=3):
                found.index, found.score, found.spans[0].text

        documents    texts, pairs (id, text), or a mapping of ids to texts
        options      those of SearchOptions, as in span_tokens=128

        InvalidArgument tells the document at fault by `index` and `id`.
        """
        request = searching.search_request(query, documents, options, self._answer_bytes)
        return searching.search_results(request, self._call(self._search, request, self._seconds(timeout)))

    def collection(self, name: str) -> Collection:
        """The documents that the server keeps under a name, which it need not have yet.

            client.collection("contracts").put({"lease": "The lease ends in May. ..."})
        """
        return kept.Collection(self, name)

    def collections(self, *, timeout: Optional[float] = None) -> list[CollectionInfo]:
        """The caller's collections, by name."""
        response = self._call(self._list, contract.ListCollectionsRequest(), self._seconds(timeout))
        return [kept.collection_info(each) for each in response.collections]

    def info(self, *, timeout: Optional[float] = None) -> ModelInfo:
        """The model, its dimensions and attention, and every limit in force."""
        return answers.model_info(self._call(self._info, contract.GetModelInfoRequest(), self._seconds(timeout)))

    def health(self, service: str = "", *, timeout: Optional[float] = None) -> str:
        """SERVING or NOT_SERVING; needs no key. "" asks for the whole server."""
        return answers.health(self._call(self._health, contract.HealthCheckRequest(service=service), self._seconds(timeout)))

    def _seconds(self, timeout: Optional[float]) -> Optional[float]:
        return self._timeout if timeout is None else channels.check_timeout(timeout, False)

    def _call(self, method: Any, request: Any, seconds: Optional[float], first: int = 0) -> Any:
        """`first`: place of the request's first input or document among those that were given."""
        try:
            return method(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise of_call(error, ids=requests.ids_of(request), first=first) from None

    @staticmethod
    def _await(first: int, request: Any, call: Any) -> Any:
        try:
            return call.result()
        except grpc.RpcError as error:
            raise of_call(error, ids=requests.ids_of(request), first=first) from None
        except BaseException:  # as KeyboardInterrupt: the server need not go on
            call.cancel()
            raise

    def _known_limits(self, budget: channels.Budget) -> Any:
        if self._limits is None:
            info = self._call(self._info, contract.GetModelInfoRequest(), budget.left())
            self._dimensions, self._limits = info.dimensions, info.limits
        return self._limits

    def _answers(self, texts: Iterator[Any], ledger: Ledger) -> Iterator[StreamAnswer]:
        source = _Source(texts, ledger)
        while True:
            attempt = source.begin()
            call = self._stream(source.messages(attempt), timeout=ledger.deadline, metadata=self._metadata)
            failed: Optional[grpc.RpcError] = None
            try:
                for message in call:
                    answer = source.answer(attempt, message)
                    if answer is not None:
                        yield answer
            except grpc.RpcError as error:
                failed = error
            finally:
                source.close(attempt)
                call.cancel()
            if source.failure is not None:
                raise source.failure
            pause = ledger.end(attempt, failed)
            if pause is None:
                return
            time.sleep(pause)


class _Source:
    """Takes the caller's texts on gRPC's threads, one at a time."""

    def __init__(self, texts: Iterator[Any], ledger: Ledger) -> None:
        self.failure: Optional[BaseException] = None  # what `texts` raised
        self._texts, self._ledger = texts, ledger
        self._changed = threading.Condition()  # guards the ledger and what is below
        self._taking = False  # a thread is in next(texts), which may last

    def begin(self) -> Attempt:
        with self._changed:
            return self._ledger.begin()

    def close(self, attempt: Attempt) -> None:
        with self._changed:
            attempt.closed = True
            self._changed.notify_all()

    def answer(self, attempt: Attempt, message: Any) -> Optional[StreamAnswer]:
        with self._changed:
            answer = self._ledger.answer(attempt, message)
            self._changed.notify_all()
            return answer

    def messages(self, attempt: Attempt) -> Iterator[Any]:
        """The messages of one stream, for gRPC's thread."""
        while True:
            with self._changed:
                while True:
                    message = None if attempt.closed else self._ledger.next_to_send()
                    if message is not None:
                        break
                    if self.failure is not None or not self._ledger.may_take(attempt):
                        return
                    if not self._taking and not self._ledger.is_full():
                        self._taking = True
                        break
                    # Answers wake it; the limit is for a stream that grows old meanwhile.
                    self._changed.wait(1.0)
            if message is not None:
                yield message
                continue
            self._take()

    def _take(self) -> None:
        """Takes one text, without the lock: whoever makes the texts may take long."""
        text, failure, ended = None, None, False
        try:
            text = next(self._texts)
        except StopIteration:
            ended = True
        except BaseException as error:
            failure = error
        with self._changed:
            self._taking = False
            if not ended and failure is None:
                try:
                    self._ledger.take(text)
                except (TypeError, ValueError) as error:
                    failure = error
            self._ledger.exhausted = self._ledger.exhausted or ended
            self.failure = failure
            self._changed.notify_all()
