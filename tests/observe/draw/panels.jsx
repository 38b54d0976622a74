// Show frames in the visualizations that the dashboards use, with the components of Grafana's panel plugins.
import { FieldType, getDisplayProcessor, getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

function Lines({ panel, frames, width, height, range }) {
  return <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone="utc" legend={{ ...LEGEND, ...panel.options?.legend }} options={panel.options} />;
}

/** Reduce frames to one value a field (or a row) and repeat *render* for each. */
function Values({ panel, frames, width, height, range, theme, render, sparkline, spacing, autoGrid }) {
  const { reduceOptions, orientation, sizing, minVizHeight, maxVizHeight } = panel.options ?? {};
  const getValues = () => getFieldDisplayValues({
    // Only what is shown for no data is left to take from it: the frames have the rest.
    fieldConfig: panel.fieldConfig,
    reduceOptions: { calcs: ['lastNotNull'], ...reduceOptions },
    replaceVariables: (text) => text,
    theme, data: frames, sparkline, timeZone: 'utc',
  }).map((each) => ({ ...each, sparkline: each.sparkline && { ...each.sparkline, timeRange: range } }));
  return (
    <VizRepeater getValues={getValues} getAlignmentFactors={getDisplayValueAlignmentFactors} renderValue={render}
      width={width} height={height} source={frames} renderCounter={1} itemSpacing={spacing} autoGrid={autoGrid}
      minVizHeight={sizing === 'manual' ? minVizHeight : 16} minVizWidth={8} maxVizHeight={sizing === 'manual' ? maxVizHeight : 300} orientation={orientation || VizOrientation.Auto} />
  );
}

function Stat(props) {
  const { colorMode = 'value', graphMode = 'area', justifyMode = 'auto', textMode = 'auto', text } = props.panel.options ?? {};
  const render = ({ value, alignmentFactors, width, height, count }) => (
    <BigValue value={value.display} count={count} sparkline={value.sparkline} colorMode={colorMode} graphMode={graphMode} justifyMode={justifyMode}
      textMode={textMode} text={text} alignmentFactors={alignmentFactors} width={width} height={height} theme={props.theme} />
  );
  return <Values {...props} render={render} sparkline={graphMode !== 'none'} autoGrid />;
}

function Bars(props) {
  const { displayMode = 'gradient', showUnfilled = true, valueMode = 'color', namePlacement = 'auto', text } = props.panel.options ?? {};
  const render = ({ value, alignmentFactors, orientation, width, height, count }) => (
    <BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex) ?? getDisplayProcessor({ field: { type: FieldType.number, config: value.field }, theme: props.theme })}
      width={width} height={height} orientation={orientation} theme={props.theme} itemSpacing={8} lcdCellWidth={12} text={text}
      displayMode={displayMode} showUnfilled={showUnfilled} valueDisplayMode={valueMode} namePlacement={namePlacement} alignmentFactors={count > 1 ? alignmentFactors : undefined} />
  );
  return <Values {...props} render={render} spacing={8} />;
}

function Rows({ panel, frames, width, height, range }) {
  const { showHeader = true, sortBy, cellHeight = 'sm', footer } = panel.options ?? {};
  if (!frames.length) {
    return panel.fieldConfig?.defaults?.noValue ?? 'No data';
  }
  return <TableNG data={frames[0]} width={width} height={height} noHeader={!showHeader} sortBy={sortBy} cellHeight={cellHeight} timeRange={range}
    enableVirtualization={false} fieldConfig={panel.fieldConfig} footerOptions={footer} />;
}

export const VISUALIZATIONS = { timeseries: Lines, stat: Stat, bargauge: Bars, table: Rows };
