import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { chances } from "../../../test/support/chances.ts";
import { HEAD } from "../../../test/support/commits.ts";
import { leastTime } from "../../../test/support/least_time.ts";
import type { BatchSettings } from "../../contract/declaration/handler.ts";
import { type Head, messageId, type StoredState } from "../format/commit.ts";
import { type LoggedMessage, withPayload } from "../format/logged_message.ts";
import { Category, type Item } from "./category.ts";
import { type FoundMessage, type FoundState, Ledger } from "./ledger.ts";
import type { ReportedRun } from "./late_outcome.ts";
import { RunLimit } from "./limit_gate.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";
import { type LastEnd, Suspicion } from "./suspicion.ts";

const NOW = 1_000_000;
const FAILED = { code: "HANDLER_FAILED", message: "no" };

/** A ledger with one category, whose messages have three attempts. */
class Kit {
  /** Positions of the messages of the log. */
  readonly log: number[] = [];
  readonly category: Category;
  readonly ledger: Ledger;

  constructor(
    head: Partial<Head> = {},
    { mostParked = 100, batch, began = HEAD.began }: {
      mostParked?: number;
      batch?: BatchSettings | undefined;
      began?: Head["began"];
    } = {},
  ) {
    const settings = { ...DEFAULT_SETTINGS, attempts: 3, batch };
    this.category = new Category({ service: "shop", name: "billing" }, "A", settings, 1_000);
    this.category.capable = 1;
    const options = { mostParked, categories: { began, of: () => this.category } };
    this.ledger = new Ledger({ ...options, head: { ...HEAD, ...head } });
  }

  add(...positions: number[]): void {
    this.log.push(...positions);
    for (const position of positions) {
      this.ledger.place = { ...this.ledger.place, read: position, time: position };
      this.ledger.add(message(position));
    }
  }

  /** Begins the messages that may run, and returns them by position. */
  begin(now = NOW): Map<number, Item> {
    return new Map(this.ledger.begin(() => now).map((item) => [item.position, item]));
  }

  commit(): Map<number, Item> {
    return new Map(this.ledger.stored(this.ledger.draft()).map((item) => [item.position, item]));
  }

  /** Reads what was left behind, as far as there is room. Returns what was added. */
  bring(): readonly number[] {
    const { ledger, ledger: { left } } = this;
    const added: number[] = [];
    while (
      ["read", "begin"].includes(left.turn((category, key, waits) => ledger.hasRoom(category, key, waits ? 0.5 : 1)))
    ) {
      const next = this.log.find((position) => position > left.place!);
      if (next === undefined) break;
      const before = ledger.open.size + ledger.parked.size;
      ledger.bring(message(next));
      if (ledger.open.size + ledger.parked.size > before) added.push(next);
      left.readTo(next, next === this.log.at(-1), ledger.place.read);
    }
    return added;
  }

  get left(): Head["left"] {
    return this.ledger.draft().head.left ?? [];
  }

  get open(): readonly number[] {
    return this.ledger.draft().head.open.map(([position]) => position);
  }
}

/** Makes a message; positions from 100 on have their hundreds as key. */
function message(position: number): LoggedMessage {
  const key = position < 100 ? undefined : `${Math.floor(position / 100)}`;
  return {
    position,
    time: position,
    category: "A",
    id: `${position}`,
    key,
    payload: 0,
    tagged: false,
    meta: undefined,
  };
}

function keyless(position: number): LoggedMessage {
  return { ...message(position), key: undefined };
}

function inLog(messages: readonly LoggedMessage[]): FoundState["messages"] {
  return new Map(messages.map((message) => [messageId(message), { in: "log", message }]));
}

function found(head: Partial<Head>, over: Partial<FoundState> = {}): FoundState {
  const stored: StoredState = { id: ["t", 1], head: { ...HEAD, ...head }, parked: new Map(), writer: "" };
  const messages = inLog((head.open ?? []).map(([position]) => message(position)));
  const nothing = { running: new Map(), ended: new Set<string>(), finished: new Map() };
  return { stored, messages, ...nothing, unclean: true, end: 1_000, now: NOW, ...over };
}

