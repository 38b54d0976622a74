"""Collect the figures of one row, and judge them."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Finding:
    """The figures of a row in the order they came; those that are not as they should be are in *failed*, too."""

    figures: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Print a figure that is not judged, such as milliseconds."""
        self.figures.append(text)

    def equal(self, name: str, got: object, wanted: object) -> None:
        """Expect exactly *wanted*."""
        self._judge(f"{name}: {_text(got)}", f"not {_text(wanted)}", is_so=got == wanted)

    def at_most(self, name: str, got: float, most: float) -> None:
        """Expect no more than *most*."""
        self._judge(f"{name}: {_text(got)}", f"above {_text(most)}", is_so=got <= most)

    def at_least(self, name: str, got: float, least: float) -> None:
        """Expect no less than *least*."""
        self._judge(f"{name}: {_text(got)}", f"below {_text(least)}", is_so=got >= least)

    def is_true(self, what: str, *, is_so: bool) -> None:
        """Expect that *what* is so."""
        self._judge(what, "no", is_so=is_so)

    def _judge(self, figure: str, fault: str, *, is_so: bool) -> None:
        if is_so:
            self.figures.append(figure)
        else:
            self.figures.append(f"**{figure} ({fault})**")
            self.failed.append(f"{figure} ({fault})")


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
