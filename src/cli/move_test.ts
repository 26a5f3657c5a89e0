/** A program that grows up from a file to NATS, and comes back: all goes on, also after a break at each step. */
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  type Catga,
  catga,
  CatgaError,
  type CatgaOptions,
  command,
  entity,
  event,
  unwrap,
  workflow,
} from "../../mod.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { eventually } from "../../test/support/eventually.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { takeForCopy } from "../file/copied_rows.ts";
import { systemDriver } from "../file/driver.ts";
import { openNats } from "../nats/open.ts";
import { JetStream } from "../nats/stream/jetstream.ts";
import { systemClock } from "../ports/clock.ts";
import { moveFile, resumesCopy } from "./cluster/copying.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const Paid = event<{ i: number }>("Paid", { durable: true, key: ({ i }) => `${i % 3}` });
const Broken = event<{ i: number }>("Broken", { durable: true });
const Remind = command<{ text: string }, void>("Remind", { durable: true });
const Charge = command<number, number>("Charge", { idempotent: true });
const Trip = workflow<string, string>("Trip", { id: (id) => id });
const Cart = entity("Cart", { initial: () => ({ items: 0 }) });
const Added = Cart.event<{ n: number }>("Added", (cart, { n }) => ({ items: cart.items + n }));
const Add = command<{ cart: string; n: number }, number>("Add", { key: ({ cart }) => cart });

/** Records which handlers of a program have run, and on what. */
interface Done {
  readonly paid: number[];
  readonly reminded: string[];
  readonly steps: string[];
  charges: number;
  isMended: boolean;
}

const none = (): Done => ({ paid: [], reminded: [], steps: [], charges: 0, isMended: false });

async function start(done: Done, place: Pick<CatgaOptions, "file" | "nats" | "namespace">): Promise<Catga> {
  return await catga({
    ...{ ...place, service: "shop", logger: quiet },
    handlers: [
      Paid.on(({ i }) => void done.paid.push(i), { name: "billing" }),
      Broken.on(({ i }) => {
        if (!done.isMended) throw new Error("the printer");
        done.paid.push(i);
      }, { name: "printing", retry: { attempts: 1 } }),
      Remind.handle(({ text }) => void done.reminded.push(text)),
      Charge.handle((cents) => cents + ++done.charges),
      Trip.handle(async (flow, id) => {
        await flow.step("book", () => void done.steps.push(`book ${id}`));
        if (id !== "ended") await flow.sleep("pause", id === "short" ? 1_500 : 86_400_000);
        return await flow.step("fly", () => {
          done.steps.push(`fly ${id}`);
          return id;
        });
      }),
      Cart.handle(Add, (cart, { n }) => {
        cart.emit(Added, { n });
        return cart.state.items;
      }),
    ],
  });
}

/** Does something of each kind, and ends. */
async function live(done: Done, file: string, namespace = "default"): Promise<void> {
  const app = await start(done, { file: { path: file, durability: "process" }, namespace });
  for (let i = 0; i < 20; i++) unwrap(await app.publish(Paid, { i }));
  unwrap(await app.publish(Broken, { i: 100 }));
  for (let n = 1; n <= 3; n++) unwrap(await app.send(Add, { cart: "c", n }));
  assertEquals(unwrap(await app.send(Charge, 10, { id: "order-7" })), 11);
  for (const id of ["ended", "short", "long"]) unwrap(await app.start(Trip, id));
  assertEquals(unwrap(await app.result(Trip, "ended", { timeout: 60_000 })), "ended");
  unwrap(await app.enqueue(Remind, { text: "later" }, { delay: 86_400_000, id: "later" }));
  unwrap(await app.enqueue(Remind, { text: "soon" }, { delay: 1_500, id: "soon" }));
  await eventually("all events", () => done.paid.length === 20);
  await eventually("the dead letter", async () => (await Array.fromAsync(app.deadLetters())).length === 1);
  await eventually("the steps", () => done.steps.filter((step) => step.startsWith("book")).length === 3);
  await app.drain();
  // nobody has read this one yet
  const publisher = await catga({
    file: { path: file, durability: "process" },
    service: "other",
    logger: quiet,
    namespace,
  });
  unwrap(await publisher.publish(Paid, { i: 20 }));
  await publisher.drain();
}

