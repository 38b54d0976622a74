"""Run the code that the page shows for an order: the provider gets exactly what the order means."""

import inspect
import re
import shutil
from pathlib import Path

import openai
import pytest

from tests.compatibility.environments import CACHE, prepare_clients, python_of
from tests.compatibility.pins import NODE, NODE_6, PYTHON_1, PYTHON_2, Pin
from tests.processes import Gateway
from tests.snippets.code import run_code, write_code
from tests.snippets.conftest import House
from tests.snippets.orders import Order, orders

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js to write the code"),
]

NAMES = ["short", "nasty", "bridged", "longest", "edit", "vary"]
# The hardest to write down, and one of each operation; the others are for the slow tests.
QUICK = {"nasty", "edit", "vary"}
LANGUAGES = ["curl", "python", "node", "java"]
of_jdk = pytest.mark.jdk
of_npm = pytest.mark.clients


def check(house: House, name: str, language: str, folder: Path, command: tuple[str, ...] = ()) -> None:
    """Check that the code orders the same as plain HTTP does, and prints links that work."""
    code = house.code_of(name)
    links: list[str] = []

    received = house.received(
        lambda: links.extend(run_code(code, language, folder, key=house.key, command=command))
    )

    assert received == house.expected(name)
    assert len(links) == orders()[name].n
    assert all(house.fetch(link) for link in links)


def test_every_order_has_a_name_here() -> None:
    assert list(orders()) == NAMES


@pytest.mark.parametrize("language", ["curl", "python"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NAMES]
)
def test_code_orders_exactly_the_same(house: House, name: str, language: str, folder: Path) -> None:
    check(house, name, language, folder)


@of_jdk
@pytest.mark.parametrize("name", NAMES)
def test_java_orders_exactly_the_same(house: House, name: str, folder: Path) -> None:
    check(house, name, "java", folder)


@of_npm
@pytest.mark.parametrize("pin", [NODE, NODE_6], ids=lambda pin: pin.name)
@pytest.mark.parametrize("name", NAMES)
def test_node_orders_exactly_the_same(house: House, name: str, pin: Pin, folder: Path) -> None:
    link_modules(pin, folder)

    check(house, name, "node", folder)


@of_npm
@pytest.mark.parametrize("pin", [PYTHON_2, PYTHON_1], ids=lambda pin: pin.name)
@pytest.mark.parametrize("name", NAMES)
def test_older_sdks_order_exactly_the_same(house: House, name: str, pin: Pin, folder: Path) -> None:
    prepare_clients([pin])

    check(house, name, "python", folder, command=(str(python_of(pin)),))


@pytest.mark.parametrize(
    "language",
    ["curl", "python", pytest.param("node", marks=of_npm), pytest.param("java", marks=of_jdk)],
)
def test_an_open_gateway_needs_no_key(open_gateway: Gateway, language: str, folder: Path) -> None:
    order = Order(operation="generate", model="dall-e-3", prompt=f"a fox by {language}")
    (code,) = write_code([order], base=open_gateway.url, needs_key=False)
    if language == "node":
        link_modules(NODE, folder)

    links = run_code(code, language, folder, key=None)

    assert links[0].startswith(f"{open_gateway.url}/v1/images/files/")
    assert all("GATEWAY_KEY" not in text for text in code.texts.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_key_is_read_from_the_environment_only(house: House, language: str) -> None:
    text = house.code_of("edit").texts[language]

    assert "GATEWAY_KEY" in text
    assert house.key not in text


def test_what_the_code_gives_as_arguments_is_known_to_the_sdk(house: House) -> None:
    methods = {"generate": "generate", "edit": "edit", "vary": "create_variation"}
    for name, order in orders().items():
        text = house.code_of(name).texts["python"]
        known = inspect.signature(getattr(openai.resources.Images, methods[order.operation])).parameters

        given = re.findall(r"^    (\w+)=", text, re.MULTILINE)

        assert given
        assert set(given) <= set(known)


def link_modules(pin: Pin, folder: Path) -> None:
    """Put the packages of *pin* where Node.js looks for them."""
    prepare_clients([pin])
    folder.mkdir(parents=True)
    (folder / "node_modules").symlink_to(CACHE / pin.name / "node_modules")