describe("Ledger", () => {
  it("a message read after the log has lost its end is behind those of its key that were read before", () => {
    const kit = new Kit();
    kit.add(450);
    kit.ledger.place = { ...kit.ledger.place, read: 430, epoch: 1 };
    kit.add(440);
    const runs = kit.begin();
    assertEquals([...runs.keys()], [450]);
    kit.ledger.done(runs.get(450)!);
    assertEquals([...kit.begin().keys()], [440]);
  });

  it("keeps nothing of a forgotten entity: what waits or is dead goes, what runs goes when it fails, others stay", () => {
    const kit = new Kit();
    const { ledger } = kit;
    kit.add(100, 101, 200, 300, 301, 400, 401);
    const begun = kit.begin();
    ledger.failed(begun.get(100)!, { attempts: 1, error: FAILED, dead: NOW });
    ledger.failed(begun.get(300)!, { attempts: 1, error: FAILED, due: NOW + 1 });
    kit.commit();
    const again = kit.begin(NOW + 2);
    assertEquals([[...again.keys()], ledger.parked.size, ledger.parked.dead], [[300], 4, 1]);
    // entities 1, 3 and 4 are forgotten while a message of 3 runs again, and one of 2 and one of 4 run
    for (const key of ["1", "3", "4"]) ledger.forget({ ...message(900), category: "A.forgotten", key });
    assertEquals([[...ledger.parked].map(({ position }) => position), ledger.parked.dead], [[300], 0]);
    ledger.failed(again.get(300)!, { attempts: 2, error: FAILED, due: NOW + 5 });
    ledger.failed(begun.get(200)!, { attempts: 1, error: FAILED, dead: NOW });
    assertEquals([...ledger.parked].map(({ position }) => position), [200]);
    // one that was only in memory is not parked, and the next one of the key runs
    ledger.failed(begun.get(400)!, { attempts: 1, error: FAILED, due: NOW + 20 });
    const open = kit.begin(NOW + 11);
    assertEquals([[...ledger.parked].map(({ position }) => position), [...open.keys()]], [[200], [401]]);
    assertEquals(ledger.draft().head.open.map(([position]) => position), [401]);
    ledger.failed(open.get(401)!, { attempts: 1, error: FAILED, due: NOW + 20 });
    assertEquals(ledger.parked.size, 1);
  });

  it("an entity is forgotten up to the event that says so: behind a loss of it, messages are parked again", () => {
    const kit = new Kit();
    const { ledger } = kit;
    kit.add(100);
    ledger.done(kit.begin().get(100)!);
    ledger.forget({ ...message(900), category: "A.forgotten", key: "1" });
    // the log has lost its end, the event with it, and its positions are used again
    ledger.place = { ...ledger.place, read: 100, epoch: 1 };
    kit.add(101);
    ledger.failed(kit.begin().get(101)!, { attempts: 1, error: FAILED, due: NOW + 20 });
    assertEquals([...ledger.parked].map(({ position }) => position), [101]);
  });

  it("runs large parked messages as far as memory goes, the others as those have an outcome, small ones at once", () => {
    const { ledger } = new Kit();
    const size = 200_000;
    const most = Math.ceil(33_554_432 / size);
    const listed = (message: LoggedMessage, size: number): FoundMessage => {
      return { in: "store", loaded: size < 1_000, size, message, error: FAILED };
    };
    const large = Array.from({ length: 2 * most }, (_, i) => listed(keyless(i), size));
    const all = [...large, listed(keyless(2 * most), 100)];
    const messages = new Map(all.map((each) => [messageId(each.message), each]));
    const parked = new Map(all.map(({ message }) => {
      const { position, time } = message;
      return [messageId(message), { position, time, epoch: 0, attempts: 1, due: NOW - 1, dead: 0 }];
    }));
    const stored = { ...found({}).stored, parked };
    assertEquals(ledger.takeOver(found({}, { stored, messages, unclean: false })), []);
    const first = ledger.begin(() => NOW);
    const isLarge = ({ loaded }: Item) => !loaded;
    assertEquals([first.filter(isLarge).length, first.length], [most, most + 1]);
    assertEquals(ledger.begin(() => NOW), []);
    const [done, failed] = first.filter(isLarge);
    ledger.done(done);
    ledger.failed(failed, { attempts: 2, error: FAILED, due: NOW + 1_000 });
    assertEquals(ledger.begin(() => NOW).length, 2);
  });

  it("runs one message of a key at a time, in order, and those without one at once", () => {
    const kit = new Kit();
    kit.add(1, 2, 101, 102, 201);
    const runs = kit.begin();
    assertEquals([...runs.keys()], [1, 2, 101, 201]);
    kit.ledger.done(runs.get(101)!);
    assertEquals([...kit.begin().keys()], [102]);
    assertEquals(kit.open, [1, 2, 102, 201]);
  });

  it("parks what no live node handles, counts no attempt, keeps the order of keys, and leaves room for failures", () => {
    const kit = new Kit({}, { mostParked: 1 });
    const { ledger, category } = kit;
    kit.add(1, 101, 102, 103);
    const runs = kit.begin();
    ledger.failed(runs.get(1)!, { attempts: 1, error: FAILED, due: NOW + 1_000 });
    category.capable = 0;
    kit.add(2, 201, 202);
    kit.begin();
    ledger.parkUnhandled(NOW);
    assertEquals([ledger.full, kit.open], [false, [101, 102, 103]], "102 waits behind 101, which runs");
    assertEquals([...ledger.parked].map(({ position, attempts }) => [position, attempts]), [
      [1, 1],
      [2, 0],
      [201, 0],
      [202, 0],
    ]);
    ledger.done(runs.get(101)!);
    assertEquals([...kit.begin().keys()], []);
    category.capable = 1;
    ledger.refresh(category);
    for (const item of ledger.parked.awaiting) ledger.wakeAwaiting(item);
    const woken = kit.begin();
    assertEquals([...woken.keys()], [102, 2, 201]);
    assertEquals([...woken.values()].map(({ error }) => error), [undefined, undefined, undefined]);
    ledger.done(woken.get(201)!);
    assertEquals([...kit.begin().keys()], [202]);
  });

  it("does not park what no live node handles while it is less than half of what is open", () => {
    const kit = new Kit();
    kit.add(1, 2, 3);
    kit.begin();
    kit.category.capable = 0;
    kit.add(4, 5);
    kit.begin();
    kit.ledger.parkUnhandled(NOW);
    assertEquals(kit.open, [1, 2, 3, 4, 5]);
    kit.add(6);
    kit.begin();
    kit.ledger.parkUnhandled(NOW);
    assertEquals(kit.open, [1, 2, 3]);
  });

  it("a batch is full once its last message may run: first ones of keys, those behind them, and parked ones", () => {
    const kit = new Kit({}, { batch: { max: 3, within: 50 } });
    const { ledger, category } = kit;
    const isFullAfter = (...positions: number[]) => {
      kit.add(...positions);
      kit.begin();
      return ledger.isFull(category);
    };
    const batch = () => ledger.batch(category, Infinity, () => 1, () => 1_000);
    assertEquals([isFullAfter(1, 101), isFullAfter(102)], [false, true]);
    const [first, second, third] = batch();
    assertEquals([first.position, second.position, third.position], [1, 101, 102]);
    assertEquals([isFullAfter(2, 3), isFullAfter(4)], [false, true]);
    assertEquals(batch().map(({ position }) => position), [2, 3, 4]);
    // two of the first batch have ended, and the last is parked until it is due: it counts then
    ledger.done(first);
    ledger.done(second);
    ledger.failed(third, { attempts: 1, error: FAILED, due: NOW + 50 });
    assertEquals([isFullAfter(5), isFullAfter(6)], [false, false]);
    kit.commit();
    kit.begin(NOW + 50);
    assertEquals(ledger.isFull(category), true);
  });

  it("a batch has as many bytes as fit, and one message whatever its size", () => {
    const kit = new Kit({}, { batch: { max: 10, within: 50 } });
    kit.add(1, 2, 3, 4);
    kit.begin();
    const sizes = new Map([[1, 60], [2, 40], [3, 500], [4, 1]]);
    const batch = () =>
      kit.ledger.batch(kit.category, 100, ({ position }) => sizes.get(position)!, () => 1_000).map(({ position }) =>
        position
      );
    assertEquals([batch(), batch(), batch(), batch()], [[1, 2], [3], [4], []]);
  });

  it("parks what stands behind a failed message of its key, and runs it in order afterwards", () => {
    const kit = new Kit();
    kit.add(101, 102);
    kit.ledger.failed(kit.begin().get(101)!, { attempts: 1, error: FAILED, due: NOW + 50 });
    kit.add(103);
    assertEquals([...kit.ledger.parked].map(({ id }) => id), ["101-101", "102-102", "103-103"]);
    assertEquals(kit.open, []);
    assertEquals([...kit.begin().keys()], []);
    for (const position of [101, 102, 103]) {
      kit.commit();
      const runs = kit.begin(NOW + 50);
      assertEquals([...runs.keys()], [position]);
      kit.ledger.done(runs.get(position)!);
    }
    assertEquals(kit.ledger.parked.size, 0);
  });

  it("leaves in the log what waits behind a slow message, and brings it in order when there is room", () => {
    const kit = new Kit();
    kit.add(101, 102, 103, 104, 105, 201);
    kit.ledger.leaveHotKeys(2);
    assertEquals([kit.open, kit.ledger.parked.size, kit.left], [[101, 102, 201], 0, [["A", "1", 102]]]);
    kit.add(202);
    assertEquals(kit.open, [101, 102, 201, 202]);
    assertEquals(kit.bring(), [103, 104, 105]);
    assertEquals(kit.left, []);
    kit.add(106); // nothing of its key is left behind any more
    for (const position of [101, 102, 103, 104, 105, 106]) {
      const runs = kit.begin();
      assertEquals(runs.has(position), true, `${position}`);
      kit.ledger.done(runs.get(position)!);
    }
  });

  it("forgets of a key neither what has begun nor what has failed, and no key that has less than a quarter", () => {
    const kit = new Kit();
    kit.add(101, 102, 103, 201, 301, 401, 501, 601, 701);
    const first = kit.begin().get(101)!;
    kit.ledger.leaveHotKeys(1);
    assertEquals(kit.open, [101, 201, 301, 401, 501, 601, 701]);
    kit.ledger.failedInPlace(first, 1);
    kit.ledger.leaveHotKeys(0);
    assertEquals(kit.open, [101, 201, 301, 401, 501, 601, 701]);
  });

  it("parks an eighth of the room behind a failed message, and has room for the failures of other keys", () => {
    const kit = new Kit({}, { mostParked: 16 });
    const { ledger } = kit;
    for (let hundred = 100; hundred <= 900; hundred += 100) kit.add(hundred, hundred + 1, hundred + 2, hundred + 3);
    for (const [position, item] of kit.begin()) {
      ledger.failed(item, { attempts: 3, error: FAILED, dead: NOW + position });
    }
    assertEquals([ledger.parked.size, ledger.parked.dead, ledger.full], [10, 9, false]);
    const calm = new Kit({}, { mostParked: 16 });
    calm.add(100);
    calm.ledger.failed(calm.begin().get(100)!, { attempts: 3, error: FAILED, dead: NOW });
    calm.add(...Array.from({ length: 99 }, (_, n) => 101 + n));
    assertEquals([calm.ledger.parked.size, calm.ledger.full, calm.left], [2, false, [["A", "1", 101]]]);
    assertEquals(calm.bring(), []);
    calm.ledger.carryOut(1, { kind: "discard", message: "100-100", dead: NOW });
    const ran: number[] = [];
    for (let round = 0; round < 200 && ran.length < 99; round++) {
      calm.commit();
      for (const [position, item] of calm.begin()) {
        ran.push(position);
        calm.ledger.done(item);
      }
      calm.bring();
    }
    assertEquals(ran, Array.from({ length: 99 }, (_, n) => 101 + n));
    assertEquals(calm.left, []);
  });

  it("a next leader brings what was left behind, and joins what of it runs", () => {
    const head = { place: { ...HEAD.place, read: 300 }, left: [["A", "1", 102]] as const };
    const kit = new Kit(head);
    const messages = inLog([message(103)]);
    kit.ledger.takeOver(found(head, { messages, running: new Map([["103-103", "n2"]]), unclean: false }));
    kit.log.push(103, 104, 201);
    assertEquals(kit.bring(), [103, 104]);
    const runs = kit.begin();
    assertEquals([...runs].map(([position, { node }]) => [position, node]), [[103, "n2"]]);
  });

  it("keeps what is left behind in front of the place to which it goes back, and reads the rest again", () => {
    const kit = new Kit();
    kit.add(101, 102, 103, 104, 201, 202, 203, 204, 301);
    kit.ledger.leaveHotKeys(2);
    assertEquals(kit.left, [["A", "1", 102], ["A", "2", 202]]);
    kit.ledger.rewind(150, new Set());
    assertEquals([kit.open, kit.left], [[101, 102], [["A", "1", 102]]]);
  });

  it("keeps a failed message, and those behind it, until there is room to park them", () => {
    const kit = new Kit({}, { mostParked: 1 });
    kit.add(1, 101);
    const runs = kit.begin();
    kit.ledger.failed(runs.get(1)!, { attempts: 3, error: FAILED, dead: NOW });
    kit.ledger.failed(runs.get(101)!, { attempts: 1, error: FAILED, due: NOW });
    assertEquals([kit.ledger.full, kit.open], [true, [101]]);
    kit.commit();
    kit.add(102);
    assertEquals([...kit.begin().keys()], []);
    kit.ledger.carryOut(1, { kind: "discard", message: "1-1", dead: NOW });
    assertEquals([...kit.begin().keys()], [101]);
    assertEquals(kit.ledger.full, true); // the ledger is full: message 102 still waits for room
  });

  it("a message that waited for room behind another of its key is handled once, and the next after it", () => {
    const kit = new Kit({}, { mostParked: 1 });
    kit.add(1, 101);
    const first = kit.begin();
    kit.ledger.failed(first.get(1)!, { attempts: 3, error: FAILED, dead: NOW });
    kit.ledger.failed(first.get(101)!, { attempts: 1, error: FAILED, due: NOW });
    kit.add(102, 103);
    assertEquals([kit.ledger.full, kit.open], [true, [101, 102, 103]]);
    kit.ledger.carryOut(1, { kind: "discard", message: "1-1", dead: NOW });
    kit.commit();
    for (const position of [101, 102, 103, 104]) {
      const runs = kit.begin();
      assertEquals([...runs.keys()], [position]);
      kit.ledger.done(runs.get(position)!);
      if (position === 103) kit.add(104);
    }
    assertEquals([kit.ledger.full, kit.open, kit.category.lines.size], [false, [], 0]);
  });

  it("holds messages that no live node handles", () => {
    const kit = new Kit();
    kit.category.capable = 0;
    kit.add(1);
    assertEquals([...kit.begin().keys()], []);
    kit.category.capable = 1;
    kit.ledger.refresh(kit.category);
    assertEquals([...kit.begin().keys()], [1]);
  });

  it("runs a replayed letter once the commit that says so is stored, and once for each time it became one", () => {
    const kit = new Kit();
    kit.add(1);
    kit.ledger.failed(kit.begin().get(1)!, { attempts: 3, error: FAILED, dead: NOW });
    const replay = { kind: "replay", message: "1-1", dead: NOW } as const;
    kit.ledger.carryOut(5, replay);
    assertEquals([...kit.begin().keys()], []);
    kit.commit();
    const [again] = kit.begin().values();
    assertEquals([again.position, again.attempts], [1, 0]);
    kit.ledger.failed(again, { attempts: 3, error: FAILED, dead: NOW + 9 });
    kit.ledger.carryOut(6, replay);
    assertEquals([kit.ledger.parked.dead, kit.ledger.upTo], [1, 6]);
  });

  it("runs a replayed letter not before that commit, though it was due, or was to run behind an earlier one", () => {
    for (const when of ["before a draft", "behind a draft"]) {
      const kit = new Kit();
      const messages = inLog([message(1)]);
      const parked = new Map([["1-1", { position: 1, time: 1, epoch: 0, attempts: 0, due: 0, dead: 0 }]]);
      kit.ledger.takeOver(found({}, { stored: { ...found({}).stored, parked }, messages, unclean: false }));
      const [letter] = kit.ledger.parked;
      // an earlier leader's run of it has failed: it becomes a dead letter before this leader has begun anything
      kit.ledger.failed(letter, { attempts: 3, error: FAILED, dead: NOW });
      kit.ledger.retry(letter);
      if (when === "behind a draft") {
        const dead = kit.ledger.draft();
        kit.ledger.carryOut(5, { kind: "replay", message: "1-1", dead: NOW });
        kit.ledger.stored(dead);
      } else kit.ledger.carryOut(5, { kind: "replay", message: "1-1", dead: NOW });
      assertEquals([...kit.begin().keys()], [], when);
      const draft = kit.ledger.draft();
      assertEquals([...kit.begin().keys()], [], when);
      kit.ledger.stored(draft);
      assertEquals([...kit.begin().keys()], [1], when);
    }
  });

  it("runs a message again once a commit has each of its failures, also one that came while a commit was stored", () => {
    const kit = new Kit();
    kit.add(1);
    const item = kit.begin().get(1)!;
    const failed = { ...FAILED, final: false, node: "n" };
    // an earlier run of it, which counts beside the one that runs
    kit.ledger.reported(item.id, item, { token: 5, attempt: 1, outcome: failed }, 7);
    const first = kit.ledger.draft();
    kit.ledger.failedInPlace(item, 2);
    kit.ledger.stored(first);
    kit.ledger.retry(item);
    assertEquals([...kit.begin().keys()], []);
    kit.commit();
    assertEquals([...kit.begin().keys()], [1]);
  });

  it("parked messages count as in memory until the commit that stores them (then thousands were)", () => {
    const kit = new Kit();
    const add = (position: number) => kit.ledger.add(message(position), 1_000);
    for (const position of [101, 102, 103]) add(position);
    kit.ledger.failed(kit.begin().get(101)!, { attempts: 1, error: FAILED, due: NOW + 1_000 });
    assertEquals([kit.ledger.open.bytes, kit.ledger.bytes], [0, 3_000]);
    const draft = kit.ledger.draft();
    add(104);
    assertEquals(kit.ledger.bytes, 4_000);
    kit.ledger.stored(draft);
    assertEquals(kit.ledger.bytes, 1_000, "the one that was parked behind the others meanwhile");
    // the store has lost a commit: what it had is stored again, with what came meanwhile
    kit.ledger.draft();
    kit.ledger.stored(kit.ledger.draft());
    assertEquals(kit.ledger.bytes, 0);
    add(105);
    const again = kit.ledger.begin(() => NOW + 2_000);
    for (const item of again) kit.ledger.failed(item, { attempts: 2, error: FAILED, dead: NOW });
    for (const { id } of again) kit.ledger.carryOut(9, { kind: "discard", message: id, dead: NOW });
    kit.commit();
    assertEquals(kit.ledger.bytes, kit.ledger.open.bytes);
  });

  it("a letter that is replayed with another payload keeps those before, however often the request is stored", () => {
    const kit = new Kit();
    kit.add(1);
    kit.ledger.failed(kit.begin().get(1)!, { attempts: 3, error: FAILED, dead: NOW });
    kit.commit();
    const before = kit.ledger.parked.get("1-1")!.message;
    kit.ledger.parked.get("1-1")!.loaded = false; // the store may have lost it
    kit.ledger.carryOut(5, { kind: "replay", message: "1-1", dead: NOW, payload: '{"mended":1}' });
    const { message, loaded } = kit.ledger.parked.get("1-1")!;
    assertEquals(loaded, true, "what the store has does not take the place of the new payload");
    assertEquals([message.payload, message.earlier], [{ mended: 1 }, [[NOW, JSON.stringify(before.payload)]]]);
    assertEquals(kit.ledger.draft().entries.map(({ id }) => id), ["1-1"]);
    // the edit is made twice, as after a leader that stored the edit and died before its commit
    assertEquals(withPayload(message, '{"mended":1}', NOW), message);
    const tagged = withPayload(message, '~{"$":1}', NOW + 9);
    assertEquals([tagged.tagged, tagged.earlier?.at(-1)], [true, [NOW + 9, '{"mended":1}']]);
    let many = message;
    for (let n = 1; n < 9; n++) many = withPayload(many, JSON.stringify("x".repeat(99_999)), NOW + n);
    assertEquals(many.earlier!.map(([, { length }]) => length), [16_384, 16_384, 16_384, 16_384, 16_384]);
  });

  it("buries what cannot be read, and with it waits what follows of its key", () => {
    const kit = new Kit();
    kit.ledger.addUnreadable(message(101), "no", NOW);
    kit.add(102);
    assertEquals([...kit.begin().keys()], []);
    assertEquals([kit.ledger.parked.dead, kit.ledger.parked.size], [1, 2]);
  });

  it("goes back in the log: what is open or parked behind the place is read again", () => {
    const kit = new Kit();
    kit.add(1, 2, 3);
    const runs = kit.begin();
    for (const item of runs.values()) kit.ledger.failed(item, { attempts: 3, error: FAILED, dead: NOW });
    kit.commit();
    kit.ledger.rewind(1, new Set([0, 1, 2, 3]));
    const { head, ended } = kit.ledger.draft();
    assertEquals([head.place.read, ended], [1, ["2-2", "3-3"]]);
    kit.add(2);
    assertEquals([...kit.begin().keys()], [2]);
  });

  it("goes back without what waits for a node of a category that the subscription no longer has", () => {
    for (const [began, left] of [[{ A: 0 }, 2], [{}, 0]] as [Head["began"], number][]) {
      const kit = new Kit({}, { began });
      kit.add(1, 2);
      kit.category.capable = 0;
      kit.begin();
      kit.ledger.parkUnhandled(NOW);
      assertEquals(kit.ledger.parked.size, 2);
      kit.ledger.rewind(2, new Set([0]));
      assertEquals(kit.ledger.parked.size, left, JSON.stringify(began));
    }
  });

  describe("after a leader that ended without a word", () => {
    it("begins nothing before the commit that says so, until all that it may have begun has an outcome", () => {
      const head: Partial<Head> = { open: [[1, 0], [2, 0]], place: { ...HEAD.place, read: 2, time: 2 } };
      const kit = new Kit(head);
      kit.ledger.takeOver(found(head, { end: 2 }));
      assertEquals([...kit.begin().keys()], []);
      for (const position of [1, 2]) {
        const runs = kit.commit();
        assertEquals([...runs.keys()], [position]);
        for (const item of runs.values()) kit.ledger.done(item);
        assertEquals([...kit.begin().keys()], []);
      }
      kit.add(3);
      assertEquals([...kit.begin().keys()], [3]);
      assertEquals(kit.ledger.draft().head.doubt, undefined);
    });

    it("runs a sixteenth at a time of what had begun, and then one alone, whose end counts as an attempt", () => {
      const positions = Array.from({ length: 32 }, (_, i) => i + 1);
      const ids = positions.map((position) => `${position}-${position}`);
      const open = positions.map((position) => [position, 0] as const);
      const place = { ...HEAD.place, read: 32, time: 32 };
      const after = (begun: string[], counted = 0) => {
        const head: Partial<Head> = { open, place, doubt: { upTo: 32, groups: [], begun } };
        const kit = new Kit(head);
        kit.ledger.takeOver(found(head));
        assertEquals(kit.ledger.draft().head.open[0][1], counted);
        kit.begin();
        return kit.commit().size;
      };
      assertEquals(after(ids), 2);
      assertEquals(after(ids.slice(0, 2)), 1);
      assertEquals(after(ids.slice(0, 1), 1), 1);
    });

    it("joins what runs at a live node, which is no attempt, and does not run what stands in front of it", () => {
      const head: Partial<Head> = {
        open: [[101, 0], [102, 0]],
        place: { ...HEAD.place, read: 102, time: 102 },
        doubt: { upTo: 102, groups: [], begun: ["102-102"] },
      };
      const kit = new Kit(head);
      kit.ledger.takeOver(found(head, { running: new Map([["102-102", "n"]]) }));
      const [item] = kit.begin().values();
      assertEquals([item.position, item.node, item.attempts], [102, "n", 0]);
      assertEquals(kit.open, [102]);
    });

    it("asks at once for what goes on at a node, and suspects it as before", () => {
      const head: Partial<Head> = { open: [[1, 0], [2, 0]], place: { ...HEAD.place, read: 2, time: 2 } };
      const kit = new Kit(head);
      kit.ledger.takeOver(found(head, { end: 2 }));
      kit.begin();
      kit.ledger.goesOn(kit.commit().get(1)!, "n");
      const [item] = kit.begin().values();
      assertEquals([item?.position, item?.node, item?.attempts, kit.ledger.running], [1, "n", 0, 1]);
      assertEquals(kit.ledger.draft().head.doubt?.begun, ["1-1"]);
    });

    it("counts no attempt of a message that ended at a live node", () => {
      const doubt = { upTo: 1, groups: [], begun: ["1-1"] };
      const head: Partial<Head> = { open: [[1, 2]], place: { ...HEAD.place, read: 1, time: 1 }, doubt };
      const kit = new Kit(head);
      kit.ledger.takeOver(found(head, { ended: new Set(["1-1"]) }));
      assertEquals(kit.ledger.draft().head.open, [[1, 2]]);
    });

    it("counts no attempt, and divides nothing, if the leader's process goes on", () => {
      const doubt = { upTo: 1, groups: [], begun: ["1-1"] };
      const head: Partial<Head> = { open: [[1, 2]], place: { ...HEAD.place, read: 1, time: 1 }, doubt };
      for (const [unclean, attempts, groups] of [[true, 3, 1], [false, 2, 0]] as const) {
        const kit = new Kit(head);
        kit.ledger.takeOver(found(head, { unclean }));
        const stored = kit.ledger.draft().head;
        assertEquals([stored.open[0]?.[1], stored.doubt?.groups.length], [attempts, groups]);
      }
    });

    it("still suspects what was begun of those that ran when an earlier process ended, if the leader's goes on", () => {
      const doubt = { upTo: 2, groups: [{ size: 1, ids: ["1-1", "2-2"] }], begun: ["1-1"] };
      const head: Partial<Head> = { open: [[1, 0], [2, 0]], place: { ...HEAD.place, read: 2, time: 2 }, doubt };
      const kit = new Kit(head);
      kit.ledger.takeOver(found(head, { unclean: false }));
      assertEquals(kit.ledger.draft().head.doubt?.groups, doubt.groups);
    });

    it("passes by what is in front of the first message of a batch that runs, whichever is named first", () => {
      for (const positions of [[103, 105], [105, 103]]) {
        const kit = new Kit();
        const running = new Map(positions.map((position) => [`${position}-${position}`, "n"]));
        kit.ledger.takeOver(found({}, { running, messages: inLog(positions.map(message)) }));
        kit.add(102, 104);
        assertEquals(kit.open, [104], positions.join());
      }
    });

    it("passes by what is in front of one that runs, and nothing that the log has anew at such a position", () => {
      const kit = new Kit();
      kit.ledger.takeOver(found({}, { running: new Map([["105-105", "n"]]), messages: inLog([message(105)]) }));
      kit.add(103);
      kit.ledger.add({ ...message(104), time: 106 });
      assertEquals(kit.open, [104]);
    });

    it("returns what the log has no longer, which is given up", () => {
      const head: Partial<Head> = { open: [[1, 0], [2, 0]], place: { ...HEAD.place, read: 2, time: 2 } };
      const kit = new Kit(head);
      assertEquals(kit.ledger.takeOver(found(head, { messages: inLog([message(2)]) })), ["1"]);
      assertEquals(kit.open, [2]);
    });
  });

  it("goes back with all that is behind the place, also with what is put aside while it goes", () => {
    const kit = new Kit();
    kit.add(101, 102, 103);
    const item = kit.begin().get(101)!;
    kit.ledger.failed(item, { attempts: 1, error: FAILED, dead: NOW });
    kit.ledger.rewind(0, new Set([0]));
    assertEquals([kit.ledger.parked.size, kit.open], [0, []]);
    kit.add(101);
    assertEquals([...kit.begin().keys()], [101]);
  });

  it("joins what runs in a time that grows with its number, not with its square", async () => {
    const taken = (count: number) => {
      const positions = Array.from({ length: count }, (_, at) => at + 1);
      const running = new Map(positions.map((position) => [`${position}-${position}`, "n"]));
      const head: Partial<Head> = {
        open: positions.map((position) => [position, 0]),
        place: { ...HEAD.place, read: count, time: count },
      };
      const given = found(head, { running, messages: inLog(positions.map(keyless)) });
      return leastTime(() => Promise.resolve(void new Kit(head).ledger.takeOver(given)));
    };
    // the growth is the factor by which the time grows for eight times as many messages; measured several times,
    // because the garbage of other tests may be collected during any try
    const growth = async () => await taken(8_000) / Math.max(await taken(1_000), 1);
    assertLess(await chances(5, growth, (times) => times < 24), 24, "64 times would be its square");
  });

  describe("when a node ends", () => {
    it("counts an attempt of what ran there alone, and none of those that ran there together", () => {
      const kit = new Kit();
      kit.add(1, 2, 3);
      const runs = kit.begin();
      kit.ledger.processEnded(runs.get(1)!, "n");
      assertEquals(runs.get(1)!.attempts, 1);
      kit.ledger.processEnded(runs.get(2)!, "n");
      assertEquals([runs.get(1)!.attempts, runs.get(2)!.attempts], [0, 0]);
      kit.ledger.done(runs.get(3)!);
      for (const position of [1, 2]) kit.ledger.retry(runs.get(position)!);
      kit.commit();
      kit.begin();
      assertEquals([...kit.commit().keys()], [1]); // the commit names only message 1, which runs alone
    });
  });
});

