"""Derived columns: a small expression language over other columns.

Python's own syntax, but only column names, literals, arithmetic, comparisons, `and`, `or` and `not`. It is
read into a tree once and never evaluated by Python, so that a dictionary from a stranger cannot run code.
A missing operand makes the result missing.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Scalar = float | int | bool | str | datetime | None

_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ORDER: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}
_EQUALITY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_BINARY = _ARITHMETIC | _ORDER | _EQUALITY

# Ample for a rule that a person reads, and far from the depth at which walking the tree would fail.
_GREATEST_LENGTH = 200


class Kind(StrEnum):
    """What an operand is, as far as operators care."""

    NUMBER = "a number"
    TRUTH = "true or false"
    TEXT = "text"
    MOMENT = "a date and time"


# True and false count as 1 and 0.
_NUMERIC = {Kind.NUMBER, Kind.TRUTH}


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: As the dictionary has it.
        columns: Names of the columns it reads.
    """

    text: str
    columns: frozenset[str]
    _tree: ast.expr = field(repr=False, compare=False)

    def kind(self, columns: Mapping[str, Kind]) -> Kind:
        """Infer what the expression gives, from what its columns hold.

        Raises:
            ValueError: An operator stands between operands that it cannot take, such as a code and a number.
        """
        return _infer(self._tree, columns)

    def evaluate(self, row: Mapping[str, Scalar]) -> Scalar:
        """Compute the value for one row; `None` where a column it reads is missing.

        Raises:
            ValueError: There is no value, as in a division by zero.
        """
        try:
            result: Scalar = _evaluate(self._tree, row)
        except ArithmeticError as exc:
            raise ValueError(f"{self.text} has no value: {exc}") from exc
        return result


def parse_expression(text: str) -> Expression:
    """Check an expression.

    Raises:
        ValueError: It is not an expression of this language; the message names the part.
    """
    if len(text) > _GREATEST_LENGTH:
        raise ValueError(f"an expression has at most {_GREATEST_LENGTH} characters; received {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as exc:
        raise ValueError(f"not an expression: {exc.msg}; received {text!r}") from exc
    _check(tree)
    return Expression(text, frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)), tree)


def _check(node: ast.expr) -> None:
    match node:
        case ast.Name() | ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            _check(left)
            _check(right)
        case ast.Compare(left, [op], [right]) if type(op) in _ORDER | _EQUALITY:
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


def _infer(node: ast.expr, columns: Mapping[str, Kind]) -> Kind:
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=bool()):
            return Kind.TRUTH
        case ast.Constant(value=str()):
            return Kind.TEXT
        case ast.Constant():
            return Kind.NUMBER
        case ast.BinOp(left, _, right):
            _require(node, {_infer(left, columns), _infer(right, columns)} <= _NUMERIC, "numbers")
            return Kind.NUMBER
        case ast.Compare(left, [op], [right]):
            kinds = {_infer(left, columns), _infer(right, columns)}
            if type(op) in _ORDER:
                # Codes have no order: "10" comes before "3".
                _require(node, kinds <= _NUMERIC or kinds == {Kind.MOMENT}, "two numbers, or two times")
            else:
                # A code is text, and the number 7 never equals the text "7".
                _require(
                    node, kinds <= _NUMERIC or len(kinds) == 1, 'two of a kind; a code is text, as in "7"'
                )
            return Kind.TRUTH
        case ast.BoolOp(values=values):
            _require(node, {_infer(value, columns) for value in values} == {Kind.TRUTH}, "true or false")
            return Kind.TRUTH
        case ast.UnaryOp(ast.Not(), operand):
            _require(node, _infer(operand, columns) is Kind.TRUTH, "true or false")
            return Kind.TRUTH
        case ast.UnaryOp(_, operand):
            _require(node, _infer(operand, columns) in _NUMERIC, "a number")
            return Kind.NUMBER
    raise AssertionError(f"unchecked expression: {ast.dump(node)}")


def _require(node: ast.expr, is_right: bool, operands: str) -> None:
    if not is_right:
        raise ValueError(f"the operator takes {operands}; received {ast.unparse(node)!r}")


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
