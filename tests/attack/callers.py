"""Requests that are within the limits, or just beyond them, in numbers and shapes that hurt."""
import os
import random
import struct
import threading
import time

import wire
from kept import NOT_THERE, edges_of_kept_documents
from target import attack

SHORT = wire.encode([wire.text_input("the court shall report within ten days")])
MAX_TEXT_BYTES, MAX_REQUEST_BYTES, MAX_TEXTS = 8 << 20, 16 << 20, 128


def prose(words, seed=1):
    """English-like text of so many words."""
    draw = random.Random(seed)
    some = "the of and to in court shall report long river order agreement party within days notice of a by".split()
    return " ".join(draw.choice(some) for _ in range(words))


@attack("holds", cheap=True)
def random_cancels(t):
    """2,000 calls cancelled at random moments of their way."""
    draw, channel = random.Random(1), t.channel()
    requests = [wire.encode([wire.text_input(prose(words))]) for words in (5, 50, 500, 3000)]
    cancelled = 0
    while t.running() and cancelled < 2000:
        calls = [t.future("Encode", draw.choice(requests), 60, channel) for _ in range(16)]
        for call in calls:
            time.sleep(draw.random() * 0.01)
            cancelled += call.cancel()
    t.facts["cancelled"] = cancelled


@attack("holds", cheap=True)
def tiny_deadlines(t):
    """3,000 calls with deadlines of 1 to 30 ms: of every method, of texts short and long."""
    draw, channel, codes = random.Random(2), t.channel(), []
    bodies = [("Encode", SHORT), ("Encode", wire.encode([wire.text_input(prose(3000))])), ("Tokenize", wire.tokenize([prose(1000)])), ("GetModelInfo", b"")]
    while t.running() and len(codes) < 3000:
        calls = [t.future(*draw.choice(bodies), draw.randint(1, 30) / 1000, channel) for _ in range(32)]
        codes += [call.code().name for call in calls]
    t.facts["codes"] = t.count(codes)
    t.require(not {"INTERNAL", "UNKNOWN", "UNAVAILABLE"} & set(codes), f"codes {t.facts['codes']}")


@attack("holds")
def slow_stream_readers(t):
    """64 EncodeStream calls that are written as fast as the server reads, and read at 64 KB/s."""
    item = wire.message(wire.one(wire.text_input(prose(60))))
    with t.http2(opens_windows=False) as connection:
        calls = [connection.open("EncodeStream") for _ in range(64)]
        for stream in calls:
            connection.send(stream, item * 500)
        while t.running():
            connection.run(0.25)
            update = struct.pack(">I", 16384)
            connection.raw(wire.frame(wire.WINDOW_UPDATE, 0, 0, update) + b"".join(wire.frame(wire.WINDOW_UPDATE, 0, s, struct.pack(">I", 256)) for s in calls))


@attack("more")
def slow_readers_of_every_method(t):
    """Answers of every method read at 16 KB/s: 20 calls of each."""
    bodies = [("Encode", wire.encode([wire.text_input(prose(40))] * 100)), ("EncodeTokens", wire.one(wire.text_input(prose(2000)))),
              ("Tokenize", wire.tokenize([prose(20000)])), ("GetModelInfo", b"")]
    with t.http2(opens_windows=False) as connection:
        calls = [connection.call(method, body) for method, body in bodies for _ in range(20)]
        while t.running():
            connection.run(0.25)
            connection.raw(wire.frame(wire.WINDOW_UPDATE, 0, 0, struct.pack(">I", 4096)) + b"".join(wire.frame(wire.WINDOW_UPDATE, 0, s, struct.pack(">I", 64)) for s in calls))


LONG_TEXT = wire.encode([wire.text_input("the " * 100000)])


@attack("holds", seconds=15, legal=lambda: ("Encode", LONG_TEXT))
def long_texts_at_once(t):
    """64 texts of 100,000 tokens at once."""
    t.facts["codes"] = t.at_once("Encode", [LONG_TEXT] * 64)


def largest_bodies():
    """A request of the largest size for each method that takes texts."""
    half = prose(1400000)[:(8 << 20) - 8192]
    return [("Encode", wire.encode([wire.text_input(half)] * 2, wire.options(truncation=2))), ("EncodeTokens", wire.one(wire.text_input(half), wire.options(truncation=2))),
            ("Tokenize", wire.tokenize([half[:4 << 20]] * 2))]


