"""What encode_stream knows of its inputs, for the sync and the asyncio client. Nothing here waits.

An input is held from when it is taken from the caller until its answer is handed over, and at most
`in_flight` are. So a slow server stops the taking, and so does a caller who does not take answers.

One encode_stream may use several gRPC streams, one behind the other:

- A stream takes inputs for `timeout` seconds and has a deadline of twice that, so each input has at
  least `timeout` for its answer. The next stream goes on where it stopped.
- A stream that breaks is followed by one that sends again what has no answer.
- An input that the server refuses for now (its queue is full, it drains) is sent again in the next
  stream, and refused to the caller after 5 attempts.
"""
from __future__ import annotations

import collections
import random
import time
from typing import Any, Optional

import grpc

from . import _contract as contract
from ._answers import StreamAnswer
from ._channel import ATTEMPTS
from ._errors import LongspanError, of_call, of_status
from ._requests import input_message

_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED)


class _Held:
    __slots__ = ("index", "id", "message", "refusals")

    def __init__(self, index: int, id: str, message: Any) -> None:
        self.index, self.id, self.message, self.refusals = index, id, message, 0


class Attempt:
    """One gRPC stream."""

    def __init__(self, timeout: Optional[float]) -> None:
        self.closed = False  # its answers have ended: nothing more is sent
        self.answered = False
        self._until = None if timeout is None else time.monotonic() + timeout

    def is_old(self) -> bool:
        return self._until is not None and time.monotonic() > self._until


class Ledger:
    def __init__(self, options: Any, in_flight: int, timeout: Optional[float], retry: bool) -> None:
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}; allowed: 1 or more")
        self.timeout = timeout
        self.exhausted = False  # the caller's inputs have ended
        self._options, self._in_flight = options, in_flight
        self._attempts = ATTEMPTS if retry else 1
        self._count = 0
        self._held: dict[str, _Held] = {}  # by the id that the server sees, in the caller's order
        self._to_send: collections.deque[str] = collections.deque()
        self._put_off: set[str] = set()
        self._pause = 0.0
        self._failures = 0  # streams in a row that brought nothing
        self._has_options = False

    @property
    def deadline(self) -> Optional[float]:
        return None if self.timeout is None else 2 * self.timeout

    def begin(self) -> Attempt:
        self._to_send = collections.deque(self._held)
        self._put_off.clear()
        self._pause = 0.0
        self._has_options = False
        return Attempt(self.timeout)

    def is_full(self) -> bool:
        return len(self._held) >= self._in_flight

    def may_take(self, attempt: Attempt) -> bool:
        """Whether this stream takes further inputs, now or later.

        Once half of all are put off it ends, so that they are sent again.
        """
        return not (self.exhausted or attempt.closed or attempt.is_old() or 2 * len(self._put_off) > self._in_flight)

    def take(self, content: Any) -> None:
        """Takes an input from the caller."""
        index, self._count = self._count, self._count + 1
        key = str(index)
        # The caller's id stays here: two inputs may have the same, and it may be longer than the
        # server allows.
        self._held[key] = _Held(index, getattr(content, "id", ""), input_message(content, key))
        self._to_send.append(key)

    def next_to_send(self) -> Any:
        """The next message of this stream; None where there is none now."""
        while self._to_send:
            held = self._held.get(self._to_send.popleft())
            if held is not None:
                request = contract.EncodeStreamRequest(input=held.message)
                if not self._has_options:  # those of the first message hold for all
                    request.options.CopyFrom(self._options)
                    self._has_options = True
                return request
        return None

    def answer(self, attempt: Attempt, message: Any) -> Optional[StreamAnswer]:
        """What to hand to the caller; None for an input that is sent again."""
        key = message.encoding.id
        held = self._held.get(key)
        if held is None:
            return None
        error = None
        if message.encoding.HasField("status"):
            error = of_status(message.encoding.status, index=held.index, id=held.id)
            passing = error.code == grpc.StatusCode.UNAVAILABLE or error.retry_after is not None
            if passing and held.refusals + 1 < self._attempts:
                held.refusals += 1
                self._put_off.add(key)
                self._pause = max(self._pause, error.retry_after or 0.0)
                return None
        del self._held[key]
        self._put_off.discard(key)
        attempt.answered = True
        return StreamAnswer(held.index, held.id, message, error)

    def end(self, attempt: Attempt, error: Optional[grpc.RpcError]) -> Optional[float]:
        """After the end of a stream: seconds until the next one, or None where all is done.

        Raises what another stream would not mend.
        """
        if self.exhausted and not self._held:
            return None
        self._failures = 0 if attempt.answered else self._failures + 1
        if error is None:
            if self._failures >= self._attempts and self._held and not self._put_off:
                raise LongspanError(grpc.StatusCode.INTERNAL, "the server ends its streams without answers")
            if not self._held:  # the stream was old, not broken
                self._failures = 0
            return self._jittered(self._pause)
        raised = of_call(error)
        if raised.code == grpc.StatusCode.DEADLINE_EXCEEDED and (attempt.answered or not self._held):
            return 0.0  # the caller gives or takes slowly; nothing is wrong
        if self._attempts == 1 or raised.code not in _AGAIN or self._failures >= self._attempts or (raised.code == grpc.StatusCode.RESOURCE_EXHAUSTED and raised.retry_after is None):
            raise raised from None
        backoff = min(0.2 * 3.0 ** max(self._failures - 1, 0), 5.0)
        return self._jittered(max(backoff, raised.retry_after or 0.0, self._pause))

    @staticmethod
    def _jittered(seconds: float) -> float:
        # Callers who failed together do not come back together.
        return seconds * random.uniform(0.8, 1.2)
