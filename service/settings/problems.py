"""Report a missing or wrong setting."""


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it and a correct value, not the given one."""
