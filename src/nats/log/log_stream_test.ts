/** Tests of a log's streams on NATS: schedules, several servers, settings, permissions. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { requireNatsServer, startNatsCluster, startNatsServer } from "../../../tools/nats_server.ts";
import { askAgain } from "../../../test/support/ask_again.ts";
import { beforeItsTime } from "../../../test/support/before_its_time.ts";
import { chances } from "../../../test/support/chances.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { CatgaError } from "../../error.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { NatsEventLog } from "./log_stream.ts";
import { createStream, openTransport } from "../harness_suite.ts";
import { follow, OPTIONS, sequenceOf, startLogClient, store, STREAM, textOf, TIMEOUT } from "../log_harness_suite.ts";
import { PATIENT } from "../../../test/support/patient.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };
const timeout = TIMEOUT;

describe("NatsLogStream: a stream that was lost", await requireNatsServer(), () => {
  it(
    "is made again with greater sequences than were acknowledged, or are read behind, however many a second",
    slow,
    async () => {
      await using client = await startLogClient();
      const { stream, transport, log } = client;
      const last = async () =>
        (await Promise.all(
          Array.from({ length: 5_000 }, () => stream.append("log.a", "x", { timeout })),
        )).map(sequenceOf).at(-1)!;
      const remove = () => transport.connection.request(`$JS.API.STREAM.DELETE.${STREAM}`, "", PATIENT);
      let before = await last();
      await remove();
      await eventually(
        "it is there again",
        async () => (await stream.append("log.a", "x", { timeout })).type === "stored",
      );
      const [first] = await stream.read("log.>", { from: 0 });
      assertGreater(first.sequence, before);
      before = await last() + 1_000_000;
      await remove();
      // a reader goes on behind a sequence that is higher than all sequences that this process has seen
      const other = await log.open("other", { ...OPTIONS, subjects: ["other.>"], replicas: 1 });
      await transport.connection.request("$JS.API.STREAM.DELETE.other", "", PATIENT);
      const after = { created: (await other.state())?.created ?? "", sequence: before + 1_000_000 };
      const reader = other.follow({ subjects: ["other.>"], after, onMessage() {}, onStart() {}, onFault() {} });
      await eventually("it is read again", () => reader.mark !== undefined);
      assertGreater(sequenceOf(await other.append("other.a", "x", { timeout })), after.sequence);
      reader.close();
    },
  );
});

describe("NatsLogStream: schedules", await requireNatsServer(), () => {
  it(
    "at: is appended once, at its time, with its headers, and its ttl; also over restarts of the server",
    slow,
    async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const { texts, sequences } = follow(stream, { subjects: ["log.>"] });
      const due = stream.serverTime + 2_000;
      for (const [i, at] of [due, due + 500, stream.serverTime - 5_000].entries()) {
        const schedule = { at, target: "log.a", ttl: 3_600_000 };
        sequenceOf(await stream.append(`at.${i}`, `${i}`, { timeout, schedule, headers: { x: `${i}` } }));
      }
      await client.restart({ storeDir: client.server.storeDir }, "SIGTERM");
      await client.restart({ storeDir: client.server.storeDir }, "SIGKILL");
      await eventually("all of them", () => texts.length >= 3);
      assertEquals([...texts].sort(), ["0", "1", "2"]);
      const stored = await stream.read("log.a", { from: 0 });
      assertEquals(stored.map(({ sequence }) => sequence), sequences);
      assertEquals(stored.map(({ headers }) => headers!.x), texts);
      assertEquals(stored.map(({ headers }) => headers!["Nats-TTL"]), ["3600s", "3600s", "3600s"]);
      const first = stored.find(({ headers }) => headers!.x === "0")!;
      assertGreater(first.time, due - 50);
      assertEquals(await stream.read("at.>", { from: 0 }), []);
      // wait for the end of the reading: no schedule may fire a second time until then
      await store(stream, "end");
      await eventually("the end", () => texts.at(-1) === "end");
      assertEquals(texts.length, 4);
    },
  );

  it(
    "at: the same subject replaces it; cancelled by compare-and-set it does not fire, and a cancellation that comes too late is a conflict",
    slow,
    async () => {
      await beforeItsTime(1_500, async (lead) => {
        await using client = await startLogClient();
        const { stream } = client;
        const { texts } = follow(stream);
        const at = stream.serverTime + lead;
        const make = async (id: string, text: string) =>
          sequenceOf(await stream.append(`at.${id}`, text, { timeout, schedule: { at, target: "log.a" } }));
        await make("replaced", "first");
        await make("replaced", "second");
        const cancelled = await make("cancelled", "never");
        const late = await make("late", "late");
        const cancel = (id: string, expect: number) =>
          stream.append(`at.${id}`, "", { timeout, expect, rollup: true, ttl: 1_000 });
        const { type } = await cancel("cancelled", cancelled);
        if (stream.serverTime >= at) return false;
        assertEquals(type, "stored");
        await eventually("both", () => texts.length === 2);
        assertEquals((await cancel("late", late)).type, "conflict");
        await client.restart({ storeDir: client.server.storeDir });
        await store(stream, "end");
        await eventually("the end", () => texts.at(-1) === "end");
        assertEquals(texts.slice(0, -1).sort(), ["late", "second"]);
        return true;
      });
    },
  );

  it("cron: is appended again and again, until it is cancelled", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { texts } = follow(stream);
    const schedule = { at: "*/1 * * * * *", zone: "Europe/Berlin", target: "log.a" };
    sequenceOf(await stream.append("at.tick", "tick", { timeout, schedule }));
    await eventually("two", () => texts.length >= 2);
    const last = (await stream.last("at.tick", { latest: true }))!;
    const cancel = () => stream.append("at.tick", "", { timeout, expect: last.sequence, rollup: true, ttl: 1_000 });
    assertEquals((await cancel()).type, "stored");
    // those that are stored, not those that are read: a reader that stood still is behind
    const ticks = await stream.read("log.a", { from: 0 });
    const [before, { time }] = [ticks.length, ticks.at(-1)!];
    await eventually("two more seconds", () => stream.serverTime > time + 2_500);
    await store(stream, "end");
    await eventually("the end", () => texts.at(-1) === "end");
    assert(texts.length <= before + 2, `${texts.length} after ${before}`);
  });

  it("a pattern, a zone or a target that the server does not accept: not stored, INVALID_MESSAGE", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    for (
      const schedule of [
        { at: "never", target: "log.a" },
        { at: "0 0 5 * * *", zone: "Europe/Atlantis", target: "log.a" },
        { at: stream.serverTime, target: "other.a" },
      ]
    ) {
      const appended = await stream.append("at.x", "", { timeout, schedule });
      assertEquals(appended.type, "not stored", JSON.stringify(schedule));
      if (appended.type !== "not stored") continue;
      assertEquals([appended.transient, appended.error.code], [false, "INVALID_MESSAGE"]);
    }
  });

  it("a stream that was opened without schedules refuses them", slow, async () => {
    await using client = await startLogClient();
    const other = await client.log.open("other", { subjects: ["other.>"], replicas: 1, schedules: false });
    const appended = await other.append("other.at", "", { timeout, schedule: { at: 0, target: "other.a" } });
    assertEquals(appended.type, "not stored");
    if (appended.type === "not stored") assertEquals([appended.transient, appended.error.code], [false, "UNSUPPORTED"]);
  });
});

