/** Tests of `catga top` on a real server: nodes that answer, that do not answer, and that answer something else. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, command, fail, query } from "../../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { startCli } from "../../../test/processes/cli_process.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { quietTerminal } from "../../../test/support/quiet_terminal.ts";
import { openBareLink } from "../../../test/support/bare_link.ts";
import { cli } from "../main.ts";

const Price = query<string, number>("Price");
const Buy = command<void, void>("Buy");

describe("top", await requireNatsServer(), () => {
  let server: NatsServer;
  let shop: Catga;
  let client: Catga;
  let other: Awaited<ReturnType<typeof openBareLink>>;
  /** The requests that the client sends without end; `stop` ends them. */
  let load: { stop(): Promise<void> };

  before(async () => {
    server = await startNatsServer();
    const handlers = [
      Price.handle((what) => what === "tea" ? 3 : fail("UNKNOWN", "no such thing")),
      Buy.handle((_, ctx) => ctx.clock.sleep(2)),
    ];
    shop = await catga({ nats: server.url, id: "shop", service: "shop", handlers });
    client = await catga({ nats: server.url, id: "client", service: "client" });
    other = await openBareLink(server.url, "other");
    load = sendTo(client);
  });
  after(async () => {
    await load?.stop();
    await other?.transport.close();
    await client?.drain();
    await shop?.drain();
    await server?.stop();
  });

  const run = (...args: string[]) => cliHere(["top", ...args], { NATS_URL: server.url });

  /**
   * Returns the output of `--once` for a second in which each contract was handled. On a busy machine a second may
   * pass without that; then it asks again.
   */
  const busySecond = async (): Promise<string> => {
    const { code, out, err } = await run("--once", "--timeout", "30s");
    assertEquals([code, err], [0, ""]);
    const { nodes, contracts } = JSON.parse(out);
    const isBusy = nodes.every(({ rates }: { rates?: unknown }) => rates !== undefined) && nodes[0].rates.sent > 0 &&
      contracts.every(({ contract, handled, failed }: { contract: string; handled: number; failed: object }) =>
        handled > 0 && (contract !== "Price" || Object.keys(failed).length > 0)
      );
    return isBusy ? out : await busySecond();
  };

  it("--once: nodes and contracts with what they did in a second, on one line for programs", {
    timeout: 120_000,
  }, async () => {
    const out = await busySecond();
    const { nodes, contracts, moreContracts } = JSON.parse(out);
    assertEquals(nodes.map(({ node }: { node: string }) => node), ["client", "shop"]);
    assert(nodes[1].rates.handled > 0 && nodes[0].rates.sent > 0, out);
    const [buy, price] = ["Buy", "Price"].map((name) =>
      contracts.find((each: { contract: string }) => each.contract === name)
    );
    // 1.5 ms or more, because the handler sleeps for 2 ms
    assert(buy.handled > 0 && buy.p50 >= 1.5 && buy.p99 >= buy.p50 && price.p50 > 0, out);
    assertEquals([Object.keys(price.failed), Object.keys(buy.failed)], [["UNKNOWN"], []]);
    assertEquals([price.nodes, price.kind, moreContracts], [2, "query", 0]);
  });

  it("in a terminal a table that is drawn again each second, until Ctrl-C", async () => {
    const price = /^Price +query +[\d.k]+ +[\d.k]+ +[\d.]+ ms +[\d.]+ ms +\d+ +0 +2 +UNKNOWN [\d.k]+$/m;
    const screens: string[] = [];
    const stop = new AbortController();
    const code = cli(["top", "--timeout", "30s", "--nats", server.url], {
      // on a busy machine a second may pass in which nobody asks for a price
      write: (text) => {
        if (screens.push(text) > 1 && price.test(text)) stop.abort();
      },
      say: (line) => console.error(line),
      read: () => Promise.resolve(""),
      colors: false,
      columns: 120,
      rows: 24,
      environment: {},
      signal: stop.signal,
    });
    await eventually("a second with prices", () => stop.signal.aborted);
    assertEquals(await code, 0);
    const lines = screens.at(-1)!.split("\n");
    assert(lines[0].startsWith("\x1b[H\x1b[2J2 nodes in default at "), lines[0]);
    assert(lines[0].endsWith("; Ctrl-C ends this"), lines[0]);
    assertMatch(lines[1], /^NODE +SERVICE +HANDLED\/S +SENT\/S +FAILED\/S +BUSY +QUEUED +CPU +MEMORY +UP +NOTE$/);
    assertMatch(lines[3], /^shop +shop +[\d.k]+ +0 +[\d.k]+ +\d+ +0 +\d+ % +\d+ MB +\d+/);
    assertMatch(lines[5], /^CONTRACT +KIND +HANDLED\/S +SENT\/S +P50 +P99 +IN HAND +QUEUED +NODES +FAILED\/S$/);
    assertMatch(lines.slice(6).join("\n"), price);
  });

  it("shows why a node is not ready", async () => {
    shop.ready(false, "the database is down");
    const screen = await eventually("a second after the record has changed", async () => {
      let shown = "";
      const terminal = quietTerminal({ write: (text) => void (shown += text), columns: 160 });
      assertEquals(await cli(["top", "--once", "--timeout", "30s", "--nats", server.url], terminal), 0);
      return shown.includes("not ready") ? shown : undefined;
    });
    shop.ready(true);
    assertMatch(screen!, /^shop .* not ready \(the database is down\)$/m);
    assertMatch(screen!, /^client .*\d s$/m);
  });

  it("without a terminal a line for each second, until Ctrl-C", async () => {
    const tool = await startCli(["top"], { env: { NATS_URL: server.url } });
    await tool.wrote(/^{.*}\n{.*}\n/);
    tool.interrupt();
    const { code, err } = await tool.ended;
    assertEquals([code, err], [0, ""]);
  });

  it("says that there is no connection, and calls no node silent meanwhile", async () => {
    await using link = await startTcpProxy(Number(new URL(server.url).port));
    const end = new AbortController();
    const lines: string[] = [];
    const terminal = quietTerminal({ write: (text) => void lines.push(text), signal: end.signal });
    const ended = cli(["top", "--nats", link.url], terminal);
    const last = () => JSON.parse(lines.at(-1) ?? "{}");
    const notes = () => new Set(last().nodes?.map(({ note }: { note?: string }) => note));
    await eventually("an answer", () => notes().has(undefined));
    link.cut();
    await eventually("no connection", () => notes().has("no connection") && notes().size === 1);
    const seen = lines.length;
    await eventually("some lines more", () => lines.length > seen + 3);
    assertEquals(last().alarms.map(({ kind }: { kind: string }) => kind), ["disconnected"]);
    link.restore();
    await eventually("an answer again", () => notes().has(undefined));
    end.abort();
    assertEquals(await ended, 0);
  });

  it("says of a node that it does not answer, is not there, or answers something else; the exit code is 1", async () => {
    const nodes = await other.store.open("catga_default_nodes");
    // answers every request for statistics at once, with a report that is malformed
    const garbled = other.transport.subscribe("catga.default.node.garbled.1.>", {}, ({ subject, data }) => {
      const asker = subject.split(".").slice(-2).join(".");
      const [, seq, , [kind, n]] = JSON.parse(new TextDecoder().decode(data));
      if (kind !== "s") return;
      const stats = { endpoint: "garbled.1", service: "x", now: 1, up: 1, process: { rss: 1, cpu: -1 } };
      other.transport.publish(`catga.default.node.${asker}.garbled.1`, JSON.stringify([1, seq, 1, ["t", n, stats]]));
    });
    /**
     * Writes the record of a node, and returns the note that `top --once` shows for each node. Writes it again and
     * again until then: the other nodes remove it, on a busy machine always before `top` has read it.
     */
    const notesWith = async (id: string, timeout: string) => {
      const noted = await eventually(`a look at ${id}`, async () => {
        let isRead = false;
        const writing = (async () => {
          for (; !isRead; await wait(10)) await nodes.put(id, recordOf(id), { ttl: 60_000 });
        })();
        const { code, out } = await run("--once", "--timeout", timeout).finally(() => isRead = true);
        await writing;
        const noted = new Map<string, string | undefined>(
          JSON.parse(out).nodes.map(({ node, note }: Record<string, string>) => [node, note]),
        );
        if (!noted.has(id)) return undefined;
        assertEquals(code, 1);
        return noted;
      });
      return noted!; // not undefined: `eventually` waits for it
    };
    const noted = await notesWith("garbled", "30s");
    assertEquals([noted.get("garbled"), noted.get("shop")], ["process is malformed", undefined]);
    assertEquals((await notesWith("gone", "30s")).get("gone"), "nobody there");
    garbled.close();
    other.transport.subscribe("catga.default.node.silent.1.>", {}, () => {});
    await other.transport.flush();
    assertEquals((await notesWith("silent", "100ms")).get("silent"), "no answer");
  });

  it("a namespace without nodes is reported", async () => {
    const { code, err } = await run("--once", "-n", "empty");
    assertEquals(code, 1);
    assertStringIncludes(err, "no node has run in the namespace empty");
  });
});

function sendTo(app: Catga): { stop(): Promise<void> } {
  let going = true;
  const send = async () => {
    while (going) {
      await app.send(Price, "tea");
      await app.send(Price, "salt");
      await app.send(Buy);
      await wait(10);
    }
  };
  const sends = send();
  return {
    stop: () => {
      going = false;
      return sends;
    },
  };
}

/** Returns a valid record of a node. */
function recordOf(id: string): string {
  return JSON.stringify({
    ...{ id, endpoint: `${id}.1`, service: "x", handles: [], startedAt: 1, lastSeen: Date.now(), metadata: {} },
    ...{ load: { inFlight: 0, queued: 0 }, server: "", protocol: 1, version: "0.0.0" },
  });
}
