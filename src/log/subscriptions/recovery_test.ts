import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { encode } from "../../data/utf8.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogState, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { groupText, itemText } from "../format/group.ts";
import { categorySubject } from "../format/names.ts";
import { type OpenEntry, RUNNING, SPARED } from "../format/open_positions.ts";
import { endOf, positionOf } from "../format/position.ts";
import { Categories } from "./categories.ts";
import type { OpenItem } from "./category.ts";
import { type Recovered, recovered, type RecoveryOptions } from "./recovery.ts";

const STATE: LogState = { created: "c", first: 1, last: 30, messages: 30, bytes: 9, maxBytes: undefined, now: 0 };
const SPEC = { service: "shop", name: "billing", categories: new Map() };

function message(sequence: number, key?: string, category = "Placed"): StoredMessage {
  const item = itemText({ text: `${sequence}`, key, id: undefined, meta: undefined });
  const head = { endpoint: "p.1", first: 0, sentAt: 0, keep: undefined, schedule: undefined };
  const data = encode(groupText(head, item));
  return { sequence, subject: categorySubject("default", category), time: 0, data, headers: undefined };
}

interface Given extends Partial<RecoveryOptions> {
  readonly stored?: readonly StoredMessage[];
  readonly open?: readonly OpenEntry[];
  readonly state?: () => Promise<LogState | undefined>;
}

/** Recovers from a record that has read 20 messages, of a stream of 30. */
async function recover({ stored = [], open = [], state = () => Promise.resolve(STATE), ...options }: Given) {
  const clock = new VirtualClock();
  let asked = 0;
  const stream = {
    name: "catga_default_log",
    state: () => {
      asked++;
      return state();
    },
    read: (_: string, { from, most }: { from: number; most: number }) => {
      asked++;
      return Promise.resolve(stored.filter(({ sequence }) => sequence >= from).slice(0, most));
    },
  };
  const categories = new Categories(SPEC, { Placed: 0, Paid: 0 }, 1_000);
  const found = await clock.until(recovered({
    host: { clock, namespace: "default" },
    // it calls no other methods
    stream: stream as unknown as LogStream,
    progress: { created: "c", read: endOf(20), time: 0, open },
    running: new Map(),
    complete: false,
    parking: { has: () => false },
    categories,
    signal: new AbortController().signal,
    fault: () => {},
    ...options,
  }));
  return { found, categories, asked };
}

const at = (sequence: number) => positionOf(sequence, 0);
const sequencesOf = (items: Iterable<OpenItem>) => [...items].map(({ message: { payload } }) => payload);
const all = (count: number) => Array.from({ length: count }, (_, n) => message(n + 1));

/** How an item goes on. */
function goesOn({ items }: Recovered) {
  return items.map(({ attempts, spared, doubt, node }) => ({ attempts, spared, doubt, node }));
}

