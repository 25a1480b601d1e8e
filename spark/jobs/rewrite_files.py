"""Rewrite the small files of some days of a table so that no answer changes, or nothing of it stays.

`python -m spark.jobs.rewrite_files REQUEST RESULT` reads a `RewriteJob` and writes a `RewriteJobResult`, both JSON. One
rewrite per table at a time: the caller's lease.
"""

from pyspark.sql import SparkSession

from slackwater.errors import SlackwaterError, StoreRejected
from slackwater.lake.rewrite import RewriteAnswer, RewriteJob, RewriteJobResult, RewriteRequest, RewriteResult
from slackwater.spark_runtime.failures import error_document
from spark.rewriting import Rewrite, rewrite_days
from spark.spark_errors import spark_errors
from spark.tables import current_snapshot_id, require_format
from spark.verified_rewrite import rewrite_verified
from spark.versions import commits_since


def run_all(session: SparkSession, job: RewriteJob) -> RewriteJobResult:
    """Do several rewrites, one after the other; one that fails is reported, and the others are done all the same."""
    answers = []
    for request in job.rewrites:
        try:
            answers.append(RewriteAnswer(result=run(session, request)))
        except SlackwaterError as exc:
            answers.append(RewriteAnswer(error=error_document(exc)["error"]))
    return RewriteJobResult(answers=tuple(answers))


def run(session: SparkSession, request: RewriteRequest, *, rewrite: Rewrite = rewrite_days) -> RewriteResult:
    """Rewrite the days of a request and verify it; a second call finds nothing to join.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to rewrite.
        rewrite: Does the rewriting; what it made is compared all the same.

    Returns:
        What was done; a rewrite that changed rows is a result that says so, with main as it was.

    Raises:
        ConfigurationError: There is no such table.
        StoreRejected: Main does not come from the snapshot the plan was made at, or a data file cannot be read.
    """
    with spark_errors():
        require_format(session, request.table)
        _require_planned(session, request)
    return rewrite_verified(session, request, rewrite)


def _require_planned(session: SparkSession, request: RewriteRequest) -> None:
    planned = request.planned_snapshot_id
    if planned is None:
        return
    head = current_snapshot_id(session, request.table)
    if head is None or commits_since(session, request.table, tip=head, base=planned) is None:
        raise StoreRejected(
            f"{request.table} is at snapshot {head}, which does not come from {planned}, where its rewrite was planned:"
            " it was rolled back or is another table; plan anew"
        )


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(RewriteJob, run_all))
