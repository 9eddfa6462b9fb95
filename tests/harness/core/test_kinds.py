"""Kinds of task are their names, wherever they are compared, printed or stored."""

from __future__ import annotations

import json
import pickle

import pytest

from harness.core.kinds import EmbeddingType, PredictionType, SplitMode


@pytest.mark.parametrize("kind", [*EmbeddingType, *PredictionType, *SplitMode])
def test_a_kind_is_its_name(kind: EmbeddingType) -> None:
    assert kind == kind.value
    assert {kind.value: 1}[kind] == 1
    assert f"{kind}|{kind:>20}|{kind!s}" == f"{kind.value}|{kind.value:>20}|{kind.value}"
    assert json.dumps([kind]) == f'["{kind.value}"]'
    assert pickle.loads(pickle.dumps(kind)) is kind
