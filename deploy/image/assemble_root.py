#!/usr/bin/env python3
"""Puts together the root file system of the image, out of installed Debian packages' files.

    assemble_root.py [--on OTHER] ROOT PROGRAM...

ROOT gets the shared libraries that the programs (or plugins) load, nothing else that could run: no
shell, no package manager. What lies outside the system's folders, as LibTorch does, is the
programs' own and left out; so is, with --on, what the root OTHER has. Beside the libraries lie the
certificates of the authorities, the user 10001, and what scanners and lawyers look for: each
package's entry in /var/lib/dpkg/status.d and its copyright. All is taken at the versions that are
installed, so packages.lock pins it.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

USER = 10001
SYSTEM = Path("/usr/lib"), Path("/usr/lib64")
# Of packages that no program is linked against. ld.so.conf is for NVIDIA's container runtime, which
# lists its driver in the image's ld.so.cache; debian_version tells it the folder of libraries.
FILES = (
    "/etc/debian_version",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/x86_64-linux-gnu.conf",
    "/etc/os-release",
    "/usr/share/common-licenses",
)
AUTHORITIES = Path("/usr/share/ca-certificates")
TEXTS = {
    "etc/passwd": f"root:x:0:0:root:/:/nonexistent\nlongspan:x:{USER}:{USER}:longspan:/tmp:/nonexistent\n",
    "etc/group": f"root:x:0:\nlongspan:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
FOLDERS = {"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777}


def die(fault: str) -> None:
    sys.exit(f"assemble_root: {fault}")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        die(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def parse_ldd(text: str) -> tuple[list[Path], list[str]]:
    """What `ldd` printed: the files, and the names that it did not find."""
    found, missing = [], []
    for line in text.splitlines():
        if match := re.fullmatch(r"\s+(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)", line):
            found.append(Path(match[1]))
        elif match := re.fullmatch(r"\s+(\S+) => not found", line):
            missing.append(match[1])
    return found, missing


def libraries(program: Path) -> set[Path]:
    """Of the system's libraries those that the program loads, directly or through others."""
    found, missing = parse_ldd(run("ldd", str(program)))
    if missing or not found:
        die(f"{program} does not find {', '.join(missing) or 'any library: is it a program?'}")
    return {path for path in found if any(folder in path.resolve().parents for folder in SYSTEM)}


def in_place(path: Path) -> Path:
    """The path with its folder resolved: /lib is a link to /usr/lib."""
    return path.parent.resolve() / path.name


def with_links(path: Path) -> Iterable[Path]:
    """The links that lead to a file, then the file."""
    path = in_place(path)
    while path.is_symlink():
        yield path
        path = in_place(path.parent / path.readlink())
    yield path


def copy(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target, follow_symlinks=False)


def owners(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Each package's name, with those of the files that are its own, as its list names them."""
    packages: dict[str, set[str]] = {}
    for path in paths:
        for name in (str(path), str(path).removeprefix("/usr")):
            listed = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False).stdout
            if match := re.match(r"([a-z0-9][a-z0-9+.-]+)(:\w+)?: ", listed):
                packages.setdefault(match[1], set()).add(name)
                break
        else:
            if not path.is_symlink():
                die(f"{path} belongs to no package: the image is made of packages' files only")
    return packages


def describe(package: str, files: set[str], root: Path) -> None:
    """A package's entry, the sums of its files that are in the image, its copyright."""
    status = root / "var/lib/dpkg/status.d"
    status.mkdir(parents=True, exist_ok=True)
    (status / package).write_text(run("dpkg-query", "-s", package))
    architecture = run("dpkg-query", "-W", "-f", "${Architecture}", package)
    info = Path("/var/lib/dpkg/info")
    sums = next((s for s in (info / f"{package}:{architecture}.md5sums", info / f"{package}.md5sums") if s.exists()), None)
    lines = sums.read_text().splitlines() if sums else []
    kept = [line for line in lines if "/" + line.split(maxsplit=1)[1] in files]
    (status / f"{package}.md5sums").write_text("".join(line + "\n" for line in kept))
    copyright_file = Path(f"/usr/share/doc/{package}/copyright")
    if not copyright_file.exists():
        die(f"{package} has no {copyright_file}: its licence must lie in the image")
    target = root / copyright_file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(copyright_file.resolve(), target)


def write_authorities(root: Path) -> None:
    """All authorities of the package in one file, without those that this machine adds."""
    certificates = sorted(AUTHORITIES.rglob("*.crt"))
    if not certificates:
        die(f"no certificates in {AUTHORITIES}: install ca-certificates")
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(c.read_text().rstrip("\n") + "\n" for c in certificates))


def assemble(root: Path, programs: list[Path]) -> dict[str, set[str]]:
    for name, mode in FOLDERS.items():
        (root / name).mkdir(parents=True)
        (root / name).chmod(mode)
    for link in ("lib", "lib64"):
        (root / "usr" / link).mkdir(parents=True)
        (root / link).symlink_to(f"usr/{link}")
    paths = set().union(*(libraries(program) for program in programs))
    for name in FILES:
        paths |= set(Path(name).iterdir()) if Path(name).is_dir() else {Path(name)}
    files = {step for path in paths for step in with_links(path)}
    for path in sorted(files):
        copy(path, root)
    packages = owners(sorted(files))
    packages["ca-certificates"] = set()
    for package, own in sorted(packages.items()):
        describe(package, own, root)
    write_authorities(root)
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    return packages


def remove_what_is_in(other: Path, root: Path) -> None:
    for path in sorted(root.rglob("*")):
        same = other / path.relative_to(root)
        if path.is_symlink():
            if same.is_symlink() and same.readlink() == path.readlink():
                path.unlink()
        elif path.is_file() and same.is_file() and filecmp.cmp(path, same, shallow=False):
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", type=Path, metavar="OTHER")
    parser.add_argument("root", type=Path)
    parser.add_argument("programs", type=Path, nargs="+", metavar="PROGRAM")
    arguments = parser.parse_args()
    root = arguments.root
    if root.exists() and any(root.iterdir()):
        die(f"{root} is not empty")
    packages = assemble(root, arguments.programs)
    if arguments.on:
        remove_what_is_in(arguments.on, root)
    size = sum(f.stat().st_size for f in root.rglob("*") if f.is_file() and not f.is_symlink())
    print(f"assemble_root: {root}: {len(packages)} packages, {size / 1e6:.1f} MB: {' '.join(sorted(packages))}")


if __name__ == "__main__":
    main()
