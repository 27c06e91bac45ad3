"""Bad input at every door, by plain sockets: what each one answers, and what it costs.

    bad_json_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import collections
import json
import socket
import sys
import time
import unittest

import door

# A route and the field of its inputs. `wrap` makes the value of that field out of a text or a list
# of texts. `text` is the name that errors of a text have, where it is not that of the field.
Door = collections.namedtuple("Door", "path dialect field wrap text method", defaults=(None, "POST"))


def as_inputs(value):
    return [{"text": text} for text in value] if isinstance(value, list) else [{"text": value}]


def as_ids(value):
    return [[101]] * len(value) if isinstance(value, list) else [101]


def as_documents(value):
    texts = value if isinstance(value, list) else [value]
    return [{"id": str(i), "text": text} for i, text in enumerate(texts)]


def plain(value):
    return value


DOORS = [Door("/v1/embeddings", "openai", "input", plain),
         Door("/v2/embed", "cohere", "texts", plain),
         Door("/embed", "tei", "inputs", plain), Door("/", "tei", "inputs", plain), Door("/embed_all", "tei", "inputs", plain),
         Door("/tokenize", "tei", "inputs", plain), Door("/decode", "tei", "ids", as_ids),
         Door("/encode", "longspan", "inputs", as_inputs, "inputs[0].text"),
         Door("/encode_tokens", "longspan", "input", lambda value: {"text": value}, "input.text"),
         Door("/encode_stream", "longspan", "input", lambda value: {"text": value}, "input.text"),
         Door("/collections/notes/documents", "longspan", "documents", as_documents, "documents[0].text", "PUT")]
BY_PATH = {each.path: each for each in DOORS}
# Milliseconds of the slowest answer of each kind of bad input.
SLOWEST = collections.Counter()


class Answer:
    """One answer, read from a socket."""

    def __init__(self, file):
        self.line = file.readline().decode()
        self.code = int(self.line.split()[1]) if self.line else 0
        self.headers = {}
        for line in iter(file.readline, b"\r\n"):
            if not line:
                break
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        if self.headers.get("transfer-encoding") == "chunked":
            self.body = b""
            while size := int(file.readline() or b"0", 16):
                self.body += file.read(size)
                file.readline()
            file.readline()
        else:
            self.body = file.read(int(self.headers.get("content-length", 0)))

    def error(self, dialect):
        """(code, field or None, message) by the shape that the dialect has for errors."""
        body = json.loads(self.body)
        if dialect == "tei":
            assert set(body) == {"error", "error_type"}, body
            return self.code, None, body["error"]
        if dialect == "cohere":
            assert set(body) == {"message"}, body
            return self.code, None, body["message"]
        if dialect == "openai":
            assert set(body["error"]) == {"message", "type", "param", "code"}, body
            return self.code, body["error"]["param"], body["error"]["message"]
        if "encoding" in body:    # a line of a stream
            status = body["encoding"]["status"]
            code = {3: 400}[status["code"]]
        else:
            status, code = body["error"], self.code
            assert status["code"] == code and status["status"].isupper(), body
        fields = [violation["field"] for detail in status.get("details", []) for violation in detail.get("fieldViolations", [])]
        return code, fields[0] if fields else None, status["message"]


class Connection:
    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        """A server that has answered may close the connection while the rest is sent."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def answer(self):
        return Answer(self.file)

    def is_closed(self):
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def head(path, body_length=None, *more, method=None):
    """The request line and the headers; the method is that of the door, or POST."""
    length = [] if body_length is None else [f"Content-Length: {body_length}"]
    method = method or (BY_PATH[path].method if path in BY_PATH else "POST")
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", "Content-Type: application/json", *length, *more, "", ""]).encode()


