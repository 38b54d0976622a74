"""Write the dashboards of Grafana as JSON: `make dashboards`.

To change a panel, change its line in `boards/`, run `make dashboards` and commit both. To add a panel, add a line there;
to add a dashboard, add a module there and name it here. `panels.py` has the kinds of panels, `queries.py` writes
their PromQL. `tests/observe/test_dashboards.py` holds the files equal to the code, and the panels to the rules of
Grafana's dashboard-linter; `make observe` evaluates every query on a real Prometheus.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.board import Board
from deploy.grafana.boards.costs import COSTS
from deploy.grafana.boards.limits import LIMITS
from deploy.grafana.boards.overview import OVERVIEW
from deploy.grafana.boards.upstream import UPSTREAM

BOARDS = (OVERVIEW, COSTS, UPSTREAM, LIMITS)
TARGET = Path(__file__).parent / "dashboards"


def render(board: Board) -> str:
    """Return the JSON of a dashboard."""
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write a file for each dashboard, named by its uid."""
    for board in BOARDS:
        (TARGET / f"{board.uid}.json").write_text(render(board), "utf-8")


if __name__ == "__main__":
    main()
