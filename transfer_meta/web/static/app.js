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
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});
