"""The corpora that can be prepared, found in the modules of :mod:`tasks.prepare.corpora`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from tasks.prepare import corpora
from tasks.prepare.corpus import Corpus


def _defined() -> dict[str, Corpus]:
    found: dict[str, Corpus] = {}
    for module in pkgutil.iter_modules(corpora.__path__, f"{corpora.__name__}."):
        for corpus in importlib.import_module(module.name).CORPORA:
            if corpus.task in found:
                raise ValueError(f"{module.name} defines '{corpus.task}' a second time")
            found[corpus.task] = corpus
    return found


CORPORA: Mapping[str, Corpus] = MappingProxyType(_defined())
"""The corpora by the name of their task's card."""
