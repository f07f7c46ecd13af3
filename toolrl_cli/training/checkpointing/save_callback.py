"""The trainer's side of `last_save`, in the process of verl's trainer.

Source: `trainer.checkpoint_callback_class` gives a callback the trainer's own configuration (verl 0.9.1,
`trainer/ppo/checkpoint_callback.py`), whose `trainer.save_freq` is read after every step (`v1/trainer_base.py: fit`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from toolrl_cli.training.checkpointing.last_save import ASKED, SAVE_IN, SAVED

LOOK = 2.0
"""Seconds between two looks whether it is asked; the folder may be on a file system that others share."""


class SaveWhenAsked(CheckpointCallback):  # type: ignore[misc]
    """Has verl save after the step in which it is asked, tells when it has, and leaves no later checkpoint.

    A later one could be whole when the trainer is ended, and its step not logged.

    Args:
        config: of the trainer; changed.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        folder = os.environ.get(SAVE_IN)
        self._folder = Path(folder) if folder else None
        self._lock, self._has_saved = threading.Lock(), False
        if self._folder is not None:
            threading.Thread(target=self._watch, args=(self._folder,), daemon=True).start()

    def _watch(self, folder: Path) -> None:
        while not _is_there(folder / ASKED):
            time.sleep(LOOK)
        with self._lock:
            if not self._has_saved:
                self.config.trainer.save_freq = 1

    def on_save(self, trainer: Any, global_step: int, *args: Any, **kwargs: Any) -> None:
        """Called by verl when a checkpoint is whole."""
        if self._folder is None or not _is_there(self._folder / ASKED):
            return
        with self._lock:
            self._has_saved, self.config.trainer.save_freq = True, -1
        with contextlib.suppress(OSError):  # the training must not fail for a word about its checkpoint
            temporary = self._folder / f"{SAVED}.new"
            temporary.write_text(str(global_step))
            temporary.replace(self._folder / SAVED)


def _is_there(path: Path) -> bool:
    """Whether it is; not where the file system does not answer, which may pass."""
    try:
        return path.exists()
    except OSError:
        return False
