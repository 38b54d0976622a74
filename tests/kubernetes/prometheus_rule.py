"""Write the rules of `deploy/prometheus` as an object of the Prometheus operator:

`python -m tests.kubernetes.prometheus_rule > deploy/kubernetes/monitoring/prometheus-rule.yaml`

The operator reads rules from objects, and kustomize cannot embed one file in another. Works on text, so comments are kept.
"""

import sys
from textwrap import indent

from tests.documents import read

PATH = "deploy/kubernetes/monitoring/prometheus-rule.yaml"
SOURCES = ("deploy/prometheus/rules.yml", "deploy/prometheus/alerts.yml")
_GROUPS = "groups:\n"
_HEAD = f"""\
# Generated: python -m tests.kubernetes.prometheus_rule > {PATH}
# From {" and ".join(SOURCES)}.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: image-gateway
  labels:
    app.kubernetes.io/name: image-gateway
spec:
  groups:
"""


def write_object() -> str:
    """Return the object; raises `ValueError` for a file that has anything but groups."""
    return _HEAD + "".join(indent(_groups(read(path)), "  ") for path in SOURCES)


def _groups(text: str) -> str:
    """Return the groups of a file, with their indentation."""
    before, separator, groups = text.partition(_GROUPS)
    if not separator or any(line and not line.startswith("#") for line in before.splitlines()):
        raise ValueError("a file of rules begins with comments and `groups:`")
    if any(line and not line.startswith((" ", "#")) for line in groups.splitlines()):
        raise ValueError("a file of rules has groups only")
    return groups


if __name__ == "__main__":
    sys.stdout.write(write_object())
