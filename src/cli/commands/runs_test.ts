/**
 * Tests of `catga runs` and `catga run` on a real server: runs that programs stored, and text that anybody else may
 * have written.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, unwrap, workflow } from "../../../mod.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { HIDDEN_TEXT } from "../../../test/support/hidden_characters.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";

/** Text for the command line: an argument of a program cannot have a NUL. */
const TEXT = `${HIDDEN_TEXT.toWellFormed()}\nforged line`.replaceAll("\0", "");
const ID = TEXT.slice(0, 100).toWellFormed();
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

const Export = workflow<string, string>("Export", { id: (id) => id }).view<{ state: string }>();
let broken = true;
const handlers = Export.handle(async (flow, what) => {
  if (what === "waits") {
    flow.show({ state: "asleep" });
    await flow.sleep("a day", 86_400_000);
  }
  return await flow.step(what === ID ? ID.slice(0, 50).toWellFormed() : "upload", () => {
    if (broken && what !== "ends") throw new Error(what === ID ? TEXT : "the disk is full");
    return what === ID ? TEXT : "uploaded";
  }, { retry: { attempts: 1 } });
});

describe("the tool and runs", await requireNatsServer(), () => {
  let server: NatsServer;
  let app: Catga;
  const run = (...args: string[]) => cliHere(args, { NATS_URL: server.url });
  const json = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const rows = (text: string) => text.trimEnd().split("\n");
  const listed = async (...args: string[]) =>
    json((await run("runs", "--json", ...args)).out || "{}").map(({ id }) => id);

  before(async () => {
    server = await startNatsServer();
    const none = await run("runs");
    assertEquals([none.code, none.out], [0, ""]);
    assertMatch(none.err, /^no runs in the namespace default at 127/);
    app = await catga({ nats: server.url, handlers, logger: quiet });
    for (const id of ["waits", "skipped", "retried", "ends", ID]) {
      unwrap(await app.start(Export, id, id === "ends" ? { tags: ["eu"] } : {}));
    }
    await eventually("3 runs are stuck", async () => (await listed("--status", "stuck")).length === 3);
    await eventually("one waits", async () => (await listed("--status", "waiting"))[0] === "waits");
    await eventually("one is done", async () => (await listed("--status", "done"))[0] === "ends");
  });
  after(async () => {
    await app?.drain({ timeout: 0 });
    await server?.stop();
  });

  it("runs: those that have changed longest ago first, with what they wait for; by status and workflow", async () => {
    const shown = await run("runs", "Export", "--limit", "4");
    assertEquals([shown.code, shown.err], [0, "there are more: --limit shows them\n"]);
    assertMatch(rows(shown.out)[0], /^WORKFLOW +ID +STATUS +STARTED +CHANGED +PENDING$/);
    assertEquals(rows(shown.out).length, 5);
    const stuck = await run("runs", "--status", "stuck", "Export");
    assertMatch(stuck.out, /Export +skipped +stuck +.* upload, 1 failed, HANDLER_FAILED: the disk is full/);
    assertEquals(await listed("--status", "done"), ["ends"]);
    const unknown = await run("runs", "Nothing");
    assertEquals([unknown.code, unknown.out], [1, ""]);
    assertMatch(
      unknown.err,
      /^catga: there is no workflow Nothing in the namespace default at .*; nodes handle Export\n$/,
    );
    assertEquals((await run("runs", "No Name")).code, 2);
    assertEquals((await run("runs", "--status", "lost")).code, 2);
  });

  it("runs: by tag, view, failure code and the time of the start; a filter that is invalid is an error", async () => {
    const all = (await listed()).length;
    assertEquals(await listed("--tag", "eu"), ["ends"]);
    assertEquals(await listed("--where", '{"state":"asleep"}'), ["waits"]);
    assertEquals((await listed("--code", "HANDLER_FAILED")).length, 3);
    assertEquals(await listed("--code", "NO_SUCH"), [undefined]);
    assertEquals((await listed("--since", "7d")).length, all);
    assertEquals(await listed("--since", "2h", "--until", "1h"), [undefined]);
    assertEquals((await listed("--until", "2999-01-01")).length, all);
    for (
      const args of [["--where", "[1]"], ["--where", "{"], ["--since", "soon"], ["--since", "2026-02-31"], [
        "--until",
        "7",
      ]]
    ) {
      const { code, err } = await run("runs", ...args);
      assertEquals([args, code, err.includes(args[0])], [args, 2, true]);
    }
  });

  it("run: how it stands and its timeline; with --json a line for each", async () => {
    const shown = await run("run", "Export", "skipped");
    assertEquals(shown.code, 0);
    assertMatch(shown.out, /^Export skipped\nstatus +stuck\nversion +1\nstarted +20/);
    assertMatch(
      shown.out,
      /\nSTORED +ENTRY +NAME +BY +VALUE\n.* started +- .* "skipped"\n.* failed +upload .*disk is full/,
    );
    const [about, ...entries] = json((await run("run", "Export", "skipped", "--json")).out);
    assertEquals([about.type, about.status, about.pending[0].error.message], ["run", "stuck", "the disk is full"]);
    assertEquals(entries.map(({ entry }) => entry), ["started", "failed"]);
    const none = await run("run", "Export", "none");
    assertEquals([none.code, none.out], [1, ""]);
    assertStringIncludes(none.err, "there is no run none of Export in the namespace default");
  });

  it("entity: a run as it is stored", async () => {
    const shown = await run("entity", "Export-run", "ends");
    assertEquals([shown.code, shown.err], [0, ""]);
    assertMatch(shown.out, /begun[^]*recorded[^]*"ended"/);
  });

  it("run: text of programs is escaped", async () => {
    for (const args of [["runs"], ["run", "Export", ID], ["runs", "--json"], ["run", "Export", ID, "--json"]]) {
      const { out, err } = await run(...args);
      assert(!HIDDEN.test(out + err), JSON.stringify(out + err));
      assert(!rows(out).some((line) => line.startsWith("forged")), args.join(" "));
    }
  });

  it("run: skips a step with a value and a reason, cancels, and has a run tried again", async () => {
    const usages = [
      ["again"],
      ["retry", "now"],
      ["skip"],
      ["skip", "upload", "{"],
      ["cancel"],
      [
        "retry",
        "--reason",
        "x",
      ],
      ["retry", "--ahead"],
      ["--limit", "0"],
    ];
    for (const usage of usages) {
      assertEquals((await run("run", "Export", "skipped", ...usage)).code, 2, usage.join(" "));
      for (const unknown of [["retri", "--status", "stuck"], ["retry", "--status", "stuck", "--workflow", "Uplaod"]]) {
        const { code, err } = await run("runs", ...unknown);
        assertEquals(code, 1, unknown.join(" "));
        assertStringIncludes(err, "there is no workflow");
      }
    }
    const typo = await run("run", "Export", "retried", "skip", "uplaod", "7", "--reason", "a slip");
    assertEquals([typo.code, typo.out], [1, ""]);
    assertMatch(
      typo.err,
      /^nothing is recorded of a step uplaod of Export retried; pending: upload, 1 failed, .*\. With --ahead its value /,
    );
    assertEquals((await run("run", "Export", "retried")).out.includes("uplaod"), false);
    const ahead = await run("run", "Export", "retried", "skip", "notify", "--ahead", "--reason", "told by phone");
    assertEquals(ahead, { code: 0, out: "step skipped: Export retried\n", err: "" });
    assertMatch((await run("run", "Export", "retried")).out, /skipped +notify/);
    const latest = await run("run", "Export", "retried", "--limit", "1");
    assertMatch(latest.out, /VALUE\n[^\n]* skipped +notify[^\n]*\n$/);
    assertEquals(latest.err, "2 earlier entries are left out: --limit shows more\n");
    const [, ...entries] = json((await run("run", "Export", "retried", "--limit", "1", "--json")).out);
    assertEquals(entries.map(({ entry }) => entry), ["skipped"]);
    const again = await run("run", "Export", "retried", "skip", "notify", "--reason", "twice");
    assertEquals([again.code, again.err.split(":")[0]], [1, "CONFLICT"]);
    const skipped = await run(
      "run",
      "Export",
      "skipped",
      "skip",
      "upload",
      '"by hand"',
      "--reason",
      "the disk is gone",
    );
    assertEquals(skipped, { code: 0, out: "step skipped: Export skipped\n", err: "" });
    assertEquals(unwrap(await app.result(Export, "skipped")), "by hand");
    assertStringIncludes((await run("run", "Export", "skipped")).out, "the disk is gone");
    const ended = await run("run", "Export", "skipped", "skip", "upload", "7", "--reason", "again");
    assertEquals([ended.code, ended.err.split(":")[0]], [1, "NO_RUN"]);
    assertEquals(
      (await run("run", "Export", "waits", "cancel", "--reason", "enough")).out,
      "to be cancelled: Export waits\n",
    );
    assertEquals((await app.result(Export, "waits")).error?.code, "CANCELLED");
    broken = false;
    const retried = await run("run", "Export", "retried", "retry", "--json");
    assertEquals([retried.code, json(retried.out)], [0, [{ retry: { workflow: "Export", id: "retried" } }]]);
    assertEquals(unwrap(await app.result(Export, "retried")), "uploaded");
    assertEquals((await run("run", "Export", "retried", "retry")).err.split(":")[0], "NO_RUN");
  });
});

