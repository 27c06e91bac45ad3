#!/usr/bin/env python3
"""Writes the bill of materials of an image: SPDX 2.3, as JSON.

    docker export CONTAINER | sbom.py --source DIR --name NAME --version V [--revision R] --out FILE

The files of the image come as a tar on standard input; packages, crates and programs are those that
lie there. Pins and checksums come out of the sources in DIR that the image was built from. The
document is written only if spdx-tools finds it valid.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tarfile
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from license_expression import get_spdx_licensing
from spdx_tools.spdx.model import (
    Actor, ActorType, Checksum, ChecksumAlgorithm, CreationInfo, Document, ExternalPackageRef, ExternalPackageRefCategory, File, FileType,
    Package, PackagePurpose, Relationship, RelationshipType, SpdxNoAssertion)
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from spdx_tools.spdx.writer.json.json_writer import write_document_to_file

PREFIX = "opt/longspan/"
STATUS = "var/lib/dpkg/status.d/"
PROGRAMS = ("bin/longspan-server", "bin/longspan", "bin/liblongspan_cuda.so")
# The wheels that the files of the image are out of, by the CMake file that pins them.
WHEELS = {"LibTorch.cmake": None, "SwaggerUi.cmake": None, "CudaLibraries.cmake": "bin/liblongspan_cuda.so"}
MODEL = ("models/all-MiniLM-L6-v2/model.safetensors", "sentence-transformers/all-MiniLM-L6-v2")
LICENSES = {"torch": "BSD-3-Clause", "drf-spectacular-sidecar": "BSD-3-Clause"}
# Of these Debian packages code is compiled into the programs.
COMPILED_IN = ("libboost1.81-dev", "libcli11-dev", "libstd-rust-web-dev", "libstdc++-12-dev", "nlohmann-json3-dev")
licensing = get_spdx_licensing()


@dataclass
class Image:
    """What was found in the files of the image."""

    # Fields of dpkg's entries.
    packages: list[dict[str, str]] = field(default_factory=list)
    # Name, version and licence.
    crates: list[tuple[str, str, str]] = field(default_factory=list)
    # SHA-1 and SHA-256 by the path below PREFIX.
    sums: dict[str, tuple[str, str]] = field(default_factory=dict)


def read_image(stream: tarfile.TarFile) -> Image:
    image = Image()
    for member in stream:
        content = stream.extractfile(member) if member.isfile() else None
        if content is None:
            continue
        path = member.name.removeprefix("./")
        below = path.removeprefix(PREFIX)
        if path.startswith(STATUS) and not path.endswith(".md5sums"):
            lines = content.read().decode().splitlines()
            image.packages.append(dict(line.split(": ", 1) for line in lines if re.match(r"[A-Z][\w-]*: ", line)))
        elif below == "licenses/crates/crates.tsv":
            for line in content.read().decode().splitlines():
                name, version, license_ = line.split("\t")
                image.crates.append((name, version, license_))
        elif below in (*PROGRAMS, MODEL[0]):
            bytes_ = content.read()
            image.sums[below] = (hashlib.sha1(bytes_).hexdigest(), hashlib.sha256(bytes_).hexdigest())
    if not image.packages or PROGRAMS[0] not in image.sums:
        sys.exit(f"sbom: the tar has {len(image.packages)} packages in {STATUS} and {sorted(image.sums)}: not an image of longspan")
    return image


def pinned_wheels(cmake: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and SHA-256 of the wheels that a CMake file fetches."""
    text = cmake.read_text()
    values = dict(re.findall(r"\bset\((\w+) ([^\s)]+)\)", text))
    for name, version, checksum in re.findall(r"_(?:fetch_wheel\(\w+|cuda_library\()\s*([\w-]+)\s+(\S+)\s+([0-9a-f]{64})\b", text):
        yield name, re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], version), checksum


def spdx_id(*parts: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(parts))


