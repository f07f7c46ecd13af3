"""What makes two model folders the same model: every byte that changes what it generates."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from toolrl_cli.training.models.file_digests import digest_of
from toolrl_cli.training.models.model_folder import weight_files

PREFIX = "sha256:"
"""What tells it from the fingerprints of toolrl 0.1, which covered only the ends of weight files."""

READ = ("*.json", "*.model", "*.tiktoken", "*.txt", "*.bpe", "*.vocab", "**/*.py", "**/*.jinja")
"""Files beside the weights that decide what is generated: configurations, tokenizer, chat templates, code."""

FOR_PEOPLE = (
    *("readme*", "license*", "licence*", "notice*", "requirements*.txt", "*.index.json"),
    *("trainer_state.json", "*_results.json", "training_args*", "checkpoint.json"),
)
"""Of these, what only people read, or a training; an index says no more than its shards."""


def fingerprint(folder: Path) -> str:
    """`sha256:` and 16 hex digits over the whole of a model folder; neither its name nor its place counts.

    What counts is what `from_pretrained` loads: one consolidated weight file or the shards of the index, and all
    configurations, tokenizer files, chat templates and code. What does not: other weight files, the state of an
    optimiser, texts for people, hidden files.

    Raises:
        OSError: a file cannot be read.
    """
    return PREFIX + digest_of(folder, [*weight_files(folder), *_others(folder)])[:16]


def _others(folder: Path) -> list[Path]:
    found = [
        file
        for pattern in READ
        for file in folder.glob(pattern)
        if not any(part.startswith(".") for part in file.relative_to(folder).parts) and file.is_file()
    ]
    return sorted(f for f in found if not any(fnmatch.fnmatch(f.name.lower(), p) for p in FOR_PEOPLE))
