// One row at a time: what the server gives is shown, what the keys say is sent.

const at = (id) => document.getElementById(id);
const facts = JSON.parse(at("facts").textContent);
const token = new URLSearchParams(location.search).get("token") || "";
const tab = ownName();
const mine = []; // the reviews of this window, newest last
let row = null;
let fields = []; // {path, element, focus(), dirty(), touched(), value(), reset(), ...}
let current = 0;
let busy = false;

// The same after a reload: the server shows a row in one window at a time.
function ownName() {
  const fresh = crypto.randomUUID();
  try {
    const name = sessionStorage.getItem("review-tab") || fresh;
    sessionStorage.setItem("review-tab", name);
    return name;
  } catch {
    return fresh; // storage is turned off
  }
}

async function ask(path, body) {
  const headers = {"X-Review-Token": token, "X-Review-Tab": tab};
  const options = {method: "GET", headers, cache: "no-store"};
  if (body) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  try {
    return await (await fetch(path, options)).json();
  } catch {
    return {error: "The server does not answer. Is “understudy review” still running?"};
  }
}

function say(status, error = "") {
  at("status").textContent = shown(status);
  at("error").textContent = shown(error);
}

// One thing at a time: a key pressed before the next row is on the page does not act on it.
async function exchange(path, body) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  const reply = await ask(path, body);
  if (reply.saved) mine.push(reply.saved);
  if (reply.progress) showProgress(reply.progress);
  if (reply.row !== undefined) showRow(reply.row, reply);
  if (!reply.held) say(reply.note || "", reply.error || "");
  if (reply.error) toField(reply.error);
  busy = false;
  document.body.removeAttribute("aria-busy");
  return reply;
}

function toField(error) {
  const wrong = fields.findIndex((field) => error.startsWith(field.path + ":"));
  if (wrong >= 0) move(wrong);
}

function showProgress({done, total}) {
  at("progress").max = Math.max(total, 1);
  at("progress").value = done;
  at("count").textContent = `${done} of ${total} done`;
  document.title = `${done} of ${total} · Review ${shown(facts.task)}`;
}

function showRow(data, reply) {
  row = data;
  fields = [];
  at("waiting").hidden = true;
  at("row").hidden = !row;
  at("end").hidden = Boolean(row);
  at("save").disabled = at("skip").disabled = !row;
  at("input-list").replaceChildren();
  at("reasons").replaceChildren();
  at("fields").replaceChildren();
  if (row) showAnswer();
  else showEnd(reply.counts || {});
  scrollTo(0, 0);
}

function showEnd(counts) {
  const told = [["accept", "accepted"], ["correct", "corrected"], ["skip", "skipped"]];
  at("end-counts").textContent =
    "Here: " + told.map(([name, said]) => `${counts[name] || 0} ${said}`).join(", ") + ".";
  at("main").focus({preventScroll: true});
}

function showAnswer() {
  for (const {name, text} of row.inputs) {
    const box = textBox(text);
    at("input-list").append(make("dt", {}, make("bdi", {}, shown(name))), make("dd", {}, box));
    if (box.scrollHeight > box.clientHeight + 1) {
      box.tabIndex = 0; // so that a keyboard can scroll it
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", shown(name));
    }
  }
  const reasons = row.reasons.length ? row.reasons : ["no sign speaks for it; it comes next in the store's order"];
  at("reasons").append(...reasons.map((text) => make("li", {}, make("bdi", {}, shown(text)))));
  at("who").replaceChildren(...whoLines());
  at("proposed").textContent = {
    teacher: "The teacher's, to accept or to correct.",
    gold: "No teacher has answered. The gold, to accept or to correct.",
    student: "No teacher has answered. The student's, to accept or to correct.",
  }[row.proposed_by] || "Nobody has answered: choose one, or skip.";
  if (row.gold_differs.length) {
    const where = shown(row.gold_differs.join(", "));
    at("proposed").append(make("strong", {}, ` The gold differs in ${where}; saving replaces it.`));
  }
  row.fields.forEach((data, number) => addField(data.choices ? choice(data, number) : text(data)));
  if (row.reasons_asked) addField(reasoning());
  fields.forEach((field, n) => field.element.addEventListener("focusin", () => { current = n; }));
  refresh();
  current = 0;
  fields[0].focus(); // the page stays at its top
}

