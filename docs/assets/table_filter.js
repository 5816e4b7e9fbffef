// A field above each table in an element of class "filtered": only rows with all of its words are shown.
for (const table of document.querySelectorAll(".filtered table")) {
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "Show rows with …";
  field.setAttribute("aria-label", "Show only rows with these words");
  field.className = "table-filter";
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  (table.closest(".md-typeset__scrollwrap") || table).before(field);
}
