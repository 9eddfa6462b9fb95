"""Whether a checkpoint of BYOL-A is better than random weights and than log-mel statistics.

    export HEAR_BYOLA_TEST_DATA=...  # holds fsdd/recordings, the Free Spoken Digit Dataset
    python tests/bench/acceptance.py CHECKPOINT runs/acceptance [--csv results/byola-512.csv]

Tasks: those in the folder `--tasks` (`unseen_tasks.py` makes some), otherwise the demo suite, and
spoken digits by speakers who were not trained on (every speaker of the Free Spoken Digit Dataset is
the test fold once). Protocol: `linear`. Compared are the checkpoint with three random
initialisations of its encoder, and with mean and standard deviation of the log-mel; and, where it
began with another initialisation than PyTorch's, with three of these at the checkpoint's own
statistics, which shows what training added. Each time the mean over tasks of the paired
differences, with a 95 % interval over test groups (speakers of digits) or clips, and over the seeds
of the random weights. Tasks that log-mel solves beyond 0.90 are reported and left out of the mean.
A checkpoint is one training: the spread between trainings is not covered.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

from harness.ablation.differences import ArmScores, difference
from harness.ablation.scores import task_units
from harness.analysis.compare.influences import in_order, influence, units_of
from harness.commands.progress import RunDisplay
from harness.models.spec import parse_model
from harness.results import write_csv
from harness.results.predictions import read_predictions
from harness.run.engines import local_engine, worker_devices
from harness.run.execute import execute
from harness.run.plan import Evaluation, Settings, make_plan
from hear_byola.checkpoint import read_checkpoint
from tasks.demo import demo_directory, demo_names
from tasks.format.task import TaskSource

SOLVED = 0.90
RATE = 16_000


def make_digits(recordings: Path, tasks: Path) -> Path:
    """Write the spoken digits as a task with a fold for each speaker; once."""
    directory = tasks / "fsdd_speakers-v1-full"
    metadata = directory / "task_metadata.json"
    if metadata.is_file():
        return directory
    files = sorted(recordings.glob("*.wav"))
    speakers = sorted({path.stem.split("_")[1] for path in files})
    folds = {speaker: f"fold{number:02d}" for number, speaker in enumerate(speakers)}
    labels: dict[str, dict[str, list[str]]] = {fold: {} for fold in folds.values()}
    groups = ["clip,group"]
    for path in files:
        digit, speaker, _ = path.stem.split("_")
        audio, rate = soundfile.read(path, dtype="float32")
        target = directory / str(RATE) / folds[speaker] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, np.clip(soxr.resample(audio, rate, RATE), -1, 1), RATE)
        labels[folds[speaker]][path.name] = [digit]
        groups.append(f"{path.name},{speaker}")
    for fold, clips in labels.items():
        (directory / f"{fold}.json").write_text(json.dumps(clips))
    vocabulary = "\n".join(["idx,label", *(f"{digit},{digit}" for digit in range(10))])
    (directory / "labelvocabulary.csv").write_text(vocabulary + "\n")
    (directory / "groups.csv").write_text("\n".join(groups) + "\n")
    content = {
        "task_name": "fsdd_speakers",
        "version": "v1",
        "mode": "full",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "new_split_kfold",
        "splits": list(labels),
        "nfolds": len(folds),
        "sample_duration": None,
        "evaluation": ["top1_acc"],
    }
    metadata.write_text(json.dumps(content))
    return directory


def gather(plan: list[Evaluation], names: list[str], tasks: list[str]) -> ArmScores:
    """Scores and influences of some models, a row each."""
    values = np.full((len(names), len(tasks)), np.nan)
    moves: list[list[np.ndarray]] = [[np.empty(0)] * len(names) for _ in tasks]
    for evaluation in plan:
        if evaluation.model.label not in names:
            continue
        task = evaluation.embeddings.task()
        row, column = names.index(evaluation.model.label), tasks.index(task.name)
        rows = json.loads((evaluation.directory / "result.json").read_text())["rows"]
        values[row, column] = next(
            r["value"] for r in rows if r["is_primary"] and r["split"] == "all"
        )
        folds = [in_order(read_predictions(evaluation.directory, f.test)) for f in task.folds]
        moves[column][row] = influence(task.primary_metric, folds, units_of(folds)).moves
    return ArmScores(values, tuple(map(np.array, moves)))


def baselines(checkpoint: str) -> dict[str, list[str]]:
    """What a checkpoint is compared with: specs of models by the name of their arm."""
    stored = read_checkpoint(checkpoint)
    found = {
        "random": [f"hear_byola,seed={i},name=random-{i}" for i in range(3)],
        "logmel": ["harness.baselines.logmel,name=logmel"],
    }
    init = stored.training_config.get("init", "pytorch")
    if init != "pytorch":
        beginning = f"init={init},mean={stored.mean},std={stored.std}"
        found[str(init)] = [f"hear_byola,seed={i},{beginning},name={init}-{i}" for i in range(3)]
    return found


def acceptance_tasks(out: Path) -> list[TaskSource]:
    """The demo suite and the spoken digits."""
    data = Path(os.environ.get("HEAR_BYOLA_TEST_DATA", ""))
    if not list((data / "fsdd" / "recordings").glob("*.wav")):
        sys.exit(
            "HEAR_BYOLA_TEST_DATA must name a folder with fsdd/recordings/*.wav, the Free Spoken "
            "Digit Dataset (https://github.com/Jakobovski/free-spoken-digit-dataset)."
        )
    sources = [TaskSource(demo_directory(name), "demo") for name in demo_names()]
    return [*sources, TaskSource(make_digits(data / "fsdd" / "recordings", out / "tasks"))]


def tasks_in(folder: Path) -> list[TaskSource]:
    """The tasks of a folder."""
    found = sorted(folder.glob("*/task_metadata.json"))
    return [TaskSource(path.parent) for path in found] or sys.exit(f"{folder} has no tasks.")


def main(checkpoint: str, out: Path, csv: Path | None, tasks_dir: Path | None) -> None:
    """Run, compare, print."""
    sources = acceptance_tasks(out) if tasks_dir is None else tasks_in(tasks_dir)
    name = Path(checkpoint).stem
    specs = {name: [f"hear_byola={checkpoint},name={name}"]} | baselines(checkpoint)
    models = [parse_model(spec) for arm in specs.values() for spec in arm]
    plan = make_plan(Settings(tuple(models), tuple(sources), ("linear",), out=out))
    with RunDisplay() as listener:
        engine = local_engine(worker_devices("auto", None))
        given = "" if tasks_dir is None else f" --tasks {tasks_dir.name}"
        command = f"python tests/bench/acceptance.py {Path(checkpoint).name}{given}"
        summary = execute(plan, engine, out, command, listener)
    assert not summary.failures, summary.failures
    tasks = sorted({e.task_name for e in plan})
    read = {e.task_name: e.embeddings.task() for e in plan}
    units = [task_units(read[t]) for t in tasks]
    arms = {
        label: gather(plan, [parse_model(spec).label for spec in arm], tasks)
        for label, arm in specs.items()
    }
    ours = arms.pop(name)
    counted = [i for i in range(len(tasks)) if arms["logmel"].values[0, i] <= SOLVED]
    print(f"{'task':34}{name:>12}" + "".join(f"{label:>10}" for label in arms))
    for i, task in enumerate(tasks):
        scores = "".join(f"{arm.values[:, i].mean():10.3f}" for arm in arms.values())
        note = "" if i in counted else "  left out: solved by log-mel"
        print(f"{task:34}{ours.values[0, i]:12.3f}{scores}{note}")
    for label, arm in arms.items():
        found = difference(ours, arm, counted, units)
        print(
            f"mean difference to {label}: {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
            f" ({found.method})"
        )
    if csv:
        write_csv(summary.table, csv)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path, help="folder of embeddings and results")
    parser.add_argument("--csv", type=Path, help="copy of the results")
    parser.add_argument("--tasks", type=Path, help="folder of tasks to measure instead")
    options = parser.parse_args()
    main(options.checkpoint, options.out, options.csv, options.tasks)
