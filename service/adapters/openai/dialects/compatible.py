"""Speak to a server that has OpenAI's images API in its own way, as its operator has declared it."""

from typing import Any

from service.adapters.openai.dialects.dialect import Dialect, list_fields
from service.domain.images import ImageCall


class CompatibleDialect(Dialect):
    """Sends no parameter that the server refuses, the caller as `user`, and edits as forms."""

    takes_json_edits = False

    def fields_of(self, call: ImageCall) -> dict[str, Any]:
        fields = {"model": self.name_of(call.model), **list_fields(call, "user")}
        return {name: value for name, value in fields.items() if name not in self.address.omit}
