// One call's whole story, step by step, in words.

import { api, place } from "/page/api.js";
import { askCut, askRestrict } from "/page/dialogs.js";
import { h, mark, put, swap } from "/page/dom.js";
import {
  chargedMicros, isFinal, isTalking, leftPart, leftSeconds, mayOperate, now, store, talkedSeconds,
} from "/page/store.js";
import { amount, clock, moment, money, said, span, t, whole } from "/page/words.js";

const AGAIN_MS = 10_000;

/** A call's page. */
export function callPage(tenant, id) {
  const steps = h("ol", { class: "story" });
  const note = h("p", { class: "about" });
  const about = h("div");
  const run = running();
  const buttons = h("div", { class: "buttons" });
  const title = h("h1", {}, id.split("/")[1]);
  const root = h("div", { class: "sheet" },
    h("div", { class: "panel head" }, h("div", { class: "title" }, h("a", { href: place.tenant(tenant), class: "back" }, `← ${tenant}`), title, buttons), run.root, about),
    h("section", { class: "panel whole-row", "aria-labelledby": "story-title" }, h("h2", { id: "story-title" }, t("story.title")), steps, note));
  let story = null;
  let isGone = false;
  let seen = "";

  const load = async () => {
    try {
      story = await api.story(tenant, id);
      draw();
    } catch (error) {
      if (!story) swap(steps, h("li", { class: "problem" }, error.message));
    }
  };
  const draw = () => {
    const call = store.call.get(id);
    put(title, `${story.cli || t("calls.no_cli")} → ${story.number || t("calls.no_number")}`);
    swap(steps, tell(story, call, [...store.ended.values()].find((one) => one.id === id)).map(line));
    put(note, story.is_whole ? "" : t("story.not_whole"));
    swap(about, facts(story, call));
    swap(buttons, mayOperate() && call && h("button", { type: "button", class: "danger", onclick: () => askCut(call, load) }, t("cut.word")),
      mayOperate() && story.cli && h("button", { type: "button", onclick: () => askRestrict(tenant, story.cli) }, t("restrict.word_cli")));
  };
  const show = (kinds = null) => {
    const call = store.call.get(id);
    // Each step of the books shows in the call's row: then there is more to tell.
    const mark_ = JSON.stringify([call?.state, call?.extensions, call?.granted_seconds, [...store.ended.values()].some((one) => one.id === id)]);
    if (kinds && mark_ !== seen && !isGone) load();
    seen = mark_;
    run.show(call, now());
  };
  const timer = setInterval(() => !document.hidden && store.call.has(id) && load(), AGAIN_MS);
  load();
  return { root, show, tick: (at) => run.show(store.call.get(id), at), title: id.split("/")[1], leave: () => { isGone = true; clearInterval(timer); } };
}

function running() {
  const keys = ["left", "talked", "charged", "cut"];
  const figures = Object.fromEntries(keys.map((key) => [key, h("strong", { class: "figure" })]));
  const notes = Object.fromEntries(keys.map((key) => [key, h("span", { class: "about" })]));
  const fillBar = h("span", { class: "fill" });
  const boxes = keys.map((key) => h("div", { class: "tile" }, h("dt", {}, t(`running.${key}`)), h("dd", {}, figures[key], notes[key])));
  const bar = h("span", { class: "bar tall", "aria-hidden": "true" }, fillBar);
  const root = h("div", { class: "running" }, h("dl", { class: "tiles" }, boxes), bar);
  const show = (call, at) => {
    root.hidden = !call || !isTalking(call);
    if (root.hidden) return;
    put(figures.left, span(leftSeconds(call, at)));
    put(notes.left, isFinal(call) ? t("calls.last") : t("calls.or_more"));
    put(figures.talked, span(talkedSeconds(call, at)));
    put(figures.charged, amount(chargedMicros(call, at)));
    put(notes.charged, call.currency);
    put(figures.cut, clock(call.cut_at_ms));
    mark(boxes[0], "class", `tile ${isFinal(call) ? "bad" : ""}`);
    mark(bar, "class", `bar tall ${isFinal(call) ? "bad" : ""}`);
    fillBar.style.transform = `scaleX(${leftPart(call, at).toFixed(3)})`;
  };
  return { root, show };
}

