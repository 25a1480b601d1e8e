"""The Snowflake driver comes without pandas, and pandas is there again afterwards."""

import subprocess
import sys

import pytest

SCRIPTS = {
    "the driver": (
        "from slackwater.clients.snowflake import import_driver; import_driver();"
        "import sys; assert 'snowflake.connector' in sys.modules; assert 'pandas' not in sys.modules; import pandas"
    ),
    "a time of Arrow": (
        "from slackwater.without_pandas import hide_pandas; hide_pandas(); import datetime, sys, pyarrow as pa;"
        "at = datetime.datetime(2010, 12, 1); assert pa.array([at]).to_pylist() == [at];"
        "assert 'pandas' not in sys.modules"
    ),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_pandas_is_not_imported(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
