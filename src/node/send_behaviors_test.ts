import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { Attachment, Behavior, OutgoingMessage, SendBehavior } from "../contract/declaration/behavior.ts";
import { catga, type CatgaOptions } from "../catga.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import type { LogFields, Observation } from "../contract/nodes/observer.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { fail, unwrap } from "../contract/calls/result.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Inner = query<number, string>("Inner");
const Outer = command<number, string>("Outer");
const Told = event<number>("Told");

const inner = Inner.handle((n, ctx) => `${n} ${ctx.headers.by ?? "nobody"}`);
const outer = Outer.handle(async (n, ctx) => unwrap(await ctx.send(Inner, n + 1)));

/** Makes a behavior that wraps only sends, not handlers. */
function around(send: SendBehavior): Behavior {
  return Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { send });
}

describe("a behavior around sends", () => {
  it("wraps every send, also those of handlers and sendAll, and publish and broadcast", async () => {
    const told: OutgoingMessage[] = [];
    const heard = Promise.withResolvers<number>();
    await using app = await catga({
      id: "n",
      handlers: [inner, outer, Told.on((n) => heard.resolve(n))],
      behaviors: [around((message, next) => (told.push(message), next()))],
    });
    assertEquals(await app.send(Inner, 1), { ok: true, value: "1 nobody" });
    assertEquals(await app.send(Outer, 2, { timeout: 9_000 }), { ok: true, value: "3 nobody" });
    assertEquals((await app.sendAll(Inner, [4])).map(({ value }) => value), ["4 nobody"]);
    assertEquals(await app.publish(Told, 5), { ok: true, value: undefined });
    assertEquals(await heard.promise, 5);
    assertEquals(await app.broadcast(Inner, 6), [{ node: "n", result: { ok: true, value: "6 nobody" } }]);
    assertEquals(
      told.map(({ method, contract, payload, options, ctx, node }) => [
        method,
        contract.name,
        payload,
        options,
        ctx?.id !== undefined,
        node,
      ]),
      [
        ["send", "Inner", 1, {}, false, "n"],
        ["send", "Outer", 2, { timeout: 9_000 }, false, "n"],
        ["send", "Inner", 3, {}, true, "n"],
        ["send", "Inner", 4, {}, false, "n"],
        ["publish", "Told", 5, {}, false, "n"],
        ["broadcast", "Inner", 6, {}, false, "n"],
      ],
    );
  });

  it("sends an idempotent command again under the same id", async () => {
    const Pay = command<number, number>("Pay", { idempotent: true });
    const ids: string[] = [];
    await using app = await catga({
      handlers: Pay.handle((cents, ctx) => (ids.push(ctx.id), cents)),
      behaviors: [around(async (_, next) => {
        await next();
        return await next();
      })],
    });
    assertEquals((await app.send(Pay, 420)).value, 420);
    assertEquals(ids.length, 1);
    assertEquals((await app.send(Pay, 420)).value, 420);
    assertEquals(new Set(ids).size, 2);
    const [{ node, result }] = await app.broadcast(Pay, 7);
    assertEquals([result.value, ids.length, ids[2].endsWith(`@${node}`)], [7, 3, true]);
  });

  it("rejects for headers that are none (those of an instance of Headers were left out, an array's taken by its indices)", async () => {
    for (
      const [wrong, got] of [[new Headers({ by: "web" }), "an instance of Headers"], [["by"], "an array"], [5, "5"]]
    ) {
      const behaviors = [around((_, next) => next(wrong as never))];
      await using app = await catga({ handlers: [inner, Told.on(() => {})], behaviors });
      const message = (what: string) => `${what}: headers must be an object of strings; got ${got}`;
      await assertRejects(() => app.send(Inner, 1), TypeError, message("send Inner"));
      await assertRejects(() => app.publish(Told, 1), TypeError, message("publish Told"));
    }
  });

  it("adds headers, which replace those of the sender and of behaviors outside of it", async () => {
    await using app = await catga({
      handlers: inner,
      behaviors: [around((_, next) => next({ by: "first" })), around((_, next) => next({ by: "second" }))],
    });
    assertEquals((await app.send(Inner, 1, { headers: { by: "sender" } })).value, "1 second");
  });

  it("may change the result, and may not send at all", async () => {
    let runs = 0;
    await using app = await catga({
      id: "n",
      handlers: [Inner.handle(() => `${++runs}`), Told.on(() => void ++runs)],
      behaviors: [around(() => fail("NO", "not today"))],
    });
    assertEquals((await app.send(Inner, 1)).error?.code, "NO");
    assertEquals((await app.publish(Told, 1)).error?.code, "NO");
    assertEquals((await app.broadcast(Inner, 1)).map(({ node, result }) => [node, result.error?.code]), [["n", "NO"]]);
    assertEquals(runs, 0);
  });

  it("may send again", async () => {
    let runs = 0;
    const Flaky = query<void, number>("Flaky");
    await using app = await catga({
      handlers: Flaky.handle(() => ++runs < 3 ? fail("AGAIN", "again") : runs),
      behaviors: [around(async (_, next) => {
        let result = await next();
        while (!result.ok) result = await next();
        return result;
      })],
    });
    assertEquals(await app.send(Flaky), { ok: true, value: 3 });
  });

  it("is not called for misuse that is found at once, and passes on misuse that is found later", async () => {
    const Keyed = query<number, number>("Keyed", { route: "hash" } as never);
    let asked = 0;
    await using app = await catga({ behaviors: [around((_, next) => (asked++, next()))] });
    // @ts-expect-error: a send has no option `speed`
    assertThrows(() => app.send(Inner, 1, { speed: 3 }), TypeError, "unknown option speed");
    // @ts-expect-error: `send` takes no event
    assertThrows(() => app.send(Told, 1), TypeError, "got event Told");
    assertEquals(asked, 0);
    await assertRejects(() => app.send(Keyed, 1), TypeError, "needs a key");
  });

  it("that returns no result, or throws, makes the send reject", async () => {
    const bug = new Error("bug");
    const wrong = [around(() => undefined as never), around(() => Promise.reject(bug))];
    for (const [at, behavior] of wrong.entries()) {
      await using app = await catga({ handlers: inner, behaviors: [behavior] });
      const error = await assertRejects(() => app.send(Inner, 1));
      if (at === 1) assertStrictEquals(error, bug);
      else {assertEquals(
          String(error),
          "TypeError: a behavior around send Inner must return a result, what next() gives or fail(…); got undefined",
        );}
    }
  });

  it("that only a handler has is not called for what the app sends", async () => {
    const never = around(() => fail("NO", "no"));
    await using app = await catga({ handlers: Inner.handle((n) => `${n}`, { behaviors: [never] }) });
    assertEquals(await app.send(Inner, 1), { ok: true, value: "1" });
  });

  it("is not in flight besides what it sends; a drain waits until it ends", async () => {
    const [asked, noted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const seen: number[] = [];
    const app = await catga({
      handlers: Inner.handle(async () => {
        await asked.promise;
        return "";
      }),
      behaviors: [around(async (_, next) => {
        const result = await next();
        seen.push(app.health().inFlight);
        await noted.promise;
        return result;
      })],
    });
    const sent = app.send(Inner, 1);
    seen.push(app.health().inFlight);
    asked.resolve();
    const drained = app.drain();
    setTimeout(noted.resolve, 20);
    assertEquals(await sent, { ok: true, value: "" });
    await drained;
    assertEquals(seen, [1, 0]);
  });

  it("that is not a function is refused by catga()", async () => {
    const behavior = Object.assign(() => fail("NO", "no"), { send: "yes" }) as unknown as Behavior;
    await assertRejects(
      () => catga({ behaviors: [behavior] }),
      TypeError,
      'behaviors[0].send must be a function; got "yes"',
    );
  });
});

describe("a behavior that is attached", () => {
  it("gets the app once, before that is a node, also when only handlers have the behavior; and is detached at its end", async () => {
    const notes: string[] = [];
    const attach: Behavior["attach"] = (app) => {
      notes.push(`attached to ${app.self.id}, ${app.health().status}`);
      return { detach: () => void notes.push("detached") };
    };
    const behavior: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { attach });
    const handlers = [
      Inner.handle(() => "", { behaviors: [behavior] }),
      Outer.handle(() => "", { behaviors: [behavior] }),
    ];
    const app = await catga({ id: "n", network: new MemoryNetwork(), handlers });
    assertEquals(notes, ["attached to n, ready"]);
    await app.drain();
    assertEquals(notes, ["attached to n, ready", "detached"]);
  });

  it("gets the observations that are logged: what a handler threw, and nodes that join", async () => {
    const seen: Observation[] = [];
    const network = new MemoryNetwork();
    const behaviors = [listening({ observe: (observation) => seen.push(observation) })];
    const handlers = Inner.handle(() => {
      throw new Error("bug");
    });
    await using app = await catga({ id: "n", network, handlers, behaviors, logger: QUIET });
    await app.send(Inner, 1);
    await using _other = await catga({ id: "other", network });
    assertEquals(seen.map(({ type }) => type), ["node", "handler-failed", "node"]);
  });

  it("that throws in observe is logged, and has no other effect", async () => {
    const logged: [string, LogFields][] = [];
    const wrong = () => {
      throw new Error("bug");
    };
    const options: CatgaOptions = {
      id: "n",
      network: new MemoryNetwork(),
      handlers: inner,
      behaviors: [listening({ observe: wrong, detach: wrong })],
      logger: { ...QUIET, error: (message, fields) => logged.push([message, fields]) },
    };
    const app = await catga(options);
    assertEquals((await app.send(Inner, 1)).ok, true);
    await app.drain();
    const texts = [...new Set(logged.map(([message]) => message))];
    assertEquals(texts, ["catga n: telling a behavior what happened failed", "catga n: detaching a behavior failed"]);
    assert(logged.every(([, { error }]) => String(error) === "Error: bug"));
  });

  it("that throws in attach ends the start, and those before it are detached", async () => {
    let detached = 0;
    const behaviors = [
      listening({ detach: () => void detached++ }),
      Object.assign(pass, { attach: () => Promise.reject(new Error("no exporter")) }),
    ];
    await assertRejects(() => catga({ behaviors }), Error, "no exporter");
    assertEquals(detached, 1);
  });
});

const pass: Behavior = (_, next) => next();

function listening(attachment: Attachment): Behavior {
  return Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { attach: () => attachment });
}
