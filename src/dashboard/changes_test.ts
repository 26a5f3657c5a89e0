import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { DeadLetter } from "../contract/kept.ts";
import { messageId } from "../log/format/commit.ts";
import { subscriptionKey } from "../log/format/names.ts";
import { carryOut, settleLetters } from "./changes.ts";
import { placeOf } from "./parked_views.ts";
import type { DashboardSource } from "./view.ts";

describe("changes of the dashboard", () => {
  it("a place that is none counts as failed, beside the letters that are replayed and those that are gone", async () => {
    const replayed: number[] = [];
    const publishedAt = new Date(70);
    const letter = {
      position: 7,
      publishedAt,
      replay: () => Promise.resolve(void replayed.push(7)),
    } as unknown as DeadLetter;
    const administration = {
      async *deadLetters() {
        yield await Promise.resolve(letter);
      },
    };
    const places = [7, 8].map((position) =>
      placeOf(subscriptionKey("shop", "billing"), messageId({ position, time: 10 * position }))
    );
    const change = (letters: string[]) => settleLetters(administration, { do: "replay", letters });
    assertEquals(await change(["no place"]), {
      done: 0,
      failed: 1,
      error: "it is not the place of a dead letter: no place",
    });
    assertEquals(await change([...places, "no place"]), {
      done: 1,
      failed: 2,
      error: "it is no dead letter any more",
    });
    assertEquals(replayed, [7]);
  });

  it("a run that is not there is none that was tried again: the page shows the beginning of a long id", async () => {
    const source = { runs: async function* () {} } as unknown as DashboardSource;
    const request = { do: "retry run", workflow: "Order", id: "7…" } as const;
    assertEquals(await carryOut(source, { deadLetters: () => [] } as never, request), {
      done: 0,
      failed: 1,
      error: "there is no such run",
    });
  });
});
