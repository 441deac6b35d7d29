"use strict";

// ---- what the page knows -------------------------------------------------------------------

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const FIRST_ROWS = 100;
const names = [...data.numbers, ...data.profile.numbers].map(([name]) => name);
const texts = [...data.texts, ...data.profile.texts].map(([name]) => name);
const label = (name) => name.replace(/_/g, " ");
const wells = collectWells();
const byName = new Map(wells.map((well) => [well.name, well]));
const limits = names.map((_, i) => limitsOf(wells.map((well) => well.numbers[i])));
let shown = "class", open = null, field = 0, matching = [], allRows = false;
let sorted = { column: "Well", down: false }, selected = null;
const categories = new Map([["class", data.classes], ...data.profile.texts.flatMap(categoriesOf)]);

function collectWells() {
  const found = new Map();
  for (const image of data.images) {
    if (!found.has(image.well)) found.set(image.well, { name: image.well, images: [] });
    found.get(image.well).images.push(image);
  }
  const listed = [...found.values()];
  for (const well of listed) {
    const [, letters, digits] = /^([A-Z]+)(\d+)$/.exec(well.name);
    well.row = data.rows.indexOf(letters);
    well.column = Number(digits) - 1;
    const done = well.images.filter((image) => image.status === "done");
    well.done = done.length;
    well.class = commonest(done.map((image) => image.class || ""));
    const profile = data.profile.wells[well.name] || [], count = data.profile.numbers.length;
    well.texts = data.texts.map((_, i) => commonest(done.map((image) => image.texts[i])));
    well.texts.push(...data.profile.texts.map((_, i) => profile[count + i] ?? ""));
    well.numbers = data.numbers.map((_, i) => mean(done.map((image) => image.numbers[i])));
    well.numbers.push(...data.profile.numbers.map((_, i) => profile[i] ?? null));
    well.notes = [...new Set(done.map((image) => image.notes).filter(Boolean))].join("; ");
  }
  return listed.sort((a, b) => a.row - b.row || a.column - b.column);
}

function mean(values) {
  const known = values.filter((value) => value != null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

function commonest(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts.keys()].sort().reduce(
    (best, value) => (best === "" || counts.get(value) > counts.get(best) ? value : best), "");
}

/** The colours of a column of words; none where there are more words than colours. */
function categoriesOf([name], i) {
  const words = new Set(wells.map((well) => well.texts[data.texts.length + i]).filter(Boolean));
  if (words.size > data.palette.length) return [];
  return [[name, Object.fromEntries([...words].sort().map((word, j) => [word, data.palette[j]]))]];
}

const wordOf = (well, name) => (name === "class" ? well.class : well.texts[texts.indexOf(name)]);

function limitsOf(values) {
  const known = values.filter((value) => value != null);
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
}

function limitsShown(i) {
  return names[i].startsWith("Probability_") ? [0, 1] : limits[i];
}

function told(value) {
  if (value == null || typeof value !== "number") return value ?? "";
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
}

function element(tag, text = "", properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.textContent = text;
  return made;
}

function rowOf(cells, tag = "td") {
  const row = element("tr");
  row.append(...cells.map((cell) => element(tag, told(cell))));
  return row;
}

// ---- the plate -----------------------------------------------------------------------------

const ramp = (stops) => `linear-gradient(90deg, ${stops.join(", ")})`;

function colourOf(well) {
  if (!well.done) return "";
  if (categories.has(shown)) return categories.get(shown)[wordOf(well, shown)] || "";
  const i = names.indexOf(shown), value = well.numbers[i], [low, high] = limitsShown(i);
  if (value == null) return "";
  const share = high > low ? (value - low) / (high - low) : 0.5;
  return data.scale[Math.round(Math.min(1, Math.max(0, share)) * (data.scale.length - 1))];
}

function drawPlate() {
  const grid = byId("wells"), least = data.columns.length > 24 ? 13 : 18;
  grid.style.gridTemplateColumns = `1.4rem repeat(${data.columns.length}, minmax(${least}px, 1fr))`;
  grid.append(element("span"), ...data.columns.map((name) => element("span", name)));
  const places = new Map(wells.map((well) => [`${well.row} ${well.column}`, well]));
  data.rows.forEach((letters, row) => {
    grid.append(element("span", letters, { className: "row" }));
    data.columns.forEach((_, column) => {
      const well = places.get(`${row} ${column}`);
      const button = element("button", "", { type: "button", tabIndex: -1, disabled: !well });
      button.setAttribute("role", "gridcell");
      if (well) {
        well.button = button;
        button.dataset.well = well.name;
      } else button.setAttribute("aria-hidden", "true");
      grid.append(button);
    });
  });
  if (wells.length) wells[0].button.tabIndex = 0;
}

function colourPlate() {
  for (const well of wells) {
    const value = categories.has(shown) ? wordOf(well, shown) : told(well.numbers[names.indexOf(shown)]);
    well.button.style.backgroundColor = colourOf(well);
    well.button.classList.toggle("bad", !well.done);
    well.button.title = `${well.name}: ${well.done ? value : well.images[0].status}`;
    well.button.setAttribute("aria-label", well.button.title);
  }
  const scale = byId("scale");
  if (categories.has(shown)) {
    scale.replaceChildren(...Object.entries(categories.get(shown)).map(([name, colour]) => {
      const entry = element("span", name), swatch = element("span", "", { className: "swatch" });
      swatch.style.backgroundColor = colour;
      entry.prepend(swatch);
      return entry;
    }));
    return;
  }
  const bar = element("span", "", { className: "ramp" });
  bar.style.background = ramp(data.scale);
  const [low, high] = limitsShown(names.indexOf(shown));
  scale.replaceChildren(element("span", told(low)), bar, element("span", told(high)));
}

function focusWell(well) {
  for (const other of wells) other.button.tabIndex = other === well ? 0 : -1;
  well.button.focus();
}

function walk(event) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const step = steps[event.key], from = byName.get(event.target.dataset.well);
  if (!step || !from) return;
  event.preventDefault();
  const ahead = wells.filter((well) => (step[0]
    ? well.column === from.column && (well.row - from.row) * step[0] > 0
    : well.row === from.row && (well.column - from.column) * step[1] > 0));
  const far = (well) => Math.abs(well.row - from.row) + Math.abs(well.column - from.column);
  if (ahead.length) focusWell(ahead.reduce((best, well) => (far(well) < far(best) ? well : best)));
}

