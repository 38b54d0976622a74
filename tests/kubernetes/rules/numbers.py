"""Rules of numbers: times, sizes and counts of the manifests follow from the settings of the gateway."""

from collections.abc import Iterator

from service.adapters.imaging.worker import MOST_MEMORY_BYTES
from service.adapters.journal.database import RESERVE_BYTES as JOURNAL_BYTES
from service.adapters.storage.spill import MOST_BYTES as SPILL_BYTES
from service.domain.disks import RESERVE_BYTES
from service.settings.environment import load_settings
from service.settings.variables import Settings
from tests.kubernetes.manifests import Manifests, to_bytes
from tests.kubernetes.rules.rule import RULES

SETTLING_S = 10
"""For what a gateway does after its drain: answers, settlements, the end of its children (ADR 0012)."""
NOTICE_S = 5
"""For the cluster and its front to learn that a pod ends; they watch the API, and poll nothing."""
IDLE_BYTES = 128 * 2**20
IMAGE_WORKERS = 3
"""Two for images of providers, one for those of callers (`adapters/imaging/images.py`)."""


def memory_needed(settings: Settings) -> int:
    """Return the most bytes of memory that a gateway and its children may hold."""
    # A body takes twice its size while it is read.
    return 2 * settings.body_bytes + settings.waiting_bytes + IMAGE_WORKERS * MOST_MEMORY_BYTES + IDLE_BYTES


def _settings(manifests: Manifests) -> Settings:
    """Return the settings that are numbers; the others need files."""
    numbers = {
        name: value
        for name, value in manifests.settings.items()
        if value.replace(".", "", 1).isdigit() and name != "GATEWAY_REPLICAS"
    }
    return load_settings(numbers)


@RULES.add
def has_time_to_end(manifests: Manifests) -> Iterator[str]:
    settings = _settings(manifests)
    needed_s = settings.lame_duck_s + settings.drain_s + SETTLING_S
    if manifests.pod.get("terminationGracePeriodSeconds") != needed_s:
        yield f"the grace period must be {needed_s:g} s"


@RULES.add
def is_noticed_before_it_refuses(manifests: Manifests) -> Iterator[str]:
    if _settings(manifests).lame_duck_s < NOTICE_S:
        yield f"GATEWAY_LAME_DUCK_S is below {NOTICE_S}"


@RULES.add
def knows_how_many_share_the_limits(manifests: Manifests) -> Iterator[str]:
    if str(manifests.gateways.get("replicas", 1)) != manifests.settings.get("GATEWAY_REPLICAS"):
        yield "GATEWAY_REPLICAS is not the number of pods"


@RULES.add
def has_memory_for_what_it_may_hold(manifests: Manifests) -> Iterator[str]:
    needed = memory_needed(_settings(manifests))
    limit = manifests.container.get("resources", {}).get("limits", {}).get("memory", "0Gi")
    if to_bytes(limit) < needed:
        yield f"the limit of memory is {limit}, and {needed / 2**30:.1f} GiB may be needed"


@RULES.add
def has_a_volume_for_what_it_may_hold(manifests: Manifests) -> Iterator[str]:
    needed = _settings(manifests).upload_bytes + RESERVE_BYTES + SPILL_BYTES + JOURNAL_BYTES
    for each in manifests.gateways.get("volumeClaimTemplates", []):
        size = each["spec"]["resources"]["requests"]["storage"]
        # A file system takes a part for itself.
        if to_bytes(size) * 0.9 < needed:
            yield f"the volume has {size}, and {needed / 2**30:.1f} GiB may be needed"


@RULES.add
def loses_one_pod_at_a_time(manifests: Manifests) -> Iterator[str]:
    replicas = manifests.gateways.get("replicas", 1)
    if replicas < 2:
        yield "a single pod is missing during each update"
    if manifests.the("PodDisruptionBudget")["spec"].get("maxUnavailable") != 1:
        yield "a drained node may take several pods, or none"
    if manifests.gateways.get("updateStrategy", {}).get("rollingUpdate", {}).get("maxUnavailable", 1) != 1:
        yield "an update takes several pods"
    if manifests.gateways.get("minReadySeconds", 0) < NOTICE_S:
        yield "an update takes the next pod before the front knows the last"
    keys = {each["topologyKey"] for each in manifests.pod.get("topologySpreadConstraints", [])}
    if not keys >= {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
        yield "a node or a zone may have all pods"
