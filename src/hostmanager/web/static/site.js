// The page of the site: keys, and the search while it is typed.

import { reconnect, refresh } from "./live.js";

const search = document.getElementById("q");
const keys = document.getElementById("keys");
const SEARCH_PAUSE = 250; // milliseconds after a key

function rows() {
  return [...document.querySelectorAll("tbody tr[id]")].filter((row) => row.querySelector("th a"));
}

function move(step) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step));
  const link = all[next]?.querySelector("th a");
  link?.focus();
  link?.closest("tr").scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  if (keys?.open) return;
  const actions = {
    "/": () => search?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => document.activeElement.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
    "?": () => keys?.showModal(),
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}

let searchTimer = 0;

function searchNow() {
  const address = new URL(location.href);
  if (search.value.trim()) address.searchParams.set("q", search.value.trim());
  else address.searchParams.delete("q");
  history.replaceState(null, "", address);
  const isFull = Boolean(document.body.dataset.full);
  if (address.search) delete document.body.dataset.full;
  else document.body.dataset.full = "1";
  if (isFull !== Boolean(document.body.dataset.full)) reconnect(); // for other messages
  refresh(null);
}

document.addEventListener("keydown", onKey);
document.addEventListener("change", (event) => {
  if (!event.target.matches(".all")) return;
  for (const box of event.target.closest("table").querySelectorAll("tbody input[type=checkbox]")) {
    box.checked = event.target.checked;
  }
});
search?.addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(searchNow, SEARCH_PAUSE);
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
