"""Checks of this machine, for `toolrl doctor`."""
