// The search for a metric: a combobox over the names that the node knows, by the ARIA practices' keyboard.
import { prom } from "./api.js";
import { el } from "./format.js";

const shownAtMost = 50;

export class Search {
  // chosen is called with a name.
  constructor(input, list, chosen) {
    Object.assign(this, { input, list, chosen, names: [], active: -1, asked: 0 });
    input.addEventListener("input", () => this.open());
    input.addEventListener("focus", () => this.open());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => setTimeout(() => this.close(), 150)); // a click on the list comes after the blur
  }

  // open asks for names that contain what was typed.
  async open() {
    const turn = ++this.asked;
    const text = this.input.value.trim();
    const params = { limit: shownAtMost + 1 };
    if (text) params["match[]"] = `{__name__=~${JSON.stringify("(?i).*" + text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + ".*")}}`;
    try {
      const { data } = await prom("label/__name__/values", params);
      if (turn === this.asked && document.activeElement === this.input) this.show(data);
    } catch (error) {
      if (turn === this.asked) this.show([], error.message);
    }
  }

  show(names, problem) {
    this.names = names.slice(0, shownAtMost);
    this.active = -1;
    const options = this.names.map((name, i) => el("li", { role: "option", id: "found-" + i, "aria-selected": "false", onmousedown: () => this.choose(name) }, name));
    if (problem) options.push(el("li", { class: "quiet" }, problem));
    else if (names.length === 0) options.push(el("li", { class: "quiet" }, "no metric has such a name"));
    else if (names.length > shownAtMost) options.push(el("li", { class: "quiet" }, "there are more: type a part of the name"));
    this.list.replaceChildren(...options);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
  }

  key(event) {
    if (event.key === "Escape") return this.close();
    if (event.key === "Enter") {
      event.preventDefault();
      const name = this.names[Math.max(this.active, 0)];
      return this.choose(this.active < 0 && this.names.includes(this.input.value) ? this.input.value : name ?? this.input.value);
    }
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !this.names.length) return;
    event.preventDefault();
    this.active = (this.active + by + this.names.length) % this.names.length;
    for (const [i, option] of [...this.list.children].entries()) {
      option.setAttribute("aria-selected", String(i === this.active));
      if (i === this.active) option.scrollIntoView({ block: "nearest" });
    }
    this.input.setAttribute("aria-activedescendant", "found-" + this.active);
  }

  choose(name) {
    if (!name) return;
    this.input.value = name;
    this.close();
    this.chosen(name);
  }

  close() {
    this.asked++;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}
