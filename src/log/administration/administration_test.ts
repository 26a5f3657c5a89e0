/** Tests of the operators' view of the log: on apps in memory, whose time the test moves. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { before, describe, it } from "node:test";
import { type Catga, catga, command, type DeadLetter, entity, event, fail, unwrap } from "../../../mod.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { MemoryNetwork, testCluster, VirtualClock } from "../../testing/mod.ts";

const Paid = event<{ order: string; n: number }>("Paid", { durable: true, key: ({ order }) => order });
const Noted = event<undefined>("Noted", { durable: true });
const Note = command<{ to: string }, void>("Note", { durable: true });
const Mail = command<{ to: string }, string>("Mail", { durable: true, idempotent: true });

/** Two services on virtual time. `broken`: names of the handlers that fail. */
function shop() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 3 });
  const [handled, broken]: [string[], Set<string>] = [[], new Set()];
  const retry = { attempts: 2, delay: [100, 100] as const };
  const billing = Paid.on(({ order, n }) => {
    if (broken.has(`${order}${n}`)) return fail("BROKE", `the printer, ${order}${n}`);
    handled.push(`${order}${n}`);
  }, { name: "billing", retry });
  const mail = Mail.handle(({ to }) => {
    if (broken.has(to)) return fail("NO_SUCH_BOX", to, { final: true });
    handled.push(to);
    return `sent to ${to}`;
  }, { retry });
  const until = <T>(promise: Promise<T>) => clock.until(promise, 600_000);
  const start = (id: string, service: string, handlers?: typeof billing | typeof mail) =>
    until(catga({ network, id, service, ...(handlers === undefined ? {} : { handlers }) }));
  return { clock, network, handled, broken, billing, mail, until, start };
}

async function lettersOf(app: Catga, { until }: ReturnType<typeof shop>, options = {}): Promise<DeadLetter[]> {
  const all: DeadLetter[] = [];
  const letters = app.deadLetters(options);
  for (let next = await until(letters.next()); !next.done; next = await until(letters.next())) all.push(next.value);
  return all;
}

/** Waits until the subscription has `dead` dead letters and `retrying` waiting messages, and has read the whole log. */
async function settled(app: Catga, world: ReturnType<typeof shop>, dead: number, retrying: number): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const infos = await world.until(app.subscriptions());
    if (infos.some((info) => info.dead === dead && info.retrying === retrying && info.lag === 0)) return;
    await world.clock.advance(100);
  }
  throw new Error(
    `never ${dead} dead and ${retrying} waiting: ${JSON.stringify(await world.until(app.subscriptions()))}`,
  );
}

