"""Report the parts of a table and of recordings that are not used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from harness.core.counts import plural
from tasks.audio import MAX_SECONDS
from tasks.format.spec import EmbeddingType
from tasks.make.labels import Labelled, Labels, rename_times
from tasks.make.recordings import Header

_SLACK = 1e-3  # seconds that may be cut off a recording without a warning
_LIKE_GROUP = (
    "speaker", "singer", "player", "artist", "album", "subject", "participant", "patient", "source",
    "session", "recording", "instrument",
)  # fmt: skip


def tell_columns(labels: Labels, say: Callable[[str], None]) -> None:
    """Report unused columns, names that read the same, and a missing column of groups."""
    like_group = [name for name in labels.unused if name in _LIKE_GROUP and not labels.grouped]
    if labels.unused:
        named = f"column{'s' * (len(labels.unused) > 1)} {', '.join(labels.unused)}"
        advice = "".join(
            f"; rename {name} to group to keep each in one split" for name in like_group[:1]
        )
        if labels.embedding_type == EmbeddingType.SCENE and (times := rename_times(labels.unused)):
            advice += f"; for a task of events, {times} (seconds from the start of the file)"
        say(f"{labels.path}: not used: the {named}{advice}")
    for note in labels.spellings:
        say(f"{labels.path}: {note}")
    if not (labels.grouped or labels.places):
        say(
            f"{labels.path} has no column group: clips of one speaker or recording may be in "
            "several splits"
        )


def tell_cut(
    headers: Mapping[str, Header], seconds: float | None, say: Callable[[str], None]
) -> None:
    """Warn of recordings that are longer than the clips made from them."""
    if seconds is None:
        return
    cut = {file: each.seconds for file, each in headers.items() if each.seconds > seconds + _SLACK}
    if cut:
        longest = max(cut, key=cut.__getitem__)
        all_of_it = (
            f"--seconds {math.ceil(100 * cut[longest]) / 100:g} keeps all of it"
            if cut[longest] <= MAX_SECONDS - 0.01
            else f"clips of tasks last at most {MAX_SECONDS:g} s"
        )
        say(
            f"warning: {len(cut)} of {plural(len(headers), 'recording')} "
            f"{'is' if len(cut) == 1 else 'are'} cut to {seconds:g} s; the longest, '{longest}', "
            f"lasts {cut[longest]:.2f} s: {all_of_it}"
        )


def tell_dropped(
    before: Sequence[Labelled],
    after: Sequence[Labelled],
    seconds: float | None,
    say: Callable[[str], None],
) -> None:
    """Report how many events start after the end of the clips."""
    dropped = sum(len(one.events) for one in before) - sum(len(one.events) for one in after)
    if dropped:
        events = plural(dropped, "event starts", "events start")
        left = "is" if dropped == 1 else "are"
        say(f"{events} after {seconds:g} s, where clips are cut, and {left} left out")
