"""What is said of a setting that is missing or wrong; it ends the start, or the command."""


class SettingsError(ValueError):
    """A setting is missing or wrong; the text names it and what would be right, never its value."""
