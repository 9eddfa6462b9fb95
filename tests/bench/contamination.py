"""How well `tasks check --against` finds test clips in longer recordings, and what it costs.

    export HEAR_BYOLA_TEST_DATA=...  # holds fsdd/recordings, the Free Spoken Digit Dataset
    python tests/bench/contamination.py recall
    python tests/bench/contamination.py cost 1 2000

`recall` takes 40 clips of each demo task and of the spoken digits. Each is changed and put at a
random place between 1 and 6 s of other recordings on each side, from another set. For each change
it prints the share of clips that are found in their recording, and its lowest value in a set. Then
it searches for clips in recordings that do not contain them: everything found there is wrong.

`cost` searches hours of those recordings for clips of 4 s.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
from near_duplicates import CHANGES, demo_recordings, spoken_digits

from tasks.audio import read_audio
from tasks.check.contained import RATE, ClipFile, OtherAudio, find_contained
from tasks.demo import demo_names

CHOSEN = 40
Sets = dict[str, list[Path]]


def sets() -> Sets:
    found = {name: [path for _, path in demo_recordings(name)] for name in demo_names()}
    if os.environ.get("HEAR_BYOLA_TEST_DATA"):
        found["spoken digits"] = [path for _, path in spoken_digits()]
    return found


def in_memory(audio: np.ndarray) -> OtherAudio:
    return OtherAudio("", len(audio), lambda start, count: audio[start : start + count])


def clip(path: Path) -> ClipFile:
    return ClipFile(path.parent, "test", path.name, path)


def surrounded(audio: np.ndarray, others: list[Path], draw: np.random.Generator) -> np.ndarray:
    def some(seconds: float) -> np.ndarray:
        pieces = [np.empty(0, np.float32)]
        while sum(map(len, pieces)) < seconds * RATE:
            pieces.append(read_audio(others[draw.integers(len(others))], RATE))
        return np.concatenate(pieces)[: round(seconds * RATE)]

    return np.concatenate([some(draw.uniform(1, 6)), audio, some(draw.uniform(1, 6))])


def recall(recordings: Sets) -> None:
    names = list(recordings)
    print("| copy | recall | in the worst set |\n|---|---|---|")
    for kind, change in CHANGES.items():
        found = {}
        for i, (name, paths) in enumerate(recordings.items()):
            draw = np.random.default_rng(i)
            others = recordings[names[(i + 1) % len(names)]]
            chosen = [paths[j] for j in draw.permutation(len(paths))[:CHOSEN]]
            copies = []
            for path in chosen:
                changed = np.clip(change(read_audio(path, RATE), RATE), -1, 1).astype(np.float32)
                copies.append(in_memory(surrounded(changed, others, draw)))
            got = {(c.clip.path, c.recording) for c in find_contained([*map(clip, chosen)], copies)}
            found[name] = np.mean([(path, j) in got for j, path in enumerate(chosen)])
        worst = min(found, key=lambda name: found[name])
        mean = np.mean(list(found.values()))
        print(f"| {kind} | {mean:.1%} | {found[worst]:.0%} ({worst}) |", flush=True)


def wrong(recordings: Sets) -> None:
    print("\n| clips | searched | recordings | found |\n|---|---|---|---|")
    names = list(recordings)
    for i, (name, paths) in enumerate(recordings.items()):
        other = names[(i + 1) % len(names)]
        chosen = [clip(path) for path in paths[:300]]
        searched = [in_memory(read_audio(path, RATE)) for path in recordings[other][:300]]
        got = find_contained(chosen, searched)
        print(f"| {name} | {len(chosen)} | {len(searched)} of {other} | {len(got)} |", flush=True)
    speakers: dict[str, list[Path]] = {}
    for path in recordings.get("spoken digits", ()):
        speakers.setdefault(path.stem.split("_")[1], []).append(path)
    if speakers:
        (speaker, own), *rest = speakers.items()
        searched = [
            in_memory(np.concatenate([read_audio(path, RATE) for path in paths[:300]]))
            for _, paths in rest
        ]
        got = find_contained([clip(path) for path in own[:300]], searched)
        print(f"| digits of {speaker} | 300 | 1,500 digits of five others | {len(got)} |")


def cost(recordings: Sets, hours: float, count: int) -> None:
    paths = [path for of_set in recordings.values() for path in of_set]
    draw = np.random.default_rng(0)
    audio = [read_audio(paths[j], RATE) for j in draw.permutation(len(paths))[:600]]
    piece = np.concatenate(audio)[: 600 * RATE]
    searched = [in_memory(np.roll(piece, 1000 * i)) for i in range(round(hours * 6))]
    long = [path for path in paths if path.stat().st_size > 4.01 * 2 * RATE]
    chosen = [clip(long[j]) for j in draw.integers(len(long), size=count)]
    # The clips are other recordings than those searched, except for some.
    began, worked = time.monotonic(), time.process_time()
    got = find_contained(chosen, searched)
    took, worked = time.monotonic() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{count} clips in {hours:g} h: {took:.0f} s ({worked:.0f} s of processor time), "
        f"{peak:.0f} MiB, {len(got)} pairs"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["recall"]:
        recall(sets())
        wrong(sets())
    elif sys.argv[1:2] == ["cost"] and len(sys.argv) == 4:
        cost(sets(), float(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(__doc__)
