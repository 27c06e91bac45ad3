"""Fetches a model into a folder, and takes no file whose sha256 is not the one given.

    fetch_model.py DOWNLOADS.json FOLDER

DOWNLOADS.json holds {"files": [{"path", "url", "sha256"}, ...]}, or {"archive": {"url", "sha256"}}
of a tar file. MODEL_TOKEN is sent as a bearer token, to the host of the URL alone. The folder
appears under its name once it is whole; what an earlier try has fetched is checked, not fetched
again. FETCH_PAUSE scales the pauses between tries. It runs on the standard library of Python 3.9 or
newer.
"""
import hashlib
import json
import os
import shutil
import sys
import tarfile
import time
import urllib.request
from pathlib import Path, PurePosixPath

TRIES = 5
CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(url: str, to: Path) -> None:
    request = urllib.request.Request(url)
    token = os.environ.get("MODEL_TOKEN", "").strip()
    if token:
        # Hubs redirect to storage of others, who must not see the token.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as answer, to.open("wb") as file:
        shutil.copyfileobj(answer, file, CHUNK)


def fetch(url: str, sha256: str, to: Path) -> None:
    """Leaves the file at `to`, or raises."""
    if to.is_file() and sha256_of(to) == sha256.lower():
        print(f"{to.name}: there already, sha256 is right", flush=True)
        return
    part = to.with_name(to.name + ".part")
    for attempt in range(1, TRIES + 1):
        try:
            download(url, part)
            break
        except OSError as error:
            print(f"{url}: {error} (try {attempt} of {TRIES})", file=sys.stderr, flush=True)
            if attempt == TRIES:
                raise SystemExit(f"{url} cannot be fetched") from error
            time.sleep(min(2**attempt, 30) * float(os.environ.get("FETCH_PAUSE", "1")))
    got = sha256_of(part)
    if got != sha256.lower():
        part.unlink()
        raise SystemExit(f"{url}: its sha256 is {got}; wanted: {sha256}")
    part.rename(to)
    print(f"{to.name}: {to.stat().st_size} bytes, sha256 is right", flush=True)


def inside(folder: Path, path: str) -> Path:
    """The place of `path` in the folder; refuses what would lie outside of it."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise SystemExit(f"{path!r} is no path inside the model's folder")
    return folder.joinpath(*parts)


def unpack(archive: Path, folder: Path) -> None:
    """Takes plain files and folders out of the archive, and nothing that leaves the folder."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            if not member.isfile():
                raise SystemExit(f"{archive.name}: {member.name!r} is neither a file nor a folder")
            to = inside(folder, member.name.removeprefix("./"))
            to.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, to.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK)


def main() -> None:
    downloads = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[2])
    work = folder.with_name(folder.name + ".incomplete")
    work.mkdir(parents=True, exist_ok=True)
    if folder.exists():    # a container that starts again finds the last one's work
        print(f"{folder} is there already")
        return
    if "archive" in downloads:
        archive = work.with_name(folder.name + ".tar")
        fetch(downloads["archive"]["url"], downloads["archive"]["sha256"], archive)
        try:
            unpack(archive, work)
        except tarfile.TarError as error:
            raise SystemExit(f"{downloads['archive']['url']} is no tar file: {error}") from error
        archive.unlink()
    else:
        for file in downloads["files"]:
            to = inside(work, file["path"])
            to.parent.mkdir(parents=True, exist_ok=True)
            fetch(file["url"], file["sha256"], to)
    work.rename(folder)


main()
