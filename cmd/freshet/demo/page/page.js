// The page: what the streams bring is kept here and drawn once a frame.

import { Clock, Stream } from "/demo/stream.js";
import { drawMatch, drawShare, drawWire, Tape } from "/demo/draw.js";
import { Relays } from "/demo/relays.js";

const UNPLUGGED = 8000; // ms, unless somebody plugs in again before
const PATIENCE = 10000; // ms that a replay may take before the page calls it a loss
const BACKLOG = { "demo/scores": 140, "demo/prices": 420 }; // events that fill the page at once

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const clock = new Clock();
const streams = []; // of the topics, in the origin's order
const tapes = new Map(); // topic to Tape
const matches = new Map(); // pitch to what its card shows
const shares = new Map(); // symbol to what its row shows
const wire = []; // the latest headlines
const delays = []; // ms, of the latest live events
const page = Math.random().toString(36).slice(2); // by this name the demo tells who serves it
const relays = new Relays({ clock, counts: broken, changed: () => { poll.soon(0); draw("facts"); } });
const unpainted = []; // when the events were sent that the next frame shows

let sent = new Map(); // topic to the origin's count, by its latest status
let subscribers = null;
let protocol = "";
let episode = null; // from the stream's being cut until the verdict
let verdict = null; // on the last episode
let dirty = new Set();

// ---- what comes in

const handler = {
  event(stream, type, data, replayed, now) {
    if (!replayed) {
      delays.push(Math.max(0, now - data.sent));
      if (delays.length > 60) delays.shift();
      unpainted.push(data.sent);
    }
    relays.heard(stream.topic, now, data.sent);
    if (stream.topic === "demo/scores") take.match(type, data, replayed);
    else take.share(type, data, replayed);
    tapes.get(stream.topic).add(data, weight(type, data), replayed && !!episode);
    draw("facts");
    if (episode) judge();
  },
  gap(stream, gap) {
    if (episode) episode.gaps.push(gap);
    draw("facts");
  },
  state(stream) {
    if (stream.state === "lost" && !episode) begin("lost");
    if (stream.state === "live" && episode) settle();
    else if (stream.state === "live") poll.soon(400); // the audience has grown
    draw("facts");
  },
};

const take = {
  match(type, data, replayed) {
    const m = matches.get(data.pitch) ?? {};
    matches.set(data.pitch, m);
    if (type === "odds" || type === "suspended") {
      m.before = m.odds?.match === data.match ? m.odds : null;
      m.odds = data;
    } else {
      if (m.score?.match !== data.match) Object.assign(m, { odds: null, line: null });
      m.score = data;
      if (data.text) m.line = { type, text: data.text, team: data.team };
      if (type === "goal" || type === "red-card") {
        m.banner = { type, replayed, team: data.team, at: Date.now() };
        const { home, away } = data;
        report(data, `${home.code} ${home.goals}–${away.goals} ${away.code}`, data.text, type, replayed);
      }
    }
    draw(`match ${data.pitch}`);
  },
  share(type, data, replayed) {
    let s = shares.get(data.symbol);
    if (s?.trade.run !== data.run) shares.set(data.symbol, s = { walk: [] });
    s.was = s.trade?.last ?? data.last;
    s.trade = data;
    s.replayed = replayed;
    s.walk.push(data.last);
    if (s.walk.length > 60) s.walk.shift();
    if (data.news) report(data, data.symbol, data.news, type, replayed);
    draw(`share ${data.symbol}`);
  },
};

function report(data, tag, text, type, replayed) {
  wire.unshift({ at: data.sent, tag, text, type, replayed: replayed && !!episode });
  wire.length = Math.min(wire.length, 4);
  if (type === "goal" && !replayed) say(`${tag}. ${text}`);
  draw("wire");
}

// say tells those who listen to the page.
function say(text) {
  $("say").textContent = text;
}

// weight is how tall an event stands on the tape, from 0 to 1.
function weight(type, data) {
  switch (type) {
    case "goal": case "jump": return 1;
    case "red-card": case "full-time": case "half-time": case "kickoff": return 0.85;
    case "card": case "added": case "sub": return 0.7;
    case "shot": case "corner": return 0.55;
    case "clock": return 0.32;
    case "trade": return 0.2 + Math.min(0.5, Math.log10(data.size / 10) / 4);
  }
  return 0.2;
}

// ---- the plug

// pull cuts every stream, and plugs in again by itself.
function pull(milliseconds = UNPLUGGED) {
  if (episode) return;
  begin("plug", milliseconds);
  for (const s of streams) s.cut();
}

