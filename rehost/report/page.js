"use strict";
(() => {
  const live = document.body.hasAttribute("data-live");
  const find = (id) => document.getElementById(id);
  let sorting = null; // {column, down}

  // Finding servers: rows stay where they are and are hidden.
  const bodies = () => Array.from(document.querySelectorAll("#server-table > tbody"));
  const told = new WeakMap();
  const textOf = (body) => {
    if (!told.has(body)) {
      told.set(body, body.rows[0].textContent.toLowerCase());
    }
    return told.get(body);
  };
  function filter() {
    const tools = find("tools");
    if (!tools) return;
    const words = find("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const condition = find("condition").value;
    let shown = 0;
    const all = bodies();
    for (const body of all) {
      const text = textOf(body);
      const fits = (!condition || body.dataset.condition === condition) && words.every((word) => text.includes(word));
      body.hidden = !fits;
      shown += fits;
    }
    const number = new Intl.NumberFormat("en");
    const line = number.format(shown) + " of " + number.format(all.length) + " servers";
    if (find("shown").textContent !== line) find("shown").textContent = line;
  }

  function sort() {
    const table = find("server-table");
    if (!table || !sorting) return;
    const value = (body) => {
      const cell = body.rows[0].cells[sorting.column];
      return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
    };
    const order = new Intl.Collator("en", { numeric: true }).compare;
    const keyed = bodies().map((body) => [value(body), body]);
    keyed.sort(([a], [b]) => (sorting.down ? -1 : 1) * (typeof a === "number" ? a - b : order(a, b)));
    table.append(...keyed.map(([, body]) => body));
    table.querySelectorAll("thead th").forEach((head, column) => {
      if (column === sorting.column) head.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  function prepare() {
    const tools = find("tools");
    if (!tools) return;
    tools.hidden = false;
    tools.addEventListener("submit", (event) => event.preventDefault());
    find("find").addEventListener("input", filter);
    find("condition").addEventListener("change", filter);
    document.querySelectorAll("#server-table thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        sorting = { column, down: Boolean(sorting && sorting.column === column && !sorting.down) };
        sort();
      });
    });
    filter();
  }
  prepare();
  if (!live) return;

  // A server's history is asked for when it is opened, and again when its row changes.
  async function past(details) {
    const answer = await fetch("history?server=" + encodeURIComponent(details.dataset.past));
    if (!answer.ok) return;
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    details.querySelector(".past").replaceWith(holder.content);
  }
  document.addEventListener("toggle", (event) => {
    if (event.target.open && event.target.dataset.past) past(event.target).catch(() => {});
  }, true);

  // What is open stays open, and what has the focus keeps it.
  function replace(old, fresh) {
    const open = Array.from(old.querySelectorAll("details[open][id]"), (each) => each.id);
    const focus = document.activeElement && old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(fresh);
    for (const id of open) {
      const details = find(id);
      if (details) details.open = true;
    }
    if (focus && find(focus)) find(focus).focus({ preventScroll: true });
  }

  function replaceServers(holder) {
    const table = find("server-table");
    const fresh = holder.content.querySelector("#server-table");
    if (!table || !fresh) {
      const section = find("servers").cloneNode(false);
      section.append(holder.content);
      replace(find("servers"), section);
      prepare();
      return;
    }
    const title = holder.content.querySelector("h2");
    find("servers").querySelector("h2").replaceWith(title);
    const present = new Map(bodies().map((body) => [body.dataset.key, body]));
    const next = Array.from(fresh.querySelectorAll(":scope > tbody"));
    const keys = next.map((body) => body.dataset.key);
    const same = keys.length === present.size && keys.every((key) => present.has(key));
    for (const body of next) {
      const old = present.get(body.dataset.key);
      if (old && old.dataset.hash !== body.dataset.hash) replace(old, body);
    }
    if (!same) {
      const now = new Map(bodies().map((body) => [body.dataset.key, body]));
      const all = next.map((body) => now.get(body.dataset.key) || body);
      bodies().forEach((body) => { if (!keys.includes(body.dataset.key)) body.remove(); });
      table.append(...all);
    }
    sort();
    filter();
  }

  const seen = new Map();
  document.querySelectorAll("main > section").forEach((each) => seen.set(each.id, each.dataset.hash));
  async function look() {
    const answer = await fetch("now");
    if (!answer.ok) throw new Error(answer.status);
    const news = await answer.json();
    for (const [name, digest] of Object.entries(news.sections)) {
      if (seen.get(name) === digest) continue;
      const part = await fetch("section?name=" + name);
      if (!part.ok) throw new Error(part.status);
      const holder = document.createElement("template");
      holder.innerHTML = await part.text();
      if (name === "servers") {
        replaceServers(holder);
      } else {
        const section = find(name).cloneNode(false);
        section.append(holder.content);
        replace(find(name), section);
      }
      seen.set(name, digest);
    }
    find("as-of").textContent = news.at;
    say(news.message || "Live: it follows the control plane.", Boolean(news.message));
    return news.every;
  }

  function say(text, bad) {
    const link = find("link");
    if (link.textContent !== text) link.textContent = text;
    link.className = bad ? "note" : "";
  }

  // One look at a time; none while nobody sees the page.
  let timer = 0;
  async function follow() {
    let every = 5;
    try {
      every = await look();
    } catch {
      say("rehost serve does not answer: what is shown may be old.", true);
    }
    timer = document.hidden ? 0 : setTimeout(follow, every * 1000);
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !timer) {
      timer = -1;
      follow();
    }
  });
  timer = -1;
  follow();
})();
