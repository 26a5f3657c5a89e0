/**
 * Tests of a sender whose contract differs from the handler's contract of the same name: the handler's contract
 * decides.
 */
import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { type Catga, catga, command, event, type Handlers, query, type Result } from "../../mod.ts";
import { codeOf, type Job, job, JobHandler } from "../../test/support/jobs.ts";
import { openStage } from "../../test/support/stage.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { MemoryNetwork } from "../testing/mod.ts";

/** A way to send to the handler: the sender, and the clock of its network. */
interface Way {
  readonly clock: VirtualClock;
  readonly sender: Catga;
  close(): Promise<unknown>;
}

/**
 * By description: starts the handler's node, and a sender in the same process, in the same node of a cluster, or on
 * another node.
 */
const WAYS: Record<string, (handlers: Handlers) => Promise<Way>> = {
  "in one process": async (handlers) => {
    const sender = await catga({ handlers });
    return { clock: new VirtualClock(), sender, close: () => sender.drain() };
  },
  "in the handler's node of a cluster": async (handlers) => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const [sender, other] = await clock.until(
      Promise.all([catga({ network, handlers }), catga({ network, handlers: [] })]),
    );
    return { clock, sender, close: () => clock.until(Promise.all([sender.drain(), other.drain()])) };
  },
  "in another node": async (handlers) => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const [handler, sender] = await clock.until(
      Promise.all([catga({ network, handlers }), catga({ network })]),
    );
    return { clock, sender, close: () => clock.until(Promise.all([sender.drain(), handler.drain()])) };
  },
};

const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;