function begin(cause, milliseconds = 0) {
  episode = {
    cause,
    phase: "out", // then "back", until every stream has caught up
    since: performance.now(),
    until: performance.now() + milliseconds,
    gaps: [],
    before: new Map(streams.map((s) => [s, { id: s.lastId, run: s.ledger.run, n: s.ledger.last, counts: counts(s) }])),
    timer: cause === "plug" ? setTimeout(plugIn, milliseconds) : 0,
    waiting: 0,
  };
  verdict = null;
  for (const s of streams) tapes.get(s.topic).part();
  say(sentence()[1]);
  poll();
  draw("facts");
}

function plugIn() {
  if (episode?.phase !== "out" || episode.cause !== "plug") return;
  clearTimeout(episode.timer);
  episode.phase = "back";
  for (const s of streams) s.open();
}

// settle asks the origin how far it was when the last stream had opened: what
// it had sent by then must all be here before anything is judged.
async function settle() {
  if (streams.some((s) => s.state !== "live" && s.state !== "ended")) return;
  const mine = episode;
  mine.phase = "back";
  clearTimeout(mine.waiting);
  mine.waiting = setTimeout(() => { if (episode === mine) judge(true); }, PATIENCE);
  const answer = await poll();
  if (episode !== mine || !answer || streams.some((s) => s.state === "lost")) return;
  mine.goal = new Map(answer.topics.map((t) => [t.topic, t.sent]));
  mine.run = answer.run;
  judge();
}

function counts(s) {
  const { missing, doubled, disordered, declared, replayed } = s.ledger;
  return { missing: missing.size, doubled, disordered, declared, replayed };
}

// judge passes the verdict once every stream has what the origin had sent.
function judge(late = false) {
  if (!episode.goal && !late) return;
  const here = (s) => (s.ledger.run === episode.run ? s.ledger.last : 0);
  const behind = (s) => s.state === "ended" ? 0 : Math.max(0, (episode.goal?.get(s.topic) ?? 0) - here(s));
  if (!late && streams.some((s) => behind(s) > 0)) return;
  const topics = streams.map((s) => {
    const was = episode.before.get(s), now = counts(s);
    const again = was.run !== s.ledger.run; // the origin began anew: there is nothing to compare with
    const row = { topic: s.topic, after: was.id, again };
    for (const key of Object.keys(now)) row[key] = again && key !== "replayed" ? now[key] : now[key] - was.counts[key];
    row.missing += behind(s);
    return row;
  });
  const total = (key) => topics.reduce((sum, t) => sum + t[key], 0);
  clearTimeout(episode.waiting);
  verdict = {
    cause: episode.cause,
    away: performance.now() - episode.since,
    took: Math.max(...streams.map((s) => s.arrived - s.opened)),
    gaps: episode.gaps, topics, again: topics.some((t) => t.again),
    replayed: total("replayed"), missing: total("missing"), doubled: total("doubled"),
    disordered: total("disordered"), declared: total("declared"),
  };
  verdict.ok = verdict.missing + verdict.doubled + verdict.disordered + verdict.declared === 0 &&
    !late && !verdict.again && !verdict.gaps.length;
  episode = null;
  say(sentence()[1]);
  draw("facts");
}

// ---- the origin's own account, beside the streams

let polling = 0;
let silent = 0; // polls in a row that got no answer

async function poll() {
  clearTimeout(polling);
  const asked = performance.now();
  let answer = null;
  try {
    const response = await fetch(`/demo/status?page=${page}`, { cache: "no-store", signal: AbortSignal.timeout(4000) });
    const answered = performance.now(); // headers are here; the time in the body is older by no more
    answer = await response.json();
    clock.sample(answer.now, asked, answered);
    relays.update(answer.relays ?? []);
    subscribers = answer.relays ? answer.relays.reduce((sum, r) => sum + r.subscribers, 0) : answer.subscribers;
    sent = new Map(answer.topics.map((t) => [t.topic, t.sent]));
    silent = 0;
    if (episode) for (const s of streams) if (s.state !== "live") tapes.get(s.topic).expect(answer.run, sent.get(s.topic));
  } catch {
    silent++;
  }
  poll.soon(episode || relays.takeover?.waiting ? 300 : relays.list.length ? 1000 : 2000);
  draw("facts");
  return answer;
}

poll.soon = (milliseconds) => {
  clearTimeout(polling);
  polling = setTimeout(poll, milliseconds);
};

new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.nextHopProtocol && /\/(demo\/status|events\/)/.test(entry.name)) protocol = entry.nextHopProtocol;
  }
  performance.clearResourceTimings();
  draw("facts");
}).observe({ type: "resource", buffered: true });

// ---- drawing

let frame = 0;

