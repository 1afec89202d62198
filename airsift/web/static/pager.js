// Pages of a long list: which part is shown, and buttons to the others.

import { el, say } from "./text.js";

const number = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");

export class Pager {
  // `onmove(offset)` shows another part; `size` is the number of rows in one.
  constructor(size, onmove) {
    this.size = size;
    this.offset = 0;
    this.found = 0;
    const button = (text, title, to) => el("button", { class: "button", title, "aria-label": title, onclick: () => onmove(to()) }, text);
    this.first = button("«", "First page", () => 0);
    this.back = button("‹", "Page before (←)", () => Math.max(0, this.offset - size));
    this.next = button("›", "Next page (→)", () => this.offset + size);
    this.last = button("»", "Last page", () => this.lastOffset);
    this.text = el("span", { class: "dim", role: "status" });
    this.node = el("div", { class: "pager" }, this.text, el("span", { class: "steps" }, this.first, this.back, this.next, this.last));
    this.onmove = onmove;
  }

  get lastOffset() {
    return Math.max(0, Math.floor((this.found - 1) / this.size) * this.size);
  }

  show(offset, found, shown) {
    this.offset = offset;
    this.found = found;
    say(this.text, found ? `${number(offset + 1)} to ${number(offset + shown)} of ${number(found)}` : "");
    this.first.disabled = this.back.disabled = offset === 0;
    this.next.disabled = this.last.disabled = offset + shown >= found;
    this.node.hidden = found <= this.size && offset === 0;
  }

  key(event) {
    if (event.key === "ArrowLeft" && !this.back.disabled) this.onmove(Math.max(0, this.offset - this.size));
    else if (event.key === "ArrowRight" && !this.next.disabled) this.onmove(this.offset + this.size);
    else return false;
    return true;
  }
}
