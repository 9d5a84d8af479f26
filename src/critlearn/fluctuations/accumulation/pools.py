"""Pools of several variables, layers and all, and what drawn entries of variables give to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from critlearn.fluctuations.grad_sample.rules.plan import layer_of
from critlearn.fluctuations.result import POOLED
from critlearn.numerics.log_sketch import LogSketch


def pools_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Variables of each layer that has several of them, and of the pool of all."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(layer_of(name), []).append(name)
    pools = {layer: members for layer, members in layers.items() if layer and len(members) > 1}
    return pools | {POOLED: [name for members in layers.values() for name in members]}


def with_pools(
    sketches: Mapping[str, LogSketch], variables: Mapping[str, int]
) -> tuple[dict[str, LogSketch], dict[str, int]]:
    """Sketches and numbers of variables, with the pool of each layer that has several variables and that of all."""
    pooled, sizes = dict(sketches), dict(variables)
    for pool, names in pools_of(sketches).items():
        pooled[pool] = LogSketch.pooled([sketches[name] for name in names])
        sizes[pool] = sum(variables[name] for name in names)
    return pooled, sizes


@dataclass(frozen=True)
class PoolShares:
    """Numbers of entries that drawn variables give to pools: of each variable the same share of all its entries.

    Were they given whole, a bias of 256 entries would weigh a quarter of a weight of a million, of which 1,000 are
    drawn.

    Parameters
    ----------
    of_variable
        Pools that a variable belongs to, with the number of entries that it gives.
    sizes
        Number of entries of each pool.
    """

    of_variable: Mapping[str, list[tuple[str, int]]]
    sizes: Mapping[str, int]

    @classmethod
    def between(cls, drawn: Mapping[str, int], whole: Mapping[str, int]) -> "PoolShares":
        """Shares of pools, from the numbers of entries that were drawn and of all: the largest that all can give."""
        of_variable: dict[str, list[tuple[str, int]]] = {name: [] for name in drawn}
        sizes = {}
        for pool, names in pools_of(drawn).items():
            share = min(drawn[name] / whole[name] for name in names)
            given = {name: min(drawn[name], round(share * whole[name])) for name in names}
            sizes[pool] = sum(given.values())
            for name, number in given.items():
                if number:
                    of_variable[name].append((pool, number))
        return cls(of_variable, sizes)
