import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { catga, type PayloadCodec, unwrap, workflow } from "../../mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { forgettingSuite } from "./forgetting_suite.ts";
import { questionsHarness } from "./questions_suite.ts";

forgettingSuite(
  "in memory",
  {},
  () => Promise.resolve(questionsHarness({ network: new MemoryNetwork() }, async () => {})),
);
forgettingSuite("on a file", {}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "catga-forgetting-"));
  return questionsHarness({ file: join(folder, "app.catga") }, () => rm(folder, { recursive: true }));
});

describe("a run that is forgotten", () => {
  it("need not be readable: its key may have been thrown away before", async () => {
    const thrownAway = new Set<string>();
    const codec: PayloadCodec = {
      encode: (bytes) => bytes.map((byte) => byte ^ 85),
      decode(bytes, { key = "" }) {
        if ([...thrownAway].some((person) => key.includes(person))) throw new Error("its key is thrown away");
        return bytes.map((byte) => byte ^ 85);
      },
    };
    const Child = workflow<string, string>("Child");
    const Visit = workflow<string, string>("Visit");
    const handlers = [
      Child.handle((flow, of) => flow.step("note", () => of)),
      Visit.handle((flow, of) => flow.send(Child, of).then(unwrap)),
    ];
    const network = new MemoryNetwork();
    await using app = await catga({ network, codec, handlers, logger: QUIET });
    for (const id of ["ada", "bob"]) {
      unwrap(await app.start(Visit, `${id}'s street`, { id }));
      unwrap(await app.result(Visit, id, { timeout: 60_000 }));
    }
    thrownAway.add("ada");
    await using other = await catga({ network, codec, logger: QUIET });
    await other.forget(Visit, "ada");
    const left = await Array.fromAsync(other.runs());
    assertEquals(left.map(({ id }) => id).sort(), ["Visit:bob:Child", "bob"]);
  });

  it("is named by a workflow: anything else is a TypeError", async () => {
    await using app = await catga();
    await assertRejects(() => app.forget(undefined as never, "x"), TypeError, "forget takes what entity(…) gives");
    await assertRejects(() => app.forget({ kind: "workflow" } as never, "x"), TypeError, "forget: the first argument");
    await assertRejects(() => app.forget(workflow("W"), ""), TypeError, "forget W: run must be a well-formed string");
  });
});
