/**
 * The script of the agent's page: what a run shows, and a person's answer. `bun build --minify` makes `page.js` of it,
 * which the node serves: `deno task shop:page`.
 */
import { client, ClientError } from "@catga/catga/client";
import type { Shown } from "../agent.ts";
import type { api } from "../api.ts";

const { agents } = client<typeof api>(new URL("/api", location.href).href, {
  fetch: async (url, init) => {
    try {
      return await fetch(url, init);
    } catch (error) {
      if (!init.signal?.aborted) state.textContent = "no connection: trying again";
      throw error;
    }
  },
});

const at = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const [form, meter] = [at<HTMLFormElement>("task"), at<HTMLProgressElement>("meter")];
const [state, talk, ask, payment, spent] = ["state", "talk", "ask", "payment", "spent"].map(at);
const start = form.querySelector("button")!;
/** True once the page shows what was there when it was opened: what comes later is written letter by letter. */
let isLive = false;
const euros = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });

/** The id of the run is in the address: whoever opens it, wherever and whenever, sees the same. */
const run = () => location.hash.slice(1);
addEventListener("hashchange", () => location.reload());
if (run() !== "") follow(run()).catch(failed);
else start.disabled = false; // before, the browser itself would submit the form

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const task = new FormData(form);
  begin(`${task.get("goal")}`, 100 * Number(task.get("budget"))).catch(failed);
});

async function begin(goal: string, budget: number): Promise<void> {
  start.disabled = true;
  const started = await agents.start({ goal, budget });
  if (!started.ok) throw started.error;
  location.hash = started.value.id; // and the page begins anew with it
}

/** Each change of the run, and its end: over lost connections, and deaths of nodes. */
async function follow(id: string): Promise<void> {
  for await (const { view, result } of agents.run(id).watch()) {
    if (view !== undefined) show(view);
    if (result === undefined) continue;
    start.disabled = false;
    state.textContent = result.ok ? "done" : `ended: ${result.error.code}`;
    if (!result.ok) talk.append(paragraph("failed", result.error.message));
  }
}

function show({ messages, words, asks, spent: sum, budget }: Shown): void {
  state.textContent = asks !== undefined ? "waits for you" : words === "" ? "works" : "speaks";
  messages.forEach(({ role, content }, index) => put(index, role, content));
  if (words !== "") put(messages.length, "assistant", words);
  isLive = true;
  while (talk.childElementCount > messages.length + (words === "" ? 0 : 1)) talk.lastElementChild!.remove();
  ask.hidden = asks === undefined;
  if (asks !== undefined) {
    payment.textContent = `${euros.format(asks.cents / 100)} to ${asks.shop} for ${asks.tea}`;
    ask.dataset.payment = asks.id;
    ask.scrollIntoView({ block: "nearest" });
  }
  meter.max = budget;
  meter.value = sum;
  spent.textContent = `${euros.format(sum / 100)} of ${euros.format(budget / 100)}`;
}

/** Puts a text at its place; of one that is there and goes on only the rest is added, letter by letter. */
function put(index: number, role: string, text: string): void {
  let row = talk.children[index] as HTMLParagraphElement | undefined;
  if (row === undefined || row.className !== role) {
    const fresh = paragraph(role, "");
    if (row === undefined) talk.append(fresh);
    else row.replaceWith(fresh);
    row = fresh;
    if (!isLive) row.textContent = row.dataset.text = text;
  }
  if (row.dataset.text?.startsWith(text)) return; // another attempt says the same again
  row.dataset.text = text;
  requestAnimationFrame(() => write(row));
}

/** A view comes once a second while the model speaks: its letters come evenly until the next one. */
function write(row: HTMLElement): void {
  const [now, all] = [row.textContent, row.dataset.text ?? ""];
  if (now === all || !row.isConnected) return;
  const step = Math.max(1, Math.ceil((all.length - now.length) / 40));
  const isSpeaking = row.className === "assistant" && row === talk.lastElementChild && all.startsWith(now);
  row.textContent = isSpeaking ? all.slice(0, now.length + step) : all;
  row.scrollIntoView({ block: "nearest" });
  requestAnimationFrame(() => write(row));
}

function paragraph(className: string, text: string): HTMLParagraphElement {
  return Object.assign(document.createElement("p"), { className, textContent: text });
}

ask.addEventListener("click", ({ target }) => {
  const approve = (target as HTMLElement).dataset.approve;
  if (approve !== undefined) decide(approve === "true").catch(failed);
});

async function decide(approve: boolean): Promise<void> {
  ask.hidden = true;
  const decided = await agents.run(run()).ask("decide", { payment: ask.dataset.payment!, approve });
  if (!decided.ok && decided.error.code !== "NOT_ASKED") throw decided.error;
}

function failed(error: unknown): void {
  start.disabled = false;
  state.textContent = error instanceof ClientError ? error.message : "the page has failed: load it again";
  console.error(error);
}
