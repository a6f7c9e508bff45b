// Colours of types, and the look of the figures in light and dark.
const PALETTE = ["#4269d0", "#e0a010", "#ff725c", "#3ca951", "#a463f2", "#2ba3a8", "#e86ca8", "#9c6b4e", "#7aa6f0", "#8a9a10",
  "#c2448c", "#d97b29", "#5b5bd6", "#2d7f5e", "#b39b4f", "#d04a5a", "#6cc5b0", "#7d6bb0", "#5f8f2e", "#c98bd9"];
const OPEN = "#98a1ad";
const RAMP = ["#45318f", "#86409f", "#c84f78", "#ec7f50", "#f0c04a"];
const REASONS = { "given a type": "#4269d0", uncertain: "#e0a010", novel: "#ff725c", empty: "#a463f2" };
const VERDICTS = { trust: "#3ca951", check: "#7aa6f0", "do not use": "#d04a5a" };
const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function colourBook(types) {
  const known = new Map([["Unassigned", OPEN], ...types.map((type, at) => [type, PALETTE[at % PALETTE.length]])]);
  return (column, category) => {
    if (column.key === "verdict") return VERDICTS[category] ?? (category.startsWith("merge") ? "#e0a010" : OPEN);
    if (column.key === "reason") return REASONS[category] ?? OPEN;
    if (column.key === "label" || column.key === "best" || known.has(category)) return known.get(category) ?? OPEN;
    return PALETTE[column.categories.indexOf(category) % PALETTE.length];
  };
}

function layout(more = {}) {
  const { xaxis = {}, yaxis = {}, ...others } = more;
  const title = axis => (axis.title ? { title: { font: { size: 13, color: token("--soft") }, standoff: 12, ...axis.title } } : {});
  const axis = { gridcolor: token("--grid"), zerolinecolor: token("--line"), automargin: true, fixedrange: true, ticklabelstandoff: 6, tickfont: { color: token("--soft") } };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: token("--ink"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 8, r: 12, t: 8, b: 36 }, hoverlabel: { align: "left" }, bargap: .3, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    xaxis: { ...axis, ...xaxis, ...title(xaxis) }, yaxis: { ...axis, ...yaxis, ...title(yaxis) }, ...others,
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
