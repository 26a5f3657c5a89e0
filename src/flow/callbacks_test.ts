import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryNetwork } from "../testing/mod.ts";
import { callbacksSuite } from "./callbacks_suite.ts";
import { questionsHarness } from "./questions_suite.ts";

callbacksSuite(
  "in memory",
  {},
  () => Promise.resolve(questionsHarness({ network: new MemoryNetwork() }, async () => {})),
);
callbacksSuite("on a file", {}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "catga-callbacks-"));
  return questionsHarness({ file: join(folder, "app.catga") }, () => rm(folder, { recursive: true }));
});
