// Which PromQL shows a metric of each kind best, and with which step.

// stepFor gives some 240 points a chart, on the widths that windows have.
export function stepFor(seconds) {
  for (const step of [10, 30, 60, 300, 900, 3600, 21600]) if (seconds / step <= 240) return step;
  return 86400;
}

// spell writes a metric's name so that PromQL can read it: names may have dots.
export const spell = (name) => (/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name) ? name : `{${JSON.stringify(name)}}`);

function over(name, window) {
  return spell(name) + `[${window}]`;
}

export const quantiles = [0.5, 0.9, 0.99];

// questionsFor returns [{query, label}] for a metric. Several queries are a band: quantiles from low to high.
export function questionsFor(name, kind, seconds, by) {
  const window = Math.max(60, stepFor(seconds)) + "s";
  const grouped = (inner) => (by ? `sum by (${by}) (${inner})` : `sum(${inner})`);
  switch (kind) {
    case "counter":
    case "observed":
      return [{ query: grouped(`rate(${over(name, window)})`), label: "a second" }];
    case "distribution":
    case "histogram":
      return quantiles.map((q) => ({ query: `histogram_quantile(${q}, ${grouped(`rate(${over(name, window)})`)})`, label: `p${q * 100}` }));
    case "gauge":
      return [{ query: by ? `avg by (${by}) (${spell(name)})` : `avg(${spell(name)})`, label: "average" }];
    default:
      return [{ query: by ? `max by (${by}) (${spell(name)})` : spell(name), label: "" }];
  }
}
