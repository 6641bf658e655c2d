"""A dataset of the Hugging Face hub: its revision, its files, and their content, held against the hub's own digests."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from spark_build.core.errors import BadInput, TransientError, Unavailable
from spark_build.core.values import Struct

COMMIT = re.compile("[0-9a-f]{40}")
_TIMEOUT_SECONDS = 30
_PIECE = 1 << 20


class HubFile(Struct, frozen=True):
    path: str
    size: int
    blob: str  # git's SHA-1 of it
    sha256: str | None = None  # where it is kept outside of git


class Hub:
    """`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME` and `HF_HUB_OFFLINE` count, as for every tool that uses the hub.

    Errors of all that is asked: Unavailable, BadInput, TransientError.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise Unavailable(
                "a dataset of the hub needs huggingface_hub", fix="pip install 'spark-build[hub]'"
            ) from None
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        self._api = HfApi(endpoint=self._endpoint)

    def commit(self, revision: str | None) -> str:
        """The 40 hex digits of a branch, a tag, a commit; of the main branch where none is named."""
        with self._told(revision):
            found = self._api.dataset_info(self.dataset, revision=revision, timeout=_TIMEOUT_SECONDS)
        if not COMMIT.fullmatch(str(found.sha)):
            raise Unavailable(
                f"{self.dataset}: the hub names no commit ({found.sha})",
                fix="HF_ENDPOINT has to lead to a hub",
            )
        if revision is not None and COMMIT.fullmatch(revision) and found.sha != revision:
            raise Unavailable(
                f"{self.dataset}: the hub gives {found.sha} for {revision}", fix="check HF_ENDPOINT"
            )
        return str(found.sha)

    def files(self, commit: str) -> dict[str, HubFile]:
        from huggingface_hub.hf_api import RepoFile

        with self._told(commit):
            tree = self._api.list_repo_tree(
                self.dataset, recursive=True, revision=commit, repo_type="dataset"
            )
            found = [one for one in tree if isinstance(one, RepoFile)]
        for one in found:
            if PurePosixPath(one.path).is_absolute() or ".." in PurePosixPath(one.path).parts:
                raise BadInput(f"{self.dataset}: '{one.path}' leads out of it", fix="check HF_ENDPOINT")
        return {
            one.path: HubFile(one.path, one.size, one.blob_id, one.lfs.sha256 if one.lfs else None)
            for one in found
        }

    def fetch(self, file: HubFile, commit: str, to: Path) -> None:
        """Through the hub's own cache on this machine."""
        from huggingface_hub import hf_hub_download

        with self._told(commit):
            cached = hf_hub_download(
                self.dataset, file.path, repo_type="dataset", revision=commit, endpoint=self._endpoint
            )
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached, to)
        if not _is_content_of(file, to):
            raise TransientError(
                f"{self.dataset}: {file.path} is not what commit {commit[:12]} holds",
                fix=f"the hub's cache may be damaged: `hf cache verify {self.dataset} --repo-type dataset`",
            )

    @contextmanager
    def _told(self, revision: str | None) -> Iterator[None]:
        """What the client raises, as a user can act on it."""
        from huggingface_hub import errors

        try:
            yield
        except errors.OfflineModeIsEnabled as error:
            raise Unavailable(
                f"{self.dataset}: HF_HUB_OFFLINE is set, and this asks the hub",
                fix="unset HF_HUB_OFFLINE for `spark update`; builds then need no hub",
            ) from error
        except errors.RevisionNotFoundError as error:
            raise BadInput(
                f"the hub has no revision '{revision}' of '{self.dataset}'", fix="check `revision`"
            ) from error
        except errors.GatedRepoError as error:
            raise Unavailable(
                f"'{self.dataset}' is gated", fix="ask for access on its page, and log in: `hf auth login`"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise BadInput(
                f"the hub has no dataset '{self.dataset}', or it needs a login",
                fix="check the name; for a private one, HF_TOKEN or `hf auth login`",
            ) from error
        except Exception as error:  # the client's, its HTTP library's and the sockets' errors
            raise Unavailable(
                f"{self.dataset}: the hub did not answer: {_first_line(error)}",
                fix="check the network and HF_ENDPOINT",
            ) from error


def _is_content_of(file: HubFile, place: Path) -> bool:
    """By SHA-256 where the hub knows it, else as git names a blob."""
    size = place.stat().st_size
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(place, "rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return size == file.size and digest.hexdigest() == (file.sha256 or file.blob)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
