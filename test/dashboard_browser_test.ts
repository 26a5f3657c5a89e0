/** The dashboard in a real browser: a cluster of processes under load, and a page full of hostile content. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findAxe } from "../tools/axe.ts";
import { findChromium } from "../tools/chromium_binary.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { NodeBook } from "../src/dashboard/collecting/node_book.ts";
import { DashboardServer } from "../src/dashboard/serving/server.ts";
import { shownId, shownText, shownValue } from "../src/dashboard/shown.ts";
import { Streams } from "../src/dashboard/serving/streams.ts";
import { systemClock } from "../src/ports/clock.ts";
import { runtimeBinary } from "./processes/node_process.ts";
import { Browser } from "./support/browser.ts";
import { eventually } from "./support/eventually.ts";
import { HIDDEN_TEXT } from "./support/hidden_characters.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Where pictures go that people look at, one of them that in README; absent: none are kept. */
const PICTURES = process.env.CATGA_PICTURES;

/** Why frames are not measured: that takes half a minute of a machine that does nothing else. */
const FRAMES = process.env.CATGA_FRAMES === undefined ? "CATGA_FRAMES=1 measures it" : false;

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno, with a page that Bun serves" } : await findChromium();
const { skip: noServer } = await requireNatsServer();
const skip = "missing" in chromium ? chromium.missing : noServer;
const path = "path" in chromium ? chromium.path : "";
const axe = skip === false || skip === undefined ? await findAxe() : { missing: skip };
const noAxe = "missing" in axe ? axe.missing : false;
const script = "script" in axe ? axe.script : "";

const text = (selector: string) => `document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`;
const has = (section: string, words: RegExp) => `${words}.test(${text(section)})`;

