"""Requests and HTTP/2 made byte by byte, for what no client library sends.

The messages are those of proto/longspan/v1/encoder.proto; the frames are those of RFC 9113, the
header blocks those of RFC 7541, literals only.
"""
import select
import socket
import struct
import time
from collections import deque

SERVICE = "/longspan.v1.EncoderService/"

# VectorFormat, SpanPolicy and SpanContext of the contract.
BINARY = 5
FIXED = 5
INDEPENDENT = 2


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    """A field of wire type varint."""
    return varint(field << 3) + varint(value)


def double(field, value):
    """A field of wire type fixed64."""
    return varint(field << 3 | 1) + struct.pack("<d", value)


def blob(field, content):
    """A field of wire type bytes: a string, a message, packed numbers."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def spans(field, ranges):
    """A repeated Range."""
    return b"".join(blob(field, (number(1, begin) if begin else b"") + number(2, end)) for begin, end in ranges)


def text_input(text, *more):
    """An Input of a text; `more` are fields of it, already encoded."""
    return blob(2, text.encode() if isinstance(text, str) else text) + b"".join(more)


def ids_input(ids, *more):
    return blob(3, blob(1, b"".join(map(varint, ids)))) + b"".join(more)


def global_spans(ranges):
    return spans(4, ranges)


def given_spans(ranges):
    return spans(6, ranges)


def options(**fields):
    """An EncodeOptions of numeric fields."""
    numbers = {"pooling": 1, "normalize": 2, "truncation": 3, "window_overlap_tokens": 4, "dimensions": 5, "vector_format": 6,
               "global_attention": 8, "span_policy": 9, "span_tokens": 10, "span_overlap_tokens": 11, "span_context": 12,
               "num_hashes": 13, "hash_seed": 14, "include_document_vector": 15}
    return b"".join(number(numbers[name], value) for name, value in fields.items())


# Who attacks takes answers of any size: EncodeOptions.max_answer_bytes.
ANY_ANSWER = number(18, (1 << 31) - 1)


def encode(inputs, opts=b""):
    """An EncodeRequest."""
    return b"".join(blob(1, one) for one in inputs) + blob(2, opts + ANY_ANSWER)


def one(input_, opts=b""):
    """An EncodeTokensRequest, or an EncodeStreamRequest."""
    return blob(1, input_) + blob(2, opts + ANY_ANSWER)


def tokenize(texts):
    """A TokenizeRequest, whose answer may have any size."""
    return b"".join(blob(1, text.encode() if isinstance(text, str) else text) for text in texts) + number(4, (1 << 31) - 1)


def search(query, texts, opts=b""):
    """A SearchRequest, whose answer may have any size."""
    return blob(1, query.encode()) + b"".join(blob(2, blob(2, text.encode())) for text in texts) + blob(3, opts + number(16, (1 << 31) - 1))


def search_kept(query, collection, opts=b""):
    """A SearchRequest in a collection, whose answer may have any size."""
    return search(query, [], opts) + blob(4, collection.encode())


def put(collection, documents, opts=b""):
    """A PutDocumentsRequest of pairs of id and text."""
    return blob(1, collection.encode()) + b"".join(blob(2, blob(1, id_.encode()) + blob(2, text.encode())) for id_, text in documents) + blob(3, opts)


def delete(collection, ids=(), all_=False):
    """A DeleteDocumentsRequest."""
    return blob(1, collection.encode()) + b"".join(blob(2, id_.encode()) for id_ in ids) + (number(3, 1) if all_ else b"")


def message(content, compressed=False):
    """A message with its gRPC frame."""
    return struct.pack(">BI", compressed, len(content)) + content


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4


def frame(kind, flags=0, stream=0, body=b""):
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def hpack_number(value, prefix_bits, first=0):
    """An integer of RFC 7541, section 5.1."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name, value):
    """A header that is not indexed, with its name."""
    name, value = (part.encode() if isinstance(part, str) else part for part in (name, value))
    return b"\0" + hpack_number(len(name), 7) + name + hpack_number(len(value), 7) + value


def header_block(method, more=()):
    path = method if method.startswith("/") else SERVICE + method
    headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "attack"), ("te", "trailers"),
               ("content-type", "application/grpc"), *more]
    return b"".join(literal(name, value) for name, value in headers)


def open_socket(port, source="127.0.0.2", timeout=5):
    """A connection to the server. It comes from another address of this machine than the well
    behaved caller's, so that a limit for each client's address holds the attack alone."""
    sock = socket.socket()
    sock.settimeout(timeout)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


class Closed(Exception):
    """The server has closed the connection."""


class Stream:
    """One call of an Http2."""

    def __init__(self, window):
        self.window = window        # bytes that may be sent
        self.pending = deque()      # chunks of the body that are not sent yet
        self.finish = False         # whether the last chunk ends our side
        self.received = 0           # bytes of its DATA frames
        self.ended = False          # the server has ended it


