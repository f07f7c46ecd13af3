"""The REST interface of Ray Jobs, with a time limit: what the cluster said, or why nothing can be known.

Source: Ray 2.60, `ray/dashboard/modules/job/job_head.py` and `job_manager.py`.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LaunchError

PATIENCE = 20.0
"""Seconds for an answer."""

DEFAULT = "http://127.0.0.1:8265"
WHERE = "ray launcher"


class NoAnswer(LaunchError):
    """Nobody can say anything now: the head is down, or too slow."""


class Refused(LaunchError):
    """The cluster answered, and refuses.

    Attributes:
        status: of HTTP.
        text: all that it said, with its trace-backs.
    """

    status: int = 0
    text: str = ""


@dataclass(frozen=True)
class Site:
    """Where a cluster is, and how it is asked.

    Attributes:
        address: URL of the dashboard.
        token_file: file with its token; empty for what Ray itself would take.
        certificates: file of authorities to trust; empty for the system's.
    """

    address: str
    token_file: str = ""
    certificates: str = ""


def default_address() -> str:
    """The address that Ray's own `ray job` would take, where that is a URL."""
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        value = os.environ.get(name, "")
        if value.startswith(("http://", "https://")):
            return value.rstrip("/")
    return DEFAULT


class JobsApi:
    """Asks one cluster."""

    def __init__(self, site: Site) -> None:
        import httpx  # and what speaks through it: no command without a Ray job needs it

        self._site = site
        self._fault = httpx.HTTPError
        try:
            verify = ssl.create_default_context(cafile=site.certificates) if site.certificates else True
            token = token_of(site)
        except OSError as error:
            hint = "see `token_file` and `certificates` of `launchers: {ray: …}`"
            raise LaunchError(f"{error.filename}: {error.strerror}", WHERE, hint) from error
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx.Client(
                base_url=site.address, headers=headers, timeout=PATIENCE, verify=verify
            )
        except (httpx.InvalidURL, ValueError, ImportError) as error:  # of the address, or of a proxy's
            hint = "see `address` of `launchers: {ray: …}`, and the variables of proxies"
            raise LaunchError(f"{site.address}: {error}", WHERE, hint) from error

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Submission id → job, of all that were submitted."""
        rows = self._asked("GET", "/api/jobs/")
        return {row["submission_id"]: row for row in rows if row.get("submission_id")}

    def job(self, job: str) -> dict[str, Any] | None:
        """One job; None where there is none."""
        try:
            return dict(self._asked("GET", f"/api/jobs/{job}"))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def submit(self, request: Mapping[str, Any]) -> None:
        """Submit a job; where its id is known already, `exists` tells so of the refusal."""
        self._asked("POST", "/api/jobs/", request)

    def stop(self, job: str) -> None:
        """Ask a running job to end; without effect on one that waits, whatever Ray answers."""
        self._asked("POST", f"/api/jobs/{job}/stop")

    def delete(self, job: str) -> None:
        """Forget an ended job, so that its id can be used again."""
        self._asked("DELETE", f"/api/jobs/{job}")

    def totals(self) -> list[dict[str, float]]:
        """What each living node has, by Ray's names: `CPU`, `GPU`, `memory` in bytes, custom ones."""
        answer = self._asked("GET", "/api/v0/nodes?detail=1&limit=10000")
        rows = answer.get("data", {}).get("result", {}).get("result", [])
        return [
            row["resources_total"] for row in rows if row.get("state") == "ALIVE" and row["resources_total"]
        ]

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except self._fault as error:
            raise NoAnswer(f"{self._site.address}: {error or type(error).__name__}", WHERE) from error
        said = _last(answer.text)
        if answer.status_code in (401, 403):
            hint = "set RAY_AUTH_TOKEN_PATH, or `token_file` of `launchers: {ray: …}`"
            raise Refused(f"it wants another token: {said}", self._site.address, hint)
        if answer.status_code in (502, 503, 504) or "No available agent" in said:
            raise NoAnswer(f"{self._site.address}: {said or answer.status_code}", WHERE)
        if not answer.is_success:
            refused = Refused(said or f"status {answer.status_code}", self._site.address)
            refused.status, refused.text = answer.status_code, answer.text
            raise refused
        try:
            return answer.json()
        except json.JSONDecodeError as error:
            hint = "`address` is that of its dashboard, such as http://head:8265"
            raise Refused("this is no Ray dashboard", self._site.address, hint) from error


def exists(error: Refused) -> bool:
    """Whether a submission was refused because there is a job of that id."""
    return "already exists" in error.text


def token_of(site: Site) -> str:
    """The token, from where Ray itself would have it; empty for none.

    Raises:
        OSError: a file that was named cannot be read.
    """
    given = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if given and not site.token_file:
        return given
    named = site.token_file or os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    return path.read_text(encoding="utf-8").strip() if named or path.is_file() else ""


def _last(text: str) -> str:
    """What the innermost error says: trace-backs come wrapped in others, and the last line may be a full stop."""
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    return (errors or lines or [""])[-1][:500]
