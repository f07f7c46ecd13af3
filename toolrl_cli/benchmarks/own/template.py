"""An evaluation of your own: `evaluate: [./my_eval.py]` in a sweep. See docs/evaluations.md."""


def items() -> list[dict[str, str]]:
    """The questions: `prompt` or `messages`; `id`, `category` (a column), `gold` and anything else that judge reads."""
    return [{"prompt": "What is 2 + 2? Answer with the number alone.", "gold": "4", "category": "sums"}]


def judge(item: dict[str, str], output: str) -> bool:
    """True, False, or what is wrong with the model's turn, as text."""
    return item["gold"] in output