class Http2:
    """A connection that keeps to flow control but promises nothing else.

    One thread drives it: calls are queued with `open` and `send`, and `run` moves bytes. Where
    `opens_windows` is false the server gets no room for answers beyond the first 64 KiB.
    """

    def __init__(self, port, opens_windows=True, wrap=None, settings=b""):
        self.sock = open_socket(port)
        if wrap:
            self.sock = wrap(self.sock)
        self.sock.setblocking(False)
        self.out = bytearray(PREFACE + frame(SETTINGS, body=settings))
        self.input = bytearray()
        self.streams = {}
        self.next_stream = 1
        self.window = 65535
        self.first_window = 65535
        self.opens_windows = opens_windows
        self.closed = False
        self.pongs = 0

    def open(self, method, headers=(), end=False):
        """Begins a call; its number."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.streams[stream] = Stream(self.first_window)
        block = header_block(method, headers)
        self.out += frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block[:16384])
        return stream

    def send(self, stream, body, end=False):
        """Queues bytes of a call's body; they go out as far as the server's windows are open."""
        one_stream = self.streams[stream]
        one_stream.pending.append(memoryview(body))
        one_stream.finish = one_stream.finish or end

    def call(self, method, content, headers=()):
        """A whole unary call; its number."""
        stream = self.open(method, headers)
        self.send(stream, message(content), end=True)
        return stream

    def raw(self, content):
        """Bytes outside of any flow control."""
        self.out += content

    def run(self, seconds, until=lambda: False):
        """Moves bytes for so long, or until the condition holds. False where the connection is
        closed."""
        stop = time.monotonic() + seconds
        while not self.closed and not until():
            left = stop - time.monotonic()
            if left <= 0:
                break
            self._fill()
            readable, writable, _ = select.select([self.sock], [self.sock] if self.out else [], [], min(left, 0.1))
            try:
                if readable or getattr(self.sock, "pending", lambda: 0)():
                    got = self.sock.recv(1 << 18)
                    if not got:
                        self.closed = True
                    self.input += got
                    self._parse()
                if writable:
                    del self.out[:self.sock.send(memoryview(self.out)[:1 << 18])]
            except BlockingIOError:
                pass
            except OSError:
                self.closed = True
        return not self.closed

    def _fill(self):
        """Makes DATA frames of what the windows allow, one for each stream in turn."""
        while len(self.out) < 1 << 18 and self.window > 0:
            sent = False
            for number_, stream in self.streams.items():
                if not stream.pending or stream.window <= 0 or stream.ended or self.window <= 0:
                    continue
                chunk = stream.pending[0]
                size = min(len(chunk), 16384, stream.window, self.window)
                last = size == len(chunk)
                if last:
                    stream.pending.popleft()
                else:
                    stream.pending[0] = chunk[size:]
                ends = last and not stream.pending and stream.finish
                self.out += frame(DATA, END_STREAM if ends else 0, number_, bytes(chunk[:size]))
                stream.window -= size
                self.window -= size
                sent = True
            if not sent:
                return

    def _parse(self):
        while len(self.input) >= 9:
            size = int.from_bytes(self.input[:3], "big")
            if len(self.input) < 9 + size:
                return
            kind, flags, number_ = self.input[3], self.input[4], int.from_bytes(self.input[5:9], "big") & 0x7FFFFFFF
            body = bytes(self.input[9:9 + size])
            del self.input[:9 + size]
            self._take(kind, flags, number_, body)

    def _take(self, kind, flags, number_, body):
        stream = self.streams.get(number_)
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(body) - 5, 6):
                name, value = struct.unpack(">HI", body[at:at + 6])
                if name == 4:
                    for other in self.streams.values():
                        other.window += value - self.first_window
                    self.first_window = value
            self.out += frame(SETTINGS, ACK)
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(body, "big") & 0x7FFFFFFF
            if number_ == 0:
                self.window += more
            elif stream:
                stream.window += more
        elif kind == PING:
            if flags & ACK:
                self.pongs += 1
            else:
                self.out += frame(PING, ACK, 0, body)
        elif kind == DATA and stream:
            stream.received += len(body)
            if self.opens_windows and body:
                update = len(body).to_bytes(4, "big")
                self.out += frame(WINDOW_UPDATE, 0, 0, update) + frame(WINDOW_UPDATE, 0, number_, update)
        if kind in (DATA, HEADERS) and flags & END_STREAM or kind == RST_STREAM:
            if stream:
                stream.ended = True
        if kind == GOAWAY:
            self.closed = True

    def close(self):
        """Ends the connection at once, without the state that an orderly end leaves behind."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
