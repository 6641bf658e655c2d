"""All that the author of a rule sees: `from spark_build.contract import ItemGate, RuleParams, Verdict, …`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_build.contract.context import Context
    from spark_build.contract.items import Bad, Item, Raw, SourceFile, Verdict
    from spark_build.contract.media import Media
    from spark_build.contract.params import (
        Base,
        DatasetRef,
        Decides,
        GateParams,
        InputPath,
        ModelRef,
        Needs,
        Project,
        RuleParams,
        Secret,
        Unkeyed,
    )
    from spark_build.contract.rules import (
        AskingTransform,
        Exporter,
        ItemGate,
        JoinGate,
        Metric,
        OutsideSource,
        Recipe,
        Rule,
        Server,
        Source,
        Transform,
        Versioner,
    )

__all__ = [
    "AskingTransform", "Bad", "Base", "Context", "DatasetRef", "Decides", "Exporter", "GateParams", "InputPath", "Item",
    "ItemGate", "JoinGate", "Media", "Metric", "ModelRef", "Needs", "OutsideSource", "Project", "Raw", "Recipe", "Rule",
    "RuleParams", "Secret", "Server", "Source", "SourceFile", "Transform", "Unkeyed", "Verdict", "Versioner",
]  # fmt: skip

# looked up on first use: a build that only spawns commands needs what lies in this folder, and no pydantic
_MODULES = (
    "spark_build.contract.context",
    "spark_build.contract.items",
    "spark_build.contract.media",
    "spark_build.contract.params",
    "spark_build.contract.rules",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in map(import_module, _MODULES):
            if name in vars(module):
                return globals().setdefault(name, vars(module)[name])
    raise AttributeError(f"module 'spark_build.contract' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
