"""What callers give, as messages."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from . import _contract as contract

if TYPE_CHECKING:
    from typing import Literal, TypedDict

    import numpy.typing as npt

    Pooling = Literal["cls", "mean", "max", "mean_sqrt_len", "weighted_mean", "last_token"]
    Truncation = Literal["reject", "head", "tail", "head_tail", "windows"]
    Format = Literal["float32", "float16", "bfloat16", "int8", "binary"]
    Attention = Literal["none", "cls", "positions"]
    Role = Literal["document", "query"]
    Context = Literal["document", "independent"]
    Policy = Union[Literal["sentences", "paragraphs"], tuple[Literal["fixed"], int, int]]
    Ranges = Union[Sequence[tuple[int, int]], npt.NDArray[np.integer[Any]]]
    TokenIds = Union[Sequence[int], npt.NDArray[np.integer[Any]]]

    class EncodeOptions(TypedDict, total=False):
        """How to encode. Each that is left out, or None, is the model's default."""

        pooling: Optional[Pooling]
        normalize: Optional[bool]
        truncation: Optional[Truncation]  # of a text that is too long; default "reject"
        max_tokens: Optional[int]  # what is too long, at most limits.max_tokens, the default
        window_overlap: Optional[int]  # tokens that neighbours share, with truncation="windows"
        dimensions: Optional[int]  # values to keep (Matryoshka)
        format: Optional[Format]  # of the vectors; default "float32"
        prompt: Optional[str]  # name of one of the model's prompts
        global_attention: Optional[Attention]
        num_hashes: Optional[int]  # of models with LSH attention, as is hash_seed
        hash_seed: Optional[int]
        role: Optional[Role]  # of multi-vector models; default "document"
        token_pooling: Optional[int]  # of encode_tokens: 2 or 4 neighbours become one vector
        lexical: Optional[Lexical]  # a lexical vector of each text and span beside its vector
        dense: Optional[bool]  # of encode, encode_stream: False with lexical = without the vector


@dataclasses.dataclass(frozen=True)
class Input:
    """A text with what belongs to it alone.

    content                 a text, or its token ids, special tokens included
    id                      comes back with the answer and with errors
    global_attention_spans  ranges [begin, end) of characters whose tokens attend to all tokens
    global_token_positions  the same as indices of tokens
    """

    content: Union[str, TokenIds]
    id: str = ""
    global_attention_spans: Ranges = ()
    global_token_positions: TokenIds = ()


@dataclasses.dataclass(frozen=True)
class Lexical:
    """How the words of texts become lexical vectors (BM25), for stores of sparse vectors.

    language             whose rules make stems, as "german"; "none" = the words as they are
    k1                   how fast repetitions of a word stop to count
    b                    how much long texts pay for their length, 0 to 1
    average_length       words of a usual text of the collection
    average_span_length  words of a usual span; 0 = average_length
    stop_words           words that count nothing, not for the length either
    query                the text is a question: each of its words weighs 1
    """

    language: str = "english"
    k1: float = 1.2
    b: float = 0.75
    average_length: float = 256.0
    average_span_length: float = 0.0
    stop_words: Sequence[str] = ()
    query: bool = False


if TYPE_CHECKING:
    Content = Union[str, TokenIds, Input]
    Contents = Union[Content, Iterable[Content]]


def is_one(contents: Any) -> bool:
    """Whether these are one input (a text, the ids of a text), not several."""
    if isinstance(contents, (str, Input)):
        return True
    if isinstance(contents, np.ndarray):
        return contents.ndim == 1 and bool(np.issubdtype(contents.dtype, np.integer))
    return isinstance(contents, Sequence) and len(contents) > 0 and all(isinstance(i, (int, np.integer)) for i in contents)


def list_of(contents: Contents) -> list[Any]:
    """The inputs as a list of messages."""
    given: Any = contents
    return [input_message(given)] if is_one(given) else [input_message(each) for each in given]


def input_message(content: Any, id: Optional[str] = None) -> Any:
    """One input; `id` stands for its own. TypeError for what is neither text nor ids."""
    given = content if isinstance(content, Input) else Input(content)
    made = contract.Input(id=given.id if id is None else id)
    if isinstance(given.content, str):
        made.text = given.content
    elif isinstance(given.content, (bytes, bytearray)) or not isinstance(given.content, (Sequence, np.ndarray)):
        raise TypeError(f"an input is a str, the token ids of a text, or an Input; got {type(given.content).__name__}")
    else:
        made.token_ids.ids.extend(np.asarray(given.content, dtype=np.int64).tolist())
    if len(given.global_attention_spans):
        made.global_attention_spans.extend(ranges(given.global_attention_spans))
    if len(given.global_token_positions):
        made.global_token_positions.extend(np.asarray(given.global_token_positions).tolist())
    return made


