"""One model in LangChain, three ways: ChatHuggingFace, a batching pipeline, and ChatStudent.

    python -m benchmarks.student_speed [--quick]

All serve the embedded base on the sample task's prompts, greedily, on as many tokens. The fair
rival is the transformers pipeline set up to batch (HuggingFacePipeline.batch with both batch sizes
set); ChatHuggingFace over that same pipeline is what LangChain offers as a chat model, and asks it
row by row. Neither is held to the schema; ChatStudent is. Rows per second of processor time, in one
process. The last line is one JSON object: {"rows": .., "pipeline": .., "chat": .., "student": ..,
"ratio": student to pipeline, "ratio_chat": .., "valid": {"pipeline": .., "student": ..}}.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage

from understudy.chains import ChatStudent
from understudy.chains.student.weights import base_folder
from understudy.chains.task import TaskError
from understudy.examples.news.generate import news_rows
from understudy.examples.news.task import task


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows")
    rows = 32 if parser.parse_args().quick else 240
    prompts = [
        task.student_prompt.format_messages(f1=row.f1, f2=row.f2, f3=row.f3)
        for row in news_rows(0)
        if row.split == "test"
    ][:rows]
    student = ChatStudent(model="embedded").with_structured_output(
        task.json_schema("label"), include_raw=True
    )
    answers, student_speed = _timed(lambda: student.batch(prompts), rows)
    replies: list[AIMessage] = [answer["raw"] for answer in answers]
    tokens = [reply.usage_metadata["output_tokens"] for reply in replies if reply.usage_metadata]
    model, chat = _rivals(tokens=round(sum(tokens) / rows))
    texts = [chat._to_chat_prompt(prompt) for prompt in prompts]
    outputs, pipeline_speed = _timed(lambda: model.batch(texts), rows)
    few = prompts[: max(8, rows // 8)]
    _, chat_speed = _timed(lambda: chat.batch(few), len(few))
    figures = {
        "rows": rows,
        "pipeline": round(pipeline_speed, 2),
        "chat": round(chat_speed, 2),
        "student": round(student_speed, 2),
        "ratio": round(student_speed / pipeline_speed, 2),
        "ratio_chat": round(student_speed / chat_speed, 2),
        "valid": {
            "pipeline": sum(map(_valid, outputs)) / rows,
            "student": sum(_valid(str(reply.text)) for reply in replies) / rows,
        },
    }
    for name in ("pipeline", "chat", "student"):
        print(f"{name:10} {figures[name]:8.1f} rows per processor second")
    print(json.dumps(figures))


def _rivals(*, tokens: int) -> tuple[Any, Any]:
    """The same weights behind langchain-huggingface: the batching pipeline, and as a chat model."""
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    folder = str(base_folder("embedded"))
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    generate = pipeline(
        "text-generation",
        model=AutoModelForCausalLM.from_pretrained(folder),
        tokenizer=tokenizer,
        batch_size=16,
        return_full_text=False,
        do_sample=False,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
    )
    model = HuggingFacePipeline(pipeline=generate, batch_size=16)
    return model, ChatHuggingFace(llm=model, tokenizer=tokenizer)


def _timed(work: Callable[[], Any], rows: int) -> tuple[Any, float]:
    """What `work` gives the second time, and its rows per processor second: warm caches."""
    work()
    start = time.process_time()
    result = work()
    return result, rows / (time.process_time() - start)


def _valid(text: str) -> bool:
    try:
        task.thought(json.loads(text))
    except (ValueError, TaskError):
        return False
    return True


if __name__ == "__main__":
    main()
