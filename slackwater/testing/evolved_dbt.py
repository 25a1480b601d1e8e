"""The dbt project once `products` has the shape of `conformance/evolved.py`: what an operator edits by hand."""

import re
import shutil
from pathlib import Path

from slackwater.settings import ProjectSettings

_EDITS = {
    "base/base_products.sql": (
        ("'name', 'description'", "'title', 'details'"),
        (r"'updated_at'\]", "'updated_at', 'brand', 'notes']"),
        (r"toastable=\['description'\]", "toastable=['details', 'notes']"),
    ),
    "staging/stg_products.sql": (
        (r"\bname,", "title,"),
        (r"\bdescription,", "details,"),
        (r"trim\(name\)", "trim(title)"),
        (r"    updated_at,\n", "    updated_at,\n    brand,\n    notes,\n"),
    ),
}
"""Per model: pattern, which occurs once, and what stands there afterwards."""


def copy_evolved_project(folder: Path) -> Path:
    """Copy the project below a folder, the models of `products` in the newest shape; return where it is."""
    project = folder / "dbt"
    shutil.copytree(ProjectSettings().dbt_dir, project)
    for name, edits in _EDITS.items():
        path = project / "models" / name
        text = path.read_text(encoding="utf-8")
        for old, new in edits:
            text, count = re.subn(old, new, text)
            if count != 1:
                raise AssertionError(f"{name}: {old!r} occurs {count} times, expected once")
        path.write_text(text, encoding="utf-8")
    return project
