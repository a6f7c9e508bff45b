// Words and tables first; the figures follow as soon as plotly is unpacked.
async function start() {
  const plotly = unpack("plotly-gz"), data = openPayload(await unpack("payload-gz"));
  const colourOf = colourBook(data.record.types, data.palette), shown = new Shown(data);
  const map = new CellMap(data, shown, colourOf), cells = new CellTable(data, shown), figures = new Figures(data, shown, colourOf);
  fillOverview(data);
  fillVerdicts(data, figures);
  fillTruth(data, figures);
  fillHeldOut(data, figures);
  fillLevels(data, colourOf);
  fillProvenance(data);
  new Markers(data, figures).start();
  fillContents();
  startTheme(() => { map.draw(); figures.draw(); });
  document.querySelectorAll("[data-copy]").forEach(button => button.addEventListener("click", () => copyText(button)));
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await plotly);
  document.head.append(script);
  map.draw();
  map.start();
  cells.start();
  cells.draw();
  figures.draw();
  shown.listeners.push(() => map.draw(), () => cells.reset(), () => { figures.composition(); figures.histogram(); figures.boxes(); });
  document.documentElement.dataset.ready = "yes";
}
start();
