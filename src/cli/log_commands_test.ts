/**
 * Tests of the commands about the log, on a real server. The commits (stored progress of subscriptions) and the parked
 * messages are written by the test itself.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, beforeEach, describe, it } from "node:test";
import { groupText, itemText } from "../log/format/group.ts";
import {
  appendTo,
  type GivenParked,
  headOf,
  NAMESPACE,
  parkedState,
  putter,
} from "../log/administration/stored_suite.ts";
import { type Head, messageId } from "../log/format/commit.ts";
import {
  categorySubject,
  commitSubject,
  logSubjects,
  parkedSubject,
  requestSubject,
  scheduleSubject,
  subscriptionKey,
} from "../log/format/names.ts";
import { streamName } from "../log/format/stream_name.ts";
import { endOf, positionOf } from "../log/format/group_text.ts";
import { streamOptions } from "../log/format/streams.ts";
import { readRequest } from "../log/format/subscription_request.ts";
import { NatsEventLog } from "../nats/log/log_stream.ts";
import { openBareLink } from "../../test/support/bare_link.ts";
import type { LogState, LogStream } from "../ports/event_log.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { HIDDEN_TEXT } from "../../test/support/hidden_characters.ts";

const HOSTILE = `${HIDDEN_TEXT.toWellFormed()}\nforged line`;
const HOUR = 3_600_000;
const ERROR = { code: "BROKE", message: "the printer" };

describe("the tool and the log", await requireNatsServer(), () => {
  let server: NatsServer;
  let client: Awaited<ReturnType<typeof openBareLink>>;
  let stream: LogStream;
  let state: LogState;
  let subscriptions: LogStream;
  let put: ReturnType<typeof putter>;
  /** Sequences in the log of three messages of the contract Paid. */
  let sequences: number[];
  const run = (...args: string[]) => cliHere(args, { NATS_URL: server.url });
  const json = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const rows = (text: string) => text.trimEnd().split("\n").map((line) => line.split(/ {2,}/));

  /**
   * Returns the commit (stored progress) of a subscription that has read the first message; all members that `more`
   * does not set are those of a new subscription.
   */
  const read = (more: Partial<Head> = {}): Partial<Head> => ({
    leader: "",
    began: { Paid: 0 },
    place: { created: state.created, read: endOf(sequences[0]), time: 0, epoch: 0 },
    ...more,
  });
  const position = (i: number) => positionOf(sequences[i], 0);
  const dead = (i: number, more: Partial<GivenParked> = {}, id = `o${i}`): GivenParked => ({
    position: position(i),
    time: began - 3 * HOUR,
    attempts: 10,
    dead: began - HOUR,
    error: ERROR,
    ...more,
    message: { category: "Paid", id, key: "k", payload: { i }, meta: { h: { a: "b" } } },
  });
  /** Beginning of the test, in ms since 1970. Stored times are relative to it, because the tool prints their ages. */
  let began = 0;
  const waiting = (i: number) => dead(i, { dead: 0, attempts: 0 });
  const billing = (...parked: GivenParked[]) => put("billing", parked, read({ leader: "shop-1.x" }));
  /** Returns the requests that a subscription got, in order. */
  const requests = async (service: string, name: string) => {
    const subject = requestSubject(NAMESPACE, subscriptionKey(service, name), "*");
    return (await subscriptions.read(subject, { from: 0 })).map(({ data }) =>
      readRequest(new TextDecoder().decode(data))
    );
  };
  const requested = (kind: "replay" | "discard", i: number) => {
    const { position, time, dead: since } = parkedState(dead(i));
    return { kind, message: messageId({ position, time }), dead: since };
  };

  before(async () => {
    server = await startNatsServer();
    client = await openBareLink(server.url, "test");
    for (const args of [["subscriptions"], ["dead"], ["schedules"]]) {
      const { code, out, err } = await run(...args);
      assertEquals([code, out], [0, ""]);
      assertMatch(err, /^(no subscriptions|no dead letters|nothing is scheduled) in the namespace default at 127/);
    }
    stream = await new NatsEventLog(client.transport).open(streamName("default", "log"), {
      subjects: logSubjects("default"),
      replicas: 1,
      schedules: true,
    });
    sequences = [];
    for (let i = 0; i < 3; i++) {
      const item = itemText({ text: `{"i":${i}}`, key: "k", id: `o${i}`, meta: undefined });
      const head = { endpoint: "pub.1", first: i, sentAt: Date.now(), keep: undefined, schedule: undefined };
      const appended = await stream.append(categorySubject("default", "Paid"), groupText(head, item), {
        timeout: 60_000,
      });
      assert(appended.type === "stored");
      sequences.push(appended.sequence);
    }
    state = (await stream.state())!;
    const options = streamOptions(NAMESPACE, "subscriptions", 1);
    subscriptions = await new NatsEventLog(client.transport).open(streamName(NAMESPACE, "subscriptions"), options);
    const nodes = await client.store.open("catga_default_nodes");
    const node = {
      ...{ id: "shop-1", endpoint: "shop-1.x", service: "shop", handles: [], subscriptions: ["billing/Paid"] },
      ...{ startedAt: 1, lastSeen: 1, metadata: {}, load: { inFlight: 0, queued: 0 } },
      ...{ server: "", protocol: 1, version: "0" },
    };
    await nodes.put("shop-1", JSON.stringify(node), { ttl: HOUR });
  });
  beforeEach(async () => {
    began = Date.now();
    await subscriptions.purge("catga.default.sub.>");
    put = putter((subject, text) => appendTo(subscriptions, subject, text));
    await billing(dead(0), waiting(1));
  });
  after(async () => {
    await client?.transport.close();
    await server?.stop();
  });

  it("subscriptions: how far each is, with its leader; abandoned ones too; what cannot be read is left out", async () => {
    await put("renamed", [], { service: "old", ...read({ place: headOf().place }) });
    await appendTo(subscriptions, commitSubject(NAMESPACE, "no.record"), "nonsense");
    const { code, out, err } = await run("subscriptions");
    assertEquals([code, err], [0, ""]);
    const [titles, old, billing, ...others] = rows(out);
    assertEquals(titles, ["SERVICE", "NAME", "LAG", "OLDEST", "RETRYING", "DEAD", "LEADER", "CONTRACTS"]);
    assertEquals([...old.slice(0, 3), ...old.slice(4)], ["old", "renamed", "3", "0", "0", "(abandoned)", "Paid"]);
    assertEquals(billing, ["shop", "billing", "2", "3 h 0 m", "1", "1", "shop-1", "Paid"]);
    assertEquals(others, []);
    const [, info] = json((await run("subscriptions", "--json")).out);
    assertEquals([info.position, info.lag, info.contracts], [endOf(sequences[0]), 2, ["Paid"]]);
    assertEquals(rows((await run("subscriptions", "--service", "shop")).out).length, 2);
    const none = [await run("subscriptions", "--service", "x"), await run("schedules", "--contract", "x")];
    assertEquals(none.map(({ code, err }) => [code, err.split(" in ")[0]]), [
      [0, "no subscriptions match"],
      [0, "nothing that is scheduled matches"],
    ]);
  });

  it("subscriptions pause and resume: it is shown, with its reason, until it is resumed", async () => {
    const paused = await run("subscriptions", "pause", "billing", "--reason", "the bank is closed", "--for", "10m");
    assertEquals([paused.code, paused.out, paused.err], [0, "paused: shop/billing\n", ""]);
    const { out, err } = await run("subscriptions");
    assertEquals(rows(out).at(-1)?.slice(6), ["shop-1 (paused)", "Paid"]);
    assertMatch(err, /^shop\/billing: paused by an operator since \S+Z, until \S+Z: the bank is closed\n$/);
    const [info] = json((await run("subscriptions", "--json")).out);
    assertEquals([info.paused.reason, info.paused.until - info.paused.since], ["the bank is closed", 600_000]);
    assertEquals(
      (await run("subscriptions", "resume", "shop/billing", "--json")).out,
      '{"resumed":{"service":"shop","name":"billing"}}\n',
    );
    assertEquals(rows((await run("subscriptions")).out).at(-1)?.slice(6), ["shop-1", "Paid"]);
    const wrong = [["pause"], ["stop", "billing"], ["resume", "billing", "--for", "1s"], [
      "pause",
      "billing",
      "--for",
      "x",
    ]];
    for (const args of wrong) assertEquals((await run("subscriptions", ...args)).code, 2, args.join(" "));
    assertEquals((await run("subscriptions", "pause", "nothing")).code, 1);
  });

  it("subscriptions remove: only one that no node handles, with what it has parked", async () => {
    await put("renamed", [dead(0), dead(1)], read());
    await run("rewind", "renamed", "start");
    await run("subscriptions", "pause", "renamed");
    const refused = await run("subscriptions", "remove", "billing");
    assertEquals(refused.code, 1); // the command line is right: with another cluster it would succeed
    assertStringIncludes(refused.err, "the subscription shop/billing is handled by shop-1");
    const { code, out } = await run("subscriptions", "remove", "shop/renamed");
    assertEquals([code, out], [0, "removed shop/renamed with 2 parked messages\n"]);
    const left = new Set(
      (await subscriptions.subjects("catga.default.sub.>")).map((subject) => subject.split(".", 6)[5]),
    );
    assertEquals([...left], ["billing"]);
    await put("renamed", [dead(0)], read());
    assertEquals((await run("subscriptions", "remove", "renamed")).out, "removed shop/renamed with 1 parked message\n");
    const missing = await run("subscriptions", "remove", "renamed");
    assertEquals(missing.code, 1);
    assertStringIncludes(missing.err, "there is no subscription renamed; there are shop/billing");
  });

  it("dead: lists them with who waits behind; show prints payload and headers", async () => {
    const { code, out } = await run("dead");
    const [titles, letter, ...others] = rows(out);
    assertEquals([code, others], [0, []]);
    assertEquals(titles, [
      "SUBSCRIPTION",
      "POSITION",
      "ID",
      "CONTRACT",
      "KEY",
      "ATTEMPTS",
      "DEAD FOR",
      "HELD",
      "ERROR",
    ]);
    const about = ["shop/billing", `${position(0)}`, "o0", "Paid", "k", "10", "1 h 0 m", "1", "BROKE: the printer"];
    assertEquals(letter, about);
    const shown = JSON.parse((await run("dead", "show", "o0")).out);
    assertEquals([shown.payload, shown.headers, shown.heldBehind, shown.error], [{ i: 0 }, { a: "b" }, 1, ERROR]);
    assertEquals(json((await run("dead", "list", `${position(0)}`, "--json")).out).map(({ id }) => id), ["o0"]);
    for (const [flag, value] of [["--code", "OTHER"], ["--contract", "Other"]]) {
      const none = await run("dead", flag, value);
      assertEquals([none.code, none.out], [0, ""]);
      assertStringIncludes(none.err, "no dead letters match");
    }
    assertEquals((await run("dead", "show", "o1")).code, 1); // message o1 is not dead: it only waits behind o0
  });

  it("dead: lists what a handler threw, not that the log of its node says it", async () => {
    const message = "the handler of Paid threw on node a (message o0); the cause is in the log of that node";
    await billing(dead(0, { error: { code: "HANDLER_FAILED", message, cause: "Error: no paper\n    at print" } }));
    const [, letter] = rows((await run("dead")).out);
    assertEquals(letter.at(-1), "HANDLER_FAILED: Error: no paper");
  });

  it("dead: an ID or a subscription that does not exist is named, with exit code 1; what was found is printed", async () => {
    for (const verb of ["list", "show", "replay"]) {
      const { code, out, err } = await run("dead", verb, "o0", "none", "17", "--json");
      assertEquals([code, json(out).length], [1, 1], verb);
      assertMatch(err, /^no dead letter none in the namespace default at 127.*\nno dead letter 17 in .*\n$/);
    }
    assertMatch((await run("dead", "discard", "o0", "--code", "OTHER")).err, /^no dead letter o0 matches in the/);
    for (
      const [args, message] of [
        [["--subscription", "x"], "no subscription x; there are shop/billing"],
        [["--service", "x"], "no subscription of x; there are shop/billing"],
        [["--subscription", "x/billing"], "no subscription x/billing; there are shop/billing"],
        [["--subscription", "billing", "--service", "x"], "no subscription x/billing; there are shop/billing"],
      ] as const
    ) {
      for (const verb of ["list", "show", "discard"]) {
        const { code, out, err } = await run("dead", verb, ...args);
        assertEquals([code, out, err], [1, "", `there is ${message}\n`]);
      }
    }
    assertEquals(json((await run("dead", "--subscription", "shop/billing", "--json")).out).map(({ id }) => id), ["o0"]);
  });

  it("dead show: a filter chooses what it prints, without an ID", async () => {
    assertEquals(JSON.parse((await run("dead", "show", "--code", "BROKE")).out).id, "o0");
    const { code, out, err } = await run("dead", "show", "--code", "OTHER");
    assertEquals([code, out], [0, ""]);
    assertStringIncludes(err, "no dead letters match");
  });

  it("dead replay, dead discard: store a request; of one that is being discarded, or gone, they say so", async () => {
    for (const verb of ["replay", "discard"] as const) {
      const { code, out } = await run("dead", verb, "o0", "--json");
      assertEquals([code, json(out)[0][verb].id], [0, "o0"]);
      assertEquals(await requests("shop", "billing"), [requested(verb, 0)]);
    }
    const late = await run("dead", "replay", "o0");
    assertEquals([late.code, late.out], [1, ""]);
    assertStringIncludes(late.err, "it is being discarded");
    assertEquals((await run("dead", "replay", "none")).code, 1);
  });

  it("dead discard with a filter: counts without --yes, acts with it", async () => {
    await billing(dead(0), dead(2, { error: { code: "OTHER", message: "x" } }));
    const counted = await run("dead", "discard", "--code", "BROKE");
    assertEquals([counted.code, counted.err], [1, "1 dead letter would be discarded: --yes does it\n"]);
    assertEquals((await run("dead", "discard", "--cause", "print")).err, counted.err);
    assertStringIncludes((await run("dead", "discard", "--cause", "ink")).err, "no dead letters match");
    assertEquals(await requests("shop", "billing"), []);
    const { code, out } = await run("dead", "discard", "--code", "BROKE", "--yes");
    assertEquals([code, out], [0, `to be discarded: shop/billing ${position(0)} o0\n`]);
    assertEquals(await requests("shop", "billing"), [requested("discard", 0)]);
  });

  it("rewind: stores a request; a time is found in the log", async () => {
    const times = await Promise.all(
      sequences.map(async (sequence) =>
        (await stream.read("catga.default.log.>", { from: sequence, most: 1 }))[0].time
      ),
    );
    const cases: [string, number][] = [
      ["2999-01-01", endOf(sequences[2])],
      [`${position(1)}`, position(1)],
      [new Date(times[0]).toISOString(), endOf(sequences[0] - 1)],
      ["1h", endOf(sequences[0] - 1)],
      ["start", 0],
    ];
    for (const [to, expected] of cases) {
      const { code, err } = await run("rewind", "billing", to);
      assertEquals([code, err], [0, ""]);
      assertEquals((await requests("shop", "billing")).at(-1), { kind: "rewind", to: expected }, to);
    }
    const unknown = await run("rewind", "other", "start");
    assertEquals([unknown.code, unknown.err], [1, "catga: there is no subscription other; there are shop/billing\n"]);
    for (
      const [args, message] of [
        [["billing", "yesterday"], /TO is start, a position, a time like .* got "yesterday"/],
        [["billing", "2026-02-31"], /TO is start.* got "2026-02-31"/],
        [["billing", "99999999999999999999"], /TO is start.* got "99999999999999999999"/],
        [["billing", "1.5"], /TO is start.* got "1.5"/], // neither a position nor, without a unit, a duration
      ] as const
    ) {
      const { code, err } = await run("rewind", ...args);
      assertEquals(code, 2);
      assertMatch(err, message);
    }
    await put("billing", [], { service: "crm", ...read() });
    assertMatch((await run("rewind", "billing", "start")).err, /give one of crm\/billing, shop\/billing/);
    const idle = await run("rewind", "crm/billing", "start");
    assertEquals(idle.code, 0);
    assertStringIncludes(idle.err, "no node leads it now");
  });

  it("schedules: lists what is pending, takes one back, and no longer lists it", async () => {
    const at = Date.now() + HOUR;
    const put = async (id: string, schedule: { at: number | string; zone?: string }) => {
      const target = categorySubject("default", "Paid");
      const subject = scheduleSubject("default", "Paid", id);
      const appended = await stream.append(subject, "[1]", { timeout: 60_000, schedule: { ...schedule, target } });
      assertEquals(appended.type, "stored");
    };
    await put("later", { at });
    await put(HOSTILE, { at: "0 0 5 * * *", zone: "Europe/Berlin" });
    const listed = json((await run("schedules", "--json")).out);
    assertEquals(listed.map(({ contract, id, when, zone }) => [contract, id, when, zone]), [
      ["Paid", "later", new Date(at).toISOString(), undefined],
      ["Paid", HOSTILE, "0 0 5 * * *", "Europe/Berlin"],
    ]);
    safe((await run("schedules")).out, 3);
    const paused = await run("schedules", "pause", "Paid", HOSTILE, "--reason", "no disk");
    assertEquals([paused.code, paused.err], [0, ""]);
    const [, nightly] = json((await run("schedules", "--json")).out);
    assertEquals([nightly.when, nightly.zone, nightly.paused.reason, nightly.next], [
      ...["0 0 5 * * *", "Europe/Berlin"],
      "no disk",
      [],
    ]);
    assertMatch((await run("schedules")).err, /: paused by an operator since \S+Z: no disk\n$/);
    assertEquals((await run("schedules", "pause", "Paid", "later")).code, 1);
    assertEquals((await run("schedules", "resume", "Paid", HOSTILE)).code, 0);
    const resumed = json((await run("schedules", "--json")).out);
    assertEquals(resumed.map(({ next, paused }) => [next.length, paused]), [[1, undefined], [3, undefined]]);
    const { code, out } = await run("schedules", "cancel", "Paid", "later");
    assertEquals([code, out], [0, "cancelled: Paid later\n"]);
    const again = await run("schedules", "cancel", "Paid", "later");
    assertEquals([again.code, again.out], [1, ""]);
    assertEquals(json((await run("schedules", "--json")).out).map(({ id }) => id), [HOSTILE]);
  });

  it("schedules cancel: what wakes a run of a workflow stays (the run waited for ever); a start is cancelled", async () => {
    const target = categorySubject("default", "Order-run.due");
    for (const id of ["3 7:nap", "start 8", "start 9"]) {
      const schedule = { at: Date.now() + HOUR, target };
      const subject = scheduleSubject("default", "Order-run.due", id);
      assertEquals((await stream.append(subject, "[1]", { timeout: 60_000, schedule })).type, "stored");
    }
    assertMatch(
      (await run("schedules", "--contract", "Order")).out,
      /\n\S+ +- +\S+ +Order +\S+ +8\n.* Order +\S+ +9\n$/,
    );
    assertEquals((await run("schedules", "cancel", "Order", "9")).out, "cancelled: Order 9\n");
    const { code, err } = await run("schedules", "cancel", "Order-run.due", "3 7:nap");
    assertEquals(code, 1);
    assertMatch(err, /3 7:nap wakes a run of workflow Order, .* cancel the run, catga run --help/);
    assertEquals((await run("schedules", "cancel", "Order-run.due", "start 8")).code, 0);
    const { out } = await run("schedules", "--json", "--contract", "Order-run.due");
    assertEquals(json(out).map(({ id }) => id), ["3 7:nap"]);
  });

  it("what others wrote is printed on one line each, without hidden characters; JSON has its values", async () => {
    await put(HOSTILE.slice(0, 60), [], { service: HOSTILE.slice(0, 60), ...read({ leader: HOSTILE }) });
    await billing(dead(0), waiting(1), dead(2, { error: { code: HOSTILE, message: HOSTILE } }, HOSTILE));
    await appendTo(subscriptions, parkedSubject(NAMESPACE, "shop.billing", "1-1"), HOSTILE);
    await appendTo(subscriptions, requestSubject(NAMESPACE, "shop.billing", "x"), HOSTILE);
    safe((await run("subscriptions")).out, 3);
    safe((await run("dead")).out, 3);
    const [, letter] = json(safe((await run("dead", "--json")).out, 2));
    assertEquals([letter.id, letter.error.message], [HOSTILE, HOSTILE]);
    safe((await run("dead", "replay", "--yes")).out, 2);
    safe((await run("dead", "discard", HOSTILE)).out, 1);
    safe((await run("rewind", HOSTILE, "start")).err, 1);
  });
});

/**
 * Matches the characters that no line of the tool's output may have. Line breaks are allowed, since the tool itself
 * writes them.
 */
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

function safe(text: string, lines: number): string {
  assert(!HIDDEN.test(text), JSON.stringify(text));
  assertEquals(text.trimEnd().split("\n").length, lines, text);
  return text;
}
