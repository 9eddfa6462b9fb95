"""Fixtures that every test module may use."""

from __future__ import annotations

import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow or busy machine is no failure.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


# A shell starts commands in the background with interrupts ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_foreign_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands under test neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEAR_BYOLA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a test has just written may be remembered, as files of some age are."""
    monkeypatch.setattr("hear_byola.core.filestate.SETTLED_NS", 0)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real recordings, named by HEAR_BYOLA_TEST_DATA; the test is skipped without it."""
    folder = os.environ.get("HEAR_BYOLA_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HEAR_BYOLA_TEST_DATA does not name a folder of test recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def published_digits(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task directory as HEAR's authors published it: spoken digits, 100 clips in five folds."""
    folder = tmp_path_factory.mktemp("published")
    name = "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"
    with tarfile.open(test_data / "archives" / name) as archive:
        archive.extractall(folder, filter="data")
    return folder / "hear-2021.0.6/tasks/spoken_digit-1.0.9-small"


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """The address of a Ray cluster of one node with one CPU; the test is skipped without Ray."""
    from support.ray_clusters import cluster_of

    with cluster_of(1) as cluster:
        yield cluster.address