describe("NatsLogStream: a server without schedules", await requireNatsServer(), () => {
  it("the stream is made without them, and an append with one is UNSUPPORTED, with the version", slow, async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    const { connection } = transport;
    const info = { ...connection.info!, version: "2.11.9" };
    Object.defineProperty(connection, "info", { get: () => info });
    const stream = await new NatsEventLog(transport).open(STREAM, OPTIONS);
    assertEquals(stream.abilities, { at: false, cron: false, version: "2.11.9" });
    for (const [at, needed] of [[stream.serverTime, "2.12"], ["0 0 5 * * *", "2.14"]] as const) {
      const appended = await stream.append("at.a", "", { timeout, schedule: { at, target: "log.a" } });
      assert(appended.type === "not stored" && !appended.transient, JSON.stringify(appended));
      assertEquals(appended.error.code, "UNSUPPORTED");
      assertStringIncludes(appended.error.message, "2.11.9");
      assertStringIncludes(appended.error.message, needed);
    }
    const answer = await connection.request(`$JS.API.STREAM.INFO.${STREAM}`, "", PATIENT);
    const { config } = answer.json<{ config: Record<string, unknown> }>();
    assertEquals([config.discard, config.allow_msg_schedules ?? false], ["new", false]);
    assertEquals((await stream.state())?.discard, "new");
    await store(stream, "all else works");
    await transport.close();
  });
});

