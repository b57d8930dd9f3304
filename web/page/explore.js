// The explorer: a metric's total now, exactly, and its curve; or any PromQL.
import { ask, prom } from "./api.js";
import { Chart, legend } from "./chart.js";
import { gapsOf } from "./coverage.js";
import { el, exact, number, plural } from "./format.js";
import { questionsFor, stepFor } from "./questions.js";
import { Search } from "./search.js";

const refreshMs = 5000;

export class Explorer {
  // remember is called with what should be in the page's address.
  constructor(place, remember) {
    this.place = place;
    this.remember = remember;
    this.chart = new Chart(place.chart);
    this.search = new Search(place.metric, place.found, (name) => this.pick(name));
    this.running = null;
    place.ask.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    for (const control of [place.range, place.by]) {
      control.addEventListener("change", () => (this.kind ? this.pick(place.metric.value) : this.start()));
    }
    setInterval(() => this.visible && place.live.checked && !document.hidden && this.running === null && this.queries && this.run(), refreshMs);
  }

  get seconds() {
    return Number(this.place.range.value);
  }

  // restore takes what remember was given.
  restore({ metric, promql, range, by }) {
    if (range) this.place.range.value = range;
    if (by !== undefined) this.place.by.value = by;
    if (metric && metric !== this.metric) {
      this.place.metric.value = metric;
      this.pick(metric);
    } else if (promql && promql !== this.place.promql.value) {
      this.place.promql.value = promql;
      this.start();
    } else if (!this.queries) {
      this.place.empty.textContent = "Search a metric, or write PromQL.";
    }
  }

  // pick shows a metric by what suits its kind.
  async pick(name) {
    this.metric = name;
    this.place.trouble("");
    try {
      const total = await ask("/v1/total", { metric: name });
      if (this.metric !== name) return;
      this.kind = total.results[0]?.kind ?? "counter";
      this.queries = questionsFor(name, this.kind, this.seconds, this.place.by.value);
      this.place.promql.value = this.queries.map((q) => q.query)[this.queries.length > 1 ? 1 : 0];
      this.begin({ metric: name });
    } catch (error) {
      this.place.trouble(error.message);
    }
  }

  // start takes what stands in the PromQL box.
  start() {
    const query = this.place.promql.value.trim();
    if (!query) return;
    if (this.kind && this.queries?.some((q) => q.query === query)) {
      this.begin({ metric: this.metric });
      return;
    }
    this.metric = this.kind = null;
    this.queries = [{ query, label: "" }];
    this.begin({ promql: query });
  }

  begin(what) {
    this.remember({ ...what, range: this.place.range.value, by: this.place.by.value });
    this.run();
  }

  async run() {
    this.running?.abort();
    const own = (this.running = new AbortController());
    try {
      await this.show(own.signal);
      if (this.running === own) this.place.trouble("");
    } catch (error) {
      if (!own.signal.aborted) this.place.trouble(error.message);
    } finally {
      if (this.running === own) this.running = null;
    }
  }

  async show(signal) {
    const step = stepFor(this.seconds);
    const end = Math.floor(Date.now() / 1000 / step) * step;
    const start = end - Math.floor(this.seconds / step) * step;
    const queries = this.queries;
    const metric = this.metric;
    const [now, ...answers] = await Promise.all([
      metric ? ask("/v1/total", totalParams(metric, this.kind, this.place.by.value), signal) : null,
      ...queries.map((q) => prom("query_range", { query: q.query, start, end, step }, signal)),
    ]);
    if (signal.aborted) return;
    const series = answers.flatMap((answer, i) => answer.data.result.map((one) => ({ name: nameOf(one.metric, queries[i].label), values: one.values ?? [] })));
    this.place.answer.hidden = false;
    this.place.empty.textContent = series.length || now?.results.length ? "" : "Nothing was counted in this range that answers the question.";
    this.place.what.textContent = metric ? `${metric} (${this.kind})` : queries[0].query;
    this.place.now.replaceChildren(...(now ? nowLines(now) : []));
    const notes = new Set(answers.flatMap((answer) => [...answer.warnings, ...answer.infos]));
    if (now) for (const region of now.coverage.regions) for (const gap of gapsOf(region)) notes.add(`${region.region}: ${gap}`);
    this.place.notices.replaceChildren(...[...notes].map((note) => el("li", {}, note)));
    this.chart.show(series, start, end, step, queries.length > 1 && series.length === queries.length);
    legend(this.place.legend, series);
  }
}

function totalParams(metric, kind, by) {
  const params = { metric };
  if (by) params.by = by;
  if (kind === "distribution" || kind === "histogram") params.quantile = "0.5,0.9,0.99";
  return params;
}

function nameOf(labels, label) {
  const { __name__: name = "", ...rest } = labels;
  const inner = Object.keys(rest).sort().map((key) => `${key}=${rest[key]}`).join(", ");
  return [label, name, inner].filter(Boolean).join(" ") || "all";
}

function nowLines(total) {
  if (!total.results.length) return ["nothing counted yet"];
  return total.results.slice(0, 20).map((one) => {
    const labels = nameOf(one.labels ?? {}, "");
    const value = one.value_exact ? exact(one.value_exact) : number(one.value);
    const parts = Object.entries(one.quantiles ?? {}).map(([q, v]) => `p${Number(q) * 100} ${number(v)}`);
    if (one.count !== undefined && parts.length) parts.unshift(plural(one.count, "sample"));
    return el("span", { class: "total" }, el("strong", {}, parts.length ? parts.join(", ") : value), labels === "all" ? " in all" : " " + labels);
  });
}
