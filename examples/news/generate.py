"""Seeded Portuguese news triples with gold answers, and the wording of their reasoning.

The reasoning of a triple is one line of at most 300 characters (`reasoning_of`):

    reasoning = "f1: " clause "; f2: " clause "; f3: " clause
    clause    = "pista " CUE " indica " EMOTION [fact]         plain sentence
              | "pista " CUE " negada" fact                    negated evidence
              | "ressalva " OTHER ", pista " CUE " indica " EMOTION [fact]   contrast
              | "sem pista" fact                               no evidence word
    fact      = ", fato " EVENT " é " POLARITY

CUE and OTHER are the evidence words as they stand in the sentence, lower case; EVENT is the event
without its article ("queda da ponte"); EMOTION is the label ("Medo"), POLARITY the label in lower
case ("negativo"). The fact is written exactly when the event decides the polarity: the emotion is
Surpresa or Neutro (so always after "negada" and "sem pista", never after "indica Medo").

    f1: pista comemoraram indica Felicidade; f2: pista medo negada, fato greve dos médicos é
    negativo; f3: ressalva luto, pista felizes indica Felicidade

Command: python -m understudy.examples.news.generate OUT.csv --seed 0
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .lexicon import (
    ACTS,
    EMOTIONS,
    EVENTS,
    FRAMES,
    NEUTRAL,
    PERIOD_OF_TIME,
    POLARITIES,
    POLARITY_OF_EMOTION,
    REGION_OF_PLACE,
    SOURCES,
    SUBJECTS,
    WORDS,
    Event,
    Frame,
    Kind,
    Subject,
    Word,
)

SPLIT_SIZES = {"train": 1200, "validation": 150, "calibration": 300, "test": 240, "hard": 240}
FIELDS = ("f1", "f2", "f3")
LONGEST_REASONING = 300

# Shares of the sentence kinds. The hard split has no cue-less sentence: each must hold a new word.
KIND_SHARES: dict[Kind, float] = {
    "plain": 0.50,
    "negated": 0.16,
    "contrast": 0.18,
    "neutral": 0.16,
}
HARD_KIND_SHARES: dict[Kind, float] = {"plain": 0.66, "negated": 0.17, "contrast": 0.17}


@dataclass(frozen=True)
class Pool:
    """What sentences are drawn from."""

    words: tuple[Word, ...]
    events: tuple[Event, ...]
    frames: tuple[Frame, ...]


def _pool(held_out: bool) -> Pool:
    return Pool(
        tuple(word for word in WORDS if word.held_out is held_out),
        tuple(event for event in EVENTS if event.held_out is held_out),
        tuple(frame for frame in FRAMES if frame.held_out is held_out),
    )


SHOWN = _pool(held_out=False)
HELD_OUT = _pool(held_out=True)
WHOLE = Pool(WORDS, EVENTS, FRAMES)


@dataclass(frozen=True)
class Sentence:
    """One news sentence, its gold labels and what it was built from.

    `cue` and `other` (the conceded word of a contrast) are written as in the text; `cue_word` and
    `other_word` are their lexicon entries. Scenery that the frame does not use is None.
    """

    text: str
    kind: Kind
    frame: Frame
    event: Event
    polaridade: str
    emocao: str
    cue: str | None
    cue_word: Word | None
    other: str | None
    other_word: Word | None
    subject: Subject | None
    place: str | None
    time: str | None


@dataclass(frozen=True)
class NewsRow:
    """Three sentences, the split they belong to, and gold answers per sentence."""

    f1: str
    f2: str
    f3: str
    split: str
    gold: dict[str, dict[str, str]]
    sentences: tuple[Sentence, ...]


def draw_sentence(rng: random.Random, pool: Pool, kind: Kind) -> Sentence:
    """One sentence of this kind; emotion and event polarity are drawn uniformly."""
    frame = rng.choice([frame for frame in pool.frames if frame.kind == kind])
    emotion = rng.choice(EMOTIONS)
    polarity = rng.choice(POLARITIES)
    event = rng.choice([event for event in pool.events if event.polarity == polarity])
    subject = rng.choice(SUBJECTS)
    cue_word = _draw_word(rng, pool, frame, emotion)
    other_word = _draw_other(rng, pool, emotion) if kind == "contrast" else None
    place, time = rng.choice(list(REGION_OF_PLACE)), rng.choice(list(PERIOD_OF_TIME))
    slots = {
        "s": subject.name,
        "p": place,
        "t": time,
        "d": rng.choice(SOURCES),
        "act": rng.choice(ACTS),
        **_evidence_slots(cue_word, other_word, subject),
        **_event_slots(event),
    }
    text = frame.template.format(**slots)
    emocao = emotion if kind in ("plain", "contrast") else NEUTRAL
    return Sentence(
        text=text[0].upper() + text[1:] + ".",
        kind=kind,
        frame=frame,
        event=event,
        polaridade=POLARITY_OF_EMOTION.get(emocao, event.polarity),
        emocao=emocao,
        cue=slots["cue"] or None,
        cue_word=cue_word,
        other=slots["other"] or None,
        other_word=other_word,
        subject=subject if "{s}" in frame.template else None,
        place=place if "{p}" in frame.template else None,
        time=time if "{t}" in frame.template else None,
    )


def _draw_word(rng: random.Random, pool: Pool, frame: Frame, emotion: str) -> Word | None:
    if frame.cue is None:
        return None
    fitting = [w for w in pool.words if w.emotion == emotion and w.word_class == frame.cue]
    return rng.choice(fitting)


def _draw_other(rng: random.Random, pool: Pool, emotion: str) -> Word:
    """The noun that a contrast concedes: of any emotion but the sentence's own."""
    return rng.choice([w for w in pool.words if w.emotion != emotion and w.word_class == "noun"])


