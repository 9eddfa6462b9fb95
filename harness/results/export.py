"""Write results in formats of other projects: Hugging Face, Every Eval Ever, JSON lines.

A format is a function from primary result rows (:data:`COLUMNS`) to text. Values are fractions, as
in the CSV. Rows without a value are left out before.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
import yaml

from harness.core.errors import UserError
from harness.metrics.registry import REPORTED
from harness.results.row import COLUMNS

EVERY_EVAL_EVER = "0.3.0"
"""Version of the schema of https://github.com/evaleval/every_eval_ever."""

# Names of metrics at https://huggingface.co/metrics; others keep their names.
_HUB_METRICS = {"top1_acc": "accuracy"}
_TASK = {"type": "audio-classification", "name": "Audio Classification"}
_LIBRARY = "hear-byola"


@dataclass(frozen=True)
class Publication:
    """Facts on a publication that result rows do not contain.

    Attributes:
        model: name of the model where it is published, for example ``me/my-model``.
        organization: who evaluated it.
        relationship: of the organization to the model's makers, a word of Every Eval Ever's schema.
        datasets: task: its dataset on the Hugging Face hub, ``ORG/NAME`` or ``ORG/NAME:TASK_ID``.
        intervals: by (model, task, protocol), the 95 % interval of the mean over seeds.
    """

    model: str
    organization: str = "unknown"
    relationship: str = "other"
    datasets: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)


def json_lines(rows: pd.DataFrame, publication: Publication) -> str:
    """Return a JSON object a line for each row, with the CSV's columns; null if one is missing."""
    return "".join(
        json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n"
        for row in rows[COLUMNS].to_dict("records")
    )


def model_index(rows: pd.DataFrame, publication: Publication) -> str:
    """Return the YAML of ``model-index`` for the front matter of a model card.

    The metrics of one task are by protocol; with several seeds or draws, the mean.
    """
    results = []
    for _, of_task in rows.groupby("task", sort=False):
        first = of_task.iloc[0]
        metrics = [
            {
                "type": _HUB_METRICS.get(each.metric, each.metric),
                "value": _mean(seeds),
                "name": f"{each.metric} ({each.protocol})",
                "args": _args(seeds, publication),
            }
            for _, seeds in of_task.groupby("protocol", sort=False)
            for each in seeds.iloc[:1].itertuples()
        ]
        dataset = {
            "type": publication.datasets.get(first.task, first.task).partition(":")[0],
            "name": first.task,
            "split": "test",
        }
        results.append({"task": _TASK, "dataset": dataset, "metrics": metrics})
    return _yaml({"model-index": [{"name": publication.model, "results": results}]})


def eval_results(rows: pd.DataFrame, publication: Publication) -> str:
    """Return the YAML of a file in ``.eval_results/`` of a model's repository on the hub.

    The hub takes results on datasets that are registered there as benchmarks. Tasks that
    ``publication.datasets`` does not name are left out.

    Raises:
        UserError: no task is named there, or a task has results by several protocols.
    """
    entries = []
    for _, seeds in rows.groupby("task", sort=False):
        task = seeds.task.iloc[0]
        if task not in publication.datasets:
            continue
        dataset, _, task_id = publication.datasets[task].partition(":")
        protocol = _only_protocol(seeds)
        version, metric = seeds.harness_version.iloc[-1], seeds.metric.iloc[0]
        notes = [f"{_LIBRARY} {version}", f"protocol {protocol}", metric]
        arguments = _args(seeds, publication)
        if "revision" in arguments:
            notes.append(f"revision {arguments['revision']}")
        if "ci_low" in arguments:
            notes.append(f"95 % interval [{arguments['ci_low']}, {arguments['ci_high']}]")
        entries.append(
            {
                "dataset": {"id": dataset, "task_id": task_id or metric},
                "value": _mean(seeds),
                "date": seeds.started_at.max(),
                "notes": ", ".join(notes),
            }
        )
    if not entries:
        known = ", ".join(dict.fromkeys(rows.task))
        raise UserError(
            "The hub takes results on its benchmark datasets only. Name the dataset of a task: "
            f"--dataset TASK=ORG/NAME[:TASK_ID]. The tasks are {known}."
        )
    return _yaml(entries)


def _only_protocol(rows: pd.DataFrame) -> str:
    """Return the protocol of a task's rows; an entry of the hub has no field for it."""
    names = list(dict.fromkeys(rows.protocol))
    if len(names) > 1:
        raise UserError(
            f"{rows.task.iloc[0]} has results by the protocols {', '.join(names)}, and entries of "
            f"the hub do not name a protocol: choose one, for example --protocol {names[0]}."
        )
    return str(names[0])


