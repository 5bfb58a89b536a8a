"""What every command's help ends with: a line or two that can be typed as they stand."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "accelerate-config": ("understudy accelerate-config cpu > cpu.yaml",),
    "adopt": ("understudy adopt theirs/adapter --task task.py:task --store app.db",),
    "calibrate": (
        "understudy calibrate --run runs/label --task task.py:task --store app.db",
        "understudy calibrate --run runs/label --agreement 0.95 --json",
        "understudy calibrate --run openai:gpt-4o-mini --store app.db --dry-run",
    ),
    "curate": (
        "understudy curate --store app.db",
        "understudy curate --store app.db --exclude near_duplicate --dry-run",
    ),
    "demo": ("understudy demo --folder demo",),
    "distill": (
        "understudy distill --task task.py:task --data rows.csv --teacher offline",
        "understudy distill --teacher openai:gpt-6.1-terra --store app.db --plan",
    ),
    "doctor": ("understudy doctor",),
    "evaluate": (
        "understudy evaluate --task task.py:task --store app.db --run runs/label",
        "understudy evaluate --gate 'student.accuracy >= 0.9 on test'",
    ),
    "export": (
        "understudy export --run teacher --store app.db rows.csv --format csv",
        "understudy export --run teacher --format trl --target label chats.jsonl",
    ),
    "forget": (
        "understudy forget 17 --store app.db --dry-run",
        "understudy forget --keep-days 90 --store app.db --yes",
    ),
    "import": (
        "understudy import rows.csv --task task.py:task --store app.db --preview",
        "understudy import chats.jsonl --format openai --model gpt-4o --store app.db",
    ),
    "import-labels": ("understudy import-labels outputs.jsonl --model gpt-4 --store app.db",),
    "merge": ("understudy merge runs/label merged --store app.db",),
    "mode": (
        "understudy mode orders --store app.db",
        "understudy mode orders cascade --agreement 0.97 --store app.db",
    ),
    "push": ("understudy push runs/label user/orders-student --dry-run",),
    "report": ("understudy report --task task.py:task --store app.db --out report",),
    "review": ("understudy review --store app.db --reviewer ana --limit 50",),
    "serve": (
        "understudy serve runs/label --port 8000",
        "understudy serve gpt-6.1-terra=runs/label runs/reason_label",
    ),
    "status": ("understudy status --store app.db", "understudy status orders --json"),
    "store backup": ("understudy store backup copy.db --store app.db",),
    "store datasette": ("understudy store datasette app.db",),
    "store search": ("understudy store search 'lucro recor*' --store app.db --limit 5",),
    "store stats": ("understudy store stats --store app.db --json",),
    "store terms": (
        "understudy store terms --store app.db",
        "understudy store terms gpt-4o --note 'read by Ana, may train' --store app.db",
    ),
    "store vacuum": ("understudy store vacuum --store app.db",),
    "store verify": ("understudy store verify --store app.db",),
    "train": (
        "understudy train --task task.py:task --store app.db --target label --plan",
        "understudy train --student Qwen/Qwen3-0.6B --store app.db --out runs/label",
    ),
    "watch": ("understudy watch orders --store app.db --once",),
    "why": ("understudy why 17 --store app.db",),
}


def epilog(name: str) -> str | None:
    """The end of a command's help; None for a command that has no example."""
    lines = EXAMPLES.get(name)
    if not lines:
        return None
    head = "Example:" if len(lines) == 1 else "Examples:"
    return "\n\n".join((head, *lines))  # typer joins lines that no empty one parts
