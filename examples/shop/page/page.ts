/**
 * The script of the shop's page: a client of its API. `bun build --minify` makes `page.js` of it, which the gateway
 * serves: `deno task shop:page`.
 */
import { client, ClientError, type ClientResult } from "@catga/catga/client";
import type { api } from "../api.ts";

/** Rows that the page shows. */
const SHOWN = 20;
const DAY = 86_400_000;

const customer = localStorage.customer ??= crypto.randomUUID();
const shop = client<typeof api>(new URL("/api", location.href).href, {
  headers: { authorization: `Bearer ${customer}` },
  fetch: async (url, init) => {
    try {
      const response = await fetch(url, init);
      state.textContent = response.status < 500 ? "connected" : "the shop is busy: trying again";
      return response;
    } catch (error) {
      if (!init.signal?.aborted) state.textContent = "no connection: trying again";
      throw error;
    }
  },
});

const at = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const form = at<HTMLFormElement>("order");
const button = form.querySelector("button")!;
const feed = at<HTMLTableSectionElement>("feed");
const [said, state, none] = [at("said"), at("state"), at("none")];
const euros = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const times = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

form.addEventListener("submit", (event) => {
  event.preventDefault();
  order(new FormData(form)).catch(failed);
});
button.disabled = false;
follow().catch(failed);

async function order(wish: FormData): Promise<void> {
  button.disabled = true;
  say("ordering");
  const orderId = crypto.randomUUID();
  const input = { orderId, sku: `${wish.get("sku")}`, qty: Number(wish.get("qty")), card: `${wish.get("card")}` };
  const placed = await untilAnswered(() => shop.placeOrder.send(input, { id: orderId }));
  button.disabled = false;
  if (placed.ok) say(`ordered for ${euros.format(placed.value.cents / 100)}: ${orderId}`);
  else say(wordsOf(placed.error), "bad");
}

/** Returns the text of a failure for the customer; for an invalid order, its invalid fields. */
function wordsOf({ code, message, details }: ClientError): string {
  if (code === "CARD_DECLINED") return "Your card was declined.";
  return Array.isArray(details)
    ? details.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")
    : message;
}

/** Sends again what has no answer: with the same id the order is placed once. */
async function untilAnswered<T, F extends string>(
  send: () => Promise<ClientResult<T, F>>,
): Promise<ClientResult<T, F>> {
  for (let pause = 250;; pause = Math.min(2 * pause, 4_000)) {
    const result = await send();
    if (result.ok || !(result.error.retryable || result.error.code === "OUTCOME_UNKNOWN")) return result;
    say("the shop does not answer: trying again");
    await new Promise((resolve) => setTimeout(resolve, result.error.retryAfter ?? pause));
  }
}

/** Every order of the last day and each new one, once, in order: over lost connections, other gateways and restarts. */
async function follow(): Promise<void> {
  for await (const { position, payload, stored } of shop.placed.follow({ from: new Date(Date.now() - DAY) })) {
    const row = document.createElement("tr");
    row.dataset.position = `${position}`;
    const { orderId, sku, qty, cents } = payload;
    for (const text of [times.format(stored), `${qty} × ${sku}`, euros.format(cents / 100), orderId]) {
      row.insertCell().textContent = text;
    }
    feed.prepend(row);
    feed.rows[SHOWN]?.remove();
    none.hidden = true;
  }
}

function say(text: string, className = ""): void {
  said.textContent = text;
  said.className = className;
}

function failed(error: unknown): void {
  state.textContent = error instanceof ClientError ? error.message : "the page has failed: load it again";
  console.error(error);
}
