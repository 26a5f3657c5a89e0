/** Tests of `catga check` and `catga contracts`: modules in files, and a file of contracts. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runCli } from "../../../test/processes/cli_process.ts";
import { cliHere } from "../../../test/support/cli_here.ts";

const HELD_OPEN = /catga: a loaded file holds the process open, .*\n$/;

const MOD = new URL("../../../mod.ts", import.meta.url).href;

/** Returns the text of a module with a contract whose payload has these required members, and its handler. */
function moduleOf(members: readonly string[], more = ""): string {
  const properties = Object.fromEntries(members.map((name) => [name, { type: "string" }]));
  const schema = JSON.stringify({ type: "object", properties, required: members });
  return `
    import { command } from ${JSON.stringify(MOD)};
    const input = { "~standard": {
      version: 1, vendor: "test", validate: (value) => ({ value }), jsonSchema: { input: () => (${schema}) },
    } };
    export const Sell = command("Sell", { input });
    export const sell = Sell.handle(() => {});
    ${more}`;
}

/** Writes modules into a new folder. `at`: the path of a module; `write`: adds a file. */
async function folder(modules: Readonly<Record<string, string>>) {
  const path = await mkdtemp(join(tmpdir(), "catga-check-"));
  const at = (name: string) => join(path, name);
  for (const [name, text] of Object.entries(modules)) await writeFile(at(name), text);
  return {
    at,
    write: (name: string, text: string) => writeFile(at(name), text),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

describe("catga check", () => {
  it("says what would break, with what to do, and ends with 1; of what is safe nothing, and ends with 0", async () => {
    await using files = await folder({
      "old.mjs": moduleOf(["seat"]),
      "new.mjs": moduleOf(["seat", "buyer"]),
      "safe.mjs": moduleOf([]),
    });
    const made = await cliHere(["contracts", files.at("old.mjs")]);
    assertEquals([made.code, made.err], [0, ""]);
    await files.write("contracts.json", made.out);
    const against = ["--against", files.at("contracts.json")];

    const broken = await cliHere(["check", files.at("new.mjs"), ...against]);
    assertEquals(broken.code, 1);
    assertEquals(broken.out.split("\n"), [
      "BREAK    Sell: what older senders send would be refused: buyer: required by the reader, not written.",
      "         Read both: make new members optional, or give them a default; require them when no older sender is left.",
      "1 thing would break.",
      "",
    ]);
    const json = JSON.parse((await cliHere(["check", files.at("new.mjs"), ...against, "--json"])).out);
    assertEquals([json.ok, json.breaks, json.findings[0].about], [false, 1, "Sell"]);

    for (const name of ["old.mjs", "safe.mjs"]) {
      const quiet = await cliHere(["check", files.at(name), ...against]);
      assertEquals([quiet.code, quiet.out], [0, "Nothing would break.\n"], name);
    }
  });

  it("ends with 2 for what cannot be judged, and with 0 for it under --allow-unknown", async () => {
    const dated = moduleOf(["seat"]).replace("jsonSchema:", "other:");
    await using files = await folder({ "old.mjs": moduleOf(["seat"]), "dated.mjs": dated });
    await files.write("contracts.json", (await cliHere(["contracts", files.at("old.mjs")])).out);
    const words = ["check", files.at("dated.mjs"), "--against", files.at("contracts.json")];
    const unknown = await cliHere(words);
    assertEquals(unknown.code, 2);
    assertStringIncludes(unknown.out, "UNKNOWN  Sell: whether what older senders send is read could not be judged");
    assertStringIncludes(unknown.out, "\nNothing would break, 1 could not be judged.\n");
    assertEquals((await cliHere([...words, "--allow-unknown"])).code, 0);
  });

  it("ends with 2 if NATS does not answer", async () => {
    await using files = await folder({ "old.mjs": moduleOf(["seat"]) });
    const { code, err } = await cliHere(["check", files.at("old.mjs"), "--nats", "nats://127.0.0.1:9"]);
    assertEquals([code, err.split(":")[0]], [2, "UNAVAILABLE"]);
  });

  it("ends with 2, naming the file, for modules and files of contracts that it cannot read", async () => {
    await using files = await folder({
      "old.mjs": moduleOf(["seat"]),
      "throws.mjs": "throw new Error('no database');",
      "empty.mjs": "export const nothing = 1;",
      "contracts.json": "{}",
    });
    const told = async (...words: string[]) => {
      const { code, err } = await cliHere(words);
      return [code, err.split("\n")[0].replaceAll(join(files.at("x"), "../"), "")];
    };
    assertEquals(await told("contracts", files.at("throws.mjs")), [
      2,
      "catga: throws.mjs cannot be loaded: no database",
    ]);
    assertEquals(await told("contracts", files.at("empty.mjs")), [
      2,
      "catga: empty.mjs: no contract, handler, entity or workflow is exported: " +
      "give the files that export them, not one that passes them to catga()",
    ]);
    const [code, text] = await told("check", files.at("old.mjs"), "--against", files.at("contracts.json"));
    assertEquals(code, 2);
    assertStringIncludes(`${text}`, "contracts.json: it is no file that `catga contracts` has made");
    const [missing, why] = await told("check", files.at("old.mjs"), "--against", files.at("none.json"));
    assertEquals(missing, 2);
    assertStringIncludes(`${why}`, "none.json cannot be read");
    assertEquals((await told("check", files.at("old.mjs")))[0], 2);
  });

  it("says in one legible line why a module cannot be loaded (line breaks and colors were escaped codes)", async () => {
    await using files = await folder({ "bare.mjs": 'import "nowhere-to-be-found";', "codec.mjs": "throw 'no key'" });
    const { code, err } = await cliHere(["contracts", files.at("bare.mjs")]);
    const [line, ...rest] = err.trimEnd().split("\n");
    assertEquals([code, rest, line.includes("\\u{")], [2, ["`catga contracts --help` says more"], false]);
    assertStringIncludes(line, "bare.mjs cannot be loaded: ");
    assertStringIncludes(line, "nowhere-to-be-found");
    if ("Deno" in globalThis) assertStringIncludes(line, "deno run -A jsr:@catga/catga/cli");
    const codec = await cliHere(["dead", "--codec", files.at("codec.mjs")]);
    assertEquals(codec.code, 2);
    assertStringIncludes(codec.err, "codec.mjs cannot be loaded: no key\n");
  });

  it("ends, and says so, though a file holds the process open when it is loaded (it went on for ever)", async () => {
    await using files = await folder({
      "open.mjs": moduleOf(["seat"], 'if (globalThis.process.argv.includes("contracts")) setInterval(() => {}, 1e8);'),
      "codec.mjs": "export default {}; setInterval(() => {}, 1e8);",
      "starts.mjs": `import { catga } from ${JSON.stringify(MOD)}; await catga(); setInterval(() => {}, 1e8);`,
    });
    const ended = (name: string) => runCli(["contracts", files.at(name)]);
    const open = await ended("open.mjs");
    assertEquals([open.code, open.out], [0, (await cliHere(["contracts", files.at("open.mjs")])).out]);
    assertMatch(open.err, HELD_OPEN);
    const starts = await ended("starts.mjs");
    assertEquals([starts.code, starts.out], [2, ""]);
    assertMatch(starts.err, /starts.mjs: no contract.* not one that passes them to catga\(\)\n/);
    const codec = await runCli(["dead", "--codec", files.at("codec.mjs")]);
    assertEquals([codec.code, codec.out], [2, ""]);
    assertMatch(codec.err, HELD_OPEN);
  });

  it("does not say so when the process stood still at its end, as on a busy machine (it did)", async () => {
    // blocks for longer than the process may stay open once the command has printed all, beside a timer that is due
    const still = `const { write } = globalThis.process.stdout;
      globalThis.process.stdout.write = function (...args) {
        setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500), 20);
        setTimeout(() => {}, 40);
        return write.apply(this, args);
      };`;
    await using files = await folder({ "still.mjs": moduleOf(["seat"], still) });
    const { code, err } = await runCli(["contracts", files.at("still.mjs")]);
    assertEquals([code, err], [0, ""]);
  });
});