function whoLines() {
  const lines = [];
  for (const role of ["teacher", "student"]) {
    const who = row[role];
    if (!who) continue;
    const failed = who.error ? `, failed: ${who.error.slice(0, 300)}` : "";
    lines.push(`${role[0].toUpperCase()}${role.slice(1)}: ${who.model}${failed}`);
  }
  if (row.gold_by) lines.push(`Gold from ${row.gold_by}`);
  lines.push(`Split ${row.split}, row ${row.example}`);
  return lines.flatMap((line) => [make("bdi", {}, shown(line)), make("br")]);
}

function addField(field) {
  fields.push(field);
  at("fields").append(field.element);
}

function refresh() {
  for (const field of fields) {
    field.element.classList.toggle("dirty", field.dirty());
    field.look?.();
  }
  at("save-text").textContent = changed() ? "Save correction" : "Accept";
}

function changed() {
  return fields.some((field) => field.dirty());
}

// Changed by this person since the row is on the page; a decision taken back comes as it was.
function touched() {
  return row !== null && fields.some((field) => field.touched());
}

function move(to) {
  if (!fields.length) return;
  current = (to + fields.length) % fields.length;
  fields[current].focus();
  fields[current].element.scrollIntoView({block: "nearest"});
}

function save() {
  if (!row) return;
  const verdict = changed() ? "correct" : "accept";
  const body = {example: row.example, verdict, seen: row.seen, changes: {}};
  for (const field of fields.filter((one) => one.dirty() || one.kept?.())) {
    if (field.reasoning) body.reasoning = field.value();
    else body.changes[field.path] = field.value();
  }
  exchange("/api/review", body);
}

function skip() {
  if (!row) return;
  if (touched()) return say("", "You changed this row: Enter saves it, u drops the changes.");
  exchange("/api/review", {example: row.example, verdict: "skip", seen: row.seen});
}

async function undo() {
  if (touched()) {
    fields.forEach((field) => field.reset());
    refresh();
    return say("Your changes to this row are dropped; u again takes back the last decision.");
  }
  const review = mine.at(-1) || null;
  const reply = await exchange("/api/undo", {review});
  if (reply && !reply.error) mine.splice(mine.indexOf(review), review ? 1 : 0);
}

function recheck() {
  if (row && !busy && !touched()) {
    exchange(`/api/next?holding=${encodeURIComponent(row.example)}`);
  }
}

function edit(field) {
  if (field && field.edit) field.edit();
}

const ACTIONS = {
  a: save, s: skip, u: undo, Enter: save,
  r: () => edit(fields.find((field) => field.reasoning)),
  e: () => edit(fields[current]),
  "?": () => at("keys").showModal(),
};

function key(event) {
  const typing = event.target instanceof HTMLTextAreaElement;
  if (event.isComposing || event.altKey || at("keys").open) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key !== "Enter" || event.repeat || busy) return;
    event.preventDefault();
    return save();
  }
  if (typing) {
    if (event.key === "Escape") fields[current].leave();
    return;
  }
  if (event.key === "Enter" && event.target instanceof HTMLButtonElement) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const digit = "123456789".indexOf(name);
  const act = digit >= 0 ? () => fields[current]?.pick?.(digit)
    : name === "j" ? () => move(current + 1)
    : name === "k" ? () => move(current - 1)
    : ACTIONS[name];
  if (!act) return;
  event.preventDefault();
  if (busy || (event.repeat && name !== "j" && name !== "k")) return;
  act();
}

at("task").textContent = shown(facts.task);
at("reviewer").textContent = shown(facts.reviewer);
at("save").addEventListener("click", save);
at("skip").addEventListener("click", skip);
at("undo").addEventListener("click", undo);
at("help").addEventListener("click", ACTIONS["?"]);
at("keys-close").addEventListener("click", () => at("keys").close());
document.addEventListener("keydown", key);
window.addEventListener("focus", recheck);
window.addEventListener("beforeunload", (event) => { if (touched()) event.preventDefault(); });
exchange("/api/next");
