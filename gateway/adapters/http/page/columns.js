// The tables of calls and of tenants, as several pages show them.

import { place } from "/page/api.js";
import { askCut } from "/page/dialogs.js";
import { badge, h, mark, put, swap } from "/page/dom.js";
import {
  chargedMicros, isFinal, isTalking, leftPart, leftSeconds, mayOperate, store, talkedSeconds, zeroSeconds,
} from "/page/store.js";
import { Table, plain } from "/page/table.js";
import { amount, clock, said, span, t, until, whole } from "/page/words.js";

export const SOON_SECONDS = 1800;

// ---------------------------------------------------------------------------------------------------- calls

/** The table of live calls; without the tenant's column on its own page. */
export function callTable({ withTenant, order, onOrder }) {
  const columns = [left(), whom(), withTenant && payer(), state(), talked(), charged(), cutAt(), cutButton()].filter(Boolean);
  return new Table({
    label: t("calls.title"), columns, order, onOrder, keyOf: (call) => call.id, empty: t("calls.none"),
    rowKind: (call) => (isFinal(call) ? "final" : isTalking(call) ? "" : "early"),
  });
}

function left() {
  const make = () => {
    const figure = h("strong", { class: "figure" });
    const fillBar = h("span", { class: "fill" });
    return { content: [figure, h("span", { class: "bar", "aria-hidden": "true" }, fillBar)], figure, fillBar };
  };
  const show = ({ figure, fillBar }, call, at) => {
    put(figure, isTalking(call) ? `${isFinal(call) ? "✂ " : ""}${span(leftSeconds(call, at))}` : "–");
    const part = isTalking(call) ? leftPart(call, at).toFixed(3) : "0";
    if (fillBar.dataset.part !== part) {
      fillBar.dataset.part = part;
      fillBar.style.transform = `scaleX(${part})`;
    }
  };
  return { key: "left", head: t("calls.left"), kind: "left", make, show, sort: (call, at) => (isTalking(call) ? leftSeconds(call, at) : 1e9) };
}

function whom() {
  const make = () => {
    const link = h("a", { class: "number" });
    const arrow = h("span", { class: "arrow" });
    const about = h("span", { class: "about wide" });
    const tenant = h("span", { class: "about narrow" }); // a phone has no room for a column of its own
    return { content: [h("span", { class: "line" }, arrow, link), about, tenant], link, arrow, about, tenant };
  };
  const show = ({ link, arrow, about, tenant }, call) => {
    put(tenant, call.tenant);
    put(link, call.number || t("calls.no_number"));
    mark(link, "href", place.call(call.tenant, call.id));
    const isInbound = call.direction === "inbound";
    put(arrow, isInbound ? "↙" : "↗");
    mark(arrow, "title", t(`direction.${isInbound ? "inbound" : "outbound"}`));
    mark(arrow, "role", "img");
    mark(arrow, "aria-label", t(`direction.${isInbound ? "inbound" : "outbound"}`));
    const kind = said("class", call.class);
    put(about, call.to && call.to !== kind ? `${call.to} · ${kind}` : kind);
  };
  return { key: "number", head: t("calls.number"), kind: "whom", make, show, sort: (call) => call.number };
}

function payer() {
  const make = () => {
    const link = h("a", {});
    const cli = h("span", { class: "about" });
    return { content: [link, cli], link, cli };
  };
  const show = ({ link, cli }, call) => {
    put(link, call.tenant);
    mark(link, "href", place.tenant(call.tenant));
    put(cli, call.cli || t("calls.no_cli"));
  };
  return { key: "tenant", head: t("calls.tenant"), kind: "payer wide", make, show, sort: (call) => call.tenant };
}

const STATES = {
  asked: ["quiet", "…"], reserved: ["quiet", "…"], ringing: ["quiet", "◌"], answered: ["ok", "●"],
  extending: ["ok", "●"], final: ["bad", "✂"],
};

