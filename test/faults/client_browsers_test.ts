/** The client of an edge in Firefox and in WebKit: what `test/client_browser_test.ts` shows of Chromium. */
import process from "node:process";
import { before, describe } from "node:test";
import { bundledClient, testClientIn } from "../support/client_page.ts";
import { OTHER_BROWSERS } from "../support/other_browsers.ts";

const inBun = process.versions.bun !== undefined;

for (const [name, { open, skip }] of Object.entries(OTHER_BROWSERS)) {
  describe(`the client of an edge in ${name}`, { skip: inBun ? "tested in Deno" : skip, timeout: 300_000 }, () => {
    let script: string;
    before(async () => script = await bundledClient());
    testClientIn(() => script, open);
  });
}
