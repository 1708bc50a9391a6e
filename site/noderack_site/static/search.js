// Search without a server: words.json is matched here (prefixes, typos, words written together), then only the parts
// of the index that the question needs are read. The format is told in search_index.py.

const KINDS = { p: "pack", n: "node", m: "model", w: "workflow", d: "docs" };
const MOST_WORDS = 24, MOST_BESIDE = 8; // words that a typed one is taken for; fewer where it is one itself
let load;
const parts = new Map();

const json = async (url) => (await fetch(url)).json();
const part = (url) => { if (!parts.has(url)) parts.set(url, json(url)); return parts.get(url); };

export const index = (root) => (load ??= json(`${root}search/words.json`).then((data) => {
  part(`${root}search/d-0.json`); // the best known entries: most questions end there
  const words = data.w.split("\n");
  const ends = [];
  for (const count of data.c) ends.push((ends.at(-1) ?? 0) + count);
  return { root, words, ends, per: data.e, total: data.n, masks: Int32Array.from(words, mask), known: new Set(words) };
}));

function mask(word) {
  let bits = 0;
  for (let i = 0; i < word.length; i++) bits |= 1 << (word.charCodeAt(i) % 31);
  return bits;
}

const bitCount = (n) => { let count = 0; for (; n; n &= n - 1) count++; return count; };

// Edit distance with neighbours swapped counting one; stops above the limit.
export function distance(a, b, limit) {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let older = [], last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let best = i;
    for (let j = 1; j <= b.length; j++) {
      let cost = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, older[j - 2] + 1);
      row.push(cost);
      if (cost < best) best = cost;
    }
    if (best > limit) return limit + 1;
    older = last; last = row;
  }
  return last[b.length];
}

const WORD = /[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_a-zA-Z]+|[^\x00-\x7f\s]+/g;
export const questionWords = (text, known) => {
  const words = [];
  for (const chunk of text.trim().split(/[^\p{L}\p{N}]+/u).filter(Boolean)) {
    const whole = chunk.toLowerCase();
    if (known.has(whole)) { words.push(whole); continue; }
    const pieces = (chunk.match(WORD) ?? [chunk]).map((word) => word.toLowerCase());
    words.push(...(pieces.length > 1 ? pieces : together(whole, known)));
  }
  return [...new Set(words)].slice(0, 8);
};

// "loadimagebatch" is known words written together: the fewest of three letters or more that make it up.
function together(word, known) {
  const best = [[]];
  for (let end = 3; end <= word.length; end++) {
    for (let start = 0; start <= end - 3; start++) {
      const piece = word.slice(start, end);
      const shorter = best[start] && (!best[end] || best[start].length + 1 < best[end].length);
      if (shorter && known.has(piece)) best[end] = [...best[start], piece];
    }
  }
  const pieces = best[word.length];
  return pieces && pieces.length <= 5 ? pieces : [word];
}

// [position of the word, how well it fits 0..1], best first.
export function candidates(at, question) {
  const found = [];
  const limit = question.length < 4 ? 0 : question.length < 8 ? 1 : 2;
  const bits = mask(question);
  for (let i = 0; i < at.words.length; i++) {
    const word = at.words[i];
    if (word.startsWith(question)) found.push([i, word.length === question.length ? 1 : 0.55 + 0.35 * question.length / word.length]);
    else if (limit && Math.abs(word.length - question.length) <= limit && bitCount(bits ^ at.masks[i]) <= 2 * limit) {
      const off = distance(question, word, limit);
      if (off <= limit) found.push([i, off === 1 ? 0.5 : 0.34]);
    }
  }
  found.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return found.slice(0, found[0]?.[1] === 1 ? MOST_BESIDE : MOST_WORDS);
}

async function postings(at, position) {
  let number = 0;
  while (position >= at.ends[number]) number++;
  const rows = await part(`${at.root}search/w-${number}.json`);
  const gaps = rows[position - (at.ends[number - 1] ?? 0)];
  let value = 0;
  return gaps.map((gap) => (value += gap));
}

async function scores(at, question) {
  const found = new Map();
  const words = candidates(at, question);
  const lists = await Promise.all(words.map(([position]) => postings(at, position)));
  lists.forEach((list, i) => {
    for (const value of list) {
      const named = value & 15, entry = value >> 4;
      const score = words[i][1] * (named ? 0.85 + 0.35 / named : 0.45);
      if (score > (found.get(entry) ?? 0)) found.set(entry, score);
    }
  });
  return found;
}

