"""YAML whose depth, size and aliases are bounded before anything is expanded, and whose bad values name their line."""

from dataclasses import dataclass
from typing import Any

import yaml

from critlearn.errors import DataError
from critlearn.reading.limits import DEEPEST, LARGEST_STUDY, LONGEST_NUMBER, MOST_NODES

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


@dataclass(frozen=True)
class Document:
    """One document: its content as plain values, and its node, which knows the lines."""

    content: Any
    node: yaml.Node


def parsed_yaml(text: str, source: str) -> tuple[Document, ...]:
    """Documents of a text, which ``---`` divides.

    Parameters
    ----------
    text
        YAML.
    source
        Words for it at the beginning of messages.

    Raises
    ------
    DataError
        If it is no YAML, a value is not of its type, or it is larger or deeper than a study is with its aliases written
        out.
    """
    if len(text) > LARGEST_STUDY:
        raise DataError(f"{source} has {len(text):,} characters of YAML; at most {LARGEST_STUDY:,} are read")
    documents = []
    loader = None
    try:
        loader = _BoundedLoader(text)
        while loader.check_node():
            node = loader.get_node()
            documents.append(Document(loader.construct_document(node), node))
    except yaml.YAMLError as problem:
        raise DataError(f"{source} is not YAML: {_described(problem)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return tuple(documents)


class _BoundedLoader(yaml.SafeLoader):
    """Loader that counts while it builds nodes, before it makes values of them; an alias counts as all it stands for.

    A billion laughs are thus counted in the second line, and a list that holds itself is found at its alias.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _refused("an alias stands inside what it names", event.start_mark)
            self._count(self._sizes[id(node)], event)
            return node
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refused(f"lists and mappings in more than {DEEPEST} levels", event.start_mark)
        before = self._nodes
        self._count(1, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[id(node)] = self._nodes - before
        return node

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise _refused(f"more than {MOST_NODES:,} values, with aliases written out", event.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag in _NUMBERS and len(str(node.value)) > LONGEST_NUMBER:
            raise _refused(f"a number of more than {LONGEST_NUMBER} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        # What SafeLoader raises for dates that do not exist, and for values that are not of the type of their tag.
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            shown = str(node.value)[:LONGEST_NUMBER] if isinstance(node, yaml.ScalarNode) else "it"
            kind = node.tag.rpartition(":")[2]
            raise _refused(f'"{shown}" is no {kind} (text stands in quotes)', node.start_mark) from None


def _described(problem: yaml.YAMLError) -> str:
    """What is wrong, and where, in one line."""
    mark = problem.problem_mark if isinstance(problem, yaml.MarkedYAMLError) else None
    if mark is None:
        return " ".join(str(problem).split())
    return f"{problem.problem or problem.context} (line {mark.line + 1}, column {mark.column + 1})"


def _refused(problem: str, mark: yaml.Mark) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
