from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hear_byola.core.errors import UserError
from hear_byola.pretraining.config import (
    FREE_TO_CHANGE,
    PretrainConfig,
    differing,
    make_config,
    read_config,
)

V1 = {
    "encoder": "2020",
    "convention": "slaney",
    "pre_norm": True,
    "augmentations": ("mixup", "random_resize_crop"),
    "post_norm": True,
    "mixup_alpha": 0.4,
    "mixup_log_exp": True,
    "mixup_memory": 2048,
    "gaussian_alpha": 0.4,
    "crop_canvas": (1.0, 1.5),
    "crop_frequency": (0.6, 1.5),
    "crop_time": (0.6, 1.5),
    "projection": 256,
    "hidden": 4096,
    "ema_decay": 0.99,
    "learning_rate": 3e-4,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_steps": 0,
    "batch_size": 256,
    "accumulate": 1,
    "epochs": 100,
    "crops": None,
    "fraction": 1.0,
    "seed": 42,
    "unit": "clips",
    "balance": 1.0,
    "shares": {},
    "silence_db": None,
    "precision": "auto",
}
V2 = {
    **V1,
    "encoder": "2022",
    "augmentations": ("mixup", "random_resize_crop", "linear_fader"),
    "mixup_alpha": 0.2,
    "fader_range": 1.0,
    "learning_rate": 1e-4,
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("byola-512", {**V1, "d": 512}),
        ("byola-1024", {**V1, "d": 1024}),
        ("byola-2048", {**V1, "d": 2048}),
        ("byola-v2-2048", {**V2, "d": 2048}),
        ("byola-v2-3072.yaml", {**V2, "d": 3072}),
    ],
)
def test_published_configs_are_the_papers(name: str, expected: dict[str, object]) -> None:
    config = read_config(name)
    assert {field: getattr(config, field) for field in expected} == expected


@pytest.mark.parametrize("name", ["byola-512-small", "byola-512-gentle"])
def test_other_shipped_configs_are_valid(name: str) -> None:
    assert read_config(name).crops is not None


def test_every_shipped_config_can_be_listed_and_read() -> None:
    with pytest.raises(UserError, match="no config 'byola-513'") as caught:
        read_config("byola-513")
    names = str(caught.value).split("one of ")[1].rstrip(".").split(", ")
    assert len(names) >= 7
    for name in names:
        assert read_config(name).d


def test_a_file_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("encoder: 2022\nd: 3072\nlearning_rate: 1e-3\nshares: {speech: 2, 7: 1}\n")
    config = read_config(path, {"batch_size": 8.0, "crop_time": [1, 1], "crops": "4e4"})
    assert (config.encoder, config.d, config.learning_rate) == ("2022", 3072, 1e-3)
    assert (config.batch_size, config.crops) == (8, 40_000)
    assert config.crop_time == (1.0, 1.0)
    assert dict(config.shares) == {"speech": 2, "7": 1}
    path.write_text("")
    assert read_config(path) == PretrainConfig()
    path.write_text("shares:\nlogger:\n  CSVLogger:\n")
    config = read_config(path)
    assert (config.shares, config.logger) == ({}, {"CSVLogger": {}})


def test_numbers_are_decimal_and_names_stay_as_typed(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "batch_size: 0100\ncrops: 1_000\nlicence: 1.10\nshares: {010: 2.50, yes: 1}\n"
        "logger: {CSVLogger: {name: 010, version: '5', flush_logs_every_n_steps: 7}}\n"
    )
    config = read_config(path)
    assert (config.batch_size, config.crops, config.licence) == (100, 1000, "1.10")
    assert dict(config.shares) == {"010": 2.5, "yes": 1.0}
    assert config.logger == {
        "CSVLogger": {"name": "010", "version": "5", "flush_logs_every_n_steps": 7}
    }
    path.write_text("pre_norm: no\n")
    with pytest.raises(UserError, match="pre_norm is 'no': it must be true or false"):
        read_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00weights", "is not YAML"),
        (b"a: [1", "is not YAML"),
        (b"- 1\n- 2\n", "must hold fields and their values"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_config(path)


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"mine: no field 'bach_size'. Did you mean 'batch_si"):
        make_config({"bach_size": 3}, "mine")


