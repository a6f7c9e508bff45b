// Figures beside the map, each with its table. They follow the filter where a figure is of cells.
const BINS = 20;
const barHeight = n => Math.max(170, 27 * n + 70);
// Plotly reads tags in the texts of its figures: names of others are shown letter by letter.
const plain = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const bars = (names, values, name, more = {}) => ({ type: "bar", orientation: "h", name, y: names.map(plain), x: values, ...more });
const upwards = { autorange: "reversed", type: "category" };
// An axis of names, the first on top; long names take several lines.
const named = names => ({ ...upwards, tickmode: "array", tickvals: names.map(plain), ticktext: names.map(name => wrap(plain(name), narrow() ? 21 : 30, 2)) });
// Room for numbers behind the bars.
const beyond = (values, title) => ({ range: [0, 1.18 * Math.max(1, ...values)], title: { text: title } });
const FEW = 5;

class Figures {
  constructor(data, shown, colourOf) { Object.assign(this, { data, shown, colourOf }); }
  draw() { this.composition(); this.histogram(); this.boxes(); this.drawFixed(); }
  drawFixed() { this.calibration(); this.sets(); this.confusion(); this.tiers(); this.weights(); }
  type(name) { return { text: name, colour: this.colourOf({ key: "label" }, name) }; }

  composition() {
    const rows = this.shares(), names = rows.map(r => r.type), chosen = this.shown.chosen.get("label");
    const opacity = names.map(name => (!chosen || chosen.has(name) ? 1 : .3)), height = barHeight(names.length);
    draw("shares", [
      bars(names, rows.map(r => r.query), "query", { marker: { color: names.map(n => this.colourOf({ key: "label" }, n)), opacity }, hovertemplate: "%{y}: %{x:.1%}<extra>query</extra>" }),
      bars(names, rows.map(r => r.reference), "reference", { marker: { color: token("--quiet"), opacity }, hovertemplate: "%{y}: %{x:.1%}<extra>reference</extra>" }),
    ], { height, barmode: "group", showlegend: false, xaxis: { tickformat: ".0%", title: { text: "coloured: query; grey: reference" } }, yaxis: named(names) });
    const known = rows.filter(r => r.type !== "Unassigned"), points = known.map(r => 100 * (r.query - r.reference)), reach = 1.1 * Math.max(1, ...points.map(Math.abs));
    draw("difference", [bars(known.map(r => r.type), points, "difference", { marker: { color: known.map(r => this.colourOf({ key: "label" }, r.type)), opacity: opacity.slice(0, known.length) }, hovertemplate: "%{y}: %{x:+.1f} points<extra></extra>" })],
      { height, xaxis: { title: { text: "query − reference, percentage points" }, range: [-reach, reach], zeroline: true, zerolinewidth: 2 }, yaxis: named(known.map(r => r.type)) });
    this.typesTable(rows);
  }

  shares() {
    const mask = this.shown.mask("label"), inside = mask.reduce((a, b) => a + b, 0), all = inside === this.data.size;
    el("composition-of").textContent = all ? "" : `Of the ${count(inside)} cells shown, whatever their type.`;
    if (all) return this.data.composition;
    const { categories, values } = this.shown.column("label"), sizes = new Map();
    mask.forEach((on, i) => { if (on) sizes.set(categories[values[i]], (sizes.get(categories[values[i]]) ?? 0) + 1); });
    return this.data.composition.map(r => ({ ...r, cells: sizes.get(r.type) ?? 0, query: (sizes.get(r.type) ?? 0) / Math.max(inside, 1) }));
  }

  typesTable(rows) {
    const middle = new Map(this.data.confidence.map(r => [r.type, r.quantiles[2]]));
    table(el("types-table"), "Cells of each type", ["type", "cells", "share of query", "share of reference", "difference", "median confidence"], rows.map(r => {
      const open = r.type === "Unassigned";
      return [this.type(r.type), count(r.cells), percent(r.query), open ? "–" : percent(r.reference), open ? "–" : points(r.query - r.reference), fixed(middle.get(r.type) ?? null, 2)];
    }));
  }

  histogram() {
    const mask = this.shown.mask(), given = new Array(BINS).fill(0), open = new Array(BINS).fill(0);
    const { values } = this.shown.column("confidence"), label = this.shown.column("label"), code = label.categories.indexOf("Unassigned");
    let inside = 0;
    mask.forEach((on, i) => { if (on) { inside++; (label.values[i] === code ? open : given)[Math.min(BINS - 1, Math.floor(values[i] * BINS))]++; } });
    el("confidence-of").textContent = inside === this.data.size ? "" : `Of the ${count(inside)} cells shown.`;
    const middles = given.map((_, b) => (b + .5) / BINS), names = given.map((_, b) => `${(b / BINS).toFixed(2)}–${((b + 1) / BINS).toFixed(2)}`);
    const one = (y, name, color) => ({ type: "bar", name, x: middles, y, customdata: names, marker: { color }, hovertemplate: `%{customdata}: %{y:,} cells<extra>${name}</extra>` });
    draw("histogram", [one(given, "given a type", token("--accent")), one(open, "Unassigned", token("--quiet"))],
      { height: 320, barmode: "stack", bargap: .08, xaxis: { range: [0, 1], title: { text: "confidence" } }, yaxis: { title: { text: "cells" } } });
    table(el("histogram-table"), "Cells by confidence", ["confidence", "given a type", "Unassigned"], names.map((name, b) => [name, count(given[b]), count(open[b])]));
  }

