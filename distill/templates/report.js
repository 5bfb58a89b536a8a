"use strict";
// The browser of rows. What data or models wrote reaches the page by textContent alone.

const at = (id) => document.getElementById(id);
const data = JSON.parse(at("data").textContent);
const PAGE = 50;

// Characters that are not seen, or that reorder what is seen, by their numbers.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const named = (c) => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";
const shown = (text) => text.replace(/\r\n/g, "\n").replace(HIDDEN, named);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children); // strings become text nodes
  return element;
}

// The text with what was searched for marked.
function text(value, needle) {
  const whole = make("bdi");
  const said = shown(value);
  const lower = said.toLowerCase();
  let from = 0;
  if (needle && lower.length === said.length) {
    for (let found = lower.indexOf(needle); found >= 0; found = lower.indexOf(needle, from)) {
      whole.append(said.slice(from, found), make("mark", {}, said.slice(found, found + needle.length)));
      from = found + needle.length;
    }
  }
  whole.append(said.slice(from));
  return whole;
}

const SIGNS = new Map([[true, ["✓", "right"]], [false, ["✕", "wrong"]], [null, ["–", "not judged"]]]);
const WHY = {disagreement: "disagreement", error: "error", sample: "sample"};

function everything(row) {
  return [
    row.id, row.split, ...(row.inputs ?? []).flat(), ...row.answers.flat(), ...row.reasonings, ...row.errors,
  ].filter((part) => part !== null).join("\n").toLowerCase();
}

data.rows.forEach((row, place) => {
  row.place = place;
  row.haystack = everything(row);
  row.wrong = row.right.filter((one) => one === false).length;
  row.judged = row.right.filter((one) => one !== null).length;
  row.sure = Math.min(...row.confidence.map((one) => one ?? 2));
  row.size = (row.inputs ?? []).reduce((sum, [, value]) => sum + value.length, 0);
  row.excerpt = (row.inputs ?? []).map(([, value]) => value).join(" · ").slice(0, 300) || row.id;
});

const SORTS = {
  "as chosen": (a, b) => a.place - b.place,
  "most systems wrong first": (a, b) => b.wrong - a.wrong || a.place - b.place,
  "fewest systems wrong first": (a, b) => a.wrong - b.wrong || a.place - b.place,
  "least sure first": (a, b) => a.sure - b.sure || a.place - b.place,
  "longest first": (a, b) => b.size - a.size || a.place - b.place,
  "shortest first": (a, b) => a.size - b.size || a.place - b.place,
  "text, A to Z": (a, b) => a.excerpt.localeCompare(b.excerpt) || a.place - b.place,
};

function fill(id, choices) {
  at(id).append(...choices.map(([value, label]) => make("option", {value}, shown(label).slice(0, 60))));
}

const distinct = (values) => [...new Set(values)].map((value) => [value, value]);

function mark(row, system) {
  const [sign, word] = SIGNS.get(row.right[system] ?? null);
  const role = `role-${data.systems[system].role}`;
  return make("span", {class: "mark"}, make("span", {class: role}, text(data.systems[system].name)),
    " ", make("span", {class: `sign ${word.replace(" ", "-")}`}, sign, make("span", {class: "unseen"}, ` ${word}`)));
}

function heads(systems) {
  const names = systems.map((s) => make("th", {scope: "col", class: `role-${data.systems[s].role}`}, text(data.systems[s].name)));
  return make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "Path"), make("th", {scope: "col"}, "Gold"), ...names));
}

function cell(value, gold, needle) {
  if (value === null) return make("td", {class: "absent"}, "–");
  const differs = gold !== null && value !== gold;
  return make("td", differs ? {class: "differs"} : {}, differs ? "≠ " : "", text(value, needle));
}

function verdicts(row, systems) {
  const cells = systems.map((s) => {
    const [sign, word] = SIGNS.get(row.right[s] ?? null);
    const sure = row.confidence[s] === null ? "" : `, ${Math.round(100 * row.confidence[s])} % sure`;
    return make("td", {class: word.replace(" ", "-")}, row.answered[s] === 0 ? "no answer" : `${sign} ${word}${sure}`);
  });
  return make("tr", {}, make("th", {scope: "row"}, "Whole answer"), make("td", {}, row.gold ? "" : "none"), ...cells);
}

