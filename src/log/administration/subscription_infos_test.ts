import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogState, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { type LeftKey, messageId, type OpenEntry } from "../format/commit.ts";
import { groupText } from "../format/group.ts";
import { categorySubject, messagePattern, requestSubject, subscriptionKey } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { endOf, positionOf } from "../format/group_text.ts";
import { type GivenParked, headOf, parkedState } from "./stored_suite.ts";
import type { StoredSubscription } from "./stored_subscriptions.ts";
import { announced, subscriptionInfos } from "./subscription_infos.ts";

const NAMESPACE = "default";
const STATE: LogState = {
  created: "c",
  first: 1,
  last: 90,
  messages: 90,
  bytes: 9,
  maxBytes: undefined,
  discard: "old",
  now: 10_000,
};

/** Makes a stream with messages of these sequences and contracts, each stored at 100 times its sequence in ms. */
function streamWith(
  messages: readonly (readonly [sequence: number, category: string, data?: Uint8Array])[],
  state = STATE,
) {
  const asked: string[] = [];
  const found = (subject: string): StoredMessage[] =>
    messages.map(([sequence, category, data = new Uint8Array()]) => ({
      sequence,
      subject: categorySubject(NAMESPACE, category),
      time: sequence * 100,
      data,
      headers: undefined,
    })).filter((each) =>
      subject === messagePattern(NAMESPACE, streamName(NAMESPACE, "log")) || each.subject === subject
    );
  const stream = {
    name: streamName(NAMESPACE, "log"),
    state: () => Promise.resolve(state),
    last: (subject: string) => {
      asked.push(subject);
      return Promise.resolve(found(subject).at(-1));
    },
    read: (subject: string, { from }: { from: number }) =>
      Promise.resolve(found(subject).filter(({ sequence }) => sequence >= from).slice(0, 1)),
  };
  // cast: the tested code calls no other methods of a stream
  return { stream: stream as unknown as LogStream, asked };
}

interface Progress {
  readonly read?: number;
  readonly created?: string;
  readonly open?: readonly OpenEntry[];
  readonly began?: Readonly<Record<string, number>>;
  readonly name?: string;
  readonly parked?: readonly GivenParked[];
  readonly left?: readonly LeftKey[];
}

function subscription(
  { read = 50, created = "c", open = [], began = { Placed: 0 }, name = "billing", parked = [], left }: Progress = {},
): StoredSubscription {
  const behind = left === undefined ? {} : { left };
  const head = headOf({ place: { created, read: endOf(read), time: 0, epoch: 0 }, open, began, ...behind });
  const states = new Map(parked.map(parkedState).map((state) => [messageId(state), state]));
  const state = { id: ["t", 1] as const, head, writer: "", parked: states };
  return { key: subscriptionKey("shop", name), service: "shop", name, sequence: 1, state };
}

function node(id: string, service: string, ...subscriptions: string[]): NodeInfo {
  const times = { startedAt: 0, lastSeen: 0 };
  const rest = { handles: [], metadata: {}, load: { inFlight: 0, queued: 0 }, server: "", protocol: 1, version: "0" };
  return { id, endpoint: `${id}.1`, service, subscriptions, ...times, ...rest };
}

const clock = () => new VirtualClock(20_000);

async function infoOf(
  stream: LogStream | undefined,
  progress: Progress,
  nodes: readonly NodeInfo[] = [],
  kept = keptWith(),
) {
  const stored = [subscription(progress)];
  const [info] = await subscriptionInfos({
    namespace: NAMESPACE,
    clock: clock(),
    kept,
    streams: [stream],
    nodes,
    stored,
  });
  return info;
}

/** Makes a stream of subscriptions that has this request only; without arguments, no request. */
function keptWith(sequence = 0, subject = "") {
  const read = (asked: string, { from }: { from: number }) =>
    Promise.resolve(asked === subject && from <= sequence ? [{ sequence }] : []);
  // cast: the tested code calls no other methods of a stream
  return { read, subjects: () => Promise.resolve([]) } as unknown as LogStream;
}

