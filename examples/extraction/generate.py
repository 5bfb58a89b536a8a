"""Seeded order e-mails in English with gold fields.

Command: python -m understudy.examples.extraction.generate OUT.csv --seed 0
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPLIT_SIZES = {"train": 200, "validation": 20, "calibration": 20, "test": 60}
COLUMNS = ("text", "split", "customer", "product", "quantity", "extras", "delivery_note")
LONGEST_TEXT = 300


def _listed(text: str) -> list[str]:
    return text.split(", ")


FIRST_NAMES = _listed(
    "Ada, Ben, Carla, Dmitri, Elif, Farah, Greta, Hugo, Ines, Jonas, Kwame, Leila, Marta, "
    "Nadia, Omar, Priya, Quentin, Rosa, Samir, Tess, Uma, Viktor, Wanda, Yusuf, Zoe"
)
LAST_NAMES = _listed(
    "Abbott, Bergmann, Castillo, Dubois, Eriksen, Fischer, Gallo, Hartley, Iqbal, Jansen, "
    "Kowalski, Lindqvist, Moreau, Novak, Okafor, Petrov, Quinn, Rossi, Sato, Tanaka, "
    "Underhill, Vance, Whitfield, Yilmaz, Zhang"
)
FIRMS = _listed(
    "Harbour Café, Mill Lane School, Brightwater Clinic, The Copper Kettle, Northside Gym, "
    "Fox & Daughters, Riverside Nursery, Studio Nine"
)

# Each product in singular and plural.
PRODUCTS = [
    tuple(pair.split("/"))
    for pair in _listed(
        "oak stool/oak stools, beeswax candle/beeswax candles, wool blanket/wool blankets, "
        "linen apron/linen aprons, cast iron pan/cast iron pans, ceramic mug/ceramic mugs, "
        "desk lamp/desk lamps, bamboo tray/bamboo trays, garden hose/garden hoses, "
        "picture frame/picture frames, cotton tote/cotton totes, espresso cup/espresso cups, "
        "folding chair/folding chairs, bread knife/bread knives, leather notebook/leather "
        "notebooks, wall clock/wall clocks, door mat/door mats, storage box/storage boxes, "
        "bird feeder/bird feeders, water filter/water filters, chess set/chess sets, "
        "pillow case/pillow cases, bath towel/bath towels, tea strainer/tea strainers, "
        "salt and pepper mill/salt and pepper mills, lamp with brass foot/lamps with brass feet"
    )
]
# Sold by the container: the text says "three jars of", the product is what is in them.
IN_CONTAINERS = [
    ("jar/jars", "orange marmalade"),
    ("jar/jars", "green olives"),
    ("bag/bags", "coffee beans"),
    ("bag/bags", "potting soil"),
    ("box/boxes", "green tea"),
    ("pack/packs", "printer paper"),
    ("bottle/bottles", "olive oil"),
    ("crate/crates", "blood oranges"),
    ("tub/tubs", "white paint"),
]
EXTRAS = _listed(
    "gift wrap, a greeting card, a spare lid, an extra key, felt pads, wall hooks, "
    "a printed receipt, a sample sachet, a cleaning cloth, spare batteries, ribbon, "
    "a carrying case, care instructions, a name tag, a longer cable, rubber feet"
)
NOTES = [
    "leave it with the porter",
    "ring the bell twice",
    "use the side gate",
    "leave it behind the blue bin",
    "call me before you arrive",
    "deliver after 5 pm",
    "come before noon, the shop closes early",
    "hand it to my neighbour at number 12",
    "do not ring, the baby sleeps",
    "leave it at the back door",
    "deliver to the second floor",
    "knock loudly, the bell is broken",
    "put it in the shed",
    "leave it on the porch if nobody is in",
    "mind the dog",
    "park behind the building",
    "bring it to reception",
    "text me when you are outside",
]
NUMBER_WORDS = _listed(
    "one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, "
    "fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty"
)
ODD_NUMBERS = {"half a dozen": 6, "a dozen": 12, "two dozen": 24, "a couple of": 2, "a pair of": 2}

# {order} is "quantity product", {old} another number. The last ones mislead a hasty reader.
ASKS = [
    "I'd like {order}{extras}.",
    "Could you send me {order}{extras}?",
    "Please send {order}{extras}.",
    "We need {order} for the office{extras}.",
    "I would like to order {order}{extras}.",
    "Put me down for {order}{extras}, please.",
    "Can I get {order}{extras}?",
    "My order: {order}{extras}.",
    "Item: {product}. Quantity: {quantity}{extras}.",
    "I am after {order}{extras}, as in your catalogue.",
    "I want to order {order}{extras}.",
    "Kindly send {order}{extras}.",
    "We are out of {product}, please send {quantity}{extras}.",
    "The shelf is empty again: {order}{extras}, please.",
    "Please send {old}, no, make that {order}{extras}.",
    "The {old} from last month are gone, so we want {order}{extras}.",
]
EXTRAS_ASKS = [
    " with {extras}",
    " plus {extras}",
    "Please add {extras}.",
    "Please include {extras}.",
    "Extras: {list}.",
    ", together with {extras}",
    ", and throw in {extras}",
]
REFUSALS = ["No {one} this time.", ", without {one}", "I don't need {wanted}."]
NOTE_FRAMES = ["{Note}.", "Please {note}.", "For the driver: {note}.", "Delivery: {note}."]
GREETINGS = ["Hi!", "Hello.", "Good morning.", "Dear all!", "Hi there!", ""]
CLOSINGS = ["Thanks,", "Best,", "Kind regards,", "Cheers,", "Many thanks,", "Yours,"]
INTRODUCTIONS = ["This is {name}.", "{name} here.", "My name is {name}.", "I'm {name}."]
ON_BEHALF = ["I'm writing for {name}.", "This one is for {name}.", "On behalf of {name}:"]


@dataclass(frozen=True)
class OrderRow:
    """One e-mail of at most LONGEST_TEXT characters, its split and its gold fields."""

    text: str
    split: str
    customer: str
    product: str
    quantity: int
    extras: tuple[str, ...]
    delivery_note: str | None


def order_rows(seed: int) -> list[OrderRow]:
    """All splits in order, exactly SPLIT_SIZES rows each, no text twice; equal for equal seeds."""
    rng = random.Random(f"orders:{seed}")
    rows: list[OrderRow] = []
    seen: set[str] = set()
    for split, size in SPLIT_SIZES.items():
        while size:
            row = _draw_row(rng, split)
            if row.text not in seen and len(row.text) <= LONGEST_TEXT:
                seen.add(row.text)
                rows.append(row)
                size -= 1
    return rows


def _draw_row(rng: random.Random, split: str) -> OrderRow:
    ask, product, quantity = _draw_ask(rng)
    extras_words, extras = _draw_extras(rng)
    note_words, note = _draw_note(rng)
    if extras_words[:1].isupper():  # a sentence of its own
        ask, extras_words = f"{ask} {extras_words}", ""
    body = " ".join(filter(None, [ask.replace("{extras}", extras_words), note_words]))
    text, customer = _draw_sender(rng, body)
    return OrderRow(text, split, customer, product, quantity, extras, note)


def _draw_ask(rng: random.Random) -> tuple[str, str, int]:
    """The order sentence, its {extras} still open, with the gold product and quantity."""
    written, quantity = _draw_quantity(rng)
    form = 0 if quantity == 1 else 1
    if rng.random() < 0.25 and not written.startswith(("a ", "half")):
        container, product = rng.choice(IN_CONTAINERS)
        ordered = f"{container.split('/')[form]} of {product}"
    else:
        ordered = product = rng.choice(PRODUCTS)[form]
    frame = rng.choice(ASKS)
    if frame.startswith("Item"):
        ordered = product
    ask = frame.format(
        order=f"{written} {ordered}",
        product=product,
        quantity=written.removesuffix(" of"),
        old=rng.choice([number for number in range(2, 16) if number != quantity]),
        extras="{extras}",
    )
    return ask, product, quantity


def _draw_quantity(rng: random.Random) -> tuple[str, int]:
    """A quantity as written and as a number."""
    manner = rng.random()
    if manner < 0.15:
        written = rng.choice(list(ODD_NUMBERS))
        return written, ODD_NUMBERS[written]
    number = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 18, 20])
    if manner < 0.55:
        return NUMBER_WORDS[number - 1], number
    number = number if rng.random() < 0.8 else 5 * number + 20
    return str(number), number


def _draw_extras(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """The words that ask for extras, and the gold; a third of the rows want none."""
    manner = rng.random()
    if manner < 0.28:
        return "", ()
    wanted = rng.sample(EXTRAS, rng.choice([1, 1, 2, 2, 3]))
    if manner < 0.36:
        return rng.choice(REFUSALS).format(one=_bare(wanted[0]), wanted=wanted[0]), ()
    *heads, last = wanted
    spoken = f"{', '.join(heads)} and {last}" if heads else last
    frame = rng.choice(EXTRAS_ASKS)
    gold = tuple(_bare(extra) for extra in wanted)
    return frame.format(extras=spoken, list=", ".join(gold)), gold


def _draw_note(rng: random.Random) -> tuple[str, str | None]:
    if rng.random() < 0.4:
        return "", None
    note = rng.choice(NOTES)
    frame = rng.choice(NOTE_FRAMES)
    return frame.format(note=note, Note=note[0].upper() + note[1:]), note


def _draw_sender(rng: random.Random, body: str) -> tuple[str, str]:
    """The whole e-mail and who the order is for."""
    person = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
    closing, greeting = rng.choice(CLOSINGS), rng.choice(GREETINGS)
    manner = rng.random()
    if manner < 0.5:
        customer = rng.choice(FIRMS) if rng.random() < 0.15 else person
        parts = [greeting, body, f"{closing} {customer}"]
        return rng.choice([" ", "\n"]).join(filter(None, parts)), customer
    if manner < 0.85:
        introduction = rng.choice(INTRODUCTIONS).format(name=person)
        return " ".join(filter(None, [greeting, introduction, body])), person
    customer = rng.choice([*FIRMS, f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"])
    behalf = rng.choice(ON_BEHALF).format(name=customer)
    return " ".join(filter(None, [greeting, behalf, body, closing, person])), customer


def _bare(extra: str) -> str:
    return extra.removeprefix("a ").removeprefix("an ")


def write_csv(path: Path, seed: int) -> int:
    """Write all splits as UTF-8 CSV with COLUMNS; return the number of rows.

    `extras` is a JSON list, and no delivery note is the JSON `null`: an empty cell is no gold.
    """
    rows = order_rows(seed)
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            extras = json.dumps(row.extras, ensure_ascii=False)
            gold = [row.customer, row.product, row.quantity, extras, row.delivery_note or "null"]
            writer.writerow([row.text, row.split, *gold])
    return len(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: OUT.csv and --seed."""
    parser = argparse.ArgumentParser(description="Write synthetic order e-mails as CSV.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows = write_csv(options.out, options.seed)
    sys.stdout.write(f"{rows} orders written to {options.out}\n")


if __name__ == "__main__":
    main()
