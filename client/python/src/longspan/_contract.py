"""The messages of longspan.v1, from the descriptors that the build puts beside this module.

They live in a pool of their own. So they never meet the stubs of the same contract, of grpc.health
or of google.rpc that a program may hold beside this package, and they work with every protobuf that
pyproject.toml allows.

Packed floats are declared as bytes here. On the wire the two are the same, and numpy reads bytes
where they lie: an answer of 384 values is read in 1 microsecond, as numbers it takes 45.
"""
from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_SERVICE = "longspan.v1.EncoderService"
_PACKED = {"Vector": ("values",), "LexicalVector": ("values",), "EncodeTokensResponse": ("values", "scales")}


def _load() -> descriptor_pool.DescriptorPool:
    folder = resources.files("longspan") / "_proto"
    try:
        raw = (folder / "descriptors.binpb").read_bytes()
    except FileNotFoundError:
        raise ImportError("longspan was not built: install it with `pip install ./client/python`, which makes its descriptors") from None
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file:  # each behind its imports
        if file.package == "longspan.v1":
            _read_packed_as_bytes(file)
        pool.Add(file)
    return pool


def _read_packed_as_bytes(file: descriptor_pb2.FileDescriptorProto) -> None:
    for message in file.message_type:
        for field in message.field:
            if field.name in _PACKED.get(message.name, ()):
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
                field.label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


_pool = _load()


def message(name: str) -> Any:
    """The class of a message, as in message("longspan.v1.Encoding")."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))


def _prefix(enum: str) -> str:
    """What the names of an enum's values begin with: TokenWeighting -> TOKEN_WEIGHTING_."""
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in enum).lstrip("_").upper() + "_"


def enum_value(enum: str, name: str) -> int:
    """The number of an enum's value by its short name in lower case, as in ("Pooling", "mean").

    ValueError, with the names that are allowed, for another one.
    """
    values = _pool.FindEnumTypeByName(f"longspan.v1.{enum}").values_by_name
    allowed = {key[len(_prefix(enum)):].lower(): value.number for key, value in values.items() if value.number}
    if name not in allowed:
        raise ValueError(f"{name!r} is no {enum}; allowed: {', '.join(allowed)}")
    return int(allowed[name])


def enum_name(enum: str, value: int) -> str:
    """The other way round; "" for the value 0 and for one that is not known here."""
    known = _pool.FindEnumTypeByName(f"longspan.v1.{enum}").values_by_number.get(value)
    return known.name[len(_prefix(enum)):].lower() if known and value else ""


def path(method: str) -> str:
    """The path of a method of the encoder's service."""
    return f"/{_SERVICE}/{method}"


SERVICE = _SERVICE
Input = message("longspan.v1.Input")
Range = message("longspan.v1.Range")
EncodeOptions = message("longspan.v1.EncodeOptions")
LexicalOptions = message("longspan.v1.LexicalOptions")
EncodeRequest = message("longspan.v1.EncodeRequest")
EncodeResponse = message("longspan.v1.EncodeResponse")
EncodeStreamRequest = message("longspan.v1.EncodeStreamRequest")
EncodeStreamResponse = message("longspan.v1.EncodeStreamResponse")
EncodeTokensRequest = message("longspan.v1.EncodeTokensRequest")
EncodeTokensResponse = message("longspan.v1.EncodeTokensResponse")
TokenizeRequest = message("longspan.v1.TokenizeRequest")
TokenizeResponse = message("longspan.v1.TokenizeResponse")
SearchRequest = message("longspan.v1.SearchRequest")
SearchResponse = message("longspan.v1.SearchResponse")
SearchDocument = message("longspan.v1.SearchDocument")
PutOptions = message("longspan.v1.PutOptions")
PutDocumentsRequest = message("longspan.v1.PutDocumentsRequest")
PutDocumentsResponse = message("longspan.v1.PutDocumentsResponse")
DeleteDocumentsRequest = message("longspan.v1.DeleteDocumentsRequest")
DeleteDocumentsResponse = message("longspan.v1.DeleteDocumentsResponse")
ListCollectionsRequest = message("longspan.v1.ListCollectionsRequest")
ListCollectionsResponse = message("longspan.v1.ListCollectionsResponse")
GetModelInfoRequest = message("longspan.v1.GetModelInfoRequest")
GetModelInfoResponse = message("longspan.v1.GetModelInfoResponse")
Status = message("google.rpc.Status")
BadRequest = message("google.rpc.BadRequest")
RetryInfo = message("google.rpc.RetryInfo")
ErrorInfo = message("google.rpc.ErrorInfo")
HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")
