// A workflow dropped on a page: read here, sent nowhere. JSON in both forms, and the JSON that PNG and WebP files carry.

const DRAWN_ONLY = new Set(["Note", "MarkdownNote", "Reroute", "PrimitiveNode"]);
const MODEL_FILE = /\.(safetensors|ckpt|pt|pth|bin|sft|gguf|onnx)$/i;
const LIMIT = 64 * 1024 * 1024;

export class Unreadable extends Error {}

export async function read(file) {
  if (file.size > LIMIT) throw new Unreadable(`${file.name} is larger than 64 MB, which no workflow is.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const texts = isPng(bytes) ? await pngTexts(bytes) : isWebp(bytes) ? webpTexts(bytes) : { file: new TextDecoder().decode(bytes) };
  const text = texts.workflow ?? texts.prompt ?? texts.file;
  if (text === undefined) throw new Unreadable(`${file.name} carries no workflow: many sites strip it from pictures. Ask for the original file.`);
  return needs(parse(text, file.name), file.name);
}

// Python writes NaN and Infinity, which JSON does not know.
function parse(text, name) {
  for (const attempt of [text, text.replace(/(?<=[:[,\s])-?(NaN|Infinity)(?=\s*[,}\]])/g, "null")]) {
    try { return JSON.parse(attempt); } catch { /* the next attempt, or the sentence below */ }
  }
  throw new Unreadable(`${name} is not JSON, and no picture that carries a workflow.`);
}

const ascii = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));
const isPng = (bytes) => ascii(bytes, 1, 4) === "PNG";
const isWebp = (bytes) => ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP";

async function pngTexts(bytes) {
  const view = new DataView(bytes.buffer), texts = {};
  for (let at = 8; at + 12 <= bytes.length;) {
    const size = view.getUint32(at), kind = ascii(bytes, at + 4, at + 8), data = bytes.subarray(at + 8, at + 8 + size);
    if (["tEXt", "iTXt", "zTXt", "comf"].includes(kind)) {
      const end = data.indexOf(0);
      if (end > 0) texts[ascii(data, 0, end)] ??= await chunkText(kind, data, end);
    }
    at += 12 + size;
  }
  return texts;
}

async function chunkText(kind, data, end) {
  if (kind === "zTXt") return inflate(data.subarray(end + 2), "latin1");
  if (kind !== "iTXt") return new TextDecoder("latin1").decode(data.subarray(end + 1));
  const packed = data[end + 1] === 1;
  const language = data.indexOf(0, end + 3), translated = data.indexOf(0, language + 1);
  const body = data.subarray(translated + 1);
  return packed ? inflate(body, "utf-8") : new TextDecoder().decode(body);
}

async function inflate(bytes, encoding) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new TextDecoder(encoding).decode(await new Response(stream).arrayBuffer());
}

// EXIF in a WebP: text tags of the first directory that read "workflow:{…}" or "prompt:{…}".
function webpTexts(bytes) {
  const view = new DataView(bytes.buffer), texts = {};
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true);
    if (ascii(bytes, at, at + 4) === "EXIF") exifTexts(bytes.subarray(at + 8, at + 8 + size), texts);
    at += 8 + size + (size % 2);
  }
  return texts;
}

function exifTexts(exif, texts) {
  const bytes = ascii(exif, 0, 4) === "Exif" ? exif.subarray(6) : exif;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) return;
  const little = ascii(bytes, 0, 2) === "II", start = view.getUint32(4, little);
  if (start + 2 > bytes.length) return;
  for (let i = 0; i < view.getUint16(start, little); i++) {
    const at = start + 2 + i * 12;
    if (at + 12 > bytes.length) return;
    const count = view.getUint32(at + 4, little), offset = count > 4 ? view.getUint32(at + 8, little) : at + 8;
    if (view.getUint16(at + 2, little) !== 2 || offset + count > bytes.length) continue;
    const text = new TextDecoder().decode(bytes.subarray(offset, offset + count)).replace(/\0+$/, "");
    const colon = text.indexOf(":"), key = text.slice(0, colon).toLowerCase();
    if (key === "workflow" || key === "prompt") texts[key] ??= text.slice(colon + 1);
  }
}

// {types, models, links}: what the workflow uses, whichever form it has.
export function needs(data, name) {
  const object = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  if (object(data) && Array.isArray(data.nodes)) return fromGraph(data);
  const nodes = object(data) ? Object.values(data.prompt ?? data) : [];
  if (nodes.some((node) => object(node) && typeof node.class_type === "string")) return fromPrompt(nodes.filter(object));
  throw new Unreadable(`${name} is JSON, but no workflow of this kind: it has neither nodes nor class_type.`);
}

function fromGraph(data) {
  const inner = data.definitions?.subgraphs ?? [], instances = new Set(inner.map((part) => part.id));
  const types = new Set(), models = new Map();
  for (const node of [data, ...inner].flatMap((part) => part.nodes ?? [])) {
    const type = String(node?.type ?? "");
    if (!type || DRAWN_ONLY.has(type) || instances.has(type) || /^workflow[>/]/.test(type)) continue;
    types.add(type);
    for (const model of node.properties?.models ?? []) if (model?.name) models.set(fileName(model.name), model);
    const values = node.widgets_values;
    for (const value of Array.isArray(values) ? values : Object.values(values ?? {})) noteModel(value, models);
  }
  for (const group of Object.values(data.extra?.groupNodes ?? {})) {
    for (const node of group?.nodes ?? []) if (node?.type && !DRAWN_ONLY.has(node.type)) types.add(String(node.type));
  }
  return { types: [...types].sort(), models };
}

function fromPrompt(nodes) {
  const models = new Map();
  for (const node of nodes) for (const value of Object.values(node.inputs ?? {})) noteModel(value, models);
  return { types: [...new Set(nodes.map((node) => node.class_type).filter(Boolean))].sort(), models };
}

const fileName = (path) => String(path).replaceAll("\\", "/").split("/").pop();
function noteModel(value, models) {
  if (typeof value === "string" && MODEL_FILE.test(value) && !models.has(fileName(value))) models.set(fileName(value), { name: value });
}

// CRC-32, as the shards are named by it.
export function crc32(text) {
  let crc = ~0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

const shards = new Map();
async function shard(name, root) {
  const key = (crc32(name) % 256).toString(16).padStart(2, "0");
  if (!shards.has(key)) shards.set(key, fetch(`${root}lookup/${key}.json`).then((answer) => answer.json()));
  return shards.get(key);
}

export async function lookUp(found, root) {
  const packs = new Map(), unknown = [], builtIn = [];
  await Promise.all(found.types.map(async (type) => {
    const row = Object.hasOwn((await shard(type, root)).t, type) ? (await shard(type, root)).t[type] : null;
    if (!row) return unknown.push(type);
    const [page, claims] = row;
    const claim = claims.find(([, , own]) => own) ?? claims[0];
    if (!claim) return unknown.push(type);
    if (claim[2]) return builtIn.push(type);
    const pack = packs.get(claim[0]) ?? { title: claim[1], types: [], others: 0 };
    pack.types.push([type, page]);
    pack.others = Math.max(pack.others, claims.length - 1);
    packs.set(claim[0], pack);
  }));
  const models = await Promise.all([...found.models].map(async ([name]) => {
    const key = name.toLowerCase(), known = (await shard(key, root)).m;
    return Object.hasOwn(known, key) ? { name, page: known[key][0], folder: known[key][1] } : { name };
  }));
  return { packs: [...packs].sort(), unknown: unknown.sort(), builtIn: builtIn.sort(), models };
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function listed(heading, rows) {
  return rows.length ? [element("h3", {}, heading), element("ul", {}, ...rows.map((row) => element("li", {}, ...row)))] : [];
}

function command(text) {
  const code = element("code", { tabindex: "0" }, text), button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => { await navigator.clipboard.writeText(text); button.textContent = "Copied"; });
  return element("div", { class: "cmd" }, code, button);
}

const quoted = (name) => (/^[\w.@%+=:,/-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);

const rivals = (count) => (count ? `. ${count === 1 ? "Another pack claims" : `${count} other packs claim`} the same: the plan says which and why.` : "");

function answer(file, result, root) {
  const packs = result.packs.map(([name, pack]) => [element("a", { href: `${root}packs/${name}.html` }, pack.title),
    element("p", { class: "meta" }, pack.types.map(([type]) => type).sort().join(", ") + rivals(pack.others))]);
  const models = result.models.map((model) => [model.page ? element("a", { href: `${root}models/${model.page}.html` }, model.name) : model.name,
    element("p", { class: "meta" }, model.page ? `models/${model.folder}/` : "not known here")]);
  return [command(`nodes install-missing ${quoted(file.name)}`), ...listed("Packs to install", packs),
    ...listed("Nodes that nobody here has", result.unknown.map((type) => [type])), ...listed("Models", models),
    element("p", { class: "meta" }, result.builtIn.length ? `Built in: ${result.builtIn.sort().join(", ")}.` : "")];
}

export async function show(file, root) {
  const dialog = element("dialog", { "aria-labelledby": "dropped" });
  const close = element("button", { type: "button", class: "button quiet" }, "Close");
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  let content;
  try {
    content = answer(file, await lookUp(await read(file), root), root);
  } catch (error) {
    const text = error instanceof Unreadable ? error.message : `${file.name} could not be read: ${error.message}`;
    content = [element("p", { class: "notice warn", role: "alert" }, text)];
  }
  dialog.append(element("h2", { id: "dropped" }, file.name), ...content, element("p", {}, close));
  document.body.append(dialog);
  dialog.showModal();
}
