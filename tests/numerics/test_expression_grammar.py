"""The grammar of typed expressions: what it reads, and what it refuses with the column."""

import math
import random
import time
from contextlib import suppress
from unittest.mock import Mock

import numpy as np
import pytest
import sympy as sp

from critlearn.compositions import Composition
from critlearn.compositions.typed.from_expression import FUNCTIONS
from critlearn.errors import InvalidInputError
from critlearn.numerics.expression_grammar import parse_expression

Y = sp.Symbol("y", real=True)


def parse(text: str) -> sp.Expr:
    return parse_expression(text, {"y": Y, "pi": sp.pi}, FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1+2*3", 7),
        ("2-3-4", -5),
        ("12/2/3", 2),
        ("2**3**2", 512),
        ("-2**2", -4),
        ("2^-1", 0.5),
        ("--3", 3),
        ("1e-3*1000", 1),
        (".5", 0.5),
        ("(1+2)*(3-1)", 6),
        ("max(2, 3)+min(1,0)", 3),
        ("sqrt(2)*sqrt(2)", 2),
        ("exp(log(5))", 5),
        ("2/pi*atan(1)", 0.5),
    ],
)
def test_numbers_and_precedence(text: str, value: float) -> None:
    assert float(parse(text)) == pytest.approx(value, abs=1e-15)


def test_random_expressions_mean_what_python_means() -> None:
    # Python's own arithmetic is the independent reader: the text below is made here, from a fixed seed.
    generator = random.Random(4)

    def text(depth: int) -> str:
        if depth == 0:
            return generator.choice(["y", "1.5", "2", "0.25"])
        kind = generator.randrange(6)
        left, right = text(depth - 1), text(depth - 1)
        return [
            f"{left}+{right}",
            f"{left}-{right}",
            f"({left})*({right})",
            f"({left})/(1+abs({right}))",
            f"tanh({left})",
            f"(1+abs({left}))**(1/2)",
        ][kind]

    for _ in range(200):
        given = text(4)
        python = eval(given, {"__builtins__": {}}, {"y": 0.7, "abs": abs, "tanh": math.tanh})
        assert float(parse(given).subs(Y, sp.Rational(7, 10))) == pytest.approx(python, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("__import__('os')", 12, "unexpected"),
        ("().__class__", 3, "unexpected '.'"),
        ("y.real", 2, "unexpected '.'"),
        ("tahn(y)", 1, 'did you mean "tanh"'),
        ("y+", 3, "the text ends"),
        ("", 1, "the text ends"),
        ("y//2", 3, 'found "/"'),
        ("(y", 3, 'expected ")"'),
        ("y y", 3, 'unexpected "y"'),
        ("tanh(y, 1)", 1, "takes 1 argument"),
        ("tanh", 5, 'needs "("'),
        ("9**9**9", 2, "exponent beyond"),
        ("1/0", 2, "division by zero"),
        ("0**-1", 2, "division by zero"),
        ("(-1)**0.5", 5, "not real"),
        ("log(-1)", 1, "no real value"),
        ("1e999999", 1, "too many digits"),
        ("((" * 40 + "y" + "))" * 40, 61, "levels of parentheses"),
        ("y;y", 2, "unexpected ';'"),
        ("lambda: 0", 7, "unexpected ':'"),
        ("y if y else 2", 3, 'unexpected "if"'),
        ("+True", 2, 'unknown name "True"'),
        ("2y", 2, 'unexpected "y"'),
        ("(2 y)", 4, 'unexpected "y"'),
        ("0x10", 2, 'unexpected "x10"'),
        ("1_000", 2, 'unexpected "_000"'),
        ("2(y)", 2, 'unexpected "("'),
        ("(y)(2)", 4, 'unexpected "("'),
        ("y)", 2, 'unexpected ")"'),
        ("y, 2", 2, 'unexpected ","'),
        ("max((y), (y, 2))", 12, 'unexpected ","'),
        ("max(*y, 2)", 5, 'found "*"'),
        ("tanh(**y)", 6, 'found "**"'),
        ("tanh(y,)", 8, 'found ")"'),
        ("tanh()", 6, 'found ")"'),
        ("2*(y+", 6, "the text ends"),
        ("y^*2", 3, 'found "*"'),
        ("1e-3^^2", 6, 'found "^"'),
    ],
)
def test_refused_at_its_column(text: str, column: int, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(text)
    message = str(caught.value)
    assert words in message
    assert f"at column {column}:" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["1+" * 600 + "1", "(" * 100_000 + "y" + ")" * 100_000, "9" * 5000])
