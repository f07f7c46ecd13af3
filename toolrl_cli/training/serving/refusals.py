"""What the server refuses, in the form of OpenAI's errors."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that gets no answer.

    Args:
        status: of HTTP.
        message: the reason, for people.
        code: the reason in one word, for programs.
        param: field of the request that it concerns.
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.param = param
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def bad_value(param: str, message: str) -> Refusal:
    """A field whose value cannot be used."""
    return Refusal(400, f"{param}: {message}", code="invalid_value", param=param)


def too_long(message: str, param: str) -> Refusal:
    """A prompt, alone or with its answer, beyond a limit."""
    return Refusal(400, message, code="context_length_exceeded", param=param)
