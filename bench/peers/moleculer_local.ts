/** Moleculer in one process: no log, no validator, and neither metrics nor tracing, which are off by default. */
import process from "node:process";
import moleculer from "moleculer";
import { cast, CONTRACTS, type Message, runLocal } from "../programs/local.ts";

const all = cast(process.argv[2] === "async" ? "async" : "sync");
const broker = new moleculer.ServiceBroker({ logger: false, validator: false });
broker.createService({
  name: "bench",
  actions: Object.fromEntries(all.map(({ name, handler }) => [
    name,
    ({ params }: { params: Message }) => handler(params),
  ])),
});
await broker.start();
const names = all.map(({ name }) => `bench.${name}`);
const payloads = all.map(({ payload }) => payload);

runLocal(async (sends) => {
  for (let i = 0; i < sends; i++) {
    const at = i % CONTRACTS;
    await broker.call(names[at], payloads[at]);
  }
});
