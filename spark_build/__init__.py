"""make for machine learning: one Sparkfile from raw text to a model that answers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_build.app import Project as Project

__version__ = "0.1.0"
__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> Any:
    # Project is loaded at first use, so that `import spark_build` stays a few milliseconds
    if name == "Project":
        from spark_build.app import Project

        return Project
    raise AttributeError(f"module 'spark_build' has no attribute {name!r}")
