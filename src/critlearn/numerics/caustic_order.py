"""Order of a caustic, and what follows from it: one definition for predictions and for the duality map."""


class CausticOrder:
    """Caustic of a known order n, ``delta - delta_c ~ s^n``: subclasses say where it is."""

    __slots__ = ()

    order: int | None
    """Power n; None where more than one direction is lost."""

    @property
    def kind(self) -> str:
        """``fold`` for n = 2, ``cusp`` for n = 3, else for instance ``order 4``; ``higher`` without an order."""
        return "higher" if self.order is None else {2: "fold", 3: "cusp"}.get(self.order, f"order {self.order}")

    @property
    def exponent(self) -> float | None:
        """Exponent ``1 - 1/n`` of the density, ``p ~ |delta - delta_c|^-exponent``; None without an order."""
        return None if self.order is None else 1 - 1 / self.order
