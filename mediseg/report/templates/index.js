"use strict";
// The table of a batch: sorts, filters and turns pages over data that the page itself carries. Nothing is stored,
// nothing leaves the page. Rows are numbered in the order of the page: what needs a look comes first.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.values = JSON.parse(document.getElementById("values").textContent);
  const byId = (id) => document.getElementById(id);
  const form = document.querySelector("form.filters"), table = document.querySelector("table.cases");
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], charts = [...document.querySelectorAll(".bars")];
  const total = data.cases.length, every = Array.from({ length: total }, (_, n) => n);
  const ranks = { failed: 0, refused: 1, done: 2 };
  const names = data.cases.map((name) => name.toLowerCase());
  const codes = data.warnings.map((list) => list.map((n) => data.codes[n]).join(" "));
  const texts = every.map((n) => `${names[n]} ${(data.reasons[n] || "")} ${codes[n]}`.toLowerCase());
  const extra = heads.length - 1; // a chosen quantity's column stands before the last
  const state = { key: "", down: false, page: 0, kept: every, extra: -1 };

  const digitsOf = (size) => (size === 0 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : size >= 0.01 ? 4 : 3);
  function number(value, digits) {
    if (value === null || value === undefined) return "\u2013";
    const size = Math.abs(value);
    const text = value.toFixed(digits >= 0 ? digits : size >= 100 && Number.isInteger(value) ? 0 : digitsOf(size));
    return Number(text) === 0 ? text.replace("-", "") : text;
  }
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const headOf = (quantity) => capital(quantity.label) + (quantity.unit ? ` (${quantity.unit})` : "");

  // ---- what is kept, and in which order

  function bounds() {
    const at = byId("quantity").value, from = byId("from").value, to = byId("to").value;
    return at === "" || (from === "" && to === "") ? null
      : { values: data.values[at], from: from === "" ? -Infinity : Number(from), to: to === "" ? Infinity : Number(to) };
  }

  function filtered() {
    const wanted = byId("find").value.trim().toLowerCase(), code = byId("warning").value, range = bounds();
    const boxes = [...form.querySelectorAll(".status-box")].filter((box) => box.checked).map((box) => box.value);
    const only = byId("outliers").checked, at = data.codes.indexOf(code);
    return every.filter((n) => boxes.includes(data.status[n])
      && (!wanted || texts[n].includes(wanted))
      && (!code || data.warnings[n].includes(at))
      && (!only || data.outliers[n])
      && (!range || (range.values[n] !== null && range.values[n] >= range.from && range.values[n] <= range.to)));
  }

  function valueOf(key) {
    if (key === "case") return (n) => names[n];
    if (key === "status") return (n) => ranks[data.status[n]];
    if (key === "outlier") return (n) => (data.outliers[n] ? Math.abs(data.outliers[n][1]) : null);
    if (key === "warnings") return (n) => data.warnings[n].length + (data.reasons[n] ? 100 : 0);
    const values = data.values[key === "quality" ? data.quality : Number(key)];
    return values ? (n) => values[n] : () => null;
  }

  const collator = new Intl.Collator(undefined, { numeric: true });
  function sorted(rows) {
    if (!state.key) return rows;
    const value = valueOf(state.key), sign = state.down ? -1 : 1;
    return [...rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === null || y === null) return (x === null) - (y === null) || a - b; // unknown ones last, either way
      return sign * (typeof x === "string" ? collator.compare(x, y) : x - y) || a - b;
    });
  }

  // ---- drawing

  function element(tag, text, name) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function caseCell(n) {
    const cell = element("th");
    cell.scope = "row";
    if (!data.pages[n]) cell.textContent = data.cases[n];
    else cell.append(Object.assign(element("a", data.cases[n]), { href: `${encodeURIComponent(data.cases[n])}/report.html` }));
    return cell;
  }

  function lookCell(n) {
    const cell = element("td", "", "look"), reason = (data.reasons[n] || "").trim();
    if (reason) cell.append(capital(reason) + (/[.!?]$/.test(reason) ? " " : ". "));
    for (const code of data.warnings[n]) cell.append(element("small", data.codes[code], "warning"), " ");
    return cell;
  }

  function outlierText(found) {
    if (!found) return "";
    return `${data.quantities[found[0]].label} ${found[1] < 0 ? "\u2212" : "+"}${Math.abs(found[1]).toFixed(1)}`;
  }

  function rowOf(n) {
    const row = element("tr"), status = element("td");
    status.append(element("span", data.status[n], `chip ${data.status[n]}`));
    const quality = data.quality < 0 ? null : data.values[data.quality][n];
    const shown = state.extra < 0 ? data.columns : [...data.columns, state.extra];
    row.append(caseCell(n), status, element("td", number(quality, 2), "right"),
      element("td", outlierText(data.outliers[n]), "outlier"),
      ...shown.map((q) => element("td", number(data.values[q][n], data.quantities[q].digits), "right")), lookCell(n));
    return row;
  }

  function drawRows() {
    const size = Number(byId("rows").value), pages = Math.max(1, Math.ceil(state.kept.length / size));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const first = state.page * size, rows = state.kept.slice(first, first + size);
    body.replaceChildren(...rows.map(rowOf));
    const kept = state.kept.length === total ? `${total}` : `${state.kept.length} kept of ${total}`;
    byId("shown").textContent = rows.length ? `${first + 1}\u2013${first + rows.length} of ${kept}` : `none of ${total}`;
    for (const button of document.querySelectorAll("[data-go]")) {
      button.disabled = ["first", "back"].includes(button.dataset.go) ? state.page === 0 : state.page === pages - 1;
    }
  }

  function pathOf(counts, top) {
    return counts.map((count, n) => (count
      ? `M${n} ${data.height}v${-Math.max(1, Math.round(data.height * count / top))}h1V${data.height}` : "")).join("");
  }

  function countsOf(at, rows) {
    const { low, high } = data.quantities[at], counts = new Array(data.bars).fill(0), values = data.values[at];
    for (const n of rows) {
      if (values[n] === null) continue;
      const place = Math.floor((values[n] - low) / (high - low) * data.bars);
      counts[Math.min(Math.max(place, 0), data.bars - 1)] += 1;
    }
    return counts;
  }

  const tops = charts.map((_, at) => Math.max(1, ...countsOf(at, every)));
  function drawCharts() {
    const range = bounds(), chosen = byId("quantity").value;
    charts.forEach((chart, at) => {
      chart.querySelector(".kept").setAttribute("d", pathOf(countsOf(at, state.kept), tops[at]));
      const { low, high } = data.quantities[at], marked = range && Number(chosen) === at;
      const place = (value) => Math.min(Math.max((value - low) / (high - low), 0), 1) * data.bars;
      chart.querySelector(".range").setAttribute("d", marked
        ? `M${place(range.from)} 0V${data.height}H${place(range.to)}V0Z` : "");
      chart.classList.toggle("picked", chosen !== "" && Number(chosen) === at);
    });
  }

  function drawHeads() {
    for (const head of table.tHead.rows[0].cells) {
      const is = head.dataset.key === state.key;
      head.setAttribute("aria-sort", is ? (state.down ? "descending" : "ascending") : "none");
    }
  }

  function drawExtra() {
    const chosen = byId("quantity").value, row = table.tHead.rows[0];
    const wanted = chosen === "" || data.columns.includes(Number(chosen)) ? -1 : Number(chosen);
    if (wanted === state.extra) return;
    if (state.extra >= 0) {
      row.deleteCell(extra);
      if (state.key === String(state.extra)) state.key = "";
    }
    state.extra = wanted;
    if (wanted < 0) return;
    const head = element("th", headOf(data.quantities[wanted]), "right");
    Object.assign(head, { scope: "col" }).dataset.key = String(wanted);
    row.insertBefore(head, row.cells[extra]);
    sortable(head);
  }

  function draw() {
    drawExtra();
    state.kept = sorted(filtered());
    drawHeads();
    drawRows();
    drawCharts();
  }

  // ---- what a reader does

  function sortable(head) {
    const button = element("button", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => {
      const same = state.key === head.dataset.key, numeric = !["case", "status"].includes(head.dataset.key);
      if (same && state.down === !numeric) state.key = ""; // the third time: the page's own order again
      else Object.assign(state, { down: same ? !state.down : numeric, key: head.dataset.key });
      state.page = 0;
      draw();
    });
    head.replaceChildren(button);
  }

  function brush(chart, at) {
    const picture = chart.querySelector("svg"), { low, high } = data.quantities[at];
    let begin = null;
    const bar = (event) => {
      const box = picture.getBoundingClientRect();
      return Math.min(Math.max(Math.floor((event.clientX - box.left) / box.width * data.bars), 0), data.bars - 1);
    };
    const value = (edge) => String(Number((low + (high - low) * edge / data.bars).toPrecision(6)));
    const mark = (event) => {
      const first = Math.min(begin, bar(event)), last = Math.max(begin, bar(event));
      byId("quantity").value = String(at);
      byId("from").value = first === 0 ? "" : value(first);
      byId("to").value = last === data.bars - 1 ? "" : value(last + 1);
    };
    picture.addEventListener("pointerdown", (event) => {
      begin = bar(event);
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      if (begin === null) return;
      mark(event);
      drawCharts();
    });
    picture.addEventListener("pointerup", (event) => {
      if (begin === null) return;
      mark(event);
      begin = null;
      state.page = 0;
      draw();
    });
    picture.addEventListener("pointercancel", () => { begin = null; });
  }

  const steps = { first: -Infinity, back: -1, on: 1, last: Infinity };
  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => {
      const pages = Math.ceil(state.kept.length / Number(byId("rows").value));
      state.page = Math.min(Math.max(state.page + steps[button.dataset.go], 0), Math.max(pages - 1, 0));
      drawRows();
    });
  }
  data.quantities.forEach((quantity, at) => {
    byId("quantity").append(Object.assign(element("option", headOf(quantity)), { value: String(at) }));
  });
  heads.forEach(sortable);
  charts.forEach(brush);
  form.addEventListener("submit", (event) => event.preventDefault());
  const again = () => { state.page = 0; draw(); };
  form.addEventListener("input", again);
  form.addEventListener("reset", () => setTimeout(again));
  byId("rows").addEventListener("change", again);
  for (const part of document.querySelectorAll(".live")) part.hidden = false;
  draw();
})();
