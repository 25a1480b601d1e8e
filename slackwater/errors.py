"""The errors of the project, by what a caller may do about them.

A client in `slackwater/clients` translates its driver's errors once, with `raise ... from exc`. `tasks/` holds the only
retry predicate: `TransientError` is retried, everything else is not. No driver error leaves a client untranslated.
"""


class SlackwaterError(Exception):
    """Base of every error this project raises on purpose."""


class TransientError(SlackwaterError):
    """The same call may succeed later: a service is away, a lock is taken, a commit raced."""


class TerminalError(SlackwaterError):
    """Repeating the same call cannot help: the input or the configuration is wrong."""


class CommitConflict(TransientError):
    """Another writer committed first; reload, ask again whether the work is done, and retry."""


class StoreUnavailable(TransientError):
    """A store (S3, SQS, PostgreSQL, ClickHouse, the catalog) did not answer."""


class QueueMissing(StoreUnavailable):
    """A queue does not exist. It can vanish and be made anew, by the bootstrap or the sweep: not a wrong setting."""


class WarehouseUnavailable(StoreUnavailable):
    """The warehouse did not answer or refused a lock."""


class SchemaBehind(TransientError):
    """A table and the entity file of this process differ; whichever is behind will be brought in line."""


class LeaseLost(TransientError):
    """Another process holds the lease of this work now; stop without writing."""


class LeaseHeld(TransientError):
    """Another live process works on this batch or refresh; it needs nothing from us."""


class StoreRejected(TerminalError):
    """A store refused a request for a reason that repeating it does not change."""


class ValueRefused(StoreRejected):
    """A store cannot hold a value it was given (out of range, a character it does not know)."""


class FileUnreadable(StoreRejected):
    """A data file is damaged or gone; which one, and who brought it, is in the message."""


class NotFitted(TerminalError):
    """A model was not fitted: there is too little to fit it to, or its likelihood has no maximum that was found."""


class ConfigurationError(TerminalError):
    """A setting is missing or wrong."""


class SparkMissing(ConfigurationError):
    """No Java runs Spark here; everything but the upkeep of the lake works without."""


class InvalidPlanError(TerminalError):
    """An argument of a pure planning function is out of range."""


class NotKnown(TerminalError):
    """No store knows what was asked for."""


class IllegalTransition(TerminalError):
    """The ledger's model does not allow this change of state."""


class MalformedObject(TerminalError):
    """A landing object cannot be read as the contract says.

    Attributes:
        reason: Stable short code for the ledger, such as `not_parquet` or `missing_column`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SchemaDrift(MalformedObject):
    """A landing object has columns or types that the entity file does not declare."""


class ObjectSuperseded(TerminalError):
    """The object was overwritten between its notification and its reading (If-Match failed)."""


class LoadMismatch(TerminalError):
    """A load wrote another number of rows than the manifest promises; it was rolled back."""


class RewriteRejected(TerminalError):
    """A rewrite of data files changed rows; readers do not have it, and its snapshot is kept as evidence."""


class SparkOutOfMemory(TerminalError):
    """A Spark job did not fit its memory profile; the same job would not fit the next time either."""


class GateFailed(TerminalError):
    """The gate rejected a refresh; marts are untouched."""


class AcceptanceRefused(TerminalError):
    """A failing check cannot be accepted like this: it does not reject, the day is over, or no reason is given."""


class ReconciliationFailed(TerminalError):
    """Two stores differ at the frontier."""


class StackUnhealthy(TerminalError):
    """A service of the embedded stack did not become healthy; the message names it with its last log lines."""
