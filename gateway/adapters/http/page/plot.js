// A balance over some time, as a line that steps where money moved, and what was spent hour by hour under it.

import { h, put, s } from "/page/dom.js";
import { amount, moment, money, t, tickOf } from "/page/words.js";

const [LEAST_WIDTH, HEIGHT, SPENT] = [320, 240, 56];
const [LEFT, RIGHT, TOP, BOTTOM, GAP] = [76, 16, 12, 24, 18];
const TICK_WIDTH = 110;
const DAY_MS = 86_400_000;

/** Draw. ``points``: [{at_ms, balance_micros}], ``hours``: [{at_ms, charged_micros}]; ``zeroAt``: when the forecast is zero. */
export function plot({ points, hours, currency, fromMs, toMs, zeroAt, width }) {
  if (!points.length) return h("p", { class: "empty" }, t("plot.none"));
  const WIDTH = Math.max(LEAST_WIDTH, width);
  const ahead = zeroAt !== undefined && zeroAt - toMs < (toMs - fromMs) / 4 && zeroAt > toMs;
  const endMs = ahead ? zeroAt : toMs;
  const balances = points.map((point) => point.balance_micros);
  const [low, high] = [Math.min(0, ...balances), Math.max(1, ...balances)];
  const x = (at) => LEFT + ((Math.min(Math.max(at, fromMs), endMs) - fromMs) / (endMs - fromMs)) * (WIDTH - LEFT - RIGHT);
  const y = (micros) => TOP + (1 - (micros - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const last = points[points.length - 1];
  const line = [...steps(points, x, y), `L${x(toMs)},${y(last.balance_micros)}`].join("");
  const most = Math.max(1, ...hours.map((hour) => hour.charged_micros));
  const base = HEIGHT + GAP + SPENT;
  const picture = s("svg", { width: WIDTH, height: base + BOTTOM, viewBox: `0 0 ${WIDTH} ${base + BOTTOM}`, class: "plot", role: "img", "aria-label": told(points, currency) },
    levels(low, high).map((level) => [
      s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level), class: level === 0 ? "zero" : "grid" }),
      s("text", { x: LEFT - 8, y: y(level) + 4, class: "label end" }, amount(level)),
    ]),
    ticks(fromMs, endMs, WIDTH / TICK_WIDTH).map((at) => s("text", { x: x(at), y: HEIGHT - 4, class: "label middle" }, tickOf(at, endMs - fromMs > 2 * DAY_MS))),
    s("path", { d: `${line}L${x(toMs)},${y(low)}L${x(points[0].at_ms)},${y(low)}Z`, class: "area" }),
    s("path", { d: line, class: "line" }),
    ahead && s("line", { x1: x(toMs), y1: y(last.balance_micros), x2: x(zeroAt), y2: y(0), class: "forecast" }),
    s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: base, y2: base, class: "grid" }),
    s("text", { x: LEFT - 8, y: base - SPENT + 10, class: "label end" }, amount(most === 1 ? 0 : most)),
    hours.filter((hour) => hour.at_ms + 3_600_000 > fromMs).map((hour) => {
      const [from, to] = [x(hour.at_ms), x(Math.min(hour.at_ms + 3_600_000, toMs))];
      const height = (hour.charged_micros / most) * SPENT;
      return s("rect", { x: from, y: base - height, width: Math.max(1, to - from - 1), height, class: "spent" });
    }),
    s("text", { x: LEFT, y: base + BOTTOM - 8, class: "label" }, t("plot.spent")),
  );
  return withPointer(picture, points, x, y, currency, WIDTH);
}

function steps(points, x, y) {
  return points.map((point, number) =>
    number === 0 ? `M${x(point.at_ms)},${y(point.balance_micros)}` : `H${x(point.at_ms)}V${y(point.balance_micros)}`);
}

/** Round levels, four or so. */
function levels(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let level = Math.ceil(low / step) * step; level <= high + 1; level += step) found.push(level || 0);
  return found;
}

function ticks(fromMs, toMs, most) {
  const hours = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168].find((one) => (toMs - fromMs) / (one * 3_600_000) <= most) ?? 720;
  const step = hours * 3_600_000;
  const shift = new Date(toMs).getTimezoneOffset() * 60_000;
  const found = [];
  for (let at = Math.ceil((fromMs - shift) / step) * step + shift; at < toMs; at += step) if (at > fromMs + step / 4) found.push(at);
  return found;
}

function told(points, currency) {
  const balances = points.map((point) => point.balance_micros);
  return t("plot.told", {
    first: money(balances[0], currency), last: money(balances[balances.length - 1], currency), low: money(Math.min(...balances), currency),
  });
}

/** What the balance was where somebody points. */
function withPointer(picture, points, x, y, currency, width) {
  const dot = s("circle", { r: 5, class: "dot", cx: -20, cy: -20 });
  const shown = h("output", { class: "pointed" });
  picture.append(dot);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const point = points.findLast((one) => x(one.at_ms) <= at) ?? points[0];
    dot.setAttribute("cx", Math.max(x(point.at_ms), Math.min(at, width - RIGHT)));
    dot.setAttribute("cy", y(point.balance_micros));
    put(shown, `${moment(point.at_ms)}  ${money(point.balance_micros, currency)}`);
  });
  const rows = points.slice(-100).reverse().map((point) =>
    h("tr", {}, h("td", {}, moment(point.at_ms)), h("td", { class: "right" }, money(point.balance_micros, currency))));
  const table = h("details", {}, h("summary", {}, t("plot.as_table")),
    h("div", { class: "scroll short", tabindex: "0", role: "region", "aria-label": t("plot.as_table") },
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("journal.when")), h("th", { scope: "col", class: "right" }, t("tenant.balance")))), h("tbody", {}, rows))));
  return h("div", { class: "plot-box" }, h("div", { class: "plot-scroll" }, picture), shown, table);
}
