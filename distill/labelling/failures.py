"""Which rows of a run failed and why: alike errors are one kind, with what helps against it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...store.columns import printable
from ...store.rows import Record

KINDS = 200  # kinds that are told apart; a model's own words in errors could make any number
LONGEST = 160  # characters of an error
_OTHER = "other errors"
_VARIABLE = (
    (re.compile(r"\b(?:req|msg|chatcmpl|resp|call|run|org|proj)[-_][\w-]{6,}", re.I), "…"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), "…"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,}\b", re.I), "…"),
    # What a model wrote stands behind these words, another text in every row.
    (re.compile(r"((?:invalid json output|could not parse|failed to parse)[^:]*:).*", re.I), r"\1"),
    (re.compile(r" for troubleshooting, visit.*", re.I), ""),
)
# Of a host the number stays: it says which server.
_NUMBER = re.compile(r"(?<![\w.])(?<!//)(?<!\d:)\d+(?:[.,:]\d+)*(?:ms|s)?(?!\w)")
_STATUS = re.compile(r"\b(?:error code|status(?: code)?|http)\W{0,3}([45]\d\d)\b", re.I)
_AGAIN = "run again with --retry-failed"
_THEN = "then --retry-failed"
_UP = "see that the server answers, then run again"
_ADVICE = (
    (
        r"context.{0,12}length|too long|maximum context|too many tokens",
        f"shorten the row, or a --teacher with a longer context; {_THEN}",
    ),
    (
        r"max_?tokens|finish_?reason\W+length|length limit|cut off|truncated",
        f"a higher --max-output-tokens; {_THEN}",
    ),
    (
        r"(?<!connection )refus|content.?filter|content.?policy|safety",
        "read the row; --retry-failed asks it again, another --teacher may answer",
    ),
    (
        r"\b401\b|\b403\b|authenticat|api.?key|permission",
        "check the key in the provider's variable, then run again",
    ),
    (r"\b429\b|rate.?limit|too many requests|quota", "give --rpm or --tpm, then run again"),
    (r"\b5\d\d\b|APIResponseValidation|^JSONDecodeError|connection refused", _UP),
    (r"name resolution|getaddrinfo|name or service not known", _UP),
    (r"timed? ?out|timeout|no answer in time", f"a higher --timeout; {_THEN}"),
    (r"connect|resolve|unreachable|reset by peer", _UP),
    (r"\btool\b.*raised", f"mend the tool; {_THEN}"),
    (r"agent gave no answer in", f"a higher --max-calls; {_THEN}"),
    (
        r"outputparser|validation|no answer|no json|schema|empty",
        f"more --schema-retries, or another --teacher; {_THEN}",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A kind of error: `rows` that it failed, the error without what differs from row to row, the
    id of its first row, and what to do."""

    rows: int
    why: str
    example: str
    advice: str


def failures(records: Iterable[Record], *, most: int = 10) -> list[Failure]:
    """The kinds of failure among a run's records, most frequent first, at most `most`.

    Numbers and ids are left out of an error, so that alike ones are counted together; what is
    beyond `most` kinds stands as one, "other errors". Texts are printable and one line.
    """
    found: dict[str, Failure] = {}
    for record in records:
        if record.answer is not None:
            continue
        why = kind_of(record.error or "no error was kept")
        if why not in found and len(found) >= KINDS:
            why = _OTHER
        known = found.get(why)
        found[why] = (
            replace(known, rows=known.rows + 1)
            if known
            else Failure(rows=1, why=why, example=record.example, advice=advice(record.error or ""))
        )
    ranked = sorted(found.values(), key=lambda failure: (failure.why == _OTHER, -failure.rows))
    return _with_the_rest_as_one(ranked, most)


def kind_of(error: str) -> str:
    """An error without what differs from row to row: its numbers, ids, and what a model wrote."""
    text = " ".join(error.split())
    for pattern, instead in _VARIABLE:
        text = pattern.sub(instead, text)
    status = _STATUS.search(text)  # 429 and 500 are not alike
    kept = status.group(1) if status else None
    text = _NUMBER.sub(lambda found: kept if found.group() == kept else "#", text)
    return printable(text.strip()[:LONGEST])


def advice(error: str) -> str:
    """What helps against such an error, in the words of the command line."""
    for pattern, what in _ADVICE:
        if re.search(pattern, error, re.IGNORECASE):
            return what
    return _AGAIN


def _with_the_rest_as_one(ranked: list[Failure], most: int) -> list[Failure]:
    shown, rest = ranked[:most], ranked[most:]
    if not rest:
        return shown
    rows = sum(failure.rows for failure in rest)
    return [*shown, replace(rest[0], rows=rows, why=_OTHER, advice=_AGAIN)]
