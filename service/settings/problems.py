"""What is said of a setting that is missing or wrong."""


class SettingsError(ValueError):
    """A setting is missing or wrong; the text names it and what would be right, never its value."""