/** A program of the repository, and what it has printed. */
class Child {
  readonly child: ChildProcess;
  out = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.setEncoding("utf8").on("data", (chunk: string) => this.out += chunk); // a pipe
  }

  static async start(runtime: "deno" | "bun", program: string, ...args: string[]): Promise<Child> {
    const binary = await runtimeBinary(runtime);
    const flags = runtime === "deno" ? ["-A", "--no-check"] : [];
    const child = spawn(binary, ["run", ...flags, join(ROOT, program), ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    process.once("exit", () => child.kill("SIGKILL"));
    return new Child(child);
  }

  say(line: string): void {
    this.child.stdin!.write(`${line}\n`); // a pipe
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }
}

async function keep(browser: Browser, name: string): Promise<void> {
  if (PICTURES !== undefined) await writeFile(join(PICTURES, `${name}.webp`), await browser.picture());
}

describe("the dashboard in a browser, of a cluster under load", { skip, timeout: 180_000 }, () => {
  let server: NatsServer;
  let port: number;
  let browser: Browser;
  let dashboard: Child;
  const nodes = new Map<string, Child>();

  before(async () => {
    [port] = await freePorts(1);
    server = await startNatsServer({ port });
    for (const [id, load] of [["orders-1", "0"], ["orders-2", "0"], ["billing-1", "0"], ["shop-1", "200"]]) {
      nodes.set(
        id,
        await Child.start("deno", "test/processes/dashboard_node.ts", server.url, id, id.split("-")[0], load),
      );
    }
    // its script is made of functions as the runtime has them: those of Deno serve the hostile content below
    dashboard = await Child.start(
      "bun",
      "src/cli/main.ts",
      "dashboard",
      "--port",
      "0",
      "--allow-changes",
      "--nats",
      server.url,
    );
    browser = await Browser.open(path);
    await browser.show(1280, 1000, "light");
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await Promise.all([dashboard, ...nodes.values()].map((child) => child?.kill()));
    await server?.stop();
  });

  it("lets the browser in, and shows nodes, contracts, traffic and subscriptions", async () => {
    await eventually("its address", () => dashboard.out.includes("\n"));
    await browser.goto(dashboard.out.trim());
    await browser.layOutAll();
    await browser.until("four nodes", has("#tiles", /Nodes\s+4\s+all answer/));
    assertMatch(await browser.evaluate("location.href"), /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{12}\/$/);
    assertEquals(await browser.evaluate("document.cookie"), "");
    await browser.until(
      "contracts",
      has("#contracts", /orders\.Reserve\s+command\s+(billing-1|orders-\d|shop-1)[\s\S]*SOLD_OUT/),
    );
    await browser.until("traffic", `/shop-1 to \\w+-\\d/.test(document.querySelector("canvas").ariaLabel)`);
    await browser.until("subscriptions", has("#subscriptions", /billing\/invoices\s+billing-1/));
    await browser.until("an event", has("#events", /orders\.Placed/));
  });

  it("shows a poison message, replays it after a confirmation, and it vanishes", async () => {
    nodes.get("orders-1")!.say("poison p-1");
    await browser.until("a letter of each service", has("#letters > .frame", /(NO_PRINTER: out of paper[\s\S]*){3}/));
    await browser.evaluate(`document.querySelector("#letters > .frame td.actions button").click()`);
    assertMatch(await browser.evaluate(text("#letters > .frame .detail")), /"orderId": "p-1"/);
    await browser.evaluate(`[...document.querySelectorAll("#letters > .frame td.actions button")]
      .find(({ innerText }) => innerText === "Edit").click()`);
    await browser.until("its payload", `document.querySelector("#confirm-payload")?.value.includes("p-1")`);
    await browser.evaluate(`document.querySelector("#confirm-payload").value =
      '{ "orderId": "p-1", "poison": true, "by": "hand" }'`);
    await browser.evaluate(`document.querySelector("#confirm-yes").click()`);
    await browser.until("the request", has("#said", /^1 to be replayed with its new payload/));
    // it fails again, and is the newest
    await browser.until(
      "the edited letter",
      `document.querySelector("#letters > .frame td.actions button").click() ||
        /"by": "hand"[\\s\\S]*before it was edited:[^"]*\\{"orderId":"p-1","poison":true\\}/
          .test([...document.querySelectorAll("#letters > .frame .detail")].map((row) => row.innerText).join(" "))`,
    );
    nodes.get("orders-1")!.say("heal");
    await eventually("each node to be healed", () => [...nodes.values()].every(({ out }) => out.includes("healed")));
    await browser.until("a group of each service", has("#groups", /(decided: NO_PRINTER: out of paper[\s\S]*){3}/));
    await browser.evaluate(`document.querySelector("#groups td.actions button:nth-child(2)").click()`);
    assertMatch(
      await browser.evaluate(text("#confirm-question")),
      /^Replay 1 dead letter of orders\.Placed in \w+\/invoices \(NO_PRINTER: out of paper\)\?$/,
    );
    await browser.evaluate(`document.querySelector("#confirm-yes").click()`);
    await browser.until("the others", `document.querySelectorAll("#letters > .frame td.actions").length === 2`);
    await browser.evaluate(`document.querySelector("#replay-all").click()`);
    assertMatch(await browser.evaluate(text("#confirm-question")), /^Replay 2 dead letters\?/);
    assertEquals(await browser.evaluate("document.activeElement.id"), "confirm-no");
    await browser.evaluate(`document.querySelector("#confirm-yes").click()`);
    await browser.until("its end", has("#letters", /\nnone$/));
  });

  it("skips a step of a stuck run, cancels another, and has a third one tried again", async () => {
    const runs = ["r-1", "r-2", "r-3"];
    for (const id of runs) nodes.get("shop-1")!.say(`export ${id}`);
    const row = (id: string) =>
      `[...document.querySelectorAll("#runs tbody tr")].find((row) => row.innerText.includes("${id}"))`;
    const look = (what: string, words: RegExp) =>
      browser.until(
        what,
        `document.querySelector("#runs-form button").click() || ${has("#runs .frame", words)}`,
      );
    const click = (id: string, title: string) =>
      browser.evaluate(`[...${row(id)}.querySelectorAll("button")].find((b) => b.innerText === "${title}").click()`);
    const enter = (name: string, value: string) =>
      browser.evaluate(`document.querySelector("#confirm-${name}").value = ${JSON.stringify(value)}`);
    const agree = () => browser.evaluate(`document.querySelector("#confirm-yes").click()`);
    const isOpen = () => browser.evaluate(`document.querySelector("#confirm").open`);
    await look("the runs", /(r-\d\s+stuck[\s\S]*upload[\s\S]*the disk is full[\s\S]*){3}/);
    await click("r-1", "Skip");
    assertEquals(await browser.evaluate(text("#confirm-step")), "upload");
    await agree();
    assertEquals(await isOpen(), true); // there is no reason yet
    await enter("reason", "sent by hand");
    await enter("value", "{ file: 7 }");
    await agree();
    assertEquals(await isOpen(), true); // it is not JSON
    await enter("value", `{ "file": 7 }`);
    await agree();
    await browser.until("the skipped step", has("#said", /^1 skipped/));
    await click("r-2", "Cancel");
    await enter("reason", "nobody needs it");
    await agree();
    await browser.until("the cancelled run", has("#said", /^1 to be cancelled/));
    await click("r-3", "Retry");
    // a late event of the dialog before does not end this one
    await browser.evaluate(`document.querySelector("#confirm").dispatchEvent(new Event("close"))`);
    await agree();
    await browser.until("the retried run", has("#said", /^1 to be tried again/));
    await browser.evaluate(`document.querySelector("#runs-status").value = ""`);
    await look("their ends", /^(?=[\s\S]*r-1\s+done)(?=[\s\S]*r-2\s+failed)(?=[\s\S]*r-3\s+stuck)/);
    const timeline = async (id: string, words: RegExp) => {
      await click(id, "Timeline");
      assertMatch(await browser.evaluate(text("#runs .detail pre")), words);
      await click(id, "Hide");
    };
    await timeline("r-1", /skipped upload \{"value":\{"file":7\},"reason":"sent by hand"\}\n.*ended/);
    await timeline("r-2", /cancelled "nobody needs it"/);
    await timeline("r-3", /retried\n[\s\S]*failed upload/);
    await click("r-3", "Cancel");
    await enter("reason", "nobody mends it");
    await agree();
  });

  it("finds an event by its key, and a run by its id", async () => {
    const search = async (what: string, hit: RegExp) => {
      await browser.evaluate(`document.querySelector("#search-text").value = "${what}"`);
      await browser.evaluate(`document.querySelector("#search-form button").click()`);
      await browser.until(what, has("#search .frame", hit));
    };
    await search("p-1", /event\s+orders\.Placed\s+\S+\s+p-1/);
    await search("r-1", /run\s+Export\s+r-1\s[\s\S]*done/);
    assertMatch(
      await browser.evaluate(text("#search-about")),
      /^1 hit; read: entities and runs by id, all \d+ dead letters and retries, (all [\d,]+|the last [\d,]+ of [\d,]+)/,
    );
  });

  it("lists entities, those that changed last first, and shows the history of one", async () => {
    for (const id of ["c-1", "c-2", "c-3"]) {
      nodes.get("shop-1")!.say(`fill ${id}`);
      await eventually(`items of ${id}`, () => nodes.get("shop-1")!.out.includes(`done fill ${id}`));
    }
    await browser.evaluate(`document.querySelector("#entity-form button").click()`);
    await browser.until("the entities", has("#entity-list", /(Cart\s+c-[321]\s+2\s+Cart\.ItemAdded[\s\S]*){3}/));
    assertMatch(
      await browser.evaluate(text("#entity-about")),
      /^3 entities, those that changed last first; read: all /,
    );
    const ids = `[...document.querySelectorAll("#entity-list tbody tr")].map((row) => row.children[1].innerText)`;
    assertEquals(await browser.evaluate(ids), ["c-3", "c-2", "c-1"]);
    await browser.evaluate(`document.querySelector("#entity-list td.actions button").click()`);
    await browser.until(
      "its history",
      has("#entity-list .detail pre", /^Cart c-3: version 2;[\s\S]*ItemAdded, by AddItem/),
    );
    await browser.evaluate(`document.querySelector("#entity-type").value = "Cart"`);
    await browser.evaluate(`document.querySelector("#entity-id").value = "c-1"`);
    await browser.evaluate(`document.querySelector("#entity-form button").click()`);
    await browser.until("one of them", has("#entity-history", /2\s+\S+Z\s+Cart\.ItemAdded\s+AddItem/));
    assertEquals(await browser.evaluate(ids), []);
  });

  it("shows the last runs of a cron, when it is due next, and takes it back", async () => {
    nodes.get("shop-1")!.say("sweep nightly");
    const row = /orders\.Sweep\s+nightly\s+\* \* \* \* \* \*\s+\d+ m?s\s/;
    await browser.until("the schedule", has("#schedules", row));
    const runs = /(\S+Z {2}handled by @\/orders\.Sweep {2}nightly@\d+[^\n]*\n?){2}/;
    // each time that it unfolds they are read again
    await browser.until(
      "two runs",
      `(async () => {
        const unfold = document.querySelector("#schedules td.actions button");
        if (unfold.innerText === "Hide") unfold.click();
        unfold.click();
        const place = document.querySelector("#schedules .detail pre");
        while (place.innerText === "reading") await new Promise(requestAnimationFrame);
        return ${runs}.test(place.innerText);
      })()`,
    );
    await browser.evaluate(`document.querySelector("#schedules td.actions button.change").click()`);
    await browser.evaluate(`document.querySelector("#confirm-yes").click()`);
    await browser.until("its end", has("#schedules", /nothing is scheduled/));
    await browser.until("what was done", has("#said", /^1 cancelled/));
  });

  it("shows a lock with its waiters, and a schedule", async () => {
    nodes.get("orders-1")!.say("hold order:42");
    await browser.until("the holder", has("#locks", /lock\s+order:42\s+orders-1/));
    for (const id of ["orders-2", "billing-1"]) nodes.get(id)!.say("wait order:42");
    await browser.until("the waiters", has("#locks", /2: (orders-2, billing-1|billing-1, orders-2)/));
    nodes.get("shop-1")!.say("later trial-1");
    await browser.until("the schedule", has("#schedules", /orders\.Placed\s+trial-1/));
    await browser.evaluate(`document.querySelector("#schedules td.actions button.change").click()`);
    assertMatch(await browser.evaluate(text("#confirm-question")), /^Cancel orders\.Placed trial-1\?/);
    await browser.evaluate(`document.querySelector("#confirm-yes").click()`);
    await browser.until("its end", has("#schedules", /nothing is scheduled/));
    // the row may go before the request is answered
    await browser.until("what was done", has("#said", /^1 cancelled/));
    await browser.evaluate(`document.querySelector("#said").textContent = ""`);
    // the nodes on which the runs were stuck know nothing of what became of them
    await browser.until("the end of the alarms of runs", `!document.querySelector("#all-well").hidden`);
    for (const [name, width, height, colors] of PICTURED) {
      await browser.show(width, height, colors);
      await browser.evaluate("new Promise((resolve) => setTimeout(resolve, 300))");
      const [wide, screen] = await browser.evaluate<number[]>("[document.documentElement.scrollWidth, innerWidth]");
      assert(wide <= screen, `${name}: ${wide} px on a screen of ${screen}`);
      await keep(browser, name);
    }
    await browser.show(1280, 1000, "light");
  });

  it(
    "axe-core finds no fault of accessibility, in light, and in dark on a telephone",
    { skip: noAxe },
    async () => {
      for (const [name, width, height, colors] of [PICTURED[0], ["dark and narrow", 360, 740, "dark"]] as const) {
        await browser.show(width, height, colors);
        await browser.evaluate(
          `document.querySelector("#letters, #events").querySelector("td.actions button")?.click()`,
        );
        await browser.evaluate(script);
        const run = "axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) => " +
          "`${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => html + failureSummary)}`))";
        assertEquals(await browser.evaluate<string[]>(run), [], name);
      }
      await browser.show(1280, 1000, "light");
    },
  );

  it("shows a killed node as gone, and how soon", async () => {
    const killed = performance.now();
    await nodes.get("orders-2")!.kill();
    await browser.until("its end", has("#nodes", /orders-2\s+gone/));
    console.log(`shown as gone ${Math.round(performance.now() - killed)} ms after the kill`);
  });

  it("names a node whose clock is wrong, and its release as a deploy", async () => {
    const late = await Child.start(
      "deno",
      ...["test/processes/dashboard_node.ts", server.url, "orders-3", "orders", "0", "60000", "2"],
    );
    nodes.set("orders-3", late);
    await browser.until("the alarm", has("#alarms", /The clock of orders-3 is \d+\.\d s fast/));
    await browser.until("the deploy", has("#timeline", /deployed\s+orders-3: release 2, before 1/));
    await late.kill();
    await browser.until("its end", has("#alarms", /^(?![\s\S]*The clock of orders-3)/));
  });

  it("says that it has lost NATS, and goes on when it is back", async () => {
    const { storeDir } = server;
    await server.kill("SIGKILL");
    await browser.until("the problem", has("#problems", /NATS: disconnected/));
    const again = await startNatsServer({ port, storeDir });
    const stop = server.stop.bind(server);
    server = { ...again, stop: async () => void await Promise.all([again.stop(), stop()]) };
    await browser.until("its end", `document.querySelector("#problems").hidden`);
    await browser.until("three nodes", has("#tiles", /Nodes\s+3\s/));
  });

  it("says that the dashboard has ended", async () => {
    await dashboard.kill();
    await browser.until("the end", has("#connection", /reconnecting|ended/));
    assertEquals(browser.complaints, []);
  });
});

/** Names, sizes and colors of the pictures. */
const PICTURED = [["light", 1280, 1000, "light"], ["dark", 1280, 1000, "dark"], ["narrow", 360, 740, "light"], [
  "wall",
  2560,
  1440,
  "dark",
]] as const;

describe(
  "the page of the dashboard, with 50 nodes, 100 contracts and 10,000 dead letters",
  { skip, timeout: 120_000 },
  () => {
    let server: DashboardServer;
    let browser: Browser;
    const streams = new Streams({
      hello: () => ({ namespace: "big", address: "nats", version: "1", allowChanges: true, now: Date.now() }),
      history: () => ({}),
      onLook: () => {},
      onLeave: () => {},
    });
    before(async () => {
      server = await DashboardServer.listen({
        ...{ host: "127.0.0.1", port: 0, streams, change: undefined, reads: {} },
      });
      browser = await Browser.open(path);
      await browser.show(1280, 1000, "light");
      await browser.goto(server.address);
      await browser.until("the page", has("#connection", /^live$/));
    });
    after(async () => {
      await browser?.[Symbol.asyncDispose]();
      await server?.[Symbol.asyncDispose]();
    });

    const labels = Array.from({ length: 50 }, (_, n) => `service${n % 9}-${n}`);
    const contracts = (n: number, first = 0) =>
      Array.from({ length: 100 }, (_, i) => ({
        ...{
          name: `orders.Contract${first + i}`,
          kind: "command" as const,
          rate: i + n,
          failing: n % 3,
          refusing: 0,
          p50: 1,
          p99: n + 1,
        },
        ...{ inHand: n % 5, codes: [["HANDLER_FAILED", n]] as const, nodes: labels.slice(0, 12), handlers: 50 },
      }));

    /** Sends what changes in a second: all of it. */
    const second = (n: number) => {
      const letters = Array.from({ length: 200 }, (_, i) => ({
        ...{ place: `p${i + n}`, service: "mails", subscription: "receipts", position: i + n, id: `m${i + n}` },
        ...{
          contract: "orders.Placed",
          key: `o-${i}`,
          attempts: 3,
          code: "HANDLER_FAILED",
          error: "it threw",
          at: 1,
        },
        ...{
          cause: "TypeError: no card",
          payload: "{}",
          request: undefined,
          group: "TypeError: no card",
          business: false,
          history: "",
        },
      }));
      streams.send("letters", { shown: letters, total: 10_000 });
      streams.send("nodes", {
        shown: labels.map((label, i) => ({
          ...{
            id: label,
            label,
            service: label.split("-")[0],
            state: "live" as const,
            since: 1,
            busy: (i + n) % 7,
            queued: 0,
          },
          ...{ ping: n % 9, startedAt: 1, version: "1", host: "h", handles: 100, memory: 9e7, cpu: 0.1 },
        } as const)),
        ...{ total: 50, counts: { live: 50, suspect: 0, gone: 0, drained: 0 }, cycles: 0 },
      });
      streams.send("contracts", { shown: contracts(n), total: 100 });
    };

    it("says that nothing is there of no part that was not read, as of one that the NATS user may not read", async () => {
      for (const part of ["runs", "letters", "retries", "schedules", "subscriptions", "locks", "events"]) {
        await browser.until(part, has(`#${part}`, /\nlooking$/));
      }
    });

    /** Sends until the page shows it: a page that reconnects, as on a busy machine, has missed what was sent before. */
    const shown = (what: string, send: () => void, expression: string) =>
      eventually(what, () => (send(), browser.evaluate(expression)));

    it("the row of a dead letter says what its handler threw", async () => {
      const letter = has("#letters > .frame", /HANDLER_FAILED: TypeError: no card/);
      await shown("the letter", () => second(0), letter);
    });

    it("a long name of a contract stays in its tile, and no screen scrolls sideways", async () => {
      const name = `customs.${"DocumentsForPerishableGoods".repeat(4)}`;
      const send = () => streams.send("contracts", { shown: [{ ...contracts(0)[0], name }], total: 1 });
      await shown("the tile", send, has("#tiles", /Slowest p99[\s\S]*DocumentsForPerishableGoods/));
      for (const width of [1280, 400]) {
        await browser.show(width, 800, "light");
        const [wide, widest] = await browser.evaluate<number[]>(
          `[document.documentElement.scrollWidth, Math.max(...[...document.querySelectorAll("#tiles > div")]
            .map((tile) => tile.scrollWidth - tile.clientWidth))]`,
        );
        assertEquals([wide, widest], [width, 0]);
      }
      await browser.show(1280, 1000, "light");
    });

    it("an alarm with a long word has its age and its button in sight", async () => {
      const word = "nosuchfile".repeat(60);
      const alarm = {
        ...{ severity: "error", kind: "dead-letters", about: "a/b", count: 1, message: `1 message: ${word}` } as const,
        ...{ since: 1, docs: "catga docs alarms", advice: "replay it" },
      };
      const send = () => streams.send("alarms", [alarm]);
      await shown("the alarm", send, has("#alarms", /nosuchfile/));
      const [wide, room] = await browser.evaluate<number[]>(
        `(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector("#alarms .frame"))`,
      );
      assertEquals(wide, room);
      streams.send("alarms", []);
    });

    it("the picture of the traffic does not cut a label at its edge, whatever the width", async () => {
      const circle = (n: number) => ({ label: `payments-${n}/MwEn-WWWWWW`, state: "live", count: 12 }) as const;
      const send = () =>
        streams.send("traffic", { byService: true, nodes: [0, 1, 2, 3].map(circle), edges: [], total: 0 });
      await shown("the labels", send, `document.querySelector("canvas").ariaLabel.startsWith("0 requests")`);
      for (const width of [1280, 900, 390]) {
        await browser.show(width, 800, "light");
        const [drawn, atEdge] = await browser.evaluate<number[]>(`(async () => {
          const canvas = document.querySelector("canvas");
          canvas.scrollIntoView();
          for (let n = 0; n < 5; n++) await new Promise(requestAnimationFrame);
          const inked = (x, wide) => canvas.getContext("2d").getImageData(x, 0, wide, canvas.height).data
            .filter((value, at) => at % 4 === 3 && value > 0).length;
          return [inked(0, canvas.width), inked(0, 2) + inked(canvas.width - 2, 2)];
        })()`);
        assert(drawn > 0);
        assertEquals(atEdge, 0, `pixels at the edge, ${width} px wide`);
      }
      await browser.show(1280, 1000, "light");
    });

    it("the picture of the traffic writes no label over another, or over a circle (those of nine nodes did)", async () => {
      for (const count of [1, 2, 3, 4, 5, 6, 8, 9, 13, 20, 31, 32]) {
        const nodes = Array.from(
          { length: count },
          (_, n) => ({ label: `gateway/lXn${n}`, state: "live", count: 1 } as const),
        );
        for (const width of [1280, 390]) {
          await browser.show(width, 800, "light");
          await browser.evaluate(`(() => {
            const { prototype } = CanvasRenderingContext2D;
            globalThis.ownFill ??= prototype.fillText;
            globalThis.ownArc ??= prototype.arc;
            globalThis.ownClear ??= prototype.clearRect;
            globalThis.labels = new Map();
            globalThis.circles = new Map();
            prototype.clearRect = function (...all) {
              labels.clear();
              circles.clear();
              return ownClear.apply(this, all);
            };
            prototype.arc = function (x, y, radius, ...more) {
              const edge = radius + 1.5; // half of its line
              circles.set(x + " " + y, { text: "a circle", left: x - edge, right: x + edge, top: y - edge, bottom: y + edge });
              return ownArc.call(this, x, y, radius, ...more);
            };
            prototype.fillText = function (text, x, y, room) {
              const wide = Math.min(room, this.measureText(text).width);
              const left = x - { left: 0, center: wide / 2, right: wide }[this.textAlign];
              labels.set(text, { text, left, right: left + wide, top: y - 6, bottom: y + 6 });
              return ownFill.call(this, text, x, y, room);
            };
          })()`);
          streams.send("traffic", { byService: false, nodes, edges: [], total: width + count });
          await browser.until("the labels", `labels.size === ${count}`);
          const { 0: [least, most], 1: over } = await browser.evaluate<[number[], string[]]>(`[
            [...circles.values()].reduce(([a, b], { top, bottom }) => [Math.min(a, top), Math.max(b, bottom)], [0, 0]),
            [...labels.values(), ...circles.values()].flatMap((a, i, all) =>
            all.slice(i + 1).filter((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
              .map((b) => a.text + " and " + b.text))]`);
          assertEquals(over, [], `of ${count} nodes, ${width} px wide`);
          assert(least >= 0 && most <= 320, `a circle of ${count} nodes stays in the picture: ${least} to ${most}`);
        }
      }
      await browser.show(1280, 1000, "light");
    });

    it("spends little of each second on what changes in it", async () => {
      second(0);
      await browser.until("the contracts", has("#contracts", /orders\.Contract/));
      const taken = async () => {
        const { metrics } = await browser.call("Performance.getMetrics");
        const all = new Map((metrics as { name: string; value: number }[]).map(({ name, value }) => [name, value]));
        return ["ScriptDuration", "LayoutDuration", "RecalcStyleDuration"].reduce(
          (sum, name) => sum + all.get(name)!,
          0,
        );
      };
      const [before, rounds] = [await taken(), 20];
      for (let n = 1; n <= rounds; n++) {
        second(n);
        await browser.until(
          "the update",
          `document.querySelector("#contracts tbody").textContent.includes("HANDLER_FAILED ${n}")`,
        );
      }
      const ms = (await taken() - before) * 1_000 / rounds;
      const rows = await browser.evaluate<number>(`document.querySelectorAll("tbody tr").length`);
      console.log(`an update of everything: ${ms.toFixed(1)} ms of script, style and layout; ${rows} rows`);
      assertLess(rows, 200);
      const height = await browser.evaluate<number>("document.documentElement.scrollHeight");
      assertLess(height, 12_000);
    });

    it("writes and moves only what changed, and does not lay out what is far from the screen", async () => {
      await browser.evaluate(`window.written = [];
        new MutationObserver((records) => written.push(...records))
          .observe(document.querySelector("#contracts tbody"), { subtree: true, childList: true, attributes: true })`);
      const [one, ...others] = contracts(20);
      streams.send("contracts", { shown: [{ ...one, rate: 4_711 }, ...others], total: 100 });
      await browser.until("the rate", has("#contracts", /4,711/));
      assertEquals(await browser.evaluate("written.splice(0).length"), 1);
      streams.send("contracts", { shown: contracts(20, 1), total: 100 });
      await browser.until("the last of the page", has("#contracts", /orders\.Contract50/));
      assertEquals(await browser.evaluate("written.filter(({ target }) => target.tagName === 'TBODY').length"), 2);
      const laidOut = (id: string) =>
        browser.evaluate(`document.querySelector("${id}").checkVisibility({ contentVisibilityAuto: true })`);
      assertEquals([await laidOut("#nodes table"), await laidOut("#entity-form")], [true, false]);
    });

    it("draws as many frames as an empty page", { skip: FRAMES }, async () => {
      /** The gaps between frames, in ms, for so many seconds: p50, p99, the longest. */
      const gaps = (seconds: number) =>
        browser.evaluate<number[]>(`new Promise((resolve) => {
          const gaps = [];
          requestAnimationFrame(function next(now, last = now) {
            gaps.push(now - last);
            if (gaps.length < ${60 * seconds}) return requestAnimationFrame((then) => next(then, now));
            gaps.sort((a, b) => a - b);
            resolve([0.5, 0.99, 1].map((q) => gaps[Math.ceil(q * gaps.length) - 1]));
          });
        })`);
      const shown = (ms: readonly number[]) => ms.map((each) => each.toFixed(1)).join(", ");
      let n = 100;
      const timer = setInterval(() => second(++n), 1_000);
      for (const place of ["#tiles", "#contracts", "#letters"]) {
        await browser.evaluate(`document.querySelector("${place}").scrollIntoView({ behavior: "instant" })`);
        await gaps(1);
        console.log(`gaps of frames at ${place}: ${shown(await gaps(8))} ms (p50, p99, longest)`);
      }
      clearInterval(timer);
      await browser.goto("about:blank");
      await gaps(1);
      console.log(`gaps of frames of an empty page: ${shown(await gaps(8))} ms`);
    });
  },
);

describe("the page of the dashboard, with hostile content", { skip, timeout: 120_000 }, () => {
  const MARKUP = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`;
  const TEXTS = [
    MARKUP,
    `${HIDDEN_TEXT}\n${MARKUP}`,
    "\x1b[2J\x1b]0;owned\x07",
    "x".repeat(1_048_576),
    "\u202egnp.exe",
  ];

  it("a link to a section leads there, past others that were never laid out (Search was 6,300 px away)", async () => {
    const streams = new Streams({
      hello: () => ({ namespace: "n", address: "a", version: "v", allowChanges: true, now: Date.now() }),
      history: () => ({}),
      onLook: () => {},
      onLeave: () => {},
    });
    await using server = await DashboardServer.listen({
      ...{ host: "127.0.0.1", port: 0, streams, change: undefined, reads: {} },
    });
    await using browser = await Browser.open(path);
    await browser.show(360, 700, "light");
    await browser.goto(server.address);
    await browser.until("the page", has("#connection", /^live$/));
    streams.send("timeline", Array.from({ length: 50 }, (_, n) => ({ n, at: 1, what: "joined", about: `node-${n}` })));
    await browser.until("the rows", `document.querySelectorAll("#timeline tbody tr").length === 50`);
    await browser.evaluate(`document.querySelector('nav a[href="#search"]').click()`);
    // at the top, or as far up as the end of the page lets it be: that depends on the sections that were laid out
    await browser.until(
      "the section",
      `(() => {
        const { top } = document.querySelector("#search").getBoundingClientRect();
        const isEnd = scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
        return top < 200 || (isEnd && top < innerHeight);
      })()`,
    );
  });

  it("runs nothing of it, cuts it, and stays quick with 10,000 nodes", async () => {
    const book = new NodeBook(systemClock, () => {});
    for (let n = 0; n < 10_000; n++) {
      const id = `n${n}`;
      const value = JSON.stringify({
        ...{ id, endpoint: `${id}.1`, service: "s", handles: [], startedAt: 1, lastSeen: 1, protocol: 1 },
        ...{ metadata: { host: MARKUP }, load: { inFlight: 0, queued: 0 }, server: "S", version: MARKUP },
      });
      book.take({ type: "put", key: id, value, revision: n + 1 });
    }
    const hostile = TEXTS.map((each) => shownText(each));
    const streams = new Streams({
      hello: () => ({ namespace: MARKUP, address: MARKUP, version: MARKUP, allowChanges: true, now: Date.now() }),
      history: () => ({}),
      onLook: () => {},
      onLeave: () => {},
    });
    await using server = await DashboardServer.listen({
      host: "127.0.0.1",
      port: 0,
      streams,
      change: undefined,
      reads: {
        entity: () => Promise.resolve(undefined),
        entities: () =>
          Promise.resolve({
            shown: hostile.map((each, n) => ({ type: each, id: each, key: `${n}`, version: n, last: each, at: 1 })),
            searched: shownText(MARKUP),
          }),
        schedule: () => Promise.resolve(hostile),
        letter: () => Promise.resolve({ payload: shownValue(TEXTS), tagged: false }),
        search: () =>
          Promise.resolve({
            hits: TEXTS.map((each) => shownText(each)).map((each) => ({
              ...{
                where: "event",
                name: each,
                id: each,
                key: each,
                correlation: each,
                causation: each,
                at: 1,
              } as const,
              ...{ place: each, payload: shownValue(each) },
            })),
            searched: [shownText(MARKUP)],
          }),
        runs: () => Promise.resolve([]),
      },
    });
    await using browser = await Browser.open(path);
    await browser.show(1280, 1000, "light");
    await browser.goto(server.address);
    await browser.layOutAll();
    await browser.until("the page", has("#connection", /^live$/));
    const letters = TEXTS.map((each, n) => ({
      ...{ place: `p${n}`, service: hostile[n], subscription: hostile[n], position: n, id: hostile[n] },
      ...{ contract: hostile[n], key: hostile[n], attempts: 1, code: hostile[n], error: hostile[n], at: 1 },
      ...{ payload: shownValue({ [each]: each }), request: undefined, cause: hostile[n], group: "", business: false },
      history: hostile[n],
    }));
    streams.send("letters", { shown: letters, total: 5 });
    streams.send(
      "alarms",
      hostile.map((about, n) => ({
        ...{
          kind: "no-node",
          about,
          severity: "error",
          message: about,
          since: 1,
          count: 1,
          docs: about,
          cause: hostile[n],
        },
        advice: about,
      } as const)),
    );
    streams.send("groups", {
      shown: hostile.map((each, n) => ({
        ...{ service: each, subscription: each, contract: each, code: each, cause: each, stack: hostile[n] },
        ...{ business: false, count: 1, partial: n === 0, first: 1, last: 1 },
      })),
      total: 5,
    });
    streams.send("timeline", hostile.map((about, n) => ({ n, at: 1, what: about, about })));
    streams.send("server", {
      ...{ name: hostile[0], version: hostile[1], rtt: 1 },
      streams: hostile.map((name) => ({
        ...{ name, messages: 1, bytes: 1, limit: 0, replicas: 1, missing: [], leader: name, consumers: 1 },
      })),
    });
    streams.send(
      "runs",
      {
        more: true,
        runs: hostile.map((each) => ({
          ...{
            workflow: each,
            id: each,
            key: each,
            status: "stuck",
            startedAt: 1,
            since: 1,
            pending: each,
            stage: each,
            steps: [each],
          },
          timeline: each,
        } as const)),
      },
    );
    streams.send("problems", hostile.map((part) => ({ part, message: part })));
    streams.send("events", {
      shown: hostile.map((name, n) => ({
        ...{ n, at: 1, durable: true, name, id: name, key: name, from: name, payload: letters[n].payload },
      })),
      left: 0,
    });
    await browser.until("the letters", `document.querySelectorAll("#letters > .frame tbody tr").length === 5`);
    await browser.until("the stuck runs", has("#runs-about", /^the first 5 runs that are stuck$/));
    await browser.evaluate(
      `document.querySelectorAll("#letters, #alarms").forEach((section) =>
        section.querySelectorAll("td.actions button:first-child").forEach((b) => b.click()))`,
    );
    // of the first group some are unread; discarding it discards those, too
    // the groups are among the letters: those that were there for the clicks are unfolded, with a row of their own
    const cells = `[...document.querySelectorAll("#groups tbody tr:has(> td.actions) > td:first-child")]`;
    const counts = `${cells}.map((cell) => cell.innerText)`;
    await browser.until("the groups", `${counts}.slice(0, 2).join(" ") === "1+ 1"`);
    const question = async (row: number) => {
      await browser.evaluate(`document.querySelectorAll("#groups td.actions button:nth-child(3)")[${row}].click()`);
      const asked = await browser.evaluate<string>(text("#confirm-question"));
      await browser.evaluate(`document.querySelector("#confirm-no").click()`);
      return asked;
    };
    assertMatch(await question(0), /^Discard 1 dead letter or more of /);
    assertMatch(await question(1), /^Discard 1 dead letter of /);
    await browser.evaluate(`document.querySelector("#search-text").value = "x"`);
    await browser.evaluate(`document.querySelector("#search-form button").click()`);
    await browser.until("the hits", `document.querySelectorAll("#search tbody tr").length === 5`);
    await browser.evaluate(`document.querySelectorAll("#search td.actions button").forEach((b) => b.click())`);
    streams.send("schedules", {
      shown: hostile.map((each, n) => ({
        ...{ contract: each, id: shownId(TEXTS[n]), key: `${n}`, next: undefined, when: each, zone: each, since: each },
      })),
      total: 5,
    });
    const long = `document.querySelector("#schedules tbody tr:nth-child(4) td:nth-child(2) .long")`;
    await browser.until("a long id", `${long} !== null`);
    const [length, hint, short, tall] = await browser.evaluate<number[]>(`(() => {
      const place = ${long};
      const short = place.offsetHeight;
      place.focus();
      return [place.textContent.length, place.title.length, short, place.offsetHeight];
    })()`);
    assert(length > 600 && hint === length && tall > 2 * short, `${[length, hint, short, tall]}`);
    await browser.until("the schedules", `document.querySelectorAll("#schedules tbody tr").length === 5`);
    await browser.evaluate(`document.querySelector("#entity-form button").click()`);
    await browser.until("the entities", `document.querySelectorAll("#entity-list tbody tr").length === 5`);
    await browser.evaluate(
      `document.querySelectorAll("#schedules, #entity-list").forEach((part) =>
        part.querySelectorAll("td.actions button:first-child").forEach((b) => b.click()))`,
    );
    await browser.until("what the schedules did", has("#schedules .detail pre", /onerror/));
    await browser.until("that there is no history", has("#entity-list .detail pre", /nothing is stored of it/));
    const circle = (label: string) => ({ label, state: "live", count: 1 }) as const;
    const nodes = [circle(hostile[0]), circle("b")];
    streams.send("traffic", { byService: false, nodes, edges: [[0, 1, 9, 0]], total: 1 });
    const moves = `(async () => {
      const canvas = document.querySelector("canvas");
      const frame = () => new Promise(requestAnimationFrame);
      canvas.scrollIntoView(); // out of sight it stands still, and what is open above it may be long
      for (let n = 0; n < 3; n++) await frame();
      const before = canvas.toDataURL();
      for (let n = 0; n < 5; n++) await frame();
      return canvas.toDataURL() !== before;
    })()`;
    await browser.until("the picture moves", moves);
    await browser.show(1280, 1000, "light", "reduce");
    await browser.until("the picture stands still", `(async () => !(await ${moves}))()`);
    const began = performance.now();
    for (let n = 0; n < 20; n++) {
      book.take({ type: "delete", key: `n${n}`, revision: 20_000 + n });
      streams.send("nodes", { ...book.view(200), counts: book.counts(), cycles: 0 });
      await browser.until("the update", has("#tiles", new RegExp(`Nodes\\s+${(9_999 - n).toLocaleString("en-US")}`)));
    }
    console.log(`an update of 200 of 10,000 nodes: ${Math.round((performance.now() - began) / 20)} ms, there and back`);
    assertEquals(await browser.evaluate(`document.querySelectorAll("#nodes tbody tr").length`), 50);
    assertMatch(await browser.evaluate(text("#nodes")), /1 to 50 of 200/);
    await browser.evaluate(`document.querySelectorAll("#nodes .bar button")[1].click()`);
    assertMatch(await browser.evaluate(text("#nodes")), /51 to 100 of 200/);
    assertMatch(await browser.evaluate(text("#nodes")), /9,800 more are not shown/);
    assertEquals(await browser.evaluate("[typeof window.hacked, document.images.length, document.scripts.length]"), [
      "undefined",
      0,
      1,
    ]);
    const shown = await browser.evaluate<string>("document.body.innerText");
    assert(shown.includes(MARKUP));
    // deno-lint-ignore no-control-regex
    assertEquals(/[\x00-\x08\x0b-\x1f\x7f\u202e]/.test(shown), false);
    assertLess(shown.length, 200_000);
    assertEquals(browser.complaints, []);
  });
});
