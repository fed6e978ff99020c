// Refusals as they happen, those that are alike in one line; and what a screen reader says of them.

import { place } from "/page/api.js";
import { h, put, swap } from "/page/dom.js";
import { store } from "/page/store.js";
import { clock, counted, said, t, whole } from "/page/words.js";

const TOGETHER_MS = 60_000;
const SHOWN = 40;
const SAY_MS = 5_000;

/** A list of refusals; of one tenant where it is named. */
export function refusalList(tenant) {
  const list = h("ol", { class: "refusals" });
  const empty = h("p", { class: "empty" }, t("refusals.none"));
  const root = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("refusals.title") }, list, empty);
  let shown = "";
  const show = () => {
    const groups = grouped([...store.refusal.values()].filter((one) => !tenant || one.tenant === tenant));
    const known = groups.slice(0, SHOWN).map((group) => `${group.last.n}/${group.count}`).join(" ");
    if (known === shown) return;
    shown = known;
    empty.hidden = groups.length > 0;
    swap(list, groups.slice(0, SHOWN).map((group) => line(group, tenant)));
  };
  return { root, show };
}

/** Newest first; those of one tenant, caller and reason within a minute are one. */
export function grouped(refusals) {
  const groups = [];
  for (const one of [...refusals].sort((a, b) => b.n - a.n)) {
    const alike = groups.find(({ last }) =>
      last.tenant === one.tenant && last.reason === one.reason && last.cli === one.cli && last.at_ms - one.at_ms < TOGETHER_MS);
    if (alike) alike.count += 1;
    else groups.push({ last: one, count: 1 });
  }
  return groups;
}

function line({ last, count }, tenant) {
  const who = last.tenant ? h("a", { href: place.tenant(last.tenant) }, last.tenant) : h("span", {}, t("refusals.stranger"));
  const number = last.number || t("calls.no_number");
  const link = last.tenant ? h("a", { href: place.call(last.tenant, last.id) }, number) : number;
  return h("li", {},
    h("time", { class: "when" }, clock(last.at_ms)),
    h("div", {},
      h("div", { class: "why" }, h("span", { "aria-hidden": "true", class: "icon" }, "✕"), said("reason", last.reason),
        last.limit && h("span", { class: "about" }, ` ${said("guard", last.limit)}`), count > 1 && h("span", { class: "times" }, `× ${whole(count)}`)),
      h("div", { class: "about" }, !tenant && [who, " · "], last.cli || t("calls.no_cli"), " → ", link)));
}

/** Tell of new refusals, some at a time and no more often than one can listen. */
export function teller(said_) {
  let [told, due] = [0, 0];
  let isFirst = true;
  return (at) => {
    const latest = Math.max(0, ...[...store.refusal.values()].map((one) => one.n));
    if (isFirst) { told = latest; isFirst = store.link !== "live"; return; }
    if (latest <= told || at < due) return;
    const fresh = [...store.refusal.values()].filter((one) => one.n > told);
    const reasons = new Map();
    fresh.forEach((one) => reasons.set(one.reason, (reasons.get(one.reason) ?? 0) + 1));
    const words = [...reasons].map(([reason, count]) => `${said("reason", reason)}${count > 1 ? ` × ${count}` : ""}`);
    put(said_, `${counted("refusals.said", latest - told)}: ${words.join(", ")}`);
    [told, due] = [latest, at + SAY_MS];
  };
}
