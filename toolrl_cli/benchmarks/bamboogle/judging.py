"""A model that judges whether an answer means the same as the gold answer: the released prompt and rule.

Source: as `dialogue`; its judge was GPT-4o at temperature 0. An answer is right where the text behind `- Judgment:` is
`Yes`, exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import httpx

from toolrl_cli.benchmarks.bamboogle.serper import post
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.evaluations.asking import CannotRun
from toolrl_cli.spec.run.evaluation_settings import JudgeSpec

SYSTEM = (
    "You are a helpful assistant to help me judge if the answer for a specific query is correct or not. You will be "
    "given the query, the ground truth answer and the predicted answer. You should first think about if the predicted "
    'answer is semantically the same as the ground truth answer. If so give "Yes" in the field "Judgment", '
    'otherwise give "No".\n\n**Output Format**\nYour Response:\n- Thought: <Your brief thoughts>\n'
    "- Judgment: <Yes/No>\n"
)
USER = "**Query**\n{query}\n\n**Ground Truth Answer**\n{gold}\n\n**Predicted Answer**\n{predicted}\n\nYour Response:\n"


class Judge:
    """Asks an OpenAI-compatible server.

    Args:
        client: sends the requests.
        spec: which server and model.
        wait: told how many seconds to wait between tries; None to wait.
    """

    def __init__(
        self, client: httpx.Client, spec: JudgeSpec, wait: Callable[[float], None] | None = None
    ) -> None:
        self._client = client
        self._spec = spec
        self._wait = wait
        self._key = judge_key(spec)

    def __call__(self, query: str, gold: str, predicted: str) -> tuple[bool, str]:
        """Whether the answer is right, and what the judge said.

        Raises:
            CannotRun: the server does not answer, or says neither.
        """
        user = USER.format(query=query, gold=gold, predicted=predicted)
        body = {
            "model": self._spec.model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}],
            "temperature": 0,
            "n": 1,
        }
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        url = f"{self._spec.url.rstrip('/')}/chat/completions"
        more = {} if self._wait is None else {"wait": self._wait}
        data = post(self._client, url, body, headers, f"the judge {self._spec.model}", **more)
        try:
            said = data["choices"][0]["message"]["content"].strip()
        except (KeyError, IndexError, TypeError, AttributeError):
            raise CannotRun(f"the judge {self._spec.model} answers no chat completion") from None
        return judgment(said, self._spec.model), said


def judgment(said: str, model: str = "") -> bool:
    """What a judge's answer says.

    Raises:
        CannotRun: it has no judgment.
    """
    if "- Judgment:" not in said:
        raise CannotRun(f"the judge {model} gives no judgment: {said[:60]!r}")
    return said.split("- Judgment:")[1].strip() == "Yes"


def judge_key(spec: JudgeSpec) -> str:
    """The key in the environment; empty where the server takes none (`key_env: null`).

    Raises:
        BenchmarkError: it is not set.
    """
    if spec.key_env is None:
        return ""
    key = os.environ.get(spec.key_env, "").strip()
    if not key:
        hint = "export it, or judge by matching words: evaluation.bamboogle.judge: null"
        raise BenchmarkError(
            f"{spec.key_env} is not set, and {spec.model} judges Bamboogle's answers", "bamboogle", hint
        )
    return key
