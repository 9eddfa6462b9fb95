"""Tables of labels: what is read from them, and how each mistake in them is told."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from harness.core.errors import UserError
from tasks.format.tables import Event
from tasks.make.faults import Faults
from tasks.make.labels import Labels, read_labels


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> Labels:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    faults = Faults(path)
    labels = read_labels(path, faults)
    faults.refuse()
    return labels


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "labels.csv") in str(caught.value)
    return str(caught.value)


def test_rows_of_one_file_are_its_labels(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label\nb.wav,dog\na.wav,cat\nb.wav,rain\n")
    assert [(one.file, one.line, one.labels) for one in labels.recordings] == [
        ("a.wav", 3, ("cat",)),
        ("b.wav", 2, ("dog", "rain")),
    ]
    assert labels.embedding_type == "scene"
    assert (labels.places, labels.grouped, labels.unused) == ("", False, ())


def test_semicolons_stand_between_labels(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label\na.wav,dog; rain ;cat\n")
    assert labels.recordings[0].labels == ("dog", "rain", "cat")


def test_labels_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label\na.wav,01\nb.wav,None\nc.wav,1.0\nd.wav,nan\n")
    assert [one.labels[0] for one in labels.recordings] == ["01", "None", "1.0", "nan"]


def test_events_are_given_in_seconds_and_kept_in_milliseconds(tmp_path: Path) -> None:
    text = "file,onset,offset,label\na.wav,0.1,0.35,dog\na.wav,1,2.5,cat\nb.wav,,,\n"
    labels = read(tmp_path, text)
    assert labels.embedding_type == "event"
    assert labels.recordings[0].events == (Event("dog", 100.0, 350.0), Event("cat", 1000.0, 2500.0))
    assert labels.recordings[0].event_lines == (2, 3)
    assert labels.recordings[1].events == ()


def test_the_same_event_twice_is_told_and_the_same_label_at_two_times_is_not(
    tmp_path: Path,
) -> None:
    text = "file,onset,offset,label\na.wav,0,1,dog\na.wav,0,1,cat\na.wav,1,2,dog\n"
    assert len(read(tmp_path, text).recordings[0].events) == 3
    assert "line 5: repeats line 2." in refusal(tmp_path, text + "a.wav,0.0,1.0,dog\n")


def test_places_groups_and_columns_without_meaning(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label,fold,group,comment\na.wav,dog,1,rex,loud\n")
    assert (labels.places, labels.grouped, labels.unused) == ("fold", True, ("comment",))
    assert (labels.recordings[0].place, labels.recordings[0].group) == ("1", "rex")
    labels = read(tmp_path, "file,label,split\na.wav,dog,train\n")
    assert (labels.places, labels.recordings[0].place) == ("split", "train")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_spreadsheets_save_is_read(
    tmp_path: Path, encoding: str, delimiter: str, newline: str
) -> None:
    rows = [
        ["File", " Label ", "group", ""],
        ["ä.wav", '"Hund; groß"', "x", ""],
        ["b, c.wav" if delimiter != "," else '"b, c.wav"', "Maus", " y", ""],
        ["", "", "", ""],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    labels = read(tmp_path, text, encoding)
    assert [(one.file, one.labels, one.group) for one in labels.recordings] == [
        ("b, c.wav", ("Maus",), "y"),
        ("ä.wav", ("Hund", "groß"), "x"),
    ]


def test_trailing_empty_cells_are_no_mistake(tmp_path: Path) -> None:
    assert len(read(tmp_path, "file,label\na.wav,dog,,\nb.wav,cat,\n").recordings) == 2


def test_paths_are_made_plain(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label\n./x//a.wav,dog\nx/b.wav,cat\n")
    assert [one.file for one in labels.recordings] == ["x/a.wav", "x/b.wav"]
    assert "repeats the label 'dog' of line 2" in refusal(
        tmp_path, "file,label\n./a.wav,dog\na.wav,dog\n"
    )


HEADERS = {
    "filename,label\na,b\n": "there is no column 'file'. Did you mean 'filename'?",
    "file,class\na,b\n": "there is no column 'label'",
    "file,onset,label\na,1,b\n": "there is no column 'offset'. The first line must name the "
    "columns file, onset, offset, label; it names file, onset, label.",
    "a.wav,dog\nb.wav,cat\n": "there is no column 'file'",
    "file,label,label\na,b,c\n": "the column 'label' occurs twice",
    "file,label,split,fold\na,b,train,1\n": "a column split and a column fold",
    "file,label\n": "contains no row",
    "": "contains no row",
}


@pytest.mark.parametrize("text", HEADERS)
def test_a_first_line_that_does_not_name_the_columns(tmp_path: Path, text: str) -> None:
    assert HEADERS[text] in refusal(tmp_path, text)


ROWS = {
    "a.wav": "line 3: has 1 cell, but the first line has 2: keep the separators of empty cells.",
    "a,b.wav,cat": "line 3: has 3 cells, but the first line has 2: quote a cell that contains a",
    '"a.wav,cat': "is a quotation mark open?",
    ",cat": "line 3: the file is empty.",
    "a.wav,": "line 3: the label is empty: every recording needs one.",
    "a.wav,cat;;rain": "line 3: one of the labels in 'cat;;rain' is empty.",
    "a.wav,cat;cat": "line 3: a label occurs twice in 'cat;cat'.",
    "/data/a.wav,cat": "line 3: the file '/data/a.wav' must be a path inside",
    "../a.wav,cat": "line 3: the file '../a.wav' must be a path inside",
    "x/../a.wav,cat": "line 3: the file 'x/../a.wav' must be a path inside",
    "C:/a.wav,cat": "line 3: the file 'C:/a.wav' must be a path inside",
    "x\\a.wav,cat": "line 3: the file 'x\\a.wav' must be written with slashes: x/a.wav.",
    "./,cat": "line 3: the file './' is the folder itself.",
    "z.wav,dog": "line 3: repeats the label 'dog' of line 2.",
    "Z.wav,dog": "line 3: 'Z.wav' and 'z.wav' of line 2 differ in capitals alone",
}


def test_a_file_in_two_forms_of_accented_letters_is_a_fault(tmp_path: Path) -> None:
    said = refusal(tmp_path, "file,label\nh\u00f6he.wav,dog\nho\u0308he.wav,dog\n")
    assert "of line 2 differ in the form of accented letters alone" in said


@pytest.mark.parametrize("row", ROWS)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, row: str) -> None:
    assert ROWS[row] in refusal(tmp_path, f"file,label\nz.wav,dog\n{row}\n")


EVENTS = {
    "a.wav,1,1,dog": "line 3: the offset, 1 s, must be later than the onset, 1 s.",
    "a.wav,2,1,dog": "line 3: the offset, 1 s, must be later than the onset, 2 s.",
    "a.wav,-1,1,dog": "line 3: the onset must be a number of seconds, 0 or more, not '-1'.",
    "a.wav,x,1,dog": "line 3: the onset must be a number of seconds, 0 or more, not 'x'.",
    "a.wav,0,nan,dog": "line 3: the offset must be a number of seconds, 0 or more, not 'nan'.",
    "a.wav,0,inf,dog": "line 3: the offset must be a number",
    'a.wav,0,"1,5",dog': "not '1,5'. Write decimals with a point.",
    "a.wav,0,,dog": "line 3: the offset must be a number of seconds, 0 or more, not ''.",
    "a.wav,0,1,": "line 3: the label is empty.",
    "a.wav,0,1,dog;cat": "line 3: the label 'dog;cat' contains a semicolon",
    "z.wav,,,": "line 3: line 3 states that 'z.wav' has no event, but line 2 gives it one.",
}


@pytest.mark.parametrize("row", EVENTS)
def test_a_wrong_event_is_named_by_its_line(tmp_path: Path, row: str) -> None:
    message = refusal(tmp_path, f"file,onset,offset,label\nz.wav,0,1,dog\n{row}\n")
    assert EVENTS[row] in message


def test_a_file_without_events_cannot_have_one_later(tmp_path: Path) -> None:
    message = refusal(tmp_path, "file,onset,offset,label\na.wav,,,\na.wav,0,1,dog\na.wav,,,\n")
    assert "line 3: line 2 states that 'a.wav' has no event, but line 3 gives it one." in message
    assert "line 4: repeats line 2." in message


PLACES = {
    "file,label,split\na,b,train\nc,d,tset\n": "line 3: the split 'tset' is unknown: it must be "
    "train, valid or test. Did you mean 'test'?",
    "file,label,split\na,b,train\nc,d,\n": "line 3: the split is empty",
    "file,label,fold\na,b,1\nc,d,\n": "line 3: the fold is empty",
    "file,label,group\na,b,1\nc,d,\n": "line 3: the group is empty",
    "file,label,split\na,b,train\na,d,test\n": "line 3: the split or fold of 'a' is 'test', but "
    "'train' on line 2.",
    "file,label,group\na,b,x\na,d,y\n": "line 3: the group of 'a' is 'y', but 'x' on line 2.",
}


@pytest.mark.parametrize("text", PLACES)
def test_splits_folds_and_groups_that_contradict(tmp_path: Path, text: str) -> None:
    assert PLACES[text] in refusal(tmp_path, text)


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    rows = "".join(f"/{i}.wav,\n" for i in range(30))
    lines = refusal(tmp_path, f"file,label\n/x.wav,\n{rows}").splitlines()
    assert lines[1].startswith("  line 2: the file '/x.wav'")
    assert lines[2].startswith("  31 lines (2, 3, 4, ...): the label is empty")
    assert lines[3].startswith("  line 3: ")
    assert lines[-1] == "  and 12 more"


def test_the_same_mistake_is_told_once_with_its_lines(tmp_path: Path) -> None:
    rows = "".join(f"{i}.wav,a,{'tset' if i < 2 else 'holdout'}\n" for i in range(92))
    assert refusal(tmp_path, f"file,label,split\n{rows}").splitlines()[1:] == [
        "  lines 2, 3: the split 'tset' is unknown: it must be train, valid or test. Did you mean "
        "'test'?",
        "  90 lines (4, 5, 6, ...): the split 'holdout' is unknown: it must be train, valid or "
        "test.",
    ]


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Training", "TRAIN"]),
        ("valid", ["valid", "val", "Validation", "dev"]),
        ("test", ["Test", "testing", "eval", "Evaluation"]),
    ],
)
def test_splits_are_known_by_their_usual_names(
    tmp_path: Path, split: str, names: list[str]
) -> None:
    rows = "".join(f"{i}.wav,a,{name}\n" for i, name in enumerate(names))
    labels = read(tmp_path, f"file,label,split\n{rows}")
    assert {one.place for one in labels.recordings} == {split}


def spelt(form: str) -> str:
    return unicodedata.normalize(form, "José")


def test_the_unicode_forms_of_a_label_or_group_are_one_and_both_are_told(tmp_path: Path) -> None:
    nfc, nfd = spelt("NFC"), spelt("NFD")
    labels = read(
        tmp_path, f"file,label,group\n1.wav,{nfc};a,{nfd}\n2.wav,{nfd},{nfc}\n3.wav,b,c\n"
    )
    assert [one.labels for one in labels.recordings] == [(nfc, "a"), (nfc,), ("b",)]
    assert [one.group for one in labels.recordings] == [nfc, nfc, "c"]
    told = "1 {0} is written in several Unicode forms, which are read as one: {1}"
    assert labels.spellings == (
        told.format("label", r"'José' on line 2 and 'Jose\u0301' on line 3"),
        told.format("group", r"'Jose\u0301' on line 2 and 'José' on line 3"),
    )
    assert "a label occurs twice" in refusal(tmp_path, f"file,label\n1.wav,{nfc};{nfd}\n")


@pytest.mark.parametrize(
    ("other", "shown", "how"),
    [
        ("Dog bark", "'Dog bark'", "capitals"),
        ("dog  bark", "'dog  bark'", "spaces"),
        ("dog\u00a0bark", r"'dog\xa0bark'", "spaces"),
        ("dog bark\u200b", r"'dog bark\u200b'", "invisible characters"),
        ("\ufeffdog bark", r"'\ufeffdog bark'", "invisible characters"),
        ("ｄog bark", r"'\uff44og bark'", "the Unicode form of letters"),
    ],
)
def test_labels_that_read_the_same_are_warned_of_and_such_groups_refused(
    tmp_path: Path, other: str, shown: str, how: str
) -> None:
    rows = f"1.wav,dog bark\n2.wav,{other}\n3.wav,{other}\n"
    labels = read(tmp_path, f"file,label\n{rows}")
    (note,) = labels.spellings
    assert note.startswith(f"warning: 2 labels read the same and differ in {how} alone: ")
    assert f"'dog bark' on line 2 and {shown} on lines 3, 4" in note
    for column in ("group", "fold"):
        rows = "".join(f"{i}.wav,a,{each}\n" for i, each in enumerate(["dog bark", other, "z"]))
        message = refusal(tmp_path, f"file,label,{column}\n{rows}")
        assert f"line 3: the {column}s {shown} and 'dog bark' of line 2 differ in {how}" in message


@pytest.mark.parametrize(
    ("typed", "other", "shown"),
    [
        ("hi-hat", "hi\u2013hat", r"'hi\u2013hat'"),
        ("hi-hat", "hi\u2011hat", r"'hi\u2011hat'"),
        ("cat's", "cat\u2019s", r"'cat\u2019s'"),
        ("cat's", "cat\u00b4s", r"'cat\xb4s'"),
    ],
)
def test_dashes_and_apostrophes_of_text_programs_read_as_those_of_the_keyboard(
    tmp_path: Path, typed: str, other: str, shown: str
) -> None:
    labels = read(tmp_path, f"file,label\n1.wav,{typed}\n2.wav,{other}\n")
    (note,) = labels.spellings
    assert "differ in dashes or quotation marks alone" in note
    assert f"'{typed}' on line 2 and {shown} on line 3" in note
    message = refusal(tmp_path, f"file,label,group\n1.wav,a,{typed}\n2.wav,a,{other}\n")
    assert f"the groups {shown} and '{typed}' of line 2 differ in dashes" in message


def test_names_that_read_otherwise_are_left_alone(tmp_path: Path) -> None:
    labels = read(tmp_path, "file,label,group\n1.wav,dog,s 1 1\n2.wav,dogs,s 11\n3.wav,dоg,s-11\n")
    assert labels.spellings == ()  # the third dog has a Cyrillic letter


def test_empty_labels_are_no_label_that_is_there_twice(tmp_path: Path) -> None:
    message = refusal(tmp_path, "file,label\nz.wav,a;;b;\n")
    assert "one of the labels in 'a;;b;' is empty" in message
    assert "twice" not in message


def test_text_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv, line 3: not UTF-8 text"):
        read(tmp_path, "file,label\na.wav,dog\nb.wav,Käfer\n", "latin-1")


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_table_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "none.csv"
    with pytest.raises(UserError, match="cannot be read"):
        read_labels(path, Faults(path))
