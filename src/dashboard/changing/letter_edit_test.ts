import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { DeadLetter, DeadLetterOptions } from "../../contract/calls/durable_messages.ts";
import { CatgaError } from "../../error.ts";
import { messageId } from "../../log/format/commit.ts";
import { subscriptionKey } from "../../log/format/names.ts";
import { carryOut } from "./allowed_changes.ts";
import { letterText } from "./letter_edit.ts";
import type { DashboardSource } from "../dashboard_source.ts";
import { placeOf } from "../collecting/parked_views.ts";

const ID = messageId({ position: 7, time: 70 });
const PLACE = placeOf(subscriptionKey("shop", "billing"), ID);

/** Makes a dead letter with this payload, and records the payloads with which it is replayed. */
function setUp(payload: unknown, refuses?: CatgaError) {
  const replayed: unknown[] = [];
  const replay = ({ payload }: { payload?: unknown } = {}) => {
    replayed.push(payload);
    return refuses === undefined ? Promise.resolve() : Promise.reject(refuses);
  };
  const administration = {
    async *deadLetters({ service, subscription }: DeadLetterOptions = {}, only?: ReadonlySet<string>) {
      const asked = service === "shop" && subscription === "billing" && only?.has(ID) && only.size === 1;
      if (asked) yield await Promise.resolve({ payload, replay } as unknown as DeadLetter);
    },
    pause: () => Promise.reject(new Error("nobody pauses here")),
    resume: () => Promise.reject(new Error("nobody resumes here")),
  };
  const edit = (payload: string, tagged = false, letter = PLACE) =>
    carryOut({} as DashboardSource, administration, { do: "edit", letter, payload, tagged });
  return { administration, replayed, edit };
}

describe("a dead letter that is edited on the page", () => {
  it("has its payload as JSON, hidden characters visible, with tags of what JSON lacks", async () => {
    const text = (payload: unknown, place = PLACE) => letterText(setUp(payload).administration, place);
    assertEquals(await text({ n: "\u202e" }), { payload: '{\n  "n": "\\u202e"\n}', tagged: false });
    assertEquals(await text(undefined), { payload: "null", tagged: false });
    assertEquals(await text("x".repeat(200_000)), "its payload has more than 200000 characters");
    assertEquals([await text(1, "no place"), await text(1, `${PLACE}1`)], [undefined, undefined]);
  });

  it("is replayed with what is entered, dates among it, and not with what is no payload", async () => {
    const { administration, replayed, edit } = setUp({ at: new Date(7), n: 1n });
    const { payload, tagged } = await letterText(administration, PLACE) as { payload: string; tagged: boolean };
    assertEquals((await edit(payload, tagged)).done, 1);
    assertEquals((await edit('{ "n": 2 }')).done, 1);
    assertEquals(replayed, [{ at: new Date(7), n: 1n }, { n: 2 }]);
    assertEquals((await edit("{")).failed, 1);
    assertEquals((await edit("~1")).failed, 1);
    assertEquals((await edit("1", false, "no place")).error, "it is no dead letter any more");
    assertEquals(replayed.length, 2);
  });

  it("says why it is not replayed", async () => {
    const { edit } = setUp(1, new CatgaError("UNAVAILABLE", "it is being discarded"));
    assertEquals(await edit("2"), { done: 0, failed: 1, error: "UNAVAILABLE: it is being discarded" });
  });
});