describe("the tool and many runs", await requireNatsServer(), () => {
  const Upload = workflow<string, string>("Upload", { id: (id) => id });
  let full = true;
  const uploads = Upload.handle(async (flow, disk) =>
    await flow.step("upload", () => {
      if (full) throw new Error(`disk ${disk[0]} is full`);
      return "uploaded";
    }, { retry: { attempts: 1 } })
  );

  it("runs retry and cancel count what matches, and change it with --yes; unknown words are an error", async () => {
    await using server = await startNatsServer();
    const run = (...args: string[]) => cliHere(args, { NATS_URL: server.url });
    await using app = await catga({ nats: server.url, handlers: uploads, logger: quiet });
    const ids = ["a1", "a2", "b1", "b2", "c1"];
    for (const id of ids) unwrap(await app.start(Upload, id));
    const stuck = async (...more: string[]) =>
      (await run("runs", "--status", "stuck", "--json", ...more)).out.split("\n").filter((line) => line !== "").length;
    await eventually("5 are stuck", async () => await stuck() === 5);
    assertEquals(await stuck("--cause", "disk b"), 2);

    for (
      const usage of [
        ["retry"],
        ["retry", "--status", "done"],
        ["cancel", "--status", "unreadable", "--reason", "x"],
        ["retry", "--status", "unreadable"],
        ["retry", "--status", "stuck", "--reason", "x"],
        ["cancel", "--status", "stuck"],
        ["retry", "now", "--status", "stuck"],
        ["--yes"],
        ["Upload", "--workflow", "Export"],
      ]
    ) assertEquals((await run("runs", ...usage)).code, 2, usage.join(" "));
    for (const unknown of [["retri", "--status", "stuck"], ["retry", "--status", "stuck", "--workflow", "Uplaod"]]) {
      const { code, err } = await run("runs", ...unknown);
      assertEquals(code, 1, unknown.join(" "));
      assertStringIncludes(err, "there is no workflow");
    }

    const counted = await run("runs", "retry", "--status", "stuck", "--workflow", "Upload");
    assertEquals(counted, { code: 1, out: "", err: "5 runs would be retried: --yes does it\n" });
    const none = await run("runs", "retry", "--status", "stuck", "--cause", "disk z");
    assertEquals([none.code, none.out], [0, ""]);
    assertMatch(none.err, /^no runs match in the namespace default/);
    assertEquals(await stuck(), 5);

    const cancelled = await run(
      "runs",
      "cancel",
      "--status",
      "stuck",
      "--cause",
      "disk b",
      "--reason",
      "sold",
      "--yes",
    );
    assertEquals(cancelled, { code: 0, out: "to be cancelled: Upload b1\nto be cancelled: Upload b2\n", err: "" });
    assertEquals((await app.result(Upload, "b2")).error?.code, "CANCELLED");

    full = false;
    const retried = await run("runs", "retry", "--status", "stuck", "--yes", "--json");
    assertEquals(retried.code, 0);
    assertEquals(retried.out.trim().split("\n").map((line) => JSON.parse(line).retry.id).sort(), ["a1", "a2", "c1"]);
    for (const id of ["a1", "a2", "c1"]) assertEquals(unwrap(await app.result(Upload, id)), "uploaded");
  });
});
