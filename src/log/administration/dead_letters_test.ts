import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import type { DeadLetter, DeadLetterOptions } from "../../contract/calls/durable_messages.ts";
import { decodeText } from "../../data/encoding.ts";
import { CatgaError } from "../../error.ts";
import { messageId } from "../format/commit.ts";
import { commitSubject, parkedSubject, requestSubject, subscriptionKey } from "../format/names.ts";
import { readRequest } from "../format/subscription_request.ts";
import { listDeadLetters } from "./dead_letters.ts";
import { type GivenParked, NAMESPACE, stored, subscriptionsStream } from "./stored_suite.ts";
import { storedSubscriptions } from "./stored_subscriptions.ts";

const KEY = subscriptionKey("shop", "billing");
const DEAD = 1_795_000_005_000;

async function setUp() {
  const { clock, kept: own, stream, put, append } = await subscriptionsStream();
  const reads: string[] = [];
  const kept = {
    ...own,
    network: { maxPayload: 1_048_576 },
    stream: {
      ...stream,
      subjects: stream.subjects.bind(stream),
      last: stream.last.bind(stream),
      append: stream.append.bind(stream),
      read: (...args: Parameters<typeof stream.read>) => {
        reads.push(args[0]);
        return stream.read(...args);
      },
    },
  };
  const until = <T>(promise: Promise<T>) => clock.until(promise);
  const listed = async (options: DeadLetterOptions = {}) =>
    listDeadLetters(kept, await until(storedSubscriptions(kept)), options);
  const list = async (options: DeadLetterOptions = {}) => await until(Array.fromAsync(await listed(options)));
  /** Returns the stored requests about dead letters, in order. */
  const requests = async () => {
    const messages = await until(stream.read(requestSubject(NAMESPACE, KEY, "*"), { from: 0 }));
    return messages.map(({ data }) => readRequest(new TextDecoder().decode(data)));
  };
  return { clock, until, put, append, listed, list, requests, reads };
}

const dead = (position: number, more: Partial<GivenParked> = {}) => ({ position, dead: DEAD, ...more });
const request = (kind: "replay" | "discard", position: number, dead = DEAD) => ({
  ...{ kind, dead },
  message: messageId({ position, time: stored(position) }),
});

describe("listDeadLetters", () => {
  it("lists what is dead, not what waits for an attempt, of the service and subscription that were asked for", async () => {
    const { put, list } = await setUp();
    await put("billing", [dead(1), { position: 2 }]);
    await put("mails", [dead(3)]);
    await put("billing", [dead(4)], { service: "desk" });
    const found = async (options: DeadLetterOptions) => (await list(options)).map(({ position }) => position);
    assertEquals(await found({}), [4, 1, 3]);
    assertEquals(await found({ service: "shop" }), [1, 3]);
    assertEquals(await found({ subscription: "billing" }), [4, 1]);
    assertEquals(await found({ service: "shop", subscription: "billing" }), [1]);
    assertEquals(await found({ service: "shop", subscription: "none" }), []);
  });

  it("a letter is what was published, and what became of it", async () => {
    const { put, list } = await setUp();
    await put("billing", [dead(7, { message: { key: "a" } })]);
    const [{ replay: _replay, discard: _discard, ...letter }]: DeadLetter[] = await list();
    assertEquals(letter, {
      id: "m7",
      service: "shop",
      subscription: "billing",
      contract: "Placed",
      key: "a",
      payload: 7,
      headers: { tenant: "t" },
      position: 7,
      error: { code: "BROKE", message: "no" },
      attempts: 3,
      stored: new Date(stored(7)),
      due: undefined,
      at: new Date(DEAD),
      heldBehind: 0,
      history: [],
    });
  });

  it("counts the messages of its key that wait behind it, in its subscription alone", async () => {
    const { put, list } = await setUp();
    const message = { key: "a" };
    const behind = [2, 5].map((position) => ({ position, message }));
    await put("billing", [dead(1, { message }), ...behind, dead(3, { message: { key: "b" } }), dead(4), dead(7)]);
    await put("mails", [{ position: 6, message }]);
    const found = (await list()).map(({ position, heldBehind }) => [position, heldBehind]);
    assertEquals(found, [[1, 2], [3, 0], [4, 0], [7, 0]]);
  });

  it("leaves out those that were handled before their subscription's turn, and those that cannot be read", async () => {
    const { until, put, append, listed } = await setUp();
    await put("billing", [dead(1), dead(2)]);
    await put("mails", [dead(3), dead(4)]);
    await append(parkedSubject(NAMESPACE, KEY, request("replay", 2).message), "garbage");
    const letters = await listed();
    assertEquals((await until(letters.next())).value?.position, 1);
    await put("mails", [dead(4)]);
    assertEquals((await until(letters.next())).value?.position, 4);
    assertEquals((await until(letters.next())).done, true);
  });
});

