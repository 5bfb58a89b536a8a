"""What a run folder says of its student: a card for programs, a README.md for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...chains.student.card import StudentCard, read_card, write_card
from ...chains.student.rendering import prefix_of
from ...chains.student.weights import EMBEDDED, base_folder
from ...chains.task import Target, Task, prompt_words
from ...store.provenance import add_training, terms_of
from ...store.rows import Run, Training
from ...store.store import Store
from ..runs import now
from .dataset import TrainingRow

MODEL_CARD = "README.md"
_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>#|&"})


def write_cards(
    task: Task, folder: Path, *, base: str, target: Target, training: dict[str, Any]
) -> None:
    """Write both; a README.md that somebody has put there stays, and the card comes last."""
    card = student_card(task, folder, base=base, target=target, training=training)
    if not (folder / MODEL_CARD).exists():
        (folder / MODEL_CARD).write_text(model_card(card), encoding="utf-8")
    write_card(folder, card)


def student_card(
    task: Task, folder: Path, *, base: str, target: Target, training: dict[str, Any]
) -> StudentCard:
    """The card of a student in `folder`; it is called as the folder is."""
    return StudentCard(
        name=folder.resolve().name,
        task=task.name,
        target=target,
        base=base_name(base),
        base_revision=base_revision(base),
        base_sha256=training["base_sha256"],
        words=task.student_words,
        answers=task.answers,
        prompt=prompt_words(task.student_prompt),
        answer_schema=task.json_schema(target),
        reasoning=task.reasoning,
        training=training,
    )


def terms_fact(store: Store, teacher: Run) -> dict[str, Any]:
    """The card's fact `teacher_terms`: what was noted of the teacher's terms, or None."""
    terms = terms_of(store, teacher.model)
    return {"teacher_terms": terms.model_dump() if terms else None}


def remember_training(
    store: Store, folder: Path, settings: Mapping[str, Any], rows: Iterable[TrainingRow]
) -> None:
    """Store which records taught the finished student in `folder`."""
    card = read_card(folder)
    training = Training(
        folder=str(folder.resolve()),
        name=card.name,
        base=card.base,
        run=settings["teacher_run"],
        created=now(),
        **{field: settings[field] for field in ("task", "target", "rows_sha256", "seed")},
    )
    add_training(store, training, (row.example for row in rows))


def base_name(base: str) -> str:
    """A folder by its whole path, so that the student serves from any working directory."""
    local = Path(base).expanduser()
    return str(local.resolve()) if base != EMBEDDED and local.exists() else base


def base_revision(base: str) -> str | None:
    """The commit of a base from the hub: its cache keeps each under snapshots/."""
    folder = base_folder(base)
    cached = folder.parent.name == "snapshots" and not Path(base).expanduser().exists()
    return folder.name if cached else None


def model_card(card: StudentCard) -> str:
    """The card as Markdown with a front matter; every text from outside is escaped."""
    facts = card.training
    terms = facts.get("teacher_terms")
    whole = facts.get("adapter") == "full"
    head = {
        "library_name": "transformers" if whole else "peft",
        "base_model": card.base,
        "tags": ["understudy", "distillation"],
    }
    lines = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in head.items()),  # JSON is YAML
        "---",
        "",
        f"# {_plain(card.name)}",
        "",
        f"A student for the task {_plain(card.task)}: "
        f"{'all weights of' if whole else 'an adapter over'} {_plain(card.base)}, "
        f"distilled from {_plain(facts['teacher_model'])}. It writes the target "
        f"{_plain(card.target)}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_plain(value)} |" for name, value in _table(card).items()),
        "",
        "## The teacher's terms",
        "",
        *_terms(str(facts["teacher_model"]), terms),
        "",
        *_asked(card),
        "`understudy.json` holds all facts: the prompt, the answer schema, losses and versions.",
        *_files(facts),
        "",
    ]
    return "\n".join(lines)


def _asked(card: StudentCard) -> list[str]:
    """How a student is asked whose prompt is not all that it is asked with."""
    prefix = prefix_of(card.target)
    said = "`understudy` says it by itself; who serves the student otherwise has to."
    return [f'It is asked with "{prefix}" before what the user says: {said}', ""] if prefix else []


def _table(card: StudentCard) -> dict[str, Any]:
    facts = card.training
    loss = _validation_loss(facts)
    left_out = sum(facts["left_out"].values())
    return {
        "base": f"{card.base} (sha256 {card.base_sha256[:16]})",
        "teacher": f"{facts['teacher_model']} (run {facts['teacher_run']})",
        "rows taught": f"{facts['rows']} (left out: {left_out})",
        **_recipe(facts),
        "epochs, steps": f"{facts['epochs']:g}, {facts['steps']}",
        "learning rate, batch size, seed": f"{facts['learning_rate']:g}, "
        f"{facts['batch_size']}, {facts['seed']}",
        "training loss, first and last step": f"{facts['first_loss']:.4f}, "
        f"{facts['last_loss']:.4f}",
        "validation loss": f"{loss:.4f} ({facts['validation_rows']} rows)"
        if loss is not None
        else "not measured: no validation rows",
        **_agreement(facts),
        "trained in": f"{facts['seconds']:.0f} s on {facts['device']}",
    }


def _validation_loss(facts: Mapping[str, Any]) -> float | None:
    """That of the adapter which was kept: the first that agreed most, or the last."""
    losses, agreed = facts["validation_losses"], facts.get("validation_agreements", ())
    if facts.get("best_step") is None:
        return losses[-1] if losses else None
    known = [(one, -place) for place, one in enumerate(agreed) if one is not None]
    return float(losses[-max(known)[1]])


def _recipe(facts: Mapping[str, Any]) -> dict[str, str]:
    """What was tuned, in which precision; nothing of a training of which that is not known."""
    if "recipe" not in facts:
        return {}
    base = {"nf4": "NF4", "int8": "8-bit", "none": "unquantised"}[facts["quantisation"]]
    how = (
        "all weights"
        if facts["adapter"] == "full"
        else f"LoRA of rank {facts['rank']}, alpha {facts['alpha']}, over the {base} base"
    )
    return {"recipe": f"{facts['recipe']}: {how}, {facts['precision']}"}


def _agreement(facts: Mapping[str, Any]) -> dict[str, str]:
    """How far it agrees with its teacher on validation rows, and what was chosen by that."""
    told = {}
    agreed = [one for one in facts.get("validation_agreements", ()) if one is not None]
    if agreed:
        step = facts.get("best_step")
        kept, which = (
            (max(agreed), f"kept: step {step}") if step else (agreed[-1], "kept: the last")
        )
        told["agreement with the teacher on validation rows"] = f"{100 * kept:.1f} % ({which})"
    if facts.get("sweep"):
        told["chosen from"] = f"{len(facts['sweep'])} trainings by that agreement (sweep.json)"
    return told


def _files(facts: Mapping[str, Any]) -> list[str]:
    if "recipe" not in facts:
        return []
    return ["`training.json` holds every parameter, `training_curves.svg` draws the losses."]


def _terms(teacher: str, terms: Mapping[str, Any] | None) -> list[str]:
    if terms is None:
        return [
            f"Nobody had noted what the provider of {_plain(teacher)} says on training with its "
            "outputs when this student was trained. Look it up before you pass the student on."
        ]
    told = [
        f"- {name}: {_plain(terms[key])}"
        for name, key in (("licence", "licence"), ("source", "source"), ("noted", "noted"))
        if terms[key]
    ]
    return [_plain(terms["note"]), "", *told]


def _plain(value: object) -> str:
    """One line in which Markdown and HTML have no meaning."""
    return " ".join(str(value).split()).translate(_SPECIAL)
