"""`python -m toolrl_cli` is `toolrl`."""

from toolrl_cli.app import main

main()
