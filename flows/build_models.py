"""Flow: run dbt for one refresh. Every model becomes a task; the results decide nothing here, the gate reads them.

A subflow of `refresh_marts`; by hand it rebuilds the candidate of a refresh that is still open.
"""

from prefect import flow

from tasks.run_dbt import run_dbt_models, run_dbt_tests


@flow(name="build-models", flow_run_name="build-{refresh_id}", log_prints=True)
def build_models(refresh_id: str) -> None:
    """Build staging and candidate marts for a refresh, then run every dbt test.

    Args:
        refresh_id: Id of a refresh in state `building`.
    """
    run_dbt_models(refresh_id)
    run_dbt_tests(refresh_id)
