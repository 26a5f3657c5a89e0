import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { command, event, query } from "../contract/declaration/definition.ts";
import type { Code } from "../error.ts";
import { errorOf } from "../../test/support/error_of.ts";
import { localApp } from "../../test/support/local_app.ts";
import { counting, refusing } from "../../test/support/schemas.ts";
import { asResult } from "./outcome.ts";
import type { RemoteRequest } from "./remote.ts";

const Double = query<number, number>("Double");

/** Makes a request from this process, whose payload the sender's schema has not changed. */
function request(
  contract: RemoteRequest["contract"],
  payload: unknown,
  more: Partial<RemoteRequest> = {},
): RemoteRequest {
  const unset = { key: undefined, node: undefined, signal: undefined, meta: undefined, parent: undefined };
  return { contract, payload, parsed: payload, timeout: 100, retries: 0, route: "round-robin", ...unset, ...more };
}

describe("local", () => {
  it("a name without a handler is NO_HANDLER; one that is another kind here is INVALID_MESSAGE, and does not run", async () => {
    let ran = 0;
    const { inside } = localApp({ handlers: Double.handle(() => ran++) });
    const codeOf = async (sent: RemoteRequest) => errorOf(asResult(await inside.runner.local(sent, 1))).code;
    assertEquals(await codeOf(request(query("Unknown"), 1)), "NO_HANDLER");
    assertEquals([await codeOf(request(command("Double"), 1)), ran], ["INVALID_MESSAGE", 0]);
  });

  it("uses what the sender's schema made of the payload, unless the handler's contract is another of that name", async () => {
    const input = counting((text: string) => Number(text));
    const Parse = query<string, number, Code, number>("Parse", { input });
    const { inside } = localApp({ handlers: Parse.handle((n) => n + 1) });
    const sent = request(Parse, "1", { parsed: 10 });
    assertEquals([await inside.runner.local(sent, 1), input.runs], [{ ok: true, value: 11 }, 0]);
    const foreign = request(query("Parse"), "1", { parsed: 10 });
    assertEquals([await inside.runner.local(foreign, 1), input.runs], [{ ok: true, value: 2 }, 1]);
  });

  it("runs the handler when its message is admitted, and counts it as in hand until it has ended", async () => {
    const { inside } = localApp({ handlers: Double.handle((n) => n * 2) });
    const counts = inside.runner.counts.of(Double);
    const admitted = Promise.withResolvers<void>();
    const outcome = inside.runner.local(
      request(Double, 2, { admit: (_, run) => admitted.promise.then(() => run()) }),
      1,
    );
    assertEquals([counts.inHand, counts.handled], [1, 0]);
    admitted.resolve();
    assertEquals(await outcome, { ok: true, value: 4 });
    assertEquals([counts.inHand, counts.handled], [0, 1]);
  });

  it("a signal that is aborted already is CANCELLED at once, though the handler does not end", async () => {
    const Wait = command("Wait");
    const { inside } = localApp({ handlers: Wait.handle(() => new Promise(() => {})) });
    const outcome = await inside.runner.local(request(Wait, undefined, { signal: AbortSignal.abort() }), 1);
    assertEquals(errorOf(asResult(outcome)).code, "CANCELLED");
  });
});

