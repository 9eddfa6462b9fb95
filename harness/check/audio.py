"""Faults in a task's audio: every file is decoded, so that none fails once work has begun."""

from __future__ import annotations

import filecmp
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from harness.audio import BadAudio, decode, nearest_rate, present_rates
from harness.check.finding import Finding, clips, error, listing, warning
from harness.layout import Clip, Contents
from harness.memory import FileMemory

_THREADS = 4
_ENCODINGS = ("WAV PCM_16", "WAVEX PCM_16")
_LENGTH_SLACK = 2  # samples: what resampling rounds
_EVENT_SLACK_MS = 1.0


class _Sound(NamedTuple):
    """What decoding a file told; ``fault`` is "" for a good one."""

    fault: str = ""
    frames: int = 0
    peak: float = 0.0
    digest: str = ""
    encoding: str = ""


def check_audio(
    directory: Path, contents: Contents, sample_rate: int | None, memory: FileMemory | None
) -> Iterator[Finding]:
    """Judge the folder that serves ``sample_rate``, or every rate's; a missing one is a finding."""
    rates = present_rates(directory)
    if not rates:
        yield error("", "there is no audio: no folder is named by a sample rate, as 16000.")
        return
    chosen: Sequence[int] = rates
    if sample_rate is not None:
        chosen = [nearest_rate(rates, sample_rate)]
        if chosen[0] < sample_rate:
            yield warning(
                str(chosen[0]),
                f"is the highest rate present: audio is upsampled to {sample_rate} Hz.",
            )
    duration = contents.fields.get("sample_duration")
    for rate in chosen:
        sounds: dict[str, dict[str, _Sound]] = {}
        for split, listed in contents.clips.items():
            folder = f"{rate}/{split}"
            if not (directory / folder).is_dir():
                if listed:
                    yield error(folder, f"the folder is missing.{_other_rates(rates, rate)}")
                continue
            sounds[split] = _decode_all(directory / folder, listed, rate, memory)
            yield from _check_folder(directory, folder, split, sounds[split], rate, duration)
            yield from _check_ends(f"{split}.json", listed, sounds[split], rate)
        yield from _check_twins(sounds)
        yield from _check_strays(directory, str(rate), contents)


def _other_rates(rates: Sequence[int], rate: int) -> str:
    if len(rates) == 1:
        return ""
    return f" Without the folder {rate}, audio of another rate ({_list(rates, rate)}) is resampled."


def _list(rates: Sequence[int], without: int) -> str:
    return ", ".join(str(rate) for rate in rates if rate != without)


def _decode_all(
    folder: Path, listed: Sequence[Clip], rate: int, memory: FileMemory | None
) -> dict[str, _Sound]:
    """Each clip's sound, in order; what is remembered costs no thread its time."""
    sounds = {clip.name: _remembered(f"{folder}/{clip.name}", memory) for clip in listed}
    unheard = [name for name, sound in sounds.items() if sound is None]
    with ThreadPoolExecutor(_THREADS) as pool:
        heard = dict(
            zip(
                unheard, pool.map(lambda n: _listen(folder / n, rate, memory), unheard), strict=True
            )
        )
    return {name: sound or heard[name] for name, sound in sounds.items()}


def _remembered(path: str, memory: FileMemory | None) -> _Sound | None:
    try:
        told = memory.known(path) if memory else None
    except OSError:
        return None  # listening to it will say what is wrong
    return None if told is None else _sound(told)


def _listen(path: Path, rate: int, memory: FileMemory | None) -> _Sound:
    def find_out() -> str:
        audio, info = decode(path, rate)
        peak = float(max(audio.max(), -audio.min()))
        digest = hashlib.sha256(audio.data).hexdigest() if peak else ""
        return f"{info.frames},{peak},{digest},{info.encoding}"

    try:
        return _sound(memory.recall(path, find_out) if memory else find_out())
    except FileNotFoundError:
        return _Sound("is missing.")
    except BadAudio as fault:
        return _Sound(fault.reason)


def _sound(told: str) -> _Sound:
    frames, peak, digest, encoding = told.split(",", 3)
    return _Sound("", int(frames), float(peak), digest, encoding)


