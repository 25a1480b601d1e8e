"""Makes a counterexample small: fewer changes, one to a file, fewer values, the plainest form.

Hypothesis shrinks what it drew; here the arrived files themselves are cut down, which is legal because the definition
holds for any files in any order. Works for whatever merge can be made anew and run in milliseconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from slackwater.testing.conformance.change_files import Case, ChangeFile, DeleteForm, FileForm

Files = tuple[ChangeFile, ...]


def minimise(case: Case, arrived: Sequence[ChangeFile], *, is_wrong: Callable[[Case], bool]) -> Case:
    """Cut a failing arrival down until no single cut keeps it failing.

    Args:
        case: Gives name and entity.
        arrived: The files in order of arrival, after which the merge is wrong.
        is_wrong: Says whether a merge fails the case it is given.

    Returns:
        A case of one order, in which it still fails.
    """

    def case_of(files: Files) -> Case:
        return replace(case, files=files, orders=(tuple(range(len(files))),), table=None)

    files = tuple(arrived)
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _cuts(files):
            if smaller and is_wrong(case_of(smaller)):
                files, is_smaller = smaller, True
                break
    return case_of(files)


def _cuts(files: Files) -> Iterator[Files]:
    """Yield files with one thing less, the greatest gain first."""
    for index in reversed(range(len(files))):
        yield files[:index] + files[index + 1 :]
    for index, file in enumerate(files):
        for smaller in _of_one_file(file):
            yield (*files[:index], *smaller, *files[index + 1 :])


def _of_one_file(file: ChangeFile) -> Iterator[Files]:
    if len(file.changes) > 1 and file.fault is None:
        one_each = enumerate(file.changes, file.first)
        yield tuple(replace(file, changes=(change,), first=position) for position, change in one_each)
    if file.form is not FileForm.PARQUET:
        yield (replace(file, form=FileForm.PARQUET),)
    if file.deletes is not DeleteForm.KEY_ONLY:
        yield (replace(file, deletes=DeleteForm.KEY_ONLY),)
    for index, change in enumerate(file.changes):
        for name in (name for name, value in change.values.items() if value is not None):
            less = replace(change, values={**change.values, name: None})
            yield (replace(file, changes=(*file.changes[:index], less, *file.changes[index + 1 :])),)