function facts(story, call) {
  const rows = [
    [t("calls.tenant"), h("a", { href: place.tenant(story.tenant) }, story.tenant)],
    [t("story.class"), said("class", story.call_class)],
    call?.to && [t("story.to"), call.to],
    [t("calls.state"), said("state", call?.state ?? story.state)],
    [t("story.switch"), story.call.split("/")[0]],
    [t("story.id"), h("code", {}, story.call)],
  ].filter((row) => row && row[1]);
  return h("dl", { class: "facts" }, rows.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
}

/** The story as lines: { at, kind, icon, title, text }. */
export function tell(story, call, ended) {
  const cash = (micros) => money(micros, story.currency);
  const lines = [];
  const asked = { cli: story.cli || t("calls.no_cli"), number: story.number || t("calls.no_number") };
  const askedAt = story.steps[0]?.at_ms ?? story.refusal?.at_ms ?? story.asked_at_ms;
  if (askedAt) lines.push({ at: askedAt, kind: "", icon: "?", title: t("step.ask"), text: t("step.ask.text", asked) });
  if (story.refusal) {
    lines.push({ at: story.refusal.at_ms, kind: "bad", icon: "✕", title: t("step.refused", { reason: said("reason", story.refusal.reason) }), text: refusalText(story) });
    return lines;
  }
  let [held, charged, answeredAt] = [0, 0, 0];
  for (const step of story.steps) {
    held += step.held_micros;
    charged += step.charged_micros;
    if (step.type === "answer") answeredAt = step.at_ms;
    const talked = answeredAt ? span((step.at_ms - answeredAt) / 1000) : "";
    const values = {
      held: cash(held), charged: cash(step.charged_micros), all: cash(charged), freed: cash(-step.held_micros), talked,
      total: cash(step.total_micros ?? charged), time: span(Number(step.note) || 0), n: step.step ?? "",
    };
    lines.push({ at: step.at_ms, ...(KINDS[step.type] ?? ["", "·"]).reduce((all, value, place) => ({ ...all, [["kind", "icon"][place]]: value }), {}),
      title: said("step", step.type), text: stepText(step.type, values) });
  }
  if (ended?.was_cut) {
    lines.push({ at: ended.at_ms, kind: "bad", icon: "✂", title: t("step.cut"), text: ended.reason ? said("reason", ended.reason) : t("step.cut.text") });
    const [settle] = lines.splice(lines.length - 2, 1);
    lines.push(settle);
  }
  if (call && isTalking(call)) lines.push(next(call));
  return lines;
}

const KINDS = {
  reserve: ["info", "◷"], answer: ["ok", "●"], extend: ["info", "+"], shrink: ["warn", "−"], settle: ["done", "■"],
  release: ["done", "□"], estimate: ["warn", "≈"], correct: ["done", "≈"], doubt: ["warn", "?"], register: ["warn", "↻"],
};

function stepText(type, values) {
  const key = `step.${type}.text`;
  const text = t(key, values);
  return text === key ? "" : text;
}

function next(call) {
  const at = clock(call.cut_at_ms);
  if (isFinal(call)) {
    const why = said("reason", call.final || "no_credit");
    return { at: call.cut_at_ms, kind: "bad coming", icon: "✂", title: t("step.will_cut", { at }), text: t("step.will_cut.text", { why }) };
  }
  return { at: call.cut_at_ms, kind: "coming", icon: "…", title: t("step.will_ask"), text: t("step.will_ask.text", { at }) };
}

function refusalText(story) {
  const { reason, limit, used, most } = story.refusal;
  const figures = most && reason === "spend_limit" ? t("story.used_money", { limit, used: money(used, story.currency), most: money(most, story.currency) })
    : most && !["paused", "quarantined"].includes(reason) ? t("story.used", { limit, used: whole(used), most: whole(most) }) : said("guard", limit);
  return [figures, said("do", reason) === reason ? "" : said("do", reason)].filter(Boolean).join(". ");
}

function line({ at, kind, icon, title, text }) {
  return h("li", { class: kind },
    h("time", { datetime: new Date(at).toISOString(), title: moment(at) }, clock(at)),
    h("span", { class: "sign", "aria-hidden": "true" }, icon),
    h("div", {}, h("strong", {}, title), text && h("p", {}, text)));
}

