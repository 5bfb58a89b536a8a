"""Sibling classifications of news sentences: the task's layout, about anything but feeling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..news.generate import Sentence
from ..news.lexicon import PERIOD_OF_TIME, REGION_OF_PLACE

CLASS_NAMES = {"noun": "Nome", "adjective": "Qualidade", "verb": "Verbo"}
_FORM_NAMES = {
    "plain": "Afirmação",
    "negated": "Negação",
    "contrast": "Ressalva",
    "neutral": "Relato",
}
NOTHING = "Outro"


@dataclass(frozen=True)
class Subject:
    """One thing to sort sentences by: its key, how it is asked for, its label, its reasoning."""

    key: str
    asked: str
    label: Callable[[Sentence], str]
    reason: Callable[[Sentence], str]


def _word_class(sentence: Sentence) -> str:
    """The class of the evidence word; a negated or missing one counts as none."""
    if sentence.cue_word is None or sentence.kind == "negated":
        return NOTHING
    return CLASS_NAMES[sentence.cue_word.word_class]


def _word_reason(sentence: Sentence) -> str:
    if sentence.cue is None:
        return "sem pista"
    if sentence.kind == "negated":
        return f"pista {sentence.cue} negada"
    found = f"pista {sentence.cue} indica {_word_class(sentence)}"
    return f"ressalva {sentence.other}, {found}" if sentence.other else found


def _event_reason(sentence: Sentence) -> str:
    return f"fato {sentence.event.phrase} é {sentence.event.area.lower()}"


def _highlight(sentence: Sentence) -> str:
    """Settled by the word for nouns and adjectives, by the event otherwise: two steps."""
    highlights = {"Nome": "Coisa", "Qualidade": "Estado"}
    return highlights.get(_word_class(sentence), sentence.event.area)


def _highlight_reason(sentence: Sentence) -> str:
    reason = _word_reason(sentence)
    if _word_class(sentence) in ("Nome", "Qualidade"):
        return reason
    return f"{reason}, {_event_reason(sentence)}"


def _known(table: dict[str, str], value: str | None) -> str:
    return NOTHING if value is None else table[value]


def _pointing(value: str | None, label: str) -> str:
    return f"pista {value} indica {label}" if value else "sem pista"


def _region(sentence: Sentence) -> str:
    return _known(REGION_OF_PLACE, sentence.place)


def _period(sentence: Sentence) -> str:
    return _known(PERIOD_OF_TIME, sentence.time)


def _sector(sentence: Sentence) -> str:
    return sentence.subject.sector if sentence.subject else NOTHING


def _sector_reason(sentence: Sentence) -> str:
    return _pointing(sentence.subject.name if sentence.subject else None, _sector(sentence))


REGION = Subject("regiao", "a região", _region, lambda s: _pointing(s.place, _region(s)))
PERIOD = Subject("periodo", "o período", _period, lambda s: _pointing(s.time, _period(s)))
SECTOR = Subject("setor", "o setor", _sector, _sector_reason)
AREA = Subject("area", "a área", lambda s: s.event.area, _event_reason)
GROUP = Subject("grupo", "o grupo da palavra", _word_class, _word_reason)
FORM = Subject("forma", "a forma", lambda s: _FORM_NAMES[s.kind], _word_reason)
HIGHLIGHT = Subject("destaque", "o destaque", _highlight, _highlight_reason)

# What is asked together. HIGHLIGHT and GROUP hang together like polarity and emotion do, so the
# pair comes often: the base shall know the shape of such an answer, not its meaning.
SUBJECTS_OF_STUDY: tuple[tuple[Subject, ...], ...] = (
    (HIGHLIGHT, GROUP),
    (HIGHLIGHT, GROUP),
    (HIGHLIGHT, GROUP),
    (AREA, GROUP),
    (AREA, GROUP),
    (GROUP,),
    (FORM, GROUP),
    (FORM, AREA),
    (REGION, PERIOD),
    (SECTOR, GROUP),
    (REGION, AREA),
)


def answer_of_siblings(
    sentence: Sentence, subjects: Sequence[Subject]
) -> tuple[dict[str, str], str]:
    """The labels of one sentence and the clause that argues for them, each step said once."""
    labels = {subject.key: subject.label(sentence) for subject in subjects}
    # HIGHLIGHT argues for GROUP too, and FORM and GROUP argue alike: say neither twice.
    reasons = [subject.reason(sentence) for subject in subjects]
    longest_first = sorted(dict.fromkeys(reasons), key=len, reverse=True)
    kept = [r for n, r in enumerate(longest_first) if not any(r in o for o in longest_first[:n])]
    return labels, ", ".join(reason for reason in dict.fromkeys(reasons) if reason in kept)
