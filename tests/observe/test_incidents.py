"""Hold the incidents to the dashboards, the alerts and the page that names them; `make incidents` causes them."""

from tests.documents import read, rows_behind
from tests.observe.expressions import alerts, load_dashboard, panels_of
from tests.observe.incidents import INCIDENTS, Seen


def test_an_incident_names_a_panel_and_an_alert() -> None:
    for incident in INCIDENTS:
        titles = [panel["title"] for panel in panels_of(load_dashboard(incident.dashboard))]

        assert incident.panel in titles, incident.name
        assert incident.alert in {alert["alert"] for alert in alerts()}, incident.name


def test_the_page_of_dashboards_has_each_incident() -> None:
    rows = rows_behind("## What you see when", read("docs/dashboards.md"))
    told = {
        (words, dashboard, panel.strip("*"), alert.split("`")[1])
        for words, dashboard, panel, _, _, alert in rows
    }

    assert told == {
        (
            incident.words,
            _name_of(incident.dashboard),
            incident.panel,
            incident.alert,
        )
        for incident in INCIDENTS
    }


def test_an_incident_that_its_panel_told_before_fails() -> None:
    for incident in INCIDENTS:
        calm, broken = (1.0, 0.0) if incident.is_told(0.0) else (0.0, 1.0)

        assert Seen(incident, calm, broken, "pending").is_good, incident.name
        assert not Seen(incident, broken, broken, "pending").is_good, incident.name
        assert not Seen(incident, calm, calm, "pending").is_good, incident.name
        assert not Seen(incident, calm, broken, "").is_good, incident.name


def _name_of(dashboard: str) -> str:
    name = str(load_dashboard(dashboard)["title"]).removeprefix("Image Gateway: ")
    return name[0].upper() + name[1:]
