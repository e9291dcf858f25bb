// Shows changes as they come, and greys what is old.
//
// Ages are counted from when a message came, by clocks that only ever measure a difference on this
// machine. The two are both asked, since one stops on some machines while they sleep.

const SILENCE = 12; // seconds without a message: the server sends one every five
const RETRY_INTERVAL = 10; // seconds that a slow line has for the first message
const REFRESH_PAUSE = 1000; // milliseconds between two fetches of the page, at least
const HIDDEN_LIMIT = 3000; // milliseconds: a browser has six connections for all its tabs

const body = document.body;
const oldAfter = Number(body.dataset.oldAfter);
let version = body.dataset.version;
let source = null;
let lastMessage = whenLoaded();
let lastTick = clock();
let leastOffset = Infinity; // of our clock to the server's, as the quickest message had it

function clock() {
  return { monotonic: performance.now(), wall: Date.now() };
}

// When the first byte of this page came: what it says of ages was right then.
function whenLoaded() {
  const passed = performance.now() - (performance.getEntriesByType("navigation")[0]?.responseStart ?? 0);
  return { monotonic: performance.now() - passed, wall: Date.now() - passed };
}

function secondsSince(then) {
  return Math.max(0, performance.now() - then.monotonic, Date.now() - then.wall) / 1000;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

// --- exchanging parts of the page: what stays the same is not touched, so focus, selected text, ----
// --- checkboxes and open details stay -------------------------------------------------------------

export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.hasAttribute("data-age") || old.hasAttribute("data-until")) old.countedFrom = null;
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? known.get(child.id) : null;
    if (same) {
      if (same === place) place = place.nextSibling;
      else old.insertBefore(same, place);
      morph(same, child);
    } else if (place && !child.id && !place.id && place.nodeName === child.nodeName) {
      const next = place.nextSibling;
      morph(place, child);
      place = next;
    } else {
      old.insertBefore(child, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

// --- messages -------------------------------------------------------------------------------------

function connect() {
  if (source) source.close();
  leastOffset = Infinity; // one of the two machines may have slept since
  const query = new URLSearchParams({ since: version, ...(body.dataset.full && { full: "1" }) });
  source = new EventSource(`${body.dataset.events}?${query}`);
  source.addEventListener("change", (event) => receive(event, onChange));
  source.addEventListener("ages", (event) => receive(event, () => {}));
  source.addEventListener("reload", (event) => receive(event, () => refresh(null)));
}

function receive(event, handle) {
  const message = JSON.parse(event.data);
  const late = lateness(message.at);
  lastMessage = { monotonic: performance.now() - 1000 * late, wall: Date.now() - 1000 * late };
  const focused = document.activeElement;
  handle(message);
  if (focused !== document.activeElement) focused.focus({ preventScroll: true }); // it was moved
  version = message.version;
  for (const [host, age] of Object.entries(message.ages ?? {})) noteAge(host, age === null ? null : age + late);
  tick();
}

// Seconds that a message was on its way longer than the quickest one: on a slow line they queue.
function lateness(at) {
  const offset = performance.now() / 1000 - at;
  leastOffset = Math.min(leastOffset, offset);
  return offset - leastOffset;
}

function onChange(message) {
  exchange(message.parts);
  if (!body.dataset.full) refresh(message.hosts);
  const detail = { version: message.version, hosts: message.hosts };
  document.dispatchEvent(new CustomEvent("hm:change", { detail }));
}

function exchange(parts) {
  const groups = document.getElementById("order");
  for (const [id, html] of Object.entries(parts)) {
    if (id === "order") continue;
    const old = document.getElementById(id);
    const fresh = parse(html);
    if (old) morph(old, fresh);
    else if (groups) groups.append(fresh);
  }
  if ("order" in parts && groups) order(groups, parts.order.split(" "));
  showTitle();
}

function order(groups, ids) {
  const wanted = new Set(ids);
  for (const child of [...groups.children]) if (!wanted.has(child.id)) child.remove();
  ids.forEach((id, index) => {
    const group = document.getElementById(id);
    if (group && groups.children[index] !== group) groups.insertBefore(group, groups.children[index] ?? null);
  });
}

function showTitle() {
  const summary = document.getElementById("summary");
  if (summary) document.title = `${summary.dataset.title} · Site · HostManager`;
}

// Fetch this page again, and exchange what depends on these hosts (null: on any).
let fetching = false;
let isMissing = false;
let missed = new Set();
let missedAll = false;
let hurry = () => {};

export async function refresh(hosts) {
  const depends = (part) =>
    part.dataset.live === "*" || missedAll || missed.has(part.dataset.live);
  if (hosts === null) {
    missedAll = true;
    hurry();
  } else hosts.forEach((host) => missed.add(host));
  isMissing = true;
  if (fetching) return;
  fetching = true;
  while (isMissing) {
    const begun = performance.now();
    const parts = [...document.querySelectorAll("[data-live]")].filter(depends).map((part) => part.id);
    isMissing = missedAll = false;
    missed = new Set();
    if (!parts.length) continue;
    try {
      const answer = await fetch(body.dataset.refresh || location.href, { headers: { Accept: "text/html" } });
      if (answer.status === 404) location.reload(); // what it shows is gone
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const id of parts) {
          const old = document.getElementById(id);
          const fresh = page.getElementById(id);
          if (!old) continue;
          if (fresh) morph(old, document.importNode(fresh, true));
          else old.hidden = true; // what is searched for does not show it
        }
        showTitle();
        tick();
      }
    } catch {
      isMissing = missedAll = true; // the banner says that the server is away
    }
    const took = performance.now() - begun;
    await new Promise((resolve) => {
      hurry = resolve;
      setTimeout(resolve, Math.max(REFRESH_PAUSE, 5 * took));
    });
  }
  fetching = false;
}

