import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { it } from "node:test";
import process from "node:process";
import { eventually } from "../test/support/eventually.ts";
import { Processes } from "./processes.ts";

const quiet = { limit: 20_000, show: "never" } as const;

// a process that has ended counts until its new parent has noticed, which takes seconds on some machines
function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it("run: resolves with the exit code and the output, without colors", async () => {
  using processes = new Processes();
  const { code, late, output } = await processes.run(["sh", "-c", "printf '\\033[31mred\\033[0m'; exit 3"], quiet);
  assertEquals({ code, late, output }, { code: 3, late: false, output: "red" });
});

it("run: a missing command has code 127 and an error in its output", async () => {
  using processes = new Processes();
  const { code, output } = await processes.run(["catga-no-such-command"], quiet);
  assertEquals(code, 127);
  assertMatch(output, /catga-no-such-command/);
});

it("run: kills the processes that the child left running", async () => {
  using processes = new Processes();
  const { code, output, ms } = await processes.run(["sh", "-c", "sleep 60 & echo $!"], quiet);
  assertEquals(code, 0);
  assertLess(ms, 10_000);
  await eventually("the orphan to end", () => !lives(Number(output)));
});

it("run: at its limit ends the child and the child's children", async () => {
  using processes = new Processes();
  const { late, code, output } = await processes.run(["sh", "-c", "sleep 60 & echo $!; wait"], {
    ...quiet,
    limit: 5_000,
  });
  assert(late);
  assertEquals(code, 137);
  await eventually("the child's child to end", () => !lives(Number(output)));
});

it("dispose: kills children that still run", async () => {
  const processes = new Processes();
  const running = processes.run(["sleep", "60"], quiet);
  processes[Symbol.dispose]();
  assertEquals((await running).code, 137);
});