def test_endless_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="at most 1000"):
        parse(text)


def test_long_sums_are_read() -> None:
    assert parse("y" + "+y" * 199) == 200 * Y
    assert parse("-" * 99 + "y") == -Y


def test_towers_of_powers_are_read_to_sixty_levels() -> None:
    assert parse("**".join(["y"] * 61)).is_Pow
    with pytest.raises(InvalidInputError, match="more than 60 levels of parentheses, or powers at column 182:"):
        parse("**".join(["y"] * 100))


def test_what_no_parser_can_hold_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="too many terms or signs"):
        parse("-" * 999 + "y")
    monkeypatch.setattr("ast.parse", Mock(side_effect=MemoryError))
    with pytest.raises(InvalidInputError, match="too many terms or signs"):
        parse("y")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1e101*y", r"number beyond 1e\+100, or its inverse at column 1:"),
        ("1e-200*y", r"number beyond 1e\+100, or its inverse at column 1:"),
        ("((9**99)**99)*y", r"constant beyond 1e\+100, or its inverse at column 9:"),
        ("((y**100)**100)**100", "powers that together go beyond 100"),
        ("(y+1)**60*(y+1)**60", "powers that together go beyond 100"),
    ],
)
def test_constants_and_powers_stay_within_bounds(text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        parse(text)


def test_large_constants_are_evaluated_as_numbers() -> None:
    # 9^99 is no 64-bit integer: the exponent is that of y, the value that of floats.
    activation = Composition("9**99*y", "mse").activation
    assert activation(np.array([1.0, -2.0])).tolist() == [float(9**99), -2 * float(9**99)]


@pytest.mark.parametrize(
    "text",
    [
        "y*((((9**99)**99)**99)**99)",
        "y*exp(exp(exp(exp(exp(5)))))",
        "y*exp(-exp(exp(exp(exp(5)))))",
        "y+exp(1e300)",
        "y+exp(1e99)",
        "y" + "*1e300" * 100,
        "y" + "*1e90" * 100,
        "y" + "/1e90" * 100,
        "1e90*(1e90*(1e90*y))",
        "(1e90*y)**99",
        "(y+1e60)**99*1e90*1e90",
        "y**2*3**99*7**99*9**99*11**99",
        "y" + "*0.1234567890123456789012345678901234567" * 24,
        "y+(1.2345678901234567890123456789012345678**99)",
        "y*" + "*".join(["1.2345678901234567890123456789012345678"] * 24),
        "y" + "+1/7.123456789012345678901234567890123" * 26,
        "exp(y+1e99*1e99)",
        "tanh(exp(exp(9)))*y",
        "y*exp(exp(5))*exp(exp(5))",
        "y*max(exp(exp(exp(5))), 1)",
    ],
)
def test_constants_are_bounded_while_they_are_joined(text: str) -> None:
    start = time.process_time()
    with suppress(InvalidInputError):
        # Where one is let through, a float holds every number of it.
        held = parse(text).atoms(sp.Number)
        assert all(1e-101 < abs(float(number)) < 1e101 for number in held if number)
        assert all(len(str(number)) < 2100 for number in held)
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("y*exp(exp(exp(exp(exp(5)))))", "constant beyond"),
        ("y" + "*1e90" * 100, "constant beyond"),
        ("y+(1.2345678901234567890123456789012345678**99)", "more than 1000 digits"),
    ],
)
def test_constants_that_are_too_large_or_too_long_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        parse(text)