describe("Suspicion", () => {
  const last: LastEnd = { running: new Map(), ended: new Set(), unclean: true, end: 1_000 };
  // the methods under test read nothing else of a message
  const items = Array.from({ length: 60 }, (_, n) => ({ id: `${n}`, position: n }) as unknown as Item);

  for (const [commit, most, atOnce] of [[1, 3_000, 1], [300, 3_000, 9], [2_000, 10_001, 16]]) {
    it(`60 suspected messages have begun after ${most} ms where a commit takes ${commit} ms, ${atOnce} at once at most`, () => {
      const suspicion = Suspicion.after(undefined, last, items)!;
      let [now, left, largest]: [number, readonly Item[], number] = [0, items, 0];
      while (left.length > 0) {
        const { begins, later, pause } = suspicion.choose(left, now);
        largest = Math.max(largest, begins.length);
        left = later;
        now += Math.max(commit, begins.length > 0 ? 0 : pause);
      }
      assertEquals([now < most, largest], [true, atOnce], `${now} ms, ${largest} at once`);
    });
  }

  it("messages that are not suspected begin as fast while others are", () => {
    const suspicion = Suspicion.after(undefined, last, items)!;
    for (let [now, left]: [number, readonly Item[]] = [0, items]; left.length > 0; now += 300) {
      left = suspicion.choose(left, now).later;
    }
    const others = Array.from({ length: 60 }, (_, n) => ({ id: `o${n}`, position: 2_000 + n }) as unknown as Item);
    let now = 100_000;
    for (let left: readonly Item[] = others; left.length > 0; now += 300) left = suspicion.choose(left, now).later;
    assertEquals(now - 100_000 < 3_000, true, `${now - 100_000} ms`);
  });

  it("messages that are not suspected begin as fast while one suspect is left, which runs for long", () => {
    const many = Array.from({ length: 600 }, (_, n) => ({ id: `${n}`, position: n }) as unknown as Item);
    const suspicion = Suspicion.after(undefined, last, many)!;
    let now = 0;
    for (let left: readonly Item[] = many; left.length > 0; now += 300) left = suspicion.choose(left, now).later;
    for (const item of many.slice(1)) {
      suspicion.stopped(item);
      suspicion.cleared(item);
    }
    const others = Array.from({ length: 60 }, (_, n) => ({ id: `o${n}`, position: 2_000 + n }) as unknown as Item);
    assertEquals(suspicion.choose(others, now + 100_000).begins.length, 10);
  });

  describe("after many unclean changes of the leader within one doubt", () => {
    const [slow, other, suspect] = items;

    /** Returns the suspicion of a leader before which 13 leaders have crashed, 12 of them while they ran `slow`. */
    function afterCrashes(): Suspicion {
      let suspicion = Suspicion.after(undefined, last, [slow, other, suspect])!;
      for (let n = 0; n < 12; n++) {
        suspicion.choose([slow], 0);
        suspicion = Suspicion.after(suspicion.stored, last, [slow, other, suspect])!;
      }
      return suspicion;
    }

    it("a slow handler holds the others up for less than 2 s, if what ran at the crashes has had an outcome (it was hours)", () => {
      const suspicion = afterCrashes();
      suspicion.stopped(slow);
      suspicion.cleared(slow);
      const next = Suspicion.after({ ...suspicion.stored, begun: [other.id] }, last, [other, suspect])!;
      const { begins } = next.choose([other, suspect], 0);
      assertEquals(begins, [other]);
      assertEquals(next.choose([suspect], 2_000).begins, [suspect]);
    });

    it("a message that ends one node's process after the other holds the others up, those whose messages are handled do not (it was hours)", () => {
      for (const handled of [true, false]) {
        const doubt = new Suspicion(0, []);
        for (let n = 0; n < 13; n++) {
          doubt.processEnded(handled && n < 12 ? items[10 + n] : slow, `node.${n}`, () => {});
        }
        for (const item of items.slice(10, 22)) doubt.cleared(item);
        const next = Suspicion.after({ ...doubt.stored, begun: [slow.id] }, { ...last, unclean: false }, [
          slow,
          other,
        ])!;
        for (const each of [doubt, next]) {
          assertEquals(each.choose([slow], 0).begins, [slow]);
          assertEquals(each.choose([other], 2_000).begins, handled ? [other] : []);
        }
      }
    });

    it("a message that ends each process runs alone for longer and longer, until it is found", () => {
      const suspicion = afterCrashes();
      assertEquals(suspicion.choose([slow, other], 0).begins, [slow]);
      assertEquals(suspicion.choose([other], 3_600_000).begins, []);
    });
  });
});

