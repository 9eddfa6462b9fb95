"""The pool of recordings from Debian packages, on packages built here."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from click.testing import CliRunner

from hear_byola.core.errors import UserError
from hear_byola.core.filestate import file_sha256
from tools.audio_pool import build as debian
from tools.audio_pool import decode as pool
from tools.audio_pool.packages import DebianPackage, fetch, open_deb, read_recipe

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")


def tone(seconds: float, rate: int = 16_000, pitch: float = 440.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


def encoded(samples: np.ndarray, rate: int = 16_000, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


def make_deb(
    folder: Path, name: str, files: dict[str, bytes], version: str = "1.0-1", kind: str = "effects"
) -> DebianPackage:
    """Build folder/NAME_VERSION_all.deb; return the package as the recipe would pin it."""
    tree = folder / "tree"
    for path, content in {
        f"usr/share/doc/{name}/copyright": b"License: CC0",
        **files,
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        f"Maintainer: Nobody <nobody@example.org>\nDescription: sounds\n"
    )
    deb = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, deb],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(tree)
    return DebianPackage(name, version, file_sha256(deb), "CC0", kind)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work/packages").mkdir(parents=True)
    return tmp_path / "work"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def decode_tar(files: dict[str, bytes], folder: Path, kind: str = "effects") -> pool.Decoded:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        return pool.decode(tar, "box", lambda path: kind, folder, {})


def test_every_format_becomes_16_khz_mono_flac(tmp_path: Path) -> None:
    sounds = {
        "a.wav": encoded(tone(1, 44_100, channels=2), 44_100),
        "b.ogg": encoded(tone(1, 22_050, 300), 22_050, "OGG"),
        "c.FLAC": encoded(tone(1, 48_000, 500), 48_000, "FLAC"),
        "d.mp3": encoded(tone(1, 44_100, 700), 44_100, "MP3"),
        "e.aiff": encoded(tone(1, 16_000, 900), 16_000, "AIFF"),
        "notes.txt": b"no sound",
    }
    decoded = decode_tar({f"./usr/{name}": data for name, data in sounds.items()}, tmp_path)
    assert decoded.files == 5
    assert not decoded.left_out
    for piece in decoded.pieces:
        info = soundfile.info(tmp_path / piece["path"])
        assert (info.samplerate, info.channels, info.format, info.subtype) == (
            *(16_000, 1),
            *("FLAC", "PCM_16"),
        )
        assert info.duration == pytest.approx(1, abs=0.1)  # mp3 pads
        assert piece["seconds"] == pytest.approx(info.duration, abs=1e-3)
        assert piece["path"].startswith("effects/box/")
    samples, _ = soundfile.read(tmp_path / decoded.pieces[0]["path"])
    inner = slice(1_000, 15_000)
    assert np.abs(samples[inner] - tone(1)[inner, 0]).max() < 1e-3


def test_pieces_of_a_long_recording_join_to_the_whole(tmp_path: Path) -> None:
    pitch = np.linspace(100, 2_000, 125 * 22_050).cumsum() / 22_050
    sweep = 0.5 * np.sin(2 * np.pi * pitch)
    pieces = decode_tar({"long.wav": encoded(sweep, 22_050)}, tmp_path).pieces
    assert [piece["seconds"] for piece in pieces] == [60, 60, pytest.approx(5, abs=0.01)]
    joined = np.concatenate([soundfile.read(tmp_path / piece["path"])[0] for piece in pieces])
    whole = soxr.resample(sweep, 22_050, 16_000)
    assert np.abs(joined[: len(whole)] - whole[: len(joined)]).max() < 1e-3


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    same = np.rint(tone(1) * 32_767).astype(np.int16)
    decoded = decode_tar(
        {
            "kept.wav": encoded(same),
            "copy.flac": encoded(same, form="FLAC"),
            "silence.wav": encoded(np.full((16_000, 1), 1e-4)),
            "telephone.wav": encoded(tone(1, 8_000), 8_000),
            "click.wav": encoded(tone(0.05)),
            "empty.wav": encoded(tone(0)),
            "broken.ogg": b"OggS but no more",
        },
        tmp_path,
    )
    assert [piece["source"] for piece in decoded.pieces] == ["kept.wav"]
    assert decoded.files == 7
    assert decoded.left_out == {
        "duplicate": 1,
        "silent": 1,
        "rate below 16 kHz": 1,
        "too short": 2,
        "unreadable": 1,
    }
    assert decoded.unreadable[0].startswith("broken.ogg: ")
    assert len(list(tmp_path.rglob("*.*"))) == 1


def test_more_than_full_scale_is_clipped(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, 3 * tone(1), 16_000, format="WAV", subtype="FLOAT")
    (piece,) = decode_tar({"loud.wav": file.getvalue()}, tmp_path).pieces
    samples, _ = soundfile.read(tmp_path / piece["path"])
    assert np.abs(samples - np.clip(3 * tone(1)[:, 0], -1, 1)).max() < 1e-4


def test_sounds_inside_a_games_zip_are_found(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sound/shot.wav", encoded(tone(1)))
        archive.writestr("readme.txt", "no sound")
    decoded = decode_tar({"data/pak0.pk3": file.getvalue(), "not.zip": b"no zip"}, tmp_path)
    assert [piece["source"] for piece in decoded.pieces] == ["data/pak0.pk3/sound/shot.wav"]


def test_a_damaged_sound_inside_a_zip_is_unreadable(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("bad.wav", encoded(tone(1)))
        archive.writestr("good.wav", encoded(tone(1, pitch=300)))
    data = bytearray(file.getvalue())
    data[5_000] ^= 1
    decoded = decode_tar({"pak0.pk3": bytes(data)}, tmp_path)
    assert [piece["source"] for piece in decoded.pieces] == ["pak0.pk3/good.wav"]
    assert decoded.left_out == {"unreadable": 1}


def test_names_and_links_of_a_package_reach_nothing_outside_the_pool(tmp_path: Path) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("../../../escape.wav", encoded(tone(1, pitch=200)))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in {
            "../../up.wav": encoded(tone(1, pitch=300)),
            "/root.wav": encoded(tone(1, pitch=400)),
            "line\nbreak;rm -rf.wav": encoded(tone(1, pitch=500)),
            "a.zip": zipped.getvalue(),
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    stream.seek(0)
    folder = tmp_path / "deep/in/pool"
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        decoded = pool.decode(tar, "box", lambda path: "music", folder, {})
    assert decoded.files == 4
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in written} == {folder / "music/box"}
    assert all(path.name.isascii() and path.suffix == ".flac" for path in written)


@needs_dpkg
def test_build_writes_the_pool_and_its_tables(work: Path) -> None:
    rules = (("*/music/*", "music"), ("*/voice/*", "speech"))
    first = make_deb(
        work / "packages",
        "game-data",
        {
            "usr/share/game/music/theme.ogg": encoded(tone(2, pitch=200), form="OGG"),
            "usr/share/game/voice/hello.wav": encoded(tone(3, pitch=250)),
            "usr/share/game/bang.wav": encoded(tone(1)),
        },
    )
    second = make_deb(
        work / "packages", "other", {"usr/x.wav": encoded(tone(1)), "usr/y.wav": encoded(tone(4))}
    )
    hours = debian.build([replace(first, rules=rules), second], work)
    assert {kind: round(length * 3600, 2) for kind, length in hours.items()} == {
        "speech": 3,
        "music": 2,
        "effects": 5,
    }
    manifest = table(work / "pool/manifest.csv")
    assert {(row["package"], Path(row["source"]).name, row["kind"]) for row in manifest} == {
        ("game-data", "theme.ogg", "music"),
        ("game-data", "hello.wav", "speech"),
        ("game-data", "bang.wav", "effects"),
        ("other", "y.wav", "effects"),  # x.wav is bang.wav again
    }
    assert {row["path"] for row in manifest} == {
        path.relative_to(work / "pool").as_posix() for path in (work / "pool").rglob("*.flac")
    }
    packages = table(work / "pool/packages.csv")
    assert [(row["name"], row["sha256"], row["left_out"]) for row in packages] == [
        ("game-data", first.sha256, ""),
        ("other", second.sha256, "1 duplicate"),
    ]
    assert (work / "copyright/game-data.txt").read_text() == "License: CC0"


@needs_dpkg
def test_a_second_start_decodes_only_what_is_not_finished(work: Path) -> None:
    packages = [
        make_deb(work / "packages", name, {"usr/a.wav": encoded(tone(1, pitch=pitch))})
        for name, pitch in (("one", 200), ("two", 300))
    ]
    debian.build(packages, work)
    before = (work / "pool/manifest.csv").read_text()
    # As after a kill in the middle of the second package: pieces, but no report.
    (work / "pool/finished/two.json").unlink()
    stray = next((work / "pool/effects/two").iterdir()).with_name("0009-half-000.flac")
    stray.write_bytes(b"cut off")
    said: list[str] = []
    debian.build(packages, work, say=said.append)
    assert [line for line in said if "already decoded" in line] == ["[1/2] one: already decoded"]
    assert "two: downloading" in said
    assert (work / "pool/manifest.csv").read_text() == before
    assert not stray.exists()
    # Another rule for the kinds makes a finished package unfinished.
    debian.build([packages[0], replace(packages[1], kind="music")], work)
    assert {row["kind"] for row in table(work / "pool/manifest.csv")} == {"effects", "music"}


@needs_dpkg
def test_a_piece_that_was_deleted_is_missed(work: Path) -> None:
    packages = [make_deb(work / "packages", "one", {"usr/a.wav": encoded(tone(1))})]
    debian.build(packages, work)
    next((work / "pool/effects/one").iterdir()).unlink()
    with pytest.raises(UserError, match=r"is missing\. Delete .*finished/one\.json"):
        debian.build(packages, work)


@needs_dpkg
@pytest.mark.slow  # every process imports torch
def test_processes_decode_what_one_decodes(work: Path) -> None:
    packages = [
        make_deb(work / "packages", name, {"usr/a.wav": encoded(tone(1, pitch=pitch))})
        for name, pitch in (("one", 200), ("two", 300), ("three", 200))
    ]
    debian.build(packages, work, workers=2)
    manifest = (work / "pool/manifest.csv").read_text()
    shutil.rmtree(work / "pool")
    debian.build(packages, work)
    assert (work / "pool/manifest.csv").read_text() == manifest


@needs_dpkg
def test_a_pool_without_a_recording_is_an_error(work: Path) -> None:
    packages = [make_deb(work / "packages", "one", {"usr/a.txt": b"no sound"})]
    with pytest.raises(UserError, match="The pool is empty"):
        debian.build(packages, work)


@needs_dpkg
def test_a_damaged_package_is_named(work: Path) -> None:
    make_deb(work / "packages", "one", {"usr/a.wav": encoded(tone(30, channels=2))})
    path = work / "packages/one_1.0-1_all.deb"
    path.write_bytes(path.read_bytes()[:-300_000])
    cut = DebianPackage("one", "1.0-1", file_sha256(path), "CC0", "music")
    with pytest.raises(UserError, match=r"one_1\.0-1_all\.deb cannot be unpacked"):
        debian.build([cut], work)
    with pytest.raises(UserError, match="cannot be unpacked"), open_deb(work / "no.deb"):
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, DebianPackage]:
    """A Debian mirror in a folder, for the real apt-get, and the one package that it has."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    package = make_deb(folder, "toy-sounds", {"usr/a.wav": encoded(tone(1))}, version="2:1.0-1")
    deb = next(folder.glob("*.deb"))
    # apt writes the epoch's colon as %3a into file names, but asks for what Filename says.
    deb = deb.rename(folder / "toy.deb")
    (folder / "Packages").write_text(
        f"Package: toy-sounds\nVersion: 2:1.0-1\nArchitecture: all\nMaintainer: Nobody\n"
        f"Filename: ./toy.deb\nSize: {deb.stat().st_size}\nSHA256: {package.sha256}\n"
        f"Description: sounds\n"
    )
    apt = tmp_path / "apt"
    for part in ("state/lists/partial", "cache/archives/partial", "etc/sources.list.d"):
        (apt / part).mkdir(parents=True)
    (apt / "state/status").touch()
    (apt / "etc/sources.list").write_text(f"deb [trusted=yes] file:{folder} ./\n")
    (apt / "apt.conf").write_text(
        f'Dir::State "{apt}/state";\nDir::State::status "{apt}/state/status";\n'
        f'Dir::Cache "{apt}/cache";\nDir::Etc "{apt}/etc";\n'
        'APT::Sandbox::User "";\nAcquire::Languages "none";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(apt / "apt.conf"))
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)
    return folder, package


