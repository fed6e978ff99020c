// The API's operations that the page uses. A problem is thrown as an ApiError with the API's own sentence.

const KEY = "callgate.token";

export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** The token of this tab; it is gone when the tab is closed. */
export const token = {
  get: () => { try { return sessionStorage.getItem(KEY) ?? ""; } catch { return ""; } },
  set: (value) => { try { sessionStorage.setItem(KEY, value); } catch { /* then it lives as long as the page */ } },
  forget: () => { try { sessionStorage.removeItem(KEY); } catch { /* as above */ } },
};

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${token.get()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(answer.status, told.code ?? "", told.detail ?? `HTTP ${answer.status}`);
  return told;
}

const of = (tenant) => `/v1/tenants/${encodeURIComponent(tenant)}`;
const callPath = (id) => id.split("/").map(encodeURIComponent).join("/");

export const api = {
  terms: (tenant) => call("GET", of(tenant)),
  balance: (tenant) => call("GET", `${of(tenant)}/balance`),
  lots: (tenant) => call("GET", `${of(tenant)}/lots`),
  recharge: (tenant) => call("GET", `${of(tenant)}/recharge`),
  restrictions: (tenant) => call("GET", `${of(tenant)}/restrictions`),
  refusals: (tenant) => call("GET", `${of(tenant)}/refusals?limit=50`),
  history: (tenant, fromMs, points) =>
    call("GET", `${of(tenant)}/history?from=${encodeURIComponent(instant(fromMs))}&points=${points}`),
  journal: (tenant, fromMs, cursor) =>
    call("GET", `${of(tenant)}/journal?archive=true&limit=200&from=${encodeURIComponent(instant(fromMs))}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`),
  story: (tenant, id) => call("GET", `${of(tenant)}/calls/${callPath(id)}`),
  cut: (id) => call("POST", `/v1/calls/${callPath(id)}/cut`),
  restrict: (tenant, cli, why, seconds) =>
    call("POST", `${of(tenant)}/restrictions`, { cli, why, ...(seconds ? { seconds } : {}) }),
  lift: (tenant, target) => call("DELETE", `${of(tenant)}/restrictions?target=${encodeURIComponent(target)}`),
};

function instant(atMs) {
  return new Date(Math.max(0, atMs)).toISOString();
}

/** The addresses of the page's own places. */
export const place = {
  tenant: (name) => `#/tenant/${encodeURIComponent(name)}`,
  call: (tenant, id) => `#/call/${encodeURIComponent(tenant)}/${callPath(id)}`,
};
