"""How a power is written, in every place where one is shown."""


def power_text(name: str, exponent: float | str) -> str:
    """``name`` to the power of minus the exponent; a number gets two digits.

    >>> power_text("delta", 1.5), power_text("delta", -0.021), power_text("delta", "4/3")
    ('delta^-1.50', 'delta^-(-0.02)', 'delta^-4/3')
    """
    number = exponent if isinstance(exponent, str) else f"{exponent:.2f}"
    return f"{name}^-({number})" if number.startswith("-") else f"{name}^-{number}"