@needs_apt
@needs_dpkg
def test_fetch_downloads_once(mirror: tuple[Path, DebianPackage], work: Path) -> None:
    folder, package = mirror
    path = fetch(package, work / "packages")
    assert file_sha256(path) == package.sha256
    shutil.rmtree(folder)
    assert fetch(package, work / "packages") == path
    assert list((work / "packages").iterdir()) == [path]


@needs_apt
@needs_dpkg
def test_fetch_refuses_another_content(mirror: tuple[Path, DebianPackage], work: Path) -> None:
    _, package = mirror
    other = replace(package, sha256="0" * 64)
    with pytest.raises(UserError, match=f"{package.sha256} instead of the pinned 0000"):
        fetch(other, work / "packages")
    assert not list((work / "packages").iterdir())


@needs_apt
@needs_dpkg
def test_a_version_that_is_gone(mirror: tuple[Path, DebianPackage], work: Path) -> None:
    old = replace(mirror[1], version="2:0.9-4", sha256="0" * 64)
    with pytest.raises(UserError, match=r"no longer has toy-sounds=2:0\.9-4.*--any-version"):
        fetch(old, work / "packages")
    debian.build([old], work, any_version=True)
    (row,) = table(work / "pool/packages.csv")
    assert (row["version"], row["sha256"]) == ("2:1.0-1", mirror[1].sha256)
    assert row["pinned"] == "False"
    said: list[str] = []
    debian.build([old], work, any_version=True, say=said.append)
    assert "already decoded" in said[0]