@pytest.mark.parametrize("name", ["steps", "max_steps"])
def test_who_asks_for_steps_is_told_what_a_runs_length_is(name: str) -> None:
    with pytest.raises(UserError, match=f"no field '{name}'") as caught:
        read_config("byola-512-small", {name: 20})
    text = str(caught.value)
    assert "`crops`, which is steps * batch_size * accumulate * processes" in text
    assert "`epochs`, where crops is null" in text
    assert "mixup_memory" not in text  # the list of all fields would bury it


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", "many", "a whole number"),
        ("batch_size", 2.5, "a whole number"),
        ("batch_size", float("inf"), "a whole number"),
        ("batch_size", True, "a whole number"),
        ("batch_size", None, "a whole number"),
        ("batch_size", [3], "a whole number"),
        ("batch_size", 1, "2 or more"),
        ("d", 513, "one of 512, 1024, 2048 for encoder '2020'"),
        ("encoder", "2021", "one of '2020', '2022'"),
        ("convention", "mel", "one of"),
        ("augmentations", "mixup", "a list"),
        ("augmentations", ["mixup", "blur"], "one of 'mixup', 'gaussian'"),
        ("pre_norm", 1, "true or false"),
        ("mixup_alpha", 1.5, "0 to 1"),
        ("mixup_alpha", "x", "a number"),
        ("gaussian_alpha", -0.1, "0 to 1"),
        ("crop_canvas", [0.5, 1.5], "1 or more"),
        ("crop_frequency", [1.5, 0.6], "0 < low <= high"),
        ("crop_time", [0, 1], "0 < low <= high"),
        ("crop_time", [0.6, 1.0, 1.5], "a list of 2"),
        ("crop_time", [0.6, "x"], "a number"),
        ("fader_range", -1, "0 or more"),
        ("ema_decay", 1.0, "below 1"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", float("nan"), "a finite number"),
        ("learning_rate", float("inf"), "a finite number"),
        ("weight_decay", -1, "0 or more"),
        ("schedule", "linear", "one of"),
        ("warmup_steps", -1, "0 or more"),
        ("crops", 0, "1 or more, or null"),
        ("epochs", 0, "1 or more"),
        ("accumulate", 0, "1 or more"),
        ("fraction", 0, "above 0"),
        ("seed", -1, "0 to"),
        ("seed", 2**63, "0 to"),
        ("unit", "hours", "one of 'clips', 'seconds'"),
        ("shares", [1], "names with their values"),
        ("shares", {"speech": -1}, "0 or more"),
        ("shares", {"speech": "much"}, "a number"),
        ("silence_db", "quiet", "a number"),
        ("precision", 16, "one of"),
        ("save_every", 0, "1 or more"),
        ("log_every", 0, "1 or more"),
        ("workers", -1, "0 or more"),
        ("logger", "TensorBoardLogger", "names with their values"),
        ("logger", {"CSVLogger": 3}, "names with their values"),
        ("licence", None, "a text"),
        ("licence", ["CC0"], "a text"),
    ],
)
def test_a_bad_value_is_told_by_its_field(field: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=f"mine: {field}.* is .*: it must be .*{message}"):
        make_config({field: value}, "mine")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "bach_size: 8\nencoder: 2023\nd: 513\nshares: {speech: -1}\ncrop_time: [2, 1]\n"
    )
    with pytest.raises(UserError) as caught:
        read_config(path, {"epochs": 0})
    first, *faults = str(caught.value).splitlines()
    assert first == f"{path}: 5 faults:"
    assert [fault.split(":")[0].split(". ")[0] for fault in faults] == [
        "- no field 'bach_size'",
        "- encoder is 2023",
        "- crop_time is [2, 1]",
        "- epochs is 0",
        "- shares.speech is -1",
    ]


def test_the_default_size_is_checked_against_the_encoder() -> None:
    with pytest.raises(UserError, match=r"d is 512: it must be one of 2048, 3072 for encoder"):
        make_config({"encoder": 2022})


def test_a_large_seed_is_kept_to_the_last_digit() -> None:
    assert make_config({"seed": 2**63 - 1}).seed == 2**63 - 1


def test_a_config_comes_back_from_yaml_and_json() -> None:
    config = make_config({"shares": {"speech": 1}, "logger": {"CSVLogger": {"name": "x"}}})
    plain = config.as_dict()
    assert make_config(yaml.safe_load(yaml.safe_dump(plain))) == config
    assert make_config(json.loads(json.dumps(plain))) == config
    assert differing(yaml.safe_load(yaml.safe_dump(plain)), plain) == []


def test_differing_lists_what_changes_the_result() -> None:
    old = PretrainConfig().as_dict()
    new = make_config({"d": 1024, "seed": 1, "save_every": 7, "licence": "CC0-1.0"}).as_dict()
    assert differing(old, new) == ["d: 512 -> 1024", "seed: 42 -> 1"]
    assert differing({"gone": 1, **old}, old) == ["gone: 1 -> None"]
    assert set(PretrainConfig.model_fields) > FREE_TO_CHANGE


def test_names_of_fields_that_are_no_texts_are_told() -> None:
    plain = PretrainConfig().as_dict()
    assert differing({**plain, 3: 4}, plain) == ["3: 4 -> None"]  # type: ignore[dict-item]


def test_a_field_that_an_old_config_lacks_counts_as_its_default() -> None:
    old = {name: value for name, value in PretrainConfig().as_dict().items() if name != "init"}
    assert differing(old, PretrainConfig().as_dict()) == []
    new = make_config({"init": "contrast"}).as_dict()
    assert differing(old, new) == ["init: 'pytorch' -> 'contrast'"]


def test_epochs_that_would_not_count_are_refused() -> None:
    with pytest.raises(UserError, match="length of the run is set by crops, 40,000"):
        read_config("byola-512-small", {"epochs": 3})
    assert read_config("byola-512-small", {"epochs": 3, "crops": None}).epochs == 3
    assert read_config("byola-512", {"epochs": 3}).crops is None
