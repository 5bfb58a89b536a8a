"use strict";
// The parts of a row. Its texts reach the page by textContent and value alone, never as markup.

// Characters that are not seen, or that reorder what is seen, by the names that they are known by.
const NAMES = {
  0x061c: "ALM", 0x200b: "ZWSP", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "LS", 0x2029: "PS",
  0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO", 0x2060: "WJ",
  0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

const STALE = "This reasoning was for the old answer: r edits or keeps it, else this row is not taught.";

function named(character) {
  const code = character.codePointAt(0);
  return "⟨" + (NAMES[code] || "U+" + code.toString(16).toUpperCase().padStart(4, "0")) + "⟩";
}

function shown(text) {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, named);
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children); // strings become text nodes
  return element;
}

function textBox(text) {
  return make("div", {class: "text", dir: "auto"}, shown(text));
}

function heading(tag, name, attributes = {}) {
  const changed = make("span", {class: "changed"}, "changed");
  return make(tag, {class: "name", ...attributes}, make("bdi", {}, shown(name)), changed);
}

function says(pairs) {
  return pairs.map(([who, what]) =>
    make("p", {class: "says"}, `${who}: `, make("bdi", {class: "text"}, shown(what) || "(none)")));
}

function choice(data, number) {
  const element = make("fieldset", {class: "field"}, heading("legend", data.path));
  const radios = data.choices.map((one, n) => {
    const radio = make("input", {type: "radio", name: `field-${number}`, value: n});
    const label = make("label", {class: "choice"}, radio);
    if (n < 9) label.append(make("kbd", {"aria-hidden": "true"}, String(n + 1)));
    label.append(make("bdi", {}, shown(one.text)));
    if (one.said_by.length) label.append(make("small", {}, one.said_by.join(" · ")));
    return [radio, label];
  });
  element.append(make("div", {class: "choices"}, ...radios.map(([, label]) => label)));
  element.append(...says(data.says));
  const chosen = () => radios.findIndex(([radio]) => radio.checked);
  const start = data.chosen ?? -1;
  const reset = (n = start) => radios.forEach(([radio], m) => { radio.checked = n === m; });
  reset(data.draft ?? start);
  element.addEventListener("change", refresh);
  return {
    path: data.path,
    element,
    reset,
    focus: () => radios[Math.max(chosen(), 0)][0].focus({preventScroll: true}),
    dirty: () => chosen() !== start,
    touched: () => chosen() !== (data.draft ?? start),
    value: () => data.choices[chosen()]?.value,
    pick: (n) => {
      if (n >= radios.length) return;
      radios[n][0].checked = true;
      radios[n][0].focus();
      refresh();
    },
  };
}

// Read as marked text; the text itself is edited, where nothing is marked.
function editable(name, key, start, draft, className = "") {
  const view = textBox(start);
  const area = make("textarea", {"aria-label": shown(name), dir: "auto", spellcheck: "false", hidden: ""});
  const button = make("button", {type: "button", class: "edit"}, "Edit ", make("kbd", {}, key));
  const element = make("div", {class: `field ${className}`, role: "group", tabindex: "-1", "aria-label": shown(name)});
  element.append(heading("div", name), button, view, area);
  area.value = start;
  if (start.length > 20000) { // finding its direction takes Chromium seconds, fitting a box to it, too
    area.classList.add("long");
    area.removeAttribute("dir");
  }
  const first = area.value; // a textarea has its own line ends
  if (draft !== null) area.value = draft;
  const restored = area.value;
  const look = (editing) => {
    view.hidden = editing;
    area.hidden = !editing;
    button.hidden = editing;
    view.textContent = shown(area.value);
    refresh();
  };
  const edit = () => { look(true); area.focus(); };
  button.addEventListener("click", edit);
  area.addEventListener("input", refresh);
  area.addEventListener("blur", () => look(false));
  view.textContent = shown(area.value);
  return {
    element,
    edit,
    focus: () => element.focus({preventScroll: true}),
    leave: () => element.focus(), // and so blurs the text
    reset: () => { area.value = first; look(false); },
    dirty: () => area.value !== first,
    touched: () => area.value !== restored,
    value: () => area.value,
  };
}

function text(data) {
  const field = {path: data.path, ...editable(data.path, "e", data.text, data.draft)};
  field.element.append(...says(data.says));
  return field;
}

// It argues for the answer that it came with. For another one it stands where it is edited, or was
// opened to be read with that answer.
function reasoning() {
  const field = editable("Reasoning", "r", row.reasoning, row.draft_reasoning, "reasoning");
  const note = make("p", {class: "stale", role: "status"});
  field.element.querySelector(".text").before(note);
  if (row.student_reasoning) field.element.append(...says([["student", row.student_reasoning]]));
  const answer = () => fields.filter((one) => !one.reasoning);
  const now = () => JSON.stringify(answer().map((one) => one.value()));
  const changed = () => answer().some((one) => one.dirty());
  let readWith = row.draft_reasoning === null ? null : now();
  field.element.querySelector("textarea").addEventListener("focus", () => { readWith = now(); look(); });
  const look = () => {
    const stale = row.reasoning && changed() && !field.dirty() && readWith !== now();
    note.textContent = stale ? STALE : "";
  };
  return {
    path: facts.reasoning,
    reasoning: true,
    ...field,
    look,
    reset: () => { field.reset(); readWith = null; },
    kept: () => changed() && readWith === now(),
  };
}
