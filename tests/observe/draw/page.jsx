// Draw one dashboard: its title, and each panel in Grafana's grid with the data that came with the page.
//
// The page is complete once <html> has data-drawn, the number of panels, or data-failed, the reason why one could not be
// drawn. `shoot.cjs` waits for either.
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { createTheme, dateTime, getDefaultTimeRange, renderMarkdown, standardTransformers, standardTransformersRegistry, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer } from '@grafana/ui';
import { toFrames } from './frames.jsx';
import { VISUALIZATIONS } from './panels.jsx';

const COLUMNS = 24, ROW_PX = 30, GAP_PX = 8, EDGE_PX = 16, HEAD_PX = 48, UNITS_PX = ROW_PX + GAP_PX;
const theme = createTheme({ colors: { mode: 'dark' } });

standardTransformersRegistry.setInit(() =>
  Object.values(standardTransformers).map((each) => ({ id: each.id, name: each.name, transformation: async () => each })),
);

/** Return the panels that a reader sees, those of open rows included. */
function visible(dashboard) {
  return dashboard.panels.flatMap((panel) => (panel.type === 'row' && !panel.collapsed ? [panel, ...(panel.panels ?? [])] : [panel]));
}

/** Give the first threshold of each panel its value: JSON has no infinity. */
function completeThresholds(panels) {
  for (const step of panels.flatMap((panel) => panel.fieldConfig?.defaults?.thresholds?.steps ?? [])) {
    step.value ??= -Infinity;
  }
}

function place({ x, y, w, h }, width) {
  const column = (width - 2 * EDGE_PX + GAP_PX) / COLUMNS;
  return { left: EDGE_PX + x * column, top: HEAD_PX + y * UNITS_PX, width: w * column - GAP_PX, height: h * UNITS_PX - GAP_PX };
}

function Page({ children }) {
  return <ThemeContext.Provider value={theme}><GlobalStyles />{children}</ThemeContext.Provider>;
}

function Row({ panel, box }) {
  return <div style={{ position: 'absolute', ...box, fontSize: 16, fontWeight: 500, lineHeight: '30px' }}>⌄ {panel.title}</div>;
}

function Text({ panel }) {
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;
}

function Panel({ panel, frames, box, range }) {
  const Visualization = VISUALIZATIONS[panel.type];
  return (
    <div style={{ position: 'absolute', left: box.left, top: box.top }}>
      <PanelChrome width={box.width} height={box.height} title={panel.title ?? ''} description={panel.description}
        displayMode={panel.transparent ? 'transparent' : 'default'} padding={panel.type === 'table' ? 'none' : 'md'}>
        {(width, height) =>
          panel.type === 'text' ? <Text panel={panel} />
          : frames.length || panel.type !== 'timeseries' ? <Visualization panel={panel} frames={frames} width={width} height={height} range={range} theme={theme} />
          : <div style={{ height, display: 'grid', placeItems: 'center', color: theme.colors.text.secondary }}>No data</div>}
      </PanelChrome>
    </div>
  );
}

async function draw() {
  const { dashboard, answers, fromMs, toMs, width } = await (await fetch('/dashboard.json')).json();
  const range = { from: dateTime(fromMs), to: dateTime(toMs), raw: getDefaultTimeRange().raw };
  const panels = visible(dashboard);
  completeThresholds(panels);
  const unknown = panels.filter((panel) => !['row', 'text'].includes(panel.type) && !VISUALIZATIONS[panel.type]);
  if (unknown.length) {
    throw new Error(`cannot draw ${unknown.map((panel) => `${panel.type} (${panel.title})`).join(', ')}`);
  }
  const drawn = await Promise.all(panels.map(async (panel) => ({
    panel, box: place(panel.gridPos, width), frames: await toFrames(panel, answers[panel.id] ?? [], theme),
  })));
  const root = createRoot(document.getElementById('root'));
  // The panels measure texts, so the fonts come first; their rules are Grafana's global styles.
  flushSync(() => root.render(<Page />));
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  const height = Math.max(...drawn.map(({ box }) => box.top + box.height)) + EDGE_PX;
  document.body.style.cssText = `margin: 0; position: relative; overflow: hidden; height: ${height}px`;
  root.render(
    <Page>
      <h1 style={{ position: 'absolute', left: EDGE_PX, top: 8, fontSize: 18, fontWeight: 500 }}>{dashboard.title}</h1>
      {drawn.map((each, index) => each.panel.type === 'row'
        ? <Row key={index} {...each} /> : <Panel key={index} {...each} range={range} />)}
      <PortalContainer />
    </Page>,
  );
  const graphs = drawn.filter(({ panel, frames }) => panel.type === 'timeseries' && frames.length).length;
  do {
    await new Promise(requestAnimationFrame);
  } while (document.querySelectorAll('.u-wrap canvas').length < graphs);
  document.documentElement.dataset.drawn = drawn.length;
}

window.addEventListener('error', (event) => fail(event.error?.stack ?? event.message));
function fail(reason) {
  document.documentElement.dataset.failed = reason;
  document.body.insertAdjacentText('beforeend', reason);
}
draw().catch((error) => fail(error.stack));
