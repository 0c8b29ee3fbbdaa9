"""Rows in the form of UCI's processed.cleveland.data, drawn from a known model."""

import random
from pathlib import Path

MISSING = "?"


def write_heart_rows(path: Path, rows: int = 300, seed: int = 0) -> Path:
    """Write rows whose status follows the directions that the dictionary declares."""
    random_ = random.Random(seed)
    path.write_text("".join(_row(random_) for _ in range(rows)), encoding="utf-8")
    return path


def _row(random_: random.Random) -> str:
    severity = random_.gauss(0, 1)
    age = min(77, max(29, round(random_.gauss(54 + 3 * severity, 8))))
    thalach = min(202, max(71, round(random_.gauss(150 - 14 * severity, 15))))
    oldpeak = round(max(0.0, random_.gauss(0.9 + 0.7 * severity, 0.6)), 1)
    exang = int(random_.gauss(severity, 1) > 0.4)
    ca = min(3, max(0, round(random_.gauss(0.7 + 0.7 * severity, 0.6))))
    thal = 3 if random_.gauss(severity, 1) < 0.1 else random_.choice((6, 7, 7, 7))
    num = 0 if random_.gauss(severity, 0.5) < 0.05 else random_.randint(1, 4)
    cells = [
        age,
        random_.randint(0, 1),
        random_.choice((1, 2, 3, 4, 4)),
        round(random_.gauss(131, 17)),
        round(random_.gauss(246, 45)),
        int(random_.random() < 0.15),
        random_.choice((0, 0, 1, 2, 2)),
        thalach,
        exang,
        oldpeak,
        random_.choice((1, 2, 2, 3)),
        MISSING if random_.random() < 0.03 else ca,
        MISSING if random_.random() < 0.03 else thal,
    ]
    return ",".join(str(cell) if cell == MISSING else f"{float(cell)}" for cell in cells) + f",{num}\n"
