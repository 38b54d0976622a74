"""Backends of the configuration file: what is read, and what each refusal says, with its line and never a secret."""

import shutil
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from service.adapters.openai.dialects.registry import DIALECTS
from service.domain.backends import KeyName, Offer, ServedModel
from service.domain.images import Operation
from service.settings.backends import BackendConfig, Kind
from service.settings.environment import load_settings
from service.settings.problems import SettingsError
from service.wiring.checks import check_settings
from tests.authority import Authority

CANARY = "canary-5f1c"
ADDED = 'family = "gpt-image"\nreleased = 2026-11-01\n'
FILE = """\
[[backends]]
name = "openai"
organization = "org-1"
timeouts_s = { low = 60, high = 290 }
keys = [
  { name = "main", key_file = "main.key", weight = 3, images_per_min = 150, calls_in_flight = 32 },
  # A comment that ends in a bracket ]
  { name = "spare", key = "sk-canary-5f1c", priority = 9 },
]

[[backends]]
name = "azure-eu"
kind = "azure"
api = "classic"
api_version = "2025-04-01-preview"
url = "https://x.openai.azure.com"
ca_file = "corp.pem"
headers = { X-Cost-Centre = "canary-5f1c" }

[[backends.keys]]
key = "az-1"

[[backends.keys]]
key = "az-2"

[backends.models."gpt-image-1"]
name = "img1-deployment"
shutdown = 2027-10-21

[backends.models."gpt-image-2"]

[[backends]]
name = "own"
kind = "openai-compatible"
url = "http://images.corp:8000/v1"
priority = 2
models = ["my-model", "other"]
operations = ["generate"]
makes_several = false
errors = "any"
makes = "jpeg"
masks = "white"
omit = ["quality", "user"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "main.key").write_text("sk-canary-5f1c-main\n")
    return tmp_path / "gateway.toml"


def load(path: Path, text: str) -> list[BackendConfig]:
    path.write_text(text)
    return load_settings({"GATEWAY_CONFIG": str(path)}).file.backends


def with_line(number: int, *lines: str) -> str:
    """Return the file with line *number*, counted from 1, replaced by *lines*."""
    old = FILE.splitlines()
    return "\n".join([*old[: number - 1], *lines, *old[number:], ""])


def test_each_kind_has_a_dialect() -> None:
    assert set(get_args(Kind)) == set(DIALECTS)


def test_backends_are_read_with_their_keys_in_order(path: Path) -> None:
    openai, azure, own = load(path, FILE)

    assert openai.url == "https://api.openai.com/v1"
    main, spare = openai.keys
    assert (main.weight, main.images_per_min, main.calls_in_flight) == (3, 150, 32)
    assert main.secret.get_secret_value() == "sk-canary-5f1c-main"
    assert spare.secret.get_secret_value() == "sk-canary-5f1c"
    assert azure.key_names == [KeyName("azure-eu", "key-1"), KeyName("azure-eu", "key-2")]
    assert azure.headers["x-cost-centre"].get_secret_value() == CANARY
    assert azure.ca_file == path.parent / "corp.pem"
    assert [(key.name, key.secret.get_secret_value()) for key in own.keys] == [("none", "")]


def test_a_backend_has_its_place_as_priority_and_a_key_its_backends(path: Path) -> None:
    backends = load(path, FILE)

    assert [backend.priority for backend in backends] == [1, 2, 2]
    assert [[key.priority for key in backend.keys] for backend in backends] == [[1, 9], [2, 2], [2]]


def test_gateways_share_what_an_account_allows(path: Path) -> None:
    main, spare = load(path, FILE)[0].keys

    assert [main.calls_share(replicas=count, otherwise=64) for count in (1, 5, 40)] == [32, 6, 1]
    assert spare.calls_share(replicas=5, otherwise=64) == 64
    assert [main.pace_share(replicas=count) for count in (1, 4, 200)] == [150, 37.5, 1]
    assert spare.pace_share(replicas=4) is None


def test_the_longest_time_of_a_call_depends_on_its_quality(path: Path) -> None:
    openai, azure, _ = load(path, FILE)

    assert [openai.timeouts_s.of(quality) for quality in ("low", "medium", "high", "auto", None)] == [
        60,
        300,
        290,
        300,
        300,
    ]
    assert azure.timeouts_s.of("low") == 300


def test_an_offer_has_the_models_until_their_end_at_the_backend(path: Path) -> None:
    openai, azure, own = (backend.offer({}) for backend in load(path, FILE))

    assert openai == Offer(backend="openai")
    assert azure == Offer(
        backend="azure-eu",
        models={
            "gpt-image-1": ServedModel(name="img1-deployment", shutdown=date(2027, 10, 21)),
            "gpt-image-2": ServedModel(name="gpt-image-2"),
        },
        operations=frozenset({Operation.GENERATE, Operation.EDIT}),
    )
    assert own == Offer(
        backend="own",
        models={name: ServedModel(name=name) for name in ("my-model", "other")},
        operations=frozenset({Operation.GENERATE}),
        makes_several=False,
        makes="jpeg",
    )


@pytest.mark.parametrize(("kind", "end"), [("openai", date(2026, 5, 12)), ("openai-compatible", None)])
def test_a_listed_model_ends_with_the_catalogue_only_at_openai(
    path: Path, kind: str, end: date | None
) -> None:
    (backend,) = load(
        path,
        f'[[backends]]\nname = "a"\nkind = "{kind}"\nurl = "http://a/v1"\nmodels = ["dall-e-3", "own"]\n'
        'keys = [{ key = "k" }]\n',
    )

    models = backend.offer({"dall-e-3": date(2026, 5, 12)}).models

    assert models == {"dall-e-3": ServedModel(name="dall-e-3", shutdown=end), "own": ServedModel(name="own")}


def test_backends_are_used_unless_the_sandbox_is_chosen(path: Path) -> None:
    path.write_text(FILE)
    given = {"GATEWAY_CONFIG": str(path)}

    assert not load_settings(given).uses_sandbox
    assert not load_settings({**given, "GATEWAY_SANDBOX": "false"}).uses_sandbox
    assert load_settings({**given, "GATEWAY_SANDBOX": "true"}).uses_sandbox


def test_variables_of_the_provider_are_not_read_beside_backends(path: Path) -> None:
    """Manifests name a file for its key, which those who list backends leave away."""
    path.write_text(FILE)
    others = {"OPENAI_API_KEY_FILE": "/nowhere", "OPENAI_BASE_URL": "wrong", "OPENAI_ORG_ID": "org-1"}

    settings = load_settings({"GATEWAY_CONFIG": str(path), **others})

    assert settings == load_settings({"GATEWAY_CONFIG": str(path)})


def test_secrets_of_backends_never_show(path: Path) -> None:
    path.write_text(FILE)

    settings = load_settings({"GATEWAY_CONFIG": str(path)})

    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "azure-eu" in shown
        assert CANARY not in shown
        assert "az-1" not in shown


@pytest.mark.parametrize(
    ("number", "lines", "at", "says"),
    [
        (2, ['name = "Open AI"'], "2: backends.Open AI.name", "1 to 40 of a-z, 0-9 and '-'"),
        (2, ["name = 3"], "2: backends.backend-1.name", "valid string"),
        (2, [], "1: backends.backend-1.name", "Field required"),
        (12, ['name = "openai"'], "12: backends.openai.name", "another backend is called 'openai'"),
        (13, ['kind = "azur"'], "13: backends.azure-eu.kind", "'openai', 'azure' or 'openai-compatible'"),
        (13, ['knd = "azure"'], "13: backends.azure-eu.knd", "did you mean kind?"),
        (
            4,
            ["images_per_min = 60"],
            "4: backends.openai.images_per_min",
            'as in keys = [{ name = "main", images',
        ),
        (4, ['key_file = "a"'], "4: backends.openai.key_file", "belongs to a key"),
        (4, ['base_url = "http://a"'], "4: backends.openai.base_url", "did you mean url?"),
        (4, ['api_key = "sk-canary-5f1c"'], "4: backends.openai.api_key", "did you mean keys?"),
        (4, ['type = "azure"'], "4: backends.openai.type", "did you mean kind?"),
        (
            27,
            ['deployment = "a"'],
            "27: backends.azure-eu.models.gpt-image-1.deployment",
            "did you mean name?",
        ),
        (4, ["timeouts_s = { lo = 60 }"], "4: backends.openai.timeouts_s.lo", "did you mean low?"),
        (4, ["timeouts_s = { low = 0 }"], "4: backends.openai.timeouts_s.low", "greater than 0"),
        (
            4,
            ["timeouts_s = { low = 9000 }"],
            "4: backends.openai.timeouts_s.low",
            "less than or equal to 3600",
        ),
        (4, ["priority = 0"], "4: backends.openai.priority", "greater than or equal to 1"),
        (4, ['priority = "1"'], "4: backends.openai.priority", "valid integer"),
        (
            4,
            ['url = "api.openai.com"'],
            "4: backends.openai.url",
            "must be an http(s) URL without credentials",
        ),
        (4, [f'url = "https://me:{CANARY}@a/v1"'], "4: backends.openai.url", "keys go into keys"),
        (4, ['api_version = "1"'], "4: backends.openai.api_version", 'belongs to kind = "azure"'),
        (4, ['api = "v1"'], "4: backends.openai.api", 'belongs to kind = "azure"'),
        (4, ['makes = "jpeg"'], "4: backends.openai.makes", 'belongs to kind = "openai-compatible"'),
        (4, ["models = []"], "4: backends.openai.models", "leave it out for all models"),
        (4, ["models = [1]"], "4: backends.openai.models", 'a list of names, such as ["gpt-image-2"]'),
        (4, ['headers = { Authorization = "x" }'], "4: backends.openai.headers", "it goes into keys"),
        (4, ['headers = { Host = "x" }'], "4: backends.openai.headers", "Host is set by the gateway"),
        (4, ['headers = { "a b" = "x" }'], "4: backends.openai.headers", "letters, digits and '-'"),
        (4, ['headers = { x-a = "x", X-A = "y" }'], "4: backends.openai.headers", "names a header twice"),
        (
            4,
            [f'headers = {{ x-a = "{CANARY}\\n" }}'],
            "4: backends.openai.headers.x-a",
            "one line of printable",
        ),
        (4, [f'proxy = "socks5://{CANARY}"'], "4: backends.openai.proxy", "http://proxy.corp:3128"),
        (4, ['proxy = "http:proxy.corp"'], "4: backends.openai.proxy", "http://proxy.corp:3128"),
        (4, ['url = "http:///v1"'], "4: backends.openai.url", "such as http://images.corp:8000/v1"),
        (4, ["ca_file = 3"], "4: backends.openai.ca_file", "must be the path of a file"),
        (
            6,
            ["  { key = 'a', weight = 0 },"],
            "6: backends.openai.keys.key-1.weight",
            "greater than or equal to 1",
        ),
        (
            8,
            ["", "  { weigt = 1, key = 'a' },"],
            "9: backends.openai.keys.key-2.weigt",
            "did you mean weight?",
        ),
        (
            8,
            ["  { name = 'main', key = 'a' },"],
            "8: backends.openai.keys.main.name",
            "another key of 'openai'",
        ),
        (8, ["  { name = 'spare' },"], "8: backends.openai.keys.spare.key", "set either key_file"),
        (
            8,
            ["  { name = 'spare', key_file = 'main.key', key = 'a' },"],
            "8: backends.openai.keys.spare.key",
            "set either key_file",
        ),
        (
            8,
            ["  { name = 'spare', key_file = 'lost.key' },"],
            "8: backends.openai.keys.spare.key_file",
            "cannot read the file it names: No such file or directory",
        ),
        (
            8,
            [f'  {{ key = "{CANARY}\\n" }},'],
            "8: backends.openai.keys.key-2.key",
            "one line of printable ASCII",
        ),
        (8, ['  { key = "" },'], "8: backends.openai.keys.key-2.key", "one line of printable ASCII"),
        (8, [f"  '{CANARY}',"], "5: backends.openai.keys", "must be a list of tables"),
        (15, [], "11: backends.azure-eu.api_version", 'such as "2025-04-01-preview"'),
        (
            16,
            [],
            "11: backends.azure-eu.url",
            'kind = "azure" needs it, such as "https://x.openai.azure.com"',
        ),
        (
            16,
            ['url = "https://x.openai.azure.com/openai/deployments/img1/images/edits?api-version=1"'],
            "16: backends.azure-eu.url",
            "must be the endpoint alone",
        ),
        (17, ['project = "p"'], "17: backends.azure-eu.project", "Azure has none"),
        (
            17,
            ["makes_several = false"],
            "17: backends.azure-eu.makes_several",
            'of kind "azure"; leave it out',
        ),
        (24, ["weight = 1.5"], "24: backends.azure-eu.keys.key-2.weight", "valid integer"),
        (27, ['name = "a/b"'], "26: backends.azure-eu.models", "gpt-image-1: the name of a deployment"),
        (28, ['shutdown = "soon"'], "28: backends.azure-eu.models.gpt-image-1.shutdown", "valid date"),
        (
            28,
            ["ends = 2027-10-21"],
            "28: backends.azure-eu.models.gpt-image-1.ends",
            "there are name, shutdown",
        ),
        (37, [], "32: backends.own.models", 'kind = "openai-compatible" needs the models it serves'),
        (35, [], "32: backends.own.url", 'needs it, such as "http://images.corp:8000/v1"'),
        (38, ["operations = []"], "38: backends.own.operations", "at least 1 item"),
        (38, ["operations = ['make']"], "38: backends.own.operations.0", "'generate', 'edit' or 'vary'"),
        (41, ["makes = 'gif'"], "41: backends.own.makes", "'png', 'jpeg' or 'webp'"),
        (43, ["omit = ['prompt']"], "43: backends.own.omit", "no call goes without prompt"),
        (43, ["omit = ['a b']"], "43: backends.own.omit", 'such as ["quality", "user"]'),
        (43, ["[backend]"], "43: backend", "[[backends]] instead of it: keep one of them"),
    ],
)
def test_a_mistake_names_its_line_its_backend_and_what_would_be_right(
    path: Path, number: int, lines: list[str], at: str, says: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(path, with_line(number, *lines))

    problems = str(refused.value).splitlines()
    assert [problem for problem in problems if problem.startswith(f"{path}, line {at}: ")], problems
    assert any(says in problem for problem in problems)
    assert CANARY not in str(refused.value)


AZURE_KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("number", "line", "at", "says"),
    [
        (8, '{ "sk-proj-CANARY" = "x" },', "8: backends.openai.keys.key-2.[hidden]", "a key is a value"),
        (8, '{ "Sk9CANARYabcdefghijklmnop" = "x" },', "8: backends.openai.keys.key-2.[hidden]", "a key is"),
        (
            8,
            '{ name = "sk-proj-CANARY", key = "a" },',
            "8: backends.openai.keys.[hidden].name",
            "into key or",
        ),
        (
            8,
            f'{{ name = "{AZURE_KEY}", key = "a" }},',
            "8: backends.openai.keys.[hidden].name",
            "into key or",
        ),
        (8, '{ name = "sk-1234canary", kye = "a" },', "8: backends.openai.keys.[hidden].kye", "did you mean"),
        (2, 'name = "sk-proj-CANARY"', "2: backends.[hidden].name", "looks like a key"),
        (4, 'sk-proj-CANARY = "x"', "4: backends.openai.[hidden]", "a key is a value"),
        (43, "[sk-proj-CANARY]\n[sk-proj-CANARY]", "", "Cannot declare"),
    ],
)
def test_a_key_in_the_place_of_a_name_is_refused_and_not_repeated(
    path: Path, number: int, line: str, at: str, says: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(path, with_line(number, *line.splitlines()))

    said = str(refused.value)
    assert says in said
    assert at in said
    assert ("canary" in said.lower(), AZURE_KEY in said) == (False, False), said


@pytest.mark.parametrize("name", ["sk-bratislava", "openai-2026-eu-west-1-a", "disk-2", "a" * 40])
def test_names_that_only_begin_like_a_key_are_taken(path: Path, name: str) -> None:
    assert load(path, with_line(2, f'name = "{name}"'))[0].name == name


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b" \n", "the file it names is empty"),
        (b"sk-\ncanary-5f1c", "must be one line of printable ASCII characters"),
        ("sk-é".encode(), "must be one line of printable ASCII characters"),
        (b"\xff\xfe", "it is not UTF-8 text"),
    ],
)
def test_a_file_without_a_key_is_refused_by_the_name_of_its_entry(
    path: Path, content: bytes, says: str
) -> None:
    (path.parent / "main.key").write_bytes(content)

    with pytest.raises(SettingsError) as refused:
        load(path, FILE)

    assert str(refused.value).startswith(f"{path}, line 6: backends.openai.keys.main.key_file: ")
    assert says in str(refused.value)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[backends]\nname = 'a'", "line 1: backends: write [[backends]], with two brackets"),
        ("backends = ['a']", "line 1: backends: write [[backends]], with two brackets"),
        ("[[backends]]\nname = 'a'", "line 1: backends.a.keys: a backend needs a key"),
        (
            "[[backends]]\nname = 'a'\n[backends.keys]\nkey = 'k'",
            "line 3: backends.a.keys: must be a list of tables",
        ),
    ],
)
def test_a_table_of_the_wrong_form_is_shown_the_right_one(path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(path, text)

    assert f"{path}, {says}" in str(refused.value)


PEM = "-----BEGIN CERTIFICATE-----"


def checked(path: Path, text: str, **variables: str) -> str:
    """Return what the check of all settings says against the file *text*."""
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        check_settings(load_settings({"GATEWAY_CONFIG": str(path), **variables}))
    return str(refused.value)


def test_a_backend_may_serve_a_model_that_the_file_adds(path: Path) -> None:
    shutil.copy(Authority(path.parent, "images.corp").root, path.parent / "corp.pem")
    path.write_text(FILE + "".join(f'[models."{name}"]\n{ADDED}' for name in ("my-model", "other")))

    check_settings(load_settings({"GATEWAY_CONFIG": str(path)}))


def test_a_model_that_the_catalogue_lacks_is_refused_with_the_nearest(path: Path) -> None:
    text = FILE.replace('models = ["my-model", "other"]', 'models = [\n"dall-e-3",\n"gpt-imge-2",\n]')

    said = checked(path, text.replace('ca_file = "corp.pem"', ""))

    assert said == (
        f'{path}, line 39: backends.own.models.gpt-imge-2: there is no model "gpt-imge-2" (did you mean gpt-image-2?); '
        '[models."gpt-imge-2"] adds one to the catalogue'
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read the file it names: No such file or directory"),
        ("", f"has no certificates in PEM form ({PEM})"),
        (f"{PEM}\nAAAA\n-----END CERTIFICATE-----\n", f"has no certificates in PEM form ({PEM})"),
    ],
)
def test_a_file_of_authorities_must_be_readable_and_pem(path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (path.parent / "corp.pem").write_text(content)

    said = checked(path, FILE.replace('models = ["my-model", "other"]', 'models = ["dall-e-3"]'))

    assert said.startswith(f"{path}, line 17: backends.azure-eu.ca_file: ")
    assert says in said


def test_only_openai_judges_prompts(path: Path) -> None:
    text = (
        '[[backends]]\nname = "own"\nkind = "openai-compatible"\nurl = "http://a/v1"\nmodels = ["dall-e-3"]\n'
    )

    assert checked(path, text, GATEWAY_MODERATION="provider").startswith("GATEWAY_MODERATION=provider needs")
    path.write_text(f'{text}[[backends]]\nname = "openai"\nkeys = [{{ key = "k" }}]\n')
    check_settings(load_settings({"GATEWAY_CONFIG": str(path), "GATEWAY_MODERATION": "provider"}))
