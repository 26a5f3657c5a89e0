import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Category, OpenItem } from "./category.ts";
import { Putting } from "./putting.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const CATEGORY = new Category({ service: "shop", name: "billing" }, "Placed", DEFAULT_SETTINGS, {
  floor: 0,
  timeout: 1_000,
});
const FAILED = { attempts: 1, error: { code: "BROKE", message: "no" }, due: 0 };

function item(position: number): OpenItem {
  const message = { position, category: "Placed", id: `${position}`, payload: 0, tagged: false, time: 0 };
  return new OpenItem({ ...message, key: undefined, meta: undefined }, CATEGORY, 1);
}

const full = () => new CatgaError("OVERLOADED", "too many are parked");

/** A parking whose answers the test gives one by one. */
function setUp() {
  const clock = new VirtualClock();
  const parks: { readonly position: number; stored(): void; refused(error: unknown): void }[] = [];
  const stored: number[] = [];
  const stops: string[] = [];
  const putting = new Putting({
    parking: {
      park: ({ position }) =>
        new Promise((resolve, reject) => void parks.push({ position, stored: resolve, refused: reject })),
    },
    clock,
    put: ({ message: { position } }) => void stored.push(position),
    onStopped: (error) => void stops.push(error === undefined ? "going on" : (error as Error).message),
  });
  const put = (...positions: number[]) => positions.forEach((position) => putting.put(item(position), FAILED));
  return { clock, parks, stored, stops, putting, put, tried: () => parks.map(({ position }) => position) };
}

describe("Putting", () => {
  it("reports a message as put when it is stored, not before", async () => {
    const { clock, parks, stored, stops, put } = setUp();
    put(1, 2);
    await clock.advance(0);
    assertEquals(stored, []);
    parks[1].stored();
    await clock.advance(0);
    assertEquals({ stored, stops }, { stored: [2], stops: [] });
  });

  it("without room, messages wait, and one alone is tried again, after pauses that grow to 10 s", async () => {
    const { clock, parks, stored, stops, put, tried } = setUp();
    put(1);
    parks[0].refused(full());
    await clock.advance(0);
    put(2);
    assertEquals({ tried: tried(), stops }, { tried: [1], stops: ["too many are parked"] });
    for (const [i, pause] of [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000].entries()) {
      await clock.advance(pause - 1);
      assertEquals(parks.length, i + 1, `before a pause of ${pause} ms is over`);
      await clock.advance(1);
      assertEquals(parks.length, i + 2, `after a pause of ${pause} ms`);
      parks[i + 1].refused(full());
      await clock.advance(0);
    }
    assertEquals(stored, []);
  });

  it("once there is room again, all that wait are put", async () => {
    const { clock, parks, stored, stops, put } = setUp();
    put(1);
    parks[0].refused(full());
    await clock.advance(0);
    put(2, 3);
    await clock.advance(500);
    assertEquals(parks.length, 2);
    parks[1].stored();
    await clock.advance(0);
    for (const { stored } of parks) stored();
    await clock.advance(0);
    assertEquals({ stored: stored.toSorted(), stops }, {
      stored: [1, 2, 3],
      stops: ["too many are parked", "going on"],
    });
  });

  it("goes on trying when it stopped a second time while a message was being tried", async () => {
    const { clock, parks, stored, put } = setUp();
    put(1, 2);
    parks[0].refused(full());
    await clock.advance(400);
    parks[1].stored(); // it goes on: the first one is tried at once
    await clock.advance(50);
    parks[2].refused(full());
    await clock.advance(500);
    assertEquals(parks.length, 4);
    await clock.advance(600); // the answer takes longer than the pause
    parks[3].refused(full());
    await clock.advance(10_000);
    assertEquals(parks.length, 5);
    parks[4].stored();
    await clock.advance(0);
    assertEquals(stored, [2, 1]);
  });

  it("neither puts nor tries anything after it is closed", async () => {
    const { clock, parks, stored, stops, putting, put } = setUp();
    put(1, 2, 3);
    parks[0].refused(full());
    await clock.advance(0);
    putting.close();
    parks[1].stored();
    parks[2].refused(full());
    await clock.advance(60_000);
    assertEquals({ tries: parks.length, stored, stops }, { tries: 3, stored: [], stops: ["too many are parked"] });
  });

  it("a parking that was closed is no lack of room", async () => {
    const { clock, parks, stops, put } = setUp();
    put(1);
    parks[0].refused(new CatgaError("CLOSED", "it is closed"));
    await clock.advance(60_000);
    assertEquals({ tries: parks.length, stops }, { tries: 1, stops: [] });
  });
});