@needs_apt
@needs_dpkg
def test_an_unknown_package_points_to_the_lists(
    mirror: tuple[Path, DebianPackage], work: Path
) -> None:
    unknown = replace(mirror[1], name="no-such-sounds")
    for any_version in (False, True):
        with pytest.raises(UserError, match=r"no-such-sounds(.|\n)*apt-get update"):
            fetch(unknown, work / "packages", any_version=any_version)


def test_without_the_tools_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(debian.main, [str(tmp_path / "work")])
    assert result.exit_code == 1
    assert result.output == "Error: dpkg-deb is not installed. Run this on Debian or Ubuntu.\n"
    (tmp_path / "dpkg-deb").touch(mode=0o755)
    result = CliRunner().invoke(debian.main, [str(tmp_path / "work")])
    assert result.exit_code == 1
    assert "apt-get is not installed" in result.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = CliRunner().invoke(debian.main, [str(tmp_path / "work")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")


@needs_dpkg
def test_more_adds_the_packages_of_the_second_recipe(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe, name, pitch in (("RECIPE", "first", 200), ("MORE", "second", 300)):
        files = {"usr/a.wav": encoded(tone(1, pitch=pitch))}
        package = make_deb(work / "packages", name, files)
        path = work.parent / f"{recipe}.csv"
        path.write_text(
            "name,version,sha256,licence,kind,rules\n"
            f"{name},{package.version},{package.sha256},CC0,effects,\n"
        )
        monkeypatch.setattr(debian, recipe, path)
    for options, packages in ((["--more"], ["first", "second"]), ([], ["first"])):
        result = CliRunner().invoke(debian.main, [str(work), "--workers", "1", *options])
        assert result.exit_code == 0, result.output
        assert [row["name"] for row in table(work / "pool/packages.csv")] == packages


def test_a_recipe_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "recipe.csv"
    header = "name,version,sha256,licence,kind,rules\n"
    path.write_text(header + "a,1,0,CC0,effects,*/m/*=music x=y=speech\n")
    (package,) = read_recipe(path)
    assert package.rules == (("*/m/*", "music"), ("x=y", "speech"))
    assert [package.kind_of(name) for name in ("usr/m/a.ogg", "x=y", "z")] == [
        "music",
        "speech",
        "effects",
    ]
    path.write_text(header + "a,1,0,CC0,effects,*/m/*=muzak\n")
    with pytest.raises(UserError, match=r"line 2: the kind must be one of .*, not 'muzak'"):
        read_recipe(path)
    path.write_text("name,version\na,1\n")
    with pytest.raises(UserError, match="no column"):
        read_recipe(path)


def test_the_shipped_recipes_share_no_package_with_the_demo_suite() -> None:
    packages = read_recipe(debian.RECIPE) + read_recipe(debian.MORE)
    assert len({package.name for package in packages}) == len(packages)
    assert all(len(package.sha256) == 64 and package.licence for package in packages)
    recipes = Path(__file__).parents[2] / "tools/demo_recipes"
    demo = "".join(
        path.read_text() for path in recipes.rglob("*") if path.suffix in {".py", ".csv"}
    )
    assert "hydrogen-drumkits-effects" in demo
    assert [package.name for package in packages if package.name in demo] == []


@pytest.mark.parametrize("tool", ["tools.audio_pool", "tools.demo_recipes"])
def test_the_tools_run_from_a_checkout(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", tool, "--help"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"python -m {tool}" in done.stdout
