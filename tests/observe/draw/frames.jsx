// Turn the answers of Prometheus into the data frames that Grafana's data source makes of them.
import { applyFieldOverrides, FieldConfigOptionsRegistry, FieldType, toDataFrame, transformDataFrame } from '@grafana/data';
import { firstValueFrom } from 'rxjs';

const STANDARD = ['unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'color', 'thresholds', 'mappings', 'links', 'filterable'];
/** What Grafana's time series panel takes for a field that says nothing else. */
const TIME_SERIES = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none', barAlignment: 0,
  stacking: { mode: 'none', group: 'A' }, showPoints: 'auto', pointSize: 5, spanNulls: false, axisPlacement: 'auto',
  axisColorMode: 'text', axisLabel: '', axisGridShow: true, scaleDistribution: { type: 'linear' },
  hideFrom: { tooltip: false, viz: false, legend: false }, thresholdsStyle: { mode: 'off' },
};

/** Return the frames of a panel, transformed and with its units, colours, thresholds and overrides. */
export async function toFrames(panel, answers, theme) {
  const raw = answers.flatMap((answer) => (answer.format === 'table' ? tableOf(answer, answers.length > 1) : seriesOf(answer)));
  const transformations = (panel.transformations ?? []).filter((each) => !each.disabled);
  const transformed = await firstValueFrom(transformDataFrame(transformations, raw, { interpolate: (text) => text }));
  const defaults = { color: { mode: panel.type === 'timeseries' ? 'palette-classic' : 'thresholds' }, ...panel.fieldConfig?.defaults };
  if (panel.type === 'timeseries') {
    defaults.custom = { ...TIME_SERIES, ...defaults.custom };
  }
  return applyFieldOverrides({
    data: transformed,
    fieldConfig: { defaults, overrides: panel.fieldConfig?.overrides ?? [] },
    fieldConfigRegistry: registryOf(panel, defaults),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}

function seriesOf({ refId, legendFormat, result }) {
  return result.map(({ metric, values, value }) => {
    const { __name__: _, ...labels } = metric;
    const points = values ?? [value];
    const displayNameFromDS = nameOf(legendFormat, metric);
    return toDataFrame({
      refId,
      name: displayNameFromDS,
      fields: [
        { name: 'Time', type: FieldType.time, values: points.map(([timeS]) => timeS * 1000) },
        { name: 'Value', type: FieldType.number, labels, config: { displayNameFromDS }, values: points.map(([, text]) => numberOf(text)) },
      ],
    });
  });
}

function tableOf({ refId, result }, isOneOfMany) {
  if (!result.length) {
    return [];
  }
  const labels = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].filter((label) => label !== '__name__').sort();
  return [toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map(({ value }) => value[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, config: { filterable: true }, values: result.map(({ metric }) => metric[label] ?? '') })),
      { name: isOneOfMany ? `Value #${refId}` : 'Value', type: FieldType.number, values: result.map(({ value }) => numberOf(value[1])) },
    ],
  })];
}

/** Return a gap for what is not finite, such as the quantile of nothing. */
function numberOf(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : null;
}

function nameOf(legendFormat, metric) {
  if (legendFormat && legendFormat !== '__auto') {
    return legendFormat.replace(/{{\s*(.+?)\s*}}/g, (_, label) => metric[label] ?? '');
  }
  const { __name__: name = '', ...labels } = metric;
  const pairs = Object.entries(labels);
  if (legendFormat === '__auto' && pairs.length === 1) {
    return pairs[0][1];
  }
  return pairs.length ? `${name}{${pairs.map(([label, value]) => `${label}="${value}"`).join(', ')}}` : name || 'Value';
}

/** Return the registry of the settings that this panel uses; in Grafana each panel plugin brings its own. */
function registryOf(panel, defaults) {
  const inOverrides = (panel.fieldConfig?.overrides ?? []).flatMap(({ properties }) => properties.map(({ id }) => id));
  const custom = new Set([...Object.keys(defaults.custom ?? {}), ...inOverrides.filter((id) => id.startsWith('custom.')).map((id) => id.slice(7))]);
  const item = (path, isCustom) => ({
    id: isCustom ? `custom.${path}` : path, path, isCustom, name: path,
    process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null,
  });
  return new FieldConfigOptionsRegistry(() => [...STANDARD.map((path) => item(path, false)), ...[...custom].map((path) => item(path, true))]);
}
