"""A little of everything else for the base: English and Portuguese records copied into JSON."""

from __future__ import annotations

import random
from collections.abc import Callable

_NAMES = (
    *("Ana Lima", "John Baker", "Marta Reis", "Paulo Souza", "Emma Stone", "Carlos Dias"),
    *("Lucy Gray", "Rui Alves", "Olga Prado", "Peter Hall", "Nina Costa", "Hugo Silva"),
)
_ITEMS = (
    *("lamps", "chairs", "books", "blue pens", "tickets", "boxes", "tables", "red bags"),
    *("cadeiras", "livros", "mesas", "canetas azuis", "caixas", "bolsas"),
)
_CITIES = ("Lisbon", "Porto", "London", "Recife", "Boston", "Natal", "Leeds", "Curitiba", "Dublin")
_TOPICS = ("delivery", "payment", "account", "refund", "support", "entrega", "pagamento", "conta")

Record = dict[str, object]


def _order(rng: random.Random) -> tuple[str, Record]:
    record: Record = {
        "order": rng.randint(1000, 99999),
        "name": rng.choice(_NAMES),
        "quantity": rng.randint(1, 90),
        "item": rng.choice(_ITEMS),
        "price": round(rng.uniform(1, 900), 2),
        "city": rng.choice(_CITIES),
    }
    templates = (
        "Order {order}: {name} from {city} bought {quantity} {item} for {price}.",
        "{name} ({city}) paid {price} for {quantity} {item}, order {order}.",
    )
    return rng.choice(templates).format(**record), record


def _pedido(rng: random.Random) -> tuple[str, Record]:
    record: Record = {
        "pedido": rng.randint(1000, 99999),
        "cliente": rng.choice(_NAMES),
        "quantidade": rng.randint(1, 90),
        "produto": rng.choice(_ITEMS),
        "total": round(rng.uniform(1, 900), 2),
        "cidade": rng.choice(_CITIES),
    }
    templates = (
        "Pedido {pedido}: {cliente}, de {cidade}, comprou {quantidade} {produto} por {total}.",
        "{cliente} pagou {total} por {quantidade} {produto} em {cidade} (pedido {pedido}).",
    )
    return rng.choice(templates).format(**record), record


def _meeting(rng: random.Random) -> tuple[str, Record]:
    people = rng.sample(_NAMES, rng.randint(1, 3))
    record: Record = {
        "date": f"20{rng.randint(10, 39)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        "city": rng.choice(_CITIES),
        "people": people,
        "topic": rng.choice(_TOPICS),
    }
    text = f"On {record['date']} {', '.join(people)} met in {record['city']}"
    return f"{text} to talk about {record['topic']}.", record


def _pairs(rng: random.Random) -> tuple[str, Record]:
    """Made-up keys and values, so that copying does not hang on known words."""
    syllables = ("ba", "ri", "to", "lu", "me", "sa", "no", "ke", "vi", "du", "pa", "xo")
    record: Record = {
        "".join(rng.choices(syllables, k=rng.randint(2, 3))): rng.choice(
            (rng.randint(0, 9999), "".join(rng.choices(syllables, k=rng.randint(2, 4))))
        )
        for _ in range(rng.randint(2, 5))
    }
    return "; ".join(f"{key} = {value}" for key, value in record.items()), record


_KINDS: tuple[Callable[[random.Random], tuple[str, Record]], ...] = (
    _order,
    _pedido,
    _meeting,
    _pairs,
)


def generic_document(rng: random.Random) -> tuple[str, Record]:
    """A prompt that asks for some fields of a text, and the record with those fields."""
    text, record = rng.choice(_KINDS)(rng)
    keys = [key for key in record if rng.random() < 0.7] or list(record)[:1]
    head = rng.choice(("Extract as JSON", "Fields", "Extraia em JSON", "Campos"))
    gap = rng.choice(("\n", "\n\n"))
    return f"{head}: {', '.join(keys)}{gap}{text}", {key: record[key] for key in keys}