function state() {
  const make = () => { const box = h("span"); return { content: box, box }; };
  const show = ({ box }, call) => {
    const known = `${call.state} ${call.is_lent}`;
    if (box.dataset.state === known) return;
    box.dataset.state = known;
    const [kind, icon] = STATES[call.state] ?? ["quiet", "…"];
    swap(box, badge(kind, icon, said("state", call.state)), call.is_lent && badge("warn", "▲", t("calls.lent")));
  };
  return { key: "state", head: t("calls.state"), kind: "state wide", make, show, sort: (call) => call.state };
}

function talked() {
  const text = (call, at) => (isTalking(call) ? span(talkedSeconds(call, at)) : "");
  return { key: "talked", head: t("calls.talked"), kind: "right wide", ...plain(text), sort: (call) => call.answered_at_ms ?? 1e15 };
}

function charged() {
  const make = () => {
    const figure = h("span");
    const currency = h("span", { class: "about" });
    return { content: [figure, currency], figure, currency };
  };
  const show = ({ figure, currency }, call, at) => {
    put(figure, amount(chargedMicros(call, at)));
    put(currency, call.currency);
  };
  return { key: "charged", head: t("calls.charged"), kind: "right", make, show, sort: (call, at) => -chargedMicros(call, at) };
}

function cutAt() {
  const make = () => {
    const time = h("span");
    const about = h("span", { class: "about" });
    return { content: [time, about], time, about };
  };
  const show = ({ time, about }, call) => {
    put(time, isTalking(call) ? clock(call.cut_at_ms) : "");
    put(about, !isTalking(call) ? "" : isFinal(call) ? t("calls.last") : t("calls.or_more"));
  };
  return { key: "cut", head: t("calls.cut_at"), kind: "right wide", make, show, sort: (call) => call.cut_at_ms ?? 1e15 };
}

function cutButton() {
  if (!mayOperate()) return null;
  const make = () => {
    const button = h("button", { type: "button", class: "small" }, t("cut.word"));
    button.addEventListener("click", () => askCut(button.call));
    return { content: button, button };
  };
  const show = ({ button }, call) => {
    button.call = call;
    mark(button, "aria-label", t("cut.label", { number: call.number, tenant: call.tenant }));
  };
  return { key: "act", head: h("span", { class: "unseen" }, t("calls.act")), kind: "right wide act", make, show };
}

/** Calls in an order. The usual one stays calm: those that end for good, those that talk, the newest first, and the rest. */
export function ordered(calls, key, columns, at) {
  const column = columns.find((one) => one.key === key && one.sort);
  const rank = column ? null : (call) => (isFinal(call) ? call.cut_at_ms - 4e15 : (isTalking(call) ? -2e15 : 0) - call.asked_at_ms);
  const keyed = calls.map((call) => [column ? column.sort(call, at) : rank(call), call]);
  return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, call]) => call);
}

// -------------------------------------------------------------------------------------------------- tenants

/** The table of tenants, those that run dry first. */
export function tenantTable() {
  const columns = [dry(), name(), available(), live(), today()];
  return new Table({
    label: t("tenants.title"), columns, keyOf: (tenant) => tenant.tenant, empty: t("tenants.none"),
    rowKind: (tenant, at) => urgency(tenant, at),
  });
}

/** How soon a tenant has nothing left: bad, warn, or nothing to say. */
export function urgency(tenant, at) {
  const seconds = zeroSeconds(tenant, at);
  return seconds <= 300 ? "bad" : seconds <= SOON_SECONDS ? "warn" : "";
}

function dry() {
  const make = () => {
    const icon = h("span", { "aria-hidden": "true", class: "icon" });
    const figure = h("strong", { class: "figure" });
    const rate = h("span", { class: "about" });
    return { content: [h("span", { class: "line" }, icon, figure), rate], icon, figure, rate };
  };
  const show = ({ icon, figure, rate }, tenant, at) => {
    const seconds = zeroSeconds(tenant, at);
    put(icon, { bad: "▼", warn: "▽", "": "" }[urgency(tenant, at)]);
    put(figure, seconds === 0 ? t("tenants.dry") : seconds === Infinity ? "–" : until(seconds));
    put(rate, tenant.rate_micros === undefined ? "" : t("tenants.rate", { rate: amount(tenant.rate_micros) }));
  };
  return { key: "dry", head: t("tenants.zero"), kind: "left", make, show };
}

