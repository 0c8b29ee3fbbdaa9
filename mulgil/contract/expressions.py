"""Derived columns: a small expression language over other columns.

Python's own syntax, but only column names, literals, arithmetic, comparisons, `and`, `or`, `not` and a few
functions. It is read into a tree once and never evaluated by Python, so that a dictionary from a stranger
cannot run code. A missing operand makes the result missing, but of `present`, which asks for that.

What an operator does is left to an algebra: this module has the one of single values, preprocessing that of
numpy's arrays, and training that of a TensorFlow graph.
"""

from __future__ import annotations

import ast
import math
import operator
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise, product
from typing import Any, Protocol

from mulgil.contract.moments import EPOCH, PARTS, SECONDS_A_DAY, Zone, find_zone, part_of

Scalar = float | int | bool | str | datetime | None

_ARITHMETIC: dict[type[ast.AST], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_ORDER: dict[type[ast.AST], str] = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}
_EQUALITY: dict[type[ast.AST], str] = {ast.Eq: "==", ast.NotEq: "!="}
_SYMBOLS = _ARITHMETIC | _ORDER | _EQUALITY

# Functions of one number; a logarithm and a root of what has none are missing.
_OF_A_NUMBER = ("abs", "log", "sqrt")
_BUCKET, _CROSS = "bucket", "cross"
# Whether a column has a value, the one question that a missing value answers.
_PRESENT = "present"
# Of dates: how many days lie between two, and a part as a category.
_DAYS, _CODE = "days_between", "code"
_FUNCTIONS = (*_OF_A_NUMBER, _BUCKET, _CROSS, *PARTS, _DAYS, _CODE, _PRESENT)

# All that an expression may do with operands, as it is written.
OPERATIONS = (*_SYMBOLS.values(), "and", "or", "not", *_FUNCTIONS)

# Between the codes that are crossed.
CROSSED_BY = " & "

# A one-hot vector of more numbers learns nothing from a table that a laptop holds. Chosen by eye.
_MOST_CODES = 1000

# What a model computes in: https://numpy.org/doc/2.2/reference/generated/numpy.finfo.html
GREATEST_FLOAT32 = 3.4028234663852886e38
# TensorFlow reads what is nearer to zero as zero, so that `a / a` of it would have a value in numpy alone.
LEAST_FLOAT32 = 1.1754943508222875e-38

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


class Algebra(Protocol):
    """What operators and functions do with operands of one form; a missing operand makes a result missing."""

    def constant(self, value: float | bool | str) -> Any:
        """Return a literal as an operand."""

    def combine(self, symbol: str, left: Any, right: Any) -> Any:
        """Apply an operator of two: + - * / > >= < <= == != and or."""

    def apply(self, name: str, operand: Any) -> Any:
        """Apply an operator or a function of one: - not abs log sqrt present."""

    def bucket(self, number: Any, bounds: Sequence[float], labels: Sequence[str]) -> Any:
        """Return the label of the interval that a number lies in; a bound belongs to the one above it."""

    def cross(self, codes: Sequence[Any]) -> Any:
        """Return codes as one, joined by `CROSSED_BY`."""

    def part(self, name: str, seconds: Any, zone: Zone) -> Any:
        """Return a part of a date, such as the hour, as the clocks of a zone show it."""


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

    @property
    def zones(self) -> frozenset[str]:
        """Names of the zones whose clocks it reads, UTC left out."""
        calls = [node for node in ast.walk(self._tree) if _part_name(node) is not None]
        named = {_zone_name(node.args[1:]) for node in calls if isinstance(node, ast.Call)}
        return frozenset(named - {_zone_name([])})

    def kind(self, columns: Mapping[str, Kind]) -> Kind:
        """Infer what the expression gives, from what its columns hold.

        Raises:
            ValueError: An operator stands between operands that it cannot take, such as a code and a number.
        """
        return _infer(self._tree, columns)

    def codes(self, categories: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Return every code that an expression which gives text can give, in order.

        Args:
            categories: Codes of the columns it reads.

        Raises:
            ValueError: They are too many to learn from.
        """
        codes = _codes(self._tree, categories)
        if len(codes) > _MOST_CODES:
            raise ValueError(f"it gives at most {_MOST_CODES} codes; received {len(codes)}")
        return codes

    def compute(self, columns: Mapping[str, Any], algebra: Algebra) -> Any:
        """Compute the value from operands of the algebra's form."""
        return _compute(self._tree, columns, algebra)

    def evaluate(self, row: Mapping[str, Scalar]) -> Scalar:
        """Compute the value for one row; `None` where a column it reads is missing.

        Raises:
            ValueError: There is no value, as in a division by zero.
        """
        # A moment is a number of seconds here, with its fraction.
        operands = {n: _seconds(v) if isinstance(v, datetime) else v for n, v in row.items()}
        try:
            result: Scalar = _compute(self._tree, operands, _SCALARS)
        except (ArithmeticError, ValueError) as exc:
            raise ValueError(f"{self.text} has no value: {exc}") from exc
        return result

    def evaluate_feature(self, row: Mapping[str, float | str | None]) -> float | str | None:
        """Compute a feature's value for one row; `None` where there is none.

        Args:
            row: Numbers as float32 has them, which is what a model's graph gets, and 0 for those below
                `LEAST_FLOAT32` in size; truth as 1 and 0; moments as whole seconds since 1970.
        """
        try:
            value = _compute(self._tree, row, _SCALARS)
        except (ArithmeticError, ValueError):
            return None
        if value is None or isinstance(value, str):
            return value
        return float(value) if abs(value) <= GREATEST_FLOAT32 else None


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
    return Expression(text, frozenset(_names(tree)), tree)


def _seconds(moment: datetime) -> float:
    return (moment - EPOCH).total_seconds()


def _names(tree: ast.expr) -> list[str]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]


