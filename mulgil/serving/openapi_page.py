"""The OpenAPI description as one HTML page, which opens without a network."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from mulgil.contract.expressions import GREATEST_FLOAT32
from mulgil.contract.values import GREATEST_WHOLE

HTML = b"text/html; charset=utf-8"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }
td { border-top: 1px solid #8886; }
pre { overflow-x: auto; padding: .6rem; background: #8882; border-radius: 4px; font-size: .85rem; }
summary { cursor: pointer; padding: .3rem 0; }
code { font-size: .9em; }
"""


def write_page(api: dict[str, Any]) -> bytes:
    """Write the page of what `describe_api` returned."""
    info, schemas = api["info"], api["components"]["schemas"]
    title = f"{info['title']}, version {info['version']}"
    operations = [
        _write_operation(path, method, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
        if method != "head"
    ]
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(info['description'])} ",
        'The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
        "<h2>Columns</h2>",
        _write_columns(schemas["InstanceByColumn"]),
        "<h2>Paths</h2>",
        *operations,
        "<h2>Forms</h2>",
        *(
            _write_details(f"<code>{escape(name)}</code>", _write_json(schema))
            for name, schema in schemas.items()
        ),
        "</body></html>",
    ]
    return "\n".join(parts).encode()


def _write_columns(instance: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(schema['description'])}</td>"
        f"<td>{escape(_write_values(schema))}</td></tr>"
        for name, schema in instance["properties"].items()
    )
    return f"<table><tr><th>column</th><th>meaning</th><th>values</th></tr>{rows}</table>"


def _write_values(schema: dict[str, Any]) -> str:
    """Write what a value may be, as JSON writes values."""
    if "enum" in schema:
        return ", ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "minimum" not in schema:
        # An image, whose description says what it may be.
        return ""
    types = schema["type"]
    kinds = " or ".join(types if isinstance(types, list) else [types])
    low, high = schema["minimum"], schema["maximum"]
    # That a number must fit into its type is nothing to tell.
    ends = [f"from {low}"] if low not in (-GREATEST_FLOAT32, -GREATEST_WHOLE) else []
    ends += [f"to {high}"] if high not in (GREATEST_FLOAT32, GREATEST_WHOLE) else []
    return ", ".join([kinds, " ".join(ends)] if ends else [kinds])


def _write_operation(path: str, method: str, operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    body = "".join(
        f"<p>Example:</p>{_write_json(form['example'])}" for form in content.values() if "example" in form
    )
    forms = [form["schema"]["$ref"].rsplit("/", 1)[1] for form in content.values() if "schema" in form]
    words = [f"Takes {' or '.join(forms)}."] if forms else []
    words.append(f"Answers {', '.join(operation['responses'])}.")
    if "security" in operation:
        words.append("Needs a token, where the server asks for one.")
    head = f"<code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}"
    return _write_details(head, f"<p>{escape(' '.join(words))}</p>{body}")


def _write_details(head: str, body: str) -> str:
    return f"<details><summary>{head}</summary>{body}</details>"


def _write_json(content: object) -> str:
    return f"<pre>{escape(json.dumps(content, indent=2, ensure_ascii=False))}</pre>"
