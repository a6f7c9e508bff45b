// The map of cells, its legend, search and hover.
class CellMap {
  constructor(data, shown, colourOf) {
    Object.assign(this, { data, shown, colourOf, found: [], rowsOf: [] });
    this.canvas = document.createElement("canvas").getContext("webgl") ? "scattergl" : "scatter";
    for (const column of data.columns) make("option", column.title, el("colour"), { value: column.key });
  }
  start() {
    for (const id of ["colour", "reference"]) el(id).addEventListener("change", () => this.draw());
    el("find").addEventListener("input", () => this.search());
    el("zoom-in").addEventListener("click", () => this.zoom(.7));
    el("zoom-out").addEventListener("click", () => this.zoom(1 / .7));
    el("zoom-all").addEventListener("click", () => Plotly.relayout("map", { "xaxis.autorange": true, "yaxis.autorange": true }));
    el("picture").addEventListener("click", () => Plotly.downloadImage("map", { format: "png", scale: 2, filename: "peakatlas-cells" }));
    el("map").on("plotly_hover", event => this.hover(event));
    el("map").on("plotly_unhover", () => { el("tip").hidden = true; });
  }
  get column() { return this.shown.column(el("colour").value); }
  get dot() { const n = this.data.size; return n > 50000 ? 2.2 : n > 15000 ? 3 : n > 4000 ? 4 : 6.5; }

  points(rows, name, marker, kind = "query") {
    this.rowsOf.push({ rows, kind });
    const shift = kind === "reference" ? this.data.size : 0;
    const { x, y } = this.data;
    return { type: this.canvas, mode: "markers", name, hoverinfo: "none", showlegend: false,
      x: Float32Array.from(rows, i => x[i + shift]), y: Float32Array.from(rows, i => y[i + shift]), marker: { size: this.dot, ...marker } };
  }

  referenceTraces() {
    const wish = el("reference").value, { categories, values } = this.data.reference;
    if (wish === "none") return [];
    const all = Array.from(values.keys()), marker = { size: this.dot * .8, opacity: isDark() ? .4 : .35 };
    if (wish === "grey") return [this.points(all, "reference", { ...marker, color: token("--quiet") }, "reference")];
    return categories.map((type, code) => this.points(all.filter(i => values[i] === code), `reference ${type}`, { ...marker, color: this.colourOf({ key: "label" }, type) }, "reference"));
  }

  queryTraces() {
    const column = this.column, mask = this.shown.mask(), on = [], off = [];
    mask.forEach((keep, i) => (keep ? on : off).push(i));
    const faded = off.length ? [this.points(off, "others", { color: token("--quiet"), opacity: .28 })] : [];
    if (column.kind === "number") return [...faded, this.points(on, column.title, { color: Array.from(on, i => column.values[i]), colorscale: RAMP.map((c, i) => [i / 4, c]), cmin: this.range()[0], cmax: this.range()[1] })];
    const groups = column.categories.map((name, code) => ({ name, code, rows: [] }));
    on.forEach(i => groups[column.values[i]].rows.push(i));
    return [...faded, ...groups.filter(g => g.rows.length).sort((a, b) => b.rows.length - a.rows.length)
      .map(g => this.points(g.rows, g.name, { color: this.colourOf(column, g.name), opacity: .88 }))];
  }

  range() {
    const sorted = Float32Array.from(this.column.values).filter(v => !Number.isNaN(v)).sort();
    if (!sorted.length) return [0, 1];
    const at = share => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return [at(.01), Math.max(at(.99), at(.01) + 1e-6)];
  }

  draw() {
    this.rowsOf = [];
    const traces = [...this.referenceTraces(), ...this.queryTraces()];
    if (this.found.length) traces.push({ ...this.points(this.found, "found", { size: this.dot + 8, color: "rgba(0,0,0,0)", line: { color: token("--ink"), width: 2 } }) });
    const bare = { visible: false, fixedrange: false };
    Plotly.react("map", traces, layout({ margin: { l: 4, r: 4, t: 4, b: 4 }, hovermode: "closest", dragmode: "pan", uirevision: "map", xaxis: bare, yaxis: { ...bare, scaleanchor: "x" } }), { ...QUIET, scrollZoom: false, doubleClick: "reset" });
    this.legend();
  }

  zoom(factor) {
    const { xaxis, yaxis } = el("map")._fullLayout, change = {};
    for (const [name, axis] of [["xaxis", xaxis], ["yaxis", yaxis]]) {
      const [low, high] = axis.range, middle = (low + high) / 2, half = (high - low) / 2 * factor;
      change[`${name}.range`] = [middle - half, middle + half];
    }
    Plotly.relayout("map", change);
  }