/** Everything that was under way goes on: once, and no more. */
async function goesOn(done: Done, app: Catga): Promise<void> {
  await eventually("the event that nobody had read", () => done.paid.includes(20));
  assertEquals(unwrap(await app.send(Charge, 10, { id: "order-7" })), 11);
  assertEquals(unwrap(await app.send(Add, { cart: "c", n: 4 })), 10);
  assertEquals(unwrap(await app.result(Trip, "short", { timeout: 120_000 })), "short");
  await eventually("the schedule", () => done.reminded.includes("soon"));
  const [letter] = await Array.fromAsync(app.deadLetters());
  done.isMended = true;
  await letter.replay();
  await eventually("the dead letter", () => done.paid.includes(100));
  const runs = await Array.fromAsync(app.runs());
  assertEquals(runs.map(({ id, status }) => `${id} ${status}`).sort(), ["ended done", "long waiting", "short done"]);
  unwrap(await app.publish(Paid, { i: 21 }));
  await eventually("an event afterwards", () => done.paid.includes(21));
  assertEquals(done, {
    paid: [20, 100, 21],
    reminded: ["soon"],
    steps: ["fly short"],
    charges: 0,
    isMended: true,
  });
}

describe("catga move and catga pull", await requireNatsServer(), () => {
  let server: NatsServer;
  let folder: string;
  let file: string;
  before(async () => void (server = await startNatsServer()));
  after(() => server?.stop());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "catga-move-"));
    file = join(folder, "shop.db");
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("a file becomes a namespace, in which all goes on; pulled into a file, too", { timeout: 300_000 }, async () => {
    await live(none(), file);
    const other = join(folder, "shop-2.db");
    await copyFile(file, other);
    const moved = await cliHere(["move", file, server.url, "--namespace", "default"]);
    assertEquals(moved.code, 0, moved.err);
    assertStringIncludes(moved.out, "catga_default_entities");
    const refused = await assertRejects(() => start(none(), { file }), CatgaError);
    assertStringIncludes(refused.message, `moved to ${server.url}`);
    const again = await cliHere(["move", other, server.url]);
    assertEquals(again.code, 1);
    assertStringIncludes(again.err, "already: give another --namespace");
    const pulled = await cliHere(["pull", server.url, join(folder, "copy.db")]);
    assertEquals(pulled.code, 0, pulled.err);
    const done = none();
    const nodes = await start(done, { nats: server.url });
    await goesOn(done, nodes);
    await nodes.drain();
    const ofCopy = none();
    const copy = await start(ofCopy, { file: join(folder, "copy.db") });
    await goesOn(ofCopy, copy);
    await copy.drain();
    assertEquals((await cliHere(["file", "check", "--file", join(folder, "copy.db")])).code, 0);
  });

  it("is repeated after a break at each step", { timeout: 300_000 }, async () => {
    await live(none(), file, "broken");
    const steps: string[] = [];
    let ends = 0;
    for (let broken = 0;; broken++) {
      const nats = await openNats(server.url, {
        ...{ name: "test", transport: undefined, passive: true },
        onError() {},
        onForbidden() {},
        onNotice() {},
      });
      const namespace = "broken";
      const copy = await takeForCopy(file, {
        ...{ driver: systemDriver, clock: systemClock },
        resumes: (file) => resumesCopy(file, namespace),
      });
      let count = 0;
      const moved = await moveFile({
        ...{ file: copy, nats, namespace, replicas: 1, address: server.url },
        onStep(step) {
          steps.push(step);
          if (count++ === broken) throw new Error("a break");
        },
      }).catch((error) => {
        assertEquals(error.message, "a break");
        return undefined;
      });
      copy[Symbol.dispose]();
      await nats.transport.close();
      if (moved === undefined) continue;
      ends = broken;
      assert(moved.every(({ count }) => count > 0));
      break;
    }
    assert(ends >= 8, steps.join());
    const done = none();
    const app = await start(done, { nats: server.url, namespace: "broken" });
    await goesOn(done, app);
    await app.drain();
  });

  it(
    "does not mark the file if the copy lacks a message, and says which stream differs",
    { timeout: 300_000 },
    async () => {
      await live(none(), file, "torn");
      const nats = await openNats(server.url, {
        ...{ name: "test", transport: undefined, passive: true },
        onError() {},
        onForbidden() {},
        onNotice() {},
      });
      const job = { driver: systemDriver, clock: systemClock, resumes: () => false };
      const copy = await takeForCopy(file, job);
      const stream = "catga_torn_log";
      const lost = copy.read(stream, 0)[3].sequence;
      const error = await assertRejects(() =>
        moveFile({
          ...{ file: copy, nats, namespace: "torn", replicas: 1, address: server.url },
          async onStep(step) {
            if (step === "copied results") assert(await new JetStream(nats.transport).erase(stream, lost, 10_000));
          },
        }), CatgaError);
      copy[Symbol.dispose]();
      await nats.transport.close();
      assertStringIncludes(error.message, `the copy of ${stream} differs at the message ${lost}`);
      // the program goes on with its file
      await (await start(none(), { file, namespace: "torn" })).drain();
    },
  );
});
