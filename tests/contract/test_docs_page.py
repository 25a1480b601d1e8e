"""dbt's pages as `slackwater docs` serves them, opened in a real browser; a manifest made without a warehouse."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slackwater.errors import ConfigurationError, TerminalError
from slackwater.settings import ProjectSettings
from slackwater.warehouse.dbt_cli import docs_command
from slackwater.warehouse.dbt_docs import DOCS_HOST, ensure_manifest, serve_docs

pytestmark = pytest.mark.contract

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHOUT_WAREHOUSE = ("--no-populate-cache", "--empty-catalog")
MODEL_PAGE = "#!/model/model.slackwater.daily_business_metrics"
SERVE = """
import signal, sys
from pathlib import Path
from slackwater.warehouse.dbt_docs import serve_docs
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores Ctrl-C
serve_docs(Path(sys.argv[1]), port=0, say=lambda line: print(line, flush=True))
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("docs")
    docs = docs_command(target_dir=target)
    command = [sys.executable, "-m", "dbt.cli.main", *docs.arguments, *WITHOUT_WAREHOUSE]
    env = {**os.environ, **docs.environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return target


@contextmanager
def _served(pages: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVE, str(pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[0], server
        finally:
            server.kill()


def test_the_pages_are_served_on_this_machine_alone_and_ctrl_c_ends_it_quietly(pages):
    with _served(pages) as (address, server):
        assert address.startswith(f"http://{DOCS_HOST}:")
        with urllib.request.urlopen(address) as answer:
            assert b"<title>dbt Docs</title>" in answer.read()
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=20)
    assert (server.returncode, told) == (0, "")


def test_a_taken_port_is_a_clear_error(pages):
    with socket.socket() as taken:
        taken.bind((DOCS_HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=f"port {port} of {DOCS_HOST} is taken; choose another with --port"
        ):
            serve_docs(pages, port=port, say=print)


def test_a_browser_shows_a_model_its_columns_and_their_descriptions(pages, tmp_path):
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium here: that dbt's pages open in a browser stays unverified")
    with _served(pages) as (address, _):
        command = [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
        ]
        command += ["--virtual-time-budget=20000", "--dump-dom", f"{address}{MODEL_PAGE}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    text = re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", done.stdout, flags=re.DOTALL))
    assert "daily_business_metrics" in text
    assert "One row per UTC date" in text
    assert "Sum of total_amount of counted orders (shop's currency), services included." in text


def test_dbt_compiles_again_only_when_a_file_of_the_project_is_newer(tmp_path):
    project, target, said = tmp_path / "project", tmp_path / "target", []
    shutil.copytree(ProjectSettings().dbt_dir, project)

    def manifest() -> str:
        return ensure_manifest(target, say=said.append, project_dir=project).read_text(encoding="utf-8")

    assert "from ECOMMERCE_DW.STAGING.base_orders" in manifest()
    assert (len(said), manifest()) == (1, manifest())
    model = project / "models" / "staging" / "stg_orders.sql"
    model.write_text(model.read_text(encoding="utf-8").replace("    updated_at,\n", "    updated_at, 1 as one_more,\n"))
    assert "1 as one_more" in manifest()
    assert len(said) == 2
    model.write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(TerminalError, match=r"(?s)dbt compile failed; all of it is in .*nowhere"):
        manifest()
