// The live board: charts and numbers made from what the page came with, and kept up to date by
// Server-Sent Events.
"use strict";

(() => {
  const kept = 900; // seconds
  const height = 200;
  const state = document.getElementById("live");
  const start = JSON.parse(document.getElementById("start").textContent);

  const cells = new Map(); // by figure
  for (const cell of document.querySelectorAll("[data-figure]")) {
    cells.set(cell.dataset.figure, [...(cells.get(cell.dataset.figure) ?? []), cell]);
  }

  // Columns have one value a second, the newest at the end; the first column has the times.
  const lines = [...document.querySelectorAll("[data-column]")];
  const width = 1 + Math.max(...lines.map((line) => Number(line.dataset.column)));
  const columns = Array.from({ length: width }, () => new Array(kept).fill(null));
  const begin = start.rows[0]?.[0] ?? Math.floor(Date.now() / 1000);
  columns[0].forEach((_, i) => { columns[0][i] = begin - kept + i; });

  function add({ rows, show }) {
    const newest = rows.slice(-kept);
    columns.forEach((column, i) => {
      column.copyWithin(0, newest.length);
      newest.forEach((row, j) => { column[kept - newest.length + j] = row[i]; });
    });
    for (const [figure, text] of Object.entries(show)) {
      for (const cell of cells.get(figure) ?? []) {
        if (cell.textContent !== text) cell.textContent = text;
      }
    }
  }
  add(start);

  const units = {
    "": (n) => n.toLocaleString("en"),
    ms: (n) => (n < 1000 ? `${n} ms` : `${n / 1000} s`),
  };

  // Colors are asked for at each drawing: they follow light and dark.
  const styleOf = (element, property) => () => getComputedStyle(element)[property];

  const charts = [...document.querySelectorAll(".chart")].map((box) => {
    const own = [...box.parentElement.querySelectorAll("[data-column]")];
    const data = [columns[0], ...own.map((line) => columns[line.dataset.column])];
    const grid = { stroke: styleOf(box, "borderTopColor"), width: 1 };
    const axis = { stroke: styleOf(box, "color"), grid, ticks: grid };
    const chart = new uPlot({
      width: box.clientWidth,
      height,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, values: (_, times) => times.map((t) => new Date(t * 1000).toISOString().slice(11, 16)) },
        { ...axis, size: 64, values: (_, numbers) => numbers.map(units[box.dataset.unit]) },
      ],
      series: [{}, ...own.map((line) => {
        const mark = line.querySelector("i");
        const style = getComputedStyle(mark);
        const dash = ["--on", "--off"].map((name) => parseFloat(style.getPropertyValue(name)));
        return { stroke: styleOf(mark, "color"), width: 2, dash: dash[1] ? dash : undefined, points: { show: false } };
      })],
    }, data, box);
    new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height })).observe(box);
    return { draw: () => chart.setData(data), redraw: () => chart.redraw() };
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.redraw()));

  function say(text, tone) {
    if (state.textContent !== text) state.textContent = text;
    state.className = tone;
  }

  let last = state.dataset.last;
  let stream, late, again;

  function connect() {
    stream?.close();
    clearTimeout(again);
    if (document.hidden) return; // a board that nobody sees needs no figures
    stream = new EventSource(`/console/live?after=${last}`);
    stream.onopen = () => {
      clearTimeout(late);
      late = undefined;
      say("Live", "good");
    };
    stream.onmessage = (event) => {
      last = event.lastEventId;
      add(JSON.parse(event.data));
      charts.forEach((chart) => chart.draw());
    };
    stream.onerror = () => {
      late ??= setTimeout(say, 1500, "Disconnected, trying again …", "bad");
      // The browser comes back by itself after a lost connection, not after a refusal.
      if (stream.readyState === EventSource.CLOSED) again = setTimeout(connect, 3000);
    };
  }
  document.addEventListener("visibilitychange", connect);
  connect();
})();
