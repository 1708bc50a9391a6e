// What Noderack adds to the editor: new node types without a reload, and the packs and models that the
// opened workflow lacks, with a button that brings them. Installing wants `nodes serve --manager`.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const token = () => sessionStorage.getItem("noderack-token") ?? "";
let manager = { enabled: false, trusted: false };
const link = document.createElement("link");
Object.assign(link, { rel: "stylesheet", href: new URL("noderack.css", import.meta.url).href });
document.head.append(link);

async function ask(path, body) {
  const options = { headers: { "X-Noderack-Token": token() } };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  const answer = await fetch(`${api.api_base}/noderack/${path}`, options);
  if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
  return answer.json();
}

// The editor's own manager dialogs send no token: theirs to this server carry it too. They ask a registry that
// is built in: where we may install, they ask this host's.
const { open } = XMLHttpRequest.prototype;
const PUBLIC = /^https:\/\/api\.comfy\.org(\/(?:nodes|comfy-nodes|publishers|bulk)\b.*)/;
const INDEX = /^https:\/\/[\w-]+\.algolia(?:net\.com|\.net)(\/)/; // of that registry; refused, so that ours is searched
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  const asked = manager.enabled && manager.trusted && (PUBLIC.exec(url) ?? INDEX.exec(url));
  const target = asked ? `${api.api_base}/noderack/registry${asked[1]}` : url;
  open.call(this, method, target, ...rest);
  const { origin, pathname } = new URL(target, location.href);
  if (token() && origin === location.origin && /\/(v2\/(manager|customnode)|noderack\/registry)\//.test(pathname)) {
    this.setRequestHeader("X-Noderack-Token", token());
  }
};

