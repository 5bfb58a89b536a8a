"""The offline teacher of the extraction task: a handful of rules, right on most e-mails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from understudy.chains.offline import RuleTeacher

_NAME = r"[A-ZÀ-Ý][\w'-]+(?: (?:&|[A-ZÀ-Ý][\w'-]+)){0,4}"
# The signature first: most people sign, and what stands there is a name and nothing else.
_WHO = (
    rf"(?:[Tt]hanks|Best|[Rr]egards|Cheers|Yours),\s+({_NAME})$",
    rf"(?:This is|My name is|I'm|I am) ({_NAME})\.",
    rf"({_NAME}) here\b",
)
_WORDS = re.findall(
    r"\w+",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty",
)
_NUMBERS = {word: value for value, word in enumerate(_WORDS, start=1)}
_PHRASES = {"half a dozen": 6, "a dozen": 12, "two dozen": 24, "a couple": 2, "a pair": 2}
_QUANTITY = re.compile(rf"\b({'|'.join([*_PHRASES, *_NUMBERS])}|[1-9][0-9]{{0,2}})\b(?! is\b)")
_CONTAINER = re.compile(r"^(?:jars?|bags?|box(?:es)?|packs?|bottles?) of ")
_END_OF_PRODUCT = re.compile(
    r" (?:with|and|plus|for|from|please)\b|, (?:together|without|please|as|and)\b|[.,;:?!\n]|$"
)
_EXTRAS = re.compile(
    r"\b(with(?! the )|plus|add|include|Extras:|throw in) (.+?)(?=, (?:please|as)\b|[.;?!\n]|$)"
)
_ARTICLE = re.compile(r"^(?:an?|the|some|my) ")
_DELIVERY_WORD = re.compile(
    r"\b(leave|ring|call|deliver|hand|bring|knock|gate|come|text me|park|Delivery|driver)\b", re.I
)
_LEAD_IN = re.compile(r"^(?:please|for the driver:|delivery:)\s+", re.I)


class Found(NamedTuple):
    """A value and the words of the e-mail that gave it; no words where nothing was found."""

    value: Any
    words: str = ""


class OrderTeacher(RuleTeacher):
    """Reads an order with one pattern per field, left to right, the first hit counts.

    So it takes a corrected number for the order and the writer for the customer, and it does not
    know every container or every way to say what the driver should do.
    """

    fields = ("text",)
    rules = "orders-1"
    model: str = "offline-orders"

    def answer(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        """The order's fields and one line of reasoning that quotes the words behind them."""
        text = inputs["text"]
        customer, quantity = find_customer(text), find_quantity(text)
        product = find_product(text, quantity.words)
        extras, note = find_extras(text), find_note(text)
        return {
            "reasoning": _reasoning(customer, quantity, extras, note),
            "customer": customer.value,
            "product": product.value,
            "quantity": quantity.value,
            "extras": extras.value,
            "delivery_note": note.value,
        }


def find_customer(text: str) -> Found:
    """Who signs the e-mail, or who says a name in it; at most 40 characters."""
    for pattern in _WHO:
        match = re.search(pattern, text.strip())
        if match:
            return Found(match[1][:40], match[1][:40])
    return Found("")


def find_quantity(text: str) -> Found:
    """The first number of the e-mail, in digits or words, from 1 to 999; 1 where there is none."""
    match = _QUANTITY.search(text)
    if match is None:
        return Found(1)
    words = match[1]
    return Found(_PHRASES.get(words) or _NUMBERS.get(words) or int(words), words)


def find_product(text: str, quantity: str) -> Found:
    """What stands after "Item:", "out of" or the quantity, up to the next function word."""
    start = rf"Item: |\bout of |\b{re.escape(quantity or 'a')} (?:of )?"
    match = re.search(start, text)
    if match is None:
        return Found("")
    rest = _CONTAINER.sub("", text[match.end() :])
    end = _END_OF_PRODUCT.search(rest)
    product = rest[: end.start() if end else 40].strip()[:40].strip()
    return Found(product, product)


def find_extras(text: str) -> Found:
    """The things listed after the first word that adds something: at most three."""
    match = _EXTRAS.search(text)
    if match is None:
        return Found([])
    things = [_ARTICLE.sub("", thing.strip()) for thing in re.split(r",| and ", match[2])]
    return Found([thing[:30] for thing in things if thing][:3], match[1])


def find_note(text: str) -> Found:
    """The last sentence with a word of delivery, without what leads it in."""
    for sentence in reversed(re.split(r"(?<=[.?!])\s+", text)):
        match = _DELIVERY_WORD.search(sentence)
        if match:
            note = _LEAD_IN.sub("", sentence.strip()).strip(" .!?")
            return Found(note[:60].strip(), match[1])
    return Found(None)


def _reasoning(customer: Found, quantity: Found, extras: Found, note: Found) -> str:
    """At most 200 characters: every quotation is bounded where it is found."""
    steps = [
        f'named "{customer.words}"' if customer.words else "no name",
        f'"{quantity.words}" is {quantity.value}' if quantity.words else "no number, so 1",
        f'extras after "{extras.words}"' if extras.words else "no extras",
        f'delivery word "{note.words}"' if note.words else "no delivery word",
    ]
    return "; ".join(steps)
