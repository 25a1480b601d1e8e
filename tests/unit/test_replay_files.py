"""Landing files: keys, bytes, both forms, slices, and the feed's rows."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slackwater.entities.casting import cast_landing_table
from slackwater.entities.model import load_entity
from slackwater.errors import InvalidPlanError
from slackwater.naming import ENTITIES
from slackwater.replay.changes import YearPlan
from slackwater.replay.files import FileForm, LandingFile, SliceBy, TimeSlice, feed_rows, landing_file, time_slices
from slackwater.replay.mapping import plan_year
from slackwater.replay.synthetic import DAY_US
from slackwater.testing.invoices import Line, invoice_lines

START_US = int(datetime(2010, 12, 1, tzinfo=UTC).timestamp()) * 1_000_000
SALE = Line(quantity=2, price="2.50")
LINES = (
    SALE,
    replace(SALE, code="20002", description="MUG £ “ÉTÉ”"),
    replace(SALE, invoice="500002", customer=None, at="2010-12-01 15:30"),
    replace(SALE, invoice="C500003", quantity=-2, at="2010-12-02 10:00"),
)


@pytest.fixture(scope="module")
def plan() -> YearPlan:
    return plan_year(invoice_lines(*LINES))


def files(plan: YearPlan, *, days: int, slice_by: SliceBy, form: FileForm = FileForm.PARQUET) -> list[LandingFile]:
    made = [
        landing_file(plan.changes[entity], part, prefix="cdc/", form=form)
        for part in time_slices(START_US, START_US + days * DAY_US, slice_by=slice_by)
        for entity in ENTITIES
    ]
    return [file for file in made if file is not None]


def test_a_day_slice_has_hour_zero_and_the_positions_of_its_rows_in_its_key(plan: YearPlan) -> None:
    assert [file.key for file in files(plan, days=2, slice_by=SliceBy.DAY)] == [
        "cdc/users/date=2010-12-01/hour=00/shop.users+0+0-0.parquet",
        "cdc/products/date=2010-12-01/hour=00/shop.products+0+0-1.parquet",
        "cdc/orders/date=2010-12-01/hour=00/shop.orders+0+0-1.parquet",
        "cdc/order_items/date=2010-12-01/hour=00/shop.order_items+0+0-2.parquet",
        "cdc/products/date=2010-12-02/hour=00/shop.products+0+2-3.parquet",
        "cdc/orders/date=2010-12-02/hour=00/shop.orders+0+2-4.parquet",
        "cdc/order_items/date=2010-12-02/hour=00/shop.order_items+0+3-3.parquet",
    ]


def test_an_hour_slice_lies_under_its_hour(plan: YearPlan) -> None:
    keys = [file.key for file in files(plan, days=1, slice_by=SliceBy.HOUR) if file.entity == "orders"]
    assert keys == [
        "cdc/orders/date=2010-12-01/hour=09/shop.orders+0+0-0.parquet",
        "cdc/orders/date=2010-12-01/hour=15/shop.orders+0+1-1.parquet",
    ]


@pytest.mark.parametrize("entity", ENTITIES)
def test_hours_and_days_hold_the_same_rows_at_the_same_positions(plan: YearPlan, entity: str) -> None:
    held = {}
    for slice_by in SliceBy:
        chosen = [file for file in files(plan, days=9, slice_by=slice_by) if file.entity == entity]
        held[slice_by] = pa.concat_tables([file.rows for file in chosen]).combine_chunks()
        ends = [0, *(file.first + file.rows.num_rows for file in chosen)]
        assert [file.first for file in chosen] == ends[:-1]
    assert held[SliceBy.HOUR].num_rows > 0
    assert held[SliceBy.HOUR].equals(held[SliceBy.DAY])


@pytest.mark.parametrize("form", list(FileForm))
def test_the_same_slice_of_another_plan_of_the_same_lines_has_the_same_bytes(plan: YearPlan, form: FileForm) -> None:
    again = plan_year(invoice_lines(*LINES))
    first, second = (files(p, days=2, slice_by=SliceBy.DAY, form=form) for p in (plan, again))
    assert [(file.key, file.data) for file in first] == [(file.key, file.data) for file in second]


def test_the_gzip_header_holds_no_time_and_no_name(plan: YearPlan) -> None:
    made = files(plan, days=1, slice_by=SliceBy.DAY, form=FileForm.JSON)
    assert {file.data[3:8] for file in made} == {bytes(5)}


def read(file: LandingFile) -> pa.Table:
    if file.key.endswith(".parquet"):
        return pq.read_table(pa.BufferReader(file.data))
    return pa.Table.from_pylist([json.loads(line) for line in gzip.decompress(file.data).splitlines()])


@pytest.mark.parametrize("form", list(FileForm))
def test_both_forms_cast_to_the_rows_they_were_made_of(plan: YearPlan, form: FileForm) -> None:
    seen = set()
    for file in files(plan, days=9, slice_by=SliceBy.DAY, form=form):
        cast = cast_landing_table(load_entity(file.entity), read(file))
        assert cast.to_pylist() == file.rows.drop_columns(["__deleted"]).to_pylist()
        seen.add(file.entity)
    assert seen == set(ENTITIES)


def test_json_lines_look_as_a_debezium_converter_writes_them(plan: YearPlan) -> None:
    made = files(plan, days=2, slice_by=SliceBy.DAY, form=FileForm.JSON)
    (created, *_), (deleted,) = (
        [json.loads(line) for line in gzip.decompress(file.data).splitlines()]
        for file in made
        if file.entity == "order_items"
    )
    assert created["unit_price"] == "2.50"
    assert created["created_at"] == "2010-12-01T09:00:00.000000Z"
    assert created["__source_ts_ms"] == 1_291_194_000_000
    assert created["__ts_ms"] - created["__source_ts_ms"] == 500
    assert (deleted["id"], deleted["__op"], deleted["__deleted"]) == (1, "d", "true")
    assert {deleted[name] for name in ("order_id", "product_id", "quantity", "unit_price", "created_at")} == {None}


def test_a_slice_without_changes_has_no_file(plan: YearPlan) -> None:
    quiet = TimeSlice(START_US + 3_600_000_000, START_US + 2 * 3_600_000_000)
    assert [landing_file(c, quiet, prefix="cdc/", form=FileForm.PARQUET) for c in plan.changes.values()] == [None] * 4


def test_a_range_must_begin_and_end_on_a_border() -> None:
    with pytest.raises(InvalidPlanError, match="full day"):
        list(time_slices(START_US, START_US + 1, slice_by=SliceBy.DAY))


def test_the_feeds_rows_carry_their_place_in_the_change_order(plan: YearPlan) -> None:
    file = files(plan, days=2, slice_by=SliceBy.DAY)[-2]
    rows = feed_rows(file, object_id="ab" * 16, epoch=3)
    assert rows.column_names == [
        *load_entity("orders").column_names,
        *(
            "__op",
            "__ts_ms",
            "__source_ts_ms",
            "__source_lsn",
            "_object_id",
            "_epoch",
            "_source_partition",
            "_position",
        ),
    ]
    assert rows["_position"].to_pylist() == [2, 3, 4]
    assert set(rows["_source_partition"].to_pylist()) == {"shop.orders+0"}
    assert (set(rows["_epoch"].to_pylist()), set(rows["_object_id"].to_pylist())) == ({3}, {"ab" * 16})
