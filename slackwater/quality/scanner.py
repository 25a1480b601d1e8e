"""What the gate needs of a contract verifier, so that the verifier can be exchanged.

The one implementation is `slackwater.clients.soda.SodaScanner`; Soda 4 is under the Elastic License 2.0, which is why
nothing but that client knows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slackwater.quality.results import Outcome


@dataclass(frozen=True)
class ScannedCheck:
    """One check of a contract as the verifier answered it.

    Attributes:
        path: Place of the check in the contract file, such as `columns.ID.checks.missing`.
        name: Its display name.
        column: Upper case, empty for a check of the whole dataset.
        outcome: What became of it.
        measured: The compared number as text, empty when nothing was measured.
        threshold: What the number has to satisfy, in words.
        detail: Further measurements or the reason of a failure, for people.
    """

    path: str
    name: str
    column: str
    outcome: Outcome
    measured: str
    threshold: str
    detail: str


@dataclass(frozen=True)
class ContractScan:
    """All checks of one contract; `errors` says why some could not be evaluated."""

    checks: tuple[ScannedCheck, ...]
    errors: tuple[str, ...]


class ContractScanner(Protocol):
    """Verifies one contract against the warehouse."""

    def verify(self, contract: Path, *, variables: Mapping[str, str]) -> ContractScan:
        """Run every check of the contract.

        Args:
            contract: A contract file.
            variables: Values of the variables the contract declares.

        Raises:
            WarehouseUnavailable: The warehouse did not answer.
        """
