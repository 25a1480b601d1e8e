"""`slackwater env`: the running stack's endpoints and credentials as export lines."""

import shlex

from slackwater.commands.context import require_profile
from slackwater.stack.environment import full_environment


def env() -> None:
    """Print export lines with the endpoints and credentials of this folder's stack.

    Use it as: eval "$(slackwater env)". Then boto3, the AWS CLI, the Snowflake connector, dbt, clickhouse-connect and
    psql reach the stack. Files put below cdc/ of $SLACKWATER_LANDING_BUCKET are picked up like the replay's.
    """
    for name, value in sorted(full_environment(require_profile()).items()):
        print(f"export {name}={shlex.quote(value)}")
