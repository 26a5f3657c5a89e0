import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Change } from "../../ports/key_value_store.ts";
import type { Alarm } from "../../contract/nodes/alarms.ts";
import type { NodeStats } from "../../contract/nodes/node_stats.ts";
import { systemClock } from "../../ports/clock.ts";
import { NodeBook } from "./node_book.ts";
import type { NoAnswer, Pong, SourceAsker } from "../dashboard_source.ts";

const SILENCE: NoAnswer = { type: "silence" };
const BOUNCE: NoAnswer = { type: "bounce" };
const PONG: Pong = { type: "pong", ms: 2, load: [3, 4] };

class Asker implements SourceAsker {
  asked: string[] = [];
  ping = (endpoint: string): Promise<Pong | NoAnswer> => {
    this.asked.push(`ping ${endpoint}`);
    return Promise.resolve(this.pong);
  };
  pong: Pong | NoAnswer = PONG;
  told: { readonly type: "stats"; readonly stats: NodeStats } | NoAnswer = SILENCE;

  stats(endpoint: string): Promise<{ readonly type: "stats"; readonly stats: NodeStats } | NoAnswer> {
    this.asked.push(`stats ${endpoint}`);
    return Promise.resolve(this.told);
  }

  [Symbol.dispose](): void {}
}

function stats(up: number, cpu: number): NodeStats {
  const counts = { inFlight: 5, queued: 6, moreContracts: 0, locks: 0, cycles: 2 };
  const lists = { contracts: [], peers: [], leads: [] };
  return { id: "a", endpoint: "a.1", service: "s", now: 1, up, ...counts, ...lists, process: { rss: 50_400_000, cpu } };
}

function alarm(kind: Alarm["kind"], about: string): Alarm {
  return { kind, about, severity: "error", count: 1, message: "", since: 1, docs: "" };
}

function record(id: string, nonce = "1", more: object = {}): Extract<Change, { type: "put" }> {
  const load = { inFlight: 0, queued: 0 };
  const rest = {
    handles: ["Q", "Export-run.called"],
    startedAt: 1,
    lastSeen: 1,
    metadata: {},
    load,
    server: "",
    protocol: 1,
    version: "1",
  };
  const value = JSON.stringify({ id, endpoint: `${id}.${nonce}`, service: "s", ...rest, ...more });
  return { type: "put", key: id, value, revision: 1 };
}

/** Makes a book of nodes that has the records of these nodes. */
function bookOf(
  ids: readonly string[],
  onStats: (stats: NodeStats, before: NodeStats | undefined) => void = () => {},
) {
  const book = new NodeBook(systemClock, onStats);
  for (const id of ids) book.take(record(id));
  return { book, asker: new Asker() };
}

