import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { messageId } from "../format/commit.ts";
import { commitSubject, parkedSubject, requestSubject, subscriptionKey } from "../format/names.ts";
import { writeRequest } from "../format/subscription_request.ts";
import { appendTo, NAMESPACE, parkedState, putter, stored, subscriptionsStream } from "./stored_suite.ts";
import {
  inOrder,
  parkedLines,
  parkedMessage,
  requestedLetters,
  storedSubscription,
  storedSubscriptions,
} from "./stored_subscriptions.ts";

const KEY = subscriptionKey("shop", "billing");
const idOf = (position: number, time = stored(position)) => messageId({ position, time });

describe("storedSubscriptions", () => {
  it("are sorted by service and then by name, each with the sequence of its last commit", async () => {
    const { clock, kept, put } = await subscriptionsStream();
    const places = [["shop", "b"], ["@", "Mail"], ["shop", "a"], ["desk", "z"], ["shop", "B"]] as const;
    for (const [service, name] of places) await put(name, [], { service });
    const last = await put("a");
    const found = await clock.until(storedSubscriptions(kept));
    assertEquals(found.map(({ service, name }) => `${service}/${name}`), [
      "@/Mail",
      "desk/z",
      "shop/B",
      "shop/a",
      "shop/b",
    ]);
    assertEquals(found[3].sequence, last);
    assertEquals(found.map(({ key }) => key), found.map(({ service, name }) => subscriptionKey(service, name)));
  });

  it("leaves out those of which nothing can be read, and other subjects", async () => {
    const { clock, kept, put, append } = await subscriptionsStream();
    await put("d");
    await append(commitSubject(NAMESPACE, "shop.c"), "garbage");
    await append(commitSubject(NAMESPACE, "shop.a.b"), "garbage");
    await append(parkedSubject(NAMESPACE, "shop.e", "1-1"), "garbage");
    assertEquals((await clock.until(storedSubscriptions(kept))).map(({ key }) => key), ["shop.d"]);
  });

  it("returns what is known already while no commit follows", async () => {
    const { clock, kept, put } = await subscriptionsStream();
    await put("a");
    await put("b");
    const known = await clock.until(storedSubscriptions(kept));
    await put("b");
    const again = await clock.until(storedSubscriptions(kept, new Map(known.map((each) => [each.key, each]))));
    assertEquals([again[0] === known[0], again[1] === known[1]], [true, false]);
  });
});

