"""Read sizes such as `1536x1024`, and tell if a model makes them."""

from dataclasses import dataclass

LARGEST_AUTO = (1536, 1024)
"""The largest size that `auto` resolves to (API reference, `size`, 2026-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """The sizes a model makes: those in *fixed*, and with *multiple* > 0 all by the other rules."""

    fixed: tuple[str, ...] = ()
    multiple: int = 0
    max_ratio: float = 0.0
    max_edge: int = 0
    min_pixels: int = 0
    max_pixels: int = 0


def is_size_allowed(rule: SizeRule, size: str) -> bool:
    """Tell if the rule allows *size* (`auto` or `WIDTHxHEIGHT`)."""
    if size in rule.fixed:
        return True
    pixels = parse_size(size)
    return pixels is not None and rule.multiple > 0 and broken_size_rule(rule, *pixels) is None


def broken_size_rule(rule: SizeRule, width: int, height: int) -> str | None:
    """Return the rule that *width* x *height* breaks, in the provider's words, or None."""
    longest, shortest, pixels = max(width, height), min(width, height), width * height
    if width % rule.multiple or height % rule.multiple:
        return f"Width and height must both be divisible by {rule.multiple}."
    if longest > rule.max_edge:
        return f"The longest edge must be less than or equal to {rule.max_edge}."
    if shortest == 0 or longest > rule.max_ratio * shortest:
        return f"The ratio of the longer to the shorter edge must not exceed {rule.max_ratio:g}:1."
    if pixels < rule.min_pixels:
        return "Requested resolution is below the current minimum pixel budget."
    if pixels > rule.max_pixels:
        return "Requested resolution exceeds the current pixel budget."
    return None


def parse_size(size: str) -> tuple[int, int] | None:
    """Return the pixels of a canonical `WIDTHxHEIGHT` (no signs, no leading zeros), or None."""
    width, separator, height = size.partition("x")
    if not separator or not _is_plain_number(width) or not _is_plain_number(height):
        return None
    return int(width), int(height)


def _is_plain_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and not text.startswith("0")
