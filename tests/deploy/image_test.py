#!/usr/bin/env python3
"""The image's parts, without a Docker engine.

    image_test.py SOURCE_DIR BUILD_DIR LIBTORCH_LIB

The lock of the Debian packages and what is said where the mirror has moved on; the root file system
out of packages' files; the bill of materials by the reader of spdx-tools; that stripping LibTorch
leaves every byte that is loaded. ./dev image does the rest, with an engine.
"""
import hashlib
import io
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

from spdx_tools.spdx.model import RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

SOURCE, BUILD, LIBTORCH = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), Path(sys.argv[3])
IMAGE = SOURCE / "deploy/image"
LOCK = (IMAGE / "packages.lock").read_text()
DOCKERFILE = (SOURCE / "Dockerfile").read_text()
sys.path.insert(0, str(IMAGE))
import assemble_root  # noqa: E402
import crate_licenses  # noqa: E402
import sbom  # noqa: E402


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=120, **options)


class Lock(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copy(IMAGE / "packages.sh", self.folder)
        (self.folder / "packages.lock").write_text("# head\ng++=4:12.2.0-3\nlibssl3=3.0.19-1\n")
        (self.folder / "base").write_text("")

    def call(self, what, installed="", offered="", **environment):
        """packages.sh with an apt and a dpkg that say what the test wants."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        for name, text in {"dpkg-query": installed, "apt-cache": offered, "apt-get": ""}.items():
            (tools / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
            (tools / name).chmod(0o755)
        return run("bash", self.folder / "packages.sh", what,
                   env={"PATH": f"{tools}:{os.environ['PATH']}", "LONGSPAN_APT_PREFERENCES": str(self.folder / "preferences"),
                        "LONGSPAN_APT_BASE": str(self.folder / "base"), **environment})

    def test_the_lock_has_each_package_that_dev_installs(self):
        lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
        locked = dict(line.split("=") for line in lines)
        wanted = re.search(r'^PACKAGES="([^"]*)"', (SOURCE / "dev").read_text(), re.M)[1].split()
        self.assertEqual([p for p in [*wanted, "cargo-web", "rustc-web", "python3-pip", *sbom.COMPILED_IN] if p not in locked], [])
        self.assertEqual(lines, sorted(lines), "not sorted: write it by ./dev image --lock")
        for name, version in locked.items():
            self.assertRegex(f"{name}={version}", r"^[a-z0-9][a-z0-9+.-]+=[0-9][A-Za-z0-9.+:~-]*$")

    def test_apt_is_told_each_locked_version(self):
        done = self.call("pin", offered="g++:\n  Candidate: 4:12.2.0-3\nlibssl3:\n  Candidate: 3.0.19-1\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Package: g++\nPin: version 4:12.2.0-3\nPin-Priority: 1001\n", (self.folder / "preferences").read_text())

    def test_a_version_that_the_mirror_lost_is_named_beside_the_one_it_has_and_the_ways_out(self):
        done = self.call("pin", offered="g++:\n  Candidate: 4:12.2.0-3\nlibssl3:\n  Candidate: 3.0.20-1\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("libssl3: 3.0.19-1 is locked, the mirror offers 3.0.20-1", done.stderr)
        self.assertNotIn("g++", done.stderr)
        for way in ("--lock", "PACKAGES=newest", "BASE"):
            self.assertIn(way, done.stderr)
        self.assertIn("libssl3: 3.0.19-1 is locked, the mirror has no such package", self.call("pin", offered="g++:\n  Candidate: 4:12.2.0-3\n").stderr)
        self.assertEqual(self.call("pin", PACKAGES="newest").returncode, 0)

    def test_what_is_installed_has_the_locked_versions_and_is_all_in_the_lock(self):
        good = "installed g++=4:12.2.0-3\ninstalled libssl3=3.0.19-1\n"
        self.assertEqual(self.call("check", installed=good).returncode, 0)
        self.assertIn("libssl3: 3.0.9-1 is installed, 3.0.19-1 is locked", self.call("check", installed=good.replace("3.0.19", "3.0.9")).stderr)
        new = good + "installed libnew=1\n"
        self.assertIn("libnew: 1 is installed, and not in the lock", self.call("check", installed=new).stderr)
        self.assertEqual(self.call("check", installed=new, PACKAGES="newest").returncode, 0)
        (self.folder / "base").write_text("libnew\n")
        self.assertEqual(self.call("check", installed=new).returncode, 0, "the base image may bring more")

    def test_a_lock_without_packages_is_refused(self):
        (self.folder / "packages.lock").write_text("# head\n")
        done = self.call("pin")
        self.assertEqual(done.returncode, 1)
        self.assertIn("holds no NAME=VERSION", done.stderr)

    def test_another_value_of_packages_is_refused_with_those_that_are_allowed(self):
        self.assertIn("PACKAGES is 'old'; allowed: locked, newest", self.call("check", PACKAGES="old").stderr)


class Root(unittest.TestCase):
    """The client's root: it loads nothing but libraries of Debian."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("dpkg-query") or not Path("/usr/share/ca-certificates").is_dir():
            raise unittest.SkipTest("not Debian, or without ca-certificates")
        cls.root = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.packages = assemble_root.assemble(cls.root, [BUILD / "longspan"])

    def test_a_program_finds_all_that_it_loads_in_there(self):
        loader, folder = self.root / "lib64/ld-linux-x86-64.so.2", self.root / "usr/lib/x86_64-linux-gnu"
        loader = folder / loader.readlink().name   # the link itself is absolute
        listed = run(loader, "--inhibit-cache", "--library-path", folder, "--list", BUILD / "longspan").stdout
        outside = [line for line in listed.splitlines() if "=>" in line and str(folder) not in line]
        self.assertGreater(len(listed.splitlines()), 20)
        self.assertEqual(outside, [])

    def test_nothing_there_runs_but_libraries(self):
        files = [f for f in self.root.rglob("*") if f.is_file() and not f.is_symlink() and f.stat().st_mode & 0o111]
        self.assertEqual([str(f) for f in files if ".so" not in f.name], [])
        self.assertEqual([str(f) for f in self.root.rglob("*") if not f.is_symlink() and f.is_file() and f.stat().st_mode & 0o6000], [])

    def test_each_package_has_its_entry_its_sums_and_its_copyright(self):
        for package in ("libc6", "libgrpc++1.51", "libssl3", "libstdc++6", "base-files", "ca-certificates"):
            self.assertIn(f"Package: {package}\n", (self.root / "var/lib/dpkg/status.d" / package).read_text())
            self.assertTrue((self.root / "usr/share/doc" / package / "copyright").stat().st_size)
        sums = (self.root / "var/lib/dpkg/status.d/libssl3.md5sums").read_text().split()
        self.assertEqual(hashlib.md5((self.root / sums[1]).read_bytes()).hexdigest(), sums[0])

    def test_the_authorities_are_those_of_the_package_and_not_of_this_machine(self):
        bundle = (self.root / "etc/ssl/certs/ca-certificates.crt").read_text()
        self.assertEqual(bundle.count("BEGIN CERTIFICATE"), len(list(Path("/usr/share/ca-certificates").rglob("*.crt"))))

    def test_on_another_root_lies_only_what_that_lacks(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run(sys.executable, IMAGE / "assemble_root.py", "--on", self.root, Path(folder) / "more", BUILD / "longspan", "/usr/bin/openssl")
            self.assertEqual(done.returncode, 0, done.stderr)
            files = [f.relative_to(Path(folder) / "more") for f in (Path(folder) / "more").rglob("*") if f.is_symlink() or f.is_file()]
            self.assertEqual([str(f) for f in files if (self.root / f).is_file() and f.suffix != ".md5sums"], [])

    def test_a_library_that_is_missing_is_named(self):
        self.assertEqual(assemble_root.parse_ldd("\tlibgone.so.1 => not found\n\tlinux-vdso.so.1 (0x00007ffc)\n"), ([], ["libgone.so.1"]))
        for arguments, fault in (((self.root, BUILD / "longspan"), "is not empty"), ((self.root / "new", IMAGE / "sbom.py"), "")):
            done = run(sys.executable, IMAGE / "assemble_root.py", *arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn(fault, done.stderr)


class Bill(unittest.TestCase):
    FILES = {
        "opt/longspan/bin/longspan-server": b"server", "opt/longspan/bin/longspan": b"client",
        "opt/longspan/licenses/crates/crates.tsv": b"tokenizers\t0.23.1\tApache-2.0\nonig\t6.5.3\tMIT\n",
        "opt/longspan/models/all-MiniLM-L6-v2/model.safetensors": b"weights",
        "var/lib/dpkg/status.d/libgrpc++1.51": b"Package: libgrpc++1.51\nArchitecture: amd64\nVersion: 1.51.1-3+b1\nDescription: g\n x\n",
        "var/lib/dpkg/status.d/libgrpc++1.51.md5sums": b"0  usr/lib/x\n",
    }

    def write(self, files):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        done = subprocess.run([sys.executable, IMAGE / "sbom.py", "--source", SOURCE, "--name", "longspan", "--version", "1.2.3", "--revision", "abc",
                               "--out", folder / "x.spdx.json"], input=stream.getvalue(), capture_output=True, check=False, timeout=120)
        return done, folder / "x.spdx.json"

    def test_it_is_valid_and_has_packages_wheels_crates_model_and_programs(self):
        done, path = self.write(self.FILES)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        document = parse_file(str(path))
        self.assertEqual(validate_full_spdx_document(document), [])
        found = {p.name: p for p in document.packages}
        purls = {reference.locator for p in document.packages for reference in p.external_references}
        self.assertEqual(found["longspan"].version, "1.2.3")
        self.assertIn("pkg:deb/debian/libgrpc%2B%2B1.51@1.51.1-3%2Bb1?arch=amd64&distro=debian-12", purls)
        self.assertEqual(found["torch"].checksums[0].value, re.search(r" torch \S+ ([0-9a-f]{64})", (SOURCE / "cmake/LibTorch.cmake").read_text())[1])
        self.assertIn("pkg:pypi/nvidia-cuda-cupti@13.0.85", purls)
        self.assertIn("pkg:cargo/tokenizers@0.23.1", purls)
        self.assertNotIn("nvidia-cublas", found, "the image has no plugin for cards")
        self.assertEqual(found["sentence-transformers/all-MiniLM-L6-v2"].checksums[0].value, hashlib.sha256(b"weights").hexdigest())
        self.assertEqual({f.name: f.checksums[1].value for f in document.files}["./opt/longspan/bin/longspan"], hashlib.sha256(b"client").hexdigest())
        linked = [r for r in document.relationships if r.relationship_type == RelationshipType.STATIC_LINK]
        self.assertEqual(len(linked), 2 + len(sbom.COMPILED_IN))

    def test_an_image_for_cards_lists_its_libraries_and_one_without_a_model_no_model(self):
        files = self.FILES | {"opt/longspan/bin/liblongspan_cuda.so": b"plugin"}
        del files["opt/longspan/models/all-MiniLM-L6-v2/model.safetensors"]
        names = {p.name for p in parse_file(str(self.write(files)[1])).packages}
        self.assertIn("nvidia-cublas", names)
        self.assertNotIn("sentence-transformers/all-MiniLM-L6-v2", names)

    def test_what_is_no_image_of_longspan_is_refused(self):
        done, path = self.write({"etc/passwd": b""})
        self.assertEqual(done.returncode, 1)
        self.assertIn("not an image of longspan", done.stderr.decode())
        self.assertFalse(path.exists())

    def test_crates_that_only_run_while_compiling_are_not_linked(self):
        def package(name, kind="lib"):
            return {"id": name, "name": name, "version": "1", "targets": [{"kind": [kind]}]}

        def depends(name, kind=None):
            return {"pkg": name, "dep_kinds": [{"kind": kind}]}
        tree = {"packages": [package("us"), package("a"), package("b"), package("m", "proc-macro"), package("cc"), package("of_m")],
                "resolve": {"root": "us", "nodes": [{"id": "us", "deps": [depends("a"), depends("m"), depends("cc", "build")]}, {"id": "a", "deps": [depends("b")]},
                                                    {"id": "b", "deps": []}, {"id": "m", "deps": [depends("of_m")]}, {"id": "cc", "deps": []}, {"id": "of_m", "deps": []}]}}
        self.assertEqual([p["name"] for p in crate_licenses.linked(tree)], ["a", "b"])


def loaded(path):
    """What is in each section that is loaded, and what the DT_... of .dynamic point to."""
    with path.open("rb") as file:
        head = file.read(64)
        table, size, count = *struct.unpack_from("<Q", head, 40), *struct.unpack_from("<HH", head, 58)
        file.seek(table)
        sections, pointers = [], []
        for header in struct.iter_unpack("<IIQQQQIIQQ", file.read(size * count)):
            _, kind, flags, address, offset, length, *_ = header
            if not flags & 2:   # SHF_ALLOC
                continue
            file.seek(offset)
            content = b"" if kind == 8 else file.read(length)   # SHT_NOBITS
            sections.append((kind, flags, address, length, hashlib.sha256(content).hexdigest()))
            if kind == 6:   # SHT_DYNAMIC; of its tags those that are addresses
                pointers = [value for tag, value in struct.iter_unpack("<QQ", content) if tag in (3, 4, 5, 6, 7, 12, 13, 23, 25, 26) or tag >> 8 == 0x6FFFFE]
    return sorted(sections), pointers


class LibTorch(unittest.TestCase):
    def test_stripping_leaves_every_byte_that_is_loaded(self):
        library = LIBTORCH / "libtorch_cpu.so"
        sections, pointers = loaded(library)
        self.assertGreater(len(sections), 20)
        for pointer in pointers:
            self.assertTrue(any(address <= pointer < address + length for _, _, address, length, _ in sections), hex(pointer))
        with tempfile.TemporaryDirectory() as folder:
            stripped = Path(folder) / library.name
            done = run("strip", "--strip-unneeded", "-o", stripped, library)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertLess(stripped.stat().st_size, library.stat().st_size)
            self.assertEqual(loaded(stripped), (sections, pointers))
            with stripped.open("r+b") as file:   # one bit of the code
                file.seek(0x2000000)
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 1]))
            self.assertNotEqual(loaded(stripped), (sections, pointers), "this test sees nothing")


