"""`python -m tributary` is `tributary`."""

from tributary.cli import main

main()
