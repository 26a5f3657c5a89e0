/** The tools of the agent: it looks for offers of tea, and pays. */
import * as z from "zod";
import type { ToolCall } from "./model.ts";

/** A payment; `id`: that of the tool's call. */
export interface Payment {
  readonly id: string;
  readonly tea: string;
  readonly shop: string;
  readonly cents: number;
}

/** The shop that the tools call. */
export interface Shop {
  /** Resolves with what the model is told. */
  offers(tea: string, signal: AbortSignal): Promise<string>;
  /** Pays once for each `id`; resolves with the receipt. */
  pay(payment: Payment, call: { readonly id: string; readonly signal: AbortSignal }): Promise<string>;
}

const Offers = z.object({ tea: z.string() });
const Pay = z.object({ tea: z.string(), shop: z.string(), cents: z.int().positive() });

/** The tools, as the model learns of them. */
export const TOOLS = [
  toolFor("offers", "What a tea costs, and where.", Offers),
  toolFor("pay", "Buys a tea. A person may be asked first.", Pay),
];

function toolFor(name: string, description: string, input: z.ZodType) {
  return { type: "function", function: { name, description, parameters: z.toJSONSchema(input) } };
}

/** Returns what a call asks for; "unknown": nothing that there is, and why, for the model. */
export function toolOf({ id, function: { name, arguments: json } }: ToolCall):
  | { readonly name: "offers"; readonly tea: string }
  | { readonly name: "pay"; readonly payment: Payment }
  | { readonly name: "unknown"; readonly why: string } {
  try {
    if (name === "offers") return { name, ...Offers.parse(JSON.parse(json)) };
    if (name === "pay") return { name, payment: { id, ...Pay.parse(JSON.parse(json)) } };
    return { name: "unknown", why: `there is no tool ${name}` };
  } catch (error) {
    return { name: "unknown", why: `invalid arguments: ${error}` };
  }
}

/** Returns a shop that is called by `fetch`. */
export function shopAt(url: string, fetch: (request: Request) => Promise<Response> = globalThis.fetch): Shop {
  const answer = async (request: Request) => {
    const response = await fetch(request);
    if (!response.ok) throw new Error(`the shop answered ${response.status}`);
    return await response.text();
  };
  return {
    offers: (tea, signal) => answer(new Request(`${url}/offers?tea=${encodeURIComponent(tea)}`, { signal })),
    pay: ({ id: _, ...payment }, { id, signal }) =>
      answer(
        new Request(`${url}/pay`, {
          method: "POST",
          headers: { "Content-Type": "application/json", "Idempotency-Key": id },
          body: JSON.stringify(payment),
          signal,
        }),
      ),
  };
}
