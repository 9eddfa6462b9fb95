"""The panel of events over time."""

from __future__ import annotations

from support.report_runs import EVENTS, records

from harness.report.panel import ModelScope
from harness.report.panels.timeline import TIMELINE
from harness.report.sounds import Sounds


def test_a_timeline_holds_the_events_of_its_recording(material):
    (record,) = records(material, EVENTS)
    panel = TIMELINE.make(ModelScope("logmel", [record], Sounds(10**6)))
    (fold,) = record.read_predictions()
    clip = panel.note.partition(":")[0]
    kinds = [row[0] for row in panel.table.rows]
    assert kinds.count("truth") == len(fold.reference[clip])
    assert kinds.count("prediction") == len(fold.predicted[0][clip])
    assert len(panel.draw(4).axes) == 2
    assert panel.player.source.startswith("data:audio/")
