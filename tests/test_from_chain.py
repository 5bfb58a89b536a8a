"""A task read out of somebody's chain: what is seen through, what is rendered, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.example_selectors import LengthBasedExampleSelector
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import (
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
    StrOutputParser,
)
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr
from pydantic.v1 import BaseModel as OldModel

from understudy.chains import ChatStudent, Task, TaskError, Thought
from understudy.chains.conversation import conversation_text, messages_of
from understudy.chains.from_chain import app_chain
from understudy.chains.offline import NewsTeacher
from understudy.chains.schema_class import class_of_schema
from understudy.examples.news.task import Noticia
from understudy.examples.news.task import task as news

MOODS = Literal["good", "bad"]


class Verdict(BaseModel):
    """What is said of a text."""

    rationale: str
    mood: MOODS
    score: int = Field(ge=0, le=9)


class OldVerdict(OldModel):
    """The same in pydantic v1."""

    rationale: str
    mood: MOODS
    score: int


class DictVerdict(TypedDict):
    """The same as a dict."""

    rationale: str
    mood: MOODS
    score: int


JSON_VERDICT = {
    "title": "JsonVerdict",
    "type": "object",
    "properties": {
        "rationale": {"type": "string"},
        "mood": {"type": "string", "enum": ["good", "bad"]},
        "score": {"type": "integer", "minimum": 0},
    },
    "required": ["rationale", "mood", "score"],
}
SCHEMAS = [Verdict, OldVerdict, DictVerdict, JSON_VERDICT]
SAID = {"rationale": "it shines", "mood": "good", "score": 7}
PROMPT = ChatPromptTemplate.from_messages([("system", "Judge."), ("human", "{text} by {author}")])
OPENAI = ChatOpenAI(model="gpt-5-mini", api_key=SecretStr("sk-of-these-tests"))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    ("model", "method"),
    [
        (NewsTeacher(), "function_calling"),
        (OPENAI, "json_schema"),
        (OPENAI, "function_calling"),
        (OPENAI, "json_mode"),
    ],
)
@pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1")
def test_prompt_and_schema_are_read_out_of_structured_output(
    model: Any, method: str, schema: Any, raw: bool
) -> None:
    structured = model.with_structured_output(schema, method=method, include_raw=raw)
    app = app_chain(PROMPT | structured)

    assert app.task.inputs == ("author", "text")
    assert app.task.paths == ("mood", "score")
    assert app.task.labels == {"mood": ("good", "bad")}
    assert app.task.reasoning == "rationale"
    assert app.parts.model is model
    assert app.parts.raw is raw
    assert not app.rendered


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("raw", [False, True])
def test_an_answer_goes_to_the_task_and_back_into_the_apps_own_type(schema: Any, raw: bool) -> None:
    app = app_chain(PROMPT | NewsTeacher().with_structured_output(schema, include_raw=raw))
    own: Any = SAID
    if isinstance(schema, type) and hasattr(schema, "model_validate"):
        own = schema.model_validate(SAID)
    elif isinstance(schema, type) and hasattr(schema, "parse_obj"):
        own = schema.parse_obj(SAID)
    output = {"raw": AIMessage(""), "parsed": own, "parsing_error": None} if raw else own
    thought = app.thought(output)
    back = app.output(thought, reasoning=None, said=AIMessage("{}"))

    assert thought.reasoning == "it shines"
    assert app.task.answer_json(thought.answer) == {"mood": "good", "score": 7}
    parsed = back["parsed"] if raw else back
    assert type(parsed) is type(own)
    assert parsed == own


def test_a_students_own_structured_output_is_seen_through(tiny_base: Path) -> None:
    student = ChatStudent(model=str(tiny_base))
    for raw in (False, True):
        app = app_chain(PROMPT | student.with_structured_output(Verdict, include_raw=raw))
        assert app.task.schema is Verdict


def test_a_parser_behind_the_model_names_the_schema() -> None:
    for parser, data in (
        (PydanticOutputParser(pydantic_object=Verdict), False),
        (JsonOutputParser(pydantic_object=Verdict), True),
    ):
        app = app_chain(PROMPT | NewsTeacher() | parser)
        assert app.task.schema is Verdict
        assert app.parts.data is data
    read = PydanticOutputParser(pydantic_object=Verdict)
    assert app_chain(PROMPT | NewsTeacher() | StrOutputParser() | read).task.schema is Verdict
    assert app_chain(PROMPT | NewsTeacher() | JsonOutputParser(), schema=Verdict).parts.data


def test_retries_fallbacks_configs_and_nested_sequences_are_seen_through() -> None:
    structured = NewsTeacher().with_structured_output(Verdict)
    for chain in (
        PROMPT | structured.with_retry(),
        PROMPT | structured.with_fallbacks([structured]),
        (PROMPT | structured).with_config(tags=["mine"]),
        PROMPT.with_config(tags=["mine"]) | structured,
        (PROMPT | structured).with_retry().with_config(run_name="judge"),
    ):
        assert app_chain(chain).task.inputs == ("author", "text")


def test_the_task_is_the_one_that_would_be_written_by_hand() -> None:
    app = news.prompt | NewsTeacher().with_structured_output(Noticia)
    task = Task.from_chain(app, name=news.name, student_prompt=news.student_prompt)

    assert (task.teacher_words, task.student_words, task.answers) == (
        news.teacher_words,
        news.student_words,
        news.answers,
    )
    assert task.reasoning == "raciocinio"
    assert Task.from_chain(app).name == "noticia"
    assert Task.from_chain(app, reasoning=None).reasoning is None


def test_what_a_prompt_fills_in_by_itself_becomes_its_words() -> None:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Write {form} {{so}}."), ("human", "{text}")]
    ).partial(form='{"mood": "good"}')
    task = Task.from_chain(prompt | NewsTeacher().with_structured_output(Verdict))

    assert task.inputs == ("text",)
    assert task.prompt.invoke({"text": "a {b}"}) == prompt.invoke({"text": "a {b}"})


def test_fixed_few_shots_become_its_words() -> None:
    each = ChatPromptTemplate.from_messages([("human", "{q}"), ("ai", "{a}")])
    shots = FewShotChatMessagePromptTemplate(
        example_prompt=each, examples=[{"q": "it {rains}", "a": "bad"}]
    )
    prompt = ChatPromptTemplate.from_messages([("system", "Judge."), shots, ("human", "{text}")])
    task = Task.from_chain(prompt | NewsTeacher().with_structured_output(Verdict))

    assert task.inputs == ("text",)
    assert task.prompt.invoke({"text": "x"}) == prompt.invoke({"text": "x"})


def _selected() -> ChatPromptTemplate:
    each = ChatPromptTemplate.from_messages([("human", "{q}"), ("ai", "{a}")])
    selector = LengthBasedExampleSelector(
        examples=[{"q": "rain", "a": "bad"}],
        example_prompt=PromptTemplate.from_template("{q} {a}"),
    )
    shots = FewShotChatMessagePromptTemplate(
        example_prompt=each, example_selector=selector, input_variables=["text"]
    )
    return ChatPromptTemplate.from_messages([shots, ("human", "{text}")])


@pytest.mark.parametrize(
    ("prompt", "given", "text"),
    [
        (
            ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{text}")]),
            {"history": [("human", "hi"), ("ai", "hello")], "text": "x"},
            "User: hi\n\nAssistant: hello\n\nUser: x",
        ),
        (_selected(), {"text": "x"}, "User: rain\n\nAssistant: bad\n\nUser: x"),
        (
            ChatPromptTemplate.from_messages([("human", "{day}: {text}")]).partial(
                day=lambda: "Monday"
            ),
            {"text": "x"},
            "Monday: x",
        ),
        (ChatPromptTemplate.from_messages([("human", "{price:.2f}")]), {"price": 2.5}, "2.50"),
        (
            ChatPromptTemplate.from_messages([("human", "{{text}}")], template_format="mustache"),
            {"text": "x"},
            "x",
        ),
    ],
    ids=["history", "selected shots", "a function", "a format", "mustache"],
)
def test_what_is_no_plain_text_is_learnt_as_the_rendered_conversation(
    prompt: Any, given: dict[str, Any], text: str
) -> None:
    app = app_chain(prompt | NewsTeacher().with_structured_output(Verdict))

    assert app.rendered
    assert app.inputs(given) == {"messages": text}
    assert app.task.student_prompt.invoke({"messages": text}).to_messages() == [HumanMessage(text)]


def test_a_structured_model_alone_asks_the_messages_it_is_given() -> None:
    app = app_chain(NewsTeacher().with_structured_output(Verdict))
    rendered = PROMPT.invoke({"text": "a", "author": "b"})

    assert app.inputs(rendered) == {"messages": "System: Judge.\n\nUser: a by b"}
    assert app.inputs("just this") == {"messages": "just this"}
    assert app.inputs([("system", "s"), ("human", "h")]) == {"messages": "System: s\n\nUser: h"}


def test_calls_of_tools_are_written_and_thoughts_are_not() -> None:
    call: Any = {"name": "look", "args": {"q": "é"}, "id": "1", "type": "tool_call"}
    messages = [
        SystemMessage("s"),
        AIMessage([{"type": "thinking", "thinking": "hm"}, "well"], tool_calls=[call]),
        ToolMessage("found", tool_call_id="1"),
    ]
    text = 'System: s\n\nAssistant: well\nlook {"q": "é"}\n\nTool result: found'
    assert conversation_text(messages) == text


def test_images_are_refused_by_name() -> None:
    pictured = ChatPromptTemplate.from_messages(
        [("human", [{"type": "text", "text": "{text}"}, {"type": "image_url", "image_url": "{u}"}])]
    )
    structured = NewsTeacher().with_structured_output(Verdict)
    with pytest.raises(TaskError, match="ImagePromptTemplate; a student reads text only"):
        app_chain(pictured | structured)
    shown = HumanMessage([{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}])
    with pytest.raises(TaskError, match="part of type image_url"):
        app_chain(structured).inputs([shown])


class _Other(BaseModel):
    x: int


STRUCTURED = NewsTeacher().with_structured_output(Verdict)
LAMBDA: Any = RunnableLambda(str, name="mine")
TWO_TOOLS = NewsTeacher().bind_tools([Verdict, _Other])


@pytest.mark.parametrize(
    ("chain", "named"),
    [
        (
            RunnablePassthrough.assign(n=len) | PROMPT | STRUCTURED,
            r"RunnableAssign stands before the prompt .* RunnableAssign \| swap\(prompt",
        ),
        (
            PROMPT | STRUCTURED | RunnableLambda(str, name="shown"),
            r"RunnableLambda\(shown\) stands",
        ),
        (
            PROMPT | RunnableLambda(str, name="mine"),
            r"RunnableLambda\(mine\) stands where the model",
        ),
        (PROMPT | NewsTeacher(), "no parser follows"),
        (PROMPT | NewsTeacher() | JsonOutputParser(), "JsonOutputParser names no schema"),
        (PROMPT | NewsTeacher() | StrOutputParser(), "no parser follows"),
        (
            PROMPT | TWO_TOOLS | PydanticToolsParser(tools=[Verdict, _Other], first_tool_only=True),
            "PydanticToolsParser reads several tools",
        ),
        (PROMPT, "asks no model"),
        ("a text", "a str is no chain"),
    ],
)
def test_what_it_cannot_see_through_is_named(chain: Any, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        app_chain(chain)


def test_a_task_of_another_chain_is_refused() -> None:
    with pytest.raises(TaskError, match=r"answers with .* the chain with rationale, mood"):
        app_chain(PROMPT | STRUCTURED, task=news)
    of_this = app_chain(PROMPT | STRUCTURED).task
    with pytest.raises(TaskError, match="asks for author, text, the chain for other"):
        app_chain(ChatPromptTemplate.from_messages(["{other}"]) | STRUCTURED, task=of_this)


def test_an_apps_own_class_is_answered_in_whatever_class_the_task_has() -> None:
    by_hand = app_chain(PROMPT | STRUCTURED).task
    app = app_chain(PROMPT | NewsTeacher().with_structured_output(OldVerdict), task=by_hand)
    assert isinstance(app.thought(OldVerdict(**SAID)).answer, Verdict)  # type: ignore[arg-type]
    back = app.output(by_hand.thought(SAID), reasoning=None, said=None)
    assert type(back) is OldVerdict


def test_one_variable_may_come_bare_and_what_lacks_is_said() -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{text}")])
    app = app_chain(prompt | STRUCTURED)
    assert app.inputs("x") == {"text": "x"}
    assert app.inputs({"text": 3}) == {"text": "3"}
    with pytest.raises(TaskError, match="was given no text"):
        app.inputs({"other": 1})
    with pytest.raises(TaskError, match="was given a str, no dict"):
        app_chain(PROMPT | STRUCTURED).inputs("x")


def test_a_reasoning_that_a_student_does_not_write_is_put_in_or_refused() -> None:
    app = app_chain(PROMPT | STRUCTURED)
    silent = app.thought(Thought(None, app.task.thought({"mood": "bad", "score": 1}).answer))
    with pytest.raises(TaskError, match="rationale"):
        app.output(silent, reasoning=None, said=None)
    assert app.output(silent, reasoning="none given", said=None) == Verdict(
        rationale="none given", mood="bad", score=1
    )


def test_no_answer_is_an_error_and_never_an_empty_one() -> None:
    app = app_chain(PROMPT | NewsTeacher().with_structured_output(Verdict, include_raw=True))
    with pytest.raises(TaskError, match="no answer: nothing was read"):
        app.thought({"raw": AIMessage(""), "parsed": None, "parsing_error": None})
    with pytest.raises(TaskError, match="answered a NoneType"):
        app.thought(None)
    with pytest.raises(TaskError, match="mood"):
        app.thought({**SAID, "mood": "odd"})


JSON_TYPES = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "maxLength": 5},
            {"type": "integer", "minimum": 0},
            {"type": "number"},
            {"type": "boolean"},
            {"enum": ["a", "b"]},
            {"type": ["string", "null"]},
        ]
    ),
    lambda inner: (
        st.builds(lambda i: {"type": "array", "items": i}, inner)
        | st.dictionaries(st.sampled_from(["x", "y", "z"]), inner, min_size=1).map(
            lambda fields: {"type": "object", "properties": fields, "required": list(fields)}
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON_TYPES, min_size=1))
def test_a_class_made_of_a_json_schema_says_the_same(fields: dict[str, Any]) -> None:
    schema = {"title": "T", "type": "object", "properties": fields, "required": list(fields)}
    made = class_of_schema(schema).model_json_schema()
    text = json.dumps(made)

    assert set(made["properties"]) == set(fields)
    assert made["required"] == list(fields)
    again = class_of_schema(made).model_json_schema()
    assert json.dumps(again) == text


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"type": "tuple"}, r"schema of T\.f has no type"),
        ({"$ref": "#/$defs/Gone"}, r"T\.f: Gone is not defined"),
        ({"allOf": [{"type": "string"}, {"type": "string"}]}, r"T\.f is an allOf of several"),
        ({"enum": [1.5]}, r"classes of T\.f are no texts"),
        ({"$ref": "#/$defs/Node"}, "Node refers to itself"),
    ],
)
def test_a_schema_that_no_class_can_say_is_refused_by_field(part: Any, named: str) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = {"title": "T", "type": "object", "properties": {"f": part}, "$defs": {"Node": node}}
    with pytest.raises(TaskError, match=named):
        class_of_schema(schema)


def test_messages_come_in_every_form_a_model_takes() -> None:
    assert messages_of(HumanMessage("x")) == [HumanMessage("x")]
    with pytest.raises(TaskError, match="a int is no conversation"):
        messages_of(3)
