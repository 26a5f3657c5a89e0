import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { encodeValue } from "../../data/encoding.ts";
import { messageId } from "../../log/format/commit.ts";
import { subscriptionKey } from "../../log/format/names.ts";
import type { LoggedMessage } from "../../log/format/logged_message.ts";
import type { ParkedMessage } from "../../log/format/parked_message.ts";
import { type GivenParked, headOf, parkedState, stored } from "../../log/administration/stored_suite.ts";
import type { StoredSubscription } from "../../log/administration/stored_subscriptions.ts";
import { type ParkedSource, ParkedViews, placeOf, readPlace } from "./parked_views.ts";

const idOf = (position: number) => messageId({ position, time: stored(position) });

/** Makes a subscription with these parked messages. */
function subscription(parked: readonly GivenParked[], service = "shop"): StoredSubscription {
  const states = new Map(parked.map((given) => [idOf(given.position), parkedState(given)]));
  const state = { id: ["t", 1] as const, head: headOf(), writer: "", parked: states };
  return { key: subscriptionKey(service, "billing"), service, name: "billing", sequence: 1, state };
}

/**
 * Makes a source of the messages at these positions. `read`: the ids of the messages that were read; position 99 has
 * no message.
 */
function source(messages: Record<number, Partial<LoggedMessage> & { error?: ParkedMessage["error"] }> = {}) {
  const read: string[] = [];
  const requests = new Map<string, "replay" | "discard">();
  const parked: ParkedSource = {
    message: (_, id) => {
      read.push(id);
      const position = Number(id.split("-")[0]);
      const { error, ...more } = {
        error: { code: "BROKE", message: "why", cause: "TypeError: no card\n    at charge (pay.ts:1\x1b)" },
        ...messages[position],
      };
      const about = { position, category: "Placed", id: `m${position}`, key: "k", payload: { n: 1 }, tagged: false };
      return Promise.resolve(
        position === 99
          ? undefined
          : { message: { ...about, meta: undefined, time: stored(position), ...more }, error },
      );
    },
    requested: () => Promise.resolve(requests),
  };
  return { parked, read, requests };
}

const none = { shown: [], total: 0 };

