// The mesh by region: a map with this node's links, a card a region, a table of links.
import { gapsOf, levelOf } from "./coverage.js";
import { age, clock, el, number, plural } from "./format.js";

const size = { width: 720, height: 400 };
const dotsAtMost = 24; // a region's hubs are few; its edges become a number beyond this

export function showMesh(place, status, members, coverage) {
  const regions = regionsOf(status, members, coverage);
  place.map.replaceChildren(map(regions, status));
  place.regions.replaceChildren(...regions.map(card));
  place.links.replaceChildren(...links(status));
}

// regionsOf joins what members and coverage say, this node's region first.
function regionsOf(status, members, coverage) {
  const byName = new Map();
  const region = (name) => {
    if (!byName.has(name)) byName.set(name, { name, members: [], coverage: null });
    return byName.get(name);
  };
  region(status.region);
  for (const m of members.members) region(m.region).members.push(m);
  for (const c of coverage.regions) region(c.region).coverage = c;
  const [own, ...others] = byName.values();
  return [own, ...others.sort((a, b) => a.name.localeCompare(b.name))];
}

const linkState = (peer) => (!peer.up ? "bad" : peer.behind > 0 ? "old" : "good");

function map(regions, status) {
  const middle = { x: size.width * (regions.length === 2 ? 0.3 : 0.5), y: size.height / 2 };
  const height = regions.length > 3 ? size.height : size.height / 2.5; // up to three stand in a row
  const svg = el("svg", { viewBox: `0 ${(size.height - height) / 2 + 8} ${size.width} ${height}`, role: "img", "aria-label": "regions and this node's links" });
  const peers = new Map(status.peers.map((p) => [p.region + "/" + p.node, p]));
  const others = regions.slice(1);
  const places = regions.map((region, i) => {
    if (i === 0) return { region, ...middle };
    const angle = (2 * Math.PI * (i - 1)) / others.length - (others.length > 2 ? Math.PI / 2 : 0); // one or two stand beside it
    return { region, x: middle.x + 0.38 * size.width * Math.cos(angle), y: middle.y + 0.33 * size.height * Math.sin(angle) };
  });
  const discs = el("g", {});
  const lines = el("g", {});
  const dots = el("g", {});
  for (const { region, x, y } of places) {
    const level = region.coverage ? levelOf(region.coverage) : "unknown";
    discs.append(el("circle", { cx: x, cy: y, r: 46, class: "region " + level }));
    dots.append(el("text", { x, y: y + 62, class: "label" }, region.name));
    const shown = region.members.filter((m) => m.state !== "left").sort((a, b) => b.role.localeCompare(a.role)).slice(0, dotsAtMost);
    shown.forEach((member, i) => {
      const ring = shown.length > 9 && i >= 8 ? 34 : shown.length === 1 ? 0 : 19;
      const count = ring === 34 ? shown.length - 8 : Math.min(shown.length, shown.length > 9 ? 8 : shown.length);
      const turn = (2 * Math.PI * (ring === 34 ? i - 8 : i)) / count;
      const at = { x: x + ring * Math.cos(turn), y: y + ring * Math.sin(turn) };
      const peer = peers.get(member.region + "/" + member.node);
      const state = member.state === "self" ? "self" : member.state === "alive" ? "good" : member.state === "suspect" ? "old" : "bad";
      if (peer) lines.append(el("line", { x1: 0, y1: 0, x2: at.x, y2: at.y, class: "link " + linkState(peer), "data-to": member.region + "/" + member.node }));
      dots.append(el("circle", { cx: at.x, cy: at.y, r: member.role === "hub" ? 6 : 4, class: `node ${member.role} ${state}` },
        el("title", {}, `${member.region}/${member.node}, ${member.role}, ${member.state}`)));
      if (member.state === "self") places.self = at;
    });
  }
  for (const line of lines.childNodes) {
    line.setAttribute("x1", (places.self ?? middle).x);
    line.setAttribute("y1", (places.self ?? middle).y);
  }
  svg.append(discs, lines, dots);
  return svg;
}

function card(region) {
  const c = region.coverage;
  const hubs = region.members.filter((m) => m.role === "hub");
  const alive = hubs.filter((m) => m.state === "alive" || m.state === "self");
  const gaps = c ? gapsOf(c) : ["nothing was heard of it yet"];
  return el("article", { class: "card " + (c ? levelOf(c) : "unknown"), "data-region": region.name },
    el("h3", {}, region.name),
    el("p", {}, c ? `${c.nodes_heard} of ${plural(c.nodes_expected, "node")} heard` : "unknown", `, ${alive.length} of ${plural(hubs.length, "hub")} alive`),
    el("p", {}, c && c.complete_until !== null ? `complete until ${clock(c.complete_until)} (${age(c.age_ms)})` : "complete until: unknown"),
    gaps.length ? el("ul", { class: "gaps" }, ...gaps.map((gap) => el("li", {}, gap))) : null,
  );
}

function links(status) {
  const head = el("thead", {}, el("tr", {}, ...["Peer", "Role", "Link", "Round trip", "Clock", "Behind"].map((t, i) => el("th", { scope: "col", class: i > 2 ? "num" : null }, t))));
  const rows = status.peers.map((p) => el("tr", { class: linkState(p) },
    el("th", { scope: "row" }, `${p.region}/${p.node}`), el("td", {}, p.role),
    el("td", {}, p.up ? "● up" : "▲ down", p.since ? ` since ${clock(p.since)}` : ""),
    el("td", { class: "num" }, p.up ? number(Math.round(p.rtt_ms * 10) / 10) + " ms" : "–"),
    el("td", { class: "num" }, p.up ? number(Math.round(p.clock_offset_ms * 10) / 10) + " ms" : "–"),
    el("td", { class: "num" }, p.behind ? plural(p.behind, "change") : "–")));
  return [head, el("tbody", {}, ...rows)];
}