// ---- a well --------------------------------------------------------------------------------

function openWell(well, number = 0) {
  if (open) open.button.removeAttribute("aria-selected");
  open = well;
  field = number;
  byId("well").hidden = !well;
  if (!well) return;
  well.button.setAttribute("aria-selected", "true");
  byId("well-title").textContent = `Well ${well.name}`;
  byId("field").replaceChildren(...well.images.map((image, i) => new Option(image.field, i)));
  byId("field").value = number;
  const place = wells.indexOf(well);
  byId("before").disabled = place === 0;
  byId("after").disabled = place === wells.length - 1;
  showImage(well.images[number]);
}

function showImage(image) {
  const verdict = data.texts.findIndex(([name]) => name === "verdict");
  const doubts = image.status === "done"
    ? [verdict >= 0 && image.texts[verdict] !== "explained" ? `Map: ${image.texts[verdict]}` : "", image.notes]
    : [`${image.status}: ${image.reason || "not done yet"}`];
  byId("doubt").textContent = doubts.filter(Boolean).join(". ");
  byId("doubt").hidden = !byId("doubt").textContent;
  showPicture(image);
  showObjects(image);
  const rows = [["Class", image.class, ""], ["Predicted", image.predicted, ""]];
  data.texts.forEach(([name, help], i) => rows.push([label(name), image.texts?.[i], help]));
  data.numbers.forEach(([name, help], i) => rows.push([label(name), image.numbers?.[i], help]));
  byId("numbers").replaceChildren(...rows.filter((row) => row[1] != null && row[1] !== "").map((row) => rowOf(row)));
}

function showPicture(image) {
  for (const id of ["picture", "legend", "strength", "bar", "marked"]) byId(id).hidden = !image.picture;
  byId("nothing").hidden = Boolean(image.picture) || image.status !== "done";
  byId("nothing").textContent = "Without previews (output.previews) there is no picture.";
  if (!image.picture) return;
  byId("map").src = `${image.folder}/map.png`;
  byId("marked").hidden = !image.outlines;
  if (image.outlines) byId("outlines").src = `${image.folder}/outlines.png`;
  byId("picture").setAttribute("aria-label", `Well ${image.well}, field ${image.field}, with its map`);
  const url = `url("${image.folder}/${image.picture}")`;
  // A picture of an earlier version is merged already: one layer, in its own colours.
  const apart = image.picture === "stains.png", count = apart ? data.stains.length : 1;
  byId("legend").hidden = !apart;
  byId("stains").replaceChildren(...Array.from({ length: count }, (_, i) => {
    const layer = element("div");
    layer.style.backgroundImage = url;
    layer.style.backgroundSize = `100% ${100 * count}%`;
    layer.style.backgroundPosition = `0 ${count > 1 ? (100 * i) / (count - 1) : 0}%`;
    layer.style.backgroundColor = apart ? data.stains[i][1] : "#fff";
    layer.hidden = apart && !byId("legend").querySelectorAll("input")[i].checked;
    return layer;
  }));
}