def _check(node: ast.expr) -> None:
    match node:
        case ast.Name() | ast.Constant(value=bool() | str()):
            return
        case ast.Constant(value=int() | float() as number):
            if not (abs(number) <= GREATEST_FLOAT32 and (number == 0 or abs(number) >= LEAST_FLOAT32)):
                raise ValueError(
                    f"a number is 0, or from 1.2e-38 to 3.4e38 in size; received {ast.unparse(node)}"
                )
        case ast.Call(ast.Name(id=name), args, []) if name in _FUNCTIONS:
            for argument in args:
                _check(argument)
            _check_call(node, name, args)
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
                f"one comparison at a time, and, or, not, and {', '.join(_FUNCTIONS)}"
            )


def _check_call(node: ast.expr, name: str, arguments: Sequence[ast.expr]) -> None:
    if name in _OF_A_NUMBER:
        is_right, takes = len(arguments) == 1, f"{name}(number)"
    elif name == _CROSS:
        is_right, takes = len(arguments) >= 2, "cross(category, category)"
    elif name == _PRESENT:
        is_right = len(arguments) == 1 and isinstance(arguments[0], ast.Name)
        takes = "present(column)"
    elif name == _DAYS:
        is_right, takes = len(arguments) == 2, "days_between(earlier, later)"
    elif name == _CODE:
        is_right = len(arguments) == 1 and _part_name(arguments[0]) is not None
        takes = f"code(weekday(time)): one of {', '.join(PARTS)}"
    elif name in PARTS:
        is_right = len(arguments) in (1, 2)
        takes = f'{name}(time), or {name}(time, "Europe/Paris")'
        match arguments[1:]:
            case [ast.Constant(value=str() as zone)]:
                find_zone(zone)
            case [_]:
                is_right = False
    else:
        bounds = [_literal(argument) for argument in arguments[1:]]
        numbers = [bound for bound in bounds if bound is not None]
        is_right = bool(bounds) and len(numbers) == len(bounds) and numbers == sorted(set(numbers))
        takes = "bucket(number, 18, 65): bounds from the least to the greatest"
    if not is_right:
        raise ValueError(f"{name} is written as {takes}; received {ast.unparse(node)!r}")


def _part_name(node: ast.AST) -> str | None:
    match node:
        case ast.Call(ast.Name(id=name)) if name in PARTS:
            return name
    return None


def _part_codes(node: ast.expr) -> tuple[list[float], tuple[str, ...]]:
    """Return where a part's whole numbers but the first begin, and each as a code."""
    low, high = PARTS[_part_name(node) or ""]
    return [float(number) for number in range(low + 1, high + 1)], tuple(map(str, range(low, high + 1)))


