"""Keeps what the trainer remembers out of the home folder; one run that several tests look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pretraining_runs import make_audio


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # One for all tests: matplotlib fills it with its list of fonts, which takes seconds.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio(tmp_path_factory.mktemp("sounds") / "audio")


@pytest.fixture(scope="session")
def whole(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of six steps that nothing disturbed."""
    from support.whole_run import run  # Lightning, which not every test needs

    out = tmp_path_factory.mktemp("whole") / "run"
    run(audio, out)
    return out
