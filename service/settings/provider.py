"""Declare the provider's own variables, as its SDKs read them."""

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.settings.urls import OPENAI_URL, is_base_url, is_header_value


class ProviderSettings(BaseModel):
    """The provider, its key and its address."""

    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    """Key of the provider."""
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL")
    """Base URL of the provider, with `/v1` if its API has it. If unset, OpenAI's own."""
    openai_org_id: str | None = Field(None, validation_alias="OPENAI_ORG_ID")
    """Organization that calls to the provider name."""
    openai_project_id: str | None = Field(None, validation_alias="OPENAI_PROJECT_ID")
    """Project that calls to the provider name."""

    @field_validator("openai_api_key", "openai_org_id", "openai_project_id")
    @classmethod
    def _check_header(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if not is_header_value(text):
            raise ValueError("must be one line of ASCII characters")
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and not is_base_url(value):
            raise ValueError("must be an http(s) URL without credentials; the key goes into OPENAI_API_KEY")
        return value

    @property
    def provider_url(self) -> str:
        """Base URL of the provider, as the SDKs understand it."""
        return self.openai_base_url or OPENAI_URL
