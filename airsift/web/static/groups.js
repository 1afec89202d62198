// The groups of stations on the wall: how many stations each has, and in how many something is wrong.

import { store } from "./store.js";
import { el, say } from "./text.js";

const NONE = ""; // the name of those in no group

export class Groups {
  // `chosen` is a group's name, NONE, or null for all; `onchange` is called when another is chosen.
  constructor(chosen, onchange) {
    this.chosen = chosen;
    this.onchange = onchange;
    this.node = el("div", { class: "chips groups", role: "group", "aria-label": "Group", hidden: true });
    this.chips = new Map(); // by name, null: all
    this.remember();
  }

  has(view) {
    return this.chosen === null || (store.groups.get(view.name) ?? NONE) === this.chosen;
  }

  // Whether no station is in the chosen group.
  get isUnknown() {
    return this.chosen !== null && !this.chips.has(this.chosen);
  }

  // The chosen group stands in the address, and is the wall's until another is chosen.
  remember() {
    const search = this.chosen === null ? "" : `?group=${encodeURIComponent(this.chosen)}`;
    sessionStorage.setItem("wall", search);
    if (location.search !== search) history.replaceState(null, "", `/${search}`);
  }

  choose(name) {
    this.chosen = name;
    for (const [each, chip] of this.chips) chip.setAttribute("aria-pressed", String(each === name));
    this.remember();
    this.onchange();
  }

  step(direction) {
    const names = [...this.chips.keys()];
    if (names.length < 2) return;
    const at = names.indexOf(this.chosen);
    this.choose(names[(at + direction + names.length) % names.length]);
    this.chips.get(this.chosen).scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  count(views, isTroubled) {
    const counts = new Map([[null, { all: 0, wrong: 0 }]]);
    for (const view of views) {
      const wrong = isTroubled(view) ? 1 : 0;
      for (const name of [null, store.groups.get(view.name) ?? NONE]) {
        const sums = counts.get(name) ?? { all: 0, wrong: 0 };
        counts.set(name, { all: sums.all + 1, wrong: sums.wrong + wrong });
      }
    }
    this.node.hidden = store.groups.size === 0 && this.chosen === null;
    const order = new Intl.Collator(undefined, { numeric: true }).compare;
    const names = [...counts.keys()].sort((a, b) => (a === null ? -1 : b === null ? 1 : a === NONE ? 1 : b === NONE ? -1 : order(a, b)));
    if (names.length !== this.chips.size || names.some((name) => !this.chips.has(name))) this.place(names);
    for (const [name, chip] of this.chips) {
      const { all, wrong } = counts.get(name);
      say(chip.all, String(all));
      say(chip.wrong, wrong ? String(wrong) : "");
      const text = `${chip.text}: ${all} station${all === 1 ? "" : "s"}${wrong ? `, trouble in ${wrong}` : ""}`;
      if (chip.getAttribute("aria-label") !== text) chip.setAttribute("aria-label", text);
    }
  }

  place(names) {
    const focused = [...this.chips].find(([, chip]) => chip === document.activeElement)?.[0];
    this.chips = new Map(names.map((name) => {
      const chip = el("button", { class: "chip", "aria-pressed": String(name === this.chosen), onclick: () => this.choose(name) });
      chip.text = name === null ? "All groups" : name === NONE ? "No group" : name;
      chip.all = el("b", { text: "0" });
      chip.wrong = el("em", { class: "wrong-count" });
      chip.append(el("span", { text: chip.text }), chip.all, chip.wrong);
      return [name, chip];
    }));
    this.node.replaceChildren(...this.chips.values());
    this.chips.get(focused)?.focus();
  }
}