function name() {
  const make = () => {
    const link = h("a", {});
    const marks = h("span", { class: "marks" });
    return { content: [link, marks], link, marks };
  };
  const show = ({ link, marks }, tenant) => {
    put(link, tenant.tenant);
    mark(link, "href", place.tenant(tenant.tenant));
    const known = `${tenant.recharge} ${tenant.paused_until_ms} ${tenant.is_closed}`;
    if (marks.dataset.known !== known) {
      marks.dataset.known = known;
      swap(marks, ...tenantMarks(tenant));
    }
  };
  return { key: "name", head: t("tenants.tenant"), kind: "whom", make, show };
}

/** What is out of the usual with a tenant, as badges. */
export function tenantMarks(tenant) {
  const recharge = { requested: ["info", "↻"], pending: ["info", "↻"], failed: ["warn", "▲"], exhausted: ["bad", "✕"] }[tenant.recharge];
  return [
    tenant.is_closed && badge("quiet", "▪", t("tenants.closed")),
    tenant.paused_until_ms !== null && badge("bad", "⛔", t("tenants.paused")),
    recharge && badge(recharge[0], recharge[1], said("recharge", tenant.recharge)),
    tenant.recharge === "none" && zeroSoon(tenant) && badge("warn", "▲", t("tenants.no_recharge")),
  ].filter(Boolean);
}

function zeroSoon(tenant) {
  return tenant.zero_at_ms !== undefined || tenant.available_micros <= 0;
}

function available() {
  const make = () => {
    const figure = h("span");
    const currency = h("span", { class: "about" });
    return { content: [figure, currency], figure, currency };
  };
  const show = ({ figure, currency }, tenant) => {
    put(figure, amount(tenant.available_micros));
    put(currency, tenant.currency);
  };
  return { key: "available", head: t("tenants.available"), kind: "right", make, show };
}

function live() {
  return { key: "live", head: t("tenants.live"), kind: "right wide", ...plain((tenant) => (tenant.live_calls ? whole(tenant.live_calls) : "")) };
}

function today() {
  const make = () => {
    const figure = h("span");
    const about = h("span", { class: "about" });
    const fillBar = h("span", { class: "fill" });
    const bar = h("span", { class: "bar", "aria-hidden": "true" }, fillBar);
    return { content: [figure, about, bar], figure, about, bar, fillBar };
  };
  const show = ({ figure, about, bar, fillBar }, tenant) => {
    put(figure, amount(tenant.spent_today_micros));
    const [tightest] = tightLimits(tenant);
    put(about, tightest ? t("tenants.limit", { name: tightest.name, used: amount(tightest.used_micros), most: amount(tightest.most_micros) }) : "");
    bar.hidden = !tightest;
    if (tightest) {
      const part = Math.min(1, tightest.used_micros / Math.max(1, tightest.most_micros));
      fillBar.style.transform = `scaleX(${part.toFixed(3)})`;
      mark(bar, "class", `bar ${part >= 1 ? "bad" : part >= 0.8 ? "warn" : ""}`);
    }
  };
  return { key: "today", head: t("tenants.today"), kind: "right wide today", make, show };
}

/** The day's limits, that which is nearest to its bound first. */
export function tightLimits(tenant) {
  const part = (limit) => limit.used_micros / Math.max(1, limit.most_micros);
  return [...tenant.limits].sort((one, other) => part(other) - part(one));
}

/** How many tenants are not known yet: figures are asked for in turn. Empty where all are. */
export function soFar() {
  const all = store.ledger.get("")?.tenants ?? 0;
  return store.tenant.size < all ? t("tenants.so_far", { n: whole(store.tenant.size), all: whole(all) }) : "";
}

/** Tenants that run dry first, and then by name. */
export function byZero(tenants, at) {
  const keyed = [...tenants].map((tenant) => [zeroSeconds(tenant, at), tenant]);
  keyed.sort(([a, one], [b, other]) => (a === b ? (one.tenant < other.tenant ? -1 : 1) : a - b));
  return keyed.map(([, tenant]) => tenant);
}
