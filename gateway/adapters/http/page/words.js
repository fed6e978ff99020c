// Words, numbers, money and times in the reader's language.

export const LANGUAGES = { en: "English", fr: "Français" };
const KEY = "callgate.language";

let words = {};
let spare = {};
export let language = "en";
let locale = "en"; // the same with the reader's country, whose dates and points are used
let plurals = new Intl.PluralRules("en");
const formats = new Map();

/** Load a language: the one that was chosen, or the browser's, or English. */
export async function load(wanted) {
  const asked = [wanted, stored(), ...navigator.languages.map((one) => one.slice(0, 2))];
  language = asked.find((one) => one in LANGUAGES) ?? "en";
  if (wanted) keep(wanted);
  [words, spare] = await Promise.all([language, "en"].map((one) => fetch(`/page/${one}.json`).then((r) => r.json())));
  locale = navigator.languages.find((one) => one.slice(0, 2) === language) ?? language;
  plurals = new Intl.PluralRules(language);
  formats.clear();
  document.documentElement.lang = language;
}

function stored() {
  try { return localStorage.getItem(KEY) ?? ""; } catch { return ""; }
}

function keep(value) {
  try { localStorage.setItem(KEY, value); } catch { /* a private window keeps nothing */ }
}

/** A text by its key, with {names} filled in. */
export function t(key, values = {}) {
  const text = words[key] ?? spare[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** Whether there is such a text. */
export function has(key) {
  return key in words || key in spare;
}

/** A text for a count: KEY.one, KEY.other. */
export function counted(key, count, values = {}) {
  const form = `${key}.${plurals.select(count)}`;
  return t(has(form) ? form : `${key}.other`, { n: whole(count), ...values });
}

/** The words of a code; the code itself where this page is older than the gateway. */
export function said(prefix, code) {
  return code && has(`${prefix}.${code}`) ? t(`${prefix}.${code}`) : code;
}

function format(kind, key, options) {
  const name = `${kind} ${key}`;
  if (!formats.has(name)) {
    const make = kind === "number" ? Intl.NumberFormat : Intl.DateTimeFormat;
    formats.set(name, new make(locale, options));
  }
  return formats.get(name);
}

/** A whole number. */
export function whole(value) {
  return format("number", "whole", { maximumFractionDigits: 0 }).format(value);
}

/** A number with one digit behind the point. */
export function tenth(value) {
  return format("number", "tenth", { maximumFractionDigits: 1 }).format(value);
}

/** An amount without its currency, which stands beside it: a dollar sign is that of five countries. */
export function amount(micros) {
  return format("number", "amount", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(micros / 1e6);
}

/** An amount and its currency. */
export function money(micros, currency) {
  return `${amount(micros)}\u00a0${currency}`;
}

/** A time of the day. */
export function clock(atMs) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  return format("time", "clock", options).format(atMs);
}

/** A day and a time. */
export function moment(atMs) {
  const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return format("time", "moment", options).format(atMs);
}

/** The time alone where it is of today, else the day, too. */
export function when(atMs) {
  return Date.now() - atMs < 86_400_000 && new Date(atMs).getDate() === new Date().getDate() ? clock(atMs) : moment(atMs);
}

/** A short label of an axis. */
export function tickOf(atMs, isDays) {
  const options = isDays ? { weekday: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return format("time", `tick ${isDays}`, options).format(atMs);
}

/** 0:07, 12:34, 1:02:03. */
export function span(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  const tail = String(all % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** How long until something: 40 s, 12 min, 3 h 20, 5 days. */
export function until(seconds) {
  if (seconds <= 0) return t("until.now");
  if (seconds < 120) return t("until.seconds", { n: whole(seconds) });
  if (seconds < 7200) return t("until.minutes", { n: whole(Math.floor(seconds / 60)) });
  if (seconds < 172800) return t("until.hours", { n: whole(Math.floor(seconds / 3600)) });
  return t("until.days", { n: whole(Math.floor(seconds / 86400)) });
}
