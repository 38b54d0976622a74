"""Clients and servers for the whole session, and the table that it leaves behind."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compatibility.client import Client, run_client
from tests.compatibility.environments import prepare_clients
from tests.compatibility.pins import Pin
from tests.compatibility.servers import Provider, run_gateway_to, run_provider
from tests.compatibility.table import Page, Table
from tests.processes import Gateway

_TABLE = pytest.StashKey[Table]()
_PAGE = Page(
    title="Which clients work",
    command="make test-clients",
    introduction="""\
every cell is the result of tests in `tests/compatibility/`,
which run the client itself, in the version it reports when imported, against a gateway in front of the sandbox. Nothing about
a client is changed but its base URL and its key. Versions are pinned in `tests/compatibility/pins.py`; of frameworks they are the newest.
[HTTP](http.md) lists the paths that clients may call, Azure's among them.""",
    conclusion="""
## Not supported

| call | instead |
| --- | --- |
| the `image_generation` tool of the Responses API, images in chat completions | the Images API, as a tool of the application |
| `POST /v1/moderations` | `GATEWAY_MODERATION`: the gateway has each prompt checked before it spends |
| `file_id` in edits, `/v1/files`, `/v1/batches` | forms, or data URLs in JSON |
| `openai` 0.28 with `api_type = "azure"` (`images/generations:submit`) | its OpenAI mode, or a newer SDK |
| pages in browsers, by default | [`GATEWAY_CORS_ORIGINS`](http.md#pages-in-browsers) |

The first four get 404 `unknown_url`, a `file_id` 400.
""",
    by_kind=True,
)
_IS_PARTIAL = pytest.StashKey[bool]()
StartClient = Callable[[Pin], Client]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", metavar="PATH", help="write the table of clients and results there")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = Table(_PAGE)
    config.stash[_IS_PARTIAL] = False


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("clients"):
            item.config.stash[_IS_PARTIAL] = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the clients before the first test, whose time is limited."""
    if not session.config.option.collectonly:
        prepare_clients(dict.fromkeys(pin for item in session.items for pin in _pins_of(item)))


def _pins_of(item: pytest.Item) -> Iterator[Pin]:
    """Yield the clients that a test runs: those its marker names, and its parameter."""
    for marker in item.iter_markers("clients"):
        yield from marker.args
    parameters = getattr(item, "callspec", None)
    if parameters is not None and isinstance(parameters.params.get("client"), Pin):
        yield parameters.params["client"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.config.stash[_TABLE].note_report(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--write-table", None)
    table = session.config.stash[_TABLE]
    if path and table.results and not session.config.stash[_IS_PARTIAL]:
        table.write(Path(path))


def clients(*pins: Pin) -> pytest.MarkDecorator:
    """Run a test with each of these clients."""
    return pytest.mark.parametrize("client", pins, ids=lambda pin: pin.name, indirect=True)


@pytest.fixture
def client(
    request: pytest.FixtureRequest, start_client: StartClient, record_property: Callable[[str, object], None]
) -> Client:
    """The client of the pin that the test is parametrised with."""
    running = start_client(request.param)
    record_property("client", running.label)
    return running


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The sandbox behind every gateway here."""
    with run_provider() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway without limits."""
    with run_gateway_to(provider, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="session")
def limited_gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that allows one image a minute."""
    with run_gateway_to(provider, tmp_path_factory.mktemp("limited"), images_per_min=1) as running:
        yield running


@pytest.fixture(scope="session")
def slow_gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that allows one request in two seconds, after the first thirty."""
    with run_gateway_to(provider, tmp_path_factory.mktemp("slow"), requests_per_min=30) as running:
        yield running


@pytest.fixture(scope="session")
def start_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartClient]:
    """Start a client by its pin, once."""
    running: dict[str, Client] = {}
    with ExitStack() as stack:

        def start(pin: Pin) -> Client:
            if pin.name not in running:
                running[pin.name] = stack.enter_context(run_client(pin, tmp_path_factory.mktemp(pin.name)))
            return running[pin.name]

        yield start
