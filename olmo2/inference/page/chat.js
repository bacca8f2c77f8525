// The chat page: conversations are kept in this browser, answers come as server-sent events of /v1/chat/completions.
// What a model writes becomes text nodes and nothing else.
"use strict";

const KEY = "olmo2-chat";
const DEFAULTS = { system: "", temperature: 0.7, top_p: 0.95, max_tokens: 512, seed: "" };
const byId = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

let state = { conversations: [], current: 0, theme: "", settings: { ...DEFAULTS } };
let model = "";
let running = null; // the AbortController of the answer under way

// --- what is kept ---------------------------------------------------------------------------------------------------

function load() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) || "{}");
    if (Array.isArray(stored.conversations)) state = { ...state, ...stored, settings: { ...DEFAULTS, ...stored.settings } };
  } catch {
    say("What was kept in this browser cannot be read; a new conversation begins.");
  }
  if (!state.conversations.length) state.conversations = [{ id: Date.now(), messages: [] }];
  if (!state.conversations[state.current]) state.current = 0;
}

function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    say("This browser has no room left: delete conversations to keep new ones.");
  }
}

const conversation = () => state.conversations[state.current];
const title = (each) => each.messages[0]?.content.slice(0, 60) || "New conversation";

// --- what is shown --------------------------------------------------------------------------------------------------

function say(text) { byId("status").textContent = text; }

