/** Tests of runs that are forgotten before their `keep` is over, in memory, on a file and over NATS. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, type CatgaError, unwrap, workflow } from "../../mod.ts";
import type { QuestionsHarness } from "./questions_suite.ts";

const LONG = { timeout: 60_000 };

/** The ids of all stored runs, sorted. */
async function runsOf(app: Catga): Promise<string[]> {
  return (await Array.fromAsync(app.runs())).map(({ workflow, id }) => `${workflow} ${id}`).sort();
}

export function forgettingSuite(name: string, options: object, open: () => Promise<QuestionsHarness>): void {
  describe(`a run that is forgotten: ${name}`, options, () => {
    it("is gone with all that its steps started, in each life; others stay, and its id is free", async () => {
      const Leaf = workflow<string, string>("Leaf");
      const Branch = workflow<string, string>("Branch");
      const Tree = workflow<{ life: number; of: string }, string>("Tree");
      let starts = 0;
      const handlers = [
        Leaf.handle((flow, of) => flow.step("grow", () => `${of} has grown`)),
        Branch.handle((flow, of) => flow.send(Leaf, of).then(unwrap)),
        Tree.handle(async (flow, { life, of }) => {
          if (life === 1) await flow.step("begin", () => void starts++);
          const grown = unwrap(await flow.send(Branch, `branch ${life} of ${of}`));
          return life < 2 ? flow.again({ life: life + 1, of }) : grown;
        }),
      ];
      await using harness = await open();
      const app = await harness.start(handlers);
      const tree = (id: string, of: string) => app.start(Tree, { life: 1, of }, { id }).then(unwrap);
      for (const id of ["ada", "ada:2", "bob"]) {
        unwrap(await app.result(Tree, await tree(id, id), LONG));
      }
      // its id looks like that of a step of ada's run, and it is none
      unwrap(await app.result(Leaf, unwrap(await app.start(Leaf, "x", { id: "Tree:ada:own" })), LONG));
      const before = await runsOf(app);
      assertEquals(before.length, 16);
      const gone = [
        "Branch Tree:ada:@2%3ABranch",
        "Branch Tree:ada:Branch",
        "Leaf Branch:Tree:ada:@2%3ABranch:Leaf",
        "Leaf Branch:Tree:ada:Branch:Leaf",
        "Tree ada",
      ];
      assertEquals(gone.filter((run) => !before.includes(run)), []);
      const kept = before.filter((run) => !gone.includes(run));
      await app.forget(Tree, "ada");
      assertEquals(await runsOf(app), kept);
      assertEquals((await app.result(Tree, "ada", { timeout: 1_000 })).error?.code, "NO_RUN");
      await app.forget(Tree, "ada");
      assertEquals(await runsOf(app), kept);
      // another node, which has read nothing of it before, finds the id free as well
      const next = await harness.start(handlers);
      const began = starts;
      unwrap(await next.result(Tree, unwrap(await next.start(Tree, { life: 1, of: "new" }, { id: "ada" })), LONG));
      assertEquals([starts, (await runsOf(next)).length], [began + 1, before.length]);
    });

    it("has ended, and so have its parent and its children: else NOT_ENDED, and nothing is removed", async () => {
      const Child = workflow<void, void>("Child");
      const Parent = workflow<void, void>("Parent");
      const Go = Parent.signal("Go");
      const handlers = [
        Child.handle(() => {}),
        Parent.handle(async (flow) => {
          unwrap(await flow.send(Child));
          await flow.wait(Go);
        }),
      ];
      await using harness = await open();
      const app = await harness.start(handlers);
      const run = unwrap(await app.start(Parent, undefined, { id: "p" }));
      const child = "Parent:p:Child";
      unwrap(await app.result(Child, child, LONG));
      const refused = async (forget: Promise<void>, text: RegExp) => {
        const { code, retryable, message } = await assertRejects(() => forget) as CatgaError;
        assertEquals([code, retryable], ["NOT_ENDED", true]);
        assertMatch(message, text);
      };
      await refused(app.forget(Parent, run), /run p of Parent has not ended: cancel it/);
      await refused(app.forget(Child, child), /run p of Parent has not ended, which has started run Parent:p:Child/);
      assertEquals((await runsOf(app)).length, 2);
      unwrap(await app.tell(Go, run));
      unwrap(await app.result(Parent, run, LONG));
      await app.forget(Child, child);
      assertEquals(await runsOf(app), ["Parent p"]);
      await app.forget(Parent, run);
      assertEquals(await runsOf(app), []);
      await app.forget(Parent, "never");
    });
  });
}
