import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { sequenceOf } from "../../../test/support/appended.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { parkedSubject, requestSubject } from "../format/names.ts";
import { streamOptions } from "../format/streams.ts";
import { streamName } from "../format/stream_name.ts";
import { writeRequest } from "../format/subscription_request.ts";
import { leads } from "../../../test/support/commits.ts";
import type { CommitSteps, Request, RequestAnswer } from "./commits.ts";
import { Category, Item } from "./category.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";
import { SubscriptionStore } from "./store.ts";

const [NAMESPACE, KEY] = ["test", "shop.billing"];
const CATEGORY = new Category(
  { service: "shop", name: "billing" },
  "Placed",
  { ...DEFAULT_SETTINGS, attempts: 3, delay: [1, 1] },
  1_000,
);

function item(position: number, payload: unknown, parked = true): Item {
  const message: LoggedMessage = {
    ...{ position, category: "Placed", id: `m${position}`, key: undefined, payload, tagged: false, meta: undefined },
    time: position + 1,
  };
  const made = new Item(message, CATEGORY, 1, 0);
  if (parked) made.place = "parked";
  made.error = { code: "BROKE", message: "no" };
  return made;
}

/** Returns the key of a message in a limit. */
const FIRST = (payload: string) => payload[0];

async function setUp() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const { log } = network.connect();
  const options = streamOptions(NAMESPACE, "subscriptions", 1);
  const stream = await clock.until(log.open(streamName(NAMESPACE, "subscriptions"), options));
  const ending = new AbortController();
  const faults: string[] = [];
  const originals = new Map<number, LoggedMessage>();
  const store = new SubscriptionStore({
    ...{ stream, namespace: NAMESPACE, key: KEY, clock, signal: ending.signal },
    original: (message) => Promise.resolve(originals.get(message.position)),
    keyFunctions: () => [FIRST],
    fault: (error) => faults.push((error as Error).message),
  });
  /** Makes these requests to the store. Resolves with the answers. */
  const ask = (...requests: Request[]) =>
    clock.until(store.carryOut((function* (): CommitSteps<RequestAnswer[]> {
      const answers: RequestAnswer[] = [];
      for (const request of requests) answers.push(yield request);
      return answers;
    })()));
  return { clock, network, stream, store, ask, faults, ending, originals };
}