function draw(what) {
  dirty.add(what);
  frame ||= requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  const things = dirty;
  dirty = new Set();
  for (const what of things) {
    const [kind, key] = what.split(" ");
    if (kind === "match") drawMatch($("matches"), +key, matches.get(+key));
    if (kind === "share") drawShare($("market"), key, shares.get(key));
    if (kind === "wire") drawWire($("wire"), wire);
  }
  for (const tape of tapes.values()) tape.draw();
  if (things.has("facts")) paintFacts();
  if (unpainted.length) {
    const now = clock.now(), drawn = now - unpainted.at(-1);
    unpainted.length = 0;
    painted = painted ? painted * 0.9 + drawn * 0.1 : drawn;
  }
}

let painted = 0; // ms from origin to frame, smoothed

const names = { "http/1.1": "HTTP/1.1", "http/1.0": "HTTP/1.0", h2: "HTTP/2", h3: "HTTP/3" };
const notes = { "http/1.1": "a connection per stream", h2: "one connection for all", h3: "one connection, over QUIC" };

function paintFacts() {
  document.body.dataset.plug = episode ? episode.phase : "in";
  paintPill();
  paintVerdict();
  paintRelays();

  const sorted = [...delays].sort((a, b) => a - b);
  $("delay").textContent = sorted.length ? milliseconds(sorted[sorted.length >> 1]) : "–";
  $("delay-note").textContent = painted ? `origin to page · on screen ${Math.round(painted)} ms` : "origin to page";
  $("delays").setAttribute("d", path(delays.slice(-50), 100, 24, 0, Math.max(4, sorted.at(-3) ?? 0)));
  $("subscribers").textContent = subscribers === null ? "–" : number.format(subscribers);
  const here = streams.filter((s) => s.state === "live").length;
  $("subscribers-note").textContent = `streams on ${relays.list.length ? "these relays" : "this relay"}, ${here || "none"} of them here`;
  const received = streams.reduce((sum, s) => sum + s.ledger.received, 0);
  $("events").textContent = number.format(received);
  $("protocol").textContent = names[protocol] ?? (protocol || "–");
  $("protocol-note").textContent = (location.protocol === "https:" ? "TLS · " : "no TLS · ") + (notes[protocol] ?? "");

  const crowded = silent > 1 && protocol === "http/1.1" && here === streams.length;
  notice(crowded ? "A browser opens six connections to a host over HTTP/1.1, all tabs together, and they seem to be used up. Close another tab of this demo, or start it with TLS." : "");
}

function paintRelays() {
  $("relays").hidden = !relays.list.length;
  if (!relays.list.length) return;
  relays.draw($("fleet"), $("relay"));
  const [kind, text] = relays.sentence(number);
  $("takeover").dataset.kind = kind;
  if ($("takeover").textContent !== text) $("takeover").textContent = text;
  $("kill").disabled = !relays.ready || !!relays.takeover?.waiting;
  $("kill-text").textContent = relays.owner ? `Kill ${relays.owner}` : "Kill the owner";
}

// broken counts what no topic may ever have.
function broken() {
  const sum = { missing: 0, doubled: 0, disordered: 0 };
  for (const s of streams) for (const key of Object.keys(sum)) sum[key] += counts(s)[key];
  return sum;
}

function notice(text) {
  $("notice").hidden = !text;
  if ($("notice").textContent !== text) $("notice").textContent = text;
}

function paintPill() {
  const states = streams.map((s) => s.state);
  let text = "connecting", kind = "wait";
  if (episode?.phase === "out" && episode.cause === "plug") [text, kind] = ["unplugged", "out"];
  else if (states.includes("lost")) [text, kind] = ["reconnecting", "out"];
  else if (states.length && states.every((s) => s === "ended")) [text, kind] = ["ended", "wait"];
  else if (states.length && states.every((s) => s === "live" || s === "ended")) [text, kind] = ["live", "in"];
  if ($("pill-text").textContent !== text) $("pill-text").textContent = text;
  $("pill").dataset.kind = kind;
}

function paintVerdict() {
  const [kind, title, text] = sentence();
  $("verdict").dataset.kind = kind;
  if ($("verdict-title").textContent !== title) $("verdict-title").textContent = title;
  $("verdict-text").textContent = text;

  const button = $("plug"), out = episode?.phase === "out" && episode.cause === "plug";
  $("plug-text").textContent = out ? "Plug back in" : "Pull the plug";
  button.disabled = !streams.length || (!!episode && !out);
  button.style.setProperty("--fuse", out ? `${episode.until - episode.since}ms` : "0ms");
  button.classList.toggle("burning", out);

  $("proof").hidden = !verdict;
  if (verdict && $("proof").of !== verdict) {
    $("proof").of = verdict;
    $("proof-rows").replaceChildren(...verdict.topics.map((t) => {
      const tr = document.createElement("tr");
      const cells = [t.topic, t.after, t.replayed, t.missing + t.declared, t.doubled, t.disordered];
      cells.forEach((text, i) => {
        const cell = document.createElement(i ? "td" : "th");
        cell.textContent = text;
        if (!i) cell.append(Object.assign(document.createElement("small"), { textContent: `after ${t.after}` }));
        if (i > 2) cell.className = text ? "bad" : "good";
        tr.append(cell);
      });
      return tr;
    }));
  }
}

