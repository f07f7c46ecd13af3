"""The exception for an option that verl would refuse."""

from __future__ import annotations


class OptionFault(Exception):
    """One option, or a combination of them, that verl would refuse.

    Attributes:
        what: the fault in one clause.
        option: the option as given, with its prefix; a section, or empty, where no single option is at fault.
        hint: what to do about it; may be empty.
    """

    def __init__(self, what: str, option: str = "", hint: str = "") -> None:
        self.what, self.option, self.hint = what, option, hint
        super().__init__(f"{option}: {what} ({hint})")


class UnknownOption(OptionFault):
    """An option that verl does not have; `ownership.meanings` tells what was meant."""

    def __init__(self, name: str, option: str) -> None:
        super().__init__(f"verl has no option {name!r}", option)
