"""What the upkeep of the lake did, or would do: as Markdown for the artifacts of a run, and as a document for JSON."""

from dataclasses import asdict

from slackwater.lake.run_maintenance import MaintenanceReport, TableReport

NAMED_AT_MOST = 10


def as_document(report: MaintenanceReport) -> dict[str, object]:
    """Return a report as JSON can hold it (dates as text); totals first."""
    tables: list[dict[str, object]] = []
    for one in report.tables:
        document = asdict(one)
        document["purged"] = {
            "row_count": one.purged.row_count,
            "size_bytes": one.purged.size_bytes,
            "files": [file.address for file in one.purged.files],
            "batch_ids": list(one.purged.batch_ids),
            "rows_by_day": {day.isoformat(): count for day, count in sorted(one.purged.rows_by_day.items())},
            "kept_files": one.purged.kept_files,
        }
        document["upkeep"] = one.upkeep.model_dump(mode="json")
        document["spark"] = None if one.spark is None else one.spark.model_dump(mode="json")
        tables.append(document)
    return {
        "is_dry": report.is_dry,
        "at": report.at.isoformat(),
        "left_out": report.left_out,
        "before": asdict(report.before),
        "after": None if report.after is None else asdict(report.after),
        "tables": tables,
    }


def maintenance_markdown(report: MaintenanceReport) -> str:
    """Return one line per table, then the reasons."""
    lines = [
        "## What would go" if report.is_dry else "## Upkeep of the lake",
        "",
        "| table | files before | MB before | files after | MB after | snapshots expired | rows purged | tombstones"
        " | manifests | files without a snapshot | statistics |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---|",
        *(_line(one) for one in report.tables),
        "",
        *(f"- {reason}" for reason in reasons(report)),
    ]
    return "\n".join(lines)


def reasons(report: MaintenanceReport) -> tuple[str, ...]:
    """Return in words what goes and why, what is kept although it is old, and what was left out."""
    told = []
    for one in report.tables:
        verb = "would go" if report.is_dry else "went"
        if one.purged.files:
            told.append(
                f"{one.table}: {one.purged.row_count} rows in {len(one.purged.files)} files ({one.purged.size_bytes}"
                f" bytes) {verb}: their {len(one.purged.batch_ids)} batches landed before the changelog's retention"
                " and are loaded, folded and published"
            )
        if one.purged.kept_files:
            told.append(f"{one.table}: {one.purged.kept_files} files kept, younger batches have rows in them too")
        if one.tombstones:
            told.append(f"{one.table}: {one.tombstones} tombstones {verb}: folded before the changelog's retention")
        if one.expiry.expired:
            told.append(
                f"{one.table}: {len(one.expiry.expired)} snapshots {verb}: main showed something else for the whole"
                " retention"
            )
        told += [
            f"{one.table}: snapshot {kept.snapshot_id} is old and kept: {kept.reason}"
            for kept in one.expiry.kept[:NAMED_AT_MOST]
        ]
        if one.spark and one.spark.orphan_files:
            told.append(
                f"{one.table}: {len(one.spark.orphan_files)} files ({one.orphan_bytes} bytes) {verb}: no snapshot names"
                f" them and they were written before {one.upkeep.orphans_before:%Y-%m-%d %H:%M} UTC"
            )
        if one.spark and one.spark.error:
            told.append(f"{one.table}: **{one.spark.error['kind']}** {one.spark.error['message']}")
    if report.left_out:
        told.append(f"left out: tombstones, manifests, statistics and files without a snapshot: {report.left_out}")
    return tuple(told) or ("nothing is due",)


def _line(one: TableReport) -> str:
    spark = one.spark
    after = ("", "") if one.after is None else (str(one.after.file_count), _megabytes(one.after.size_bytes))
    cells = (
        *(one.table, str(one.before.file_count), _megabytes(one.before.size_bytes), *after),
        *(str(len(one.expiry.expired)), str(one.purged.row_count), str(one.tombstones)),
        "" if spark is None else f"{spark.manifests_before} to {spark.manifests_after}",
        "" if spark is None else str(len(spark.orphan_files)),
        "new" if spark is not None and spark.has_new_statistics else "",
    )
    return f"| {' | '.join(cells)} |"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.2f}"