function sentence() {
  const all = (key) => streams.reduce((sum, s) => sum + (key === "missing" ? s.ledger.missing.size : s.ledger[key]), 0);
  if (episode) {
    const waiting = streams.reduce((sum, s) => sum + Math.max(0, (sent.get(s.topic) ?? 0) - s.ledger.last), 0);
    const held = `${count(waiting, "event")} sent since, kept for you in the relay's ring.`;
    if (episode.phase === "back") return ["back", "Catching up", held];
    return ["out", episode.cause === "plug" ? "Unplugged" : "The connection is lost", held];
  }
  if (verdict) {
    const v = verdict, away = `${(v.away / 1000).toFixed(1)} s away`;
    if (v.again && !v.missing && !v.doubled && !v.disordered) {
      return ["gap", "The demo was started again.", `${away}. ${count(v.replayed, "event")} of the new show, nothing missing, all in order.`];
    }
    if (v.ok) {
      const took = v.took < 1 ? "under a millisecond" : `${milliseconds(v.took)} ms`;
      return ["good", `${count(v.replayed, "event")} replayed. Nothing missing, nothing doubled, all in order.`,
        `${away}, caught up in ${took}. Checked against the origin's own count.`];
    }
    if (v.declared + v.gaps.length && !v.missing && !v.doubled && !v.disordered) {
      return ["gap", `${count(v.declared, "event")} no longer kept, and the relay said so.`,
        `${away}. ${count(v.replayed, "event")} replayed after the gap (${v.gaps[0]?.reason ?? "unknown"}).`];
    }
    return ["bad", `${v.missing} missing, ${v.doubled} doubled, ${v.disordered} out of order.`,
      `${away}, ${count(v.replayed, "event")} replayed. This should never be seen: please report it.`];
  }
  const received = all("received"), broken = all("missing") + all("doubled") + all("disordered");
  if (!received) return ["wait", "Waiting for the first event", ""];
  if (broken) return ["bad", `${all("missing")} missing, ${all("doubled")} doubled, ${all("disordered")} out of order.`, "This should never be seen: please report it."];
  return ["good", `${count(received, "event")} so far. Nothing missing, nothing doubled, all in order.`,
    "Every event carries the origin's own count, and this page checks each."];
}

function count(n, thing) {
  return `${number.format(n)} ${thing}${n === 1 ? "" : "s"}`;
}

function milliseconds(x) {
  return x < 10 ? x.toFixed(1) : number.format(Math.round(x));
}

function path(values, width, height, low, high) {
  const x = (i) => (i * width) / Math.max(1, values.length - 1);
  const y = (v) => height - 1 - ((Math.min(v, high) - low) / (high - low || 1)) * (height - 2);
  return values.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
}

// ---- beginning

async function main() {
  const base = location.origin, insecure = location.protocol === "https:" ? "-k " : "";
  $("curl").textContent =
    `# live from now on\ncurl ${insecure}-N '${base}/events/demo/scores'\n` +
    `# the last twenty first\ncurl ${insecure}-N '${base}/events/demo/prices?from=-20'\n` +
    `# all that is kept\ncurl ${insecure}-N '${base}/events/demo/scores?from=oldest'`;
  let answer = null;
  while (!(answer = await poll())?.run) await new Promise((done) => setTimeout(done, 500));
  for (const { topic, types } of answer.topics) {
    const stream = new Stream({ topic, types, backlog: BACKLOG[topic] ?? 50, page: answer.relays && page, clock, handler });
    streams.push(stream);
    tapes.set(topic, new Tape($("tapes"), stream));
  }
  for (const s of streams) s.open();
  $("plug").addEventListener("click", () => (episode ? plugIn() : pull()));
  $("kill").addEventListener("click", () => relays.kill());
}

// For tests, and for the curious at the console.
window.freshetDemo = {
  pull, plugIn, kill: () => relays.kill(),
  get relays() { return relays.list; },
  get takeover() { return relays.takeover; },
  get plug() { return episode ? episode.phase : "in"; },
  get verdict() { return verdict; },
  get protocol() { return protocol; },
  get subscribers() { return subscribers; },
  get delay() { return [...delays].sort((a, b) => a - b)[delays.length >> 1] ?? null; },
  get streams() {
    return streams.map((s) => ({
      topic: s.topic, state: s.state, lastId: s.lastId,
      ...s.ledger, missing: [...s.ledger.missing],
    }));
  },
};

main();
