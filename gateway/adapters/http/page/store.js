// What the stream has said: the last word on each thing, by kind and key. What runs is counted here, from its own facts.

const KINDS = ["call", "tenant", "refusal", "ended", "switch", "queue", "gate", "ledger"];
const KEPT = { refusal: 200, ended: 300 };
export const STALE_MS = 12_000;

const listeners = new Set();
let dirty = new Set();
let isDue = false;
let pending = null; // a whole view that is on its way: shown when it is complete
let offsets = [];

export const store = { ...empty(), hello: null, link: "connecting", heardAt: 0, offsetMs: 0, why: "" };

function empty() {
  return Object.fromEntries(KINDS.map((kind) => [kind, new Map()]));
}

/** Call back, once a frame at the most, with the kinds that changed ("link" and "hello" among them). */
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed(...kinds) {
  kinds.forEach((kind) => dirty.add(kind));
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    const kinds = dirty;
    dirty = new Set();
    listeners.forEach((listener) => listener(kinds));
  });
}

/** Take one event of the stream. */
export function take(event, facts) {
  store.heardAt = performance.now();
  if (event === "hello") offsets = []; // it may be another gateway's clock
  if (facts.now_ms) setClock(facts.now_ms);
  if (event === "hello") {
    store.hello = facts;
    pending = null; // of a stream that broke off
    changed("hello");
  } else if (event === "reset") {
    pending = empty();
  } else if (event === "items") {
    merge(pending ?? store, facts);
    if (!pending) changed(...KINDS.filter((kind) => facts[kind] || facts.gone?.[kind]));
  } else if (event === "ready" && pending) {
    Object.assign(store, pending);
    pending = null;
    changed(...KINDS);
  }
  if (event !== "hello" && event !== "reset" && !pending) setLink("live");
}

function merge(into, facts) {
  for (const kind of KINDS) {
    for (const [key, thing] of Object.entries(facts[kind] ?? {})) into[kind].set(key, thing);
    for (const key of facts.gone?.[kind] ?? []) into[kind].delete(key);
    const excess = into[kind].size - (KEPT[kind] ?? Infinity);
    if (excess > 0) [...into[kind].keys()].slice(0, excess).forEach((key) => into[kind].delete(key));
  }
}

/** The gateway's clock, by the quickest of the last messages: none can come before it was sent. */
function setClock(nowMs) {
  offsets = [...offsets.slice(-9), nowMs - here()];
  store.offsetMs = Math.max(...offsets);
}

function here() {
  return performance.timeOrigin + performance.now();
}

/** The gateway's clock now, epoch milliseconds. */
export function now() {
  return here() + store.offsetMs;
}

/** connecting, live or stale. */
export function setLink(link, why = "") {
  if (store.link === link && store.why === why) return;
  store.link = link;
  store.why = why;
  changed("link");
}

/** Forget everything: another token sees other things. */
export function clear() {
  Object.assign(store, empty(), { hello: null, heardAt: 0, link: "connecting", why: "" });
  pending = null;
  offsets = [];
  changed("link", "hello", ...KINDS);
}

// ---------------------------------------------------------------------------------------------- what runs

/** Whether its quota runs. */
export function isTalking(call) {
  return call.answered_at_ms !== undefined;
}

/** Nothing more can be had: the PBX ends it at its cut. */
export function isFinal(call) {
  return call.state === "final";
}

/** Seconds until the PBX ends the call, unless it is granted more. */
export function leftSeconds(call, at) {
  return Math.max(0, (call.cut_at_ms - at) / 1000);
}

/** Seconds that it has talked. */
export function talkedSeconds(call, at) {
  return Math.max(0, (Math.min(at, call.cut_at_ms) - call.answered_at_ms) / 1000);
}

/** About what it has cost by now: what is booked, and of what is held the part that has passed. The books are exact. */
export function chargedMicros(call, at) {
  if (!isTalking(call)) return 0;
  const [from, to] = [call.counted_at_ms, call.cut_at_ms];
  const part = to > from ? Math.min(1, Math.max(0, (at - from) / (to - from))) : 1;
  return call.charged_micros + part * Math.max(0, call.granted_micros - call.charged_micros);
}

/** Of the time since it was last granted some, what is left: 1 to 0. */
export function leftPart(call, at) {
  const whole = call.cut_at_ms - call.counted_at_ms;
  return whole > 0 ? Math.min(1, Math.max(0, (call.cut_at_ms - at) / whole)) : 0;
}

/** Seconds until a tenant has nothing left; Infinity where nothing is spent. */
export function zeroSeconds(tenant, at) {
  if (tenant.available_micros <= 0) return 0;
  return tenant.zero_at_ms === undefined ? Infinity : Math.max(0, (tenant.zero_at_ms - at) / 1000);
}

/** The word for the whole gate: nothing is known while the stream is not heard. */
export function gateWord() {
  return store.link === "live" ? (store.gate.get("")?.word ?? "unknown") : "unknown";
}

/** Whether the token may do more than look. */
export function mayOperate() {
  return store.hello?.roles.includes("operate") ?? false;
}
