"""Short words for writing cases down: what an entity's columns are used for, and a case from a few statements."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from slackwater.entities.model import Entity, load_entity
from slackwater.testing.conformance.change_files import Case, ChangeFile, DeleteForm, FileForm, cut, make_case
from slackwater.testing.conformance.source import Statement, Transaction, Value, Write, run


@dataclass(frozen=True)
class Words:
    """Columns of an entity by what they are used for here: a text, an amount, a large text, a number."""

    entity: Entity
    text: str
    amount: str
    large: str
    number: str

    def write(self, key: int = 1, text: Value = "a", *, withholds: bool = False, **by_use: Value) -> Write:
        """Return a write that sets the text and what else is given by use (`large=`) or by column name."""
        uses = {"amount": self.amount, "large": self.large, "number": self.number}
        named = {uses.get(use, use): value for use, value in by_use.items()}
        return Write(key, {self.text: text, **named}, withholds=withholds)

    def case(
        self,
        name: str,
        statements: Sequence[Statement | Transaction],
        *,
        after: Iterable[int] | None = None,
        forms: Sequence[FileForm] = (),
        deletes: DeleteForm = DeleteForm.KEY_ONLY,
        change_files: Callable[[tuple[ChangeFile, ...]], Sequence[ChangeFile]] = tuple,
        first_lsn: int = 1_000,
        orders: Sequence[tuple[int, ...]] = (),
        uses_greatest_keys: bool = False,
    ) -> Case:
        """Run statements, each a transaction unless it is one, and cut the changes into files (None: one each)."""
        wrapped = [s if isinstance(s, Transaction) else Transaction((s,)) for s in statements]
        history = run(self.entity, wrapped, first_lsn=first_lsn)
        files = cut(history, range(len(history.changes)) if after is None else after, forms=forms, deletes=deletes)
        return make_case(name, history, change_files(files), orders=orders, uses_greatest_keys=uses_greatest_keys)


WORDS = {
    "products": Words(load_entity("products"), "name", "price", "description", "stock_quantity"),
    "orders": Words(load_entity("orders"), "status", "total_amount", "shipping_address", "user_id"),
}