for (const [where, open] of Object.entries(WAYS)) {
  describe(`a sender with another contract of the handler's name, ${where}`, () => {
    it("of another kind: the message is refused with INVALID_MESSAGE, and does not run", async () => {
      const ran: string[] = [];
      const { clock, sender, close } = await open([
        command("Pay").handle(() => void ran.push("Pay")),
        query("Look").handle(() => void ran.push("Look")),
        event("Paid").on(() => void ran.push("Paid")),
      ]);
      const sent = [
        sender.send(query("Pay")),
        sender.send(command("Look")),
        sender.send(command("Paid")),
        sender.send(query("Paid"), undefined, { node: sender.self.id }),
      ];
      const results = await clock.until(Promise.all(sent));
      const last = where === "in another node" ? "NO_HANDLER" : "INVALID_MESSAGE"; // it handles nothing
      assertEquals(results.map(code), ["INVALID_MESSAGE", "INVALID_MESSAGE", "INVALID_MESSAGE", last]);
      assertStringIncludes(results[0].error!.message, "query Pay did not run");
      assertStringIncludes(results[0].error!.message, "handles a command of this name");
      assertStringIncludes(results[2].error!.message, "handles an event of this name");
      const answers = await clock.until(sender.broadcast(event("Pay")));
      assertEquals(answers.map(({ result }) => code(result)), ["INVALID_MESSAGE"]);
      await clock.until(sender.publish(event("Pay")));
      assertEquals(ran, []);
      assertEquals((await clock.until(sender.send(command("Pay")))).ok, true); // this contract has the handler's kind
      assertEquals(ran, ["Pay"]);
      await close();
    });

    it("without `ordered`, or with another key: one message of the handler's key runs at a time", async () => {
      const jobs = new JobHandler();
      const Ordered = command<Job, string>("Ordered", { ordered: true, key: ({ key }) => key });
      const { clock, sender, close } = await open(Ordered.handle(jobs.handle));
      const plain = command<Job, string>("Ordered");
      const other = command<Job, string>("Ordered", { route: "hash", key: ({ n }) => `${n}` });
      const sent = [
        sender.send(plain, job("a1")),
        sender.send(other, job("a2")),
        sender.send(plain, job("b1")),
        sender.send(plain, job("b2"), { key: "a" }), // the sender's key decides
      ];
      const turn = () => where === "in one process" ? new Promise((done) => setTimeout(done, 0)) : clock.advance(10);
      await turn();
      assertEquals(jobs.begun, ["a1", "b1"]);
      for (const id of ["a1", "a2", "b2", "b1"]) {
        jobs.end(id);
        await turn();
      }
      assertEquals(jobs.begun, ["a1", "b1", "a2", "b2"]);
      assertEquals(
        (await clock.until(Promise.all(sent))).map(codeOf),
        ["a1", "a2", "b1", "b2"].map((it) => `done ${it}`),
      );
      await close();
    });

    it("without a key for an ordered contract that has no key function: INVALID_MESSAGE", async () => {
      const ran: number[] = [];
      const Keyless = command<number, void>("Keyless", { ordered: true } as never);
      const { clock, sender, close } = await open(Keyless.handle((n) => void ran.push(n)));
      const plain = command<number, void>("Keyless");
      const sent = [sender.send(plain, 1), sender.send(plain, 2, { key: "a" }), sender.send(Keyless, 3, { key: "a" })];
      const results = await clock.until(Promise.all(sent));
      assertEquals(results.map(code), ["INVALID_MESSAGE", undefined, undefined]);
      assertStringIncludes(results[0].error!.message, "is ordered, and its sender gave no key");
      assertEquals(ran, [2, 3]);
      await close();
    });

    it("with another schema, or none: the handler gets what its own contract's schema makes of the payload", async () => {
      const double: Schema<number, number> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) =>
            typeof value === "number" ? { value: value * 2 } : { issues: [{ message: "no number", path: [] }] },
        },
      };
      const small: Schema<number, number> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) =>
            (value as number) < 10 ? { value: value as number } : { issues: [{ message: "too large" }] },
        },
      };
      const seen: unknown[] = [];
      const { clock, sender, close } = await open([
        command("Doubled", { input: double }).handle((n) => void seen.push(n)),
        command<number>("Plain").handle((n) => void seen.push(n)),
      ]);
      const sent = [
        sender.send(command<unknown>("Doubled"), 1),
        sender.send(command("Doubled", { input: small }), 2),
        sender.send(command("Doubled", { input: double }), 3),
        sender.send(command<unknown>("Doubled"), "4"),
        sender.send(command("Doubled", { input: small }), 50),
        sender.send(command("Plain", { input: small }), 60),
      ];
      const results = await clock.until(Promise.all(sent));
      const bad = "INVALID_MESSAGE";
      assertEquals(results.map(code), [undefined, undefined, undefined, bad, bad, bad]);
      assertEquals(seen, [2, 4, 6]);
      await close();
    });
  });
}

describe("nodes with handlers of different kinds under one name", () => {
  it("get the messages of their kind; a node whose record does not say gets both", async () => {
    await using stage = await openStage({ handles: ["Pay"] }); // this node's record does not name the kinds
    const { app, other, network, clock } = stage;
    other.answerWith(() => "earlier");
    assertEquals(code(await clock.until(app.send(query("Pay"), undefined, { node: "other" }))), "earlier");
    const [a, b] = await clock.until(Promise.all([
      catga({ network, id: "a", handlers: command<void, string>("Pay").handle(() => "a") }),
      catga({ network, id: "b", handlers: query<void, string>("Pay").handle(() => "b") }),
    ]));
    const sent = async (contract: Parameters<Catga["send"]>[0]) => {
      const results = await clock.until(Promise.all(Array.from({ length: 4 }, () => app.send(contract))));
      return [...new Set(results.map(code))].sort();
    };
    assertEquals(await sent(command("Pay")), ["a", "earlier"]);
    assertEquals(await sent(query("Pay")), ["b", "earlier"]);
    assertEquals(code(await clock.until(app.send(query("Pay"), undefined, { node: "a" }))), "INVALID_MESSAGE");
    await clock.until(Promise.all([a.drain(), b.drain()]));
  });
});
