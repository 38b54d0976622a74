"""Compare `docs/traces.md` with the spans that the gateway records."""

import re

from service.domain.images import Source
from service.domain.progress import OrderRecord
from tests.documents import read, rows_behind


def test_the_page_lists_every_attribute_and_no_other() -> None:
    source = read("service/adapters/telemetry/spans.py")
    named = set(re.findall(r'"((?:db|error|gen_ai|http|imagegw)\.[a-z_.]+)"', source))
    named |= {f"imagegw.images.{each.value}" for each in Source}
    named |= {f"imagegw.stage.{each}_s" for each in OrderRecord().stages_s}

    rows = rows_behind("## Attributes", read("docs/traces.md"))

    assert sorted(name for row in rows for name in re.findall(r"`([\w.]+)`", row[0])) == sorted(named)
