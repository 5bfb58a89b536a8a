"""The base's corpus keeps its rule: no sentence beside its emotion or polarity, no task prompt."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from understudy.examples.base.corpus import (
    PROMPT_END,
    THEMES,
    Document,
    compact,
    document,
)
from understudy.examples.news.generate import WHOLE, draw_sentence, news_rows
from understudy.examples.news.lexicon import EMOTIONS, EVENTS, FRAMES, NEUTRAL, POLARITIES

LABELS = {name.lower() for name in (*EMOTIONS, NEUTRAL, *POLARITIES)}
CODES = {theme.lower() for theme in THEMES.values()} | {"boa", "ruim", "rotina"}
TASK_WORDS = re.compile(r"polaridade e a emoção|polaridade e emoção", re.IGNORECASE)

# Every sentence names its event with an article; a list of events names them without.
EVENT_IN_SENTENCE = re.compile(
    rf"\bd?[ao] (?:{'|'.join(re.escape(event.phrase) for event in EVENTS)})\b", re.IGNORECASE
)


def drawn(count: int, seed: int = 3) -> list[Document]:
    rng = random.Random(seed)
    return [document(rng, number / count) for number in range(count)]


def has_sentence(text: str) -> bool:
    return EVENT_IN_SENTENCE.search(text) is not None


def values_in(answer: object) -> Iterator[str]:
    """Every string in a JSON answer; keys that are labels count as values too."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield key
            yield from values_in(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from values_in(value)
    else:
        yield str(answer)


def leaks(part: Document) -> list[str]:
    """What in this document names the feeling of a sentence that stands beside it."""
    if TASK_WORDS.search(part.prompt + part.completion):
        return ["the task's own prompt"]
    if not part.prompt or not has_sentence(part.prompt):
        return []
    found = []
    for value in values_in(json.loads(part.completion)):
        words = re.findall(r"\w+", value.lower())
        found += [word for word in words if word in LABELS | CODES]
    asked = part.prompt.split("\n")[0].lower()
    return found + [word for word in re.findall(r"\w+", asked) if word in LABELS | CODES]


def test_no_document_names_the_feeling_of_a_sentence_or_holds_the_task() -> None:
    found = {leak: part for part in drawn(6000) for leak in leaks(part)}
    assert found == {}


def test_the_sentence_finder_knows_every_sentence_of_the_generator() -> None:
    rng = random.Random(1)
    for frame in FRAMES:
        assert has_sentence(draw_sentence(rng, WHOLE, frame.kind).text)
    assert all(has_sentence(text) for row in news_rows(0) for text in (row.f1, row.f2, row.f3))
    assert not has_sentence("f1: furiosos\nf2: queda da ponte")


@pytest.mark.parametrize(
    "answer",
    [
        {"f1": {"emocao": "Medo"}},
        {"f1": {"nota": "medo"}},
        {"f1": {"grupo": "Perigo"}},
        {"raciocinio": "f1: pista medo indica Perigo", "f1": {"grupo": "Nome"}},
        {"raciocinio": "f1: fato queda da ponte é negativo", "f1": {"area": "Cidade"}},
        {"Negativo": ["f1"]},
    ],
)
def test_a_label_beside_a_sentence_is_found(answer: dict[str, object]) -> None:
    prompt = "Classifique as frases.\nf1: Houve pânico no Rio depois da queda da ponte."
    assert leaks(Document("made up", prompt + PROMPT_END, compact(answer)))


def test_the_task_prompt_is_found() -> None:
    prompt = "Classifique a notícia abaixo conforme a polaridade e a emoção.\nf1: x"
    assert leaks(Document("made up", prompt, "{}"))


def test_every_prompt_ends_as_the_chat_template_does_and_every_answer_is_compact_json() -> None:
    for part in drawn(2000):
        if part.prompt:
            assert part.prompt.endswith(PROMPT_END)
            assert compact(json.loads(part.completion)) == part.completion


def test_generic_records_are_a_small_share_and_siblings_a_large_one() -> None:
    kinds = Counter(part.kind for part in drawn(4000))
    assert 0.05 <= kinds["generic"] / 4000 <= 0.10
    assert kinds["sibling"] / 4000 >= 0.30


def test_reasoning_stands_first_with_one_clause_per_field() -> None:
    with_reasoning = 0
    for part in drawn(2000):
        answer = json.loads(part.completion) if part.prompt else {}
        if "raciocinio" in answer and part.kind in ("sibling", "words", "events"):
            assert next(iter(answer)) == "raciocinio"
            clauses = answer["raciocinio"].split("; ")
            assert [clause.split(":")[0] for clause in clauses] == list(answer)[1:]
            with_reasoning += 1
    assert with_reasoning > 400


def test_the_same_seed_draws_the_same_documents() -> None:
    assert drawn(50) == drawn(50)
    assert drawn(50) != drawn(50, seed=4)


def test_the_wired_start_leans_to_copying_before_any_training() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from understudy.examples.base import pretrain, wiring

    rng = random.Random(0)
    passages = [rng.sample(range(3, 2048), 16) for _ in range(24)]
    twice = torch.tensor([passage + passage for passage in passages])
    labels = torch.full_like(twice, pretrain.IGNORED)
    labels[:, 17:] = twice[:, 17:]
    torch.manual_seed(0)
    model = pretrain.new_model()
    with torch.no_grad():
        plain = model(input_ids=twice, labels=labels).loss.item()
        wiring.wire(model, wiring.Wiring())
        wired = model(input_ids=twice, labels=labels).loss.item()
    assert wired < plain - 0.5


def test_a_rehearsal_asks_only_for_tokens_that_stood_in_the_same_order_before() -> None:
    from understudy.examples.base import pretrain

    rng = random.Random(0)
    for _ in range(200):
        ids, labels = pretrain.rehearsal(rng)
        asked = [place for place, label in enumerate(labels) if label != pretrain.IGNORED]
        assert asked == list(range(asked[0], len(ids)))
        repeated = ids[asked[0] - 1 :]
        assert any(ids[start : start + len(repeated)] == repeated for start in range(asked[0] - 1))


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    from understudy.examples.base.pretrain import Recipe, learning_rate

    recipe = Recipe(steps=100, warm_up=10, decay_from=0.5, learning_rate=1.0)
    assert learning_rate(recipe, 0, 0) == pytest.approx(0.1)
    assert learning_rate(recipe, 50, 40) == pytest.approx(1.0)
    assert learning_rate(recipe, 90, 75) == pytest.approx(0.5)
    assert learning_rate(recipe, 110, 100) == pytest.approx(0.02)
