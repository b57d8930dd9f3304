// What every answer lacks: the pill that is always in sight, and the list behind it.
import { age, clock, el, plural } from "./format.js";

const staleMs = 10_000; // an answer older than this is worth a word; links flush every 0.1 to 30 s

// gapsOf returns the sentences about one region, the worst first; none if it is complete.
export function gapsOf(region) {
  const gaps = [];
  const unheard = region.nodes_expected - region.nodes_heard;
  if (region.complete_until === null) gaps.push("how complete it is, is not known");
  if (unheard > 0 || region.missing.length > 0) {
    const names = region.missing.concat(region.missing.length && unheard > region.missing.length ? "…" : []);
    gaps.push(`${plural(Math.max(unheard, region.missing.length), "node")} missing${names.length ? ": " + names.join(", ") : ""}`);
  }
  if (region.oldest_missing !== null) gaps.push("missing since " + clock(region.oldest_missing));
  if (region.complete_until !== null && region.age_ms > staleMs) gaps.push(`complete until ${clock(region.complete_until)}, ${age(region.age_ms)} ago`);
  if (region.clocks_off > 0) gaps.push(`${plural(region.clocks_off, "clock")} out of bounds`);
  if (region.lost > 0) gaps.push(`${plural(region.lost, "sample")} lost before being counted`);
  return gaps;
}

// levelOf is "good", "old" or "bad".
export function levelOf(region) {
  if (region.complete_until === null || region.nodes_heard < region.nodes_expected || region.missing.length > 0 || region.oldest_missing !== null) return "bad";
  return region.age_ms > staleMs || region.clocks_off > 0 ? "old" : "good";
}

const marks = { good: "●", old: "◐", bad: "▲", unknown: "?" };

// showCoverage fills the pill and the list behind it.
export function showCoverage(pill, list, coverage) {
  const levels = coverage.regions.map(levelOf);
  const worst = levels.includes("bad") ? "bad" : levels.includes("old") ? "old" : coverage.regions.length ? "good" : "unknown";
  const heard = coverage.regions.reduce((sum, r) => sum + r.nodes_heard, 0);
  const expected = coverage.regions.reduce((sum, r) => sum + r.nodes_expected, 0);
  const oldest = Math.max(0, ...coverage.regions.map((r) => r.age_ms));
  const text = worst === "unknown" ? "nothing known" : `${heard} of ${plural(expected, "node")}, ${coverage.regions.some((r) => r.complete_until === null) ? "age unknown" : age(oldest) + " old"}`;
  pill.className = "pill " + worst;
  pill.textContent = `${marks[worst]} ${text}`;
  list.replaceChildren(
    el("ul", {}, ...coverage.regions.map((region) => {
      const gaps = gapsOf(region);
      return el("li", { class: levelOf(region) }, el("strong", {}, region.region), " ",
        `${region.nodes_heard} of ${plural(region.nodes_expected, "node")}; `, gaps.length ? gaps.join("; ") : `complete, ${age(region.age_ms)} old`);
    })),
  );
}

// lose says that the node itself cannot be asked.
export function lose(pill) {
  pill.className = "pill bad";
  pill.textContent = "▲ this node does not answer";
}