  legend() {
    const column = this.column, list = el("legend");
    el("legend-title").textContent = column.title[0].toUpperCase() + column.title.slice(1);
    const numeric = column.kind === "number";
    el("legend-hint").textContent = numeric ? "Colours run from the 1st to the 99th percentile." : "Choose to filter every figure; choose again to undo.";
    list.hidden = numeric;
    document.querySelector(".ramp-block")?.remove();
    if (numeric) { list.replaceChildren(); this.ramp(list); return; }
    const focused = document.activeElement?.dataset?.category;
    const sizes = new Uint32Array(column.categories.length);
    column.values.forEach(code => { sizes[code]++; });
    list.replaceChildren();
    column.categories.forEach((name, code) => { if (sizes[code]) this.entry(list, column, name, sizes[code], focused); });
  }

  entry(list, column, name, size, focused) {
    const button = make("button", undefined, make("li", undefined, list), { type: "button" });
    button.dataset.category = name;
    button.setAttribute("aria-pressed", String(this.shown.has(column.key, name)));
    make("span", undefined, button, { className: "dot" }).style.background = this.colourOf(column, name);
    make("span", name || "(empty)", button, { className: "name" });
    make("span", count(size), button, { className: "count" });
    button.addEventListener("click", () => this.shown.toggle(column.key, name));
    if (focused === name) button.focus();
  }

  ramp(list) {
    const block = make("div", undefined, null, { className: "ramp-block" }), [low, high] = this.range();
    make("div", undefined, block, { className: "ramp" }).style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
    const ends = make("div", undefined, block, { className: "ramp-ends" });
    const digits = this.column.step === 1 ? 0 : 2;
    make("span", fixed(low, digits), ends);
    make("span", fixed(high, digits), ends);
    list.before(block);
  }

  search() {
    const text = el("find").value.trim().toLowerCase(), place = el("found");
    place.replaceChildren();
    this.found = [];
    if (text) {
      const names = this.data.names.map(name => name.toLowerCase());
      names.forEach((name, i) => { if (name === text) this.found.push(i); });
      const exact = this.found.length;
      if (!exact) names.forEach((name, i) => { if (name.includes(text)) this.found.push(i); });
      const cells = this.found.length, label = this.shown.column("label");
      make("span", cells ? `${count(cells)} ${cells === 1 ? "barcode" : "barcodes"} ${exact ? "" : "with these letters "}found, ringed on the map.` : "No barcode found.", place);
      if (cells === 1) make("span", this.describe(this.found[0]).join(", "), place);
      label.categories.filter(type => type.toLowerCase().includes(text)).slice(0, 8).forEach(type => this.offer(place, label, type));
    }
    this.draw();
  }

  offer(place, label, type) {
    const button = make("button", undefined, place, { type: "button", className: "chip" });
    make("span", undefined, button, { className: "dot" }).style.background = this.colourOf(label, type);
    make("span", `Show only ${type}`, button);
    button.addEventListener("click", () => this.shown.only("label", type));
  }

  describe(i) {
    const label = this.shown.text("label", i), open = label === "Unassigned";
    const why = open ? ` (${this.shown.text("reason", i)}, likeliest ${this.shown.text("best", i)})` : "";
    const numbers = this.data.columns.filter(c => c.kind === "number").map(c => `${c.key} ${fixed(c.values[i], c.step === 1 ? 0 : 3)}`);
    return [label + why, ...numbers];
  }

  hover(event) {
    const { curveNumber, pointNumber } = event.points[0], from = this.rowsOf[curveNumber], tip = el("tip");
    const row = from.rows[pointNumber], reference = this.data.reference;
    const lines = from.kind === "reference" ? ["reference cell", reference.categories[reference.values[row]]] : [this.data.names[row], ...this.describe(row)];
    const column = this.column;
    if (from.kind === "query" && column.kind === "category" && !["label", "best", "reason"].includes(column.key)) lines.push(`${column.title}: ${column.categories[column.values[row]]}`);
    tip.replaceChildren();
    lines.forEach((line, at) => make(at ? "div" : "b", line, tip));
    tip.hidden = false;
    const frame = el("map").getBoundingClientRect(), x = event.event.clientX - frame.left, y = event.event.clientY - frame.top;
    tip.style.left = `${x > frame.width / 2 ? x - tip.offsetWidth - 14 : x + 14}px`;
    tip.style.top = `${Math.max(0, Math.min(y - 20, frame.height - tip.offsetHeight))}px`;
  }
}
