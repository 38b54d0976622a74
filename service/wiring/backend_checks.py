"""Check backends before the start: their models, their authorities and who judges prompts, without connections."""

import ssl
from collections.abc import Collection
from pathlib import Path

from service.domain.entries import suggest
from service.settings.file import Location, fault_in
from service.settings.problems import SettingsError
from service.settings.variables import Settings


def check_backends(settings: Settings, models: Collection[str]) -> None:
    """Check the backends of *settings*; *models* are the names in the catalogue.

    Raises:
        SettingsError: with a line for each fault, its place and what would be right.
    """
    faults: list[str] = []
    for place, backend in enumerate(settings.file.backends):
        for name in backend.models or ():
            if name not in models:
                message = f'there is no model "{name}"{suggest(name, models)}; [models."{name}"] adds one to the catalogue'
                faults.append(_fault(settings, ("backends", place, "models", name), message))
        if backend.ca_file is not None and (reason := _reason_against(backend.ca_file)):
            faults.append(_fault(settings, ("backends", place, "ca_file"), reason))
    if faults:
        raise SettingsError("\n".join(faults))
    kinds = {backend.kind for backend in settings.file.backends}
    if settings.moderation == "provider" and kinds and "openai" not in kinds:
        raise SettingsError(
            'GATEWAY_MODERATION=provider needs a backend of kind "openai", which alone judges prompts: add one to '
            "[[backends]], or set GATEWAY_MODERATION=list with the words of [moderation]"
        )


def _reason_against(authorities: Path) -> str:
    """Return a reason why *authorities* cannot be trusted as a PEM file, if any."""
    try:
        ssl.create_default_context(cafile=authorities)
    except ssl.SSLError:
        return "the file it names has no certificates in PEM form (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        return f"cannot read the file it names: {error.strerror}"
    return ""


def _fault(settings: Settings, location: Location, message: str) -> str:
    # Backends come from a file alone.
    return fault_in(settings.config, location, message) if settings.config else f"backends: {message}"
