"""Hand-made Reports of format 2: a realistic one, a hostile one, and the corners of the type."""

from __future__ import annotations

from typing import Any

from understudy.distill.evaluation.results import (
    Asked,
    Bin,
    BreakEven,
    ClassResult,
    Comparison,
    Confidence,
    Correctness,
    Curves,
    Dividend,
    DividendArm,
    Effort,
    LabelResult,
    Leak,
    Leakage,
    LearningCurve,
    LearningPoint,
    Measured,
    Provenance,
    Rationales,
    Report,
    ShownRow,
    ShownRows,
    Slice,
    SplitNote,
    SwapVerdict,
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
SPLITS = ("wild", "hard", "test")
HOSTILE = "<script>alert('x')</script> <img src=x onerror=alert(1)> | pipe `tick` *a* [b](http://c)"
ARABIC = "السوق ارتفع اليوم \u202eوالمستثمرون سعداء"
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitän" * 6
UNSCORED = Score(value=None)


def score(value: float, half: float = 0.03, *, n: int = 360) -> Score:
    """A share with an interval of about twice `half`, kept within 0 and 1."""
    return Score(value=value, low=max(0.0, value - half), high=min(1.0, value + 0.9 * half), n=n)


def points(value: float, low: float, high: float, *, n: int = 120) -> Score:
    """A difference in percentage points."""
    return Score(value=value, low=low, high=high, n=n)


def label_result(classes: tuple[str, ...], accuracy: float, *, n: int = 360) -> LabelResult:
    """Right answers on the diagonal, the wrong ones on the class that follows."""
    per_class = n // len(classes)
    right = round(accuracy * per_class)
    confusion = {
        name: {name: right, classes[(at + 1) % len(classes)]: per_class - right - at % 2}
        | ({"no answer": 1} if at % 2 else {})
        for at, name in enumerate(classes)
    }
    figures = {name: max(0.0, accuracy - 0.017 * at) for at, name in enumerate(classes)}
    return LabelResult(
        accuracy=score(accuracy, n=n),
        macro_f1=score(max(0.0, accuracy - 0.031), 0.041, n=n),
        classes={
            name: ClassResult(
                precision=value, recall=max(0.0, value - 0.01), f1=value - 0.005, support=per_class
            )
            for name, value in figures.items()
            if value > 0.01
        },
        confusion=confusion,
    )


def correctness(exact: float, **other: Any) -> Correctness:
    """On one split of the news task, everything else following from `exact`."""
    figures: dict[str, Any] = {
        "exact": score(exact, 0.038),
        "row_exact": score(exact**3, 0.081, n=120),
        "labels": {
            "polaridade": label_result(POLARITY, min(1.0, exact + 0.05)),
            "emocao": label_result(EMOTION, min(1.0, exact + 0.02)),
        },
    }
    return Correctness(**{**figures, **other})


def confidence() -> Confidence:
    """Overconfident by a little, in 15 bins of which the low ones are nearly empty."""
    curve = [
        Bin(
            confidence=0.3 + 0.045 * at,
            right=score(0.26 + 0.042 * at, 0.2 / (at + 1), n=4 + 9 * at),
            n=4 + 9 * at,
        )
        for at in range(15)
    ]
    return Confidence(
        against="gold",
        labels=720,
        ece=0.051,
        brier=0.137,
        curve=curve,
        risk_coverage=[(at / 50, 0.34 * (at / 50) ** 2) for at in range(1, 51)],
    )


def measured(exact: float, **other: Any) -> Measured:
    """One system on one split of the news task."""
    figures: dict[str, Any] = {
        "rows": 120,
        "errors": 0,
        "valid": score(1.0, 0.031, n=120),
        "gold": correctness(exact),
        "teacher": correctness(max(0.0, exact - 0.012)),
        "effort": Effort(
            seconds_median=0.214,
            seconds_p95=0.371,
            rows_per_second=31.5,
            input_tokens=92.4,
            output_tokens=61.7,
            cost=0.0044,
            cost_basis="machine",
            peak_memory_mb=412.0,
        ),
    }
    return Measured(**{**figures, **other})


def system(name: str, role: str, exact: tuple[float, ...], **other: Any) -> SystemResult:
    """A system on wild, hard and test, in this order; the rest goes to `measured`."""
    own: dict[str, Any] = {
        field: other.pop(field)
        for field in ("model", "target", "strategy", "arm", "seed", "description", "training")
        if field in other
    }
    facts: dict[str, Any] = {
        "model": name,
        "target": "label",
        "strategy": "answer",
        "arm": name,
        "description": "a system",
        **own,
    }
    return SystemResult(
        name=name,
        role=role,
        run=f"{sum(map(ord, name)) * 7919:016x}",
        splits={
            split: measured(value, **other) for split, value in zip(SPLITS, exact, strict=False)
        },
        **facts,
    )


def news_report() -> Report:
    """Eight systems on three splits, with everything a report can show."""
    return Report(
        task="news",
        created="2026-03-01T12:30:00+00:00",
        reference="teacher",
        margin=2.0,
        ceiling=score(0.961, 0.014, n=600),
        splits=[
            SplitNote(
                name="wild", rows=120, with_gold=120, sentence="Real headlines, read by two people."
            ),
            SplitNote(
                name="hard", rows=120, with_gold=120, sentence="Negation, concession and irony."
            ),
            SplitNote(
                name="test", rows=120, with_gold=120, sentence="Rows like the ones trained on."
            ),
        ],
        systems=_news_systems(),
        answer="On test, student-reason can stand in for the teacher at a margin of 2.0 points. "
        "On wild and hard it cannot.",
        verdicts=_news_verdicts(),
        comparisons=_news_comparisons(),
        dividends=[_news_dividend(split) for split in SPLITS],
        break_even=[
            BreakEven(
                student="student-reason",
                rows_low=3400,
                rows_high=9100,
                sentence="student-reason has paid for its labels and its training after 3,400 to "
                "9,100 rows.",
            )
        ],
        slices=_news_slices(),
        leakage=Leakage(
            looked_at=360,
            found={"wild": 0, "hard": 0, "test": 2},
            closest=[
                Leak(
                    split="test",
                    example="00000000000000a1",
                    other_split="train",
                    other="00000000000000b2",
                    similarity=0.84,
                )
            ],
        ),
        learning=LearningCurve(
            points=[
                LearningPoint(
                    system=name,
                    split=split,
                    against="gold",
                    labels=labels,
                    right=score(top - 40 / labels, 0.05),
                )
                for name, top in (("tfidf", 0.8), ("label", 0.9))
                for split in ("hard", "test")
                for labels in (150, 300, 600, 1200)
            ],
            sentence="From 600 to 1,200 labels tfidf gained 3.3 points on test.",
        ),
        rows=ShownRows(
            rows=[
                _news_row("wild", 1, "disagreement"),
                _news_row("hard", 2, "error"),
                *(_news_row("test", number, "sample") for number in range(3, 15)),
            ],
            total=360,
            of={"disagreement": 58, "error": 19, "sample": 283},
        ),
        notes=[
            "row_exact is the share of whole answers right; a failed row is wrong.",
            "Intervals are at 95 %, rows resampled; they do not cover the choice of seed.",
        ],
        provenance=Provenance(
            commands=["understudy evaluate --task examples/news/task.py:task"],
            versions={"python": "3.12.3", "torch": "2.8.0", "understudy": "0.1.0"},
            hashes={"teacher's words": "7f4cf7a40ff2b2a1", "answers": "91d2a0e1b52cc0de"},
        ),
        curves=[
            Curves(
                name="student-reason",
                losses=[(float(at), 2.4 * 0.97**at) for at in range(0, 120, 3)],
                validation_losses=[(30.0, 0.9), (60.0, 0.6), (119.0, 0.55)],
                agreements=[(30.0, 0.61), (60.0, 0.72), (119.0, 0.79)],
            )
        ],
    )


def _news_systems() -> list[SystemResult]:
    cited = Rationales(
        rows=118,
        supports=score(0.91, 0.05, n=118),
        cue_in_text=score(0.964, 0.021, n=331),
        overlap=score(0.71, 0.04, n=118),
        words=34.2,
    )
    calls = Effort(
        seconds_median=2.31,
        seconds_p95=5.62,
        rows_per_second=3.4,
        input_tokens=811.0,
        output_tokens=104.3,
        cost=2.4563,
        cost_basis="prices of the calls",
    )
    return [
        system(
            "teacher",
            "teacher",
            (0.914, 0.887, 0.972),
            rationales=cited.model_copy(update={"supports": None, "overlap": None}),
            teacher=None,
            target="reason_label",
            strategy="zero_shot",
            model="openai:gpt-4.1",
            description="the teacher: its labels are what the others learn from",
            effort=calls,
            errors=2,
            valid=score(0.983, 0.02, n=120),
        ),
        system(
            "teacher few_shot",
            "teacher",
            (0.921, 0.891, 0.974),
            target="reason_label",
            strategy="few_shot",
            model="openai:gpt-4.1",
            description="the teacher's model under the strategy few_shot",
            effort=calls.model_copy(update={"cost": 4.1, "input_tokens": 1604.0}),
        ),
        *(
            system(
                f"student-reason-{seed}",
                "student",
                (0.781 - seed / 100, 0.743, 0.944 + seed / 200),
                rationales=cited,
                confidence=confidence(),
                target="reason_label",
                arm="student-reason",
                seed=seed,
                model=f"runs/student-reason-{seed}",
                description="a student trained on the teacher's reasoning and labels",
                training={"seconds": 301.0, "rows": 1200.0, "usd": 0.12},
                learnt=True,
            )
            for seed in (0, 1)
        ),
        system(
            "student-label",
            "student",
            (0.739, 0.624, 0.951),
            confidence=confidence(),
            seed=0,
            model="runs/student-label",
            description="a student trained on the teacher's labels alone",
            training={"seconds": 190.0, "rows": 1200.0},
            learnt=False,
        ),
        system("tfidf", "baseline", (0.58, 0.381, 0.833), effort=Effort(seconds_median=0.0004)),
        system("base", "base", (0.122, 0.094, 0.111), errors=17, valid=score(0.858, n=120)),
        system("majority", "baseline", (0.203, 0.197, 0.211), effort=Effort()),
    ]


def verdict(student: str, split: str, difference: Score, word: Any, **other: Any) -> SwapVerdict:
    """One student on one split at a margin of two points."""
    facts: dict[str, Any] = {
        "teacher": "teacher",
        "against": "gold",
        "margin": 2.0,
        "numbers": [
            ("student minus teacher", "-0.3 points [-1.6, +1.1]"),
            ("accuracy", "student 83.3 %, teacher 91.9 %"),
            ("agreement with the teacher", "81.2 % of 96.1 %"),
            ("cost", "1/558 of the teacher's"),
        ],
        "sentence": f"On {split}, {student} at a margin of 2.0 points: {word}.",
    }
    return SwapVerdict(
        student=student, split=split, difference=difference, verdict=word, **{**facts, **other}
    )


def _news_verdicts() -> list[SwapVerdict]:
    return [
        verdict("student-reason-0", "wild", points(-13.1, -18.0, -8.4), "not supported"),
        verdict("student-reason-0", "hard", points(-14.4, -19.9, -9.1), "not supported"),
        verdict("student-reason-0", "test", points(-0.3, -1.6, 1.1), "supported"),
        verdict(
            "student-reason-1", "test", points(-0.8, -2.9, 1.4), "not enough rows", rows_needed=410
        ),
        verdict("student-label", "test", UNSCORED, "not measurable", numbers=[]),
    ]


def comparison(first: str, second: str, split: str, found: Score, **other: Any) -> Comparison:
    """Two systems on one split against gold."""
    better = "is better" if (found.low or 0) > 0 else "shows no difference"
    facts: dict[str, Any] = {
        "against": "gold",
        "only_first": 30 + round(found.value or 0),
        "only_second": 30,
        "p": 0.031,
        "p_holm": 0.124,
        "detectable": 7.9,
        "sentence": f"On {split}, {first} {better}: {found.value or 0:+.1f} points.",
    }
    return Comparison(first=first, second=second, split=split, points=found, **{**facts, **other})


def _news_comparisons() -> list[Comparison]:
    return [
        comparison("student-reason-0", "student-label", "wild", points(4.2, 0.3, 8.3)),
        comparison("student-reason-0", "student-label", "hard", points(11.9, 7.2, 16.7), p=4e-6),
        comparison("student-reason-0", "student-label", "test", points(-0.6, -2.5, 1.4)),
        comparison("student-reason-0", "tfidf", "hard", points(36.2, 29.1, 43.0), p=1e-16),
        comparison(
            "student-label", "majority", "test", UNSCORED, p=None, p_holm=None, detectable=None
        ),
    ]


def _news_dividend(split: str) -> Dividend:
    gain = {"wild": points(4.2, 0.3, 8.3), "hard": points(11.9, 7.2, 16.7)}
    return Dividend(
        base="embedded",
        rows="5b1d6a0f3c2e4d71",
        split=split,
        arms=[
            DividendArm(
                target="label",
                systems=["student-label"],
                seeds=[0],
                right=score(0.71, 0.06),
                learnt=True,
            ),
            DividendArm(
                target="reason_label",
                systems=["student-reason-0", "student-reason-1"],
                seeds=[0, 1],
                right=score(0.75, 0.06),
                seed_spread=1.7,
                gain=gain.get(split, points(-0.6, -2.5, 1.4)),
                p=0.034,
                p_holm=0.068,
                extra_tokens=37.7,
                extra_milliseconds=61.0,
                usd_per_extra_right=0.021,
                learnt=True,
            ),
            DividendArm(target="multitask", systems=[], seeds=[], right=UNSCORED),
        ],
        detectable=7.4,
        learnt=True,
        sentence=f"On {split}, learning the reasoning first is worth "
        f"{gain.get(split, points(-0.6, 0, 0)).value:+.1f} points.",
    )


def _news_slices() -> list[Slice]:
    names = ("teacher", "student-reason-0", "student-label", "tfidf")
    return [
        Slice(
            split=split,
            by=by,
            value=value,
            rows=rows,
            right={
                name: score(0.9 - 0.09 * at - rows / 4000, 0.08, n=rows)
                for at, name in enumerate(names)
            },
        )
        for split in SPLITS
        for by, value, rows in (
            ("f1.emocao", "Medo", 31),
            ("f1.emocao", "Neutro", 44),
            ("length", "longest quarter", 30),
        )
    ]


def _news_row(split: str, number: int, why: Any) -> ShownRow:
    def reading(*emotions: str) -> dict[str, Any]:
        return {
            f"f{at}": {"polaridade": "Negativo", "emocao": emotion}
            for at, emotion in enumerate(emotions, 1)
        }

    return ShownRow(
        split=split,
        example=f"{number:016x}",
        why=why,
        inputs={
            "f1": "Apesar do otimismo do governo, lojistas temem a alta dos juros.",
            "f2": "A diretoria divulgou sem alarme o atraso na obra da refinaria.",
            "f3": f"Sindicatos protestaram {number} vezes contra o corte de vagas na montadora.",
        },
        gold=reading("Medo", "Neutro", "Raiva"),
        answers={
            "teacher": reading("Medo", "Neutro", "Raiva"),
            "student-reason-0": reading("Medo", "Medo", "Raiva"),
            "student-label": None,
        },
        reasonings={
            "teacher": "f1: ressalva otimismo, pista temem indica Medo; f2: pista alarme negada",
            "student-reason-0": "f1: pista temem indica Medo; f2: pista alarme indica Medo",
        },
        errors={"student-label": "the answer is no JSON: Expecting value"},
        right={"teacher": True, "student-reason-0": False, "student-label": False},
        confidence={"student-reason-0": 0.41},
    )


def hostile_report() -> Report:
    """Every text of a report is an attack, very long, or written from right to left."""
    label = LabelResult(
        accuracy=score(0.5),
        macro_f1=UNSCORED,
        classes={
            HOSTILE: ClassResult(precision=0.5, recall=0.5, f1=0.5, support=4),
            LONG_WORD: ClassResult(precision=None, recall=None, f1=None, support=0),
        },
        confusion={HOSTILE: {HOSTILE: 3, LONG_WORD: 1}, LONG_WORD: {ARABIC: 2}},
    )
    found = correctness(0.5, labels={HOSTILE: label}, fields={HOSTILE: score(0.4)})
    names = (HOSTILE, LONG_WORD, ARABIC)
    systems = [
        SystemResult(
            name=name,
            role='"><b>role',
            model=HOSTILE,
            target=HOSTILE,
            strategy=HOSTILE,
            arm=name,
            run=HOSTILE,
            description=LONG_WORD,
            splits={HOSTILE: measured(0.5, gold=found, effort=Effort(cost=1, cost_basis=HOSTILE))},
        )
        for name in names
    ]
    return Report(
        task=HOSTILE,
        created=HOSTILE,
        reference=HOSTILE,
        margin=2.0,
        splits=[SplitNote(name=HOSTILE, rows=120, with_gold=1, sentence=HOSTILE)],
        systems=systems,
        answer=HOSTILE,
        verdicts=[
            verdict(
                LONG_WORD,
                HOSTILE,
                points(1, -1, 3),
                "supported",
                numbers=[(HOSTILE, ARABIC), (LONG_WORD, HOSTILE)],
                sentence=HOSTILE,
            )
        ],
        comparisons=[
            comparison(LONG_WORD, HOSTILE, HOSTILE, points(0.4, -30, 30), sentence=HOSTILE)
        ],
        dividends=[
            Dividend(
                base=HOSTILE,
                rows=HOSTILE,
                split=HOSTILE,
                arms=[
                    DividendArm(target=HOSTILE, systems=[ARABIC], seeds=[1], right=score(0.5)),
                    DividendArm(
                        target=LONG_WORD, systems=[HOSTILE], seeds=[1], right=UNSCORED, learnt=False
                    ),
                ],
                learnt=False,
                sentence=HOSTILE,
            )
        ],
        break_even=[
            BreakEven(student=HOSTILE, rows_low=None, rows_high=None, sentence=HOSTILE),
        ],
        slices=[
            Slice(split=HOSTILE, by=HOSTILE, value=HOSTILE, rows=3, right={HOSTILE: score(0.5)})
        ],
        leakage=Leakage(
            looked_at=1,
            found={HOSTILE: 1},
            closest=[
                Leak(
                    split=HOSTILE, example=HOSTILE, other_split=HOSTILE, other=ARABIC, similarity=1
                )
            ],
        ),
        learning=LearningCurve(
            points=[
                LearningPoint(
                    system=HOSTILE, split=HOSTILE, against="gold", labels=9, right=score(0.4)
                )
            ],
            sentence=HOSTILE,
        ),
        rows=ShownRows(rows=[_hostile_row()], total=120, of={"error": 120}),
        notes=[HOSTILE, LONG_WORD, ARABIC],
        provenance=Provenance(
            commands=[HOSTILE],
            asked=[
                Asked(
                    **dict.fromkeys(("system", "run", "first", "last"), HOSTILE),
                    **dict.fromkeys(("folder", "trained"), HOSTILE),
                    training={"recipe": HOSTILE, "epochs": 4.0},
                )
            ],
            versions={HOSTILE: HOSTILE, LONG_WORD: ARABIC},
            hashes={HOSTILE: HOSTILE},
        ),
        curves=[
            Curves(name=HOSTILE, losses=[(0, 1), (1, 0.5)], validation_losses=[], agreements=[])
        ],
    )


def _hostile_row() -> ShownRow:
    return ShownRow(
        split=HOSTILE,
        example=HOSTILE,
        why="error",
        inputs={
            HOSTILE: HOSTILE * 22,
            LONG_WORD: LONG_WORD * 8,
            "rtl": ARABIC,
            "lines": "a\n# b\n</script><!--",
        },
        gold={HOSTILE: {HOSTILE: HOSTILE}, "list": [1, None, HOSTILE]},
        answers={HOSTILE: {HOSTILE: LONG_WORD}, LONG_WORD: None, ARABIC: {}},
        reasonings={HOSTILE: HOSTILE, ARABIC: ARABIC},
        errors={LONG_WORD: HOSTILE},
        right={HOSTILE: True, LONG_WORD: False, ARABIC: None},
        confidence={HOSTILE: 0.5},
    )


def extraction_report() -> Report:
    """One system, no labels, fields with comparators; split wild has neither gold nor teacher."""
    invoice = measured(
        0.61,
        gold=correctness(0.61, labels={}, fields={"total": score(0.93), "date": UNSCORED}),
        teacher=None,
    )
    bare = Measured(rows=40, errors=0, valid=score(1.0, 0.08, n=40))
    only = SystemResult(
        name="student",
        role="student",
        model="runs/student",
        target="label",
        strategy="answer",
        arm="student",
        run="f" * 16,
        description="the only one",
        splits={"test": invoice, "wild": bare},
    )
    return Report(
        task="invoices",
        created="2026-03-01",
        reference=None,
        margin=2.0,
        splits=[
            SplitNote(name="wild", rows=40, with_gold=0, sentence="Invoices without gold."),
            SplitNote(name="test", rows=120, with_gold=120, sentence="Invoices with gold."),
        ],
        systems=[only],
        answer="Whether a student can stand in is not measurable: the teacher answered no row.",
        verdicts=[],
        comparisons=[],
        dividends=[],
        break_even=[],
        slices=[],
        rows=ShownRows(rows=[_silent_row()], total=160, of={"sample": 160}),
        notes=[],
        provenance=Provenance(commands=[], versions={}, hashes={}),
    )


def _silent_row() -> ShownRow:
    """As under --no-text."""
    return ShownRow(
        split="test",
        example="0" * 16,
        why="sample",
        inputs=None,
        gold=None,
        answers={"student": {"total": 12.5, "date": "2026-01-31"}},
        reasonings=None,
        right={"student": None},
    )


def empty_report() -> Report:
    """Nothing at all: no split, no system."""
    return Report(
        task="nothing",
        created="",
        reference=None,
        margin=2.0,
        splits=[],
        systems=[],
        answer="",
        verdicts=[],
        comparisons=[],
        dividends=[],
        break_even=[],
        slices=[],
        rows=ShownRows(rows=[], total=0, of={}),
        notes=[],
        provenance=Provenance(commands=[], versions={}, hashes={}),
    )


REPORTS = {
    "news": news_report,
    "hostile": hostile_report,
    "extraction": extraction_report,
    "empty": empty_report,
}
