/** The playground of `explore`, in a real browser: its programs, as they are and mended. */
import { assertEquals, assertMatch } from "@std/assert";
import { createServer } from "node:http";
import process from "node:process";
import { describe, it } from "node:test";
import { findChromium } from "../tools/chromium_binary.ts";
import { makePlayground } from "../tools/playground.ts";
import { runtimeBinary } from "./processes/node_process.ts";
import { Browser } from "./support/browser.ts";

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno" } : await findChromium();
const skip = "missing" in chromium ? chromium.missing : false;
const path = "path" in chromium ? chromium.path : "";

/** Programs, an edit of their text, and the answer of the page. */
const RUNS: readonly { program: string; edit?: readonly [string, string]; answer: RegExp }[] = [
  { program: "tickets", answer: /^Red at seed 1: tickets were sold twice: / },
  { program: "tickets", edit: ["handlers: wrong,\n  // ", ""], answer: /^Green: / },
  { program: "mail", answer: /^Red at seed \d+: sent twice: o1/ },
  { program: "mail", edit: ["world.send(order);", "world.send(order, ctx.id);"], answer: /^Green: / },
  { program: "order", answer: /^Green: / },
  { program: "order", edit: ["  workload:", "  worklaod:"], answer: /^The program does not run: explore: / },
];

describe("the playground of explore", { skip, timeout: 600_000 }, () => {
  it("runs each of its programs, red as it stands and green when mended, and loads no workflows without one", async () => {
    const { files, programs, parts } = await makePlayground(await runtimeBinary("bun"));
    assertEquals(new Set(RUNS.map(({ program }) => program)), new Set(Object.keys(programs)));
    const asked = new Set<string>();
    const server = createServer((request, response) => {
      const name = request.url!.replace("/playground/", "");
      asked.add(name);
      const type = name.endsWith(".html") ? "text/html" : "text/javascript";
      response.writeHead(files.has(name) ? 200 : 404, { "content-type": type }).end(files.get(name));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await using browser = await Browser.open(path);
      await browser.goto(`http://127.0.0.1:${(server.address() as { port: number }).port}/playground/index.html`);
      await browser.until("the page", `document.querySelector("#program")?.length > 0`);
      const workflows = parts.find(({ word }) => word === "workflow")!.files;
      for (const { program, edit = ["", ""], answer } of RUNS) {
        await browser.evaluate(`{
          const [program, text, seeds, run] = ["program", "text", "seeds", "run"].map((id) => document.getElementById(id));
          program.value = ${JSON.stringify(program)};
          program.onchange();
          text.value = text.value.replace(...${JSON.stringify(edit)});
          seeds.value = 3;
          run.click();
        }`);
        await browser.until("the end", `document.querySelector("#stop").disabled`, 120_000);
        assertMatch(await browser.evaluate(`document.querySelector("#state").textContent`), answer);
        assertEquals(workflows.every((name) => asked.has(name)), program === "order");
      }
      assertEquals(browser.complaints, []);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
