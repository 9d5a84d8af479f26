"""Make the notebook of the tutorial from its page, so that the two cannot part.

python docs/make_notebook.py
"""

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DOCS = Path(__file__).parent
_BLOCK = re.compile(r"```(python|bash)\n(.*?)```\n", re.DOTALL)


def notebook(page: str) -> nbformat.NotebookNode:
    """Notebook whose cells are the text and the blocks of a page; blocks of the shell become ``!`` lines."""
    cells, at = [], 0
    for block in _BLOCK.finditer(page):
        if text := page[at : block.start()].strip():
            cells.append(new_markdown_cell(text))
        code = block.group(2).strip()
        if block.group(1) == "bash":
            code = "\n".join(f"!{line}" for line in code.splitlines())
        cells.append(new_code_cell(code))
        at = block.end()
    if text := page[at:].strip():
        cells.append(new_markdown_cell(text))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def main() -> None:
    """Write ``tutorial.ipynb``."""
    made = notebook((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    nbformat.write(made, DOCS / "tutorial.ipynb")


if __name__ == "__main__":
    main()
