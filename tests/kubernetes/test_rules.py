"""Break each rule once, at least: a rule that finds nothing in broken manifests would find nothing at all."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.kubernetes.manifests import Manifests
from tests.kubernetes.rules.rule import RULES

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(180)]

NOT_SET = object()
AT_POD = "StatefulSet.spec.template.spec"
AT_CONTAINER = f"{AT_POD}.containers.0"
AT_POLICY = "NetworkPolicy.spec"

Change = tuple[str, Any]
"""A path from a kind to a field, and its new value."""

BREAKS: dict[str, list[Change]] = {
    "runs_without_privileges": [
        (f"{AT_POD}.securityContext.runAsNonRoot", False),
        (f"{AT_POD}.securityContext.runAsUser", 0),
        (f"{AT_POD}.securityContext.fsGroup", 0),
        (f"{AT_POD}.securityContext.seccompProfile", NOT_SET),
        (f"{AT_CONTAINER}.securityContext.allowPrivilegeEscalation", NOT_SET),
        (f"{AT_CONTAINER}.securityContext.privileged", True),
        (f"{AT_CONTAINER}.securityContext.capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        (f"{AT_CONTAINER}.securityContext.runAsUser", 0),
    ],
    "shares_nothing_with_its_node": [
        (f"{AT_POD}.hostNetwork", True),
        (f"{AT_POD}.volumes.0", {"name": "temporary", "hostPath": {"path": "/var/log"}}),
        (f"{AT_CONTAINER}.ports.0.hostPort", 8080),
    ],
    "writes_only_to_bounded_volumes": [
        (f"{AT_CONTAINER}.securityContext.readOnlyRootFilesystem", False),
        (f"{AT_POD}.volumes.0.emptyDir", {}),
        (f"{AT_CONTAINER}.volumeMounts.2.readOnly", False),
    ],
    "keeps_its_books_on_a_volume_that_outlives_it": [
        ("StatefulSet.spec.volumeClaimTemplates", []),
        ("StatefulSet.spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Delete"),
    ],
    "has_no_token_of_the_cluster": [
        (f"{AT_POD}.automountServiceAccountToken", NOT_SET),
        ("ServiceAccount.automountServiceAccountToken", True),
        (f"{AT_POD}.serviceAccountName", "default"),
    ],
    "takes_no_variables_from_services": [(f"{AT_POD}.enableServiceLinks", NOT_SET)],
    "reads_secrets_from_files": [
        (f"{AT_CONTAINER}.env.0", {"name": "OPENAI_API_KEY", "value": "sk-provider"}),
        (f"{AT_CONTAINER}.env.0", {"name": "GATEWAY_SECRETS", "valueFrom": {}, "value": ""}),
        (f"{AT_CONTAINER}.envFrom.0.secretRef", {"name": "image-gateway"}),
        (f"{AT_CONTAINER}.env.0.value", "/data/secret"),
    ],
    "holds_no_secret": [("Service.kind", "Secret")],
    "is_probed": [
        (f"{AT_CONTAINER}.startupProbe", NOT_SET),
        (f"{AT_CONTAINER}.livenessProbe.httpGet.path", "/readyz"),
        (f"{AT_CONTAINER}.livenessProbe.failureThreshold", 3),
        (f"{AT_CONTAINER}.readinessProbe.failureThreshold", 30),
    ],
    "has_resources": [
        (f"{AT_CONTAINER}.resources", NOT_SET),
        (f"{AT_CONTAINER}.resources.requests.cpu", NOT_SET),
        (f"{AT_CONTAINER}.resources.limits.memory", NOT_SET),
        (f"{AT_CONTAINER}.resources.limits.cpu", "2"),
    ],
    "runs_a_named_version": [
        (f"{AT_CONTAINER}.image", "registry.example.com:5000/image-gateway"),
        (f"{AT_CONTAINER}.image", "image-gateway:latest"),
    ],
    "refers_to_what_exists": [
        (f"{AT_POD}.serviceAccountName", "gateway"),
        ("StatefulSet.spec.serviceName", "gateway"),
        (f"{AT_POD}.volumes.1.configMap.name", "image-gateway-file"),
    ],
    "mounts_every_volume": [(f"{AT_CONTAINER}.volumeMounts.1", NOT_SET)],
    "replaces_pods_when_settings_change": [("ConfigMap.metadata.name", "image-gateway-file")],
    "selects_its_pods": [
        ("Service.spec.selector", {"app": "image-gateway"}),
        ("PodDisruptionBudget.spec.selector.matchLabels", {}),
        (f"{AT_POLICY}.podSelector", {"matchLabels": {"app": "gateway"}}),
        ("PodMonitor.spec.selector.matchLabels", {"app": "gateway"}),
        (f"{AT_POD}.topologySpreadConstraints.1.labelSelector.matchLabels", {"app": "gateway"}),
    ],
    "names_ports_that_exist": [
        ("Service.spec.ports.0.targetPort", "web"),
        (f"{AT_POLICY}.ingress.0.ports.0.port", "web"),
        ("PodMonitor.spec.podMetricsEndpoints.0.port", "web"),
        (f"{AT_CONTAINER}.readinessProbe.httpGet.port", "web"),
    ],
    "opens_the_ports_that_the_gateway_has": [
        (f"{AT_CONTAINER}.ports.0.containerPort", 80),
        (f"{AT_CONTAINER}.ports.1.containerPort", 9100),
    ],
    "is_in_one_namespace": [
        ("Service.metadata.namespace", "default"),
        ("Namespace.metadata.labels", {}),
    ],
    "has_time_to_end": [
        (f"{AT_POD}.terminationGracePeriodSeconds", NOT_SET),
        (f"{AT_POD}.terminationGracePeriodSeconds", 137),
        (f"{AT_CONTAINER}.env.0", {"name": "GATEWAY_DRAIN_S", "value": "300"}),
    ],
    "is_noticed_before_it_refuses": [
        (f"{AT_CONTAINER}.env.0", {"name": "GATEWAY_LAME_DUCK_S", "value": "0"}),
    ],
    "knows_how_many_share_the_limits": [("StatefulSet.spec.replicas", 5)],
    "has_memory_for_what_it_may_hold": [
        (f"{AT_CONTAINER}.resources.limits.memory", "2Gi"),
        (f"{AT_CONTAINER}.env.0", {"name": "GATEWAY_BODY_BYTES", "value": str(2**30)}),
    ],
    "has_a_volume_for_what_it_may_hold": [
        ("StatefulSet.spec.volumeClaimTemplates.0.spec.resources.requests.storage", "1Gi"),
        (f"{AT_CONTAINER}.env.0", {"name": "GATEWAY_UPLOAD_BYTES", "value": str(2**32)}),
    ],
    "loses_one_pod_at_a_time": [
        ("StatefulSet.spec.replicas", 1),
        ("StatefulSet.spec.minReadySeconds", NOT_SET),
        ("StatefulSet.spec.updateStrategy", {"rollingUpdate": {"maxUnavailable": 2}}),
        ("PodDisruptionBudget.spec.maxUnavailable", 2),
        (f"{AT_POD}.topologySpreadConstraints.0", NOT_SET),
    ],
    "bounds_both_directions": [
        ("NetworkPolicy.kind", "Policy"),
        (f"{AT_POLICY}.policyTypes", ["Ingress"]),
        (f"{AT_POLICY}.ingress.0.from", []),
        (f"{AT_POLICY}.egress.2.ports", NOT_SET),
    ],
    "reaches_what_it_needs": [(f"{AT_POLICY}.egress.1", NOT_SET)],
    "shows_metrics_to_prometheus_alone": [
        (f"{AT_CONTAINER}.envFrom", []),
        (f"{AT_POLICY}.ingress.0.ports", [{"port": "http"}, {"port": "metrics"}]),
    ],
    "keeps_out_of_private_networks": [
        (f"{AT_POLICY}.egress.2.to.0.ipBlock.except.2", NOT_SET),
        (f"{AT_POLICY}.egress.2.to.1.ipBlock.except", NOT_SET),
    ],
}


def changed(manifests: Manifests, path: str, value: object) -> Manifests:
    """Return a copy with one field changed, or removed if *value* is `NOT_SET`."""
    copied = Manifests(copy.deepcopy(manifests.objects))
    kind, *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = copied.of_kind(str(kind))[0]
    for step in steps:
        place = place[step]
    if value is NOT_SET:
        del place[last]
    else:
        place[last] = value
    return copied


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        pytest.param(rule, path, value, id=f"{rule}-{number}")
        for rule, changes in BREAKS.items()
        for number, (path, value) in enumerate(changes, 1)
    ],
)
def test_the_rule_finds_the_change(rule: str, path: str, value: object, example: Manifests) -> None:
    check: Callable[[Manifests], Any] = RULES.checks[rule]

    assert list(check(changed(example, path, value)))


def test_every_rule_has_a_change() -> None:
    assert BREAKS.keys() == RULES.checks.keys()
