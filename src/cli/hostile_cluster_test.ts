/** Tests of the tool's output for a cluster full of text that could deceive a reader or a program. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, command, fail, query } from "../../mod.ts";
import { type CliEnding, startCli } from "../../test/processes/cli_process.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { cli } from "./main.ts";
import { commandText, entityGroupText, eventText } from "../log/format/entity_group.ts";
import { entitySubject } from "../log/format/names.ts";
import { streamOptions } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import { NatsEventLog } from "../nats/log/log_stream.ts";
import { openBareLink } from "../../test/support/bare_link.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { eventually } from "../../test/support/eventually.ts";
import { HIDDEN_TEXT } from "../../test/support/hidden_characters.ts";
import { quietTerminal } from "../../test/support/quiet_terminal.ts";

/**
 * Hostile text for keys of the store, which must be well-formed, and for arguments of a program, which cannot have a
 * NUL.
 */
const KEY = `${HIDDEN_TEXT.replace(/[\0\p{Cs}]/gu, "")}\nreleased others: bank had it`;
const TEXT = `${HIDDEN_TEXT}\nNO_HANDLER: forged`;
/** The part of {@link KEY} with the characters that a subject can have. */
const SUBJECT_PART = KEY.replace(/[\0-\x20\x7f-\x9f.\u2028\u2029\ufeff]/g, "");
const HOSTILE = { [TEXT]: TEXT, deep: [{ [TEXT]: [TEXT] }] };

const Answer = query<void, unknown>("Answer");
const Deep = query<void, unknown>("Deep");
const Refuse = command<void, void>("Refuse");
const handlers = [
  Answer.handle(() => HOSTILE),
  Deep.handle(() => JSON.parse("[".repeat(1_000) + "]".repeat(1_000))),
  Refuse.handle(() => fail(TEXT, TEXT, { details: HOSTILE })),
];