describe("receive", () => {
  const envelope = {
    call: "there.1.1",
    id: "m1",
    attempt: 2,
    correlation: "m0",
    causation: "m0",
    ancestry: ["there.1.0"],
    headers: { tenant: "t" },
  };

  it("runs a request with its envelope, and returns no receipt for one without a handler", async () => {
    let told: unknown;
    const { inside } = localApp({
      handlers: Double.handle((n, ctx) => {
        const { id, correlationId, causationId, attempt, headers, node } = ctx;
        told = { id, correlationId, causationId, attempt, headers, node };
        return n * 2;
      }),
    });
    assertEquals(await inside.runner.receive("Double", 2, 100, envelope)?.result, { ok: true, value: 4 });
    const { id, attempt, headers } = envelope;
    assertEquals(told, { id, correlationId: "m0", causationId: "m0", attempt, headers, node: "here" });
    assertEquals(inside.runner.receive("Unknown", 2, 100, envelope), undefined);
  });

  it("parses the payload and checks the answer, but answers with the original: the sender parses it", async () => {
    const input = counting((text: string) => Number(text));
    const output = counting((n: number) => `${n}!`);
    const Parse = query("Parse", { input, output });
    const { inside } = localApp({ handlers: Parse.handle((n) => n + 1) });
    assertEquals(await inside.runner.receive("Parse", "41", 100, envelope)?.result, { ok: true, value: 42 });
    assertEquals([input.runs, output.runs], [1, 1]);
  });

  it("a payload or an answer that does not fit its schema is refused", async () => {
    const In = query("In", { input: refusing({ message: "no" }) });
    const Out = query("Out", { output: refusing({ message: "no" }) });
    let ran = 0;
    const { inside } = localApp({ handlers: [In.handle(() => void ran++), Out.handle(() => 1)] });
    const codes = await Promise.all(["In", "Out"].map(async (name) => {
      const result = await inside.runner.receive(name, 1, 100, envelope)!.result;
      return errorOf(asResult(result)).code;
    }));
    assertEquals([codes, ran], [["INVALID_MESSAGE", "INVALID_RESPONSE"], 0]);
  });

  it("an event's only handler has no value in a broadcast, as several handlers have none", async () => {
    // regression: the result of an event from another process once had the value that its only handler returned
    const Tick = event("Tick");
    const { inside } = localApp({ handlers: Tick.on(() => "dropped") });
    assertEquals(await inside.runner.receive("Tick", undefined, 100, envelope)?.result, { ok: true, value: undefined });
  });

  it("an event that another node of the service passed on has its service's handlers alone; without any it is NO_HANDLER", async () => {
    const [Tick, Tock] = [event("Tick"), event("Tock")];
    const ran: string[] = [];
    const handlers = [
      Tick.on(() => void ran.push("service")),
      Tick.on(() => void ran.push("node"), { each: "node" }),
      Tock.on(() => void ran.push("tock"), { each: "node" }),
    ];
    const { inside } = localApp({ handlers });
    const passed = { ...envelope, passedOn: true as const };
    assertEquals(asResult(await inside.runner.receive("Tick", undefined, 100, passed)!.result).ok, true);
    assertEquals(ran, ["service"]);
    const { error } = asResult(await inside.runner.receive("Tock", undefined, 100, passed)!.result);
    assertEquals([error?.code, ran.length], ["NO_HANDLER", 1]);
  });

  it("a request of an ordered contract has the sender's key, or that of its payload; without one it does not run", async () => {
    const keys: unknown[] = [];
    const Put = command<{ id: string }>("Put", { ordered: true, key: ({ id }) => id });
    const { inside } = localApp({ handlers: Put.handle(() => {}) });
    for (const key of [undefined, "theirs"]) {
      const receipt = inside.runner.receive("Put", { id: "own" }, 100, { ...envelope, key })!;
      assertStrictEquals(asResult(await receipt.result).ok, true);
      keys.push(receipt.ctx.execution.key);
    }
    assertEquals(keys, ["own", "theirs"]);
    const { error } = asResult(await inside.runner.receive("Put", {}, 100, envelope)!.result);
    assertEquals([error?.code, error?.node], ["INVALID_MESSAGE", "here"]);
  });
});

describe("deliver", () => {
  it("hands out the handlers of each service, or of every node; none runs before it begins", async () => {
    const Tick = event<string>("Tick");
    const ran: string[] = [];
    const on = (name: string, each?: "node") => Tick.on((text) => void ran.push(name + text), { each });
    const handlers = [on("a"), on("b", "node"), on("c"), Double.handle((n) => n)];
    const { inside } = localApp({ handlers });
    const envelope = () => inside.runner.envelope({ id: "t1" });
    for (const [each, expected] of [["service", ["a!", "c!"]], ["node", ["b!"]]] as const) {
      const begins: (() => { ctx: unknown; result: unknown })[] = [];
      inside.runner.deliver("Tick", "!", { envelope, each }, (begin) => begins.push(begin));
      assertEquals(ran, []);
      const receipts = begins.map((begin) => begin());
      await Promise.all(receipts.map(({ result }) => result));
      assertEquals(ran.splice(0), [...expected]);
      assertEquals(new Set(receipts.map(({ ctx }) => ctx)).size, expected.length);
    }
    assertEquals(inside.runner.counts.of(Tick).heard, 3);
  });

  it("hands out nothing for a name that is no event here", () => {
    const { inside } = localApp({ handlers: Double.handle((n) => n) });
    const envelope = () => inside.runner.envelope(undefined);
    let taken = 0;
    for (const name of ["Double", "Unknown"]) {
      inside.runner.deliver(name, 1, { envelope, each: "service" }, () => taken++);
    }
    assertEquals(taken, 0);
  });
});
