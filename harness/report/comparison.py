"""Compare the models of a report, with notes on the comparison."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.compare import compare
from harness.core.errors import UserError
from harness.report.choice import compared_models, left_out, ranked_models
from harness.report.material import Material
from harness.report.panel import ComparisonScope


def compare_models(material: Material, protocol: str) -> ComparisonScope:
    """Compare the models of a protocol on every task.

    Every pair of up to three models is compared. More models are compared with the first model:
    the one that was named first, otherwise the best.
    """
    models = compared_models(material, protocol)
    paired = {model for by, _, model in material.records if by == protocol}
    known = [model for model in models if model in paired]
    if len(known) < 2 or material.results is None:
        return ComparisonScope(material, protocol, why_not=_why_not(material, models))
    try:
        found = compare(material.results, known, protocol, all_pairs=len(known) <= 3)
    except UserError as error:
        return ComparisonScope(material, protocol, why_not=f"Models cannot be compared: {error}")
    everyone = [model for model in ranked_models(material, protocol) if model in paired]
    others = left_out("The comparison shows", known, everyone)
    notes = (*_reference(material, known), HOW, *filter(None, [others]), *found.warnings)
    return ComparisonScope(material, protocol, found, notes=notes)


def _reference(material: Material, compared: Sequence[str]) -> Sequence[str]:
    """Return a sentence on the reference model, if it was named."""
    named = [model for model in material.named if model in compared]
    if not named:
        return ()
    first = "first" if named[0] == material.named[0] else "first of those with predictions"
    return (f"The others are compared with {named[0]}, which was named {first}.",)


HOW = (
    "Differences with 95 % confidence intervals, paired clip by clip. Circles and squares are "
    "significant after Holm's correction over tasks; grey crosses are not. The diamond is the mean "
    "over tasks; its interval and p cover resampling of clips, not of tasks."
)


def _why_not(material: Material, models: Sequence[str]) -> str:
    if len(models) < 2:
        return "A comparison needs results of at least two models."
    if not any(path.is_dir() for path in material.runs):
        return (
            "A comparison needs the predictions in a run's folder, because it pairs the clips. "
            "This report was made from a results CSV alone."
        )
    return "A comparison needs predictions of at least two models."
