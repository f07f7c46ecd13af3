"""What a process that a user's function has started by `multiprocessing` runs first: it finds the same files.

Such a process imports anew the main module of the one that started it, by its name; `serving` gives this one's.
"""

from __future__ import annotations

from toolrl_cli.rewards.user_code.loading import find_again

if __name__ == "__mp_main__":
    find_again()
