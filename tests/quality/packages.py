"""The Debian packages that the retrieval sets are made of: fetched, checked and unpacked, never
installed.

packages.json pins each by version and sha256. `packages.py --lock` writes the versions that the
machine's package lists have now; do that when a mirror no longer has the pinned ones, and expect
other results.
"""
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent / "packages.json"
# Their documents are kept for tests by others: no set here may use them.
RESERVED = frozenset(["python3.11-doc", "perl-doc", "linux-doc-6.1", "python-django-doc", "anarchism", "sqlite3-doc", "postgresql-doc-15",
                      "apache2-doc", "debian-policy", "developers-reference"])
# tune: what scoring was chosen on. test: what is reported. german: another language.
# thesaurus: no documents, WordNet.
SETS = ("tune", "test", "german", "thesaurus")


def read() -> list[dict[str, Any]]:
    """The entries of packages.json, checked."""
    entries: list[dict[str, Any]] = json.loads(LOCK.read_text(encoding="utf-8"))
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry["name"]
        if name in RESERVED:
            raise SystemExit(f"packages.json: {name} is reserved")
        if entry["set"] not in SETS:
            raise SystemExit(f"packages.json: {name} has the set '{entry['set']}'; allowed: {', '.join(SETS)}")
        if name in seen:
            raise SystemExit(f"packages.json: {name} stands in {seen[name]} and in {entry['set']}; the sets share no package")
        seen[name] = entry["set"]
    return entries


def _download(name: str, version: str, folder: Path) -> Path:
    before = set(folder.glob("*.deb"))
    command = ["apt-get", "download", "-qq", f"{name}={version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    new = set(folder.glob(f"{name}_*.deb")) - before
    if done.returncode or len(new) != 1:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-400:]}\nRun apt-get update; where the mirror has another version by now, "
                         "tests/quality/packages.py --lock writes it to packages.json")
    return new.pop()


def unpack(entry: dict[str, Any], cache: Path) -> Path:
    """The folder of the package's files, fetched where the cache does not have it."""
    folder = cache / "packages" / f"{entry['name']}-{entry['sha256'][:12]}"
    if (folder / ".complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Fetching {entry['name']} {entry['version']}", file=sys.stderr)
    archive = _download(entry["name"], entry["version"], folder)
    got = hashlib.sha256(archive.read_bytes()).hexdigest()
    if got != entry["sha256"]:
        raise SystemExit(f"{archive.name} has the sha256 {got}; packages.json has {entry['sha256']}")
    subprocess.run(["dpkg-deb", "-x", archive, folder], check=True, timeout=600)
    archive.unlink()
    (folder / ".complete").touch()
    return folder


def lock() -> None:
    """Writes the versions and hashes that apt-cache knows to packages.json."""
    entries = read()
    for entry in entries:
        shown = subprocess.run(["apt-cache", "show", "--no-all-versions", entry["name"]], capture_output=True, text=True, check=True, timeout=60).stdout
        fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line and not line.startswith(" "))
        entry["version"], entry["sha256"] = fields["Version"], fields["SHA256"]
    write(entries)


def write(entries: list[dict[str, Any]]) -> None:
    """packages.json, one entry a line."""
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    LOCK.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--lock"]:
        sys.exit(__doc__)
    lock()