function drawLegend() {
  data.stains.forEach(([name, colour], i) => {
    const entry = element("label"), swatch = element("span", "", { className: "swatch" });
    const box = element("input", "", { type: "checkbox", checked: true });
    swatch.style.backgroundColor = colour;
    box.addEventListener("change", () => { byId("stains").children[i].hidden = !box.checked; });
    entry.append(box, " ", swatch, name);
    byId("legend").append(entry);
  });
  document.querySelector("#bar .ramp").style.background = ramp(data.weights);
}

function showOpacity() {
  byId("map").style.opacity = byId("opacity").value / 100;
  byId("percent").textContent = `${byId("opacity").value} %`;
}

function showObjects(image) {
  const objects = image.objects || [], placed = objects.some((one) => one[3] != null);
  byId("cells").hidden = !objects.length;
  byId("cells-told").textContent = `${objects.length} of ${image.count || 0}, the highest mean weight first`;
  selected = null;
  const head = ["Object", "Mean weight", "Share of the map", ...(placed ? ["x", "y"] : [])];
  byId("cells").querySelector("table").replaceChildren(rowOf(head, "th"), ...objects.map((one) => {
    const row = rowOf(one.slice(0, head.length));
    row.dataset.object = one[0];
    row.firstChild.replaceChildren(element("button", one[0], { type: "button" }));
    return row;
  }));
  const [height, width] = image.shape || [], known = objects.filter((one) => height && one[3] != null);
  byId("marks").replaceChildren(...known.map(([number, , , x, y]) => {
    const mark = element("button", number, { type: "button", title: `Object ${number}` });
    mark.dataset.object = number;
    mark.style.left = `${(100 * (x + 0.5)) / width}%`;
    mark.style.top = `${(100 * (y + 0.5)) / height}%`;
    return mark;
  }));
  markObjects();
}

/** Outlines and all marks where they are switched on; the selected object has its mark anyway. */
function markObjects() {
  const on = byId("outlined").checked;
  byId("outlines").hidden = byId("marked").hidden || !on;
  for (const mark of byId("marks").children) {
    const own = mark.dataset.object === selected;
    mark.hidden = !on && !own;
    mark.setAttribute("aria-pressed", own);
  }
  for (const row of byId("cells").querySelectorAll("tr[data-object]")) {
    row.setAttribute("aria-selected", row.dataset.object === selected);
  }
}

function selectObject(event) {
  const number = event.target.closest("[data-object]")?.dataset.object;
  if (!number) return;
  selected = selected === number ? null : number;
  markObjects();
  byId("marks").querySelector('[aria-pressed="true"]')?.scrollIntoView({ block: "nearest" });
}

// ---- the list ------------------------------------------------------------------------------

const COLUMNS = [
  ["Well", (well) => well.name], ["Class", (well) => well.class],
  ["Fields done", (well) => well.done],
  ...texts.map((name, i) => [name, (well) => well.texts[i]]),
  ...names.map((name, i) => [name, (well) => well.numbers[i]]),
];

const valueOf = (well, name) => COLUMNS.find(([column]) => column === name)[1](well);

function compare(a, b) {
  if (sorted.column === "Well") return wells.indexOf(a) - wells.indexOf(b);
  const [one, other] = [a, b].map((well) => valueOf(well, sorted.column));
  if (typeof one === "string") return one < other ? -1 : Number(one > other);
  return one - other;
}

