"""Expressions typed by a user: Python's own parser gives their structure, and nothing is ever evaluated as code.

Allowed are numbers, the names and functions that are known, ``+ - * / ** ^`` and parentheses; they bind as in Python.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Final, NoReturn

import sympy as sp

from critlearn.errors import InvalidInputError

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<operator>\*\*|[-+*/^(),])"
    r"|(?P<end>$))",
    re.ASCII,
)
_OPERATORS: Final[dict[type[ast.operator], Callable[..., sp.Expr]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_LONGEST: Final = 1000
_DEEPEST: Final = 60
"""Characters, and levels of parentheses and number of powers: SymPy walks through expressions by recursion."""

_LARGEST_POWER: Final = 100
"""Largest size of a constant exponent, and of all that act on one variable together, as in ``(y**10)**10``.

What is above would only fill the memory with digits, or take minutes to expand.
"""

_LARGEST_CONSTANT: Final = 1e100
"""Largest and, inverted, smallest size of a constant: its square still fits into a float."""

_MOST_DIGITS: Final = 1000
"""Digits of a constant written as a fraction: the product of 25 numbers of the longest kind, and below what Python
turns into text."""

_LONGEST_NUMBER: Final = 40
_LARGEST_DECIMAL_EXPONENT: Final = 300
"""Characters of a number, and its power of ten: the exact fraction stays short, and a float can hold it."""


@dataclass(frozen=True)
class Function:
    """A function that may be called: the expression that it makes of its arguments, and how many it takes."""

    make: Callable[..., sp.Expr]
    arguments: int = 1


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


def parse_expression(
    text: str, symbols: Mapping[str, sp.Expr], functions: Mapping[str, Function], *, kind: str = "expression"
) -> sp.Expr:
    """Expression as SymPy object; decimal numbers become exact fractions.

    Parameters
    ----------
    text
        Text that the user typed.
    symbols
        Variables and constants by the names that stand for them.
    functions
        Functions that may be called, by name.
    kind
        What the text describes, for messages.

    Raises
    ------
    InvalidInputError
        If the text is no such expression; the message gives the column, counted from 1, and marks it.

    >>> y = sp.Symbol("y")
    >>> parse_expression("y/(1+abs(y)^3)^(1/3)", {"y": y}, {"abs": Function(sp.Abs)})
    y/(Abs(y)**3 + 1)**(1/3)
    """
    return _Parser(text, symbols, functions, kind).whole()


class _Parser:
    """Parser of one text: tokens are checked, Python's parser makes a tree of them, the tree becomes an expression.

    Python is given ``_`` for every name and ``0`` for every number, so that it sees no words but only how they bind.
    """

    def __init__(self, text: str, symbols: Mapping[str, sp.Expr], functions: Mapping[str, Function], kind: str) -> None:
        self.text, self.symbols, self.functions, self.kind = text, symbols, functions, kind
        if len(text) > _LONGEST:
            raise InvalidInputError(f"{kind} has {len(text)} characters; at most {_LONGEST} are read")
        self.source = ""
        self.bounded: set[sp.Expr] = set()  # constants that were found to be small enough
        self.tokens: dict[int, _Token] = {}  # by their places in the source
        tokens = self._tokens()
        self._check(tokens)
        for token in tokens:
            self.tokens[len(self.source)] = token
            self.source += {"name": "_", "number": "0"}.get(token.kind, token.text.replace("^", "**")) + " "

    def _fail(self, column: int, problem: str) -> NoReturn:
        """Raise the error for a column (counted from 1), with the place marked in the text."""
        shown = self.text.replace("\n", " ").replace("\r", " ")
        marked = f"{shown[: column - 1]}>>>{shown[column - 1 :]}"
        raise InvalidInputError(f'{self.kind} "{shown}": {problem} at column {column}: {marked}')

    def _tokens(self) -> list[_Token]:
        tokens, position = [], 0
        while match := _TOKEN.match(self.text, position):
            kind = str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
            position = match.end()
            if kind == "end":
                return tokens
        position += len(self.text[position:]) - len(self.text[position:].lstrip())
        return self._fail(position + 1, f"unexpected {self.text[position]!r}")

    def _check(self, tokens: list[_Token]) -> None:
        """Raise unless operators stand between operands and parentheses match, as Python's parser needs."""
        depth = powers = 0
        for before, token in pairwise([_Token("start", "", 0), *tokens]):
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            powers += token.text in ("**", "^")
            begins = token.kind in ("number", "name") or token.text == "("
            ended = before.kind in ("number", "name") or before.text == ")"
            called = before.kind == "name" and token.text == "("
            if not (begins or ended or token.text in ("+", "-")):
                found = f'found "{token.text}"' if token.text else "the text ends"
                self._fail(token.column, f'expected a number, a name or "(", {found}')
            if depth < 0 or (begins and ended and not called):
                self._fail(token.column, f'unexpected "{token.text}"')
            if depth > _DEEPEST or powers > _DEEPEST:
                self._fail(token.column, f"more than {_DEEPEST} levels of parentheses, or powers")
        if depth:
            self._fail(tokens[-1].column, 'expected ")"')

    def whole(self) -> sp.Expr:
        """Value of the whole text."""
        try:
            tree = ast.parse(self.source, mode="eval").body
            value = self._value(tree)
            if self._power(tree) > _LARGEST_POWER:
                raise InvalidInputError(f"{self.kind} has powers that together go beyond {_LARGEST_POWER}")
            return value
        except (RecursionError, MemoryError):
            raise InvalidInputError(f"{self.kind} has too many terms or signs in a row") from None

    def _value(self, node: ast.expr) -> sp.Expr:
        """Value of a node of the tree, with one level of recursion for one of its own: a long sum has hundreds."""
        token = self.tokens[node.col_offset]
        match node:
            case ast.Constant():
                return self._number(token)
            case ast.Name():
                return self._symbol(token)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._value(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                return self._joined(self._behind(left), self._value(left), _OPERATORS[type(sign)], self._value(right))
            case ast.Call(func=ast.Name(), args=arguments, keywords=[]):
                return self._called(token, [self._value(argument) for argument in arguments])
            case ast.Tuple(elts=[first, *_]):
                token = self._behind(first)
        return self._fail(token.column, f'unexpected "{token.text}"')

    def _power(self, node: ast.expr) -> float:
        """Highest power that the expression may hold if it is expanded; each name counts as one."""
        match node:
            case ast.Constant():
                return 0.0
            case ast.UnaryOp(operand=operand):
                return self._power(operand)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                exponent = self._value(right)
                size = abs(float(exponent)) if exponent.is_number else 1.0 + self._power(right)
                return self._power(left) * max(1.0, size)
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
                return self._power(left) + self._power(right)
            case ast.BinOp(left=left, right=right):
                return max(self._power(left), self._power(right))
            case ast.Call(args=arguments):
                return max(map(self._power, arguments), default=0.0)
        return 1.0

    def _behind(self, node: ast.expr) -> _Token:
        """The token behind a node and the parentheses around it."""
        end = node.end_col_offset or 0
        return next(token for place, token in self.tokens.items() if place >= end and token.text != ")")

    def _number(self, token: _Token) -> sp.Expr:
        exponent = re.split("[eE]", token.text + "e0")[1]
        if len(token.text) > _LONGEST_NUMBER or abs(int(exponent)) > _LARGEST_DECIMAL_EXPONENT:
            self._fail(token.column, "number with too many digits")
        value = sp.Rational(token.text)
        if not value.is_zero and not _in_range(value):
            self._fail(token.column, f"number beyond {_LARGEST_CONSTANT:.0e}, or its inverse")
        return value

    def _symbol(self, token: _Token) -> sp.Expr:
        if token.text not in self.symbols:
            if token.text in self.functions:
                self._fail(token.column + len(token.text), f'function "{token.text}" needs "("')
            self._fail(token.column, _unknown("name", token.text, self.symbols, self.functions))
        return self.symbols[token.text]

    def _joined(self, token: _Token, left: sp.Expr, join: Callable[..., sp.Expr], right: sp.Expr) -> sp.Expr:
        # Before SymPy joins them: it would write out every digit of a large power.
        power = join is operator.pow
        if power and right.is_number and abs(float(right)) > _LARGEST_POWER:
            self._fail(token.column, f"exponent beyond {_LARGEST_POWER}")
        if (left.is_zero and right.is_negative) if power else (join is operator.truediv and right.is_zero):
            self._fail(token.column, "division by zero")
        value = join(left, right)
        if value.is_number and not value.is_real:
            self._fail(token.column, "power of a negative number is not real")
        return self._bounded(token, value)

    def _called(self, token: _Token, arguments: list[sp.Expr]) -> sp.Expr:
        if token.text not in self.functions:
            self._fail(token.column, _unknown("function", token.text, self.functions, self.symbols))
        function = self.functions[token.text]
        if len(arguments) != function.arguments:
            self._fail(
                token.column, f'function "{token.text}" takes {function.arguments} argument(s), got {len(arguments)}'
            )
        value = function.make(*arguments)
        if value.is_number and not value.is_real:
            self._fail(token.column, f'function "{token.text}" has no real value there')
        return self._bounded(token, value)

    def _bounded(self, token: _Token, value: sp.Expr) -> sp.Expr:
        """The value, if it and the numbers in it are small enough: SymPy gathers factors in ``y*1e90*1e90``."""
        numbers = value.atoms(sp.Number) | ({value} if value.is_number else set())
        for number in numbers - self.bounded:
            if not number.is_zero and not _in_range(number):
                self._fail(token.column, f"constant beyond {_LARGEST_CONSTANT:.0e}, or its inverse")
            if number.is_Rational and max(abs(number.p), number.q) >= 10**_MOST_DIGITS:
                self._fail(token.column, f"constant with more than {_MOST_DIGITS} digits")
        return value


def _in_range(value: sp.Expr) -> bool:
    """Whether a constant and its inverse are small enough to be computed with."""
    if value.is_Rational:
        large, small = sorted((abs(value.p), value.q), reverse=True)
        return bool(large <= int(_LARGEST_CONSTANT) * small)
    if value is sp.nan:
        return False
    return bool(1 / _LARGEST_CONSTANT <= abs(value.evalf(5)) <= _LARGEST_CONSTANT)


def _unknown(kind: str, given: str, first: Mapping[str, object], second: Mapping[str, object]) -> str:
    near = get_close_matches(given, [*first, *second], n=1, cutoff=0.5)
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    return f'unknown {kind} "{given}"{hint}; allowed: {", ".join(sorted(first))}'