function showList() {
  byId("list").replaceChildren(...state.conversations.map((each, place) => {
    const row = make("li");
    const open = make("button", "open", title(each));
    open.type = "button";
    open.setAttribute("aria-current", String(place === state.current));
    open.onclick = () => { stop(); state.current = place; save(); showAll(); closeSide(); byId("input").focus(); };
    const remove = make("button", "", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Delete conversation: ${title(each)}`);
    remove.onclick = () => { if (confirm(`Delete "${title(each)}"?`)) deleteConversation(place); };
    row.append(open, remove);
    return row;
  }));
}

function showMessages() {
  const messages = conversation().messages;
  const rows = messages.map((message, place) => showMessage(message, place === messages.length - 1));
  if (!rows.length) rows.push(make("li", "empty", "Say something to begin."));
  byId("messages").replaceChildren(...rows);
  scrollDown();
}

function showMessage(message, isLast) {
  const row = make("li", message.role);
  row.append(make("p", "who", message.role === "user" ? "You" : model || "Model"));
  const text = make("div", "content");
  showText(text, message.content.trimStart());
  row.append(text);
  if (message.error) row.append(make("p", "wrong", message.error));
  if (message.role === "assistant") row.append(about(message, isLast));
  return row;
}

function about(message, isLast) {
  const line = make("div", "about");
  line.append(make("span", "speed", message.about || ""));
  const copy = make("button", "", "Copy");
  copy.type = "button";
  copy.onclick = () => navigator.clipboard.writeText(message.content).then(() => say("Copied."), () => say("Copying is not allowed here."));
  line.append(copy);
  if (isLast) {
    const again = make("button", "again", "Regenerate");
    again.type = "button";
    again.onclick = regenerate;
    line.append(again);
  }
  return line;
}

// Blocks between lines of ``` are shown as code; everything is text.
function showText(element, text) {
  const parts = text.split(/^```[^\n]*$\n?/m);
  element.replaceChildren(...parts.map((part, place) => {
    if (place % 2 === 0) return make("div", "text", parts.length > 1 ? part.replace(/\n+$/, "") : part);
    const block = make("pre");
    block.append(make("code", "", part.replace(/\n$/, "")));
    block.tabIndex = 0;
    return block;
  }));
}

function scrollDown() {
  const list = byId("messages");
  list.scrollTop = list.scrollHeight;
}

function showAll() { showList(); showMessages(); }

// --- conversations --------------------------------------------------------------------------------------------------

function newConversation() {
  stop();
  if (conversation().messages.length) {
    state.conversations.unshift({ id: Date.now(), messages: [] });
    state.current = 0;
  }
  save(); showAll(); closeSide();
  byId("input").focus();
}

function deleteConversation(place) {
  stop();
  state.conversations.splice(place, 1);
  if (!state.conversations.length) state.conversations = [{ id: Date.now(), messages: [] }];
  state.current = Math.min(state.current > place ? state.current - 1 : state.current, state.conversations.length - 1);
  save(); showAll();
}

function send(event) {
  event?.preventDefault();
  const content = byId("input").value.trim();
  if (!content || running || !byId("settings").reportValidity()) return;
  const messages = conversation().messages;
  byId("input").value = "";
  messages.push({ role: "user", content });
  answer(() => { // a message that is refused is not said: it can be changed, and the conversation goes on
    messages.pop();
    byId("input").value ||= content;
  });
}

function regenerate() {
  if (running) return;
  const messages = conversation().messages;
  const before = messages.at(-1)?.role === "assistant" ? [messages.pop()] : [];
  answer(() => messages.push(...before));
}

function stop() { running?.abort(); }

// --- the answer -----------------------------------------------------------------------------------------------------

// `undo` is called if there is no answer, not even the beginning of one.
async function answer(undo) {
  const own = conversation();
  const reply = { role: "assistant", content: "", about: "" };
  const request = body(own.messages);
  own.messages.push(reply);
  save(); showAll(); setRunning(new AbortController());
  const row = byId("messages").lastElementChild;
  const text = row.querySelector(".content"), speed = row.querySelector(".speed");
  const started = performance.now();
  let first = 0, tokens = 0, isDirty = false;
  const draw = () => {
    isDirty = false;
    if (conversation() !== own) return;
    const list = byId("messages"), isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    showText(text, reply.content.trimStart());
    speed.textContent = reply.about;
    if (isAtEnd) scrollDown();
  };
  say("The model is answering.");
  try {
    for await (const piece of events(request, running.signal)) {
      if (piece.error) throw new Error(piece.error.message);
      const choice = piece.choices[0];
      if (piece.usage) tokens = piece.usage.completion_tokens;
      if (choice?.delta.content) {
        first ||= performance.now();
        reply.content += choice.delta.content;
        tokens += 1;
      }
      if (choice?.finish_reason === "length") reply.cut = true;
      reply.about = speedOf(tokens, started, first);
      if (reply.cut) reply.about += ", cut at the limit";
      if (!isDirty) { isDirty = true; requestAnimationFrame(draw); }
    }
    say(reply.cut ? "The answer was cut at its limit." : "The answer is complete.");
  } catch (error) {
    if (error.name === "AbortError") {
      reply.about += reply.about ? ", stopped" : "stopped";
      say("Stopped.");
    } else {
      const message = error instanceof TypeError ? "The server cannot be reached." : error.message;
      if (reply.content) reply.error = message;
      else { own.messages.splice(own.messages.indexOf(reply), 1); undo(); }
      say(message);
    }
  } finally {
    setRunning(null);
    save();
    if (conversation() === own) { showAll(); if (document.activeElement === document.body) byId("input").focus(); }
  }
}

// Without the wait for the first token, unless all came at once.
function speedOf(tokens, started, first) {
  const now = performance.now();
  const [counted, since] = now - first > 200 ? [tokens - 1, first] : [tokens, started];
  return tokens > 1 ? `${tokens} tokens, ${((1000 * counted) / (now - since)).toFixed(1)} tokens/s` : "";
}

function body(messages) {
  const { system, temperature, top_p, max_tokens, seed } = state.settings;
  const turns = messages.filter((each) => each.content).map(({ role, content }) => ({ role, content }));
  return {
    model, temperature: Number(temperature), top_p: Number(top_p), max_tokens: Number(max_tokens),
    ...(seed === "" ? {} : { seed: Number(seed) }),
    messages: system.trim() ? [{ role: "system", content: system }, ...turns] : turns,
    stream: true, stream_options: { include_usage: true },
  };
}

async function* events(request, signal) {
  const response = await call("v1/chat/completions", { method: "POST", body: JSON.stringify(request), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The server ended the connection.");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}

async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) { await askForKey(); return call(path, options); }
  const text = await response.text();
  let message = `The server answers ${response.status}.`;
  try { message = JSON.parse(text).error.message; } catch { /* not an error object: the status has to do */ }
  throw new Error(message);
}

function askForKey() {
  const dialog = byId("key");
  byId("key-title").textContent = sessionStorage.getItem(KEY) ? "That key was not accepted" : "This server wants a key";
  byId("key-value").value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { sessionStorage.setItem(KEY, byId("key-value").value); resolve(); }, { once: true });
  });
}

// --- controls -------------------------------------------------------------------------------------------------------

function setRunning(controller) {
  running = controller;
  byId("send").hidden = Boolean(controller);
  byId("stop").hidden = !controller;
}

function closeSide() {
  byId("side").classList.remove("shown");
  byId("menu").setAttribute("aria-expanded", "false");
}

function connect() {
  byId("compose").onsubmit = send;
  byId("stop").onclick = stop;
  byId("new").onclick = newConversation;
  byId("settings").onsubmit = (event) => event.preventDefault();
  byId("menu").onclick = () => {
    const isShown = byId("side").classList.toggle("shown");
    byId("menu").setAttribute("aria-expanded", String(isShown));
  };
  byId("theme").onclick = () => {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    state.theme = (state.theme || (isDark ? "dark" : "light")) === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = state.theme;
    save();
  };
  for (const name of Object.keys(DEFAULTS)) {
    const field = byId(name), shown = byId(`${name}-shown`);
    field.value = state.settings[name];
    if (shown) shown.textContent = field.value;
    field.oninput = () => {
      if (shown) shown.textContent = field.value;
      if (field.checkValidity()) { state.settings[name] = field.value; save(); }
    };
  }
  byId("input").onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  };
  document.onkeydown = (event) => {
    if (event.key === "Escape") { stop(); closeSide(); }
    if (event.altKey && event.key.toLowerCase() === "n") { event.preventDefault(); newConversation(); }
  };
}

async function start() {
  load();
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  connect();
  showAll();
  try {
    model = (await (await call("v1/models")).json()).data[0].id;
    byId("model").textContent = document.title = model;
    showMessages();
  } catch (error) {
    say(error instanceof TypeError ? "The server cannot be reached." : error.message);
  }
}

start();
