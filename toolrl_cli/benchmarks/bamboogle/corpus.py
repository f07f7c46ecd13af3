"""Search in documents of one's own: no network, and the same results every time.

A corpus is a file, or a folder of files, by name: `.jsonl` with one document a line (`text` or `contents`, and `title`
where it has one), `.txt` and `.md` with one document each, titled by the file. Documents are ranked by BM25
(Robertson and Zaragoza, 2009; k1 = 1.2, b = 0.75), equals in their order; what is shown of one is its passage with the
most words of the query.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from toolrl_cli.benchmarks.bamboogle.results import NOTHING, SHOWN, numbered
from toolrl_cli.errors import SpecError

K1, B = 1.2, 0.75
PASSAGE = 60
"""Words of a document that are shown."""
TEXTS = (".txt", ".md")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Document:
    """One document of a corpus."""

    title: str
    text: str


class Corpus:
    """Documents that can be searched.

    Args:
        documents: at least one.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = tuple(documents)
        counts = [Counter(_words(f"{d.title} {d.text}")) for d in documents]
        lengths = [sum(count.values()) for count in counts]
        mean = sum(lengths) / len(lengths) or 1.0
        self._postings: dict[str, list[tuple[int, float]]] = {}
        for number, (count, length) in enumerate(zip(counts, lengths, strict=True)):
            for word, n in count.items():
                weight = n * (K1 + 1) / (n + K1 * (1 - B + B * length / mean))
                self._postings.setdefault(word, []).append((number, weight))

    def __call__(self, query: str) -> str:
        """The first results for a query, as text; as Serper's are shown."""
        words = dict.fromkeys(_words(query))
        scores: Counter[int] = Counter()
        for word in words:
            found = self._postings.get(word, ())
            rarity = math.log(1 + (len(self._documents) - len(found) + 0.5) / (len(found) + 0.5))
            for number, weight in found:
                scores[number] += rarity * weight  # type: ignore[assignment]
        best = sorted(scores, key=lambda number: (-scores[number], number))[:SHOWN]
        shown = [self._documents[number] for number in best]
        return numbered([f"{d.title}\n- Snippet: {_passage(d.text, words)}" for d in shown]) or NOTHING


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _passage(text: str, wanted: dict[str, None]) -> str:
    """The first of the passages that hold the most different words of the query."""
    words = text.split()
    starts = range(0, max(1, len(words) - PASSAGE // 2), PASSAGE // 2)
    held = {at: len(wanted.keys() & set(_words(" ".join(words[at : at + PASSAGE])))) for at in starts}
    best = max(held, key=lambda at: (held[at], -at))
    return " ".join(words[best : best + PASSAGE])


def read_corpus(place: Path) -> list[Document]:
    """The documents of a file or folder, in the order of names and lines.

    Raises:
        SpecError: there are none, or a line is no document; with file and line.
    """
    if not place.exists():
        raise SpecError("no such file or folder", str(place), "name one with documents, or serper")
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    found: list[Document] = []
    for path in files:
        if path.suffix not in (".jsonl", *TEXTS):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or "no UTF-8 text"
            raise SpecError(f"cannot be read ({told})", str(path)) from None
        found += _lines(text, path) if path.suffix == ".jsonl" else [Document(path.stem, text)]
    if not any(document.text.strip() for document in found):
        raise SpecError("holds no documents", str(place), "give .jsonl, .txt or .md files with text")
    return found


def _lines(text: str, path: Path) -> Iterator[Document]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        body = row.get("text", row.get("contents")) if isinstance(row, dict) else None
        if not isinstance(row, dict) or not isinstance(body, str):
            hint = 'for example {"title": "Rome", "text": "Rome is the capital of Italy."}'
            raise SpecError("is no document", f"{path}:{number}", hint)
        yield Document(str(row.get("title") or row.get("id") or f"document {number}"), body)


def corpus_fingerprint(place: Path) -> str:
    """Ten hexadecimal digits of the documents and their order.

    Raises:
        SpecError: as `read_corpus`.
    """
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    return _fingerprint(place, tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files))


@lru_cache(maxsize=8)
def _fingerprint(place: Path, as_of: tuple[tuple[str, int, int], ...]) -> str:
    hashed = hashlib.sha256()
    for document in read_corpus(place):
        hashed.update(json.dumps([document.title, document.text]).encode())
    return hashed.hexdigest()[:10]
