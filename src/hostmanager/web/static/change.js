// Shows how far a change is, as it comes; the focus is where the result is.
const heading = document.getElementById("result");
const progress = document.getElementById("progress");
heading?.focus();

function show({ html, heading: text, summary, over }, source) {
  const focused = progress.contains(document.activeElement) ? document.activeElement.id : "";
  progress.innerHTML = html; // made and escaped by the server
  if (focused) document.getElementById(focused)?.focus();
  if (heading.textContent !== text) heading.textContent = text;
  const status = document.getElementById("summary");
  if (status.textContent !== summary) status.textContent = summary;
  if (!over) return;
  source.close();
  const cancel = document.getElementById("cancel");
  const hadFocus = cancel?.contains(document.activeElement) || document.activeElement === document.body;
  cancel?.remove();
  if (hadFocus) heading.focus();
}

if (progress?.dataset.progress) {
  const source = new EventSource(progress.dataset.progress);
  source.onmessage = (event) => show(JSON.parse(event.data), source);
}