  boxes() {
    const rows = this.confidenceByType(), height = Math.max(320, barHeight(rows.length));
    const part = at => rows.map(r => r.quantiles[at]);
    draw("boxes", rows.map(r => ({ type: "box", orientation: "h", y: [plain(r.type)], q1: [r.quantiles[1]], median: [r.quantiles[2]], q3: [r.quantiles[3]], lowerfence: [r.quantiles[0]], upperfence: [r.quantiles[4]], line: { color: this.colourOf({ key: "label" }, r.type), width: 2 }, hoverinfo: "none" })),
      { height, showlegend: false, xaxis: { range: [0, 1.02], title: { text: "confidence (box: middle half; whiskers: 5 to 95 %)" } }, yaxis: named(rows.map(r => r.type)) });
    table(el("boxes-table"), "Confidence by likeliest type", ["likeliest type", "cells", "5 %", "25 %", "median", "75 %", "95 %"],
      rows.map((r, at) => [this.type(r.type), count(r.cells), ...[0, 1, 2, 3, 4].map(q => fixed(part(q)[at], 2))]));
  }

  confidenceByType() {
    const mask = this.shown.mask();
    if (!this.shown.chosen.size) return this.data.confidence;
    const best = this.shown.column("best"), { values } = this.shown.column("confidence"), groups = new Map();
    mask.forEach((on, i) => { if (on) { const name = best.categories[best.values[i]]; if (!groups.has(name)) groups.set(name, []); groups.get(name).push(values[i]); } });
    return [...groups].sort(([a], [b]) => best.categories.indexOf(a) - best.categories.indexOf(b)).map(([type, found]) => {
      found.sort((a, b) => a - b);
      const at = share => { const place = share * (found.length - 1), low = Math.floor(place); return found[low] + (place - low) * (found[Math.min(low + 1, found.length - 1)] - found[low]); };
      return { type, cells: found.length, quantiles: [.05, .25, .5, .75, .95].map(at) };
    });
  }

  calibration() {
    const sets = [["reference cells held out", this.data.reliability, "--quiet"], ["query cells with known types", this.data.truth?.reliability, "--accent"]].filter(([, found]) => found?.bins.length);
    el("calibration-block").hidden = !sets.length;
    if (!sets.length) return;
    el("calibration-words").textContent = "A point on the diagonal means that of cells called with a confidence of, say, 0.8, eight in ten are right; below it, the confidence is too high. Bars are 95 % intervals; bins of fewer than five cells are in the table only. Mean gap: " + sets.map(([name, found]) => `${found.ece.toFixed(3)} (${name})`).join(", ") + ".";
    const traces = sets.map(([name, found, colour]) => [name, found.bins.filter(b => b.cells >= FEW), colour]).map(([name, bins, colour]) => ({ type: "scatter", mode: "lines+markers", name, x: bins.map(b => b.confidence), y: bins.map(b => b.right), customdata: bins.map(b => [b.cells, b.low, b.high]), error_y: { type: "data", symmetric: false, array: bins.map(b => b.high - b.right), arrayminus: bins.map(b => b.right - b.low), color: token(colour), thickness: 1.2, width: 4 }, line: { color: token(colour), width: 2 }, marker: { size: bins.map(b => 6 + 12 * Math.sqrt(b.cells / Math.max(...bins.map(c => c.cells)))) }, hovertemplate: "confidence %{x:.2f}, right %{y:.0%} (%{customdata[1]:.0%} to %{customdata[2]:.0%}), %{customdata[0]:,} cells<extra></extra>" }));
    draw("calibration", [{ type: "scatter", mode: "lines", x: [0, 1], y: [0, 1], line: { dash: "dot", color: token("--soft") }, hoverinfo: "skip", showlegend: false }, ...traces],
      { height: 360, xaxis: { range: [0, 1.03], title: { text: "confidence" } }, yaxis: { range: [0, 1.05], tickformat: ".0%", title: { text: "share right" } } });
    table(el("calibration-table"), "Share of right cells by confidence", ["cells of", "mean confidence", "share right", "95 % interval", "cells"], sets.flatMap(([name, { bins }]) => bins.map(b => [name, fixed(b.confidence, 2), percent(b.right), `${percent(b.low, 0)} to ${percent(b.high, 0)}`, count(b.cells)])));
  }

