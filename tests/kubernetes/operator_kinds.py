"""Check objects of the Prometheus operator's kinds (JSON on standard input); runs in `.venv-deploy`.

Its models check types and required fields, and drop what they do not know: so an object must survive the way through them.
"""

import json
import sys

from cloudcoil.models.prometheus_operator import v1

KINDS = {"PodMonitor": v1.PodMonitor, "PrometheusRule": v1.PrometheusRule}


def main() -> None:
    """Exit with a message for the first object that the operator would not take, or not wholly."""
    for each in json.load(sys.stdin):
        kept = KINDS[each["kind"]].model_validate(each)
        found = kept.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if found != each:
            sys.exit(f"{each['kind']}: the operator knows only {json.dumps(found)}\nof {json.dumps(each)}")


main()
