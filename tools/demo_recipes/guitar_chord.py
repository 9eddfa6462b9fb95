"""Make the demo task of classifying 24 guitar chords over a drum loop.

The drum kit "belofilms GuitarStrums" has each chord in three strums (plain, down, up), each at four
strengths. A fold is a strum, so the test chords are in a strum without training clips. Each fold
has its own drum loops. The strengths of one chord and strum are a group.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tasks.format.spec import SplitMode
from tools.demo_recipes.layout import DemoClip, DemoTask, SourceRecording
from tools.demo_recipes.sonic_pi import Samples
from tools.demo_recipes.sound import add_noise, at_level, cut, fade, random_stretch, read
from tools.demo_recipes.sources import PinnedPackage, fetch

PACKAGE = PinnedPackage(
    "debian",
    "hydrogen-drumkits-effects",
    "2017.09.19~dfsg-1",
    "4ca3ff30e89d044952ad8a4ed28c60e8e5e1f8fec0ddcf0e1e7e2c84ce2975c8",
)
_FOLDER = "usr/share/hydrogen/data/drumkits/belofilms_GuitarStrums"
_NAME = re.compile(r"(?P<chord>.+?)(?P<strum>_DOWN|_UP)?_0(?P<take>\d)(wav)?\.flac", re.IGNORECASE)
_FOLDS = {"": "fold00", "_DOWN": "fold01", "_UP": "fold02"}
_LOOPS = {
    "fold00": ("loop_amen", "loop_amen_full", "loop_garzul"),
    "fold01": ("loop_breakbeat", "loop_mika", "loop_tabla"),
    "fold02": ("loop_compus", "loop_industrial", "loop_safari"),
}
_SECONDS = 1.25
_SNR = (3.0, 15.0)
"""Level of guitar over drums in dB; so low that the long-term spectrum does not give the chord."""


def build(work: Path) -> DemoTask:
    """Return the task of the 287 strums, mixed with drum loops."""
    rng = np.random.default_rng(101)
    folder = fetch(PACKAGE, work) / _FOLDER
    samples = Samples(work)
    loops = {name: samples.sound(name) for names in _LOOPS.values() for name in names}
    splits: dict[str, list[DemoClip]] = {fold: [] for fold in _FOLDS.values()}
    chords = set()
    for path in sorted(folder.glob("*.flac")):
        named = _NAME.fullmatch(path.name)
        if named is None:
            raise RuntimeError(f"{path.name} is not named like the other strums")
        chord = _chord(named["chord"])
        if chord == "E major":  # the kit has no down strum of it
            continue
        fold = _FOLDS[(named["strum"] or "").upper()]
        loop = str(rng.choice(_LOOPS[fold]))
        guitar = cut(read(path), _SECONDS)
        mixed = add_noise(guitar, random_stretch(loops[loop], _SECONDS, rng), rng.uniform(*_SNR))
        chords.add(chord)
        group = f"{chord.replace(' ', '_').replace('#', 'sharp')}-{fold}"
        splits[fold].append(
            DemoClip(
                name=f"{group}-{named['take']}",
                sound=fade(at_level(mixed, rng.uniform(-32, -20))),
                labels=[chord],
                recordings=(_recording(path.name), samples.recording(loop)),
                group=group,
            )
        )
    return DemoTask(
        task_name="demo_guitar_chord",
        title="Guitar chords over drums",
        split_mode=SplitMode.PRESPLIT_KFOLD,
        sample_duration=_SECONDS,
        labels=tuple(sorted(chords)),
        splits=tuple(splits),
        clips=splits,
        licence="CC-BY-3.0",
        changes="Each strum was cut to 1.25 s, mixed with a stretch of a drum loop at a random "
        "ratio, and set to a random level.",
    )


def _chord(name: str) -> str:
    """Return a chord's label: ``"Asharp minro7b5"`` (the kit's spelling) -> ``"A# minor7b5"``."""
    root, quality = re.fullmatch(r"([A-G](?:sharp|flat)?) ?(\w+)", name).groups()  # type: ignore[union-attr]
    root = root.replace("sharp", "#").replace("flat", "b")
    return f"{root} {quality.replace('minro', 'minor')}"


def _recording(file: str) -> SourceRecording:
    return SourceRecording(
        package=PACKAGE,
        file=f"belofilms_GuitarStrums/{file}",
        author="Gabriel Verdugo Soto (belofilms.com)",
        licence="CC-BY-3.0",
    )
