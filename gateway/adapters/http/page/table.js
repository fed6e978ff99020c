// A table of any length of which only the rows that are seen exist. Rows are as high as each other.

import { h, mark, put } from "/page/dom.js";

const SPARE_ROWS = 6;

/**
 * Columns: { key, head, kind, make(), show(parts, row, at), sort(row, at) }. ``make`` gives a cell's content and the parts
 * of it that ``show`` fills in; ``kind`` is its class.
 */
export class Table {
  constructor({ label, columns, keyOf, rowKind, order, onOrder, empty }) {
    this.columns = columns;
    this.keyOf = keyOf;
    this.rowKind = rowKind ?? (() => undefined);
    this.order = order ?? "";
    this.onOrder = onOrder;
    this.rows = [];
    this.lines = [];
    this.rowHeight = 0;
    this.isDue = false;
    this.above = h("tr", { class: "gap", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    this.below = h("tr", { class: "gap", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    this.body = h("tbody", {}, this.above, this.below);
    this.heads = columns.map((column) => this.#head(column));
    this.table = h("table", {}, h("thead", {}, h("tr", {}, this.heads)), this.body);
    this.empty = h("p", { class: "empty" }, empty ?? "");
    this.root = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, this.table, this.empty);
    this.body.addEventListener("keydown", (event) => this.#step(event));
    this.body.addEventListener("focusin", () => this.#mind());
    this.root.addEventListener("scroll", () => this.#soon(), { passive: true });
    this.resize = new ResizeObserver(() => { this.rowHeight = 0; this.#soon(); });
    this.resize.observe(this.root);
  }

  #head(column) {
    const properties = { scope: "col", class: column.kind ?? "" };
    if (!column.sort || !this.onOrder) return h("th", properties, column.head);
    const button = h("button", { type: "button", class: "sort", onclick: () => this.onOrder(column.key) }, column.head);
    return h("th", properties, button);
  }

  /** Show these rows, in this order. */
  set(rows, at, order = this.order) {
    this.rows = rows;
    this.order = order;
    this.heads.forEach((head, number) => mark(head, "aria-sort", this.columns[number].key === order ? "ascending" : undefined));
    mark(this.table, "aria-rowcount", String(rows.length + 1));
    this.empty.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
    this.show(at);
  }

  #soon() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => { this.isDue = false; this.show(this.at); });
  }

  /** Draw what is seen: after a tick, a scroll, a change. */
  show(at) {
    const held = this.#focused();
    this.#draw(at);
    if (held) this.#follow(held);
    this.#mind();
  }

  /** Tab goes through one row, and on: that which had the focus last, or the first. Up and Down go from row to row. */
  #mind() {
    this.chosen = this.#focused()?.key ?? this.chosen;
    const stop = this.lines.find((line) => line.key === this.chosen) ?? this.lines[0];
    this.lines.forEach((line) => controls(line).forEach((control) => mark(control, "tabindex", line === stop ? "0" : "-1")));
  }

  #step(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const held = way && this.#focused();
    if (!held) return;
    event.preventDefault();
    const next = this.rows.findIndex((row) => this.keyOf(row) === held.key) + way;
    if (next < 0 || next >= this.rows.length) return;
    const line = this.lines.find((one) => one.key === this.keyOf(this.rows[next]));
    const control = line && controls(line)[held.place];
    control?.focus();
    control?.scrollIntoView({ block: "nearest" });
  }

  /** What has the focus: of which row, and which of its controls. */
  #focused() {
    const line = this.lines.find(({ element }) => element.contains(document.activeElement));
    return line && { key: line.key, place: controls(line).indexOf(document.activeElement) };
  }

  /** The focus stays with its row, wherever that is now: a key pressed is never for another call. */
  #follow({ key, place }) {
    const line = this.lines.find((one) => one.key === key);
    const control = line && controls(line)[place];
    if (!control) this.root.focus({ preventScroll: true });
    else if (control !== document.activeElement) control.focus({ preventScroll: true });
  }

  #draw(at) {
    this.at = at;
    if (!this.rowHeight && this.rows.length) this.#measure();
    const seen = this.rows.length ? Math.ceil(this.root.clientHeight / this.rowHeight) + 2 * SPARE_ROWS : 0;
    const first = Math.max(0, Math.min(Math.floor(this.root.scrollTop / this.rowHeight) - SPARE_ROWS, this.rows.length - seen));
    const count = Math.min(seen, this.rows.length - first);
    while (this.lines.length < count) this.#add();
    while (this.lines.length > count) this.lines.pop().element.remove();
    this.lines.forEach((line, number) => this.#fill(line, first + number, at));
    setHeight(this.above, first * this.rowHeight);
    setHeight(this.below, (this.rows.length - first - count) * this.rowHeight);
  }

  #measure() {
    if (!this.lines.length) this.#add();
    this.#fill(this.lines[0], 0, this.at);
    this.rowHeight = this.lines[0].element.getBoundingClientRect().height || 44;
  }

  #add() {
    const cells = this.columns.map((column) => {
      const { content, ...parts } = column.make();
      return { cell: h("td", { class: column.kind ?? "" }, content), parts };
    });
    const element = h("tr", {}, cells.map((each) => each.cell));
    this.below.before(element);
    this.lines.push({ element, cells });
  }

  #fill(line, number, at) {
    const row = this.rows[number];
    mark(line.element, "aria-rowindex", String(number + 2));
    mark(line.element, "class", this.rowKind(row, at));
    line.key = this.keyOf(row);
    this.columns.forEach((column, place) => column.show(line.cells[place].parts, row, at));
  }
}

function controls(line) {
  return [...line.element.querySelectorAll("a, button")];
}

function setHeight(gap, height) {
  gap.hidden = height <= 0;
  gap.firstChild.style.height = `${Math.max(0, height)}px`;
}

/** A cell of one text. */
export function plain(text) {
  return {
    make: () => { const node = h("span"); return { content: node, node }; },
    show: ({ node }, row, at) => put(node, text(row, at)),
  };
}
