"""What the batch analytics of the lake are told and answer; the definitions are in `reconciliation/metrics.yml`."""

from datetime import date

from pydantic import BaseModel, ConfigDict


class AnalyticsRequest(BaseModel):
    """The days to compute anew; rows of other days stay as they are.

    Attributes:
        from_date: First day, inclusive; None for the first there is.
        to_date: Last day, inclusive; None for the last there is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    from_date: date | None = None
    to_date: date | None = None


class AnalyticsResult(BaseModel):
    """What was computed.

    Attributes:
        table: Iceberg identifier of the result.
        row_count: Rows of the days asked for.
        deleted_count: Rows that were there for these days before.
        seconds: Wall time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    table: str
    row_count: int
    deleted_count: int
    seconds: float
