// The table of cells behind the map, and the labels as a file.
const PAGE_ROWS = 25;

class CellTable {
  constructor(data, shown) { Object.assign(this, { data, shown, page: 0 }); }
  start() {
    el("download").addEventListener("click", () => this.download());
    el("clear").addEventListener("click", () => { this.shown.clear(); el("colour").focus(); });
    el("page-back").addEventListener("click", () => this.turn(-1));
    el("page-on").addEventListener("click", () => this.turn(1));
    el("cell-details").addEventListener("toggle", () => this.draw());
  }
  turn(by) { this.page += by; this.draw(); }
  reset() { this.page = 0; this.draw(); }

  draw() {
    const rows = this.shown.rows(), { total, shown } = this.data.cells;
    const sample = shown < total ? ` (a random ${count(shown)} of ${count(total)}; all are in the h5ad file)` : "";
    const all = rows.length === shown;
    el("filter").textContent = all ? `All ${count(shown)} cells are shown${sample}.` : `${count(rows.length)} of ${count(shown)} cells are shown: ${this.shown.words()}${sample}.`;
    el("clear").hidden = !this.shown.chosen.size;
    el("download").textContent = all ? "Download labels (TSV)" : `Download these ${count(rows.length)} labels (TSV)`;
    if (el("cell-details").open) this.fill(rows);
  }

  fill(rows) {
    const pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS)), first = this.page * PAGE_ROWS;
    const { columns } = this.data, words = columns.map((c, at) => (c.kind === "category" ? at + 1 : 0));
    table(el("cell-table"), "Cells that are shown", ["barcode", ...columns.map(c => c.title)], rows.slice(first, first + PAGE_ROWS).map(i => this.line(i)), words);
    el("page-words").textContent = `Page ${this.page + 1} of ${pages}`;
    el("page-back").disabled = this.page === 0;
    el("page-on").disabled = this.page >= pages - 1;
  }

  line(i) {
    return [this.data.names[i], ...this.data.columns.map(c => (c.kind === "category" ? c.categories[c.values[i]] : fixed(c.values[i], c.step === 1 ? 0 : 3)))];
  }

  download() {
    const head = ["barcode", ...this.data.columns.map(c => c.key.replace("obs:", ""))];
    save("peakatlas-labels.tsv", [head.join("\t"), ...this.shown.rows().map(i => this.line(i).join("\t"))]);
    announce("Labels saved");
  }
}
