"""The report in a browser: it draws, follows its legend, finds cells and saves files."""

from __future__ import annotations

import pytest

PLACE_OF_A_CELL = """() => {
  const map = document.getElementById("map"), { x, y } = map.data.find(t => t.name === "NK");
  const { xaxis, yaxis } = map._fullLayout, box = map.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.l2p(x[0]), box.top + yaxis._offset + yaxis.l2p(y[0])];
}"""
SERIOUS = {"serious", "critical"}


def numbers_of(page, table: str, column: int) -> list[float]:
    cells = page.locator(f"#{table} tbody tr").evaluate_all(
        f"rows => rows.map(row => row.children[{column}].textContent)"
    )
    return [float(text.replace(",", "").rstrip(" %")) for text in cells]


def saved(page, button: str) -> list[list[str]]:
    with page.expect_download() as waiting:
        page.click(f"#{button}")
    text = waiting.value.path().read_text("utf-8")
    return [line.split("\t") for line in text.splitlines()]


def test_it_draws_everything_and_loads_nothing(open_page, report):
    page = open_page()
    assert page.complaints == []
    assert {url.partition(":")[0] for url in page.fetched} <= {"file", "blob", "data"}
    assert [url for url in page.fetched if url.startswith("file:")] == [report.as_uri()]
    points = page.evaluate("document.getElementById('map').data.map(t => t.x.length)")
    assert sum(points) == 240 + 90
    for figure in ("shares", "difference", "histogram", "tiers", "sets"):
        assert page.locator(f"#{figure} .barlayer .point").count() > 0, figure
    assert page.locator("#weights .barlayer .point").count() == 2
    assert page.locator("#confusion .colorbar, #confusion .cbfill").count() >= 1
    assert page.locator("#verdicts-table tbody tr").all_inner_texts()[0].split("\t")[:2] == [
        "NK",
        "do not use",
    ]
    assert page.locator("#calibration .errorbar").count() == 2
    assert page.locator("#boxes .boxlayer .box").count() == 3
    assert page.locator("#confusion .heatmaplayer image").count() == 1
    assert page.locator("h1").inner_text() == "Cells of <one> query"
    assert "my query.h5ad" in page.locator("#command").inner_text()
    assert "Remove the shallowest cells." in page.locator(".warnings").inner_text()


def test_tables_hold_what_the_figures_show(open_page):
    page = open_page()
    assert numbers_of(page, "types-table", 1) == [72, 72, 72, 24]
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    assert numbers_of(page, "histogram-table", 1)[18:] == pytest.approx([108, 108], abs=40)
    assert sum(numbers_of(page, "histogram-table", 2)) == 24
    assert numbers_of(page, "tiers-table", 1) == [7, 3, 2]
    assert numbers_of(page, "sets-table", 1) == [216, 24]
    assert page.locator("#confusion-table tbody tr").count() == 4
    calibration = page.locator("#calibration-table tbody tr").all_inner_texts()
    assert calibration[0].split("\t") == [
        "reference cells held out", "0.90", "80.0 %", "47 % to 95 %", "9",
    ]  # fmt: skip
    assert sum(numbers_of(page, "calibration-table", 4)[1:]) == 216
    rare = page.locator("#truth-table tbody tr", has_text="rare").inner_text().split("\t")
    assert rare == ["rare (not in the reference)", "24", "–", "–", "–"]
    assert "NK (6)" in page.locator("#held-out tbody").inner_text()
    assert page.locator("#cell-table tbody tr").count() == 25


def test_legend_filters_every_figure(open_page):
    page = open_page()
    page.click("#legend button:has-text('T cell')")
    assert page.locator("#filter").inner_text() == "72 of 240 cells are shown: label is T cell."
    assert page.get_attribute("#legend button:has-text('T cell')", "aria-pressed") == "true"
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    assert sum(numbers_of(page, "histogram-table", 1)) == 72
    assert page.locator("#boxes .boxlayer .box").count() == 1
    faded = page.evaluate("document.getElementById('shares').data[0].marker.opacity")
    assert faded == [0.3, 0.3, 1, 0.3]
    page.select_option("#colour", "obs:donor")
    page.click("#legend button:has-text('d1')")
    assert "label is T cell; donor (batch) is d1" in page.locator("#filter").inner_text()
    page.click("#clear")
    assert page.locator("#filter").inner_text() == "All 240 cells are shown."
    assert page.complaints == []


def test_map_is_coloured_by_other_columns(open_page):
    page = open_page()
    for column in ("confidence", "depth", "reason", "obs:cell_type"):
        page.select_option("#colour", column)
        points = page.evaluate("document.getElementById('map').data.map(t => t.x.length)")
        assert sum(points) == 240 + 90
        assert page.locator(".ramp").count() == (column in ("confidence", "depth"))
    assert page.complaints == []


