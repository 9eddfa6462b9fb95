"""Which panels a section has."""

from __future__ import annotations

import dataclasses

from support.changed import changed
from support.report_runs import EVENTS, MIX, SCENE, records

from harness.report.sections import task_sections
from harness.results.predictions import write_predictions


def test_every_task_has_a_section_for_each_protocol(material):
    sections = list(task_sections(material, 0))
    assert {section.task for section in sections} == {SCENE, MIX, EVENTS}
    for section in sections:
        names = [panel.name for panel in section.every_panel()]
        assert names.count("scores") == names.count("map") == 1
        assert names.count("curve") == names.count("mistakes") == 2
        assert ("timeline" in names) == (section.task == EVENTS)
        assert ("confusion" in names) == (section.task == SCENE)
        assert section.missing == ""


def test_a_model_of_another_version_of_the_task_has_no_panels(material):
    model = next(m for _, t, m in material.records if t == SCENE and m != "logmel")
    (record,) = records(material, SCENE, model)
    other = changed(record, labels=(*record.labels, "one more"))
    key = ("linear", SCENE, model)
    mixed = dataclasses.replace(
        material, records={**material.records, key: (other,)}, named=("logmel",)
    )
    (section,) = task_sections(mixed, tasks=(SCENE,))
    assert len(section.by_model) == 1
    assert "another version of the task" in section.missing


def test_seeds_that_were_tested_on_other_clips_leave_a_sentence(material, tmp_path):
    (record,) = records(material, SCENE)
    fold = record.read_predictions()[0]
    shorter = dataclasses.replace(
        fold,
        clips=fold.clips[:-1],
        probabilities=fold.probabilities[:, :-1],
        targets=fold.targets[:-1],
        offsets=fold.offsets[:-1],
    )
    write_predictions(shorter, tmp_path)
    seeds = (record, changed(record, directory=tmp_path))
    key = ("linear", SCENE, "logmel")
    several = dataclasses.replace(material, records={**material.records, key: seeds})
    (section,) = task_sections(several, tasks=(SCENE,))
    (mistakes,) = (p for p in section.by_model["logmel"] if p.name == "mistakes")
    assert "tested on other clips" in mistakes.note
