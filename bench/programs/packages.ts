/**
 * NATS's packages beside Catga's own parts, for docs/internals/packages.md: costs of both, or the part of the cases in
 * which the package does not do what Catga needs of it.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Buffer } from "node:buffer";
import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { type ConnectionOptions, headers as makeHeaders, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { NatsEventLog } from "../../src/nats/log/log_stream.ts";
import { openNats } from "../../src/nats/open.ts";
import { DirectMessage, MessageTimes } from "../../src/nats/stream/stored_message.ts";
import { answer } from "./answer.ts";
import * as broken from "./broken_links.ts";

/** The package and Catga's part, in one unit. */
interface Both {
  readonly package: number;
  readonly own: number;
}

/** As long as a watch is waited for, in ms. */
const SILENCE_LIMIT = 30_000;
/** Requests, appends and reads under way at once. */
const AT_ONCE = 256;
const TEXT = JSON.stringify({ id: "o-123456", sku: "abc", qty: 3, at: 1_234_567 });

const url = process.argv[2];
const catga = await openNats(url, { onError() {}, onForbidden() {}, onNotice() {} });
// the same connection for both: its options are Catga's
const nc = catga.transport.connection;
const js = jetstream(nc, { timeout: 30_000 });
const jsm = await jetstreamManager(nc, { checkAPI: false });
let made = 0;

