"""Suspected label errors: what a model that has not seen a row would have said instead.

Confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70) over out-of-fold probabilities of the TF-IDF baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...chains.task import Task, value_at
from ..evaluation.baselines import Pairs, label_groups, text_classifier, text_for

FOLDS = 5


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong: `given` stands there, `likely` is what speaks for itself.

    `score` is from 0 to 1: how much more probable `likely` is than `given`.
    """

    example: str
    path: str
    given: str
    likely: str
    score: float


def suspects(task: Task, pairs: Pairs, *, seed: int = 0) -> list[Suspect]:
    """The suspected labels of rows that were answered, the worst first; several may be of one row.

    Paths that share a classifier of the TF-IDF baseline are judged together. Rows of one group
    stay in one fold. Needs scikit-learn; finds nothing in fewer rows or groups than FOLDS.
    """
    answered = [pair for pair in pairs if pair[1].answer is not None]
    groups = [example.group or example.id for example, _ in answered]
    if len(set(groups)) < FOLDS:
        return []
    found = [
        suspect
        for paths in label_groups(task).values()
        for suspect in _suspects_of(task, answered, paths, groups, seed)
    ]
    return sorted(found, key=lambda suspect: -suspect.score)


def _suspects_of(
    task: Task, pairs: Pairs, paths: Sequence[str], groups: Sequence[str], seed: int
) -> Iterator[Suspect]:
    places = [(example, path) for path in paths for example, _ in pairs]
    texts = [text_for(task, example.inputs, path) for example, path in places]
    given = [str(value_at(record.answer, path)) for path in paths for _, record in pairs]
    classes = sorted(set(given))
    probabilities = out_of_fold(texts, given, list(groups) * len(paths), classes, seed=seed)
    for row, column, score in confident_errors(
        probabilities, [classes.index(value) for value in given]
    ):
        example, path = places[row]
        yield Suspect(example.id, path, given[row], classes[column], score)


def out_of_fold(
    texts: Sequence[str],
    given: Sequence[str],
    groups: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int,
) -> Any:
    """Probabilities, texts by classes, each from a classifier that saw no text of its group."""
    import numpy as np
    from sklearn.model_selection import GroupKFold

    probabilities = np.zeros((len(texts), len(classes)))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for seen, held in folds.split(texts, given, groups):
        values = [given[i] for i in seen]
        model = text_classifier(values).fit([texts[i] for i in seen], values)
        columns = [list(classes).index(value) for value in model.classes_]
        probabilities[np.ix_(held, columns)] = model.predict_proba([texts[i] for i in held])
    return probabilities


def confident_errors(probabilities: Any, given: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """The off-diagonal of the confident joint: (row, likely class, score from 0 to 1).

    A class is likely where its probability reaches the mean that it has over the rows labelled
    with it, its threshold; the most probable of the likely ones stands against the given one. The
    score is the normalised margin between the two.
    """
    import numpy as np

    rows, labels = np.arange(len(given)), np.asarray(given)
    own = probabilities[rows, labels]
    present = range(probabilities.shape[1])
    thresholds = np.array([own[labels == j].mean() if (labels == j).any() else 2 for j in present])
    above = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = above.argmax(axis=1)
    margins = above[rows, likely] - own
    for row in np.flatnonzero((above[rows, likely] >= 0) & (likely != labels)):
        yield int(row), int(likely[row]), float((1 + margins[row]) / 2)