def ranges(pairs: Ranges) -> Iterator[Any]:
    """Messages of [begin, end) pairs, or of an array [n, 2]."""
    make = contract.Range
    return (make(begin=begin, end=end) for begin, end in (pairs.tolist() if isinstance(pairs, np.ndarray) else pairs))


def options_message(options: Mapping[str, object], answer_bytes: int) -> Any:
    """The message of EncodeOptions. TypeError for another name, ValueError for a bad value.

    `answer_bytes`: the largest message that the channel takes.
    """
    made = contract.EncodeOptions(max_answer_bytes=answer_bytes)
    for name, value in options.items():
        if name not in _OPTIONS:
            raise TypeError(f"there is no option {name!r}; allowed: {', '.join(_OPTIONS)}")
        field, enum = _OPTIONS[name]
        if isinstance(value, Lexical):
            made.lexical.CopyFrom(contract.LexicalOptions(**dataclasses.asdict(value)))
        elif value is not None:
            setattr(made, field, contract.enum_value(enum, str(value)) if enum else value)
    return made


# Each option's field in the contract, and its enum.
_OPTIONS = {
    "pooling": ("pooling", "Pooling"),
    "normalize": ("normalize", ""),
    "truncation": ("truncation", "Truncation"),
    "max_tokens": ("max_tokens", ""),
    "window_overlap": ("window_overlap_tokens", ""),
    "dimensions": ("dimensions", ""),
    "format": ("vector_format", "VectorFormat"),
    "prompt": ("prompt_name", ""),
    "global_attention": ("global_attention", "GlobalAttention"),
    "num_hashes": ("num_hashes", ""),
    "hash_seed": ("hash_seed", ""),
    "role": ("text_role", "TextRole"),
    "token_pooling": ("token_pooling", ""),
    "lexical": ("lexical", ""),
    "dense": ("include_document_vector", ""),
}


def spans_request(text: Any, spans: Optional[Ranges], policy: Optional[Policy], context: Context,
                  include_document: bool, span_min_tokens: int, span_max_tokens: int, options: Mapping[str, object],
                  answer_bytes: int) -> Any:
    """The Encode of one text with spans. ValueError unless one of spans and policy is given."""
    if (spans is None) == (policy is None):
        raise ValueError("give either spans or a policy: 'sentences', 'paragraphs' or ('fixed', tokens, overlap)")
    request = contract.EncodeRequest(inputs=[input_message(text)], options=options_message(options, answer_bytes))
    request.options.span_context = contract.enum_value("SpanContext", context)
    request.options.include_document_vector = include_document
    request.options.span_min_tokens = span_min_tokens
    request.options.span_max_tokens = span_max_tokens
    if spans is not None:
        request.inputs[0].spans.extend(ranges(spans))
        request.options.span_policy = contract.enum_value("SpanPolicy", "given")
    elif isinstance(policy, tuple):
        kind, request.options.span_tokens, request.options.span_overlap_tokens = policy
        request.options.span_policy = contract.enum_value("SpanPolicy", kind)
    else:
        request.options.span_policy = contract.enum_value("SpanPolicy", str(policy))
    return request


def encode_requests(inputs: list[Any], options: Mapping[str, object], answer_bytes: int, limits: Any) -> list[tuple[int, Any]]:
    """Requests within the server's limits, each with the place of its first input."""
    message = options_message(options, answer_bytes)
    divided = [(0, inputs)] if limits is None else batches(inputs, limits)
    return [(first, contract.EncodeRequest(inputs=held, options=message)) for first, held in divided]


def batches(messages: Iterable[Any], limits: Any) -> Iterator[tuple[int, list[Any]]]:
    """Inputs or documents as the server's limits divide them among requests, each batch with the
    place of its first one. They are taken as batches are; without any there is one empty batch."""
    most_texts = limits.max_texts_per_request or float("inf")
    # A tenth is left for the options and for what frames each message.
    most_bytes = limits.max_request_bytes * 9 // 10 or float("inf")
    held: list[Any] = []
    first, size = 0, 0
    for each in messages:
        each_size = each.ByteSize()
        if held and (len(held) == most_texts or size + each_size > most_bytes):
            yield first, held
            first, held, size = first + len(held), [], 0
        held.append(each)
        size += each_size
    yield first, held


def ids_of(request: Any) -> list[str]:
    """The ids of what a request holds: of its inputs, of its documents, or those that it names."""
    for field in ("inputs", "documents"):
        if hasattr(request, field):
            return [each.id for each in getattr(request, field)]
    return list(getattr(request, "ids", ()))
