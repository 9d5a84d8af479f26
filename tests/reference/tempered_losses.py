"""Tempered softmax and bi-tempered logistic loss from their definitions, with mpmath at 50 digits."""

from collections.abc import Sequence
from functools import cache

import mpmath as mp


@cache
def probabilities(logits: tuple[float, ...], temperature: float) -> tuple[mp.mpf, ...]:
    """``p_i = e_q(y_i - nu)`` with ``sum_i p_i = 1``; ``nu`` by Newton's method from below."""
    with mp.workdps(50):
        q, top = mp.mpf(temperature), mp.mpf(max(logits))
        below = [mp.mpf(logit) - top for logit in logits]

        def exponential(x: mp.mpf) -> mp.mpf:
            base = 1 + (1 - q) * x
            return mp.exp(x) if q == 1 else (base ** (1 / (1 - q)) if base > 0 else mp.mpf(0))

        nu = mp.mpf(0)
        for _ in range(300):
            found = [exponential(x - nu) for x in below]
            step = (sum(found) - 1) / sum(p**q for p in found if p)
            nu += step
            if abs(step) < mp.mpf(10) ** -46:
                break
        return tuple(exponential(x - nu) for x in below)


def tempered_softmax_errors(logits: Sequence[float], true: int, temperature: float) -> list[mp.mpf]:
    """``p_i - [i = c]``, with ``1 - p_c`` as the sum of the others."""
    with mp.workdps(50):
        p = probabilities(tuple(map(float, logits)), temperature)
        return [-sum(p[:i] + p[i + 1 :]) if i == true else p[i] for i in range(len(p))]


def bi_tempered_errors(logits: Sequence[float], true: int, t1: float, t2: float) -> list[mp.mpf]:
    """``dH/dy_j = sum_i (p_i - [i = c]) p_i^(-t1) dp_i/dy_j`` by the chain rule, as a double sum."""
    with mp.workdps(50):
        p = probabilities(tuple(map(float, logits)), t2)
        errors = tempered_softmax_errors(logits, true, t2)
        first, second = mp.mpf(t1), mp.mpf(t2)
        powers = [_power(probability, second) for probability in p]
        slopes = [error * _power(probability, second - first) for error, probability in zip(errors, p, strict=True)]
        total = sum(powers)
        return [
            sum(slopes[i] * ((i == j) - powers[j] / total) for i in range(len(p)))
            if powers[j] < total
            else sum(slopes[j] * powers[i] / total - slopes[i] * powers[j] / total for i in range(len(p)) if i != j)
            for j in range(len(p))
        ]


def _power(base: mp.mpf, exponent: mp.mpf) -> mp.mpf:
    return mp.mpf(exponent == 0) if base == 0 else base**exponent
