// One tenant: its balance over time, lots, recharges, restrictions, calls, refusals, journal.

import { api, place } from "/page/api.js";
import { callTable, ordered, tenantMarks, tightLimits, urgency } from "/page/columns.js";
import { askLift, askRestrict } from "/page/dialogs.js";
import { badge, h, mark, put, swap } from "/page/dom.js";
import { plot } from "/page/plot.js";
import { refusalList } from "/page/refusals.js";
import { mayOperate, now, store, zeroSeconds } from "/page/store.js";
import { amount, clock, moment, money, said, span, t, until, when, whole } from "/page/words.js";

const HOUR_MS = 3_600_000;
const RANGES = { "1h": HOUR_MS, "6h": 6 * HOUR_MS, "24h": 24 * HOUR_MS, "7d": 168 * HOUR_MS };
const AGAIN_MS = 15_000;
const LOADS_A_PLOT = 4;
const POINTS = 96;
const JOURNAL_SHOWN = 50;
const ENOUGH = 20;
const WINDOWS_SECONDS = [5, 60, 900, 86_400, 30 * 86_400, 366 * 86_400];
const MOST_PAGES = 5;

let range = ""; // chosen by hand; else the shortest that has all there is, or a day

/** A tenant's page. */
export function tenantPage(name) {
  const head = heading(name);
  const box = { plot: h("div"), lots: h("div"), recharge: h("div"), restrictions: h("div"), journal: h("div"), limits: h("div") };
  const calls = callTable({ withTenant: false });
  const refusals = refusalList(name);
  const ended = h("div");
  let isGone = false;

  const windows = { at: 0 };
  let loads = 0;

  const load = async (isAll = false) => {
    const isPlotDue = loads++ % LOADS_A_PLOT === 0 || isAll;
    const asked = {
      plot: isPlotDue && (() => history(name).then(drawPlot)),
      lots: () => api.lots(name).then(({ items }) => lots(items)),
      recharge: () => api.recharge(name).then(recharge),
      restrictions: () => api.restrictions(name).then(({ items }) => restrictions(name, items, load)),
      journal: () => journal(name, windows).then((items) => drawJournal(name, items)),
    };
    await Promise.all(Object.entries(asked).map(async ([key, ask]) => {
      if (!ask) return;
      try { swap(box[key], await ask()); } catch (error) { swap(box[key], h("p", { class: "problem" }, error.message)); }
    }));
  };
  let drawn = null;
  const drawPlot = (told) => {
    const { points, hours, currency, from } = (drawn = told);
    const tenant = store.tenant.get(name);
    const known = points.map((one) => ({ at_ms: one.at_ms, balance_micros: one.balance_micros }));
    if (tenant) known.push({ at_ms: now(), balance_micros: tenant.balance_micros });
    return plot({ points: known, hours, currency, fromMs: from, toMs: now(), zeroAt: tenant?.zero_at_ms, width: box.plot.clientWidth - 40 });
  };
  let width = 0;
  const resize = new ResizeObserver(() => {
    const wide = box.plot.clientWidth;
    if (drawn && wide !== width) swap(box.plot, drawPlot(drawn));
    width = wide;
  });
  resize.observe(box.plot);
  const timer = setInterval(() => !document.hidden && !isGone && load(), AGAIN_MS);
  load();

  const panel = (key, title, ...content) =>
    h("section", { class: `panel ${key}`, "aria-labelledby": `${key}-title` }, h("div", { class: "title" }, h("h2", { id: `${key}-title` }, title)), content);
  const plotPanel = panel("balance", t("tenant.over_time"), box.plot);
  plotPanel.firstChild.append(rangeChoice(load));
  const root = h("div", { class: "sheet" }, head.root, plotPanel,
    panel("limits", t("tenant.limits"), box.limits),
    panel("lots", t("tenant.lots"), box.lots), panel("recharge", t("tenant.recharge"), box.recharge),
    panel("restrictions", t("tenant.restrictions"), box.restrictions),
    panel("calls", t("calls.title"), calls.root), panel("refused", t("refusals.title"), refusals.root),
    panel("ended", t("ended.title"), ended), panel("journal", t("journal.title"), box.journal));

  const show = (kinds = null) => {
    const at = now();
    head.show(at);
    if (!kinds || kinds.has("call")) {
      const mine = [...store.call.values()].filter((call) => call.tenant === name);
      calls.set(ordered(mine, "", calls.columns, at), at);
    }
    if (!kinds || kinds.has("refusal")) refusals.show();
    if (!kinds || kinds.has("ended")) swap(ended, endedTable([...store.ended.values()].filter((one) => one.tenant === name)));
    if (!kinds || kinds.has("tenant")) swap(box.limits, limits(store.tenant.get(name)));
  };
  const tick = (at) => { head.show(at); calls.show(at); };
  return { root, show, tick, title: name, leave: () => { isGone = true; clearInterval(timer); resize.disconnect(); } };
}

