"""The JSON Schemas of a project's two files, so that an editor completes and checks them.

Run as a program, it writes them: `python -m mulgil.contract.json_schema docs/schemas`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mulgil.contract.dictionary import Contract, DataDictionary
from mulgil.contract.project import Project

SCHEMA_FILES: dict[str, type[Contract]] = {
    "project.schema.json": Project,
    "data_dictionary.schema.json": DataDictionary,
}


def render_schema(model: type[Contract]) -> str:
    """Write the JSON Schema of a contract file.

    Source: https://json-schema.org/draft/2020-12
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write both schemas into a folder."""
    parser = argparse.ArgumentParser(description="Write the JSON Schemas of a project's files.")
    parser.add_argument("schemas_path", type=Path, help="The folder to write into.")
    folder: Path = parser.parse_args().schemas_path
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in SCHEMA_FILES.items():
        (folder / name).write_text(render_schema(model), encoding="utf-8")


if __name__ == "__main__":
    main()
