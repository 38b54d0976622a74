"""Declare the settings of the process that serves: its address, its directory, its logs."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from service.domain.hosts import is_loopback


class ServerSettings(BaseModel):
    """The address, directory and logs of a process."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    workers: Literal[1] = 1
    """Processes of this replica; only one is supported."""
    replicas: int = Field(1, ge=1)
    """Gateways that share one Redis. Local shares of limits and the pace of calls are divided by it."""
    data_dir: Path = Path(".data")
    """Directory for images, the embedded Valkey, the outbox and the generated secret."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level to log, in upper or lower case."""
    config: Path | None = None
    """Path of the [configuration file](#configuration-file) (TOML)."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _take_any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def is_loopback(self) -> bool:
        """Tell if only this machine can reach the gateway."""
        return is_loopback(self.host)
