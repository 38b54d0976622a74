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
    metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port that serves `/metrics` and nothing else, without a key, so let only Prometheus reach it; 0 picks a free one.
    `GATEWAY_PORT` then serves no metrics.
    """
    metrics_host: str | None = None
    """Address of `GATEWAY_METRICS_PORT`; that of `GATEWAY_HOST` by default."""
    revision: str = Field("unknown", pattern=r"^[A-Za-z0-9._/+-]{1,100}$")
    """Commit that this program was built from, which `imagegw_build_info` shows; an image sets it."""
    replicas: int = Field(1, ge=1)
    """Gateways that share one Redis. Local shares of limits and the pace of calls are divided by it."""
    body_bytes: int = Field(256 * 2**20, ge=2**20)
    """Bytes of JSON bodies in memory at once; a body is refused before it is read. Reading one takes about twice its
    size.
    """
    upload_bytes: int = Field(4 * 2**30, ge=2**20)
    """Bytes of uploaded images on disk at once, under `GATEWAY_DATA_DIR`, until their orders end."""
    caller_share: float = Field(0.25, gt=0, le=1)
    """Part of `GATEWAY_BODY_BYTES` and `GATEWAY_UPLOAD_BYTES` that one caller may hold: a key, a user with a token, or
    an address with `GATEWAY_AUTH=open`. No larger body is read.
    """
    data_dir: Path = Path(".data")
    """Directory for images, the embedded Valkey, the journal and the generated secret."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level to log, in upper or lower case; [signals](operations.md#log-more-for-a-while) change it in a running
    gateway.
    """
    traces: Literal["off", "otlp"] = "off"
    """[Traces](traces.md) of requests and orders: none, or sent to the OpenTelemetry collector that the `OTEL_*` variables
    name.
    """
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

    def check_ports(self) -> None:
        """Check that metrics have another port; raises `ValueError`."""
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError("GATEWAY_METRICS_PORT must differ from GATEWAY_PORT")
        if self.metrics_host is not None and self.metrics_port is None:
            raise ValueError("GATEWAY_METRICS_HOST is set without GATEWAY_METRICS_PORT")
