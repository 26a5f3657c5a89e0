/**
 * Tests of nodes with several versions of a program side by side: a payload that one version's schema refuses may be
 * accepted by another.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Catga, catga, command, event, type NodeInfo, query, type Schema, stream } from "../../mod.ts";
import { MemoryNetwork, testCluster } from "../testing/mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";

const v1 = {
  Sell: command("Sell", {
    input: z.object({ seat: z.string(), buyer: z.string() }),
    output: z.object({ by: z.enum(["web"]) }),
  }),
};
const v2 = {
  Sell: command("Sell", {
    input: z.object({ seat: z.string(), holder: z.string() }),
    output: z.object({ by: z.enum(["web", "kiosk"]) }),
  }),
};

/** Resolves when these apps see each other, and know each other's shapes. */
function sees(...apps: Catga[]): Promise<boolean> {
  return eventually("all to see each other and their shapes", () =>
    apps.every((app) => {
      const nodes = app.nodes();
      return nodes.length === apps.length &&
        nodes.every((node) => node.handles.length === 0 || node.shapes !== undefined);
    }));
}

/** Returns a payload for an event: in the form of the old version for even numbers, of the new one for odd numbers. */
function fits(n: number): { seat: string } {
  return (n % 2 === 0 ? { seat: "A1" } : { place: "A1" }) as { seat: string };
}

