import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import type { Behavior } from "../contract/declaration/behavior.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { entity } from "../contract/declaration/entity.ts";
import type { Handlers } from "../contract/declaration/handler.ts";
import type { Result } from "../contract/calls/result.ts";
import { bucketStart } from "../data/latency_buckets.ts";
import { MessageContext } from "./message_context.ts";

const Pay = command<string>("Pay", { key: (id) => id });
const Ask = query<void, number>("Ask");
const Tick = event("Tick");
const Paid = event("Paid", { durable: true });
const Mail = command("Mail", { durable: true });
const Sum = entity("Sum", { initial: () => 0 });
const next: Behavior = (_, next) => next();

/** Returns the names of contracts, in order, as one text. */
const list = (contracts: readonly { name: string }[]) => contracts.map(({ name }) => name).join();

describe("Mediator", () => {
  it("lists contracts once and sorted, with the letter of their kind; an event with several handlers too", () => {
    const handlers = [Tick.on(() => {}), Pay.handle(() => {}), Tick.on(() => {}), Ask.handle(() => 1)];
    const { mediator } = localApp({ handlers });
    assertEquals([mediator.names.join(), mediator.kinds], ["Ask,Pay,Tick", "qce"]);
    assertEquals([list(mediator.requests), list(mediator.events.map(({ contract }) => contract))], ["Ask,Pay", "Tick"]);
  });

  it("a handler of a durable event is listed, and reached by messages of the log alone", () => {
    const { mediator } = localApp({ handlers: [Paid.on(() => {}), Mail.handle(() => {})] });
    assertEquals([mediator.names.join(), list(mediator.durable.map(({ contract }) => contract))], [
      "Mail,Paid",
      "Paid,Mail",
    ]);
    assertEquals([mediator.find("Paid"), mediator.find("Mail")?.contract.name], [undefined, "Mail"]);
  });

  it("a handler of the log is timed, one that returns at once and one that does not", async () => {
    const slow = Paid.on((_, ctx) => ctx.clock.sleep(100));
    const { mediator, inside, clock } = localApp({ handlers: [Mail.handle(() => {}), slow] });
    for (const { contract, run } of mediator.durable) {
      await clock.until(Promise.resolve(run(undefined, new MessageContext(inside, contract, 1_000, undefined))));
    }
    const [mail, paid] = ["Mail", "Paid"].map((name) => mediator.counts.find(name)!.toJSON().latency!);
    assertEquals(mail, [1]);
    assertEquals([bucketStart(paid.length - 1) <= 100, bucketStart(paid.length) > 100], [true, true]);
  });

  it("find: keeps handlers of each service apart from those of every node, in order", async () => {
    const ran: string[] = [];
    const on = (name: string, each?: "node") => Tick.on(() => void ran.push(name), { each });
    const { mediator, inside } = localApp({ handlers: [on("a"), on("b", "node"), on("c"), on("d", "node")] });
    const { runs, nodeRuns } = mediator.find("Tick")!;
    for (const each of [runs, nodeRuns]) {
      for (const run of each) await run(undefined, new MessageContext(inside, Tick, 1_000, undefined));
      ran.push("|");
    }
    assertEquals(ran.join(""), "ac|bd|");
    assertEquals(["Gone", "toString", ""].map((name) => mediator.find(name)), [undefined, undefined, undefined]);
  });

  it("has the handler itself only if nothing runs around it", () => {
    const own = (handlers: Handlers, behaviors: Behavior[] = []) =>
      localApp({ handlers, behaviors }).mediator.find("Pay")?.call !== undefined;
    const options = { key: (id: string) => id };
    assertEquals(own(Pay.handle(() => {})), true);
    const around = [
      own(Pay.handle(() => {}), [next]),
      own(Pay.handle(() => {}, { behaviors: [next] })),
      own(Pay.handle(() => {}, { concurrency: 1 })),
      own(command<string>("Pay", { ...options, ordered: true }).handle(() => {})),
      own(command<string>("Pay", { ...options, idempotent: true }).handle(() => {})),
    ];
    assertEquals(around, [false, false, false, false, false]);
  });

  it("serve: an internal contract is found and not listed; a handler of the same name comes first", async () => {
    const { mediator } = localApp({ handlers: Ask.handle(() => 1) });
    const served: Result<unknown> = { ok: true, value: "served" };
    mediator.serve(query("Control"), () => served);
    mediator.serve(Ask, () => served);
    const { runs, call } = mediator.find("Control")!;
    assertEquals([runs.length, call], [1, undefined]);
    assertStrictEquals(await runs[0](undefined, undefined as unknown as MessageContext), served);
    assertEquals([mediator.names.join(), list(mediator.requests)], ["Ask", "Ask"]);
    assertEquals(mediator.find("Ask")?.call !== undefined, true);
  });

  it("ofEntities: the commands that entities decide, and no others", () => {
    const handlers = [
      Ask.handle(() => 1),
      Sum.handle(Pay, () => {}),
      Sum.handle(command("Add", { key: () => "1" }), () => {}),
    ];
    const { mediator } = localApp({ handlers });
    assertEquals([mediator.ofEntities.join(), mediator.find("Ask")?.entity], ["Add,Pay", false]);
  });
});
