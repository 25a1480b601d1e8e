"""What a trouble can do, and when."""

import random
from collections.abc import Sequence

from world import World


class BaseTrouble:
    """One trouble of one schedule; does nothing by itself.

    Args:
        world: The running system.
        source: The schedule's own randomness.
    """

    def __init__(self, world: World, source: random.Random) -> None:
        self.world = world
        self.source = source

    def before(self) -> None:
        """Act before the files are sent."""

    def after(self, keys: Sequence[str]) -> None:
        """Act when the files were sent; what lasts a while is over when this returns."""

    def at_rest(self) -> bool:
        """Act when nothing is in flight; True when there may be something in flight again."""
        return False

    def end(self) -> None:
        """Put back what was changed; called once, whatever happened."""