answer({
  async publish({ count }: { count: number }): Promise<Both> {
    const name = await makeStream();
    const log = await new NatsEventLog(catga.transport).open(nextName(), {
      subjects: [`own${made}.>`],
      replicas: 1,
      schedules: false,
      lasting: true,
    });
    return {
      package: await processorOf(count, (i) => js.publish(`${name}.k${i % 900}`, TEXT)),
      own: await processorOf(count, async (i) => {
        const { type } = await log.append(`own${made}.k${i % 900}`, TEXT, { timeout: 30_000 });
        if (type !== "stored") throw new Error(`an append was ${type}`);
      }),
    };
  },

  async reads({ count }: { count: number }): Promise<Both> {
    const name = await makeStream();
    const { seq } = await js.publish(`${name}.a`, TEXT);
    return {
      package: await processorOf(count, async () => {
        const message = await jsm.streams.getMessage(name, { seq });
        if (message?.data.length !== TEXT.length) throw new Error("another message was read");
      }),
      own: await processorOf(count, async () => {
        const answer = await nc.request(`$JS.API.STREAM.MSG.GET.${name}`, JSON.stringify({ seq }), { timeout: 30_000 });
        const { message } = answer.json<{ message: { data: string } }>();
        if (Buffer.from(message.data, "base64").length !== TEXT.length) throw new Error("another message was read");
      }),
    };
  },

  /** Messages with headers, published without an answer. */
  async "core-publish"({ count }: { count: number }): Promise<Both> {
    const subject = nextName();
    const reply = `${subject}.reply`;
    const published = async (publish: (id: string) => void) => {
      const before = process.cpuUsage();
      for (let i = 0; i < count; i++) {
        publish(`o-${i}`);
        if (i % AT_ONCE === 0) await nc.flush();
      }
      await nc.flush();
      const { user, system } = process.cpuUsage(before);
      return (user + system) * 1_000 / count;
    };
    const theirs = (id: string) => {
      const headers = makeHeaders();
      headers.set("Nats-Msg-Id", id);
      nc.publish(subject, TEXT, { headers, reply });
    };
    const own = (id: string) =>
      catga.transport.publishText({ subject, reply, headers: { "Nats-Msg-Id": id }, text: TEXT });
    for (const publish of [theirs, own]) await published(publish);
    return { package: await published(theirs), own: await published(own) };
  },

  /** The processor time to read the four headers of the server, and the time, of each message of a batch. */
  async "core-headers"({ count }: { count: number }): Promise<Both> {
    const name = await makeStream({ allow_direct: true });
    for (let i = 0; i < AT_ONCE; i++) await js.publish(`${name}.a`, TEXT);
    const messages: Msg[] = [];
    const inbox = nc.subscribe(`${name}-inbox`, { callback: (_, message) => void messages.push(message) });
    const batch = JSON.stringify({ seq: 1, batch: AT_ONCE, next_by_subj: ">" });
    const read = async (one: (message: Msg) => number | undefined) => {
      let [spent, done] = [0, 0];
      while (done < count) {
        // new ones each time: the package keeps the headers that it has decoded
        messages.length = 0;
        nc.publish(`$JS.API.DIRECT.GET.${name}`, batch, { reply: `${name}-inbox` });
        await until(() => messages.length > AT_ONCE); // the last one is the end of the batch
        const before = process.cpuUsage();
        for (let n = 0; n < AT_ONCE; n++) {
          if (one(messages[n]) !== n + 1) throw new Error("another message was read");
        }
        const { user, system } = process.cpuUsage(before);
        spent += user + system;
        done += AT_ONCE;
      }
      return spent * 1_000 / done;
    };
    const theirs = ({ headers }: Msg) => {
      Date.parse(headers!.get("Nats-Time-Stamp"));
      return headers!.get("Nats-Subject") === "" ? 0 : Number(headers!.get("Nats-Sequence"));
    };
    const times = new MessageTimes();
    const own = (message: Msg) => DirectMessage.of(message, times)?.sequence;
    for (const one of [theirs, own]) await read(one);
    const both = { package: await read(theirs), own: await read(own) };
    inbox.unsubscribe();
    return both;
  },

  /** The part of the addresses of which a client knows nothing after it has connected to the second one. */
  async "core-servers"(): Promise<number> {
    const connection = await connect({ servers: ["127.0.0.1:1", url], noRandomize: true });
    const known = connection.getServers().length;
    await connection.close();
    return 1 - known / 2;
  },

  "core-clock": () => broken.dialsNotAfterAClockChange(url),
  "core-dead-link": () => broken.keepsADeadLink(url),
  "core-outage": () => broken.losesWhatItAccepts(url, nc, nextName()),
  "core-lost": () => broken.rejectsAtTheNextDial(url, nc, nextName()),
  "node-dial": () => broken.keepsTheSocketOfADial(),

  async silence(): Promise<Record<"kv-watch" | "ordered-push" | "own", number>> {
    const [watch, push, own] = await Promise.all([silenceOf(kvWatch), silenceOf(orderedPush), silenceOf(ownWatch)]);
    return { "kv-watch": watch, "ordered-push": push, own };
  },

  /** The part of 20 messages in a stream that was made again that never came. */
  async "ordered-pull"(): Promise<number> {
    const name = await makeStream();
    const consumer = await js.consumers.get(name, { deliver_policy: DeliverPolicy.All });
    const got = new Set<string>();
    const messages = await consumer.consume({
      callback: (message) => void got.add(message.string()),
      idle_heartbeat: 500,
      expires: 30_000,
    });
    for (let i = 0; i < 12; i++) await js.publish(`${name}.a`, `old ${i}`);
    await until(() => got.size === 12);
    await jsm.streams.delete(name);
    await jsm.streams.add({ name, subjects: [`${name}.>`] });
    for (let i = 0; i < 8; i++) await js.publish(`${name}.a`, `new ${i}`);
    // the consumer begins anew meanwhile
    await sleep(12_000);
    for (let i = 8; i < 20; i++) await js.publish(`${name}.a`, `new ${i}`);
    await until(() => got.has("new 19"));
    messages.stop();
    return 1 - [...got].filter((text) => text.startsWith("new")).length / 20;
  },

  /** The part of the requests whose subject does not name the consumer, of consumers with two filters. */
  async "consumers-add"(): Promise<number> {
    const name = await makeStream();
    const subjects = await subjectsOf(() =>
      jsm.consumers.add(name, {
        name: "reader",
        deliver_subject: "_INBOX.reader",
        filter_subjects: [`${name}.a`, `${name}.b`],
      })
    );
    const created = subjects.filter((subject) => subject.startsWith("$JS.API.CONSUMER.CREATE."));
    return created.filter((subject) => !subject.includes("reader")).length / created.length;
  },

  /** The part of the answers without a message that are taken for one. */
  async "any-answer"(): Promise<number> {
    const apiPrefix = nextName();
    nc.subscribe(`${apiPrefix}.STREAM.MSG.GET.any`, { max: 1, callback: (_, request) => void request.respond("{}") });
    const { streams } = await jetstreamManager(nc, { checkAPI: false, apiPrefix });
    return await streams.getMessage("any", { seq: 1 }).then((message) => message === null ? 0 : 1, () => 0);
  },

  /** The part of the entries that have no ttl after they were updated. */
  async "kv-update"(): Promise<number> {
    const { kv, name } = await makeBucket();
    const revision = await kv.create("lease", TEXT, "60s");
    // what a program would write: the package ignores it
    await (kv.update as (...given: unknown[]) => Promise<number>)("lease", TEXT, revision, 5_000, "60s");
    const stored = await jsm.streams.getMessage(`KV_${name}`, { last_by_subj: `$KV.${name}.lease` });
    return (stored?.header?.get("Nats-TTL") ?? "") === "" ? 1 : 0;
  },

  /** Requests of a creation in the place of an entry that was removed, as of a lock that was released. */
  async "kv-create"(): Promise<Both> {
    const name = nextName();
    const bucket = await catga.store.open(name);
    const kv = await new Kvm(nc).open(name);
    await kv.create("theirs", TEXT, "60s");
    await kv.purge("theirs", { ttl: "60s" });
    const revision = await bucket.create("own", TEXT, { ttl: 60_000 });
    await bucket.delete("own", { revision });
    const [theirs, own] = [
      await subjectsOf(() => kv.create("theirs", TEXT, "60s")),
      await subjectsOf(() => bucket.create("own", TEXT, { ttl: 60_000 })),
    ];
    return { package: theirs.length, own: own.length };
  },

  /** The part of the removals that do not give the revision of their marker. */
  async "kv-purge"(): Promise<number> {
    const { kv } = await makeBucket();
    const previousSeq = await kv.create("lease", TEXT, "60s");
    const marker: unknown = await kv.purge("lease", { ttl: "1s", previousSeq });
    return typeof marker === "number" ? 0 : 1;
  },

  /** The part of the entries that are read without their ttl. */
  async watch(): Promise<number> {
    const { kv } = await makeBucket();
    await kv.create("lease", TEXT, "60s");
    const entry = await kv.get("lease") as Record<string, unknown> | null;
    return entry !== null && ("ttl" in entry || "headers" in entry || "header" in entry) ? 0 : 1;
  },

  /** The part of the batches that end without an error although a message was lost on the way. */
  async getbatch(): Promise<number> {
    const name = await makeStream({ allow_direct: true });
    for (let i = 0; i < 5; i++) await js.publish(`${name}.a`, String(i));
    const connection = await connect({ servers: url });
    const { direct } = await jetstreamManager(connection, { checkAPI: false });
    const subscribe = connection.subscribe.bind(connection);
    // the third message is lost, as in a full buffer of a socket
    connection.subscribe = (subject, options) => {
      let count = 0;
      return subscribe(subject, {
        ...options,
        callback: (error, message) => ++count === 3 ? undefined : options?.callback?.(error, message),
      });
    };
    try {
      let count = 0;
      for await (const _ of await direct.getBatch(name, { seq: 1, batch: 10 })) count++;
      return count < 5 ? 1 : 0;
    } catch {
      return 0;
    } finally {
      await connection.close();
    }
  },

  /** ms of a request of 256 in one turn, client and responder in this process, with Catga's `pendingLimit`. */
  async "transport-deno"({ count }: { count: number }): Promise<Both> {
    const [theirs, own] = await Promise.all([
      import("@nats-io/transport-deno"),
      import("../../src/nats/connection/deno_transport.ts"),
    ]);
    return { package: await timeOfRequests(theirs.connect, count), own: await timeOfRequests(own.connect, count) };
  },
});

