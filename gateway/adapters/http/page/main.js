// The page's beginning: language, theme, token, the places, and the beat that lets everything tick.

import { token } from "/page/api.js";
import { callPage } from "/page/call.js";
import { h, mark, put, swap } from "/page/dom.js";
import { gateSign } from "/page/health.js";
import { overview, tenantsPage } from "/page/overview.js";
import { teller } from "/page/refusals.js";
import { clear, gateWord, now, setLink, store, watch } from "/page/store.js";
import { listen, stop } from "/page/stream.js";
import { tenantPage } from "/page/tenant.js";
import { LANGUAGES, clock, language, load, t } from "/page/words.js";

const top_ = document.getElementById("top");
const main = document.getElementById("main");
const said_ = document.getElementById("said");
const THEME = "callgate.theme";
const THEMES = ["auto", "light", "dark"];

let page = null;
let gate = null;
let link = null;
let sayRefusals = () => {};
let known = ""; // the roles that the page was made for

// ------------------------------------------------------------------------------------------------- the frame

function frame() {
  gate = gateSign();
  link = h("p", { class: "link", role: "status", hidden: true });
  sayRefusals = teller(said_);
  const toMain = (event) => { event.preventDefault(); main.focus(); };
  swap(top_, h("a", { href: "#/", class: "skip", onclick: toMain }, t("skip")), gate.root, link,
    h("nav", { "aria-label": t("nav") }, h("a", { href: "#/" }, t("overview.title")), h("a", { href: "#/tenants" }, t("tenants.all"))),
    h("div", { class: "tools" }, h("time", { id: "clock" }), languageChoice(), themeButton(), leaveButton()));
}

function languageChoice() {
  const options = Object.entries(LANGUAGES).map(([key, name]) => h("option", { value: key, selected: key === language, lang: key }, name));
  const choice = h("select", { "aria-label": t("language") }, options);
  choice.addEventListener("change", async () => { await load(choice.value); frame(); go(); });
  return choice;
}

function theme() {
  try { return localStorage.getItem(THEME) ?? "auto"; } catch { return "auto"; }
}

function themeButton() {
  const button = h("button", { type: "button", class: "quiet" });
  const tell = () => {
    mark(document.documentElement, "data-theme", theme());
    put(button, { auto: "◐", light: "☀", dark: "☾" }[theme()]);
    mark(button, "aria-label", t("theme", { theme: t(`theme.${theme()}`) }));
    mark(button, "title", t("theme", { theme: t(`theme.${theme()}`) }));
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    try { localStorage.setItem(THEME, next); } catch { /* it lasts as long as the page, then */ }
    tell();
  });
  tell();
  return button;
}

function leaveButton() {
  if (!token.get()) return null;
  return h("button", { type: "button", class: "quiet", onclick: leave }, t("leave"));
}

function showLink() {
  const isLive = store.link === "live" || !token.get();
  link.hidden = isLive;
  if (isLive) return;
  const since = store.heardAt && store.gate.size ? t("link.since", { at: clock(now() - (performance.now() - store.heardAt)) }) : "";
  put(link, [t(`link.${store.link}`), since, store.why].filter(Boolean).join(" "));
}

// ------------------------------------------------------------------------------------------------- the token

function login(problem = "") {
  const field = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-about" });
  const form = h("form", { class: "panel login" }, h("h1", {}, "callgate"), h("label", { for: "token" }, t("login.token")), field,
    h("p", { id: "token-about", class: "about" }, t("login.about")), h("p", { class: "problem", role: "alert" }, problem),
    h("button", { type: "submit", class: "primary" }, t("login.go")));
  form.addEventListener("submit", (event) => { event.preventDefault(); enter(field.value.trim()); });
  page?.leave?.();
  page = null;
  swap(main, form);
  document.title = "callgate";
  field.focus();
}

function enter(secret) {
  if (/[^!-~]/.test(secret)) { login(t("login.wrong")); return; } // no header can carry it
  known = "";
  token.set(secret);
  clear();
  frame();
  begin();
}

function begin() {
  listen(token.get(), () => { leave(); login(t("login.wrong")); });
  go();
}

function leave() {
  token.forget();
  stop();
  clear();
  frame();
  login();
}

// ------------------------------------------------------------------------------------------------- the places

function go() {
  if (!token.get()) { login(); return; }
  page?.leave?.();
  const [name = "", ...words] = location.hash.slice(2).split("/").map(decode);
  page = name === "tenant" && words[0] ? tenantPage(words[0])
    : name === "call" && words.length === 4 ? callPage(words[0], words.slice(1).join("/"))
    : name === "tenants" ? tenantsPage() : overview();
  document.body.dataset.place = ["tenant", "call", "tenants"].includes(name) ? name : "overview";
  swap(main, page.root);
  page.show();
  tellTitle();
}

function decode(word) {
  try { return decodeURIComponent(word); } catch { return ""; }
}

function tellTitle() {
  document.title = `${{ gating: "✓", standby: "‖", unknown: "?" }[gateWord()] ?? "✕"} ${page?.title ?? ""} – callgate`;
}

// ------------------------------------------------------------------------------------------------- the beat

function beat() {
  const at = now();
  if (page) page.tick(at);
  const shown = document.getElementById("clock");
  if (shown) put(shown, clock(at));
  sayRefusals(performance.now());
  // Each second of the gateway's clock, so that all that counts down does so together.
  setTimeout(() => requestAnimationFrame(beat), 1000 - (now() % 1000));
}

await load();
frame();
watch((kinds) => {
  gate.show();
  showLink();
  // What a token may do is known now: the page is made anew, with the buttons that belong to it. Not so at each new link.
  const may = store.hello?.roles.join(" ") ?? "";
  if (kinds.has("hello") && store.hello && may !== known) {
    known = may;
    go();
  } else {
    page?.show(kinds);
  }
  tellTitle();
});
addEventListener("hashchange", () => { go(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
if (token.get()) begin();
else login();
gate.show();
beat();

