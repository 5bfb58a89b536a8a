"""What names a person is struck out of a text: e-mail, telephone, CPF, CNPJ, payment card.

Every pattern reads a text once, however hostile it is: no part that repeats can begin where another
that repeats may go on. Numbers with check digits are struck out where these are right (CPF, CNPJ:
Receita Federal, modulo 11, letters since 2026; cards: ISO/IEC 7812-1, Luhn); money, dates, years
and percentages stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

Redactor: TypeAlias = Callable[[str], str]
_HOST = re.compile(r"@[\w\-]+(?:\.[\w\-]+)+")
_BEFORE_AT = re.compile(r"[\w.%+\-]+\Z")
_LONGEST_NAME = 64  # characters before the @ (RFC 5321)
# Eight digits or more with little between them: where a number may be, and little else is.
_RUN = re.compile(r"\d(?:[ .()/\-–]{0,3}\d){7,}")
# A company's number that may have letters in it, and what stands in each of them.
_PERHAPS_LETTERS = re.compile(r"[A-Z0-9]{8}/?[A-Z0-9]{4}-?\d\d|/[A-Z0-9]{4}-\d\d")
_LETTERS = re.compile(
    r"(?<!\w)(?:[A-Z0-9]{2}\.[A-Z0-9]{3}\.[A-Z0-9]{3}/[A-Z0-9]{4}-\d\d"
    r"|[A-Z0-9]{8}/?[A-Z0-9]{4}-?\d\d)(?!\w)"
)
_NUMBER = re.compile(
    r"(?:(?<!\w)|(?<=CPF)|(?<=cpf))(?<!\d[.,/\-])(?:"
    r"(?P<abroad>\+\d(?:[ .\-()]{0,2}\d){7,14})"
    r"|(?P<cpf>\d{3}[. ]\d{3}[. ]\d{3}[\-–. /]?\d\d|\d{9}[\-–]\d\d)"
    r"|(?P<card>\d{4}(?P<gap>[ \-])\d{4}(?P=gap)\d{4}(?P=gap)\d{4}|3[47]\d\d[ \-]\d{6}[ \-]\d{5})"
    r"|(?P<phone>\(0?[1-9]{2}\) ?9? ?\d{4}[ \-–.]?\d{4}|0?[1-9]{2}[ \-.]9[ .]?\d{4}[ \-–.]?\d{4}"
    r"|0?[1-9]{2} [2-5]\d{3}[ \-.]\d{4}|9[ .]?\d{4}[\-–]\d{4}|0[38]00[ \-]?\d{3}[ \-]?\d{4}"
    r"|\(\d{3}\) ?\d{3}[ .\-]\d{4}|\d{3}(?P<sign>[.\-])\d{3}(?P=sign)\d{4})"
    r"|(?P<local>[2-5]\d{3}-\d{4})"
    r"|(?P<digits>\d{8,19})"
    r")(?!\w)(?![.,/\-]\d)(?! ?%)"
)
_BEHIND = 2  # characters behind a number that say what it is
_THOUSANDS = re.compile(r"\+\d{1,3}(?:\.\d{3})+")
_CUE = re.compile(
    r"(?i)(?:tel|fone|phone|celular|cel|zap|whats\w*|ligue|call|fax)\W{0,4}(?:\w+ )?$"
)
_CUE_WITHIN = 24  # characters before a number in which a word may say that it is a telephone's


def without_personal(text: str) -> str:
    """The text with `[e-mail]`, `[phone]`, `[CPF]`, `[CNPJ]` and `[card]` in their places.

    Telephones are Brazil's as they are written there, any with a country's +code, and North
    America's in three groups; of bare digits only a Brazilian mobile's eleven (or thirteen with
    55), and others of 8 to 10 where the text before says that it is a telephone. Struck out twice
    is struck out once. Linear in the text.
    """
    if "@" in text:
        text = _without_mail(text)
    if _PERHAPS_LETTERS.search(text):
        text = _LETTERS.sub(lambda found: "[CNPJ]" if is_cnpj(found[0]) else found[0], text)
    return _without_numbers(text)


def _without_mail(text: str) -> str:
    """The text without addresses: a host is found by its @, and the name before it backwards."""
    parts: list[str] = []
    done = 0
    for host in _HOST.finditer(text):
        at = host.start()
        name = _BEFORE_AT.search(text, max(done, at - _LONGEST_NAME), at)
        if name is not None:
            parts += (text[done : name.start()], "[e-mail]")
            done = host.end()
    return "".join((*parts, text[done:])) if parts else text


def _without_numbers(text: str) -> str:
    """The text with its numbers judged: looked at closely only where enough digits stand."""
    parts: list[str] = []
    done = 0
    for run in _RUN.finditer(text):
        start = run.start()
        start -= start > done and text[start - 1] in "+("
        for found in _NUMBER.finditer(text, start, run.end() + _BEHIND):
            parts += (text[done : found.start()], _judged(found))
            done = found.end()
    return "".join((*parts, text[done:])) if parts else text


def redacted(value: Any, redact: Redactor) -> Any:
    """JSON data with all its texts redacted, the names in it too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(name): redacted(part, redact) for name, part in value.items()}
    return [redacted(part, redact) for part in value] if isinstance(value, list | tuple) else value


