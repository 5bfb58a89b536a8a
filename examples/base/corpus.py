"""The pretraining corpus of the embedded base student: documents drawn without end from a seed.

One rule: no document holds a sentence together with that sentence's emotion or polarity, nor a code
that stands for it, and none holds the prompt of the news task. Words alone (a thesaurus) and events
alone (good, bad or routine news) may be grouped; sentences may only be sorted by other things.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from ..news.generate import FIELDS, WHOLE, Sentence, draw_sentence
from ..news.lexicon import EMOTIONS, EVENTS, NEUTRAL, POLARITIES, SUBJECTS, WORDS, Kind, Word
from .generic import generic_document
from .siblings import CLASS_NAMES, SUBJECTS_OF_STUDY, answer_of_siblings

# Families of the thesaurus: themes of a dictionary, not the labels of the task.
THEMES = {
    "Felicidade": "Festa",
    "Tristeza": "Perda",
    "Raiva": "Conflito",
    "Nojo": "Sujeira",
    "Medo": "Perigo",
    "Surpresa": "Imprevisto",
    "Desprezo": "Altivez",
}
NEWS_TYPES = {"Positivo": "Boa", "Negativo": "Ruim", "Neutro": "Rotina"}
LABEL_NAMES = frozenset(name.lower() for name in (*EMOTIONS, NEUTRAL, *POLARITIES))

PROMPT_END = "\n\nResultado:\n"
KIND_WEIGHTS: dict[Kind, float] = {
    "plain": 0.40,
    "negated": 0.25,
    "contrast": 0.22,
    "neutral": 0.13,
}
LAYOUT_WORDS = (
    *("pista", "indica", "ressalva", "negada", "sem", "fato", "é", "raciocinio", "polaridade"),
    *("emocao", "nota", "resumo", "dado", "campo", "texto", "positivo", "negativo", "neutro"),
)


@dataclass(frozen=True)
class Document:
    """A prompt (empty for running text) and the text that the base learns to write after it."""

    kind: str
    prompt: str
    completion: str


def document(rng: random.Random, progress: float) -> Document:
    """One document; `progress` (0 to 1) is how far pretraining is.

    Plain repetition comes first, because copying is what everything else is built on, then short
    lists, then lists of three.
    """
    kind = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
    if progress < 0.12 and rng.random() < 0.7:
        kind = "copy"
    return _WRITERS[kind](rng, _list_length(rng, progress))


def _list_length(rng: random.Random, progress: float) -> int:
    if progress < 0.15:
        return 1
    return rng.choice((1, 2, 3) if progress < 0.35 else (1, 3, 3, 3))


def compact(answer: object) -> str:
    """JSON as the task writes it: no spaces, letters kept."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def _any_sentence(rng: random.Random) -> Sentence:
    kind = rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
    return draw_sentence(rng, WHOLE, kind)


def _nameless_sentence(rng: random.Random) -> Sentence:
    """A sentence whose evidence is not itself the name of a label ("medo"), so it can be quoted."""
    while True:
        sentence = _any_sentence(rng)
        if not {sentence.cue, sentence.other} & LABEL_NAMES:
            return sentence


def _listed(lines: list[str]) -> str:
    return "\n".join(f"f{number}: {line}" for number, line in enumerate(lines, 1))


def _with_reasoning(rng: random.Random, clauses: list[str], answer: dict[str, object]) -> str:
    """The answer, three times in five with one line of reasoning in front."""
    if rng.random() < 0.4:
        return compact(answer)
    reasoning = "; ".join(
        f"{field}: {clause}" for field, clause in zip(answer, clauses, strict=True)
    )
    return compact({"raciocinio": reasoning, **answer})


# ---- running text -----------------------------------------------------------------------------


def _story(rng: random.Random, length: int) -> Document:
    sentences = [_any_sentence(rng).text for _ in range(length + 1)]
    return Document("story", "", " ".join(sentences))