function heading(name) {
  const figures = {};
  const box = (key) => {
    figures[key] = h("strong", { class: "figure" });
    figures[`${key}_about`] = h("span", { class: "about" });
    return h("div", { class: "tile" }, h("dt", {}, t(`tenant.${key}`)), h("dd", {}, figures[key], figures[`${key}_about`]));
  };
  const keys = ["zero", "available", "balance", "held", "today"];
  const boxes = keys.map(box);
  const marks = h("span", { class: "marks" });
  const button = mayOperate() && h("button", { type: "button", class: "danger", onclick: () => askRestrict(name, "") }, t("restrict.word"));
  const root = h("div", { class: "panel head" },
    h("div", { class: "title" }, h("a", { href: "#/", class: "back" }, `← ${t("back")}`), h("h1", {}, name), marks, button), h("dl", { class: "tiles" }, boxes));
  const show = (at) => {
    const tenant = store.tenant.get(name);
    if (!tenant) return;
    const seconds = zeroSeconds(tenant, at);
    put(figures.zero, seconds === 0 ? t("tenants.dry") : seconds === Infinity ? "–" : until(seconds));
    put(figures.zero_about, tenant.rate_micros === undefined ? t("tenant.no_rate") : t("tenant.rate", { rate: money(tenant.rate_micros, tenant.currency) }));
    mark(boxes[0], "class", `tile ${urgency(tenant, at)}`);
    const sums = { available: tenant.available_micros, balance: tenant.balance_micros, held: tenant.held_micros, today: tenant.spent_today_micros };
    for (const [key, micros] of Object.entries(sums)) {
      put(figures[key], amount(micros));
      put(figures[`${key}_about`], tenant.currency);
    }
    if (tenant.credit_limit_micros) put(figures.available_about, `${tenant.currency} · ${t("tenant.credit", { limit: amount(tenant.credit_limit_micros) })}`);
    const known = JSON.stringify([tenant.recharge, tenant.paused_until_ms, tenant.is_closed]);
    if (marks.dataset.known !== known) { marks.dataset.known = known; swap(marks, tenantMarks(tenant)); }
  };
  return { root, show };
}

function rangeChoice(load) {
  const choice = Object.keys(RANGES).map((key) => {
    const button = h("button", { type: "button", "aria-pressed": String(key === (range || "24h")), onclick: () => {
      range = key;
      choice.forEach((one) => mark(one, "aria-pressed", String(one === button)));
      load(true);
    } }, t(`range.${key}`));
    return button;
  });
  return h("div", { class: "choice", role: "group", "aria-label": t("tenant.over_time") }, choice);
}

/** The balance over the range; of an account that is younger, over its life. */
async function history(name) {
  const from = now() - RANGES[range || "24h"];
  const told = await api.history(name, from, POINTS);
  const first = told.points[0]?.at_ms ?? from;
  if (first - from < (now() - from) / 2) return { ...told, from };
  const begin = first - (now() - first) / 50;
  return { ...(await api.history(name, begin, POINTS)), from: begin };
}

/** A table of what does not change by itself. Columns: [head, class]; rows: arrays of contents. */
function table(columns, rows, none) {
  if (!rows.length) return h("p", { class: "empty" }, none);
  const head = columns.map(([text, kind]) => h("th", { scope: "col", class: kind ?? "" }, text));
  const lines = rows.map((cells) => h("tr", {}, cells.map((cell, place) => h("td", { class: columns[place][1] ?? "" }, cell))));
  return h("div", { class: "flow" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, lines)));
}

