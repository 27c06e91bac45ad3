"""Runs the init container's program against HTTP servers on this machine.

    fetch_model_test.py SOURCE_DIR
"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.argv[1]).resolve() / "deploy/helm/longspan/files/fetch_model.py"
TOKEN = "secret-token"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `contents`; /moved/... redirects to the server's `other` address."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", server.other + self.path.removeprefix("/moved"))
            self.end_headers()
        elif self.path.startswith("/flaky/") and len(server.asked) < 3:
            self.send_error(503)
        else:
            data = server.contents.get(self.path.rpartition("/")[2])
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

    def log_message(self, *_: Any) -> None:
        pass


def server_of(contents: dict[str, bytes], other: str = "") -> Any:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.contents, server.other, server.asked = contents, other, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def tar_of(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return made.getvalue()


class FetchModel(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = Path(self.scratch.name) / "models/org/name"

    def serve(self, contents: dict[str, bytes], other: str = "") -> Any:
        server = server_of(contents, other)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def fetch(self, downloads: dict[str, Any], token: str = "") -> subprocess.CompletedProcess[str]:
        path = Path(self.scratch.name) / "downloads.json"
        path.write_text(json.dumps(downloads), encoding="utf-8")
        environment = {**os.environ, "MODEL_TOKEN": token, "FETCH_PAUSE": "0.01", "no_proxy": "127.0.0.1"}
        return subprocess.run([sys.executable, "-B", PROGRAM, path, self.folder], env=environment, capture_output=True, text=True, timeout=60)

    def file(self, server: Any, path: str, data: bytes, at: str = "/") -> dict[str, str]:
        return {"path": path, "url": server.url + at + Path(path).name, "sha256": sha256(data)}

    def test_files_are_fetched_and_found_again(self) -> None:
        server = self.serve({"config.json": b"{}", "model.bin": b"x" * 3_000_000})
        files = {"files": [self.file(server, "config.json", b"{}"), self.file(server, "onnx/model.bin", b"x" * 3_000_000)]}
        done = self.fetch(files)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "onnx/model.bin").stat().st_size, 3_000_000)
        asked = len(server.asked)
        self.assertEqual(self.fetch(files).returncode, 0)
        self.assertEqual(len(server.asked), asked, "a container that starts again fetches nothing")

    def test_wrong_sha256_leaves_no_model(self) -> None:
        server = self.serve({"config.json": b"{}", "model.bin": b"changed"})
        files = {"files": [self.file(server, "config.json", b"{}"), self.file(server, "model.bin", b"wanted")]}
        done = self.fetch(files)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"its sha256 is {sha256(b'changed')}; wanted: {sha256(b'wanted')}", done.stderr)
        self.assertFalse(self.folder.exists())
        server.contents["model.bin"] = b"wanted"
        done = self.fetch(files)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("config.json: there already", done.stdout)

    def test_what_fails_is_tried_again_and_then_told(self) -> None:
        server = self.serve({"config.json": b"{}"})
        self.assertEqual(self.fetch({"files": [self.file(server, "config.json", b"{}", "/flaky/")]}).returncode, 0)
        self.folder = self.folder.with_name("other")
        done = self.fetch({"files": [self.file(server, "none.json", b"{}")]})
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.json cannot be fetched", done.stderr)

    def test_token_goes_to_no_other_host(self) -> None:
        storage = self.serve({"config.json": b"{}"})
        hub = self.serve({}, other=storage.url)
        done = self.fetch({"files": [self.file(hub, "config.json", b"{}", "/moved/")]}, TOKEN)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([key for _, key in hub.asked], [f"Bearer {TOKEN}"])
        self.assertEqual([key for _, key in storage.asked], [None])

    def test_archive(self) -> None:
        data = tar_of({"./config.json": b"{}", "sub/model.bin": b"x"})
        server = self.serve({"m.tar.gz": data})
        done = self.fetch({"archive": self.file(server, "m.tar.gz", data)})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()), ["config.json", "sub/model.bin"])
        self.assertEqual([p.name for p in self.folder.parent.iterdir()], ["name"])

    def test_nothing_leaves_the_folder(self) -> None:
        for members, links in (({"../evil": b"x"}, {}), ({"/evil": b"x"}, {}), ({"a/../../evil": b"x"}, {}), ({}, {"link": "/etc"})):
            data = tar_of(members, links)
            server = self.serve({"m.tar": data})
            done = self.fetch({"archive": self.file(server, "m.tar", data)})
            self.assertEqual(done.returncode, 1, members)
            self.assertNotIn("Traceback", done.stderr)
            self.assertFalse((self.folder.parent / "evil").exists())
        server = self.serve({"evil": b"x"})
        done = self.fetch({"files": [self.file(server, "../evil", b"x")]})
        self.assertIn("'../evil' is no path inside the model's folder", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
