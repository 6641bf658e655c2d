"""What can go wrong, one class per phase; each message says where and what, `fix` says how to mend it."""


class SparkError(Exception):
    """A problem that a user can act on: shown without a traceback, as `message` and `fix: …`."""

    exit_code = 1

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return self.message if self.fix is None else f"{self.message}\n  fix: {self.fix}"


class UsageError(SparkError):
    """The command line or the Sparkfile asks for something that does not exist."""

    exit_code = 2


class BadInput(SparkError):
    """A stage's input as a whole can't be used (a bad *item* is `ItemRejected`)."""


class ItemRejected(Exception):
    """One item can't be read or handled; it is counted and kept under `rejected/` with this reason."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Unanswered(ItemRejected):
    """Nothing could be found out of one item for now: it is rejected, and asked about again; never remembered."""

    REASON = "unanswered"

    def __init__(self, detail: str = "") -> None:
        super().__init__(self.REASON, detail)


class TransientError(SparkError):
    """Something outside failed for now; never remembered, worth another try."""


class Unavailable(SparkError):
    """This machine, or this installation, lacks what the stage needs."""


class StageFailed(SparkError):
    """A stage ended without a result."""


class StoreDamaged(SparkError):
    """An object in the store does not match its digest."""

    exit_code = 4


class Untrusted(SparkError):
    """Nobody whose key is listed vouches for it."""

    exit_code = 4


class RequirementNotMet(SparkError):
    """A figure lies outside of what `require` allows."""

    exit_code = 4
