"""Flow: fit the models of what customers will spend. Daily, or by hand.

They are fitted to the published marts; their predictions come into the marts with the next refresh, which also tests
them against a baseline (`marts.ltv_backtest`).
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.predict_ltv import predict_customer_spend


@flow(name="predict-ltv", log_prints=True)
def predict_ltv() -> State[None]:
    """Predict what every customer will spend in the days to come."""
    return Completed(message=predict_customer_spend())