function nextName(): string {
  return `own${++made}`;
}

async function makeStream(more: { allow_direct?: boolean } = {}): Promise<string> {
  const name = `theirs${++made}`;
  await jsm.streams.add({ name, subjects: [`${name}.>`], ...more });
  return name;
}

async function makeBucket(): Promise<{ kv: KV; name: string }> {
  const name = `bucket${++made}`;
  return { kv: await new Kvm(nc).create(name, { history: 1, markerTTL: 1_000 }), name };
}

/** ns of this process's processor for each, with many under way at once. */
async function processorOf(count: number, one: (i: number) => Promise<unknown>): Promise<number> {
  await allOf(count / 4, one);
  const before = process.cpuUsage();
  await allOf(count, one);
  const { user, system } = process.cpuUsage(before);
  return (user + system) * 1_000 / count;
}

async function allOf(count: number, one: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) await one(next++);
  }));
}

/** Starts a watch; gives the stream that it watches, and how to write there. */
type Watch = (seen: () => void) => Promise<{ stream: string; put(): Promise<unknown>; stop(): unknown }>;

const kvWatch: Watch = async (seen) => {
  const { kv, name } = await makeBucket();
  const watch = await kv.watch();
  (async () => {
    for await (const _ of watch) seen();
  })().catch(() => {});
  return { stream: `KV_${name}`, put: () => kv.put("k", TEXT), stop: () => watch.stop() };
};

