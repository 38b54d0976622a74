"""Declare the settings of stored images: their store, their lifetime, their links."""

import re
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.settings.urls import is_url

_WEEK_S = 7 * 86_400
"""S3 signs for no longer."""


class ImageSettings(BaseModel):
    """The store of images, retention and links."""

    store_url: str | None = None
    """Where images are stored: `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    Replicas share one store and one Redis. If unset, images go to `files` in the data directory.
    """
    store_endpoint: str | None = None
    """Endpoint of an `s3://` store outside AWS, such as `http://minio:9000`."""
    store_region: str | None = None
    """Region of an `s3://` store."""
    store_access_key_id: SecretStr | None = None
    """Access key of an `s3://` store. If unset, the gateway uses `AWS_*` variables or the machine's role, and for
    other stores `GOOGLE_*` or `AZURE_*`.
    """
    store_secret_access_key: SecretStr | None = None
    """Secret that belongs to the access key; set both or neither."""
    store_redirect_s: int = Field(0, ge=0, le=_WEEK_S)
    """If above 0, links redirect to a presigned store URL valid this many seconds, even if the image is deleted
    meanwhile.
    """
    store_front_key: SecretStr | None = None
    """Key with which nginx in front [sends stored images itself](images-and-links.md#nginx-sends-the-files), once the gateway
    has checked their links; for a directory. 16 to 512 ASCII characters without spaces.
    """
    download_hosts: str = ""
    """Hosts in your network that a provider's image URLs may point to, comma-separated, such as `cdn.corp:8443`. Other
    hosts must be public, or the provider's own.
    """
    retention_s: int = Field(0, ge=0)
    """Seconds an image is kept, but at least `GATEWAY_DEADLINE_S`; 0 keeps it forever."""
    retention_bytes: int = Field(0, ge=0)
    """Total size of the images of all teams; above it the oldest images are deleted. 0 sets no bound."""
    sweep_s: float = Field(60.0, gt=0, le=3600)
    """Seconds between retention sweeps."""
    public_url: str | None = None
    """URL at which callers reach the gateway, and the prefix of every link. If unset, `http://<host>:<port>`. Required
    if the gateway listens beyond loopback.
    """

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None and not is_url(value, ("http", "https")):
            raise ValueError("must be an http(s) URL, such as https://images.example.com")
        return value

    @field_validator("store_front_key")
    @classmethod
    def _check_store_front_key(cls, value: SecretStr | None) -> SecretStr | None:
        # A key that no header can carry would turn the front off without a word.
        if value is not None and not re.fullmatch(r"[!-~]{16,512}", value.get_secret_value()):
            raise ValueError("must be 16 to 512 ASCII characters without spaces")
        return value

    @field_validator("store_endpoint")
    @classmethod
    def _check_store_endpoint(cls, value: str | None) -> str | None:
        if value is not None and (not is_url(value, ("http", "https")) or "@" in urlsplit(value).netloc):
            raise ValueError("must be an http(s) URL without credentials, such as http://minio:9000")
        return value

    @property
    def store_options(self) -> dict[str, str]:
        """The settings of an S3 store, under the store's own names."""
        options = {
            "endpoint": self.store_endpoint,
            "region": self.store_region,
            "access_key_id": self.store_access_key_id and self.store_access_key_id.get_secret_value(),
            "secret_access_key": self.store_secret_access_key
            and self.store_secret_access_key.get_secret_value(),
        }
        return {name: value for name, value in options.items() if value}

    @property
    def trusted_hosts(self) -> list[str]:
        return [host.strip() for host in self.download_hosts.split(",") if host.strip()]

    def check_store(self) -> None:
        """Check the settings of a store together; raises `ValueError`."""
        given = [name for name, value in self.store_options.items() if value]
        if given and not (self.store_url or "").startswith("s3://"):
            raise ValueError(
                f"GATEWAY_STORE_{given[0].upper()} goes with a GATEWAY_STORE_URL that starts with s3://"
            )
        if (self.store_access_key_id is None) != (self.store_secret_access_key is None):
            raise ValueError("GATEWAY_STORE_ACCESS_KEY_ID and GATEWAY_STORE_SECRET_ACCESS_KEY go together")
        if self.store_front_key is not None and not (self.store_url or "file://").startswith("file://"):
            raise ValueError(
                "GATEWAY_STORE_FRONT_KEY goes with a directory: a GATEWAY_STORE_URL that starts with file://. Links lead to "
                "a bucket with GATEWAY_STORE_REDIRECT_S"
            )
