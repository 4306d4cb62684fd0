// The relays behind the page, where there are several: how each stands, and what becomes of a
// topic whose owner is killed.

const TOPIC = "demo/prices"; // its owner is the one to kill
const short = (topic) => topic.replace(/^demo\//, "");

export class Relays {
  list = [];
  takeover = null; // { killed, owner, silence, waiting }: the latest, and how far it has come
  refused = "";

  // counts: how many events are missing, doubled and out of order by now
  constructor({ clock, counts, changed }) {
    Object.assign(this, { clock, counts, changed });
  }

  get owner() {
    return this.list.find((r) => r.owns.includes(TOPIC))?.name ?? "";
  }

  get ready() {
    return this.owner !== "" && this.list.some((r) => r.standby.includes(TOPIC)) && this.list.every((r) => r.state === "live");
  }

  // update takes what the demo says of its relays.
  update(list) {
    this.list = list;
    if (this.ready) this.refused = "";
    const t = this.takeover;
    if (t && !t.owner && this.owner && this.owner !== t.killed) t.owner = this.owner;
    this.#settle();
  }

  // heard is told of every live event.
  heard(topic, at, sentAt) {
    const t = this.takeover;
    if (topic !== TOPIC || !t || t.silence !== null) return;
    t.longest = Math.max(t.longest, at - t.before);
    t.before = at;
    if (sentAt < t.at) return; // it may have been committed by the relay that died
    t.silence = t.longest;
    this.#settle();
  }

  async kill() {
    if (!this.ready || this.takeover?.waiting) return;
    this.takeover = {
      killed: this.owner, owner: "", at: Infinity, before: this.clock.now(), longest: 0, silence: null, was: this.counts(), waiting: true,
    };
    this.refused = "";
    this.changed();
    try {
      const response = await fetch(`/demo/kill?topic=${encodeURIComponent(TOPIC)}`, { method: "POST", signal: AbortSignal.timeout(4000) });
      if (!response.ok) throw new Error((await response.text()).trim());
      this.takeover.killed = (await response.json()).killed;
      this.takeover.at = this.clock.now(); // it is dead by now
    } catch (error) {
      this.takeover = null;
      this.refused = String(error.message ?? error);
    }
    this.changed();
  }

  #settle() {
    const t = this.takeover;
    if (t?.waiting && t.owner && t.silence !== null) {
      t.waiting = false;
      this.changed();
    }
  }

  // sentence is what to say of it: a kind and a text.
  sentence(number) {
    const t = this.takeover;
    if (this.refused) return ["wait", this.refused];
    if (!t) {
      const standby = this.list.find((r) => r.standby.includes(TOPIC))?.name;
      if (!this.owner) return ["wait", "Nobody owns the prices yet."];
      return ["wait", standby ? `${this.owner} owns the prices, ${standby} holds a copy of everything that was shown.` : `${this.owner} owns the prices.`];
    }
    if (t.waiting) return ["out", `kill -9 ${t.killed}. ${t.owner ? `${t.owner} owns the prices now.` : "Nobody owns the prices."}`];
    const now = this.counts(), lost = {};
    for (const key of Object.keys(now)) lost[key] = now[key] - t.was[key];
    const silence = `no price came for ${number.format(Math.round(t.silence))} ms`;
    if (lost.missing + lost.doubled + lost.disordered === 0) {
      return ["good", `${t.killed} was killed, ${t.owner} took over, ${silence}. Nothing missing, nothing doubled, all in order.`];
    }
    return ["bad", `${t.killed} was killed, ${t.owner} took over, ${silence}: ${lost.missing} missing, ${lost.doubled} doubled, ` +
      `${lost.disordered} out of order. This should never be seen: please report it.`];
  }

  // draw fills the cards.
  draw(into, template) {
    while (into.children.length < this.list.length) into.append(template.content.cloneNode(true));
    this.list.forEach((r, i) => {
      const card = into.children[i];
      card.dataset.state = r.state;
      card.dataset.serves = r.serves;
      card.querySelector("b").textContent = r.name;
      card.querySelector(".state").textContent = r.state;
      card.querySelector(".serves").textContent = r.serves ? "serves this page" : "";
      const duties = [];
      if (r.owns.length) duties.push(`owns ${r.owns.map(short).join(", ")}`);
      if (r.standby.length) duties.push(`stands by for ${r.standby.map(short).join(", ")}`);
      if (r.state === "live") duties.push(`${r.subscribers} ${r.subscribers === 1 ? "stream" : "streams"}`);
      card.querySelector(".duties").textContent = duties.join(" · ");
    });
  }
}
