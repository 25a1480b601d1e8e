"""A shop that lives through a random year, and how its changes might be delivered: late, doubled, in any order.

Pure: a seed gives the same shop. A change is what `WarehousePath.load` takes; LSNs count up with the event times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from independent_marts import WITH_HISTORY, Facts, table_of

from slackwater.naming import ENTITIES
from slackwater.testing.warehouse_path import Change

START = datetime.fromisoformat("2010-11-20 09:00:00")
CATEGORIES = ("toys", "craft", "kitchen", "service")
NEXT_STATUS = {"pending": "processing", "processing": "shipped", "shipped": "delivered"}
LATE_SHARE, DOUBLED_SHARE = 0.15, 0.05


@dataclass
class RandomShop:
    """The rows of the shop as they are, and every change that led there."""

    random: Random
    now: datetime = START
    rows: dict[str, dict[int, dict[str, object]]] = field(default_factory=lambda: {name: {} for name in ENTITIES})
    changes: list[tuple[str, Change]] = field(default_factory=list)
    next_key: int = 1

    def write(self, entity: str, key: int, *, at: datetime | None = None, **values: object) -> int:
        """Insert or update a row; `at` dates the change back without making it older than what is known."""
        known = self.rows[entity].get(key)
        row: dict[str, object] = {**(known or {"id": key}), **values}
        if entity != "order_items":
            row["updated_at"] = at or self.now
        row.setdefault("created_at", at or self.now)
        self.rows[entity][key] = row
        self._log(entity, {**row, "op": "u" if known else "c"}, at)
        return key

    def insert(self, entity: str, *, at: datetime | None = None, **values: object) -> int:
        """Insert a row under a new key and return it."""
        self.next_key += 1
        return self.write(entity, self.next_key, at=at, **values)

    def delete(self, entity: str, key: int) -> None:
        """Delete a row; its change holds the key only."""
        del self.rows[entity][key]
        self._log(entity, {"id": key, "op": "d"}, None)

    def some(self, entity: str, where: Callable[[dict[str, object]], bool] = lambda _: True) -> int | None:
        """Return the key of a random row, None when none fits."""
        keys = [key for key, row in self.rows[entity].items() if where(row)]
        return self.random.choice(keys) if keys else None

    def order(self, *, user: int | None, at: datetime | None = None, units_max: int = 9) -> int:
        """Place an order of a few lines."""
        r = self.random
        lines = [
            (product, r.randint(1, units_max), Decimal(r.randint(50, 3_000)) / 100)
            for product in r.sample(sorted(self.rows["products"]), k=min(r.randint(1, 4), len(self.rows["products"])))
        ]
        total = sum((units * price for _, units, price in lines), Decimal(0))
        key = self.insert(
            "orders", at=at, user_id=user, status="pending", total_amount=total, shipping_address=f"Street {r.random()}"
        )
        for product, units, price in lines:
            self.insert("order_items", at=at, order_id=key, product_id=product, quantity=units, unit_price=price)
        return key

    def live(self, steps: int) -> None:
        """Let random things happen, hours to days apart."""
        deeds: tuple[tuple[int, Callable[[], object]], ...] = (
            (10, self._register),
            (3, self._new_product),
            (30, lambda: self.order(user=self.some("users") if self.random.random() < 0.75 else None)),
            (50, self._step),
            (6, self._cancel),
            (8, self._return_units),
            (4, self._delete_line),
            (4, self._move_line),
            (3, self._move_order),
            (10, self._reprice),
            (10, self._restock),
            (2, self._rename),
            (2, self._recategorise),
            (3, self._edit_user),
            (2, self._delete_order),
            (1, lambda: self._delete_some("users")),
            (1, lambda: self._delete_some("products")),
        )
        for _ in range(14):
            self._new_product()
        for _ in range(30):
            self._register()
        for _ in range(steps):
            self.now += timedelta(minutes=self.random.randint(5, 22 * 60))
            (deed,) = self.random.choices([deed for _, deed in deeds], weights=[weight for weight, _ in deeds])
            deed()

    def _log(self, entity: str, change: dict[str, object], at: datetime | None) -> None:
        self.changes.append((entity, {**change, "at": at or self.now, "lsn": 1_000 + len(self.changes)}))  # type: ignore[arg-type]

    def _new_product(self) -> None:
        price = Decimal(self.random.randint(100, 4_000)) / 100
        category = self.random.choice(CATEGORIES)
        self.insert("products", name=f"P{self.next_key}", category=category, price=price, stock_quantity=50)

    def _register(self) -> None:
        name = f"N{self.next_key}"
        self.insert("users", email=f"{name}@example.com", first_name=name, last_name="L")

    def _step(self) -> None:
        key = self.some("orders", lambda row: row["status"] in NEXT_STATUS)
        if key is not None:
            self.write("orders", key, status=NEXT_STATUS[str(self.rows["orders"][key]["status"])])

    def _cancel(self) -> None:
        key = self.some("orders", lambda row: row["status"] != "cancelled")
        if key is not None:
            self.write("orders", key, status="cancelled")

    def _return_units(self) -> None:
        key = self.some("order_items", lambda row: int(str(row["quantity"])) > 1)
        if key is not None:
            self.write("order_items", key, quantity=int(str(self.rows["order_items"][key]["quantity"])) - 1)

    def _delete_line(self) -> None:
        self._delete_some("order_items")

    def _move_line(self) -> None:
        key, target = self.some("order_items"), self.some("orders")
        if key is not None and target is not None:
            self.write("order_items", key, order_id=target)

    def _move_order(self) -> None:
        key = self.some("orders")
        if key is not None:
            self.write("orders", key, user_id=self.random.choice([None, self.some("users")]))

    def _reprice(self) -> None:
        key = self.some("products")
        if key is not None:
            self.write("products", key, price=Decimal(self.random.randint(100, 4_000)) / 100)

    def _restock(self) -> None:
        key = self.some("products")
        if key is not None:
            self.write("products", key, stock_quantity=self.random.choice([0, 0, 5, 40, 300]))

    def _rename(self) -> None:
        key = self.some("products")
        if key is not None:
            self.write("products", key, name=f"renamed {len(self.changes)}")

    def _recategorise(self) -> None:
        key = self.some("products")
        if key is not None:
            self.write("products", key, category=self.random.choice([*CATEGORIES, None]))

    def _edit_user(self) -> None:
        key = self.some("users")
        if key is not None:
            registered = self.now - timedelta(days=self.random.randint(0, 90))
            self.write("users", key, email=f"new{len(self.changes)}@example.com", created_at=registered)

    def _delete_order(self) -> None:
        key = self.some("orders")
        if key is not None:
            for line in [line for line, row in self.rows["order_items"].items() if row["order_id"] == key]:
                self.delete("order_items", line)
            self.delete("orders", key)

    def _delete_some(self, entity: str) -> None:
        key = self.some(entity)
        if key is not None and len(self.rows[entity]) > 5:
            self.delete(entity, key)


def deliveries(changes: Sequence[tuple[str, Change]], count: int, *, random: Random) -> list[list[tuple[str, Change]]]:
    """Split changes into batches: mostly by time, some in any other batch, some in two; each batch in random order."""
    batches: list[list[tuple[str, Change]]] = [[] for _ in range(count)]
    for index, change in enumerate(changes):
        place = index * count // len(changes)
        batches[random.randrange(count) if random.random() < LATE_SHARE else place].append(change)
        if random.random() < DOUBLED_SHARE:
            batches[random.randrange(count)].append(change)
    for batch in batches:
        random.shuffle(batch)
    return batches


def facts_of(delivered: Iterable[tuple[str, Change]], as_of: datetime) -> Facts:
    """Return what can be known from the changes delivered so far: the newest of every key, and the histories."""
    newest: dict[str, dict[object, Change]] = {name: {} for name in ENTITIES}
    known: dict[str, dict[object, Change]] = {name: {} for name in ENTITIES}
    for entity, change in delivered:
        known[entity][change["lsn"]] = change
        held = newest[entity].get(change["id"])
        if held is None or int(str(held["lsn"])) < int(str(change["lsn"])):
            newest[entity][change["id"]] = change
    return Facts(
        rows={name: table_of(name, (c for c in newest[name].values() if c["op"] != "d")) for name in ENTITIES},
        history={name: table_of(name, map(_version, known[name].values()), is_history=True) for name in WITH_HISTORY},
        as_of=as_of,
    )


def _version(change: Change) -> Mapping[str, object]:
    return {**change, "event_time": change["at"], "seq": change["lsn"]}
