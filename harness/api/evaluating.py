"""``harness.evaluate``: the run of the command line, from Python."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.compare.gather import Results, load
from harness.api.wording import naming_arguments
from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.files import expand_home
from tasks.format.task import Task

if TYPE_CHECKING:
    from harness.run.plan import Settings


@naming_arguments
def evaluate(
    models: Any,
    tasks: Path | str | Task | Sequence[Path | str | Task] = (),
    *,
    suite: str | None = None,
    protocols: str | Sequence[str] = "hear2021",
    seeds: int = 1,
    shots: Sequence[int | None] = (None,),
    draws: int = 10,
    out: Path | str = "runs",
    jobs: int | None = 1,
    device: str = "auto",
    tasks_dir: Path | str = "tasks",
    dtype: str = "float32",
    skip_bad: bool = False,
    task_statistics: bool = False,
    verify: bool = False,
    progress: bool = True,
) -> Results:
    """Embed tasks with models, train probes and score them, as ``hear-byola run`` does.

    What is finished in ``out`` is not computed again: the same call after a stop resumes.

    Args:
        models: one model, a list, or a mapping from names to models. A model is a text as for
            ``-m`` (``"hear_byola=weights.pth,name=mine"``), a module with the functions of the HEAR
            API, or a pair (module, model) with a model that is loaded. A model of a pair is used on
            its device, in this process. It is known by its weights, its code and its embeddings of
            a fixed sound: a model that has changed is embedded again.
        tasks: names, task directories or tasks, as for ``-t``.
        suite: also all tasks of this suite.
        protocols: names of protocols (:func:`list_protocols`).
        seeds: how often every probe is trained.
        shots: numbers of training clips of each label, each of which makes another protocol,
            ``PROTOCOL-N-shot``; None stands for all clips.
        draws: how often the clips of ``shots`` are drawn.
        out: the folder for embeddings, predictions and ``results.csv``.
        jobs: number of worker processes; 1 works in this process, None is one per core or GPU.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        tasks_dir: the folder in which tasks are looked up by name.
        dtype: of stored embeddings, ``float32`` or ``float16``.
        skip_bad: leave out clips whose audio is bad.
        task_statistics: fit a model's input statistics to each task's training split.
        verify: hash all audio again.
        progress: print on standard error what is done.

    Returns:
        The results of these evaluations.

    Raises:
        UserError: anything wrong with the arguments, the models or the tasks. Nothing was run then.

    Warns:
        UserWarning: evaluations failed; ``failures`` of the results lists them.
    """
    from harness.models.given import read_models
    from harness.run.engines import worker_devices
    from harness.run.plan import Settings
    from harness.run.preflight import with_shots
    from tasks.find import find_sources

    devices = worker_devices(device, jobs)
    specs = read_models(models, devices[0])
    for spec in specs:
        if spec.live:
            _check_live(spec.label, devices, task_statistics)
    names = tuple(str(each.directory if isinstance(each, Task) else each) for each in _list(tasks))
    folder = Path(expand_home(str(out)))
    if folder.is_file():
        raise UserError(f"out={str(out)!r} is a file: name a folder.")
    settings = Settings(
        models=specs,
        tasks=find_sources(names, suite, Path(expand_home(str(tasks_dir)))),
        protocols=with_shots(_list(protocols), shots),
        seeds=seeds,
        draws=draws,
        out=folder,
        dtype=dtype,
        skip_bad=skip_bad,
        task_statistics=task_statistics,
        verify=verify,
    )
    command = (
        f"harness.evaluate({[spec.label for spec in specs]}, {list(names)}, suite={suite!r}, "
        f"protocols={list(settings.protocols)}, seeds={seeds})"
    )
    return _run(settings, devices, command, progress)


def _run(settings: Settings, devices: list[str], command: str, progress: bool) -> Results:
    from harness.api.printer import Printer
    from harness.run.engines import InlineEngine, local_engine
    from harness.run.execute import execute
    from harness.run.listener import Listener
    from harness.run.plan import make_plan

    listener = Printer() if progress else Listener()
    with contextlib.ExitStack() as stack:
        for spec in settings.models:
            if spec.live:
                stack.enter_context(spec.live.borrowed())
        plan = make_plan(settings, listener.say)
        engine = InlineEngine(devices[0]) if len(devices) == 1 else local_engine(devices)
        summary = execute(plan, engine, settings.out, command, listener)
    if summary.failures:
        failed = "; ".join(f"{name}: {error}" for name, error in summary.failures)
        number = plural(len(summary.failures), "evaluation")
        warnings.warn(f"{number} failed: {failed}", stacklevel=4)
    return load(summary.places)


def _check_live(label: str, devices: Sequence[str], task_statistics: bool) -> None:
    """Raise UserError for options that a model in memory excludes."""
    if len(devices) > 1:
        raise UserError(
            f"The model '{label}' is in the memory of this process, and worker processes cannot "
            "use it. Give jobs=1, or a module and a checkpoint as text."
        )
    if task_statistics:
        raise UserError(
            f"The model '{label}' is loaded already, and task_statistics loads a model for each "
            "task. Leave it out, or give a module and a checkpoint as text."
        )


def _list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Path | Task) else list(value)