def ask(server, path, body, kind=None, method=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    begin = time.monotonic()
    with Connection(server) as connection:
        connection.send(head(path, len(body), method=method) + body)
        answer = connection.answer()
    if kind:
        SLOWEST[kind] = max(SLOWEST[kind], 1000 * (time.monotonic() - begin))
    return answer


def setUpModule():
    global server, strict
    server, strict = door.Server(), door.Server("--strict-json")


def tearDownModule():
    print("slowest answer, ms:", {kind: round(time, 1) for kind, time in SLOWEST.items()}, file=sys.stderr)
    assert server.stop() == 0
    assert strict.stop() == 0


class DoorsTest(unittest.TestCase):
    def refused(self, each, body, kind, tei=422, field=None, words=(), at=None):
        answer = ask(at or server, each.path, body, kind)
        code, name, message = answer.error(each.dialect)
        with self.subTest(path=each.path, kind=kind):
            self.assertEqual(code, tei if each.dialect == "tei" else 400, answer.body)
            if field is not None and each.dialect not in ("tei", "cohere"):
                self.assertEqual(name, field)
            for word in words:
                self.assertIn(word, message)
            self.assertLess(len(answer.body), 4096, "a refusal is short, whatever was sent")

    def in_every_door(self, value, kind, **expected):
        """A value, as JSON text, in place of the inputs."""
        for each in DOORS:
            self.refused(each, b'{"%s": %s}' % (each.field.encode(), value), kind, **expected)

    def test_depth(self):
        for depth in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
            self.in_every_door(depth, "depth", words=("nested too deeply", "allowed: at most"))

    def test_numbers_beyond_all_bounds(self):
        self.in_every_door(b"1e999", "number", words=("1e999",))
        self.in_every_door(b"9" * 1_000_000, "number")

    def test_names_that_come_twice(self):
        for each in DOORS:
            value = json.dumps(each.wrap("a text"))
            self.refused(each, f'{{"{each.field}": {value}, "{each.field}": {value}}}'.encode(), "duplicate", words=(f"'{each.field}'", "twice"))

    def test_text_that_is_not_unicode(self):
        for bad in (rb'"\ud800"', rb'"\udc00\ud800"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\x00"'):
            self.in_every_door(bad, "unicode", words=("not JSON", "at byte"))

    def test_a_text_of_nul_is_a_text(self):
        for each in DOORS:
            self.assertEqual(ask(server, each.path, {each.field: each.wrap("a\0b")}).code, 200, each.path)

    def test_what_is_no_json(self):
        for body in (b"", b"\0", b"{", b"nonsense", b"\xef\xbb\xbf", b'{"a":1}}', b"[1,]", b"{'a':1}"):
            for each in DOORS:
                # No line at all is a stream without texts.
                if each.path != "/encode_stream" or body:
                    self.refused(each, body, "no JSON", words=("not JSON",))

    def test_bodies_of_another_type(self):
        for body, got in ((b"[]", "an array"), (b"null", "null"), (b'"a text"', "a string"), (b"7", "a number")):
            for each in DOORS:
                self.refused(each, body, "type", words=(f"the body is {got}", "allowed: an object"))

    def test_values_of_another_type(self):
        for value, got in ((b"true", "a boolean"), (b"7", "the number 7"), (b'{"a": 1}', "an object"), (b"-1", "the number -1"), (b"1.5", "the number 1.5")):
            for each in DOORS:
                if each.dialect == "longspan" and each.field == "input" and got == "an object":
                    continue    # what they take
                self.refused(each, b'{"%s": %s}' % (each.field.encode(), value), "type", field=each.field, words=(f"{each.field} is {got}", "allowed: "))

    def test_a_field_that_is_missing(self):
        for each in DOORS:
            self.refused(each, b"{}", "missing", tei=422, words=(each.field,) if each.path != "/encode" else ("inputs is empty",))

    def test_an_empty_text_is_named(self):
        for each in DOORS:
            if each.path == "/decode":
                self.refused(each, {"ids": []}, "empty", tei=400, words=("ids is empty", "allowed: 1"))
                continue
            name = each.text or each.field
            self.refused(each, {each.field: each.wrap("")}, "empty", tei=400, field=name, words=(name, "is empty; allowed: 1 to"))

    def test_ten_thousand_empty_texts(self):
        for each in DOORS:
            if each.wrap("") != {"text": ""}:
                self.refused(each, {each.field: each.wrap([""] * 10_000)}, "10,000 texts", tei=413, field=each.field, words=("10000", "allowed: 1 to 128"))

    def test_a_million_values_that_nobody_reads(self):
        for each in DOORS:
            body = json.dumps({each.field: each.wrap("a text"), "rest": [{}] * 1_100_000}).encode()
            self.refused(each, body, "values", words=("too many values", "allowed: at most"))

    def test_eight_mebibytes_of_one_letter(self):
        """A text without a place to cut it is read up to Limits.max_uncut_bytes, 1 MiB. A longer
        one is refused for that, or earlier, where its vectors would come behind the deadline."""
        most = 8 << 20
        for each in DOORS:
            if each.path == "/decode":
                continue
            self.assertEqual(ask(server, each.path, {each.field: each.wrap("a" * (64 << 10))}).code, 200, each.path)
            if each.path != "/encode_stream":    # 200, with the code in its line
                answer = ask(server, each.path, {each.field: each.wrap("a" * most)}, "8 MiB")
                code, _, message = answer.error(each.dialect)
                self.assertIn(code, (413, 429) if each.dialect == "tei" else (400, 429), each.path)
                self.assertRegex(message, "1048576|deadline")
            name = each.text or each.field
            self.refused(each, {each.field: each.wrap("a" * (most + 1))}, "8 MiB + 1", tei=413, field=name, words=("8388609", "8388608"))

    def test_fields_that_are_not_known_are_ignored_and_named(self):
        for each in DOORS:
            body = {each.field: each.wrap("a text"), "not_known": {"a": [1]}, "Input": 1}
            answer = ask(server, each.path, body)
            self.assertEqual(answer.code, 200, each.path)
            if each.path != "/encode_stream":    # its headers are sent before it has read a line
                self.assertEqual(answer.headers["x-ignored-fields"], "not_known, Input", each.path)
            self.refused(each, body, "unknown", words=("'not_known' is not known", f"'{each.field}'"), at=strict)

    def test_names_of_fields_cannot_add_headers(self):
        for each in DOORS:
            answer = ask(server, each.path, {each.field: each.wrap("a text"), "a\r\nSet-Cookie: b": 1, "x" * 100_000: 1})
            self.assertEqual(answer.code, 200)
            self.assertNotIn("set-cookie", answer.headers)
            self.assertLess(len(answer.headers.get("x-ignored-fields", "")), 200)


class CollectionsTest(unittest.TestCase):
    """The routes of kept documents: a collection's name in the path, and bodies of their own."""

    def refused(self, method, path, body, code, field=None, words=()):
        answer = ask(server, path, body, "collections", method)
        with self.subTest(method=method, path=path):
            self.assertEqual(answer.code, code, answer.body)
            got, name, message = answer.error("longspan")
            self.assertEqual(got, code)
            self.assertEqual(name, field, answer.body)
            for word in words:
                self.assertIn(word, message)
            self.assertLess(len(answer.body), 4096)

    def test_names_that_are_none(self):
        calls = [("PUT", "/documents", {"documents": as_documents("a")}), ("POST", "/search", {"query": "a"}), ("POST", "/delete", {"ids": ["a"]}), ("DELETE", "", b"")]
        for method, behind, body in calls:
            for name in (".", "%2e%2e", ".a", "a%20b", "%C3%A4", "a%5Cb", "{name}", "%7Bname%7D", "x" * 65):
                self.refused(method, f"/collections/{name}{behind}", body, 400, "collection", ("allowed: 1 to 64 of",))
            for target, code in (("/collections/" + behind, 404), ("/collections/a/b" + behind, 404), ("/collections/a%2Fb" + behind, 400), ("/collections/a%00" + behind, 400)):
                self.assertEqual(ask(server, target, body, method=method).code, code, (method, target))

    def test_a_name_in_the_body_too(self):
        for method, behind, body in (("PUT", "documents", {"documents": as_documents("a")}), ("POST", "search", {"query": "a"}), ("POST", "delete", {"ids": ["a"]})):
            for name in ("notes", "other"):
                self.refused(method, f"/collections/notes/{behind}", {**body, "collection": name}, 400, "collection", ("by the path and by the body",))

    def test_documents(self):
        path = "/collections/notes/documents"
        self.refused("PUT", path, {"documents": ["a text without an id"]}, 400, "documents[0].id", ("is empty",))
        self.refused("PUT", path, {"documents": as_documents("a") * 2}, 400, "documents[1].id", ("documents[0].id",))
        self.refused("PUT", path, {"documents": [{"id": "i" * 4097, "text": "a"}]}, 400, "documents[0].id", ("4097",))
        self.refused("PUT", path, {"documents": [["a"]]}, 400, "documents[0]", ("is an array",))
        self.refused("PUT", path, {"documents": [{"id": 7, "text": "a"}]}, 400, "documents[0].id")
        for value in (0, -1, -1e300, 3.3e11, "soon", "NaN"):
            self.refused("PUT", path, {"documents": as_documents("a"), "options": {"ttlSeconds": value}}, 400, "options.ttl_seconds")
        self.refused("PUT", path, {"documents": as_documents("a"), "options": {"format": "KEPT_FORMAT_FLOAT"}}, 400, "options.format")

    def test_ids(self):
        path = "/collections/notes/delete"
        self.assertEqual(ask(server, "/collections/notes/documents", {"documents": as_documents("a text")}).code, 200)
        self.refused("POST", path, {}, 400, "ids", ("is empty",))
        self.refused("POST", path, {"ids": []}, 400, "ids", ("is empty",))
        self.refused("POST", path, {"ids": ["a"] * 10001}, 400, "ids", ("10001", "allowed: 1 to 10000"))
        self.refused("POST", path, {"ids": ["a", "i" * 4097]}, 400, "ids[1]", ("4097",))
        self.refused("POST", path, {"ids": "a"}, 400, "ids")
        self.refused("POST", path, {"ids": ["a"], "all": True}, 400, "all")
        self.assertEqual(ask(server, path, {"ids": [""] * 10000}).code, 200)
        self.refused("POST", "/collections/not-there/delete", {"ids": ["a"]}, 404, words=("'not-there' does not exist",))

    def test_questions(self):
        path = "/collections/notes/search"
        self.assertEqual(ask(server, "/collections/notes/documents", {"documents": as_documents("a text")}).code, 200)
        self.refused("POST", path, {}, 400, "query", ("is empty",))
        self.refused("POST", path, {"query": "a", "documents": ["b"]}, 400, "collection")
        self.refused("POST", path, {"query": "a", "limit": 1001}, 400, "options.max_documents", ("allowed with a collection: 1 to 1000",))
        self.refused("POST", path, {"query": "a", "options": {"maxSpans": 101}}, 400, "options.max_spans")
        self.refused("POST", path, {"query": "a", "options": {"language": "english"}}, 400, "options.language", ("so is collection",))
        self.refused("POST", "/collections/not-there/search", {"query": "a"}, 404, words=("'not-there' does not exist",))

    def test_methods_that_a_path_does_not_have(self):
        for path, allowed in (("/collections", "GET, HEAD"), ("/collections/notes", "DELETE"), ("/collections/notes/documents", "PUT"), ("/collections/notes/search", "POST")):
            answer = ask(server, path, b"{}", method="PATCH")
            self.assertEqual((answer.code, answer.headers["allow"]), (405, allowed))


class TransportTest(unittest.TestCase):
    def test_a_body_cut_short_gets_no_work_and_no_vectors(self):
        """The peer ends its half within the body that it announced: 400, or a closed connection."""
        for each in DOORS:
            body = json.dumps({each.field: each.wrap("a text")}).encode()
            with Connection(server) as connection:
                connection.send(head(each.path, len(body) + 1) + body)
                connection.socket.shutdown(socket.SHUT_WR)
                answer = connection.answer()
                if each.path == "/encode_stream":
                    self.assertIn(answer.code, (0, 200, 400))
                else:
                    self.assertIn(answer.code, (0, 400), each.path)
                self.assertTrue(connection.is_closed(), each.path)

    def test_a_chunked_body_is_read_like_any_other(self):
        for each in DOORS:
            body = json.dumps({each.field: each.wrap("a text")}).encode()
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
            with Connection(server) as connection:
                connection.send(head(each.path, None, "Transfer-Encoding: chunked") + chunks)
                self.assertEqual(connection.answer().code, 200, each.path)

    def test_chunks_without_end_are_refused_at_the_limit(self):
        """--max-request-bytes, 16 MiB, of one line where the body is lines."""
        chunk = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
        for each in DOORS:
            with Connection(server) as connection:
                connection.send(head(each.path, None, "Transfer-Encoding: chunked") + b'1\r\n{\r\n')
                connection.socket.settimeout(20)
                for _ in range(17):
                    connection.send(chunk)
                answer = connection.answer()
                self.assertEqual(answer.code, 413, each.path)
                self.assertIn(b"16777216", answer.body)

    def test_pipelined_requests_are_answered_in_their_order(self):
        for each in DOORS:
            bodies = [json.dumps({each.field: each.wrap("a text")}).encode(), b"nonsense", json.dumps({each.field: each.wrap("another")}).encode()]
            with Connection(server) as connection:
                connection.send(b"".join(head(each.path, len(body)) + body for body in bodies))
                codes = [connection.answer().code for _ in bodies]
            wrong = {"tei": 422, "openai": 400, "cohere": 400, "longspan": 400}[each.dialect] if each.path != "/encode_stream" else 200
            self.assertEqual(codes, [200, wrong, 200], each.path)

    def test_a_slow_sender_is_sent_away(self):
        """All doors at once. A byte, and then nothing for 10 seconds."""
        connections = {each.path: Connection(server) for each in DOORS}
        for path, connection in connections.items():
            connection.send(head(path, 100) + b"{")
        for path, connection in connections.items():
            with connection:
                self.assertEqual(connection.answer().code, 408, path)
                self.assertTrue(connection.is_closed())

    def test_a_compressed_body_is_refused(self):
        for each in DOORS:
            with Connection(server) as connection:
                connection.send(head(each.path, 3, "Content-Encoding: gzip") + b"abc")
                code, field, message = connection.answer().error(each.dialect)
                self.assertEqual(code, 422 if each.dialect == "tei" else 400, each.path)
                self.assertIn(field, (None, "content-encoding"))
                self.assertIn("content-encoding is 'gzip'; allowed: ", message)

    def test_a_timeout_that_is_no_time_is_refused(self):
        for each in DOORS:
            body = json.dumps({each.field: each.wrap("a text")}).encode()
            for value in ("", "0", "-1", "soon", "inf", "1e999"):
                with Connection(server) as connection:
                    connection.send(head(each.path, len(body), f"x-request-timeout: {value}") + body)
                    code, _, message = connection.answer().error(each.dialect)
                    self.assertEqual(code, 422 if each.dialect == "tei" else 400, each.path)
                    self.assertIn(f"x-request-timeout is '{value}'; allowed: ", message)


class MemoryTest(unittest.TestCase):
    def test_memory_comes_back(self):
        """After one round of everything large, five more take no more."""
        def round_of_bad_input():
            for each in DOORS:
                for body in (b'{"a":' * 1_000_000, json.dumps({"rest": [{}] * 500_000}).encode(), b'{"x": "' + b"a" * (15 << 20) + b'"}',
                             json.dumps({each.field: each.wrap("a" * (9 << 20))}).encode()):
                    self.assertIn(ask(server, each.path, body).code, (200, 400, 413, 422))

        round_of_bad_input()
        level = self.settled()
        for _ in range(5):
            round_of_bad_input()
        after = self.settled(level + (32 << 20))
        print(f"resident: {level >> 20} MiB, later {after >> 20} MiB", file=sys.stderr)
        self.assertLess(after, level + (32 << 20))

    @staticmethod
    def settled(most=0):
        """Resident memory once it is below `most`, or does not fall within some seconds."""
        lowest = server.resident()
        for _ in range(100):
            if lowest <= most:
                break
            time.sleep(0.1)
            lowest = min(lowest, server.resident())
        return lowest


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