def _literal(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(ast.USub(), ast.Constant(value=int() | float() as number)):
            return None if isinstance(number, bool) else -number
    return None


def _bounds(arguments: Sequence[ast.expr]) -> list[float]:
    return [bound for bound in map(_literal, arguments) if bound is not None]


def _labels(bounds: Sequence[float]) -> tuple[str, ...]:
    written = [f"{bound:g}" if float(f"{bound:g}") == bound else repr(bound) for bound in bounds]
    between = (f"{low} to {high}" for low, high in pairwise(written))
    return f"under {written[0]}", *between, f"{written[-1]} or more"


def _codes(node: ast.expr, categories: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    match node:
        case ast.Name(id=name):
            return tuple(categories[name])
        case ast.Constant(value=str() as text):
            return (text,)
        case ast.Call(ast.Name(id=name), [_, *bounds]) if name == _BUCKET:
            return _labels(_bounds(bounds))
        case ast.Call(ast.Name(id=name), [part]) if name == _CODE:
            return _part_codes(part)[1]
        case ast.Call(_, arguments):
            every = [_codes(argument, categories) for argument in arguments]
            # Counted before they are written down.
            if math.prod(map(len, every)) > _MOST_CODES:
                raise ValueError(
                    f"it gives at most {_MOST_CODES} codes; received {math.prod(map(len, every))}"
                )
            return tuple(dict.fromkeys(CROSSED_BY.join(codes) for codes in product(*every)))
    raise AssertionError(f"not text: {ast.dump(node)}")


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
        case ast.Call(ast.Name(id=name), arguments):
            if name in PARTS:
                arguments = arguments[:1]
            if name == _PRESENT:
                return Kind.TRUTH
            kinds = {_infer(argument, columns) for argument in arguments}
            if name in PARTS or name == _DAYS:
                _require(node, kinds == {Kind.MOMENT}, "a column of type timestamp")
                return Kind.NUMBER
            if name == _CODE:
                return Kind.TEXT
            if name == _CROSS:
                _require(node, kinds == {Kind.TEXT}, "categories; bucket makes one of a number")
                return Kind.TEXT
            _require(node, kinds <= _NUMERIC, "a number")
            return Kind.TEXT if name == _BUCKET else Kind.NUMBER
    raise AssertionError(f"unchecked expression: {ast.dump(node)}")


def _require(node: ast.expr, is_right: bool, operands: str) -> None:
    if not is_right:
        raise ValueError(f"the operator takes {operands}; received {ast.unparse(node)!r}")


def _compute(node: ast.expr, columns: Mapping[str, Any], algebra: Algebra) -> Any:
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=value):
            return algebra.constant(value)  # type: ignore[arg-type]
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            operands = (_compute(one, columns, algebra) for one in (left, right))
            return algebra.combine(_SYMBOLS[type(op)], *operands)
        case ast.BoolOp(op=op, values=values):
            result, *others = (_compute(value, columns, algebra) for value in values)
            for other in others:
                result = algebra.combine("and" if isinstance(op, ast.And) else "or", result, other)
            return result
        case ast.UnaryOp(op=op, operand=operand):
            sign = "-" if isinstance(op, ast.USub) else "not"
            return algebra.apply(sign, _compute(operand, columns, algebra))
        case ast.Call(ast.Name(id=name), [first, *others]):
            operand = _compute(first, columns, algebra)
            if name == _BUCKET:
                bounds = _bounds(others)
                return algebra.bucket(operand, bounds, _labels(bounds))
            if name == _CROSS:
                return algebra.cross([operand, *(_compute(one, columns, algebra) for one in others)])
            if name == _CODE:
                return algebra.bucket(operand, *_part_codes(first))
            if name in PARTS:
                return algebra.part(name, operand, find_zone(_zone_name(others)))
            if name == _DAYS:
                seconds = algebra.combine("-", _compute(others[0], columns, algebra), operand)
                return algebra.combine("/", seconds, algebra.constant(SECONDS_A_DAY))
            return algebra.apply(name, operand)
    raise AssertionError(f"unchecked expression: {ast.dump(node)}")


def _zone_name(arguments: Sequence[ast.expr]) -> str:
    match arguments:
        case [ast.Constant(value=str() as name)]:
            return name
    return "UTC"


class _Scalars:
    """The algebra of single values, `None` where there is none."""

    _TWO: Mapping[str, Callable[[Any, Any], Any]] = {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
        "and": lambda left, right: bool(left and right),
        "or": lambda left, right: bool(left or right),
    }
    _ONE: Mapping[str, Callable[[Any], Any]] = {
        "-": operator.neg,
        "not": operator.not_,
        "abs": abs,
        "log": math.log,
        "sqrt": math.sqrt,
    }

    def constant(self, value: float | bool | str) -> Any:
        return value

    def combine(self, symbol: str, left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        result = self._TWO[symbol](left, right)
        # Infinity less infinity.
        return None if result != result else result

    def apply(self, name: str, operand: Any) -> Any:
        if name == _PRESENT:
            return operand is not None
        return None if operand is None else self._ONE[name](operand)

    def bucket(self, number: Any, bounds: Sequence[float], labels: Sequence[str]) -> Any:
        return None if number is None else labels[bisect_right(bounds, number)]

    def cross(self, codes: Sequence[Any]) -> Any:
        return None if None in codes else CROSSED_BY.join(codes)

    def part(self, name: str, seconds: Any, zone: Zone) -> Any:
        if seconds is None:
            return None
        return part_of(name, seconds + zone.ahead[bisect_right(zone.bounds, seconds)])


_SCALARS = _Scalars()
