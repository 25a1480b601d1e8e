"""What the Snowflake client makes of names, parameters and the driver's errors, without a server."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from pydantic import SecretStr
from snowflake.connector import errors as driver

from slackwater.clients.snowflake import (
    Warehouse,
    _bound,
    classify_driver_error,
    connection_arguments,
    quote_identifier,
    quote_text,
)
from slackwater.errors import CommitConflict, ConfigurationError, TerminalError, TransientError, WarehouseUnavailable
from slackwater.settings import WarehouseSettings


def _settings(**changed) -> WarehouseSettings:
    return WarehouseSettings(**{"password": SecretStr("geheim"), **changed})


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("orders", '"ORDERS"'), ("RAW.Orders", '"RAW"."ORDERS"'), ("__op", '"__OP"'), ("a.b$1.c", '"A"."B$1"."C"')],
)
def test_identifiers_are_quoted_in_upper_case_part_by_part(name, quoted):
    assert quote_identifier(name) == quoted


@pytest.mark.parametrize("name", ["", "a b", 'a"; drop table x; --', "a..b", "1a", "a;b", "ä"])
def test_what_is_no_plain_identifier_is_refused(name):
    with pytest.raises(ConfigurationError):
        quote_identifier(name)


def test_text_literals_cannot_end_early():
    assert quote_text("it's \\' ") == "'it''s \\\\'' '"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(driver.ProgrammingError(msg="locked", errno=625), CommitConflict, id="lock wait"),
        pytest.param(driver.ProgrammingError(msg="canceled", errno=604), CommitConflict, id="cancelled"),
        pytest.param(driver.OperationalError(msg="refused", errno=250001), WarehouseUnavailable, id="no connection"),
        pytest.param(driver.OperationalError(msg="timeout", errno=251011), WarehouseUnavailable, id="operational"),
        pytest.param(driver.InterfaceError(msg="closed"), WarehouseUnavailable, id="interface"),
        pytest.param(driver.ProgrammingError(msg="no table", errno=2003), TerminalError, id="missing table"),
        pytest.param(driver.DatabaseError(msg="bad password", errno=250003), WarehouseUnavailable, id="http"),
        pytest.param(driver.IntegrityError(msg="null", errno=100072), TerminalError, id="not null"),
    ],
)
def test_driver_errors_become_ours_by_what_a_caller_may_do(error, kind):
    found = classify_driver_error(error, "select 1")
    assert type(found) is kind
    assert isinstance(found, TransientError) == (kind is not TerminalError)


def test_an_error_names_the_statement_and_no_secret():
    sql = (
        "create stage s credentials = (aws_key_id = 'AKIA1' AWS_SECRET_KEY='tops3cret') url = 's3://x'"
        + " " * 50
        + "y" * 900
    )
    text = str(classify_driver_error(driver.ProgrammingError(msg=f"bad near {sql[:80]}", errno=1003), sql))

    assert "create stage s" in text
    assert "AKIA1" not in text
    assert "tops3cret" not in text
    assert "yyy" in text
    assert len(text) < 1_600


def test_host_port_and_protocol_are_given_only_when_set():
    plain = connection_arguments(_settings(), "tag")
    assert not {"host", "port"} & set(plain)
    local = connection_arguments(_settings(host="127.0.0.1", port=4866, protocol="http"), "tag")
    assert (local["host"], local["port"], local["protocol"]) == ("127.0.0.1", 4866, "http")


def test_every_session_has_timeouts_autocommit_utc_and_the_tag():
    arguments = connection_arguments(_settings(network_timeout_seconds=33, login_timeout_seconds=7), "batch:b1")
    assert (arguments["network_timeout"], arguments["login_timeout"]) == (33, 7)
    assert (arguments["autocommit"], arguments["timezone"], arguments["paramstyle"]) == (True, "UTC", "qmark")
    assert arguments["session_parameters"] == {
        "QUERY_TAG": "batch:b1",
        "LOCK_TIMEOUT": "60",
        "TRANSACTION_ABORT_ON_ERROR": "TRUE",
    }


def test_a_key_pair_is_used_instead_of_a_password(tmp_path):
    arguments = connection_arguments(_settings(private_key_file=tmp_path / "key.pem"), "tag")
    assert arguments["authenticator"] == "SNOWFLAKE_JWT"
    assert "password" not in arguments


def test_neither_password_nor_key_is_a_clear_error():
    with pytest.raises(ConfigurationError, match="SLACKWATER_WAREHOUSE_PASSWORD"):
        connection_arguments(_settings(password=None), "tag")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (date(2010, 12, 1), "2010-12-01"),
        (datetime.fromisoformat("2010-12-01 08:26:00.000005"), "2010-12-01 08:26:00.000005"),
        (Decimal("1.10"), Decimal("1.10")),
        (None, None),
        (True, True),
    ],
)
def test_dates_are_bound_as_iso_text_and_all_else_as_it_is(value, sent):
    assert _bound(value) == sent


def test_a_server_that_is_away_is_transient_and_fast():
    warehouse = Warehouse(
        _settings(host="127.0.0.1", port=9, protocol="http", login_timeout_seconds=1, network_timeout_seconds=5)
    )
    with pytest.raises(WarehouseUnavailable):
        warehouse.query("select 1")
