"""What a Spark job says when its surroundings fail: real jobs as processes, a store in front of the store."""

import hashlib
import os
import resource
import threading
from contextlib import closing, contextmanager, suppress

import psutil
import pytest
from s3_proxy import proxied

from slackwater.clients.iceberg import Lake
from slackwater.clients.s3 import ObjectStore
from slackwater.clients.spark import SparkJobs
from slackwater.errors import SparkOutOfMemory, StoreRejected, StoreUnavailable
from slackwater.lake.fold import FoldJob, FoldJobResult, FoldRequest
from slackwater.lake.policy import TableKind
from slackwater.lake.rewrite import RewriteJob, RewriteJobResult, RewriteRequest
from slackwater.ledger.store import Ledger
from slackwater.settings import ProjectSettings, SparkSettings
from slackwater.testing.lake_bench import LakeBench
from slackwater.testing.landing_files import LandingFile

pytestmark = [pytest.mark.integration, pytest.mark.spark]

ROWS = 20_000
TEXT_BYTES = 300
"""Of random text in every row, so that what Spark writes to its disk is not small."""

HUGE_TEXT_BYTES = 250_000_000
"""Of one value: it can neither be split nor spilled."""


@pytest.fixture(scope="module")
def bench(module_sandbox):
    sandbox = module_sandbox
    with Ledger(sandbox.ledger.dsn) as ledger, closing(Lake(sandbox.lake, sandbox.s3)) as lake:
        yield LakeBench(ledger, lake, ObjectStore(sandbox.s3), sandbox.landing)


@pytest.fixture(scope="module")
def batch(bench):
    """A landed batch of wide rows; nothing has folded it."""
    texts = {
        number: {"shipping_address": hashlib.shake_256(str(number).encode()).hexdigest(TEXT_BYTES)}
        for number in range(ROWS)
    }
    return request_of(bench, LandingFile(count=ROWS, overrides=texts))


def request_of(bench, file):
    [batch_id] = bench.land(file)
    return FoldRequest(entity=file.entity, batch_ids=(batch_id,), dates=(), row_count=file.count)


@pytest.fixture
def jobs(module_sandbox):
    """Makes the runner of jobs in processes of their own, in the sandbox's environment and what is added to it."""

    def make(**environment):
        spark = SparkSettings(work_dir=module_sandbox.profile.home / "spark")
        environment = {**module_sandbox.env, "SLACKWATER_SPARK_WORK_DIR": str(spark.work_dir), **environment}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        return SparkJobs(spark, ProjectSettings(), {**kept, **environment})

    return make


@pytest.fixture
def fold(jobs):
    """Fold a batch; returns what the job answered."""

    def run(batch, *, check=lambda: None, **environment):
        return jobs(**environment).run("fold_changes", FoldJob(folds=(batch,)), FoldJobResult, check=check)

    return run


def told(result):
    [failed] = result.failed
    return failed.error["kind"], failed.error["message"]


def running_jvms():
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if process.name() == "java":
                found.add(process)
    return found


