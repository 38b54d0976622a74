"""Make a dashboard of rows of panels, with the variables and links that all dashboards share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import DATASOURCE, Builder

_TAG = "image-gateway"


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard: panels in rows, by the title of the row.

    *uid* is part of its address and never changes. *variables* are more choices than those all dashboards have: the
    query of their values, by name.
    """

    uid: str
    title: str
    description: str
    rows: Mapping[str, Sequence[Builder]]
    variables: Mapping[str, str] = field(default_factory=dict)

    def build(self) -> Dashboard:
        """Return the dashboard as Grafana takes it; panels have the numbers of their order."""
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([_TAG])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-6h", "now")
            .timezone("browser")
            .refresh("30s")
            .link(_link_to_others())
            .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
            .with_variable(_choice("job", "label_values(imagegw_build_info, job)"))
            .with_variable(_choice("instance", 'label_values(imagegw_build_info{job=~"$job"}, instance)'))
        )
        for name, query in self.variables.items():
            board.with_variable(_choice(name, query))
        number = 0
        for title, panels in self.rows.items():
            number += 1
            board.with_row(dashboard.Row(title).id(number))
            for panel in panels:
                number += 1
                board.with_panel(panel.id(number))
        return board.build()


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    """Return a variable that selects all its values unless a reader picks some."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .query(query)
        .datasource(DATASOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(text="All", value="$__all"))
    )


def _link_to_others() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Image Gateway")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .keep_time(True)
        .include_vars(True)
    )
