"""`spark graph` in its three forms."""

import re

import pytest

from spark_build.core.errors import UsageError
from spark_build.engine.graph import Graph, Input, Node
from spark_build.report.graph import Edge, edges_of, graph_text

GRAPH = Graph.of(
    [
        Node("dataset:t/ingest", "ingest", (), 1, {"path": Input(path='data/"tickets"')}),
        Node("dataset:t/version", "version", (), 1, {"dataset": Input(stage="dataset:t/ingest")}),
        Node(
            "model:x/train",
            "train",
            (),
            1,
            {"dataset": Input(stage="dataset:t/version", parts=("data/train-*",))},
        ),
        Node(
            "model:y/train", "train", (), 1, {"base": Input(stage="model:x/train")}, guards=("model:x/eval",)
        ),
        Node("model:x/eval", "eval", (), 1, {"model": Input(stage="model:x/train", parts=("model/",))}),
        Node(
            "model:x/package.onnx",
            "package",
            (),
            1,
            {
                "model": Input(stage="model:x/train", parts=("model/",)),
                "trained": Input(stage="model:x/train"),
            },
        ),
    ]
)
NODES = list(GRAPH.nodes)


def test_edges_name_the_parts_that_are_read_and_the_guards() -> None:
    assert set(edges_of(GRAPH)) == {  # the exporter reads the whole of the training, so not its model alone
        Edge('data/"tickets"', "dataset:t/ingest"),
        Edge("dataset:t/ingest", "dataset:t/version"),
        Edge("dataset:t/version", "model:x/train", "data/train-*"),
        Edge("model:x/train", "model:x/eval", "model/"),
        Edge("model:x/train", "model:y/train"),
        Edge("model:x/train", "model:x/package.onnx"),
        Edge("model:x/eval", "model:y/train", is_guard=True),
    }


def test_text_lists_every_stage_with_what_it_reads() -> None:
    text = graph_text(NODES, edges_of(GRAPH), rules={"model:x/train": ["causal_lm"]})
    assert "model:x/train  (causal_lm)\n  ← dataset:t/version  data/train-*\n" in text
    assert "  ← model:x/eval  only once its requirements hold" in text


def test_dot_quotes_names_that_hold_quotes() -> None:
    text = graph_text(NODES, edges_of(GRAPH), "dot")
    assert '"data/\\"tickets\\"" -> "dataset:t/ingest"' in text
    assert text.count("{") == text.count("}") == 1
    assert text.count("->") == 7


def test_mermaid_escapes_names_that_hold_quotes() -> None:
    text = graph_text(NODES, edges_of(GRAPH), "mermaid")
    assert text.startswith("flowchart LR\n")
    assert "data/#quot;tickets#quot;" in text
    assert len(re.findall(r"^  n\d+ (?:-->|-\.->)", text, re.MULTILINE)) == 7


def test_an_unknown_form_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        graph_text(NODES, [], "svg")
    assert caught.value.fix == "--format text, dot, mermaid"
