"""Checks that the README is true.

    readme_test.py SOURCE_DIR BUILD_DIR MODEL

Its Python call runs as printed, its limits are the defaults of the server, and the files that it
names exist. The Python of the test tools runs this script, because it has the packages that the
README tells its readers to install.
"""
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import unittest

SOURCE, BUILD, MODEL = sys.argv[1:4]
with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
    README = file.read()
SITE = sysconfig.get_path("purelib")


def block(section, language):
    """The first code block in that language of the section."""
    text = README.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return text.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def number(text):
    """The value of a size in bytes or of a time in seconds: '8 MiB' -> 8388608, '1m30s' -> 90."""
    units = {"": 1, "s": 1, "Ki": 2**10, "Mi": 2**20, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    plain = re.fullmatch(r"([\d.]+) ?([A-Za-z]*)", text)
    if plain and plain[2] in units:
        return float(plain[1]) * units[plain[2]]
    return sum(float(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[u] for n, u in re.findall(r"([\d.]+)(ms|[smh])", text))


class ReadmeTest(unittest.TestCase):
    def test_python_call_runs_as_printed(self):
        server = subprocess.Popen(
            [f"{BUILD}/longspan-server", "--model", MODEL, "--listen", "127.0.0.1:0", "--http", "off", "--drain-delay", "0", "--log-level", "error"],
            stdout=subprocess.PIPE, text=True)
        try:
            address = next(m[1] for m in (re.search(r"gRPC on (127\.0\.0\.1:\d+)", line) for line in server.stdout) if m)
            with tempfile.TemporaryDirectory() as folder:
                os.symlink(os.path.join(SOURCE, "proto"), os.path.join(folder, "proto"))
                call = block("Call it", "python")
                self.assertIn('"127.0.0.1:50051"', call)
                with open(os.path.join(folder, "call.py"), "w", encoding="utf-8") as script:
                    script.write(call.replace("127.0.0.1:50051", address))
                # The README makes a virtual environment and installs packages there. This pip
                # notes their names and links them from the environment that runs this test.
                pip = f'pip() {{ echo "$@" > pip.txt; ln -s {SITE}/* "$(python -c "import sysconfig; print(sysconfig.get_path(\'purelib\'))")" 2>/dev/null || true; }}\n'
                environment = dict(os.environ, PATH=os.path.dirname(sys.executable) + ":" + os.environ["PATH"], no_grpc_proxy="127.0.0.1")
                done = subprocess.run(["bash", "-ec", pip + block("Call it", "sh") + "python call.py"], cwd=folder, env=environment,
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stdout, r"^\d+ \[-?0\.\d+, -?0\.\d+, -?0\.\d+, -?0\.\d+\]\n$")
                with open(os.path.join(folder, "pip.txt"), encoding="utf-8") as asked, open(os.path.join(SOURCE, "tests/deploy/requirements.txt"), encoding="utf-8") as lock:
                    pinned = lock.read()
                    for package in asked.read().split()[1:]:
                        self.assertIn(f"\n{package}==", pinned, "what the README installs is what this test runs with")
        finally:
            server.terminate()
            self.assertEqual(server.wait(), 0)
            server.stdout.close()

    def test_limits_are_the_defaults(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LONGSPAN_")}
        printed = subprocess.run([f"{BUILD}/longspan-server", "--print-config"], env=environment, capture_output=True, text=True, check=True).stdout
        defaults = dict(re.findall(r"^([a-z-]+) += (\S+)", printed, re.M))
        rows = dict(re.findall(r"^\| `--([a-z-]+)` \| ([^|]+) \|", README.split("## Limits\n")[1].split("\n## ")[0], re.M))
        self.assertEqual(set(rows), {name for name in defaults if name.startswith("max-") or name.endswith("-deadline")})
        for name, value in rows.items():
            self.assertEqual(number(value), number(defaults[name]), name)

    def test_named_files_exist(self):
        named = re.findall(r"`((?:proto|core|server|client|deploy|tests|cmake)/[A-Za-z0-9_./-]*)`", README)
        self.assertGreater(len(named), 10)
        for path in named:
            self.assertTrue(os.path.exists(os.path.join(SOURCE, path)), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
