"""What names a person is struck out, and Portuguese text with its figures stays as it is."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.distill.redaction import key_redactor, without_keys
from understudy.distill.standin.redactors import (
    is_card,
    is_cnpj,
    is_cpf,
    redacted,
    without_personal,
)

DIGITS = st.text("0123456789", min_size=8, max_size=8)
AREA = st.text("123456789", min_size=2, max_size=2)
# A number stands among words, at either end, in brackets, or before a full stop.
AROUND = st.sampled_from(
    [("", ""), ("fale com ", " hoje"), ("(", ")"), ("é ", "."), ("a: ", ", sim"), ("\n", "\n")]
)


def check_digits(signs: str, first: list[int], second: list[int]) -> str:
    """By the rule as the Receita states it: 11 less the remainder, 0 where that is above 9."""
    for weights in (first, second):
        total = sum((ord(s) - 48) * w for s, w in zip(signs, weights, strict=True))
        digit = 11 - total % 11
        signs += str(digit if digit < 10 else 0)
    return signs


@st.composite
def cpfs(draw: st.DrawFn) -> str:
    base = draw(st.text("0123456789", min_size=9, max_size=9).filter(lambda t: len(set(t)) > 1))
    d = check_digits(base, list(range(10, 1, -1)), list(range(11, 1, -1)))
    return draw(st.sampled_from([d, f"{d[:3]}.{d[3:6]}.{d[6:9]}-{d[9:]}", f"{d[:9]}-{d[9:]}"]))


@st.composite
def cnpjs(draw: st.DrawFn) -> str:
    alphabet = draw(st.sampled_from(["0123456789", "0123456789ABCDEFGHJKLMNPRSTVWXYZ"]))
    base = draw(st.text(alphabet, min_size=12, max_size=12).filter(lambda t: len(set(t)) > 1))
    first = [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    d = check_digits(base, first, [6, *first])
    return draw(st.sampled_from([d, f"{d[:2]}.{d[2:5]}.{d[5:8]}/{d[8:12]}-{d[12:]}"]))


@st.composite
def cards(draw: st.DrawFn) -> str:
    base = draw(st.sampled_from("23456")) + draw(st.text("0123456789", min_size=14, max_size=14))
    even = "".join(str(2 * int(d) - (9 if d > "4" else 0)) for d in base[::2])
    d = base + str(-sum(map(int, even + base[1::2])) % 10)
    gap = draw(st.sampled_from(["", " ", "-"]))
    return gap.join(d[place : place + 4] for place in range(0, 16, 4))


@st.composite
def phones(draw: st.DrawFn) -> str:
    area, rest = draw(AREA), draw(DIGITS)
    mobile = draw(
        st.sampled_from(
            [
                *("({0}) 9{1}-{2}", "{0} 9{1}-{2}", "{0} 9 {1} {2}", "{0}9{1}{2}"),
                *("+55 {0} 9{1}-{2}", "+55 ({0}) 9{1} {2}", "+55{0}9{1}{2}"),
                *("({0})9{1}{2}", "9{1}-{2}", "0{0} 9{1}-{2}"),
            ]
        )
    )
    return mobile.format(area, rest[:4], rest[4:])


@given(AROUND, st.one_of(cpfs(), cnpjs(), cards(), phones()))
def test_a_number_of_a_person_is_struck_out_and_the_words_around_it_stay(around, number):
    before, after = around
    found = without_personal(f"{before}{number}{after}")
    assert found.startswith(before)
    assert found.endswith(after)
    assert found[len(before) : len(found) - len(after)] in {"[CPF]", "[CNPJ]", "[card]", "[phone]"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("529.982.247-25", "[CPF]"),
        ("52998224725", "[CPF]"),
        ("11.222.333/0001-81", "[CNPJ]"),
        ("11222333000181", "[CNPJ]"),
        ("12.ABC.345/01DE-35", "[CNPJ]"),
        ("529.982.24725", "[CPF]"),
        ("529.982.247–25", "[CPF]"),
        ("(11) 98765–4321", "[phone]"),
        ("4111 1111 1111 1111", "[card]"),
        ("3782 822463 10005", "[card]"),
        ("(11) 3333-4444", "[phone]"),
        ("3333-4444", "[phone]"),
        ("0800 123 4567", "[phone]"),
        ("+44 20 7946 0958", "[phone]"),
        ("+1 (415) 555-2671", "[phone]"),
        ("415-555-2671", "[phone]"),
        ("+351 912 345 678", "[phone]"),
        ("telefone 33334444", "telefone [phone]"),
        ("WhatsApp: 912345678", "WhatsApp: [phone]"),
        ("ana.maria+x@exemplo.com.br.", "[e-mail]."),
        ("<joão@exemplo.com>", "<[e-mail]>"),
        ("a@b.co e c@d.org", "[e-mail] e [e-mail]"),
    ],
)
def test_how_people_write_them(text, wanted):
    assert without_personal(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "R$ 12.345.678,90 em 31/12/2024, às 12:30; 2024-05-31 12:30:00 e 20240531",
        "de 2019-2024, 45,5 %, +5,3 %, 1.234.567 habitantes, +12.345.678, 100.000.000 %",
        "CEP 01310-100, processo 0001234-56.2024.8.26.0100, Lei 13.709/2018, art. 5º",
        "123.456.789-00 e 111.111.111-11 não são CPF; 11.222.333/0001-80 não é CNPJ",
        "4111 1111 1111 1112 não é cartão; ISBN 978-85-333-0227-3, EAN 7891234567895",
        "1700000000, 12345678, 3,14159265358979, 1.234.567.890,12, 192.168.100.200",
        "chave 35240511222333000181550010000012341000012345",
        "ana@, @ana, a@b, 3 x 4, 10-20-30, 1/2/3, (2024), 10 000 000",
    ],
)
def test_money_dates_years_and_other_numbers_stay(text):
    assert without_personal(text) == text


WORDS = [
    "O",
    "preço",
    "do",
    "pão",
    "subiu;",
    "disse-se:",
    "«não»",
    "à",
    "ministra,",
    "ação",
    "nº",
    "5ª",
    "—",
    "São",
    "João",
]


@st.composite
def sentences(draw: st.DrawFn) -> str:
    """Portuguese words among money, dates, percentages and plain numbers."""
    number = st.integers(0, 10**9)
    figures = st.one_of(
        number.map(lambda n: f"R$ {n:,}".replace(",", ".") + ",50"),
        number.map(lambda n: f"{n:,}".replace(",", ".")),
        st.dates().map(lambda d: d.strftime("%d/%m/%Y")),
        st.dates().map(str),
        st.datetimes().map(lambda d: str(d.replace(microsecond=0))),
        st.integers(0, 1000).map(lambda n: f"{n / 10:.1f}".replace(".", ",") + " %"),
        st.integers(0, 9_999_999).map(str),
        st.tuples(st.integers(1500, 2199), st.integers(1500, 2199)).map(lambda y: f"{y[0]}-{y[1]}"),
    )
    parts = draw(st.lists(st.one_of(st.sampled_from(WORDS), figures), max_size=20))
    kept: list[str] = []
    for part in parts:  # two figures in a row are written with a comma
        kept.append(part + "," if part[-1:].isdigit() else part)
    return " ".join(kept)


@given(sentences())
def test_portuguese_text_with_its_figures_stays_as_it_is(text):
    assert without_personal(text) == text


@given(st.text(alphabet="0123456789 .-/()+@aA%,", max_size=80))
def test_struck_out_twice_is_struck_out_once(text):
    once = without_personal(text)
    assert without_personal(once) == once


@given(st.text(max_size=200))
def test_any_text_may_be_redacted(text):
    assert isinstance(without_personal(text), str)


HOSTILE = ["a", "1", "1 ", "a@", "+1", "(", "1.1-", "A1", "sk-", "12345 ", "bearer ", "(11) ", "a."]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(piece):
    keys = key_redactor()

    def took(length: int) -> float:
        text = piece * (length // len(piece)) + "@"
        best = []
        for _ in range(3):
            start = time.perf_counter()
            keys(without_personal(text))
            best.append(time.perf_counter() - start)
        return min(best)

    assert took(80_000) < 12 * took(10_000) + 0.05  # 8 in proportion; 64 for its square


def test_a_number_in_a_long_random_run_of_signs_ends_in_time():
    chance = random.Random(0)
    text = "".join(chance.choices("0123456789 .-/()+@A", k=100_000))
    start = time.perf_counter()
    without_personal(text)
    assert time.perf_counter() - start < 3


def test_check_digits_are_those_of_the_published_rules():
    assert is_cpf("111.444.777-35")
    assert not is_cpf("111.444.777-36")
    assert not is_cpf("000.000.000-00")
    assert is_cnpj("11.444.777/0001-61")
    assert not is_cnpj("11.444.777/0001-62")
    assert is_card("5555 5555 5555 4444")
    assert not is_card("5555 5555 5555 4445")


def test_all_texts_of_json_data_are_redacted_the_names_too():
    data = {"a@b.co": [1, None, {"x": "529.982.247-25"}], "n": 52998224725}
    assert redacted(data, without_personal) == {
        "[e-mail]": [1, None, {"x": "[CPF]"}],
        "n": 52998224725,
    }


def test_keys_of_the_environment_and_what_looks_like_one_are_struck_out(monkeypatch):
    monkeypatch.setenv("OUR_API_KEY", "a.very+secret(key)")
    redact = key_redactor()
    assert redact("x a.very+secret(key) y sk-abcdefghijkl z") == "x *** y *** z"


KEYS = (
    *("sk-abcdefghijkl", "pk_abcdefghijkl", "hf_abcdefghijkl", "gsk_abcdefghijkl"),
    *("xai-abcdefghijkl", "key-abcdefghijkl", "AIzaSyabcdefghi", "AKIAABCDEFGH", "ASIAABCDEFGH"),
    *("Bearer abc.def-123", "BEARER abc.def-123"),
)


@pytest.mark.parametrize("key", KEYS)
def test_what_the_slow_way_strikes_out_the_quick_one_does_too(key):
    text = f"erro: {key}, fim"
    assert key_redactor()(text) == without_keys(text) != text
