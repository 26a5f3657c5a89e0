/**
 * What compiles, arrives: each payload, every way, alone, in memory, and between Deno and Bun, with no difference but
 * identity.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import process from "node:process";
import { catga, command, event, query, stream, unwrap } from "../mod.ts";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { startProgram } from "./processes/node_process.ts";
import { eventually } from "./support/eventually.ts";
import { answering, PayloadWays } from "./support/payload_ways.ts";
import { PAYLOADS, UNSENDABLE } from "./support/payloads.ts";
import { MemoryNetwork } from "../src/testing/mod.ts";

const nats = await requireNatsServer();

describe(`${PAYLOADS.length} payloads, as payloads, answers, results, details, cached values, broadcasts and events`, () => {
  it("arrive in one process, and a payload is the sender's own object", async () => {
    const ways = new PayloadWays();
    await using app = await catga({ timeout: 60_000, handlers: [...answering(), ...ways.handlers] });
    assertEquals(await ways.differences(app), []);
    const payload = { at: new Date(0) };
    const Same = query<{ at: Date }, { at: Date }>("Same");
    await using alone = await catga({ handlers: Same.handle((given) => given) });
    assert(unwrap(await alone.send(Same, payload)) === payload);
  });

  it("arrive in a memory network", async () => {
    const ways = new PayloadWays();
    const options = { network: new MemoryNetwork(), timeout: 60_000 } as const;
    await using _other = await catga({ ...options, id: "other", service: "other", handlers: answering() });
    await using app = await catga({ ...options, id: "app", service: "app", handlers: ways.handlers });
    assertEquals(await ways.differences(app), []);
  });

  const other = process.versions.bun === undefined ? "bun" : "deno";
  it(`arrive over NATS in ${other}, and come back`, { ...nats, timeout: 120_000 }, async () => {
    await using server = await startNatsServer();
    await using program = await startProgram<{ event: string }>(other, "test/processes/payload_node.ts", [server.url]);
    await program.line(({ event }) => event === "up");
    const ways = new PayloadWays();
    const options = { id: "app", service: "app", timeout: 60_000 } as const;
    await using app = await catga({ nats: server.url, ...options, handlers: ways.handlers });
    await eventually("the app to see the other node", () => app.nodes().length === 2);
    assertEquals(await ways.differences(app), []);
  });
});

describe("what cannot be sent, from plain JavaScript", () => {
  const Take = command<unknown, void>("Take");
  const Once = command<unknown, void>("Once", { idempotent: true });
  const Told = event<unknown>("Told");
  const Give = query<number, unknown>("Give");

  it("is INVALID_MESSAGE with its path, before anything ran", async () => {
    let ran = 0;
    const count = () => void ran++;
    const network = new MemoryNetwork();
    const handlers = [Take.handle(count), Once.handle(count), Told.on(count)];
    await using _other = await catga({ network, id: "other", handlers });
    await using app = await catga({ network, id: "app" });
    await using replica = await catga({ network, id: "replica", handlers });
    for (const [name, make, path] of UNSENDABLE) {
      const sent = [
        await app.send(Take, make()),
        await app.send(Once, make()),
        await replica.send(Once, make()),
        await app.publish(Told, make()),
        ...(await replica.broadcast(Take, make())).map(({ result }) => result),
      ];
      assertEquals(sent.map(({ error }) => error?.code), Array(6).fill("INVALID_MESSAGE"), name);
      for (const { error } of sent) assertStringIncludes(error!.message, `payload${path} `);
    }
    assertEquals(ran, 0);
  });

  it("is INVALID_RESPONSE with its path as an answer, and reported by the node that gave it", async () => {
    const faults: string[] = [];
    const error = (_: string, fields: { error?: unknown }) => void faults.push(String(fields.error));
    const logger = { debug() {}, info() {}, warn() {}, error };
    const network = new MemoryNetwork();
    const handlers = Give.handle((index) => UNSENDABLE[index][1]());
    await using _other = await catga({ network, id: "other", handlers, logger });
    await using app = await catga({ network, id: "app" });
    for (const [index, [name, , path]] of UNSENDABLE.entries()) {
      const { error } = await app.send(Give, index);
      assertEquals(error?.code, "INVALID_RESPONSE", name);
      assertStringIncludes(error!.message, `the answer of Give cannot be sent: result${path} `);
      assert(!error!.message.includes("secret"));
    }
    assertEquals(faults.length, UNSENDABLE.length);
  });
});

describe("two replicas of a program with a Date in a contract, and no schema", () => {
  it("answer four times out of four", async () => {
    const Book = command<{ at: Date }, number>("Book");
    const network = new MemoryNetwork();
    const handlers = Book.handle(({ at }) => at.getUTCFullYear());
    await using first = await catga({ network, id: "first", handlers });
    await using second = await catga({ network, id: "second", handlers });
    await eventually("both to see both", () => [first, second].every((app) => app.nodes().length === 2));
    for (const app of [first, second]) {
      const years = await app.sendAll(Book, Array.from({ length: 4 }, () => ({ at: new Date(0) })));
      assertEquals(years.map(({ value }) => value), [1970, 1970, 1970, 1970]);
    }
  });
});

describe("a value of Temporal between a runtime that has it and one that has not", () => {
  it("is refused with its type, and what is sent beside it arrives", { ...nats, timeout: 120_000 }, async () => {
    await using server = await startNatsServer();
    const path = "test/processes/no_temporal_node.ts";
    await using program = await startProgram<{ event: string; text: string }>("deno", path, [server.url]);
    await program.line(({ event }) => event === "up");
    const When = query<unknown, string>("When");
    const Came = event<unknown>("Came");
    const Now = query<void, Temporal.Instant>("Now");
    const Days = stream<void, Temporal.PlainDate>("Days");
    const at = Temporal.Instant.fromEpochMilliseconds(0);
    const handlers = [
      Now.handle(() => at),
      Days.handle(async function* () {
        yield Temporal.PlainDate.from("2026-11-27");
      }),
    ];
    await using app = await catga({ nats: server.url, id: "app", service: "app", timeout: 60_000, handlers });
    await eventually("the app to see the other node", () => app.nodes().length === 2);
    const [refused, beside] = await app.sendAll(When, [{ at }, { at: new Date(0) }]);
    assertEquals(refused.error?.code, "INVALID_MESSAGE");
    assertStringIncludes(refused.error!.message, "Temporal.Instant, which this runtime does not have");
    assertEquals(unwrap(beside), "ran with object");
    assertEquals(unwrap(await app.send(query<void, string>("Ask"))), "INVALID_RESPONSE");
    assertEquals(unwrap(await app.send(query<void, string>("Read"))), "INVALID_RESPONSE");
    for (const payload of [{ at }, "plain"]) unwrap(await app.publish(Came, payload));
    const { text } = await program.line(({ event }) => event === "fault");
    assertStringIncludes(text, "the payload of Came cannot be read: it has a Temporal.Instant");
    assertEquals((await program.line(({ event }) => event === "came")).text, "string");
  });
});
