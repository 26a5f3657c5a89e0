import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { CatgaError, entity } from "../../mod.ts";
import { withoutName } from "../log/format/entity_group.ts";
import { EntityCopy } from "./entity_copy.ts";
import { type EntitiesHost, readSnapshot, snapshotDue, Snapshots, snapshotText } from "./snapshots.ts";
import { MemoryNetwork, VirtualClock } from "../testing/mod.ts";

interface State {
  readonly at: Date;
  readonly text: string;
}

const made = (version = 1) =>
  entity<State>("Box", { initial: () => ({ at: new Date(0), text: "" }), version })["~entity"];
const copy = (version = 100, state: State = { at: new Date(7), text: "two\nlines" }) =>
  new EntityCopy(made(), "b", { state, version, sequence: 42, mark: "n.1.7", time: 5, size: 0 });

/** Snapshots of a node, in this store. */
function snapshotsIn(store: unknown, clock: VirtualClock): Snapshots {
  const own = { namespace: "default", endpoint: "n.1", replicas: 1, timeout: 5_000, clock, observer() {}, carried: [] };
  // safe: writing snapshots uses only these members of the node, and only `put` and `delete` of the store's buckets
  return new Snapshots({ ...own, store } as unknown as EntitiesHost);
}

describe("a snapshot", () => {
  it("is read as it was written", () => {
    const text = snapshotText(copy(), "stream");
    assertEquals(text.split("\n").length, 2);
    const read = readSnapshot(made(), "b", { text, created: "stream" })!;
    assertEquals([read.version, read.sequence, read.mark, read.state], [100, 42, "n.1.7", copy().state]);
  });

  it("does not count when it is of another stream, entity or version, or malformed", () => {
    const text = snapshotText(copy(), "stream");
    const read = (text: string, { id = "b", created = "stream", version = 1 } = {}) =>
      readSnapshot(made(version), id, { text, created });
    assertEquals(read(text, { created: "another" }), undefined);
    assertEquals(read(text, { id: "another" }), undefined);
    assertEquals(read(text, { version: 2 }), undefined);
    for (let cut = text.indexOf("\n") + 2; cut < text.length; cut++) {
      assertEquals(read(text.slice(0, cut)), undefined, `cut at ${cut}`);
    }
    for (const other of ["", "\n", "{}\n1", "[1]\n1", text.replace("42", "-42")]) {
      assertEquals(read(other), undefined, other);
    }
  });

  it("does not count for a definition whose initial state has another shape, and without a shape it is malformed", () => {
    const text = snapshotText(copy(), "stream");
    const of = (initial: () => unknown) => entity<unknown>("Box", { initial })["~entity"];
    const read = (initial: () => unknown, text: string) => readSnapshot(of(initial), "b", { text, created: "stream" });
    const same = () => ({ text: "another", at: new Date() });
    const other = () => ({ at: new Date(0), text: "", count: 0 });
    assertEquals([read(same, text)?.version, read(other, text)], [100, undefined]);
    assertEquals(read(same, text.replace(/,\d+\]\n/, "]\n")), undefined);
  });

  it("is due after 100 events, within a second of the last one after 500, and never of a forgotten entity", () => {
    const due = (events: number, since: number, forgotten = false) => {
      const at = copy(1_000 + events);
      at.snapshot = { version: 1_000, at: 0 };
      const mark = {
        mark: "n.1.8",
        endpoint: "n.1",
        first: 8,
        items: [],
        commands: [withoutName("")],
        version: 0,
        shapes: undefined,
      };
      if (forgotten) at.take(mark, { sequence: 43, time: 6, size: 1 });
      return snapshotDue(at, since);
    };
    assertEquals([due(99, 5_000), due(100, 5_000), due(100, 1_000)], [undefined, "now", "now"]);
    assertEquals([due(100, 999), due(499, 999), due(500, 0)], ["later", "later", "now"]);
    assertEquals(due(500, 5_000, true), undefined);
  });

  it("of a state that cannot be sent there is none", () => {
    const odd = copy(1, { at: new Date(0), text: (() => {}) as unknown as string });
    assertThrows(() => snapshotText(odd, "stream"), Error, "state.text is a function");
  });

  it("of an entity that was forgotten meanwhile is removed again, whatever the store did not answer", async () => {
    const clock = new VirtualClock();
    const { store } = new MemoryNetwork({ clock, seed: 1 });
    const unavailable = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    const bucket = await store.open("snapshots");
    const put = async (key: string, text: string) => {
      await bucket.put(key, text);
      throw unavailable;
    };
    const slow = { open: () => Promise.resolve({ ...bucket, put, delete: (key: string) => bucket.delete(key) }) };
    const snapshots = snapshotsIn(slow, clock);
    let asked = 0;
    const isForgotten = () => ++asked < 3 ? Promise.reject(unavailable) : Promise.resolve(true);
    snapshots.write(copy(), () => "stream", isForgotten);
    await clock.advance(10_000);
    await clock.until(snapshots.settled());
    assertEquals([asked, await bucket.entries("")], [3, []]);
  });

  it("is given up when its node ends, though the store does not say whether its entity was forgotten", async () => {
    const clock = new VirtualClock();
    const { store } = new MemoryNetwork({ clock, seed: 1 });
    const snapshots = snapshotsIn(store, clock);
    snapshots.write(copy(), () => "stream", () => Promise.reject(new CatgaError("UNAVAILABLE", "no answer")));
    await clock.advance(10_000);
    await clock.until(snapshots.settled(), 3_000);
    assertEquals(clock.timers, 0);
  });
});
