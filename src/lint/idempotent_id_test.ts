import { idempotentId } from "./idempotent_id.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("idempotent-id", idempotentId, {
  head: `import { catga, command, query } from "@catga/catga";
import { Pay } from "./contracts.ts";
const Create = command("Create", { idempotent: true });
const Kept = command<Order, string>("Kept", { idempotent: { ttl: 60_000 }, timeout: 500 });
const Named = command("Named", { idempotent: true, id: (order) => order.id });
const Plain = command("Plain", { idempotent: false });
const app = await catga();`,
  bad: {
    "sends without an id": {
      source: `await app.send(Create, order);\nawait app?.send(Kept, order, { timeout: 5, "key": "k" });`,
      at: ["app.send(Create, order)", `app?.send(Kept, order, { timeout: 5, "key": "k" })`],
      says: /^(Create|Kept) is idempotent, and this send gives it a new id each time$/,
    },
    "those of handlers, and those whose options are undefined": {
      source: `export const plain = Plain.handle(async (order, c) => { await c.send(Create, order, undefined); });`,
      at: ["c.send(Create, order, undefined)"],
      says: /this send/,
    },
    "many at once, which only the contract can give ids": {
      source: `await app.sendAll(Create, orders, options);`,
      at: ["app.sendAll(Create, orders, options)"],
      says: /this sendAll/,
    },
    "broadcasts": {
      source: `await app.broadcast(Create, order);`,
      at: ["app.broadcast(Create, order)"],
      says: /this broadcast/,
    },
  },
  good: {
    "an id of the send": `await app.send(Create, order, { id: order.id }); await app.send(Create, order, { id });`,
    "an id of the contract": `await app.send(Named, order); await app.sendAll(Named, orders);`,
    "options that are not written out":
      `await app.send(Create, order, options); await app.send(Create, order, { ...rest });`,
    "arguments that are not written out": `await app.send(Create, ...rest);`,
    "other commands": `await app.send(Plain, order); await app.send(command("Other"), order);`,
    "contracts of other files, and options of other places":
      `await app.send(Pay, order); const Far = command("Far", options); await app.send(Far, order);
const Spread = command("Spread", { ...options, idempotent: true }); await app.send(Spread, order);`,
    "other senders": `await socket.push(Create, order);`,
  },
});
