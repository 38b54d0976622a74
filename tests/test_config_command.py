"""Explain the configuration in effect with `image-gateway config check`, and test the keys of real servers."""

import re
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.domain.images import Operation
from service.settings.environment import load_settings
from service.wiring.effective import Making, ModelPlan, plan_models, planned_catalog
from tests.authority import Authority
from tests.documents import code_blocks, read
from tests.processes import free_port
from tests.shell import Done, Shell, rows, run_on_terminal

CANARY = "canary-5f1c"
BACKENDS = f"""\
[[backends]]
name = "openai"
url = "{{url}}/v1"
organization = "org-1"
proxy = "http://me:{CANARY}@proxy.corp:3128"
headers = {{{{ x-cost-centre = "{CANARY}" }}}}
keys = [
  {{{{ name = "main", key_file = "main.key", weight = 3, images_per_min = 150, calls_in_flight = 33 }}}},
  {{{{ name = "second", key = "sk-{CANARY}" }}}},
  {{{{ name = "spare", key = "sk-{CANARY}-spare", priority = 9 }}}},
]

[[backends]]
name = "azure-eu"
kind = "azure"
url = "{{url}}"
timeouts_s = {{{{ low = 60 }}}}
keys = [{{{{ key = "sk-{CANARY}-refused" }}}}]
[backends.models."gpt-image-1"]
name = "img1"
shutdown = 2027-10-21

[[backends]]
name = "own"
kind = "openai-compatible"
url = "{{url}}/v1"
models = ["gpt-image-2"]
operations = ["generate"]
makes_several = false
errors = "any"
makes = "jpeg"
masks = "white"
omit = ["quality", "user"]
answers_for_itself = true
"""
"""Three backends, at `{{url}}`."""
FLAGS = "one image a call; edits the white of masks; errors of any form; answers for itself"


