"""The examples of docs/clients.md and of docs/tei_migration.md run as they stand there.

    docs_test.py SOURCE_DIR BUILD_DIR MODEL
"""
import re
import subprocess
import sys
import unittest

import door

CLIENTS = (door.SOURCE / "docs/clients.md").read_text(encoding="utf-8")
MIGRATION = (door.SOURCE / "docs/tei_migration.md").read_text(encoding="utf-8")
OVER_HTTP = CLIENTS.split("## JSON over HTTP\n")[1].split("\n## ")[0]


def setUpModule():
    global server
    server = door.Server()


def tearDownModule():
    assert server.stop() == 0


def run(*command):
    return subprocess.run(command, cwd=door.harness.FOLDER, capture_output=True, text=True, check=False, timeout=120)


class ExamplesTest(unittest.TestCase):
    def test_each_row_of_the_doors_runs(self):
        rows = re.findall(r"^\|.*\| `(.*)` \|$", CLIENTS.split("<!-- doors -->")[1].split("<!-- /doors -->")[0], re.M)
        self.assertGreater(len(rows), 20)
        for command in rows:
            done = run("bash", "-o", "pipefail", "-c", f"H=127.0.0.1:{server.port}; " + command.replace(r"\|", "|"))
            with self.subTest(command=command):
                self.assertEqual(done.returncode, 0, done.stdout[:1000] + done.stderr)
                self.assertTrue(done.stdout)
                self.assertNotIn('"status":{"code"', done.stdout)

    def test_each_call_of_python_runs(self):
        calls = re.findall(r"^```python\n(.*?)^```", OVER_HTTP, re.M | re.S)
        self.assertEqual(len(calls), 7)
        for call in calls:
            done = run(sys.executable, "-c", call.replace("http://127.0.0.1:8080", server.url))
            with self.subTest(call=call):
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stdout, r"384|Dogs")


class MigrationTest(unittest.TestCase):
    def test_every_setting_that_is_named_is_there(self):
        known = set(re.findall(r"^  (--[a-z-]+)", run(f"{door.BUILD}/longspan-server", "--help").stdout, re.M))
        rows = re.findall(r"^\| `--[^|]*\|([^|]*)\|", MIGRATION.split("## Flags\n")[1].split("\n## ")[0], re.M)
        self.assertGreater(len(rows), 15)
        named = {name for row in rows for name in re.findall(r"`(--[a-z-]+)", row)}
        self.assertGreater(len(named), 8)
        self.assertEqual(named - known, set())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
