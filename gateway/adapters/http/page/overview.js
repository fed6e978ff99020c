// The wall: live calls, tenants that run dry, refusals, health.

import { SOON_SECONDS, byZero, callTable, ordered, soFar, tenantTable } from "/page/columns.js";
import { h, mark, put } from "/page/dom.js";
import { healthStrip } from "/page/health.js";
import { refusalList } from "/page/refusals.js";
import { isFinal, isTalking, now, store, zeroSeconds } from "/page/store.js";
import { t, whole } from "/page/words.js";

const LATELY_MS = 300_000;

let order = ""; // outlives the page: who comes back finds it as it was
let filter = "";

/** Everything at a glance. */
export function overview() {
  const tiles = makeTiles();
  const search = h("input", { type: "search", id: "filter", placeholder: t("calls.filter"), value: filter, "aria-label": t("calls.filter") });
  const calls = callTable({ withTenant: true, order, onOrder: (key) => { order = order === key ? "" : key; show(); } });
  search.addEventListener("input", () => { filter = search.value.trim().toLowerCase(); show(); });
  const tenants = tenantTable();
  const refusals = refusalList();
  const health = healthStrip();
  const count = h("span", { class: "count" });
  const known = h("span", { class: "count" });
  const root = h("div", { class: "wall" }, h("h1", { class: "unseen" }, t("overview.heading")), tiles.root,
    h("section", { class: "panel calls", "aria-labelledby": "calls-title" },
      h("div", { class: "title" }, h("h2", { id: "calls-title" }, t("calls.title")), count, search), calls.root),
    h("section", { class: "panel tenants", "aria-labelledby": "tenants-title" },
      h("div", { class: "title" }, h("h2", { id: "tenants-title" }, t("tenants.title")), known, h("a", { href: "#/tenants" }, t("tenants.all"))), tenants.root),
    h("section", { class: "panel refused", "aria-labelledby": "refusals-title" },
      h("div", { class: "title" }, h("h2", { id: "refusals-title" }, t("refusals.title"))), refusals.root),
    health.root);

  const show = (kinds = null) => {
    const at = now();
    if (!kinds || kinds.has("call")) {
      const all = [...store.call.values()];
      const found = filter ? all.filter((call) => matches(call, filter)) : all;
      calls.set(ordered(found, order, calls.columns, at), at, order);
      put(count, filter ? t("calls.found", { n: whole(found.length), all: whole(all.length) }) : whole(all.length));
    }
    if (!kinds || kinds.has("tenant")) {
      tenants.set(byZero(store.tenant.values(), at), at);
      put(known, soFar());
    }
    if (!kinds || kinds.has("refusal")) refusals.show();
    health.show();
    tiles.show(at);
  };
  const tick = (at) => { calls.show(at); tenants.show(at); tiles.show(at); };
  return { root, show, tick, title: t("overview.title") };
}

function matches(call, words) {
  return [call.tenant, call.number, call.cli, call.to, call.id].some((text) => text && text.toLowerCase().includes(words));
}

function makeTiles() {
  const names = ["live", "ending", "dry", "refused"];
  const figures = Object.fromEntries(names.map((name) => [name, h("strong", { class: "figure" })]));
  const notes = Object.fromEntries(names.map((name) => [name, h("span", { class: "about" })]));
  const boxes = names.map((name) => h("div", { class: "tile" }, h("dt", {}, t(`tile.${name}`)), h("dd", {}, figures[name], notes[name])));
  const root = h("dl", { class: "tiles" }, boxes);
  const tell = (name, count, kind, note = "") => {
    put(figures[name], whole(count));
    put(notes[name], note);
    mark(boxes[names.indexOf(name)], "class", `tile ${count && kind ? kind : ""}`);
  };
  const show = (at) => {
    let [talking, ending] = [0, 0];
    for (const call of store.call.values()) {
      if (isTalking(call)) talking += 1;
      if (isFinal(call)) ending += 1;
    }
    tell("live", store.call.size, "", t("tile.talking", { n: whole(talking) }));
    tell("ending", ending, "bad", ending ? "✂" : "");
    const dry = [...store.tenant.values()].filter((tenant) => tenant.available_micros <= 0).length;
    const soon = [...store.tenant.values()].filter((tenant) => zeroSeconds(tenant, at) <= SOON_SECONDS).length;
    tell("dry", soon, "warn", dry ? t("tile.at_zero", { n: whole(dry) }) : "");
    const lately = [...store.refusal.values()].filter((one) => at - one.at_ms < LATELY_MS).length;
    tell("refused", lately, "warn");
  };
  return { root, show };
}

/** All tenants, those that run dry first. */
export function tenantsPage() {
  let words = "";
  const search = h("input", { type: "search", placeholder: t("tenants.filter"), "aria-label": t("tenants.filter") });
  const table = tenantTable();
  const known = h("span", { class: "count" });
  const show = (kinds = null) => {
    if (kinds && !kinds.has("tenant")) return;
    const found = [...store.tenant.values()].filter((tenant) => tenant.tenant.toLowerCase().includes(words));
    table.set(byZero(found, now()), now());
    put(known, soFar());
  };
  search.addEventListener("input", () => { words = search.value.trim().toLowerCase(); show(); });
  const root = h("section", { class: "panel whole", "aria-labelledby": "title" },
    h("div", { class: "title" }, h("h1", { id: "title" }, t("tenants.all")), known, search), table.root);
  return { root, show, tick: (at) => table.show(at), title: t("tenants.all") };
}
