// Tables that sort and filter, and pictures that open larger. Without this script, every page can still be read.
"use strict";

const FEW_ROWS = 10;

for (const table of document.querySelectorAll("table.data")) {
  if (window.DataTable && table.tBodies[0].rows.length > FEW_ROWS) {
    new window.DataTable(table, {
      autoWidth: false,
      order: [],
      pageLength: 50,
      language: { entries: { _: "rows", 1: "row" } },
      lengthMenu: [25, 50, 100, { label: "All", value: -1 }],
      layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
    });
  }
}

const dialog = document.createElement("dialog");
dialog.className = "zoomed";
dialog.setAttribute("aria-labelledby", "zoomed-caption");
const picture = dialog.appendChild(document.createElement("img"));
const caption = dialog.appendChild(document.createElement("div"));
caption.id = "zoomed-caption";
caption.className = "caption";
caption.setAttribute("aria-live", "polite");
const actions = dialog.appendChild(document.createElement("p"));
actions.className = "actions";
const download = actions.appendChild(document.createElement("a"));
download.textContent = "Download";
const place = actions.appendChild(document.createElement("span"));
button("Previous", () => show(-1));
button("Next", () => show(1));
button("Close", () => dialog.close());
document.body.append(dialog);
let links = [];
let shown = 0;

function button(label, action) {
  const made = actions.appendChild(document.createElement("button"));
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", action);
}

function show(step) {
  shown = (shown + step + links.length) % links.length;
  const link = links[shown];
  const text = link.closest("figure")?.querySelector("figcaption")?.cloneNode(true);
  picture.src = link.href;
  picture.alt = link.querySelector("img").alt;
  caption.replaceChildren(...(text ? text.childNodes : [picture.alt]));
  download.href = link.href;
  download.download = link.download;
  place.textContent = `${shown + 1} of ${links.length}`;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.zoom");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  links = [...document.querySelectorAll("a.zoom")];
  shown = links.indexOf(link);
  show(0);
  dialog.showModal();
});

dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") show(-1);
  if (event.key === "ArrowRight") show(1);
});

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside the picture
});

dialog.addEventListener("close", () => links[shown].focus());
