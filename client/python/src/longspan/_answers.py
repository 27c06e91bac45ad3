"""Answers as numpy arrays."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from . import _contract as contract
from ._errors import LongspanError

if TYPE_CHECKING:
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]
    FloatArray = npt.NDArray[np.float32]
    # float32, float16, int8 or packed bits in uint8, as asked for; bfloat16 comes as float32.
    Vectors = npt.NDArray[Any]

_FLOAT32, _FLOAT16, _BFLOAT16, _INT8, _BINARY = range(1, 6)
_DTYPES: dict[int, Any] = {_FLOAT32: np.dtype("<f4"), _FLOAT16: np.dtype("<f2"), _BFLOAT16: np.dtype("<u2"), _INT8: np.dtype("i1"), _BINARY: np.dtype("u1")}


def _widened(raw: Any) -> Any:
    """bfloat16, which numpy does not have, as float32: its upper half."""
    return (raw.astype(np.uint32) << 16).view(np.float32)


def _width(format: int, dimensions: int) -> int:
    return (dimensions + 7) // 8 if format == _BINARY else dimensions


def _array(buffer: Any, format: int, rows: int, dimensions: int) -> Vectors:
    """[rows, dimensions] over the buffer; binary [rows, ceil(dimensions / 8)].

    ValueError if its size is another.
    """
    made: Any = np.frombuffer(buffer, _DTYPES[format]).reshape(rows, _width(format, dimensions))
    vectors: Vectors = _widened(made) if format == _BFLOAT16 else made
    return vectors


def one_vector(vector: Any) -> Vectors:
    """[dimensions], where it lies in the message: read-only."""
    made: Any = np.frombuffer(vector.values or vector.data, _DTYPES[vector.format])
    if made.size != _width(vector.format, vector.dimensions):
        raise ValueError(f"the server sent {made.size} values for a vector of {vector.dimensions}")
    values: Vectors = _widened(made) if vector.format == _BFLOAT16 else made
    return values


def stacked(vectors: Sequence[Any]) -> tuple[Vectors, Optional[FloatArray]]:
    """[n, dimensions] and, with int8, the scales [n]. One copy, from messages to array."""
    first = vectors[0]
    values = [v.values for v in vectors] if first.format == _FLOAT32 else [v.data for v in vectors]
    made = _array(bytearray().join(values), first.format, len(vectors), first.dimensions)
    return made, np.array([v.scale for v in vectors], np.float32) if first.format == _INT8 else None


def _pairs(ranges: Any) -> IntArray:
    return np.array([(r.begin, r.end) for r in ranges], np.int64).reshape(-1, 2)


@dataclasses.dataclass(frozen=True)
class LexicalVector:
    """The words of a text, for a store of sparse vectors.

    indices  [n] uint32 of the words, ascending
    values   [n] float32, their weights
    """

    indices: npt.NDArray[np.uint32]
    values: FloatArray

    def __len__(self) -> int:
        return len(self.indices)


def _lexical(message: Any) -> Optional[LexicalVector]:
    """Of a text or a span; None where none was asked for."""
    if not message.HasField("lexical"):
        return None
    found = message.lexical
    return LexicalVector(np.array(found.indices, np.uint32), np.frombuffer(found.values, "<f4"))


def _all_lexical(messages: Sequence[Any]) -> Optional[list[LexicalVector]]:
    found = [vector for vector in map(_lexical, messages) if vector is not None]
    return found if found and len(found) == len(messages) else None


@dataclasses.dataclass(frozen=True)
class Timings:
    """Where the time went: seconds of wall clock, and the size of the batch."""

    tokenize: float
    queue: float
    compute: float
    total: float
    batch_texts: int
    batch_tokens: int

    @classmethod
    def of(cls, *messages: Any) -> Timings:
        """The longest of each stage."""
        def most(field: str) -> int:
            return max((int(getattr(m, field)) for m in messages), default=0)

        return cls(most("tokenize_ns") * 1e-9, most("queue_ns") * 1e-9, most("compute_ns") * 1e-9, most("total_ns") * 1e-9,
                   most("batch_texts"), most("batch_tokens"))


class _HasVectors:
    vectors: Vectors
    scales: Optional[FloatArray]

    def to_float32(self) -> FloatArray:
        """The vectors as float32, whatever their format: int8 times its scale.

        TypeError for binary.
        """
        if self.vectors.dtype == np.uint8:
            raise TypeError("binary vectors hold signs, not values: compare them by their bits")
        values = self.vectors.astype(np.float32, copy=False)
        return values if self.scales is None else values * self.scales[:, None]


@dataclasses.dataclass(frozen=True)
class Encodings(_HasVectors):
    """A vector of each text, in the order given.

    vectors       [n, dimensions]; binary [n, ceil(dimensions / 8)] bytes, the first value in the
                  highest bit
    scales        [n] with int8, else None: value = int8 * scale
    ids           those of the inputs
    tokens_total  [n] tokens of each text, special tokens included
    tokens_used   [n] those that the model read
    truncated     [n] whether it read fewer than all
    used_text     for each text the byte ranges [k, 2] that the model read; of token ids none
    timings       the longest of each stage over the texts
    lexical       the words of each text, where they were asked for; else None
    """

    vectors: Vectors
    scales: Optional[FloatArray]
    ids: list[str]
    tokens_total: IntArray
    tokens_used: IntArray
    truncated: npt.NDArray[np.bool_]
    used_text: list[IntArray]
    timings: Timings
    lexical: Optional[list[LexicalVector]] = None

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Vectors]:
        return iter(self.vectors)


def encodings(responses: Sequence[Any], dimensions: int = 0) -> Encodings:
    """The answers of some Encode calls, in order. `dimensions`: where there is no text."""
    all = [encoding for response in responses for encoding in response.encodings]
    vectors: Vectors = np.empty((0, dimensions), np.float32)
    scales = None
    if all and all[0].HasField("vector"):
        vectors, scales = stacked([e.vector for e in all])
    return Encodings(vectors, scales, [e.id for e in all], np.array([e.tokens_total for e in all], np.int64),
                     np.array([e.tokens_used for e in all], np.int64), np.array([e.truncated for e in all], np.bool_),
                     [_pairs(e.used_text) for e in all], Timings.of(*(r.timings for r in responses)), _all_lexical(all))


@dataclasses.dataclass(frozen=True)
class Spans(_HasVectors):
    """The spans of one text, in its order; given spans in the order given.

    vectors       [n, dimensions]; binary as in Encodings
    scales        [n] with int8, else None
    bytes, characters, tokens
                  [n, 2] where each stands, as [begin, end); the first two are empty for token ids.
                  Tokens count those of the whole text, special tokens too
    document      [dimensions], the whole text's vector, where it was asked for; else None
    tokens_total, tokens_used, truncated, timings
                  of the whole text, as in Encodings
    lexical       the words of each span, where they were asked for; else None
    document_lexical
                  the words of the whole text, likewise
    """

    vectors: Vectors
    scales: Optional[FloatArray]
    bytes: IntArray
    characters: IntArray
    tokens: IntArray
    document: Optional[Vectors]
    tokens_total: int
    tokens_used: int
    truncated: bool
    timings: Timings
    source: Optional[str] = dataclasses.field(repr=False)
    lexical: Optional[list[LexicalVector]] = None
    document_lexical: Optional[LexicalVector] = None

    def __len__(self) -> int:
        return len(self.vectors)

    def text(self, i: int) -> str:
        """The text of span `i`. TypeError where token ids were given."""
        if self.source is None:
            raise TypeError("spans of token ids have no text")
        begin, end = self.characters[i]
        return self.source[begin:end]

    def texts(self) -> list[str]:
        return [self.text(i) for i in range(len(self))]


def spans(response: Any, text: Union[str, None]) -> Spans:
    encoding = response.encodings[0]
    found = encoding.spans
    vectors: Vectors = np.empty((0, 0), np.float32)
    scales = None
    if found:
        vectors, scales = stacked([s.vector for s in found])
    has_text = text is not None
    return Spans(vectors, scales, _pairs(s.bytes for s in found if has_text), _pairs(s.characters for s in found if has_text),
                 _pairs(s.tokens for s in found), one_vector(encoding.vector) if encoding.HasField("vector") else None,
                 encoding.tokens_total, encoding.tokens_used, encoding.truncated, Timings.of(response.timings), text,
                 _all_lexical(found), _lexical(encoding))


@dataclasses.dataclass(frozen=True)
class TokenVectors(_HasVectors):
    """A vector of each token of one text, special tokens included.

    vectors       [n, dimensions], n = tokens_used but for multi-vector models and with
                  token_pooling; binary as in Encodings
    tokens        [n] index of each vector's token, with token_pooling of its first one: those of a
                  multi-vector model have gaps where it leaves tokens out, and go on behind
                  tokens_used where it expands a query
    scales        [n] with int8, else None
    tokens_total, tokens_used, truncated, used_text, timings
                  of the text, as in Encodings
    tokens_per_vector
                  [n] of how many tokens each vector is the mean: 1 without token_pooling
    all_tokens    [sum of tokens_per_vector] indices of these tokens, vector after vector; tokens_of
                  gives those of one
    """

    vectors: Vectors
    tokens: IntArray
    scales: Optional[FloatArray]
    tokens_total: int
    tokens_used: int
    truncated: bool
    used_text: IntArray
    timings: Timings
    tokens_per_vector: IntArray
    all_tokens: IntArray

    def __len__(self) -> int:
        return len(self.vectors)

    def tokens_of(self, i: int) -> IntArray:
        """Indices of the tokens of which vector `i` is the mean; of its one token."""
        end = int(self.tokens_per_vector[: range(len(self))[i] + 1].sum())
        return self.all_tokens[end - int(self.tokens_per_vector[i]):end]


class TokenVectorsReader:
    """Fills one array from the messages of EncodeTokens."""

    def __init__(self, expected: int) -> None:
        """`expected`: tokens, where their number is known; a guess costs only a move."""
        self._expected = max(expected, 1)
        self._rows = 0
        self._array: Any = None
        self._scales: list[bytes] = []
        self._tokens: list[IntArray] = []
        self._counts: list[IntArray] = []
        self._last: Any = None

    def take(self, message: Any) -> None:
        self._last = message
        count = message.token_count
        if not count:
            return
        values = _array(message.values or message.data, message.format, count, message.dimensions)
        if self._array is None:
            self._array = np.empty((max(self._expected, count), values.shape[1]), values.dtype)
        if self._rows + count > len(self._array):
            # Nobody else holds the array, so its memory may move; large blocks only change their
            # mapping.
            self._array.resize((max(2 * len(self._array), self._rows + count), values.shape[1]), refcheck=False)
        self._array[self._rows:self._rows + count] = values
        self._rows += count
        self._scales.append(message.scales)
        if not message.token_ranges:
            self._tokens.append(np.arange(message.first_token, message.first_token + count, dtype=np.int64))
        self._tokens.extend(np.arange(one.begin, one.end, dtype=np.int64) for one in message.token_ranges)
        self._counts.append(np.array(message.tokens_per_vector, np.int64) if message.tokens_per_vector else np.ones(count, np.int64))

    def done(self) -> TokenVectors:
        if self._array is None:
            raise ValueError("the server sent no vectors")
        if len(self._array) != self._rows:
            self._array.resize((self._rows, self._array.shape[1]), refcheck=False)
        last = self._last
        scales = np.frombuffer(bytearray().join(self._scales), "<f4") if last.format == _INT8 else None
        tokens, counts = np.concatenate(self._tokens), np.concatenate(self._counts)
        if counts.sum() != len(tokens):
            raise ValueError(f"the server sent {len(tokens)} tokens for vectors of {counts.sum()}")
        return TokenVectors(self._array, tokens[np.cumsum(counts) - counts], scales, last.tokens_total, last.tokens_used, last.truncated,
                            _pairs(last.used_text), Timings.of(last.timings), counts, tokens)


class StreamAnswer:
    """What came of one input of a stream. Unpacks as `id, result`.

    index    place of the input among those given, from 0
    id       the id of the input; "" where it has none
    vector   [dimensions], a read-only view of the message; None where the input failed, or where
             none was asked for
    scale    with int8: value = int8 * scale; else 0
    error    why there is no vector; None where there is one
    tokens_total, tokens_used, truncated, timings
             of the text, as in Encodings
    lexical  the words of the text, where they were asked for; else None
    """

    __slots__ = ("index", "id", "vector", "scale", "error", "_message")

    def __init__(self, index: int, id: str, message: Any, error: Optional[LongspanError]) -> None:
        self.index, self.id, self._message, self.error = index, id, message, error
        vector = message.encoding.vector
        self.vector = one_vector(vector) if error is None and message.encoding.HasField("vector") else None
        self.scale: float = vector.scale

    @property
    def result(self) -> Union[Vectors, LongspanError]:
        return self.error if self.error is not None else self.vector  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.id, self.result))

    def __repr__(self) -> str:
        return f"StreamAnswer(index={self.index}, id={self.id!r}, {self.error!r})" if self.error else f"StreamAnswer(index={self.index}, id={self.id!r}, vector={self.vector!r})"

    @property
    def tokens_total(self) -> int:
        return int(self._message.encoding.tokens_total)

    @property
    def tokens_used(self) -> int:
        return int(self._message.encoding.tokens_used)

    @property
    def truncated(self) -> bool:
        return bool(self._message.encoding.truncated)

    @property
    def timings(self) -> Timings:
        return Timings.of(self._message.timings)

    @property
    def lexical(self) -> Optional[LexicalVector]:
        return _lexical(self._message.encoding)


@dataclasses.dataclass(frozen=True)
class TokenizedText:
    """The tokens of one text, in its order.

    ids         [n] indices in the vocabulary
    tokens      their texts in the vocabulary
    special     [n] whether each was added, not read from the text
    bytes, characters
                [n, 2] where each stands in the text, as [begin, end); empty for special tokens
    """

    ids: IntArray
    tokens: list[str]
    special: npt.NDArray[np.bool_]
    bytes: IntArray
    characters: IntArray

    def __len__(self) -> int:
        return len(self.tokens)


def tokenized(text: Any) -> TokenizedText:
    found = text.tokens
    return TokenizedText(np.array([t.id for t in found], np.int64), [t.text for t in found], np.array([t.special for t in found], np.bool_),
                         _pairs(t.bytes for t in found), _pairs(t.characters for t in found))


@dataclasses.dataclass(frozen=True)
class LayerAttention:
    """Attention of one layer; what its kind does not use is 0."""

    kind: str
    window: int
    chunk_length: int
    chunks_before: int
    chunks_after: int
    random_blocks: int


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits in force, by their names in the contract; 0 = none."""

    max_tokens: int
    max_text_bytes: int
    max_request_bytes: int
    max_texts_per_request: int
    max_batch_tokens: int
    max_queue_tokens: int
    max_queue_seconds: float
    max_concurrent_streams: int
    max_deadline_seconds: float
    default_deadline_seconds: float
    max_queue_bytes: int
    max_stream_inputs: int
    max_token_vector_bytes: int
    max_spans_per_text: int
    max_global_spans_per_text: int
    max_global_tokens: int
    max_answer_bytes: int
    max_receiving_bytes: int
    max_connections: int
    max_connections_per_client: int
    max_id_bytes: int
    max_prompt_name_bytes: int
    max_tokens_set_by: str
    max_uncut_bytes: int
    max_collection_bytes: int


