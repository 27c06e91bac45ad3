#!/usr/bin/env python3
"""Lists the crates that are linked into the programs, with their licences.

    crate_licenses.py MANIFEST FOLDER

FOLDER gets crates.tsv (name, version, SPDX licence), and in NAME-VERSION/ the licence files that a
crate brings. Crates that only run while others are compiled (proc-macros, build scripts) are not in
the programs and not in the list.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

TARGET = "x86_64-unknown-linux-gnu"
PATTERNS = ("LICEN[CS]E*", "COPYING*", "NOTICE*", "UNLICENSE*")


def metadata(manifest: Path) -> dict[str, Any]:
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", TARGET, "--manifest-path", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"crate_licenses: {' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def linked(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The packages that the root package is linked with, itself left out, by name and version."""
    packages = {package["id"]: package for package in tree["packages"]}
    nodes = {node["id"]: node for node in tree["resolve"]["nodes"]}
    root = tree["resolve"]["root"]
    seen, todo = {root}, [root]
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            name = dependency["pkg"]
            kinds = [kind["kind"] for kind in dependency["dep_kinds"]]   # None: an ordinary one
            macro = any("proc-macro" in target["kind"] for target in packages[name]["targets"])
            if None in kinds and not macro and name not in seen:
                seen.add(name)
                todo.append(name)
    return sorted((packages[name] for name in seen - {root}), key=lambda p: (p["name"], p["version"]))


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for package in linked(metadata(Path(sys.argv[1]))):
        name, version = package["name"], package["version"]
        rows.append(f"{name}\t{version}\t{(package['license'] or 'NOASSERTION').replace('/', ' OR ')}\n")
        files = [f for pattern in PATTERNS for f in Path(package["manifest_path"]).parent.glob(pattern) if f.is_file()]
        for file in files:
            target = folder / f"{name}-{version}" / file.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
    (folder / "crates.tsv").write_text("".join(rows))
    print(f"crate_licenses: {folder}: {len(rows)} crates")


if __name__ == "__main__":
    main()
