// What every page does with JavaScript: copy buttons, and search and drop brought in when somebody reaches for them.
const $ = (selector) => document.querySelector(selector);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}

const root = new URL(document.documentElement.dataset.root, location.href).href;
const input = $("[data-search]");
let searching;
const search = () => (searching ??= import("./search.js"));
if (input) {
  input.addEventListener("focus", async () => (await search()).attach(input, root), { once: true });
  if (document.activeElement === input) search().then((module) => module.attach(input, root));
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); input.focus(); }
  });
}
const results = $("[data-results]");
if (results && input) input.value = new URLSearchParams(location.search).get("q") ?? "";
if (results) search().then((module) => module.showAll(results, new URLSearchParams(location.search).get("q") ?? "", root));

const drop = $("[data-drop]");
if (drop) {
  const file = $("[data-drop-file]");
  const open = async (given) => given && (await import("./drop.js")).show(given, root);
  for (const button of document.querySelectorAll("[data-drop-open]")) button.addEventListener("click", () => file.click());
  file.addEventListener("change", () => { open(file.files[0]); file.value = ""; });
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    open(event.dataTransfer.files[0]);
  });
}
