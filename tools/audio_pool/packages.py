"""Download pinned Debian packages by apt-get, and open them without unpacking."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hear_byola.core.errors import UserError
from hear_byola.core.filestate import file_sha256
from tools.audio_pool.decode import KINDS


@dataclass(frozen=True)
class DebianPackage:
    """A Debian package, pinned by the hash of its content.

    Attributes:
        licence: licence of its recordings, from the package's copyright file.
        kind: kind of a recording that no rule matches.
        rules: (pattern, kind): the first ``fnmatch`` pattern that matches a recording's path
            inside the package gives its kind.
    """

    name: str
    version: str
    sha256: str
    licence: str
    kind: str
    rules: tuple[tuple[str, str], ...] = ()

    def kind_of(self, path: str) -> str:
        """Return the kind of the recording at a path inside the package."""
        return next((kind for glob, kind in self.rules if fnmatchcase(path, glob)), self.kind)


def read_recipe(path: Path) -> list[DebianPackage]:
    """Read the packages of a CSV with the columns name, version, sha256, licence, kind and rules.

    Rules have the form ``pattern=kind`` and are separated by spaces. Other columns are ignored.

    Raises:
        UserError: a column is missing, or a kind is not in ``KINDS``.
    """
    packages = []
    with path.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                rules = [rule.rpartition("=") for rule in row.pop("rules").split()]
                package = DebianPackage(
                    **{field: row[field] for field in ("name", "version", "sha256", "licence")},
                    kind=row["kind"],
                    rules=tuple((pattern, kind) for pattern, _, kind in rules),
                )
            except KeyError as error:
                raise UserError(f"{path} has no column {error}.") from None
            for kind in (package.kind, *(kind for _, kind in package.rules)):
                if kind not in KINDS:
                    raise UserError(
                        f"{path}, line {line}: the kind must be one of {', '.join(KINDS)}, not "
                        f"{kind!r}."
                    )
            packages.append(package)
    return packages


def fetch(package: DebianPackage, folder: Path, *, any_version: bool = False) -> Path:
    """Return the package's file in a folder, and download it if it is missing.

    A file of the package with the pinned SHA-256 is used, whatever its version. With
    ``any_version``, another version is used if the pinned one is no longer available.

    Raises:
        UserError: the package cannot be downloaded, or does not have the pinned hash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = sorted(folder.glob(f"{package.name}_*.deb"))
    for path in held:
        if file_sha256(path) == package.sha256:
            return path
    if any_version and held:
        return held[-1]
    if shutil.which("apt-get") is None:
        raise UserError(
            f"{package.name} {package.version} is not in {folder}, and apt-get is not installed. "
            f"Run this on Debian or Ubuntu, or put {package.name}_*.deb with the sha256 "
            f"{package.sha256} into the folder."
        )
    with tempfile.TemporaryDirectory(dir=folder) as part:
        path = _download(package, Path(part), any_version)
        if not any_version and (found := file_sha256(path)) != package.sha256:
            raise UserError(
                f"{package.name}={package.version} has the sha256 {found} instead of the pinned "
                f"{package.sha256}. The mirror has a different file of that version: try another "
                f"mirror, or use this file with --any-version."
            )
        return path.replace(folder / path.name)


def _download(package: DebianPackage, folder: Path, any_version: bool) -> Path:
    pinned = f"{package.name}={package.version}"
    error = _apt_download(pinned, folder)
    if error and any_version:
        error = _apt_download(package.name, folder)
    if error and f"'{package.version}' for '{package.name}' was not found" in error:
        raise UserError(
            f"The mirror no longer has {pinned}. Use its version with --any-version (the pool then "
            f"differs from the recipe's), or put the pinned .deb from https://snapshot.debian.org "
            f"into {folder.parent}."
        )
    found = sorted(folder.glob("*.deb"))
    if error or not found:
        raise UserError(
            f"apt-get could not download {pinned}: {error or 'it wrote no file'}. If the package "
            f"lists are missing, run `apt-get update`."
        )
    return found[0]


def _apt_download(what: str, folder: Path) -> str:
    """Download a package and return apt-get's error message, "" if it succeeded."""
    # The caller recognises the message on a missing version, so it must be in English.
    done = subprocess.run(
        ["apt-get", "download", what],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    return "" if done.returncode == 0 else done.stderr.strip() or "no reason given"


@contextmanager
def open_deb(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open the files of a .deb as a tar stream, without writing to disk.

    Raises:
        UserError: the file is damaged.
    """
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(archive)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                yield tar
            # Read to the end, because tarfile stops before the padding and may accept a cut file.
            while process.stdout.read(1 << 20):
                pass
            if process.wait():
                raise tarfile.ReadError("the archive is damaged")
        except tarfile.TarError as error:
            process.kill()
            why = process.stderr.read().decode(errors="replace").strip() or str(error)
            raise UserError(
                f"{archive} cannot be unpacked: {why}. Delete it and start again."
            ) from error
        except BaseException:  # also an interrupt must end the process
            process.kill()
            raise


def version_of(archive: Path) -> str:
    """Return the version in the metadata of a .deb."""
    return subprocess.run(
        ["dpkg-deb", "--field", str(archive), "Version"], capture_output=True, text=True, check=True
    ).stdout.strip()