def test_search_rings_a_cell_and_offers_types(open_page):
    page = open_page()
    page.fill("#find", "acgt0007")
    assert "1 barcode with these letters found" in page.locator("#found").inner_text()
    assert "NK, confidence 0.9" in page.locator("#found").inner_text()
    ring = "(t => [t.name, t.x.length])(document.getElementById('map').data.at(-1))"
    assert page.evaluate(ring) == ["found", 1]
    page.fill("#find", "acgt0001-1")
    assert "1 barcode found" in page.locator("#found").inner_text()
    page.fill("#find", "t cel")
    page.click("#found button:has-text('Show only T cell')")
    assert page.locator("#filter").inner_text().startswith("72 of 240")


def test_hover_names_the_cell(open_page):
    page = open_page()
    page.evaluate("document.getElementById('cells').scrollIntoView()")
    place = page.evaluate(PLACE_OF_A_CELL)
    page.mouse.move(place[0] - 1, place[1])
    page.mouse.move(*place)
    page.wait_for_selector("#tip:not([hidden])")
    assert "ACGT" in page.locator("#tip b").inner_text()
    assert "NK" in page.locator("#tip").inner_text()


def test_downloads_hold_the_labels_and_the_elements(open_page, annotated):
    page = open_page()
    head, *rows = saved(page, "download")
    assert head[:3] == ["barcode", "label", "best"] and len(rows) == 240
    obs = annotated.obs
    assert [row[0] for row in rows] == obs.index.tolist()
    assert [row[1] for row in rows] == obs["peakatlas_label"].tolist()
    confidence = [float(row[head.index("confidence")]) for row in rows]
    assert confidence == pytest.approx(obs["peakatlas_confidence"].tolist(), abs=6e-4)
    depth = [float(row[head.index("depth")]) for row in rows]
    assert depth == annotated.X.sum(axis=1).A1.tolist()
    page.click("#legend button:has-text('NK')")
    assert {row[1] for row in saved(page, "download")[1:]} == {"NK"}
    page.select_option("#marker-type", "NK")
    assert saved(page, "bed") == [["chr1", "100", "150", "NK", "500", "."]] * 2
    assert len(saved(page, "all-beds")) == 6
    page.select_option("#assembly", "hg38")
    link = page.get_attribute("#markers-table a >> nth=0", "href")
    assert "db=hg38&position=chr1%3A101-150" in link


def test_dark_follows_the_system_and_the_button(open_page):
    page = open_page(scheme="dark")
    theme = "document.documentElement.dataset.theme"
    ink = "getComputedStyle(document.body).color"
    assert page.evaluate(theme) == "dark"
    dark = page.evaluate(ink)
    page.click("#theme")
    assert page.evaluate(theme) == "light" and page.evaluate(ink) != dark


def test_everything_can_be_done_by_keyboard(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("#legend button")
    page.keyboard.press("Space")
    assert "72 of 240" in page.locator("#filter").inner_text()
    assert page.evaluate("document.activeElement.dataset.category") == "B"
    wide = page.evaluate("document.getElementById('map')._fullLayout.xaxis.range")
    page.focus("#zoom-in")
    page.keyboard.press("Enter")
    near = page.evaluate("document.getElementById('map')._fullLayout.xaxis.range")
    assert near[1] - near[0] < 0.8 * (wide[1] - wide[0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = open_page(scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    told = [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in SERIOUS]
    assert told == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_of_many_types_is_sound(open_page, many_types_report, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = open_page(path=many_types_report, width=width)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.locator("#legend .dot").evaluate_all("dots => dots.map(d => d.style.background)")
    assert len(set(colours)) == len(colours) == 25
    assert page.locator("#confusion .heatmap-label").count() >= 25
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []


def test_a_phone_cuts_nothing(open_page):
    page = open_page(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = page.evaluate("""() => [...document.querySelectorAll(".chart text")].filter(text => {
      const chart = text.closest(".chart").getBoundingClientRect();
      const { left, right, width } = text.getBoundingClientRect();
      return width && (left < chart.left - 1 || right > chart.right + 1);
    }).map(text => text.textContent)""")
    assert cut == []
    assert page.complaints == []


def test_a_printed_page_has_its_legend_below_the_map_and_whole_tables(open_page):
    page = open_page()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})
    map_, legend = (page.locator(f"#{name}").bounding_box() for name in ("map", "legend"))
    drawn = page.locator("#map .main-svg >> nth=0").bounding_box()
    assert legend["y"] >= drawn["y"] + drawn["height"] - 1
    assert map_["height"] >= drawn["height"]
    assert page.locator("details:not([open])").evaluate_all(
        "all => all.every(one => one.getBoundingClientRect().height === 0)"
    )
    whole = "all => all.every(one => one.scrollHeight <= one.clientHeight + 1)"
    assert page.locator(".scroll").evaluate_all(whole)


def test_a_hundred_thousand_cells_fit_into_five_megabytes(open_page, big_report):
    assert big_report.stat().st_size < 5_000_000
    page = open_page(path=big_report, patience_ms=90_000)
    points = page.evaluate("document.getElementById('map').data.map(t => t.x.length)")
    assert sum(points) == 100_000 + 90
    page.click("#legend button:has-text('NK')")
    assert page.locator("#filter").inner_text().startswith("30,000 of 100,000 cells")
    assert page.complaints == []
