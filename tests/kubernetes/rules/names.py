"""Rules of names: each refers to something that exists, and the gateway's pods are found by all that select pods."""

import re
from collections.abc import Iterator
from typing import Any

from service.settings.environment import load_settings
from tests.kubernetes.manifests import Manifests, Object, selects
from tests.kubernetes.rules.rule import RULES

_HASHED = re.compile(r".+-[a-z0-9]{10}")


@RULES.add
def refers_to_what_exists(manifests: Manifests) -> Iterator[str]:
    existing = {(each["kind"], each["metadata"]["name"]) for each in manifests.objects}
    for kind, name in _references(manifests):
        if (kind, name) not in existing:
            yield f"there is no {kind} {name}"


def _references(manifests: Manifests) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", manifests.pod["serviceAccountName"]
    yield "Service", manifests.gateways["serviceName"]
    for each in manifests.container["envFrom"]:
        yield "ConfigMap", each["configMapRef"]["name"]
    for each in manifests.pod["volumes"]:
        if "configMap" in each:
            yield "ConfigMap", each["configMap"]["name"]


@RULES.add
def mounts_every_volume(manifests: Manifests) -> Iterator[str]:
    volumes = [each["name"] for each in manifests.pod["volumes"]]
    volumes += [each["metadata"]["name"] for each in manifests.gateways.get("volumeClaimTemplates", [])]
    mounted = [each["name"] for each in manifests.container["volumeMounts"]]
    if sorted(volumes) != sorted(mounted):
        yield f"volumes {sorted(volumes)}, mounts {sorted(mounted)}"


@RULES.add
def replaces_pods_when_settings_change(manifests: Manifests) -> Iterator[str]:
    for each in manifests.of_kind("ConfigMap"):
        if not _HASHED.fullmatch(each["metadata"]["name"]):
            yield f"ConfigMap {each['metadata']['name']} has no hash in its name"


@RULES.add
def selects_its_pods(manifests: Manifests) -> Iterator[str]:
    labels = manifests.template["metadata"]["labels"]
    selectors: dict[str, Object] = {"StatefulSet": manifests.gateways["selector"]}
    for number, spread in enumerate(manifests.pod.get("topologySpreadConstraints", []), 1):
        selectors[f"spread {number}"] = spread["labelSelector"]
    for kind, field in (
        ("Service", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
        ("PodMonitor", "selector"),
    ):
        for each in manifests.of_kind(kind):
            selectors[f"{kind} {each['metadata']['name']}"] = each["spec"][field]
    yield from (f"{name} selects no gateway" for name, each in selectors.items() if not selects(each, labels))


@RULES.add
def names_ports_that_exist(manifests: Manifests) -> Iterator[str]:
    known = {each["name"] for each in manifests.container["ports"]}
    yield from (f"there is no port {port}" for port in _ports(manifests) if port not in known)


def _ports(manifests: Manifests) -> Iterator[Any]:
    yield from (
        manifests.container[f"{name}Probe"]["httpGet"]["port"]
        for name in ("startup", "liveness", "readiness")
        if f"{name}Probe" in manifests.container
    )
    yield from (each["targetPort"] for each in manifests.the("Service")["spec"]["ports"])
    for monitor in manifests.of_kind("PodMonitor"):
        yield from (each["port"] for each in monitor["spec"]["podMetricsEndpoints"])
    for policy in manifests.of_kind("NetworkPolicy"):
        yield from (port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", []))


@RULES.add
def opens_the_ports_that_the_gateway_has(manifests: Manifests) -> Iterator[str]:
    numbers = {each["name"]: str(each["containerPort"]) for each in manifests.container["ports"]}
    settings = {"GATEWAY_PORT": str(load_settings({}).port), **manifests.settings}
    for name, variable in (("http", "GATEWAY_PORT"), ("metrics", "GATEWAY_METRICS_PORT")):
        if numbers.get(name) != settings.get(variable):
            yield f"port {name} is not {variable}"


@RULES.add
def is_in_one_namespace(manifests: Manifests) -> Iterator[str]:
    found = {
        each["metadata"].get("namespace", "") for each in manifests.objects if each["kind"] != "Namespace"
    }
    if len(found) != 1:
        yield f"objects are in {sorted(found)}"
    for each in manifests.of_kind("Namespace"):
        if each["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "the namespace takes pods with privileges"
