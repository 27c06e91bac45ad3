"""Certificates for a test: an authority, what it signed, and a caller that a stranger signed."""
from __future__ import annotations

from pathlib import Path

from processes import run


class Certificates:
    """PEM files in a folder: authority, server, caller and stranger, each .crt and .key."""

    def __init__(self, folder: Path, address: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        for name in ("authority", "other"):
            run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.path(name, "key"), "-out", self.path(name, "crt"))
        self._sign("server", "authority", f"subjectAltName=IP:{address}")
        self._sign("caller", "authority", "extendedKeyUsage=clientAuth")
        self._sign("stranger", "other", "extendedKeyUsage=clientAuth")

    def path(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}.{kind}"

    def _sign(self, name: str, by: str, extension: str) -> None:
        (self.folder / "extensions").write_text(extension + "\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", self.path(name, "key"), "-out", self.folder / "request")
        run("openssl", "x509", "-req", "-in", self.folder / "request", "-CA", self.path(by, "crt"), "-CAkey", self.path(by, "key"), "-CAcreateserial",
            "-days", "2", "-extfile", self.folder / "extensions", "-out", self.path(name, "crt"))
