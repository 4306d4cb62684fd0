// Cards, rows and tapes: each function brings one element up to what is known.

const SVG = "http://www.w3.org/2000/svg";
const prices = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const volumes = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const BANNER = 4500; // ms that a goal shines

// put changes a text only when it differs: an unchanged node costs no layout,
// and a screen reader says nothing twice.
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function elementOf(parent, key, template) {
  let element = parent.querySelector(`:scope > [data-key="${key}"]`);
  if (!element) {
    element = document.getElementById(template).content.firstElementChild.cloneNode(true);
    element.dataset.key = key;
    const after = [...parent.children].find((other) => order(other.dataset.key, key) > 0);
    parent.insertBefore(element, after ?? null);
  }
  return element;
}

function order(a, b) {
  return isNaN(a) ? a.localeCompare(b) : a - b;
}

// blink starts an animation that a class carries, again if it is running.
function blink(element, name) {
  element.classList.remove(name);
  void element.offsetWidth;
  element.classList.add(name);
}

// ---- a match

const phases = { soon: "Up next", first: "Live", "half-time": "Half-time", second: "Live", "full-time": "Full time" };

export function drawMatch(parent, pitch, m) {
  if (!m.score) return; // odds of a match that began before our backlog
  const card = elementOf(parent, pitch, "match");
  const part = (selector) => card.querySelector(selector);
  const { home, away, phase, clock, played } = m.score;

  card.dataset.phase = phase;
  put(part(".phase"), phases[phase] ?? phase);
  put(part(".clock"), phase === "first" || phase === "second" ? clock : "");
  part(".time i").style.width = `${(played / 5400) * 100}%`;
  drawSide(part(".home"), home);
  drawSide(part(".away"), away);
  card.setAttribute("aria-label", `${home.name} ${home.goals}, ${away.name} ${away.goals}, ${clock}`);

  const scorers = [home.scorers, away.scorers].map(together);
  put(part(".scorers"), scorers.filter(Boolean).join("  ·  "));
  put(part(".line"), m.line?.text ?? "");
  part(".line").dataset.type = m.line?.type ?? "";
  drawOdds(card, m.odds?.match === m.score.match ? m.odds : null, m.before);

  if (m.banner && card.banner !== m.banner) {
    card.banner = m.banner;
    const fresh = Date.now() - m.banner.at < BANNER;
    const what = m.banner.type === "goal" ? "Goal" : "Red card";
    put(part(".banner"), m.banner.replayed ? `${what}, replayed` : what);
    part(".banner").dataset.type = m.banner.type;
    part(".banner").dataset.replayed = m.banner.replayed;
    if (fresh && card.dataset.drawn) {
      blink(card, "shines");
      blink(part(`.${m.banner.team === "home" ? "home" : "away"} .goals`), "bumps");
    }
  }
  card.dataset.drawn = "yes"; // the first picture is no news
}

// together names each scorer once: "Costa 12', 70'".
function together(scorers) {
  const goals = new Map();
  for (const [, name, minute] of scorers.map((s) => s.match(/^(\S+) (.*)$/))) {
    goals.set(name, [...(goals.get(name) ?? []), minute]);
  }
  return [...goals].map(([name, minutes]) => `${name} ${minutes.join(", ")}`).join(", ");
}

function drawSide(row, side) {
  put(row.querySelector(".club"), side.name);
  put(row.querySelector(".goals"), String(side.goals));
  const cards = row.querySelector(".cards");
  const wanted = `${side.yellow}/${side.red}`;
  if (cards.dataset.count !== wanted) {
    cards.dataset.count = wanted;
    cards.replaceChildren(...["red", "yellow"].flatMap((colour) => Array.from({ length: side[colour] }, () => {
      const i = document.createElement("i");
      i.className = colour;
      return i;
    })));
    cards.setAttribute("role", "img");
    cards.setAttribute("aria-label", `${side.yellow} yellow, ${side.red} red`);
  }
  const crest = row.querySelector(".crest");
  if (crest.dataset.code !== side.code) {
    crest.dataset.code = side.code;
    drawCrest(crest, side);
  }
}

// The outline of a shield, and one of four ways to divide it, by the club's code.
const shield = "M2 2h20v13c0 6-4.5 9.5-10 11.5C6.5 24.5 2 21 2 15z";
const divisions = ["M12 0h12v28H12z", "M0 10h24v7H0z", "M-2 20 20-2h8L2 28z", "M8.5 0h7v28h-7z"];

function drawCrest(svg, { code, shirt, trim }) {
  const id = `crest-${code}`;
  const make = (name, attributes, ...children) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const way = [...code].reduce((sum, c) => sum + c.charCodeAt(0), 0) % divisions.length;
  svg.replaceChildren(
    make("clipPath", { id }, make("path", { d: shield })),
    make("path", { d: shield, fill: shirt }),
    make("path", { d: divisions[way], fill: trim, "clip-path": `url(#${id})` }),
    make("path", { d: shield, class: "rim" }),
  );
}