const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
const size = (bytes) => (bytes > 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`);
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

class Panel {
  constructor() {
    this.box = make("section", "", { id: "noderack-missing", hidden: true });
    this.box.setAttribute("aria-label", "Missing packs and models");
    document.body.append(this.box);
  }

  show(title, rows, buttons = []) {
    const head = make("header", "");
    head.append(make("h2", title), make("button", "✕", { onclick: () => this.hide(), title: "Close" }));
    const list = make("ul", "");
    list.append(...rows);
    const foot = make("footer", "");
    foot.append(...buttons);
    this.said = make("p", "", { className: "said" });
    this.said.setAttribute("role", "status");
    this.bar = make("progress", "", { hidden: true, max: 1 });
    this.box.replaceChildren(head, list, this.bar, this.said, foot);
    this.box.hidden = false;
  }

  say(text, wrong = false) {
    this.said.textContent = text;
    this.said.classList.toggle("wrong", wrong);
  }

  hide() { this.box.hidden = true; }
}

const panel = new Panel();
let opened = null; // the workflow that the panel speaks of
let running = null; // the id of our task

const CORE = "comfy-core"; // what editors write as the pack of their host's own nodes
const plain = (graph) => JSON.parse(JSON.stringify(graph)); // the editor's own are reactive proxies
const workflow = () => app.extensionManager?.workflow?.activeWorkflow?.activeState ?? app.graph.serialize();

async function look() {
  const graph = workflow();
  const found = await ask("manager/missing", { workflow: graph });
  if (!found.types.length && !found.models.length) return panel.hide();
  opened = graph;
  const rows = [...found.types.map((one) => row(one.type, one.pack === CORE ? "a core node that this host lacks" : one.pack ?? "node type")), ...found.models.map((one) => row(one.name, one.folder ?? "model"))];
  const parts = [found.types.length && count(found.types.length, "node type"), found.models.length && count(found.models.length, "model")];
  const title = `Missing: ${parts.filter(Boolean).join(" and ")}`;
  if (!manager.enabled || !manager.trusted) {
    panel.show(title, rows);
    panel.say(manager.enabled
      ? "To install from here, open the editor by the address that `nodes serve` printed."
      : "Bring them with: nodes install-missing FILE — or start with `nodes serve --manager` to install from here.");
    return;
  }
  panel.show(title, rows, [make("button", "Find them", { className: "main", onclick: () => plan({}) })]);
  await plan({});
}

function row(name, what) {
  const item = make("li", "");
  item.append(make("span", name), make("small", what));
  return item;
}

async function plan(choose) {
  panel.say("Looking in the registry …");
  let told;
  try {
    told = await ask("manager/plan", { workflow: opened, choose });
  } catch (error) {
    return panel.say(error.message, true);
  }
  const found = told.plan;
  if (!found) return panel.say(told.message, true);
  const chosen = { ...choose };
  const rows = [
    ...found.packs.map((one) => row(`${one.pack} ${one.version}`, one.reason ?? "")),
    ...found.models.filter((one) => !one.present).map((one) => row(`${one.folder}/${one.name}`, size(one.size))),
    ...found.choose.map((toss) => choice(toss, (to) => plan({ ...chosen, [toss.name]: to }))),
    ...found.unknown.map((one) => { const item = row(one.name, one.reason ?? "not found"); item.classList.add("unknown"); return item; }),
  ];
  const some = found.packs.length + found.models.length > 0 && !found.choose.length;
  const install = make("button", "Install", { className: "main", disabled: !some, onclick: () => begin(chosen, found.unknown.length > 0) });
  const parts = [found.packs.length && count(found.packs.length, "pack"), found.models.length && count(found.models.length, "model")];
  panel.show(`Install ${parts.filter(Boolean).join(" and ") || "nothing"}`, rows, [install]);
  if (found.unknown.length) panel.say(`${count(found.unknown.length, "thing")} could not be found; the rest can be installed.`, true);
  else if (found.choose.length) panel.say("Several candidates: only you can choose.");
  else panel.say(found.download ? `Downloads ${size(found.download)}.` : "");
}

function choice(toss, take) {
  const item = row(toss.name, "choose:");
  for (const candidate of toss.candidates) {
    item.append(make("button", candidate[0], { title: candidate.slice(1).join(" · "), onclick: () => take(candidate[0]) }));
  }
  return item;
}

async function begin(choose, partial) {
  for (const button of panel.box.querySelectorAll("footer button")) button.disabled = true;
  try {
    const task = await ask("manager/install", { workflow: opened, choose, partial, client_id: api.clientId });
    running = task.id;
    panel.box.querySelector("footer").append(make("button", "Cancel", { onclick: () => ask("manager/cancel", { task: running }) }));
    panel.say("Starting …");
  } catch (error) {
    panel.say(error.message, true);
  }
}

const STEPS = { clone: "copying the environment", install: "installing", verify: "trying it in a child process" };
const TOLD = {
  "packs-together": (one) => `${one.packs.length} packs: installing, and trying them in a child process`,
  "pack-started": (one) => `${one.pack} ${one.version}: starting`,
  "pack-step": (one) => `${one.pack}: ${STEPS[one.step] ?? one.step}`,
  "pack-installed": (one) => `${one.pack} ${one.version} is installed`,
  "pack-failed": (one) => `${one.pack}: ${one.message}`,
  "model-progress": (one) => `${one.name}: ${size(one.done)}${one.total ? ` of ${size(one.total)}` : ""}`,
  "model-fetched": (one) => `${one.name} is here`,
  "model-failed": (one) => `${one.name}: ${one.message}`,
};

api.addEventListener("noderack.install", ({ detail }) => {
  if (detail.task !== running) return;
  panel.bar.hidden = detail.event !== "model-progress";
  if (detail.event === "model-progress" && detail.total) panel.bar.value = detail.done / detail.total;
  if (detail.event === "ended") return ended(detail);
  if (TOLD[detail.event]) panel.say(TOLD[detail.event](detail), detail.event.endsWith("failed"));
});

async function ended(detail) {
  running = null;
  if (detail.state !== "done") return panel.say(detail.message, true);
  if (detail.taken?.taken === "restart") return panel.say("Installed; the server starts again for it …");
  panel.say("Installed. Loading the new node types …");
  await renew(true);
  await look();
}

// New definitions first, then the graph again, so that its placeholders become nodes.
async function renew(reload) {
  await (app.reloadNodeDefs ?? app.refreshComboInNodes).call(app);
  if (!reload) return;
  const active = app.extensionManager?.workflow?.activeWorkflow;
  await app.loadGraphData(plain(opened ?? workflow()), true, false, active ?? null);
}

const lacks = (types) => (app.graph?.nodes ?? []).some((node) => types.includes(node.type) && node.has_errors);

api.addEventListener("noderack.packs", async ({ detail }) => {
  if (running) return; // our own task reloads when it has ended
  const reload = lacks(detail.node_types);
  opened = null;
  await renew(reload);
});
api.addEventListener("noderack.restart", () => {
  api.addEventListener("reconnected", async () => { await renew(opened !== null); if (opened) await look(); }, { once: true });
});

app.registerExtension({
  name: "noderack.manager",
  async setup() {
    manager = await ask("manager");
  },
  afterConfigureGraph() {
    setTimeout(() => look().catch((error) => console.warn("noderack:", error.message)), 200);
  },
});