function filterList() {
  const text = byId("text").value.toLowerCase(), wanted = byId("class").value;
  const [least, most] = ["least", "most"].map((id) => byId(id).value);
  const known = (well) => (typeof valueOf(well, sorted.column) === "string"
    || valueOf(well, sorted.column) != null);
  const rows = wells.filter((well) => {
    const value = names.length ? valueOf(well, byId("column").value) : null;
    const within = (least === "" || (value != null && value >= Number(least)))
      && (most === "" || (value != null && value <= Number(most)));
    const words = [well.name, well.class, ...well.texts, well.notes].join("\n").toLowerCase();
    return within && (!wanted || well.class === wanted) && words.includes(text);
  });
  const some = rows.filter(known).sort((a, b) => (sorted.down ? compare(b, a) : compare(a, b)));
  matching = [...some, ...rows.filter((well) => !known(well))];
  drawList();
}

function drawList() {
  const head = element("tr");
  for (const [name] of COLUMNS) {
    const cell = element("th"), button = element("button", label(name), { type: "button" });
    if (name === sorted.column) {
      cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      button.append(sorted.down ? " ▼" : " ▲");
    }
    button.dataset.column = name;
    cell.append(button);
    head.append(cell);
  }
  const drawn = allRows ? matching : matching.slice(0, FIRST_ROWS);
  byId("list").replaceChildren(head, ...drawn.map((well) => {
    const row = rowOf(COLUMNS.map(([, value]) => value(well)));
    row.firstChild.replaceChildren(element("a", well.name, { href: `#${well.name}` }));
    return row;
  }));
  byId("matches").textContent = `${matching.length} of ${wells.length} wells`;
  byId("all").hidden = drawn.length === matching.length;
}

function sortBy(event) {
  const column = event.target.dataset.column;
  if (!column) return;
  const number = matching.length && typeof valueOf(matching[0], column) === "number";
  sorted = { column, down: sorted.column === column ? !sorted.down : Boolean(number) };
  filterList();
  byId("list").querySelector(`[aria-sort] button`).focus();
}

function saveList() {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);
  const head = ["Metadata_Plate", "Metadata_Well", ...COLUMNS.slice(1).map(([name]) => name)];
  const rows = matching.map((well) => [data.plate, ...COLUMNS.map(([, value]) => value(well))]);
  const lines = [head, ...rows].map((row) => row.map((v) => quoted(String(v ?? ""))).join(","));
  const url = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  element("a", "", { href: url, download: "hits.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// ---- links and keys ------------------------------------------------------------------------

/** #B02 is a well, #B02/1 a field of it. */
function follow() {
  let parts;
  try {
    parts = location.hash.slice(1).split("/").map(decodeURIComponent);
  } catch { return; }
  const well = byName.get(parts[0]);
  const at = well ? well.images.findIndex((image) => image.field === parts[1]) : -1;
  openWell(well || null, Math.max(0, at));
  if (!well) return;
  const { top } = byId("well").getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) byId("well").scrollIntoView();
}

function go(well, image = null) {
  const hash = `#${well.name}${image ? `/${encodeURIComponent(image.field)}` : ""}`;
  if (location.hash === hash) follow();
  else location.hash = hash;
}

function start() {
  byId("shown").append(...[...categories.keys(), ...names].map((name) => new Option(label(name), name)));
  byId("class").append(...Object.keys(data.classes).map((name) => new Option(name, name)));
  byId("column").append(...names.map((name) => new Option(label(name), name)));
  drawPlate();
  colourPlate();
  drawLegend();
  showOpacity();
  filterList();
  byId("shown").addEventListener("change", () => { shown = byId("shown").value; colourPlate(); });
  byId("wells").addEventListener("keydown", walk);
  byId("wells").addEventListener("click", (event) => {
    const well = byName.get(event.target.dataset.well);
    if (well) { go(well); focusWell(well); }
  });
  byId("before").addEventListener("click", () => go(wells[wells.indexOf(open) - 1]));
  byId("after").addEventListener("click", () => go(wells[wells.indexOf(open) + 1]));
  byId("field").addEventListener("change", () => go(open, open.images[byId("field").value]));
  byId("outlined").addEventListener("change", markObjects);
  for (const id of ["marks", "cells"]) byId(id).addEventListener("click", selectObject);
  byId("opacity").addEventListener("input", showOpacity);
  byId("filters").addEventListener("input", () => { allRows = false; filterList(); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("list").addEventListener("click", sortBy);
  byId("save").addEventListener("click", saveList);
  byId("all").addEventListener("click", () => { allRows = true; drawList(); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !open) return;
    focusWell(open);
    location.hash = "";
  });
  window.addEventListener("hashchange", follow);
  follow();
}

start();
