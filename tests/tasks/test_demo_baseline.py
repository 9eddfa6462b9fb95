"""How much of each demo task the plain long-term spectrum solves, and that it beats chance.

Mean and standard deviation over time of a log-mel spectrogram (librosa; 64 bands, Slaney), then
logistic regression whose strength is chosen on validation. ``pytest -m slow -s`` prints the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.metrics.events import frame_targets
from tasks.demo import SAMPLE_RATE, demo_directory, demo_names
from tasks.format.task import Task, multiclass_targets, multilabel_targets, read_task

HOP = 160
FRAME_STEP, FRAME_REACH = 4, 10
"""Event tasks: a vector each 40 ms, over the 100 ms before and after it."""
Part = tuple[np.ndarray, np.ndarray]


def log_mel(path: Path) -> np.ndarray:
    """(64, frames)."""
    audio, _ = soundfile.read(path, dtype="float32")
    mel = librosa.feature.melspectrogram(
        y=audio, sr=SAMPLE_RATE, n_fft=1024, hop_length=HOP, n_mels=64, fmin=60, fmax=7800
    )
    return np.log(mel + np.finfo(np.float32).eps)


def statistics(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([frames.mean(axis=-1), frames.std(axis=-1)])


def part(task: Task, split: str) -> Part:
    """Features and targets of a split: rows are clips, or frames of an event task."""
    mels = [
        log_mel(task.directory / str(SAMPLE_RATE) / split / clip.name) for clip in task.clips[split]
    ]
    if task.embedding_type == "event":
        rows, targets = [], []
        for mel, clip in zip(mels, task.clips[split], strict=True):
            centres = np.arange(0, mel.shape[1], FRAME_STEP)
            padded = np.pad(mel, ((0, 0), (FRAME_REACH, FRAME_REACH)), mode="edge")
            rows += [statistics(padded[:, c : c + 2 * FRAME_REACH + 1]) for c in centres]
            times = centres * (1000 * HOP / SAMPLE_RATE)
            targets.append(frame_targets(times, clip.events, task.labels))
        return np.array(rows), np.concatenate(targets)
    targets_of = multiclass_targets if task.prediction_type == "multiclass" else multilabel_targets
    return np.array([statistics(mel) for mel in mels]), targets_of(task, split)


def fit_and_score(train: Part, others: Sequence[Part], strength: float) -> list[float]:
    """Accuracy, or mean average precision, on the other parts."""
    multilabel = train[1].ndim == 2
    classifier = LogisticRegression(C=strength, max_iter=300)
    model = make_pipeline(
        StandardScaler(), OneVsRestClassifier(classifier) if multilabel else classifier
    ).fit(*train)
    if not multilabel:
        return [model.score(*other) for other in others]
    return [average_precision_score(y, model.predict_proba(x)) for x, y in others]


def score(task: Task) -> float:
    """Mean over folds of the test score, the strength being chosen on validation."""
    parts = {split: part(task, split) for split in task.splits}
    scores = []
    for fold in task.folds:
        features, targets = zip(*(parts[split] for split in fold.train), strict=True)
        train = (np.concatenate(features), np.concatenate(targets))
        tried = [
            fit_and_score(train, (parts[fold.valid], parts[fold.test]), strength)
            for strength in (1e-3, 1e-2, 1e-1, 1.0, 10.0)
        ]
        scores.append(max(tried, key=lambda pair: pair[0])[1])
    return float(np.mean(scores))


def chance(task: Task) -> float:
    """Accuracy of a guess, or the mean average precision of a constant: the labels' frequency."""
    if task.prediction_type == "multiclass":
        return 1 / len(task.labels)
    return float(part(task, "test")[1].mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", demo_names())
def test_the_long_term_spectrum_beats_chance_but_does_not_solve_a_task(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAR_BYOLA_CACHE", str(tmp_path))
    task = read_task(demo_directory(name))
    found, guess = score(task), chance(task)
    print(f"\n{name}: {found:.3f} (chance {guess:.3f})")
    assert 1.5 * guess < found < 0.85
