"""Order images over HTTP: the parts that `generate`, `edit` and `vary` share."""
