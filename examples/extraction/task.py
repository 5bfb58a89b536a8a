"""The extraction task: what a short order e-mail asks for, as fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict, Field

from understudy.chains import Task
from understudy.examples.extraction.teacher import OrderTeacher


class Order(BaseModel):
    """What one e-mail orders."""

    # Every text and list is bounded, so constrained decoding always ends.
    model_config = ConfigDict(extra="forbid")

    reasoning: str = Field(max_length=200, description="One line: which words decide each field.")
    customer: str = Field(max_length=40)
    product: str = Field(max_length=40)
    quantity: int = Field(ge=1, le=999)
    extras: list[Annotated[str, Field(max_length=30)]] = Field(max_length=3)
    delivery_note: str | None = Field(max_length=60)


SYSTEM = """\
You read short order e-mails. Think step by step, then fill in the order.
- customer: who the order is for, as written. Somebody may write on their behalf.
- product: as written, without quantity or container ("two jars of green olives": green olives).
- quantity: the number ordered now; after a correction, the corrected one. "a" is 1.
- extras: what comes along with the product, each without article; [] if nothing is wanted.
- delivery_note: the instruction for the driver, as written, without "please"; null if none.
- reasoning: one line of at most 200 characters that quotes the deciding words.

Example:
text: Hi, Ana Ruiz here. I'd like two oak stools with felt pads. Please ring twice.
{{"reasoning":"named \\"Ana Ruiz\\"; \\"two\\" is 2; extras after \\"with\\"; delivery \
word \\"ring\\"","customer":"Ana Ruiz","product":"oak stools","quantity":2,\
"extras":["felt pads"],"delivery_note":"ring twice"}}"""

task = Task(
    name="orders",
    schema=Order,
    reasoning="reasoning",
    prompt=ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "text: {text}")]),
    student_prompt=ChatPromptTemplate.from_messages([("human", "Read the order.\ntext: {text}")]),
    comparators={"delivery_note": "token_f1"},
    cue=r'"([^"]+)"',
    splits={"test": "Synthetic e-mails drawn like the training rows; no text is in two splits."},
)

teacher = OrderTeacher()
data = Path(__file__).with_name("orders.csv")
