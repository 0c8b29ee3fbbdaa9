"""`python -m mulgil.cli`."""

from mulgil.cli import main

main()
