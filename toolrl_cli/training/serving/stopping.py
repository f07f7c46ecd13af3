"""Where an answer ends, other than at the model's own stop tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

Decode = Callable[[Sequence[int]], str]

#: Tokens of which a text is looked for beyond its own bytes: a token may have begun before it, or have no bytes.
SLACK = 8


class StopWatch:
    """Sees each token of one answer and says when it is complete.

    Args:
        decode: the text of tokens.
        texts: the answer ends before the first of these.
        ids: it ends at one of these.

    Attributes:
        hit: what ended it, a text or a token's id; None until then.
    """

    def __init__(self, decode: Decode, texts: Collection[str], ids: Collection[int]) -> None:
        self.hit: str | int | None = None
        self._decode = decode
        self._texts = texts
        self._ids = ids
        self._window = max((len(text.encode()) for text in texts), default=0) + SLACK
        self._tokens: list[int] = []

    def __call__(self, token: int) -> bool:
        """Take the next token; True where the answer ends with it."""
        self._tokens.append(token)
        if token in self._ids:
            self.hit = token
        elif self._texts:
            # a text may end within a character of several tokens, so only its end is decoded again and again
            tail = self._decode(self._tokens[-self._window :])
            if any(text in tail for text in self._texts):
                self.hit = first_of(self._texts, self._decode(self._tokens))
        return self.hit is not None


def first_of(texts: Collection[str], whole: str) -> str | None:
    """The one of `texts` that comes first in `whole`; None where none does."""
    found = {text: whole.find(text) for text in texts if text in whole}
    return min(found, key=found.__getitem__) if found else None