def _thesaurus(rng: random.Random, length: int) -> Document:
    lines = []
    for _ in range(length + 1):
        first, second, third = _family(rng, 3)
        theme = THEMES[first.emotion].lower()
        lines.append(
            rng.choice(
                (
                    f"{first.masculine}, {second.masculine} e {third.masculine} falam de {theme}.",
                    f"{first.masculine} lembra {second.masculine} e {first.emotion.lower()}.",
                    f"{first.masculine} e {second.feminine} são palavras de {theme}.",
                )
            )
        )
    return Document("thesaurus", "", " ".join(lines))


def _family(rng: random.Random, count: int) -> list[Word]:
    emotion = rng.choice(EMOTIONS)
    return rng.sample([word for word in WORDS if word.emotion == emotion], count)


# ---- words and events alone -------------------------------------------------------------------


def _words(rng: random.Random, length: int) -> Document:
    """Dictionary themes of single words, in the layout of a classification."""
    words = [rng.choice(WORDS) for _ in range(length)]
    forms = [word.agreeing_with(rng.choice(("m", "m", "f"))) for word in words]
    keys = rng.choice((("tema",), ("tema",), ("tema", "classe"), ("classe", "tema")))
    answer: dict[str, object] = {}
    clauses = []
    for field, word, form in zip(FIELDS, words, forms, strict=False):
        named = {"tema": THEMES[word.emotion], "classe": CLASS_NAMES[word.word_class]}
        answer[field] = {key: named[key] for key in keys}
        clauses.append(f"pista {form} indica {named['tema']}")
    head = rng.choice(("Classifique as palavras abaixo conforme", "Diga de cada palavra"))
    prompt = f"{head} {' e '.join('o tema' if key == 'tema' else 'a classe' for key in keys)}."
    completion = _with_reasoning(rng, clauses, answer)
    return Document("words", f"{prompt}\n{_listed(forms)}{PROMPT_END}", completion)


def _neighbours(rng: random.Random, _length: int) -> Document:
    first, second, third = _family(rng, 3)
    prompt = f"Dê palavras próximas de {first.masculine}."
    near = [second.masculine, third.masculine]
    if rng.random() < 0.5:
        near = [first.emotion.lower()]
    return Document("neighbours", prompt + PROMPT_END, compact({"palavras": near}))


def _events(rng: random.Random, length: int) -> Document:
    """Good, bad or routine news of events named alone, without any sentence."""
    events = [rng.choice(EVENTS) for _ in range(length)]
    answer: dict[str, object] = {}
    clauses = []
    for field, event in zip(FIELDS, events, strict=False):
        news_type = NEWS_TYPES[event.polarity]
        answer[field] = {"tipo": news_type}
        clauses.append(f"fato {event.phrase} é {news_type.lower()}")
    prompt = f"Que tipo de fato é cada um?\n{_listed([event.phrase for event in events])}"
    return Document("events", prompt + PROMPT_END, _with_reasoning(rng, clauses, answer))


def _copy(rng: random.Random, length: int) -> Document:
    """Writing given words in given places: the letters of keys and names, without meaning."""
    names = (*EMOTIONS, *POLARITIES, *LAYOUT_WORDS)
    word, key = rng.choice(names), rng.choice(LAYOUT_WORDS)
    choice = rng.randrange(5)
    if choice == 0:
        prompt, value = f"Escreva {word.lower()} com inicial maiúscula em {key}.", word.capitalize()
    elif choice == 1:
        prompt, value = f"Guarde o valor {word.capitalize()} no campo {key}.", word.capitalize()
    elif choice == 2:
        texts = [_nameless_sentence(rng).text for _ in range(length)]
        key, value = rng.choice(list(zip(FIELDS, texts, strict=False)))
        prompt = f"Copie a frase {key} da notícia abaixo.\n{_listed(texts)}"
    else:
        words = [_odd_word(rng) for _ in range(rng.randint(3, 14))] + [word]
        rng.shuffle(words)
        value = " ".join(words)
        prompt = f"Repita em {key}: {value}"
    return Document("copy", prompt + PROMPT_END, compact({key: value}))


