"""What the session's settings do to real plans: fewer partitions, split skew, files that are not read."""

import re

import pytest
from pyspark.sql import functions as f

pytestmark = [pytest.mark.integration, pytest.mark.spark]

DAYS, ROWS_PER_DAY = 20, 50
FACTS = "lake.plans.facts"


@pytest.fixture(scope="module")
def session(module_sandbox):
    """A session with a table of some days and a calendar of them."""
    session = module_sandbox.spark()
    session.sql("create namespace if not exists lake.plans")
    session.sql(f"create table {FACTS} (key int, date date) using iceberg partitioned by (date)")
    numbers = session.range(DAYS * ROWS_PER_DAY, numPartitions=1)
    day = f.expr(f"date_add(date '2010-12-01', cast(id % {DAYS} as int))")
    numbers.select(f.col("id").cast("int").alias("key"), day.alias("date")).sortWithinPartitions("date").writeTo(
        FACTS
    ).append()
    days = session.range(DAYS, numPartitions=1)
    calendar = days.select(
        f.expr("date_add(date '2010-12-01', cast(id as int))").alias("date"), f.col("id").alias("number")
    )
    calendar.writeTo("lake.plans.calendar").using("iceberg").create()
    return session


def final_plan(frame):
    """Return the physical plan as it was run."""
    frame.collect()
    return frame._jdf.queryExecution().executedPlan().toString()


def read_rows(frame):
    """Return how many rows the scan of the facts gave, from the metrics of the plan that was run."""
    plan = frame._jdf.queryExecution().executedPlan().finalPhysicalPlan()
    leaves = plan.collectLeaves()
    found = {}
    waiting = [leaves.apply(number) for number in range(leaves.size())]
    while waiting:
        node = waiting.pop()
        if node.nodeName().endswith("QueryStage"):
            inner = node.plan().collectLeaves()
            waiting += [inner.apply(number) for number in range(inner.size())]
        elif "BatchScan" in node.nodeName():
            found[node.nodeName()] = node.metrics().apply("numOutputRows").value()
    return next(rows for name, rows in found.items() if "facts" in name)


def test_a_join_reads_only_the_partitions_the_other_side_names(session):
    query = (
        f"select count(*) from {FACTS} as facts join lake.plans.calendar as calendar on facts.date = calendar.date"
        " where calendar.number = 7"
    )
    pruned = session.sql(query)
    assert "dynamicpruning" in final_plan(pruned)
    assert pruned.first()[0] == ROWS_PER_DAY == read_rows(pruned)

    session.conf.set("spark.sql.optimizer.dynamicPartitionPruning.enabled", "false")
    try:
        whole = session.sql(query)
        assert "dynamicpruning" not in final_plan(whole)
        assert read_rows(whole) == DAYS * ROWS_PER_DAY
    finally:
        session.conf.set("spark.sql.optimizer.dynamicPartitionPruning.enabled", "true")


def test_few_rows_are_shuffled_into_few_partitions(session):
    frame = session.table(FACTS).groupBy("date").count()
    assert "AdaptiveSparkPlan isFinalPlan=true" in final_plan(frame)
    assert re.search(r"AQEShuffleRead coalesced", final_plan(frame))
    assert int(session.conf.get("spark.sql.shuffle.partitions")) > 1


def test_a_key_that_most_rows_have_is_split_among_tasks(session):
    settings = {
        "spark.sql.autoBroadcastJoinThreshold": "-1",
        "spark.sql.adaptive.autoBroadcastJoinThreshold": "-1",
        "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes": "20KB",
        "spark.sql.adaptive.skewJoin.skewedPartitionFactor": "2",
        "spark.sql.adaptive.advisoryPartitionSizeInBytes": "20KB",
    }
    kept = {name: session.conf.get(name, None) for name in settings}
    for name, value in settings.items():
        session.conf.set(name, value)
    try:
        facts = session.range(60_000, numPartitions=4).select(
            f.when(f.col("id") < 55_000, 1).otherwise(f.col("id")).alias("key"),
            f.sha2(f.col("id").cast("string"), 256).alias("text"),
        )
        customers = session.range(60_000, numPartitions=2).withColumnRenamed("id", "key")
        frame = facts.join(customers, "key").agg(f.count("text"), f.max("text"))
        assert "SortMergeJoin(skew=true)" in final_plan(frame)
        assert frame.first()[0] == 60_000
    finally:
        for name, value in kept.items():
            if value is None:
                session.conf.unset(name)
            else:
                session.conf.set(name, value)
