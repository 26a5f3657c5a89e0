/** Tests of the async context of handlers over NATS, in an app that the first of several senders opens. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { AsyncLocalStorage } from "node:async_hooks";
import { type Catga, catga, command, entity, event, query, unwrap, workflow } from "@catga/catga";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const PEOPLE = ["ann", "bob", "cat", "dan", "eve"];
const user = new AsyncLocalStorage<string>();

describe("the async context of handlers over NATS", await requireNatsServer(), () => {
  it("is its sender's in the sender's process, and none elsewhere", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    const Remote = query<string>("Remote");
    const Told = event<string>("Told");
    const Stored = event<string>("Stored", { durable: true, key: () => "one" });
    const Order = workflow<string>("Order", { id: (who) => who });
    const Paid = Order.signal<string>("Paid");
    const Cart = entity("Cart", { initial: () => ({ n: 0 }) });
    const Added = Cart.event("Added", ({ n }) => ({ n: n + 1 }));
    const Add = command<{ id: string; who: string }>("Add", { key: ({ id }) => id, route: "local-first" });
    const own: (readonly [string, string | undefined])[] = [];
    const none: (readonly [string, string | undefined])[] = [];
    const note = (who: string) => void none.push([who, user.getStore()]);
    await using _other = await catga({
      nats: server.url,
      id: "other",
      logger: quiet,
      handlers: [Remote.handle(note), Told.on(note)],
    });
    const handlers = [
      Stored.on(note, { name: "notes" }),
      Stored.on(note, { name: "model", each: "node", from: "start" }),
      Order.handle(async (flow, who) => {
        note(who);
        await flow.wait(Paid);
        await flow.step("step", () => note(who));
      }),
      Cart.handle(Add, (cart, { who }) => {
        own.push([who, user.getStore()]);
        cart.emit(Added);
      }),
    ];
    let opening: Promise<Catga> | undefined;
    const open = () => opening ??= catga({ nats: server.url, id: "own", logger: quiet, handlers });
    await Promise.all(PEOPLE.map((who) =>
      user.run(who, async () => {
        const app = await open();
        for (let n = 0; n < 5; n++) unwrap(await app.send(Add, { id: "1", who }));
        unwrap(await app.publish(Stored, who));
        unwrap(await app.publish(Told, who));
        unwrap(await app.start(Order, who));
        for (const run of PEOPLE) await app.tell(Paid, run, who); // some runs are not started yet, or have ended
        unwrap(await app.send(Remote, who));
      })
    ));
    await using app = await open();
    for (const who of PEOPLE) await app.tell(Paid, who, "again");
    for (const who of PEOPLE) unwrap(await app.result(Order, who));
    await eventually("all is handled", () => Promise.resolve(none.length >= 6 * PEOPLE.length));
    assertEquals(own.length, 5 * PEOPLE.length);
    assertEquals(own.filter(([who, as]) => as !== who), []);
    assertEquals(none.filter(([, as]) => as !== undefined), []);
  });
});
