"""Define panels, the kinds of panels, and the results that each kind is made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from harness.core.errors import UserError
from harness.core.kinds import EmbeddingType, PredictionType

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.analysis.compare import Comparison
    from harness.report.material import Material
    from harness.report.sounds import Player, Sounds
    from harness.results.record import Record


@dataclass(frozen=True)
class PanelTable:
    """A table of texts and audio players.

    Attributes:
        caption: its name for screen readers.
        header: names of the columns.
        rows: as many cells as there are columns.
        numbers: columns that contain numbers.
        folded: columns whose long texts are cut; the page shows the rest on demand.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | Player, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Panel:
    """A figure, a table or both, with a note.

    Attributes:
        note: an explanation, or the reason why nothing is shown.
        draw: makes the figure, of a width in inches; None for none.
        alt: description of the figure.
        table: the figure's values; None for none.
        shown: whether the table is always visible, not only as an alternative to the figure.
        player: plays the recording that the panel shows; None for none.
        caption: addition to the note for a figure outside the page.
        name: the panel's id in its section, and part of file names; empty: that of its kind.
        title: its heading; empty: that of its kind.
        model: the model that it is about; empty if it is about several.
    """

    note: str = ""
    draw: Callable[[float], Figure] | None = None
    alt: str = ""
    table: PanelTable | None = None
    shown: bool = False
    player: Player | None = None
    caption: str = ""
    name: str = ""
    title: str = ""
    model: str = ""


@dataclass(frozen=True)
class ProtocolScope:
    """All models on all tasks by one protocol."""

    material: Material
    protocol: str


@dataclass(frozen=True)
class ComparisonScope(ProtocolScope):
    """The models that are compared by one protocol.

    Attributes:
        found: the comparison; None if there is none.
        why_not: why there is no comparison.
        notes: sentences on the whole comparison.
    """

    found: Comparison | None = None
    why_not: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskScope(ProtocolScope):
    """Some models on one task by one protocol.

    Attributes:
        task: its name.
        records: evaluations with predictions, one for each probe seed, by model.
    """

    task: str
    records: Mapping[str, Sequence[Record]]

    @property
    def some_record(self) -> Record:
        """One of the records, all of which describe the same task."""
        return next(iter(self.records.values()))[0]

    @property
    def is_event(self) -> bool:
        """Whether the task is an event task."""
        return self.some_record.embedding_type == EmbeddingType.EVENT


@dataclass(frozen=True)
class ModelScope:
    """One model on one task by one protocol.

    Attributes:
        model: its name.
        records: its evaluations, one for each probe seed.
        sounds: makes players of the task's recordings.
    """

    model: str
    records: Sequence[Record]
    sounds: Sounds

    @property
    def metric(self) -> str:
        """The task's primary metric."""
        return self.records[0].evaluation[0]

    @property
    def is_event(self) -> bool:
        """Whether the task is an event task."""
        return self.records[0].embedding_type == EmbeddingType.EVENT

    @property
    def is_multiclass(self) -> bool:
        """Whether each clip of the task has exactly one label."""
        return not self.is_event and self.records[0].prediction_type == PredictionType.MULTICLASS


Scope = TypeVar("Scope")


@dataclass(frozen=True)
class PanelKind(Generic[Scope]):
    """A kind of panel. Its subclass determines the section of the report that shows it.

    Attributes:
        name: the id of its panels, and part of file names.
        title: their heading.
        make: makes one or several panels; if it raises a ``UserError``, a panel shows the message.
        applies_to: whether a scope has panels of this kind.
        order: smaller numbers are shown first.
    """

    name: str
    title: str
    make: Callable[[Scope], Panel | Sequence[Panel]]
    applies_to: Callable[[Scope], bool] = lambda scope: True
    order: int = 100

    def panels(self, scope: Scope) -> tuple[Panel, ...]:
        """Make the panels of this kind for a scope."""
        if not self.applies_to(scope):
            return ()
        try:
            made = self.make(scope)
        except UserError as error:
            made = Panel(f"Nothing can be shown: {error}")
        model = scope.model if isinstance(scope, ModelScope) else ""
        return tuple(
            dataclasses.replace(
                panel, name=panel.name or self.name, title=panel.title or self.title, model=model
            )
            for panel in ([made] if isinstance(made, Panel) else made)
        )


class SummaryPanel(PanelKind[ProtocolScope]):
    """Shown below the table of all scores."""


class ComparisonPanel(PanelKind[ComparisonScope]):
    """Shown in the comparison of models."""


class TaskPanel(PanelKind[TaskScope]):
    """Shown in the section of a task, once for all models."""


class ModelPanel(PanelKind[ModelScope]):
    """Shown in the section of a task, once for each model."""


class ProvenancePanel(PanelKind["Material"]):
    """Shown in the provenance of the results."""
