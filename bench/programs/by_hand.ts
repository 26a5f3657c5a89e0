/**
 * Local dispatch by hand: a `Map` from names to functions, and a result. What is `inline` has not even a function that
 * sends, so that there is no promise of a result: the least that can be done.
 */
import process from "node:process";
import { cast, CONTRACTS, type Laps, type Message, runLocal } from "./local.ts";

const [kind, inline] = process.argv.slice(2);
const all = cast(kind === "async" ? "async" : "sync");
const names = all.map(({ name }) => name);
const payloads = all.map(({ payload }) => payload);
const handlers = new Map(all.map(({ name, handler }) => [name, handler]));

async function send(name: string, payload: Message) {
  const handler = handlers.get(name);
  if (handler === undefined) return { ok: false, error: new Error(`no handler of ${name}`) };
  return { ok: true, value: await handler(payload) };
}

const bySend: Laps = async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = await send(names[at], payloads[at]);
    if (!result.ok) throw result.error;
  }
};

const inLoop: Laps = async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = { ok: true, value: await handlers.get(names[at])!(payloads[at]) };
    if (!result.ok) throw new Error("it failed");
  }
};

runLocal(inline === "inline" ? inLoop : bySend);
