"""All kinds of panels, found in the modules of :mod:`harness.report.panels`."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from harness.core.discovery import defined_in
from harness.report import panels
from harness.report.panel import Panel, PanelKind

Scope = TypeVar("Scope")


@cache
def kinds() -> tuple[PanelKind, ...]:
    """Return all kinds of panels, in the order in which a section shows them."""
    found = defined_in(panels, PanelKind)
    return tuple(sorted(found.values(), key=lambda kind: (kind.order, kind.name)))


def make_panels(section: type[PanelKind[Scope]], scope: Scope) -> tuple[Panel, ...]:
    """Make the panels of a section of the report.

    Args:
        section: the class of the section's kinds, such as ``TaskPanel``.
        scope: what they are made from.
    """
    return tuple(
        panel for kind in kinds() if isinstance(kind, section) for panel in kind.panels(scope)
    )
