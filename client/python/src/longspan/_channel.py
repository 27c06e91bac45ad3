"""How a channel is made: credentials, message sizes, retries. And deadlines."""
from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any, Optional, Union

import grpc

from . import _contract as contract

PathOrPem = Union[str, "os.PathLike[str]", bytes]

# gRPC makes at most 5 attempts, whatever is written here. Their pauses add up to 7.6 s, give or
# take a fifth, which outlasts a restart; the first one is short, for a server that has a neighbour.
# Where the server says when to come back (the trailer grpc-retry-pushback-ms), that pause is taken
# instead. Calls may be repeated: those of kept documents leave the server as one of them would, all
# others change nothing there.
ATTEMPTS = 5
SERVICE_CONFIG: dict[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{
        # What has broken off in the middle of a stream needs more than a repetition: _stream.py.
        "name": [{"service": contract.SERVICE, "method": "EncodeStream"}],
    }, {
        "name": [{"service": contract.SERVICE}],
        "retryPolicy": {
            "maxAttempts": ATTEMPTS,
            "initialBackoff": "0.2s",
            "maxBackoff": "5s",
            "backoffMultiplier": 3,
            # CANCELLED is a server that ended with the call open; what this side cancels is not
            # repeated.
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
        },
    }],
}

# Each address is asked for its health (grpc.health.v1, Watch), and is left out while it does not
# say SERVING: while it drains, or accepts connections and answers nothing. Not by default: where
# one address stands for several servers (a Service's, a proxy's), a draining one would be left out
# before the connection moves to another.
HEALTH_CHECKS: dict[str, Any] = {"healthCheckConfig": {"serviceName": contract.SERVICE}}

# A request that is larger than this buffer would not be repeated. gRPC's default is 256 KiB, less
# than one book; the server takes requests of 16 MiB unless it is told otherwise.
_RETRY_BUFFER_BYTES = 64 << 20


def service_config(retry: bool, health_checks: bool) -> dict[str, Any]:
    """gRPC's service config of a channel. client/service_config.json is that with both."""
    made = dict(SERVICE_CONFIG) if retry else {"loadBalancingConfig": SERVICE_CONFIG["loadBalancingConfig"]}
    return {**made, **HEALTH_CHECKS} if health_checks else made


def options(target: str, retry: bool, health_checks: bool, given: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The channel's options; those that the caller gives win."""
    made: dict[str, Any] = {
        # The server bounds its answers (max_answer_bytes). gRPC's default for a received message is
        # 4 MiB, less than the vectors of 3,000 spans.
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.service_config": json.dumps(service_config(retry, health_checks)),
        "grpc.enable_retries": int(retry),
        "grpc.per_rpc_retry_buffer_size": _RETRY_BUFFER_BYTES,
        # gRPC's defaults are one second and two minutes: a server that starts would be found late.
        "grpc.initial_reconnect_backoff_ms": 200,
        "grpc.min_reconnect_backoff_ms": 200,
        "grpc.max_reconnect_backoff_ms": 1000,
        # A server that is frozen, or whose machine is gone, closes no connection. While calls wait
        # for it, it is asked every 10 s, and they go to another after 20 s without an answer.
        "grpc.keepalive_time_ms": 10_000,
        "grpc.keepalive_timeout_ms": 20_000,
        # gRPC also pings to measure the connection, and waits a minute for those. It sends no
        # second ping meanwhile.
        "grpc.http2.ping_timeout_ms": 20_000,
        "grpc.http2.max_pings_without_data": 0,  # gRPC's default is two, too few for a long text
        # gRPC asks for a name's addresses again when a connection is lost, but not within 30 s.
        # In that time a rollout can replace all that it knows.
        "grpc.dns_min_time_between_resolutions_ms": 2_000,
    }
    host = target.rpartition("///")[2]
    if host.startswith(("127.", "localhost:", "[::1]", "unix:", "unix-abstract:")):
        made["grpc.enable_http_proxy"] = 0  # no proxy knows the way back to this machine
    made.update(given)
    return list(made.items())


def answer_bytes(options: Sequence[tuple[str, Any]]) -> int:
    """The largest message that a channel of these options takes; -1 means any, up to gRPC's own."""
    most = dict(options)["grpc.max_receive_message_length"]
    return int(most) if most >= 0 else (1 << 31) - 1


def _pem(source: Optional[PathOrPem]) -> Optional[bytes]:
    if source is None or isinstance(source, bytes):
        return source
    with open(source, "rb") as file:
        return file.read()


def credentials(tls: bool, ca: Optional[PathOrPem], certificate: Optional[PathOrPem],
                private_key: Optional[PathOrPem]) -> Optional[grpc.ChannelCredentials]:
    """None = no TLS. ValueError for a certificate without its key, OSError for a bad file."""
    if (certificate is None) != (private_key is None):
        raise ValueError("certificate and private_key belong together: give both or neither")
    if not tls and ca is None and certificate is None:
        return None
    return grpc.ssl_channel_credentials(_pem(ca), _pem(private_key), _pem(certificate))


def check_timeout(timeout: Optional[float], no_deadline: bool) -> Optional[float]:
    """The seconds of a call's deadline; None without one. ValueError where it was forgotten."""
    if no_deadline:
        return None
    if timeout is None:
        raise ValueError("a call needs a deadline: give timeout=SECONDS, or no_deadline=True for calls that may wait for ever")
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout}; allowed: more than 0 seconds")
    return float(timeout)


class Budget:
    """What is left of a deadline that several calls share."""

    def __init__(self, seconds: Optional[float]) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> Optional[float]:
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)
