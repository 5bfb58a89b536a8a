"""The system `notebook`: a student as the course's notebook serves it, for comparison.

The merged model in LangChain's HuggingFacePipeline, held to nothing, read by PydanticOutputParser:
its share of valid answers is what a grammar is worth.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel

from ...chains.student.card import StudentCard, read_card
from ...chains.student.rendering import prefix_of, prompt_text
from ...chains.student.weights import weights_sha256
from ...chains.task import Task, Thought
from ...store.rows import Run
from ..runs import NOTEBOOK, describe_run
from ..training.merging import merge

_LONGEST = 512  # tokens of an answer that nothing ends


def notebook_run(task: Task, student: Path) -> Run:
    """The Run of the student in this run folder, served so."""
    card = read_card(student)
    return describe_run(
        task,
        role="baseline",
        name=NOTEBOOK,
        model=card.name,
        target=card.target,
        parameters={"sha256": weights_sha256(str(student))},
    )


def notebook_chain(task: Task, student: Path) -> Runnable[dict[str, Any], Thought]:
    """Greedy, in the student's own words; an answer that does not parse raises.

    In its best form: the prompt is rendered once, and no second beginning-of-sequence is put
    before it. Needs langchain-huggingface. Raises StudentError.
    """
    from langchain_huggingface import HuggingFacePipeline

    card = read_card(student)
    card.check(task)
    with tempfile.TemporaryDirectory() as folder:
        merge(student, Path(folder) / "merged")
        written = _pipeline(Path(folder) / "merged")
    tokenizer, prefix = written.tokenizer, prefix_of(card.target)

    def rendered(said: PromptValue) -> str:
        return prompt_text(tokenizer, said.to_messages(), prefix=prefix)

    parser: PydanticOutputParser[BaseModel] = PydanticOutputParser(
        pydantic_object=task.answer_model(_reasons(task, card))
    )

    def thought(answer: BaseModel) -> Thought:
        return task.thought(answer.model_dump(mode="json", exclude_unset=True))

    model = HuggingFacePipeline(pipeline=written)
    chain = task.student_prompt | RunnableLambda(rendered) | model | parser | thought
    return chain.with_types(input_type=dict[str, Any], output_type=Thought)


def _reasons(task: Task, card: StudentCard) -> bool:
    return task.reasoning is not None and card.target == "reason_label"


def _pipeline(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, **options
    )
    return pipeline(
        "text-generation",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(folder, **options),
        return_full_text=False,
        add_special_tokens=False,
        max_new_tokens=_LONGEST,
        do_sample=False,
    )