def is_cpf(text: str) -> bool:
    """Whether the eleven digits in the text have a CPF's check digits (and are not all one)."""
    digits = _digits(text)
    return (
        len(digits) == 11
        and len(set(digits)) > 1
        and digits[9:] == _modulo_11(digits[:9], range(10, 1, -1), range(11, 1, -1))
    )


def is_cnpj(text: str) -> bool:
    """The same of a CNPJ's fourteen digits, the first twelve of which may be letters."""
    signs = re.sub(r"[./\-]", "", text)
    first, second = (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    return (
        len(signs) == 14
        and len(set(signs)) > 1
        and signs[12:] == _modulo_11(signs[:12], first, second)
    )


def is_card(text: str) -> bool:
    """Whether the 13 to 19 digits in the text are a payment card's: its network's, Luhn right."""
    digits = _digits(text)
    if not 13 <= len(digits) <= 19 or digits[0] not in "23456" or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _modulo_11(signs: str, first: Any, second: Any) -> str:
    """The two check digits; a letter counts as its place in ASCII less 48, as a digit does."""
    for weights in (first, second):
        total = sum((ord(sign) - 48) * by for sign, by in zip(signs, weights, strict=True))
        signs += str(0 if total % 11 < 2 else 11 - total % 11)
    return signs[-2:]


def _judged(found: re.Match[str]) -> str:
    kind, text = found.lastgroup or "", found[0]
    kind = "phone" if found["phone"] else "card" if found["card"] else kind
    return f"[{name}]" if (name := _JUDGES[kind](found)) else text


def _abroad(found: re.Match[str]) -> str:
    return "" if _THOUSANDS.fullmatch(found[0]) else "phone"


def _local(found: re.Match[str]) -> str:
    """Four digits, a hyphen, four digits: also how two years are written."""
    years = all(1500 <= int(part) <= 2199 for part in found[0].split("-"))
    return "" if years and not _is_called(found) else "phone"


def _bare(found: re.Match[str]) -> str:
    text = found[0]
    if is_cpf(text):
        return "CPF"
    if re.fullmatch(r"(?:55)?[1-9]{2}9\d{8}", text) or (len(text) <= 10 and _is_called(found)):
        return "phone"
    return "card" if is_card(text) else ""


def _is_called(found: re.Match[str]) -> bool:
    start = found.start()
    return _CUE.search(found.string[max(0, start - _CUE_WITHIN) : start]) is not None


_JUDGES: dict[str, Callable[[re.Match[str]], str]] = {
    "abroad": _abroad,
    "cpf": lambda found: "CPF" if is_cpf(found[0]) else "",
    "card": lambda found: "card" if is_card(found[0]) else "",
    "phone": lambda found: "phone",
    "local": _local,
    "digits": _bare,
}


def _digits(text: str) -> str:
    return "".join(sign for sign in text if "0" <= sign <= "9")
