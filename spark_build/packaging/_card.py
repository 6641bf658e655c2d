"""What stands beside exported weights: the card, env.json, recipe.json, metrics.json, inputs.json.

All of it comes from the action's own manifest and inputs (`training.json`, the evals); so it holds no times,
no names of targets and no paths, and stays true when a stage is found fresh.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spark_build.contract import Context, RuleParams
from spark_build.contract.params import Field
from spark_build.core.digest import canonical_json, digest_json
from spark_build.packaging._model_folder import config_of

_TASKS = {  # end of an architecture's name -> pipeline tag of the hub, the Auto class that loads it
    "ForCausalLM": ("text-generation", "AutoModelForCausalLM"),
    "LMHeadModel": ("text-generation", "AutoModelForCausalLM"),
    "ForConditionalGeneration": ("text2text-generation", "AutoModelForSeq2SeqLM"),
    "ForSequenceClassification": ("text-classification", "AutoModelForSequenceClassification"),
    "ForTokenClassification": ("token-classification", "AutoModelForTokenClassification"),
    "ForQuestionAnswering": ("question-answering", "AutoModelForQuestionAnswering"),
    "ForMaskedLM": ("fill-mask", "AutoModelForMaskedLM"),
}


class CardParams(RuleParams):
    license: str | None = Field(None, description="The licence that the card states, an SPDX id: apache-2.0")
    description: str | None = Field(None, description="What the model is for; the card's first paragraph")


def write_papers(context: Context, params: CardParams, usage: str) -> None:
    """README.md, env.json, recipe.json, inputs.json, and metrics.json where the target is evaluated."""
    papers = papers_of(context)
    for name, content in papers.items():
        (context.output / name).write_bytes(canonical_json(content) + b"\n")
    config = config_of(context.inputs["model"])
    (context.output / "README.md").write_text(card(config, papers, params, usage), encoding="utf-8")


def papers_of(context: Context) -> dict[str, Any]:
    training = json.loads((context.inputs["trained"] / "training.json").read_text(encoding="utf-8"))
    export = context.facts
    papers = {
        "env.json": {
            "training": {name: training.get(name, {}) for name in ("libraries", "numerics")},
            "export": {name: export.get(name, {}) for name in ("libraries", "numerics")},
        },
        "recipe.json": {n: training[n] for n in ("rule", "revision", "code", "params") if n in training},
        "inputs.json": {"training": training.get("inputs", {}), "export": export.get("inputs", {})},
    }
    figures = figures_of(context.inputs)
    return papers | ({"metrics.json": figures} if figures else {})


def figures_of(inputs: Mapping[str, Path]) -> dict[str, Any]:
    """The eval's figures; with several evals, each one's under its name."""
    found: dict[str, Any] = {}
    for name in sorted(inputs):
        if name == "eval" or name.startswith("eval."):
            figures = json.loads((inputs[name] / "metrics.json").read_text(encoding="utf-8"))
            found |= figures if name == "eval" else {name.removeprefix("eval."): figures}
    return found


def card(config: Mapping[str, Any], papers: Mapping[str, Any], params: CardParams, usage: str) -> str:
    """The card in Hugging Face form."""
    name = architecture(config)
    text = [f"---\n{_front_matter(name, papers.get('metrics.json', {}), params)}\n---\n# {name}\n"]
    if params.description:
        text.append(f"{params.description}\n")
    text.append(usage)
    if "metrics.json" in papers:
        rows = ((f"`{n}`", repr(value)) for n, value in flat(papers["metrics.json"]))
        text.append("## Figures\n\n" + _table(("figure", "value"), rows))
    recipe = papers["recipe.json"]
    rows = ((f"`{n}`", f"`{json.dumps(value)}`") for n, value in flat(recipe.get("params", {})))
    text.append(f"## Recipe\n\n{_rule_in_words(recipe)}\n\n" + _table(("parameter", "value"), rows))
    rows = ((n, f"`{digest}`") for n, digest in flat(papers["inputs.json"]))
    text.append("## Direct inputs by digest (BLAKE3-256)\n\n" + _table(("input", "digest"), rows))
    rows = ((n, str(value)) for n, value in flat(papers["env.json"]))
    text.append("## Environment, as far as it counts\n\n" + _table(("", "value"), rows))
    return "\n".join(text)


def architecture(config: Mapping[str, Any]) -> str:
    return str((config.get("architectures") or [config.get("model_type", "model")])[0])


def task_of(name: str) -> tuple[str | None, str]:
    """The hub's pipeline tag of an architecture, and the Auto class that loads it."""
    return next((task for ending, task in _TASKS.items() if name.endswith(ending)), (None, "AutoModel"))


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves that have a value, under the names that lead to them."""
    for name, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name} · ")
        elif value is not None:
            yield prefix + name, value


def _front_matter(name: str, figures: Mapping[str, Any], params: CardParams) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task, _ = task_of(name)
    results = None
    if figures and task is not None:
        # the data under test is known by digest alone; the hub's form wants a name for it
        tested = f"held-out split, figures {digest_json(figures)[:12]}"
        results = [
            EvalResult(
                task_type=task, dataset_type="spark", dataset_name=tested, metric_type=n, metric_value=value
            )
            for n, value in flat(figures)
        ]
    data = ModelCardData(
        library_name="transformers", pipeline_tag=task, license=params.license, tags=["spark-build"],
        model_name=name if results else None, eval_results=results,
    )  # fmt: skip
    return str(data.to_yaml()).strip()


def _rule_in_words(recipe: Mapping[str, Any]) -> str:
    if recipe.get("revision") is not None:
        return f"`{recipe.get('rule')}`, revision {recipe['revision']}; whole in `recipe.json`."
    return f"`{recipe.get('rule')}`, a rule of its project's own; whole in `recipe.json`."


def _table(head: tuple[str, str], rows: Iterator[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
