"""Fixtures that every test module may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real recordings, named by HEAR_BYOLA_TEST_DATA; the test is skipped without it."""
    folder = os.environ.get("HEAR_BYOLA_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HEAR_BYOLA_TEST_DATA does not name a folder of test recordings")
    return Path(folder)
