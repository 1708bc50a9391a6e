// The small page: it shows what the API says, and asks again when a message tells that something changed.
const id = crypto.randomUUID?.() ?? String(Math.random());
const at = (name) => document.getElementById(name);
const get = async (path) => (await fetch(path)).json();
const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) });
const items = (parent, texts) => parent.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
let paused = false;

async function queue() {
  const found = await get("queue");
  paused = found.paused;
  at("pause").textContent = paused ? "Go on" : "Pause";
  const told = (item, what) => `${item[1]} — ${Object.keys(item[2]).length} nodes, ${what}`;
  items(at("queue"), [...found.queue_running.map((one) => told(one, "running")), ...found.queue_pending.map((one) => told(one, "waiting"))]);
}

async function history() {
  const entries = Object.values(await get("history?max_items=30")).reverse();
  items(at("history"), entries.map((one) => `${one.prompt[1]} — ${one.status?.status_str ?? ""}`));
  const images = entries.flatMap((one) => Object.values(one.outputs)).flatMap((output) => output?.images ?? []).slice(0, 24);
  at("outputs").replaceChildren(...images.map((image) => {
    const link = document.createElement("a");
    const query = new URLSearchParams(image);
    link.href = `view?${query}`;
    link.append(Object.assign(new Image(), { src: `view?${query}&preview=webp`, alt: image.filename, loading: "lazy" }));
    return link;
  }));
}

async function rest() {
  const [info, logs] = await Promise.all([get("object_info"), get("internal/logs/raw")]);
  const counts = {};
  for (const node of Object.values(info)) counts[node.python_module] = (counts[node.python_module] ?? 0) + 1;
  items(at("packlist"), Object.entries(counts).map(([name, count]) => `${name} — ${count} node types`));
  at("lines").textContent = logs.entries.map((line) => line.m).join("");
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws?clientId=${id}`);
  socket.onopen = () => { at("state").textContent = "connected"; };
  socket.onclose = () => { at("state").textContent = "connection lost, trying again …"; setTimeout(connect, 2000); };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return;
    const message = JSON.parse(data);
    if (message.type === "progress") Object.assign(at("bar"), { max: message.data.max, value: message.data.value });
    if (message.type === "status") { at("state").textContent = `${message.data.status.exec_info.queue_remaining} in the queue`; queue(); history(); }
  };
}

at("pause").onclick = () => post("queue", { pause: !paused });
at("stop").onclick = () => post("interrupt", {});
at("clear").onclick = () => post("queue", { clear: true });
queue(); history(); rest(); connect();
