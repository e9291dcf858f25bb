// Counts down to the next attempt, by this browser's own clock: only differences of it are used.
const begun = new WeakMap();

function text(seconds) {
  if (seconds <= 0) return "next attempt is due";
  const whole = Math.ceil(seconds);
  if (whole < 60) return `next attempt in ${whole} s`;
  return `next attempt in ${Math.floor(whole / 60)} m ${String(whole % 60).padStart(2, "0")} s`;
}

function count() {
  for (const element of document.querySelectorAll("[data-countdown]")) {
    if (!begun.has(element)) begun.set(element, performance.now());
    const gone = (performance.now() - begun.get(element)) / 1000;
    element.textContent = text(Number(element.dataset.countdown) - gone);
  }
}

count();
setInterval(count, 500);