@contextmanager
def largest_file(size_bytes):
    """Let no process started meanwhile write a file larger than so much: what a full disk looks like to one."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


def test_a_store_that_refuses_is_named_with_what_to_check(fold, batch, module_sandbox):
    with proxied(module_sandbox.s3.endpoint_url, is_forbidden=lambda _, path: path.endswith(".parquet")) as endpoint:
        kind, message = told(fold(batch, SLACKWATER_S3_ENDPOINT_URL=endpoint))
    assert kind == StoreRejected.__name__
    assert message.startswith("the object store refused access; check SLACKWATER_S3_*")


def test_a_store_that_refuses_to_show_what_a_rewrite_wrote_is_no_changed_row(jobs, bench, module_sandbox):
    bench.land(*(LandingFile("users", first=number * 3) for number in range(4)))
    table = bench.lake.load_table("changes.users")
    known = {task.file.file_path.rsplit("/", 1)[-1] for task in table.scan().plan_files()}
    days = tuple({row["date"] for row in table.scan(selected_fields=("date",)).to_arrow().to_pylist()})
    request = RewriteRequest(
        rewrite_id="r1", kind=TableKind.CHANGELOG, entity="users", days=days, target_file_bytes=2**20, min_inputs=2
    )

    def is_new(method, path):
        name = path.rsplit("/", 1)[-1]
        return method == "GET" and "/data/" in path and name.endswith(".parquet") and name not in known

    with proxied(module_sandbox.s3.endpoint_url, is_forbidden=is_new) as endpoint:
        job = jobs(SLACKWATER_S3_ENDPOINT_URL=endpoint)
        [answer] = job.run("rewrite_files", RewriteJob(rewrites=(request,)), RewriteJobResult).answers
    assert (answer.result, answer.error["kind"]) == (None, StoreRejected.__name__)
    assert answer.error["message"].startswith("the object store refused access; check SLACKWATER_S3_*")
    table.refresh()
    assert {task.file.file_path.rsplit("/", 1)[-1] for task in table.scan().plan_files()} == known
    assert set(table.refs()) == {"main"}


def test_too_little_memory_is_said_with_what_to_change(fold, bench):
    huge = request_of(bench, LandingFile("products", count=1).with_row(0, description="x" * HUGE_TEXT_BYTES))
    try:
        kind, message = told(fold(huge, _JAVA_OPTIONS="-Xmx500m"))
    except SparkOutOfMemory as exc:  # the JVM itself had no more; else it was Spark's own account of memory
        kind, message = type(exc).__name__, str(exc)
    assert kind == SparkOutOfMemory.__name__
    assert "set SLACKWATER_SPARK_PROFILE to a greater one" in message


def test_a_jvm_that_is_killed_at_work_is_told_as_what_can_be_done_again(fold, batch, module_sandbox):
    is_at_work, others = threading.Event(), running_jvms()  # this process may have a JVM of its own

    def see(_, path):
        if path.endswith(".parquet"):
            is_at_work.set()
        return False

    def kill_the_jvm_at_work():
        if is_at_work.is_set():
            for process in running_jvms() - others:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    with (
        proxied(module_sandbox.s3.endpoint_url, is_forbidden=see) as endpoint,
        pytest.raises(StoreUnavailable, match="the JVM of Spark ended in the middle"),
    ):
        fold(batch, check=kill_the_jvm_at_work, SLACKWATER_S3_ENDPOINT_URL=endpoint)


def test_a_full_spill_folder_is_named(fold, batch, module_sandbox):
    with largest_file(2 * 2**20):
        kind, message = told(fold(batch))
    assert kind == StoreUnavailable.__name__
    assert str(module_sandbox.profile.home / "spark") in message
    assert "SLACKWATER_SPARK_WORK_DIR" in message


def test_a_slow_store_only_takes_longer_and_what_failed_before_left_nothing(fold, batch, module_sandbox):
    with proxied(module_sandbox.s3.endpoint_url, delay_seconds=0.15) as endpoint:
        result = fold(batch, SLACKWATER_S3_ENDPOINT_URL=endpoint)
    [done] = result.done
    assert (done.change_count, done.new_count, done.was_folded) == (ROWS, ROWS, ())


def test_a_job_that_ends_well_leaves_its_classes_and_the_next_one_maps_them(fold, bench):
    others, mapped = running_jvms(), set()

    def see_what_is_mapped():
        for process in running_jvms() - others:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                mapped.update(one.path for one in process.memory_maps() if one.path.endswith(".jsa"))

    def kept():
        return {str(path) for path in SparkSettings().kept_dir.glob("classes-*.jsa")}

    if not kept():  # an earlier job of this environment may have left them
        assert fold(request_of(bench, LandingFile(entity="users"))).done
    assert fold(request_of(bench, LandingFile(entity="users", first=1_001)), check=see_what_is_mapped).done
    assert mapped & kept()
