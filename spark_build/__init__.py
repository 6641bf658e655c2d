"""make for machine learning: one Sparkfile from raw text to a model that answers."""

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from typing import Any

    from spark_build.app import Project as Project

__version__ = "0.1.0"
__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> "Any":
    # Project is loaded at first use, so that `import spark_build` stays a few milliseconds
    if name == "Project":
        from spark_build.app import Project

        return Project
    raise AttributeError(f"module 'spark_build' has no attribute {name!r}")