const orderedPush: Watch = async (seen) => {
  const stream = await makeStream();
  const settings = { deliver_policy: DeliverPolicy.New, idle_heartbeat: 500_000_000 };
  const consumer = await js.consumers.getPushConsumer(stream, settings);
  const messages = await consumer.consume({ callback: () => seen() });
  return { stream, put: () => js.publish(`${stream}.a`, TEXT), stop: () => messages.stop() };
};

const ownWatch: Watch = async (seen) => {
  const name = `own${++made}`;
  const bucket = await catga.store.open(name);
  const end = new AbortController();
  await bucket.watch("", seen, { signal: end.signal });
  // another client writes: a watch may get what its own store writes without the server
  const kv = await new Kvm(nc).open(name);
  return { stream: `KV_${name}`, put: () => kv.put("k", TEXT), stop: () => end.abort() };
};

/** ms for which a watch says nothing after its consumer was deleted, while an entry is written twice a second. */
async function silenceOf(watch: Watch): Promise<number> {
  let count = 0;
  const { stream, put, stop } = await watch(() => count++);
  const writing = setInterval(() => put().catch(() => {}), 500);
  try {
    await until(() => count > 2);
    for await (const { name } of jsm.consumers.list(stream)) await jsm.consumers.delete(stream, name);
    // what was under way has come then
    await nc.flush();
    await sleep(50);
    const before = count;
    const start = performance.now();
    while (count === before && performance.now() - start < SILENCE_LIMIT) await sleep(20);
    return performance.now() - start;
  } finally {
    clearInterval(writing);
    stop();
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition() && performance.now() - start < 20_000;) await sleep(20);
}

/** The subjects of the requests of a call. */
async function subjectsOf(call: () => Promise<unknown>): Promise<string[]> {
  const subjects: string[] = [];
  const request = nc.request;
  nc.request = function (subject, ...rest) {
    subjects.push(subject);
    return request.call(nc, subject, ...rest);
  };
  try {
    await call();
  } finally {
    nc.request = request;
  }
  return subjects;
}

async function timeOfRequests(
  open: (options: ConnectionOptions) => Promise<NatsConnection>,
  count: number,
): Promise<number> {
  // an option of nats-core that its type does not have
  const options = { servers: url, noAsyncTraces: true, pendingLimit: 4_096 } as ConnectionOptions;
  const [responder, client] = [await open(options), await open(options)];
  const subject = `echo${++made}`;
  responder.subscribe(subject, { callback: (_, message: Msg) => void message.respond(message.data) });
  await responder.flush();
  const turns = async (count: number) => {
    for (let i = 0; i < count; i += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, () => client.request(subject, TEXT, { timeout: 30_000 })));
    }
  };
  await turns(count / 4);
  const start = performance.now();
  await turns(count);
  const ms = (performance.now() - start) / count;
  await Promise.all([client.close(), responder.close()]);
  return ms;
}
