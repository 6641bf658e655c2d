"""All that the author of a rule sees: `from spark_build.contract import ItemGate, RuleParams, Verdict, …`."""

from spark_build.contract.context import Context
from spark_build.contract.items import Bad, Item, Raw, SourceFile, Verdict
from spark_build.contract.params import (
    Base,
    DatasetRef,
    Decides,
    InputPath,
    ModelRef,
    Needs,
    Project,
    RuleParams,
    Secret,
    Unkeyed,
)
from spark_build.contract.rules import (
    Exporter,
    ItemGate,
    JoinGate,
    Metric,
    Recipe,
    Rule,
    Server,
    Source,
    Transform,
    Versioner,
)

__all__ = [
    "Bad", "Base", "Context", "DatasetRef", "Decides", "Exporter", "InputPath", "Item", "ItemGate", "JoinGate",
    "Metric", "ModelRef", "Needs", "Project", "Raw", "Recipe", "Rule", "RuleParams", "Secret", "Server", "Source",
    "SourceFile", "Transform", "Unkeyed", "Verdict", "Versioner",
]  # fmt: skip
