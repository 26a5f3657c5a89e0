/**
 * A bad night, in a real browser: five faults of a cluster of processes on three NATS servers. Each is named by an
 * alarm within 5 s, in plain words, with its cause a click away, and the alarm is gone within 5 s of the cure. With
 * `CATGA_PICTURES=docs/pictures` it makes the pictures of the docs.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findChromium } from "../../tools/chromium_binary.ts";
import { type NatsCluster, requireNatsServer, startNatsCluster } from "../../tools/nats_server.ts";
import { runtimeBinary } from "../processes/node_process.ts";
import { askAgain } from "../support/ask_again.ts";
import { Browser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PICTURES = process.env.CATGA_PICTURES;

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno" } : await findChromium();
const { skip: noServer } = await requireNatsServer();
const skip = "missing" in chromium ? chromium.missing : noServer;

/**
 * How long a test waits for an alarm, and for its end, in ms: it prints how soon they came, 0.1 to 3 s where nothing
 * else runs.
 */
const LIMIT = 120_000;

describe("a bad night", { skip, timeout: 400_000 }, () => {
  let servers: NatsCluster;
  let admin: NatsConnection;
  let browser: Browser;
  let urls: string;
  const children: ChildProcess[] = [];

  const start = async (program: string, ...args: string[]) => {
    const child = spawn(await runtimeBinary("deno"), ["run", "-A", "--no-check", join(ROOT, program), ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    process.once("exit", () => child.kill("SIGKILL"));
    children.push(child);
    let out = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => out += text); // a pipe
    return {
      child,
      printed: (text: string) => eventually(text, () => out.includes(text) && out, LIMIT),
      say: (line: string) => void child.stdin!.write(`${line}\n`), // a pipe
    };
  };
  type Program = Awaited<ReturnType<typeof start>>;
  const node = async (service: string) => {
    const made = await start("test/processes/night_node.ts", urls, service);
    await made.printed("ready");
    return made;
  };
  let payments: Program;
  let mails: Program;

  before(async () => {
    servers = await startNatsCluster(3);
    // whoever connects does not to the server that is killed later
    urls = servers.urls.slice(0, 2).join(",");
    admin = await connect({ servers: servers.urls.slice(0, 2), ignoreClusterUpdates: true });
    [payments, mails] = await Promise.all([node("payments"), node("mails")]);
    await node("shop");
    const page = await start("src/cli/main.ts", "dashboard", "--port", "0", "--allow-changes", "--nats", urls);
    const address = await page.printed("\n");
    browser = await Browser.open("path" in chromium ? chromium.path : "");
    await browser.show(1280, 1000, "light");
    await browser.goto(`${address}`.trim());
    await browser.layOutAll();
    await quiet();
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    for (const child of children) child.kill("SIGKILL");
    await admin?.close();
    await servers?.stop();
  });

  const quiet = () => browser.until("no alarm", `document.querySelector("#all-well")?.hidden === false`, LIMIT);
  const rowOf = (words: RegExp) =>
    `[...document.querySelectorAll("#alarms tbody tr:not(.detail)")].find((row) => ${words}.test(row.innerText))`;

  /** Waits for an alarm, and says how long it took since `began`. */
  const named = async (words: RegExp, began: number) => {
    await browser.until(`an alarm: ${words}`, `Boolean(${rowOf(words)})`, LIMIT);
    const took = performance.now() - began;
    console.log(`named after ${Math.round(took)} ms: ${await browser.evaluate(`${rowOf(words)}.innerText`)}`);
  };
  /** Clicks on its button, and waits for these words: causes are read after what they cause. */
  const why = async (words: RegExp, said: RegExp) => {
    await browser.evaluate(`${rowOf(words)}.querySelector("td.actions button").click()`);
    const shown = `[...document.querySelectorAll("#alarms .detail pre")].some((pre) => ${said}.test(pre.innerText))`;
    await browser.until("why", shown, LIMIT);
  };
  const gone = async (words: RegExp, cured: number) => {
    await browser.until(`the end of ${words}`, `!${rowOf(words)}`, LIMIT);
    const took = performance.now() - cured;
    console.log(`gone ${Math.round(took)} ms after the cure`);
  };
  const click = (selector: string) => browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);

  it("the only payment node is killed: nobody handles bank.Charge, and so many messages wait", async () => {
    const began = performance.now();
    payments.child.kill("SIGKILL");
    const alarm = /error\s+Nobody handles bank\.Charge: payments-\d+ did, and is gone/;
    await named(alarm, began);
    await named(/The program payments-\d+ is gone without signing off/, began);
    await browser.until("messages that wait", `Boolean(${rowOf(/bank\.Charge.* [\d,]+ messages wait/)})`);
    await why(alarm, /^What to do: Start a program that handles it\..*\nMore: catga docs alarms#no-node/);
    if (PICTURES !== undefined) await keep("night");
    payments = await node("payments");
    await gone(/bank\.Charge|payments-/, performance.now());
  });

  it("a handler throws: its messages are dead letters, with what it threw and where", async () => {
    mails.say("break");
    await mails.printed("done break");
    const alarm = /messages? of orders\.Placed could not be handled by mails\/receipts.*TypeError/;
    await named(alarm, performance.now());
    await why(alarm, /What to do: Mend the cause[\s\S]*\nTypeError: [^\n]+\n +at receiptOf .*night_node\.ts/);
    if (PICTURES !== undefined) await keep("night-cause");
    mails.say("mend");
    const [, dead] = /dead (\d+)/.exec(`${await mails.printed("done mend")}`)!;
    // those that are under way fail no more; only the letters that the page knows are replayed
    await browser.until("no failures", `!${rowOf(/fails/)}`, LIMIT);
    await browser.until(
      `${dead} letters`,
      `Boolean(${rowOf(new RegExp(`\\b${dead} messages? of orders\\.Placed`))})`,
      LIMIT,
    );
    await browser.evaluate(`document.querySelector("#replay-all").click()`);
    await click("#confirm-yes");
    await browser.until("the requests", `/to be replayed/.test(document.querySelector("#said").innerText)`, LIMIT);
    await gone(/orders\.Placed/, performance.now());
    await quiet();
  });

  it("a stream is at its limit", async () => {
    const { config, state } = await info("catga_default_log");
    const began = performance.now();
    await api("STREAM.UPDATE.catga_default_log", { ...config, max_bytes: Math.round(state.bytes / 0.9) });
    const alarm = /The stream catga_default_log has used \d+ % of its limit/;
    await named(alarm, began);
    await why(alarm, /Raise the limit of the stream/);
    await api("STREAM.UPDATE.catga_default_log", { ...config, max_bytes: -1 });
    await gone(alarm, performance.now());
  });

  it("a subscription stops because as many messages failed as it may put aside", async () => {
    mails.say("audit 10000");
    await mails.printed("done audit 10000");
    const full = `/audit\\s[\\s\\S]*\\b10,000\\b/.test([...document.querySelectorAll("#subscriptions tbody tr")]
      .find((row) => row.innerText.includes("mails/audit"))?.innerText ?? "")`;
    await browser.until("10,000 letters", full, 120_000);
    const alarm = /mails\/audit handles nothing any more: .*10,000/;
    await named(alarm, performance.now());
    await why(alarm, /Replay or discard its dead letters[\s\S]*NO_AUDITOR/);
    // letters are read after what their subscription says
    const discard = `[...document.querySelectorAll("#letters > .frame td.actions button")]
      .find((button) => button.innerText === "Discard")`;
    await browser.until("a letter", `Boolean(${discard})`, LIMIT);
    await browser.evaluate(`${discard}.click()`);
    await click("#confirm-yes");
    await browser.until("the request", `/1 to be discarded/.test(document.querySelector("#said").innerText)`, LIMIT);
    await gone(alarm, performance.now());
  });

  it("a NATS server with copies is killed", async () => {
    const began = performance.now();
    await servers.servers[2].kill("SIGKILL");
    const alarm = /The NATS server n2 is away or behind: \d+ streams and buckets have 2 of 3 copies left/;
    await named(alarm, began);
    await why(alarm, /Bring that NATS server back/);
    await servers.restart(2);
    await gone(/copies/, performance.now());
    assertEquals(browser.complaints, []);
  });

  async function api(subject: string, body: object): Promise<unknown> {
    const answer = await askAgain(admin, `$JS.API.${subject}`, body);
    const value = answer.json<{ error?: object }>();
    if (value.error !== undefined) throw new Error(`${subject}: ${JSON.stringify(value.error)}`);
    return value;
  }

  async function info(name: string) {
    return await api(`STREAM.INFO.${name}`, {}) as {
      config: object;
      state: { bytes: number };
      cluster: { leader: string };
    };
  }

  /** A picture in both colors. */
  async function keep(name: string): Promise<void> {
    for (const colors of ["light", "dark"] as const) {
      await browser.show(1280, 720, colors);
      await browser.evaluate("new Promise((resolve) => setTimeout(resolve, 300))");
      // no folder of this machine in a picture
      await browser.evaluate(`document.querySelectorAll("#alarms pre").forEach((place) =>
        place.textContent = place.textContent.replaceAll(${JSON.stringify(ROOT)}, "/app/"))`);
      await writeFile(join(PICTURES!, `${name}-${colors}.webp`), await browser.picture());
    }
    await browser.show(1280, 1000, "light");
  }
});
