"""Checks README.md, CONTRIBUTING.md, CHANGELOG.md, docs/*.md and the README.md of
client/python and of the chart against the tree and a server.

    readme_test.py SOURCE_DIR BUILD_DIR MODEL

Its Python call runs as printed, its limits are the defaults of the server, and the files that it
names exist. The Python of the tests of client/python runs this script, because it has what that
package depends on and is built with.
"""
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import unittest
import urllib.request
from pathlib import Path

SOURCE, BUILD, MODEL = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
SITE = sysconfig.get_path("purelib")
DOCUMENTS = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8")
             for path in [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", SOURCE / "CHANGELOG.md", SOURCE / "client/python/README.md", SOURCE / "deploy/helm/longspan/README.md", *sorted((SOURCE / "docs").glob("*.md"))]}
README, OPERATIONS = DOCUMENTS["README.md"], DOCUMENTS["docs/operations.md"]


def section(text, heading):
    """What stands below "## HEADING", up to the next such heading."""
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def block(heading, language):
    """The first code block of `language` in a section of the README."""
    return section(README, heading).split(f"```{language}\n", 1)[1].split("```", 1)[0]


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def table_rows(text):
    """The rows of all tables as lists of cells, without heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    heads = [i for i, row in enumerate(rows) if all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    return [row for i, row in enumerate(rows) if i not in heads and i + 1 not in heads]


def first_code(row):
    """`name` of a row's first cell without its ticks."""
    return row[0].strip("`")


def value(text):
    """'8 MiB' -> 8388608, '1m30s' -> 90; what is no number stays text."""
    units = {"": 1, "s": 1, "Ki": 2**10, "Mi": 2**20, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    plain = re.fullmatch(r"([\d.]+) ?([A-Za-z]*)", text)
    if plain and plain[2] in units:
        return float(plain[1]) * units[plain[2]]
    if re.fullmatch(r"([\d.]+(ms|[smh]))+", text):
        return sum(float(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[u] for n, u in re.findall(r"([\d.]+)(ms|[smh])", text))
    return text


def normalised(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


class Server:
    """longspan-server on the embedded model and free ports."""

    def __enter__(self):
        self.process = subprocess.Popen([f"{BUILD}/longspan-server", "--model", MODEL, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--drain-delay", "0",
                                         "--log-level", "error"], stdout=subprocess.PIPE, text=True)
        found = next(m for m in (re.search(r"gRPC on (127\.0\.0\.1:\d+), HTTP on port (\d+)", line) for line in self.process.stdout) if m)
        self.grpc, self.http = found[1], f"http://127.0.0.1:{found[2]}"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.code = self.process.wait()
        self.process.stdout.close()


def defaults():
    """Every setting of the server with its default, as --print-config prints them."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LONGSPAN_")}
    printed = subprocess.run([f"{BUILD}/longspan-server", "--print-config"], env=environment, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^([a-z-]+) += ?(.*?) +# ", printed, re.M))


class ReadmeTest(unittest.TestCase):
    def test_is_short(self):
        self.assertLessEqual(len(README.splitlines()), 150)

    def test_first_lines_name_all_models_calls_and_types(self):
        words = {normalised(word) for word in re.findall(r"[A-Za-z0-9_-]+", "\n".join(README.splitlines()[:15]))}
        models = re.findall(r'^ *\{"([a-z_-]+)", Load', (SOURCE / "core/models/registry.cc").read_text(encoding="utf-8"), re.M)
        calls = re.findall(r"^  rpc (\w+)", (SOURCE / "proto/longspan/v1/encoder.proto").read_text(encoding="utf-8"), re.M)
        self.assertGreater(len(models), 5)
        self.assertGreater(len(calls), 3)
        for name in [*models, *calls, "float32", "bfloat16", "int8"]:
            self.assertIn(normalised(name), words)

    def test_python_call_runs_as_printed(self):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            for name in ("client", "proto"):
                os.symlink(SOURCE / name, os.path.join(folder, name))
            call = block("Call it", "python")
            self.assertIn('"127.0.0.1:50051"', call)
            with open(os.path.join(folder, "call.py"), "w", encoding="utf-8") as script:
                script.write(call.replace("127.0.0.1:50051", server.grpc))
            # pip: the dependencies and what builds the package are there, one virtual environment
            # further; the package itself is built and installed.
            pip = f'''pip() {{
                echo "$@" > pip.txt
                ln -s {SITE}/* "$(python -c "import sysconfig; print(sysconfig.get_path('purelib'))")" 2>/dev/null || true
                python -m pip "$@" -q --no-index --no-deps --no-build-isolation
            }}\n'''
            environment = dict(os.environ, PATH=os.path.dirname(sys.executable) + ":" + os.environ["PATH"], no_grpc_proxy="127.0.0.1")
            done = subprocess.run(["bash", "-ec", pip + block("Call it", "sh") + "python call.py"], cwd=folder, env=environment,
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, "(2, 384) Bob pays. (2, 384) (5, 384)\n")
            with open(os.path.join(folder, "pip.txt"), encoding="utf-8") as asked:
                self.assertEqual(asked.read(), "install ./client/python\n")
        self.assertEqual(server.code, 0)

    def test_limits_are_the_defaults(self):
        rows = {first_code(row)[2:]: row[1] for row in table_rows(section(README, "Limits"))}
        known = defaults()
        self.assertEqual(set(rows), {name for name in known if name.startswith("max-") or name.endswith("-deadline")})
        for name, default in rows.items():
            self.assertEqual(value(default), value(known[name]), name)

    def test_exactness_sums_up_the_table_of_parity(self):
        families = {row[0]: (int(row[1]), int(row[2].replace(",", "")), float(row[3]), float(row[4]))
                    for row in table_rows(DOCUMENTS["docs/exactness.md"].split("<!-- parity:")[1].split("<!-- /parity -->")[0])}
        reformer, others = families.pop("reformer"), list(families.values())
        summed = [sum(o[0] for o in others), sum(o[1] for o in others), max(o[2] for o in others), max(o[3] for o in others)]
        rows = {row[0]: [float(cell.replace(",", "")) for cell in row[1:]] for row in table_rows(section(README, "Exactness"))}
        self.assertEqual(rows, {"all but Reformer": summed, "Reformer": list(reformer)})


class RoomsTest(unittest.TestCase):
    def test_table_of_rooms_is_the_tree_and_the_rule(self):
        """The rooms are the folders that hold sources; "may use" is that of layering_test.sh."""
        script = (SOURCE / "tests/layering_test.sh").read_text(encoding="utf-8")
        rule = {line.split(":")[0]: set(line.split(":")[1].split()) for line in script.split("<<'TABLE'\n")[1].split("\nTABLE")[0].splitlines()}
        tree = {"client"}
        for top in ("core", "server"):
            for path in (SOURCE / top).rglob("*"):
                if path.suffix in (".h", ".cc", ".rs"):
                    tree.add("/".join(path.relative_to(SOURCE).parts[:-1][:2]))
        self.assertEqual(set(rule), tree)
        shown = {first_code(row).strip("/"): row[2] for row in table_rows(section(README, "The rooms"))}
        self.assertEqual(set(shown), tree)
        for room, cell in shown.items():
            names = [name.strip() for name in cell.split(",") if name.strip()]
            top = room.split("/")[0]
            # A name stands for itself, or for a room or header of the same half of the house.
            full = {f"{top}/{name}" if name not in ("core", "proto") and (SOURCE / top / name).exists() else name for name in names}
            self.assertEqual(full, rule[room], room)


class OperationsTest(unittest.TestCase):
    def test_every_setting_stands_there_with_its_default(self):
        rows = [row for row in table_rows(section(OPERATIONS, "Settings")) if row[0].startswith("`--")]
        self.assertEqual(len(rows), len({row[0] for row in rows}), "each once")
        known = defaults()
        self.assertEqual({first_code(row)[2:] for row in rows}, set(known))
        for row in rows:
            self.assertEqual(value(row[1]), value(known[first_code(row)[2:]]), row[0])

    def test_exit_codes_are_those_of_help(self):
        printed = subprocess.run([f"{BUILD}/longspan-server", "--help"], capture_output=True, text=True, check=True).stdout
        shown = section(OPERATIONS, "Start and drain").split("```text\n")[1].split("```")[0]
        self.assertIn(shown, printed)

    def test_metrics_are_those_of_a_server(self):
        documented = set(re.findall(r"`(longspan_[a-z_]+|process_[a-z_]+)`", section(OPERATIONS, "Metrics")))
        with Server() as server:
            page = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{server.http}/metrics", timeout=20).read().decode()
        served = set(re.findall(r"^# TYPE ([a-z_]+) ", page, re.M))
        self.assertGreater(len(served), 15)
        self.assertEqual(served - documented, set(), "not in docs/operations.md")
        # Families without a sample yet are not on the page. The source must at least name them.
        source = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "server/telemetry").glob("*.cc"))
        for name in documented:
            bare = name.removeprefix("longspan_")
            self.assertRegex(source, f'"(longspan_)?{bare}"', name)


class DocumentsTest(unittest.TestCase):
    def test_named_files_exist(self):
        for name, text in DOCUMENTS.items():
            for path in re.findall(r"`((?:proto|core|server|client|deploy|tests|cmake|docs)/[A-Za-z0-9_./-]*)`", text):
                if not re.search(r"\b(newbert|NAME|NEW)", path):    # the recipes' placeholders
                    self.assertTrue((SOURCE / path).exists(), f"{name} names {path}")

    def test_links_resolve(self):
        def anchors(text):
            headings = re.findall(r"^#+ (.*)$", without_code(text), re.M)
            return {re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings}

        count = 0
        for name, text in DOCUMENTS.items():
            for target in re.findall(r"\]\(([^)]+)\)", without_code(text)):
                if re.match(r"https?://", target):
                    continue
                path, _, anchor = target.partition("#")
                linked = ((SOURCE / name).parent / path).resolve() if path else SOURCE / name
                self.assertTrue(linked.exists(), f"{name} links to {target}")
                if anchor:
                    self.assertIn(anchor, anchors(linked.read_text(encoding="utf-8")), f"{name} links to {target}")
                count += 1
        self.assertGreater(count, 20)

    def test_prose_is_at_most_100_columns_wide(self):
        """Tables, links and code may be wider."""
        for name, text in DOCUMENTS.items():
            for line in without_code(text).splitlines():
                if len(line) > 100 and not line.startswith("|") and "](" not in line:
                    self.fail(f"{name}: {len(line)} columns: {line}")

    def test_version_is_everywhere_the_same(self):
        version = re.search(r"project\(longspan VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
        self.assertEqual(re.search(r"^## \[([0-9.]+)\]", DOCUMENTS["CHANGELOG.md"], re.M)[1], version)
        self.assertIn(f"newTag: {version}\n", (SOURCE / "deploy/k8s/base/kustomization.yaml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
