"""Find faults in the decoded audio of a task (:mod:`tasks.check.sound` decodes it)."""

from __future__ import annotations

import filecmp
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.core.counts import plural
from tasks.audio import nearest_rate, present_rates
from tasks.check.finding import Finding, clips, error, listing, warning
from tasks.check.sound import DecodedClip, Sounds
from tasks.format.directory import Contents
from tasks.format.tables import Clip

_ENCODINGS = ("WAV PCM_16", "WAVEX PCM_16")
_LENGTH_SLACK = 2  # samples, for rounding when a clip is resampled
_EVENT_SLACK_MS = 1.0
_STEPS = 32768  # quantization steps of a 16-bit file between 0 and full scale
_FAINT_STEPS = 16  # then the loudest sample uses 4 of 15 bits and the sign


def rates_to_hear(directory: Path, sample_rate: int | None) -> Sequence[int]:
    """Return the rate that a model at ``sample_rate`` uses; for None all rates, ascending."""
    rates = present_rates(directory)
    return [nearest_rate(rates, sample_rate)] if rates and sample_rate is not None else rates


def check_audio(
    directory: Path, contents: Contents, sample_rate: int | None, heard: Mapping[int, Sounds]
) -> Iterator[Finding]:
    """Yield the findings on the sounds of each rate; a missing folder is a finding."""
    rates = present_rates(directory)
    if not rates:
        yield error("", "there is no audio: no folder is named by a sample rate, such as 16000.")
        return
    if sample_rate is not None and rates[-1] < sample_rate:
        yield warning(
            str(rates[-1]), f"is the highest rate present: audio is upsampled to {sample_rate} Hz."
        )
    duration = contents.fields.get("sample_duration")
    for rate, sounds in heard.items():
        for split, listed in contents.clips.items():
            folder = f"{rate}/{split}"
            if split in sounds:
                yield from _check_folder(folder, split, sounds[split], rate, duration)
                yield from _check_ends(f"{split}.json", listed, sounds[split], rate)
            elif listed:
                yield error(folder, f"the folder is missing.{_other_rates(rates, rate)}")
        yield from _check_strays(directory, str(rate), contents)


def _other_rates(rates: Sequence[int], rate: int) -> str:
    if len(rates) == 1:
        return ""
    others = ", ".join(str(other) for other in rates if other != rate)
    return f" Without the folder {rate}, audio of another rate ({others}) is resampled."


def _check_folder(
    folder: str,
    split: str,
    sounds: Mapping[str, DecodedClip],
    rate: int,
    duration: float | None,
) -> Iterator[Finding]:
    for name, sound in sounds.items():
        if sound.fault:
            yield Finding("error", f"{folder}/{name}", sound.fault, split, name)
    good = {name: sound for name, sound in sounds.items() if not sound.fault}
    if sounds and not good:
        yield error(folder, "no clip in it can be used.")

    if duration is not None:
        frames = duration * rate
        names = [n for n, sound in good.items() if abs(sound.frames - frames) > _LENGTH_SLACK]
        if names:
            example = good[names[0]].frames / rate
            yield warning(
                folder,
                f"{clips(names)}: not {duration:g} s long as in sample_duration "
                f"(the first: {example:g} s).",
            )
    if names := [n for n, sound in good.items() if sound.encoding not in _ENCODINGS]:
        yield warning(
            folder, f"{clips(names)}: not 16-bit wav (the first: {good[names[0]].encoding})."
        )
    peaks = {name: sound.peak for name, sound in good.items()}
    if names := [name for name, peak in peaks.items() if peak > 1.0]:
        peak = max(peaks.values())
        yield warning(folder, f"{clips(names)}: louder than 1 (up to {peak:g}); clipped when used.")
    if names := [name for name, peak in peaks.items() if peak == 0.0]:
        yield warning(folder, f"{clips(names)}: silence (all samples are zero).")
    if names := [name for name, peak in peaks.items() if 0.0 < peak * _STEPS < _FAINT_STEPS]:
        steps = round(max(peaks[name] for name in names) * _STEPS)
        yield warning(
            folder,
            f"{clips(names)}: so quiet that 16 bits resolve the sound poorly (the largest sample "
            f"is {steps} of {_STEPS}).",
        )


def _check_ends(
    file: str, listed: Sequence[Clip], sounds: Mapping[str, DecodedClip], rate: int
) -> Iterator[Finding]:
    for clip in listed:
        sound = sounds[clip.name]
        if sound.fault or not clip.events:
            continue
        length = sound.frames / rate * 1000.0
        late = [event for event in clip.events if event.end > length + _EVENT_SLACK_MS]
        beyond = [event for event in late if event.start >= length]
        if beyond:
            yield error(
                file,
                f"clip '{clip.name}': the event '{beyond[0].label}' starts at "
                f"{beyond[0].start:g} ms, but the clip ends at {length:g} ms"
                f"{_more(beyond)}.",
            )
        elif late:
            yield warning(
                file,
                f"clip '{clip.name}': the event '{late[0].label}' lasts to {late[0].end:g} ms, "
                f"but the clip ends at {length:g} ms{_more(late)}.",
            )


def _more(found: Sequence[object]) -> str:
    return f" ({len(found)} such events)" if len(found) > 1 else ""


def check_names(directory: Path, contents: Contents) -> Iterator[Finding]:
    """Yield a finding for each name in two splits: an error unless the two files differ."""
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
                f"{second}.json",
                f"{clips(different)}: {first}.json has a different sound of the same name.",
            )


def _differ(one: Path, other: Path) -> bool:
    try:
        return not filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _check_strays(directory: Path, rate: str, contents: Contents) -> Iterator[Finding]:
    """Yield findings on files and folders that no split file lists."""
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
                f"{plural(len(strays), 'file')} ({listing(strays)}): not in {folder.name}.json.",
            )


def _files(folder: Path | str, prefix: str) -> set[str]:
    """Return the paths of all files below a folder, relative to it, with forward slashes."""
    found: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found |= _files(entry.path, f"{prefix}{entry.name}/")
            else:
                found.add(prefix + entry.name)
    return found
