"""Compositions that are easy to get wrong, with exponents derived by hand.

Each row: activation, loss, target, and what is expected where. A place is a pre-activation, ``INF`` or ``-INF``; the
value is the exact exponent in words, or None where there is no power law. Rules used: ``g ~ |y - y0|^n`` gives
``1 - 1/n`` with the total order n, ``g ~ |y|^-n`` gives ``1 + 1/n``, whatever decays faster than all powers gives 1.
Places that are not named are not checked, unless the row says that it is complete.
"""

import math

INF = math.inf
PI = math.pi

ADVERSARIAL = [
    # Degenerate zeros: f touches the target, f - t ~ r^m, so that g ~ r^(2m - 1) for the squared error.
    ("1+(y-1)**2", "mse", 1, {1: "2/3", INF: "2/3"}),  # r^2 * 2r = r^3, here and far out
    ("1-(y-1)**4", "mse", 1, {1: "6/7"}),  # r^4 r^3 = r^7
    ("1+(y-1)**3", "mse", 1, {1: "4/5"}),  # r^3 r^2 = r^5
    ("cos(y)", "mse", 1, {0: "2/3", 2 * PI: "2/3", PI: "0", INF: None, -INF: None}),
    ("sin(y)", "mse", 1, {PI / 2: "2/3", -PI / 2: "0", INF: None}),
    ("sin(y)", "mse", 0, {0: "0", PI: "0", PI / 2: "0"}),  # sin cos: simple zeros throughout
    ("cos(y)", "power:3", 1, {0: "4/5"}),  # e^2 f' = r^4 r
    ("y**3", "mse", 0, {0: "4/5", INF: "4/5"}),  # 2 y^3 3 y^2 = y^5
    ("y**2", "mse", 0, {0: "2/3"}),
    ("y**2", "mae", 0, {0: "0"}),  # g = 2|y|
    ("y**2", "mse", 1, {1: "0", -1: "0", 0: "0"}),
    ("y**4", "mse", 0, {0: "6/7"}),
    ("y*exp(1-y)", "mse", 1, {1: "2/3", INF: "1"}),  # largest value 1 at y = 1
    ("cos(y)+y**2/2", "mse", 1, {0: "6/7"}),  # f - 1 = y^4/24
    ("y-sin(y)", "mse", 0, {0: "4/5", 2 * PI: "1/2", INF: None}),  # y^3/6; f' touches zero at 2 pi
    # Zeros of the slope that are no zeros of the residual.
    ("y/(1+y**2)", "mse", 1, {1: "0", -1: "0", INF: "3/2", -INF: "3/2"}),  # f -> 0: g ~ y^-2
    ("y/(1+y**2)", "mse", 0, {0: "0", 1: "0", INF: "4/3"}),  # residual 1/y as well: y^-3
    ("y*exp(-y**2)", "mse", 1, {1 / math.sqrt(2): "0", -1 / math.sqrt(2): "0", INF: "1"}),
    ("y+sin(y)", "mse", 1, {PI: "1/2", -PI: "1/2", INF: None, -INF: None}),
    ("y+2*sin(y)", "mse", 0, {0: "0", 2 * PI / 3: "0", INF: None}),
    ("y+sin(y)/2", "mse", 0, {0: "0", INF: None}),
    ("exp(-y**2)", "mse", 1, {0: "2/3", INF: "1", -INF: "1"}),
    ("exp(-y**2)", "mse", 0, {0: "0", INF: "1"}),
    ("1/(1+y**2)", "mse", 0, {0: "0", INF: "6/5"}),  # y^-2 y^-3
    ("1/(1+y**2)", "mse", 1, {0: "2/3", INF: "4/3"}),
    ("tanh(y)**3", "mse", 1, {0: "1/2", INF: "1"}),  # slope y^2 at 0
    ("y**3/(1+abs(y)**3)", "mse", 1, {0: "1/2", INF: "8/7"}),  # gap y^-3, slope y^-4
    ("tanh(y**2)", "mse", 1, {0: "0", INF: "1", -INF: "1"}),
    ("tanh(y**3)", "mse", 1, {0: "1/2", INF: "1"}),
    # Poles.
    ("1/y", "mse", 0, {0: "4/3", INF: "4/3", -INF: "4/3"}),  # 1/y 1/y^2
    ("log(y**2)", "mse", 0, {1: "0", -1: "0"}),
    ("identity", "sqrt(abs(e))", 0, {0: "3", INF: "3"}),
    ("identity", "abs(e)**(3/2)", 2, {2: "-1", INF: "-1"}),
    ("y**(1/3)*0+abs(y)**(1/2)", "mae", 0, {0: "3", INF: "3"}),  # g = 1/(2 sqrt|y|)
    # Kinks.
    ("abs(y)", "mse", 0, {0: "0", INF: "0"}),
    ("abs(y)", "mse", 1, {1: "0", -1: "0"}),
    ("abs(y)**3", "mse", 0, {0: "4/5"}),
    ("y*abs(y)", "mse", 0, {0: "2/3"}),
    ("max(y,0)**2", "mse", 1, {0: "0", 1: "0", INF: "2/3"}),
    ("max(y,0)", "mse", 1, {1: "0", INF: "0", -INF: None}),
    ("max(y,0)", "mae", 1, {INF: None, -INF: None}),
    # Saturations, of one kind and of two.
    ("exp(-exp(-y))", "mse", 1, {INF: "1", -INF: "1"}),
    ("exp(-exp(-y))", "bce", 1, {INF: "1", -INF: "1"}),
    ("1-exp(-y)", "mse", 1, {INF: "1", -INF: "1"}),
    ("softplus", "mse", 0, {INF: "0", -INF: "1"}),
    ("log(1+exp(y))", "mse", 0, {INF: "0", -INF: "1"}),
    ("elu", "mse", -1, {-INF: "1", INF: "0"}),
    ("y/(1+abs(y)**(1/2))**2", "mse", 1, {INF: "3/2", -INF: "5/3"}),  # gap y^-1/2, slope y^-3/2; slope alone
    ("atan(y)**3", "mse", 1, {0: "1/2", INF: "4/3"}),  # gap 1/y, slope y^-2
    ("erf(y)*tanh(y)", "mse", 0, {0: "2/3", INF: "1"}),  # y^2 there
    ("y*sigmoid(y)", "mse", 0, {0: "0", INF: "0", -INF: "1"}),
    # Logarithms.
    ("y/sqrt(1+y**2)*log(2+y**2)", "mae", 0, {INF: "2"}),  # slope 2/y
    ("sign(y)*log(1+abs(y))", "mse", 0, {0: "0", INF: "2"}),  # ln y / y
    ("log(1+abs(y))**2", "mae", 0, {INF: "2"}),
    ("identity", "log(1+e**2)*e**2", 0, {0: "2/3", INF: "0"}),  # e^4 at 0: e^3; e ln e at infinity
    ("identity", "log(1+log(1+e**2))", 0, {0: "0", INF: "2"}),
    # No power law.
    ("identity", "mae", 0, {INF: None}),
    ("y+sin(y)", "mae", 0, {INF: None, -INF: None}),
    ("identity", "e**2*(2+sin(e))", 0, {INF: None}),
    ("log(1+log(1+y**2))", "exp(f)", 0, {INF: "2"}),  # g = 2 y / (1 + y^2)
    # Exponentials of several kinds.
    ("exp(y)", "mse", 0, {INF: "1", -INF: "1"}),
    ("exp(-sqrt(1+y**2))", "mse", 0, {INF: "1", 0: "0"}),
    ("exp(-abs(y)**(1/2))", "mse", 0, {INF: "1"}),
    ("sinh(y)", "mse", 0, {0: "0", INF: "1"}),
    ("asinh(y)", "mse", 0, {0: "0", INF: "2"}),
    ("exp(exp(y))", "mse", 0, {INF: "1", -INF: "1"}),  # exp(y) at -infinity
    ("erf(y**2)", "mse", 1, {INF: "1", 0: "0"}),
    ("sinh(y)/cosh(y)", "mse", 1, {INF: "1", -INF: "1"}),  # tanh
    ("2*sinh(y)**3/cosh(y)**3", "mse", 1, {INF: "1", 0: "1/2", -INF: "1"}),  # f' ~ 6 y^2 at 0, where e = -2
]