describe("ParkedViews", () => {
  it("shows a dead letter with its place, its error, its payload, and what is asked of it", async () => {
    const { parked, requests } = source({ 7: { earlier: [[7, "{\u202e}"]] } });
    requests.set(idOf(7), "replay");
    const { letters, retries } = await new ParkedViews(parked).of([subscription([{ position: 7, dead: 9_000 }])], 9);
    assertEquals(letters, {
      shown: [{
        place: placeOf("shop.billing", idOf(7)),
        ...{ service: "shop", subscription: "billing", position: 7, id: "m7", contract: "Placed", key: "k" },
        ...{
          attempts: 3,
          code: "BROKE",
          error: "why",
          cause: "TypeError: no card\n    at charge (pay.ts:1\\u{1b})",
          at: 9_000,
          group: "TypeError: no card",
          business: true,
          payload: '{\n  "n": 1\n}',
          request: "replay",
          history: "1970-01-01T00:00:00.007Z  {\\u{202e}}",
        },
      }],
      total: 1,
    });
    assertEquals(retries, none);
  });

  it("reads a message once, and again after another attempt; one that is not shown is forgotten", async () => {
    const { parked, read } = source();
    const views = new ParkedViews(parked);
    const first = [subscription([{ position: 7, due: 8_000 }, { position: 8 }])];
    for (let i = 0; i < 3; i++) await views.of(first, 9);
    assertEquals(read, [idOf(7), idOf(8)]);
    await views.of([subscription([{ position: 7, attempts: 4 }])], 9);
    assertEquals(read.slice(2), [idOf(7)]);
    await views.of(first, 9);
    assertEquals(read.slice(3), [idOf(7), idOf(8)]);
  });

  it("leaves out messages that are gone, and counts them as long as the commits name them", async () => {
    const { parked } = source();
    const { letters, retries } = await new ParkedViews(parked).of([subscription([{ position: 99, dead: 1 }])], 9);
    assertEquals([letters, retries], [{ shown: [], total: 1 }, none]);
  });

  it("lists the newest dead letters first, the later message first of those that died together, and cuts the list", async () => {
    const dead = (position: number, dead: number) => ({ position, dead });
    const subscriptions = [subscription([dead(1, 20), dead(2, 30)]), subscription([dead(3, 20), dead(4, 10)], "desk")];
    const { letters: { shown, total } } = await new ParkedViews(source().parked).of(subscriptions, 3);
    assertEquals(shown.map(({ position }) => position), [2, 3, 1]);
    assertEquals(total, 4);
  });

  it("subscriptions take turns where not all fits: thousands of newer letters hide none of another subscription", async () => {
    const shop = subscription(Array.from({ length: 1_000 }, (_, i) => ({ position: 1_000 + i, dead: 9_000 + i })));
    const desk = subscription([{ position: 1, dead: 7 }, { position: 2, dead: 8 }], "desk");
    const views = new ParkedViews(source().parked);
    const { shown } = await views.groups([shop, desk], 9);
    assertEquals(shown.map(({ service, count, partial }) => [service, count, partial]), [
      ["shop", 398, true],
      ["desk", 2, false],
    ]);
    const { letters } = await views.of([shop, desk], 5);
    assertEquals(letters.shown.map(({ position }) => position), [1_999, 1_998, 1_997, 2, 1]);
    assertEquals(letters.total, 1_002);
    const causes = Array.from({ length: 9 }, (_, i) => ({ position: 10 + i, dead: 9_000 + i }));
    const error = (i: number) => ({ error: { code: "BROKE", message: "abcdefghi"[i] } });
    const different = new ParkedViews(source(Object.fromEntries(causes.map((_, i) => [10 + i, error(i)]))).parked);
    const groups = await different.groups([subscription(causes), desk], 3);
    assertEquals([groups.shown.map(({ service }) => service), groups.total], [["shop", "shop", "desk"], 10]);
  });

  it("lists retries by when they are due, and last those that wait behind another, in their order", async () => {
    const { parked } = source({ 4: { error: undefined }, 5: { error: undefined } });
    const parkedOnes = [{ position: 5 }, { position: 1, due: 30 }, { position: 4 }, { position: 2, due: 20 }];
    const views = new ParkedViews(parked);
    const { retries: { shown, total } } = await views.of([subscription([...parkedOnes, { position: 3, due: 30 }])], 4);
    assertEquals(shown.map(({ position, due }) => [position, due]), [[2, 20], [1, 30], [3, 30], [4, 0]]);
    assertEquals([total, shown[3].code], [5, ""]);
  });

  it("shows a payload with tags as it was published, and hostile text as text", async () => {
    const error = { code: "\n", message: "x".repeat(1_001) };
    const { parked } = source({
      1: { payload: encodeValue({ at: 5n }, "payload"), tagged: true, id: "\x1b[2J", key: "\u202e", error },
    });
    const { letters } = await new ParkedViews(parked).of([subscription([{ position: 1, dead: 1 }])], 1);
    const [letter] = letters.shown;
    assertEquals([letter.id, letter.key, letter.code], ["\\u{1b}[2J", "\\u{202e}", "\\u{a}"]);
    assertEquals(letter.payload, '{\n  "at": "5"\n}');
    assertEquals(letter.error.length, 1_001 + " (1001 characters)".length);
  });
});

describe("readPlace", () => {
  it("returns what placeOf made it of, and nothing for another text", () => {
    const place = placeOf(subscriptionKey("a shop", "billing:entities"), "7-8");
    assertEquals(readPlace(place), { service: "a shop", name: "billing:entities", id: "7-8" });
    for (
      const text of ["", ".", "7-8", "shop.7-8", "shop.billing", "shop.billing.7", "shop.billing.x.7-8", "a/b.7-8"]
    ) {
      assertEquals(readPlace(text), undefined, text);
    }
  });
});
