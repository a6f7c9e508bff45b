// What does not change while the page is open: tiles, known labels, validation, provenance.
function fillOverview(data) {
  const { record, truth, cells } = data, open = record.labels.Unassigned ?? 0;
  const tile = (text, value) => { const box = make("div", undefined, el("tiles")); make("dt", text, box); make("dd", value, box); };
  tile("cells", count(record.cells));
  tile("got a type", percent(1 - open / record.cells));
  tile("Unassigned", count(open));
  tile("types found", `${record.types.filter(type => record.labels[type]).length} of ${record.types.length}`);
  tile("counts in known peaks", percent(record.shared_counts, 0));
  if (record.spec) tile("peaks with embedding", percent(1 - (record.tiers.missing ?? 0) / record.peaks, 0));
  if (truth?.scores.accuracy !== null && truth) tile("accuracy, known types", percent(truth.scores.accuracy));
  return cells;
}

// Mean confidence of the labels of a type, and how much it is above (+) or below (−) their precision.
function offBy({ confidence, precision }) {
  if (confidence === null || precision === null) return fixed(confidence, 2);
  const gap = confidence - precision;
  return `${fixed(confidence, 2)} (${gap < 0 ? "−" : "+"}${Math.abs(gap).toFixed(2)})`;
}

function fillVerdicts(data, figures) {
  el("verdicts").hidden = !data.verdicts.length;
  if (!data.verdicts.length) return;
  table(el("verdicts-table"), "Types, the least reliable first", ["type", "verdict", "share of query", "share of reference", "held-out F1", "precision", "mean confidence (off by)", "cut‑off", "reason"], data.verdicts.map(row => [
    figures.type(row.type), { text: row.words, mark: row.verdict.replaceAll(" ", "-") }, percent(row.query), percent(row.reference), fixed(row.f1, 2), fixed(row.precision, 2), offBy(row), fixed(row.cutoff, 2), row.reason,
  ]), [0, 1, 8]);
}

function fillTruth(data, figures) {
  const truth = data.truth;
  el("truth").hidden = !truth;
  if (!truth) return;
  const { scores } = truth, share = value => (value === null ? "not defined" : percent(value));
  el("truth-words").textContent = `Known types are those in obs["${truth.column}"]; they were read for this comparison only. Over cells of types that the reference has: accuracy ${share(scores.accuracy)} and macro-F1 ${fixed(scores.macro_f1)} ("Unassigned" counts as wrong), ${share(truth.forced)} if every cell took its likeliest type. Cells of types that the reference lacks left Unassigned: ${share(scores.rejected_unknown)}.`;
  table(el("confusion-table"), "Cells by known type (rows) and label (columns)", ["known type", ...truth.columns], truth.rows.map((name, at) => [name, ...truth.counts[at].map(count)]));
  table(el("truth-table"), "Precision, recall and F1 of each known type", ["known type", "cells", "precision", "recall", "F1"], truth.per_type.map(row => {
    const lacked = truth.lacked.includes(row.label), shown = lacked ? ["–", "–", "–"] : [fixed(row.precision), fixed(row.recall), fixed(row.f1)];
    return [{ ...figures.type(row.label), text: lacked ? `${row.label} (not in the reference)` : row.label }, count(row.n_cells), ...shown];
  }));
}

function fillHeldOut(data, figures) {
  const scores = data.record.held_out;
  el("held-out-words").textContent = `Reference cells that the labeller had not seen: ${percent(scores.accuracy)} of them were labelled rightly, macro-F1 ${fixed(scores.macro_f1)}.`;
  if (data.held_out.length) table(el("held-out"), "Held-out reference cells of each type", ["type", "cells", "precision", "recall", "mistaken for"], data.held_out.map(row => [
    figures.type(row.type), count(row.cells), fixed(row.precision, 2), fixed(row.recall, 2), Object.entries(row.mistaken_for).map(([name, n]) => `${name} (${count(n)})`).join(", ") || "–",
  ]), [0, 4]);
}

function fillLevels(data, colourOf) {
  el("levels-block").hidden = !data.levels.length;
  for (const { level, labels } of data.levels) {
    const column = data.columns.find(c => c.key === `level:${level}`);
    table(make("div", undefined, el("levels")), `Cells by ${level}`, [level, "cells", "share"], labels.map(([name, n]) => [{ text: name, colour: colourOf(column, name) }, count(n), percent(n / data.record.cells)]));
  }
}

function fillProvenance(data) {
  const { record } = data, spec = record.spec, bundle = record.bundle;
  table(el("versions"), "Software", ["package", "version"], Object.entries(record.software), [0, 1]);
  const facts = [["reference", bundle.reference], ["labels of the reference", bundle.labels_key], ["embedding model", spec?.model], ["embedding spec (SHA-256)", record.spec_digest], ["method", record.method], ["seed", record.options.seed]];
  table(el("facts"), "Inputs and choices", ["what", "value"], facts.filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => [name, String(value).replace(/^([0-9a-f]{16})[0-9a-f]{48}$/, "$1…")]), [0, 1]);
  el("record").textContent = JSON.stringify(record, null, 2);
}

function fillContents() {
  for (const section of document.querySelectorAll("section[data-contents]:not([hidden])")) {
    make("a", section.dataset.contents, make("li", undefined, el("contents")), { href: `#${section.id}` });
  }
}
