"""Rules of a pod: its account, what it may do, its probes, resources and secrets."""

from collections.abc import Iterator
from itertools import chain

from service.settings.variables import Settings
from tests.kubernetes.manifests import Manifests, Object
from tests.kubernetes.rules.rule import RULES

_ACCOUNT = 10001
"""The account of the image (`Dockerfile`)."""


@RULES.add
def runs_without_privileges(manifests: Manifests) -> Iterator[str]:
    pod, container = manifests.pod["securityContext"], manifests.container["securityContext"]
    if pod.get("runAsNonRoot") is not True or {pod.get("runAsUser"), pod.get("runAsGroup")} != {_ACCOUNT}:
        yield f"the pod runs under another account than {_ACCOUNT}"
    if pod.get("fsGroup") != _ACCOUNT:
        yield "volumes and secrets belong to another group"
    if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccomp is not the runtime's default"
    if container.get("allowPrivilegeEscalation") is not False or container.get("privileged"):
        yield "the container may gain privileges"
    if container.get("capabilities") != {"drop": ["ALL"]}:
        yield "the container keeps capabilities"
    if {"runAsUser", "runAsNonRoot", "seccompProfile"} & container.keys():
        yield "the container overrides the account of its pod"


@RULES.add
def shares_nothing_with_its_node(manifests: Manifests) -> Iterator[str]:
    pod = manifests.pod
    yield from (f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    yield from (f"{each['name']} is a directory of the node" for each in pod["volumes"] if "hostPath" in each)
    yield from ("a port of the node is taken" for port in manifests.container["ports"] if "hostPort" in port)


@RULES.add
def writes_only_to_bounded_volumes(manifests: Manifests) -> Iterator[str]:
    if manifests.container["securityContext"].get("readOnlyRootFilesystem") is not True:
        yield "the root file system is writable"
    for each in manifests.pod["volumes"]:
        if "emptyDir" in each and "sizeLimit" not in each["emptyDir"]:
            yield f"{each['name']} has no bound"
    places = {each["mountPath"] for each in manifests.container["volumeMounts"] if not each.get("readOnly")}
    if places != {"/data", "/tmp"}:  # noqa: S108 - a volume of the pod
        yield f"it writes to {sorted(places)}"


@RULES.add
def keeps_its_books_on_a_volume_that_outlives_it(manifests: Manifests) -> Iterator[str]:
    claims = {each["metadata"]["name"] for each in manifests.gateways.get("volumeClaimTemplates", [])}
    [books] = [each["name"] for each in manifests.container["volumeMounts"] if each["mountPath"] == "/data"]
    if books not in claims:
        yield "the data directory ends with the pod"
    if set(manifests.gateways.get("persistentVolumeClaimRetentionPolicy", {}).values()) - {"Retain"}:
        yield "the volume ends with the pod's name"


@RULES.add
def has_no_token_of_the_cluster(manifests: Manifests) -> Iterator[str]:
    for name, each in (("pod", manifests.pod), ("account", manifests.the("ServiceAccount"))):
        if each.get("automountServiceAccountToken") is not False:
            yield f"the {name} mounts a token"
    if manifests.pod.get("serviceAccountName", "default") == "default":
        yield "the pod has the default account"


@RULES.add
def takes_no_variables_from_services(manifests: Manifests) -> Iterator[str]:
    if manifests.pod.get("enableServiceLinks") is not False:
        yield "a Service named `gateway` would set GATEWAY_PORT"


@RULES.add
def reads_secrets_from_files(manifests: Manifests) -> Iterator[str]:
    secrets = {
        name.upper() if name.startswith("openai_") else f"GATEWAY_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    yield from (f"{name} is in the manifests" for name in sorted(secrets & manifests.settings.keys()))
    yield from (f"{name} is not a value" for name in _referred(manifests.container))
    mounts = {each["name"]: each["mountPath"] for each in manifests.container["volumeMounts"]}
    places = tuple(f"{mounts[each['name']]}/" for each in manifests.pod["volumes"] if "secret" in each)
    for name, value in manifests.settings.items():
        if name.endswith("_FILE") and not value.startswith(places):
            yield f"{name} is no file of a secret"


def _referred(container: Object) -> Iterator[str]:
    yield from (each["name"] for each in container["env"] if "valueFrom" in each)
    yield from (str(each) for each in container["envFrom"] if "secretRef" in each)


@RULES.add
def holds_no_secret(manifests: Manifests) -> Iterator[str]:
    yield from (f"Secret {each['metadata']['name']}" for each in manifests.of_kind("Secret"))


@RULES.add
def is_probed(manifests: Manifests) -> Iterator[str]:
    probes = {name: manifests.container.get(f"{name}Probe") for name in ("startup", "liveness", "readiness")}
    yield from (f"no {name} probe" for name, probe in probes.items() if probe is None)
    paths = {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    given = {name: probe for name, probe in probes.items() if probe is not None}
    for name, probe in given.items():
        if probe["httpGet"]["path"] != paths[name]:
            yield f"the {name} probe calls {probe['httpGet']['path']}"
    patience_s = {name: probe["periodSeconds"] * probe["failureThreshold"] for name, probe in given.items()}
    if patience_s.get("liveness", 60) < 60:
        yield "a busy process is taken for a dead one"
    if patience_s.get("liveness", 60) <= patience_s.get("readiness", 0):
        yield "a pod restarts before it loses its orders"


@RULES.add
def has_resources(manifests: Manifests) -> Iterator[str]:
    resources = manifests.container.get("resources", {})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name not in requests:
            yield f"it requests no {name}"
    for name in ("memory", "ephemeral-storage"):
        if name not in limits:
            yield f"{name} has no limit"
    if "cpu" in limits:
        yield "a limit of CPU stops the event loop"


@RULES.add
def runs_a_named_version(manifests: Manifests) -> Iterator[str]:
    for container in chain(manifests.pod["containers"], manifests.pod.get("initContainers", [])):
        image = container["image"].rpartition("/")[2]
        if "@sha256:" not in image and image.partition(":")[2] in ("", "latest"):
            yield f"{container['image']} is any version"
