"""Rules of the network: deny by default in both directions, and no private network for the provider's images."""

from collections.abc import Iterator
from ipaddress import ip_network

from tests.kubernetes.manifests import Manifests, Object
from tests.kubernetes.rules.rule import RULES

_PRIVATE = {
    4: ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    6: ("fc00::/7", "fe80::/10"),
}


@RULES.add
def bounds_both_directions(manifests: Manifests) -> Iterator[str]:
    policies = manifests.of_kind("NetworkPolicy")
    if not policies:
        yield "there is no NetworkPolicy"
    for policy in policies:
        spec = policy["spec"]
        if set(spec.get("policyTypes", [])) != {"Ingress", "Egress"}:
            yield "a direction is not bounded"
        for direction, others in (("ingress", "from"), ("egress", "to")):
            for number, rule in enumerate(spec.get(direction, []), 1):
                if not rule.get(others):
                    yield f"{direction} {number} is for all"
                if not rule.get("ports"):
                    yield f"{direction} {number} is for every port"


@RULES.add
def reaches_what_it_needs(manifests: Manifests) -> Iterator[str]:
    ports = {
        port["port"]
        for policy in manifests.of_kind("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for port in rule.get("ports", [])
    }
    needed = {53: "DNS", 6379: "Redis", 443: "the provider"}
    yield from (f"{name} cannot be reached" for port, name in needed.items() if port not in ports)


@RULES.add
def keeps_out_of_private_networks(manifests: Manifests) -> Iterator[str]:
    for block in _blocks(manifests):
        network = ip_network(block["cidr"])
        if network.prefixlen == 0:
            missing = set(_PRIVATE[network.version]) - set(block.get("except", []))
            yield from (f"{block['cidr']} includes {each}" for each in sorted(missing))


@RULES.add
def shows_metrics_to_prometheus_alone(manifests: Manifests) -> Iterator[str]:
    if "GATEWAY_METRICS_PORT" not in manifests.settings:
        yield "metrics share the port of orders"
    for policy in manifests.of_kind("NetworkPolicy"):
        for number, rule in enumerate(policy["spec"].get("ingress", []), 1):
            if len({port["port"] for port in rule.get("ports", [])}) > 1:
                yield f"ingress {number} opens both ports"


def _blocks(manifests: Manifests) -> Iterator[Object]:
    for policy in manifests.of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            yield from (each["ipBlock"] for each in rule.get("to", []) if "ipBlock" in each)
