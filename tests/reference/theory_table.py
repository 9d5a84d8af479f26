"""Exponents of compositions derived by hand, as data: (activation, loss, exact exponent, tail of the error signal)."""

ASYMPTOTIC_EXPONENTS = [
    ("sigmoid", "bce", "1", "exp(-m)"),
    ("sigmoid", "mse", "1", "exp(-2 m)"),
    ("tanh", "mse", "1", "exp(-4 m)"),
    ("erf", "mse", "1", "exp(-2 m^2)"),
    ("softsign", "mse", "4/3", "m^-3"),
    ("arctan", "mse", "4/3", "m^-3"),
    ("isru", "mse", "6/5", "m^-5"),
    ("softsign", "bce", "3/2", "m^-2"),
    ("arctan", "bce", "3/2", "m^-2"),
    ("softsign", "mae", "3/2", "m^-2"),
    ("softsign", "power:4", "6/5", "m^-5"),
    ("identity", "mse", "0", "|e|"),
    ("identity", "power:3", "1/2", "|e|^2"),
    ("identity", "power:4", "2/3", "|e|^3"),
    ("identity", "power:6", "4/5", "|e|^5"),
    ("identity", "power:1.5", "-1", "|e|^(1/2)"),
    ("identity", "cauchy", "2", "e^-1"),
    ("identity", "geman-mcclure", "4/3", "e^-3"),
]

# (activation, loss, margin, intrinsic exponent to five decimals)
EXPONENTS_AT_FINITE_MARGIN = [
    ("arctan", "mse", 3.0, 1.30123),
    ("arctan", "mse", 30.0, 1.33300),
    ("isru", "mse", 3.0, 1.18046),
    ("softsign", "mse", 0.5, 4 / 3),
    ("softsign", "mse", 700.0, 4 / 3),
]
