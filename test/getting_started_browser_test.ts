/** The end of Getting started, as it is written, in a real browser: a page that orders, served by Deno and by Bun. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findChromium } from "../tools/chromium_binary.ts";
import { freePorts } from "../tools/nats_server.ts";
import { runtimeBinary } from "./processes/node_process.ts";
import { Browser } from "./support/browser.ts";
import { eventually } from "./support/eventually.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const LIMIT = 240_000;

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno, with both runtimes" } : await findChromium();
const skip = "missing" in chromium && chromium.missing;
const path = "path" in chromium ? chromium.path : "";
const page = await readFile(join(ROOT, "docs", "getting-started.md"), "utf8");

/** The code of a file, as the page has it. */
function codeOf(file: string): string {
  const [, code] = new RegExp(`\`${file}\`[^\`]*\\n\`\`\`ts[^\\n]*\\n([^]*?)\`\`\``).exec(page) ??
    new RegExp(`\`${file}\`[^]*?\\n\`\`\`ts[^\\n]*\\n([^]*?)\`\`\``).exec(page)!;
  return code;
}

/** A folder with the program, in which `@catga/catga` is this repository. */
async function writeProgram(port: number, runtime: "deno" | "bun"): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "catga-started-"));
  for (const file of ["orders.ts", "main.ts", "server.ts", "client.ts", "api.ts", "page.ts"]) {
    await writeFile(join(folder, file), codeOf(file));
  }
  const web = codeOf("web.ts");
  assertMatch(web, /port: 8000/);
  await writeFile(join(folder, "web.ts"), web.replaceAll("8000", `${port}`));
  if (runtime === "deno") {
    const [, settings] = /```json\n([^]*?)```/.exec(page)!;
    await writeFile(join(folder, "deno.json"), settings.replaceAll("../catga/", ROOT));
  }
  await mkdir(join(folder, "node_modules", "@catga"), { recursive: true });
  await symlink(ROOT, join(folder, "node_modules", "@catga", "catga"));
  return folder;
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok ?? false;
}

describe("Getting started, in Deno with a clone", { skip: inBun && "the settings are of Deno" }, () => {
  it("finds all that the programs and Catga import, for types too (deno check found no @nats-io/jetstream)", async () => {
    const folder = await writeProgram(8000, "deno");
    try {
      const unresolved: string[] = [];
      for (const file of ["main.ts", "server.ts", "client.ts", "web.ts"]) {
        const { stdout } = await promisify(execFile)(
          await runtimeBinary("deno"),
          ["info", "--json", "--no-lock", file],
          { cwd: folder, maxBuffer: 1e8 },
        );
        for (const { specifier, dependencies = [] } of (JSON.parse(stdout) as Graph).modules) {
          for (const { specifier: of, code, type } of dependencies) {
            if (code?.error ?? type?.error) unresolved.push(`${specifier} imports ${of}`);
          }
        }
      }
      assertEquals(unresolved, []);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

/** Part of what `deno info --json` prints. */
interface Graph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly code?: { readonly error?: string };
      readonly type?: { readonly error?: string };
    }[];
  }[];
}

describe("Getting started, the page in a browser", { skip, timeout: 180_000 }, () => {
  for (const runtime of ["deno", "bun"] as const) {
    it(`orders when its button is clicked, served by ${runtime}`, async () => {
      const [port] = await freePorts(1);
      const folder = await writeProgram(port, runtime);
      let child: ChildProcess | undefined;
      try {
        const bun = await runtimeBinary("bun");
        await promisify(execFile)(bun, ["build", "page.ts", "--outfile", "page.js"], { cwd: folder });
        const command = runtime === "bun" ? [bun, "web.ts"] : [
          await runtimeBinary("deno"),
          "serve",
          "--port",
          `${port}`,
          "--no-check",
          "--allow-net",
          "--allow-read",
          "web.ts",
        ];
        child = spawn(command[0], command.slice(1), { cwd: folder, stdio: "inherit" });
        const url = `http://localhost:${port}`;
        await eventually("the server", () => answers(url));
        await using browser = await Browser.open(path);
        await browser.goto(url);
        await browser.until("the script", `document.querySelector("button")?.onclick`, LIMIT);
        const seen: string[] = [];
        for (let n = 1; n <= 2; n++) {
          await browser.evaluate(`document.querySelector("button").click()`);
          const text = `document.querySelector("p").innerText`;
          seen.push(await browser.until<string>(`order ${n}`, `${text}.endsWith(", of ${n}") && ${text}`, LIMIT));
        }
        for (const text of seen) assertMatch(text, /^[\da-f-]{36}, of \d$/);
        assertEquals(browser.complaints, []);
      } finally {
        if (child !== undefined && child.exitCode === null) {
          const ended = once(child, "exit");
          child.kill("SIGKILL");
          await ended;
        }
        await rm(folder, { recursive: true });
      }
    });
  }
});