def every_eval_ever(rows: pd.DataFrame, publication: Publication) -> str:
    """Return the JSON of Every Eval Ever, with one result for each task, protocol and seed."""
    first, newest = rows.iloc[0], rows.started_at.max()
    moment = str(int(datetime.datetime.fromisoformat(newest).timestamp()))
    facts = (
        "module", "model_options", "model_fingerprint", "checkpoint_sha256", "checkpoint_revision",
    )  # fmt: skip
    record = {
        "schema_version": EVERY_EVAL_EVER,
        "evaluation_id": f"{_LIBRARY}/{publication.model}/{moment}",
        "evaluation_timestamp": newest,
        "retrieved_timestamp": moment,
        "source_metadata": {
            "source_name": _LIBRARY,
            "source_type": "evaluation_run",
            "source_organization_name": publication.organization,
            "evaluator_relationship": publication.relationship,
        },
        "eval_library": {"name": _LIBRARY, "version": first.harness_version or "unknown"},
        "model_info": {
            "name": first.model,
            "id": publication.model,
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                **{fact: first[fact] for fact in facts if first[fact]},
            },
        },
        "evaluation_results": [_result(row, publication) for _, row in rows.iterrows()],
    }
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _result(row: pd.Series, publication: Publication) -> dict[str, object]:
    source: dict[str, object] = {"dataset_name": row.task, "source_type": "other"}
    if dataset := publication.datasets.get(row.task):
        source = {
            "dataset_name": row.task,
            "source_type": "hf_dataset",
            "hf_repo": dataset.partition(":")[0],
        }
    details = {"task_version": row.task_version, "task_sha256": row.task_sha256}
    metric = {
        "metric_id": row.metric,
        "metric_name": row.metric,
        "lower_is_better": not row.higher_is_better,
        "additional_details": {"protocol": row.protocol, "seed": str(row.seed)},
    }
    if known := REPORTED.get(row.metric):
        low, high = known.range
        limits = {"min_score": low, "max_score": high if math.isfinite(high) else "Infinity"}
        metric |= {"score_type": "continuous", **limits}
    return {
        "evaluation_result_id": f"{row.task}/{row.protocol}/{row.seed}",
        "evaluation_name": row.task,
        "source_data": source | {"additional_details": details},
        "evaluation_timestamp": row.started_at,
        "metric_config": metric,
        "score_details": {"score": float(row.value), **_uncertainty(row)},
    }


def _uncertainty(row: pd.Series) -> dict[str, object]:
    found: dict[str, object] = {}
    if pd.notna(row.standard_error):
        found["standard_error"] = {"value": float(row.standard_error), "method": "jackknife"}
    if pd.notna(row.ci_low):
        found["confidence_interval"] = {
            "lower": float(row.ci_low),
            "upper": float(row.ci_high),
            "confidence_level": 0.95,
            "method": row.ci_method,
        }
    if pd.notna(row.n_test):
        found["num_samples"] = int(row.n_test)
    return {"uncertainty": found} if found else {}


def _mean(seeds: pd.DataFrame) -> float:
    return round(float(seeds.value.mean()), 6)


def _args(seeds: pd.DataFrame, publication: Publication) -> dict[str, object]:
    """Return what belongs to the mean over seeds."""
    row = seeds.iloc[0]
    found: dict[str, object] = {"protocol": row.protocol, "seeds": len(seeds)}
    if row.checkpoint_revision:
        found["revision"] = row.checkpoint_revision
    if interval := publication.intervals.get((row.model, row.task, row.protocol)):
        low, high = interval
        found |= {"ci_low": round(low, 6), "ci_high": round(high, 6)}
    if pd.notna(row.n_test):
        found["n_test"] = int(row.n_test)
    return found


def _plain(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row with null for missing values; in columns of text these are empty texts."""
    return {
        column: None if pd.isna(value) or value == "" else value  # type: ignore[call-overload]
        for column, value in row.items()
    }


class _WithoutAnchors(yaml.SafeDumper):
    """Writes an object that occurs twice twice, without an anchor: people read and edit cards."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _yaml(content: object) -> str:
    return yaml.dump(
        content, Dumper=_WithoutAnchors, sort_keys=False, allow_unicode=True, width=100
    )


@dataclass(frozen=True)
class Format:
    """A format of exported results; ``of_one_model`` if a file describes a single model."""

    write: Callable[[pd.DataFrame, Publication], str]
    of_one_model: bool


FORMATS: Mapping[str, Format] = {
    "jsonl": Format(json_lines, False),
    "model-index": Format(model_index, True),
    "eval-results": Format(eval_results, True),
    "every-eval-ever": Format(every_eval_ever, True),
}


def export(rows: pd.DataFrame, style: str, publication: Publication) -> str:
    """Return primary result rows in a format.

    Args:
        rows: with the columns of the CSV; rows without a value are left out.
        style: a name in ``FORMATS``.
        publication: what rows do not contain; an empty ``model`` is the name in the rows.

    Raises:
        UserError: there is no value, or the rows are of several models and the format is of one.
    """
    rows = rows[(rows.status == "done") & rows.value.notna()]
    names: Sequence[str] = list(dict.fromkeys(rows.model))
    if not names:
        raise UserError("There is no finished value to export.")
    chosen = FORMATS[style]
    if chosen.of_one_model and len(names) > 1:
        raise UserError(
            f"{style} is a file about one model: choose it with -m. The models are "
            f"{', '.join(names)}."
        )
    if not publication.model:
        publication = replace(publication, model=names[0])
    return chosen.write(rows, publication)
