"""Command line: ``python -m tools.demo_recipes OUT --work DIR [--only NAME]...``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from harness.core.counts import plural
from tools.demo_recipes import (
    guitar_chord,
    pipe_pitch,
    sample_mix,
    transport_events,
    voice_count,
)
from tools.demo_recipes.layout import DemoTask, write

RECIPES: dict[str, Callable[[Path], DemoTask]] = {
    "demo_guitar_chord": guitar_chord.build,
    "demo_pipe_pitch": pipe_pitch.build,
    "demo_sample_mix": sample_mix.build,
    "demo_transport_events": transport_events.build,
    "demo_voice_count": voice_count.build,
}


def main() -> None:
    """Build the requested tasks, by default all."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_recipes", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write the task directories to")
    parser.add_argument("--work", type=Path, required=True, help="folder for downloaded packages")
    parser.add_argument("--only", action="append", choices=RECIPES, help="build only this task")
    arguments = parser.parse_args()
    for name in arguments.only or RECIPES:
        task = RECIPES[name](arguments.work.resolve())
        write(task, arguments.out)
        audio = list((arguments.out / task.name).rglob("*.ogg"))
        size = sum(path.stat().st_size for path in audio)
        print(f"{task.name}: {plural(len(audio), 'clip')}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
