"""The vocabulary of ToolWorld: names of tools and parameters, and how users phrase requests.

The tiny model's tokenizer is made from these lists, so a value has the same tokens in a query, in an
observation and in a call.
"""

from __future__ import annotations

from dataclasses import dataclass

VERBS = ("book", "cancel", "check", "change", "find", "rate", "share", "track")
NOUNS = (
    "flight", "hotel", "taxi", "table", "concert", "parcel", "lesson", "meeting", "cruise", "tour", "repair", "visa",
)  # fmt: skip

# (verb, noun) pairs that no training split has, not even as a tool that is not called. Every verb is held out
# three times and every noun once or twice, so that each word by itself occurs in training.
UNSEEN_TOOLS = frozenset(
    (VERBS[index % len(VERBS)], NOUNS[(5 * index + 3 * (index // len(VERBS))) % len(NOUNS)])
    for index in range(3 * len(VERBS))
)

SEPARATORS = ("_", ".", "-")


# share of parameters that have their usual name
USUAL_NAME_SHARE = 0.7


@dataclass(frozen=True)
class Slot:
    """A kind of value that a tool can ask for.

    Attributes:
        aliases: possible names of such a parameter, the usual one first; the name differs from row to row, so that
            the model has to read it in the schema.
        description: its description in the schema.
        lead: words before the value in a query, with the spaces around them.
        values: values that users give.
        type: the schema's type word.
    """

    aliases: tuple[str, ...]
    description: str
    lead: str
    values: tuple[str, ...]
    type: str = "string"


SLOTS = {
    "place": Slot(
        ("city", "place", "town"), "Where", " in ",
        ("Paris", "Rome", "Tokyo", "Oslo", "Cairo", "Lima", "Delhi", "Berlin", "Madrid", "Dublin", "Vienna",
         "Prague", "Athens", "Boston", "Sydney", "Seoul"),
    ),
    "day": Slot(
        ("day", "date", "weekday"), "Which day", " on ",
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ),
    "time": Slot(
        ("time", "hour", "start"), "What time", " at ",
        tuple(f"{hour} {half}" for half in ("am", "pm") for hour in (1, 3, 5, 7, 9, 11)),
    ),
    "person": Slot(
        ("name", "contact", "partner"), "Who", " with ",
        ("Anna", "Omar", "Lucy", "Ivan", "Mina", "Jack", "Sofia", "Hugo", "Nora", "Liam", "Kenji", "Priya",
         "Elena", "Tariq", "Bruno", "Freya"),
    ),
    "group": Slot(
        ("people", "guests", "seats"), "How many", " for ", tuple(str(count) for count in range(2, 10)), "int",
    ),
    "topic": Slot(
        ("topic", "theme", "subject"), "About what", " about ",
        ("jazz", "chess", "opera", "poker", "yoga", "salsa", "sushi", "rugby", "magic", "robots"),
    ),
}  # fmt: skip
REFERENCE = Slot(("id", "code", "key"), "The id", "", ())
REFERENCE_LETTERS = "ABCDEFGH"

OPENERS = (
    ("Please ", "."), ("Can you ", "?"), ("Could you ", "?"), ("I want to ", "."), ("I need to ", "."),
)  # fmt: skip
ARTICLE = " a "
AND = " and "
THEN = " and then "
THEN_IT = " it"
DESCRIPTION_LEAD = "Lets you "
CHATTER = (
    "I like to talk about ", "Nobody told me anything about ", "We had fun last year with ", "My friend lives in ",
    "It rained all day in ", "I once heard a story about ", "I just came back from a trip with ",
    "Nothing beats a morning in ",
)  # fmt: skip
REFUSAL = "None of the tools can do this."
CHAT_REPLY = "That is good to know."
DONE_LEAD = "Done, the result is "