class Bill:
    def __init__(self, name: str, version: str, revision: str, when: datetime) -> None:
        creation = CreationInfo(
            "SPDX-2.3", "SPDXRef-DOCUMENT", f"longspan-{version}", f"urn:uuid:{uuid.uuid4()}", [Actor(ActorType.TOOL, "longspan-sbom")], when)
        self.document = Document(creation)
        self.root = spdx_id("image")
        comment = f"Built from revision {revision}." if revision else None
        self.document.packages.append(
            Package(self.root, name, SpdxNoAssertion(), version=version, files_analyzed=False, comment=comment,
                    license_declared=licensing.parse("Apache-2.0"), primary_package_purpose=PackagePurpose.CONTAINER))
        self.relate("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, self.root)

    def relate(self, one: str, how: RelationshipType, other: str) -> None:
        self.document.relationships.append(Relationship(one, how, other))

    def add(self, kind: str, name: str, version: str | None, purl: str, license_: str | None = None, sha256: str | None = None,
            purpose: PackagePurpose = PackagePurpose.LIBRARY, supplier: str | None = None, compiled_in: bool = False) -> None:
        package = Package(
            spdx_id(kind, name, version or ""), name, SpdxNoAssertion(), version=version, files_analyzed=False, primary_package_purpose=purpose,
            license_declared=licensing.parse(license_) if license_ else SpdxNoAssertion(),
            supplier=Actor(ActorType.ORGANIZATION, supplier) if supplier else SpdxNoAssertion(),
            checksums=[Checksum(ChecksumAlgorithm.SHA256, sha256)] if sha256 else [],
            external_references=[ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", purl)])
        self.document.packages.append(package)
        if compiled_in:
            self.relate(spdx_id("file", PROGRAMS[0]), RelationshipType.STATIC_LINK, package.spdx_id)
        self.relate(self.root, RelationshipType.CONTAINS, package.spdx_id)

    def add_file(self, path: str, sha1: str, sha256: str) -> None:
        sums = [Checksum(ChecksumAlgorithm.SHA1, sha1), Checksum(ChecksumAlgorithm.SHA256, sha256)]
        self.document.files.append(File(f"./{PREFIX}{path}", spdx_id("file", path), sums, file_types=[FileType.BINARY]))
        # A package whose files are not all listed may contain none.
        self.relate("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, spdx_id("file", path))


def add_debian(bill: Bill, image: Image, lock: Path) -> None:
    for entry in sorted(image.packages, key=lambda e: e["Package"]):
        name, version, architecture = entry["Package"], entry["Version"], entry["Architecture"]
        bill.add("deb", name, version, f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}&distro=debian-12", supplier="Debian")
    versions = dict(re.findall(r"^([a-z0-9][a-z0-9+.-]+)=(\S+)$", lock.read_text(), re.M))
    for name in COMPILED_IN:
        if name not in versions:
            sys.exit(f"sbom: {name} is compiled into the programs, and {lock} does not have it")
        purl = f"pkg:deb/debian/{quote(name)}@{quote(versions[name])}?arch=amd64&distro=debian-12"
        bill.add("deb", name, versions[name], purl, supplier="Debian", purpose=PackagePurpose.SOURCE, compiled_in=True)


def add_pinned(bill: Bill, image: Image, source: Path) -> None:
    for file, needs in WHEELS.items():
        for name, version, checksum in pinned_wheels(source / "cmake" / file) if not needs or needs in image.sums else ():
            bill.add("wheel", name, version, f"pkg:pypi/{name}@{version}", LICENSES.get(name), checksum)
    crates = tomllib.loads((source / "core/tokenizer/ffi/Cargo.lock").read_text())["package"]
    checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in crates}
    for name, version, license_ in image.crates:
        declared = None if license_ == "NOASSERTION" else license_
        bill.add("crate", name, version, f"pkg:cargo/{name}@{version}", declared, checksums[name, version], compiled_in=True)
    if MODEL[0] in image.sums:
        bill.add("model", MODEL[1], None, f"pkg:huggingface/{MODEL[1]}", "Apache-2.0", image.sums[MODEL[0]][1], PackagePurpose.OTHER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--revision", default="")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as stream:
        image = read_image(stream)
    bill = Bill(arguments.name, arguments.version, arguments.revision, datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None))
    for path in PROGRAMS:
        if path in image.sums:
            bill.add_file(path, *image.sums[path])
    add_debian(bill, image, arguments.source / "deploy/image/packages.lock")
    add_pinned(bill, image, arguments.source)
    faults = validate_full_spdx_document(bill.document)
    if faults:
        sys.exit("sbom: not valid SPDX 2.3:\n" + "\n".join(f"  {f.context.spdx_id}: {f.validation_message}" for f in faults))
    write_document_to_file(bill.document, str(arguments.out), validate=False)
    print(f"sbom: {arguments.out}: {len(bill.document.packages)} packages, valid SPDX 2.3")


if __name__ == "__main__":
    main()