describe("a limit by key", () => {
  /** Does what the store does once a large message is in it. */
  const unload = (item: Item) => {
    assertEquals(item.place, "parked");
    Object.assign(item, { loaded: false, message: { ...item.message, payload: undefined, meta: undefined } });
  };
  const keyed = (kit: Kit) => {
    const limit = new RunLimit<Item>("L", { running: 1, count: Infinity, ms: Infinity, burst: 1 }, undefined, true);
    kit.category.limits = [{ limit, key: (payload: { of: string }) => payload.of }];
    kit.ledger.refresh(kit.category);
    return () => ["", "a", "b"].filter((key) => limit.gateOf(key, NOW).running > 0);
  };

  it("counts a dead letter that is replayed with a large payload under the key of that payload", () => {
    const kit = new Kit();
    const keys = keyed(kit);
    kit.ledger.add({ ...message(1), payload: { of: "a" } });
    kit.ledger.failed(kit.begin().get(1)!, { attempts: 3, error: FAILED, dead: NOW });
    kit.commit();
    kit.ledger.carryOut(5, { kind: "replay", message: "1-1", dead: NOW, payload: '{"of":"b"}' });
    const draft = kit.ledger.draft();
    draft.entries.forEach(unload);
    kit.ledger.stored(draft);
    assertEquals([[...kit.begin().keys()], keys()], [[1], ["b"]]);
  });

  it("counts one that a new leader has found in the log, and puts into the store, under its key", () => {
    const kit = new Kit();
    const keys = keyed(kit);
    const state = found({}).stored;
    const parked = { position: 1, time: 1, epoch: 0, attempts: 1, due: NOW, dead: 0 };
    const messages = inLog([{ ...message(1), payload: { of: "a" } }]);
    kit.ledger.takeOver(
      found({}, { unclean: false, messages, stored: { ...state, parked: new Map([["1-1", parked]]) } }),
    );
    const draft = kit.ledger.draft();
    draft.entries.forEach(unload);
    kit.ledger.stored(draft);
    assertEquals([[...kit.begin().keys()], keys()], [[1], ["a"]]);
  });
});

