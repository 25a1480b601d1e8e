"""Flow: the gate. Join dbt's test results with the Soda scans of one refresh into one verdict and a report.

A subflow of `refresh_marts`; by hand it scans an open refresh again. It never publishes.
"""

from prefect import flow

from slackwater.quality.results import GateVerdict
from tasks.scan_refresh import scan_refresh


@flow(name="scan-quality", flow_run_name="scan-{refresh_id}", log_prints=True)
def scan_quality(refresh_id: str) -> GateVerdict:
    """Judge the candidate of a refresh.

    Args:
        refresh_id: Id of a refresh whose models are built.

    Returns:
        The verdict; failing keys name their batch and file.
    """
    return scan_refresh(refresh_id)
