"""Make published tasks to fetch (cards and archives), and a listener that stores its calls."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support import task_directories
from support.changed import changed

from tasks.cards.builtin import card
from tasks.cards.card import Card, ZenodoArchive
from tasks.fetch import FetchListener, Patience

RECORD = "17"
HURRY = Patience(connect=10, read=10, tries=3, first_wait=0.01, longest_wait=0.02)
REAL = "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A published task: its card, and its archive."""

    card: Card
    content: bytes

    @property
    def file(self) -> str:
        assert self.card.published is not None
        return self.card.published.file


class Story(FetchListener):
    """Stores all messages and all progress."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.moves: list[tuple[str, str, int, int | None]] = []

    def say(self, name: str, text: str) -> None:
        self.said.append((name, text))

    def moved(self, name: str, stage: str, done: int, total: int | None) -> None:
        self.moves.append((name, stage, done, total))

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self.said)


def make_card(name: str, directory: str, file: str, **fields: object) -> Card:
    """Return a card of a task of unknown size, published in the record of the test."""
    unknown: dict[str, object] = dict.fromkeys(["hours", "clips", "clip_seconds", "n_test"])
    base = card("demo_voice_count")
    published = ZenodoArchive(record=RECORD, file=file)
    own = {"name": name, "directory": directory, "published": published}
    return changed(base, **(unknown | own | fields))


@cache
def made_archive(name: str = "made", prefix: str = "hear-2021.0.6/tasks") -> bytes:
    """Return the archive of a task in the published layout."""
    buffer = io.BytesIO()
    with TemporaryDirectory() as folder, tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        made = task_directories.make_task(Path(folder), "kfold", n=5, seconds=0.3, name=name)
        tar.add(made, f"{prefix}/{made.name}")
    return buffer.getvalue()


def made_sample(name: str = "made") -> Sample:
    file = f"hear2021-{name}-v1-full-16000.tar.gz"
    return Sample(make_card(name, f"{name}-v1-full", file), made_archive(name))
