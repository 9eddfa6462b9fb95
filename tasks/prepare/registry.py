"""List the corpora that can be prepared: those of the modules of :mod:`tasks.prepare.corpora`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.discovery import defined_in
from tasks.prepare import corpora
from tasks.prepare.corpus import Corpus

CORPORA: Mapping[str, Corpus] = MappingProxyType(defined_in(corpora, Corpus))
"""The corpora, by the name of their task's card."""
