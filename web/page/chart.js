// One chart: series over a shared time axis, drawn by uPlot; quantiles get bands between them.
import { el, number, short } from "./format.js";

const colours = ["#2f7ed8", "#d9822b", "#2ca02c", "#c23b5e", "#7b5cc4", "#16958f", "#a0762b", "#8a8f98"];
const drawnAtMost = 40; // more lines tell nothing; the table below has all

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// align puts the matrices of range queries on one axis. Missing points are null: a gap is a gap.
export function align(series, start, end, step) {
  const times = [];
  for (let t = start; t <= end; t += step) times.push(t);
  const at = new Map(times.map((t, i) => [t, i]));
  const columns = series.map((s) => {
    const column = new Array(times.length).fill(null);
    for (const [t, text] of s.values) {
      const i = at.get(Math.round(t));
      if (i !== undefined && text !== "NaN") column[i] = Number(text);
    }
    return column;
  });
  return [times, ...columns];
}

export class Chart {
  constructor(place) {
    this.place = place;
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(place);
  }

  size() {
    return { width: Math.max(280, this.place.clientWidth), height: Math.max(220, Math.min(420, window.innerHeight * 0.45)) };
  }

  // show draws series [{name, values}]. band: the series are quantiles of one thing, from low to high.
  show(series, start, end, step, band) {
    const drawn = series.slice(0, drawnAtMost);
    const data = align(drawn, start, end, step);
    const key = JSON.stringify([drawn.map((s) => s.name), band, document.documentElement.dataset.theme]);
    this.place.setAttribute("aria-label", `chart of ${drawn.length} series, ${drawn.map((s) => s.name).slice(0, 5).join(", ")}`);
    if (this.plot && this.key === key) {
      this.plot.setData(data);
      return;
    }
    this.clear();
    this.key = key;
    this.plot = new uPlot(this.options(drawn, band), data, this.place);
  }

  options(drawn, band) {
    const axis = { stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
    return {
      ...this.size(),
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range: (_, low, high) => (low >= 0 ? [0, high > 0 ? high * 1.08 : 1] : [low - (high - low) * 0.08, high + (high - low) * 0.08]) } },
      axes: [{ ...axis, values: (_, splits, __, ___, gap) => splits.map((t) => timeLabel(t, gap)) }, { ...axis, size: 64, values: (_, splits) => splits.map((v) => short(v)) }],
      series: [{}, ...drawn.map((s, i) => ({ label: s.name, stroke: colourOf(i), width: 1.6, spanGaps: false, points: { size: 4 } }))],
      bands: band ? drawn.slice(1).map((_, i) => ({ series: [i + 2, i + 1], fill: colourOf(i + 1) + "26" })) : [],
    };
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.key = "";
    this.place.replaceChildren();
  }
}

// timeLabel writes a tick of the time axis by the distance of ticks, in the reader's own zone.
function timeLabel(seconds, gap) {
  const at = new Date(seconds * 1000);
  if (gap >= 86400) return at.toLocaleDateString([], { month: "short", day: "numeric" });
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: gap < 60 ? "2-digit" : undefined, hour12: false });
  return at.getHours() === 0 && at.getMinutes() === 0 ? at.toLocaleDateString([], { month: "short", day: "numeric" }) : time;
}

export const colourOf = (i) => colours[i % colours.length];

// legend lists every series with its last, least and greatest value.
export function legend(table, series) {
  const head = el("thead", {}, el("tr", {}, ...["", "Series", "Last", "Least", "Greatest"].map((t, i) => el("th", { scope: "col", class: i > 1 ? "num" : null }, t))));
  const rows = series.map((s, i) => {
    const values = s.values.map(([, text]) => Number(text)).filter((v) => !Number.isNaN(v));
    const swatch = el("td", {}, i < drawnAtMost ? dot(colourOf(i)) : "");
    return el("tr", {}, swatch, el("th", { scope: "row" }, s.name),
      ...[values.at(-1), least(values), greatest(values)].map((v) => el("td", { class: "num" }, number(v))));
  });
  table.replaceChildren(head, el("tbody", {}, ...rows));
}

const least = (values) => (values.length ? values.reduce((a, b) => Math.min(a, b)) : undefined);
const greatest = (values) => (values.length ? values.reduce((a, b) => Math.max(a, b)) : undefined);

function dot(colour) {
  return el("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, el("circle", { cx: 5, cy: 5, r: 4, fill: colour }));
}
