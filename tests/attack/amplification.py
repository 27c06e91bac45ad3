"""Small requests that ask for much: work, memory or answers out of proportion to their bytes.

"At 0.2.0" is what the request did to the version before it was bounded.
"""
import resource
import time
from pathlib import Path

import wire
from target import attack

WORDS_20K = "a " * 20000      # 20,000 tokens in 40,000 characters


def wide(count, characters):
    """So many ranges, each from another beginning to the end of the text or nearly so."""
    return [(i % (characters // 2), characters - i % 97) for i in range(count)]


def narrow(count, characters):
    """So many ranges of a word each."""
    return [(2 * i % (characters - 2), 2 * i % (characters - 2) + 1) for i in range(count)]


@attack("A1", cheap=True, make=lambda: wire.encode([wire.text_input(WORDS_20K, wire.global_spans(wide(60000, 40000)))]))
def many_global_spans(t):
    """60,000 overlapping global_attention_spans over 20,000 words. At 0.2.0 the server grew to
    6 GB in 15 s."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A1", make=lambda: wire.encode([wire.text_input(WORDS_20K, wire.global_spans([(20 * i, 20 * i + 20) for i in range(2000)]))]))
def all_tokens_global(t):
    """2,000 global_attention_spans that make all of 20,000 tokens global, so that attention is
    dense. At 0.2.0 others waited for 9 s."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A1", make=lambda: wire.encode([wire.text_input(WORDS_20K, wire.blob(5, b"".join(map(wire.varint, range(20000))) * 10))]))
def all_positions_global(t):
    """The same by global_token_positions, each of them ten times."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A2", cheap=True, make=lambda: wire.encode([wire.text_input("a " * 10000, wire.given_spans(wide(60000, 20000)))], wire.options(span_context=wire.INDEPENDENT)))
def independent_spans(t):
    """60,000 overlapping spans with SPAN_CONTEXT_INDEPENDENT over 10,000 words. At 0.2.0 the server
    grew to 4.9 GB and then refused 40 hours of work."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A2", make=lambda: wire.encode([wire.text_input(WORDS_20K)], wire.options(span_policy=wire.FIXED, span_tokens=10000, span_overlap_tokens=9999, span_context=wire.INDEPENDENT)))
def independent_fixed_spans(t):
    """SPAN_POLICY_FIXED with an overlap of all but one token and SPAN_CONTEXT_INDEPENDENT: each of
    20,000 tokens begins a text of 10,000."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A2", make=lambda: wire.encode([wire.text_input("a " * 4000000)], wire.options(truncation=5, window_overlap_tokens=30000)))
def windows_with_most_overlap(t):
    """TRUNCATION_WINDOWS with the largest overlap, 8 MB of text."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


def pooled_spans(tokens):
    return wire.encode([wire.text_input("a " * tokens, wire.given_spans(wide(65536, 2 * tokens)))], wire.options(vector_format=wire.BINARY))


@attack("A3", make=lambda: pooled_spans(8000))
def pooled_overlapping_spans(t):
    """65,536 overlapping spans over 8,000 tokens, pooled out of one pass. At 0.2.0 nobody was
    served for 60 s."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A3", make=lambda: pooled_spans(8000))
def bursts_of_many_spans(t):
    """64 requests of 65,536 spans at once, and again. Each takes 10 ms or more to decode, before
    anything can be refused."""
    codes = {}
    while t.running():
        for code, number in t.at_once("Encode", [t.made] * 64, timeout=3).items():
            codes[code] = codes.get(code, 0) + number
    t.facts["codes"] = codes


@attack("A3")
def pooled_fixed_spans(t):
    """SPAN_POLICY_FIXED of 4,000 tokens with an overlap of 3,999 over 8,000 tokens, with the
    pooling that takes the largest values."""
    request = wire.encode([wire.text_input("a " * 8000)], wire.options(pooling=3, span_policy=wire.FIXED, span_tokens=4000, span_overlap_tokens=3999, vector_format=wire.BINARY))
    t.facts["codes"] = t.again("Encode", request, callers=2)


def slow_word():
    """400,000 ranges inside one word of 60,000 letters: 3.8 MB."""
    return wire.encode([wire.text_input("a" * 60000, wire.global_spans([(i % 59000, i % 59000 + 1) for i in range(400000)]))])


@attack("A4", seconds=75, make=lambda: (slow_word(), pooled_spans(16000)))
def busy_worker_is_alive(t):
    """65,536 overlapping spans over 16,000 tokens beside two requests of A5, for longer than the
    watchdog's minute. At 0.2.0 liveness failed and the server ended with code 4 after 207 s."""
    channel = t.channel()
    calls = [t.future("Encode", t.made[0], t.seconds, channel) for _ in range(2)]
    calls += [t.future("Encode", t.made[1], t.seconds, channel) for _ in range(2)]
    while t.running():
        time.sleep(0.1)
    t.facts["codes"] = t.count(call.code().name for call in calls)
    t.require(t.server.alive(), "the server ended")
    t.require("worker_stuck" not in t.server.log(), "a busy worker was called stuck")


@attack("A5", make=slow_word)
def spans_in_one_word(t):
    """Two requests of 3.8 MB: 400,000 global spans inside one word of 60,000 letters. At 0.2.0 both
    tokenizer threads were gone, also after the deadline, and text calls expired."""
    t.facts["codes"] = t.again("Encode", t.made, callers=2)


@attack("A5", make=slow_word)
def cancelled_spans_in_one_word(t):
    """The same, but each call is cancelled after 0.2 s: the work must end with it."""
    channel, cancelled = t.channel(), 0
    while t.running():
        call = t.future("Encode", t.made, 60, channel)
        time.sleep(0.2)
        cancelled += call.cancel()
    t.facts["cancelled"] = cancelled


@attack("A6", seconds=15, make=lambda: wire.encode([wire.text_input("a " * 8000, wire.given_spans(narrow(65536, 16000)))]))
def answers_that_nobody_reads(t):
    """30 Encode calls of 65,536 spans each on connections that never open their window. At 0.2.0
    the server held 6.7 GB of answers while its queue said 0."""

    def caller():
        with t.http2(opens_windows=False) as connection:
            for _ in range(15):
                connection.call("Encode", t.made)
            connection.run(t.left())

    t.in_threads(caller, 2)


@attack("A6")
def streams_that_nobody_reads(t):
    """64 EncodeStream calls, each with inputs of 1,000 spans, whose answers are never read."""
    item = wire.message(wire.one(wire.text_input("a " * 2000, wire.given_spans(narrow(1000, 4000)))))

    def caller():
        with t.http2(opens_windows=False) as connection:
            for _ in range(32):
                connection.send(connection.open("EncodeStream"), item * 20)
            connection.run(t.left())

    t.in_threads(caller, 2)


@attack("A6")
def token_vectors_that_nobody_reads(t):
    """64 EncodeTokens calls of 5,000 tokens each, whose vectors are never read."""
    request = wire.one(wire.text_input("a " * 5000))
    with t.http2(opens_windows=False) as connection:
        for _ in range(64):
            connection.call("EncodeTokens", request)
        connection.run(t.left())


@attack("A6")
def token_lists_that_nobody_reads(t):
    """64 Tokenize calls of 200,000 tokens each, whose answers are never read."""
    request = wire.tokenize(["a " * 200000])
    with t.http2(opens_windows=False) as connection:
        for _ in range(64):
            connection.call("Tokenize", request)
        connection.run(t.left())


LARGE_TOKENIZE = wire.tokenize(["a " * 3675000] * 2)


@attack("A7")
def large_tokenize(t):
    """One Tokenize of 14.7 MB after the other. At 0.2.0 the server grew by 2 GB."""
    t.facts["codes"] = t.again("Tokenize", LARGE_TOKENIZE)


@attack("A7")
def large_tokenize_under_a_limit(t):
    """The same where the process may take 1 GiB more of address space. At 0.2.0 it was aborted."""
    size = int(Path(f"/proc/{t.server.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(t.server.pid, resource.RLIMIT_AS, (size + (1 << 30), size + (1 << 30)))
    t.facts["codes"] = t.again("Tokenize", LARGE_TOKENIZE)
    t.require(t.server.alive(), "the server was aborted")


@attack("A8", cheap=True)
def empty_inputs(t):
    """2,000,000 empty inputs in 4 MB. At 0.2.0 the server grew to 1 GB and stayed there."""
    t.facts["codes"] = t.again("Encode", b"\x0a\x00" * 2000000, callers=4)


@attack("A8")
def empty_spans(t):
    """4,000,000 empty spans in 8 MB. At 0.2.0 the server grew to 1 GB and stayed there."""
    t.facts["codes"] = t.again("Encode", wire.encode([wire.text_input("a", b"\x32\x00" * 4000000)]), callers=4)


@attack("A8")
def empty_texts_to_tokenize(t):
    """8,000,000 empty texts in a Tokenize of 16 MB."""
    t.facts["codes"] = t.again("Tokenize", b"\x0a\x00" * 8000000, callers=2)


@attack("A8")
def empty_items_of_streams(t):
    """Stream items of 4,000,000 empty spans each, on four streams."""
    item = wire.message(wire.one(wire.text_input("a", b"\x32\x00" * 4000000)))
    with t.http2() as connection:
        for _ in range(4):
            connection.send(connection.open("EncodeStream"), item * 3)
        connection.run(t.left())


@attack("A8")
def unknown_fields(t):
    """16 MB of fields that the contract does not have: nested messages, numbers and groups."""
    nested = b"\x0a\x02" * 1000000
    for junk in (wire.number(99, 1) * 5000000, wire.blob(98, b"") * 4000000, b"\xa3\x06\xa4\x06" * 4000000, nested):
        if t.running():
            code, message, _ = t.call("Encode", junk[:15 << 20])
            t.facts.setdefault("codes", []).append(code)
            t.require(code not in ("INTERNAL", "UNKNOWN"), f"{code} {message[:200]}")