describe("nodes of two versions beside each other", () => {
  it("a request goes to a node whose schema takes it, whichever version sends it", async () => {
    const network = new MemoryNetwork();
    const on = { network, logger: QUIET };
    await using old = await catga({ ...on, id: "old", handlers: v1.Sell.handle(() => ({ by: "web" as const })) });
    await using now = await catga({ ...on, id: "new", handlers: v2.Sell.handle(() => ({ by: "kiosk" as const })) });
    await using oldWeb = await catga({ ...on, id: "oldweb" });
    await using newWeb = await catga({ ...on, id: "newweb" });
    await sees(old, now, oldWeb, newWeb);
    for (let n = 0; n < 20; n++) {
      assertEquals(await oldWeb.send(v1.Sell, { seat: "A1", buyer: "ada" }), { ok: true, value: { by: "web" } });
      assertEquals(await newWeb.send(v2.Sell, { seat: "A1", holder: "ada" }), { ok: true, value: { by: "kiosk" } });
      // a node that has a handler of the contract itself gets the same answers as the nodes without one
      assertEquals((await old.send(v1.Sell, { seat: "A1", buyer: "ada" })).value, { by: "web" });
      assertEquals((await now.send(v2.Sell, { seat: "A1", holder: "ada" })).value, { by: "kiosk" });
    }
  });

  it("are an alarm at their sender: contract, field, and who refuses what; it ends with the last of one version", async () => {
    const network = new MemoryNetwork();
    const on = { network, logger: QUIET };
    await using old = await catga({ ...on, id: "shop-1", handlers: v1.Sell.handle(() => ({ by: "web" as const })) });
    const now = await catga({ ...on, id: "shop-2", handlers: v2.Sell.handle(() => ({ by: "web" as const })) });
    await using web = await catga({ ...on, id: "web-1", service: "web" });
    await sees(old, now, web);
    assertEquals(web.health().alarms, []);
    await web.send(v1.Sell, { seat: "A1", buyer: "ada" });
    const alarm = await eventually("an alarm", () => web.health().alarms[0]);
    assertEquals([alarm.kind, alarm.about, alarm.severity], ["schema-mismatch", "Sell", "warning"]);
    assertMatch(alarm.message, /what web-1 sends, .*shop-2 would refuse: holder: required by the reader, not written/);
    assertMatch(alarm.message, /what .*shop-2 would answer, web-1 would refuse: by: "kiosk" is not among/);
    await now.drain();
    await eventually("its end", () => web.health().alarms.length === 0);
  });

  it("an answer that the sender could not read is avoided: nodes of its own version come first", async () => {
    const input = z.object({ seat: z.string() });
    const Old = command("Sell", { input, output: z.object({ by: z.enum(["web"]) }) });
    const New = command("Sell", { input, output: z.object({ by: z.enum(["web", "kiosk"]) }) });
    const network = new MemoryNetwork();
    const on = { network, logger: QUIET };
    await using old = await catga({ ...on, id: "old", handlers: Old.handle(() => ({ by: "web" as const })) });
    await using now = await catga({ ...on, id: "new", handlers: New.handle(() => ({ by: "kiosk" as const })) });
    await using web = await catga({ ...on, id: "web" });
    await sees(old, now, web);
    // before the node `web` knows the shapes of both other nodes, it may choose a node whose answer it cannot read
    await eventually("20 answers in a row that it can read", async () => {
      for (let n = 0; n < 20; n++) if (!(await web.send(Old, { seat: "A1" })).ok) return false;
      return true;
    });
  });

  it("a payload that every version refuses fails at once, and each of them was asked once", async () => {
    const network = new MemoryNetwork();
    const asked: string[] = [];
    const picky = (name: string): Schema<{ n: number }> => ({
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => {
          asked.push(name);
          return { issues: [{ message: "no" }] };
        },
      },
    });
    // validators without JSON Schemas, so that their shapes are unknown
    const nodes = ["a", "b", "c"].map((id) =>
      catga({ network, id, logger: QUIET, handlers: command("Pick", { input: picky(id) }).handle(() => {}) })
    );
    const apps = await Promise.all(nodes);
    await using web = await catga({ network, logger: QUIET });
    await sees(...apps, web);
    const { error } = await web.send(command<{ n: number }>("Pick"), { n: 1 }, { retries: 0 });
    assertEquals([error?.code, asked.sort()], ["INVALID_MESSAGE", ["a", "b", "c"]]);
    for (const app of apps) await app.drain();
  });

  it("what a schema throws, and what a handler passes on, is no refusal: it has one attempt", async () => {
    const network = new MemoryNetwork();
    let runs = 0;
    const throwing: Schema<{ n: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => {
          runs++;
          throw new Error("broken");
        },
      },
    };
    const Inner = command("Inner", { input: z.object({ n: z.number() }), version: 2 });
    const Outer = command<{ n: number }>("Outer");
    const handlers = (id: string) => [
      command("Throw", { input: throwing, version: id === "a" ? 1 : 2 }).handle(() => {}),
      Inner.handle(() => {}),
      Outer.handle(async ({ n }, ctx) => {
        runs++;
        // cast: plain JavaScript may send a payload of the wrong type
        const result = await ctx.send(command<{ n: unknown }>("Inner"), { n: `${n}` });
        return result.ok ? undefined : result;
      }),
    ];
    await using a = await catga({ network, id: "a", logger: QUIET, handlers: handlers("a") });
    await using b = await catga({ network, id: "b", logger: QUIET, handlers: handlers("b") });
    await using web = await catga({ network, logger: QUIET });
    await sees(a, b, web);
    const thrown = await web.send(command<{ n: number }>("Throw"), { n: 1 });
    assertEquals([thrown.error?.code, runs], ["INVALID_MESSAGE", 1]);
    runs = 0;
    const passedOn = await web.send(Outer, { n: 1 });
    assertEquals([passedOn.error?.code, runs], ["INVALID_MESSAGE", 1]);
  });

  it("a send to one node, and each part of a broadcast, ends where it was refused", async () => {
    const network = new MemoryNetwork();
    const on = { network, logger: QUIET };
    await using old = await catga({ ...on, id: "old", handlers: v1.Sell.handle(() => ({ by: "web" as const })) });
    await using now = await catga({ ...on, id: "new", handlers: v2.Sell.handle(() => ({ by: "web" as const })) });
    await using web = await catga({ ...on, id: "web" });
    await sees(old, now, web);
    const payload = { seat: "A1", buyer: "ada" };
    const result = await web.send(v1.Sell, payload, { node: "new" });
    assertEquals(result.error?.code, "INVALID_MESSAGE");
    const results = await web.broadcast(v1.Sell, payload);
    assertEquals(results.map(({ node, result }) => [node, result.ok]).sort(), [["new", false], ["old", true]]);
  });

  it("a plain NATS client is answered whichever node gets its request (about half were INVALID_MESSAGE)", async () => {
    const network = new MemoryNetwork();
    const on = { network, namespace: "plain", logger: QUIET };
    await using old = await catga({ ...on, id: "old", handlers: v1.Sell.handle(() => ({ by: "web" as const })) });
    await using now = await catga({ ...on, id: "new", handlers: v2.Sell.handle(() => ({ by: "kiosk" as const })) });
    await sees(old, now);
    const client = network.connect({ name: "client" });
    const ask = (n: number, body: object) =>
      new Promise((resolve) => {
        const reply = `_INBOX.${n}`;
        const subscription = client.subscribe(reply, {}, ({ data }) => {
          subscription.close();
          resolve(JSON.parse(new TextDecoder().decode(data)));
        });
        client.publish("catga.plain.call.Sell", JSON.stringify(body), { reply });
      });
    for (let n = 0; n < 60; n += 3) {
      assertEquals(await ask(n, { seat: "A1", buyer: "ada" }), { by: "web" });
      assertEquals(await ask(n + 1, { seat: "A1", holder: "ada" }), { by: "kiosk" });
      const { code } = await ask(n + 2, { seat: "A1" }) as { code: string };
      assertEquals(code, "INVALID_MESSAGE");
    }
    await client.close();
  });

  it("a stream is read from a node whose schema takes its input", async () => {
    const Old = stream("Seats", { input: z.object({ row: z.string() }), items: z.string() });
    const New = stream("Seats", { input: z.object({ line: z.string() }), items: z.string() });
    const network = new MemoryNetwork();
    const on = { network, logger: QUIET };
    await using old = await catga({ ...on, id: "old", handlers: Old.handle(({ row }) => [`${row}1`, `${row}2`]) });
    await using now = await catga({ ...on, id: "new", handlers: New.handle(({ line }) => [`${line}9`]) });
    await using web = await catga({ ...on, id: "web" });
    await sees(old, now, web);
    for (let n = 0; n < 10; n++) {
      assertEquals(await Array.fromAsync(web.stream(Old, { row: "A" }, { route: "round-robin" })), ["A1", "A2"]);
      assertEquals(await Array.fromAsync(web.stream(New, { line: "A" }, { route: "random" })), ["A9"]);
    }
  });

  it("a plain NATS client reads a stream whichever node gets its request (about half were INVALID_MESSAGE)", async () => {
    const Old = stream("Seats", { input: z.object({ row: z.string() }), items: z.string() });
    const New = stream("Seats", { input: z.object({ line: z.string() }), items: z.object({ seat: z.string() }) });
    const network = new MemoryNetwork();
    const on = { network, namespace: "plain", logger: QUIET };
    await using old = await catga({ ...on, id: "old", handlers: Old.handle(({ row }) => [`${row}1`, `${row}2`]) });
    await using now = await catga({ ...on, id: "new", handlers: New.handle(({ line }) => [{ seat: `${line}9` }]) });
    await sees(old, now);
    const client = network.connect({ name: "client" });
    const read = (n: number, body: object) =>
      new Promise<unknown[]>((resolve) => {
        const reply = `_INBOX.${n}`;
        const items: unknown[] = [];
        const subscription = client.subscribe(reply, {}, ({ data, headers }) => {
          const text = new TextDecoder().decode(data);
          if (headers?.["Catga-End"] === undefined) return void items.push(JSON.parse(text));
          subscription.close();
          resolve(text === "" ? items : [...items, (JSON.parse(text) as { code: string }).code]);
        });
        client.publish("catga.plain.call.Seats", JSON.stringify(body), { reply });
      });
    for (let n = 0; n < 60; n += 3) {
      assertEquals(await read(n, { row: "A" }), ["A1", "A2"]);
      assertEquals(await read(n + 1, { line: "A" }), [{ seat: "A9" }]);
      assertEquals(await read(n + 2, { seat: "A1" }), ["INVALID_MESSAGE"]);
    }
    await client.close();
  });

  it("an event that is not durable goes to a node of the same service whose schema takes it, once", async () => {
    const network = new MemoryNetwork();
    const on = { network, logger: QUIET };
    const Old = event("Moved", { input: z.object({ seat: z.string(), n: z.number() }) });
    const New = event("Moved", { input: z.object({ place: z.string(), n: z.number() }) });
    const Other = event("Moved", { input: z.object({ row: z.string() }) });
    const heard: string[] = [];
    const each: string[] = [];
    const old = (id: string) =>
      catga({
        ...{ ...on, id, service: "mail" },
        handlers: [
          Old.on(({ n }, ctx) => void heard.push(`${id} ${n} ${ctx.headers.tenant} ${ctx.id.length > 0}`)),
          Old.on(({ n }) => void each.push(`${id} ${n}`), { each: "node" }),
        ],
      });
    await using a = await old("old-1");
    await using b = await old("old-2");
    await using now = await catga({
      ...{ ...on, id: "new", service: "mail" },
      handlers: [
        New.on(({ n }, ctx) => void heard.push(`new ${n} ${ctx.headers.tenant} ${ctx.id.length > 0}`)),
        New.on(({ n }) => void each.push(`new ${n}`), { each: "node" }),
      ],
    });
    await using stranger = await catga({
      ...{ ...on, id: "stranger", service: "search" },
      handlers: Other.on(() => void heard.push("stranger")),
    });
    await using web = await catga({ ...on, id: "web", service: "web" });
    await sees(a, b, now, stranger, web);
    const count = 60;
    for (let n = 0; n < count; n++) {
      const options = { headers: { tenant: "t1" } };
      assert((await web.publish(n % 2 === 0 ? Old : New as unknown as typeof Old, { ...fits(n), n }, options)).ok);
      if (n % 5 === 4) await eventually("its turn", () => heard.length === n + 1);
    }
    await eventually("each of them handled", () => heard.length === count);
    const numbers = heard.map((line) => Number(line.split(" ")[1])).sort((x, y) => x - y);
    assertEquals(numbers, Array.from({ length: count }, (_, n) => n));
    assertEquals(heard.filter((line) => !line.endsWith("t1 true")), []);
    assertEquals(heard.filter((line) => line.startsWith("new") !== (Number(line.split(" ")[1]) % 2 === 1)), []);
    // handlers that run on every node: on each node they got the 30 events that its schema accepts, once
    const byOld = (id: string) => each.filter((line) => line.startsWith(id)).length;
    await eventually("all of them", () => byOld("old-1") === 30 && byOld("old-2") === 30 && byOld("new") === 30);
  });

  it("an event that every version refuses is dropped and logged once, and forwarded to one version at most", async () => {
    const network = new MemoryNetwork();
    const asked: string[] = [];
    const faults: string[] = [];
    const logger = { ...QUIET, error: (line: string) => void (line.includes("Moved") && faults.push(line)) };
    const picky = (id: string): Schema<{ n: number }> => ({
      "~standard": {
        ...{ version: 1, vendor: "test" },
        validate: () => {
          asked.push(id);
          return { issues: [{ message: "no" }] };
        },
      },
    });
    const nodes = ["a", "b", "c"].map((id) =>
      catga({ network, id, service: "mail", logger, handlers: event("Moved", { input: picky(id) }).on(() => {}) })
    );
    const apps = await Promise.all(nodes);
    await using web = await catga({ network, logger: QUIET });
    await sees(...apps, web);
    assert((await web.publish(event<{ n: number }>("Moved"), { n: 1 })).ok);
    await eventually("the log of it", () => faults.length > 0);
    assertEquals([new Set(asked).size, asked.length, faults.length], [2, 2, 1]);
    for (const app of apps) await app.drain();
  });

  it("the next node by hash of the other shape has the messages of a key", async () => {
    const v1 = query("Who", { input: z.object({ a: z.string() }), ordered: true, key: () => "k" });
    const v2 = query("Who", { input: z.object({ b: z.string() }), ordered: true, key: () => "k" });
    const network = new MemoryNetwork();
    const seen = new Set<string>();
    const apps = await Promise.all(["a", "b", "c", "d"].map((id, i) =>
      catga({
        ...{ network, id, logger: QUIET },
        handlers: (i % 2 === 0 ? v1 as unknown as typeof v2 : v2).handle((_, ctx) => void seen.add(ctx.node)),
      })
    ));
    await using web = await catga({ network, logger: QUIET });
    await sees(...apps, web);
    for (let n = 0; n < 10; n++) assertEquals((await web.send(v1, { a: "1" })).ok, true);
    assertEquals(seen.size, 1);
    for (let n = 0; n < 10; n++) assertEquals((await web.send(v2, { b: "1" })).ok, true);
    assertEquals(seen.size, 2);
    for (const app of apps) await app.drain();
  });
});