def _evidence_slots(cue: Word | None, other: Word | None, subject: Subject) -> dict[str, str]:
    return {
        "cue": cue.agreeing_with(subject.gender) if cue else "",
        "other": other.masculine if other else "",
        "muito": "muita" if cue and cue.gender == "f" else "muito",
    }


def _event_slots(event: Event) -> dict[str, str]:
    article = "a" if event.gender == "f" else "o"
    return {"ev_o": f"{article} {event.phrase}", "ev_do": f"d{article} {event.phrase}"}


def reasoning_of(sentences: Iterable[Sentence]) -> str:
    """The gold reasoning of a triple, worded as this module's docstring says."""
    clauses = zip(FIELDS, sentences, strict=True)
    return "; ".join(f"{field}: {_clause(sentence)}" for field, sentence in clauses)


def _clause(sentence: Sentence) -> str:
    steps = []
    if sentence.kind == "contrast":
        steps.append(f"ressalva {sentence.other}")
    if sentence.kind == "neutral":
        steps.append("sem pista")
    elif sentence.kind == "negated":
        steps.append(f"pista {sentence.cue} negada")
    else:
        steps.append(f"pista {sentence.cue} indica {sentence.emocao}")
    if sentence.emocao not in POLARITY_OF_EMOTION:
        steps.append(f"fato {sentence.event.phrase} é {sentence.event.polarity.lower()}")
    return ", ".join(steps)


def news_rows(seed: int) -> list[NewsRow]:
    """All splits in order, exactly SPLIT_SIZES rows each; equal for equal seeds.

    No sentence of another split stands in the train pool, so no triple is in two splits.
    """
    rows: list[NewsRow] = []
    taken: set[str] = set()
    for split, size in SPLIT_SIZES.items():
        drawn = _draw_split(seed, split, size, taken)
        taken.update(text for row in drawn for text in (row.f1, row.f2, row.f3))
        rows.extend(drawn)
    return rows


def _draw_split(seed: int, split: str, size: int, taken: set[str]) -> list[NewsRow]:
    """Rows of one split whose sentences are not in `taken` (those of the splits before it)."""
    rng = random.Random(f"{seed}:{split}")
    hard = split == "hard"
    kinds = _exact_kinds(rng, HARD_KIND_SHARES if hard else KIND_SHARES, size * len(FIELDS))
    pool = HELD_OUT if hard else SHOWN
    rows, seen = [], set()
    for start in range(0, len(kinds), len(FIELDS)):
        while True:
            sentences = [_fresh(rng, pool, kind, taken) for kind in kinds[start : start + 3]]
            texts = tuple(sentence.text for sentence in sentences)
            if texts not in seen and len(reasoning_of(sentences)) <= LONGEST_REASONING:
                break
        seen.add(texts)
        rows.append(_row(split, sentences))
    return rows


def _exact_kinds(rng: random.Random, shares: dict[Kind, float], count: int) -> list[Kind]:
    """A shuffled list with the shares met exactly (rounding goes to the first kind)."""
    kinds: list[Kind] = []
    for kind, share in list(shares.items())[1:]:
        kinds += [kind] * round(share * count)
    first = next(iter(shares))
    kinds += [first] * (count - len(kinds))
    rng.shuffle(kinds)
    return kinds


def _fresh(rng: random.Random, pool: Pool, kind: Kind, taken: set[str]) -> Sentence:
    while True:
        sentence = draw_sentence(rng, pool, kind)
        if sentence.text not in taken:
            return sentence


def _row(split: str, sentences: Sequence[Sentence]) -> NewsRow:
    gold = {
        field: {"polaridade": sentence.polaridade, "emocao": sentence.emocao}
        for field, sentence in zip(FIELDS, sentences, strict=True)
    }
    first, second, third = (sentence.text for sentence in sentences)
    return NewsRow(first, second, third, split, gold, tuple(sentences))


def write_csv(path: Path, seed: int) -> int:
    """Write all splits as UTF-8 CSV (f1, f2, f3, split, f1.polaridade, ...); return the rows."""
    labels = [f"{field}.{key}" for field in FIELDS for key in ("polaridade", "emocao")]
    rows = news_rows(seed)
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FIELDS, "split", *labels])
        for row in rows:
            gold = [value for field in FIELDS for value in row.gold[field].values()]
            writer.writerow([row.f1, row.f2, row.f3, row.split, *gold])
    return len(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: OUT.csv and --seed."""
    parser = argparse.ArgumentParser(description="Write the synthetic Portuguese news as CSV.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows = write_csv(options.out, options.seed)
    sys.stdout.write(f"{rows} news written to {options.out}\n")


if __name__ == "__main__":
    main()
