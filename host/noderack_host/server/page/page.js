// The small page: it shows what the API says, and asks again when a message tells that something changed.
const id = crypto.randomUUID?.() ?? String(Math.random());
const at = (name) => document.getElementById(name);
const get = async (path) => { const answer = await fetch(path); if (!answer.ok) throw new Error(await answer.text()); return answer.json(); };
const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) });
const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const none = (text) => make("p", text, { className: "empty" });
const texts = (nodes) => nodes.flatMap((node) => Object.values(node.inputs ?? {})).filter((value) => typeof value === "string" && value.includes(" "));
// What a person would call a prompt: its own words, else the nodes that it has.
function about(prompt) {
  const nodes = Object.values(prompt);
  const said = texts(nodes.filter((node) => /text|prompt/i.test(node.class_type)))[0] ?? texts(nodes)[0];
  return (said ?? [...new Set(nodes.map((node) => node.class_type))].join(", ")).slice(0, 90);
}
const line = (left, right) => { const item = make("li", ""); item.append(make("span", left), make("span", right)); return item; };
let paused = false;

async function now() {
  const [found, queue] = await Promise.all([get("noderack/now"), get("queue")]);
  const prompts = Object.fromEntries([...queue.queue_running, ...queue.queue_pending].map(([, id, prompt]) => [id, about(prompt)]));
  paused = found.paused;
  at("pause").textContent = paused ? "Go on" : "Pause";
  at("state").textContent = `${paused ? "paused, " : ""}${count(found.waiting_in_all, "prompt")} waiting, ${count(found.clients, "client")}`;
  const one = found.running;
  at("title").textContent = one ? prompts[one.id] ?? "" : "";
  at("doing").textContent = one ? `${one.node_type ?? "starting"} · ${count(one.nodes, "node")} · ${one.seconds} s` : "Nothing runs.";
  at("bar").hidden = !one;
  if (!one) at("preview").hidden = true;
  at("queue").replaceChildren(...found.waiting.map((entry) => Object.assign(line(prompts[entry.id] ?? entry.id, `${count(entry.nodes, "node")}${entry.priority ? `, priority ${entry.priority}` : ""}`), { title: entry.id })));
}

const took = (job) => (job.execution_end_time ? `${((job.execution_end_time - job.execution_start_time) / 1000).toFixed(1)} s` : "");

async function history() {
  const [{ jobs }, told] = await Promise.all([get("jobs?status=completed,failed,cancelled&limit=40"), get("history?max_items=40")]);
  const name = (job) => (told[job.id] ? about(told[job.id].prompt[2]) : job.id);
  at("history").replaceChildren(...jobs.map((job) => {
    const row = make("tr", "");
    const first = make("td", "");
    first.append(make("button", name(job), { title: job.id, onclick: () => detail(job, name(job)) }));
    row.append(first, make("td", new Date(job.execution_end_time).toLocaleTimeString()), make("td", took(job)), make("td", job.status, { className: job.status }));
    return row;
  }));
  const entries = Object.values(told).reverse();
  const shown = entries.flatMap((one) => Object.values(one.outputs)).flatMap(outputs).slice(0, 36);
  at("outputs").replaceChildren(...(shown.length ? shown : [none("What prompts give is shown here.")]));
}

function outputs(output) {
  const images = [...(output?.images ?? []), ...(output?.gifs ?? [])].map((image) => {
    const query = new URLSearchParams(image);
    const link = make("a", "", { href: `view?${query}`, title: image.filename });
    link.append(Object.assign(new Image(), { src: `view?${query}&preview=webp`, alt: image.filename, loading: "lazy" }));
    return link;
  });
  const texts = (output?.text ?? []).map((text) => { const box = make("a", ""); box.append(make("div", String(text).slice(0, 2000), { className: "text" })); return box; });
  return [...images, ...texts];
}

async function detail(job, name) {
  const { entries } = await get(`noderack/prompts/${encodeURIComponent(job.id)}/logs`);
  const error = job.execution_error;
  const lines = [error ? `${error.node_type} (node ${error.node_id}): ${error.exception_type}: ${error.exception_message}` : "", ...(error?.traceback ?? []), ...entries.map((one) => `${one.t.slice(11, 23)} node ${one.node}: ${one.m.trimEnd()}`)];
  at("detail-title").textContent = name;
  at("detail-id").textContent = `${job.id} · ${job.status}${took(job) && ` in ${took(job)}`}`;
  at("detail").querySelector("pre").textContent = lines.filter(Boolean).join("\n") || "It said nothing while it ran.";
  at("detail").showModal();
}

async function rest() {
  const [info, logs] = await Promise.all([get("object_info"), get("internal/logs/raw")]);
  const counts = {};
  for (const node of Object.values(info)) counts[node.python_module] = (counts[node.python_module] ?? 0) + 1;
  const name = (module) => (module === "nodes" ? "built in" : module.replace("custom_nodes.", ""));
  at("packlist").replaceChildren(...Object.entries(counts).sort().map(([module, number]) => line(name(module), count(number, "node type"))));
  at("lines").textContent = logs.entries.map((one) => `${one.t.slice(11, 23)}  ${one.m}`).join("") || "Nothing was logged yet.";
  at("lines").scrollTop = at("lines").scrollHeight;
}

const soon = {};
// Many messages come at once: each part is asked for at most every 300 ms.
function later(name, work) {
  soon[name] ??= setTimeout(() => { delete soon[name]; work().catch((error) => { at("state").textContent = error.message; }); }, 300);
}

async function preview(data) {
  const bytes = await data.arrayBuffer();
  if (new DataView(bytes).getUint32(0) !== 1) return;
  URL.revokeObjectURL(at("preview").src);
  Object.assign(at("preview"), { src: URL.createObjectURL(new Blob([bytes.slice(8)])), hidden: false });
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws?clientId=${id}`);
  socket.onopen = () => { later("now", now); later("history", history); later("rest", rest); };
  socket.onclose = () => { at("state").textContent = "connection lost, trying again …"; setTimeout(connect, 2000); };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return preview(data);
    const { type, data: told } = JSON.parse(data);
    if (type === "progress") Object.assign(at("bar"), { max: told.max, value: told.value });
    if (type === "status") { later("now", now); later("history", history); }
    if (type === "noderack.packs" || type === "status") later("rest", rest);
    if (type === "progress_state") later("now", now);
  };
}

at("pause").onclick = () => post("queue", { pause: !paused });
at("stop").onclick = () => post("interrupt", {});
at("clear").onclick = () => post("queue", { clear: true });
connect();
