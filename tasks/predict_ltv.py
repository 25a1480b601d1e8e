"""Step: fit the spend models to what was published last and keep what they predict."""

from prefect import get_run_logger

from slackwater.errors import NotFitted
from slackwater.warehouse.dbt_cli import project_number
from tasks.connections import open_warehouse
from tasks.retrying import retried_task


@retried_task(timeout_seconds=900)
def predict_customer_spend() -> str:
    """Predict what every customer will spend; the next refresh judges and publishes it.

    Returns:
        One sentence: what was fitted, or why nothing was.
    """
    from slackwater.prediction.spend import predict_spend

    with open_warehouse("predict-ltv") as warehouse:
        try:
            fit = predict_spend(warehouse, horizon_days=project_number("ltv_horizon_days"))
        except NotFitted as exc:
            return f"Not fitted: {exc}. Once the last fit is too old, the baseline is published."
    if fit is None:
        return "Nothing was published since the last fit."
    get_run_logger().info("parameters %s", fit.parameters)
    return f"{fit.told}. The next refresh publishes it where it beats the baseline."