describe("NatsLogStream: three servers", await requireNatsServer(), () => {
  it(
    "the leader is killed during append and follow: nothing acknowledged is lost, nothing comes twice",
    slow,
    async () => {
      await using cluster = await startNatsCluster(3);
      await using client = await startLogClient({
        server: cluster.servers[0],
        nats: cluster.urls,
        replicas: 3,
      });
      const { stream } = client;
      const { texts, sequences, losses } = follow(stream);
      const leader = async () =>
        (await askAgain(client.transport.connection, `$JS.API.STREAM.INFO.${STREAM}`))
          .json<{ cluster?: { leader?: string } }>().cluster?.leader ?? "";
      for (let i = 0; i < 50; i++) await store(stream, `${i}`);
      const killed = Number((await leader()).slice(1));
      const appending = (async () => {
        for (let i = 50; i < 150; i++) await store(stream, `${i}`);
      })();
      await cluster.servers[killed].kill("SIGKILL");
      await appending;
      await eventually("all of them", () => texts.length >= 150);
      assertEquals(texts, Array.from({ length: 150 }, (_, i) => `${i}`));
      assertEquals(sequences, [...new Set(sequences)].sort((a, b) => a - b));
      assertEquals(losses.filter((lost) => lost !== undefined), []);
      assertEquals((await stream.last("log.a", { latest: true }))!.sequence, sequences.at(-1));
    },
  );
});