function answers(row, needle) {
  const systems = data.systems.map((_, s) => s).filter((s) => row.answered[s] >= 0);
  const lines = row.answers.map(([path, gold, ...given]) => make("tr", {},
    make("th", {scope: "row"}, text(path, needle)), cell(gold, null, needle),
    ...systems.map((s) => cell(given[s], gold, needle))));
  const body = make("tbody", {}, verdicts(row, systems), ...lines);
  const table = make("table", {class: "prose"}, heads(systems), body);
  return make("div", {class: "scroll", tabindex: "0", role: "group", "aria-label": `Answers to row ${row.place + 1}`}, table);
}

function pairs(entries, needle) {
  const list = make("dl");
  for (const [name, value] of entries) {
    list.append(make("dt", {}, text(name)), make("dd", {dir: "auto"}, text(value, needle)));
  }
  return list;
}

function inside(row, needle) {
  const parts = [];
  if (row.inputs) parts.push(pairs(row.inputs, needle));
  parts.push(answers(row, needle));
  const of = (values) => data.systems.map((s, n) => [s.name, values[n]]).filter(([, value]) => value);
  for (const [title, entries] of [["Reasoning", of(row.reasonings)], ["Failed", of(row.errors)]]) {
    if (entries.length) parts.push(make("h3", {}, title), pairs(entries, needle));
  }
  parts.push(make("p", {class: "meta"}, "Row ", make("code", {}, text(row.id))));
  return parts;
}

function entry(row, needle) {
  const head = make("span", {class: "tags"}, make("span", {class: "chip"}, text(row.split)),
    make("span", {class: `chip why-${row.why}`}, WHY[row.why]));
  const marks = make("span", {class: "marks"}, ...data.main.map((s) => mark(row, s)));
  if (row.judged) marks.append(make("span", {class: "mark"}, `${row.judged - row.wrong} of ${row.judged} right`));
  const summary = make("summary", {}, head, make("span", {class: "excerpt", dir: "auto"}, text(row.excerpt, needle)), marks);
  const details = make("details", {class: "case"}, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...inside(row, needle));
  });
  return details;
}

let found = [];
let drawn = 0;
let needle = "";

function kept(row) {
  const system = at("by-system").value;
  const right = at("by-right").value;
  const judged = system === "" ? row.right : [row.right[Number(system)] ?? null];
  const wanted = {"": () => true, right: (one) => one === true, wrong: (one) => one === false, silent: (one) => one === null}[right];
  return needle.split(/\s+/).every((word) => row.haystack.includes(word))
    && ["", row.split].includes(at("by-split").value)
    && ["", row.why].includes(at("by-why").value)
    && (right === "" || (system === "" && right === "silent" ? judged.every(wanted) : judged.some(wanted)));
}

function more() {
  const next = found.slice(drawn, drawn + PAGE);
  at("cases").append(...next.map((row) => entry(row, needle)));
  drawn += next.length;
  at("more").hidden = drawn >= found.length;
  const several = found.length === 1 ? "row matches" : "rows match";
  at("count").textContent = `${found.length} ${several}, ${drawn} shown`;
}

function refresh() {
  needle = at("search").value.trim().toLowerCase();
  found = data.rows.filter(kept).sort(SORTS[at("sort").value]);
  at("cases").replaceChildren();
  drawn = 0;
  more();
}

function start() {
  fill("by-split", [["", "all"], ...distinct(data.rows.map((row) => row.split))]);
  fill("by-why", [["", "any reason"], ...distinct(data.rows.map((row) => row.why))]);
  fill("by-system", [["", "any"], ...data.systems.map((system, n) => [String(n), system.name])]);
  fill("by-right", [["", "right or wrong"], ["right", "right"], ["wrong", "wrong"], ["silent", "not judged"]]);
  fill("sort", Object.keys(SORTS).map((name) => [name, name]));
  at("controls").hidden = false;
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("controls").addEventListener("input", refresh);
  at("more").addEventListener("click", more);
  refresh();
}

if (data.rows.length) start();

// A link into a folded section opens it; on paper everything but the rows lies open.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  const fold = target && target.querySelector(":scope > details.split");
  if (fold) fold.open = true;
}
addEventListener("hashchange", unfold);
unfold();
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details.fold:not([open])")];
  for (const one of closed) one.open = true;
});
addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
