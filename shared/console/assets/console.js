// What pages do beyond htmx and links: dialogs, countdowns.
"use strict";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    dialog.showModal();
    dialog.tabIndex = -1;
    dialog.focus(); // instead of its first button, which a key that is held down would press
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});

// An element with data-until says how long it is until then.
function countDown() {
  for (const element of document.querySelectorAll("[data-until]")) {
    const seconds = Math.round((new Date(element.dataset.until) - Date.now()) / 1000);
    element.textContent = seconds > 0 ? `in ${seconds} s` : "any moment now";
  }
}
setInterval(countDown, 1000);
document.addEventListener("DOMContentLoaded", countDown);
document.addEventListener("htmx:afterSwap", countDown);

// A page that refreshes itself leaves an open dialog alone.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.querySelector("dialog[open]")) event.detail.shouldSwap = false;
});
