/** The client of an edge in Chromium: in workers, offline, and on a page that the browser freezes. */
import { assertEquals } from "@std/assert";
import process from "node:process";
import { before, describe, it } from "node:test";
import { findChromium } from "../tools/chromium_binary.ts";
import { Browser } from "./support/browser.ts";
import { bundledClient, startPage, testClientIn } from "./support/client_page.ts";

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno" } : await findChromium();
const skip = "missing" in chromium ? chromium.missing : false;
const path = "path" in chromium ? chromium.path : "";

describe("the client of an edge in a browser", { skip, timeout: 120_000 }, () => {
  let script: string;
  before(async () => script = await bundledClient());

  testClientIn(() => script, () => Browser.open(path));

  it("on a page that was frozen: a tail goes on at once (it was silent for 4 × keepAlive, at least 10 s)", async () => {
    await using setup = await start(script);
    const { browser, say } = setup;
    await browser.evaluate("open()");
    await say(3);
    await setup.gotAll();
    for (const isCut of [false, true]) {
      await setup.openTails(1);
      await setup.freeze();
      await setup.openTails(0); // a page that nobody sees holds no feed
      const had = await browser.evaluate<number>("got.length");
      await say(50);
      if (isCut) setup.cut();
      await say(50);
      assertEquals(await browser.evaluate("got.length"), had);
      await setup.thaw();
      await setup.gotAll();
      await say(3);
      await setup.gotAll();
      await setup.openTails(1);
    }
  });

  it("on a page that is frozen while an answer arrives: a query fails when the page goes on (it never ended)", async () => {
    await using setup = await start(script);
    const { browser } = setup;
    await browser.evaluate(`{
      self.answer = undefined;
      const got = ({ value, error }) => answer = String(value?.length ?? error.code);
      client(location.origin + "/api", {
        fetch: async (...request) => {
          const response = await fetch(...request);
          self.hasHead = true;
          return response;
        },
      }).half.query().then(got);
      1;
    }`);
    await browser.until("the head of the answer", "self.hasHead");
    await setup.freeze();
    setup.finishHalf();
    await setup.passed(1_000_000); // less is kept for the page
    await setup.thaw();
    const answer = await browser.until<string>("an answer", "answer");
    // a browser that has read the body before the page hears that it goes on has the answer
    assertEquals(["UNAVAILABLE", "3000001"].includes(answer), true, answer);
    assertEquals(await browser.evaluate("calls()"), ["6", 5, [1, 2, 3, 4]]);
  });

  it("offline: a command is OUTCOME_UNKNOWN, a query UNAVAILABLE, and a tail goes on when the network is back", async () => {
    await using setup = await start(script);
    const { browser, say } = setup;
    const network = (offline: boolean, latency: number) =>
      browser.call("Network.emulateNetworkConditions", {
        ...{ offline, latency, downloadThroughput: -1, uploadThroughput: -1 },
      });
    await browser.call("Network.enable");
    await browser.evaluate("open()");
    for (let latency = 1; latency <= 5; latency++) {
      await say(5);
      await network(true, latency);
      setup.cut(); // else a connection that is open stays so
      await say(5);
      await browser.until(
        "the network to be away",
        "shop.list.query().then(({ error }) => error?.code === 'UNAVAILABLE')",
      );
      const codes = `Promise.all([shop.add.send(1n), shop.list.query()]).then((all) => all.map((r) => r.error?.code))`;
      assertEquals(await browser.evaluate(codes), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
      await network(false, latency);
      await setup.gotAll();
    }
  });
});

/** The page in Chromium, which can be frozen. */
async function start(script: string) {
  const setup = await startPage(script, () => Browser.open(path));
  const { browser } = setup;
  return {
    ...setup,
    freeze: async () => {
      // else the page counts as one that is looked at, which is not frozen
      await browser.call("Emulation.setFocusEmulationEnabled", { enabled: false });
      await browser.call("Page.setWebLifecycleState", { state: "frozen" });
      await browser.until("a frozen page", "frozen");
    },
    thaw: () => browser.call("Page.setWebLifecycleState", { state: "active" }),
  };
}