describe("storedSubscription", () => {
  it("is what its commits say together: the last full one, and the changes behind it", async () => {
    const { clock, kept, put } = await subscriptionsStream();
    const base = await put("billing", [{ position: 1 }, { position: 2 }]);
    await put("billing", [{ position: 1 }, { position: 2 }], { base });
    await put("billing", [{ position: 3, dead: 9 }], { full: false, base, ended: [idOf(1)], token: 7 });
    const found = await clock.until(storedSubscription(kept, KEY));
    assertEquals([found?.state.head.token, found?.state.id], [7, ["t", 3]]);
    assertEquals(found && inOrder(found.state.parked), [
      [idOf(2), parkedState({ position: 2 })],
      [idOf(3), parkedState({ position: 3, dead: 9 })],
    ]);
  });

  it("passes over what cannot be read, and a commit that does not go on from the one before it", async () => {
    const { clock, kept, put, append } = await subscriptionsStream();
    await put("billing");
    await put("billing", [], { token: 2 });
    await put("billing", [], { token: 3, id: ["foreign", 9], prev: ["foreign", 8] });
    await append(commitSubject(NAMESPACE, KEY), "garbage");
    assertEquals((await clock.until(storedSubscription(kept, KEY)))?.state.head.token, 2);
  });

  it("is read again while the server that was asked lags behind; then the error says so", async () => {
    const { clock, kept, put, stream } = await subscriptionsStream();
    await put("billing");
    const last = await put("billing", [], { token: 2 });
    let reads = 0;
    const lagging = (times: number) => ({
      ...kept,
      stream: {
        ...stream,
        last: stream.last.bind(stream),
        read: async (...args: Parameters<typeof stream.read>) =>
          (await stream.read(...args)).filter(({ sequence }) => sequence < last || reads++ >= times),
      },
    });
    assertEquals((await clock.until(storedSubscription(lagging(3), KEY)))?.state.head.token, 2);
    reads = 0;
    const error = await assertRejects(() => clock.until(storedSubscription(lagging(Infinity), KEY)), CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
  });

  it("is read to its end on a slow link, although commits come faster than they are read", async () => {
    const { clock, kept, stream } = await subscriptionsStream();
    const put = putter((subject, text) => appendTo(stream, subject, text));
    await clock.until(put("billing"));
    let reads = 0;
    const slow: Pick<LogStream, "read" | "last"> = {
      last: (...args) => stream.last(...args),
      read: async (subject, options) => {
        if (++reads > 9) throw new Error("it reads on and on");
        await put("billing", [], { token: 1 + reads });
        return await stream.read(subject, { ...options, most: 1 });
      },
    };
    const found = await clock.until(storedSubscription({ ...kept, stream: slow as LogStream }, KEY));
    assertEquals([found?.state.head.token, reads], [1, 1]);
  });

  it("is none without a commit, or with a key that is none", async () => {
    const { clock, kept } = await subscriptionsStream();
    assertEquals(await clock.until(storedSubscription(kept, KEY)), undefined);
    assertEquals(await clock.until(storedSubscription(kept, "x")), undefined);
  });
});

describe("parked messages", () => {
  it("are in the order of the log, also where positions came again", () => {
    const states = [{ position: 5 }, { position: 3, epoch: 1 }, { position: 9 }, { position: 5, time: 1 }];
    const parked = new Map(states.map((each, i) => [`${i}`, parkedState(each)]));
    assertEquals(inOrder(parked).map(([id]) => id), ["3", "0", "2", "1"]);
  });

  it("each has its contract and key; those that no commit names, or that cannot be read, are left out", async () => {
    const { clock, kept, put, append } = await subscriptionsStream();
    const keyed = (position: number, key: string) => ({ position, message: { key } });
    await put("billing", [keyed(1, "a"), keyed(2, "a"), { position: 3 }, keyed(4, "b")]);
    await put("billing", [keyed(1, "a"), { position: 3 }, keyed(4, "b")]);
    await append(parkedSubject(NAMESPACE, KEY, idOf(4)), "garbage");
    const found = (await clock.until(storedSubscription(kept, KEY)))!;
    assertEquals([...await clock.until(parkedLines(kept, found))], [[idOf(1), "Placed/a"], [idOf(4), "Placed/b"]]);
    assertEquals((await clock.until(parkedMessage(kept, KEY, idOf(1))))?.message.payload, 1);
    assertEquals(await clock.until(parkedMessage(kept, KEY, idOf(4))), undefined);
    assertEquals(await clock.until(parkedMessage(kept, KEY, idOf(5))), undefined);
  });

  it("have requests that are not carried out: of dead letters, and for the time since which they are", async () => {
    const { clock, kept, put, append } = await subscriptionsStream();
    const ask = (kind: "replay" | "discard", position: number, dead: number) =>
      append(requestSubject(NAMESPACE, KEY, `${position}`), writeRequest({ kind, message: idOf(position), dead }));
    const done = await ask("discard", 4, 20);
    const parked = [{ position: 1, dead: 20 }, { position: 2, dead: 20 }, { position: 3 }, { position: 4, dead: 20 }];
    await put("billing", parked, { requests: done });
    await ask("replay", 1, 20);
    await ask("replay", 2, 19);
    await ask("discard", 3, 0);
    await append(requestSubject(NAMESPACE, KEY, "x"), "garbage");
    await append(requestSubject(NAMESPACE, KEY, "r"), writeRequest({ kind: "rewind", to: 0 }));
    const found = (await clock.until(storedSubscription(kept, KEY)))!;
    assertEquals([...await clock.until(requestedLetters(kept, found))], [[idOf(1), "replay"]]);
  });
});