// The numbers of the entries that fit best.
export async function find(at, text, most = 12) {
  const questions = questionWords(text, at.known);
  if (!questions.length) return [];
  const each = await Promise.all(questions.map((word) => scores(at, word)));
  const totals = new Map();
  for (const found of each) for (const [entry, score] of found) {
    const [sum, hits] = totals.get(entry) ?? [0, 0];
    totals.set(entry, [sum + score, hits + 1]);
  }
  const need = Math.max(...[...totals.values()].map(([, hits]) => hits), 0);
  const ranked = [...totals].filter(([, [, hits]]) => hits === need)
    .map(([entry, [sum]]) => [entry, sum + 0.35 * (1 - Math.log1p(entry) / Math.log1p(at.total))]);
  ranked.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return rerank(await entries(at, ranked.slice(0, most + 4).map(([entry]) => entry)), text).slice(0, most);
}

const flat = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");

// A name that is the question, or begins with it, goes first; otherwise the order stays.
function rerank(rows, text) {
  const wanted = flat(text);
  const bonus = ([, name]) => { const n = flat(name); return n === wanted ? 2 : n.startsWith(wanted) ? 1 : 0; };
  return rows.map((row, i) => [row, bonus(row), i]).sort((a, b) => b[1] - a[1] || a[2] - b[2]).map(([row]) => row);
}

async function entries(at, numbers) {
  return Promise.all(numbers.map(async (n) => (await part(`${at.root}search/d-${Math.floor(n / at.per)}.json`))[n % at.per]));
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const contents = ([kind, name, , line]) => [
  element("i", {}, KINDS[kind] ?? ""), element("strong", {}, name), element("small", {}, line || "\u00a0"),
];

// A combobox: arrows choose, Enter opens, Escape closes.
export function attach(input, root) {
  const list = element("div", { class: "hits", id: "hits", role: "listbox", "aria-label": "Results" });
  list.hidden = true;
  input.after(list);
  for (const [key, value] of Object.entries({ role: "combobox", "aria-controls": "hits", "aria-expanded": "false", "aria-autocomplete": "list" })) input.setAttribute(key, value);
  let rows = [], chosen = -1, asked = 0;
  const close = () => { list.hidden = true; chosen = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  const open = (row) => { location.href = root + row[2]; };
  const mark = () => [...list.children].forEach((child, i) => {
    child.setAttribute("aria-selected", String(i === chosen));
    if (i === chosen) { input.setAttribute("aria-activedescendant", child.id); child.scrollIntoView({ block: "nearest" }); }
  });
  const ask = async () => {
    const mine = ++asked, text = input.value;
    if (!text.trim()) return close();
    const found = await find(await index(root), text);
    if (mine !== asked) return;
    rows = found; chosen = -1;
    list.replaceChildren(...rows.map((row, i) => {
      const option = element("div", { role: "option", id: `hit-${i}`, "aria-selected": "false" }, ...contents(row));
      option.addEventListener("mousedown", (event) => { event.preventDefault(); open(row); });
      return option;
    }));
    if (!rows.length) list.append(element("div", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "Nothing found"));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    input.dispatchEvent(new CustomEvent("found", { detail: rows.length }));
  };
  input.addEventListener("input", ask);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && rows[chosen]) { event.preventDefault(); open(rows[chosen]); }
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || !rows.length) return;
    event.preventDefault();
    chosen = (chosen + (event.key === "ArrowDown" ? 1 : rows.length - (chosen < 0 ? 0 : 1))) % rows.length;
    mark();
  });
  index(root);
  if (input.value) ask();
}

// The results page: what was found, and buttons that leave one kind of it.
export async function showAll(place, text, root) {
  if (!text.trim()) return place.replaceChildren(element("p", { class: "meta" }, "Type into the field above, or press /."));
  const rows = await find(await index(root), text, 60);
  const heading = element("h2", {}, rows.length ? `Found for “${text}”` : `Nothing found for “${text}”`);
  const made = rows.map(([kind, name, page, line]) => element("div", { class: "result", "data-kind": kind },
    element("a", { class: "name", href: root + page }, name), " ", element("span", { class: "tag" }, KINDS[kind] ?? ""), element("p", { class: "meta" }, line || "")));
  place.replaceChildren(heading, ...facets(rows, made), ...made);
}

function facets(rows, made) {
  const counts = new Map();
  for (const [kind] of rows) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  if (counts.size < 2) return [];
  const ordered = [...Object.keys(KINDS)].filter((kind) => counts.has(kind)).map((kind) => [kind, counts.get(kind)]);
  const buttons = [["", rows.length], ...ordered].map(([kind, count]) => {
    const name = kind ? `${KINDS[kind]}${kind === "d" || count === 1 ? "" : "s"}` : "All";
    const button = element("button", { type: "button", "aria-pressed": String(!kind) }, `${name} ${count}`);
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      for (const row of made) row.hidden = Boolean(kind) && row.dataset.kind !== kind;
    });
    return button;
  });
  return [element("div", { class: "facets", role: "group", "aria-label": "Kinds" }, ...buttons)];
}
