"""Errors of calls and of single inputs, with what the server says about them."""
from __future__ import annotations

import re
from typing import Any, Optional

import grpc

from . import _contract as contract

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class LongspanError(Exception):
    """A call, or one input of a stream, that failed.

    code         grpc.StatusCode
    message      what the server, or gRPC, says
    field        the field of the request that is at fault, "inputs[3].text"; "" where none is named
    reason       ErrorInfo's reason, "MAX_TOKENS"; "" where there is none
    limit        the limit that refused, as in ModelInfo.limits, "max_tokens"; "" where none did
    retry_after  seconds after which another attempt may succeed; None where none is named
    index        place of the input among those given; None where the error belongs to no input
    id           the id of that input; "" where it has none
    """

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(self, code: grpc.StatusCode, message: str, *, field: str = "", reason: str = "",
                 retry_after: Optional[float] = None, index: Optional[int] = None, id: str = "") -> None:
        self.code, self.message, self.field, self.reason, self.retry_after = code, message, field, reason, retry_after
        self.index, self.id = index, id
        super().__init__(message)

    @property
    def limit(self) -> str:
        return self.reason.lower() if self.reason.startswith("MAX_") else ""

    def __str__(self) -> str:
        details = [f"field {self.field}" if self.field else "", self.reason,
                   f"try again in {self.retry_after:.3g} s" if self.retry_after is not None else "",
                   f"input {self.index}" if self.index is not None else "",
                   f"id {self.id!r}" if self.id and self.id not in self.message else ""]
        return f"{self.code.name}: {self.message}" + "".join(f" [{d}]" for d in details if d)

    def __reduce__(self) -> Any:  # keyword arguments survive pickle, as between processes of a pool
        return _again, (type(self), self.code, self.message, self.field, self.reason, self.retry_after, self.index, self.id)


def _again(kind: type[LongspanError], code: grpc.StatusCode, message: str, field: str, reason: str,
           retry_after: Optional[float], index: Optional[int], id: str) -> LongspanError:
    return kind(code, message, field=field, reason=reason, retry_after=retry_after, index=index, id=id)


class InvalidArgument(LongspanError, ValueError):
    """The request is wrong; `field` says where."""


class FailedPrecondition(LongspanError):
    """This model cannot do what was asked for."""


class NotFound(LongspanError, LookupError):
    """There is no such collection, or no such service to ask the health of."""


class ResourceExhausted(LongspanError):
    """A queue or budget is full, after all attempts; or one message is too large."""


class DeadlineExceeded(LongspanError, TimeoutError):
    """The deadline passed."""


class DeadlineUnreachable(ResourceExhausted, DeadlineExceeded):
    """The server refused at once, because the answer would come behind the deadline."""

    @property
    def predicted_seconds(self) -> Optional[float]:
        """What the server says that waiting and computing would take; None where it does not."""
        found = re.search(r"waiting (\S+) and computing (\S+) would", self.message)
        return _seconds(found[1]) + _seconds(found[2]) if found else None


class Unavailable(LongspanError, ConnectionError):
    """No server there, or none that takes work: it starts or drains."""


class Unauthenticated(LongspanError):
    """No key, or a wrong one."""


class PermissionDenied(LongspanError):
    """The key does not allow this."""


class Cancelled(LongspanError):
    """The call was cancelled, here or by a server that ended."""


_KINDS: dict[grpc.StatusCode, type[LongspanError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def _seconds(duration: str) -> float:
    """'1m2.5s' -> 62.5, as absl prints durations."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|us|ns|[hms])", duration))


def of_status(status: Any, *, index: Optional[int] = None, id: str = "") -> LongspanError:
    """The error of a google.rpc.Status."""
    field, reason, retry_after = "", "", None
    for detail in status.details:
        name = detail.type_url.rpartition("/")[2]
        if name == "google.rpc.BadRequest":
            violations = contract.BadRequest.FromString(detail.value).field_violations
            field = violations[0].field if violations else ""
        elif name == "google.rpc.RetryInfo":
            delay = contract.RetryInfo.FromString(detail.value).retry_delay
            retry_after = delay.seconds + delay.nanos * 1e-9
        elif name == "google.rpc.ErrorInfo":
            reason = contract.ErrorInfo.FromString(detail.value).reason
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    kind = DeadlineUnreachable if reason == "DEADLINE_UNREACHABLE" else _KINDS.get(code, LongspanError)
    return kind(code, status.message, field=field, reason=reason, retry_after=retry_after, index=index, id=id)


def of_call(error: Any, *, ids: Any = (), first: int = 0) -> LongspanError:
    """The error of a failed call.

    ids     ids of the call's inputs
    first   place of its first input among those that the caller gave
    """
    metadata = dict(error.trailing_metadata() or ())
    status = contract.Status()
    try:
        status.ParseFromString(metadata.get("grpc-status-details-bin", b""))
    except Exception:  # a proxy's own details; the code and the message remain
        status.Clear()
    status.code, status.message = error.code().value[0], error.details() or ""
    if status.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0] and not status.details and "--default-deadline" not in status.message:
        # gRPC's own message, of this side: the server's has the settings.
        status.message += ("; the timeout is this call's, else the client's: give timeout=SECONDS to either. "
                           "The server's longest is info().limits.max_deadline_seconds")
    made = of_status(status)
    # The field where one is named, else what the message begins with.
    found = re.match(r"(?:inputs|texts|documents|ids)\[(\d+)\]|input\b", made.field or made.message)
    place = int(found[1] or 0) if found else len(ids)
    if place < len(ids):
        made.index, made.id = first + place, ids[place]
    return made
