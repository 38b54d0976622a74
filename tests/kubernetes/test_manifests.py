"""Check the rendered manifests: schemas of Kubernetes and of the Prometheus operator, settings, and the rules."""

import json
from pathlib import Path

import pytest

from service.settings.environment import load_settings, unknown_variables
from service.wiring.checks import check_settings
from tests.kubernetes.manifests import Manifests, Object, run_tool
from tests.kubernetes.rules import names, networks, numbers, pods
from tests.kubernetes.rules.rule import RULES
from tests.processes import REPOSITORY

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(180)]
OLDEST, NEWEST = "1.30", "1.37"
OPERATOR_KINDS = ("PodMonitor", "PrometheusRule")
SECRETS = {
    "secrets": "a-secret-of-all-replicas",
    "redis-url": "redis://gateway:password@valkey:6379/0",
    "admin-key": "a-key-of-the-admin",
    "openai-api-key": "sk-provider",
    "store-access-key-id": "id",
    "store-secret-access-key": "key",
}
"""The keys of the Secret, as `docs/deployment.md` has the operator make it."""

assert {names, networks, numbers, pods}, "they add the rules"


def check_schemas(objects: list[Object], version: str, directory: Path) -> None:
    file = directory / "objects.yaml"
    # JSON is YAML.
    file.write_text("\n---\n".join(json.dumps(each) for each in objects), "utf-8")
    run_tool("kubernetes-validate", "--strict", "--kubernetes-version", version, str(file))


def check_operator_kinds(objects: list[Object]) -> None:
    run_tool("python", str(REPOSITORY / "tests/kubernetes/operator_kinds.py"), given=json.dumps(objects))


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(
    version: str, example: Manifests, base: Manifests, tmp_path: Path
) -> None:
    objects = [each for each in example.objects if each["kind"] not in OPERATOR_KINDS]

    check_schemas([*objects, *base.objects], version, tmp_path)

    assert {"StatefulSet", "NetworkPolicy", "PodDisruptionBudget"} <= {each["kind"] for each in objects}


def test_a_misspelt_field_is_found(example: Manifests, tmp_path: Path) -> None:
    service = example.the("Service")
    misspelt = {**service, "spec": {**service["spec"], "selectors": {}}}

    with pytest.raises(AssertionError, match="selectors"):
        check_schemas([misspelt], NEWEST, tmp_path)


def test_the_prometheus_operator_knows_every_field(example: Manifests) -> None:
    objects = [each for each in example.objects if each["kind"] in OPERATOR_KINDS]

    check_operator_kinds(objects)

    assert objects


def test_a_misspelt_field_of_the_operator_is_found(example: Manifests) -> None:
    monitor = example.the("PodMonitor")
    misspelt = {**monitor, "spec": {**monitor["spec"], "podMetricsEndpoint": []}}

    with pytest.raises(AssertionError, match="the operator knows only"):
        check_operator_kinds([misspelt])


@pytest.mark.parametrize("rule", sorted(RULES.checks))
def test_the_manifests_obey_the_rule(rule: str, example: Manifests, base: Manifests) -> None:
    check = RULES.checks[rule]

    assert [*check(example), *check(base)] == []


def test_the_gateway_takes_its_settings(example: Manifests, tmp_path: Path) -> None:
    """With the files of the Secret and of the ConfigMap, which are elsewhere here."""
    given = dict(example.settings)
    [file] = [each["data"] for each in example.of_kind("ConfigMap") if "gateway.toml" in each["data"]]
    for name, content in {**SECRETS, **file}.items():
        (tmp_path / name).write_text(content, "utf-8")
    for variable, value in given.items():
        if variable.endswith(("_FILE", "_CONFIG")):
            given[variable] = str(tmp_path / Path(value).name)
    given |= {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_DATA_DIR": "/data"}  # noqa: S104 - as in the image

    settings = load_settings(given)
    check_settings(settings)

    assert unknown_variables(given) == []
    assert settings.public_url == "https://images.example.com"
    assert {Path(value).name for name, value in given.items() if name.endswith("_FILE")} == SECRETS.keys()
