"""prefect.yaml and the code agree: entrypoints import, flows are deployed, event names exist, payload keys are sent."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.workers.process import ProcessWorker

from slackwater.naming import EVENTS
from slackwater.stack.bootstrap import process_job_template

ROOT = Path(__file__).resolve().parents[2]
DECLARED: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = DECLARED["deployments"]
ENTRYPOINTS = sorted({deployment["entrypoint"] for deployment in DEPLOYMENTS})


IMPORT_EACH_ALONE = """
import importlib, json, sys, traceback
from prefect import Flow
failures = {}
for entrypoint in json.loads(sys.argv[1]):
    for name in [m for m in sys.modules if m.split(".")[0] in ("flows", "tasks", "slackwater")]:
        del sys.modules[name]
    module, name = entrypoint.rsplit(".", 1)
    try:
        assert isinstance(getattr(importlib.import_module(module), name), Flow), "not a flow"
    except BaseException:
        failures[entrypoint] = traceback.format_exc()
print(json.dumps(failures))
"""
"""One fresh interpreter, which forgets our modules before each entrypoint: an interpreter each costs 5 CPU-seconds."""


@pytest.fixture(scope="module")
def import_failures() -> dict[str, str]:
    """Why an entrypoint cannot be imported from the project's folder; empty for those that can."""
    command = [sys.executable, "-c", IMPORT_EACH_ALONE, json.dumps(ENTRYPOINTS)]
    fresh = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert fresh.returncode == 0, fresh.stderr
    failures: dict[str, str] = json.loads(fresh.stdout.splitlines()[-1])
    return failures


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_every_entrypoint_imports_in_a_fresh_interpreter(entrypoint: str, import_failures: dict[str, str]) -> None:
    assert import_failures.get(entrypoint, "") == ""


def test_every_flow_is_deployed() -> None:
    modules = {f"flows.{path.stem}" for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__"}
    assert modules == {entrypoint.rsplit(".", 1)[0] for entrypoint in ENTRYPOINTS}


def test_every_deployment_says_what_it_is_for() -> None:
    assert [d["name"] for d in DEPLOYMENTS if not d.get("description")] == []


def test_every_entrypoint_is_a_module_path() -> None:
    assert [entry for entry in ENTRYPOINTS if "/" in entry or ":" in entry or entry.endswith(".py")] == []


def test_every_parameter_of_a_trigger_is_a_parameter_of_its_deployment() -> None:
    for deployment in DEPLOYMENTS:
        for trigger in deployment.get("triggers", []):
            assert set(trigger.get("parameters", {})) <= set(deployment.get("parameters", {})), deployment["entrypoint"]


def test_the_process_pool_s_template_is_that_of_prefect_s_worker() -> None:
    ours, theirs = process_job_template(ROOT), ProcessWorker.get_default_base_job_template()
    assert ours["job_configuration"] == theirs["job_configuration"]
    assert set(ours["variables"]["properties"]) == set(theirs["variables"]["properties"])
    assert shlex.split(ours["variables"]["properties"]["command"]["default"]) == [
        sys.executable,
        "-m",
        "prefect.engine",
    ]


def _expected_events(node: object) -> set[str]:
    if isinstance(node, dict):
        own = node.get("expect")
        names = {own} if isinstance(own, str) else set(own or ())
        return names.union(*(_expected_events(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_expected_events(value) for value in node))
    return set()


def test_every_event_of_a_trigger_exists_in_naming() -> None:
    files = [ROOT / "prefect.yaml", *(p for p in (ROOT / "deployments").rglob("*.y*ml"))]
    expected = set().union(*(_expected_events(yaml.safe_load(p.read_text(encoding="utf-8"))) for p in files))
    ours = {name for name in expected if not name.startswith("prefect.")}
    assert ours, "no deployment is triggered by an event of ours"
    assert ours - set(EVENTS) == set()


def test_every_event_name_is_written_in_naming_alone() -> None:
    pattern = re.compile(r'["\'](' + "|".join(re.escape(name) for name in EVENTS) + r')["\']')
    strays = [
        str(path.relative_to(ROOT))
        for folder in ("flows", "tasks", "slackwater")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "naming.py" and pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert strays == []