describe("a limit of batches", () => {
  function filling() {
    const kit = new Kit({}, { batch: { max: 10, within: 60_000 } });
    const limit = new RunLimit<Item>("L", { running: 5, count: Infinity, ms: Infinity, burst: 1 }, undefined);
    kit.category.limits = [{ limit, key: undefined }];
    kit.ledger.refresh(kit.category);
    kit.add(1, 2);
    assertEquals([kit.begin().size, kit.ledger.filling.get(kit.category)?.length], [0, 2]);
    const batch = (now = NOW) => {
      kit.ledger.begin(() => now);
      kit.ledger.checkSlots();
      return kit.ledger.batch(kit.category, 1_000, () => 1, () => now).map(({ position }) => position);
    };
    return { kit, limit, batch };
  }

  it("that an operator pauses has none begin that waits for its batch to fill, until it is resumed", () => {
    const { kit, limit, batch } = filling();
    limit.override = { limit: "L", paused: { since: NOW } };
    kit.ledger.limitsOverridden();
    assertEquals(batch(), []);
    limit.override = undefined;
    kit.ledger.limitsOverridden();
    assertEquals(batch(), [1, 2]);
  });

  it("that an operator sets to fewer has only so many begin, also of those that wait for their batch to fill", () => {
    const { kit, limit, batch } = filling();
    limit.override = { limit: "L", set: { since: NOW, running: 1 } };
    kit.ledger.limitsOverridden();
    assertEquals(batch(), [1]);
  });

  it("that a handler pauses has none begin that waits for its batch to fill, for that time", () => {
    const { kit, batch } = filling();
    kit.add(3);
    const [first] = kit.ledger.open;
    kit.ledger.pauseLimits(first, NOW + 1_000, NOW);
    assertEquals([batch(), batch(NOW + 1_000)], [[], [1, 2, 3]]);
  });
});

