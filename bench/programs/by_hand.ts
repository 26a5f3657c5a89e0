/**
 * Local dispatch by hand: a `Map` from names to functions, and a result. What is `plain` does without an async
 * function, as a careful hand writes what is called often. What is `inline` has not even a function that sends, so that
 * there is no promise of a result: the least that can be done. What is `idempotent` records one result for each id, in
 * the store in memory that Catga has: a claim, the handler, and the result in the claim's place.
 *
 * Each form has a loop of its own: one loop for all would call the function that sends through a variable, which costs
 * the plain form 3 ns of 25.
 */
import process from "node:process";
import { MemoryKeyValueStore } from "../../src/memory/key_value_store.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { cast, CONTRACTS, type Laps, type Message, runLocal } from "./local.ts";

const [kind, form = "async"] = process.argv.slice(2);
const all = cast(kind === "async" ? "async" : "sync");
const names = all.map(({ name }) => name);
const payloads = all.map(({ payload }) => payload);
type Handler = (message: Message, context: { readonly name: string }) => unknown;
const handlers = new Map<string, Handler>(all.map(({ name, handler }) => [name, handler]));

async function send(name: string, payload: Message) {
  const handler = handlers.get(name);
  if (handler === undefined) return { ok: false, error: new Error(`no handler of ${name}`) };
  return { ok: true, value: await handler(payload, { name }) };
}

type Plain = { readonly ok: boolean; readonly value?: unknown; readonly error?: unknown };

function sendPlainly(name: string, payload: Message): Promise<Plain> {
  const handler = handlers.get(name);
  if (handler === undefined) return Promise.resolve({ ok: false, error: new Error(`no handler of ${name}`) });
  try {
    const value = handler(payload, { name });
    if (!(value instanceof Promise)) return Promise.resolve({ ok: true, value });
    return value.then((value) => ({ ok: true, value }), (error) => ({ ok: false, error }));
  } catch (error) {
    return Promise.resolve({ ok: false, error });
  }
}

const { hash } = process.getBuiltinModule("node:crypto");
const results = await new MemoryKeyValueStore(systemClock).open("results");
let sent = 0;

async function sendOnce(name: string, payload: Message): Promise<Plain> {
  const handler = handlers.get(name);
  if (handler === undefined) return { ok: false, error: new Error(`no handler of ${name}`) };
  const key = `${name}/${++sent}`;
  const claim = { fingerprint: hash("sha256", JSON.stringify(payload), "base64url"), by: "this process" };
  const revision = await results.create(key, JSON.stringify(claim), { ttl: 20_000 });
  if (revision === undefined) return { ok: false, error: new Error(`${key} is taken`) };
  const value = await handler(payload, { name });
  const text = JSON.stringify({ ...claim, value });
  if (await results.update(key, text, revision, { ttl: 86_400_000 }) === undefined) {
    return { ok: false, error: new Error(`the claim of ${key} was lost`) };
  }
  return { ok: true, value: JSON.parse(text).value };
}

const byIdempotentSend: Laps = async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = await sendOnce(names[at], payloads[at]);
    if (!result.ok) throw result.error;
  }
};

const bySend: Laps = async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = await send(names[at], payloads[at]);
    if (!result.ok) throw result.error;
  }
};

const byPlainSend: Laps = async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = await sendPlainly(names[at], payloads[at]);
    if (!result.ok) throw result.error;
  }
};

const inLoop: Laps = async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    const result = { ok: true, value: await handlers.get(names[at])!(payloads[at], { name: names[at] }) };
    if (!result.ok) throw new Error("it failed");
  }
};

const FORMS: Readonly<Record<string, Laps>> = {
  async: bySend,
  plain: byPlainSend,
  inline: inLoop,
  idempotent: byIdempotentSend,
};

runLocal(FORMS[form]);
