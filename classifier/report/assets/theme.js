// Colours of types, and the look of the figures in light and dark.
const OPEN = "#98a1ad";
const RAMP = ["#45318f", "#86409f", "#c84f78", "#ec7f50", "#f0c04a"];
const REASONS = { "given a type": "#4269d0", uncertain: "#e0a010", novel: "#ff725c", empty: "#a463f2" };
const VERDICTS = { trust: "#3ca951", check: "#7aa6f0", "do not use": "#d04a5a" };
const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function colourBook(types, palette) {
  const colour = at => palette[at % palette.length];
  const known = new Map([["Unassigned", OPEN], ...types.map((type, at) => [type, colour(at)])]);
  return (column, category) => {
    if (column.key === "verdict") return VERDICTS[category] ?? (category.startsWith("merge") ? "#e0a010" : OPEN);
    if (column.key === "reason") return REASONS[category] ?? OPEN;
    if (column.key === "label" || column.key === "best" || known.has(category)) return known.get(category) ?? OPEN;
    return colour(column.categories.indexOf(category));
  };
}

const narrow = () => innerWidth <= 560;

// At most `most` lines of at most `width` letters where there is a blank to break at.
function wrap(text, width, most = Infinity) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1), longer = line ? `${line} ${word}` : word;
    if (line && longer.length > width) lines.push(word); else lines[lines.length - 1] = longer;
  }
  return lines.length > most ? `${lines.slice(0, most).join("<br>")} …` : lines.join("<br>");
}

function layout(more = {}) {
  const { xaxis = {}, yaxis = {}, ...others } = more;
  const soft = { size: 13, color: token("--soft") };
  const title = axis => (axis.title ? { title: { font: soft, standoff: 12, text: wrap(axis.title.text, narrow() ? 26 : 60) } } : {});
  const axis = { gridcolor: token("--grid"), zerolinecolor: token("--line"), automargin: true, fixedrange: true, ticklabelstandoff: 6, tickfont: { color: token("--soft") } };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: token("--ink"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 8, r: 12, t: 8, b: 36 }, hoverlabel: { align: "left" }, bargap: .3, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    xaxis: { ...axis, ...(narrow() && xaxis.type !== "category" ? { nticks: 4, tickangle: 0 } : {}), ...xaxis, ...title(xaxis) }, yaxis: { ...axis, ...yaxis, ...title(yaxis) }, ...others,
  };
}

const QUIET = { responsive: true, displayModeBar: false };
const draw = (id, traces, more) => Plotly.react(id, traces, layout(more), QUIET);
const isDark = () => document.documentElement.dataset.theme === "dark";

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  el("theme").textContent = name === "dark" ? "Light" : "Dark";
  el("theme").setAttribute("aria-label", `Switch to ${name === "dark" ? "light" : "dark"} colours`);
}

function startTheme(redraw) {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  setTheme(wish.matches ? "dark" : "light");
  wish.addEventListener("change", () => { setTheme(wish.matches ? "dark" : "light"); redraw(); });
  el("theme").addEventListener("click", () => { setTheme(isDark() ? "light" : "dark"); redraw(); });
}