describe("the tool in a hostile cluster", await requireNatsServer(), () => {
  let server: NatsServer;
  let app: Catga;
  let hostile: Awaited<ReturnType<typeof openBareLink>>;
  const run = (...args: string[]) => cliHere(args, { NATS_URL: server.url });
  const json = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));
  /** Writes the record of a lock that is held, and the record of a caller that waits for it. */
  async function forgeLock(): Promise<void> {
    const locks = await hostile.store.open("catga_default_locks");
    const held = { nonce: TEXT, node: TEXT, endpoint: TEXT, call: TEXT, ancestry: [TEXT], ttl: 3_600_000, since: 1 };
    for (const key of [`h/${KEY}`, `w/${KEY}/n`]) await locks.put(key, JSON.stringify(held), { ttl: 3_600_000 });
  }

  before(async () => {
    server = await startNatsServer();
    app = await catga({ nats: server.url, id: "bank", service: "bank", handlers });
    await (await app.lock("makes the bucket")).release();
    hostile = await openBareLink(server.url, "hostile");
    // the forged node seems frozen: somebody listens, so the other nodes do not remove its record
    hostile.transport.subscribe("catga.default.node.forged.1.>", {}, () => {});
    await (await hostile.store.open("catga_default_nodes")).put("forged", record("forged"), { ttl: 3_600_000 });
    await forgeLock();
  });
  after(async () => {
    await hostile?.transport.close();
    await app?.drain();
    await server?.stop();
  });

  it("nodes: prints one line for each node; with --json the values of the record", async () => {
    const shown = safe(await run("nodes"));
    assertEquals(rows(shown.out).map((line) => line.split(" ")[0]), ["NODE", "bank", "forged"]);
    const shownJson = json(safe(await run("nodes", "--json")).out);
    assertEquals(shownJson.map(({ id }) => id), ["bank", "forged"]);
    assertEquals([shownJson[1].service, shownJson[1].metadata], [TEXT, { [TEXT]: TEXT }]);
  });

  it("nodes --watch: prints one line for each change", async () => {
    for (const flags of [[], ["--json"]]) {
      const tool = await startCli(["nodes", "--watch", ...flags], { env: { NATS_URL: server.url } });
      await tool.wrote("forged");
      await tool.wrote("bank");
      tool.interrupt();
      const { out } = safe(await tool.ended);
      assertEquals(rows(out).filter((line) => !line.includes("update")).length, 2, out);
    }
  });

  it("locks: prints one line for each lock; with --json its key", async () => {
    assertEquals(rows(safe(await run("locks")).out).length, 2);
    const [lock, ...others] = json(safe(await run("locks", "--json")).out);
    assertEquals([lock.key, lock.node, lock.waiting, others], [KEY, TEXT, 1, []]);
  });

  it("locks --release: prints the lock that was released, or was not found, on one line", async () => {
    const missed = safe(await run("locks", "--release", `${KEY}?`));
    assertEquals([missed.code, rows(missed.err).length], [1, 1], missed.err);
    const shown = safe(await run("locks", "--release", KEY));
    assertEquals([shown.code, rows(shown.out).length, rows(shown.err).length], [0, 1, 1], shown.out + shown.err);
    assertStringIncludes(shown.out, "\\u{a}released others: bank had it: x\\u{0}x");
    await forgeLock();
    const shownJson = safe(await run("locks", "--release", KEY, "--json"));
    assertEquals(json(shownJson.out).map(({ released }) => [released.key, released.node]), [[KEY, TEXT]]);
  });

  it("watch: prints one line for each event; with --json the published values", async () => {
    const subject = `catga.default.event.${SUBJECT_PART}`;
    const meta = { seq: 1, id: TEXT, headers: { [TEXT]: TEXT } };
    for (const flags of [[], ["--json"]]) {
      const tool = await startCli(["watch", "--count", "1", ...flags], { env: { NATS_URL: server.url } });
      await tool.wrote("listening for all events");
      hostile.transport.publish(subject, "no event");
      hostile.transport.publish(subject, JSON.stringify([1, "forged.1", 1, meta, HOSTILE]));
      const { code, out, err } = safe(await tool.ended);
      assertEquals([code, rows(out).length, rows(err).length], [0, 1, 2], out + err);
      if (flags.length === 0) continue;
      const [{ event, id, headers, payload }] = json(out);
      assertEquals([event, id, headers, payload], [SUBJECT_PART, TEXT, { [TEXT]: TEXT }, HOSTILE]);
    }
  });

  it("call: an answer is valid JSON; a failure is one line that begins with its code", async () => {
    // all at once, since each call waits a second for the node that does not answer
    const [answer, answerJson, shown, shownJson, none] = (await Promise.all([
      run("call", "Answer", "--query"),
      run("call", "Answer", "--query", "--json"),
      run("call", "Refuse"),
      run("call", "Refuse", "--json"),
      run("call", "None"),
    ])).map(safe);
    for (const { out } of [answer, answerJson]) assertEquals(JSON.parse(out), HOSTILE);
    assertEquals([shown.code, JSON.parse(shown.err.slice(shown.err.indexOf("\n")))], [1, HOSTILE]);
    const [{ code, message, details }] = json(shownJson.err);
    assertEquals([code, message, details], [TEXT.slice(0, 128), TEXT, HOSTILE]);
    assertStringIncludes(none.err, "there are handlers for Answer, Answer.forged, Deep");
  });

  it("call --all: prints one line for each node", async () => {
    const [answer, refuse, answerJson, refuseJson] = (await Promise.all([
      run("call", "Answer", "--all"),
      run("call", "Refuse", "--all"),
      run("call", "Answer", "--all", "--json"),
      run("call", "Refuse", "--all", "--json"),
    ])).map(safe);
    assertEquals([rows(answer.out).length, rows(refuse.out).length], [1, 1]);
    assertEquals(json(answerJson.out)[0].value, HOSTILE);
    assertEquals(json(refuseJson.out)[0].error.message, TEXT);
  });

  it("call: an answer of 1,000 levels is printed on one line", async () => {
    const { code, out } = safe(await run("call", "Deep", "--query"));
    assertEquals([code, out], [0, `${"[".repeat(1_000)}${"]".repeat(1_000)}\n`]);
  });

  it("ping: prints one line for each node", async () => {
    assertEquals(rows(safe(await run("ping", "--count", "1", "--timeout", "200ms")).out).length, 3);
    const shownJson = json(safe(await run("ping", "forged", "--count", "1", "--timeout", "200ms", "--json")).out);
    assertEquals(shownJson.map(({ node, service }) => [node, service]), [["forged", TEXT]]);
    assertEquals(rows(safe(await run("ping", KEY)).err).length, 1);
  });

  it("top: prints one line for each node and contract; with --json one for all", { timeout: 120_000 }, async () => {
    // takes two seconds or more: `top` shows the failures of one second in its next update
    const screen = await topUntil([], "NO_HANDLER: forged");
    assert(!HIDDEN.test(screen.replace("\x1b[H\x1b[2J", "")), JSON.stringify(screen));
    // a title, two headings, two nodes, an empty line, three contracts
    assertEquals(rows(screen).length, 9, screen);
    const line = await topUntil(["--json"], 'NO_HANDLER: forged":');
    assert(!HIDDEN.test(line), line);
    const [{ nodes, contracts }] = json(line);
    assertEquals(nodes.map(({ node, service, note }: Record<string, string>) => [node, service, note]), [
      ["bank", "bank", undefined],
      ["forged", TEXT, "no answer"],
    ]);
    const refuse = contracts.find(({ contract }: { contract: string }) => contract === "Refuse");
    assertEquals([Object.keys(refuse.failed), contracts.length], [[TEXT.slice(0, 128)], 3]);
  });

  /**
   * Resolves with the first update of `top` that has this text and shows the forged node, and only that node, as not
   * answering. Makes a handler fail with a hostile code once for each update before it.
   */
  async function topUntil(flags: readonly string[], text: string): Promise<string> {
    const stop = new AbortController();
    let found = "";
    const fails = () => app.send(Refuse).then(() => {});
    const code = await cli(
      ["top", "--timeout", "500ms", ...flags],
      quietTerminal({
        write: (update) => {
          if (update.includes(text) && update.split("no answer").length === 2) {
            found = update;
            stop.abort();
          } else fails().catch(console.error);
        },
        say: (line) => console.error(line),
        columns: 100_000,
        environment: { NATS_URL: server.url },
        signal: stop.signal,
      }),
    );
    assertEquals(code, 0);
    return found;
  }

  it("runs, run and doctor: print one line for each run, entry and finding; with --json what is stored", async () => {
    const log = new NatsEventLog(hostile.transport);
    const stream = await log.open(streamName("default", "entities"), streamOptions("default", "entities", 1));
    const error = { code: TEXT, message: TEXT, details: HOSTILE };
    const entries = [
      { t: "started", by: TEXT, version: 1, keep: 60_000, input: HOSTILE },
      { t: TEXT, step: TEXT },
      { t: "slept", step: TEXT, until: 1e300 },
      { t: "failed", step: TEXT, error },
      "no entry",
    ];
    const command = { name: "Order", id: "7", events: entries.length, result: undefined, fingerprint: TEXT };
    const head = commandText({ ...command, correlation: undefined, headers: { [TEXT]: TEXT } });
    const origin = { endpoint: "forged.1", first: 1, sentAt: 0 };
    const events = entries.map((entry) => eventText("recorded", JSON.stringify(entry)));
    const stuck = JSON.stringify({ workflow: "Order", run: KEY });
    for (
      const [subject, text] of [
        [entitySubject("default", "Order-run", KEY), entityGroupText(origin, 0, [head], events)],
        [entitySubject("default", "Order-run", "8"), TEXT],
        [entitySubject("default", "-stuck", `Order/${KEY}`), stuck],
      ]
    ) {
      assertEquals((await stream.append(subject, text, { timeout: 60_000 })).type, "stored");
    }
    assertEquals(rows(safe(await run("runs")).out).map((line) => line.split(" ")[0]), ["WORKFLOW", "Order"]);
    assertEquals(json(safe(await run("runs", "--status", "stuck", "--json")).out).map(({ id }) => id), [KEY]);
    const shown = rows(safe(await run("run", "Order", KEY)).out);
    assertEquals(shown.length, 6 + 1 + 1 + 4, shown.join("\n"));
    const [, ...timeline] = json(safe(await run("run", "Order", KEY, "--json")).out);
    assertEquals(timeline.map(({ entry }) => entry), ["started", TEXT, "slept", "failed"]);
    const found = rows(safe(await run("doctor")).out).filter((line) => /^(?:ERROR|WARNING) /.test(line));
    assertEquals(found.filter((line) => line.includes("NO_HANDLER: forged")).length, 1, found.join("\n"));
  });

  it("a node logs a malformed frame on one line", async () => {
    const lines: string[] = [];
    const line = (message: string) => void lines.push(message);
    await using node = await catga({
      nats: server.url,
      id: "logs",
      logger: { debug: line, info: line, warn: line, error: line },
    });
    hostile.transport.publish(`catga.default.node.${node.self.endpoint}.${SUBJECT_PART}`, "no frame");
    await eventually("its line", () => lines.some((text) => text.includes("malformed")));
    for (const text of lines) assert(!HIDDEN.test(text) && !text.includes("\n"), text);
  });
});

/**
 * Matches the characters that no line of the tool's output may have. Line breaks are allowed, since the tool itself
 * writes them.
 */
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

function safe(ending: CliEnding): CliEnding {
  for (const text of [ending.out, ending.err]) assert(!HIDDEN.test(text), JSON.stringify(text));
  return ending;
}

function rows(text: string): string[] {
  return text.trimEnd().split("\n");
}

/** Returns a valid record of a node. */
function record(id: string): string {
  return JSON.stringify({
    id,
    endpoint: `${id}.1`,
    service: TEXT,
    handles: ["Answer.forged"],
    startedAt: 1,
    lastSeen: 1,
    metadata: { [TEXT]: TEXT },
    load: { inFlight: 0, queued: 0 },
    server: TEXT,
    protocol: 1,
    version: TEXT,
  });
}
