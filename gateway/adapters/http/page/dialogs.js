// What changes something is asked about first, in words that name it. The API keeps its audit log of each.

import { api } from "/page/api.js";
import { h, put, swap } from "/page/dom.js";
import { t } from "/page/words.js";

/** End a call. */
export function askCut(call, onDone) {
  ask({
    title: t("cut.title"), about: t("cut.about", { cli: call.cli || t("calls.no_cli"), number: call.number, tenant: call.tenant }),
    act: t("cut.act"), run: () => api.cut(call.id), onDone,
  });
}

/** Refuse a tenant's calls, or those of one caller. */
export function askRestrict(tenant, cli, onDone) {
  const why = h("input", { id: "why", required: true, maxlength: 200, autocomplete: "off" });
  const length = h("select", { id: "length" },
    h("option", { value: "0" }, t("restrict.until_lifted")),
    h("option", { value: "3600" }, t("restrict.hour")),
    h("option", { value: "86400" }, t("restrict.day")));
  ask({
    title: t(cli ? "restrict.title_cli" : "restrict.title"), about: t(cli ? "restrict.about_cli" : "restrict.about", { tenant, cli }),
    fields: [h("label", { for: "why" }, t("restrict.why")), why, h("label", { for: "length" }, t("restrict.length")), length],
    act: t("restrict.act"), run: () => api.restrict(tenant, cli ?? "", why.value.trim() || "-", Number(length.value)), onDone,
  });
}

/** Take a restriction back. */
export function askLift(tenant, target, onDone) {
  ask({
    title: t("lift.title"), about: t("lift.about", { tenant, target }), act: t("lift.act"),
    run: () => api.lift(tenant, target), onDone, isGentle: true,
  });
}

function ask({ title, about, fields = [], act, run, onDone, isGentle }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const go = h("button", { type: "submit", class: isGentle ? "primary" : "danger" }, act);
  const close = h("button", { type: "button", onclick: () => dialog.close() }, t("dialog.no"));
  const form = h("form", {}, h("h2", { id: "asked" }, title), h("p", { id: "asked-about" }, about), fields, problem,
    h("div", { class: "buttons" }, close, go));
  const opener = document.activeElement;
  const meant = opener?.call?.id; // a row's button is another call's when rows have moved
  const dialog = h("dialog", { "aria-labelledby": "asked", "aria-describedby": "asked-about" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await run();
      swap(form, h("h2", {}, t("dialog.done")), h("p", { role: "status" }, title));
      onDone?.();
      setTimeout(() => dialog.close(), 900);
    } catch (error) {
      put(problem, error.message);
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener?.call?.id !== meant) document.getElementById("main").focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
  (fields.find((one) => one.tagName === "INPUT") ?? close).focus(); // never on what cannot be undone
}
