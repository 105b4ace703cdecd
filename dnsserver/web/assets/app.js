// Keeps the page up to date by one stream of server-sent events. All HTML that it
// puts into the page was made, and escaped, by the server.
"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en");
  const moment = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

  // spell writes a length of time in its two largest units.
  const spell = (seconds) => {
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    let left = Math.max(0, Math.floor(seconds));
    const parts = [];
    for (const [size, name] of units) {
      const n = Math.floor(left / size);
      left -= n * size;
      if (n > 0 || (size === 1 && parts.length === 0)) parts.push(n + " " + name);
      if (parts.length === 2 || (parts.length === 1 && n === 0)) break;
    }
    return parts.join(" ");
  };

  // Times are shown as they are here; the title has them in UTC.
  const localize = (root) => {
    for (const t of root.querySelectorAll("time:not([title])")) {
      const at = new Date(t.dateTime), before = t.parentElement.querySelector("time");
      const sameDay = t !== before && t.closest(".when") && new Date(before.dateTime).toDateString() === at.toDateString();
      t.title = t.textContent;
      t.textContent = (sameDay ? clock : moment).format(at);
    }
    count(root);
  };
  const count = (root) => {
    const now = Date.now();
    for (const e of root.querySelectorAll("[data-since]")) {
      e.textContent = "(" + spell((now - Date.parse(e.dataset.since)) / 1000) + " ago)";
    }
    for (const e of root.querySelectorAll("[data-until]")) {
      const left = (Date.parse(e.dataset.until) - now) / 1000;
      e.textContent = left > 0 ? spell(left) + " left," : "over,";
      e.classList.toggle("short", left < 60);
    }
  };

  // put replaces a part of the page, and keeps what was open and where the focus was.
  const put = (id, html) => {
    const at = by(id);
    if (!at) return;
    const open = [...at.querySelectorAll("details")].map((d) => d.open);
    const lists = at.querySelectorAll("summary, a, [tabindex]");
    const focus = [...lists].indexOf(document.activeElement);
    at.innerHTML = html;
    const before = [...at.querySelectorAll("details")];
    // What is new in a time line comes first.
    const shift = before.length - open.length;
    before.forEach((d, i) => { d.open = open[i - Math.max(0, shift)] || false; });
    localize(at);
    if (focus >= 0) {
      const now = at.querySelectorAll("summary, a, [tabindex]");
      if (now[focus]) now[focus].focus({ preventScroll: true });
    }
  };

  // Charts of the last minute.
  const seconds = 60;
  const charts = [];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const series = (values) => {
    const xs = [], ys = [];
    for (let i = 0; i < seconds; i++) {
      xs.push(i - seconds + 1);
      const v = values[values.length - seconds + i];
      ys.push(v === undefined ? null : v);
    }
    return [xs, ys];
  };
  const chart = (id, what) => {
    const at = by(id);
    if (!at || !window.uPlot) return;
    at.style.display = "block"; // it is still empty, and has no width else
    const c = { at, what, values: [], plot: null };
    c.draw = () => {
      if (c.plot) c.plot.destroy();
      const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      c.plot = new uPlot({
        width: Math.max(100, at.clientWidth), height: 130, legend: { show: false }, cursor: { show: false }, padding: [8, 18, 0, 0],
        scales: { x: { time: false }, y: { range: (u, min, max) => [0, Math.max(4, max * 1.15)] } },
        axes: [
          { ...axis, grid: { show: false }, size: 22, values: (u, ticks) => ticks.map((t) => (t === 0 ? "now" : t + " s")), splits: () => [-45, -30, -15, 0] },
          { ...axis, size: 48, space: 34, values: (u, ticks) => ticks.map((t) => (Number.isInteger(t) ? number.format(t) : "")) },
        ],
        series: [{}, { stroke: css("--chart"), fill: css("--chart-fill"), width: 2, points: { show: false } }],
      }, series(c.values), at);
    };
    c.set = (values) => {
      c.values = values;
      if (!c.plot) c.draw();
      c.plot.setData(series(values));
      const most = values.length ? Math.max(...values) : 0;
      at.setAttribute("aria-label", what + " in each second of the last minute: at most " + number.format(most) + ", now " + number.format(values[values.length - 1] || 0));
    };
    new ResizeObserver(() => { if (c.plot) c.plot.setSize({ width: Math.max(100, at.clientWidth), height: 130 }); }).observe(at);
    charts.push(c);
    return c;
  };
  const queries = chart("chart-queries", "Queries"), updates = chart("chart-updates", "Updates");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((c) => c.draw()));

  const rates = (r) => {
    by("n-numbers").textContent = number.format(r.numbers);
    by("n-leases").textContent = number.format(r.leases);
    by("n-queue").textContent = number.format(r.queue);
    by("n-q").textContent = number.format(Math.round(r.q));
    by("n-u").textContent = number.format(Math.round(r.u));
    if (queries) queries.set(r.queries);
    if (updates) updates.set(r.updates);
  };

  // The stream.
  const live = by("live");
  const say = (ok, text) => {
    if (!live) return;
    live.hidden = false;
    live.classList.toggle("lost", !ok);
    const at = live.querySelector(".text");
    if (at.textContent !== text) at.textContent = text;
  };
  const on = (source, event, f) => source.addEventListener(event, (e) => f(e.data));
  const listen = () => {
    const source = new EventSource(document.body.dataset.events);
    source.onopen = () => say(true, "live");
    source.onerror = async () => {
      say(false, "not connected");
      if (source.readyState !== EventSource.CLOSED) return; // it tries again itself
      const answer = await fetch(document.body.dataset.events, { method: "GET", headers: { Accept: "text/event-stream" }, redirect: "manual" }).catch(() => null);
      if (answer && answer.status === 401) {
        location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
        return;
      }
      if (answer && answer.status === 503) say(false, "too many pages are open");
      if (answer && answer.body) answer.body.cancel();
      setTimeout(listen, 10000);
    };
    on(source, "rates", (d) => rates(JSON.parse(d)));
    on(source, "faults", (d) => put("faults", d));
    on(source, "secondaries", (d) => put("secondaries", d));
    on(source, "number", (d) => { put("number", d); say(true, "live"); });
    on(source, "history", (d) => put("history", d));
    on(source, "progress", (d) => { const at = by("reading"); if (at) at.textContent = d; });
    on(source, "announce", (d) => {
      by("announce").textContent = d;
      const card = document.querySelector("#number .card");
      if (card) card.classList.add("fresh");
    });
    on(source, "trouble", (d) => say(false, d));
    on(source, "end", () => { source.close(); location.assign("/login"); });
    addEventListener("pagehide", () => source.close());
  };

  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    e.preventDefault();
    by("q").focus();
    by("q").select();
  });
  localize(document);
  setInterval(() => count(document), 1000);
  const first = by("secondaries");
  if (first) rates(JSON.parse(first.dataset.rates));
  const found = by("number-title") || by("missing") || by("choices");
  if (found) found.focus({ preventScroll: true });
  if (by("q") && by("q").getAttribute("aria-invalid")) by("q").focus();
  if (document.body.dataset.events) listen();
})();
