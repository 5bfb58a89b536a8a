"""Rules that read one Portuguese news sentence: its evidence word, its fact, its two labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import offline_lexicon as lexicon
from .task import fingerprint

POLARITY_OF_EMOTION = {
    "Felicidade": "Positivo",
    "Tristeza": "Negativo",
    "Raiva": "Negativo",
    "Nojo": "Negativo",
    "Medo": "Negativo",
    "Desprezo": "Negativo",
}
OPPOSITE = {"Positivo": "Negativo", "Negativo": "Positivo", "Neutro": "Neutro"}
LONGEST_REASONING = 300
LONGEST_WORD = 24
LONGEST_ENDING = 9
LONGEST_SENTENCE = 2000  # characters that are read
DENIAL_REACH = 5  # words from a denial to the emotion that it denies
FACT_REACH = 2  # the same for a fact: "não houve queda"
SUBJECT_REACH = 6  # words from what moves to its verb
OF = frozenset(["de", "do", "da", "dos", "das"])
AT = frozenset(["em", "no", "na", "nos", "nas", "ao", "à", "aos", "às", "contra"])
ARTICLES = OF | AT | frozenset(["o", "a", "os", "as", "um", "uma"])
ADJECTIVE_ENDINGS = ("al", "ais", "ar", "ares", "ico", "ica", "icos", "icas", "iva", "ivo")


@dataclass(frozen=True)
class Word:
    """A word as it is written and in lower case, and the number of its clause."""

    text: str
    lower: str
    clause: int


@dataclass(frozen=True)
class Fact:
    """What is reported: its words, and whether it is good news."""

    words: tuple[str, ...]
    polarity: str


@dataclass(frozen=True)
class Reading:
    """What was found in a sentence. `conceded` is the evidence word of a concession, `cue` that of
    the main clause, `denied` whether the cue is denied; any of them can be missing."""

    emotion: str
    polarity: str
    cue: str | None
    denied: bool
    conceded: str | None
    fact: Fact | None


def read_sentence(sentence: str) -> Reading:
    """Both labels of a sentence and what they rest on; any text has a reading."""
    words = _words(sentence[:LONGEST_SENTENCE])
    conceded = _conceded(words)
    silent = _silent(words)
    evidence = [(i, _emotion(word.lower)) for i, word in enumerate(words) if i not in silent]
    found = [(i, emotion) for i, emotion in evidence if emotion]
    main = [(i, emotion) for i, emotion in found if i not in conceded]
    affirmed = [(i, emotion) for i, emotion in main if not _denied(words, i, reach=DENIAL_REACH)]
    at, emotion = (affirmed or [(main[0][0], "Neutro")])[0] if main else (None, "Neutro")
    denied = bool(main) and not affirmed
    fact = _fact(words, conceded, skip=silent | {i for i, _ in found}, cue_denied=denied)
    polarity = POLARITY_OF_EMOTION.get(emotion) or (fact.polarity if fact else "Neutro")
    other = next((words[i].lower for i, _ in found if i in conceded), None)
    return Reading(
        emotion=emotion,
        polarity=polarity,
        cue=words[at].lower if at is not None else None,
        denied=denied,
        conceded=other if affirmed else None,
        fact=fact,
    )


def reasoning_of(readings: Mapping[str, Reading]) -> str:
    """One line of at most 300 characters, a clause per field; long facts lose words to fit."""
    for conceding, fact_words in ((True, 5), (True, 3), (False, 3), (False, 1)):
        line = "; ".join(
            f"{field}: {_clause(reading, conceding=conceding, fact_words=fact_words)}"
            for field, reading in readings.items()
        )
        if len(line) <= LONGEST_REASONING:
            break
    return line[:LONGEST_REASONING]


def _clause(reading: Reading, *, conceding: bool, fact_words: int) -> str:
    steps = [f"ressalva {reading.conceded}"] if conceding and reading.conceded else []
    if reading.cue is None:
        steps.append("sem pista")
    elif reading.denied:
        steps.append(f"pista {reading.cue} negada")
    else:
        steps.append(f"pista {reading.cue} indica {reading.emotion}")
    if reading.emotion not in POLARITY_OF_EMOTION and reading.fact:
        fact = " ".join(reading.fact.words[:fact_words])
        steps.append(f"fato {fact} é {reading.fact.polarity.lower()}")
    return ", ".join(steps)


def _words(sentence: str) -> list[Word]:
    words, clause, end = [], 0, 0
    for match in re.finditer(r"[^\W_]+(?:-[^\W_]+)*", sentence):
        clause += bool(re.search(r"[,;:.!?()—–]", sentence[end : match.start()]))
        end = match.end()
        text = match.group()[:LONGEST_WORD]
        words.append(Word(text, text.lower(), clause))
    return words


def _matcher(entries: str) -> re.Pattern[str]:
    """One pattern for a lexicon text: stems ("-" at the end) with an ending, words as they are."""
    alternatives = [
        re.escape(entry[:-1]) + rf"\w{{0,{LONGEST_ENDING}}}"
        if entry.endswith("-")
        else re.escape(entry)
        for entry in entries.split()
    ]
    return re.compile("|".join(alternatives))


EMOTIONS = {emotion: _matcher(text) for emotion, text in lexicon.EMOTION_WORDS.items()}
RISES, FALLS = _matcher(lexicon.RISES), _matcher(lexicon.FALLS)
RISING, FALLING = _matcher(lexicon.RISING), _matcher(lexicon.FALLING)
GOOD_THINGS, BAD_THINGS = _matcher(lexicon.GOOD_THINGS), _matcher(lexicon.BAD_THINGS)
FACTS = {
    "Positivo": _matcher(lexicon.GOOD_FACTS),
    "Negativo": _matcher(lexicon.BAD_FACTS),
    "Neutro": _matcher(lexicon.NEUTRAL_FACTS),
}


def _phrases(entries: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(entry.split("_")) for entry in entries.split())


DENIALS, NO_DENIALS = _phrases(lexicon.DENIALS), _phrases(lexicon.NO_DENIALS)
CONCESSIONS, TURNS = _phrases(lexicon.CONCESSIONS), _phrases(lexicon.TURNS)
IDIOMS, TIMES_AND_PLACES = _phrases(lexicon.IDIOMS), frozenset(lexicon.TIMES_AND_PLACES.split())

# Other words are other rules.
LEXICON = fingerprint({name: text for name, text in vars(lexicon).items() if name.isupper()})


def _opens(phrases: Sequence[tuple[str, ...]], words: Sequence[Word], at: int) -> int:
    """How many words from this place on are one of the phrases; 0 for none."""
    for phrase in phrases:
        if tuple(word.lower for word in words[at : at + len(phrase)]) == phrase:
            return len(phrase)
    return 0


def _emotion(word: str) -> str | None:
    return next((name for name, words in EMOTIONS.items() if words.fullmatch(word)), None)


def _conceded(words: Sequence[Word]) -> set[int]:
    """The places that a concession covers: to its comma, or all before a turning word."""
    covered: set[int] = set()
    for i, word in enumerate(words):
        if _opens(CONCESSIONS, words, i):
            covered.update(j for j in range(i, len(words)) if words[j].clause == word.clause)
        if 0 < i < len(words) - 1 and _opens(TURNS, words, i):
            covered.update(range(i))
    return covered if len(covered) < len(words) else set()


def _silent(words: Sequence[Word]) -> set[int]:
    """The places that say nothing of their own: idioms, and names of people, firms and towns."""
    names = {i for i, word in enumerate(words) if i > 0 and word.text[0].isupper()}
    idioms = (range(i, i + _opens(IDIOMS, words, i)) for i in range(len(words)))
    return names.union(*idioms)


def _denied(words: Sequence[Word], at: int, *, reach: int) -> bool:
    """Whether a denial stands in the same clause, at most `reach` words before."""
    return any(
        words[i].clause == words[at].clause
        and _opens(DENIALS, words, i)
        and not _opens(NO_DENIALS, words, i)
        for i in range(max(0, at - reach), at)
    )


def _fact(
    words: Sequence[Word], conceded: set[int], *, skip: set[int], cue_denied: bool
) -> Fact | None:
    """The first good or bad fact of the main clause, else the first neutral one."""
    facts = []
    for i in range(len(words)):
        if i in conceded or i in skip:
            continue
        fact = _movement(words, i) or _event(words, i)
        if fact is None:
            continue
        if not cue_denied and _denied(words, i, reach=FACT_REACH):
            fact = Fact(fact.words, OPPOSITE[fact.polarity])
        facts.append(fact)
    news = (fact for fact in facts if fact.polarity != "Neutro")
    return next(news, None) or next(iter(facts), None) or _topic(words, conceded | skip)


def _topic(words: Sequence[Word], skip: set[int]) -> Fact | None:
    """What a sentence without known news is about: its first noun with a complement."""
    for i in range(1, len(words)):
        if i not in skip and words[i - 1].lower in ARTICLES:
            complement = _complement(words, i)
            if complement:
                return Fact((words[i].lower, *complement), "Neutro")
    return None


def _movement(words: Sequence[Word], at: int) -> Fact | None:
    """A verb of rise or fall and what moves: "vendas caíram" is bad, "inflação recuou" good."""
    verb = words[at].lower
    rising = RISING.fullmatch(verb)
    if not rising and not FALLING.fullmatch(verb):
        return None
    subject = [word.lower for word in words[max(0, at - SUBJECT_REACH) : at]]
    thing = next((word for word in subject if _thing(word)), None)
    if thing is not None:
        return Fact((thing, verb), _moved(thing, rises=bool(rising)))
    thing = next((w.lower for w in words[at + 1 : at + 4] if _thing(w.lower)), None)
    return Fact((verb, thing) if thing else (verb,), _moved(thing, rises=bool(rising)))


def _event(words: Sequence[Word], at: int) -> Fact | None:
    """A noun or verb that is news by itself, with its complement: "fechamento da escola"."""
    head = words[at].lower
    complement = _complement(words, at)
    polarity = _polarity(head, [part.lower() for part in complement])
    return Fact((head, *complement), polarity) if polarity else None


def _thing(word: str) -> bool:
    return bool(GOOD_THINGS.fullmatch(word) or BAD_THINGS.fullmatch(word))


def _moved(thing: str | None, *, rises: bool) -> str:
    """Good things had better rise and bad things fall; the unknown had better rise."""
    bad = thing is not None and bool(BAD_THINGS.fullmatch(thing))
    return "Positivo" if rises is not bad else "Negativo"


def _polarity(head: str, complement: Sequence[str]) -> str | None:
    """Good, bad or neutral news; None for a word that the lexicon does not know as news."""
    if RISES.fullmatch(head) or FALLS.fullmatch(head):
        thing = next((word for word in complement if _thing(word)), None)
        return _moved(thing, rises=bool(RISES.fullmatch(head)))
    return next((name for name, heads in FACTS.items() if heads.fullmatch(head)), None)


def _complement(words: Sequence[Word], at: int) -> list[str]:
    """What goes with the noun at this place: "da ponte" of "queda da ponte no Rio"."""
    rest = [word for word in words[at + 1 : at + 4] if word.clause == words[at].clause]
    complement = []
    if rest and rest[0].lower.endswith(ADJECTIVE_ENDINGS):
        complement.append(rest.pop(0).text)
    if len(rest) > 1 and _belongs(rest[0].lower, rest[1]):
        complement += [rest[0].text, rest[1].text]
    return complement


def _belongs(preposition: str, noun: Word) -> bool:
    if preposition in OF:
        return True
    is_place = noun.text[0].isupper() or noun.lower in TIMES_AND_PLACES
    return preposition in AT and not is_place