describe("NodeBook", () => {
  it("a node whose record has expired is there as long as its process answers, and says that the store is full", async () => {
    const { book, asker } = bookOf(["a"]);
    const full = alarm("store-full", "NATS");
    asker.told = { type: "stats", stats: { ...stats(1_000, 100), alarms: [full] } };
    await book.ask(asker, 1);
    for (const type of ["expire", "vanish"] as const) book.take({ type, key: "a", revision: 2 });
    await book.ask(asker, 1);
    assertEquals([book.counts().live, book.handlers.get("Q")?.now.length], [1, 1]);
    assertEquals(book.alarms, [full]);
    asker.told = asker.pong = BOUNCE;
    await book.ask(asker, 1);
    assertEquals(book.counts(), { live: 0, suspect: 0, gone: 1, drained: 0 });
  });

  it("a node that left while the dashboard was cut off has drained, unless others say that it is gone (it had crashed)", async () => {
    const { book } = bookOf(["a", "b", "c"]);
    const gone = alarm("node-gone", "s/c");
    const bounce = () => Promise.resolve(BOUNCE);
    let [up, alarms]: [number, readonly Alarm[]] = [1_000, []];
    const asker: SourceAsker = {
      ping: bounce,
      stats: (endpoint) =>
        endpoint === "a.1" ? Promise.resolve({ type: "stats", stats: { ...stats(up, 100), alarms } }) : bounce(),
      [Symbol.dispose]: () => {},
    };
    book.take({ type: "vanish", key: "c", revision: 1 });
    await book.ask(asker, 1);
    assertEquals(book.counts(), { live: 1, suspect: 0, gone: 1, drained: 1 });
    assertEquals([book.observed.map(({ label }) => label), book.alarms], [["s/a", "s/b"], []]);
    [up, alarms] = [2_000, [gone]];
    book.take({ type: "vanish", key: "b", revision: 1 });
    await book.ask(asker, 1);
    assertEquals([book.counts().gone, book.alarms], [1, [gone]]);
  });

  it("a node that left while the link of the dashboard carried nothing has drained (it had crashed)", async () => {
    const { book, asker } = bookOf(["a", "b"]);
    for (const answer of [SILENCE, SILENCE, BOUNCE]) {
      asker.told = asker.pong = answer;
      await book.ask(asker, 1);
    }
    assertEquals(book.counts(), { live: 0, suspect: 2, gone: 0, drained: 0 });
    book.take({ type: "vanish", key: "a", revision: 1 });
    await book.ask(asker, 1);
    assertEquals(book.counts(), { live: 0, suspect: 0, gone: 1, drained: 1 });
  });

  it("a node that others say is gone is not, while it is seen here, nor a contract without one that it handles", async () => {
    const { book, asker } = bookOf(["a", "b"]);
    const alarms = [alarm("node-gone", "s/b"), alarm("node-gone", "s/c"), alarm("no-node", "Q")];
    alarms.push(alarm("no-node", "Pay"), alarm("no-node", "workflow Export"));
    // not dropped: to see a lag takes longer than the tool looks
    const lagging = alarm("subscription-lagging", "s/mails");
    asker.told = { type: "stats", stats: { ...stats(1_000, 100), alarms: [...alarms, lagging] } };
    await book.ask(asker, 1);
    assertEquals([...new Set(book.alarms.map(({ about }) => about))], ["s/c", "Pay", "s/mails"]);
  });

  it("a node that answers what it has counted is live, with its load, memory and share of a core", async () => {
    const counted: NodeStats[] = [];
    const { book, asker } = bookOf(["a"], (stats) => counted.push(stats));
    for (const [up, cpu] of [[1_000, 100], [2_000, 350]]) {
      asker.told = { type: "stats", stats: stats(up, cpu) };
      await book.ask(asker, 1);
    }
    const [{ state, busy, queued, memory, cpu }] = book.view(9).shown;
    assertEquals([state, busy, queued, memory, cpu], ["live", 5, 6, 50_000_000, 0.25]);
    assertEquals([counted.length, book.cycles, book.counts()], [2, 2, { live: 1, suspect: 0, gone: 0, drained: 0 }]);
    assertEquals(asker.asked, ["stats a.1", "ping a.1", "stats a.1"]);
  });

  it("what a node has counted comes once, with its answer before, and alone after it was gone", async () => {
    const counted: (readonly [number, number | undefined])[] = [];
    const { book, asker } = bookOf(["a"], ({ up }, before) => counted.push([up, before?.up]));
    const answers = [1_000, 2_000, 2_000, undefined, 3_000, 4_000];
    for (const up of answers) {
      asker.told = up === undefined ? BOUNCE : { type: "stats", stats: stats(up, 100) };
      asker.pong = BOUNCE;
      await book.ask(asker, 1);
    }
    assertEquals(counted, [[1_000, undefined], [2_000, 1_000], [3_000, undefined], [4_000, 3_000]]);
  });

  it("a node that does not answer what it has counted is pinged", async () => {
    const { book, asker } = bookOf(["a"]);
    for (let n = 0; n < 3; n++) await book.ask(asker, 1);
    const [{ state, ping, busy }] = book.view(9).shown;
    assertEquals([state, ping, busy], ["live", 2, 3]);
    assertEquals(asker.asked, ["stats a.1", "ping a.1", "ping a.1", "ping a.1"]);
  });

  it("a silent node is suspect at the second time, and live again when it answers", async () => {
    const { book, asker } = bookOf(["a"]);
    asker.pong = SILENCE;
    const states: string[] = [];
    for (let n = 0; n < 2; n++) {
      await book.ask(asker, 1);
      states.push(book.view(9).shown[0].state);
    }
    asker.pong = PONG;
    await book.ask(asker, 1);
    assertEquals([...states, book.view(9).shown[0].state], ["live", "suspect", "live"]);
  });

  it("a process that has ended is gone, with or without its record, also when that is listed again", async () => {
    const { book, asker } = bookOf(["a", "b"]);
    asker.pong = BOUNCE;
    await book.ask(asker, 1);
    book.take({ type: "delete", key: "a", revision: 2 });
    for (let n = 0; n < 2; n++) {
      assertEquals(book.counts(), { live: 0, suspect: 0, gone: 2, drained: 0 });
      assertEquals(book.present, []);
      book.take(record("a"));
      await book.ask(asker, 1);
    }
    book.take(record("a", "2"));
    assertEquals(book.counts(), { live: 1, suspect: 0, gone: 1, drained: 0 });
    assertEquals(book.view(1).shown.map(({ id, state }) => [id, state]), [["b", "gone"]]);
  });

  it("a process that had no connection, or no record, for a while is live again when it answers", async () => {
    const { book, asker } = bookOf(["a", "b"]);
    asker.pong = BOUNCE;
    await book.ask(asker, 1);
    assertEquals(book.counts(), { live: 0, suspect: 0, gone: 2, drained: 0 });
    book.take({ type: "delete", key: "b", revision: 2 });
    asker.pong = PONG;
    asker.asked = [];
    await book.ask(asker, 1);
    assertEquals([book.counts(), asker.asked], [{ live: 1, suspect: 0, gone: 1, drained: 0 }, [
      "stats a.1",
      "ping a.1",
    ]]);
    book.take(record("b"));
    await book.ask(asker, 1);
    assertEquals(book.counts(), { live: 2, suspect: 0, gone: 0, drained: 0 });
  });

  it("one that is gone stays so while nothing answers for it", async () => {
    const { book, asker } = bookOf(["a"]);
    asker.pong = BOUNCE;
    await book.ask(asker, 1);
    book.take(record("b", "1"));
    asker.pong = SILENCE;
    for (let n = 0; n < 3; n++) await book.ask(asker, 1);
    assertEquals(book.view(9).shown.map(({ id, state }) => [id, state]), [["b", "suspect"], ["a", "gone"]]);
  });

  it("a node that deletes its own record has drained; one whose record another deletes has ended, however lately it answered", async () => {
    const { book, asker } = bookOf(["a", "b", "c"]);
    for (const bounced of [false, true]) {
      // in the second round the page hears of the process's end before it hears that the record is deleted
      if (bounced) asker.pong = BOUNCE;
      await book.ask(asker, 1);
      for (const [key, note] of [["a", undefined], ["b", "signed off"], ["c", "nonsense"]] as const) {
        book.take(record(key));
        book.take({ type: "delete", key, revision: 2, ...(note === undefined ? {} : { note }) });
      }
      assertEquals(book.view(9).shown.map(({ id, state }) => `${id} ${state}`), ["a gone", "c gone", "b drained"]);
      for (const key of ["a", "b", "c"]) book.take(record(key, "2"));
    }
  });

  it("a contract has signed off when all of its nodes have", async () => {
    const { book, asker } = bookOf(["a", "b"]);
    const away = (key: string, note?: string) => {
      book.take({ type: "delete", key, revision: 2, ...(note === undefined ? {} : { note }) });
      return book.handlers.get("Q");
    };
    assertEquals(away("a", "signed off")?.now.length, 1);
    asker.pong = asker.told = BOUNCE;
    await book.ask(asker, 1);
    assertEquals([book.handlers.get("Q")?.signedOff, away("b", "signed off")?.signedOff], [false, true]);
    book.take(record("c"));
    assertEquals(away("c")?.signedOff, false);
  });

  it("the first node of a service with another version or metadata was deployed, and says what changed", () => {
    const clock = new VirtualClock(1_000);
    const deployed: string[] = [];
    const onChange = (what: string, { id }: { id: string }, more = "") => {
      if (what === "deployed") deployed.push(`${id}: ${more}`);
    };
    const book = new NodeBook(clock, () => {}, onChange);
    const node = (id: string, host: string, metadata: object, more: object = {}) =>
      book.take(record(id, "1", { metadata: { host, ...metadata }, startedAt: 2_000, ...more }));
    node("a", "h1", { release: "41", zone: "n" });
    node("b", "h2", { release: "41", zone: "n" });
    node("old", "h3", { release: "40" }, { startedAt: 1 }); // the node `old` started before anybody looked at the page
    node("other", "h4", { release: "7" }, { service: "t" });
    assertEquals(deployed, []);
    node("c", "h1", { release: "42\u202e", zone: "n" });
    node("d", "h2", { release: "42\u202e", zone: "n" });
    node("e", "h2", { release: "42\u202e", zone: "n" }, { version: "2" });
    assertEquals(deployed, ["c: release 42\\u{202e}, before 41, 40", "e: Catga 2, before 1"]);
  });

  it("a clock is fast or slow by that of NATS; without it, by the clock in the middle: none of one node", async () => {
    const book = new NodeBook(new VirtualClock(1_000_000), () => {});
    book.take(record("a"));
    const asker = new Asker();
    asker.told = { type: "stats", stats: stats(1, 1) };
    await book.ask(asker, 1);
    assertEquals(book.observed.map(({ ahead }) => ahead), [0]);
    book.serverAhead = 0;
    assertEquals(book.observed.map(({ ahead }) => ahead), [-999_999]);
    book.serverAhead = -999_999;
    assertEquals(book.observed.map(({ ahead }) => ahead), [0]);
  });

  it("many nodes are asked in turns, and what is no record is left out", async () => {
    const { book, asker } = bookOf(Array.from({ length: 600 }, (_, n) => `n${n}`));
    for (const value of ["", "{}", "null", "[1]"]) book.take({ type: "put", key: "x", value, revision: 1 });
    const asked = new Set<string>();
    for (let n = 0; n < 3; n++) {
      asker.asked = [];
      await book.ask(asker, 1);
      const endpoints = new Set(asker.asked.map((text) => text.split(" ")[1]));
      assertEquals(endpoints.size, 256);
      for (const endpoint of endpoints) asked.add(endpoint);
    }
    assertEquals([asked.size, book.view(200).shown.length, book.view(200).total], [600, 200, 600]);
  });
});
