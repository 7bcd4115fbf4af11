// Leads from an id that somebody types to the part of the index that has it. Without this script, the links do.
"use strict";

const form = document.querySelector("form.jump");
const isNumber = (id) => /^[0-9]{1,18}$/.test(id);

// Numbers come first, in the order of their values.
function isBefore(one, other) {
  if (isNumber(one) && isNumber(other)) return BigInt(one) < BigInt(other);
  if (isNumber(one) || isNumber(other)) return isNumber(one);
  return one < other;
}

form.hidden = false;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = form.elements.id.value.replace(/[\s{}]/g, "").toLowerCase();
  const links = [...document.querySelectorAll(`#${event.submitter.value} a`)];
  const link = links.findLast((one) => !isBefore(id, one.dataset.first)) ?? links[0];
  location.href = `${link.href}#${encodeURIComponent(id)}`;
});
