"""Declare the settings of Redis, which all replicas share."""

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.settings.urls import names_place


class RedisSettings(BaseModel):
    """The shared state."""

    redis_url: SecretStr | None = None
    """URL of Redis 7 or newer, or Valkey: `redis://`, `rediss://`, `unix://`, `redis+cluster://host:port,host:port`
    or `redis+sentinel://host:port,host:port/master`. If unset, the gateway runs an embedded Valkey in the data
    directory.
    """
    redis_timeout_s: float = Field(0.25, gt=0, le=5)
    """Seconds without an answer after which Redis counts as unavailable."""
    embedded_redis: bool = True
    """If `false`, the gateway refuses to start without `GATEWAY_REDIS_URL`."""

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not names_place(value.get_secret_value()):
            raise ValueError(
                "must be a URL such as redis://host:6379, unix:///path, redis+cluster://host,host or "
                "redis+sentinel://host,host/primary (rediss for TLS)"
            )
        return value