describe("subscriptionInfos", () => {
  it("lag is the way to the last message of its contracts; oldest is the age of the first one not read", async () => {
    const { stream } = streamWith([[40, "Placed"], [60, "Placed"], [70, "Placed"], [90, "Paid"]]);
    const { position, lag, oldest } = await infoOf(stream, {});
    assertEquals({ position, lag, oldest }, { position: endOf(50), lag: 20, oldest: 10_000 - 6_000 });
    const read = await infoOf(stream, { read: 70 });
    assertEquals([read.lag, read.oldest], [0, 0]);
  });

  it("what stood in the log when a category was added is not behind", async () => {
    const { stream } = streamWith([[60, "Placed"], [80, "Paid"]]);
    const { lag, oldest } = await infoOf(stream, { began: { Placed: 0, Paid: endOf(80) } });
    assertEquals({ lag, oldest }, { lag: 10, oldest: 4_000 });
  });

  it("messages that have expired are not in the lag", async () => {
    const { stream } = streamWith([[85, "Placed"]], { ...STATE, first: 81 });
    assertEquals((await infoOf(stream, { read: 10 })).lag, 5);
  });

  it("a message that is open is the oldest one, though it is in front of the position", async () => {
    const { stream } = streamWith([[30, "Placed"], [60, "Placed"]]);
    const { lag, open, oldest } = await infoOf(stream, { open: [[positionOf(30, 0), 1], [positionOf(31, 0), 1]] });
    assertEquals({ lag, open, oldest }, { lag: 10, open: 2, oldest: 7_000 });
  });

  it("ends: how soon the first that is unread or open is deleted, in the last quarter of its time; not one for good", async () => {
    const endsWith = async (unread?: number, opened?: number) => {
      const head = { endpoint: "a.1", first: 0, sentAt: 0, schedule: undefined };
      const group = (keep?: number) => new TextEncoder().encode(groupText({ ...head, keep }, "[1]"));
      const { stream } = streamWith([[40, "Placed", group(opened)], [60, "Placed", group(unread)]]);
      const { ends } = await infoOf(stream, { open: [[positionOf(40, 0), 1]] });
      return ends;
    };
    // the time is 10 s after the stream's beginning: the unread and the open message are 4 s and 6 s old
    assertEquals(await endsWith(), undefined);
    assertEquals(await endsWith(0, 0), undefined);
    assertEquals(await endsWith(5_000, 9_000), 1_000);
    assertEquals(await endsWith(5_400, 7_000), 1_000);
  });

  it("of keys that are left behind the furthest counts: for the lag, and for what is deleted soon", async () => {
    const head = { endpoint: "a.1", first: 0, sentAt: 0, schedule: undefined };
    const group = (keep?: number) => new TextEncoder().encode(groupText({ ...head, keep }, "[1]"));
    const { stream } = streamWith([[40, "Placed", group(7_000)], [45, "Placed", group()], [60, "Placed", group()]]);
    const left = [["Placed", "b", endOf(47)], ["Placed", "a", positionOf(40, 0) - 1]] as const;
    const { lag, ends, behind } = await infoOf(stream, { left });
    assertEquals({ lag, ends, behind }, { lag: 21, ends: 1_000, behind: { count: 2, contract: "Placed", key: "a" } });
    const all = await infoOf(stream, {});
    assertEquals([all.lag, all.ends, all.behind], [10, undefined, undefined]);
  });

  it("of another stream it has read nothing, and nothing there is open", async () => {
    const { stream } = streamWith([[12, "Paid"], [30, "Placed"], [60, "Placed"]]);
    const progress = { created: "before", open: [[positionOf(10, 0), 1]] as const };
    const { position, lag, open, oldest } = await infoOf(stream, progress);
    assertEquals({ position, lag, open, oldest }, { position: 0, lag: 60, open: 0, oldest: 7_000 });
  });

  it("without a stream its position is that of its last commit", async () => {
    const { position, lag, oldest } = await infoOf(undefined, {});
    assertEquals({ position, lag, oldest }, { position: endOf(50), lag: 0, oldest: 0 });
  });

  it("counts what waits and what is dead; of these, what waits has an age", async () => {
    const waiting = [1, 2].map((position) => ({ position, time: 20_000 - position }));
    const parked = [...waiting, { position: 3, time: 0, dead: 77 }];
    const { retrying, dead, oldest } = await infoOf(undefined, { parked });
    assertEquals({ retrying, dead, oldest }, { retrying: 2, dead: 1, oldest: 2 });
  });

  it("requested: a request stands behind those that its leader has carried out", async () => {
    const subject = requestSubject(NAMESPACE, subscriptionKey("shop", "billing"), "*");
    const { requests } = subscription().state.head;
    assertEquals((await infoOf(undefined, {}, [], keptWith(requests, subject))).requested, false);
    assertEquals((await infoOf(undefined, {}, [], keptWith(requests + 1, subject))).requested, true);
  });

  it("its contracts are those that live nodes handle, of its service; if none do, those that it began with", async () => {
    const nodes = [
      node("a", "shop", "billing/Placed", "billing/Newer", "mails/Sent"),
      node("b", "shop", "billing/Placed"),
      node("c", "desk", "billing/Other"),
    ];
    const live = await infoOf(undefined, { began: { Gone: 0, Placed: 0 } }, nodes);
    assertEquals([live.contracts, live.abandoned, live.leader], [["Newer", "Placed"], false, "a"]);
    const abandoned = await infoOf(undefined, { began: { Placed: 0, Gone: 0 } }, [nodes[2]]);
    assertEquals([abandoned.contracts, abandoned.abandoned, abandoned.leader], [["Gone", "Placed"], true, undefined]);
  });

  it("come in the order of what is stored, however many, and ask once for each category", async () => {
    const { stream, asked } = streamWith([[60, "Placed"]]);
    const names = Array.from({ length: 40 }, (_, n) => `s${n}`);
    const stored = names.map((name) => subscription({ name }));
    const sources = { namespace: NAMESPACE, clock: clock(), kept: keptWith(), streams: [stream], nodes: [], stored };
    const infos = await subscriptionInfos(sources);
    assertEquals(infos.map(({ name }) => name), names);
    assertEquals(asked, [categorySubject(NAMESPACE, "Placed")]);
  });

  it("those to events of entities are compared with the stream of entities alone", async () => {
    const { stream } = streamWith([[60, "Placed"]]);
    assertEquals((await infoOf(stream, { name: "billing:entities" })).lag, 0);
    const first = { sequence: 60, time: 6_000, subject: "catga.default.entity.Box.1", data: new Uint8Array() };
    const entities = {
      name: streamName(NAMESPACE, "entities"),
      state: () => Promise.resolve(STATE),
      read: (subject: string, { from }: { from: number }) =>
        Promise.resolve(subject === "catga.default.entity.Box.*" && from <= 60 ? [first] : []),
    };
    const began = { "Box.Put": endOf(50) };
    // cast: the tested code calls no other methods of a stream
    const info = await infoOf(entities as unknown as LogStream, { name: "billing:entities", read: 0, began });
    assertEquals([info.lag, info.oldest], [90, 4_000]);
  });
});

describe("announced", () => {
  it("a node's contracts of one subscription; queued commands are of no service", () => {
    const worker = node("a", "shop", "@/Mail", "billing/Paid", "billing/Placed", "mails/Placed");
    assertEquals(announced(worker, "shop", "billing"), ["Paid", "Placed"]);
    assertEquals(announced(worker, "desk", "billing"), []);
    assertEquals(announced(worker, "@", "Mail"), ["Mail"]);
    const { subscriptions: _, ...without } = worker;
    assertEquals(announced(without, "shop", "billing"), []);
  });
});