def _check_folder(
    directory: Path,
    folder: str,
    split: str,
    sounds: Mapping[str, _Sound],
    rate: int,
    duration: float | None,
) -> Iterator[Finding]:
    for name, sound in sounds.items():
        if sound.fault:
            yield Finding("error", f"{folder}/{name}", sound.fault, split, name)
    good = {name: sound for name, sound in sounds.items() if not sound.fault}
    if sounds and not good:
        yield error(folder, "no clip in it can be used.")

    def those(condition: Callable[[_Sound], bool]) -> list[str]:
        return [name for name, sound in good.items() if condition(sound)]

    if duration is not None:
        frames = duration * rate
        names = those(lambda sound: abs(sound.frames - frames) > _LENGTH_SLACK)
        if names:
            example = good[names[0]].frames / rate
            yield warning(
                folder,
                f"{clips(names)}: not {duration:g} s long as sample_duration says "
                f"(the first: {example:g} s).",
            )
    if names := those(lambda sound: sound.encoding not in _ENCODINGS):
        yield warning(
            folder, f"{clips(names)}: not 16-bit wav (the first: {good[names[0]].encoding})."
        )
    if names := those(lambda sound: sound.peak > 1.0):
        peak = max(good[name].peak for name in names)
        yield warning(folder, f"{clips(names)}: louder than 1 (up to {peak:g}), will be clipped.")
    if names := those(lambda sound: sound.peak == 0.0):
        yield warning(folder, f"{clips(names)}: nothing but zeros.")


def _check_ends(
    file: str, listed: Sequence[Clip], sounds: Mapping[str, _Sound], rate: int
) -> Iterator[Finding]:
    for clip in listed:
        sound = sounds[clip.name]
        if sound.fault:
            continue
        length = sound.frames / rate * 1000.0
        late = [event for event in clip.events if event.end > length + _EVENT_SLACK_MS]
        beyond = [event for event in late if event.start >= length]
        if beyond:
            yield error(
                file,
                f"clip '{clip.name}': the event '{beyond[0].label}' starts at "
                f"{beyond[0].start:g} ms, and the clip ends at {length:g} ms"
                f"{_more(beyond)}.",
            )
        elif late:
            yield warning(
                file,
                f"clip '{clip.name}': the event '{late[0].label}' lasts to {late[0].end:g} ms, "
                f"and the clip ends at {length:g} ms{_more(late)}.",
            )


def _more(found: Sequence[object]) -> str:
    return f" ({len(found)} such events)" if len(found) > 1 else ""


def check_names(directory: Path, contents: Contents) -> Iterator[Finding]:
    """A name in two splits is the same clip unless two different sounds are there."""
    rates, splits = present_rates(directory), contents.clips
    folder = directory / str(rates[-1] if rates else "")
    names = {split: [clip.name for clip in listed] for split, listed in splits.items()}
    for first, second in itertools.combinations(names, 2):
        earlier = set(names[first])
        both = [name for name in names[second] if name in earlier]
        different = [n for n in both if _differ(folder / first / n, folder / second / n)]
        same = [name for name in both if name not in set(different)]
        if same:
            yield error(f"{second}.json", f"{clips(same)}: also in {first}.json.")
        if different:
            yield warning(
                f"{second}.json", f"{clips(different)}: another sound of that name in {first}.json."
            )


def _differ(one: Path, other: Path) -> bool:
    try:
        return not filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _check_twins(sounds: Mapping[str, Mapping[str, _Sound]]) -> Iterator[Finding]:
    """The same samples under two names in two splits: what is tested may have been trained on."""
    by_digest = {
        split: {sound.digest: name for name, sound in heard.items() if sound.digest}
        for split, heard in sounds.items()
    }
    for first, second in itertools.combinations(by_digest, 2):
        shared = by_digest[first].keys() & by_digest[second].keys()
        twins = sorted((by_digest[second][d], by_digest[first][d]) for d in shared)
        twins = [(name, twin) for name, twin in twins if name != twin]
        if twins:
            yield warning(
                f"{second}.json",
                f"{clips([name for name, _ in twins])}: sounds exactly like a clip of {first}.json "
                f"(the first: '{twins[0][1]}').",
            )


def _check_strays(directory: Path, rate: str, contents: Contents) -> Iterator[Finding]:
    """Files and folders beside those the split files name."""
    splits = contents.clips
    for folder in sorted(path for path in (directory / rate).iterdir() if path.is_dir()):
        if folder.name not in splits:
            if folder.name not in contents.fields.get("splits", ()):
                yield warning(f"{rate}/{folder.name}", "is not used: no split has this name.")
            continue
        listed = {clip.name for clip in splits[folder.name]}
        strays = sorted(_files(folder, "") - listed)
        if strays:
            yield warning(
                f"{rate}/{folder.name}",
                f"{len(strays)} files ({listing(strays)}): not in {folder.name}.json.",
            )


def _files(folder: Path | str, prefix: str) -> set[str]:
    """Paths of all files below a folder, relative to it, with forward slashes."""
    found: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found |= _files(entry.path, f"{prefix}{entry.name}/")
            else:
                found.add(prefix + entry.name)
    return found