describe("SubscriptionStore", () => {
  it("appends a commit behind the last one only, and reads what is stored", async () => {
    const { ask } = await setUp();
    const [first] = await ask({ type: "commit", text: leads("a", 1), expect: 0 });
    assertEquals(first.type, "stored");
    const [second, last, all] = await ask(
      { type: "commit", text: leads("b", 2), expect: 0 },
      { type: "last" },
      { type: "commits", from: 0 },
    );
    assertEquals(second, { type: "not stored" });
    assertEquals(last, all);
    assertEquals(last.type === "commits" && last.commits.map(({ commit }) => typeof commit), ["object"]);
  });

  it("keeps causes out of memory, and loads them with the message: one that is stored again keeps its cause", async () => {
    const { clock, ask, store } = await setUp();
    const failed = item(1, "s");
    const error = failed.error = { code: "BROKE", message: "no", cause: `Error: ${"x".repeat(2_000)}` };
    await ask({ type: "entries", items: [failed] });
    assertEquals(failed.error, { code: "BROKE", message: "no" });
    const listed = await clock.until(store.listed(new Set([failed.id])));
    assertEquals(listed.found.get(failed.id)?.error, { code: "BROKE", message: "no" });
    await ask({ type: "entries", items: [failed] });
    assertEquals(await clock.until(store.load(failed)), "loaded");
    assertEquals(failed.error as unknown, error);
  });

  it("keeps the cause of a failure that comes while the one before is stored", async () => {
    const { clock, stream, ask, store } = await setUp();
    const failed = item(1, "s");
    failed.error = { code: "BROKE", message: "on a", cause: `Error: ${"x".repeat(2_000)}` };
    const later = { code: "BROKE", message: "on b", cause: "Error: y" };
    const append = stream.append.bind(stream);
    stream.append = async (...given) => {
      const appended = await append(...given);
      stream.append = append;
      failed.error = later;
      return appended;
    };
    await ask({ type: "entries", items: [failed] }, { type: "entries", items: [failed] });
    assertEquals(await clock.until(store.load(failed)), "loaded");
    assertEquals(failed.error, later);
  });

  it("lists what is parked, tells garbage from it, and keeps large payloads out of memory", async () => {
    const { clock, ask, store } = await setUp();
    const [small, large] = [item(1, "s"), item(2, "l".repeat(5_000))];
    await ask({ type: "entries", items: [small, large, item(3, "gone")] });
    assertEquals([small.loaded, large.loaded, large.message.payload], [true, false, undefined]);
    const { found, garbage } = await clock.until(store.listed(new Set([small.id, large.id, "9-9"])));
    assertEquals([...found].map(([id, { loaded, error }]) => [id, loaded, error?.code]), [
      ["1-2", true, "BROKE"],
      ["2-3", false, "BROKE"],
    ]);
    assertEquals(garbage, ["3-4"]);
    assertEquals(await clock.until(store.load(large)), "loaded");
    assertEquals([large.loaded, large.message.payload], [true, "l".repeat(5_000)]);
  });

  it("what is in hand keeps its payload, and a new error is stored with that of one that has none", async () => {
    const { clock, ask, store } = await setUp();
    const large = item(2, "l".repeat(5_000));
    for (const turn of ["begun", "ready"] as const) {
      large.turn = turn;
      await ask({ type: "entries", items: [large] });
      assertEquals(large.loaded, true, turn);
    }
    large.turn = "waits";
    await ask({ type: "entries", items: [large] });
    large.error = { code: "LATER", message: "no" };
    await ask({ type: "entries", items: [large] });
    const { found } = await clock.until(store.listed(new Set([large.id])));
    assertEquals([found.get(large.id)?.error?.code, large.loaded], ["LATER", false]);
    await clock.until(store.load(large));
    assertEquals(large.message.payload, "l".repeat(5_000));
  });

  it("does not put an old payload in the place of one that came while it was loaded", async () => {
    const { clock, ask, store } = await setUp();
    const large = item(2, "l".repeat(5_000));
    await ask({ type: "entries", items: [large] });
    const loads = [store.load(large), store.load(large)];
    loads[0].then(() => large.message = { ...large.message, payload: "edited" });
    assertEquals(await clock.until(Promise.all(loads)), ["loaded", "loaded"]);
    assertEquals(large.message.payload, "edited");
  });

  it("of a message that is too large stores what it is, and reads its payload from the log again", async () => {
    const { clock, ask, store, faults, originals } = await setUp();
    const huge = item(2, "h".repeat(1_048_576));
    const { attempts, message } = huge;
    await ask({ type: "entries", items: [huge] });
    assertEquals([huge.attempts, huge.error?.code], [attempts, "BROKE"]);
    assertEquals(faults, [
      "Placed m2 is too large to be put aside: only the log has its payload, until 1970-01-08T00:00:00.003Z. Raise the " +
      "server's max_payload",
    ]);
    assertEquals([huge.loaded, huge.message.payload], [false, undefined]);
    const { found } = await clock.until(store.listed(new Set([huge.id])));
    assertEquals(found.get(huge.id)?.loaded, false);
    originals.set(2, message);
    assertEquals(await clock.until(store.load(huge)), "loaded");
    assertEquals(huge.message, message);
    // the log no longer has it: no handler gets it, because its payload cannot be decoded
    await ask({ type: "entries", items: [huge] });
    originals.clear();
    assertEquals(await clock.until(store.load(huge)), "without payload");
    assertEquals([huge.message.tagged, huge.message.payload], [true, "(left out: it is too large to be put aside) "]);
  });

  it("of a message that is too large knows its keys in limits from the log, as long as the log has it", async () => {
    const { clock, ask, store, originals } = await setUp();
    const [small, large, huge] = [item(1, "s"), item(2, "l".repeat(5_000)), item(3, "h".repeat(1_048_576))];
    const { message } = huge;
    await ask({ type: "entries", items: [small, large, huge] });
    const keys = async () => {
      const { found } = await clock.until(store.listed(new Set([small.id, large.id, huge.id])));
      return [small, large, huge].map(({ id }) => found.get(id)?.keys?.get(FIRST));
    };
    assertEquals(await keys(), [undefined, "l", undefined]); // of the small one the payload is there
    originals.set(3, message);
    assertEquals(await keys(), [undefined, "l", "h"]);
  });

  it("gives requests in order, and says what is wrong with one", async () => {
    const { clock, store, stream } = await setUp();
    const request = async (id: string, text: string) =>
      sequenceOf(await clock.until(stream.append(requestSubject(NAMESPACE, KEY, id), text, { timeout: 1_000 })));
    const first = await request("a", writeRequest({ kind: "rewind", to: 7 }));
    const second = await request("b", "{");
    assertEquals(await clock.until(store.requests(0)), [[first, { kind: "rewind", to: 7 }], [second, "no JSON"]]);
    assertEquals(await clock.until(store.requests(first)), [[second, "no JSON"]]);
    await clock.until(store.eraseRequests(first));
    assertEquals((await clock.until(store.requests(0))).length, 1);
  });

  it("erases what it is told, and no more", async () => {
    const { clock, ask, store, stream } = await setUp();
    const [first] = await ask({ type: "commit", text: leads("a", 1), expect: 0 });
    const sequence = first.type === "stored" ? first.sequence : 0;
    await ask({ type: "commit", text: leads("a", 1), expect: sequence }, {
      type: "entries",
      items: [item(1, "one"), item(2, "two")],
    });
    await clock.until(store.eraseMessage("1-2"));
    await clock.until(store.eraseCommits(sequence + 1));
    const left = await clock.until(stream.subjects(parkedSubject(NAMESPACE, KEY, "*")));
    assertEquals(left, [parkedSubject(NAMESPACE, KEY, "2-3")]);
    const [commits] = await ask({ type: "commits", from: 0 });
    assertEquals(commits.type === "commits" && commits.commits.length, 1);
  });

  it("waits for a store that does not answer, and ends when it is told to", async () => {
    const { clock, store, faults, ending, network } = await setUp();
    network.log.begin("noLeader");
    const carried = store.carryOut((function* (): CommitSteps<RequestAnswer> {
      return yield { type: "last" };
    })());
    carried.catch(() => {});
    await clock.advance(10_000);
    assertEquals(faults.length > 0, true);
    ending.abort(new Error("over"));
    await assertRejects(() => clock.until(carried), Error, "over");
  });
});
