/** Tests of what the dashboard asks a cluster on a real server, and what it sends to a browser. */
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, command, entity, event, fail, unwrap } from "../../mod.ts";
import { cli } from "../cli/main.ts";
import { eventually } from "../../test/support/eventually.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { DashboardLooker } from "../../test/support/dashboard_looker.ts";

const Placed = event<{ text: string; bad: boolean }>("Placed", { durable: true });
const Cart = entity("Cart", { initial: () => ({ items: 0 }) });
const ItemAdded = Cart.event<{ sku: string }>("ItemAdded", ({ items }) => ({ items: items + 1 }));
const AddItem = command<{ cartId: string; sku: string }, number>("AddItem", { key: ({ cartId }) => cartId });
const HOSTILE = '<img src=x onerror="document.title=1">\x1b[2J\u202e';

describe("the dashboard of a cluster", await requireNatsServer(), () => {
  let server: NatsServer;
  let monitored: number;
  let app: Catga;
  let healed = false;
  const stop = new AbortController();
  let address = "";
  let ended: Promise<number> | undefined;

  before(async () => {
    [monitored] = await freePorts(1);
    server = await startNatsServer({ args: ["-m", `${monitored}`] });
    app = await catga({
      nats: server.url,
      id: "shop-1",
      service: "shop",
      logger: { ...console, error: () => {}, info: () => {} },
      handlers: [
        Placed.on(({ bad }) => bad && !healed ? fail(HOSTILE, HOSTILE, { final: true }) : undefined, {
          name: "billing",
        }),
        Cart.handle(AddItem, (cart, { sku }) => {
          cart.emit(ItemAdded, { sku });
          return cart.state.items;
        }),
      ],
    });
    ended = cli(["dashboard", "--port", "0", "--allow-changes", "--nats", server.url], {
      write: (text) => void (address += text),
      say: () => {},
      read: () => Promise.resolve(""),
      colors: false,
      environment: {},
      signal: stop.signal,
    });
    await eventually("its address", () => address !== "");
  });
  after(async () => {
    stop.abort();
    // `ended` is undefined if the server did not start: the test then fails with the error of `before`
    if (ended !== undefined) assertEquals(await ended, 0);
    await app?.drain();
    await server?.stop();
  });

  it("shows nodes, subscriptions, and a dead letter as text until it is replayed", async () => {
    const looker = await DashboardLooker.open(address.trim());
    const { topics } = looker;
    await eventually("the node", () => topics.nodes?.shown[0]?.ping !== undefined);
    assertEquals([topics.nodes!.shown[0].id, topics.nodes!.counts.live], ["shop-1", 1]);
    await app.publish(Placed, { text: HOSTILE, bad: true }, { id: HOSTILE.toWellFormed() });
    const letter = (await eventually("the letter", () => topics.letters?.shown[0]))!;
    assertEquals([letter.service, letter.subscription, letter.attempts], ["shop", "billing", 1]);
    const seen = '<img src=x onerror="document.title=1">\\u{1b}[2J\\u{202e}';
    assertEquals([letter.id, letter.code, letter.error], [seen, seen, seen]);
    await eventually("the event", () => topics.events?.shown.some(({ id, durable }) => id === seen && durable));
    await eventually("its subscription", () => topics.subscriptions?.shown[0]?.dead === 1);
    assertEquals(topics.subscriptions!.shown[0].leader, "shop-1");
    healed = true;
    assertEquals(await looker.change({ do: "replay", matching: { code: "OTHER" } }), { done: 0, failed: 0 });
    assertEquals(await looker.change({ do: "replay", matching: { code: seen } }), { done: 1, failed: 0 });
    await eventually("its end", () => topics.letters?.total === 0);
    assertEquals(topics.problems, []);
    looker.close();
  });

  it("shows who holds a lock and who waits for it, and a node that has gone", async () => {
    const other = await catga({ nats: server.url, id: "shop-2", service: "shop" });
    const looker = await DashboardLooker.open(address.trim());
    const { topics } = looker;
    const lock = await app.lock("order:42");
    const waiting = other.lock("order:42");
    await eventually("the waiter", () => topics.locks?.shown[0]?.waiting === 1);
    const { key, holder, waiters } = topics.locks!.shown[0];
    assertEquals([key, holder, waiters], ["order:42", "shop-1", ["shop-2"]]);
    await lock.release();
    await (await waiting).release();
    await eventually("both nodes", () => topics.nodes?.counts.live === 2);
    await other.drain();
    await eventually(
      "its end",
      () => topics.nodes?.shown.some(({ id, state }) => id === "shop-2" && state === "drained"),
    );
    looker.close();
  });

  it("shows an entity with its events, as text", async () => {
    const looker = await DashboardLooker.open(address.trim());
    unwrap(await app.send(AddItem, { cartId: "c-1", sku: HOSTILE }, { id: "first" }));
    const { version, events } = await looker.entity("Cart", "c-1");
    const [{ event, command, payload }] = events;
    assertEquals([version, event, command], [1, "Cart.ItemAdded", "AddItem first"]);
    assertEquals(JSON.parse(payload), { sku: HOSTILE });
    assertEquals(payload.includes("\x1b"), false);
    looker.close();
  });

  it("finds an event and an entity by their ids, and takes back what is scheduled", async () => {
    const looker = await DashboardLooker.open(address.trim());
    const payload = { text: "tea", bad: false };
    unwrap(await app.publish(Placed, payload, { id: "found" }));
    unwrap(await app.publish(Placed, payload, { id: "later", delay: 3_600_000 }));
    unwrap(await app.send(AddItem, { cartId: "c-2", sku: "tea" }));
    const hits = async (text: string) => (await looker.search(text)).hits.map(({ where, name }) => `${where} ${name}`);
    assertEquals(await hits("found"), ["event Placed"]);
    assertEquals(await hits("c-2"), ["entity Cart"]);
    const cancel = { do: "cancel", contract: "Placed", id: "later" };
    assertEquals(await looker.change(cancel), { done: 1, failed: 0 });
    const error = "nothing is scheduled under this id: it has fired, or never was";
    assertEquals(await looker.change(cancel), { done: 0, failed: 1, error });
    looker.close();
  });

  it("sends and receives nothing while nobody looks, and leaves no consumer behind", async () => {
    const own = async () => {
      const answer = await fetch(`http://127.0.0.1:${monitored}/connz?subs=1`);
      const { connections }: { connections: Connection[] } = await answer.json();
      const found = connections.find(({ name }) => name === "catga cli");
      assert(found !== undefined);
      return found;
    };
    const count = async () => {
      const { in_msgs, out_msgs } = await own();
      return in_msgs + out_msgs;
    };
    const busy = await count();
    const looker = await DashboardLooker.open(address.trim());
    await eventually("messages", async () => await count() > busy + 20);
    looker.close();
    // wait until the requests under way are answered, and no message has come for 2.5 s, which is longer than the pause
    // of most parts
    let [last, since] = [await count(), performance.now()];
    await eventually("silence", async () => {
      const now = await count();
      if (now !== last) [last, since] = [now, performance.now()];
      await wait(50);
      return performance.now() - since > 2_500;
    });
    const subscriptions = (await own()).subscriptions_list ?? [];
    assertEquals(subscriptions.filter((subject) => !subject.startsWith("_INBOX")), []);
    // the number does not grow with the number of visits: one subscription for answers to requests, one for each of
    // three streams that are read, and one for acknowledgements of replayed messages
    assertEquals(subscriptions.length <= 5, true, subscriptions.join(" "));
  });
});

interface Connection {
  readonly name?: string;
  readonly in_msgs: number;
  readonly out_msgs: number;
  readonly subscriptions_list?: readonly string[];
}