describe("a limit that skips", () => {
  it("has no key left behind before what an earlier leader may have skipped: that would be read again", () => {
    const head: Partial<Head> = { open: [[101, 0], [103, 0]], place: { ...HEAD.place, read: 103, time: 103 } };
    const kit = new Kit(head);
    kit.log.push(101, 102, 103); // 102 was skipped
    const limit = new RunLimit<Item>("skip", { running: 1, count: Infinity, ms: Infinity, burst: 1 }, undefined);
    limit.isCounted = true;
    kit.category.limits = [{ limit, key: undefined, over: "skip" }];
    kit.ledger.refresh(kit.category);
    kit.ledger.takeOver(found(head, { unclean: false }));
    kit.ledger.leaveHotKeys(1);
    assertEquals([kit.open, kit.bring()], [[101, 103], []]);
  });
});

describe("a batch that a silent node runs", () => {
  it("is joined as a whole: none of it counts as handled because a later one of its key runs, too", () => {
    const head: Partial<Head> = { open: [[100, 0], [101, 0]], place: { ...HEAD.place, read: 101, time: 101 } };
    for (const order of [[0, 1], [1, 0]]) {
      const kit = new Kit(head);
      kit.ledger.takeOver(found(head, { unclean: false }));
      kit.ledger.awaitsReports = true;
      kit.ledger.holdBack(() => true);
      assertEquals(kit.begin().size, 0);
      const items = [...kit.ledger.open];
      const running = new Set(items.map(({ id }) => id));
      for (const i of order) kit.ledger.runsAt(items[i], "n", running);
      assertEquals(kit.open, [100, 101]);
      kit.ledger.holdBack(undefined);
      for (const position of [100, 101]) {
        const runs = kit.begin();
        assertEquals([...runs].map(([position, { node }]) => [position, node]), [[position, "n"]]);
        kit.ledger.done(runs.get(position)!);
      }
      assertEquals(kit.open, []);
    }
  });
});

