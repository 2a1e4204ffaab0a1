import * as vega from 'vega'
import { compile } from 'vega-lite'
import { everyone, us } from '../works/servers.js'

/** The ratios to bare ws as an SVG picture. */
export async function drawChart ({ comparisons }) {
  const values = comparisons.flatMap(({ title, ratios }) =>
    everyone.filter(({ name }) => ratios[name] !== undefined).map(({ title: server, name }) => ({ work: title, server, ratio: ratios[name] })))
  const { spec } = compile({
    title: { text: 'Server CPU and memory, relative to a hand-written ws server (shorter is better)', anchor: 'start', fontSize: 14, offset: 12 },
    background: 'white',
    padding: 12,
    width: 520,
    height: { step: 13 },
    data: { values },
    encoding: {
      y: { field: 'work', type: 'nominal', sort: null, title: null, axis: { labelLimit: 400, domain: false, ticks: false }, scale: { paddingInner: 0.25 } },
      yOffset: { field: 'server', type: 'nominal', sort: everyone.map(({ title }) => title) }
    },
    layer: [
      {
        mark: { type: 'bar', tooltip: null },
        encoding: {
          x: { field: 'ratio', type: 'quantitative', title: '× bare ws', axis: { tickCount: 8 } },
          color: {
            field: 'server',
            type: 'nominal',
            title: null,
            sort: everyone.map(({ title }) => title),
            legend: { orient: 'bottom', columns: 3, labelLimit: 240, symbolType: 'square' },
            scale: { domain: everyone.map(({ title }) => title), range: everyone.map(({ name }, i) => name === us.name ? '#d9480f' : greys[i]) }
          }
        }
      },
      {
        mark: { type: 'text', align: 'left', dx: 3, fontSize: 9, color: '#333' },
        encoding: { x: { field: 'ratio', type: 'quantitative' }, text: { field: 'ratio', type: 'quantitative', format: '.2f' } }
      },
      { mark: { type: 'rule', color: '#888', strokeDash: [3, 3] }, encoding: { x: { datum: 1 }, y: { value: 0 }, y2: { value: 'height' }, yOffset: { value: 0 } } }
    ],
    config: { font: 'system-ui, -apple-system, "Segoe UI", sans-serif', view: { stroke: null } }
  })
  const view = new vega.View(vega.parse(spec), { renderer: 'none' })
  try {
    return await view.toSVG()
  } finally {
    view.finalize()
  }
}

/** From dark to light, for all but us. */
const greys = ['#343a40', '#5c6f82', '#8796a5', '#a9b6c2', '#c9d2da']