describe("NatsEventLog.open", await requireNatsServer(), () => {
  const harmful: readonly (readonly [setting: string, config: Record<string, unknown>])[] = [
    ["max_age", { max_age: 3_600_000_000_000 }],
    ["max_msgs", { max_msgs: 1_000 }],
    ["max_msgs_per_subject", { max_msgs_per_subject: 1 }],
    ["max_msg_size", { max_msg_size: 1_000 }],
    ["retention", { retention: "interest" }],
    ["storage", { storage: "memory" }],
    ["subjects", { subjects: ["log.>", "other.>"] }],
    ["sources", { sources: [{ name: "evil" }], allow_msg_schedules: false }],
    ["duplicate_window", { duplicate_window: 1_000_000_000 }],
    ["deny_delete", { deny_delete: true }],
  ];
  const made = {
    name: STREAM,
    subjects: OPTIONS.subjects,
    discard: "old",
    num_replicas: 1,
    storage: "file",
    retention: "limits",
    allow_rollup_hdrs: true,
    allow_msg_ttl: true,
    allow_direct: true,
    allow_msg_schedules: true,
  };
  it("a stream with settings that could lose messages is refused, with the setting in the error", slow, async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    for (const [setting, config] of harmful) {
      await createStream(transport, { ...made, ...config });
      const error = await assertRejects(() => new NatsEventLog(transport).open(STREAM, OPTIONS), CatgaError);
      assertEquals(error.code, "LOG_MISMATCH");
      assertEquals((error.details as { setting: string }).setting, setting);
      assertStringIncludes(error.message, setting);
      await transport.connection.request(`$JS.API.STREAM.DELETE.${STREAM}`, "", PATIENT);
    }
    const config = { ...made, max_bytes: 1_000_000, compression: "s2", description: "ours", metadata: { a: "b" } };
    await createStream(transport, config);
    await new NatsEventLog(transport).open(STREAM, OPTIONS);
    await transport.close();
  });

  it(
    "a stream that was made without schedules, as by an older server, is given them, and keeps its messages",
    slow,
    async () => {
      await using server = await startNatsServer({
        config: `authorization { users: [
        { user: node, password: p, permissions: { publish: { deny: "$JS.API.STREAM.UPDATE.>" } } }
        { user: admin, password: p } ] }`,
      });
      const open = async (user: string, schedules: boolean) => {
        const transport = await openTransport(`nats://${user}:p@127.0.0.1:${server.port}`);
        const stream = await new NatsEventLog(transport).open(STREAM, { ...OPTIONS, schedules });
        const at = () => stream.append("at.a", "", { timeout, schedule: { at: stream.serverTime, target: "log.a" } });
        return { stream, at, [Symbol.asyncDispose]: () => transport.close() };
      };
      await using old = await open("admin", false);
      await store(old.stream, "kept");
      await using node = await open("node", true);
      await store(node.stream, "of the node");
      const refused = await node.at();
      assert(refused.type === "not stored" && !refused.transient, JSON.stringify(refused));
      assertEquals(refused.error.code, "UNSUPPORTED");
      assertStringIncludes(refused.error.message, `may not publish to $JS.API.STREAM.UPDATE.${STREAM}`);
      await using admin = await open("admin", true);
      sequenceOf(await admin.at());
      assertEquals((await admin.stream.read("log.>", { from: 0, most: 2 })).map(textOf), ["kept", "of the node"]);
    },
  );

  it("sequences begin with the server's time in ms", slow, async () => {
    const before = Date.now();
    await using client = await startLogClient();
    const { first, last, now, messages } = (await client.stream.state())!;
    const after = Date.now();
    assertEquals([last, messages], [first - 1, 0]);
    assert(before - 30_000 < first && first <= now && now < after + 30_000, `${[before, first, now, after]}`);
    const { serverTime } = client.stream;
    assert(after - 30_000 < serverTime && serverTime < Date.now() + 30_000, `${serverTime} after ${after}`);
    assert(client.stream.abilities!.at);
  });

  it("settings that become harmful while it is used: appends are refused until they are mended", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { config } = await client.ask<{ config: Record<string, unknown> }>(`STREAM.INFO.${STREAM}`);
    await client.ask(`STREAM.UPDATE.${STREAM}`, { ...config, max_age: 3_600_000_000_000 });
    // a reconnect makes the log read the stream's settings again
    await client.restart({ storeDir: client.server.storeDir });
    await eventually("the refusal", async () => {
      const appended = await stream.append("log.a", "", { timeout });
      return appended.type === "not stored" && appended.error.code === "LOG_MISMATCH";
    });
    await client.ask(`STREAM.UPDATE.${STREAM}`, config);
    await store(stream, "again");
  });

  it(
    "settings that become harmful are noticed by each reading of the state (only by that every 30 s)",
    slow,
    async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const { config } = await client.ask<{ config: Record<string, unknown> }>(`STREAM.INFO.${STREAM}`);
      await client.ask(`STREAM.UPDATE.${STREAM}`, { ...config, max_age: 3_600_000_000_000 });
      const error = await assertRejects(() => stream.state(), CatgaError);
      assertEquals(error.code, "LOG_MISMATCH");
      const appended = await stream.append("log.a", "", { timeout });
      assert(appended.type === "not stored" && appended.error.code === "LOG_MISMATCH", JSON.stringify(appended));
      await client.ask(`STREAM.UPDATE.${STREAM}`, config);
      assertEquals((await stream.state())?.messages, 0);
      await store(stream, "again");
    },
  );

  it("state: undefined for a stream that does not exist", slow, async () => {
    await using client = await startLogClient();
    await client.ask(`STREAM.DELETE.${STREAM}`);
    assertEquals(await client.stream.state(), undefined);
  });

  it("without JetStream, and without permissions: the error says what to do", slow, async () => {
    await using bare = await startNatsServer({ jetstream: false });
    const transport = await openTransport(bare.url);
    const error = await assertRejects(() => new NatsEventLog(transport).open(STREAM, OPTIONS), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertStringIncludes(error.message, "no JetStream");
    await transport.close();
  });

  it("a user without a permission: the error of each operation names it", slow, async () => {
    const api = `$JS.API`;
    const needed = [
      `${api}.STREAM.INFO.${STREAM}`,
      `${api}.STREAM.CREATE.${STREAM}`,
      `${api}.STREAM.MSG.GET.${STREAM}`,
      `${api}.STREAM.PURGE.${STREAM}`,
      `${api}.CONSUMER.CREATE.${STREAM}.>`,
    ];
    const users = needed.map((subject, i) =>
      `{ user: u${i}, password: p, permissions: { publish: { deny: ${JSON.stringify(subject)} } } }`
    );
    users.push(`{ user: deaf, password: p, permissions: { subscribe: { deny: "_INBOX.>" } } }`);
    await using server = await startNatsServer({ config: `authorization { users: [ ${users.join("\n")} ] }` });
    for (const [i, subject] of needed.entries()) {
      const transport = await openTransport(`nats://u${i}:p@127.0.0.1:${server.port}`);
      const errors: string[] = [];
      const note = (error: unknown) => errors.push((error as Error).message);
      try {
        const stream = await new NatsEventLog(transport).open(STREAM, OPTIONS);
        const { faults } = follow(stream);
        await stream.last("log.a").catch(note);
        await stream.last("log.a", { latest: true }).catch(note);
        await stream.read("log.a", { from: 0 }).catch(note);
        await stream.purge("log.a").catch(note);
        if (subject.includes("CONSUMER")) {
          // the reader tries again and again, but reports the fault once
          let tried = 0;
          transport.onViolation(({ subject }) => tried += subject.includes("CONSUMER.CREATE") ? 1 : 0);
          await eventually("the fault, and more tries", () => faults.length > 0 && tried > 2);
        }
        for (const fault of faults) note(fault);
        // a direct get that finds nothing is followed by the same read of the leader
        if (i > 1) assertEquals(new Set(errors).size, 1, `${subject}: ${errors}`);
      } catch (error) {
        if (i > 1) throw error;
        note(error);
      }
      // the first user may not create the stream, which does not exist yet, and so cannot open the log; for later users
      // the stream exists
      assert(errors.some((message) => message.includes(subject)), `${subject}: ${errors}`);
      await transport.close();
    }
  });

  it(
    "a user who may not use direct gets reads the same from the leader, tries a direct get once for each connection, and reports nothing",
    slow,
    async () => {
      const limited = `{ user: limited, password: p, permissions: { publish: { deny: "$JS.API.DIRECT.GET.>" } } }`;
      await using server = await startNatsServer({
        config: `authorization { users: [ ${limited}, { user: all, password: p } ] }`,
      });
      const nats = (user: string) => `nats://${user}:p@127.0.0.1:${server.port}`;
      await using direct = await startLogClient({ server, nats: nats("all") });
      const errors: unknown[] = [];
      const transport = await openTransport(nats("limited"), (error) => errors.push(error));
      const refused: string[] = [];
      transport.onViolation(({ subject }) => refused.push(subject));
      const stream = await new NatsEventLog(transport).open(STREAM, OPTIONS);
      for (let n = 0; n < 300; n++) {
        await direct.stream.append(n % 7 === 0 ? `log.seven.${n}` : "log.rest", `${n}`, { timeout: TIMEOUT });
      }
      const { sequence } = (await direct.stream.last("log.rest"))!;
      // delete one message, and then many in a row
      await direct.stream.purge("log.seven.140");
      await direct.stream.purge("log.rest", { before: sequence - 150 });
      const plain = (found: readonly (StoredMessage | undefined)[]) =>
        found.map((message) => {
          if (message === undefined) return undefined;
          const { sequence, time, subject, headers } = message;
          return { sequence, time, subject, text: textOf(message), headers };
        });
      /**
       * Reads messages up to `most`, with several reads: on a busy machine a read ends at its time limit before it is
       * full.
       */
      const read = async (log: LogStream, subject: string, from: number, most: number) => {
        const found: StoredMessage[] = [];
        for (let next = from; found.length < most; next = found.at(-1)!.sequence + 1) {
          const part = await log.read(subject, { from: next, most: most - found.length });
          if (part.length === 0) break;
          found.push(...part);
        }
        return plain(found);
      };
      for (const subject of ["log.>", "log.seven.*", "log.rest", "log.seven.7", "log.none"]) {
        for (const from of [0, sequence - 250, sequence - 20, sequence, sequence + 1]) {
          for (const most of [1, 2, 100, 1_000]) {
            const wanted = await read(direct.stream, subject, from, most);
            assertEquals(await read(stream, subject, from, most), wanted, `${subject} ${from} ${most}`);
          }
        }
      }
      for (const subject of ["log.rest", "log.none"]) {
        assertEquals(plain([await stream.last(subject)]), plain([await direct.stream.last(subject)]));
      }
      const once = [`$JS.API.DIRECT.GET.${STREAM}`, `$JS.API.DIRECT.GET.${STREAM}.log.rest`];
      assertEquals([refused, errors], [once, []]);
      const afterReconnect = async () => {
        refused.length = 0;
        const { generation } = transport.status;
        await transport.connection.reconnect();
        await eventually("the reconnect", () => transport.status.generation > generation);
        for (let n = 0; n < 2; n++) await stream.read("log.>", { from: 0, most: 1 });
        return [...refused];
      };
      // on a busy machine the server may end the connection once more, or refuse the first one late
      assertEquals(await chances(2, afterReconnect, (refused) => refused.length === 1), [once[0]]);
      await transport.close();
    },
  );
});
