// The payload: JSON in front, typed arrays behind; and which cells are shown.
const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
const MISSING = 65535;

async function unpack(id) {
  const bytes = Uint8Array.from(atob(el(id).textContent.trim()), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

function openPayload(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const array = place => new ARRAYS[place.type](buffer, 4 + size + place.at, place.n);
  const numbers = column => Float32Array.from(array(column.data), code => (code === MISSING ? NaN : column.low + code * column.step));
  const { names, columns, map, shown } = facts.cells;
  const lines = new TextDecoder().decode(array(names));
  return {
    ...facts, size: shown, names: shown ? lines.split("\n") : [],
    columns: columns.map(c => ({ ...c, values: c.kind === "number" ? numbers(c) : array(c.data) })),
    x: numbers(map.x), y: numbers(map.y),
    reference: { categories: map.reference.categories, values: array(map.reference.data) },
  };
}

// Which cells are shown: for each filtered column the chosen categories, all of which must hold.
class Shown {
  constructor(data) { this.data = data; this.chosen = new Map(); this.listeners = []; }
  column(key) { return this.data.columns.find(column => column.key === key); }
  text(key, cell) { const column = this.column(key); return column.categories[column.values[cell]]; }
  number(key, cell) { const column = this.column(key); return column ? column.values[cell] : NaN; }

  toggle(key, category) {
    const set = this.chosen.get(key) ?? new Set();
    if (!set.delete(category)) set.add(category);
    if (set.size) this.chosen.set(key, set); else this.chosen.delete(key);
    this.changed();
  }
  only(key, category) { this.chosen.clear(); this.chosen.set(key, new Set([category])); this.changed(); }
  clear() { this.chosen.clear(); this.changed(); }
  has(key, category) { return this.chosen.get(key)?.has(category) ?? false; }
  changed() { this.listeners.forEach(listener => listener()); }

  mask(except = "") {
    const mask = new Uint8Array(this.data.size).fill(1);
    for (const [key, set] of this.chosen) {
      if (key === except) continue;
      const { categories, values } = this.column(key);
      const good = categories.map(category => set.has(category));
      for (let i = 0; i < mask.length; i++) if (!good[values[i]]) mask[i] = 0;
    }
    return mask;
  }
  rows() { const mask = this.mask(), rows = []; mask.forEach((on, i) => { if (on) rows.push(i); }); return rows; }
  words() { return [...this.chosen].map(([key, set]) => `${this.column(key).title} is ${[...set].join(" or ")}`).join("; "); }
}
