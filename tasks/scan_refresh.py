"""Step: let the gate judge a refresh and show its report in the UI."""

from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from slackwater.quality.gate import run_gate
from slackwater.quality.report import markdown_summary, report_link
from slackwater.quality.results import GateVerdict
from slackwater.settings import ProjectSettings, QualitySettings, WarehouseSettings
from tasks.retrying import retried_task
from tasks.run_dbt import results_path


@retried_task(timeout_seconds=1_800)
def scan_refresh(refresh_id: str) -> GateVerdict:
    """Verify every contract, join dbt's tests, store and report the verdict. Rejection is a result, not an error."""
    settings = QualitySettings()
    verdict = run_gate(
        refresh_id,
        warehouse_settings=WarehouseSettings(),
        dbt_run_results=results_path(refresh_id, "test"),
        reports_dir=settings.reports_dir,
        contracts_dir=ProjectSettings().contracts_dir / "contracts",
    )
    create_markdown_artifact(key="scan-report", markdown=markdown_summary(verdict))
    for key, page in (("scan-page", verdict.report_html), ("scan-index", verdict.report_index)):
        _link(key, page, settings)
    return verdict


def _link(key: str, page: Path, settings: QualitySettings) -> None:
    link = report_link(page, reports_dir=settings.reports_dir, reports_url=settings.reports_url)
    create_link_artifact(key=key, link=link, link_text=page.name)
