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
    return pixels is not None and rule.multiple > 0 and not broken_size_rules(rule, *pixels)


def broken_size_rules(rule: SizeRule, width: int, height: int) -> list[str]:
    """Return all rules that *width* x *height* breaks, in the provider's words with the real bounds."""
    longest, shortest, pixels = max(width, height), min(width, height), width * height
    broken = {
        f"Width and height must both be divisible by {rule.multiple}.": width % rule.multiple
        or height % rule.multiple,
        f"The longest edge must be less than or equal to {rule.max_edge}.": longest > rule.max_edge,
        f"The ratio of the longer to the shorter edge must not exceed {rule.max_ratio:g}:1.": shortest == 0
        or longest > rule.max_ratio * shortest,
        f"Requested resolution is below the current minimum pixel budget: {pixels} of {rule.min_pixels} pixels.": pixels
        < rule.min_pixels,
        f"Requested resolution exceeds the current pixel budget: {pixels} of {rule.max_pixels} pixels.": pixels
        > rule.max_pixels,
    }
    return [text for text, is_broken in broken.items() if is_broken]


def describe_sizes(rule: SizeRule) -> str:
    """Return all that the rule allows, for a refusal."""
    sizes = [f"'{size}'" for size in rule.fixed]
    if rule.multiple:
        sizes.append(
            f"any 'WIDTHxHEIGHT' in multiples of {rule.multiple}, with edges of at most {rule.max_edge}, a ratio of at most "
            f"{rule.max_ratio:g}:1 and {rule.min_pixels} to {rule.max_pixels} pixels"
        )
    return ", and ".join([part for part in (", ".join(sizes[:-1]), sizes[-1]) if part])


def parse_size(size: str) -> tuple[int, int] | None:
    """Return the pixels of a canonical `WIDTHxHEIGHT` (no signs, no leading zeros), or None."""
    width, separator, height = size.partition("x")
    if not separator or not _is_plain_number(width) or not _is_plain_number(height):
        return None
    return int(width), int(height)


def _is_plain_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and not text.startswith("0")
