// Tables of class "sortable": a click on the head of a column sorts its rows, and a field shows only rows whose first cell has
// one of its words. Without this script the tables are as they are.
"use strict";
(() => {
  const number = (cell) => {
    const found = /[-−]?\d+(\.\d+)?/.exec(cell.dataset.value || cell.textContent.replace(/(\d),(?=\d{3})/g, "$1"));
    return found ? parseFloat(found[0].replace("−", "-")) : NaN;
  };
  function sortRows(table, heads, place) {
    const head = heads[place];
    const isText = head.classList.contains("text");
    const up = head.getAttribute("aria-sort") === "descending" || (isText && !head.hasAttribute("aria-sort"));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [one, two] = [a.cells[place], b.cells[place]];
      if (isText) return sign * one.textContent.localeCompare(two.textContent);
      const [x, y] = [number(one), number(two)];
      // Rows without a figure stay at the end.
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return sign * (x - y);
    });
    table.tBodies[0].append(...rows);
  }
  function addFilter(place) {
    const field = document.createElement("input");
    field.type = "search";
    field.className = "row-filter";
    field.placeholder = "Show predictors with …";
    field.setAttribute("aria-label", "Show only rows of predictors whose name has one of these words");
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
      for (const table of document.querySelectorAll("table.sortable"))
        for (const row of table.tBodies[0].rows) {
          const name = row.cells[0].textContent.toLowerCase();
          row.hidden = words.length > 0 && !words.some((word) => name.includes(word));
        }
    });
    place.append(field);
  }
  function start() {
    for (const table of document.querySelectorAll("table.sortable")) {
      const heads = [...table.tHead.rows[0].cells].filter((head) => head.tagName === "TH");
      if (heads[0].querySelector("button")) continue;
      heads.forEach((head, place) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => sortRows(table, heads, place));
      });
    }
    const place = document.querySelector(".filter-place");
    if (place && !place.firstChild && document.querySelector("table.sortable")) addFilter(place);
  }
  start();
  // What a server's page puts in later.
  document.addEventListener("htmx:afterSettle", start);
})();
