"""Hold the operator's object to the files of rules that Prometheus itself reads."""

import yaml

from tests.documents import read
from tests.kubernetes.prometheus_rule import PATH, SOURCES, write_object


def test_the_object_is_generated_from_the_rules() -> None:
    assert read(PATH) == write_object(), f"python -m tests.kubernetes.prometheus_rule > {PATH}"


def test_the_object_has_every_group_of_both_files_and_no_other() -> None:
    groups = [group for path in SOURCES for group in yaml.safe_load(read(path))["groups"]]

    assert yaml.safe_load(read(PATH))["spec"]["groups"] == groups
    assert len(groups) > 1
