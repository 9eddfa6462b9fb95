"""The command line as a user meets it: exit codes, sentences, tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from support import sound_files, task_directories
from support.command_line import Done, hear_byola

from harness.cli import cli
from harness.commands.output import report_failures
from harness.probe import PROTOCOLS
from harness.results import read_csv


@pytest.fixture(scope="module")
def tasks_dir(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cli") / "tasks"
    task_directories.make_task(root, "scene", n=12, seconds=0.5)
    return root


@pytest.fixture(scope="module")
def finished(tasks_dir, tmp_path_factory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("out")
    done = hear_byola(
        "run", "-m", "harness.baselines.logmel,name=logmel", "--tasks-dir", tasks_dir,
        "-t", next(tasks_dir.iterdir()).name, "--protocol", "knn", "--out", out, "--jobs", "1",
        "--layout", "heareval",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out, done


def test_run_ends_with_the_table_and_the_csv(finished):
    out, done = finished
    table = read_csv(out / "results.csv")
    value = table[table.is_primary & (table.split == "all")].value.item()
    assert "| knn " in done.stdout
    assert f"{value:.3f}" in done.stdout
    assert str(out / "results.csv") in done.stdout
    assert "Traceback" not in done.stderr


def test_results_table_prints_the_same_table(finished):
    out, done = finished
    again = hear_byola("results", "table", out)
    assert again.stdout in done.stdout
    from_csv = hear_byola("results", "table", out / "results.csv", "--format", "csv")
    assert [line.split(",")[1:4] for line in from_csv.stdout.splitlines()] == [
        ["model", "baseline", "task"],
        ["logmel", "True", "tiny_scene-v1-full"],
        ["logmel", "True", "mean"],
    ]


def test_probe_reads_what_embed_made_and_the_other_layout(finished, tasks_dir, tmp_path):
    out, _ = finished
    (layout,) = (out / "heareval").glob("*/*")
    done = hear_byola("probe", layout, "--protocol", "knn", "--out", tmp_path, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    ours, theirs = read_csv(out / "results.csv"), read_csv(tmp_path / "results.csv")
    assert theirs.value.tolist() == ours.value.tolist()
    made = hear_byola(
        "embed", "-m", "harness.baselines.logmel", "-t", next(tasks_dir.iterdir()), "--out",
        tmp_path / "staged", "--jobs", "1",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""
    assert not (tmp_path / "staged" / "results.csv").exists()
    assert len(list((tmp_path / "staged" / "embeddings").glob("*/*/*"))) == 3
    staged = hear_byola(
        "probe", "-m", "harness.baselines.logmel", "-t", next(tasks_dir.iterdir()), "--out",
        tmp_path / "staged", "--jobs", "1", "--protocol", "knn",
    )  # fmt: skip
    assert staged.returncode == 0, staged.stderr
    assert read_csv(tmp_path / "staged" / "results.csv").value.tolist() == ours.value.tolist()
    lacking = hear_byola(
        "probe", "-m", "harness.baselines.logmel", "-t", next(tasks_dir.iterdir()), "--out",
        tmp_path / "empty",
    )  # fmt: skip
    assert lacking.returncode == 2
    assert "hear-byola embed" in lacking.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rum",), "Did you mean 'run'"),
        (("run",), "Name a model"),
        (("run", "-m", "hear_byola"), "No task is named. Give --task"),
        (("run", "-m", "x", "-t", "demo_guitar_chort"), "Did you mean 'demo_guitar_chord'"),
        (("run", "-m", "hear_byola", "--suite", "dem"), "Did you mean 'demo'"),
        (("run", "--shard", "3/2", "-m", "hear_byola", "--suite", "demo"), "--shard must be"),
        (("run", "--device", "gpu", "-m", "x", "--suite", "demo"), "--device must be"),
        (("run", "--jobs", "0", "-m", "x", "--suite", "demo"), "--jobs must be 1 or more"),
        (("run", "-m", "x", "--suite", "demo", "--dry-run", "--engine", "rya"), "mean 'ray'"),
        (("run", "-m", "x", "--suite", "demo", "--ray-address", "auto"), "needs --engine ray"),
        (("run", "-m", "x", "--suite", "demo", "--draws", "3"), "--draws needs --shots"),
        (("run", "--protcol", "linear"), "--protocol"),
        (("run", "--seeds", "x"), "Try 'hear-byola run --help' for help."),
        (("results", "table", "--format", "word"), "'word' is not one of"),
        (("results", "compare"), "Missing argument"),
        (("results", "table", "nowhere.csv"), "no such file"),
        (("tasks", "show", "demo_guitar"), "Did you mean"),
        (("pretrain", "nowhere"), "'nowhere' does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = hear_byola(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_folder_of_recordings_and_an_empty_one_are_told_what_they_lack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b/c.flac"):
        sound_files.write(tmp_path / "wavs" / name, sound_files.noise(0.1, 8000), 8000)
    for name in ("wavs", "./wavs"):
        done = hear_byola("run", "-m", "harness.baselines.logmel", "-t", name, "--protocol", "knn")
        assert done.returncode == 2
        assert "task_metadata.json: the file is missing" in done.stderr
        assert "It contains 2 recordings: `hear-byola tasks make LABELS.csv wavs" in done.stderr
    (tmp_path / "empty").mkdir()
    done = hear_byola("run", "-m", "./empty", "--suite", "demo")
    assert "The folder 'empty' is not a package: it has no __init__.py" in done.stderr
    assert "load_model" in done.stderr
    (tmp_path / "empty" / "mine.py").touch()
    done = hear_byola("run", "-m", "./empty", "--suite", "demo")
    assert "It contains mine.py: give empty/mine.py." in done.stderr


def test_runs_are_named_in_one_way_by_all_that_read_them(tasks_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blind.py").write_text(
        "from harness.baselines import logmel\n"
        "from harness.baselines.logmel import load_model, get_timestamp_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        "    return 0 * logmel.get_scene_embeddings(audio, model)\n"
    )
    done = hear_byola(
        "run", "-m", "harness.baselines.logmel,name=a", "-m", "./blind.py,name=b",
        "--tasks-dir", tasks_dir, "-t",
        next(tasks_dir.iterdir()).name, "--protocol", "linear", "-o", "out", "--jobs", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Marks are those of the table.
    table = hear_byola("results", "table", "out", "--tasks-dir", tasks_dir)
    assert "not significantly different from the best" in done.stdout
    assert table.stdout.splitlines()[-1] in done.stdout
    (tmp_path / "a").mkdir()  # a folder that is called like a model
    for command in (("table",), ("power",), ("compare", "a", "b")):
        found = [
            hear_byola("results", *command, *run)
            for run in (("out",), ("--run", "out"), ("out/results.csv",))
        ]
        assert [each.returncode for each in found] == [0, 0, 0], found
        assert found[0].stdout == found[1].stdout
    assert "results compare A B out" in done.stdout


def test_o_is_short_for_out_wherever_there_is_one():
    def options(command: click.Command) -> Iterator[click.Parameter]:
        for each in getattr(command, "commands", {}).values():
            yield from options(each)
        yield from command.params

    outs = [each.opts for each in options(cli) if "--out" in each.opts]
    assert len(outs) >= 8
    assert all("-o" in opts for opts in outs)


def test_a_config_file_gives_defaults_and_its_mistakes_are_named(tasks_dir, tmp_path):
    config = tmp_path / "run.yaml"
    task = next(tasks_dir.iterdir())
    config.write_text(
        f"models: [harness.baselines.logmel]\ntasks: ['{task}']\nprotocols: [knn]\n"
        f"out: {tmp_path / 'out'}\njobs: 1\n"
    )
    done = hear_byola("run", "--config", config)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "results.csv").exists()
    config.write_text("protocol: knn\n")
    wrong = hear_byola("run", "--config", config)
    assert wrong.returncode == 2
    assert "Did you mean 'protocols'" in wrong.stderr


def test_a_config_takes_names_as_typed_and_finds_the_home_folder(tasks_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "010").symlink_to(tasks_dir)
    name = next(tasks_dir.iterdir()).name
    (tmp_path / "run.yaml").write_text(
        f"models: ['harness.baselines.logmel,name=010']\ntasks: [~/010/{name}]\ntasks_dir: ~/010\n"
        "protocols: [knn]\nout: ~/outs\njobs: 01\n"
    )
    done = hear_byola("run", "--config", "run.yaml")
    assert done.returncode == 0, done.stderr
    assert "| 010 " in done.stdout
    assert (tmp_path / "home" / "outs" / "results.csv").is_file()
    assert not (tmp_path / "~").exists()
    again = hear_byola("results", "table", "~/outs", "--tasks-dir=~/010")
    assert "| 010 " in again.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("out: ~", "out is None: it must be a text"),
        ("suite: true", "suite is True: it must be a text"),
        ("skip_bad: yes", "skip_bad is 'yes': it must be true or false"),
        ("seeds: 1\nseeds: 2", "line 2: field 'seeds' occurs twice"),
        ("seeds: 1:30", "seeds is '1:30': it must be a whole number"),
        ("seeds: [1]", "seeds is [1]: it must be a whole number"),
        ("shots: [1, all, two]", "--shots has 'two': give whole numbers from 1 on, or `all`"),
        ("shots: [1, 2.5]", "shots is [1, 2.5]: it must be a text"),
        ("dtype: float64", "dtype is 'float64': it must be one of 'float32', 'float16'"),
        ("tasks: {a: b}", "tasks is {'a': 'b'}: it must be a list"),
        ("tasks: [true]", "tasks[0] is True: it must be a text"),
        ("skip_bad: 3", "skip_bad is 3: it must be true or false"),
        ("config: other.yaml", "no field 'config'"),
        ("sutie: demo\nseeds: x", "2 faults:\n- no field 'sutie'. Did you mean 'suite'?"),
        ("- a", "must hold fields and their values"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_config_value_of_the_wrong_kind_is_named(tmp_path, text, said):
    config = tmp_path / "run.yaml"
    config.write_text(text)
    done = hear_byola("run", "--config", config)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_argument_that_is_not_utf_8_is_refused(tasks_dir):
    task = next(tasks_dir.iterdir())
    for words in (("-m", "logmel", "-o", "out\udcff"), ("-m", "caf\xe9\udcff.py")):
        done = hear_byola("run", *words, "-t", task)
        assert done.returncode == 2
        assert "is not UTF-8. Rename" in done.stderr


def test_odd_modules_and_places_are_refused_in_a_sentence(tasks_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain_folder").mkdir()
    task = next(tasks_dir.iterdir())
    for module in ("plain_folder", "sys"):
        done = hear_byola("run", "-m", module, "-t", task)
        assert done.returncode == 2
        assert f"'{module}' is not a HEAR-API module" in done.stderr
    (tmp_path / "a_file").write_text("")
    done = hear_byola("run", "-m", "hear_byola,seed=0", "-t", task, "--out", "a_file")
    assert (done.returncode, "name a folder" in done.stderr) == (2, True)


def test_a_kit_folder_whose_timestamps_changed_is_probed_anew(tmp_path):
    task = task_directories.make_task(tmp_path / "tasks", "events", n=6)
    made = hear_byola(
        "embed", "-m", "harness.baselines.logmel", "-t", task, "--layout", "heareval", "--out",
        tmp_path / "a", "--jobs", "1",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (layout,) = (tmp_path / "a" / "heareval").glob("*/*")
    values = []
    for shift in (0.0, 700.0):
        path = layout / "test.filename-timestamps.json"
        stamps = [[name, time + shift] for name, time in json.loads(path.read_text())]
        path.write_text(json.dumps(stamps))
        done = hear_byola(
            "probe", layout, "--protocol", "linear", "--out", tmp_path / "b", "--jobs", "1"
        )
        assert done.returncode == 0, done.stderr
        values.append(done.stdout)
    assert values[0] != values[1]


def test_the_other_layout_is_written_once_and_never_over_results_of_the_kit(tmp_path):
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=6, seconds=0.2)
    embed = (
        "embed", "-m", "harness.baselines.logmel,name=m", "-t", task, "--layout", "heareval",
        "--out", tmp_path / "out", "--jobs", "1",
    )  # fmt: skip
    assert hear_byola(*embed).returncode == 0
    (layout,) = (tmp_path / "out" / "heareval").glob("*/*")
    (layout / "test.predicted-scores.json").write_text("{}")
    assert hear_byola(*embed).returncode == 0
    assert (layout / "test.predicted-scores.json").exists()
    task_directories.write_wav(next((task / "16000" / "test").iterdir()), np.zeros(3200), 16000)
    done = hear_byola(*embed)
    assert done.returncode == 2
    assert "results of the original kit" in done.stderr
    assert (layout / "test.predicted-scores.json").exists()


def test_check_lists_findings_and_fails_on_errors(tasks_dir, tmp_path):
    good = hear_byola("tasks", "check", next(tasks_dir.iterdir()))
    assert good.returncode == 0, good.stdout
    broken = task_directories.make_task(tmp_path, "scene", n=12, seconds=0.5)
    wavs = sorted((broken / "16000" / "train").iterdir())
    wavs[0].unlink()
    wavs[1].write_bytes(b"")
    bad = hear_byola("tasks", "check", broken)
    assert bad.returncode == 1
    assert wavs[0].name in bad.stdout
    assert wavs[1].name in bad.stdout


def knn(tasks_dir: Path, out: Path) -> tuple[str | Path, ...]:
    return (
        "run", "-m", "harness.baselines.logmel,name=logmel", "--tasks-dir", tasks_dir,
        "-t", next(tasks_dir.iterdir()).name, "--protocol", "knn", "--out", out, "--jobs", "1",
    )  # fmt: skip


def test_a_table_is_printed_where_it_cannot_be_written(finished, tasks_dir, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "results.csv").unlink()
    (out / "results.csv" / "in_its_place").mkdir(parents=True)
    done = hear_byola(*knn(tasks_dir, out))
    assert done.returncode == 0, done.stderr
    assert "| logmel " in done.stdout
    assert f"{out}/results.csv: Is a directory. A folder is in the place of a file" in done.stderr
    merged = hear_byola("results", "merge", finished[0], "-o", out)
    assert merged.returncode == 2
    assert "Traceback" not in merged.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_finished_run_that_may_not_be_written_is_read(finished, tasks_dir, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    for path in (out, *out.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = hear_byola(*knn(tasks_dir, out))
        assert (done.returncode, "| logmel " in done.stdout) == (0, True)
        more = hear_byola(*knn(tasks_dir, out), "--seeds", "2")
        assert more.returncode == 2
        assert f"--out {out} cannot be written (Permission denied)" in more.stderr
    finally:
        for path in (out, *out.rglob("*")):
            path.chmod(0o755)


def test_a_link_to_nowhere_is_no_folder_for_a_run(tasks_dir, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone" / "out")
    one = hear_byola(*knn(tasks_dir, tmp_path / "out"))
    assert (one.returncode, "cannot be written (File exists)" in one.stderr) == (2, True)
    two = hear_byola(*knn(tasks_dir, tmp_path / "out"), "-m", "hear_byola")
    assert (two.returncode, two.stderr.splitlines()[-1:]) == (2, one.stderr.splitlines()[-1:])


def test_a_file_system_that_takes_no_more_is_one_sentence(finished, tmp_path):
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
    code = limit + "from harness.cli import call; sys.exit(call(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "results", "merge", finished[0], "-o", "all.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "all.csv: File too large. The file system or the limit" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_message_moves_the_cursor(tmp_path):
    odd = tmp_path / "odd\x1b[2J"
    (odd / "results" / "model" / "task").mkdir(parents=True)
    (odd / "results" / "model" / "task" / "result.json").write_text("{}")
    warned = hear_byola("results", "table", odd)
    refused = hear_byola("status", f"--{odd.name}")
    for done in (warned, refused):
        assert "odd\\x1b[2J" in done.stderr
        assert "\x1b" not in done.stderr
    assert "Warning: " in warned.stderr


def test_an_error_of_several_lines_stays_below_its_name(capsys):
    assert report_failures([("a", "one\ntwo"), ("b", "three")]) == 1
    assert capsys.readouterr().err == "2 failed:\n  a: one\n    two\n  b: three\n"


@pytest.mark.parametrize(
    "command",
    [
        "run", "embed", "probe", "validate", "tasks list", "tasks show", "tasks check",
        "results table", "results board", "results merge", "checkpoint show", "checkpoint convert",
    ],
)  # fmt: skip
def test_every_help_ends_in_examples(command):
    done = hear_byola(*command.split(), "--help")
    assert done.returncode == 0
    examples = done.stdout.split("Examples:")[1]
    assert examples.count(f"hear-byola {command}") == 2


def test_the_help_describes_every_option_and_command():
    def lacks(group: click.Group, path: str) -> Iterator[str]:
        for name, command in group.commands.items():
            if command.get_short_help_str(62).endswith("..."):
                yield f"{path}{name}: its first sentence does not fit the list of commands"
            for option in command.params:
                if isinstance(option, click.Option) and not option.help:
                    yield f"{path}{name} {option.opts[0]}: no help"
            if isinstance(command, click.Group):
                yield from lacks(command, f"{path}{name} ")

    assert list(lacks(cli, "")) == []


@pytest.mark.parametrize("command", ["run", "probe"])
def test_the_help_lists_the_protocols(command):
    listed = hear_byola(command, "--help").stdout.split("Protocols:")[1].split("Examples:")[0]
    for protocol in PROTOCOLS.values():
        assert f"\n  {protocol.name} " in listed
        assert f"{protocol.description} ({', '.join(protocol.kinds)})" in " ".join(listed.split())


def test_the_process_ends_with_the_sentence_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "harness.cli", "run", "-m", "hear_byola", "-t", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: No task 'nothing'")
    assert "Traceback" not in done.stderr


def test_help_is_quick_because_it_imports_nothing_heavy():
    code = "import sys, harness.cli; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_tasks_list_shows_built_in_tasks_and_those_in_the_folder(tasks_dir):
    done = hear_byola("tasks", "list", "--tasks-dir", tasks_dir)
    assert done.returncode == 0, done.stderr
    assert "demo_guitar_chord" in done.stdout
    assert next(tasks_dir.iterdir()).name in done.stdout