@attack("more", seconds=15, make=largest_bodies)
def largest_requests(t):
    """Requests of the largest size of every method in parallel, again and again."""
    codes = {}

    def caller(method, body):
        codes[method] = t.again(method, body)

    work = iter(t.made)
    lock = threading.Lock()

    def next_one():
        with lock:
            method, body = next(work)
        caller(method, body)

    t.in_threads(next_one, len(t.made))
    t.facts["codes"] = codes


@attack("more")
def limits_at_their_edge(t):
    """Each limit of a request at its edge, one below and one above: taken, or refused with a code
    that says so."""
    text = "a " * (MAX_TEXT_BYTES // 2)
    wanted = []

    def expect(what, method, body, allowed):
        code, message, _ = t.call(method, body, 60)
        wanted.append(what)
        t.require(code in allowed, f"{what}: {code} {message[:200]}; allowed: {', '.join(allowed)}")

    good = ("OK",)
    # Work that is taken may still be more than the queue's time or the deadline allow.
    taken = ("OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
    bad = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE")
    head = wire.options(truncation=2)
    cut = wire.options(truncation=2, vector_format=wire.BINARY)
    expect("a text of max_text_bytes - 1", "Encode", wire.encode([wire.text_input(text[:-1])], head), taken)
    expect("a text of max_text_bytes", "Encode", wire.encode([wire.text_input(text)], head), taken)
    expect("a text of max_text_bytes + 1", "Encode", wire.encode([wire.text_input(text + "a")], head), bad)
    expect("max_texts_per_request texts", "Encode", wire.encode([wire.text_input("a")] * MAX_TEXTS), good)
    expect("max_texts_per_request + 1 texts", "Encode", wire.encode([wire.text_input("a")] * (MAX_TEXTS + 1)), bad)
    expect("no text", "Encode", b"", bad)
    expect("an empty text", "Encode", wire.encode([wire.text_input("")]), bad)
    expect("max_texts_per_request texts to tokenize", "Tokenize", wire.tokenize(["a"] * MAX_TEXTS), good)
    expect("max_texts_per_request + 1 texts to tokenize", "Tokenize", wire.tokenize(["a"] * (MAX_TEXTS + 1)), bad)
    expect("max_texts_per_request documents", "Search", wire.search("a", ["a"] * MAX_TEXTS), good)
    expect("max_texts_per_request + 1 documents", "Search", wire.search("a", ["a"] * (MAX_TEXTS + 1)), bad)
    expect("no document", "Search", wire.search("a", []), bad)
    expect("no question", "Search", wire.search("", ["a"]), bad)
    expect("a question of 65,537 bytes", "Search", wire.search("a" * 65537, ["a"]), bad)
    expect("a question of 65,536 bytes in one word", "Search", wire.search("a" * 65536, ["a"]), (*good, *bad))
    for span_tokens, allowed in ((8, good), (8192, good), (7, bad), (9, bad), (8194, bad), ((1 << 32) - 1, bad)):
        expect(f"span_tokens of {span_tokens} in a search", "Search", wire.search("a", ["a b"], wire.number(3, span_tokens)), allowed)
    for weight, allowed in ((0.0, good), (1000.0, good), (-1.0, bad), (float("nan"), bad), (float("inf"), bad)):
        expect(f"a late_weight of {weight}", "Search", wire.search("a", ["a b"], wire.double(4, weight)), allowed)
    expect("all documents and spans that there can be", "Search", wire.search("a", ["a b"], wire.number(1, (1 << 32) - 1) + wire.number(2, (1 << 32) - 1)), good)
    edges_of_kept_documents(expect, good, bad)
    over = wire.encode([wire.text_input("a")]) + wire.blob(99, b"x" * MAX_REQUEST_BYTES)
    expect("max_request_bytes and more", "Encode", over, ("RESOURCE_EXHAUSTED", *bad))
    words = 65536
    spans = [(2 * i, 2 * i + 1) for i in range(words)]
    expect("max_spans_per_text + 1", "Encode", wire.encode([wire.text_input("a " * (words + 1), wire.given_spans([*spans, (0, 1)]))], cut), bad)
    expect("dimensions of the model", "Encode", wire.encode([wire.text_input("a")], wire.options(dimensions=384)), good)
    expect("dimensions + 1", "Encode", wire.encode([wire.text_input("a")], wire.options(dimensions=385)), bad)
    for field in ("pooling", "truncation", "vector_format", "global_attention", "span_policy", "span_context"):
        expect(f"{field} of 2^31 - 1", "Encode", wire.encode([wire.text_input("a")], wire.options(**{field: (1 << 31) - 1})), bad)
    expect("span_overlap = span_tokens", "Encode", wire.encode([wire.text_input("a b c")], wire.options(span_policy=wire.FIXED, span_tokens=2, span_overlap_tokens=2)), bad)
    expect("span_tokens of 2^32 - 1", "Encode", wire.encode([wire.text_input("a b c")], wire.options(span_policy=wire.FIXED, span_tokens=0xFFFFFFFF)), (*good, *bad))
    for begin, end in ((0, 0), (1, 1), (5, 4), (0, 6), (1 << 63, (1 << 64) - 1), (0, (1 << 64) - 1)):
        expect(f"a span of [{begin}, {end}) in 5 characters", "Encode", wire.encode([wire.text_input("a b c", wire.given_spans([(begin, end)]))]), bad)
        expect(f"a global span of [{begin}, {end}) in 5 characters", "Encode", wire.encode([wire.text_input("a b c", wire.global_spans([(begin, end)]))]), bad)
    expect("a span of the last character", "Encode", wire.encode([wire.text_input("a b c", wire.given_spans([(4, 5)]))]), good)
    vocabulary = 30522
    for id_, allowed in ((0, good), (vocabulary - 1, good), (vocabulary, bad), ((1 << 31) - 1, bad), (1 << 31, bad), ((1 << 32) - 1, bad)):
        expect(f"token id {id_}", "Encode", wire.encode([wire.ids_input([101, id_, 102])]), allowed)
    for position, allowed in ((2, good), (3, bad), ((1 << 31) - 1, bad), ((1 << 32) - 1, bad)):
        expect(f"global position {position} of 3", "Encode", wire.encode([wire.ids_input([101, 7, 102], wire.blob(5, wire.varint(position)))]), allowed)
    t.facts["edges"] = len(wanted)


@attack("holds", cheap=True)
def fuzzed_messages(t):
    """Mutations of good requests: every answer is a vector or a refusal, none is INTERNAL."""
    draw, channel, codes = random.Random(3), t.channel(), []
    good = [("Encode", SHORT), ("Encode", wire.encode([wire.text_input("a b c d e", wire.given_spans([(0, 1), (2, 5)]), wire.global_spans([(0, 3)]))], wire.options(vector_format=4, pooling=2))),
            ("Encode", wire.encode([wire.ids_input([101, 2000, 102], wire.blob(5, b"\0\1"))], wire.options(truncation=5, window_overlap_tokens=1))),
            ("Tokenize", wire.tokenize(["a b c", "é" * 9])),
            ("Encode", wire.encode([wire.text_input("One. Two. Three.")], wire.options(span_policy=3, span_context=2))),
            ("PutDocuments", wire.put("fuzz", [("a", "One. Two."), ("b", "Three.")], wire.number(1, 5) + wire.double(5, 3600.0))),
            ("Search", wire.search_kept("two", "fuzz", wire.number(1, 5))), ("Search", wire.search("two", ["One. Two.", "Three."])),
            ("DeleteDocuments", wire.delete("fuzz", ["a", "c"]))]

    def mutate(body):
        body = bytearray(body)
        for _ in range(draw.randint(1, 4)):
            at, kind = draw.randrange(len(body) + 1), draw.randrange(4)
            if kind == 0 and at < len(body):
                body[at] = draw.randrange(256)
            elif kind == 1:
                del body[at:at + draw.randrange(1, 8)]
            elif kind == 2:
                body[at:at] = body[draw.randrange(len(body) + 1):][:16]
            else:
                body[at:at] = wire.varint(draw.choice((0, 1, 127, 128, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)))
            body = body or bytearray(b"\0")
        return bytes(body)

    while t.running():
        batch = [(method, mutate(body)) for method, body in (draw.choice(good) for _ in range(64))]
        calls = [(method, body, t.future(method, body, 30, channel)) for method, body in batch]
        for method, body, call in calls:
            code = call.code().name
            codes.append(code)
            t.require(code in ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED") or (code, method) in NOT_THERE, f"{method} {body.hex()}: {code} {call.details()}")
    t.facts["codes"] = t.count(codes)


ADVERSARIAL = {
    "no white space": "a" * 2000000,
    "combining marks": "e" + "\u0301" * 500000,
    "zero width": "\u200b\u200d\ufeff" * 300000,
    "NUL": "\0" * 1000000,
    "control characters": "\x01\x1b\x7f\r" * 300000,
    "right to left": "\u202e\u05d0\u202c" * 300000,
    "Hangul syllables": "\ud55c" * 500000,
    "Chinese": "\u6f22" * 500000,
    "emoji joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 60000,
    "compatibility forms": "\ufdfa" * 300000,
    "private and unassigned": "\ue000\U000f0000\U0010ffff" * 150000,
    "added tokens": "[CLS][SEP][MASK][PAD][UNK]" * 40000,
    "half of added tokens": "[CL[SE[MAS" * 100000,
    "punctuation": ".!?,;:" * 200000,
    "upper case that grows": "\u0130\u1e9e" * 300000,
    "white space": " \t\u00a0\u2003" * 300000,
    "full stops": ". " * 500000,
    "blank lines": "\n\n" * 500000,
}


def longest_adversarial_text():
    """The one of the texts below with most tokens: an ideograph is one, and 60,000 are computed."""
    return wire.encode([wire.text_input(ADVERSARIAL["Chinese"][:60000])], wire.options(truncation=1, span_policy=3, vector_format=wire.BINARY))


@attack("more", seconds=25, legal=lambda: ("Encode", longest_adversarial_text()))
def adversarial_texts(t):
    """Texts that tokenizers dislike: long runs without white space, combining marks, zero width,
    NUL, added tokens, forms that grow; each tokenised, and each encoded with sentences as spans."""
    for name, text in ADVERSARIAL.items():
        if not t.running():
            t.facts["left_out"] = t.facts.get("left_out", []) + [name]
            continue
        began = time.monotonic()
        for method, body in (("Tokenize", wire.tokenize([text])), ("Encode", wire.encode([wire.text_input(text[:60000])], wire.options(truncation=1, span_policy=3, vector_format=wire.BINARY)))):
            code, message, _ = t.call(method, body, 30)
            t.require(code in ("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"), f"{name}, {method}: {code} {message[:200]}")
        if time.monotonic() - began > 3:
            t.facts.setdefault("slow_s", {})[name] = round(time.monotonic() - began, 1)


@attack("more", seconds=25)
def largest_adversarial_texts(t):
    """The same texts at the largest size, 8 MiB: each token of them takes memory for itself, and
    some have no place where they could be cut."""
    codes = {}
    for name in ("punctuation", "Chinese", "half of added tokens", "full stops", "no white space", "Hangul syllables", "right to left"):
        if not t.running():
            break
        pattern = ADVERSARIAL[name][:1200]
        text = pattern * ((8 << 20) // len(pattern.encode()))
        code, message, _ = t.call("Tokenize", wire.tokenize([text]), 30)
        codes[name] = code
        t.require(code in ("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"), f"{name}: {code} {message[:200]}")
    t.facts["codes"] = codes


@attack("more")
def a_million_tiny_inputs(t):
    """Texts of a letter, 128 in each request, one stream of them too, for as long as it lasts."""
    request = wire.encode([wire.text_input("a")] * 128)
    t.facts["codes"] = t.again("Encode", request, callers=4)


@attack("more")
def streams_of_tiny_inputs(t):
    """Eight EncodeStream calls of a letter each item, written without a pause."""
    item = wire.message(wire.one(wire.text_input("a"))) * 2000

    def caller():
        with t.http2() as connection:
            calls = [connection.open("EncodeStream") for _ in range(4)]
            while t.running() and not connection.closed:
                for stream in calls:
                    if len(connection.streams[stream].pending) < 2:
                        connection.send(stream, item)
                connection.run(0.1)

    t.in_threads(caller, 2)


@attack("more")
def many_open_streams(t):
    """EncodeStream calls that send nothing, as many as the server takes, on 20 connections."""
    connections = [t.http2() for _ in range(20)]
    for connection in connections:
        for _ in range(256):
            connection.open("EncodeStream")
    while t.running():
        for connection in connections:
            connection.run(0.02)
    for connection in connections:
        connection.close()


@attack("more")
def bad_items_without_a_pause(t):
    """Streams of items that are refused: each answer is an error, none ends the stream."""
    item = wire.message(wire.one(wire.text_input("a", wire.given_spans([(9, 9)])))) * 2000
    with t.http2() as connection:
        stream = connection.open("EncodeStream")
        while t.running() and not connection.closed:
            if len(connection.streams[stream].pending) < 2:
                connection.send(stream, item)
            connection.run(0.1)
        t.require(not connection.streams[stream].ended, "the stream was ended by a bad item")


@attack("C11", cheap=True)
def huge_names(t):
    """A prompt name, an id and a request id of 10 MB each. At 0.2.0 the name was logged whole and
    the server took 2 GB."""
    name = b"n" * (10 << 20)
    codes = []
    while t.running():
        for body in (wire.encode([wire.text_input("a")], wire.blob(7, name)), wire.encode([wire.text_input("a", wire.blob(1, name))])):
            code, message, _ = t.call("Encode", body, 30)
            codes.append(code)
            t.require(len(message) < 4096, f"a message of {len(message)} bytes came back")
        codes.append(t.call("Tokenize", wire.tokenize(["a"]) + wire.blob(3, name), 30)[0])
        codes.append(t.call("Encode", SHORT, 30, metadata=[("x-request-id", "r" * 7000), ("traceparent", "00-" + "a" * 5000)])[0])
    t.facts["codes"] = t.count(codes)
    longest = max(map(len, t.server.log().splitlines()), default=0)
    t.require(longest < 16384, f"a line of {longest} bytes was logged")


@attack("more")
def log_injection(t):
    """Metadata and fields with line breaks, quotes and escapes: every line of the log stays one
    JSON object."""
    import json
    evil = '"}\r\n{"level":"error","event":"forged"}\x1b[31m'
    for _ in range(20):
        t.call("Encode", wire.encode([wire.text_input("a", wire.blob(1, evil.encode()))], wire.blob(7, evil.encode())), 10)
        t.call("Encode", SHORT, 10, metadata=[("x-request-id", "a%0Ab'\"{}"), ("traceparent", "00-\\n-\\u0000-01")])
    time.sleep(0.3)
    for line in t.server.log().splitlines():
        try:
            t.require(json.loads(line).get("event") != "forged", "an event was forged")
        except ValueError:
            t.require(False, f"not a JSON object: {line[:200]}")


@attack("holds")
def stopped_server(t):
    """SIGSTOP for 3 s, then SIGCONT: whoever waited is answered. The caller's p99 is not judged
    here, its calls are."""
    import signal
    t.server.process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    t.server.process.send_signal(signal.SIGCONT)
    t.facts["stopped_s"] = 3
    t.facts["not_judged"] = "p99"


@attack("holds", seconds=4)
def full_disk_for_the_log(t):
    """Another server logs to /dev/full and serves as ever."""
    with open("/dev/full", "w", encoding="ascii") as full:
        server = t.start(stderr=full)
    try:
        t.server, kept = server, t.server
        t.stop_at = time.monotonic() + 2    # the start has taken its time
        codes = t.again("Encode", SHORT, timeout=10)
        t.require(set(codes) == {"OK"}, f"codes {codes}")
        t.require(server.stop() == 0, "it did not end with code 0")
        t.server = kept
    finally:
        server.kill()


@attack("more")
def model_info_without_a_pause(t):
    """GetModelInfo, reflection's absent service and health checks from many callers at once."""
    codes = t.again("GetModelInfo", b"", callers=8)
    t.facts["calls"] = sum(codes.values())
    t.require(set(codes) <= {"OK", "DEADLINE_EXCEEDED"}, f"codes {codes}")


@attack("more")
def random_bytes_as_texts(t):
    """Texts that are not UTF-8, and ids that are not: refused, each with its field's name."""
    for i in range(50):
        code, message, _ = t.call("Encode", wire.encode([wire.text_input(os.urandom(64) + b"\xff")]), 10)
        t.require(code == "INVALID_ARGUMENT", f"{code} {message}")