def _odd_word(rng: random.Random) -> str:
    """A word of the lexicon, a number or letters at random: copying must not hang on meaning."""
    choice = rng.randrange(6)
    if choice == 0:
        return str(rng.randint(0, 9999))
    if choice == 1:
        return "".join(rng.choices("abcdefghilmnoprstuvxz", k=rng.randint(2, 6)))
    if choice == 2:
        return rng.choice(SUBJECTS).name
    return rng.choice(WORDS).agreeing_with(rng.choice(("m", "f")))


# ---- sentences, sorted by other things --------------------------------------------------------

_EXTRACTS: dict[str, Callable[[Sentence], str | None]] = {
    "palavra": lambda sentence: sentence.cue,
    "fato": lambda sentence: sentence.event.phrase,
    "ressalva": lambda sentence: sentence.other,
    "quem": lambda sentence: sentence.subject.name if sentence.subject else None,
    "onde": lambda sentence: sentence.place,
    "quando": lambda sentence: sentence.time,
    "negada": lambda sentence: "sim" if sentence.kind == "negated" else "não",
}


def _extraction(rng: random.Random, length: int) -> Document:
    """Copying what each sentence names: its evidence word, event, subject, place, time."""
    sentences = [_nameless_sentence(rng) for _ in range(length)]
    asked = rng.sample(list(_EXTRACTS), rng.choice((1, 1, 2)))
    if rng.random() < 0.5 and "palavra" not in asked:
        asked[0] = "palavra"
    answer = {
        field: {name: _EXTRACTS[name](sentence) or "nada" for name in asked}
        for field, sentence in zip(FIELDS, sentences, strict=False)
    }
    head = rng.choice(("Aponte em cada frase", "Extraia da notícia abaixo", "Copie de cada frase"))
    prompt = f"{head}: {' e '.join(asked)}.\n{_listed([s.text for s in sentences])}{PROMPT_END}"
    return Document("extraction", prompt, compact(answer))


_HEADS = (
    "Classifique a notícia abaixo conforme {}.",
    "Classifique as frases abaixo conforme {}.",
    "Diga, para a notícia abaixo, {}.",
    "Analise a notícia abaixo conforme {}.",
)


def _sibling(rng: random.Random, length: int) -> Document:
    """Classification of sentences by region, period, sector, area, word class or form."""
    sentences = [_nameless_sentence(rng) for _ in range(length)]
    choice = rng.choice(SUBJECTS_OF_STUDY)
    subjects = rng.sample(choice, len(choice))
    answer: dict[str, object] = {}
    clauses = []
    for field, sentence in zip(FIELDS, sentences, strict=False):
        answer[field], clause = answer_of_siblings(sentence, subjects)
        clauses.append(clause)
    head = rng.choice(_HEADS).format(" e ".join(subject.asked for subject in subjects))
    prompt = f"{head}\n{_listed([sentence.text for sentence in sentences])}{PROMPT_END}"
    return Document("sibling", prompt, _with_reasoning(rng, clauses, answer))


def _generic(rng: random.Random, _length: int) -> Document:
    prompt, answer = generic_document(rng)
    return Document("generic", prompt + PROMPT_END, compact(answer))


_WRITERS: dict[str, Callable[[random.Random, int], Document]] = {
    "story": _story,
    "thesaurus": _thesaurus,
    "words": _words,
    "neighbours": _neighbours,
    "events": _events,
    "copy": _copy,
    "extraction": _extraction,
    "sibling": _sibling,
    "generic": _generic,
}
_SHARES = {
    "story": 0.03,
    "thesaurus": 0.04,
    "words": 0.18,
    "neighbours": 0.03,
    "events": 0.07,
    "copy": 0.07,
    "extraction": 0.16,
    "sibling": 0.35,
    "generic": 0.07,
}