describe("administration", () => {
  // these files are loaded before the tests: loading takes real time, for which virtual time does not wait
  before(async () => void await Promise.all([import("../log.ts"), import("../running/worker.ts")]));

  it("a dead letter holds its key; replay and discard let those behind it go on in order, from a node without handlers", async () => {
    for (const verb of ["replay", "discard"] as const) {
      const world = shop();
      const { clock, handled, broken, until } = world;
      const worker = await world.start("w1", "shop", world.billing);
      const other = await world.start("o1", "desk");
      broken.add("a1");
      for (const n of [1, 2, 3]) for (const order of ["a", "b"]) await until(other.publish(Paid, { order, n }));
      await settled(other, world, 1, 2);
      assertEquals([...handled], ["b1", "b2", "b3"]);
      const [letter, ...others] = await lettersOf(other, world);
      assertEquals(others, []);
      assertEquals(
        [
          letter.service,
          letter.subscription,
          letter.contract,
          letter.key,
          letter.payload,
          letter.attempts,
          letter.heldBehind,
        ],
        ["shop", "billing", "Paid", "a", { order: "a", n: 1 }, 2, 2],
      );
      const { cause, ...error } = letter.error;
      assertEquals(error, { code: "BROKE", message: "the printer, a1" });
      assertStringIncludes(cause!, "BROKE: the printer, a1");
      assertEquals(await lettersOf(other, world, { subscription: "x" }), []);
      broken.clear();
      await until(letter[verb]());
      await settled(other, world, 0, 0);
      assertEquals(handled.slice(3), verb === "replay" ? ["a1", "a2", "a3"] : ["a2", "a3"]);
      const [info] = await until(other.subscriptions());
      assertEquals([info.service, info.name, info.contracts, info.leader, info.abandoned, info.oldest], [
        ...["shop", "billing"],
        ["Paid"],
        ...["w1", false, 0],
      ]);
      await assertRejects(() => until(letter.replay()), Error, "is no dead letter any more");
      await until(letter.discard()); // the discard does nothing, because the letter is gone already
      await until(Promise.all([worker.drain(), other.drain()]));
      await clock.advance(0);
    }
  });

  it("replay of an idempotent queued command runs it again, though its final failure was recorded", async () => {
    const world = shop();
    const { broken, handled, until } = world;
    const worker = await world.start("w1", "post", world.mail);
    broken.add("ada");
    assertEquals((await until(worker.enqueue(Mail, { to: "ada" }, { id: "m1" }))).ok, true);
    await settled(worker, world, 1, 0);
    const [letter] = await lettersOf(worker, world);
    assertEquals([letter.id, letter.contract, letter.error.code], ["m1", "Mail", "NO_SUCH_BOX"]);
    broken.clear();
    await until(letter.replay());
    await settled(worker, world, 0, 0);
    assertEquals(handled, ["ada"]);
    const sent = await until(worker.send(Mail, { to: "ada" }, { id: "m1" }));
    assert(sent.ok);
    assertEquals([sent.value, handled], ["sent to ada", ["ada"]]);
    await until(worker.drain());
  });

  it("a queued command is rewound by its contract's name", async () => {
    const world = shop();
    const { until, handled, clock } = world;
    const other = await world.start("d1", "desk");
    const note = Note.handle(({ to }) => void handled.push(to));
    const worker = await until(catga({ network: world.network, id: "w1", service: "shop", handlers: note }));
    await until(other.enqueue(Note, { to: "ada" }));
    for (let i = 0; i < 600 && handled.length < 1; i++) await clock.advance(100);
    await until(other.rewind("Note", "start"));
    for (let i = 0; i < 600 && handled.length < 2; i++) await clock.advance(100);
    assertEquals(handled, ["ada", "ada"]);
    const error = await assertRejects(() => until(other.rewind("Notes", "start")), TypeError);
    assertEquals(error.message, "there is no subscription desk/Notes; there are @/Note");
    await until(Promise.all([worker.drain(), other.drain()]));
  });

  it("rewind: handlers of events of the log and of entities that share a name go back together, but to a position", async () => {
    const Cart = entity("Cart", { initial: () => 0 });
    const Added = Cart.event<undefined>("Added", (count) => count + 1);
    const Add = command<string>("Add", { key: (id) => id });
    let handled: string[] = [];
    const note = (text: string) => () => void handled.push(text);
    await using cluster = await testCluster(1, {
      handlers: [
        Cart.handle(Add, (cart) => cart.emit(Added, undefined)),
        Noted.on(note("noted"), { name: "report", from: "start" }),
        Added.on(note("added"), { name: "report", from: "start" }),
      ],
      logger: QUIET,
    });
    const [app] = cluster.apps;
    for (let n = 0; n < 2; n++) {
      unwrap(await app.publish(Noted, undefined));
      unwrap(await app.send(Add, "c"));
    }
    await cluster.handled();
    const rewound = async (name: string, to: "start" | number | Date) => {
      handled = [];
      await app.rewind(name, to);
      await cluster.handled();
      return handled.toSorted().join(" ");
    };
    assertEquals(await rewound("report", "start"), "added added noted noted");
    assertEquals(await rewound("report", new Date(0)), "added added noted noted");
    assertEquals(await rewound("report", 0), "noted noted");
    assertEquals(await rewound("report:entities", "start"), "added added");
  });

  it("a subscription whose nodes are gone is abandoned, with what it has not read; rewind names those that exist", async () => {
    const world = shop();
    const { until, handled, clock } = world;
    const first = await world.start("w1", "shop", world.billing);
    await until(first.publish(Paid, { order: "a", n: 1 }));
    await settled(first, world, 0, 0);
    await until(first.drain());
    const desk = await world.start("d1", "desk");
    await until(desk.publish(Paid, { order: "a", n: 2 }));
    await clock.advance(60_000);
    const [info] = await until(desk.subscriptions());
    assertEquals([info.lag > 0, info.abandoned, info.leader, info.contracts], [true, true, undefined, ["Paid"]]);
    assert(info.oldest >= 60_000, `${info.oldest}`);
    const error = await assertRejects(() => until(desk.rewind("billing", "start")), TypeError);
    assertEquals(error.message, "there is no subscription desk/billing; there are shop/billing");
    await assertRejects(() => until(first.rewind("billing", "start")), Error);
    const second = await world.start("w2", "shop", world.billing);
    await settled(desk, world, 0, 0);
    assertEquals(handled, ["a1", "a2"]);
    await until(second.rewind("billing", "start"));
    for (let i = 0; i < 600 && handled.length < 4; i++) await clock.advance(100);
    assertEquals(handled, ["a1", "a2", "a1", "a2"]);
    await until(Promise.all([second.drain(), desk.drain()]));
  });
});
