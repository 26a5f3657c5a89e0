import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { encodeValue } from "../data/encoding.ts";
import { parkedKey } from "../log/format/names.ts";
import type { LoggedMessage } from "../log/format/logged_message.ts";
import { type ParkedEntry, writeParked } from "../log/format/parked_entry.ts";
import type { Change } from "../ports/key_value_store.ts";
import { ParkedWatch } from "./parked_watch.ts";

type Given = Partial<Omit<ParkedEntry, "message">> & { readonly message?: Partial<LoggedMessage> };

/** An entry of billing that is put into the bucket. */
function put(position: number, { message, ...more }: Given = {}, service = "shop"): Change {
  const stored = { position, category: "Placed", id: `m${position}`, key: "k", payload: { n: 1 }, tagged: false };
  const entry: ParkedEntry = {
    ...{ token: 1, attempts: 3, error: { code: "BROKE", message: "why" }, due: 0, dead: 0 },
    ...more,
    message: { ...stored, meta: undefined, time: 5_000 + position, ...message },
  };
  return { type: "put", key: parkedKey(service, "billing", 1, position), value: writeParked(entry), revision: 1 };
}

function watching(...changes: readonly Change[]): ParkedWatch {
  const watch = new ParkedWatch();
  for (const change of changes) watch.take(change);
  return watch;
}

describe("ParkedWatch", () => {
  it("shows a dead letter with its place, its error and its payload", () => {
    const watch = watching(put(7, { dead: 9_000, request: "replay" }));
    assertEquals(watch.letters(9), {
      shown: [{
        place: parkedKey("shop", "billing", 1, 7),
        ...{ service: "shop", subscription: "billing", position: 7, id: "m7", contract: "Placed", key: "k" },
        ...{ attempts: 3, code: "BROKE", error: "why", at: 9_000, payload: '{\n  "n": 1\n}', request: "replay" },
      }],
      total: 1,
    });
    assertEquals(watch.retries(9), { shown: [], total: 0 });
  });

  it("counts dead letters and retries of each subscription, with the age of its oldest retry", () => {
    const watch = watching(
      put(1, { dead: 1 }),
      put(4),
      put(3),
      put(5, { error: undefined }),
      put(2, {}, "stock"),
    );
    assertEquals(watch.counts("shop", "billing"), { retrying: 3, dead: 1, oldest: 5_003 });
    assertEquals(watch.counts("stock", "billing"), { retrying: 1, dead: 0, oldest: 5_002 });
    assertEquals(watch.counts("shop", "mails"), { retrying: 0, dead: 0, oldest: undefined });
  });

  it("follows an entry: a retry becomes a dead letter, and one that is removed is gone", () => {
    const watch = watching(put(7, { due: 8_000 }), put(8));
    watch.take(put(7, { dead: 9_000 }));
    assertEquals(watch.counts("shop", "billing"), { retrying: 1, dead: 1, oldest: 5_008 });
    watch.take({ type: "delete", key: parkedKey("shop", "billing", 1, 7), revision: 3 });
    watch.take({ type: "expire", key: parkedKey("shop", "billing", 1, 8), revision: 4 });
    assertEquals(watch.counts("shop", "billing"), { retrying: 0, dead: 0, oldest: undefined });
  });

  it("drops what was at a place when it is overwritten with an invalid entry, and ignores keys of another form", () => {
    const valid = put(7) as Extract<Change, { type: "put" }>;
    for (const value of ["", "{}", "null", valid.value.replace('"position":7', '"position":8')]) {
      const watch = watching(valid, { ...valid, value });
      assertEquals(watch.retries(9).total, 0, value);
    }
    assertEquals(watching({ ...valid, key: "shop.billing" }, { ...valid, key: "a/b/c" }).retries(9).total, 0);
  });

  it("lists the newest dead letters first, the later message first of those that died together, and cuts the list", () => {
    const watch = watching(put(1, { dead: 20 }), put(2, { dead: 30 }), put(3, { dead: 20 }), put(4, { dead: 10 }));
    const { shown, total } = watch.letters(3);
    assertEquals(shown.map(({ position }) => position), [2, 3, 1]);
    assertEquals(total, 4);
  });

  it("lists retries by when they are due, and last those that wait behind another, in their order", () => {
    const behind = { due: 0, error: undefined };
    const watch = watching(
      put(5, behind),
      put(1, { due: 30 }),
      put(4, behind),
      put(2, { due: 20 }),
      put(3, { due: 30 }),
    );
    const { shown, total } = watch.retries(4);
    assertEquals(shown.map(({ position, due }) => [position, due]), [[2, 20], [1, 30], [3, 30], [4, 0]]);
    assertEquals(total, 5);
    assertEquals(shown[3].code, "");
  });

  it("shows a payload with tags as it was published, and hostile text as text", () => {
    const message = { payload: encodeValue({ at: 5n }, "payload"), tagged: true, id: "\x1b[2J", key: "\u202e" };
    const [letter] =
      watching(put(1, { dead: 1, error: { code: "\n", message: "x".repeat(1_001) }, message })).letters(1)
        .shown;
    assertEquals([letter.id, letter.key, letter.code], ["\\u{1b}[2J", "\\u{202e}", "\\u{a}"]);
    assertEquals(letter.payload, '{\n  "at": "5"\n}');
    assertEquals(letter.error.length, 1_001 + " (1001 characters)".length);
  });
});
