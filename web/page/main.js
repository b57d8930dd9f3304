// The page: which view is shown, what is asked every two seconds, and the address that brings back what was seen.
import { ask } from "./api.js";
import { lose, showCoverage } from "./coverage.js";
import { Explorer } from "./explore.js";
import { showMesh } from "./mesh.js";

const pollMs = 2000;
const byId = (id) => document.getElementById(id);

const trouble = (text) => {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
};

const explorer = new Explorer(
  { ...Object.fromEntries(["metric", "found", "ask", "promql", "range", "by", "live", "answer", "what", "now", "notices", "chart", "legend", "empty"].map((id) => [id, byId(id)])), trouble },
  (state) => history.replaceState(null, "", "#/explore?" + new URLSearchParams(Object.entries(state).filter(([, v]) => v))),
);

function route() {
  const [, view = "mesh", query = ""] = location.hash.match(/^#\/(\w+)(?:\?(.*))?$/) ?? [];
  const shown = view === "explore" ? "explore" : "mesh";
  for (const name of ["mesh", "explore"]) {
    byId(name).hidden = name !== shown;
    const tab = document.querySelector(`[data-view=${name}]`);
    if (name === shown) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  explorer.visible = shown === "explore";
  if (explorer.visible) explorer.restore(Object.fromEntries(new URLSearchParams(query)));
}

let polling = false;
async function poll() {
  if (polling || document.hidden) return;
  polling = true;
  try {
    const [coverage, status, members] = await Promise.all([ask("/v1/coverage"), ask("/v1/status"), ask("/v1/members")]);
    showCoverage(byId("coverage"), byId("gaps"), coverage);
    byId("self").textContent = `${status.mesh} · ${status.region}/${status.node}, ${status.role}`;
    document.querySelector(".self-name").textContent = `${status.region}/${status.node}`;
    document.title = `meshd ${status.region}/${status.node}`;
    showMesh({ map: byId("map"), regions: byId("regions"), links: byId("links") }, status, members, coverage);
    if (trouble.poll) trouble("");
    trouble.poll = false;
  } catch (error) {
    lose(byId("coverage"));
    trouble(error.message);
    trouble.poll = true;
  } finally {
    polling = false;
  }
}

byId("coverage").addEventListener("click", () => {
  const open = byId("gaps").hidden;
  byId("gaps").hidden = !open;
  byId("coverage").setAttribute("aria-expanded", String(open));
});

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
}
byId("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = dark === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
  if (explorer.visible && explorer.queries) explorer.run();
});

theme(localStorage.getItem("theme"));
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", poll);
route();
poll();
setInterval(poll, pollMs);