describe("a dead letter", () => {
  it("a replay is a request to its leader, stored once; a discard takes its place, and not the other way round", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    for (let i = 0; i < 2; i++) await until(letter.replay());
    assertEquals(await requests(), [request("replay", 1)]);
    for (let i = 0; i < 2; i++) await until(letter.discard());
    assertEquals(await requests(), [request("discard", 1)]);
    const error = await assertRejects(() => until(letter.replay()), CatgaError);
    assertEquals([error.code, error.final, error.retryable, error.message], [
      ...["CONFLICT", true, false] as const,
      "cannot replay position 1 of shop/billing: it is being discarded",
    ]);
  });

  it("a replay with another payload takes the place of one without, and stays when one without is asked for", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    await until(letter.replay());
    for (let i = 0; i < 2; i++) await until(letter.replay({ payload: { n: 8 } }));
    await until(letter.replay());
    assertEquals(await requests(), [{ ...request("replay", 1), payload: '{"n":8}' }]);
    await until(letter.replay({ payload: new Date(7) }));
    const [{ payload }] = await requests() as { payload: string }[];
    assertEquals(decodeText(payload), new Date(7));
    const error = await assertRejects(() => until(letter.replay({ payload: () => {} })), CatgaError);
    assertEquals(error.code, "INVALID_MESSAGE");
  });

  it("a replay with a payload that a publish could not have is TOO_LARGE (no node but the leader's was given it)", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    const error = await assertRejects(() => until(letter.replay({ payload: "x".repeat(1_032_158) })), CatgaError);
    assertEquals(error.code, "TOO_LARGE");
    assertStringIncludes(error.message, "its key and its headers it has 1032193 bytes; at most 1032192 fit");
    assertEquals(await requests(), []);
    await until(letter.replay({ payload: "x".repeat(1_032_157) }));
    assertEquals((await requests()).length, 1);
  });

  it("a replay takes a payload of quotes that a publish may have (its request had it as a text, of twice the size)", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    const payload = '"'.repeat(516_000);
    await until(letter.replay({ payload }));
    assertEquals(await requests(), [{ ...request("replay", 1), payload: JSON.stringify(payload) }]);
  });

  it("many that are replayed at once, or one after another, read their subscription once for each of its commits", async () => {
    const { until, put, list, requests, reads } = await setUp();
    const all = Array.from({ length: 300 }, (_, i) => dead(i + 1));
    await put("billing", all);
    const letters = await list();
    reads.length = 0;
    for (const letter of letters.slice(0, 100)) await until(letter.replay());
    await put("billing", all);
    await until(Promise.all(letters.slice(100).map((letter) => letter.replay())));
    assertEquals(reads.filter((subject) => subject === commitSubject(NAMESPACE, KEY)).length, 1);
    assertEquals((await requests()).length, 300);
  });

  it("that died again is replayed by another request; so is one whose request had no effect", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    await until(letter.replay());
    await put("billing", [dead(1, { dead: DEAD + 9 })]);
    await until(letter.replay());
    assertEquals(await requests(), [request("replay", 1), request("replay", 1, DEAD + 9)]);
    await put("billing", [dead(1, { dead: DEAD + 9 })], { requests: Number.MAX_SAFE_INTEGER });
    await until(letter.discard());
    assertEquals((await requests()).at(-1), request("discard", 1, DEAD + 9));
  });

  it("that is being tried again is replayed already, and cannot be discarded", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    await put("billing", [{ position: 1 }]);
    await until(letter.replay());
    const error = await assertRejects(() => until(letter.discard()), CatgaError);
    assertEquals([error.code, error.final], ["CONFLICT", true]);
    assertMatch(error.message, /it was replayed, and is being tried again/);
    assertEquals(await requests(), []);
  });

  it("that is gone is discarded already, and cannot be replayed", async () => {
    const { until, put, list, requests } = await setUp();
    await put("billing", [dead(1)]);
    const [letter] = await list();
    await put("billing");
    await until(letter.discard());
    for (const options of [{}, { payload: { n: 2 } }]) {
      const error = await assertRejects(() => until(letter.replay(options)), CatgaError);
      assertEquals([error.code, error.final], ["CONFLICT", true]);
      assertMatch(error.message, /is no dead letter any more: it was handled or discarded meanwhile/);
    }
    assertEquals(await requests(), []);
  });
});
