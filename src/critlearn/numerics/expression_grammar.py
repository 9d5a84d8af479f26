"""Expressions typed by a user, read by a grammar of numbers, names and operators: nothing is ever evaluated as code.

sum     = product { ("+" | "-") product }
product = sign { ("*" | "/") sign }
sign    = ("+" | "-") sign | power
power   = atom [ ("**" | "^") sign ]
atom    = number | name | name "(" sum { "," sum } ")" | "(" sum ")"
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NoReturn

import sympy as sp

from critlearn.errors import InvalidInputError

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<operator>\*\*|[-+*/^(),])|$)",
    re.ASCII,
)
_LONGEST: Final = 1000
_DEEPEST: Final = 60
_LARGEST_POWER: Final = 100
"""Largest size of a constant exponent of a constant: what is above would only fill the memory with digits."""


@dataclass(frozen=True)
class Function:
    """A function that may be called: what it makes of expressions, and how many it takes."""

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
        What was typed.
    symbols
        What the names of variables and constants stand for.
    functions
        What may be called.
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
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str, symbols: Mapping[str, sp.Expr], functions: Mapping[str, Function], kind: str) -> None:
        self.text, self.symbols, self.functions, self.kind = text, symbols, functions, kind
        if len(text) > _LONGEST:
            raise InvalidInputError(f"{kind} has {len(text)} characters; at most {_LONGEST} are read")
        self.tokens = self._tokens()
        self.at = 0
        self.depth = 0

    def _fail(self, column: int, problem: str) -> NoReturn:
        """Raise the error for a column (counted from 1), with the place marked in the text."""
        shown = self.text.replace("\n", " ").replace("\r", " ")
        marked = f"{shown[: column - 1]}>>>{shown[column - 1 :]}"
        raise InvalidInputError(f'{self.kind} "{shown}": {problem} at column {column}: {marked}')

    def _tokens(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                blank = len(self.text[position:]) - len(self.text[position:].lstrip())
                self._fail(position + blank + 1, f"unexpected {self.text[position + blank]!r}")
            if match.lastgroup is not None:
                start = match.start(match.lastgroup)
                tokens.append(_Token(match.lastgroup, match.group(match.lastgroup), start + 1))
            position = match.end() if match.end() > position else len(self.text)
        tokens.append(_Token("end", "", len(self.text) + 1))
        return tokens

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, *texts: str) -> _Token | None:
        """Next token if it is one of these operators."""
        if self.token.kind == "operator" and self.token.text in texts:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            self._fail(self.token.column, f'expected "{text}"')

    def whole(self) -> sp.Expr:
        value = self._sum()
        if self.token.kind != "end":
            self._fail(self.token.column, f'unexpected "{self.token.text}"')
        return value

    def _sum(self) -> sp.Expr:
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail(self.token.column, f"more than {_DEEPEST} levels of parentheses")
        value = self._product()
        while operator := self._take("+", "-"):
            term = self._product()
            value = value + term if operator.text == "+" else value - term
        self.depth -= 1
        return value

    def _product(self) -> sp.Expr:
        value = self._sign()
        while operator := self._take("*", "/"):
            factor = self._sign()
            if operator.text == "/" and factor.is_zero:
                self._fail(operator.column, "division by zero")
            value = value * factor if operator.text == "*" else value / factor
        return value

    def _sign(self) -> sp.Expr:
        negative = False
        while operator := self._take("+", "-"):
            negative ^= operator.text == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> sp.Expr:
        base = self._atom()
        operator = self._take("**", "^")
        if operator is None:
            return base
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail(operator.column, f"more than {_DEEPEST} levels of powers")
        exponent = self._sign()
        self.depth -= 1
        if exponent.is_number and abs(float(exponent)) > _LARGEST_POWER:
            self._fail(operator.column, f"exponent beyond {_LARGEST_POWER}")
        if base.is_zero and exponent.is_negative:
            self._fail(operator.column, "division by zero")
        value = base**exponent
        if value.is_number and not value.is_real:
            self._fail(operator.column, "power of a negative number is not real")
        return value

    def _atom(self) -> sp.Expr:
        token = self.token
        self.at += 1
        if token.kind == "number":
            return self._number(token)
        if token.kind == "name":
            return self._call(token) if self._take("(") else self._symbol(token)
        if token.kind == "operator" and token.text == "(":
            value = self._sum()
            self._need(")")
            return value
        found = f'found "{token.text}"' if token.text else "the text ends"
        return self._fail(token.column, f'expected a number, a name or "(", {found}')

    def _number(self, token: _Token) -> sp.Expr:
        if len(token.text) > 40 or abs(int(re.split("[eE]", token.text + "e0")[1])) > 300:
            self._fail(token.column, "number with too many digits")
        return sp.Rational(token.text)

    def _symbol(self, token: _Token) -> sp.Expr:
        if token.text in self.symbols:
            return self.symbols[token.text]
        if token.text in self.functions:
            self._fail(token.column + len(token.text), f'function "{token.text}" needs "("')
        return self._fail(token.column, _unknown("name", token.text, self.symbols, self.functions))

    def _call(self, token: _Token) -> sp.Expr:
        if token.text not in self.functions:
            self._fail(token.column, _unknown("function", token.text, self.functions, self.symbols))
        arguments = [] if self._take(")") else [self._sum()]
        while arguments and not self._take(")"):
            if self._take(",") is None:
                self._fail(self.token.column, 'expected "," or ")"')
            arguments.append(self._sum())
        function = self.functions[token.text]
        if len(arguments) != function.arguments:
            self._fail(
                token.column, f'function "{token.text}" takes {function.arguments} argument(s), got {len(arguments)}'
            )
        value = function.make(*arguments)
        if value.is_number and not value.is_real:
            self._fail(token.column, f'function "{token.text}" has no real value there')
        return value


def _unknown(kind: str, given: str, first: Mapping[str, object], second: Mapping[str, object]) -> str:
    near = get_close_matches(given, [*first, *second], n=1, cutoff=0.5)
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    return f'unknown {kind} "{given}"{hint}; allowed: {", ".join(sorted(first))}'
