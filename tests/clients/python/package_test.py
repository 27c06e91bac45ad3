"""client/python as a package: what its sdist and wheel hold, that a clean environment can import
it, its types, its pins; and the chunks of the adapters.

    package_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import re
import subprocess
import sys
import sysconfig
import tarfile
import unittest
import venv
import zipfile

import harness

longspan = harness.install()
# Mistakes that types must find, each with a word of what mypy says.
MISTAKES = {
    'Client().encode("a", pooling="middle")': "pooling",
    'Client().encode("a", poling="mean")': "poling",
    "Client().encode(7)": "arg-type",
    'Client().encode("a").vector': "attr-defined",
    'Client().encode_spans("a", policy="words")': "policy",
    "for answer in AsyncClient().encode_stream([]): pass": "__iter__",
    'Client().collection("a").put({"b": "c"}, format="int4")': "format",
    'Client().collection("a").put(["b"])': "list-item",
    'Client().collection("a").search("c", truncation="head")': "truncation",
}
FINE = '''
import datetime

import numpy as np
from longspan import AsyncClient, Client, Input, LongspanError
from typing import Optional

def use(client: Client) -> "tuple[str, Optional[float], list[list[float]]]":
    rows: list[list[float]] = client.encode(["a", "b"], pooling="mean", dimensions=7).to_float32().tolist()
    client.encode([1, 2])
    client.encode([[1, 2], [3]])
    client.encode(np.arange(3))
    client.encode([Input("b", id="c")])
    for answer in client.encode_stream(str(i) for i in range(3)):
        if answer.error is not None:
            raise answer.error
    client.encode_spans("a", policy=("fixed", 3, 1), context="independent").texts()
    client.encode_spans("a", policy="paragraphs", span_min_tokens=16, span_max_tokens=256).texts()
    client.encode_spans("a", np.zeros((1, 2), np.int64))
    kept = client.collection("a").put({"b": "c"}, ttl=60, format="two_bit")
    client.collection("a").put([("b", "c")], ttl=datetime.timedelta(days=1), truncation="windows")
    text: Optional[str] = client.collection("a").search("c", limit=3)[0].spans[0].text
    forgotten: int = client.collection(kept.collection.name).delete(each.id for each in kept) + client.collection("a").drop()
    print(text, forgotten, [each.bytes for each in client.collections()])
    try:
        return client.info().device, None, rows
    except LongspanError as error:
        return error.field, error.retry_after, rows

async def use_async(client: AsyncClient) -> None:
    async for answer in client.encode_stream(["a"], format="int8"):
        print(answer.scale)
    print((await client.encode("a")).vectors)
    print((await client.collection("a").put({"b": "c"})).added, len(await client.collection("a").search("c")))
'''


class PackageTest(unittest.TestCase):
    def test_sdist_holds_the_contract_and_nothing_made(self):
        with tarfile.open(next(harness.FOLDER.glob("*.tar.gz"))) as archive:
            names = {name.split("/", 1)[1] for name in archive.getnames()}
        self.assertLessEqual({"proto/longspan/v1/encoder.proto", "proto/grpc/health/v1/health.proto", "hatch_build.py", "LICENSE", "README.md",
                              "src/longspan/py.typed"}, names)
        self.assertFalse([name for name in names if "_proto/" in name or "__pycache__" in name])
        tracked = subprocess.run(["git", "-C", str(harness.CLIENT), "ls-files"], capture_output=True, text=True, check=False).stdout
        self.assertFalse(re.search(r"_pb2|_proto/|\.binpb", tracked), "what the build makes is not committed")

    def test_wheel_imports_in_a_clean_environment(self):
        wheel = next(harness.FOLDER.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        self.assertIn("longspan/_proto/descriptors.binpb", names)
        self.assertIn("longspan/py.typed", names)
        folder = harness.FOLDER / "clean"
        venv.create(folder, with_pip=False)
        harness.run(sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "-q", "--no-index", "--no-deps", wheel)
        # The dependencies stand in this environment; pip installs the same in a user's.
        site = harness.run(folder / "bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        with open(f"{site}/dependencies.pth", "w", encoding="utf-8") as path:
            path.write(sysconfig.get_path("purelib") + "\n")
        code = ("import sys, longspan; assert not {'langchain_core', 'llama_index', 'google.rpc'} & set(sys.modules); "
                "print(longspan.__version__, longspan.Client().encode.__name__)")
        printed = harness.run(folder / "bin/python", "-W", "error", "-c", code, cwd=folder)
        version = re.search(r"project\(longspan VERSION ([0-9.]+)", (harness.SOURCE / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
        self.assertEqual(printed.split(), [version, "encode"])

    def test_lives_beside_the_stubs_of_the_same_contract(self):
        raw, _ = harness.stubs()
        self.assertIsNot(raw.Encoding, longspan._contract.message("longspan.v1.Encoding"))
        self.assertEqual({m.name for m in raw.DESCRIPTOR.services_by_name["EncoderService"].methods},
                         {"Encode", "EncodeStream", "EncodeTokens", "Tokenize", "Search", "PutDocuments", "DeleteDocuments", "ListCollections",
                          "GetModelInfo"}, "each has a method of Client")

    def test_types(self):
        folder = harness.FOLDER / "types"
        folder.mkdir()
        cache = ["--cache-dir", folder / "cache"]
        harness.run(sys.executable, "-m", "mypy", *cache, "--config-file", harness.CLIENT / "pyproject.toml", "-p", "longspan",
                    env={"MYPYPATH": str(harness.FOLDER / "site"), "PATH": "/usr/bin:/bin"})
        # As a user has it: a package with py.typed on the path, not a source.
        (folder / "fine.py").write_text(FINE)
        lines = ["from longspan import AsyncClient, Client", *MISTAKES]
        (folder / "mistakes.py").write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "mypy", *map(str, cache), "--strict"]
        environment = {"MYPYPATH": str(harness.FOLDER / "site"), "PATH": "/usr/bin:/bin"}
        harness.run(*command, "--follow-imports=silent", "--ignore-missing-imports", folder / "fine.py", env=environment)
        found = subprocess.run([*command, "--follow-imports=silent", "--ignore-missing-imports", folder / "mistakes.py"], capture_output=True, text=True,
                               env=environment, check=False).stdout
        for number, (line, word) in enumerate(MISTAKES.items(), 2):
            said = [text for text in found.splitlines() if f"mistakes.py:{number}:" in text]
            self.assertTrue(any(word in text for text in said), f"{line}: {said or found}")

    def test_pins_of_the_build_are_those_of_the_tests(self):
        pinned = (harness.SOURCE / "tests/clients/python/requirements.txt").read_text(encoding="utf-8")
        project = (harness.CLIENT / "pyproject.toml").read_text(encoding="utf-8")
        pins = re.findall(r'"([a-z-]+==[0-9.]+)"', project.split("[project]")[0])
        self.assertEqual(len(pins), 1)
        for pin in pins:
            self.assertIn(f"\n{pin} ", pinned)
        self.assertIn(f'version = "{longspan.__version__}"', project)


class ChunksTest(unittest.TestCase):
    def test_chunks_are_found_in_order(self):
        from longspan._chunks import ranges_of

        self.assertEqual(ranges_of("ab cd ab", ["ab", "cd", "ab"]), [(0, 2), (3, 5), (6, 8)])
        self.assertEqual(ranges_of("one two three four", ["one two", "two three", "three four"]), [(0, 7), (4, 13), (8, 18)])
        self.assertEqual(ranges_of("a a a", ["a", "a", "a"]), [(0, 1), (2, 3), (4, 5)])
        self.assertEqual(ranges_of("a text", []), [])
        for chunks in (["cd", "ab"], ["ab", ""], ["x"]):
            with self.assertRaisesRegex(ValueError, "chunk [01] is no part"):
                ranges_of("ab cd", chunks)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
