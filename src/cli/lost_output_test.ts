/** The tool as a process whose output goes to a full disk, or to nobody. */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const WORDS = "Deno" in globalThis ? ["run", "-A", "--no-check", MAIN] : ["run", MAIN];

function start(shell: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
  return spawn("sh", ["-c", shell, process.execPath, ...WORDS, ...args], { stdio });
}

describe("the tool's output", { skip: existsSync("/dev/full") ? false : "there is no /dev/full" }, () => {
  it("that cannot be written is an error that says why (in Bun it ended with 1, without a word)", async () => {
    const child = start('exec "$0" "$@" > /dev/full', ["--help"], ["ignore", "ignore", "pipe"]);
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
    const [code] = await once(child, "close");
    assertEquals(code, 1);
    assertMatch(said, /^catga: .*no space left/i);
  });

  it("to standard error that nobody reads changes no exit code (it was 1: failed)", async () => {
    const child = start('exec "$0" "$@"', ["nonsense"], ["ignore", "ignore", "pipe"]);
    child.stderr!.destroy();
    const [code] = await once(child, "close");
    assertEquals(code, 2);
  });
});
