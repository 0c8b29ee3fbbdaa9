"""The two streams that commands write to."""

from rich.console import Console

# A table cut to the width of a pipe loses what the reader came for.
output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)
