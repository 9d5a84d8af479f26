"""Draw the packages of critlearn and who imports whom, from the imports themselves: docs/images/architecture.svg.

python docs/make_architecture.py
"""

import tomllib
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp
import networkx as nx

from critlearn.whole_files import write_whole

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

BELOW_ALL = ("numerics", "reading", "whole_files", "results", "errors", "_torch", "_version")
"""What every package may use: one box for all of them, without arrows."""

_SWEEPS = 9
"""Times that the order within rows is improved, from above and from below in turn; more change nothing."""

ROW, GAP, LETTER, LINE = 112, 36, 7.2, 17
"""Pixels from row to row, between boxes, of a letter, and of a line of text."""

BOX, INK, PAPER, ARROW = "#E8F1F8", "#1B1B1B", "#FFFFFF", "#0072B2"

Node = str | tuple[str, str, int]
"""A package, or the place at which an arrow from one package to another crosses a row."""


def picture() -> str:
    """Drawing as SVG: packages in rows, arrows to what they import."""
    graph = grimp.build_graph("critlearn", cache_dir=None, exclude_type_checking_imports=True)
    imports = package_imports(graph)
    rows = layers(set(imports))
    lines = {name: [name, *_wrapped(_children(graph, name))] for name in imports}
    return _drawn(nx.transitive_reduction(imports), rows, lines)


def package_imports(graph: grimp.ImportGraph) -> nx.DiGraph:
    """Packages of critlearn, with an edge to every other one that is imported."""
    found = nx.DiGraph()
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            ends = [name.split(".")[1] for name in (module, imported) if "." in name]
            if len(set(ends)) == 2 and not set(ends) & {*BELOW_ALL, "__main__"}:
                found.add_edge(*ends)
    return found


def layers(packages: set[str]) -> list[list[str]]:
    """Packages in rows, the highest first: the layers of the import contract."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (named,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = [[name.strip(" ()") for name in layer.split("|")] for layer in named]
    return [kept for row in rows if (kept := [name for name in row if name in packages])]


def _children(graph: grimp.ImportGraph, package: str) -> list[str]:
    """Sub-packages."""
    inside = graph.find_children(f"critlearn.{package}")
    return sorted(name.rpartition(".")[2] for name in inside if graph.find_children(name))


def _wrapped(names: list[str]) -> list[str]:
    """Names, three in a line."""
    return [" · ".join(names[start : start + 3]) for start in range(0, len(names), 3)]


def _ordered(arrows: nx.DiGraph, rows: list[list[str]]) -> list[list[Node]]:
    """Rows with the places where long arrows cross them, each placed near what it is joined to, so that few cross."""
    row_of = {name: number for number, row in enumerate(rows) for name in row}
    full: list[list[Node]] = [list(row) for row in rows]
    joined: dict[Node, list[Node]] = {name: [] for name in row_of}
    for start, end in sorted(arrows.edges):
        between: list[Node] = [(start, end, row) for row in range(row_of[start] + 1, row_of[end])]
        for crossed, node in zip(range(row_of[start] + 1, row_of[end]), between, strict=True):
            full[crossed].append(node)
        for upper, lower in pairwise([start, *between, end]):
            joined.setdefault(lower, []).append(upper)
            joined.setdefault(upper, []).append(lower)
    place: dict[Node, float] = {node: (i + 0.5) / len(row) for row in full for i, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        for row in full if sweep % 2 == 0 else full[::-1]:
            wanted = {n: sum(place[o] for o in joined[n]) / max(1, len(joined[n])) for n in row}
            row.sort(key=lambda node: (wanted[node], str(node)))
            place |= {node: (i + 0.5) / len(row) for i, node in enumerate(row)}
    return full


def _drawn(arrows: nx.DiGraph, rows: list[list[str]], lines: dict[str, list[str]]) -> str:
    full = _ordered(arrows, rows)
    widths = {name: 24 + LETTER * max(map(len, text)) for name, text in lines.items()}
    width = max(sum(widths.get(node, 0) + GAP for node in row) for row in full) + 2 * GAP  # type: ignore[call-overload]
    centre: dict[Node, tuple[float, float]] = {}
    for number, row in enumerate(full):
        free = (width - sum(widths.get(node, 0) for node in row)) / (len(row) + 1)  # type: ignore[call-overload]
        x = free
        for node in row:
            size = widths.get(node, 0.0)  # type: ignore[call-overload]
            centre[node] = (x + size / 2, number * ROW + 50.0)
            x += size + free
    height = len(full) * ROW + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img"'
        ' font-family="Verdana, DejaVu Sans, sans-serif" font-size="13" aria-label="Packages of critlearn in layers,'
        ' with arrows to what each imports">',
        f'<rect width="{width:.0f}" height="{height}" fill="{PAPER}"/>',
        f'<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{ARROW}"/></marker>',
    ]
    parts += [_arrow(start, end, rows, centre, lines) for start, end in sorted(arrows.edges)]
    for name, text in lines.items():
        parts += _box(centre[name], widths[name], text)
    below = " · ".join(name for name in BELOW_ALL if not name.startswith("_"))
    parts += _box((width / 2, height - 40.0), width - 2 * GAP, [f"{below}: used by all"])
    return "\n".join([*parts, "</svg>", ""])


def _half_height(text: list[str]) -> float:
    return (len(text) * LINE + 14) / 2


def _arrow(
    start: str,
    end: str,
    rows: list[list[str]],
    centre: dict[Node, tuple[float, float]],
    lines: dict[str, list[str]],
) -> str:
    """Curve from the lower edge of one box to the upper edge of another, through its places in between."""
    row_of = {name: number for number, row in enumerate(rows) for name in row}
    between = [centre[start, end, row] for row in range(row_of[start] + 1, row_of[end])]
    (x0, y0), (x1, y1) = centre[start], centre[end]
    points = [(x0, y0 + _half_height(lines[start])), *between, (x1, y1 - _half_height(lines[end]) - 2)]
    path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        path += f"C{ax:.0f} {middle:.0f} {bx:.0f} {middle:.0f} {bx:.0f} {by:.0f}"
    title = f"<title>{escape(start)} imports {escape(end)}</title>"
    return f'<path d="{path}" fill="none" stroke="{ARROW}" stroke-width="1.5" marker-end="url(#head)">{title}</path>'


def _box(at: tuple[float, float], width: float, text: list[str]) -> list[str]:
    """Rectangle with the name, and sub-packages below it."""
    x, y = at
    half = _half_height(text)
    box = f'<rect x="{x - width / 2:.0f}" y="{y - half:.0f}" width="{width:.0f}" height="{2 * half:.0f}" rx="6"'
    drawn = [f'{box} fill="{BOX}" stroke="{INK}"/>']
    for number, line in enumerate(text):
        weight = ' font-weight="bold"' if number == 0 else ' fill-opacity="0.8"'
        top = y - half + 7 + LINE * (number + 0.78)
        drawn.append(f'<text x="{x:.0f}" y="{top:.0f}" text-anchor="middle" fill="{INK}"{weight}>{escape(line)}</text>')
    return drawn


if __name__ == "__main__":
    print(write_whole(PICTURE, picture().encode()))