  sets() {
    const found = this.data.sets;
    el("sets-block").hidden = !found;
    if (!found) return;
    const names = found.sizes.map(([size]) => (size === 0 ? "none" : size === 1 ? "one" : String(size))), total = this.data.record.cells;
    const { alpha } = this.data.record.options, single = found.sizes.find(([size]) => size === 1)?.[1] ?? 0;
    const share = this.data.truth?.covered, covered = share === undefined || share === null ? "" : ` Of the query's cells of known types, ${percent(share)} have their type in the set.`;
    el("sets-words").textContent = `The set of a cell holds its true type${alpha === undefined ? "" : ` with a probability of ${percent(1 - alpha, 0)} (1 − alpha)`}, if the reference has it and the query is like the reference. ${percent(single / total, 0)} of the cells have one possible type; several mean that the data do not separate them; none, that no type is likely enough at that error rate.${covered}`;
    draw("sets", [bars(names, found.sizes.map(([, n]) => n), "cells", { marker: { color: token("--accent") }, text: found.sizes.map(([, n]) => count(n)), textposition: "outside", cliponaxis: false, hovertemplate: "%{x:,} cells<extra></extra>" })],
      { height: 90 + 34 * names.length, xaxis: beyond(found.sizes.map(([, n]) => n), "cells"), yaxis: { ...upwards, title: { text: "possible types" } } });
    table(el("sets-table"), "Cells by number of possible types", ["possible types", "cells", "share"], found.sizes.map(([, n], at) => [names[at], count(n), percent(n / total)]));
    table(el("common-table"), "Commonest sets of two and more", ["set", "cells"], found.common.map(([types, n]) => [types.join(", "), count(n)]));
  }

  confusion() {
    const truth = this.data.truth;
    if (!truth) return;
    const sums = truth.counts.map(row => row.reduce((a, b) => a + b, 0)), shares = truth.counts.map((row, at) => row.map(n => n / Math.max(sums[at], 1)));
    const many = truth.columns.length > 9 || narrow(), least = many ? .01 : .005, size = many ? 10 : 12;
    el("confusion").style.minWidth = `${(narrow() ? 150 : 260) + 24 * truth.columns.length}px`;
    draw("confusion", [{ type: "heatmap", x: truth.columns.map(plain), y: truth.rows.map(plain), z: shares, customdata: truth.counts, zmin: 0, zmax: 1, textfont: { size }, showscale: !narrow(), colorbar: { title: { text: "share of the known type", side: "right", font: { size: 13, color: token("--soft") } }, tickformat: ".0%", thickness: 12, outlinewidth: 0, tickfont: { color: token("--soft") } }, xgap: 2, ygap: 2, colorscale: [[0, token("--grid")], [1, isDark() ? "#3f74e0" : "#2a5fc9"]],
      text: shares.map(row => row.map(v => (v >= least ? String(Math.round(100 * v)) : ""))), texttemplate: "%{text}", hovertemplate: "%{y} called %{x}: %{customdata:,} cells, %{z:.1%}<extra></extra>" }],
    { height: Math.max(280, (many ? 26 : 32) * truth.rows.length + (many ? 190 : 100)), xaxis: { type: "category", side: "top", ...(many ? { tickangle: -90 } : {}), title: { text: "label" } }, yaxis: { ...named(truth.rows), title: { text: "known type" } }, margin: { l: 8, r: 12, t: 50, b: 8 } });
  }

  tiers() {
    const found = this.data.tiers, any = Boolean(this.data.record.spec);
    el("tiers-block").hidden = el("tiers-details").hidden = !any;
    if (!any) return;
    draw("tiers", [bars(found.map(([name]) => name), found.map(([, n]) => n), "peaks", { marker: { color: token("--accent") }, hovertemplate: "%{x:,} peaks<extra></extra>" })],
      { height: 80 + 40 * found.length, xaxis: { title: { text: "peaks" }, nticks: narrow() ? 3 : 6 }, yaxis: named(found.map(([name]) => name)) });
    table(el("tiers-table"), "Peaks by what served them", ["peaks", "number", "share"], found.map(([name, n]) => [name, count(n), percent(n / this.data.record.peaks)]));
  }

  weights() {
    const found = this.data.weights;
    draw("weights", [bars(found.map(([name]) => name), found.map(([, share]) => share), "share of the weight", { marker: { color: token("--accent") }, hovertemplate: "%{x:.0%}<extra></extra>" })],
      { height: 80 + 34 * found.length, xaxis: { tickformat: ".0%", title: { text: "share of the weight" } }, yaxis: named(found.map(([name]) => name)) });
  }
}
