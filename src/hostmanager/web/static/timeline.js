// The timeline: drag over it to look closer; + and − zoom, [ and ] go earlier and later.

const isTyping = (target) => target.closest("input, textarea, select") !== null;

const KEYS = { "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", "[": "earlier", "]": "later" };

document.addEventListener("keydown", (event) => {
  const id = KEYS[event.key];
  if (!id || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  document.getElementById(id)?.click();
});

const LEAST = 8; // pixels; a shorter drag is a click

let drag = null;

function shade() {
  const svg = "http://www.w3.org/2000/svg";
  const rect = document.createElementNS(svg, "rect");
  rect.setAttribute("class", "drag");
  rect.setAttribute("y", "0");
  rect.setAttribute("height", "100%");
  return rect;
}

const at = (event) => Math.min(Math.max(event.clientX, drag.box.left), drag.box.right);

document.addEventListener("pointerdown", (event) => {
  const picture = event.target.closest("svg.lane");
  if (!picture || event.button !== 0 || event.pointerType === "touch") return;
  event.preventDefault();
  const rect = shade();
  picture.append(rect);
  drag = { rect, from: event.clientX, box: picture.getBoundingClientRect(), table: picture.closest("table") };
});

document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const x = at(event);
  drag.rect.setAttribute("x", String(Math.min(x, drag.from) - drag.box.left));
  drag.rect.setAttribute("width", String(Math.abs(x - drag.from)));
});

document.addEventListener("pointerup", (event) => {
  if (!drag) return;
  const { rect, from, box, table } = drag;
  const to = at(event);
  drag = null;
  rect.remove();
  if (Math.abs(to - from) < LEAST) return;
  const start = Number(table.dataset.start);
  const seconds = Number(table.dataset.end) - start;
  const time = (x) => new Date((start + ((x - box.left) / box.width) * seconds) * 1000).toISOString();
  const address = new URL(location.href);
  address.searchParams.set("from", time(Math.min(from, to)));
  address.searchParams.set("to", time(Math.max(from, to)));
  location.assign(address);
});
