// The gate in one word, and what it rests on: links, ownership, the ledger, queues.

import { badge, h, mark, put, swap } from "/page/dom.js";
import { gateWord, store } from "/page/store.js";
import { counted, t, tenth, whole } from "/page/words.js";

const GATES = {
  gating: ["ok", "✓"], partly: ["warn", "▲"], standby: ["info", "‖"], no_ledger: ["bad", "✕"], not_gating: ["bad", "✕"],
  unknown: ["unknown", "?"],
};
const LAGS_MS = 1500;
const CLOCK_MS = 2000; // beyond it, times of the PBX and of this page do not fit together

/** The first thing to be seen. */
export function gateSign() {
  const icon = h("span", { class: "gate-icon", "aria-hidden": "true" });
  const word = h("strong", { id: "gate-word" });
  const about = h("span", { class: "gate-about" });
  const root = h("div", { class: "gate", role: "status" }, icon, h("span", {}, word, about));
  const show = () => {
    const gate = gateWord();
    const [kind, sign] = GATES[gate] ?? GATES.unknown;
    mark(root, "class", `gate ${kind}`);
    put(icon, sign);
    put(word, t(`gate.${gate}`));
    put(about, t(`gate.${gate}.about`));
  };
  return { root, show };
}

/** Switches, ledger, queues: one line each where all is well. */
export function healthStrip() {
  const list = h("ul", { class: "health" });
  const root = h("section", { class: "panel strip", "aria-labelledby": "health-title" },
    h("h2", { id: "health-title" }, t("health.title")), list);
  let shown = "";
  const show = () => {
    root.hidden = store.hello !== null && !store.hello.is_of_all;
    const items = [...[...store.switch.values()].map(switchItem), ledgerItem(), ...queueItems()].filter(Boolean);
    const known = JSON.stringify(items);
    if (known === shown) return;
    shown = known;
    swap(list, items.map(([kind, icon, name, text]) =>
      h("li", { class: kind }, badge(kind, icon, name), h("span", { class: "about" }, ` ${text}`))));
  };
  return { root, show };
}

function switchItem(one) {
  if (!one.is_up) return ["bad", "✕", one.name, `${t("health.link_down")} ${one.fault}`];
  if (!one.is_owned) {
    return one.owner ? ["info", "‖", one.name, t("health.owned_by", { owner: one.owner })] : ["warn", "▲", one.name, t("health.unowned")];
  }
  const waits = one.facts_waiting + one.asks_waiting;
  const isLate = one.round_trip_ms > LAGS_MS || one.oldest_ask_ms > LAGS_MS || one.event_lag_ms > LAGS_MS;
  const isOff = Math.abs(one.clock_ahead_ms) >= CLOCK_MS;
  const parts = [counted("health.calls", one.calls), t("health.round_trip", { n: tenth(one.round_trip_ms) }), t("health.mine")];
  if (one.event_lag_ms !== null) parts.push(t("health.lag", { n: whole(one.event_lag_ms) }));
  if (isOff) parts.push(t(one.clock_ahead_ms > 0 ? "health.ahead" : "health.behind", { n: tenth(Math.abs(one.clock_ahead_ms) / 1000) }));
  if (one.heard_ms > 10_000) parts.push(t("health.heard", { n: whole(one.heard_ms / 1000) }));
  if (waits) parts.push(counted("health.waiting", waits));
  return [isLate || isOff ? "warn" : "ok", isLate || isOff ? "▲" : "✓", one.name, parts.join(" · ")];
}

function ledgerItem() {
  const ledger = store.ledger.get("");
  if (!ledger) return null;
  if (ledger.fault) return ["bad", "✕", t("health.ledger"), ledger.fault];
  const isSlow = ledger.round_trip_ms > 100;
  return [isSlow ? "warn" : "ok", isSlow ? "▲" : "✓", t("health.ledger"), t("health.answers", { n: tenth(ledger.round_trip_ms) })];
}

/** Queues that are worth a look; one line says that the others are not. */
function queueItems() {
  const queues = [...store.queue.values()];
  if (!queues.length) return [];
  const isFull = (one) => one.limit !== null && one.length >= one.limit / 2;
  const loud = queues.filter((one) => isFull(one) || one.dropped > 0 || (one.limit === null && one.length > 0));
  const items = loud.map((one) => {
    const of = one.limit === null ? whole(one.length) : t("health.of", { n: whole(one.length), most: whole(one.limit) });
    const dropped = one.dropped ? ` · ${t("health.dropped", { n: whole(one.dropped) })}` : "";
    return [isFull(one) ? "bad" : "warn", "▲", `${t("health.queue")} ${one.name} ${one.switch}`.trim(), of + dropped];
  });
  const waiting = queues.reduce((sum, one) => sum + one.length, 0);
  return items.length ? items : [["ok", "✓", t("health.queues"), counted("health.waiting", waiting)]];
}