function limits(tenant) {
  if (!tenant) return [];
  const rows = tightLimits(tenant).map((limit) => {
    const part = limit.used_micros / Math.max(1, limit.most_micros);
    const fillBar = h("span", { class: "fill" });
    fillBar.style.transform = `scaleX(${Math.min(1, part).toFixed(3)})`;
    const kind = part >= 1 ? "bad" : part >= 0.8 ? "warn" : "";
    return [limit.name, h("span", { class: `bar ${kind}`, "aria-hidden": "true" }, fillBar), amount(limit.used_micros), amount(limit.most_micros), `${whole(part * 100)} %`];
  });
  return table([[t("limits.name")], ["", "wide-bar"], [t("limits.used"), "right"], [t("limits.most"), "right"], ["", "right"]], rows, t("limits.none"));
}

function lots(items) {
  const rows = items.map((lot) => [
    whole(lot.number), amount(lot.free_micros), amount(lot.held_micros), lot.expires_at_ms === null ? t("lots.never") : moment(lot.expires_at_ms),
  ]);
  return table([[t("lots.number")], [t("lots.free"), "right"], [t("lots.held"), "right"], [t("lots.expires"), "right"]], rows, t("lots.none"));
}

function recharge(one) {
  if (one.mode === "none") return h("p", { class: "empty" }, t("recharge.no_rule"));
  const facts = [
    [t("recharge.state"), said("recharge", one.state)],
    [t("recharge.rule"), t(`recharge.mode.${one.mode}`, { trigger: amount(one.trigger_micros), amount: amount(one.amount_micros ?? 0) })],
    one.last_id && [t("recharge.last"), `${money(one.last_amount_micros, one.currency)} · ${moment(one.requested_at_ms)}`],
    one.reason && [t("recharge.reason"), one.reason],
  ].filter(Boolean);
  return h("dl", { class: "facts" }, facts.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
}

function restrictions(name, items, load) {
  const rows = items.map((one) => [
    one.target === "tenant" ? t("restrict.all") : one.target, said("guard", one.guard), one.why,
    one.until_ms === null ? t("restrict.until_lifted") : moment(one.until_ms),
    mayOperate() ? h("button", { type: "button", class: "small", onclick: () => askLift(name, one.target, load) }, t("lift.word")) : "",
  ]);
  const columns = [[t("restrict.whom")], [t("restrict.by")], [t("restrict.why"), "text"], [t("restrict.until")], ["", "right"]];
  return table(columns, rows, t("restrict.none"));
}

function endedTable(all) {
  const rows = all.sort((a, b) => b.n - a.n).slice(0, JOURNAL_SHOWN).map((one) => [
    clock(one.at_ms), h("a", { href: place.call(one.tenant, one.id) }, one.number || t("calls.no_number")),
    one.was_cut ? badge("bad", "✂", t("ended.cut")) : said("outcome", one.outcome), one.seconds ? span(one.seconds) : "", amount(one.charged_micros),
  ]);
  const columns = [[t("journal.when")], [t("calls.number")], [t("ended.how")], [t("calls.talked"), "right"], [t("calls.charged"), "right"]];
  return table(columns, rows, t("ended.none"));
}

/** The last entries. The API gives the oldest first: begin so far back that there are some, and not too many. */
async function journal(name, windows) {
  for (; windows.at < WINDOWS_SECONDS.length; windows.at += 1) {
    const from = now() - WINDOWS_SECONDS[windows.at] * 1000;
    let [items, cursor, pages] = [[], null, 0];
    do {
      const page = await api.journal(name, from, cursor);
      items = [...items, ...page.items].slice(-JOURNAL_SHOWN);
      [cursor, pages] = [page.next_cursor, pages + 1];
    } while (cursor && pages < MOST_PAGES);
    if (items.length >= ENOUGH || windows.at === WINDOWS_SECONDS.length - 1) return items.reverse();
  }
  return [];
}

function drawJournal(name, items) {
  const rows = items.map((entry) => [
    when(entry.at_ms), said("entry", entry.type),
    entry.call.split("/").length === 3 ? h("a", { href: place.call(name, entry.call) }, entry.call.split("/")[1]) : entry.call,
    entry.revenue_micros ? amount(entry.revenue_micros) : "", entry.held_micros ? amount(entry.held_micros) : "", amount(entry.balance_micros),
  ]);
  const columns = [
    [t("journal.when")], [t("journal.what")], [t("journal.call"), "wide"], [t("journal.charged"), "right"], [t("journal.held"), "right wide"], [t("journal.balance"), "right"],
  ];
  return table(columns, rows, t("journal.none"));
}
