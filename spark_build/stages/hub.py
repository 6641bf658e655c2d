"""Models of the Hugging Face hub at a pinned revision: weights as safetensors and what describes them."""

from pathlib import Path

from spark_build.core.errors import BadInput, TransientError, Unavailable

# no pickles and no code: what is not asked for is not fetched
WANTED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja", "*.md")


def fetch(pinned: str) -> Path:
    """The local folder of `org/name@revision`. Errors: Unavailable (offline), BadInput (no such model)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    name, _, revision = pinned.rpartition("@")
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(WANTED_FILES)))
    except RevisionNotFoundError as error:
        raise BadInput(f"the hub has no revision '{revision}' of '{name}'", fix="spark update") from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"the hub has no model '{name}', or it needs a login",
            fix="check the name; for a gated model, log in with `hf auth login`",
        ) from error
    except LocalEntryNotFoundError as error:
        raise Unavailable(
            f"'{name}' at {revision[:12]} is not on this machine, and the hub can't be reached",
            fix="build once with a connection, or name a local folder instead of a hub id",
        ) from error
    except OSError as error:
        raise TransientError(f"fetching '{name}' from the hub failed: {error}", fix="build again") from error
    if not any(folder.rglob("*.safetensors")):
        raise BadInput(
            f"'{name}' at {revision[:12]} has no safetensors; pickled weights are never loaded",
            fix="take a revision with safetensors (often `refs/pr/N`), or convert it where you trust it",
        )
    return folder
