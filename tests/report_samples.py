"""Hand-made Reports: a realistic one, a hostile one, and the small corners of the type."""

from __future__ import annotations

from typing import Any

from understudy.distill.evaluation.results import (
    Difference,
    Disagreement,
    LabelResult,
    Report,
    SplitNote,
    SplitResult,
    SystemResult,
)
from understudy.store.rows import Score

POLARITY = ("Positivo", "Negativo", "Neutro")
EMOTION = (
    "Felicidade",
    "Tristeza",
    "Raiva",
    "Nojo",
    "Medo",
    "Surpresa",
    "Desprezo",
    "Neutro",
)
HOSTILE = "<script>alert('x')</script> <img src=x onerror=alert(1)> | pipe `tick` *a* [b](http://c)"
ARABIC = "السوق ارتفع اليوم \u202eوالمستثمرون سعداء"
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitän" * 6
UNSCORED = Score(value=None)


def score(value: float, half: float = 0.03, *, n: int = 360) -> Score:
    """A share with an interval of about twice `half`, kept within 0 and 1."""
    return Score(value=value, low=max(0.0, value - half), high=min(1.0, value + 0.9 * half), n=n)


def label_result(classes: tuple[str, ...], accuracy: float, *, n: int = 360) -> LabelResult:
    """Right answers on the diagonal, the wrong ones on the class that follows."""
    per_class = n // len(classes)
    right = round(accuracy * per_class)
    confusion = {
        name: {name: right, classes[(at + 1) % len(classes)]: per_class - right - at % 2}
        | ({"no answer": 1} if at % 2 else {})
        for at, name in enumerate(classes)
    }
    f1: dict[str, float | None] = {
        n: max(0.0, accuracy - 0.017 * at) for at, n in enumerate(classes)
    }
    return LabelResult(
        accuracy=score(accuracy, n=n),
        macro_f1=score(max(0.0, accuracy - 0.031), 0.041, n=n),
        per_class_f1=f1,
        confusion=confusion,
    )


def split_result(split: str, exact: float, **other: Any) -> SplitResult:
    """One system on one split of the news task, everything else following from `exact`."""
    figures: dict[str, Any] = {
        "split": split,
        "rows": 120,
        "errors": 0,
        "exact": score(exact, 0.038),
        "row_exact": score(exact**3, 0.081, n=120),
        "valid": score(1.0, 0.031, n=120),
        "agreement": score(exact - 0.012, 0.039),
        "labels": {
            "polaridade": label_result(POLARITY, min(1.0, exact + 0.05)),
            "emocao": label_result(EMOTION, min(1.0, exact + 0.02)),
        },
        "seconds_median": 0.214,
        "seconds_p95": 0.371,
        "input_tokens": 92.4,
        "output_tokens": 61.7,
    }
    return SplitResult(**{**figures, **other})


def system(name: str, role: str, exact: tuple[float, ...], **other: Any) -> SystemResult:
    """A system on wild, hard and test, in this order; `target` is a property of the system."""
    target, description = other.pop("target", "label"), other.pop("description", "a system")
    return SystemResult(
        name=name,
        role=role,
        model=other.pop("model", name),
        target=target,
        run=f"{abs(len(name) * 7919):016x}",
        description=description,
        splits={
            split: split_result(split, value, **other)
            for split, value in zip(("wild", "hard", "test"), exact, strict=False)
        },
    )


def difference(split: str, value: float, low: float, high: float) -> Difference:
    """The two students against each other."""
    verdict = "is better" if low > 0 else "shows no difference"
    return Difference(
        first="student-reason",
        second="student-label",
        split=split,
        points=Score(value=value, low=low, high=high, n=360),
        wins=round(30 + value),
        losses=30,
        sentence=f"On {split} the student trained with reasoning {verdict}: {value:+.1f} points.",
    )


def news_report() -> Report:
    """Seven systems on three splits, with everything a report can show."""
    differences = [
        difference("wild", 4.2, 0.3, 8.3),
        difference("hard", 11.9, 7.2, 16.7),
        difference("test", -0.6, -2.5, 1.4),
    ]
    question = "Does the student trained with reasoning beat the label-only one? "
    return Report(
        task="news",
        created="2026-03-01T12:30:00+00:00",
        splits=[
            SplitNote(name="wild", rows=120, sentence="Real headlines, read by two people."),
            SplitNote(name="hard", rows=120, sentence="Negation, concession and irony."),
            SplitNote(name="test", rows=120, sentence="Rows like the ones trained on."),
        ],
        systems=_news_systems(),
        answer=question + " ".join(d.sentence for d in differences),
        differences=differences,
        disagreements=[_news_disagreement("wild", 1), _news_disagreement("hard", 2)],
        notes=[
            "exact is the share of answer parts with every label right; a failed row is wrong.",
            "Intervals are at 95 %, rows resampled; they do not cover the choice of seed.",
        ],
        versions={"python": "3.12.3", "torch": "2.8.0", "understudy": "0.1.0"},
    )