@dataclasses.dataclass(frozen=True)
class QueryExpansion:
    """Tokens that a multi-vector model puts behind a query, by their names in the contract."""

    length: int
    is_fixed: bool
    is_attended: bool
    token_id: int


@dataclasses.dataclass(frozen=True)
class MultiVector:
    """What is a multi-vector model's own, by the names in the contract."""

    query_length: int
    document_length: int
    expansion: Optional[QueryExpansion]
    skipped_token_ids: list[int]
    skips_in_queries: bool
    skips_in_documents: bool


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """The model and the server, by the names of GetModelInfoResponse in the contract."""

    model: str
    architecture: str
    dtype: str
    device: str
    dimensions: int
    token_dimensions: int
    vocab_size: int
    pooling: list[str]
    normalize: bool
    layers: list[LayerAttention]
    supports_global_attention: bool
    default_global_attention: str
    dense_up_to: int
    supports_hashing: bool
    num_hashes: int
    hash_seed: int
    num_parameters: int
    weight_bytes: int
    has_tokenizer: bool
    prompt_names: list[str]
    default_prompt_name: str
    limits: Limits
    server_version: str
    libtorch_version: str
    num_replicas: int
    threads_per_replica: int
    length_multiple: int
    multi_vector: Optional[MultiVector]


