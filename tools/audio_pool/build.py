"""Build a pool of free recordings for pretraining from the audio of pinned Debian packages.

The command ``python -m tools.audio_pool WORK`` downloads the packages of ``packages.csv``, with
``--more`` also those of ``more.csv`` (by ``apt-get download``, which needs no root), and writes:

- ``WORK/packages``: the packages;
- ``WORK/pool/<kind>/<package>/*.flac``: 16 kHz mono files of at most 60 s; the kind is ``speech``,
  ``music`` or ``effects``;
- ``WORK/pool/manifest.csv``: the source of each file;
- ``WORK/pool/packages.csv``: the hours and the omissions of each package;
- ``WORK/pool/finished``: a report on each finished package, which is not decoded again when the
  command is interrupted and repeated;
- ``WORK/copyright/``: the copyright files of the packages.

Some free packages are left out: those used for the demo tasks (0ad-data and others), those with
nearly all sounds sampled below 16 kHz (asterisk-moh-opsound-wav, codec2-examples,
warzone2100-data), and those with an unclear or special licence of the sounds (btanks-data,
drascula-music, krank, tuxtype-data).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from hear_byola.core.errors import UserError
from hear_byola.core.filestate import file_sha256
from hear_byola.core.wholefile import replacing
from tools.audio_pool import decode as pool
from tools.audio_pool.packages import (
    DebianPackage,
    fetch,
    open_deb,
    read_recipe,
    version_of,
)

RECIPE = Path(__file__).with_name("packages.csv")
"""Packages of the shipped checkpoint's training."""
MORE = Path(__file__).with_name("more.csv")
"""More packages, with speech of many voices and with effects."""


