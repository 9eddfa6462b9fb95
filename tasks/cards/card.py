"""Define the fields of a task card, which describes one task directory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.core.errors import nearest
from harness.core.kinds import SplitMode
from hear_byola.core.schema import Number, Schema, Whole
from tasks.format.spec import Names, TaskKind, TaskName

CARD = "card.yaml"
"""Name of the card file inside the directory of a task for which the package has no card."""

DOMAINS = ("speech", "voice", "music", "environment", "other", "synthetic")
"""The domains in use. A card may name another one; near misspellings of these are rejected."""

OWN = "own"
"""Suite of the tasks that users make."""

_MISSPELT = 0.8  # similarity of names in which one or two letters differ
_MOST = 2**53  # the largest whole number up to which float64 represents every whole number

# The licences of https://spdx.org/licenses/ that are used for recordings and data.
_LICENCE = "|".join(
    (
        r"CC0-1\.0|CC-PDDC|CC-(BY|BY-NC|BY-NC-ND|BY-NC-SA|BY-ND|BY-SA)-[1-4]\.[05](-[A-Z]{2,3})?",
        r"PDDL-1\.0|ODbL-1\.0|ODC-By-1\.0|CDLA-Permissive-[12]\.0|CDLA-Sharing-1\.0",
        r"OGL-UK-[123]\.0|OGL-Canada-2\.0|DL-DE-(BY|ZERO)-2\.0|etalab-2\.0|LAL-1\.[23]|NIST-PD",
        r"MIT|MIT-0|ISC|Zlib|0BSD|BSD-[1-4]-Clause|Apache-2\.0|MPL-2\.0|Artistic-2\.0|Unlicense",
        r"(GPL-[23]|LGPL-2\.1|LGPL-3|AGPL-3|GFDL-1\.[123])(\.0)?-(only|or-later)",
        r"LicenseRef-[A-Za-z0-9.-]+",
    )
)


def _matching(pattern: str, allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(allowed)
        return value

    return AfterValidator(check)


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("a text")
    return value.strip()


def _countable(value: int) -> int:
    if value > _MOST:
        raise ValueError(f"{_MOST} or less")
    return value


def _known_domain(value: str) -> str:
    near = nearest(value, DOMAINS, _MISSPELT)
    if near and value not in DOMAINS:
        raise ValueError(f"'{near}'")
    return value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("[lowest, highest]")
    return value


def _one_group(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    if groups != 1:
        raise ValueError("a regular expression with one capture group")
    return value


Text = Annotated[str, AfterValidator(_filled)]
_Count = Annotated[Whole, Field(ge=1), AfterValidator(_countable)]
_Size = Annotated[Number, Field(ge=0)]
_Range = Annotated[tuple[_Size, _Size], AfterValidator(_rising)]
_Url = Annotated[str, _matching(r"https?://\S+", "a web address")]
_Md5 = Annotated[str, _matching("[0-9a-f]{32}", "32 lower-case hexadecimal digits")]
_Sha256 = Annotated[str, _matching("[0-9a-f]{64}", "64 lower-case hexadecimal digits")]
_Suite = Annotated[str, _matching("[a-z0-9_-]+", "a word in lower case")]
_Directory = Annotated[
    str,
    _matching(
        r"[\w.]+(-[\w.]+)+-(full|small|synthetic|\d+h)",
        "<task_name>-<version>-<mode>, the mode being full, small, synthetic or hours like 5h",
    ),
]
Domain = Annotated[Text, AfterValidator(_known_domain)]
Licence = Annotated[
    str,
    _matching(
        rf"({_LICENCE})( (AND|OR) ({_LICENCE}))*",
        "an SPDX expression, as CC-BY-4.0, or LicenseRef- and a word for what SPDX does not list",
    ),
]


class ZenodoArchive(Schema):
    """The Zenodo record and the archive in it that contain a task directory."""

    record: Annotated[str, _matching("[0-9]+", "the number of a Zenodo record")]
    file: Annotated[str, _matching(r"[\w.-]+", "a file name")]


class SourceFile(Schema):
    """A file or package that a task was made from; checksums are hexadecimal."""

    name: Text
    version: Text | None
    url: _Url | None
    md5: _Md5 | None
    sha256: _Sha256 | None


class _Heading(Schema):
    """The names and the domain of a task: the fields at the top of its card."""

    name: Text
    title: Text
    board_name: Text | None
    suite: _Suite
    directory: _Directory
    domain: Domain


class Card(TaskKind, _Heading):
    """The properties of one task directory: docs/tasks.md, section Cards, describes each field.

    Unknown values are None, in the file ``null``.
    """

    # The order of the fields in the file: those of the last base, of the first base, of this class.
    split_mode: SplitMode
    folds: _Count | None
    clip_seconds: _Size | None
    clips: _Count | None
    n_test: _Count | None
    classes: _Count | None
    hours: _Size | None
    metrics: Names
    published: ZenodoArchive | None
    sources: tuple[SourceFile, ...]
    licence: Licence | None
    citation: Text | None
    oddities: tuple[Text, ...]
    published_scores: _Range | None
    facts_from: tuple[Text, ...]
    split_clips: Mapping[str, _Count] = {}
    metadata_md5: _Md5 | None = None
    group_pattern: Annotated[str, AfterValidator(_one_group)] | None = None

    @property
    def task(self) -> TaskName:
        """The parts of the directory's name."""
        task_name, _, rest = self.directory.partition("-")
        version, _, mode = rest.rpartition("-")
        return TaskName(task_name=task_name, version=version, mode=mode)


OPTIONAL = ("split_clips", "metadata_md5", "group_pattern")
"""Fields that a card may omit."""
