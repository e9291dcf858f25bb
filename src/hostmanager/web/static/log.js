// Adds lines of output as they come. Who has scrolled up stays there.
const MAX_LINES = 5000;
const SILENT_AFTER = 12000; // ms without an event; the server sends one every 5 s
const RETRY_AFTER = 3000;

function lineElement(line) {
  const element = document.createElement("div");
  element.className = `line ${line.level}`;
  const when = document.createElement("span");
  when.className = "when";
  when.textContent = line.time;
  element.append(when, ` ${line.text}`);
  return element;
}

function add(log, data) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 4;
  if (data.missing) log.replaceChildren();
  if (data.lines.length) document.getElementById("no-lines")?.remove();
  log.append(...data.lines.map(lineElement));
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function follow(log) {
  const state = document.getElementById("output-state");
  const address = new URL(log.dataset.stream, location.href);
  let source = null, heard = performance.now(), retry = 0, missing = false, problem = "";
  let isEmpty = !address.searchParams.get("from"); // nobody answered when the page was made

  function say(text, isOld) {
    if (state.textContent !== text) state.textContent = text;
    log.classList.toggle("old", isOld);
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  function open() {
    close();
    heard = performance.now();
    source = new EventSource(address);
    source.addEventListener("message", (event) => {
      heard = performance.now();
      address.searchParams.set("from", event.lastEventId);
      const data = JSON.parse(event.data);
      missing ||= data.missing;
      problem = data.error;
      if (isEmpty && !problem) document.getElementById("output-notes").replaceChildren();
      isEmpty &&= Boolean(problem);
      add(log, data);
      say(problem || (missing ? "Live. Older lines are there when the page is loaded again." : "Live."), Boolean(problem));
    });
    source.addEventListener("error", () => {
      close();
      say(problem || "New lines cannot be had now; it is tried again.", true);
      retry = setTimeout(open, RETRY_AFTER);
    });
  }

  setInterval(() => {
    if (source && performance.now() - heard > SILENT_AFTER) source.dispatchEvent(new Event("error"));
  }, 1000);
  // A hidden page keeps no connection: a browser has only a few for each server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : source || open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  addEventListener("online", open);
  open();
}

for (const log of document.querySelectorAll(".log")) {
  log.scrollTop = log.scrollHeight;
  if (log.dataset.stream) follow(log);
}