def _news_systems() -> list[SystemResult]:
    cited: dict[str, Any] = {"cue_in_text": score(0.964, 0.021, n=331)}
    return [
        system(
            "teacher",
            "teacher",
            (0.914, 0.887, 0.972),
            **cited,
            agreement=None,
            target="reason_label",
            model="openai:gpt-4.1",
            description="the teacher: its labels are what the others learn from",
            seconds_median=2.31,
            seconds_p95=5.62,
            input_tokens=811.0,
            output_tokens=104.3,
            cost=2.4563,
            errors=2,
            valid=score(0.983, 0.02, n=120),
        ),
        system(
            "student-reason",
            "student",
            (0.781, 0.743, 0.944),
            **cited,
            target="reason_label",
            model="runs/student-reason",
            description="a student trained on the teacher's reasoning and labels",
            cost=0.0,
            learnt=True,
        ),
        system(
            "student-label",
            "student",
            (0.739, 0.624, 0.951),
            model="runs/student-label",
            description="a student trained on the teacher's labels alone",
            output_tokens=24.0,
            learnt=False,
        ),
        system("tfidf", "baseline", (0.58, 0.381, 0.833), seconds_median=0.0004),
        system("base", "base", (0.122, 0.094, 0.111), errors=17, valid=score(0.858, n=120)),
        system("majority", "baseline", (0.203, 0.197, 0.211), seconds_median=0.00002),
    ]


def _news_disagreement(split: str, number: int) -> Disagreement:
    def reading(*emotions: str) -> dict[str, Any]:
        return {
            f"f{at}": {"polaridade": "Negativo", "emocao": emotion}
            for at, emotion in enumerate(emotions, 1)
        }

    return Disagreement(
        split=split,
        example=f"{number:016x}",
        inputs={
            "f1": "Apesar do otimismo do governo, lojistas temem a alta dos juros.",
            "f2": "A diretoria divulgou sem alarme o atraso na obra da refinaria.",
            "f3": "Sindicatos protestaram contra o corte de vagas na montadora.",
        },
        gold=reading("Medo", "Neutro", "Raiva"),
        answers={
            "teacher": reading("Medo", "Neutro", "Raiva"),
            "student-reason": reading("Medo", "Medo", "Raiva"),
            "student-label": None,
        },
        reasonings={
            "teacher": "f1: ressalva otimismo, pista temem indica Medo; f2: pista alarme negada",
            "student-reason": "f1: pista temem indica Medo; f2: pista alarme indica Medo",
        },
    )


def hostile_report() -> Report:
    """Every text of a report is an attack, very long, or written from right to left."""
    label = LabelResult(
        accuracy=score(0.5),
        macro_f1=UNSCORED,
        per_class_f1={HOSTILE: 0.5, LONG_WORD: None},
        confusion={HOSTILE: {HOSTILE: 3, LONG_WORD: 1}, LONG_WORD: {ARABIC: 2}},
    )
    results = {
        HOSTILE: split_result(HOSTILE, 0.5, labels={HOSTILE: label}, fields={HOSTILE: score(0.4)})
    }
    systems = [
        SystemResult(
            name=name,
            role='"><b>role',
            model=HOSTILE,
            target=HOSTILE,
            run=HOSTILE,
            description=LONG_WORD,
            splits=results,
        )
        for name in (HOSTILE, LONG_WORD, ARABIC)
    ]
    found = Disagreement(
        split=HOSTILE,
        example=HOSTILE,
        inputs={
            HOSTILE: HOSTILE * 22,
            LONG_WORD: LONG_WORD * 8,
            "rtl": ARABIC,
            "lines": "a\n# b\n",
        },
        gold={HOSTILE: {HOSTILE: HOSTILE}, "list": [1, None, HOSTILE]},
        answers={HOSTILE: {HOSTILE: LONG_WORD}, LONG_WORD: None, ARABIC: {}},
        reasonings={HOSTILE: HOSTILE, ARABIC: ARABIC},
    )
    return Report(
        task=HOSTILE,
        created=HOSTILE,
        splits=[SplitNote(name=HOSTILE, rows=120, sentence=HOSTILE)],
        systems=systems,
        answer=HOSTILE,
        differences=[
            Difference(
                first=LONG_WORD,
                second=HOSTILE,
                split=HOSTILE,
                points=score(0.4, 30),
                wins=1,
                losses=2,
                sentence=HOSTILE,
            )
        ],
        disagreements=[found],
        notes=[HOSTILE, LONG_WORD, ARABIC],
        versions={HOSTILE: HOSTILE, LONG_WORD: ARABIC},
    )


def extraction_report() -> Report:
    """One system, no labels, fields with comparators, nothing scored against gold on one split."""
    invoice = split_result(
        "test", 0.61, labels={}, agreement=None, fields={"total": score(0.93), "date": UNSCORED}
    )
    bare = SplitResult(
        split="wild",
        rows=40,
        errors=0,
        exact=UNSCORED,
        row_exact=UNSCORED,
        valid=score(1.0, 0.08, n=40),
    )
    only = SystemResult(
        name="student",
        role="student",
        model="runs/student",
        target="label",
        run="f" * 16,
        description="the only one",
        splits={"test": invoice, "wild": bare},
    )
    return Report(
        task="invoices",
        created="2026-03-01",
        splits=[
            SplitNote(name="wild", rows=40, sentence="Invoices without gold."),
            SplitNote(name="test", rows=120, sentence="Invoices with gold."),
        ],
        systems=[only],
        answer="Whether reasoning helps is not answered.",
        differences=[],
        disagreements=[],
        notes=[],
        versions={},
    )


def empty_report() -> Report:
    """Nothing at all: no split, no system."""
    return Report(
        task="nothing",
        created="",
        splits=[],
        systems=[],
        answer="",
        differences=[],
        disagreements=[],
        notes=[],
        versions={},
    )


REPORTS = {
    "news": news_report,
    "hostile": hostile_report,
    "extraction": extraction_report,
    "empty": empty_report,
}
