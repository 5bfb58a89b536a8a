"""Whatever a model writes is an answer: random walks over the allowed tokens, read by pydantic.

    python -m benchmarks.soundness [--quick]

1,000 walks over 20 schemas with the embedded base's tokenizer. A walk takes any of the tokens that
the grammar allows, each as likely as the next, as the worst of models would, with some limit on
tokens between the smallest and 400 more; the engine's own rows write them. Seeds are fixed. The
last line is one JSON object: {"walks": .., "parsed": ..}.
"""

from __future__ import annotations

import argparse
import datetime
import enum
import ipaddress
import json
import random
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from understudy.chains.student.grammar import Compiler
from understudy.chains.student.row import Request, Row
from understudy.chains.student.weights import base_folder, load_tokenizer
from understudy.examples.news.task import task


class Tone(enum.Enum):
    """Classes with quotes, accents, an emoji and a backslash."""

    QUOTED = 'o "melhor"'
    ACCENTED = "Emoção"
    EMOJI = "😀"
    SLASHED = "a\\b"


class Prefixes(BaseModel):
    """Classes that begin alike, as texts and as numbers."""

    place: Literal["new", "new york", "news", "York"]
    level: Literal[1, 10, 12, 2]
    sure: bool | None


class Bounded(BaseModel):
    """Texts with limits."""

    short: str = Field(max_length=5)
    between: str = Field(min_length=3, max_length=9)
    empty: Literal[""] | str = Field(max_length=2)


class Numbers(BaseModel):
    """Numbers with and without bounds."""

    any_count: int
    count: int = Field(ge=0, le=500)
    above: int = Field(gt=-7, lt=1000)
    share: float = Field(ge=0, le=1)
    price: float
    tens: int = Field(multiple_of=10)


class Moments(BaseModel):
    """Dates, times, and how long."""

    day: datetime.date
    at: datetime.datetime
    hour: datetime.time
    took: datetime.timedelta


class Lacking(BaseModel):
    """Fields that may be left out or be null."""

    name: str | None = Field(max_length=6)
    note: str | None = None
    tone: Tone | None = None
    tags: list[Tone] = Field(default=[], max_length=3)


class Nested(BaseModel):
    """Lists of lists of records."""

    rows: list[list[Prefixes]] = Field(max_length=2)
    pairs: list[tuple[int, str]] = Field(min_length=1, max_length=2)


class Cat(BaseModel):
    """One side of a union."""

    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    """The other."""

    kind: Literal["dog"]
    name: str = Field(max_length=9)


class Pets(BaseModel):
    """Unions that a field tells apart, and one that nothing does."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    other: Cat | Dog | int | None


class Tree(BaseModel):
    """A schema that refers to itself."""

    name: str = Field(max_length=4)
    tone: Tone
    children: list[Tree] = []


class Closed(BaseModel):
    """Names with accents and spaces, nothing beside them."""

    model_config = ConfigDict(extra="forbid")

    ação: Literal["sim", "não"]
    other: int = Field(alias='um "outro" nome')


class Patterned(BaseModel):
    """Texts of a form."""

    code: str = Field(pattern=r"^[A-Z]{2}-\d{4}$")
    mail: str = Field(pattern=r"^\w+@\w+\.(com|org)$")
    has_digit: str = Field(pattern=r"[0-9]")


class Named(BaseModel):
    """Formats."""

    key: uuid.UUID
    four: ipaddress.IPv4Address
    six: ipaddress.IPv6Address


SCHEMAS: dict[str, Any] = {
    "the sample task": task.schema,
    "prefixes": Prefixes,
    "bounded texts": Bounded,
    "numbers": Numbers,
    "moments": Moments,
    "optional": Lacking,
    "nested": Nested,
    "unions": Pets,
    "a tree": Tree,
    "closed": Closed,
    "patterns": Patterned,
    "formats": Named,
    "an enum": Tone,
    "a text": str,
    "a list of texts": list[str],
    "any names": dict[str, int],
    "names of lists": dict[str, list[bool]],
    "booleans": list[bool | None],
    "a tuple": tuple[Tone, int, bool],
    "anything": Any,
}


def main() -> None:
    """Parse, walk, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 walks for each schema, not 50")
    count = 3 if parser.parse_args().quick else 50
    tokenizer = load_tokenizer(base_folder("embedded"), "embedded")
    ends = [tokenizer.eos_token_id]
    compiler = Compiler(tokenizer, vocabulary=len(tokenizer), end_tokens=ends)
    figures = {"walks": 0, "parsed": 0}
    for name, shape in SCHEMAS.items():
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        texts = [walk(compiler, adapter.json_schema(), seed=seed) for seed in range(count)]
        parsed = sum(_parses(adapter, text) for text in texts)
        print(f"{name:16} {parsed:4} of {count}   {min(texts, key=len)[:60]}", flush=True)
        figures["walks"] += count
        figures["parsed"] += parsed
    print(json.dumps(figures))


def walk(compiler: Compiler, schema: dict[str, Any], *, seed: int) -> str:
    """What a row writes when each of its tokens is drawn evenly from those that are allowed."""
    chance = random.Random(seed)
    grammar = compiler.compile(schema)
    limit = len(grammar.plan) + chance.choice((0, 3, 20, 100, 400))
    request = Request((compiler.end,), grammar, limit, 0.0, seed)
    row = Row(request, 0, compiler)
    while row.finish is None:
        allowed = row.options or compiler.masks([row.matcher])[0].nonzero()[0].tolist()
        token = chance.choice(allowed)
        token = token if token == compiler.end else row.guard(token)
        row.write(token, 1.0, end=token == compiler.end)
    row.resolve()
    return request.future.result(timeout=0).text


def _parses(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_json(text)
    except ValidationError as error:
        print(error)
        return False
    return True


if __name__ == "__main__":
    main()
