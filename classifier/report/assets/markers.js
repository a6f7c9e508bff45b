// Elements that carry each type: tables, links to a genome browser, BED files.
const BROWSER = "https://genome.ucsc.edu/cgi-bin/hgTracks";

class Markers {
  constructor(data, figures) { Object.assign(this, { data, figures }); }

  start() {
    const { markers } = this.data;
    el("markers").hidden = !markers.length;
    if (!markers.length) return;
    for (const { type } of markers) make("option", type, el("marker-type"), { value: type });
    el("assembly").value = this.data.assembly;
    for (const id of ["marker-type", "assembly"]) el(id).addEventListener("change", () => this.draw());
    el("bed").addEventListener("click", () => this.save(this.chosen.type, [this.chosen]));
    el("all-beds").addEventListener("click", () => this.save("all types", markers));
    this.draw();
  }
  get chosen() { return this.data.markers.find(found => found.type === el("marker-type").value); }

  draw() {
    const { type, elements } = this.chosen, assembly = el("assembly").value;
    const place = ([chrom, start, end]) => {
      const text = `${chrom}:${count(start + 1)}-${count(end)}`;
      return assembly ? { text, href: `${BROWSER}?db=${assembly}&position=${encodeURIComponent(`${chrom}:${start + 1}-${end}`)}` } : text;
    };
    const named = elements.some(row => row.length > 6), gene = row => [row[6] || "–", row[7] < 0 ? "–" : count(row[7])];
    table(el("markers-table"), `Marker peaks of ${type}`, ["peak (1-based)", "bp", ...(named ? ["nearest gene", "bp to its start"] : []), "contribution", "open in the type", "open in others"],
      elements.map(row => [place(row), count(row[2] - row[1]), ...(named ? gene(row) : []), fixed(row[3], 3), percent(row[4], 0), percent(row[5], 0)]), named ? [0, 2] : [0]);
    el("bed").textContent = `BED of ${type}`;
  }

  save(name, sets) {
    const lines = sets.flatMap(({ type, elements }) => elements.map(([chrom, start, end, weight]) => [chrom, start, end, type.replace(/\s/g, "_"), Math.round(1000 * Math.min(1, weight)), "."].join("\t")));
    save(`peakatlas-markers-${name.replace(/\W+/g, "_")}.bed`, lines, "text/plain");
    announce("BED file saved");
  }
}
