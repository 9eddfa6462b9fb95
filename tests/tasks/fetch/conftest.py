"""A published task, a server that publishes it, and a ``fetch`` that is in a hurry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archives import HURRY, REAL, Sample, Story, made_sample, make_card
from support.record_server import RecordServer

import tasks.fetch.archive
from tasks.fetch import Fetched
from tasks.fetch import fetch as fetch_tasks


@pytest.fixture
def made() -> Sample:
    return made_sample()


@pytest.fixture
def real(test_data: Path) -> Sample:
    """An archive exactly as the HEAR team published it."""
    path = test_data / "archives" / REAL
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    return Sample(make_card("digits", "spoken_digit-1.0.9-small", REAL), path.read_bytes())


@pytest.fixture(params=["made", "real"])
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def best(request: pytest.FixtureRequest) -> Sample:
    """The real archive where it is, else a made one."""
    folder = os.environ.get("HEAR_BYOLA_TEST_DATA", "")
    there = bool(folder) and Path(folder, "archives", REAL).is_file()
    found: Sample = request.getfixturevalue("real" if there else "made")
    return found


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordServer]:
    """A record archive on loopback, which stands in for Zenodo."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with RecordServer() as running:
        monkeypatch.setattr(tasks.fetch.archive, "API", running.api)
        yield running


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def fetch(story: Story, tmp_path: Path) -> Callable[..., Fetched]:
    """Fetch samples to ``tmp_path / "tasks"``."""

    def call(*samples: Sample, **options: object) -> Fetched:
        chosen: dict[str, object] = {"patience": HURRY, "listener": story} | options
        cards = [each.card for each in samples]
        return fetch_tasks(cards, tmp_path / "tasks", **chosen)  # type: ignore[arg-type]

    return call
