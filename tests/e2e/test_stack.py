"""The stack as a user meets it: started, started again, a service killed, a port taken."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from slackwater.clients.postgres import connect
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue
from slackwater.errors import ConfigurationError, SlackwaterError
from slackwater.settings import StackSettings
from slackwater.stack import health, supervisor
from slackwater.stack.control import start_stack, stop_stack
from slackwater.stack.environment import full_environment
from slackwater.stack.inspect import inspect_stack
from slackwater.stack.keeper import store_processes
from slackwater.stack.ports import find_free_port_base
from slackwater.stack.profile import Profile, load_profile
from slackwater.stack.systems import Systems

pytestmark = pytest.mark.e2e

RESIDENT_LIMIT_BYTES = int(2.5 * 2**30)


def _wait_for(condition: object, *, seconds: float = 120.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.5)


def test_every_service_is_healthy_and_all_together_stay_small(live_stack: Profile) -> None:
    services = inspect_stack(live_stack)
    assert [service.name for service in services if not service.is_healthy] == []
    assert sum(service.resident_bytes for service in services) < RESIDENT_LIMIT_BYTES


def test_a_second_up_starts_nothing(live_stack: Profile) -> None:
    before = {service.name: service.pid for service in inspect_stack(live_stack)}
    report = start_stack(StackSettings(home=live_stack.home), project_dir=live_stack.project_dir)
    assert report.started == ()
    assert {service.name: service.pid for service in inspect_stack(live_stack)} == before


def test_a_killed_object_store_gets_its_queue_and_notification_back(live_stack: Profile) -> None:
    remote = supervisor.Supervisor(supervisor.socket_path(live_stack.home))
    former = remote.processes()["ministack"].pid
    os.kill(former, signal.SIGKILL)
    _wait_for(lambda: remote.processes()["ministack"].pid not in (0, former))
    _wait_for(lambda: health.read_keeper_mark(live_stack.home).processes == store_processes(remote.processes()))
    systems = Systems.from_environment(full_environment(live_stack))
    assert Queue(systems.s3, systems.landing.queue_name).arn().endswith(systems.landing.queue_name)
    ObjectStore(systems.s3).put(systems.landing.bucket, "cdc/not-an-entity/x.parquet", b"x")

    def is_recorded() -> bool:
        with connect(systems.ledger.dsn, autocommit=True) as connection:
            query = "select count(*) from ledger.object where key = 'cdc/not-an-entity/x.parquet'"
            row = connection.execute(query).fetchone()
        return row == (1,)

    # The sweep runs once a minute and once after the kill, so only the notification is this fast.
    _wait_for(is_recorded, seconds=30.0)


def test_a_taken_port_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    base = find_free_port_base()
    with socket.socket() as server:
        server.bind(("127.0.0.1", base + 2))
        server.listen()
        with pytest.raises(ConfigurationError, match=rf"{base + 2} \(ministack\)"):
            start_stack(StackSettings(home=tmp_path / "stack", port_base=base))
    assert not supervisor.is_running(supervisor.socket_path(tmp_path / "stack"))
    assert stop_stack(tmp_path / "stack", delete=True) is False


def test_a_service_that_cannot_start_is_named_with_its_log_and_the_rest_is_stopped(tmp_path: Path) -> None:
    settings = StackSettings(home=tmp_path / "stack", port_base=find_free_port_base())
    (tmp_path / "stack" / "data").mkdir(parents=True)
    (tmp_path / "stack" / "data" / "snowflake").write_text("a file where a folder belongs")
    try:
        with pytest.raises(SlackwaterError, match=r"snowflake.*Last lines of"):
            start_stack(settings, services=("postgres", "snowflake"))
        assert not supervisor.is_running(supervisor.socket_path(settings.home))
        assert list(supervisor.marked_processes(_stack_id(settings.home))) == []
    finally:
        stop_stack(settings.home, delete=True)


def _stack_id(home: Path) -> str:
    profile = load_profile(home)
    assert profile is not None
    return profile.stack_id
