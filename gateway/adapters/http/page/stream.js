// Server-sent events by fetch: an EventSource can send no Authorization header, and a token never stands in an address.

import { STALE_MS, setLink, store, take } from "/page/store.js";

const PAUSES_SECONDS = [1, 2, 4, 8];
const SLICE_MS = 20; // a whole view comes at once: it is taken in pieces, and what is seen stays alive meanwhile

let control = null;
let lastId = "";

/** Listen until ``stop``. ``onRefused`` is called where the token is none. */
export async function listen(token, onRefused) {
  stop();
  const mine = (control = new AbortController());
  let failures = 0;
  while (!mine.signal.aborted) {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    mine.signal.addEventListener("abort", end);
    const guard = setInterval(() => isSilent() && attempt.abort(), 1000);
    store.heardAt = performance.now();
    let waitSeconds = PAUSES_SECONDS[Math.min(failures, PAUSES_SECONDS.length - 1)];
    try {
      const answer = await fetch("/v1/live", { headers: headers(token), signal: attempt.signal, cache: "no-store" });
      if (answer.status === 401) return onRefused();
      if (answer.ok) {
        await read(answer.body.getReader(), () => { failures = 0; });
        waitSeconds = PAUSES_SECONDS[0];
      } else {
        waitSeconds = Number(answer.headers.get("Retry-After")) || waitSeconds;
        setLink("stale", (await answer.json().catch(() => ({}))).detail ?? "");
      }
    } catch { /* the network; told below */ }
    clearInterval(guard);
    mine.signal.removeEventListener("abort", end);
    if (mine.signal.aborted) return;
    failures += 1;
    setLink("stale", store.why);
    await new Promise((done) => setTimeout(done, waitSeconds * 1000));
  }
}

/** Listen no more. */
export function stop() {
  control?.abort();
  control = null;
  lastId = "";
}

function isSilent() {
  return performance.now() - store.heardAt > STALE_MS;
}

function headers(token) {
  const more = lastId ? { "Last-Event-ID": lastId } : {};
  return { Authorization: `Bearer ${token}`, Accept: "text/event-stream", ...more };
}

async function read(reader, onHeard) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    let began = performance.now();
    for (const event of events) {
      hear(event);
      if (document.hidden || performance.now() - began < SLICE_MS) continue;
      await new Promise((done) => setTimeout(done));
      began = performance.now();
    }
    onHeard();
  }
}

function hear(text) {
  const fields = Object.fromEntries(text.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  if (!fields.data) return;
  take(fields.event, JSON.parse(fields.data));
  if (fields.id) lastId = fields.id;
}