describe("a limit that skips, and a dead letter", () => {
  it("skips beside what waits behind the dead letter of its key, until that is discarded, not beside the dead letter", () => {
    const kit = new Kit();
    const limit = new RunLimit<Item>("skip", { running: 1, count: Infinity, ms: Infinity, burst: 1 }, undefined);
    limit.isCounted = true;
    kit.category.limits = [{ limit, key: undefined, over: "skip" }];
    kit.ledger.refresh(kit.category);
    kit.add(101);
    kit.ledger.failed(kit.begin().get(101)!, { attempts: 3, error: FAILED, dead: NOW });
    kit.commit();
    kit.add(102, 201);
    assertEquals([kit.begin().size, kit.ledger.skipped], [0, 1]);
    kit.ledger.carryOut(5, { kind: "discard", message: "101-101", dead: NOW });
    const item = kit.begin(NOW + 1).get(102)!;
    kit.add(103);
    assertEquals(kit.ledger.skipped, 2);
    kit.ledger.done(item);
    kit.add(202);
    assertEquals([[...kit.begin().keys()], kit.ledger.skipped], [[202], 2]);
    kit.ledger.checkSlots();
  });
});

describe("a message that was handled before earlier ones of its key run again", () => {
  const head: Partial<Head> = { token: 9, open: [[101, 0]], place: { ...HEAD.place, read: 101, time: 101 } };
  const handled: ReportedRun = { token: 5, attempt: 1, outcome: "done" };

  it("runs again, and is no dead letter when that fails, whenever a node says that it has handled it", () => {
    for (const when of ["at the takeover", "later", "unread"]) {
      const isUnread = when === "unread";
      const kit = new Kit(isUnread ? { ...head, open: [], place: HEAD.place } : head);
      const finished = new Map(when === "at the takeover" ? [["101-101", handled]] : []);
      kit.ledger.takeOver(found(isUnread ? { ...head, open: [] } : head, { unclean: false, finished }));
      const [known] = kit.ledger.open;
      if (when !== "at the takeover") assertEquals(kit.ledger.reported("101-101", known, handled, 12), undefined);
      if (isUnread) kit.add(101);
      const item = kit.begin().get(101)!;
      kit.ledger.failedInPlace(item, 1);
      assertEquals(kit.open, [101], when);
      kit.ledger.retry(item);
      assertEquals([...kit.commit().keys(), ...kit.begin().keys()], [101]);
      kit.ledger.failed(item, { attempts: 2, error: FAILED, dead: NOW });
      assertEquals([kit.open, kit.ledger.parked.size], [[], 0], when);
    }
  });

  it("is a dead letter if an operator has edited it since: that run had another text", () => {
    const kit = new Kit(head);
    kit.ledger.takeOver(found(head, { unclean: false, finished: new Map([["101-101", handled]]) }));
    const item = kit.begin().get(101)!;
    item.message = withPayload(item.message, "7", NOW);
    kit.ledger.failed(item, { attempts: 3, error: FAILED, dead: NOW });
    assertEquals(kit.ledger.parked.dead, 1);
  });
});