// --- time -----------------------------------------------------------------------------------------

function noteAge(host, age) {
  for (const element of document.querySelectorAll(`[data-age-of="${CSS.escape(host)}"]`)) {
    const counted = element.querySelector("[data-age]");
    if (counted && age !== null) {
      counted.dataset.age = age;
      counted.countedFrom = null;
    }
  }
}

function tick() {
  const silence = secondsSince(lastMessage);
  showConnection(silence);
  if (secondsSince(lastTick) > SILENCE) reconnect(); // it slept
  lastTick = clock();
  for (const element of document.querySelectorAll("[data-age], [data-until]")) {
    const isAge = element.closest(".age");
    const group = element.closest("[data-host]");
    if (!isAge && (body.classList.contains("away") || group?.classList.contains("old"))) continue;
    if (!element.countedFrom) element.countedFrom = clock();
    const passed = secondsSince(element.countedFrom);
    const until = element.dataset.until;
    const seconds = until === undefined ? Number(element.dataset.age) + passed : Number(until) - passed;
    const text = duration(seconds);
    if (element.textContent !== text) element.textContent = text;
    if (group && isAge) group.classList.toggle("old", seconds > oldAfter);
  }
}

function showConnection(silence) {
  const banner = document.getElementById("connection");
  const isAway = silence > SILENCE;
  body.classList.toggle("away", isAway);
  banner.hidden = !isAway;
  if (!isAway) return;
  const text = `No connection to HostManager's page for ${duration(silence)}. What is shown is that old; it is tried again.`;
  if (banner.textContent !== text) banner.textContent = text;
  if (!source || secondsSince(lastTry) > RETRY_INTERVAL) reconnect();
}

let lastTry = clock();
let isPaused = false; // nobody has looked for long

export function reconnect() {
  if (isPaused) return;
  lastTry = clock();
  connect();
}

let hiddenTimer = 0;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      isPaused = true;
      source?.close();
      source = null;
      document.title = `(paused) ${document.title}`;
    }, HIDDEN_LIMIT);
  } else {
    isPaused = false;
    document.title = document.title.replace("(paused) ", "");
    if (!source || secondsSince(lastMessage) > 6) reconnect();
  }
  tick();
});
window.addEventListener("online", reconnect);
window.addEventListener("pageshow", (event) => event.persisted && reconnect());

body.classList.add("live");
for (const element of document.querySelectorAll("[data-age], [data-until]")) element.countedFrom = lastMessage;
connect();
setInterval(tick, 1000);
