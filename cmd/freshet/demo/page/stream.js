// One topic over one EventSource: what it takes to resume, and what it takes
// to check that nothing is missing. No DOM in here.

// A Clock tells the origin's time. It compares performance.now(), which never
// jumps, with the time in the origin's answers; an answer that took long says
// little, so of the last few the quickest counts. Where the page's own wall
// clock agrees with it, both are most likely the same clock, and then the wall
// clock is the finer measure: no network time is in it.
export class Clock {
  #offset = performance.timeOrigin;
  #samples = [];

  sample(server, asked, answered) {
    this.#samples.push({ offset: server - (asked + answered) / 2, error: (answered - asked) / 2 + 0.3 });
    if (this.#samples.length > 24) this.#samples.shift();
    const best = this.#samples.reduce((a, b) => (b.error < a.error ? b : a));
    const agrees = Math.abs(best.offset - performance.timeOrigin) <= best.error;
    this.#offset = agrees ? performance.timeOrigin : best.offset;
  }

  now() {
    return performance.now() + this.#offset;
  }
}

const REMEMBERED = 8192; // counts kept for a test to look at, and holes kept open

// A Ledger checks n, the origin's own count of a topic, which has no holes. It
// knows nothing of ids: those are what it is here to check.
export class Ledger {
  run = "";
  first = 0;
  last = 0;
  received = 0;
  replayed = 0;
  missing = new Set(); // n that a later one overtook
  doubled = 0;
  disordered = 0; // came after all, but late
  declared = 0; // lost, and the relay said so with freshet.gap
  gap = false; // a gap was announced and the next event may jump
  log = [];

  enter(run, n) {
    if (run !== this.run) {
      // The origin has begun again, and its counting too.
      Object.assign(this, new Ledger(), { run, received: this.received, replayed: this.replayed });
      this.first = n;
      this.last = n - 1;
    }
    this.received++;
    this.log.push(n);
    if (this.log.length > REMEMBERED) this.log.shift();

    if (n <= this.last) {
      if (this.missing.delete(n)) this.disordered++;
      else this.doubled++;
      return false;
    }
    const hole = n - this.last - 1;
    if (hole > 0 && this.gap) this.declared += hole;
    else for (let i = Math.max(this.last + 1, n - REMEMBERED); i < n; i++) this.missing.add(i);
    this.gap = false;
    this.last = n;
    return true;
  }
}

// A Stream follows a topic. The browser's EventSource reconnects by itself with
// the last id; one that was closed cannot, so a new one asks for it in the query.
export class Stream {
  state = "new"; // connecting, live, lost, cut, ended
  ledger = new Ledger();
  lastId = ""; // of the last event, or of freshet.open before the first one
  opened = 0; // when freshet.open came, on the origin's clock
  arrived = 0; // when the last replayed event came, likewise
  #source = null;
  #again = 0;

  // handler: event(stream, type, data, replayed), gap(stream, data), state(stream)
  // page: the name by which the demo tells which relay serves it, if there are several
  constructor({ topic, types, backlog, page, clock, handler }) {
    Object.assign(this, { topic, types, backlog, page, clock, handler });
  }

  open() {
    clearTimeout(this.#again);
    const query = this.lastId ? `last_event_id=${encodeURIComponent(this.lastId)}` : `from=-${this.backlog}`;
    const source = new EventSource(`/events/${this.topic}?${query}${this.page ? `&page=${this.page}` : ""}`);
    this.#source = source;
    this.#become("connecting");

    source.addEventListener("freshet.open", (e) => {
      this.lastId = e.lastEventId;
      this.opened = this.arrived = this.clock.now();
      this.#become("live");
    });
    source.addEventListener("freshet.gap", (e) => {
      this.lastId = e.lastEventId;
      this.ledger.gap = true;
      this.handler.gap(this, JSON.parse(e.data));
    });
    source.addEventListener("freshet.end", () => {
      source.close();
      this.#become("ended");
    });
    for (const type of this.types) source.addEventListener(type, (e) => this.#receive(type, e));
    source.onerror = () => {
      if (source !== this.#source || this.state === "ended") return;
      this.#become("lost");
      // Closed means the browser has given up: an answer that was not a stream.
      if (source.readyState === EventSource.CLOSED) this.#again = setTimeout(() => this.open(), 2000);
    };
  }

  cut() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
    this.#become("cut");
  }

  #receive(type, e) {
    const now = this.clock.now();
    const data = JSON.parse(e.data);
    this.lastId = e.lastEventId;
    const replayed = data.sent < this.opened;
    this.ledger.enter(data.run, data.n);
    if (replayed) {
      this.ledger.replayed++;
      this.arrived = now;
    }
    this.handler.event(this, type, data, replayed, now);
  }

  #become(state) {
    this.state = state;
    this.handler.state(this);
  }
}
