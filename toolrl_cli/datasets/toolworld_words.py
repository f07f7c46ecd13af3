"""The words of ToolWorld: what tools are called, what they ask for, and how users say it.

The tiny model's tokenizer is made from these lists, so a value has the same tokens in a query, in an
observation and in a call.
"""

from __future__ import annotations

from dataclasses import dataclass

VERBS = ("book", "cancel", "check", "change", "find", "rate", "share", "track")
NOUNS = (
    "flight", "hotel", "taxi", "table", "concert", "parcel", "lesson", "meeting",
    "cruise", "massage", "movie", "tour", "repair", "loan", "match", "visa",
)  # fmt: skip

# (verb, noun) pairs that no training split ever shows, not even as a tool that is not called. Every verb is
# held out three times and every noun once or twice, so each word by itself is well known.
UNSEEN_TOOLS = frozenset(
    (VERBS[index % len(VERBS)], NOUNS[(5 * index + 3 * (index // len(VERBS))) % len(NOUNS)])
    for index in range(3 * len(VERBS))
)

SEPARATORS = ("_", ".", "-")


@dataclass(frozen=True)
class Slot:
    """A kind of value that a tool can ask for.

    Attributes:
        aliases: names a parameter of this kind goes by; which one is used differs from row to row.
        description: what the schema says about it.
        type: the schema's type word.
        lead: words before the value in a query, with the spaces around them.
        values: what users say.
    """

    aliases: tuple[str, ...]
    description: str
    type: str
    lead: str
    values: tuple[str, ...]


HALVES = (" am", " pm")

SLOTS = {
    "place": Slot(
        ("city", "place", "town", "location"), "Where", "string", " in ",
        ("Paris", "Rome", "Tokyo", "Oslo", "Cairo", "Lima", "Delhi", "Berlin", "Madrid", "Dublin", "Vienna",
         "Prague", "Athens", "Boston", "Sydney", "Seoul", "Quito", "Dakar", "Riga", "Porto"),
    ),
    "day": Slot(
        ("day", "date", "weekday", "when"), "Which day", "string", " on ",
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ),
    "time": Slot(
        ("time", "hour", "start", "clock"), "What time", "string", " at ",
        tuple(f"{hour}{half}" for half in HALVES for hour in range(1, 13)),
    ),
    "person": Slot(
        ("name", "contact", "person", "partner"), "Who", "string", " with ",
        ("Anna", "Omar", "Lucy", "Ivan", "Mina", "Jack", "Sofia", "Hugo", "Nora", "Liam", "Kenji", "Priya",
         "Elena", "Tariq", "Bruno", "Freya"),
    ),
    "group": Slot(
        ("people", "guests", "seats", "size"), "How many", "int", " for ",
        tuple(str(count) for count in range(2, 60)),
    ),
    "budget": Slot(
        ("price", "budget", "limit", "cost"), "Highest price", "int", " under $",
        tuple(str(amount) for amount in range(60, 1000)),
    ),
}  # fmt: skip
REFERENCE = Slot(("id", "code", "key", "reference"), "The id", "string", "", ())
REFERENCE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

OPENERS = (
    ("Please ", "."), ("Can you ", "?"), ("Could you ", "?"), ("I want to ", "."), ("I need to ", "."),
)  # fmt: skip
ARTICLE = " a "
AND = " and "
THEN = " and then "
THEN_IT = " it"
DESCRIPTION_LEAD = "Lets you "
REFUSAL = "None of the tools can do this."
DONE_LEAD = "Done, the result is "
