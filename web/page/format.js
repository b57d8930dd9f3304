// Numbers, times and elements. Text from the mesh only ever becomes textContent: names are other people's.

// el makes an element: el("td", {class: "num"}, "12"). Attributes that are null are left out.
export function el(tag, attributes, ...children) {
  const svg = ["svg", "g", "line", "circle", "text", "title", "path"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en");
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  return Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(3) : Number.isInteger(value) ? whole.format(value) : plain.format(value);
}

export const short = (value) =>
  value === null || value === undefined ? "–" : Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(1) : compact.format(value);

// exact groups the digits of a decimal string, which no number could hold.
export function exact(text) {
  const [whole, fraction] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
  return fraction === undefined ? grouped : grouped + "." + fraction;
}

export function age(ms) {
  if (ms < 0) return "0 s";
  if (ms < 10_000) return (ms / 1000).toFixed(1) + " s";
  if (ms < 120_000) return Math.round(ms / 1000) + " s";
  if (ms < 7_200_000) return Math.round(ms / 60_000) + " min";
  if (ms < 172_800_000) return Math.round(ms / 3_600_000) + " h";
  return Math.round(ms / 86_400_000) + " days";
}

export const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });

export const plural = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;
