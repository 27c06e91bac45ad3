"""Documents that callers keep on the server: their edges, and a caller that fills them up."""
import tempfile
import threading

import wire
from target import attack

MAX_TEXTS = 128
# Codes with methods that a changed name of a collection may have.
NOT_THERE = (("NOT_FOUND", "Search"), ("NOT_FOUND", "DeleteDocuments"))


def edges_of_kept_documents(expect, good, bad):
    """Those of PutDocuments, of Search in a collection and of DeleteDocuments. `expect` is that of
    limits_at_their_edge."""
    name = "edges"

    def put(what, documents, allowed, opts=b"", collection=name):
        expect(f"PutDocuments, {what}", "PutDocuments", wire.put(collection, documents, opts), allowed)

    def search(what, allowed, opts=b"", collection=name, more=b""):
        expect(f"Search in a collection, {what}", "Search", wire.search_kept("a", collection, opts) + more, allowed)

    def delete(what, allowed, ids=(), all_=False, collection=name):
        expect(f"DeleteDocuments, {what}", "DeleteDocuments", wire.delete(collection, ids, all_), allowed)

    one = [("a", "a b c")]
    for count, allowed in ((0, bad), (MAX_TEXTS, good), (MAX_TEXTS + 1, bad)):
        put(f"{count} documents", [(str(i), "a") for i in range(count)], allowed)
    put("an empty id", [("", "a")], bad)
    put("an id twice", one * 2, bad)
    put("an empty text", [("a", "")], bad)
    for size, allowed in ((4096, good), (4097, bad)):
        put(f"an id of {size} bytes", [("i" * size, "a")], allowed)
        delete(f"an id of {size} bytes", allowed, ["i" * size])
    for seconds, allowed in ((0.0, bad), (-1.0, bad), (float("nan"), bad), (float("inf"), bad), (3.3e11, bad), (1e-9, good), (3.2e11, good)):
        put(f"a ttl of {seconds} s", one, allowed, wire.double(5, seconds))
    for field, value in (("format", wire.number(6, 3)), ("format", wire.number(6, 2)), ("span_tokens", wire.number(7, 9)), ("span_tokens", wire.number(7, 8)),
                         ("language", wire.blob(8, b"klingon")), ("language", wire.blob(8, b"german")), ("truncation", wire.number(1, 1 << 30)), ("window_overlap_tokens", wire.number(2, 1))):
        put(f"a {field} that is none, or another than the collection's", one, bad, value)
    for bad_name in ("", ".", "..", ".a", "a/b", "../a", "a b", "\u00e4", "x" * 65):
        put(f"the name {bad_name[:9]!r}", one, bad, collection=bad_name)
        delete(f"the name {bad_name[:9]!r}", bad, all_=True, collection=bad_name)
        # Without a name it is a search in the documents of the request, of which there are none.
        search(f"the name {bad_name[:9]!r}", bad, collection=bad_name)
    put("a name of 64 letters", one, good, collection="x" * 64)
    delete("a name of 64 letters", good, all_=True, collection="x" * 64)
    search("one that is not there", ("NOT_FOUND",), collection="not-there")
    delete("one that is not there", ("NOT_FOUND",), ["a"], collection="not-there")
    search("with documents, too", bad, more=wire.blob(2, wire.blob(2, b"a")))
    for field, most in ((1, 1000), (2, 100)):
        search(f"option {field} of {most}", good, wire.number(field, most))
        search(f"option {field} of {most + 1}", bad, wire.number(field, most + 1))
    for field, value in (("span_tokens", wire.number(3, 64)), ("language", wire.blob(7, b"english")), ("truncation", wire.number(10, 1)),
                         ("window_overlap_tokens", wire.number(11, 1)), ("max_tokens", wire.number(12, 9)), ("document_prompt_name", wire.blob(15, b"d"))):
        search(f"with {field}, which is the collection's or its documents'", bad, value)
    delete("neither ids nor all", bad)
    delete("ids and all", bad, ["a"], all_=True)
    for count, allowed in ((10000, good), (10001, bad)):
        delete(f"{count} ids", allowed, [str(i) for i in range(count)])
    delete("all", good, all_=True)


NAMED_KEYS = tempfile.NamedTemporaryFile("w", suffix=".keys")  # it is there until the end
NAMED_KEYS.write("".join(f"{name} key-of-{name}\n" for name in ("probe", "filler", "reader")))
NAMED_KEYS.flush()
OF_A_KEY = 1 << 20


def as_(name):
    """The metadata of a caller with that name."""
    return [("authorization", f"Bearer key-of-{name}")]


@attack("more", cheap=True, flags=("--auth-keys-file", NAMED_KEYS.name, "--max-collection-bytes", "8MiB", "--max-collection-bytes-per-key", OF_A_KEY), probe={"key": "key-of-probe"})
def full_collections(t):
    """One key puts documents into 50 collections without a pause until its share of them is full,
    and goes on; another one searches in its own meanwhile. Then the first replaces and deletes."""
    text, ended = "the court shall report within ten days " * 60, []

    def call(name, method, body):
        started = t.future(method, body, 30, channel, as_(name))
        code = started.code().name
        details = dict(started.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        return code, details, started.result() if code == "OK" else b""

    def taken(what, name, method, body):
        code, details, answer = call(name, method, body)
        t.require(code == "OK", f"{what}: {code} {details[:200]}")
        return answer

    channel = t.channel()
    taken("the reader's first document", "reader", "PutDocuments", wire.put("notes", [("of-the-reader", "the court shall report within ten days")]))
    taken("the filler's first document", "filler", "PutDocuments", wire.put("c0", [("first", text)]))
    question, searches = wire.search_kept("when shall the court report", "notes"), 0

    def fill(thread):
        number = 0
        while t.running():
            number += 1
            ended.append(call("filler", "PutDocuments", wire.put(f"c{number % 50}", [(f"{thread}-{number}", text)]))[:2])

    threads = [threading.Thread(target=fill, args=(i,), daemon=True) for i in range(4)]
    for thread in threads:
        thread.start()
    while t.running():
        t.require(b"of-the-reader" in taken("a search beside it", "reader", "Search", question), "the reader's document was not found")
        searches += 1
    for thread in threads:
        thread.join()
    t.facts.update(codes=t.count(code for code, _ in ended), searches=searches)
    refused = [details for code, details in ended if code == "RESOURCE_EXHAUSTED"]
    t.require(set(t.facts["codes"]) == {"OK", "RESOURCE_EXHAUSTED"}, f"codes {t.facts['codes']}")
    t.require(all(b"MAX_COLLECTION_BYTES_PER_KEY" in details for details in refused), "a refusal does not say which limit it was")
    t.require(searches > 0, "no search was answered")
    kept = t.facts["kept_bytes"] = t.metrics()['longspan_kept_bytes{kind="documents"}']
    t.require(OF_A_KEY / 2 < kept < OF_A_KEY + 65536, f"{kept} bytes are kept; one key may keep {OF_A_KEY}")
    taken("what takes the place of another", "filler", "PutDocuments", wire.put("c0", [("first", text)]))
    taken("a put of another key", "reader", "PutDocuments", wire.put("notes", [("second", "a")]))
    for i in range(50):
        taken("to forget a collection", "filler", "DeleteDocuments", wire.delete(f"c{i}", all_=True))
    taken("a put once there is room", "filler", "PutDocuments", wire.put("c0", [("first", text)]))
    taken("to forget it again", "filler", "DeleteDocuments", wire.delete("c0", all_=True))
    t.require(t.metrics()['longspan_kept_bytes{kind="documents"}'] < 65536, "bytes of documents that were forgotten are still counted")
