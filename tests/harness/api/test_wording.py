from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.api.wording import naming_arguments


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jobs": 0}, "jobs must be 1 or more, not 0."),
        ({"device": "gpu"}, "device must be auto, cpu, mps, cuda or cuda:N, not 'gpu'."),
        ({"seeds": 0}, "seeds must be 1 or more, not 0."),
        ({"tasks": ()}, "No task is named. Give tasks (a name or a directory) or suite."),
        ({"protocols": "lin"}, None),
        ({"tasks": "nowhere"}, None),
    ],
)
def test_errors_of_evaluate_name_its_arguments(
    tmp_path: Path, wrong: dict[str, object], message: str | None
) -> None:
    right = {"tasks": "demo_pipe_pitch", "out": tmp_path, "device": "cpu"}
    with pytest.raises(harness.UserError) as caught:
        harness.evaluate("harness.baselines.logmel", **{**right, **wrong})
    assert message in (None, str(caught.value))
    assert "--" not in str(caught.value)


def test_errors_of_reading_name_arguments(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("")
    with pytest.raises(harness.UserError) as caught:
        harness.load(tmp_path / "nothing.csv")
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "argument"),
    [
        ("use --skip-bad.", "use skip_bad=True."),
        ("leave --skip-bad out.", "leave skip_bad=True out."),
        ("Try --jobs 1.", "Try jobs=1."),
        (
            "--device cuda:3: no such GPU. Use --device cpu.",
            "device='cuda:3': no such GPU. Use device='cpu'.",
        ),
        ("--task is missing", "tasks is missing"),
        ("--format must be csv", "style must be csv"),
        ("--other is another function's", "--other is another function's"),
        ("`hear-byola run --jobs 1` makes it.", "`hear-byola run --jobs 1` makes it."),
    ],
)
def test_options_become_arguments(option: str, argument: str) -> None:
    def fail(
        jobs: int = 1, skip_bad: bool = False, device: str = "", tasks: str = "", style: str = ""
    ) -> None:
        raise harness.UserError(option)

    wrapped: Callable[..., None] = naming_arguments(fail)
    with pytest.raises(harness.UserError) as caught:
        wrapped()
    assert str(caught.value) == argument