def _plain(kind: Any, message: Any, **other: Any) -> Any:
    """A dataclass from the fields of its message. The tests hold their names together."""
    return kind(**{f.name: other[f.name] if f.name in other else getattr(message, f.name) for f in dataclasses.fields(kind)})


def _multi_vector(message: Any) -> Optional[MultiVector]:
    expansion = _plain(QueryExpansion, message.expansion) if message.HasField("expansion") else None
    made: MultiVector = _plain(MultiVector, message, expansion=expansion, skipped_token_ids=list(message.skipped_token_ids))
    return made


def model_info(response: Any) -> ModelInfo:
    attention = ("unspecified", "none", "cls", "positions")
    number = response.default_global_attention
    made: ModelInfo = _plain(ModelInfo, response, pooling=list(response.pooling), prompt_names=list(response.prompt_names),
                             layers=[_plain(LayerAttention, layer) for layer in response.layers], limits=_plain(Limits, response.limits),
                             multi_vector=_multi_vector(response.multi_vector) if response.HasField("multi_vector") else None,
                             default_global_attention=attention[number] if number < len(attention) else str(number))
    return made


def health(response: Any) -> str:
    """SERVING, NOT_SERVING, SERVICE_UNKNOWN or UNKNOWN."""
    values = contract.HealthCheckResponse.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number
    return str(values[response.status].name) if response.status in values else "UNKNOWN"