class Dockerfile(unittest.TestCase):
    def stage(self, name):
        return re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)[1]

    def test_both_builders_take_it(self):
        self.assertNotRegex(DOCKERFILE, r"(?m)^# *syntax *=")
        self.assertNotRegex(DOCKERFILE, r"<<|--mount|--link|--chmod")

    def test_what_runs_is_built_from_nothing_and_as_a_user(self):
        self.assertIn("\nFROM scratch AS server\n", DOCKERFILE)
        self.assertIn("\nFROM server AS cpu\n", DOCKERFILE)
        self.assertIn("\nFROM cpu AS gpu\n", DOCKERFILE)
        self.assertTrue(DOCKERFILE.rstrip().endswith("\nFROM cpu"))
        for line in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["longspan-server"]'):
            self.assertIn(f"\n{line}\n", self.stage("server"))
        self.assertRegex(self.stage("server"), r'\nHEALTHCHECK .*CMD \["longspan", "health"\]\n')
        for stage in ("server", "cpu", "gpu"):
            self.assertNotRegex(self.stage(stage), r"(?m)^RUN ", "there is no shell to run it")

    def test_the_labels_are_those_of_oci_and_the_version_is_that_of_cmake(self):
        version = re.search(r"project\(longspan VERSION (\S+)", (SOURCE / "CMakeLists.txt").read_text())[1]
        self.assertIn(f"\nARG VERSION={version}\n", DOCKERFILE)
        for label in ("title", "description", "version", "revision", "source", "licenses", "vendor"):
            self.assertIn(f"org.opencontainers.image.{label}=", DOCKERFILE)

    def test_what_it_copies_is_in_the_context(self):
        shown = [line[1:] for line in (SOURCE / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M):
            for path in line.split():
                self.assertTrue(any(path == s or path.startswith(f"{s}/") for s in shown), f"{path} is not in .dockerignore")
                self.assertTrue((SOURCE / path).exists(), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
