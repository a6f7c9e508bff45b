// Small helpers: elements, numbers, tables, files. Text is always set as text, never as HTML.
const el = id => document.getElementById(id);
const count = n => n.toLocaleString("en");
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const points = share => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)} points`;
const fixed = (value, digits = 3) => (value === null || Number.isNaN(value) ? "–" : value.toFixed(digits));

function make(tag, text, parent, more = {}) {
  const node = Object.assign(document.createElement(tag), more);
  if (text !== undefined && text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// A cell is a text, or {text, colour} for a coloured dot, {text, href} or {text, mark}, each left-aligned by `left`.
function fillCell(cell, value) {
  if (value === null || typeof value !== "object") { cell.textContent = value ?? "–"; return; }
  if (value.colour) {
    cell = make("span", undefined, cell, { className: "named" });
    make("span", undefined, cell, { className: "dot" }).style.background = value.colour;
  }
  if (value.mark) make("span", value.text, cell, { className: `mark ${value.mark}` });
  else if (value.href) make("a", value.text, cell, { href: value.href, rel: "noreferrer", target: "_blank" });
  else cell.append(value.text);
}

function table(place, caption, head, rows, left = [0]) {
  const frame = make("div", undefined, null, { className: "scroll", tabIndex: 0 });
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", caption);
  const grid = make("table", undefined, frame);
  make("caption", caption, grid);
  const titles = make("tr", undefined, make("thead", undefined, grid));
  head.forEach((text, at) => make("th", text, titles, { scope: "col", className: left.includes(at) ? "left" : "" }));
  const body = make("tbody", undefined, grid);
  for (const row of rows) {
    const line = make("tr", undefined, body);
    row.forEach((value, at) => fillCell(make(at ? "td" : "th", undefined, line, { className: left.includes(at) ? "left" : "", ...(at ? {} : { scope: "row" }) }), value));
  }
  place.replaceChildren(frame);
}

function save(name, lines, type = "text/tab-separated-values") {
  const url = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type }));
  make("a", undefined, null, { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function announce(text) { el("said").textContent = text; }

async function copyText(button) {
  const source = el(button.dataset.copy);
  try { await navigator.clipboard.writeText(source.textContent); } catch {
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