describe("a command whose node dies, and that the other version refuses", () => {
  it("is OUTCOME_UNKNOWN: it may have run", async () => {
    const Old = command("Pay", { input: z.object({ card: z.string() }), idempotent: true });
    const New = command("Pay", { input: z.object({ token: z.string() }), idempotent: true });
    await using cluster = await testCluster(["old", "new", "web"], {
      logger: QUIET,
      node: (id) => ({
        handlers: id === "old"
          ? Old.handle(() => new Promise(() => cluster.kill("old")))
          : id === "new"
          ? New.handle(() => {})
          : [],
      }),
    });
    const { error } = await cluster.app("web").send(Old, { card: "1" });
    assertEquals([error?.code, error?.node], ["OUTCOME_UNKNOWN", "old"]);
  });
});

describe("nodes of one version", () => {
  it("pay at most 3 % for that: the hash in a node's record, at 100 contracts", async () => {
    const network = new MemoryNetwork();
    const handlers = Array.from(
      { length: 100 },
      (_, n) => command(`orders.Place${n}`, { input: z.object({ seat: z.string() }) }).handle(() => {}),
    );
    await using app = await catga({ network, id: "shop-a1b2c3d4", service: "shop", logger: QUIET, handlers });
    const { shapes, ...without } = await eventually(
      "its shapes",
      () => app.nodes().find(({ shapes }) => shapes),
    ) as NodeInfo;
    const [before, after] = [without, { ...without, shapes }].map((record) => JSON.stringify(record).length);
    console.log(`a record of 100 contracts: ${before} bytes, ${after} with the hash of their shapes`);
    assert(after <= 1.03 * before, `${before} bytes, ${after} with the hash`);
  });

  it("announce one hash, and a node without schemas announces none", async () => {
    const network = new MemoryNetwork();
    const handlers = v1.Sell.handle(() => ({ by: "web" as const }));
    await using a = await catga({ network, id: "a", logger: QUIET, handlers });
    await using b = await catga({ network, id: "b", logger: QUIET, handlers });
    await using plain = await catga({ network, id: "p", logger: QUIET, handlers: command("Plain").handle(() => {}) });
    await eventually("both to announce their shapes", () => plain.nodes().filter(({ shapes }) => shapes).length === 2);
    const [one, two, three] = plain.nodes().map(({ shapes }) => shapes);
    assertEquals([one, three], [two, undefined]);
    assertEquals([a, b].map((app) => app.nodes().length), [3, 3]);
  });
});