describe("a run that a leader has joined", () => {
  it("counts one attempt when its node says that it failed, before or behind the answer", () => {
    for (const isAnsweredFirst of [true, false]) {
      const kit = new Kit();
      kit.add(1);
      const item = kit.begin().get(1)!;
      const failed = { ...FAILED, final: false, node: "n" };
      const report = () => kit.ledger.reported(item.id, item, { token: 7, attempt: 1, outcome: failed }, 7)?.then;
      if (!isAnsweredFirst) assertEquals(report(), "nothing");
      kit.ledger.failedInPlace(item, item.attempts + 1);
      if (isAnsweredFirst) assertEquals(report(), "nothing");
      assertEquals(item.attempts, 1);
    }
  });
});

describe("a run that is aborted for a later message", () => {
  it("is not counted as skipped if an earlier run has handled its message, whatever comes of it", () => {
    const ends: ((ledger: Ledger, item: Item) => void)[] = [
      (ledger, item) => ledger.replaced(item),
      (ledger, item) => ledger.notRun(item),
      (ledger, item) => ledger.processEnded(item, "a.1"),
    ];
    for (const isHandled of [true, false]) {
      for (const end of ends) {
        const kit = new Kit();
        kit.add(1);
        const item = kit.begin().get(1)!;
        item.isReplaced = true;
        item.isHandled = isHandled;
        end(kit.ledger, item);
        assertEquals([kit.ledger.skipped, kit.open], [isHandled ? 0 : 1, []]);
      }
    }
  });
});

describe("a limit of which only the newest message waits", () => {
  /** A ledger with such a limit. */
  function limited(batch?: BatchSettings) {
    const kit = new Kit({}, { batch });
    const limit = new RunLimit<Item>("last", { running: 1, count: Infinity, ms: Infinity, burst: 1 }, undefined);
    limit.isCounted = limit.isRanked = true;
    kit.category.limits = [{ limit, key: undefined, over: "last" }];
    kit.ledger.refresh(kit.category);
    return { kit, limit };
  }

  it("keeps none that has been skipped in memory, however many come while one runs", () => {
    const { kit, limit } = limited();
    kit.add(101);
    const [first] = kit.begin().values();
    for (let position = 102; position < 3_000; position++) {
      kit.add(position);
      assertEquals(kit.begin().size, 0);
    }
    const [{ listed, waiting }] = limit.gates;
    assertEquals([kit.ledger.skipped, waiting, kit.open], [2_897, 1, [101, 2_999]]);
    assertLess(listed, 100);
    kit.ledger.done(first);
    assertEquals([...kit.begin().keys()], [2_999]);
    kit.ledger.checkSlots();
  });

  it("keeps none that has been skipped in memory while the subscription is paused, or no node has the handler", () => {
    for (const isPaused of [true, false]) {
      const { kit } = limited();
      kit.ledger.isPaused = isPaused;
      if (!isPaused) kit.category.capable = 0;
      for (let position = 101; position < 1_000; position++) {
        kit.add(position);
        assertEquals(kit.begin().size, 0);
        kit.ledger.checkSlots();
      }
      kit.ledger.isPaused = false;
      kit.category.capable = 1;
      kit.ledger.refresh(kit.category);
      assertEquals([...kit.begin().keys()], [999]);
    }
  });

  it("fills a batch once, however often its message is replaced there", () => {
    const { kit } = limited({ max: 3, within: 1_000 });
    for (const position of [101, 102, 103, 104, 105]) {
      kit.add(position);
      assertEquals(kit.begin().size, 0);
      assertEquals(kit.ledger.filling.get(kit.category)?.map(({ position }) => position), [position]);
      assertEquals(kit.ledger.isFull(kit.category), false);
    }
    kit.ledger.checkSlots();
  });

  /** A ledger of a new leader that has found message 1, which a silent node may run, and reads message 2. */
  function silent(): { readonly kit: Kit; readonly first: Item } {
    const head: Partial<Head> = { open: [[1, 0]], place: { ...HEAD.place, read: 1, time: 1 } };
    const kit = new Kit(head);
    const limit = new RunLimit<Item>("last", { running: 1, count: Infinity, ms: Infinity, burst: 1 }, undefined);
    limit.isCounted = limit.isRanked = true;
    kit.category.limits = [{ limit, key: undefined, over: "last" }];
    kit.ledger.refresh(kit.category);
    kit.ledger.takeOver(found(head, { unclean: false }));
    const [first] = kit.ledger.open;
    kit.ledger.holdBack(() => true);
    kit.add(2);
    assertEquals([kit.ledger.skipped, kit.open], [0, [1, 2]]);
    return { kit, first };
  }

  it("skips none that a silent node may run: it is joined when that node says that it runs it", () => {
    const { kit, first } = silent();
    kit.ledger.runsAt(first, "n", new Set([first.id]));
    kit.ledger.holdBack(undefined);
    assertEquals([...kit.begin()].map(([position, { node }]) => [position, node]), [[1, "n"]]);
    kit.ledger.checkSlots();
    kit.ledger.done(first);
    assertEquals([[...kit.begin().keys()], kit.ledger.skipped], [[2], 0]);
  });

  it("skips it when nobody runs it", () => {
    const { kit } = silent();
    kit.ledger.holdBack(undefined);
    assertEquals([[...kit.begin().keys()], kit.ledger.skipped, kit.open], [[2], 1, [2]]);
    kit.ledger.checkSlots();
  });
});