def build(
    packages: Sequence[DebianPackage],
    work: Path,
    *,
    any_version: bool = False,
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Download and decode packages into ``work/pool``; return its hours by kind.

    Raises:
        UserError: a tool is missing, a package cannot be downloaded, or a file cannot be written.
    """
    work.mkdir(parents=True, exist_ok=True)
    reports: dict[str, dict[str, Any]] = {}
    with _executor(workers) as submit:
        running: set[Future[dict[str, Any]]] = set()
        for package in packages:
            report = _finished(package, work, any_version)
            if report is not None:
                reports[package.name] = report
                say(f"[{len(reports)}/{len(packages)}] {package.name}: already decoded")
                continue
            say(f"{package.name}: downloading")
            archive = fetch(package, work / "packages", any_version=any_version)
            running.add(submit(package, archive, work))
            # Waiting here keeps the number of downloaded but undecoded packages small.
            done, running = _collect(running, at_most=2 * workers)
            _tell(done, reports, len(packages), say)
        done, _ = _collect(running, at_most=0)
        _tell(done, reports, len(packages), say)
    ordered = [reports[package.name] for package in packages]
    return _write_manifest(ordered, work / "pool")


def decode_package(package: DebianPackage, archive: Path, work: Path) -> dict[str, Any]:
    """Decode one package into ``work/pool``, and write its report to ``work/pool/finished``."""
    for kind in pool.KINDS:
        shutil.rmtree(work / "pool" / kind / package.name, ignore_errors=True)
    licence = {
        f"usr/share/doc/{package.name}/copyright": work / "copyright" / f"{package.name}.txt"
    }
    with open_deb(archive) as tar:
        decoded = pool.decode(tar, package.name, package.kind_of, work / "pool", licence)
    sha256 = file_sha256(archive)
    report = {
        "name": package.name,
        "version": version_of(archive),
        "sha256": sha256,
        "pinned": sha256 == package.sha256,
        "licence": package.licence,
        "rules": _fingerprint(package),
        "files": decoded.files,
        "left_out": dict(decoded.left_out),
        "unreadable": decoded.unreadable,
        "pieces": decoded.pieces,
    }
    with replacing(_report_path(package, work)) as part:
        part.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def _finished(package: DebianPackage, work: Path, any_version: bool) -> dict[str, Any] | None:
    """Return the report of a package that is finished, else None."""
    try:
        report: dict[str, Any] = json.loads(_report_path(package, work).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    same = report["rules"] == _fingerprint(package)
    return report if same and (any_version or report["sha256"] == package.sha256) else None


def _report_path(package: DebianPackage, work: Path) -> Path:
    return work / "pool" / "finished" / f"{package.name}.json"


def _fingerprint(package: DebianPackage) -> str:
    """Return a hash of all settings that determine the pieces of a package."""
    formats = (sorted(pool.AUDIO), sorted(pool.ARCHIVES))
    limits = (pool.PIECE_SECONDS, pool.SHORTEST_SECONDS, pool.SILENCE_DB)
    settings = (package.kind, package.rules, *limits, *formats)
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]


def _write_manifest(reports: Sequence[dict[str, Any]], folder: Path) -> dict[str, float]:
    """Delete pieces that an earlier package has too, and write the two tables of the pool."""
    heard: set[str] = set()
    total = dict.fromkeys(pool.KINDS, 0.0)
    pieces: list[dict[str, Any]] = []
    packages: list[dict[str, Any]] = []
    for report in reports:
        seconds = dict.fromkeys(pool.KINDS, 0.0)
        again = 0
        for piece in report["pieces"]:
            if piece["content"] in heard:
                (folder / piece["path"]).unlink(missing_ok=True)
                again += 1
                continue
            if not (folder / piece["path"]).exists():
                raise UserError(
                    f"{folder / piece['path']} is missing. Delete {folder / 'finished'}/"
                    f"{report['name']}.json and start again to decode the package again."
                )
            heard.add(piece["content"])
            seconds[piece["kind"]] += piece["seconds"]
            pieces.append({"package": report["name"], **piece})
        left_out = dict(report["left_out"])
        if again:
            left_out["duplicate"] = left_out.get("duplicate", 0) + again
        packages.append(
            {field: report[field] for field in ("name", "version", "sha256", "pinned", "licence")}
            | {f"{kind}_hours": round(seconds[kind] / 3600, 4) for kind in pool.KINDS}
            | {"left_out": "; ".join(f"{n} {reason}" for reason, n in sorted(left_out.items()))}
        )
        for kind in pool.KINDS:
            total[kind] += seconds[kind] / 3600
    _write_csv(folder / "manifest.csv", pieces)
    _write_csv(folder / "packages.csv", packages)
    return total


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        raise UserError("The pool is empty: no package contains a usable recording.")
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _executor(workers: int) -> Iterator[Callable[..., Future[dict[str, Any]]]]:
    """Yield a function that submits a package to ``workers`` processes; to this one if 1."""
    if workers == 1:

        def now(*arguments: Any) -> Future[dict[str, Any]]:
            future: Future[dict[str, Any]] = Future()
            future.set_result(decode_package(*arguments))
            return future

        yield now
        return
    executor = ProcessPoolExecutor(
        # Ctrl-C also interrupts the workers; they end silently, and only the command prints.
        workers,
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield lambda *arguments: executor.submit(decode_package, *arguments)
    except BrokenProcessPool as error:
        raise UserError(
            "A decoding process was killed (out of memory?). Start again with fewer --workers; "
            "finished packages are kept."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _collect(
    running: set[Future[dict[str, Any]]], at_most: int
) -> tuple[set[Future[dict[str, Any]]], set[Future[dict[str, Any]]]]:
    """Wait until at most ``at_most`` are running; return the finished futures and the others."""
    finished = {future for future in running if future.done()}
    running = running - finished
    while len(running) > at_most:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        finished |= done
    return finished, running


def _tell(
    done: Iterable[Future[dict[str, Any]]],
    reports: dict[str, dict[str, Any]],
    packages: int,
    say: Callable[[str], None],
) -> None:
    for future in done:
        report = future.result()
        reports[report["name"]] = report
        minutes = sum(piece["seconds"] for piece in report["pieces"]) / 60
        left_out = ", ".join(f"{n} {reason}" for reason, n in sorted(report["left_out"].items()))
        say(
            f"[{len(reports)}/{packages}] {report['name']} {report['version']}: "
            f"{report['files']} files, {minutes:.1f} min"
            + (f"; left out: {left_out}" if left_out else "")
            + ("" if report["pinned"] else "; NOT the pinned version")
        )


@click.command()
@click.argument("work", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--any-version", is_flag=True, help="If a pinned version is gone, use the available one."
)
@click.option(
    "--more",
    is_flag=True,
    help="Also the packages of more.csv: speech of many voices, and effects. The shipped "
    "checkpoint was trained without them.",
)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
def main(work: Path, any_version: bool, more: bool, workers: int) -> None:
    """Build the pretraining pool of free Debian packages in WORK/pool."""
    try:
        if shutil.which("dpkg-deb") is None:
            raise UserError("dpkg-deb is not installed. Run this on Debian or Ubuntu.")
        packages = read_recipe(RECIPE) + (read_recipe(MORE) if more else [])
        hours = build(packages, work, any_version=any_version, workers=workers, say=click.echo)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error}. Check the free space and the permissions.") from error
    for kind, length in hours.items():
        click.echo(f"{kind}: {length:.2f} h")
