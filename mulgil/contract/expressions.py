"""Derived columns: a small expression language over other columns.

Python's own syntax, but only column names, literals, arithmetic, comparisons, `and`, `or` and `not`. It is
read into a tree once and never evaluated by Python, so that a dictionary from a stranger cannot run code.
A missing operand makes the result missing.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Scalar = float | int | bool | str | None

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: As the dictionary has it.
        columns: Names of the columns it reads.
    """

    text: str
    columns: frozenset[str]

    def evaluate(self, row: Mapping[str, Scalar]) -> Scalar:
        """Compute the value for one row; `None` where a column it reads is missing."""
        result: Scalar = _evaluate(ast.parse(self.text, mode="eval").body, row)
        return result


def parse_expression(text: str) -> Expression:
    """Check an expression.

    Raises:
        ValueError: It is not an expression of this language; the message names the part.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as exc:
        raise ValueError(f"not an expression: {exc.msg}") from exc
    _check(tree)
    return Expression(text, frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)))


def _check(node: ast.expr) -> None:
    match node:
        case ast.Name() | ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            _check(left)
            _check(right)
        case ast.Compare(left, [op], [right]) if type(op) in _BINARY:
            _check(left)
            _check(right)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value)
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            _check(operand)
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} is not allowed: only columns, literals, + - * /, "
                "one comparison at a time, and, or, not"
            )


def _evaluate(node: ast.expr, row: Mapping[str, Scalar]) -> Any:
    match node:
        case ast.Name(id=name):
            return row[name]
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            a, b = _evaluate(left, row), _evaluate(right, row)
            return None if a is None or b is None else _BINARY[type(op)](a, b)
        case ast.BoolOp(op=op, values=values):
            results = [_evaluate(value, row) for value in values]
            if None in results:
                return None
            return all(results) if isinstance(op, ast.And) else any(results)
        case ast.UnaryOp(op=op, operand=operand):
            value = _evaluate(operand, row)
            if value is None:
                return None
            return -value if isinstance(op, ast.USub) else not value
    raise AssertionError(f"unchecked expression: {ast.dump(node)}")
