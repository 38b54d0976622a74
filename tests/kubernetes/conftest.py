"""Render the manifests once."""

import pytest

from tests.kubernetes.manifests import DIRECTORY, Manifests, render


@pytest.fixture(scope="session")
def base() -> Manifests:
    return render(DIRECTORY / "base")


@pytest.fixture(scope="session")
def example() -> Manifests:
    """The overlay that documents show, with the component for the Prometheus operator."""
    return render(DIRECTORY / "overlays" / "example")
