"""Make the panels of dashboards: a graph over time, a number for now, bars to compare.

Each takes a title, its description (the meaning, then the remedy) and its queries by legend; a query without a legend
is one value. *warn* and *bad* are the values from which it is yellow and red; if *bad* is below *warn*, small values
are bad. *width* is in columns: a dashboard has 24.
"""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

PERCENT, SECONDS, DOLLARS, BYTES = "percentunit", "s", "currencyUSD", "bytes"
PER_S, BYTES_PER_S, COUNT = "ops", "Bps", "short"
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_GREEN, _YELLOW, _RED, _BLUE = "green", "yellow", "red", "blue"
_NO_DATA = "no data"
_HEIGHT, _LOW = 8, 4
_BAR_PX = 32
LIMIT = "limit"

Queries = str | Mapping[str, str]
Builder = timeseries.Panel | stat.Panel | bargauge.Panel


def graph(
    title: str,
    description: str,
    queries: Queries,
    *,
    unit: str,
    warn: float | None = None,
    bad: float | None = None,
    width: int = 12,
    stacked: bool = False,
    most: float | None = None,
) -> Builder:
    """Draw values over time, in lines or *stacked* areas; the axis goes to *most* or as far as the values do.

    A query whose legend is or ends with `limit` is a dashed line.
    """
    panel = timeseries.Panel().min(0).fill_opacity(30 if stacked else 8).line_width(1)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
    )
    panel.tooltip(
        common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
    )
    panel.show_points(options.VisibilityMode.NEVER).span_nulls(60_000)
    if isinstance(queries, Mapping) and any(legend.endswith(LIMIT) for legend in queries):
        panel.override_by_regexp(f"/(^| ){LIMIT}$/", _DASHED)
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if most is not None:
        panel.max(most)
    if warn is not None or bad is not None:
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
        )
    _name(panel, title, description, unit=unit, size=(width, _HEIGHT))
    _ask(panel, queries, of_now=False)
    _judge(panel, warn, bad, by_colour=False)
    return panel


def number(
    title: str,
    description: str,
    query: str,
    *,
    unit: str,
    warn: float | None = None,
    bad: float | None = None,
    width: int = 4,
    words: Mapping[str, str] | None = None,
    leads_to: str = "",
) -> Builder:
    """Show the value of now, and link to the dashboard that tells more.

    *words* replace values. Without a value the panel says `no data`, in a colour that is neither good nor bad.
    """
    panel = (
        stat.Panel()
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.VALUE)
        .reduce_options(_LAST)
        .no_value(_NO_DATA)
    )
    results = {
        value: ValueMappingResult(text=text, index=index)
        for index, (value, text) in enumerate((words or {}).items())
    }
    unknown = DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL_AND_NAN,
        result=ValueMappingResult(text=_NO_DATA, color=_BLUE, index=len(results)),
    )
    panel.mappings([*([ValueMap(options=results)] if results else []), SpecialValueMap(options=unknown)])
    if leads_to:
        panel.links(
            [dashboard.DashboardLink("Why?").url(f"/d/{leads_to}?${{__url_time_range}}&${{job:queryparam}}")]
        )
    _name(panel, title, description, unit=unit, size=(width, _LOW))
    _ask(panel, query, of_now=True)
    _judge(panel, warn, bad, by_colour=True)
    return panel


def bars(
    title: str,
    description: str,
    queries: Queries,
    *,
    unit: str,
    warn: float | None = None,
    bad: float | None = None,
    width: int = 12,
    most: float | None = None,
    none: str = "none",
) -> Builder:
    """Compare the values of now: a bar each, beside its legend; the longest stands for *most*, or for the largest value.

    *none* says what it means that there is no bar; the panel adds that there may be no data.
    """
    panel = (
        bargauge.Panel()
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        # Else a single bar is as high as the panel.
        .sizing(options.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(_BAR_PX)
        .name_placement(options.BarGaugeNamePlacement.LEFT)
        .reduce_options(_LAST)
        .min(0)
        .no_value(f"{none}, or no data")
    )
    if most is not None:
        panel.max(most)
    if unit == COUNT:
        # Prometheus estimates increases, so they are not whole.
        panel.decimals(0)
    _name(panel, title, description, unit=unit, size=(width, _HEIGHT))
    _ask(panel, queries, of_now=True)
    _judge(panel, warn, bad, by_colour=True)
    return panel


_DASHED = [
    DynamicConfigValue("custom.fillOpacity", 0),
    DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
]
_LAST = common.ReduceDataOptions().calcs(["lastNotNull"])


def _name(panel: Builder, title: str, description: str, *, unit: str, size: tuple[int, int]) -> None:
    width, height = size
    panel.title(title).description(description).datasource(DATASOURCE).unit(unit).span(width).height(height)


def _ask(panel: Builder, queries: Queries, *, of_now: bool) -> None:
    """Add the queries; those of histograms over time also bring exemplars, which lead to traces."""
    for number, (legend, query) in enumerate(
        ({"": queries} if isinstance(queries, str) else queries).items()
    ):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
        panel.with_target(target.instant() if of_now else target.range().exemplar("_bucket" in query))


def _judge(panel: Builder, warn: float | None, bad: float | None, *, by_colour: bool) -> None:
    """Set the thresholds; they colour the values of now, and are lines in a graph."""
    is_judged = warn is not None or bad is not None
    panel.thresholds(_thresholds(warn, bad))
    colours = FieldColorModeId.THRESHOLDS if is_judged and by_colour else FieldColorModeId.PALETTE_CLASSIC
    panel.color_scheme(dashboard.FieldColor().mode(colours))


def _thresholds(warn: float | None, bad: float | None) -> dashboard.ThresholdsConfig:
    if warn is not None and bad is not None and bad < warn:
        steps = [(None, _RED), (bad, _YELLOW), (warn, _GREEN)]
    else:
        steps = [(None, _GREEN), (warn, _YELLOW), (bad, _RED)]
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps(
            [
                Threshold(color=color, value=value)
                for number, (value, color) in enumerate(steps)
                if number == 0 or value is not None
            ]
        )
    )
