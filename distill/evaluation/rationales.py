"""How good the reasonings are: do they support the label, quote the input, say what others say?"""

from __future__ import annotations

from ...chains.task import Task
from ...store.rows import Run, Score
from ..statistics import clustered_share, mean_score
from .answered import Marks, Sheet
from .results import Rationales

RATIONALE_OF = "rationale_of"  # parameter of a support run: the run whose rationales it reads


def rationales_of(
    task: Task, sheet: Sheet, marks: Marks, support: Marks | None = None
) -> Rationales | None:
    """Figures on the reasonings of one run on one split; None where it wrote none.

    `support` is what the same student answered from the rationale alone (see asked.py): the share
    of its rows whose labels all come out the same is how far the rationale carries the label, a
    simulatability test with the input hidden (Hase et al. 2020, arXiv 2010.04119). A row that gave
    no answer then counts as not supported. `overlap` is token F1 with the teacher's reasoning.
    """
    import numpy as np

    wrote = marks.asked & (marks.reasoning_words > 0)
    if not wrote.any():
        return None
    groups = sheet.groups[wrote]
    cues = None
    if task.cue is not None:
        cues = _known(
            clustered_share(marks.cues_found[wrote], marks.cues_cited[wrote], groups=groups)
        )
    return Rationales(
        rows=int(wrote.sum()),
        supports=_supports(sheet, marks, support),
        cue_in_text=cues,
        overlap=_known(mean_score(marks.overlap[wrote], groups=groups)),
        words=float(np.mean(marks.reasoning_words[wrote])),
    )


def support_run(run: Run, runs: list[Run]) -> Run | None:
    """The newest of `runs` (newest first) that answered from this run's rationales alone."""
    return next((one for one in runs if one.parameters.get(RATIONALE_OF) == run.id), None)


def _supports(sheet: Sheet, marks: Marks, support: Marks | None) -> Score | None:
    if support is None or not marks.given.shape[1]:
        return None
    asked = support.asked & marks.answered & (marks.reasoning_words > 0)
    same = (support.given == marks.given).all(axis=1) & support.answered
    return _known(clustered_share(same[asked], asked[asked], groups=sheet.groups[asked]))


def _known(score: Score) -> Score | None:
    return None if score.value is None else score