function drawOdds(card, odds, before) {
  const chances = card.querySelector(".chances"), box = card.querySelector(".odds");
  box.dataset.suspended = !odds || odds.suspended;
  if (!odds) {
    for (const cell of box.querySelectorAll("dd")) put(cell, "–");
    return;
  }
  odds.chance.forEach((p, i) => { chances.children[i].style.flexGrow = Math.max(p, 0.5); });
  chances.setAttribute("aria-label", `chances: home ${odds.chance[0]}%, draw ${odds.chance[1]}%, away ${odds.chance[2]}%`);
  ["home", "draw", "away"].forEach((key, i) => {
    const cell = box.children[i].lastElementChild;
    put(cell, odds[key] >= 100 ? odds[key].toFixed(0) : odds[key].toFixed(2));
    const was = before?.[key];
    if (was === undefined || was === odds[key] || cell.of === odds) return;
    cell.of = odds;
    blink(cell, odds[key] > was ? "rises" : "falls");
    cell.classList.remove(odds[key] > was ? "falls" : "rises");
  });
}

// ---- a share

export function drawShare(parent, symbol, s) {
  const row = elementOf(parent, symbol, "share");
  const part = (selector) => row.querySelector(selector);
  const t = s.trade, change = (t.last / t.open - 1) * 100;
  put(part("th b"), t.symbol);
  put(part("th small"), t.name);
  put(part(".last"), prices.format(t.last));
  put(part(".change"), `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)}%`);
  put(part(".spread"), `${prices.format(t.bid)} · ${prices.format(t.ask)}`);
  put(part(".volume"), volumes.format(t.volume));
  row.dataset.way = change < 0 ? "down" : "up";

  const low = Math.min(...s.walk), high = Math.max(...s.walk), space = Math.max(high - low, t.last * 0.0015);
  const x = (i) => 120 - (s.walk.length - 1 - i) * (120 / 59);
  const y = (p) => 29 - ((p - low) / space) * 26;
  const line = s.walk.map((p, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(p).toFixed(1)}`).join("");
  part(".walk").setAttribute("d", line);
  part(".area").setAttribute("d", `${line}V32H${x(0).toFixed(1)}Z`);
  const opening = Math.min(Math.max(y(t.open), -2), 34);
  for (const end of ["y1", "y2"]) part("line").setAttribute(end, opening.toFixed(1));
  part("svg").setAttribute("aria-label", `between ${prices.format(low)} and ${prices.format(high)} lately`);

  if (row.dataset.drawn && t.last !== s.was) {
    const way = t.last > s.was ? "rises" : "falls";
    part(".last").classList.remove("rises", "falls");
    blink(part(".last"), way);
  }
  if (t.news && row.dataset.drawn) blink(row, "shines");
  row.dataset.drawn = "yes";
}

// ---- the wire

export function drawWire(list, wire) {
  list.replaceChildren(...wire.map((w) => {
    const item = document.createElement("li");
    item.dataset.type = w.type;
    const time = document.createElement("time");
    const at = new Date(w.at);
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleTimeString("en-GB");
    const tag = document.createElement("b");
    tag.textContent = w.tag;
    const text = document.createElement("span");
    text.textContent = w.text;
    item.append(time, tag, text);
    if (w.replayed) {
      const mark = document.createElement("em");
      mark.textContent = "replayed";
      item.append(mark);
    }
    return item;
  }));
}

// ---- the tape: one bar per event

const BARS = 180; // more than any screen shows; the row clips what is too old

export class Tape {
  #bars = new Map(); // n to bar, oldest first
  #fresh = []; // bars not yet in the document
  #filled = 0; // replayed bars, so that they rise one after the other
  #head = 0;
  #run = "";

  constructor(parent, stream) {
    this.stream = stream;
    const row = document.createElement("div");
    row.className = "tape";
    const label = document.createElement("span");
    const name = document.createElement("b");
    name.textContent = stream.topic;
    this.count = document.createElement("span");
    label.append(name, this.count);
    this.bars = document.createElement("div");
    this.bars.className = "bars";
    row.append(label, this.bars);
    parent.append(row);
  }

  // add shows an event; where a bar stands that waits for it, it fills that.
  add({ run, n }, weight, replayed) {
    if (run !== this.#run) this.#clear(run);
    let bar = this.#bars.get(n);
    const waited = bar?.dataset.kind === "missed";
    bar ??= this.#make(n);
    bar.dataset.kind = waited || replayed ? "replayed" : "live";
    bar.style.setProperty("--h", weight.toFixed(2));
    if (waited || replayed) bar.style.setProperty("--i", this.#filled++);
    this.#head = Math.max(this.#head, n);
  }

  // expect puts up empty bars for what the origin has sent meanwhile.
  expect(run, head) {
    if (run !== this.#run) return;
    for (let n = Math.max(this.#head + 1, head - BARS); n <= head; n++) this.#make(n).dataset.kind = "missed";
    this.#head = Math.max(this.#head, head);
  }

  // part marks the place where the stream was cut.
  part() {
    this.#filled = 0;
    const last = this.#bars.get(this.stream.ledger.last);
    if (last) last.dataset.cut = "yes";
  }

  draw() {
    if (this.#fresh.length) this.bars.append(...this.#fresh.splice(0));
    put(this.count, this.stream.ledger.last ? `#${this.stream.ledger.last.toLocaleString("en")}` : "");
  }

  // clear begins a new tape: the origin counts from 1 again.
  #clear(run) {
    this.#run = run;
    this.#head = this.#filled = 0;
    this.#bars.clear();
    this.#fresh.length = 0;
    this.bars.replaceChildren();
  }

  #make(n) {
    const bar = document.createElement("i");
    this.#bars.set(n, bar);
    this.#fresh.push(bar);
    while (this.#bars.size > BARS) {
      const [oldest, gone] = this.#bars.entries().next().value;
      this.#bars.delete(oldest);
      gone.remove();
      if (this.#fresh[0] === gone) this.#fresh.shift();
    }
    return bar;
  }
}
