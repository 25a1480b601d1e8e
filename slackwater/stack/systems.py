"""The settings objects of one stack, read from an environment dictionary instead of the process's environment.

For code that serves a stack which is not the caller's own environment: the bootstrap, the CLI and the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from pydantic_settings import BaseSettings

from slackwater.settings import (
    ClickHouseSettings,
    EventSettings,
    LakeSettings,
    LandingSettings,
    LedgerSettings,
    QualitySettings,
    S3Settings,
    ShopSettings,
    WarehouseSettings,
)

T = TypeVar("T", bound=BaseSettings)


def read_settings(cls: type[T], environment: Mapping[str, str]) -> T:
    """Build a settings object from the variables of an environment that have its prefix."""
    prefix = str(cls.model_config.get("env_prefix", ""))
    values = {
        name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)
    }
    return cls.model_validate({name: value for name, value in values.items() if name in cls.model_fields})


@dataclass(frozen=True)
class Systems:
    """Settings of every system the embedded stack provides."""

    s3: S3Settings
    landing: LandingSettings
    lake: LakeSettings
    ledger: LedgerSettings
    shop: ShopSettings
    warehouse: WarehouseSettings
    clickhouse: ClickHouseSettings
    events: EventSettings
    quality: QualitySettings

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read all of them; a variable that is missing takes its default."""
        return cls(
            s3=read_settings(S3Settings, environment),
            landing=read_settings(LandingSettings, environment),
            lake=read_settings(LakeSettings, environment),
            ledger=read_settings(LedgerSettings, environment),
            shop=read_settings(ShopSettings, environment),
            warehouse=read_settings(WarehouseSettings, environment),
            clickhouse=read_settings(ClickHouseSettings, environment),
            events=read_settings(EventSettings, environment),
            quality=read_settings(QualitySettings, environment),
        )
