"""The records of decisions can be cited by number."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"


def test_every_record_has_a_number_of_its_own_and_bears_it_in_its_title():
    records = sorted(FOLDER.glob("*.md"))
    numbers = [int(path.name[:4]) for path in records]

    assert numbers == list(range(1, len(numbers) + 1))
    for number, path in zip(numbers, records, strict=True):
        assert re.match(rf"# (?:0*){number}\. ", path.read_text(encoding="utf-8")), path.name