class Server(ThreadingHTTPServer):
    """Lists its models once as many requests as it waits for are there; refuses keys that end in `refused`."""

    daemon_threads = True

    def __init__(self, waits_for: int) -> None:
        super().__init__(("127.0.0.1", 0), Listing)
        self.all_there = threading.Barrier(waits_for)
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Listing(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.all_there.wait(30)
        key = self.headers["authorization"] or self.headers["api-key"] or ""
        is_refused = key.endswith("refused")
        body = orjson.dumps({"error": {"message": "Wrong.", "code": "401"}} if is_refused else {"data": []})
        self.send_response(401 if is_refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(getattr(request, "param", 1)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def shell_of(directory: Path, text: str, **variables: str) -> Shell:
    (directory / "main.key").write_text(f"sk-{CANARY}-main\n")
    (directory / "gateway.toml").write_text(text)
    given = {"GATEWAY_CONFIG": str(directory / "gateway.toml"), "NO_PROXY": "*", **variables}
    return Shell(directory / "data", tuple(given.items()))


def of(url: str, *, proxied: bool = False) -> str:
    lines = BACKENDS.format(url=url).splitlines(keepends=True)
    return "".join(line for line in lines if proxied or not line.startswith("proxy"))


def tables(done: Done) -> dict[str, list[dict[str, str]]]:
    """Return the tables by the first words of their headings."""
    parts = [part.split("\n", 1) for part in done.stdout.split("\n\n")[1:]]
    return {heading.split(" ")[0].strip(":"): rows(text) for heading, text in parts}


def explain(directory: Path, text: str, *words: str, **variables: str) -> Done:
    return shell_of(directory, text, **variables).run("config", "check", *words)


def test_keys_are_listed_in_their_turns_with_the_share_of_a_gateway(tmp_path: Path) -> None:
    done = explain(
        tmp_path,
        of("http://a"),
        "--offline",
        GATEWAY_REPLICAS="4",
        GATEWAY_REDIS_URL="redis://a",
    )

    assert done.returncode == 0, done.stderr
    assert "Numbers are for each of 4 gateways." in done.stdout
    bounds = ("key", "turn", "share", "images a minute", "calls at once", "answer")
    assert [tuple(row[name] for name in bounds) for row in tables(done)["Keys"]] == [
        ("openai/main", "1", "75%", "37.5", "8", "not asked"),
        ("openai/second", "1", "25%", "no pace", "64", "not asked"),
        ("azure-eu/key-1", "2", "100%", "no pace", "64", "not asked"),
        ("own/none", "3", "100%", "no pace", "64", "not asked"),
        ("openai/spare", "4", "100%", "no pace", "64", "not asked"),
    ]
    assert [row["from"] for row in tables(done)["Keys"]] == [
        str(tmp_path / "main.key"),
        str(tmp_path / "gateway.toml"),
        str(tmp_path / "gateway.toml"),
        "no key",
        str(tmp_path / "gateway.toml"),
    ]


def test_declarations_of_backends_are_explained_without_secrets(tmp_path: Path) -> None:
    shell = shell_of(tmp_path, of("http://a", proxied=True))
    done, document = (shell.run("config", "check", "--offline", *words) for words in ((), ("--json",)))

    assert [row["declared"] for row in tables(done)["Backends"]] == [
        "calls as org-1; headers: x-cost-centre; through proxy.corp:3128",
        "API v1; longest calls: low 60 s",
        f"operations: generate; makes only jpeg; not sent: quality, user; {FLAGS}",
    ]
    assert CANARY not in done.stdout + document.stdout + shell.ask("config")


@pytest.mark.parametrize("server", [5], indirect=True)
def test_all_keys_are_asked_at_once_and_a_refused_one_is_an_error(server: Server, tmp_path: Path) -> None:
    done = explain(tmp_path, of(server.url))

    assert done.returncode == 1
    assert [row["answer"] for row in tables(done)["Keys"]] == [
        "accepted",
        "accepted",
        "refused",
        "answers",
        "accepted",
    ]
    assert done.stdout.startswith(
        "The settings are correct, but 1 key does not work: azure-eu/key-1. Images are made by 3 backends"
    )
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: azure-eu/key-1: key key-1 of backend azure-eu was refused (401")
    assert sorted(server.paths) == ["/openai/v1/models", *["/v1/models"] * 4]
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize("server", [4], indirect=True)
def test_a_backend_that_does_not_answer_is_an_error_for_each_of_its_keys(
    server: Server, tmp_path: Path
) -> None:
    text = (
        of(server.url)
        .replace("-refused", "")
        .replace(f'url = "{server.url}"', 'url = "http://127.0.0.1:PORT"')
    )

    done = explain(tmp_path, text.replace("PORT", str(free_port())), "--json")

    assert done.returncode == 1
    keys = orjson.loads(done.stdout)["keys"]
    assert [key["answer"] for key in keys if key["backend"] != "azure-eu"] == [
        "accepted",
        "accepted",
        "answers",
        "accepted",
    ]
    (azure,) = [key for key in keys if key["backend"] == "azure-eu"]
    assert azure["answer"] == "unreachable"
    assert "is the url of backend azure-eu right" in azure["advice"]
    assert done.stderr == f"error: azure-eu/key-1: {azure['advice']}\n"


@pytest.mark.parametrize("server", [5], indirect=True)
def test_a_configuration_whose_keys_are_accepted_is_good(server: Server, tmp_path: Path) -> None:
    done = explain(tmp_path, of(server.url).replace("-refused", ""))

    assert (done.returncode, "error" in done.stderr) == (0, False)
    assert done.stdout.startswith(
        "The settings are correct. Images are made by 3 backends with 5 keys, from [[backends]]"
    )


def test_a_backend_is_asked_as_its_own_authorities_certify(server: Server, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "localhost")
    server.socket = authority.server_context().wrap_socket(server.socket, server_side=True)
    text = f"""
[[backends]]
name = "openai"
url = "https://127.0.0.1:{server.server_port}/v1"
keys = [{{ key = "sk-ours" }}]
"""

    done = explain(tmp_path, f'{text}ca_file = "root.pem"', "--json")
    refused = explain(tmp_path, text)

    assert (done.returncode, orjson.loads(done.stdout)["keys"][0]["answer"]) == (0, "accepted")
    assert refused.returncode == 1
    assert "ca_file" in refused.stderr


def test_variables_that_are_not_read_are_named(tmp_path: Path) -> None:
    given = {"GATEWAY_PROT": "1", "OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": "http://b/v1"}
    shell = shell_of(tmp_path, of("http://a"), **given)

    done, document = (shell.run("config", "check", "--offline", *words) for words in ((), ("--json",)))

    warnings = [
        "GATEWAY_PROT is not a setting of the gateway. Did you mean GATEWAY_PORT?",
        "OPENAI_API_KEY is not read, as [[backends]] takes its place; unset it",
        "OPENAI_BASE_URL is not read, as [[backends]] takes its place; unset it",
    ]
    assert done.stderr.splitlines() == [f"warning: {warning}" for warning in warnings]
    assert orjson.loads(document.stdout)["warnings"] == warnings


def twins(more: str = "", at: str = "http://a/v1") -> str:
    """Return two backends with one secret; the second is *at* a URL, with one line *more*."""
    return f"""
[[backends]]
name = "a"
url = "http://a/v1"
keys = [{{ name = "main", key_file = "main.key" }}]

[[backends]]
name = "b"
url = "{at}"
keys = [{{ key = "other" }}, {{ key = "sk-{CANARY}-main" }}]
{more}
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(twins(), ["a/main and b/key-2"], id="two backends"),
        pytest.param(
            twins().replace("other", f"sk-{CANARY}-main"),
            ["a/main and b/key-1", "a/main and b/key-2"],
            id="one backend",
        ),
        pytest.param(twins('models = ["gpt-image-2"]'), ["a/main and b/key-2"], id="a model of both"),
        pytest.param(twins(at="http://b/v1"), [], id="another place"),
        pytest.param(twins('project = "proj_b"'), [], id="another project"),
        pytest.param(
            twins('models = ["gpt-image-2"]').replace("keys", 'models = ["gpt-image-2.6-flare"]\nkeys', 1),
            [],
            id="other models",
        ),
    ],
)
def test_a_secret_with_two_names_is_named_where_its_limits_would_count_twice(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    done = explain(tmp_path, text, "--offline")

    said = [
        line.partition(" have the same secret: ")[0] for line in done.stderr.splitlines() if "same" in line
    ]
    assert said == [f"warning: {pair}" for pair in names], done.stderr
    assert (done.returncode, CANARY in done.stdout + done.stderr) == (0, False)


def test_the_provider_of_the_variables_is_explained_too(server: Server, tmp_path: Path) -> None:
    shell = Shell(
        tmp_path,
        (("OPENAI_API_KEY", f"sk-{CANARY}"), ("OPENAI_BASE_URL", f"{server.url}/v1"), ("NO_PROXY", "*")),
    )

    done = shell.run("config", "check")

    assert done.returncode == 0, done.stderr
    assert "made by 1 backend with 1 key, from OPENAI_* variables." in done.stdout
    (key,) = tables(done)["Keys"]
    assert (key["key"], key["from"], key["answer"]) == ("openai/key-1", "OPENAI_API_KEY", "accepted")
    models = {row["model"]: row for row in tables(done)["Models"]}
    assert (models["dall-e-3"]["made by"], models["dall-e-3"]["bridge"]) == (
        "bridge",
        "gpt-image-2.6-flare by openai",
    )


def test_a_refused_key_of_the_variables_is_an_error_that_names_them(server: Server, tmp_path: Path) -> None:
    given = {"OPENAI_API_KEY": "sk-refused", "OPENAI_BASE_URL": f"{server.url}/v1", "NO_PROXY": "*"}

    done = Shell(tmp_path, tuple(given.items())).run("config", "check")

    assert done.returncode == 1
    assert "error: openai/key-1: OPENAI_API_KEY was refused (401" in done.stderr


def test_the_sandbox_beats_backends(tmp_path: Path) -> None:
    done = explain(tmp_path, of("http://a"), GATEWAY_SANDBOX="true")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "The settings are correct. The sandbox paints free test images. Backends and"
    )
    assert {*tables(done)} == {"Models"}


def test_a_wrong_setting_is_an_error_and_nothing_is_asked(server: Server, tmp_path: Path) -> None:
    shell = shell_of(tmp_path, of(server.url).replace('["gpt-image-2"]', '["gpt-imge-2"]'))

    assert "did you mean gpt-image-2?" in shell.refused("config", "check")
    assert "OPENAI_API_KEY" in Shell(tmp_path, (("GATEWAY_SANDBOX", "false"),)).refused("config", "check")
    assert server.paths == []


def test_a_narrow_terminal_shows_every_key_whole(tmp_path: Path) -> None:
    shown = run_on_terminal(shell_of(tmp_path, of("http://a")), 80, "config", "check", "--offline")

    assert "azure-eu/key-1" in shown
    assert max(len(line) for line in shown.splitlines() if "─" in line) <= 80


def plans(directory: Path, text: str, today: date) -> dict[tuple[str, tuple[str, ...]], ModelPlan]:
    variables: dict[str, Any] = dict(shell_of(directory, text).settings)
    settings = load_settings(variables)
    catalog = planned_catalog(settings, settings.file.backends)
    return {(plan.model, plan.operations): plan for plan in plan_models(catalog, today)}


def test_a_model_is_made_by_its_backends_until_each_ends_it_and_then_bridged(tmp_path: Path) -> None:
    both = (Operation.GENERATE, Operation.EDIT)

    now = plans(tmp_path, of("http://a"), date(2026, 10, 1))[("gpt-image-1", both)]
    later = plans(tmp_path, of("http://a"), date(2026, 12, 1))[("gpt-image-1", both)]
    at_last = plans(tmp_path, of("http://a"), date(2027, 10, 21))[("gpt-image-1", both)]

    openai = Making(backend="openai", name="gpt-image-1", shutdown=date(2026, 10, 23))
    azure = Making(backend="azure-eu", name="img1", shutdown=date(2027, 10, 21))
    assert (now.own, now.bridge_to, now.heir) == ((openai, azure), "", "gpt-image-2.6-flare")
    assert (later.own, later.bridge_to, later.bridged_by) == ((azure,), "gpt-image-2.6-flare", ("openai",))
    assert (at_last.own, at_last.bridge_to, at_last.heir) == ((), "gpt-image-2.6-flare", "")


def test_operations_that_differ_have_plans_of_their_own(tmp_path: Path) -> None:
    found = plans(tmp_path, of("http://a"), date(2026, 12, 1))

    made = {
        operations: [making.backend for making in plan.own]
        for (model, operations), plan in found.items()
        if model == "gpt-image-2"
    }
    assert made == {(Operation.GENERATE,): ["openai", "own"], (Operation.EDIT,): ["openai"]}


def test_a_listed_model_that_nothing_makes_is_named(tmp_path: Path) -> None:
    text = """
[[backends]]
name = "azure"
kind = "azure"
url = "https://a"
keys = [{ key = "k" }]
[backends.models."gpt-image-2"]
[backends.models."gpt-image-1"]
shutdown = 2026-10-21
"""

    said = explain(tmp_path, text, "--offline").stderr.splitlines()

    asked = "cannot be ordered, and orders without a model ask for it: no backend serves it today"
    other, may = "nor gpt-image-2.6-flare", '[models."{}".bridge] may name another model'.format
    assert said == [
        f"warning: gpt-image-1 cannot be ordered: no backend serves it today, {other}: {may('gpt-image-1')}",
        f"warning: dall-e-2 {asked}, {other}: {may('dall-e-2')}",
        f"warning: gpt-image-2.6-flare {asked}",
    ]


def test_the_page_shows_the_keys_of_its_example_as_the_command_does(tmp_path: Path) -> None:
    page = read("docs/providers.md")
    (tmp_path / "keys").mkdir()
    for name in ("openai-main", "openai-second", "azure"):
        (tmp_path / "keys" / name).write_text("sk-...")

    done = explain(tmp_path, code_blocks(page, "toml")[0][1], "--offline")

    shown = [line.split("  ") for line in page.splitlines() if re.match(r"(openai|azure|own)/", line)]
    assert [[cell.strip() for cell in line if cell][:5] for line in shown] == [
        [row["key"], row["turn"], row["share"], row["images a minute"], row["calls at once"]]
        for row in tables(done)["Keys"]
    ]
