"""Try to break commands for hours, and write what was seen to ``results/soak.md``: ``make soak``.

    python tests/bench/soak.py [--only PART]... [--seconds 600] [--inputs 100000]

Each part writes a section of the page, and a run replaces the sections of its parts. A part is a
module ``soak_NAME.py`` with ``TITLE`` and ``section(wanted)`` (:mod:`soaking`). If a part fails or
is left out, its section stays as it was, and the others follow. The exit code is 1 if a part failed
or saw a fault.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import platform
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from soaking import LeftOut, Wanted

PARTS = ("run", "ray", "commands", "driver", "input", "slurm")
INTRODUCTION = """# Attempts to break commands

Written by `make soak` ([tests/bench](../tests/bench)), section by section.
"""


def main() -> None:
    """Read the command line, and write the section of each part."""
    # Shells start commands in the background with SIGINT ignored, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--seconds", type=float, help="at most, of each part [default: 3600]")
    parser.add_argument("--kills", type=int, default=100, help="at least, if the time allows")
    parser.add_argument(
        "--inputs",
        type=int,
        help="for each reader, in any time [default: 100,000; with --seconds as many as it allows]",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/soak.md"))
    chosen = parser.parse_args()
    inputs = chosen.inputs or (None if chosen.seconds else 100_000)
    wanted = Wanted(chosen.seconds or 3600.0, chosen.kills, inputs, chosen.seed)
    failed = []
    for name in chosen.only or PARTS:
        part = importlib.import_module(f"soak_{name}")
        began = time.monotonic()
        try:
            seen = part.section(wanted)
        except LeftOut as error:
            print(f"{name} is left out: {error}.", flush=True)
            continue
        except Exception:  # a fault of one part must not cost the others
            traceback.print_exc()
            failed.append(name)
            continue
        about = (
            f"`{shlex.join(sys.argv[1:]) or 'no options'}`, {datetime.date.today()}, "
            f"{time.monotonic() - began:.0f} s, {platform.system()} {platform.machine()}, Python "
            f"{platform.python_version()}."
        )
        text = "\n".join([f"## {part.TITLE}", "", about, "", *seen.lines])
        page = chosen.out.read_text("utf-8") if chosen.out.is_file() else ""
        chosen.out.write_text(with_section(page, name, text), "utf-8")
        print(text, flush=True)
        if seen.faults:
            failed.append(f"{name} ({seen.faults} faults)")
    if failed:
        sys.exit(f"Parts that failed: {', '.join(failed)}.")


def with_section(page: str, name: str, text: str) -> str:
    """Return the page with the section of one part replaced; sections are in the parts' order."""
    sections = {
        block.partition("\n")[0]: block.strip() for block in re.split(r"(?m)^(?=## )", page)[1:]
    }
    titles: Mapping[str, str] = {
        part: f"## {importlib.import_module(f'soak_{part}').TITLE}" for part in PARTS
    }
    sections[titles[name]] = text.strip()
    ordered = [sections[title] for title in titles.values() if title in sections]
    return "\n\n".join([INTRODUCTION.strip(), *ordered]) + "\n"


if __name__ == "__main__":
    main()
