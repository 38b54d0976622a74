"""Report a setting that is missing or wrong; the error ends the start, or the command."""


class SettingsError(ValueError):
    """A setting is missing or wrong; the text names it and a correct value, never its own."""
