"use strict";
// Behaviour that HTML alone does not have; every page works without it but for what is said below.

// A file above the server's limit is refused before it is sent: browsers show no answer to a request that was cut off.
document.addEventListener("submit", (event) => {
  for (const input of event.target.querySelectorAll("input[type=file][data-max-bytes]")) {
    const most = Number(input.dataset.maxBytes);
    const file = [...input.files].find((each) => each.size > most);
    const message = file ? `${file.name} is larger than ${Math.round(most / 1e6)} MB` : "";
    let shown = document.getElementById(`${input.id}-problem`);
    if (message && !shown) {
      shown = document.createElement("p");
      shown.id = `${input.id}-problem`;
      shown.className = "problem";
      shown.setAttribute("role", "alert");
      input.after(shown);
    }
    if (shown) shown.textContent = message;
    if (message) event.preventDefault();
  }
});

// Copying a command.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const shown = document.getElementById(button.dataset.copy);
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(shown.textContent);
    button.textContent = "Copied";
  } else {
    // Browsers have a clipboard on this machine and behind TLS alone.
    window.getSelection().selectAllChildren(shown);
    button.textContent = "Selected";
  }
});

// Ask: only the columns and options that a task of the chosen type has are shown.
function showFieldsOfType(form) {
  const type = form.querySelector("select[name=type]").value || form.dataset.found;
  for (const field of form.querySelectorAll("[data-types]")) {
    const off = type !== "" && !field.dataset.types.split(" ").includes(type);
    field.hidden = off;
    for (const input of field.querySelectorAll("select, input")) input.disabled = off;
  }
}
document.addEventListener("change", (event) => {
  const form = event.target.closest("form#reading");
  if (form && event.target.name === "type") showFieldsOfType(form);
});

// Map of tasks: the part that is shown is the SVG's viewBox; marks and names keep their size on the screen.
const MOST_ZOOM = 16;
const SMALL_MAP = 600;
const wholeMaps = new WeakMap();

function showPart(map, x, y, width) {
  const whole = wholeMaps.get(map);
  const size = Math.min(whole.width, Math.max(whole.width / MOST_ZOOM, width));
  const height = (size * whole.height) / whole.width;
  const left = Math.min(Math.max(x, 0), whole.width - size);
  const top = Math.min(Math.max(y, 0), whole.height - height);
  map.setAttribute("viewBox", `${left} ${top} ${size} ${height}`);
  map.style.setProperty("--unit", size / (map.clientWidth || whole.width));
  map.classList.toggle("zoomed", size < whole.width / 1.6);
}

// Zooms by a factor about a point, by default the middle of what is shown.
function zoomMap(map, factor, at) {
  const box = map.viewBox.baseVal;
  const fixed = at || { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const width = Math.min(wholeMaps.get(map).width, Math.max(wholeMaps.get(map).width / MOST_ZOOM, box.width * factor));
  const by = width / box.width;
  showPart(map, fixed.x - (fixed.x - box.x) * by, fixed.y - (fixed.y - box.y) * by, width);
}

function moveMap(map, across, down) {
  const box = map.viewBox.baseVal;
  showPart(map, box.x + across * box.width, box.y + down * box.height, box.width);
}

function placeOnMap(map, event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
}

const mapKeys = {
  "+": (map) => zoomMap(map, 1 / 1.5),
  "=": (map) => zoomMap(map, 1 / 1.5),
  "-": (map) => zoomMap(map, 1.5),
  "0": (map) => zoomMap(map, MOST_ZOOM),
  ArrowLeft: (map) => moveMap(map, -0.15, 0),
  ArrowRight: (map) => moveMap(map, 0.15, 0),
  ArrowUp: (map) => moveMap(map, 0, -0.15),
  ArrowDown: (map) => moveMap(map, 0, 0.15),
};
document.addEventListener("keydown", (event) => {
  const map = event.target.closest("svg.map");
  const action = map && !event.ctrlKey && !event.metaKey && !event.altKey && mapKeys[event.key];
  if (!action) return;
  event.preventDefault();
  action(map);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-zoom]");
  if (!button) return;
  const map = button.closest(".taskmap").querySelector("svg.map");
  zoomMap(map, { in: 1 / 1.5, out: 1.5, all: MOST_ZOOM }[button.dataset.zoom]);
});
document.addEventListener("wheel", (event) => {
  // Without a click on the map before, the wheel scrolls the page.
  const map = event.target.closest("svg.map");
  if (!map || !(event.ctrlKey || map.contains(document.activeElement))) return;
  event.preventDefault();
  zoomMap(map, event.deltaY < 0 ? 1 / 1.2 : 1.2, placeOnMap(map, event));
}, { passive: false });
document.addEventListener("pointermove", (event) => {
  const map = event.target.closest("svg.map");
  if (map && event.buttons === 1) {
    moveMap(map, -event.movementX / map.clientWidth, -event.movementY / map.clientHeight);
  }
});
function nameTask(event) {
  const task = event.target.closest && event.target.closest("svg.map .task");
  if (task) task.closest(".taskmap").querySelector(".map-name").textContent = task.dataset.title;
}
document.addEventListener("pointerover", nameTask);
document.addEventListener("focusin", nameTask);
window.addEventListener("resize", () => {
  for (const map of document.querySelectorAll("svg.map")) if (wholeMaps.has(map)) zoomMap(map, 1);
});

function startAsk() {
  for (const form of document.querySelectorAll("form#reading")) showFieldsOfType(form);
  for (const map of document.querySelectorAll("svg.map")) {
    if (wholeMaps.has(map)) continue;
    const { width, height } = map.viewBox.baseVal;
    wholeMaps.set(map, { width, height });
    for (const part of map.closest(".taskmap").querySelectorAll("[hidden]")) part.hidden = false;
    zoomMap(map, 1);
    if (map.clientWidth < SMALL_MAP) {
      // The surroundings of the target: all names would hide each other.
      const around = map.querySelector(".target").getBoundingClientRect();
      zoomMap(map, 0.65, placeOnMap(map, { clientX: around.left, clientY: around.top }));
    }
  }
}
document.addEventListener("DOMContentLoaded", startAsk);
// A finished job takes the place of its progress.
document.addEventListener("htmx:afterSwap", startAsk);

// Runs: what was opened or scrolled stays so when the page is brought up to date.
const scrolledParts = new Map();
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "runs") return;
  scrolledParts.clear();
  const part = event.detail.target;
  for (const details of part.querySelectorAll("details[open]")) scrolledParts.set(details.id, true);
  [...part.querySelectorAll(".wide")].forEach((wide, place) => scrolledParts.set(place, wide.scrollLeft));
});
document.addEventListener("htmx:afterSettle", () => {
  const part = document.getElementById("runs");
  if (!part || !scrolledParts.size) return;
  for (const details of part.querySelectorAll("details")) details.open = details.open || scrolledParts.has(details.id);
  [...part.querySelectorAll(".wide")].forEach((wide, place) => (wide.scrollLeft = scrolledParts.get(place) || 0));
  scrolledParts.clear();
});
