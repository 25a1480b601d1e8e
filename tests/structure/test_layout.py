"""Where things may live: no Python where it breaks imports, short modules, one door per system, one world of words."""

import ast
import re
import subprocess
import sys
from pathlib import Path

MODULE_LINES_MAX = 350
SDK_DOORS = {
    "boto3": {"s3", "sqs"},
    "botocore": {"s3", "sqs"},
    "psycopg": {"postgres"},
    "pyiceberg": {"iceberg"},
    "snowflake": {"snowflake"},
    "clickhouse_connect": {"clickhouse"},
    "soda_core": {"soda"},
    "soda_snowflake": {"soda"},
    "kubernetes_asyncio": {"kubernetes"},
}
"""The systems whose client may import an SDK; a client split over files keeps the system's name in front."""

PSYCOPG_COMPOSERS = ("slackwater/ledger/", "slackwater/replay/")
EMULATOR_FOLDER = "slackwater/stack/"


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


def test_the_arrow_of_imports_holds(root: Path) -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "0 broken" in lint.stdout


def test_dbt_and_soda_hold_no_python(root: Path) -> None:
    assert [str(p.relative_to(root)) for folder in ("dbt", "soda") for p in (root / folder).rglob("*.py")] == []


def test_tests_are_no_package(root: Path) -> None:
    assert list((root / "tests").rglob("__init__.py")) == []


def test_no_module_grows_past_a_few_screens(root: Path, python_files: tuple[Path, ...]) -> None:
    packages = ("flows", "tasks", "slackwater", "spark")
    lengths = {
        str(p.relative_to(root)): len(p.read_text(encoding="utf-8").splitlines())
        for p in python_files
        if p.relative_to(root).parts[0] in packages
    }
    assert lengths
    assert {name: n for name, n in lengths.items() if n > MODULE_LINES_MAX} == {}


def test_every_system_has_one_door(root: Path, python_files: tuple[Path, ...]) -> None:
    strays = []
    for path in python_files:
        name = path.relative_to(root).as_posix()
        if not name.startswith(("flows/", "tasks/", "slackwater/")) or name.startswith(EMULATOR_FOLDER):
            continue
        for module in _imported(path):
            sdk = module.split(".")[0]
            if sdk not in SDK_DOORS:
                continue
            is_door = name.startswith("slackwater/clients/") and path.stem.split("_")[0] in SDK_DOORS[sdk]
            is_composer = sdk == "psycopg" and name.startswith(PSYCOPG_COMPOSERS)
            if not (is_door or is_composer):
                strays.append(f"{name} imports {module}")
    assert strays == []


def test_flows_hold_no_sql_no_sdk_and_no_environment(root: Path) -> None:
    for path in (root / "flows").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        roots = {module.split(".")[0] for module in _imported(path)}
        assert roots <= {"flows", "tasks", "slackwater", "prefect", "collections", "datetime", "typing"}, path.name
        assert "os.environ" not in text, path.name
        assert not re.search(r"\b(select|insert into|delete from)\b .*\bfrom\b", text, re.IGNORECASE), path.name


def test_every_top_folder_introduces_itself_in_thirty_lines(root: Path) -> None:
    folders = ("flows", "tasks", "slackwater", "spark", "dbt", "soda", "deployments", "infra/kind", "tests", "samples")
    lengths = {}
    for folder in folders:
        readme = root / folder / "README.md"
        assert readme.is_file(), f"{folder} has no README.md"
        lengths[folder] = len(readme.read_text(encoding="utf-8").splitlines())
    assert {folder: n for folder, n in lengths.items() if n > 30} == {}


def test_the_lock_names_packages_and_hashes_but_no_address(root: Path) -> None:
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    assert not re.search(r"^\s*--(extra-)?index-url|^\s*--find-links", lock, re.MULTILINE)


def test_no_text_speaks_of_places_of_one_machine(root: Path, text_files: tuple[Path, ...]) -> None:
    place = re.compile(r"(?<![\w.$}])/(home/(?!me\b)|root/|Users/|work/|workspace/|mnt/|srv/)\w")
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()[:80]}"
        for path in text_files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if place.search(line)
    ]
    assert found == []


def test_no_link_of_a_document_leads_nowhere_or_out_of_the_project(root: Path, text_files: tuple[Path, ...]) -> None:
    broken = []
    for path in (p for p in text_files if p.suffix == ".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            file = target.split("#")[0]
            if not file or "://" in file or file.startswith("mailto:"):
                continue
            linked = (path.parent / file).resolve()
            if not linked.exists() or not linked.is_relative_to(root):
                broken.append(f"{path.relative_to(root)} -> {target}")
    assert broken == []


def test_every_link_to_a_heading_finds_it(root: Path, text_files: tuple[Path, ...]) -> None:
    broken = []
    for path in (p for p in text_files if p.suffix == ".md"):
        for file, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", path.read_text(encoding="utf-8")):
            linked = (path.parent / file) if file else path
            headings = (
                re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if linked.exists() else []
            )
            if anchor not in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}:
                broken.append(f"{path.relative_to(root)} -> {file}#{anchor}")
    assert broken == []


def test_every_path_a_document_names_exists(root: Path, text_files: tuple[Path, ...]) -> None:
    tops = "flows|tasks|slackwater|spark|dbt|soda|deployments|infra|tests|docs|scripts|samples"
    named = re.compile(rf"`((?:{tops})/[\w./*-]+)(?:::(\w+))?`")
    missing = []
    for path in (p for p in text_files if p.suffix == ".md"):
        for file, function in named.findall(path.read_text(encoding="utf-8")):
            found = list(root.glob(file.rstrip("/")))
            is_there = found and (not function or f"def {function}(" in found[0].read_text(encoding="utf-8"))
            if not is_there:
                missing.append(f"{path.relative_to(root)}: {file}{'::' if function else ''}{function}")
    assert missing == []
