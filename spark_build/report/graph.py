"""`spark graph`: the stages and what each reads, as text, for Graphviz, or for Mermaid."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from spark_build.core.errors import UsageError
from spark_build.core.values import Struct
from spark_build.report.words import printable

if TYPE_CHECKING:
    from spark_build.engine.graph import Graph


class Edge(Struct, frozen=True):
    source: str
    to: str
    label: str = ""  # the parts that are read
    is_guard: bool = False  # its requirements must hold first; nothing is read


def edges_of(graph: "Graph") -> list[Edge]:
    """Every edge once, in the order of the stages that read."""
    edges: list[Edge] = []
    for node in graph.nodes.values():
        reads: dict[str, dict[str, None]] = {}
        for _, given in node.all_inputs():
            source = given.stage or given.path or given.hub
            if source is not None:
                reads.setdefault(source, {}).update(dict.fromkeys(given.parts or [""]))
        # who reads the whole reads its parts as well
        edges += [Edge(s, node.stage, "" if "" in parts else ", ".join(parts)) for s, parts in reads.items()]
        edges += [Edge(guard, node.stage, is_guard=True) for guard in node.guards]
    return edges


def graph_text(
    nodes: Sequence[str],
    edges: Sequence[Edge],
    form: str = "text",
    rules: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """`form` is text, dot or mermaid; `rules` are the names of a stage's rules, shown beside it."""
    if form not in FORMS:
        raise UsageError(f"a graph can't be written as '{form}'", fix=f"--format {', '.join(FORMS)}")
    return FORMS[form](nodes, edges, rules or {})


def _text(nodes: Sequence[str], edges: Sequence[Edge], rules: Mapping[str, Sequence[str]]) -> str:
    lines = []
    for node in nodes:
        uses = f"  ({', '.join(map(printable, rules[node]))})" if rules.get(node) else ""
        lines.append(f"{printable(node)}{uses}")
        for edge in edges:
            if edge.to == node:
                what = "only once its requirements hold" if edge.is_guard else printable(edge.label)
                lines.append(f"  ← {printable(edge.source)}" + (f"  {what}" if what else ""))
    return "\n".join(lines)


def _dot(nodes: Sequence[str], edges: Sequence[Edge], rules: Mapping[str, Sequence[str]]) -> str:
    lines = ["digraph spark {", "  rankdir=LR;", "  node [shape=box];"]
    for node in nodes:
        label = "\n".join([printable(node), *map(printable, rules.get(node, ()))])
        lines.append(f"  {_quoted(node)} [label={_quoted(label)}];")
    for source in _outside(nodes, edges):
        lines.append(f"  {_quoted(source)} [shape=folder];")
    for edge in edges:
        style = ", style=dashed" if edge.is_guard else ""
        lines.append(
            f"  {_quoted(edge.source)} -> {_quoted(edge.to)} [label={_quoted(printable(edge.label))}{style}];"
        )
    return "\n".join([*lines, "}"])


def _mermaid(nodes: Sequence[str], edges: Sequence[Edge], rules: Mapping[str, Sequence[str]]) -> str:
    names = {name: f"n{index}" for index, name in enumerate([*nodes, *_outside(nodes, edges)])}
    lines = ["flowchart LR"]
    for node in nodes:
        label = "<br/>".join(map(_escaped, [node, *rules.get(node, ())]))
        lines.append(f'  {names[node]}["{label}"]')
    for source in _outside(nodes, edges):
        lines.append(f'  {names[source]}[("{_escaped(source)}")]')
    for edge in edges:
        arrow = "-.->" if edge.is_guard else "-->"
        label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
        lines.append(f"  {names[edge.source]} {arrow}{label} {names[edge.to]}")
    return "\n".join(lines)


def _outside(nodes: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Sources of edges that are no stage: folders and hub ids."""
    known = set(nodes)
    return list(dict.fromkeys(edge.source for edge in edges if edge.source not in known))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    marks = {"&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;"}
    return "".join(marks.get(c, c) for c in printable(text))


Writer = Callable[[Sequence[str], Sequence[Edge], Mapping[str, Sequence[str]]], str]
FORMS: Mapping[str, Writer] = {"text": _text, "dot": _dot, "mermaid": _mermaid}
