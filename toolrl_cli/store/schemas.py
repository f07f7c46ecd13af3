"""One schema number for each kind of JSON document, and what brings earlier ones up to it.

Who changes a document so that its readers must know raises the number here, and adds to its `migrations`, under the
old number, what makes the new form of the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.store.files import read_json
from toolrl_cli.store.migration import Step, migrated


@dataclass(frozen=True)
class Document:
    """One kind of document.

    Attributes:
        name: of its file, for messages.
        schema: the one that this version writes.
        migrations: schema n → what makes a document of schema n + 1 of one of schema n.
    """

    name: str
    schema: int = 1
    migrations: Mapping[int, Step] = field(default_factory=dict)

    def stamped(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content with the schema that it is in."""
        return {"schema": self.schema, **content}

    def current(self, data: Mapping[str, Any], of: str = "") -> dict[str, Any]:
        """The document in today's schema.

        Args:
            data: what was read.
            of: whose it is, for messages.

        Raises:
            LedgerError: a later version wrote it, or one that is too old to be understood.
            KeyError, TypeError, ValueError: it is something else.
        """
        return migrated(data, self.schema, self.migrations, f"{self.name} of {of}" if of else self.name)

    def load(self, path: Path) -> dict[str, Any] | None:
        """The document in a file, in today's schema; None where there is none (no file, torn, edited).

        Raises:
            LedgerError: another version wrote it, which this one cannot read; or the file system does not give it.
        """
        data = read_json(path)
        try:
            return None if data is None else self.current(data)
        except LedgerError as error:
            raise LedgerError(error.what, str(path), error.hint) from None
        except (TypeError, ValueError, KeyError):
            return None


# of a stage
SPEC = Document("spec.json")
STATE = Document("state.json")
LEASE = Document("lease")
REWINDS = Document("rewinds.json")
WHY_SUPERSEDED = Document("why.json")
BEST = Document("best.json")
CHECKPOINT = Document("checkpoint.json")
SCORES = Document("scores.json")

# of an attempt
COMMAND = Document("command.json")
ENVIRONMENT = Document("environment.json")
OPTIONS = Document("verl_options.json")
PACE = Document("pace.json")
PROCESSES = Document("processes.json")
REWARD_FAILURE = Document("reward_failure.json")

# of a results root
ROOT = Document("root.json")

# of a sweep
PLAN = Document("plan.json")
WANDB = Document("wandb.json")
WANDB_STATUS = Document("wandb_status.json")
LOGGERS_STATUS = Document("loggers_status.json")
PROVENANCE = Document("provenance.json")

# of a data folder
DATASET = Document("manifest.json")

PRINTED = 1
"""Of the documents that commands print with `--json`."""