describe("recovered", () => {
  it("what runs comes first, at its node and begun again by joining it; the rest follows by position", async () => {
    const { found } = await recover({
      stored: all(30),
      open: [[at(2), 1, 0], [at(5), 2, RUNNING], [at(9), 1, 0]],
      running: new Map([[at(5), "n1"]]),
      complete: true,
    });
    assertEquals(sequencesOf(found.items), [5, 2, 9]);
    const failed = { attempts: 1, spared: false, doubt: false, node: undefined };
    assertEquals(goesOn(found), [{ ...failed, node: "n1" }, failed, failed]);
    assertEquals([...found.suspects], []);
  });

  it("an attempt that went with its leader does not count, once; its message is a suspect", async () => {
    const { found } = await recover({ stored: all(30), open: [[at(2), 2, RUNNING], [at(3), 2, RUNNING + SPARED]] });
    assertEquals(goesOn(found), [
      { attempts: 1, spared: true, doubt: true, node: undefined },
      { attempts: 2, spared: true, doubt: true, node: undefined },
    ]);
    assertEquals(sequencesOf(found.suspects), [2, 3]);
  });

  it("a message that did not run is in doubt after a leader that ended, not after one that handed over", async () => {
    for (const complete of [false, true]) {
      const { found } = await recover({ stored: all(30), open: [[at(2), 1, 0]], complete });
      assertEquals(goesOn(found), [{ attempts: 1, spared: !complete, doubt: !complete, node: undefined }]);
      assertEquals(found.suspects.size, 0);
    }
  });

  it("what runs behind the read position waits for its turn there; earlier ones of its key are done", async () => {
    const stored = all(30).map((each) => each.sequence > 20 ? message(each.sequence, "k") : each);
    const running = new Map([[at(27), "n2"], [at(25), "n1"], [at(26), "n1"]]);
    const { found, categories } = await recover({ stored, running });
    assertEquals(found.items, []);
    assertEquals([...found.ahead.keys()], [at(25), at(26), at(27)]);
    assertEquals([...found.ahead.values()].map(({ node }) => node), ["n1", "n1", "n2"]);
    assertEquals([...categories.of("Placed").doneBelow], [["k", at(25)]]);
  });

  it("runs of what is done or parked, and entries that are parked, are left out", async () => {
    const parked = new Set([at(3), at(25)]);
    const { found, asked } = await recover({
      stored: all(30),
      open: [[at(2), 1, 0], [at(3), 1, 0]],
      running: new Map([[at(4), "n1"], [at(25), "n1"], [at(40), "n1"]]),
      parking: { has: (position) => parked.has(position) },
    });
    assertEquals(sequencesOf(found.items), [2]);
    assertEquals({ ahead: found.ahead.size, lost: found.lost }, { ahead: 0, lost: 0 });
    assertEquals(asked, 2, "nothing is looked for behind the end of the stream");
  });

  it("messages of a category that the record does not name, or up to its floor, are left out, and not lost", async () => {
    const categories = new Categories(SPEC, { Placed: endOf(4) }, 1_000);
    const { found } = await recover({
      stored: [message(2), message(6), message(7, undefined, "Gone")],
      open: [[at(2), 1, 0], [at(6), 1, 0], [at(7), 1, 0]],
      categories,
    });
    assertEquals(sequencesOf(found.items), [6]);
    assertEquals(found.lost, 0);
  });

  it("counts what the log has no longer, and gives what cannot be read with its reason", async () => {
    const garbage = { ...message(5), data: encode("garbage") };
    const { found } = await recover({
      stored: [message(2), garbage, message(20)],
      open: [[at(2), 1, 0], [at(3), 1, 0], [at(5), 1, 0]],
    });
    assertEquals(sequencesOf(found.items), [2]);
    assertEquals(found.garbage.map(({ message: { position }, reason }) => [position, reason !== ""]), [[at(5), true]]);
    assertEquals(found.lost, 1);
  });

  it("of another stream, or without one, all that is open is lost, and nothing of what runs is joined", async () => {
    const options = { stored: all(30), open: [[at(2), 1, 0]] as const, running: new Map([[at(25), "n1"]]) };
    const { found } = await recover({ ...options, state: () => Promise.resolve({ ...STATE, created: "d" }) });
    assertEquals([found.items.length, found.ahead.size, found.lost, found.last], [0, 0, 1, 30]);
    const { found: without } = await recover({ ...options, state: () => Promise.resolve(undefined) });
    assertEquals([without.items.length, without.lost, without.last], [0, 1, 0]);
  });

  it("asks the store nothing after a leader that handed over with nothing open", async () => {
    const { found, asked } = await recover({ complete: true, running: new Map([[at(4), "n1"]]) });
    assertEquals({ asked, last: found.last }, { asked: 0, last: 0 });
  });

  it("waits for a store that does not answer; rejects when the signal aborts", async () => {
    const faults: unknown[] = [];
    const error = new Error("no answer");
    let tries = 0;
    const state = () => ++tries < 3 ? Promise.reject(error) : Promise.resolve(STATE);
    const fault = (error: unknown) => void faults.push(error);
    const { found } = await recover({ state, fault });
    assertEquals({ last: found.last, faults }, { last: 30, faults: [error, error] });
    const abort = new AbortController();
    const aborts = () => {
      abort.abort(new Error("over"));
      return Promise.reject(error);
    };
    await assertRejects(() => recover({ state: aborts, signal: abort.signal }), Error, "over");
  });
});
