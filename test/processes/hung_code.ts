/**
 * A client and a shop of one process whose schemas, behaviors, handlers and loads never end. Sends to each of them,
 * with a deadline of half a second; then both apps drain.
 *
 *   … test/processes/hung_code.ts <nats url>
 *
 * @module
 */
import process from "node:process";
import { type Behavior, catga, command, type Schema } from "@catga/catga";
import { chances } from "../support/chances.ts";

/** A line that the program prints; `took` in ms. */
export type HungLine =
  | { readonly event: "sent"; readonly where: string; readonly code: string | undefined; readonly took: number }
  | { readonly event: "drained"; readonly ran: readonly string[]; readonly took: number };

const never = () => new Promise<never>(() => {});
const hung: Schema<string> = { "~standard": { version: 1, vendor: "test", validate: never } };
const ran: string[] = [];
const handle = (where: string) => {
  ran.push(where);
  return where;
};

// what a schema of one side does, the other does not have
const plain = (name: string) => command<string, string>(name, { timeout: 500 });
const CheckedBySender = command<string, string>("CheckedBySender", { input: hung, timeout: 500 });
const ParsedBySender = command<string, string>("ParsedBySender", { output: hung, timeout: 500 });
const CheckedByHandler = command<string, string>("CheckedByHandler", { input: hung });
const ParsedByHandler = command<string, string>("ParsedByHandler", { output: hung });
const before: Behavior = () => never();
const around: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), {
  send: ({ contract }: { contract: { name: string } }, next: () => ReturnType<Parameters<Behavior>[1]>) =>
    contract.name === "Around" ? never() : next(),
});

/** Those whose handlers run. */
const RUN = ["ParsedBySender", "ParsedByHandler", "Load", "Hangs"];

const nats = process.argv[2];
const shop = await catga({
  nats,
  id: "shop",
  handlers: [
    plain("CheckedBySender").handle(handle),
    plain("ParsedBySender").handle(handle),
    CheckedByHandler.handle(handle),
    ParsedByHandler.handle(handle),
    plain("Before").handle(handle, { behaviors: [before] }),
    plain("Around").handle(handle),
    plain("Load").handle((where, ctx) => (ran.push(where), ctx.cache.getOrSet(where, never))),
    plain("Hangs").handle((where) => (ran.push(where), never())),
  ],
});
const client = await catga({ nats, id: "client", behaviors: [around], retries: 0 });

const sent = [CheckedBySender, ParsedBySender, ...["CheckedByHandler", "ParsedByHandler", "Before"].map(plain)];
for (const contract of [...sent, ...["Around", "Load", "Hangs"].map(plain)]) {
  const { name } = contract;
  // on a busy machine a send may end before its handler has begun
  await chances(19, async () => {
    const began = performance.now();
    const { error } = await client.send(contract, name);
    tell({ event: "sent", where: name, code: error?.code, took: performance.now() - began });
  }, () => !RUN.includes(name) || ran.includes(name));
}
const began = performance.now();
await Promise.all([client.drain({ timeout: 500 }), shop.drain({ timeout: 500 })]);
tell({ event: "drained", ran, took: performance.now() - began });

function tell(line: HungLine): void {
  console.log(JSON.stringify(line));
}
